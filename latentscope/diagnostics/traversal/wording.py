"""What a traversal or a line map says, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from latentscope.diagnostics.traversal.line_changes import NOTICED, SURE, noticed, noticed_elements

if TYPE_CHECKING:
    from latentscope.diagnostics.traversal.traverse import TraversalResult

COLOUR_NOTICED = 0.005
"""Magnitudes per sigma below which the colour is said to stay."""

_LINES_NAMED, _ELEMENTS_NAMED = 5, 6
_AIR_NOTICED, _AIR_SHARE = 0.01, 0.5


def traversal_sentences(result: TraversalResult) -> list[str]:
    """Say what moving a dimension does: velocity, continuum, lines, bands of the air."""
    strongest, groups = line_words(result.lines), element_words(result.lines)
    words = [_velocity_words(result), _continuum_words(result)]
    if strongest:
        words.append(f"Lines that change most, in depth per sigma: {', '.join(strongest)}.")
    else:
        words.append(f"No line's depth changes by {NOTICED:g} per sigma or more.")
    if groups:
        words.append(f"By element: {', '.join(groups)}.")
    return [*words, *_air_sentence(result.lines)]


def map_sentence(row: dict[Any, Any], lines: pd.DataFrame) -> str:
    """Say in a line what one dimension of a line map does.

    Parameters
    ----------
    row : dict
        Of `LineMapResult.dims`.
    lines : DataFrame
        The rows of `LineMapResult.table` of this dimension.
    """
    share = percent(row["shift_explained"])
    parts = {
        "shift": [f"Doppler shift of {_kms(row)} per sigma (a shift explains {share})"],
        "partly": [f"shift of {_kms(row)} per sigma (but a shift explains only {share})"],
    }.get(row["verdict"], [])
    parts += element_words(lines)
    strongest = line_words(lines, most=3)
    if strongest:
        parts.append(f"most {', '.join(strongest)}")
    parts += _colour_part(row["colour_mag_per_sigma"])
    air = air_words(lines)
    parts += [f"air {air[0]}"] if air is not None and air[1] else []
    return f"dim {row['dim']}: {', '.join(parts) or 'changes nothing that is measured here'}"


def _kms(row: dict[Any, Any]) -> str:
    return f"{measured(row['rv_kms_per_sigma'], row['rv_error'])} km/s"


def _colour_part(change: float) -> list[str]:
    if not abs(change) >= COLOUR_NOTICED:
        return []
    return [f"{'redder' if change > 0 else 'bluer'} by {abs(change):.3f} mag"]


def _velocity_words(result: TraversalResult) -> str:
    dim, share = f"dim {result.dim}", percent(result.shift_explained)
    values, like = result.table["value"], result.comparable
    span = f"{values.min():.3g} to {values.max():.3g}"
    verdict = result.verdict
    if verdict == "unlike":
        return (
            f"{dim}: no velocity can be given; from {span}, {int((~like).sum())} of {len(like)} "
            "spectra are too unlike the base (cross-correlation below 0.5)."
        )
    others = int((~like).sum())
    aside = f" ({others} too unlike the base left out)" if others else ""
    per_unit, velocity = result.rv_per_unit, result.table["rv_kms"][like]
    moves = (
        f"{measured(per_unit.value, per_unit.error)} km/s per unit, "
        f"{signed(per_unit.value * result.unit)} km/s per sigma, receding positive{aside}"
    )
    if verdict == "none":
        return (
            f"{dim} is no Doppler shift: over the values {span} the lines stay within "
            f"{velocity.abs().max():.2g} km/s of the base{aside}, and shifts explain {share} of "
            "their change."
        )
    if verdict == "shift":
        reached = f"{signed(velocity.iloc[0])} to {signed(velocity.iloc[-1])} km/s"
        return (
            f"{dim} is a Doppler shift: {moves}; {reached} over the values {span}. Pure shifts "
            f"explain {share} of the change of the lines."
        )
    return (
        f"{dim} shifts the lines, {moves}, but this explains only {share} of their change: it does "
        "other things too."
    )


def _continuum_words(result: TraversalResult) -> str:
    colour, slope = result.colour_per_unit, result.slope_per_unit
    tilt = f"slope {measured(slope.value * result.unit, slope.error * result.unit)} per sigma"
    change, error = colour.value * result.unit, colour.error * result.unit
    if not np.isfinite(change):
        return f"Continuum: {tilt} (d ln flux / d ln wavelength; positive: redder)."
    if abs(change) < max(COLOUR_NOTICED, SURE * error):
        most = result.table["colour_mag"].abs().max()
        return (
            f"The continuum's colour (like B - V) stays within {max(most, 0.001):.3f} mag; {tilt}."
        )
    return (
        f"The continuum becomes {'redder' if change > 0 else 'bluer'}: "
        f"{measured(change, error)} mag per sigma in a colour like B - V; {tilt}."
    )


def line_words(lines: pd.DataFrame, most: int = _LINES_NAMED) -> list[str]:
    """Name the lines of the star whose depth changes most, and by how much."""
    moved = noticed(lines[lines["kind"] != "telluric"]).head(most)
    return [
        f"{row['line']} {measured(row['depth_per_sigma'], row['depth_error'])}"
        for row in moved.to_dict("records")
    ]


def element_words(lines: pd.DataFrame, most: int = _ELEMENTS_NAMED) -> list[str]:
    """Say for each element whether its lines deepen or weaken; the most changed first."""
    told = noticed_elements(lines[lines["kind"] != "telluric"])
    words = [
        f"{row['element']} depth {'+' if row['depth_per_sigma'] > 0 else '-'}"
        for row in told.to_dict("records")
    ]
    more = len(words) - most
    return words[:most] + ([f"and {more} more elements"] if more > 0 else [])


def air_words(lines: pd.DataFrame) -> tuple[str, bool] | None:
    """Return how the most changed band of the Earth's air changes, and whether it tells of airmass.

    None if all stay within 0.01 per sigma. The windows of these bands hold lines of the star too;
    so a change below half of the star's own largest one is no sign of airmass.
    """
    air = noticed(lines[lines["kind"] == "telluric"])
    air = air[air["depth_per_sigma"].abs() >= _AIR_NOTICED]
    if not len(air):
        return None
    star = lines.loc[lines["kind"] != "telluric", "depth_per_sigma"].abs().max()
    first = air.iloc[0]
    change = f"{first['line']} {measured(first['depth_per_sigma'], first['depth_error'])}"
    return change, not abs(first["depth_per_sigma"]) < _AIR_SHARE * star


def _air_sentence(lines: pd.DataFrame) -> list[str]:
    found = air_words(lines)
    if found is None:
        return []
    change, tells = found
    if tells:
        return [f"Bands of the Earth's air change, in depth per sigma {change}: perhaps airmass."]
    return [
        "Bands of the Earth's air change little beside the star's lines (in depth per sigma "
        f"{change}): no sign of airmass."
    ]


def measured(value: float, error: float) -> str:
    """Return value and error, to two digits of the error."""
    if not np.isfinite(error):
        return signed(value)
    digits = 4 if error == 0 else int(np.clip(1 - np.floor(np.log10(error)), 0, 4))
    return f"{value:+.{digits}f} ± {error:.{digits}f}"


def signed(value: float) -> str:
    """Return a number to three digits, with its sign."""
    return f"{value:+.3g}"


def percent(share: float) -> str:
    """Return a share as a percentage, with a digit where it matters."""
    if not np.isfinite(share):
        return "an unknown part"
    if 0.99 < share < 1:
        return f"{100 * share:.1f} %"
    return f"{100 * share:.0f} %".replace("-0 %", "0 %")
