"""Whether a change of the spectrum is a Doppler shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.traversal.regression import Rate
from latentscope.diagnostics.traversal.velocity import Floats, Velocity

Verdict = Literal["shift", "partly", "none", "unlike"]

UNLIKE = 0.5
"""Height of the cross-correlation below which two spectra are too unlike to have a velocity."""

SHIFTS = 0.5
"""Share of the change explained by shifts from which a dimension is called a Doppler shift."""

_STILL_SHARE, _STILL_KMS, _SURE = 0.05, 0.5, 3.0


def comparable(velocity: Floats, correlation: Floats) -> NDArray[np.bool_]:
    """Which spectra are like the base enough to have a velocity against it."""
    return np.isfinite(velocity) & (correlation >= UNLIKE)


def verdict(velocity: Floats, correlation: Floats, per_unit: Rate, explained: float) -> Verdict:
    """Judge a dimension by the velocities of its spectra against the base.

    Parameters
    ----------
    velocity : ndarray, shape (k,)
        Km/s.
    correlation : ndarray, shape (k,)
        Height of the cross-correlation's peak.
    per_unit : Rate
        Km/s per unit of the latent.
    explained : float
        Share of the change that shifts explain.

    Returns
    -------
    {"shift", "partly", "none", "unlike"}
        "unlike": more than half of the spectra correlate with the base by less than 0.5, so that
        there is no velocity to speak of. "none": the lines stay (the others lie within 0.5 km/s of
        the base, the rate is within three errors of 0, or shifts explain less than 5 % of the
        change). "shift": they move, and that explains at least half of the change. "partly": they
        move, and other changes are larger.
    """
    like = comparable(velocity, correlation)
    if like.sum() < max(2, len(like) / 2):
        return "unlike"
    still = float(np.abs(velocity[like]).max()) < _STILL_KMS
    sure = abs(per_unit.value) > _SURE * per_unit.error
    if still or not sure or not explained > _STILL_SHARE:
        return "none"
    return "shift" if explained >= SHIFTS else "partly"


def explained_by_shift(velocities: Sequence[Velocity]) -> float:
    """Share of the summed squared change of the line contrast that shifts take away.

    For small shifts it is the squared correlation of the change with the derivative of the base
    with respect to ln(wavelength). NaN where nothing changes.
    """
    before = sum(velocity.before for velocity in velocities)
    after = sum(velocity.after for velocity in velocities)
    return 1.0 - after / before if before > 0 else float("nan")
