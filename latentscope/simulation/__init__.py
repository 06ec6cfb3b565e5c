"""Simulated archive of stellar spectra with known truth."""
