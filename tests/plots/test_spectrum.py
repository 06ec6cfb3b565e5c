"""The picture of spectra: what its arrays keep, and what it says."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.errors import ChoiceError, LatentscopeWarning
from latentscope.models.reconstruction import reconstruct
from latentscope.plots import plot_spectrum
from latentscope.plots.spectrum import envelope, marked_lines, runs
from latentscope.simulation.simulate import simulate


@pytest.fixture
def seen():
    """A simulated star, alone, with errors and a hole."""
    spectrum, _ = next(simulate(1, seed=3))
    flux = np.array(spectrum.flux)
    flux[2000:2100] = np.nan
    spectrum = dataclasses.replace(
        spectrum, flux=flux, ivar=np.full(len(flux), 1e4 / np.nanmedian(flux) ** 2)
    )
    return reconstruct(spectrum, None, rv=30.0)


def both(one, fit):
    """The star with a made reconstruction."""
    return dataclasses.replace(one, reconstruction=fit, model="made")


def test_the_axis_says_what_was_done_to_the_velocity(seen):
    as_it_is = plot_spectrum(seen, plt.subplots()[1])
    assert "not corrected for the star's +30.0 km/s" in as_it_is.get_xlabel()
    at_rest = plot_spectrum(seen, plt.subplots()[1], rest=True)
    assert "at rest: +30.0 km/s taken out" in at_rest.get_xlabel()
    unknown = dataclasses.replace(seen, rv=np.nan)
    assert "unknown" in plot_spectrum(unknown, plt.subplots()[1]).get_xlabel()
    with pytest.raises(ChoiceError, match="--rv"):
        plot_spectrum(unknown, rest=True)


def test_marks_lie_on_lines_of_the_star_whatever_the_axis(seen):
    window = (6540.0, 6590.0)
    for rest, at in ((False, 6562.8 * (1 + 30 / 299792.458)), (True, 6562.8)):
        axes = plot_spectrum(seen, plt.subplots()[1], windows=[window], rest=rest)
        (top,) = axes.child_axes
        names = [text.get_text() for text in top.get_xticklabels()]
        place = top.get_xticks()[names.index("H-alpha")]
        assert place == pytest.approx(at, abs=0.03)


def test_residuals_are_in_sigmas_where_there_are_errors(seen):
    fit = seen.flux - 3 * seen.error
    figure = plot_spectrum(both(seen, fit)).figure
    below = figure.axes[1]
    assert below.get_ylabel() == "residual\n(\u03c3)"
    drawn = below.lines[0].get_ydata()
    np.testing.assert_allclose(drawn[np.isfinite(drawn)], 3, rtol=1e-3)
    # Without errors in per cent of the flux around them, whatever its level.
    sloped = dataclasses.replace(
        seen, flux=seen.flux * seen.wavelength**4, error=None, model="made",
        reconstruction=0.9 * seen.flux * seen.wavelength**4,
    )  # fmt: skip
    below = plot_spectrum(sloped).figure.axes[1]
    assert below.get_ylabel() == "residual\n(% of local flux)"
    mean = below.lines[1].get_ydata()
    np.testing.assert_allclose(mean[np.isfinite(mean)], 10, atol=3)


def test_pixels_that_were_not_used_are_marked(seen):
    hole = seen.wavelength[2050]
    axes = plot_spectrum(seen, plt.subplots()[1], windows=[(hole - 5, hole + 5)])
    marks = axes.collections[0].get_paths()[0].get_extents()
    assert marks.x0 == pytest.approx(seen.wavelength[2000], abs=0.1)
    assert marks.x1 == pytest.approx(seen.wavelength[2099], abs=0.1)


def test_what_cannot_be_drawn_together_is_refused_and_an_empty_window_left_out(seen):
    with pytest.raises(ChoiceError, match="medium or frame"):
        plot_spectrum([seen, dataclasses.replace(seen, medium="vacuum")])
    with pytest.raises(ChoiceError, match="9 spectra"):
        plot_spectrum([seen] * 9)
    with pytest.warns(LatentscopeWarning, match="100-200 Å is left out"):
        figure = plot_spectrum(seen, windows=[(100, 200), (5160, 5190)]).figure
    assert len(figure.axes) == 2


def test_names_of_lines_do_not_cover_each_other():
    for window in ((3785.0, 6910.0), (4000.0, 4100.0), (5160.0, 5190.0)):
        named = [at for name, at in marked_lines("air", window) if name]
        assert named
        assert (np.diff(named) >= 0.0149 * (window[1] - window[0])).all()


@settings(max_examples=60)
@given(
    n=st.integers(50, 20_000),
    bins=st.integers(5, 300),
    part=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 1000),
)
def test_no_core_and_no_peak_is_lost_at_any_zoom(n, bins, part, seed):
    rng = np.random.default_rng(seed)
    wavelength = 3800 * np.exp(np.linspace(0, 0.6, n))
    flux = rng.normal(1, 0.01, (2, n)).astype(np.float32)
    flux[0, rng.integers(n, size=5)] = -3.0
    flux[1, rng.integers(n, size=5)] = 9.0
    flux[:, rng.integers(n, size=n // 10)] = np.nan
    first, last = np.sort(wavelength[0] + np.array(part) * np.ptp(wavelength))
    last = max(last, first + 1e-3)
    x, y = envelope(wavelength, flux, first, last, bins)
    assert x.shape == y[0].shape
    assert (np.diff(x) > 0).all()
    assert x.size <= 4 * bins + 2
    seen = (wavelength >= first) & (wavelength <= last)
    width = 2 * (last - first) / bins
    for row, drawn in zip(flux, y, strict=True):
        for value, at in zip(row[seen], wavelength[seen], strict=True):
            if value in (np.float32(-3), np.float32(9)):
                # There, and nowhere else: within two bins of where it is.
                assert (drawn[np.abs(x - at) <= width] == value).any()
        assert set(drawn[np.isfinite(drawn)]) <= set(row)


def test_zoomed_in_the_pixels_are_given_as_they_are():
    wavelength = np.linspace(5000.0, 5010.0, 1001)
    flux = np.sin(wavelength)[None].astype(np.float32)
    x, y = envelope(wavelength, flux, 5002.0, 5003.0, 300)
    part = (wavelength >= 5002) & (wavelength <= 5003)
    assert set(wavelength[part]) <= set(x)
    np.testing.assert_array_equal(y[0], flux[0][np.searchsorted(wavelength, x)])


@given(st.lists(st.booleans(), min_size=1))
def test_runs_give_the_mask_back(mask):
    found = np.zeros(len(mask), dtype=bool)
    for first, last in runs(np.array(mask)):
        assert not found[first : last + 1].any()
        found[first : last + 1] = True
    np.testing.assert_array_equal(found, mask)


def test_a_long_name_leaves_room_for_the_panels(seen):
    long = dataclasses.replace(
        seen, provenance=seen.provenance | {"object": "a name that no picture holds " * 5}
    )
    axes = plot_spectrum(long, windows=[(5160.0, 5190.0)])
    axes.figure.canvas.draw()
    assert "\u2026" in axes.get_title(loc="left")
    assert axes.get_window_extent().width > 0.7 * axes.figure.bbox.width
