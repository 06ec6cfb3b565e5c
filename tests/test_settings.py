"""Strict settings: what came, what was expected, where."""

import dataclasses
import math
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field, model_validator

from latentscope.errors import ModelError, SpectrumError
from latentscope.settings import read_settings, settings


@settings(SpectrumError)
class Inner:
    start: float = Field(gt=0)
    kind: Literal["linear", "log"] = "linear"
    gaps: tuple[tuple[float, float], ...] = ()

    @model_validator(mode="after")
    def ascending(self):
        for low, high in self.gaps:
            if low > high:
                raise ValueError(f"gap {(low, high)}; expected (first, last), ascending")
        return self


@settings(ModelError)
class Outer:
    size: Annotated[int, Field(ge=1)]
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()


def read(values):
    return read_settings(Outer, values, where="a.json", error=ModelError)


def test_values_from_json_become_the_settings_that_python_makes():
    found = read({"size": 3, "inner": {"start": 2, "gaps": [[1, 2]]}, "several": [{"start": 4}]})
    assert found == Outer(3, Inner(2.0, gaps=((1.0, 2.0),)), (Inner(4.0),))
    assert hash(found) == hash(dataclasses.replace(found, size=3))


def test_numbers_of_numpy_and_lists_are_taken():
    assert Inner(np.float64(2), gaps=[[1, 2]]) == Inner(2.0, gaps=((1.0, 2.0),))
    assert type(Outer(np.int64(3)).size) is int


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["size is missing"]),
        ({"size": 0}, ["size is 0", "expected greater than or equal to 1"]),
        ({"size": "many"}, ["size is 'many'", "integer"]),
        ({"size": 1, "colour": 2}, ["unknown colour", "size, inner, several"]),
        ({"size": 1, "inner": {"start": math.nan}}, ["inner.start is nan", "finite"]),
        ({"size": 1, "inner": {"start": 1, "end": 2}}, ["unknown inner.end", "start, kind, gaps"]),
        ({"size": 1, "inner": {"start": 1, "kind": "sqrt"}}, ["'sqrt'", "'linear' or 'log'"]),
        ({"size": 1, "inner": {"start": 1, "gaps": [[2, 1]]}}, ["inner: gap (2.0, 1.0)"]),
        ({"size": 1, "several": [{"end": 1}]}, ["several.0.start is missing", "several.0.end"]),
        ([1], ["the value is [1]"]),
    ],
)
def test_an_error_names_the_file_the_field_and_what_was_expected(values, words):
    with pytest.raises(ModelError) as caught:
        read(values)
    assert str(caught.value).startswith("a.json: ")
    for word in words:
        assert word in str(caught.value)


def test_python_raises_the_error_of_the_class():
    with pytest.raises(SpectrumError, match=r"Inner: start is -1; expected"):
        Inner(-1)
    with pytest.raises(SpectrumError, match="start"):
        dataclasses.replace(Inner(1.0), start=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Inner(1.0).start = 2
