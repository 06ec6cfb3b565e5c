"""What was seen of each label and done to it, in one line a kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.columns.column import TIED_SHARE, Column
from latentscope.diagnostics.wording import shortened


@dataclass(frozen=True)
class SeenLabel:
    """What is remembered of a label once its column is dropped.

    Parameters
    ----------
    name : str
    rows : int
        Rows with the label and finite latents.
    tied : int
        How many of these rows share their value with another.
    clipped : int
        Number of values.
    classes : int
        0 of a continuous label.
    entropy : float
        Of its classes, in nats; NaN of a continuous label.
    """

    name: str
    rows: int
    tied: int
    clipped: int
    classes: int
    entropy: float

    @property
    def many_tied(self) -> bool:
        """Whether ties are worth a word."""
        return not self.classes and self.tied > TIED_SHARE * self.rows


def seen(column: Column, ok: NDArray[np.bool_]) -> SeenLabel:
    """Look at a label on the rows that have latents, `ok`, shape (n,)."""
    keep = column.valid & ok
    rows, entropy = int(np.count_nonzero(keep)), np.nan
    if column.codes is not None:
        share = np.bincount(column.codes[keep]) / max(rows, 1)
        share = share[share > 0]
        entropy = float(-(share * np.log(share)).sum())
    tied = _tied(column, keep)
    return SeenLabel(column.name, rows, tied, column.clipped, column.classes, entropy)


def _tied(column: Column, keep: NDArray[np.bool_]) -> int:
    if column.values is None or not column.tied:
        return 0
    ascending = column.values[column.order[keep[column.order]]]
    same = np.concatenate(([False], ascending[1:] == ascending[:-1], [False]))
    return int(np.count_nonzero(same[1:] | same[:-1])) if len(ascending) else 0


def notes_of(labels: Sequence[SeenLabel], clip_sigma: float | None) -> list[str]:
    """Say which labels were clipped, taken for classes, or have ties, each in one line."""
    clipped = [f"{label.name} ({label.clipped:,})" for label in labels if label.clipped]
    classes = [f"{label.name} ({label.classes:,})" for label in labels if label.classes]
    tied = [
        f"{label.name} ({label.tied / label.rows:.0%})"
        for label in labels
        if label.many_tied and label.rows
    ]
    said = (
        (f"values beyond {clip_sigma:g} sigma clipped: " if clip_sigma else "", clipped),
        ("taken for classes: ", classes),
        ("values tied, their order random: ", tied),
    )
    return [f"{what}{shortened(names)}" for what, names in said if names]
