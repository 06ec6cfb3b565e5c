"""Preparation against oracles of the published descriptions, identities and real files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.errors import SpectrumError
from latentscope.models.config import PUBLISHED_GRID, published_prepare
from latentscope.spectra.prepare import PrepareConfig, prepare, resample, restore, running_mean
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid
from tests.spectra.grids import COMPACT, SMALL


def harps_like(seed=0, first=3781.19, n=313_114, level=900.0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    wavelength = first + 0.01 * np.arange(n)
    flux = level * (1 + 0.3 * np.sin(wavelength / 200)) + rng.normal(0, 20, n)
    flux[(wavelength > 5303.9) & (wavelength < 5336.9)] = 0
    return Spectrum(wavelength, flux.astype(dtype))


def published_oracle(wavelength, flux, kind):
    """Row by the published description alone: trim, pad, mask, median, divide; all in float32."""
    inside = (wavelength >= 3785 - 1e-5) & (wavelength <= 6910 + 1e-5)
    row = np.pad(flux[inside].astype(np.float32), (7589, 7590))
    assert row.size == 2**18 + 2**16
    masked = np.zeros(row.size, dtype=bool)
    masked[: 7588 + 1] = True
    masked[159453 : 162893 + 1] = True
    masked[320090:] = True
    if kind == "astro-machines":
        level = np.median(row * np.where(masked, 0, 1).astype(np.float32))
    else:
        level = np.median(row[~masked])
        if level <= 50 or row[~masked].mean() <= 0:
            return np.zeros_like(row)
    return row / level


PUBLISHED = {"astro-machines": "median-padded", "stellar-karaoke": "median-valid"}


@pytest.mark.parametrize("kind", PUBLISHED)
@pytest.mark.parametrize("seed", [0, 1])
def test_published_rows_equal_the_oracle_bit_for_bit(kind, seed):
    spectrum = harps_like(seed, first=3781.19 + seed * 0.37)
    prepared = prepare(spectrum, published_prepare(PUBLISHED[kind]))
    expected = published_oracle(spectrum.wavelength, spectrum.flux, kind)
    assert prepared.row.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(prepared.row.view(np.uint32), expected.view(np.uint32))
    assert prepared.coverage == 1


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_rows_of_the_real_s1d_equal_the_oracle(kind, shared_data):
    from astropy.io import fits

    path = shared_data / "HARPS.2010-09-18T23:42:36.178_s1d_A.fits"
    flux, header = fits.getdata(path, header=True)
    wavelength = header["CRVAL1"] + header["CDELT1"] * np.arange(flux.size)
    prepared = prepare(Spectrum(wavelength, flux), published_prepare(PUBLISHED[kind]))
    expected = published_oracle(wavelength, flux, kind)
    np.testing.assert_array_equal(prepared.row.view(np.uint32), expected.view(np.uint32))


def test_the_two_published_normalisations_differ_by_the_zeros_in_the_median():
    spectrum = harps_like()
    padded, valid = (prepare(spectrum, published_prepare(n)) for n in PUBLISHED.values())
    assert padded.scale < valid.scale
    np.testing.assert_allclose(padded.row * padded.scale, valid.row * valid.scale, rtol=1e-6)


def test_published_grid_masks_the_published_pixels():
    grid = PUBLISHED_GRID
    masked = np.flatnonzero(grid.gap_mask) + grid.pad_left
    np.testing.assert_array_equal(masked, np.arange(159453, 162893 + 1))
    assert grid.size == 327_680
    assert grid.wavelength[-1] == pytest.approx(6910, abs=1e-9)


@pytest.mark.parametrize(("level", "degenerate"), [(40.0, True), (60.0, False), (-900.0, True)])
def test_degenerate_spectra_become_zeros_and_say_so(level, degenerate):
    prepared = prepare(harps_like(level=level), published_prepare("median-valid"))
    assert prepared.degenerate is degenerate
    assert prepared.row.any() != degenerate
    assert np.isnan(prepared.scale) == degenerate


def test_no_positive_median_is_degenerate_under_every_normalisation():
    spectrum = Spectrum(SMALL.wavelength, np.zeros(SMALL.length))
    for normalization in ("median-padded", "median-valid", "continuum"):
        prepared = prepare(spectrum, PrepareConfig(SMALL, normalization=normalization, nodes=10))
        assert prepared.degenerate
        assert not prepared.row.any()


def test_grid_arrays_agree_with_their_definitions():
    for grid in (COMPACT, SMALL):
        np.testing.assert_array_less(grid.edges[:-1], grid.wavelength)
        np.testing.assert_array_less(grid.wavelength, grid.edges[1:])
    assert np.log(COMPACT.wavelength[1] / COMPACT.wavelength[0]) == pytest.approx(COMPACT.step)
    velocity = 299_792.458 * COMPACT.step
    assert velocity == pytest.approx(8.81, abs=0.01)
    gap = SMALL.wavelength[SMALL.gap_mask]
    assert (gap[0], gap[-1]) == (5050.0, 5060.0)


def test_configurations_survive_json_and_refuse_unknown_keys():
    config = PrepareConfig(COMPACT, normalization="continuum", clip=(-1, 2), min_median=3.0)
    values = json.loads(json.dumps(config.to_dict()))
    assert PrepareConfig.from_dict(values) == config
    with pytest.raises(SpectrumError, match="unknown color"):
        PrepareConfig.from_dict(values | {"color": "red"})
    with pytest.raises(SpectrumError, match="length is missing"):
        PrepareConfig.from_dict(
            {"grid": {k: v for k, v in values["grid"].items() if k != "length"}}
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resample": "spline"}, "resample is 'spline'.*'auto', 'rebin' or 'linear'"),
        ({"normalization": "mean"}, "'median-padded', 'median-valid' or 'continuum'"),
        ({"window": 64}, "window is 64.*odd"),
        ({"normalization": "continuum", "nodes": 401}, "nodes is 401"),
        ({"clip": (0.5, 1.0)}, "0 inside"),
        ({"min_median": float("nan")}, "min_median is nan"),
        ({"window": "wide"}, "window is 'wide'"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(change, message):
    with pytest.raises(SpectrumError, match=message):
        PrepareConfig(SMALL, **({"nodes": 10} | change))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "cubic"},
        {"step": -0.1},
        {"start": float("inf")},
        {"length": 1},
        {"pad_left": -1},
        {"gaps": ((2.0, 1.0),)},
    ],
)
def test_grids_that_make_no_sense_are_refused(change):
    values = {"kind": "linear", "start": 5000.0, "step": 0.1, "length": 10} | change
    (name,) = change
    with pytest.raises(SpectrumError, match=f"Grid: {name.removesuffix('s')}"):
        Grid(**values)
    with pytest.raises(SpectrumError, match=f"prepare: grid.*{name.removesuffix('s')}"):
        PrepareConfig.from_dict({"grid": values})


def test_the_flux_in_a_gap_stays_in_median_rows_and_out_of_the_median():
    flux = np.full(SMALL.length, 2.0)
    flux[SMALL.gap_mask] = 1e5
    config = PrepareConfig(SMALL)
    prepared = prepare(Spectrum(SMALL.wavelength.copy(), flux), config)
    assert prepared.scale == 2
    assert np.all(restore(prepared.row, config)[SMALL.gap_mask] == 5e4)


def test_a_spectrum_off_the_grid_says_where_it_lies():
    spectrum = Spectrum(np.linspace(500, 520, 100), np.ones(100), meta={"file": "nm.fits"})
    with pytest.raises(SpectrumError, match=r"nm\.fits.*500\.0 to 520\.0.*unit"):
        prepare(spectrum, PrepareConfig(SMALL))
    with pytest.raises(SpectrumError):
        prepare(Spectrum(SMALL.wavelength.copy(), np.full(400, np.nan)), PrepareConfig(SMALL))


@pytest.mark.parametrize("name", ["HARPS.2010-09-18T23:42:36.178_s1d_A.fits", "hd140283.fits"])
def test_real_spectra_go_through_every_preparation(name, shared_data):
    from latentscope.spectra.read import read_spectrum

    spectrum = read_spectrum(shared_data / name)
    for config in (
        published_prepare("median-valid"),
        published_prepare("median-padded"),
        PrepareConfig(COMPACT, normalization="continuum"),
    ):
        prepared = prepare(spectrum, config)
        assert prepared.row.shape == (config.row_size,)
        assert np.isfinite(prepared.row).all()
        assert prepared.coverage > 0.99
        # HD140283's flux is normalised to 1, and stellar-karaoke wants a median above 50.
        too_faint = name.startswith("hd") and config.min_median is not None
        assert prepared.degenerate is too_faint
    # Deep lines in the violet, none of them below nothing in the running mean.
    assert prepared.row[: COMPACT.length].min() < -0.3
    assert abs(prepared.row[: COMPACT.length][prepared.valid[: COMPACT.length]].mean()) < 0.02


def test_flux_beyond_single_precision_is_refused():
    flux = np.full(SMALL.length, 1e-30)
    flux[::7] = 1e38
    with pytest.raises(SpectrumError):
        prepare(Spectrum(SMALL.wavelength.copy(), flux), PrepareConfig(SMALL))


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


@settings(max_examples=40)
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
        level = 1.0 if normalization == "continuum" else prepared.scale / clean.scale
        rows.append(prepared.row[: config.ivar_size] * level)
    filled = clean.ivar > 0
    ratio = np.var(rows, axis=0)[filled] * clean.ivar[filled]
    # The running mean of 31 pixels takes part of each pixel's noise with it.
    assert np.mean(ratio) == pytest.approx(1, abs=0.05 if normalization != "continuum" else 0.1)
    assert ratio.max() < 1.5


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("how", ["rebin", "linear"])
@settings(max_examples=20)  # the first example may compile
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


@pytest.mark.parametrize("normalization", ["median-padded", "median-valid", "continuum"])
@pytest.mark.parametrize("shift", [0.0, 2e-6])
def test_flux_in_erg_units_and_single_precision_keeps_its_errors(normalization, shift):
    spectrum = harps_like()
    unit = 2.0**-64  # 5e-20; a power of two, so that float32 has the same digits
    faint = Spectrum(
        spectrum.wavelength * (1 + shift),
        spectrum.flux * np.float32(unit),
        ivar=np.full(len(spectrum), (20.0 * unit) ** -2),
    )
    plain = replace(faint, flux=spectrum.flux, ivar=np.full(len(spectrum), 20.0**-2))
    config = replace(
        published_prepare("median-valid"), normalization=normalization, min_median=None
    )
    one, other = (prepare(s, config, ivar=True) for s in (plain, faint))
    np.testing.assert_allclose(other.row, one.row, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(other.ivar, one.ivar, rtol=1e-5)
    assert one.ivar.max() > 0
    assert (other.coverage, other.degenerate) == (1.0, False)
    assert other.scale == pytest.approx(one.scale * unit, rel=1e-6)
    assert prepare(faint, published_prepare("median-valid")).degenerate


def test_a_spectrum_of_another_frame_is_moved_and_said():
    wavelength = np.arange(4990.0, 5215.0, 0.1)
    spectrum = Spectrum(wavelength, wavelength, frame="topocentric", berv=20.0)
    (note,) = prepare(spectrum, PrepareConfig(SMALL)).notes
    assert "from topocentric to barycentric" in note
    with pytest.raises(SpectrumError, match=r"berv is unknown.*--frame barycentric"):
        prepare(replace(spectrum, berv=None), PrepareConfig(SMALL))
    assert prepare(Spectrum(wavelength, wavelength), PrepareConfig(SMALL)).notes == ()


def test_a_spectrum_at_rest_without_a_velocity_is_a_star_at_zero():
    wavelength = np.linspace(4990.0, 5060.0, 8000)
    rest = Spectrum(wavelength, wavelength.copy(), frame="rest")
    config = PrepareConfig(SMALL)
    still = prepare(rest, config)
    np.testing.assert_array_equal(
        still.row, prepare(replace(rest, frame="barycentric"), config).row
    )
    assert "velocity of 0" in " ".join(still.notes)
    moving = prepare(replace(rest, rv=30.0), config)
    assert np.abs(moving.row - still.row).max() > 5e-5
