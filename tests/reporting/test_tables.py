"""Tables as HTML: order, folds, what is left out."""

import re

import pandas as pd

from latentscope.reporting.document import Column, Part, Table
from latentscope.reporting.page import part_html
from tests.reporting.conftest import Page

COLUMNS = {"dim": Column("dim"), "value": Column("value", error="error"), "odd": Column("odd")}


def table(rows, **settings):
    frame = pd.DataFrame(
        {
            "dim": range(rows),
            "value": [0.1 * i for i in range(rows)],
            "error": 0.01,
            "odd": [None] * rows,
        }
    )
    return Table("t", "A caption. And more.", frame, COLUMNS, **settings)


def table_html(table):
    return part_html(Part(tables=[table]))


def test_rows_beyond_the_first_come_at_a_click_and_those_beyond_the_most_are_counted():
    html = table_html(table(30, open_rows=10, max_rows=25))
    assert html.count("<tr><td") == 25
    assert 'data-open="10"' in html
    assert "15 more rows" in html
    assert "5 further rows of this table are in the .json beside this page" in html
    assert Page(html).faults == []


def test_a_few_more_rows_are_not_worth_a_click():
    assert "more rows" not in table_html(table(13, open_rows=10))


def test_a_table_can_be_named_only():
    html = table_html(table(5, open_rows=0))
    assert "<table" not in html
    assert "5 rows of this table are in the .json beside this page" in html


def test_columns_of_which_nothing_is_known_are_left_out():
    html = table_html(table(3))
    assert ">value<" in html
    assert ">odd<" not in html


def test_a_table_without_rows_is_a_line():
    html = table_html(table(0))
    assert "<table" not in html
    assert "There is none." in html


def test_cells_are_sorted_by_their_unrounded_values():
    html = table_html(table(4))
    assert re.findall('data-value="([^"]*)">0.300', html) == [repr(0.1 * 3)]
    assert "0.300 ± 0.010" in html
