"""What each sample gives against the whole, and how much of that is chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from latentscope.diagnostics.activity import MADResult
from latentscope.diagnostics.columns.groups import Groups
from latentscope.diagnostics.mi.nulls import false_discovery_rate
from latentscope.diagnostics.mi.result import SIGNIFICANT
from latentscope.diagnostics.robustness.samples import Sample


def compared_spread(
    samples: Sequence[Sample], spreads: Sequence[Sequence[MADResult]], groups: Groups
) -> pd.DataFrame:
    """Return how many dimensions are informative on each sample, and which come and go.

    Returns
    -------
    DataFrame
        `sample, draws, n, n_stars, informative, low, high, gained, lost`.
    """
    whole = np.array(spreads[0][0].values > spreads[0][0].threshold)
    return pd.DataFrame(
        [
            _counted(sample, found, groups, whole)
            for sample, found in zip(samples, spreads, strict=True)
        ]
    )


def _counted(
    sample: Sample, found: Sequence[MADResult], groups: Groups, whole: NDArray[np.bool_]
) -> dict[str, Any]:
    informative = np.array([result.values > result.threshold for result in found])
    counts, mostly = informative.sum(axis=1), informative.mean(axis=0) > 0.5
    n, stars = _sizes(sample, groups)
    return {
        "sample": sample.name,
        "draws": len(found),
        "n": n,
        "n_stars": stars,
        "informative": int(np.median(counts)),
        "low": int(counts.min()),
        "high": int(counts.max()),
        "gained": _list(mostly & ~whole),
        "lost": _list(~mostly & whole),
    }


def _list(which: NDArray[np.bool_]) -> str:
    return " ".join(map(str, np.flatnonzero(which)))


def _sizes(sample: Sample, groups: Groups) -> tuple[int, int]:
    """Rows and stars of a sample, the median over its draws."""
    stars = [len(np.unique(groups.codes[rows])) for rows in sample.draws]
    return int(np.median([len(rows) for rows in sample.draws])), int(np.median(stars))


def compared_information(
    samples: Sequence[Sample],
    tables: Sequence[Sequence[pd.DataFrame]],
) -> pd.DataFrame:
    """Return the information of each pair on each sample, and its difference to the whole.

    Parameters
    ----------
    samples : list of Sample
        The whole first.
    tables : list of lists of DataFrame
        Of `mi_matrix`, for each draw of each sample.

    Returns
    -------
    DataFrame
        As `RobustnessResult.mi`.
    """
    whole = _pairs(tables[0])
    parts = []
    for sample, found in zip(samples, tables, strict=True):
        pairs = _pairs(found).reindex(whole.index)
        parts.append(_against(sample, pairs, whole))
    table = pd.concat(parts, ignore_index=True)
    table["q_value"] = false_discovery_rate(table["p_value"].to_numpy(dtype=np.float64))
    table["significant"] = table["q_value"] < SIGNIFICANT
    return table


def _pairs(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean over the draws, their scatter, and the error of one, by (label, dim)."""
    joined = pd.concat(tables)
    joined["variance"] = joined["std_nats"] ** 2
    by_pair = joined.groupby(["label", "dim"], sort=False)
    return pd.DataFrame(
        {
            "mi_nats": by_pair["mi_nats"].mean(),
            "std_nats": np.sqrt(by_pair["variance"].mean()),
            "scatter": by_pair["mi_nats"].std(ddof=1),
            "draws": by_pair["mi_nats"].count(),
            "n": by_pair["n"].median().astype(int),
            "n_stars": by_pair["n_groups"].median().astype(int),
        }
    )


def _against(sample: Sample, pairs: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    difference = pairs["mi_nats"] - whole["mi_nats"]
    error = _error(sample, pairs, whole)
    table = pairs.assign(
        whole=whole["mi_nats"],
        difference=difference,
        std_difference=error,
        p_value=2 * norm.sf(np.abs(difference / error.where(error > 0))),
    )
    table.insert(0, "sample", sample.name)
    return table.reset_index()[
        ["sample", "label", "dim", "mi_nats", "std_nats", "scatter", "whole", "difference",
         "std_difference", "p_value", "draws", "n", "n_stars"]
    ]  # fmt: skip


def _error(sample: Sample, pairs: pd.DataFrame, whole: pd.DataFrame) -> pd.Series:
    """Error of the difference to the whole that the sample is part of."""
    if sample.kind == "whole":
        return pairs["std_nats"] * np.nan
    if sample.kind in ("repeats", "single"):
        # The same stars: a change within the error of the whole says nothing.
        return whole["std_nats"]
    return nested_error(pairs["std_nats"], whole["std_nats"], pairs["n_stars"], whole["n_stars"])


def nested_error(
    part: pd.Series, whole: pd.Series, part_stars: pd.Series, whole_stars: pd.Series
) -> pd.Series:
    """Error of the difference between a sample and the whole that it is part of.

    sqrt(s^2 + w^2 - 2 sqrt(m / n) s w): with s^2 = sigma^2 / m and w^2 = sigma^2 / n this is
    sigma^2 (1/m - 1/n), since the m stars are among the n.

    Parameters
    ----------
    part, whole : Series
        Errors s and w.
    part_stars, whole_stars : Series
        m and n.
    """
    shared = (part_stars / whole_stars).clip(upper=1.0) ** 0.5
    variance: pd.Series = part**2 + whole**2 - 2 * shared * part * whole
    # Of equal errors and stars, rounding may leave it below 0.
    return variance.clip(lower=0.0) ** 0.5
