"""What is said of lines, elements and the air."""

import numpy as np
import pandas as pd
import pytest

from latentscope.diagnostics.traversal.lines import by_element, noticed, noticed_elements
from latentscope.diagnostics.traversal.traverse import traverse
from latentscope.diagnostics.traversal.words import air_words, element_words, measured, percent
from tests.diagnostics.traversal.stars import LINES


def table(*rows):
    columns = ["line", "element", "kind", "depth_per_sigma", "depth_error"]
    return pd.DataFrame(rows, columns=columns)


IRON = [(f"Fe I {n}", "Fe I", "narrow", 0.05 + 0.001 * n, 0.002) for n in range(4)]


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
    lines = table(*IRON, ("x", "Na I", "narrow", 0.1, 0.0), ("y", "Na I", "narrow", -0.1, 0.0))
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
    assert air_words(table(*IRON, air)) == wanted


def test_a_dimension_of_airmass_is_told_from_the_star():
    wavelength = 6100 * np.exp(3e-5 * np.arange(4400))  # to 6960 Angstrom
    comb = np.zeros_like(wavelength)
    comb[::7] = 1.0
    comb[(wavelength < 6867) | (wavelength > 6944)] = 0.0
    star = np.ones_like(wavelength)
    for feature in LINES:
        centre = feature.wavelength * 1.08  # some lines of a star, anywhere
        star -= 0.3 * np.exp(-0.5 * ((wavelength - centre) / 0.3) ** 2)

    def decode(latents):
        return np.array([star * (1 - (0.4 + 0.2 * z[0]) * comb) for z in latents])

    result = traverse(decode, [0.0], 0, [-1, 0, 1], wavelength=wavelength, rv=0.0)
    words = result.sentences()
    assert result.verdict == "none"
    assert words[-1].startswith("Bands of the Earth's air change, in depth per sigma O2 6867 +0.0")
    assert "No line's depth changes" in words[-2]


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (22.3871, 0.0301, "+22.387 ± 0.030"),
        (-0.5, 0.2, "-0.50 ± 0.20"),
        (1234.5, 67.0, "+1234 ± 67"),
        (0.5, np.nan, "+0.5"),
    ],
)
def test_numbers_have_two_digits_of_their_error(value, error, said):
    assert measured(value, error) == said


def test_shares_have_a_digit_where_it_matters():
    assert [percent(share) for share in (0.9962, 0.843, -1e-5, np.nan)] == [
        "99.6 %", "84 %", "0 %", "an unknown part",
    ]  # fmt: skip
