import numpy as np
import pandas as pd
import pytest

from latentscope.plots.pairs import label_colors


def test_numbers_are_a_scale_that_outliers_do_not_stretch():
    numbers = np.append(np.linspace(0, 1, 999), 1e6)
    colors = label_colors(numbers, "Teff")
    assert colors.classes == ()
    assert colors.norm.vmax < 1.1
    rgba = colors.rgba(np.array([0.0, 1.0, np.nan]))
    assert len({tuple(row) for row in rgba}) == 3


@pytest.mark.parametrize(
    "types", [["K V", "K III", "G V", "M V", "A V"], ["G2", "K0III", "F8V", "M3.5", "sdB?"]]
)
def test_spectral_types_become_their_first_letter_from_hot_to_cool(types):
    rows = types[:-1] * 6 + types[-1:]
    colors = label_colors(rows, "spec_type")
    letters = [one for one in colors.classes if one != "other"]
    assert letters == sorted({one[0] for one in rows if one[0] in "OBAFGKM"}, key="OBAFGKM".index)
    assert colors.name == "spectral type"
    assert sum(colors.counts) == len(rows)


def test_words_that_begin_like_spectral_types_stay_words():
    colors = label_colors(["Giant", "Main", "Binary", "Faint"] * 4, "kind")
    assert colors.classes == ("Binary", "Faint", "Giant", "Main")
    assert colors.name == "kind"


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([True, False, True], ("False", "True")),
        ([2, 10, 1, 1, 2, 10], ("1", "2", "10")),
        (["b", "a", None, "", "b"], ("a", "b")),
    ],
)
def test_few_values_are_classes_in_their_order(values, classes):
    colors = label_colors(values)
    assert colors.classes == classes
    assert len(set(colors.palette)) == len(classes)


def test_missing_rows_have_no_class():
    colors = label_colors(pd.Series(["a", None, np.nan, " ", "b"]))
    np.testing.assert_array_equal(np.isnan(colors.values), [False, True, True, True, False])
    assert label_colors([1.5, np.nan, 2.5]).classes == ()


def test_of_many_classes_the_rare_ones_are_other():
    words = [f"class-{i:02d}" for i in range(20) for _ in range(20 - i)]
    colors = label_colors(words)
    assert len(colors.classes) == len(colors.palette) == 9
    assert colors.classes[0] == "class-00"
    assert colors.classes[-1] == "other"
    assert sum(colors.counts) == len(words)
