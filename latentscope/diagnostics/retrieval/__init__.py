"""Nearest spectra in latent space: exact, fast, and with the reasons why they match."""
