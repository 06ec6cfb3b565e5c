"""How the loss and the learning rate change during a run: schedules and stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from latentscope.errors import ModelError

Curve = Literal["linear", "geometric", "cyclic"]

LOSS_SCHEDULES = (
    "beta",
    "free_bits",
    "blur",
    "continuum_weight",
    "total_correlation",
    "decorrelation",
    "dependence",
)
"""Schedules of a stage that change what is minimised."""

SCHEDULES = (*LOSS_SCHEDULES, "learning_rate")


@dataclass(frozen=True)
class Schedule:
    """A number that changes during a stage.

    Held at `start` for the fraction `hold` of the stage, then moved to `end` until the fraction
    `until`, then held there. "linear" may be bent by `power`: the remaining way to `end` falls as
    (1 - progress) ** power. "cyclic" goes the way several times and is back at `start` at once when
    a cycle begins (Fu et al. 2019, arXiv:1903.10145: beta from 0 to 1, 4 cycles, rise 0.5).

    Parameters
    ----------
    start, end : float
        Values; `end` defaults to `start`.
    hold, until : float
        Fractions of the stage; with `until` above 1 the stage ends on the way.
    curve : {"linear", "geometric", "cyclic"}
        Geometric changes by equal factors.
    power : float
        Exponent of the linear curve.
    cycles : int
        Of the cyclic curve between `hold` and `until`.
    rise : float
        Fraction of each cycle in which the value moves evenly from `start` to `end`, where it stays
        for the rest.

    Raises
    ------
    ModelError
        If the numbers make no schedule.
    """

    start: float
    end: float | None = None
    hold: float = 0.0
    until: float = 1.0
    curve: Curve = "linear"
    power: float = 1.0
    cycles: int = 4
    rise: float = 0.5

    def __post_init__(self) -> None:
        if self.curve not in get_args(Curve):
            raise ModelError(f"curve is {self.curve!r}; wanted one of {', '.join(get_args(Curve))}")
        if not 0 <= self.hold <= self.until:
            raise ModelError(f"hold {self.hold}, until {self.until}; wanted 0 <= hold <= until")
        if self.curve == "geometric" and not (self.start > 0 and (self.end or 1.0) > 0):
            raise ModelError(
                f"geometric from {self.start} to {self.end}; wanted two positive numbers"
            )
        if self.curve != "cyclic" and (self.cycles, self.rise) != (4, 0.5):
            raise ModelError(f"cycles and rise belong to curve: cyclic, and this is {self.curve}")
        if self.cycles < 1 or not 0 < self.rise <= 1:
            raise ModelError(
                f"cycles {self.cycles}, rise {self.rise}; wanted at least one cycle, and a "
                "fraction above 0 and up to 1"
            )

    @property
    def last(self) -> float:
        """Value that it moves to."""
        return self.start if self.end is None else self.end

    @property
    def settled(self) -> float:
        """Fraction of the stage from which the value stays; above 1 if it never does."""
        return 0.0 if self.last == self.start else self.until

    def at(self, fraction: float) -> float:
        """Value at a fraction (0 to 1) of the stage."""
        end = self.last
        span = max(self.until - self.hold, 1e-12)
        progress = min(max((fraction - self.hold) / span, 0.0), 1.0)
        if self.curve == "geometric":
            return float(self.start * (end / self.start) ** progress)
        if self.curve == "cyclic":
            cycle = 1.0 if progress == 1.0 else progress * self.cycles % 1.0
            return float(self.start + (end - self.start) * min(cycle / self.rise, 1.0))
        return float(end + (self.start - end) * (1.0 - progress) ** self.power)


@dataclass(frozen=True)
class Stage:
    """A stretch of training with schedules of its own.

    Parameters
    ----------
    steps : int
        Optimiser steps.
    beta : Schedule
        Disentanglement weight: the factor of the KL term.
    free_bits : Schedule
        Nats: each dimension's KL, averaged over the batch, counts as at least this much, so that
        nothing pulls it lower (Kingma et al. 2016).
    blur : Schedule
        Standard deviation in pixels of the Gaussian that smooths the residual of the line contrast
        before it is squared. A wide blur lets a network find a shift first.
    continuum_weight : Schedule
        Factor of the squared residual of the log continuum.
    total_correlation : Schedule
        Factor of the total correlation of the latents in nats (Chen et al. 2018).
    decorrelation : Schedule
        Factor of the squared covariances between the means of different dimensions (Kumar et al.
        2018).
    dependence : Schedule
        Factor of the squared correlations between Fourier features of the means of different
        dimensions (Gretton et al. 2005).
    learning_rate : Schedule
        Of Adam.
    revive : bool
        Draw the weights of dead dimensions (KL below 0.1 nats on validation rows; of a plain
        autoencoder, MAD below 0.02) anew at the start, with fresh optimiser moments.

    Raises
    ------
    ModelError
        If there is no step, or a schedule reaches below 0.
    """

    steps: int
    beta: Schedule
    blur: Schedule = field(default_factory=lambda: Schedule(0.0))
    continuum_weight: Schedule = field(default_factory=lambda: Schedule(1.0))
    learning_rate: Schedule = field(default_factory=lambda: Schedule(1e-3))
    revive: bool = False
    free_bits: Schedule = field(default_factory=lambda: Schedule(0.0))
    total_correlation: Schedule = field(default_factory=lambda: Schedule(0.0))
    decorrelation: Schedule = field(default_factory=lambda: Schedule(0.0))
    dependence: Schedule = field(default_factory=lambda: Schedule(0.0))

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ModelError(f"steps is {self.steps}; wanted at least 1")
        for name in SCHEDULES:
            schedule = getattr(self, name)
            if not (schedule.start >= 0 and schedule.last >= 0):
                raise ModelError(
                    f"{name} goes from {schedule.start} to {schedule.last}; wanted numbers not "
                    "below 0"
                )

    def uses(self, name: str) -> bool:
        """Whether a schedule is above 0 anywhere in this stage."""
        schedule: Schedule = getattr(self, name)
        return schedule.start > 0 or schedule.last > 0

    @property
    def settled(self) -> float:
        """Fraction of the stage from which what is minimised stays the same."""
        schedules: list[Schedule] = [getattr(self, name) for name in LOSS_SCHEDULES]
        return max(schedule.settled for schedule in schedules)
