"""Diagnostics on any model's latents: arrays in, numbers out; blind to spectra and models."""
