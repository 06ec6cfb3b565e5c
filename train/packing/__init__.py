"""Any spectra into one archive on a model's grid, and back."""
