import numpy as np
import pandas as pd
import pytest

from latentscope.diagnostics.disentanglement_measures import read_all
from latentscope.diagnostics.groups import read_groups
from latentscope.errors import EstimatorError, LatentscopeWarning

N = 1200


def read(frame, columns=None, discrete=(), ok=None, stars=None):
    groups = read_groups(np.arange(len(frame)) if stars is None else stars, len(frame))
    ok = np.ones(len(frame), dtype=bool) if ok is None else ok
    return read_all(frame, columns, list(discrete), None, ok, groups, 0)


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": [f"x{i}" for i in range(N)],
            "teff": rng.gamma(2, size=N),
            "kind": rng.choice(["a", "b", "c"], N),
        }
    )


def test_numbers_get_20_bins_of_equal_count_and_text_its_classes(frame):
    (teff, kind), notes = read(frame)
    assert np.bincount(teff.codes).tolist() == [60] * 20
    assert teff.numbers is not None
    assert (kind.classes, kind.numbers) == (3, None)
    assert "cut into bins of about equal count, where classes are wanted: teff (20)" in notes
    assert "kind: 3 classes" in notes


def test_few_stars_get_fewer_bins(frame):
    (label, _), _ = read(frame.head(300))
    assert label.classes == 6


def test_ties_stay_together(frame):
    frame["teff"] = np.round(frame["teff"])
    (label, _), _ = read(frame)
    pairs = pd.DataFrame({"value": frame["teff"], "code": label.codes}).drop_duplicates()
    assert pairs["value"].is_unique


def test_bins_count_stars_not_rows(frame):
    # The hottest half of the stars has ten spectra each.
    times = np.where(frame["teff"] > frame["teff"].median(), 10, 1)
    rows = frame.loc[np.repeat(frame.index, times)].reset_index(drop=True)
    (label,), _ = read(rows[["id", "teff"]], stars=rows["id"])
    assert np.bincount(label.codes[~rows["id"].duplicated()]).tolist() == [60] * 20
    assert (label.n_rows, label.n_stars) == (len(rows), N)


def test_missing_values_and_failed_rows_do_not_count(frame):
    frame.loc[:199, "teff"] = np.nan
    ok = np.ones(N, dtype=bool)
    ok[200:300] = False
    (label, kind), _ = read(frame, ok=ok)
    assert (label.codes[:300] == -1).all()
    assert label.n_stars == 900
    assert kind.n_stars == 1100


def test_rare_classes_are_left_out_and_told(frame):
    frame.loc[:9, "kind"] = "rare"
    (_, kind), notes = read(frame)
    assert kind.classes == 3
    assert (kind.codes[:10] == -1).all()
    assert "kind: 3 classes, 1 with fewer than 20 stars left out (10 stars)" in notes


def test_labels_that_cannot_be_used(frame):
    frame["few"] = np.where(np.arange(N) < 40, 1.5, np.nan) * np.arange(N)
    frame["same"] = 3.0
    with pytest.warns(LatentscopeWarning, match=r"few \(40 stars\), same \(constant\)"):
        labels, _ = read(frame)
    assert [label.name for label in labels] == ["teff", "kind"]
    with pytest.raises(EstimatorError, match="leave them out"):
        read(frame, columns=["teff", "few"])
    with pytest.raises(EstimatorError, match="constant"):
        read(frame[["id", "same"]])
    with pytest.raises(EstimatorError, match="no label nosuch"):
        read(frame, discrete=["nosuch"])
