"""Onto a model's grid: flux is conserved, wavelengths stay, holes stay holes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.errors import SpectrumError
from latentscope.spectra.prepare import (
    PrepareConfig,
    native,
    pixel_edges,
    prepare,
    rebin,
    resample,
    restore,
)
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid, air_to_vacuum
from tests.spectra.grids import COMPACT, SMALL

NONE = np.empty(0, np.intp)


@pytest.mark.parametrize("how", ["auto", "rebin", "linear"])
@pytest.mark.parametrize("step", [0.03, 0.4999, 0.6, 3.1])
def test_flux_equal_to_wavelength_stays_so(how, step):
    """Whatever is shifted or mixed shows: each pixel must hold its own wavelength."""
    wavelength = np.arange(4990.0, 5215.0, step)
    config = PrepareConfig(SMALL, resample=how, normalization="median-valid")
    prepared = prepare(Spectrum(wavelength, wavelength.copy()), config)
    flux = restore(prepared.row, config) * prepared.scale
    # The mean of whole-pixel densities may be off by up to half an input pixel, no more.
    coarse = how == "rebin"
    tolerance = 0.5 * step if coarse or (how == "auto" and step < 0.525) else 1e-3
    assert np.abs(flux - SMALL.wavelength).max() <= tolerance
    assert abs(np.mean(flux - SMALL.wavelength)) < max(2e-3, tolerance / 20)
    assert prepared.coverage == 1


def test_auto_takes_the_files_own_values_where_the_grid_matches():
    rng = np.random.default_rng(3)
    wavelength = 4998.0 + 0.5 * np.arange(380) + rng.uniform(-5e-6, 5e-6, 380)
    flux = rng.uniform(1, 2, 380).astype(np.float32)
    config = PrepareConfig(SMALL)
    prepared = prepare(Spectrum(wavelength, flux), config)
    np.testing.assert_array_equal(
        restore(prepared.row, config)[:376], flux[4:] / np.float32(prepared.scale)
    )
    assert not prepared.row[SMALL.pad_left + 376 :].any()


def test_auto_draws_no_steps_from_a_coarser_file():
    wavelength = np.arange(4990.0, 5215.0, 2.0)
    config = PrepareConfig(SMALL)
    row = prepare(Spectrum(wavelength, wavelength**2), config).row
    science = row[SMALL.pad_left : -SMALL.pad_right].astype(np.float64)
    assert np.all(np.diff(science) > 0)


def test_auto_treats_both_signs_of_a_velocity_alike():
    for shift in (1 + 1e-4, 1 - 1e-4):
        wavelength = np.arange(4990.0, 5215.0, 0.5) * shift
        flux = np.exp(-0.5 * ((wavelength - 5100) / 2) ** 2) + 1
        spectrum = Spectrum(wavelength, flux)
        rows = [
            prepare(spectrum, PrepareConfig(SMALL, resample=how)).row for how in ("auto", "rebin")
        ]
        np.testing.assert_array_equal(*rows)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 60),
    m=st.integers(1, 60),
)
def test_rebinning_conserves_flux(seed, n, m):
    rng = np.random.default_rng(seed)
    wavelength = 100 + np.cumsum(rng.uniform(0.1, 2, n))
    edges_in = pixel_edges(wavelength)
    edges_out = 90 + np.cumsum(rng.uniform(0.1, 3, m + 1))
    flux = rng.normal(5, 3, n)
    flux[rng.random(n) < 0.2] = np.nan
    bad = np.flatnonzero(rng.random(n) < 0.1)
    density, filled, _ = rebin(wavelength, flux, bad, None, edges_out)
    flux[bad] = np.nan
    assert np.all((filled >= 0) & (filled <= 1))
    np.testing.assert_array_equal(np.isnan(density), filled == 0)
    new = np.nansum(density * filled * np.diff(edges_out))
    low = np.clip(edges_in[:-1], edges_out[0], edges_out[-1])
    high = np.clip(edges_in[1:], edges_out[0], edges_out[-1])
    np.testing.assert_allclose(new, np.nansum(flux * (high - low)), rtol=1e-9, atol=1e-9)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), dtype=st.sampled_from([np.float32, np.float64, ">f4"]))
def test_rebinning_equals_an_integral_of_steps(seed, dtype):
    """Oracle: differences of the interpolated cumulative integral."""
    rng = np.random.default_rng(seed)
    wavelength = 100 + np.cumsum(rng.uniform(0.1, 2, 50))
    edges_in = pixel_edges(wavelength)
    flux = rng.normal(5, 3, 50).astype(dtype)
    edges_out = np.linspace(edges_in[0] + 1, edges_in[-1] - 1, 23)
    integral = np.append(0, np.cumsum(flux.astype(np.float64) * np.diff(edges_in)))
    expected = np.diff(np.interp(edges_out, edges_in, integral)) / np.diff(edges_out)
    density, filled, _ = rebin(wavelength, native(flux), NONE, None, edges_out)
    np.testing.assert_allclose(density, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(filled, 1, rtol=1e-12)


def test_rebinning_onto_its_own_pixels_changes_nothing():
    rng = np.random.default_rng(5)
    flux = rng.normal(size=COMPACT.length)
    edges = pixel_edges(COMPACT.wavelength)
    density, filled, _ = rebin(COMPACT.wavelength, flux, NONE, None, edges)
    np.testing.assert_allclose(density, flux, rtol=1e-12)
    np.testing.assert_allclose(filled, 1)


def test_pixel_edges_lie_halfway_and_mirror_at_the_ends():
    np.testing.assert_allclose(
        pixel_edges(np.array([1.0, 2.0, 4.0])), np.array([0.5, 1.5, 3.0, 5.0])
    )


@pytest.mark.parametrize("how", ["auto", "rebin", "linear"])
@pytest.mark.parametrize("step", [0.5, 0.07])
def test_nan_masked_and_absent_pixels_are_filled_by_one_rule(how, step):
    wavelength = np.round(np.arange(4990.0, 5150.0, step), 6)
    flux = np.full(wavelength.size, 7.0)
    flux[(wavelength > 5010) & (wavelength < 5020)] = np.nan
    mask = (wavelength > 5100) & (wavelength < 5110)
    flux[mask] = 1e6
    config = PrepareConfig(SMALL, resample=how)
    prepared = prepare(Spectrum(wavelength, flux, mask=mask), config)
    valid = prepared.valid[SMALL.pad_left : -SMALL.pad_right]
    row = restore(prepared.row, config)
    w = SMALL.wavelength
    bad = ((w > 5010.5) & (w < 5019.5)) | ((w > 5100.5) & (w < 5109.5)) | (w > 5150.5)
    good = ((w < 5009) | ((w > 5021) & (w < 5099)) | ((w > 5111) & (w < 5149))) & ~SMALL.gap_mask
    assert not valid[bad].any()
    assert valid[good].all()
    assert not row[bad].any()
    np.testing.assert_allclose(row[good], 1, rtol=1e-6)
    assert not valid[SMALL.gap_mask].any()
    assert prepared.coverage == valid.sum() / (~SMALL.gap_mask).sum()
    assert not prepared.row[: SMALL.pad_left].any()
    assert not prepared.row[-SMALL.pad_right :].any()


@pytest.mark.parametrize("how", ["auto", "rebin", "linear"])
def test_nothing_is_drawn_across_a_hole_in_the_wavelengths(how):
    wavelength = np.concatenate([np.arange(4990.0, 5080.0, 0.3), np.arange(5120.0, 5210.0, 0.3)])
    prepared = prepare(
        Spectrum(wavelength, np.full(wavelength.size, 2.0)), PrepareConfig(SMALL, resample=how)
    )
    valid = prepared.valid[SMALL.pad_left : -SMALL.pad_right]
    w = SMALL.wavelength
    assert not valid[(w > 5080.5) & (w < 5119.5)].any()
    assert valid[((w < 5049) | ((w > 5061) & (w < 5079)) | (w > 5121))].all()


def test_the_frame_and_medium_are_the_grids():
    grid = Grid("linear", 5000.0, 0.5, 400, medium="vacuum", frame="barycentric")
    wavelength = np.arange(4980.0, 5215.0, 0.05)
    spectrum = Spectrum(wavelength, wavelength.copy(), medium="air", frame="topocentric", berv=20.0)
    config = PrepareConfig(grid)
    prepared = prepare(spectrum, config)
    shift = grid.wavelength - restore(prepared.row, config) * prepared.scale
    # Vacuum wavelengths are longer by about 1.4 Angstrom, barycentric ones by 20/c of themselves.
    expected = 1.42 * grid.wavelength / 5100 + grid.wavelength * 20 / 299_792.458
    np.testing.assert_allclose(shift, expected, atol=0.03)


def test_rebinning_a_real_spectrum_keeps_its_flux(shared_data):
    from latentscope.spectra.read import read_spectrum

    spectrum = read_spectrum(shared_data / "HARPS.2010-09-18T23:42:36.178_s1d_A.fits")
    flux = native(spectrum.flux)
    density, filled, _ = rebin(spectrum.wavelength, flux, NONE, None, COMPACT.edges)
    inside = (spectrum.wavelength > COMPACT.edges[0]) & (spectrum.wavelength < COMPACT.edges[-1])
    total = np.sum(spectrum.flux[inside].astype(np.float64)) * 0.01
    np.testing.assert_allclose(np.sum(density * filled * np.diff(COMPACT.edges)), total, rtol=1e-5)


def coverage(wavelength, config=None, **fields):
    wavelength = np.asarray(wavelength, dtype=float)
    spectrum = Spectrum(wavelength, np.full(wavelength.size, 2.0), **fields)
    try:
        return prepare(spectrum, config or PrepareConfig(COMPACT)).coverage
    except SpectrumError:  # no valid pixel at all
        return 0.0


@pytest.mark.parametrize("how", ["auto", "rebin", "linear"])
@pytest.mark.parametrize(
    "wavelength",
    [[3700.0, 7000.0], 3781 + 1000 * np.arange(1000.0), np.linspace(3700, 7000, 100)],
)
def test_few_pixels_far_apart_cover_next_to_nothing(how, wavelength):
    assert coverage(wavelength, PrepareConfig(COMPACT, resample=how)) < 0.2


@pytest.mark.parametrize("step", [0.003, 0.02, 0.1, 1.4, 5.0])
def test_even_pixels_cover_their_range(step):
    assert coverage(np.arange(3700.0, 7000.0, step)) == 1.0
    half = coverage(np.arange(3700.0, 5000.0, step))
    expected = np.mean(COMPACT.wavelength[~COMPACT.gap_mask] < 5000.0)
    assert half == pytest.approx(expected, abs=2 * step / 3000)


def test_coarse_pixels_are_said_and_fine_ones_are_not():
    def notes(step):
        wavelength = np.arange(3700.0, 7000.0, step)
        return prepare(Spectrum(wavelength, wavelength), PrepareConfig(COMPACT)).notes

    assert notes(0.3) == ()
    assert ["9.98 times" in note for note in notes(1.5)] == [True]


def test_a_model_of_wide_pixels_takes_files_as_wide():
    wide = Grid("linear", 4000.0, 20.0, 200)
    assert coverage(np.arange(3900.0, 8100.0, 20.0), PrepareConfig(wide)) == 1.0
    assert coverage(np.arange(3903.0, 8100.0, 25.0), PrepareConfig(wide)) == 1.0


@pytest.mark.parametrize(("missing", "hole"), [(0, False), (1, False), (2, True), (9, True)])
@pytest.mark.parametrize("how", ["rebin", "linear"])
def test_pixels_that_a_file_leaves_out_are_a_hole_from_two_on(missing, hole, how):
    wavelength = np.arange(4990.0, 5215.0, 1.0)
    keep = np.ones(wavelength.size, dtype=bool)
    keep[120 : 120 + missing] = False
    config = PrepareConfig(SMALL, resample=how)
    kept = wavelength[keep]
    valid = prepare(Spectrum(kept, kept), config).valid[SMALL.pad_left : -SMALL.pad_right]
    # Half a pixel on either side belongs to the pixels that are there.
    inside = (SMALL.wavelength > 5109.6) & (SMALL.wavelength < 5109.4 + missing)
    assert valid[inside].all() != hole
    assert not (valid[inside].any() and hole)
    assert valid[~inside & ~SMALL.gap_mask].sum() >= (~inside & ~SMALL.gap_mask).sum() - 3


def test_pixels_between_each_other_and_another_sampling_are_no_holes():
    between = np.sort(np.concatenate([np.arange(3700, 7000, 0.1), np.arange(3700.01, 7000, 0.1)]))
    assert coverage(between) == 1.0
    changing = np.concatenate([np.arange(3700, 5000, 0.02), np.arange(5000, 7000, 0.2)])
    assert coverage(changing) > 0.999
    assert coverage(np.geomspace(3700, 7000, 3000)) == 1.0


@pytest.mark.parametrize("step", [1.0, 5.0])
def test_vacuum_spectra_from_the_far_ultraviolet_on_are_looked_at_near_the_grid(step):
    wavelength = np.arange(900.0, 25_000.0, step)
    spectrum = Spectrum(
        wavelength, wavelength.copy(), medium="vacuum", ivar=np.ones(len(wavelength))
    )
    config = PrepareConfig(COMPACT, normalization="median-valid")
    prepared = prepare(spectrum, config, ivar=True)
    assert prepared.coverage == 1.0
    vacuum = air_to_vacuum(COMPACT.wavelength)
    np.testing.assert_allclose(prepared.row * prepared.scale, vacuum, atol=1e-3)
    assert (prepared.ivar[prepared.valid] > 0).all()
    far = wavelength[wavelength < 1900.0]
    outside = Spectrum(far, far, medium="vacuum")
    with pytest.raises(SpectrumError, match=r"no valid pixel.*spans 900"):
        prepare(outside, config)


@pytest.mark.parametrize("where", [(4000.0, 4500.0), (3800.0, 6900.0), (3000.0, 9000.0)])
def test_what_lies_far_off_the_grid_changes_nothing(where):
    wavelength = np.arange(*where, 0.02)
    flux = 2 + np.sin(wavelength)
    near = (wavelength > 3700) & (wavelength < 7000)
    rows = [
        prepare(Spectrum(w, f, frame="topocentric", berv=-20.0), PrepareConfig(COMPACT)).row
        for w, f in ((wavelength, flux), (wavelength[near], flux[near]))
    ]
    np.testing.assert_array_equal(*rows)


@pytest.mark.parametrize("how", ["auto", "rebin", "linear"])
@pytest.mark.parametrize("step", [0.02, 0.4])
def test_a_masked_pixel_counts_like_one_without_flux(how, step):
    rng = np.random.default_rng(3)
    wavelength = 5000 + np.cumsum(step * rng.uniform(0.8, 1.2, 2000))
    wavelength = np.delete(wavelength, np.s_[700:705])  # a hole
    flux, mask = rng.normal(5, 2, wavelength.size), rng.random(wavelength.size) < 0.05
    mask[100:200] = mask[690:720] = True
    ivar = rng.uniform(1, 2, wavelength.size)
    grid = Grid("linear", 4999.0, 0.1, 400)
    masked = resample(Spectrum(wavelength, flux, ivar=ivar, mask=mask), grid, how, ivar=True)
    blank = np.where(mask, np.nan, flux)
    expected = resample(Spectrum(wavelength, blank, ivar=ivar), grid, how, ivar=True)
    for one, other in zip(masked, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
