"""What balancing the archive changes in the chosen setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from train.sweep.measure import Measured, Results

SHIFT = 0.2
"""A mutual information that changes by more than this share has changed."""


@dataclass(frozen=True)
class Change:
    """A repetition of the chosen setting against its run on the archive as it is.

    Mutual information is that of the best dimension, on FGK stars, which every archive holds.

    Parameters
    ----------
    entry : Measured
    dimensions : int
        Informative dimensions more than before.
    velocity, temperature : float
        Ratio of the mutual informations with radial velocity and effective temperature.
    """

    entry: Measured
    dimensions: int
    velocity: float
    temperature: float

    @property
    def is_large(self) -> bool:
        """Whether the number changes by more than one, or information by more than `SHIFT`."""
        ratios = (self.velocity, self.temperature)
        return abs(self.dimensions) > 1 or any(abs(ratio - 1) > SHIFT for ratio in ratios)

    @property
    def leaves_out(self) -> bool:
        """Whether the archive has one bin of a label alone, so that the other stars are not in."""
        bins = self.entry.run.archive.get("bins")
        return bins == 1 or (isinstance(bins, Sequence) and len(bins) == 2)

    @property
    def words(self) -> str:
        """Say the change."""
        return (
            f"{self.dimensions:+d} dimensions, RV x {self.velocity:.2f}, "
            f"Teff x {self.temperature:.2f}"
        )


def changes_of(results: Results) -> list[Change]:
    """Return the changes of all finished repetitions; none without the chosen run."""
    chosen = results.chosen
    if chosen is None:
        return []
    return [_change(entry, chosen) for entry in results.repeated() if entry is not chosen]


def _change(entry: Measured, chosen: Measured) -> Change:
    velocity, temperature = (
        entry.figures.best(label, fgk=True)[1] / max(chosen.figures.best(label, fgk=True)[1], 1e-9)
        for label in ("radvel", "Teff")
    )
    more = len(entry.figures.informative) - len(chosen.figures.informative)
    return Change(entry, more, velocity, temperature)
