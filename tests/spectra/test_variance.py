from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.spectra.prepare import PrepareConfig, prepare
from latentscope.spectra.resample import resample
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid

GRID = Grid("linear", 5000.0, 0.5, 60, pad_left=3, pad_right=2, gaps=((5010.0, 5012.0),))
NORMALIZATIONS = ["median-padded", "median-valid", "continuum"]


def config_of(normalization, how="auto", grid=GRID):
    return PrepareConfig(grid, resample=how, normalization=normalization, window=31, nodes=6)


def spectrum_of(step, first=4990.0, n=400, seed=0):
    rng = np.random.default_rng(seed)
    wavelength = first + step * np.arange(n)
    flux = 100 + 20 * np.sin(wavelength / 7)
    return Spectrum(wavelength, flux, ivar=1 / rng.uniform(1, 9, n))


@pytest.mark.parametrize("first", [4990.0, 4990.13])
@pytest.mark.parametrize(("how", "step"), [("rebin", 0.11), ("rebin", 0.7), ("linear", 0.7)])
def test_variances_add_with_the_squares_of_the_resamplers_weights(how, step, first):
    spectrum = spectrum_of(step, first, 100 if step > 0.5 else 400)
    # A resampler is linear, so what it makes of one pixel after the other are its weights.
    unit = (replace(spectrum, flux=row) for row in np.eye(len(spectrum)))
    weights = np.stack([resample(one, GRID, how)[0] for one in unit], axis=1)
    variance = weights**2 @ (1 / spectrum.ivar)
    _, filled, ivar = resample(spectrum, GRID, how, ivar=True)
    assert filled.sum() > 50
    assert ivar[filled] == pytest.approx(1 / variance[filled], rel=1e-9)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("step", [0.5, 0.23, 0.8])
def test_repeated_exposures_scatter_as_the_row_says(normalization, step):
    spectrum = spectrum_of(step)
    config = config_of(normalization)
    rng = np.random.default_rng(1)
    sigma = spectrum.ivar**-0.5
    rows, clean = [], prepare(spectrum, config, ivar=True)
    for _ in range(400):
        noisy = replace(spectrum, flux=spectrum.flux + sigma * rng.normal(size=len(spectrum)))
        prepared = prepare(noisy, config)
        # The median of 60 pixels has noise of its own, which counts as none.
        known = 1.0 if normalization == "continuum" else prepared.scale / clean.scale
        rows.append(prepared.row[: config.ivar_size] * known)
    known = clean.ivar > 0
    ratio = np.var(rows, axis=0)[known] * clean.ivar[known]
    # The running mean of 31 pixels takes part of each pixel's noise with it.
    assert np.mean(ratio) == pytest.approx(1, abs=0.05 if normalization != "continuum" else 0.1)
    assert ratio.max() < 1.5


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("how", ["rebin", "linear"])
@settings(max_examples=20)
@given(unit=st.floats(1e-12, 1e12))
def test_the_unit_of_the_flux_does_not_matter(normalization, how, unit):
    spectrum, config = spectrum_of(0.3), config_of(normalization, how)
    other = replace(spectrum, flux=spectrum.flux * unit, ivar=spectrum.ivar / unit**2)
    rows = [prepare(one, config, ivar=True).ivar for one in (spectrum, other)]
    assert rows[1] == pytest.approx(rows[0], rel=1e-5)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(("how", "step"), [("auto", 0.5), ("rebin", 0.5), ("linear", 0.8)])
def test_what_is_not_known_is_zero(normalization, how, step):
    config = config_of(normalization, how)
    spectrum = spectrum_of(step)
    flux, ivar, mask = spectrum.flux.copy(), spectrum.ivar.copy(), np.zeros(len(spectrum), bool)
    near = [int(np.argmin(abs(spectrum.wavelength - at))) for at in (5003.0, 5017.0, 5022.0)]
    flux[near[0]], mask[near[1]], ivar[near[2]] = np.nan, True, 0.0
    spectrum = replace(spectrum, flux=flux, ivar=ivar, mask=mask)
    prepared = prepare(spectrum, config, ivar=True)
    row = prepared.ivar
    assert row.shape == (config.ivar_size,)
    assert row.dtype == np.float32
    first = 0 if normalization == "continuum" else GRID.pad_left
    pixel = first + int(np.argmin(abs(GRID.wavelength - 5022.0)))
    assert prepared.valid[pixel]
    assert row[pixel] == 0
    assert (row[~prepared.valid[: len(row)]] == 0).all()
    assert (row[first : first + GRID.length][GRID.gap_mask] == 0).all()
    assert (row > 0).sum() > 40
    assert not prepare(replace(spectrum, ivar=None), config, ivar=True).ivar.any()
    assert prepare(spectrum, config).ivar is None


def test_slices_keep_the_values_of_the_file():
    spectrum = spectrum_of(0.5, 5000.0, 60)
    assert resample(spectrum, GRID, ivar=True)[2] == pytest.approx(spectrum.ivar)


def test_a_spectrum_without_a_level_has_none():
    spectrum = replace(spectrum_of(0.3), flux=np.full(400, -1.0))
    config = config_of("median-valid")
    prepared = prepare(spectrum, config, ivar=True)
    assert prepared.degenerate
    assert not prepared.ivar.any()


def test_frames_are_those_of_the_flux():
    spectrum = replace(spectrum_of(0.5), frame="topocentric", berv=25.0)
    spectrum = replace(spectrum, ivar=np.where(spectrum.wavelength < 5015.2, 1.0, 4.0))
    ivar = resample(spectrum, GRID, "linear", ivar=True)[2]
    shifted = 5015.2 * (1 + 25.0 / 299792.458)
    assert (ivar[GRID.wavelength < shifted - 0.5] < 2.001).all()
    assert (ivar[GRID.wavelength > shifted + 0.5] > 3.99).all()
