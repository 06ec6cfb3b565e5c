"""Depth, equivalent width and colour against closed forms."""

import numpy as np
import pytest
from scipy.special import erf

from latentscope.diagnostics.traversal.lines import Feature, Gauge, line
from latentscope.diagnostics.traversal.traverse import colour, slope
from tests.diagnostics.traversal.stars import C

WAVELENGTH = 5000 * np.exp(1.5 / C * np.arange(12000))
VALID = np.ones(len(WAVELENGTH), bool)
IRON = line("Fe I", 5100.0)
BAND = Feature("TiO 5150", "TiO", "band", 5150.0, (5150.0, 5160.0), (5150.0, 5160.0),
               ((5140.0, 5149.0),))  # fmt: skip
AIR = Feature("O2 5200", "O2", "telluric", 5200.0, (5200.0, 5205.0), (5200.0, 5205.0),
              ((5190.0, 5199.0),))  # fmt: skip


def gaussian(depth, sigma, rv=0.0, centre=5100.0):
    place = centre * (1 + rv / C)
    width = sigma / C * centre
    return 1 - depth * np.exp(-0.5 * ((WAVELENGTH - place) / width) ** 2)


def only(feature, flux, rv=0.0, valid=VALID):
    found = Gauge([feature], WAVELENGTH, valid).measure(flux, rv)
    return float(found.depth[0]), float(found.ew[0]), float(found.width[0])


@pytest.mark.parametrize("sigma", [4.0, 6.0, 8.0])
def test_a_gaussian_line(sigma):
    depth, ew, width = only(IRON, gaussian(0.4, sigma))
    core = 6.0 / sigma / np.sqrt(2)
    assert depth == pytest.approx(0.4 * erf(core) * np.sqrt(np.pi) / 2 / core, abs=0.003)
    reach = 25.0 / sigma / np.sqrt(2)
    area = 0.4 * sigma / C * 5100 * np.sqrt(2 * np.pi) * erf(reach)
    assert ew == pytest.approx(area, rel=0.02)
    assert width == pytest.approx(ew / depth)


@pytest.mark.parametrize("rv", [-180.3, -0.7, 33.3])
def test_a_moving_star_measures_the_same_where_it_is(rv):
    still, moved = only(IRON, gaussian(0.4, 6.0)), only(IRON, gaussian(0.4, 6.0, rv=rv), rv)
    assert moved == pytest.approx(still, rel=0.003)


def test_the_level_and_the_slope_of_the_continuum_do_not_count():
    flux = gaussian(0.4, 6.0)
    tilted = 1000 * flux * (1 + 20 * (WAVELENGTH / 5100 - 1))
    assert only(IRON, tilted)[0] == pytest.approx(only(IRON, flux)[0], abs=0.002)


def test_a_line_in_emission_has_a_negative_depth_and_no_width():
    depth, ew, width = only(IRON, gaussian(-0.3, 6.0))
    assert depth < -0.2
    assert ew < 0
    assert np.isnan(width)


def test_a_gap_in_any_window_leaves_the_line_out():
    for place in (5100.0, 5101.5, 5098.5):
        valid = np.abs(WAVELENGTH - place) > 0.2
        assert np.isnan(only(IRON, gaussian(0.4, 6.0), valid=valid)).all()
    assert not np.isnan(only(IRON, gaussian(0.4, 6.0), valid=WAVELENGTH < 5150)).any()


def test_lines_beyond_the_spectrum_are_left_out():
    assert np.isnan(only(line("Fe I", 4999.0), np.ones(len(WAVELENGTH)))).all()


def test_a_spectrum_without_light_has_no_depth():
    assert np.isnan(only(IRON, np.zeros(len(WAVELENGTH)))).all()


def test_a_band_is_read_against_its_blue_side():
    flux = np.where(WAVELENGTH > 5150, 0.7, 1.0)
    depth, ew, _ = only(BAND, flux)
    assert depth == pytest.approx(0.3, abs=0.01)
    assert ew == pytest.approx(3.0, abs=0.1)


def test_the_air_stays_while_the_star_moves():
    flux = np.where((WAVELENGTH > 5200) & (WAVELENGTH < 5205), 0.5, 1.0)
    assert only(AIR, flux, rv=0.0) == only(AIR, flux, rv=300.0)
    assert only(AIR, flux)[0] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("power", [-2.0, 0.0, 1.5])
def test_the_slope_of_a_power_law(power):
    flux = WAVELENGTH**power
    found = slope(flux, np.ones(len(flux)), WAVELENGTH, VALID)
    assert found.value == pytest.approx(power, abs=1e-5)
    assert found.error < 1e-4


def test_the_slope_does_not_see_shifted_lines():
    base = gaussian(0.5, 6.0)
    found = slope(gaussian(0.5, 6.0, rv=5.0), base, WAVELENGTH, VALID)
    assert abs(found.value) < 1e-3


def test_the_slope_of_darkness_is_not_known():
    dark = np.zeros(len(WAVELENGTH))
    assert np.isnan(slope(dark, dark, WAVELENGTH, VALID).value)


def test_the_colour_is_larger_when_redder():
    wavelength = np.linspace(3800.0, 6900.0, 4000)
    valid = np.ones(4000, bool)
    step = np.where(wavelength < 4900, 1.0, 2.0)
    assert colour(step, wavelength, valid) == pytest.approx(2.5 * np.log10(2))
    assert colour(3 * step, wavelength, valid) == pytest.approx(2.5 * np.log10(2))
    assert colour(1 / step, wavelength, valid) == pytest.approx(-2.5 * np.log10(2))


def test_the_colour_needs_both_boxes():
    wavelength = np.linspace(3800.0, 6900.0, 4000)
    valid = np.ones(4000, bool)
    flux = np.ones(4000)
    assert np.isnan(colour(flux, wavelength, (wavelength < 5100) | (wavelength > 5700)))
    assert np.isnan(colour(flux[1000:], wavelength[1000:], valid[1000:]))
    assert np.isnan(colour(-flux, wavelength, valid))
