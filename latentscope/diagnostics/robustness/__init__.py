"""Do the findings hold on other samples: one spectrum a star, equal classes, halves."""
