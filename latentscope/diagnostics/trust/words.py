"""Why a row is not ordinary, in words."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics.trust.reference import Reference

Floats = NDArray[np.float64]

NOTICED = 0.05
"""A test is named where its p-value, corrected for the number of tests, is below this."""

# First and last wavelength, Angstrom in air, and what is there.
_FEATURES = (
    (3925.0, 3978.0, "Ca H and K"),
    (4093.0, 4110.0, "H-delta"),
    (4290.0, 4320.0, "G band of CH"),
    (4332.0, 4349.0, "H-gamma"),
    (4852.0, 4870.0, "H-beta"),
    (5160.0, 5190.0, "Mg b"),
    (5884.0, 5902.0, "Na D"),
    (6552.0, 6573.0, "H-alpha"),
    (6867.0, 6944.0, "O2 of the air"),
    (7594.0, 7700.0, "O2 of the air"),
)


def reasons(
    table: pd.DataFrame,
    corrected: dict[str, Floats],
    low_coverage: NDArray[np.bool_],
    errors: NDArray[np.object_] | None,
    reference: Reference,
) -> list[str]:
    """Return one line a row; empty for an ordinary one."""
    out = [""] * len(table)
    names = list(corrected)
    p = np.stack([corrected[name] for name in names], axis=1)
    features = feature_names(reference.sample.edges)
    odd = np.flatnonzero((table["verdict"] != "ordinary").to_numpy())
    columns = {str(name): table[name].to_numpy() for name in table}
    for row in odd.tolist():
        if not columns["verdict"][row]:
            out[row] = _no_latents(errors, row)
            continue
        named = [names[i] for i in np.argsort(p[row]) if p[row, i] < NOTICED]
        said = [_WORDS[name](columns, row, features) for name in named]
        if low_coverage[row]:
            said.append(
                f"fills {100 * columns['coverage'][row]:.0f} % of the grid, the reference "
                f"{100 * reference.lowest_coverage:.0f} % and more"
            )
        out[row] = "; ".join(said)
    return out


def feature_names(edges: Floats) -> dict[float, str]:
    """Names of what lies in each part of the spectrum, by its central wavelength."""
    named = {}
    for first, last in pairwise(edges):
        inside = [name for low, high, name in _FEATURES if low < last and high > first]
        named[(first + last) / 2] = ", ".join(dict.fromkeys(inside))
    return named


def _no_latents(errors: NDArray[np.object_] | None, row: int) -> str:
    reason = None if errors is None or pd.isna(errors[row]) else str(errors[row])
    return f"no latents: {reason}" if reason else "no latents"


def _misfit(columns: dict[str, Any], row: int, features: dict[float, str]) -> str:
    if np.isnan(columns["misfit_percentile"][row]):
        return f"reconstruction worse than {_percent(columns['recon_percentile'][row])}"
    said = f"reconstruction odder than {_percent(columns['misfit_percentile'][row])}"
    worst = columns["worst"][row]
    if not np.isnan(worst):
        name = features.get(worst, "")
        said += f", most near {worst:,.0f} A" + (f" ({name})" if name else "")
        said += f": error {columns['worst_ratio'][row]:.2g} times what the rest suggests"
    return said


def _density(columns: dict[str, Any], row: int, features: dict[float, str]) -> str:
    emptier = _percent(100 - columns["density_percentile"][row])
    return f"latents in an emptier place than {emptier}"


def _resolution(columns: dict[str, Any], row: int, features: dict[float, str]) -> str:
    percentile = columns["resolution_percentile"][row]
    side, share = ("below", 100 - percentile) if percentile < 50 else ("above", percentile)
    measured = columns["resolution"][row]
    return f"resolution {measured:,.0f}, {side} {_percent(share)}"


_WORDS = {"misfit": _misfit, "density": _density, "resolution": _resolution}


def _percent(share: float) -> str:
    """At most 99.9, since a sample cannot tell more."""
    return f"{min(np.floor(10 * share) / 10, 99.9):.1f} % of the reference"
