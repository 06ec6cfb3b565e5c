import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscope.errors import TableError
from train.watching import StepTable


def rows(*steps, **columns):
    return pd.DataFrame({"step": list(steps)} | columns)


def test_rows_are_appended_and_read_back(tmp_path):
    table = StepTable(tmp_path / "run" / "t.csv")
    table.add(rows(1, value=[0.1 + 0.2]))
    table.add(rows(2, 2, value=[1e-30, float("nan")]))
    read = pd.read_csv(table.path)
    assert read["step"].tolist() == [1, 2, 2]
    assert read["value"].tolist()[:2] == [0.1 + 0.2, 1e-30]
    assert read["value"].isna().tolist() == [False, False, True]


def test_new_columns_are_taken_up_and_missing_ones_stay_empty(tmp_path):
    table = StepTable(tmp_path / "t.csv")
    table.add(rows(1, a=[1.5]))
    table.add(rows(2, a=[2.5], b=[7]))
    table.add(rows(3, b=[8]))
    read = pd.read_csv(table.path)
    assert list(read.columns) == ["step", "a", "b"]
    assert read["a"].tolist()[:2] == [1.5, 2.5]
    assert read["b"].tolist()[1:] == [7, 8]
    assert read.isna().sum().sum() == 2


@given(
    steps=st.lists(st.integers(0, 2000), max_size=12),
    at=st.integers(0, 2000),
    torn=st.integers(0, 9),
)
def test_a_cut_leaves_the_whole_rows_before_it(tmp_path_factory, steps, at, torn):
    path = tmp_path_factory.mktemp("cut") / "t.csv"
    lines = [f"{step},{step / 7}\n" for step in steps]
    path.write_text("step,x\n" + "".join(lines) + "123,4567\n"[:torn])
    StepTable(path).cut(at)
    whole = steps + ([123] if torn == 9 else [])
    kept = [step for step in whole if step < at]
    assert pd.read_csv(path)["step"].tolist() == kept


def test_a_line_torn_in_its_step_is_not_taken_for_an_earlier_step(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("step,x\n500,1\n1000,2\n15")
    StepTable(path).cut(1001)
    assert path.read_text() == "step,x\n500,1\n1000,2\n"


def test_cutting_what_is_not_there_makes_nothing(tmp_path):
    StepTable(tmp_path / "t.csv").cut(5)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_table_is_refused_by_its_name(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("epoch,step\n1,2\n")
    with pytest.raises(TableError, match=r"t\.csv.*`step` first"):
        StepTable(path).cut(3)
