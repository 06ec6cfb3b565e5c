"""Lines and bands: the list, and depth, equivalent width and color against closed forms."""

import numpy as np
import pytest
from scipy.special import erf

from latentscope.diagnostics.traversal.lines import (
    SHAPES,
    Feature,
    Gauge,
    element_order,
    line,
    stellar_features,
)
from latentscope.diagnostics.traversal.traverse import color, slope
from latentscope.errors import EstimatorError
from latentscope.simulation.lines import SYMBOLS, atomic_lines
from tests.diagnostics.traversal.stars import C


def test_the_list_is_ascending_and_names_each_line_once():
    features = stellar_features()
    wavelengths = [f.wavelength for f in features]
    assert wavelengths == sorted(wavelengths)
    names = [f.name for f in features]
    assert len(set(names)) == len(names) > 150
    assert {"H-alpha", "Ca II K", "Fe I 5269.5", "TiO 6158", "O2 6867", "CH G band"} <= set(names)


def test_windows_are_in_order_and_do_not_overlap():
    for f in stellar_features():
        assert f.inside[0] <= f.core[0] < f.core[1] <= f.inside[1]
        for first, last in f.sides:
            assert first < last
            assert last < f.inside[0] or first > f.inside[1]


def test_balmer_lines_belong_to_hydrogen_and_h_and_k_to_calcium():
    of = {f.name: f for f in stellar_features()}
    assert of["H-beta"].element == "H"
    assert of["Ca II H"].element == "Ca II"
    assert of["O2 6867"].telluric
    assert not of["TiO 6158"].telluric


def test_wavelengths_are_those_of_the_simulation():
    atoms = atomic_lines()
    listed = list(zip(atoms.z.tolist(), atoms.ion.tolist(), atoms.wavelength.tolist(), strict=True))
    compared = 0
    for f in stellar_features():
        if f.kind not in SHAPES or f.element == "H":
            continue
        symbol, stage = f.element.split()
        same = [w for z, ion, w in listed if (z, ion) == (SYMBOLS[symbol], len(stage) - 1)]
        nearest = min(same, key=lambda w: abs(w - f.wavelength), default=None)
        if nearest is not None and symbol not in ("Ba", "Sr"):
            compared += 1
            assert f.wavelength == pytest.approx(nearest, abs=0.08), f.name
    assert compared > 140


def test_lines_are_named_by_element_and_wavelength():
    first = line("Fe I", 5269.537)
    assert (first.name, first.kind, first.element) == ("Fe I 5269.5", "narrow", "Fe I")
    assert first.core[1] - first.core[0] == pytest.approx(12 / 299792.458 * 5269.537)


def test_kinds_and_wavelengths_are_checked():
    with pytest.raises(EstimatorError, match="'wide'; expected one of narrow"):
        line("Fe I", 5000.0, "wide")
    with pytest.raises(EstimatorError, match="wavelength is -1"):
        line("Fe I", -1.0)


def test_elements_go_from_light_to_heavy_and_the_air_comes_last():
    names = ["TiO", "Fe II", "O2", "H", "Fe I", "Ba II", "CH"]
    assert sorted(names, key=element_order) == ["H", "Fe I", "Fe II", "Ba II", "CH", "TiO", "O2"]


WAVELENGTH = 5000 * np.exp(1.5 / C * np.arange(12000))
VALID = np.ones(len(WAVELENGTH), bool)
IRON = line("Fe I", 5100.0)
BAND = Feature("TiO 5150", "TiO", "band", 5150.0, (5150.0, 5160.0), (5150.0, 5160.0),
               ((5140.0, 5149.0),))  # fmt: skip
AIR = Feature("O2 5200", "O2", "telluric", 5200.0, (5200.0, 5205.0), (5200.0, 5205.0),
              ((5190.0, 5199.0),))  # fmt: skip


def gaussian(depth, sigma, rv=0.0, center=5100.0):
    place = center * (1 + rv / C)
    width = sigma / C * center
    return 1 - depth * np.exp(-0.5 * ((WAVELENGTH - place) / width) ** 2)


def only(feature, flux, rv=0.0, valid=VALID):
    depth, ew, width = Gauge([feature], WAVELENGTH, valid).measure(flux, rv)[:, 0]
    return float(depth), float(ew), float(width)


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


def test_the_color_is_larger_when_redder():
    wavelength = np.linspace(3800.0, 6900.0, 4000)
    valid = np.ones(4000, bool)
    step = np.where(wavelength < 4900, 1.0, 2.0)
    assert color(step, wavelength, valid) == pytest.approx(2.5 * np.log10(2))
    assert color(3 * step, wavelength, valid) == pytest.approx(2.5 * np.log10(2))
    assert color(1 / step, wavelength, valid) == pytest.approx(-2.5 * np.log10(2))


def test_the_color_needs_both_boxes():
    wavelength = np.linspace(3800.0, 6900.0, 4000)
    valid = np.ones(4000, bool)
    flux = np.ones(4000)
    assert np.isnan(color(flux, wavelength, (wavelength < 5100) | (wavelength > 5700)))
    assert np.isnan(color(flux[1000:], wavelength[1000:], valid[1000:]))
    assert np.isnan(color(-flux, wavelength, valid))
