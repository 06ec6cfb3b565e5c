"""Labels as the measures want them: numbers where there are, and classes always."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics.columns.column import Column, Discrete
from latentscope.diagnostics.columns.groups import Groups
from latentscope.diagnostics.columns.label_columns import check_known, choose_labels, read_label
from latentscope.diagnostics.wording import shortened
from latentscope.errors import EstimatorError, LatentscopeWarning

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

BINS = 20
"""Equal-count bins of a continuous label at most."""

_STARS_PER_BIN = 50
_FEWEST_IN_CLASS = 20
_FEWEST_STARS = 100
_CLIP_SIGMA = 5.0


@dataclass(frozen=True, eq=False)
class Label:
    """A label, ready.

    Parameters
    ----------
    name : str
    codes : ndarray of int64, shape (n,)
        Class of each row, 0, 1, ..., -1 where missing. Of a continuous label the bin of equal
        count.
    numbers : ndarray of float64, shape (n,), or None
        Values of a continuous label, clipped at 5 sigma, NaN where missing; None for classes.
    n_rows, n_stars : int
        Rows, and stars, that have the label and latents.
    """

    name: str
    codes: Codes
    numbers: Floats | None
    n_rows: int
    n_stars: int

    @property
    def classes(self) -> int:
        """Number of classes or bins."""
        return int(self.codes.max()) + 1


def read_all(
    frame: pd.DataFrame,
    columns: Sequence[str] | None,
    discrete: Sequence[str],
    named: str | None,
    ok: NDArray[np.bool_],
    groups: Groups,
    seed: int,
) -> tuple[list[Label], list[str]]:
    """Choose labels and make them ready.

    Parameters
    ----------
    frame : DataFrame of n rows
    columns, discrete : list of str
        As those of `mi_matrix`.
    named : str or None
        The column of groups.
    ok : ndarray of bool, shape (n,)
        Rows with latents.
    groups : Groups
    seed : int

    Returns
    -------
    labels : list of Label
    notes : list of str
        What was left out or binned, in words.

    Raises
    ------
    EstimatorError
        If no label is left, or one that was asked for cannot be used.

    Warns
    -----
    LatentscopeWarning
        If labels are left out that have fewer than 100 stars or one class.
    """
    check_known(frame, discrete)
    names, notes = choose_labels(frame, columns, named)
    labels, refused, cut = [], [], []
    for name in names:
        wanted: Discrete = True if name in discrete else "auto"
        column = read_label(name, frame[name], discrete=wanted, clip_sigma=_CLIP_SIGMA, seed=seed)
        label, note = _label(column, ok, groups)
        problem = _problem(label)
        if problem:
            refused.append(f"{name} ({problem})")
            continue
        labels.append(label)
        notes += [note] if note else []
        cut += [f"{name} ({label.classes})"] if label.numbers is not None else []
    _tell(refused, strict=columns is not None, none_left=not labels)
    if cut:
        notes.append(
            f"cut into bins of about equal count, where classes are wanted: {', '.join(cut)}"
        )
    return labels, notes


def _label(column: Column, ok: NDArray[np.bool_], groups: Groups) -> tuple[Label, str]:
    keep = column.valid & ok
    rows = groups.draws(keep, 1, np.random.default_rng(0)).rows[0]
    if column.codes is None:
        codes, note = _binned(column, keep, rows), ""
    else:
        codes, note = _frequent(column, keep, rows)
    kept = codes >= 0
    label = Label(
        column.name,
        codes,
        None if column.discrete else column.values,
        int((kept & ok).sum()),
        groups.count(kept & ok),
    )
    return label, note


def _binned(column: Column, keep: NDArray[np.bool_], rows: Codes) -> Codes:
    """Cut at the quantiles of one row a star; equal values stay in one bin."""
    assert column.values is not None
    codes = np.full(len(keep), -1, dtype=np.int64)
    if not len(rows):
        return codes
    bins = int(np.clip(len(rows) // _STARS_PER_BIN, 2, BINS))
    edges = np.unique(np.quantile(column.values[rows], np.arange(1, bins) / bins))
    codes[keep] = np.searchsorted(edges, column.values[keep], side="right")
    codes[keep] = np.unique(codes[keep], return_inverse=True)[1]
    return codes


def _frequent(column: Column, keep: NDArray[np.bool_], rows: Codes) -> tuple[Codes, str]:
    """Leave out classes of few stars, of which no half could be learned."""
    assert column.codes is not None
    codes = np.full(len(keep), -1, dtype=np.int64)
    stars = np.bincount(column.codes[rows], minlength=column.classes)
    frequent = stars >= _FEWEST_IN_CLASS
    number = np.cumsum(frequent) - 1
    taken = keep & frequent[column.codes]
    codes[taken] = number[column.codes[taken]]
    rare = int((~frequent & (stars > 0)).sum())
    left = int(stars[~frequent].sum())
    note = f"{column.name}: {int(frequent.sum())} classes"
    told = f", {rare} with fewer than {_FEWEST_IN_CLASS} stars left out ({left} stars)"
    return codes, note + (told if rare else "")


def _problem(label: Label) -> str:
    if label.n_stars < _FEWEST_STARS:
        return f"{label.n_stars} stars"
    return "constant" if label.classes < 2 else ""


def _tell(refused: list[str], *, strict: bool, none_left: bool) -> None:
    if not refused:
        return
    wanted = f"{_FEWEST_STARS} stars with the label and two classes or more are needed"
    told = f"{wanted}: {shortened(refused)}"
    if strict or none_left:
        raise EstimatorError(f"{told}; leave them out" if not none_left else told)
    warnings.warn(f"left out, since {told}", LatentscopeWarning, stacklevel=4)
