"""Spectra: read them from files, shift and convert them, prepare them for a model."""
