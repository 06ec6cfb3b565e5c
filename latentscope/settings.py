"""Strict settings: classes of values that are checked when they are made, by pydantic.

One way for every configuration (a model's, its preparation's, a training run's): unknown keys are
errors, numbers are finite and within their bounds, and nothing changes afterwards.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, dataclass_transform, get_args, get_type_hints

import pydantic
import pydantic.dataclasses

from latentscope.errors import LatentscopeError, meant

_STRICT = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
_SHOWN = 80  # characters of a value that an error shows

Settings = TypeVar("Settings")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, pydantic.Field))
def settings(error: type[LatentscopeError]) -> Callable[[type[Settings]], type[Settings]]:
    """Make a class of annotated fields a frozen dataclass whose values pydantic checks.

    Values that do not fit raise `error`. `dataclasses.replace`, `asdict` and `fields` work as on
    any dataclass; `replace` checks again.

    Examples
    --------
    >>> from latentscope.errors import ModelError
    >>> @settings(ModelError)
    ... class Layer:
    ...     kernel: int = pydantic.Field(gt=0)
    >>> Layer(kernel=0)
    Traceback (most recent call last):
    latentscope.errors.ModelError: Layer: kernel is 0; expected greater than 0
    """

    def decorate(cls: type[Settings]) -> type[Settings]:
        strict: Any = pydantic.dataclasses.dataclass(cls, frozen=True, config=_STRICT)
        checked = strict.__init__

        @functools.wraps(checked)
        def init(self: Any, *args: Any, **values: Any) -> None:
            try:
                checked(self, *args, **values)
            except pydantic.ValidationError as invalid:
                raise error(f"{cls.__name__}: {faults(invalid, strict)}") from None

        strict.__init__ = init
        return strict  # type: ignore[no-any-return]

    return decorate


def read_settings(
    kind: type[Settings], values: Any, *, where: str, error: type[LatentscopeError]
) -> Settings:
    """Build settings of a class made by `settings` from the contents of a JSON or YAML file.

    Lists stand for tuples, mappings for settings inside. An `error` begins with `where` (file and
    place in it) if a key is unknown or missing, or a value does not fit.
    """
    try:
        return pydantic.TypeAdapter(kind).validate_python(values)
    except pydantic.ValidationError as invalid:
        raise error(f"{where}: {faults(invalid, kind)}") from None


def faults(invalid: pydantic.ValidationError, kind: type[Any]) -> str:
    """Say for each wrong field, by its path, what came and what was expected."""
    return "; ".join(_fault(one, kind) for one in invalid.errors(include_url=False))


def _fault(fault: Any, kind: type[Any]) -> str:
    first, *others = fault["loc"] or ("",)
    if isinstance(first, int):  # a value that was given by position
        first = dataclasses.fields(kind)[first].name
    place = ".".join(str(part) for part in (first, *others))
    if fault["type"] == "missing":
        return f"{place} is missing"
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        names = _names(kind, fault["loc"][:-1])
        near = meant(fault["loc"][-1], names)
        return f"unknown {place}{near}; known are {', '.join(names)}"
    if fault["type"] == "value_error":
        return ": ".join(filter(None, (place, str(fault["ctx"]["error"]))))
    try:
        came = repr(fault["input"])
    except RecursionError:
        came = f"a {type(fault['input']).__name__} of many brackets"
    came = came if len(came) <= _SHOWN else f"{came[:_SHOWN]}..."
    expected = fault["msg"].removeprefix("Input should be ")
    return f"{place or 'the value'} is {came}; expected {expected}"


def _names(kind: type[Any], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the settings that lie at a path of keys and indices."""
    for key in path:
        if isinstance(key, str) and key in get_type_hints(kind):
            kind = next(_classes(get_type_hints(kind)[key]), kind)
    return [field.name for field in dataclasses.fields(kind)]


def _classes(hint: Any) -> Iterator[type[Any]]:
    """Settings that a hint allows: itself, or those of an `X | None` or `tuple[X, ...]`."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint
    for part in get_args(hint):
        yield from _classes(part)
