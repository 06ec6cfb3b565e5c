"""Colours for the rows of a label: a scale of numbers, or one colour a class with a legend."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize, to_rgb
from numpy.typing import ArrayLike, NDArray

from latentscope.plots.style import QUIET

_CLASS_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e6a700", "#56b4e9", "#8c564b", "#5b3a9b",
    "#1b9e9e",
)  # fmt: skip
_STAR_COLOURS = {
    "O": "#2c2f8f", "B": "#3f6fd8", "A": "#5fb3e6", "F": "#7fa86b", "G": "#e3b21c",
    "K": "#ea7a1f", "M": "#b3202c",
}  # fmt: skip
_SPECTRAL_TYPE = re.compile(r"[OBAFGKM](?![A-Za-z]*[a-z]{2})[\d\s.:+/IVbp-]*")
_MOSTLY = 0.9
_FEW_NUMBERS = 10
_OTHER = "other"
NUMBERS = "viridis"


@dataclass(frozen=True)
class LabelColours:
    """What colour each row has.

    Parameters
    ----------
    name : str
        Of the label.
    values : ndarray of float64, shape (n,)
        Numbers, or the place of each row's class in `classes`; NaN where there is no label.
    classes : tuple of str
        Names of classes in the order of the legend; empty for numbers.
    palette : tuple of str
        A colour for each class.
    """

    name: str
    values: NDArray[np.float64]
    classes: tuple[str, ...]
    palette: tuple[str, ...]

    @property
    def norm(self) -> Normalize:
        """Scale of the numbers: from the 1st to the 99th percentile."""
        known = self.values[np.isfinite(self.values)]
        low, high = np.percentile(known, (1, 99)) if len(known) else (0.0, 1.0)
        return Normalize(low, high if high > low else low + 1.0)

    def rgba(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Colours of values, grey of NaN, shape (m,) -> (m, 4)."""
        colours = np.ones((len(values), 4))
        colours[:, :3] = to_rgb(QUIET)
        known = np.isfinite(values)
        if self.classes:
            table = np.array([to_rgb(colour) for colour in self.palette])
            colours[known, :3] = table[values[known].astype(int)]
        else:
            colours[known] = _colour_map()(self.norm(values[known]))
        return colours

    @property
    def counts(self) -> list[int]:
        """Rows of each class."""
        return [int((self.values == place).sum()) for place in range(len(self.classes))]


@lru_cache(maxsize=1)
def _colour_map() -> Any:
    from matplotlib import colormaps

    return colormaps[NUMBERS]


def label_colours(values: ArrayLike | pd.Series, name: str = "label") -> LabelColours:
    """Choose colours for a label.

    Text and booleans are classes, numbers are a scale, but for whole numbers of up to 10 values.
    Spectral types ("K V", "G2", "M3.5") become the classes O ... M by their first letter. Of more
    than nine classes the eight with most rows have a colour of their own.

    Parameters
    ----------
    values : array or Series, shape (n,)
        NaN, None and empty text are missing.
    name : str
        What the legend calls it.
    """
    series = pd.Series(np.asarray(values, dtype=object)).reset_index(drop=True)
    numbers = pd.to_numeric(series, errors="coerce")
    text = series.where(series.notna(), "").map(lambda value: str(value).strip())
    known = text[text != ""]
    if numbers[known.index].notna().all() and not _is_few(series, numbers):
        return LabelColours(name, np.array(numbers, dtype=np.float64), (), ())
    if len(known) and known.map(lambda cell: bool(_SPECTRAL_TYPE.fullmatch(cell))).mean() > _MOSTLY:
        return _spectral(name, text)
    return _classes(name, text, tuple(known.value_counts().index))


def _is_few(series: pd.Series, numbers: pd.Series) -> bool:
    known = numbers.dropna()
    if series.dropna().map(lambda value: isinstance(value, bool | np.bool_)).any():
        return True
    return bool(len(known) and known.nunique() <= _FEW_NUMBERS and (known % 1 == 0).all())


def _spectral(name: str, text: pd.Series) -> LabelColours:
    letters = text.map(
        lambda cell: cell[0] if _SPECTRAL_TYPE.fullmatch(cell) else _OTHER if cell else ""
    )
    there = set(letters)
    classes = [letter for letter in _STAR_COLOURS if letter in there]
    palette = [_STAR_COLOURS[letter] for letter in classes]
    if _OTHER in there:
        classes, palette = [*classes, _OTHER], [*palette, "#555555"]
    return _placed(f"{name}, first letter", letters, tuple(classes), tuple(palette))


def _classes(name: str, text: pd.Series, by_rows: tuple[str, ...]) -> LabelColours:
    most = len(_CLASS_COLOURS)
    if len(by_rows) > most:
        kept = by_rows[: most - 1]
        text = text.where(text.isin([*kept, ""]), _OTHER)
        return _placed(name, text, (*kept, _OTHER), (*_CLASS_COLOURS[: most - 1], "#555555"))
    classes = tuple(sorted(by_rows, key=_numbers_first))
    return _placed(name, text, classes, _CLASS_COLOURS[: len(classes)])


def _numbers_first(cell: str) -> tuple[bool, float, str]:
    try:
        return False, float(cell), ""
    except ValueError:
        return True, 0.0, cell


def _placed(
    name: str, text: pd.Series, classes: tuple[str, ...], palette: tuple[str, ...]
) -> LabelColours:
    place = {cell: float(i) for i, cell in enumerate(classes)}
    values = np.array([place.get(cell, np.nan) for cell in text], dtype=np.float64)
    return LabelColours(name, values, classes, palette)
