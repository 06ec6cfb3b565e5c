"""Line contrast and pseudo-continuum against their definition, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.errors import SpectrumError
from latentscope.spectra.prepare import PrepareConfig, prepare, restore, running_mean
from latentscope.spectra.spectrum import Spectrum
from tests.spectra.grids import COMPACT, SMALL


def oracle_continuum(flux, valid, window, nodes, clip):
    """Straight from the definition, one pixel at a time."""
    x = flux / np.median(flux[valid])
    n, half = len(x), window // 2
    c = np.full(n, np.nan)
    for i in range(n):
        members = [x[j] for j in range(max(0, i - half), min(n, i + half + 1)) if valid[j]]
        if members:
            c[i] = np.mean(members)
    hole = np.isnan(c)
    c[hole] = np.interp(np.flatnonzero(hole), np.flatnonzero(~hole), c[~hole])
    c = np.maximum(c, 1e-3)
    g = np.where(valid, np.clip(x / c - 1, *clip), 0)
    at = (np.arange(nodes) + 0.5) * n / nodes - 0.5
    return np.concatenate([g, np.interp(at, np.arange(n), np.log(c))])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    window=st.sampled_from([1, 3, 9, 65]),
    nodes=st.sampled_from([1, 7, 40, 200, 400]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_continuum_rows_equal_their_definition(seed, window, nodes, dtype):
    rng = np.random.default_rng(seed)
    flux = (rng.uniform(0.2, 2, SMALL.length) * 500).astype(dtype)
    valid = rng.random(SMALL.length) > 0.2
    first = rng.integers(0, 300)
    valid[first : first + 90] = False
    valid[0] = True
    flux[rng.integers(0, SMALL.length, 5)] = np.nan
    config = PrepareConfig(SMALL, normalization="continuum", window=window, nodes=nodes)
    row = prepare(Spectrum(SMALL.wavelength, flux, mask=~valid), config).row
    good = valid & np.isfinite(flux) & ~SMALL.gap_mask
    expected = oracle_continuum(flux.astype(np.float64), good, window, nodes, config.clip)
    assert row.dtype == np.float32
    np.testing.assert_allclose(row, expected, rtol=1e-5, atol=2e-6)


def test_one_huge_pixel_spoils_only_its_own_windows():
    flux = np.ones(400)
    flux[200] = 1e25
    mean = running_mean(flux, np.ones(400, dtype=bool), 9)
    far = np.abs(np.arange(400) - 200) > 4
    np.testing.assert_allclose(mean[far], 1, rtol=1e-12)


def test_continuum_rows_restore_to_the_flux():
    wavelength = COMPACT.wavelength
    lines = 0.4 * np.sin(2 * np.pi * np.arange(COMPACT.length) / 13) ** 2
    flux = 800 * (1 + 0.5 * np.sin(wavelength / 400)) * (1 - lines)
    config = PrepareConfig(COMPACT, normalization="continuum")
    prepared = prepare(Spectrum(wavelength.copy(), flux), config)
    restored = restore(prepared.row, config)
    good = prepared.valid[: COMPACT.length]
    ratio = restored * prepared.scale / flux
    # Windows are cut short at the ends and beside the gap, and nodes are constant at the ends.
    whole = running_mean(good.astype(float), np.ones(good.size, dtype=bool), 129) > 0.999
    whole[:64] = whole[-64:] = False
    np.testing.assert_allclose(ratio[whole], 1, rtol=5e-3)
    np.testing.assert_allclose(ratio[good], 1, rtol=3e-2)
    both = restore(np.stack([prepared.row, prepared.row])[None], config)
    assert both.shape == (1, 2, COMPACT.length)
    np.testing.assert_array_equal(both[0, 1], restored)


def test_continuum_rows_do_not_depend_on_the_flux_unit():
    wavelength = 3781.19 + 0.01 * np.arange(313_114)
    noise = np.random.default_rng(8).normal(0, 20, wavelength.size)
    flux = (900 * (1 + 0.3 * np.sin(wavelength / 200)) + noise).astype(np.float32)
    spectrum = Spectrum(wavelength, flux)
    config = PrepareConfig(COMPACT, normalization="continuum")
    bright = Spectrum(spectrum.wavelength, spectrum.flux.astype(np.float64) * 1e-17)
    np.testing.assert_allclose(
        prepare(bright, config).row, prepare(spectrum, config).row, rtol=1e-4, atol=1e-6
    )


def test_rows_of_another_size_are_not_restored():
    config = PrepareConfig(COMPACT, normalization="continuum")
    with pytest.raises(SpectrumError, match="20800"):
        restore(np.zeros((2, 20480)), config)
