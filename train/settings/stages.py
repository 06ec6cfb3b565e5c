"""How the loss and the learning rate change during a run: schedules and stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from latentscope.errors import ModelError

Curve = Literal["linear", "geometric"]


@dataclass(frozen=True)
class Schedule:
    """A number that changes during a stage.

    Held at `start` for the fraction `hold` of the stage, then moved to `end` until the fraction
    `until`, then held there. "linear" may be bent by `power`: the remaining way to `end` falls as
    (1 - progress) ** power.

    Parameters
    ----------
    start, end : float
        Values; `end` defaults to `start`.
    hold, until : float
        Fractions of the stage; with `until` above 1 the stage ends on the way.
    curve : {"linear", "geometric"}
        Geometric changes by equal factors.
    power : float
        Exponent of the linear curve.
    """

    start: float
    end: float | None = None
    hold: float = 0.0
    until: float = 1.0
    curve: Curve = "linear"
    power: float = 1.0

    def __post_init__(self) -> None:
        if self.curve not in get_args(Curve):
            raise ModelError(f"curve is {self.curve!r}; wanted one of {', '.join(get_args(Curve))}")
        if not 0 <= self.hold <= self.until:
            raise ModelError(f"hold {self.hold}, until {self.until}; wanted 0 <= hold <= until")
        if self.curve == "geometric" and not (self.start > 0 and (self.end or 1.0) > 0):
            raise ModelError(
                f"geometric from {self.start} to {self.end}; wanted two positive numbers"
            )

    def at(self, fraction: float) -> float:
        """Value at a fraction (0 to 1) of the stage."""
        end = self.start if self.end is None else self.end
        span = max(self.until - self.hold, 1e-12)
        progress = min(max((fraction - self.hold) / span, 0.0), 1.0)
        if self.curve == "geometric":
            return float(self.start * (end / self.start) ** progress)
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
    blur : Schedule
        Standard deviation in pixels of the Gaussian that smooths the residual of the line contrast
        before it is squared. A wide blur lets a network find a shift first.
    continuum_weight : Schedule
        Factor of the squared residual of the log continuum.
    learning_rate : Schedule
        Of Adam.
    revive : bool
        Draw the weights of dead dimensions (KL below 0.1 nats on validation rows) anew at the
        start, with fresh optimiser moments.
    """

    steps: int
    beta: Schedule
    blur: Schedule = field(default_factory=lambda: Schedule(0.0))
    continuum_weight: Schedule = field(default_factory=lambda: Schedule(1.0))
    learning_rate: Schedule = field(default_factory=lambda: Schedule(1e-3))
    revive: bool = False
