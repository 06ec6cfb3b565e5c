"""Traversals of decoders that do one known thing, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from latentscope.diagnostics.traversal.lines import (
    air_words,
    by_element,
    element_words,
    measured,
    noticed,
    noticed_elements,
    percent,
)
from latentscope.diagnostics.traversal.traverse import Base, measure_traversal
from latentscope.errors import ChoiceError, EstimatorError
from tests.diagnostics.traversal.stars import LINES, RATE, Decoder, log_grid, star

WAVELENGTH = log_grid()
VALUES = [-2.0, -0.7, 0.0, 0.9, 1.5]
RV, IRON, SLOPE, DEAD = range(4)


def walked(decode, base, dim, values, *, unit=1.0, progress=None, **options):
    decoded = Base(decode, base, **options)
    return measure_traversal(decoded, dim, values, unit=unit, progress=progress)


def moved(dim, values=VALUES, base=(0.0, 0.0, 0.0, 0.0), sign=1.0, **options):
    decode = Decoder(WAVELENGTH, sign)
    return walked(decode, base, dim, values, wavelength=WAVELENGTH, **options)


@pytest.fixture(scope="module")
def along_rv():
    return moved(RV)


@pytest.fixture(scope="module")
def along_iron():
    return moved(IRON, unit=2.0)


def test_a_doppler_dimension_has_its_rate_and_sign(along_rv):
    assert along_rv.verdict == "shift"
    assert along_rv.rv_per_unit.value == pytest.approx(RATE, rel=0.002)
    assert along_rv.rv_per_unit.error < 0.05
    np.testing.assert_allclose(along_rv.table["rv_kms"], RATE * np.array(VALUES), atol=0.05)
    assert along_rv.shift_explained > 0.98


def test_the_other_sign():
    result = moved(RV, values=[-1.0, 1.0], sign=-1.0)
    assert result.rv_per_unit.value == pytest.approx(-RATE, rel=0.002)


def test_a_shift_is_not_told_as_changes_of_lines_or_continuum(along_rv):
    assert along_rv.lines["depth_per_sigma"].abs().max() < 0.005
    assert abs(along_rv.slope_per_unit.value) < 1e-3
    words = along_rv.sentences()
    assert words[0].startswith("dim 0 is a Doppler shift: +20.0")
    assert "receding positive" in words[0]
    assert "No line's depth changes by 0.005 per sigma or more." in words


def test_deeper_iron_lines_are_found_and_are_no_shift(along_iron):
    assert along_iron.verdict == "none"
    assert abs(along_iron.rv_per_unit.value) < 0.02
    assert abs(along_iron.shift_explained) < 0.01
    lines = along_iron.lines.dropna(subset=["depth_per_sigma"])
    iron = lines["element"] == "Fe I"
    alone = lines[iron & (lines["depth"] > 0.25) & (lines["depth"] < 0.3)]
    assert len(alone) > 15
    # Depth 0.05 a unit in the line's center, two units a sigma; less over the core of a Gaussian.
    assert alone["depth_per_sigma"].median() == pytest.approx(0.1, rel=0.06)
    assert alone["width_per_sigma"].abs().median() < 0.02
    others = lines[~iron & lines["kind"].isin(["narrow", "strong"])]
    assert others["depth_per_sigma"].abs().median() < 0.002


def test_iron_is_named(along_iron):
    words = " ".join(along_iron.sentences())
    assert "not a Doppler shift" in words
    assert "By element: Fe I depth +" in words
    assert "Fe I" in words.split("in depth per sigma:")[1].split(",")[0]


def test_iron_depth_is_measured_where_the_star_is(along_iron):
    receding = moved(IRON, base=(3.0, 0.0, 0.0, 0.0), unit=2.0)
    assert receding.base_rv == pytest.approx(60.0, abs=0.3)
    one, two = (r.lines.set_index("line")["depth_per_sigma"] for r in (along_iron, receding))
    both = one.notna() & two.notna() & (along_iron.lines["element"] == "Fe I").to_numpy()
    np.testing.assert_allclose(one[both], two[both], atol=0.01)


def test_a_given_velocity_of_the_base_is_used():
    assert moved(IRON, values=[-1, 1], rv=12.5).base_rv == 12.5
    assert moved(IRON, values=[-1, 1], rv=12.5).provenance["base_rv_from"] == "given"


def test_the_slope_of_the_continuum_is_a_slope_alone():
    result = moved(SLOPE)
    assert result.verdict == "none"
    assert result.slope_per_unit.value == pytest.approx(0.5, abs=0.002)
    assert result.lines["depth_per_sigma"].abs().max() < 0.003
    assert np.isnan(result.color_per_unit.value)  # the B box is not covered
    assert any("slope +0.5" in line for line in result.sentences())


def test_a_color_that_changes_is_said_with_its_direction():
    wavelength = np.exp(np.linspace(np.log(3800), np.log(6900), 8000))

    def decode(latents):
        return np.array([star(wavelength, slope=-z[0]) for z in latents])

    result = walked(decode, [0.0], 0, [-1, 0, 1], wavelength=wavelength)
    # Means of boxes, so only near the power law's value between their centers.
    expected = -2.5 * np.log10(5450 / 4365)
    assert result.color_per_unit.value == pytest.approx(expected, rel=0.03)
    assert any("becomes bluer: -0.2" in line for line in result.sentences())


def test_a_dead_dimension_changes_nothing():
    result = moved(DEAD)
    assert result.verdict == "none"
    assert np.isnan(result.shift_explained)
    assert (result.table["rms"] == 0).all()
    assert "not a Doppler shift" in result.sentences()[0]


@pytest.mark.parametrize(("iron", "verdict"), [(0.005, "shift"), (0.2, "partly")])
def test_shift_and_depth_together_are_both_told(iron, verdict):
    def decode(latents):
        return np.array([star(WAVELENGTH, rv=2 * z[0], iron=iron * z[0]) for z in latents])

    result = walked(decode, [0.0], 0, [-1, -0.5, 0.5, 1], wavelength=WAVELENGTH)
    assert result.verdict == verdict
    assert result.rv_per_unit.value == pytest.approx(2.0, abs=0.05)
    assert ("explains only" in result.sentences()[0]) == (verdict == "partly")


def test_spectra_unlike_the_base_have_no_velocity():
    rng = np.random.default_rng(0)
    noise = {value: rng.normal(1, 0.2, len(WAVELENGTH)) for value in (-1.0, 1.0)}

    def decode(latents):
        return np.array([noise.get(float(z[0]), star(WAVELENGTH)) for z in latents])

    result = walked(decode, [0.0], 0, [-1, 1], wavelength=WAVELENGTH)
    assert result.verdict == "unlike"
    assert "no velocity can be given" in result.sentences()[0]


def test_lines_that_widen_keep_their_equivalent_width():
    def decode(latents):
        return np.array([star(WAVELENGTH, widening=0.1 * z[0]) for z in latents])

    lines = walked(decode, [0.0], 0, [-1, 0, 1], wavelength=WAVELENGTH).lines
    alone = lines[lines["depth"].between(0.22, 0.3)]
    assert (alone["depth_per_sigma"] < -0.01).mean() > 0.9
    assert (alone["width_per_sigma"] > 0.01).mean() > 0.9
    assert alone["ew_per_sigma"].abs().median() < 0.1 * alone["ew"].median()


def test_a_decoder_of_contrast_is_used_for_velocities():
    def contrast(latents):
        return np.array([star(WAVELENGTH, rv=5 * z[0]) - 1 for z in latents])

    result = moved(RV, contrast=contrast)
    assert result.rv_per_unit.value == pytest.approx(5.0, rel=0.01)


def test_few_spectra_are_decoded_at_once():
    decode = Decoder(WAVELENGTH)
    walked(decode, np.zeros(4), RV, VALUES, wavelength=WAVELENGTH)
    assert decode.sizes == [1, 4, 1]


def test_pixels_in_gaps_do_not_count():
    valid = np.abs(WAVELENGTH - 5269) > 20
    spoiled = np.where(valid, 0.0, 1e6)

    def decode(latents):
        return np.array([star(WAVELENGTH, rv=RATE * z[0]) + z[0] * spoiled for z in latents])

    result = walked(decode, [0.0], 0, [-1, 1], wavelength=WAVELENGTH, valid=valid)
    assert result.rv_per_unit.value == pytest.approx(RATE, rel=0.002)
    assert result.table["slope"].abs().max() < 0.01
    lines = result.lines
    inside = lines["wavelength"].between(5249, 5289)
    assert inside.sum() > 3
    assert lines.loc[inside, ["depth", "depth_per_sigma"]].isna().all(axis=None)


def test_values_come_sorted_and_progress_is_told():
    messages = []
    result = moved(
        RV, values=[1, -1, 0.5], progress=lambda done, total: messages.append((done, total))
    )
    assert list(result.table["value"]) == [-1, 0.5, 1]
    assert messages == [(1, 3), (2, 3), (3, 3)]
    assert result.flux.shape == (3, len(WAVELENGTH))
    assert result.provenance["diagnostic"] == "traversal"


def test_few_lines_give_no_velocity_of_the_base():
    result = moved(RV, values=[-1, 1], features=LINES[:5])
    assert result.base_rv == 0.0
    assert "assumed" in result.provenance["base_rv_from"]
    assert len(result.lines) == 5


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"dim": 4}, ChoiceError, "dim is 4; there are dimensions 0 to 3"),
        ({"base": [[0.0]]}, EstimatorError, "base has shape"),
        ({"base": [np.nan, 0, 0, 0]}, EstimatorError, "expected the finite latents"),
        ({"values": [1.0, 1.0]}, EstimatorError, "at least two different"),
        ({"values": [1.0, np.inf]}, EstimatorError, "at least two different"),
        ({"unit": 0.0}, EstimatorError, "a positive spread"),
        ({"rv": np.nan}, EstimatorError, "rv is nan"),
        ({"wavelength": WAVELENGTH[::-1]}, EstimatorError, "ascending"),
        ({"wavelength": WAVELENGTH[:-1]}, EstimatorError, "for 1 latents; expected"),
        ({"valid": np.zeros(len(WAVELENGTH), bool)}, EstimatorError, "0 usable pixels"),
    ],
)
def test_what_cannot_be_used_is_said(change, kind, message):
    given = {"base": np.zeros(4), "dim": 0, "values": [-1, 1], "wavelength": WAVELENGTH} | change
    with pytest.raises(kind, match=message):
        walked(Decoder(WAVELENGTH), **given)


def test_a_decoder_that_breaks_down_is_told():
    with pytest.raises(EstimatorError, match="not finite"):
        walked(
            lambda latents: np.full((len(latents), len(WAVELENGTH)), np.nan),
            [0.0], 0, [-1, 1], wavelength=WAVELENGTH,
        )  # fmt: skip


def table(*rows):
    columns = ["line", "element", "kind", "depth_per_sigma", "depth_error"]
    return pd.DataFrame(rows, columns=columns)


IRON_LINES = [(f"Fe I {n}", "Fe I", "narrow", 0.05 + 0.001 * n, 0.002) for n in range(4)]


def test_lines_below_the_limit_or_within_their_error_are_not_told():
    lines = table(
        ("a", "Fe I", "narrow", 0.004, 0.0),
        ("b", "Fe I", "narrow", -0.03, 0.02),
        ("c", "Fe I", "narrow", -0.03, 0.001),
        ("d", "Fe I", "narrow", 0.04, np.nan),
        ("e", "Fe I", "narrow", np.nan, np.nan),
    )
    assert list(noticed(lines)["line"]) == ["d", "c"]


def test_elements_are_means_with_an_error_of_how_their_lines_differ():
    lines = table(
        *IRON_LINES, ("x", "Na I", "narrow", 0.1, 0.0), ("y", "Na I", "narrow", -0.1, 0.0)
    )
    found = by_element(lines).set_index("element")
    assert found.loc["Fe I", "depth_per_sigma"] == pytest.approx(0.0515)
    assert found.loc["Fe I", "lines"] == 4
    assert found.loc["Na I", "depth_per_sigma"] == pytest.approx(0)
    assert found.loc["Na I", "error"] == pytest.approx(0.1)
    assert list(noticed_elements(lines)["element"]) == ["Fe I"]


def test_words_for_elements_are_cut_short():
    lines = table(*((f"l{n}", f"E{n}", "narrow", -0.1 + 0.001 * n, 0.0) for n in range(9)))
    words = element_words(lines)
    assert words[0] == "E0 depth -"
    assert words[-1] == "and 3 more elements"
    assert element_words(lines.iloc[:0]) == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (0.008, None),  # too small to tell
        (0.02, ("O2 6867 +0.0200 ± 0.0010", False)),  # less than half of what iron does
        (0.04, ("O2 6867 +0.0400 ± 0.0010", True)),
    ],
)
def test_the_air_is_weighed_against_the_star(change, wanted):
    air = ("O2 6867", "O2", "telluric", change, 0.001)
    assert air_words(table(*IRON_LINES, air)) == wanted


def test_a_dimension_of_airmass_is_told_from_the_star():
    wavelength = 6100 * np.exp(3e-5 * np.arange(4400))  # to 6960 Angstrom
    comb = np.zeros_like(wavelength)
    comb[::7] = 1.0
    comb[(wavelength < 6867) | (wavelength > 6944)] = 0.0
    star = np.ones_like(wavelength)
    for feature in LINES:
        center = feature.wavelength * 1.08  # some lines of a star, anywhere
        star -= 0.3 * np.exp(-0.5 * ((wavelength - center) / 0.3) ** 2)

    def decode(latents):
        return np.array([star * (1 - (0.4 + 0.2 * z[0]) * comb) for z in latents])

    result = walked(decode, [0.0], 0, [-1, 0, 1], wavelength=wavelength, rv=0.0)
    words = result.sentences()
    assert result.verdict == "none"
    assert words[-1].startswith("Bands of the Earth's air change, in depth per sigma O2 6867 +0.0")
    assert "No line's depth changes" in words[-2]


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (22.3871, 0.0301, "+22.387 ± 0.030"),
        (-0.5, 0.2, "-0.50 ± 0.20"),
        (1234.5, 67.0, "+1234 ± 67"),
        (0.5, np.nan, "+0.5"),
    ],
)
def test_numbers_have_two_digits_of_their_error(value, error, text):
    assert measured(value, error) == text


def test_shares_have_a_digit_where_it_matters():
    assert [percent(share) for share in (0.9962, 0.843, -1e-5, np.nan)] == [
        "99.6 %", "84 %", "0 %", "an unknown part",
    ]  # fmt: skip
