"""Which rows of latents can be trusted: rows compared with a sample of ordinary ones."""
