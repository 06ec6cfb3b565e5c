"""A tiny model and a tiny archive for the tests of encode."""

import math

import numpy as np
import torch
from astropy.io import fits

from latentscope.models.network import SpectrumVAE, VAEConfig
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.wavelength import Grid

GRID = Grid("linear", 5000.0, 0.5, 400, pad_left=3, pad_right=5, gaps=((5050.0, 5060.0),))


def tiny_model(normalization="median-valid", *, seed=0, variational=True, min_median=None):
    continuum = normalization == "continuum"
    prepare = PrepareConfig(GRID, normalization=normalization, nodes=10, min_median=min_median)
    config = VAEConfig(
        length=GRID.length if continuum else GRID.size,
        channels=(4, 8),
        kernels=(5, 3),
        strides=(4, 2),
        latents=3,
        extra=10 if continuum else 0,
        variational=variational,
        output="mean" if continuum else "conv",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SpectrumVAE(config, prepare, {"name": "tiny", "mad_threshold": 0.05}).eval()


def small_model(latents, name="small"):
    """A model with random weights: the whole HARPS range on 2,048 pixels."""
    grid = Grid("log", 3785.0, math.log(6910 / 3785) / 2048, 2048, gaps=((5300.0, 5340.0),))
    config = VAEConfig(
        length=2048, channels=(4, 8), kernels=(9, 5), strides=(4, 4), latents=latents, extra=16
    )
    prepare = PrepareConfig(grid, normalization="continuum", window=15, nodes=16)
    info = {"name": name, "description": "random weights, for tests"}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return SpectrumVAE(config, prepare, info).eval()


def write_adp(path, *, seed=0, last=5205.0, level=100.0, header=()):
    """Write a phase-3 product: one table row with array cells."""
    rng = np.random.default_rng(seed)
    wavelength = np.arange(4995.0, last, 0.5)
    flux = (level * (1 + 0.2 * rng.normal(size=wavelength.size))).astype(np.float32)
    n = wavelength.size
    columns = [
        fits.Column("WAVE", f"{n}D", unit="Angstrom", array=wavelength[None]),
        fits.Column("FLUX", f"{n}E", array=flux[None]),
        fits.Column("ERR", f"{n}E", array=np.ones((1, n), np.float32)),
    ]
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = f"HD{seed}"
    for key, value in header:
        primary.header[key] = value
    fits.HDUList([primary, fits.BinTableHDU.from_columns(columns)]).writeto(path)


def write_archive(folder, n, **options):
    for i in range(n):
        write_adp(folder / f"ADP.2014-09-16T11:05:37.{i:03d}.fits", seed=i, **options)
    return sorted(folder.glob("*.fits"))
