import numpy as np
import pytest

from latentscope.simulation.bands import band_templates, titanium_oxide
from latentscope.simulation.broadening import convolve_symmetric, rotation_kernel
from latentscope.simulation.linelist import LineList
from latentscope.simulation.synthesis import (
    LOG_STEP,
    PIXEL_VELOCITY,
    Night,
    Star,
    Synthesizer,
    abundance_offsets,
    interpolate_nodes,
    residual_flux,
)


def one_line(wavelength=6173.334, excitation=2.221, loggf=-2.88, z=26, ion=0):
    return LineList(
        "one", np.array([wavelength]), np.array([z], "i4"), np.array([ion], "i4"),
        np.array([excitation]), np.array([loggf]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def synthesizer():
    return Synthesizer(one_line())


def width_at(synthesizer, star, centre=6173.334):
    """Equivalent width in Angstrom within 1 Angstrom of a line."""
    wavelength = synthesizer.wavelength
    near = abs(wavelength / centre - 1) < 1 / centre
    return float(np.sum((1 - synthesizer.lines_at(star)[near]) * wavelength[near] * LOG_STEP))


def test_the_calibration_line_has_its_optical_depth(synthesizer):
    depth, _, _ = synthesizer.optical_depths(Star(5772.0, 4.44, 0.0))
    assert depth[0] == pytest.approx(2.2)


def test_a_velocity_moves_a_line_by_the_relativistic_doppler_formula(synthesizer):
    for rv in (-100.0, -10.0, 35.0, 120.0):
        lines = synthesizer.lines_at(Star(5772.0, rv=rv))
        beta = rv / 299792.458
        expected = 6173.334 * np.sqrt((1 + beta) / (1 - beta))
        near = abs(synthesizer.wavelength - expected) < 0.5
        wavelength = synthesizer.wavelength[near]
        centre = np.average(wavelength, weights=1 - lines[near] - (1 - lines[near]).min())
        assert centre == pytest.approx(expected, abs=6173 * 0.05 / 299792.458)


def test_lines_answer_to_temperature_and_abundance(synthesizer):
    sun = width_at(synthesizer, Star(5772))
    assert width_at(synthesizer, Star(4800, 4.6)) > sun  # neutral iron grows as a star cools
    assert width_at(synthesizer, Star(7500, 4.2)) < 0.5 * sun
    assert width_at(synthesizer, Star(5772, metallicity=-1.5)) < 0.3 * sun
    assert width_at(synthesizer, Star(5772, metallicity=0.3)) > sun


def test_alpha_elements_vary_by_themselves(synthesizer):
    magnesium, iron = Synthesizer(one_line(z=12)), synthesizer
    rich, usual = Star(5000, alpha=0.4), Star(5000)
    more = magnesium.optical_depths(rich)[0] / magnesium.optical_depths(usual)[0]
    electrons = iron.optical_depths(rich)[0] / iron.optical_depths(usual)[0]
    assert more / electrons == pytest.approx(10**0.4, rel=0.1)
    assert 0.8 < electrons < 1  # magnesium gives electrons, and they the opacity of H-


def test_the_scatter_of_abundances_is_the_stated_one():
    z = np.arange(1, 80)
    patterns = range(1, 401)
    offsets = np.array(
        [abundance_offsets(Star(5000, metallicity=-1, pattern=p), z) for p in patterns]
    )
    assert offsets.mean() == pytest.approx(-1, abs=0.005)
    assert offsets.std() == pytest.approx(0.05, rel=0.03)
    correlations = np.corrcoef(offsets.T) - np.eye(len(z))
    assert abs(correlations).max() < 0.3
    assert (abundance_offsets(Star(5000), z) == 0).all()


def test_molecular_lines_differ_from_star_to_star_and_their_heads_do_not(synthesizer):
    wavelength = synthesizer.wavelength
    lines, _ = band_templates(wavelength)
    mean, one, other = (titanium_oxide(wavelength, lines, p) for p in (0, 5, 6))
    assert np.array_equal(one, titanium_oxide(wavelength, lines, 5))
    quiet = (wavelength > 6220) & (wavelength < 6260)
    detail = [t[quiet] / t[quiet].mean() for t in (mean, one, other)]
    assert abs(np.corrcoef(detail) - np.eye(3)).max() < 0.1
    for template in (mean, one, other):  # the strongest head, at 6158 Angstrom
        before, after = (template[abs(wavelength - w) < 20].mean() for w in (6135, 6180))
        assert after > 2 * before


def test_weak_lines_are_linear_and_strong_ones_saturate():
    weak, triple = (Synthesizer(one_line(loggf=v)) for v in (-5.3, -5.3 + np.log10(3)))
    assert width_at(triple, Star(5772)) == pytest.approx(3 * width_at(weak, Star(5772)), rel=0.02)
    strong, stronger = (Synthesizer(one_line(loggf=v)) for v in (-1.5, -1.5 + np.log10(3)))
    assert width_at(stronger, Star(5772)) < 1.8 * width_at(strong, Star(5772))


def test_titanium_oxide_marks_m_stars_and_balmer_lines_hot_ones(synthesizer):
    near_head = abs(synthesizer.wavelength - 6170) < 8
    m, k = (synthesizer.lines_at(Star(t, 4.8))[near_head].mean() for t in (3200, 4600))
    assert m < k - 0.2
    assert width_at(synthesizer, Star(9000, 4.1), 6562.79) > 1.5 * width_at(
        synthesizer, Star(5772), 6562.79
    )


def test_rotation_keeps_the_equivalent_width_and_widens_the_line():
    kernel = rotation_kernel(20 / PIXEL_VELOCITY, 1.6)
    assert kernel[0] + 2 * kernel[1:].sum() == pytest.approx(1.0, abs=1e-5)
    line = np.ones(4001, np.float32)
    line[1990:2011] = 0.3
    wide = convolve_symmetric(line, kernel)
    assert (1 - wide).sum() == pytest.approx((1 - line).sum(), rel=1e-4)
    assert wide.min() > 0.6
    inside = np.flatnonzero(1 - wide > 1e-4)
    assert abs(inside - 2000).max() < 20 / PIXEL_VELOCITY + 20


def test_convolution_equals_the_direct_sum():
    rng = np.random.default_rng(0)
    values = rng.normal(size=5000).astype(np.float32)
    half = np.array([0.4, 0.2, 0.1], np.float32)
    whole = np.concatenate([half[:0:-1], half])
    expected = np.convolve(np.pad(values, 2, mode="edge"), whole, "valid")
    assert np.allclose(convolve_symmetric(values, half), expected, atol=1e-6)


def test_tellurics_stay_with_the_observer(synthesizer):
    star = Star(5772, rv=50.0)
    still, moving = (synthesizer.spectrum(star, Night(berv=b, airmass=2.0)) for b in (0.0, 20.0))
    clean = synthesizer.spectrum(star, Night(berv=0.0, airmass=0.0))
    band = abs(synthesizer.wavelength - 6890) < 15
    a, b = 1 - still[band] / clean[band], 1 - moving[band] / clean[band]
    shifts = np.arange(-60, 61)
    best = shifts[np.argmax([np.dot(np.roll(a, s)[80:-80], b[80:-80]) for s in shifts])]
    assert best * PIXEL_VELOCITY == pytest.approx(20.0, abs=PIXEL_VELOCITY)


def test_residual_flux_and_nodes():
    assert np.allclose(residual_flux(np.array([0.0, 1.0, 1e9], np.float32)), [1, 0.54, 0.08])
    assert np.allclose(interpolate_nodes(np.array([0.0, 1.0, 4.0]), 5), [0, 0.5, 1, 2.5, 4])
