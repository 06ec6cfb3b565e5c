"""From what each test says of rows to one trust and a verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.data import Latents
from latentscope.diagnostics.trust.places import Judged
from latentscope.diagnostics.trust.reference import Reference
from latentscope.diagnostics.trust.sample import Sample
from latentscope.diagnostics.trust.sets import alike
from latentscope.diagnostics.trust.words import reasons

Floats = NDArray[np.float64]

DOUBTFUL, OUTSIDE = 0.05, 0.001
"""Trust below which a row is doubtful, and outside."""

COVERAGE_SLACK = 0.1
"""A row that fills so much less of the grid than nearly all of the reference is doubtful."""

_COUNTED = ("misfit", "density", "resolution")


def judged_table(
    latents: Latents, rows: Sample, known: Reference, chosen: NDArray[np.int64] | None
) -> pd.DataFrame:
    """Return the table of a `ScoreResult`.

    Parameters
    ----------
    latents : Latents of n rows
    rows : Sample
        The same rows.
    known : Reference
    chosen : ndarray of int64, optional
        Rows that are the reference, in its order: these are judged as held out from it.
    """
    tests, part, ratio = _tests(rows, known, chosen)
    ids = latents.ids
    table = pd.DataFrame({"id": np.arange(len(rows)) if ids is None else ids})
    for name, judged in tests.items():
        table[f"{name}_percentile"] = judged.percentile
    edges = known.sample.edges if len(known.sample.edges) else rows.edges
    table["worst"], table["worst_ratio"] = _centres(edges, part), ratio
    table["coverage"], table["resolution"] = rows.coverage, rows.resolution
    table["trust"], corrected = _trust(_counted(tests), _counted(known.own))
    low = rows.coverage < known.lowest_coverage - COVERAGE_SLACK
    table["verdict"] = _verdicts(table["trust"].to_numpy(), low)
    table["reason"] = reasons(table, corrected, low, latents.column("error"), known)
    return table


def _tests(
    rows: Sample, known: Reference, chosen: NDArray[np.int64] | None
) -> tuple[dict[str, Judged], NDArray[np.int64], Floats]:
    """What each test says, and where the error is oddest (part of the spectrum, ratio)."""
    misfit, (part, ratio) = known.misfit.judge(rows)
    tests = {
        "recon": known.reconstruction.judge(rows),
        "misfit": misfit,
        "density": known.density.judge(rows),
        "resolution": known.resolution.judge(rows),
    }
    failed = ~np.isfinite(rows.values).all(axis=1)
    for name, judged in tests.items():
        judged.p[failed] = judged.percentile[failed] = np.nan
        if chosen is not None:
            judged.p[chosen], judged.percentile[chosen] = known.own[name]
    if chosen is not None:
        part[chosen], ratio[chosen] = known.misfit.own_oddest
    return tests, part, ratio


def _centres(edges: Floats, part: NDArray[np.int64]) -> Floats:
    """Central wavelength of the part of each row; NaN of -1, and where no edges are known."""
    if not len(edges):
        return np.full(len(part), np.nan)
    return np.where(part >= 0, ((edges[:-1] + edges[1:]) / 2)[part], np.nan)


def _counted(tests: dict[str, Judged]) -> Floats:
    """P-values that count, shape (n, 3): the error's own one where its pattern is not known."""
    error = np.where(np.isnan(tests["misfit"].p), tests["recon"].p, tests["misfit"].p)
    return np.stack([error, tests["density"].p, tests["resolution"].p], axis=1)


def _trust(given: Floats, reference: Floats) -> tuple[Floats, dict[str, Floats]]:
    """Trust of rows, and each test's p-value corrected for there being several."""
    out, corrected = np.full(len(given), np.nan), np.full(given.shape, np.nan)
    for there, some in alike(np.isfinite(given)):
        if there.any():
            whole = reference[np.isfinite(reference[:, there]).all(axis=1)][:, there]
            power = _power(whole.min(axis=1))
            fixed = _corrected(given[some][:, there], power)
            corrected[np.ix_(some, there)] = fixed
            out[some] = fixed.min(axis=1)
    return out, dict(zip(_COUNTED, corrected.T, strict=True))


def _power(smallest: Floats) -> float:
    """Number of independent tests of which 5 % of ordinary rows would have so small a p-value."""
    if not len(smallest):
        return 1.0
    return float(np.log1p(-DOUBTFUL) / np.log1p(-np.quantile(smallest, DOUBTFUL)))


def _corrected(p: Floats, power: float) -> Floats:
    """Chance that the smallest of `power` p-values is at most p (Sidak 1967)."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(power * np.log1p(-p)))


def _verdicts(trust: Floats, low_coverage: NDArray[np.bool_]) -> NDArray[np.object_]:
    verdict = np.full(len(trust), "ordinary", dtype=object)
    verdict[(trust < DOUBTFUL) | low_coverage] = "doubtful"
    verdict[trust < OUTSIDE] = "outside"
    verdict[np.isnan(trust)] = ""
    return verdict
