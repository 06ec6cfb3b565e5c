import numpy as np
import pandas as pd
import pytest

from latentscope.diagnostics.robustness.classes import read_classes
from latentscope.errors import ChoiceError


def names(values, column="x"):
    classes = read_classes(pd.DataFrame({column: values}), column)
    return [None if code < 0 else classes.names[code] for code in classes.codes]


def test_spectral_types_go_by_their_letter():
    assert names(["G2V", "K V", "M3.5", "G", None, " ", "F5 IV-V"]) == [
        "G", "K", "M", "G", None, None, "F",
    ]  # fmt: skip


def test_other_text_stays_whole():
    assert names(["Binary", "Ketchup", "Gamma", "Binary"]) == [
        "Binary", "Ketchup", "Gamma", "Binary",
    ]  # fmt: skip


def test_numbers_get_five_bins_of_equal_width():
    values = np.append(np.linspace(3000, 8000, 1001), [np.nan, 90000.0])
    classes = read_classes(pd.DataFrame({"Teff": values}), None)
    assert classes.name == "Teff"
    assert classes.codes[-2] == -1
    assert classes.codes[-1] == 4
    assert np.bincount(classes.codes[:-2]) == pytest.approx(200, rel=0.08)


def test_few_numbers_are_classes():
    assert set(names([1.0, 2.0] * 30)) == {"1", "2"}


def test_the_usual_columns_come_first():
    frame = pd.DataFrame({"Teff": np.arange(60.0), "spec_type": ["G", "K"] * 30})
    assert read_classes(frame, None).name == "spec_type"
    assert read_classes(frame[["Teff"]], None).name == "Teff"
    assert read_classes(frame.rename(columns=str.upper), None) is None
    with pytest.raises(ChoiceError, match="no label nosuch"):
        read_classes(frame, "nosuch")


def test_equal_numbers_of_each_class_but_rare_ones():
    text = ["A"] * 30 + ["F"] * 400 + ["G"] * 500 + ["O"] * 5 + [None] * 65
    classes = read_classes(pd.DataFrame({"spec_type": text}), None)
    rows = classes.equal_rows(np.arange(1000), np.random.default_rng(0))
    assert pd.Series(text)[rows].value_counts().to_dict() == {"A": 30, "F": 30, "G": 30}
    note = classes.note(np.arange(1000))
    assert note == "stars by spec_type: A 30, F 400, G 500, O 5 (left out)"
    assert len(classes.equal_rows(np.arange(30), np.random.default_rng(0))) == 0
