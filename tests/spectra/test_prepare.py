"""Preparation against an oracle of the published description, identities and real files."""

import json

import numpy as np
import pytest

from latentscope.errors import SpectrumError
from latentscope.models.registry import PUBLISHED_GRID, published_prepare
from latentscope.spectra.prepare import PrepareConfig, prepare, restore
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


NORMALIZATIONS = {"astro-machines": "median-padded", "stellar-karaoke": "median-valid"}


@pytest.mark.parametrize("kind", NORMALIZATIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_published_rows_equal_the_oracle_bit_for_bit(kind, seed):
    spectrum = harps_like(seed, first=3781.19 + seed * 0.37)
    prepared = prepare(spectrum, published_prepare(NORMALIZATIONS[kind]))
    expected = published_oracle(spectrum.wavelength, spectrum.flux, kind)
    assert prepared.row.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(prepared.row.view(np.uint32), expected.view(np.uint32))
    assert prepared.coverage == 1


@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_published_rows_of_the_real_s1d_equal_the_oracle(kind, shared_data):
    from astropy.io import fits

    path = shared_data / "HARPS.2010-09-18T23:42:36.178_s1d_A.fits"
    flux, header = fits.getdata(path, header=True)
    wavelength = header["CRVAL1"] + header["CDELT1"] * np.arange(flux.size)
    prepared = prepare(Spectrum(wavelength, flux), published_prepare(NORMALIZATIONS[kind]))
    expected = published_oracle(wavelength, flux, kind)
    np.testing.assert_array_equal(prepared.row.view(np.uint32), expected.view(np.uint32))


def test_the_two_published_normalisations_differ_by_the_zeros_in_the_median():
    spectrum = harps_like()
    padded, valid = (prepare(spectrum, published_prepare(n)) for n in NORMALIZATIONS.values())
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
    with pytest.raises(SpectrumError, match="unknown colour"):
        PrepareConfig.from_dict(values | {"colour": "red"})
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
    with pytest.raises(SpectrumError, match="no valid pixel"):
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
    with pytest.raises(SpectrumError, match="single precision"):
        prepare(Spectrum(SMALL.wavelength.copy(), flux), PrepareConfig(SMALL))
