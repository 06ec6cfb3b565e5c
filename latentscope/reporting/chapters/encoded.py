"""Chapter 1: what was encoded, and whether it can be trusted."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics.trust import VERDICTS, ScoreResult
from latentscope.reporting.medians import median_error
from latentscope.reporting.parts import Column, Part, Table
from latentscope.reporting.pictures import picture
from latentscope.reporting.plan import Plan, Step
from latentscope.reporting.study import Study

QUALITY = {
    "coverage": "share of the model's wavelengths that the spectrum fills",
    "snr": "signal-to-noise ratio a pixel",
    "recon_error": "error of the reconstruction, relative to the flux",
}
"""Columns that `encode` writes beside latents."""

_COMMON_ERRORS = 5
_FEWEST_ROWS = 100
_WORST = 50


def rows(study: Study) -> Part:
    """Count rows, failures and stars, and summarise the quality columns."""
    latents = study.latents
    n, finite = len(latents), study.finite
    failed = n - finite
    by = f" by {latents.provenance['model']}" if "model" in latents.provenance else ""
    stars = "" if study.stars is None else f" of {study.star_count:,} stars"
    lost = f"{failed:,} of them failed." if failed else "None failed."
    headline = f"{n:,} spectra{stars} were encoded into {latents.dims} numbers each{by}. {lost}"
    table = _quality(study)
    return Part(
        headline,
        (headline,),
        (*_errors(study), *_repeats(study)),
        () if table is None else (table,),
        provenance={"rows": n, "rows_finite": finite, "dims": latents.dims},
    )


def _errors(study: Study) -> list[str]:
    """Name the reasons why rows failed, the most common first."""
    errors = study.latents.column("error")
    if errors is None:
        return []
    counted = pd.Series(errors[~study.latents.ok]).dropna().value_counts()
    lines = [f"failed, {count:,} rows: {text}" for text, count in counted.items()]
    more = len(lines) - _COMMON_ERRORS
    return lines[:_COMMON_ERRORS] + ([f"and {more:,} other errors"] if more > 0 else [])


def _repeats(study: Study) -> list[str]:
    if study.stars is None:
        return []
    counts = np.unique(study.stars[study.latents.ok], return_counts=True)[1]
    return [
        f"rows a star: {np.median(counts):g} in the median, {counts.max():,} at most; stars, not "
        "rows, are taken for independent"
    ]


def _quality(study: Study) -> Table | None:
    found = []
    for name, meaning in QUALITY.items():
        column = study.latents.column(name)
        if column is None:
            continue
        values = pd.to_numeric(pd.Series(column), errors="coerce").to_numpy(dtype=np.float64)
        known = np.isfinite(values)
        if known.any():
            found.append(_quantiles(name, meaning, values[known], study.independent(known)))
    if not found:
        return None
    columns = (
        Column("column", "column"),
        Column("median", "median", error="median_std"),
        Column("low", "2.5 %", mixed=True),
        Column("high", "97.5 %", mixed=True),
        Column("n", "n", hint="rows that have the value"),
        Column("meaning", "what it is"),
    )
    caption = "Quality of the encoded spectra: median and the range that holds 95 % of the rows."
    return Table("quality", caption, pd.DataFrame(found), columns)


def _quantiles(
    name: str, meaning: str, values: NDArray[np.float64], independent: int
) -> dict[str, object]:
    low, median, high = np.quantile(values, [0.025, 0.5, 0.975])
    return {
        "column": name,
        "median": median,
        "median_std": median_error(values, independent),
        "low": low,
        "high": high,
        "n": len(values),
        "meaning": meaning,
    }


def trust(study: Study) -> Part:
    """Count the spectra that the model knows, and name those it does not."""
    from latentscope.models.trust import sample_beside, score

    study.check_rows(_FEWEST_ROWS)
    sample = None if study.model is None else sample_beside(study.model)
    with study.stage("trust"):
        result = score(study.latents, reference=sample, groups=study.stars, seed=study.seed)
    told = result.sentences(0)
    drawn = picture(
        result.plot(),
        "Trust of every row, sorted: the chance that an ordinary spectrum looks as odd. Ordinary "
        "spectra follow the dashed line; what drops below it the model does not know.",
        "Sorted trust of all rows against the share of rows with at most this trust.",
    )
    tables = (_verdicts_table(result, study), _odd_table(result))
    ranked = ", ranked among themselves" if result.provenance["own_reference"] else ""
    headline = _sentence(told[0] + ranked)
    return Part(headline, (), tuple(told), tables, (drawn,), result.provenance)


def _sentence(line: str) -> str:
    return line[:1].upper() + line[1:] + "."


def _verdicts_table(result: ScoreResult, study: Study) -> Table:
    counts = {name: result.counts[name] for name in VERDICTS}
    n = sum(counts.values())
    shares = [count / n if n else float("nan") for count in counts.values()]
    stars = study.star_count
    frame = pd.DataFrame(
        {
            "verdict": list(counts),
            "rows": list(counts.values()),
            "percent": [100 * share for share in shares],
            "percent_std": [100 * (share * (1 - share) / stars) ** 0.5 for share in shares],
            "n": n,
        }
    )
    columns = (
        Column("verdict", "verdict"),
        Column("rows", "rows"),
        Column("percent", "percent", error="percent_std", hint="binomial error, of stars"),
        Column("n", "n"),
    )
    return Table("verdicts", "How many spectra the model knows.", frame, columns)


def _odd_table(result: ScoreResult) -> Table:
    columns = (
        Column("id", "id"),
        Column("verdict", "verdict"),
        Column("trust", "trust", hint="chance that an ordinary spectrum looks as odd"),
        Column("recon_percentile", "error (%)", hint="percentile of the reconstruction error"),
        Column("misfit_percentile", "misfit (%)", hint="percentile of its pattern"),
        Column("density_percentile", "emptiness (%)", hint="percentile of the density of latents"),
        Column("resolution_percentile", "resolution (%)"),
        Column("reason", "reason"),
    )
    worst = result.worst.head(_WORST).reset_index(drop=True)
    caption = "The rows that are trusted least. The command score writes all of them."
    return Table("odd", caption, worst, columns, open_rows=6)


ENCODED = Plan(
    "encoded",
    "What was encoded, and can it be trusted?",
    (Step("rows", "Rows, failures, quality", rows), Step("trust", "Trust", trust)),
)
