import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.simulation.lines import LineList, atomic_lines, band_template, molecular_lines
from latentscope.simulation.population import FIRST, LAST, Night, Star, observe
from latentscope.simulation.synthesis import (
    FAINT,
    LOG_STEP,
    PIXEL_VELOCITY,
    PIXELS,
    Lines,
    LineStrengths,
    MolecularBands,
    Nodes,
    Shift,
    Synthesizer,
    abundance_offsets,
    add_balmer,
    band_strength,
    convolved,
    residual_flux,
    rotation_kernel,
    shifted,
)
from tests.simulation import oracle

CPU = torch.device("cpu")
STARS, NIGHTS = zip(*oracle.STARS.values(), strict=True)
TOLERANCE = 5e-6
"""Of the continuum: rounding of float32 in the broadening and its Fourier transform."""


@pytest.fixture(scope="module")
def iron():
    """A synthesizer with one line, Fe I 6173.34."""
    return Synthesizer(oracle.line_list())


@pytest.fixture(scope="module")
def synthesizer():
    """A synthesizer with a short line list."""
    return Synthesizer(oracle.few_lines())


def width_at(synthesizer, star, center=6173.334):
    """Equivalent width in Angstrom within 1 Angstrom of a line."""
    wavelength = synthesizer.wavelength
    near = abs(wavelength / center - 1) < 1 / center
    flux = synthesizer.lines_at([star])[0].numpy()
    return float(np.sum((1 - flux[near]) * wavelength[near] * LOG_STEP))


def depths(lines, *stars):
    return Lines(lines, CPU).strengths(stars).depth[:, 0].numpy()


def assert_equal_spectra(lines, names=tuple(oracle.STARS)):
    stars, nights = zip(*(oracle.STARS[name] for name in names), strict=True)
    ours = Synthesizer(lines).spectra(stars, nights).numpy()
    assert ours.dtype == np.float32
    for name, row, star, night in zip(names, ours, stars, nights, strict=True):
        difference = (row - oracle.spectrum(lines, star, night)) / oracle.continuum(star)
        assert np.abs(difference).max() < TOLERANCE, name


def test_spectra_are_the_oracles():
    assert_equal_spectra(oracle.few_lines())


@pytest.mark.slow
def test_spectra_are_the_oracles_with_all_lines():
    # Eight seconds per star; the others differ in what few lines show.
    assert_equal_spectra(atomic_lines() + molecular_lines(), ("cool dwarf",))


def test_observations_are_spectra_through_the_response(synthesizer):
    observations = [observe(index, index, 3) for index in range(3)]
    flux = synthesizer.flux(observations).numpy()
    for row, o in zip(flux, observations, strict=True):
        expected = oracle.spectrum(synthesizer.lines, o.star, o.night)
        expected *= oracle.at_nodes(o.response)
        assert np.abs(row - expected).max() < TOLERANCE * expected.max()


def test_every_line_has_the_oracles_strength():
    lines = oracle.few_lines()
    strengths = Lines(lines, CPU).strengths(STARS)
    for row, star in enumerate(STARS):
        depth, width, damping = oracle.optical_depths(lines, star)
        assert np.allclose(strengths.depth[row], depth, rtol=1e-9, atol=0)
        assert np.allclose(strengths.width[row] * PIXEL_VELOCITY, width, rtol=1e-12)
        atoms = lines.z < 100
        assert np.allclose(strengths.damping[row], damping[atoms], rtol=1e-12)


def drawn(wavelength, depth, width, damping, shift):
    """Optical depth of one star's lines, by the code and by the oracle."""
    pixels = 5000
    wavelength, depth, width = (np.array(v, np.float64) for v in (wavelength, depth, width))
    ions = np.full(len(depth), 26, "i4")
    order = np.zeros(len(depth))
    lines = LineList("drawn", wavelength, ions, 0 * ions, order, order)
    strengths = LineStrengths(
        *map(torch.from_numpy, (depth[None], width[None], np.array([[damping]])))
    )
    atoms = Lines(lines, CPU, pixels)
    ours = atoms.optical_depth(strengths, Shift(np.array([shift]), CPU))[0].numpy()
    center = np.log(wavelength / FIRST) / LOG_STEP + shift
    return ours, oracle.line_depth(pixels, center, depth, width, np.full(len(depth), damping))


@given(
    st.lists(
        st.tuples(st.floats(FIRST - 60, FIRST + 100), st.floats(-4, 4), st.floats(1, 8)),
        min_size=1, max_size=12,
    ),
    st.floats(1e-3, 0.5),
    st.floats(-180, 180),
)  # fmt: skip
@settings(max_examples=40)
def test_profiles_are_the_oracles(lines, damping, shift):
    wavelength, log_depth, width = zip(*lines, strict=True)
    ours, theirs = drawn(wavelength, [10**value for value in log_depth], width, damping, shift)
    assert np.allclose(ours, theirs, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("velocity", [-400.0, 0.0, 55.5])
def test_balmer_lines_are_the_oracles(velocity):
    factor = np.exp([velocity / 299792.458, 1e-4])
    strength = np.array([3.0, 0.2])
    ours = torch.zeros(2, PIXELS)
    add_balmer(ours, torch.from_numpy(strength).float(), np.log(factor))
    for row in range(2):
        theirs = oracle.balmer_depth(strength[row], factor[row])
        assert np.allclose(ours[row], theirs, rtol=2e-5, atol=1e-5)


def test_bands_are_the_oracles_with_each_stars_own_pattern():
    stars = [Star(3100.0, 4.9, pattern=12), Star(3900.0, 4.7, pattern=13), Star(3300), Star(5000.0)]
    ours = MolecularBands(oracle.WAVELENGTH, CPU).optical_depth(stars, Shift(np.zeros(4), CPU))
    lines = band_template(oracle.WAVELENGTH)
    for row, star in zip(ours[:3], stars, strict=False):
        tio = oracle.titanium_oxide(oracle.WAVELENGTH, lines, star.pattern)
        assert np.allclose(row[1:], (band_strength(star) * tio)[1:], rtol=1e-5, atol=1e-6)
    assert not ours[3].any()


@given(st.lists(st.floats(-299, 299), min_size=1, max_size=4))
def test_shifts_are_the_oracles(shifts):
    template = np.random.default_rng(1).uniform(0.5, 2.0, 300).astype("f4")
    rows = torch.from_numpy(template).expand(len(shifts), -1)
    ours = shifted(rows, Shift(np.array(shifts), CPU))
    for row, shift in zip(ours, shifts, strict=True):
        assert np.allclose(row, oracle.moved(template, shift), atol=2e-6)


@pytest.mark.parametrize(("nodes", "pixels"), [(2, 50), (5, 5), (513, 7001)])
def test_curves_through_nodes_are_the_oracles(nodes, pixels):
    values = np.random.default_rng(2).normal(size=(3, nodes))
    for row, line in zip(Nodes(nodes, pixels, CPU).curve(values), values, strict=True):
        assert np.allclose(row, oracle.at_nodes(line, pixels), atol=1e-6)


@given(st.lists(st.floats(0.0, 250.0), min_size=1, max_size=4), st.integers(0, 2**31))
@settings(max_examples=30)
def test_convolution_is_the_oracles(rotations, seed):
    """Slow and fast rotators together: the direct sum and the Fourier transform."""
    values = np.random.default_rng(seed).uniform(0.1, 1.0, (len(rotations), 3000)).astype("f4")
    kernels = [rotation_kernel(vsini, 1.6) for vsini in rotations]
    ours = convolved(torch.from_numpy(values), kernels)
    for row, line, kernel in zip(ours, values, kernels, strict=True):
        assert np.allclose(row, oracle.convolved(line, kernel), atol=2e-6)


# What does not depend on company.


def test_a_star_is_the_same_alone_and_among_others(synthesizer):
    together = synthesizer.spectra(STARS, NIGHTS)
    for row in range(len(STARS)):
        alone = synthesizer.spectra(STARS[row : row + 1], NIGHTS[row : row + 1])
        assert torch.equal(alone[0], together[row])


def test_the_order_of_lines_changes_no_bit():
    rng = np.random.default_rng(0)
    wavelength = rng.uniform(FIRST, FIRST + 20, 300)
    depth, width = 10 ** rng.uniform(-2, 3, 300), rng.uniform(1, 5, 300)
    order = rng.permutation(300)
    one = drawn(wavelength, depth, width, 0.1, 7.3)[0]
    other = drawn(wavelength[order], depth[order], width[order], 0.1, 7.3)[0]
    assert np.array_equal(one, other)


# Against closed forms.


def test_the_calibration_line_has_its_optical_depth():
    assert depths(oracle.line_list(), Star(5772.0, 4.44, 0.0)) == pytest.approx(2.2)


def test_a_single_line_has_its_depth_at_its_centre_and_its_doppler_width():
    wavelength = FIRST * np.exp(LOG_STEP * 2000)  # on a pixel
    ours, _ = drawn([wavelength], [0.5], [4.0], 0.0, 0.0)
    assert ours[2000] == pytest.approx(0.5, abs=1e-6)
    assert ours[2004] == pytest.approx(0.5 / np.e, abs=1e-6)
    assert np.flatnonzero(ours).tolist() == list(range(1989, 2012))  # sqrt(ln 2500) widths


def test_faint_lines_are_left_out():
    wavelength = FIRST * np.exp(LOG_STEP * 2000)
    for depth, pixels in ((FAINT * 0.999, 0), (FAINT * 1.001, 13)):
        ours, _ = drawn([wavelength], [depth], [4.0], 0.0, 0.0)
        assert np.count_nonzero(ours) == pixels


def test_balmer_lines_beyond_the_grid_add_nothing():
    tau = torch.zeros(1, PIXELS)
    add_balmer(tau, torch.ones(1), np.array([np.log(2 * LAST / FIRST)]))
    assert not tau.any()


def test_a_whole_shift_moves_pixels_and_half_a_pixel_averages_two():
    ramp = torch.arange(10.0)[None]
    assert shifted(ramp, Shift(np.array([3.0]), CPU))[0, 4:].tolist() == list(range(1, 7))
    assert shifted(ramp, Shift(np.array([-3.0]), CPU))[0, :7].tolist() == list(range(3, 10))
    half = shifted(ramp, Shift(np.array([0.5]), CPU))[0, 1:].tolist()
    assert half == [k - 0.5 for k in range(1, 10)]


@pytest.mark.parametrize("vsini", [0.0, 30.0, 200.0])
def test_a_constant_stays_and_the_sum_of_a_line_too(vsini):
    kernel = rotation_kernel(vsini, 1.6)
    assert kernel[0] + 2 * kernel[1:].sum() == pytest.approx(1.0, abs=1e-5)
    flat = convolved(torch.full((1, 2000), 0.7), [kernel])
    assert torch.allclose(flat, torch.tensor(0.7), atol=1e-5)
    line = torch.zeros(1, 2000)
    line[0, 1000] = 1.0
    assert convolved(line, [kernel]).sum() == pytest.approx(1.0, abs=1e-5)


def test_rotation_keeps_the_equivalent_width_and_widens_the_line():
    line = torch.ones(1, 4001)
    line[0, 1990:2011] = 0.3
    wide = convolved(line, [rotation_kernel(20 / PIXEL_VELOCITY, 1.6)])[0].numpy()
    assert (1 - wide).sum() == pytest.approx(21 * 0.7, rel=1e-4)
    assert wide.min() > 0.6
    inside = np.flatnonzero(1 - wide > 1e-4)
    assert abs(inside - 2000).max() < 20 / PIXEL_VELOCITY + 20


def test_residual_flux_saturates():
    flux = residual_flux(torch.tensor([0.0, 1.0, 1e9]), 0.08)
    assert np.allclose(flux, [1, 0.54, 0.08])


def test_a_velocity_moves_a_line_by_the_relativistic_doppler_formula(iron):
    for rv in (-100.0, -10.0, 35.0, 120.0):
        lines = iron.lines_at([Star(5772.0, rv=rv)])[0].numpy()
        beta = rv / 299792.458
        expected = 6173.334 * np.sqrt((1 + beta) / (1 - beta))
        near = abs(iron.wavelength - expected) < 0.5
        wavelength = iron.wavelength[near]
        center = np.average(wavelength, weights=1 - lines[near] - (1 - lines[near]).min())
        assert center == pytest.approx(expected, abs=6173 * 0.05 / 299792.458)


# What stars do.


def test_lines_answer_to_temperature_and_abundance(iron):
    sun = width_at(iron, Star(5772))
    assert width_at(iron, Star(4800, 4.6)) > sun  # neutral iron grows as a star cools
    assert width_at(iron, Star(7500, 4.2)) < 0.5 * sun
    assert width_at(iron, Star(5772, metallicity=-1.5)) < 0.3 * sun
    assert width_at(iron, Star(5772, metallicity=0.3)) > sun


def test_alpha_elements_vary_by_themselves():
    rich, usual = Star(5000, alpha=0.4), Star(5000)
    magnesium, iron = (depths(oracle.line_list(z=z), rich, usual) for z in (12, 26))
    more, electrons = (depth[0] / depth[1] for depth in (magnesium, iron))
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


def test_molecular_lines_differ_from_star_to_star_and_their_heads_do_not():
    wavelength = oracle.WAVELENGTH
    bands = MolecularBands(wavelength, CPU)
    templates = bands.titanium_oxide([0, 5, 6]).numpy()
    assert np.array_equal(templates[1], bands.titanium_oxide([5])[0])
    quiet = (wavelength > 6220) & (wavelength < 6260)
    detail = [t[quiet] / t[quiet].mean() for t in templates]
    assert abs(np.corrcoef(detail) - np.eye(3)).max() < 0.1
    for template in templates:  # the strongest head, at 6158 Angstrom
        before, after = (template[abs(wavelength - w) < 20].mean() for w in (6135, 6180))
        assert after > 2 * before


def test_weak_lines_are_linear_and_strong_ones_saturate():
    def width(loggf):
        return width_at(Synthesizer(oracle.line_list(loggf=loggf)), Star(5772))

    assert width(-5.3 + np.log10(3)) == pytest.approx(3 * width(-5.3), rel=0.02)
    assert width(-1.5 + np.log10(3)) < 1.8 * width(-1.5)


def test_titanium_oxide_marks_m_stars_and_balmer_lines_hot_ones(iron):
    near_head = abs(iron.wavelength - 6170) < 8
    m, k = iron.lines_at([Star(3200, 4.8), Star(4600, 4.8)])[:, near_head].mean(1)
    assert m < k - 0.2
    hot, sun = (width_at(iron, star, 6562.79) for star in (Star(9000, 4.1), Star(5772)))
    assert hot > 1.5 * sun


def test_tellurics_stay_with_the_observer(iron):
    star = Star(5772, rv=50.0)
    nights = [Night(0.0, airmass=2.0), Night(20.0, airmass=2.0), Night(0.0, airmass=0.0)]
    still, moving, clean = iron.spectra([star] * 3, nights).numpy()
    band = abs(iron.wavelength - 6890) < 15
    a, b = 1 - still[band] / clean[band], 1 - moving[band] / clean[band]
    shifts = np.arange(-60, 61)
    best = shifts[np.argmax([np.dot(np.roll(a, s)[80:-80], b[80:-80]) for s in shifts])]
    assert best * PIXEL_VELOCITY == pytest.approx(20.0, abs=PIXEL_VELOCITY)
