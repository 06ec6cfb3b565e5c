"""Whether it is the sample: what other samples of known stars show."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import latentscope
from latentscope.diagnostics.robustness import (
    HALF,
    REPEATS,
    SINGLE,
    WHOLE,
    nested_error,
    read_classes,
)
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning

STARS = 400


def stars_of_two_kinds(seed=0, times=1):
    """Dimension 0 follows teff in giants alone, who are few; 1 tells stars apart; 2 is dead."""
    rng = np.random.default_rng(seed)
    giant = np.arange(STARS) % 5 == 0
    teff = rng.normal(size=STARS)
    star = np.repeat(np.arange(STARS), times)
    values = np.column_stack(
        [
            np.where(giant, teff + 0.2 * rng.normal(size=STARS), rng.normal(size=STARS))[star],
            rng.normal(size=STARS)[star],
            np.zeros(len(star)),
        ]
    )
    values += 0.003 * rng.normal(size=values.shape)
    kind = np.where(giant, "giant", "dwarf")[star]
    frame = pd.DataFrame({"teff": teff[star], "kind": kind, "star": star})
    return values, frame


def by_pair(result, sample):
    return result.of(sample).set_index(["label", "dim"])


@pytest.fixture(scope="module")
def repeated():
    values, frame = stars_of_two_kinds(times=4)
    return latentscope.robustness(
        values, frame, groups="star", classes="kind", columns=["teff", "kind"], n_draws=4
    )


def test_samples_and_their_sizes(repeated):
    rows = repeated.mad.set_index("sample")
    assert list(rows.index) == [WHOLE, REPEATS, SINGLE, "equal kind", HALF]
    assert rows["n"].to_dict() == {
        WHOLE: 1600, REPEATS: 1600, SINGLE: 400, "equal kind": 160, HALF: 800,
    }  # fmt: skip
    assert rows["n_stars"].to_dict() == {
        WHOLE: 400, REPEATS: 400, SINGLE: 400, "equal kind": 160, HALF: 200,
    }  # fmt: skip
    assert rows["draws"].tolist() == [1, 1, 4, 4, 4]
    assert (rows["informative"] == 2).all()
    assert "stars by kind: dwarf 320, giant 80" in repeated.notes


def test_counting_repeats_makes_information_of_nothing(repeated):
    pair = by_pair(repeated, REPEATS).loc[("teff", 1)]
    assert abs(pair["whole"]) < 0.1
    assert pair["mi_nats"] > 0.5
    assert pair["significant"]
    assert any(
        line.startswith("With every spectrum counted as a star: ") for line in repeated.sentences()
    )


def test_one_spectrum_per_star_changes_nothing(repeated):
    rows = repeated.of(SINGLE)
    assert not rows["significant"].any()
    assert (rows["difference"].abs() < 0.05).all()


def test_equal_classes_show_what_the_rare_ones_hold(repeated):
    pair = by_pair(repeated, "equal kind").loc[("teff", 0)]
    assert pair["significant"]
    assert pair["difference"] > 0.1
    assert not by_pair(repeated, "equal kind").loc[("teff", 1), "significant"]


def test_halves_scatter_as_the_errors_say(repeated):
    assert 0.4 < repeated.error_ratio < 2.0
    assert not repeated.of(HALF)["significant"].any()


def test_a_small_error_is_not_said_to_be_none(repeated):
    mi = repeated.mi.assign(difference=-0.012, std_difference=0.004, significant=True)
    assert any("(-0.012 ± 0.004)" in line for line in replace(repeated, mi=mi).sentences())


def test_the_table_joins_both(repeated):
    table = repeated.table
    assert len(table) == len(repeated.mi)
    assert {"sample", "informative", "gained", "lost", "label", "dim", "significant"} <= set(table)
    overview = repeated.overview.set_index("sample")
    assert overview.loc[WHOLE, "changed"] == 0
    assert overview.loc[WHOLE, "pairs"] == 4


def test_stars_are_found_without_being_named_and_not_said_to_have_one_spectrum():
    values, frame = stars_of_two_kinds(times=2)
    options = {"columns": ["teff"], "n_draws": 3}
    found = latentscope.robustness(values, frame, **options)
    assert {REPEATS, SINGLE} <= set(found.samples)
    assert found.mad.set_index("sample").loc[WHOLE, ["n", "n_stars"]].tolist() == [800, 400]
    assert any("by column star" in note for note in found.notes)
    off = latentscope.robustness(values, frame, groups="none", **options)
    assert not {REPEATS, SINGLE} & set(off.samples)
    assert any("every row counts as a star" in note for note in off.notes)
    assert not any("one spectrum" in note for note in (*off.notes, *found.notes))


def test_dimensions_come_and_go_with_the_classes():
    rng = np.random.default_rng(1)
    kind = np.where(np.arange(600) < 120, "M", "G")
    values = rng.normal(size=(600, 3))
    # Moves in M stars alone, whom equal classes make half of the sample.
    values[:, 1] = np.where(kind == "M", 4 * rng.normal(size=600), 0.001 * rng.normal(size=600))
    # Moves in G stars alone.
    values[:, 2] = np.where(kind == "G", rng.normal(size=600), 0.0)
    frame = pd.DataFrame({"spec_type": kind, "teff": rng.normal(size=600)})
    result = latentscope.robustness(values, frame, n_draws=3)
    rows = result.mad.set_index("sample")
    assert list(rows.index) == [WHOLE, "equal spec_type", HALF]
    assert rows.loc[WHOLE, "informative"] == 2
    assert rows.loc["equal spec_type", "gained"] == "1"
    assert rows.loc[HALF, ["gained", "lost"]].tolist() == ["", ""]
    assert "gained 1" in result.sentences()[0]


def test_what_cannot_be_drawn_is_noted():
    values, frame = stars_of_two_kinds()
    frame = frame.rename(columns={"teff": "age"})
    result = latentscope.robustness(values, frame[["age"]], n_draws=3)
    assert result.samples == [WHOLE, HALF]
    assert any("no sample of one per star" in note for note in result.notes)
    assert any("no sample of equal classes" in note for note in result.notes)
    values, frame = values[:90], frame[:90]
    few = latentscope.robustness(values, frame[["age", "kind"]], classes="kind", n_draws=3)
    assert any("no sample of equal kind: " in note for note in few.notes)


def test_warnings_come_once():
    values, frame = stars_of_two_kinds()
    frame["same"] = 4.0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        latentscope.robustness(values, frame[["teff", "same"]], n_draws=3)
    messages = [str(it.message) for it in caught if issubclass(it.category, LatentscopeWarning)]
    assert len(messages) == 1
    assert "constant" in messages[0]


def test_same_seed_same_table_and_progress_reaches_its_total():
    values, frame = stars_of_two_kinds()
    seen = []
    first, second, other = (
        latentscope.robustness(
            values,
            frame[["teff"]],
            n_draws=3,
            seed=seed,
            progress=lambda *done: seen.append(done),
        ).mi
        for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first, second)
    assert not first["scatter"].equals(other["scatter"])
    assert seen == [(i, 10) for i in range(1, 11)] * 3


def test_wrong_use_is_told():
    values, frame = stars_of_two_kinds()
    with pytest.raises(EstimatorError, match="n_draws is 2; expected 3 or more"):
        latentscope.robustness(values, frame, n_draws=2)
    with pytest.raises(EstimatorError, match="no label nosuch"):
        latentscope.robustness(values, frame[["teff"]], classes="nosuch")


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
    assert read_classes(frame.rename(columns=str.upper), None).name == "SPEC_TYPE"
    assert read_classes(frame.add_prefix("of_"), None) is None
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


def test_error_of_a_part_against_the_whole_it_belongs_to():
    """Of a mean of m among n numbers: sigma sqrt(1/m - 1/n)."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(4000, 300))
    scatter = (samples[:, :100].mean(axis=1) - samples.mean(axis=1)).std()
    part, whole = 1 / np.sqrt(100), 1 / np.sqrt(300)
    found = nested_error(*(pd.Series([x]) for x in (part, whole, 100, 300)))[0]
    assert found == pytest.approx(np.sqrt(1 / 100 - 1 / 300))
    assert found == pytest.approx(scatter, rel=0.05)


def test_the_whole_differs_from_itself_by_nothing():
    same = nested_error(*(pd.Series([x]) for x in (0.1, 0.1, 50, 50)))
    assert same[0] == pytest.approx(0, abs=1e-8)
