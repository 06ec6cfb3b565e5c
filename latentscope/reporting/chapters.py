"""The chapters of a report: questions in the order of asking, and the parts that answer them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics import comparison
from latentscope.diagnostics.disentanglement import metrics
from latentscope.diagnostics.exclusive import compare, exclusive_information
from latentscope.diagnostics.meaning import Meaning, dimension_meanings, meaning_lines
from latentscope.diagnostics.mi.api import SIGNIFICANT, MIResult, mi_matrix, q_values
from latentscope.diagnostics.probe import ReaderName, probe
from latentscope.diagnostics.robustness import HALF, REPEATS, WHOLE, RobustnessResult, robustness
from latentscope.diagnostics.study import observed
from latentscope.diagnostics.threshold import SAID_BY
from latentscope.diagnostics.track import TIMES, track
from latentscope.diagnostics.trust import VERDICTS
from latentscope.errors import EstimatorError, LatentscopeWarning, shortened
from latentscope.plots.information import plot_dim_against_label
from latentscope.plots.pairs import MAX_DIMS, plot_pairs
from latentscope.plots.style import companion, label_name
from latentscope.reporting.document import (
    Chapter,
    Column,
    NotPossible,
    Outcome,
    Part,
    Picture,
    ReportStudy,
    Table,
)
from latentscope.reporting.page import part_html, whole_numbers, with_error
from latentscope.reporting.words import ALTS, COLUMNS, PICTURES, TABLES
from latentscope.workers import counted


@dataclass(frozen=True)
class Step:
    """A part to be made: its anchor, its heading, and what makes it.

    `make` raises NotPossible where something is missing. A part that few need is left out without
    a word unless `wanted` says that there is something to show.
    """

    key: str
    title: str
    make: Callable[[ReportStudy], Part]
    wanted: Callable[[ReportStudy], object] = lambda study: True


@dataclass(frozen=True)
class Plan:
    """A question, its anchor, and the parts to be made of it."""

    key: str
    question: str
    steps: tuple[Step, ...]


_MEASURED = "q_value, n, n_groups, estimator"
"""Columns of every table of information, behind its nats; report.json has more."""


def _table(
    name: str, frame: pd.DataFrame, columns: str, *, by: str | None = None, **shown: int
) -> Table:
    """Make a table of the columns named, some with a heading of their own: "dim, mi_nats=shared".

    Columns that the frame lacks are left out; rows are in descending order `by` a column.
    """
    if by is not None:
        frame = frame.sort_values(by, ascending=False, kind="stable", ignore_index=True)
    found = {}
    for column, _, heading in (it.partition("=") for it in columns.split(", ")):
        known = COLUMNS.get(column, Column(column))
        ends = (known.error, *(known.interval or ()))
        if not {one for one in ends if one} <= set(frame):
            known = replace(known, error=None, interval=None)
        if column in frame:
            found[column] = replace(known, heading=heading or known.heading)
    return Table(name, TABLES[name], frame, found, **shown)


def _drawn(key: str, axes: Any, *, raster: bool = False, **named: object) -> Picture:
    caption, alt = PICTURES[key].format(**named), ALTS[key].format(**named)
    return Picture.of(axes, caption, alt, raster=raster)


# 1. What was encoded

_QUALITY = {
    "coverage": "share of the model's wavelengths that the spectrum fills",
    "snr": "signal-to-noise ratio per pixel",
    "recon_error": "error of the reconstruction, relative to the flux",
}
"""Columns that `encode` writes beside latents."""

_COMMON_ERRORS = 5
_FEWEST_OF_TRUST = 100
_WORST = 50


def rows(study: ReportStudy) -> Part:
    """Count rows, failures and stars, and summarize the quality columns."""
    latents, groups = study.latents, study.data.groups
    n, failed = len(latents), len(latents) - study.finite
    by = f" by {latents.provenance['model']}" if "model" in latents.provenance else ""
    stars = "" if groups is None else f" of {study.star_count:,} stars"
    lost = f"{failed:,} of them failed." if failed else "None failed."
    lines = _errors(study)
    if groups is not None:
        counts = np.unique(groups.codes[latents.ok], return_counts=True)[1]
        lines.append(
            f"rows per star: {np.median(counts):g} in the median, {counts.max():,} at most; stars, "
            "not rows, are taken for independent"
        )
    return Part(
        f"{n:,} spectra{stars} were encoded into {latents.dims} numbers each{by}. {lost}",
        lines=lines,
        tables=_quality(study),
        provenance={"rows": n, "rows_finite": study.finite, "dims": latents.dims},
    )


def _errors(study: ReportStudy) -> list[str]:
    """Name the reasons why rows failed, the most common first."""
    errors = study.latents.column("error")
    if errors is None:
        return []
    counted = pd.Series(errors[~study.latents.ok]).dropna().value_counts()
    lines = [f"failed, {count:,} rows: {text}" for text, count in counted.items()]
    more = len(lines) - _COMMON_ERRORS
    return lines[:_COMMON_ERRORS] + ([f"and {more:,} other errors"] if more > 0 else [])


def _quality(study: ReportStudy) -> list[Table]:
    found = []
    for name, meaning in _QUALITY.items():
        column = study.latents.column(name)
        if column is None:
            continue
        values = pd.to_numeric(pd.Series(column), errors="coerce").to_numpy(dtype=np.float64)
        finite = np.isfinite(values)
        if finite.any():
            values, independent = values[finite], study.independent(finite)
            low, median, high = np.quantile(values, [0.025, 0.5, 0.975])
            error = median_error(values, independent)
            found.append((name, median, error, low, high, len(values), meaning))
    if not found:
        return []
    names = ["column", "median", "median_std", "low", "high", "n", "meaning"]
    return [
        _table(
            "quality", pd.DataFrame(found, columns=names), "column, median, low, high, n, meaning"
        )
    ]


def median_error(values: NDArray[np.float64], independent: int) -> float:
    """Standard error (68 %) of the median: half the distance of the ranks that enclose it.

    The number of values below the true median is binomial, with a standard deviation of half the
    root of the number of independent values, such as stars (W. J. Conover, "Practical Nonparametric
    Statistics", 3rd ed. 1999, section 3.2).
    """
    half = 0.5 / np.sqrt(independent)
    below, above = np.quantile(values, [max(0.5 - half, 0.0), min(0.5 + half, 1.0)])
    return float(above - below) / 2


def mad_error(values: NDArray[np.float64], independent: int) -> float:
    """Standard error (68 %) of the median absolute deviation, the median taken as known."""
    return median_error(np.abs(values - np.median(values)), independent)


def trust(study: ReportStudy) -> Part:
    """Count the spectra that the model knows, and name those it does not."""
    from latentscope.models.trust import sample_beside, score

    groups = study.data.groups
    sample = None if study.model is None else sample_beside(study.model)
    if sample is None:
        # Without ordinary spectra to compare with, rows are ranked among themselves.
        study.check_rows(_FEWEST_OF_TRUST)
    with study.stage("trust"):
        result = score(
            study.latents,
            reference=sample,
            groups="auto" if groups is None else groups.codes,
            seed=study.seed,
        )
    first, *findings = result.sentences(0)
    ranked = ", ranked among themselves" if result.provenance["own_reference"] else ""
    counts = {name: result.counts[name] for name in VERDICTS}
    share = pd.Series(counts) / sum(counts.values())
    verdicts = pd.DataFrame(
        {
            "verdict": list(counts),
            "rows": list(counts.values()),
            "percent": 100 * share.to_numpy(),
            "percent_std": 100 * (share * (1 - share) / study.star_count).to_numpy() ** 0.5,
            "n": sum(counts.values()),
        }
    )
    return Part(
        f"{first[:1].upper()}{first[1:]}{ranked}.",
        lines=findings,
        tables=[
            _table("verdicts", verdicts, "verdict, rows, percent, n"),
            _table(
                "odd",
                result.worst.head(_WORST).reset_index(drop=True),
                "id, verdict, trust, reason, recon_percentile, density_percentile",
                open_rows=5,
                max_rows=10,
            ),
        ],
        pictures=[_drawn("trust", result.plot())],
        provenance=result.provenance,
    )


# 2. How many dimensions matter

_FEWEST_STARS = 100


def spread(study: ReportStudy) -> Part:
    """Show the spread of each dimension."""
    result = study.activity
    count, dims = len(result.informative), len(result.values)
    whose = "" if result.threshold_from == "model" else f" ({SAID_BY[result.threshold_from]})"
    values = study.latents.values[study.latents.ok]
    errors = [mad_error(values[:, dim].astype(float), study.star_count) for dim in range(dims)]
    columns = "dim, mad, informative, above_gap, active, kl_nats, std"
    return Part(
        f"{count} of {dims} dimensions are informative: their median absolute deviation exceeds "
        f"{result.threshold:.3g}{whose}; n = {result.n:,}.",
        lines=result.sentences()[1:],
        tables=[
            _table(
                "mad",
                result.table.assign(mad_std=errors, n=result.n),
                columns,
                by="mad",
                max_rows=max(count, 10),  # those that are switched off are in the .json
            )
        ],
        pictures=[_drawn("spread", result.plot())],
        provenance=result.provenance,
    )


def information(study: ReportStudy) -> Part:
    """Show what each dimension carries, and what it adds to the others."""
    study.check_stars(_FEWEST_STARS)
    alone = replace(study.data, labels=None)
    result = study.run("information of dimensions", exclusive_information, alone, seed=study.seed)
    agreement = compare(study.activity, result)
    count, differ = len(result.informative), [*agreement.only_varying, *agreement.only_adding]
    verdict = (
        ", the same ones"
        if agreement.agree
        else f"; the two answers agree on {len(agreement.both)} and differ in {len(differ)}"
    )
    carried = result.table.assign(n=result.n)
    carried["partner"] = pd.Series(whole_numbers(carried["partner"]), dtype=object)
    return Part(
        f"By the information that they add, {count} dimensions matter (n = {result.n:,}){verdict}.",
        lines=[*result.sentences(), *agreement.sentences()],
        tables=[
            _table(
                "order",
                result.order.assign(n=result.n),
                "step, dim, gain_nats, p_value, adds=significant, total_nats, n",
            ),
            _table(
                "exclusive",
                carried,
                "dim, carried_nats, carried_p_value, rest_nats, partner, partner_nats, exclusive, "
                "adds, n",
                by="carried_nats",
                open_rows=0,
            ),
        ],
        pictures=[_drawn("information", result.plot())],
        provenance=result.provenance,
        open_lines=3,
    )


# 3. Are they separate

_KINDS_OF_STARS = ("spec_type", "spectral_type", "sp_type", "spectype", "class", "teff")


def shared(study: ReportStudy) -> Part:
    """Show what informative dimensions share."""
    result = study.shared
    pairs, count = len(result.table), len(result.significant)
    headline = f"None of {pairs:,} pairs of dimensions shares anything significant (q < 0.05)."
    if count:
        headline = (
            f"{count:,} of {pairs:,} pairs of dimensions share{'s' * (count == 1)} something "
            f"significant (q < 0.05); the strongest: {result.sentences(1)[0]}."
        )
    return Part(
        headline,
        study.measured_on(),
        tables=[
            _table(
                "pairwise",
                result.table,
                f"dim_x=dim, dim_y=with dim, mi_nats=shared (nats), {_MEASURED}",
                by="mi_nats",
                open_rows=5,
            )
        ],
        pictures=[_drawn("shared", result.plot())],
        provenance=result.provenance,
    )


def scatter(study: ReportStudy) -> Part:
    """Draw the informative dimensions against one another, colored by a label if there is one."""
    pairs, label = study.shared, _colored_by(study)
    strongest = pairs.matrix.max(axis=0).sort_values(ascending=False, kind="stable")
    dims = sorted(int(dim) for dim in strongest.index[:MAX_DIMS])
    axes = plot_pairs(
        study.latents,
        dims,
        None if label is None else study.data.label_table[label].to_numpy(),
        name=label or "label",
        discrete=study.data.kinds.get(label or "", "auto"),
        pairs=pairs,
        seed=study.seed,
    )
    by = "" if label is None else f", colored by {label}"
    few = len(dims) < len(pairs.dims)
    drawn = f"Drawn: the {len(dims)} of {len(pairs.dims)} dimensions that share most."
    return Part(
        paragraphs=[drawn] if few else [],
        pictures=[_drawn("scatter", axes, raster=True, by=by, dims=", ".join(map(str, dims)))],
    )


def _colored_by(study: ReportStudy) -> str | None:
    """Choose the label that colors: the kind of star as in the paper, or what is known best."""
    if study.data.labels is None:
        return None
    names = [str(name) for name in study.data.labels.columns]
    names = [name for name in names if study.columns is None or name in study.columns]
    kinds = [name for name in names if name.lower() in _KINDS_OF_STARS]
    if kinds:
        return min(kinds, key=lambda name: _KINDS_OF_STARS.index(name.lower()))
    return str(study.information.best["label"].iloc[0])


def disentanglement(study: ReportStudy) -> Part:
    """Show measures of disentanglement beside those of other axes."""
    sample, dims = study.labelled_sample, study.shared.dims
    study.check_stars(_FEWEST_STARS)
    result = study.run(
        "disentanglement", metrics, sample, dims=dims, columns=study.columns,
        n_halves=study.effort.n_halves, seed=study.seed
    )  # fmt: skip
    headline, *findings = result.sentences()
    columns = "estimator, value, rotation, pca, verdict"
    by_label = result.table[result.table["label"] != "mean"].reset_index(drop=True)
    return Part(
        headline,
        study.measured_on(),
        [*findings, *result.notes],
        [
            _table("metrics", result.headlines, f"metric, {columns}"),
            _table("metrics_by_label", by_label, f"metric, label, {columns}", open_rows=0),
        ],
        [_drawn("disentanglement", result.plot())],
        result.provenance,
        open_lines=0,
    )


# 4. What each means


def meanings(study: ReportStudy) -> Part:
    """Say in words what each informative dimension follows."""
    sample, information = study.labelled_sample, study.information
    found = dimension_meanings(
        sample.latents.values, sample.label_table, study.activity, information
    )
    found = [it for it in found if it.dim in study.dims]
    table = _meanings_table(found, information)
    matched = table.frame.dropna(subset="label")
    pairs = shortened(
        f"{row['dim']} {row['label']} ({with_error(row['mi_nats'], row['std_nats'])})"
        for row in matched.to_dict("records")
    )
    silent = len(found) - len(matched)
    rest = f"; {silent} match no label" if silent else ""
    return Part(
        f"Dimension and label that it knows most of (nats): {pairs}{rest}."
        if pairs
        else "No dimension follows any of the labels significantly.",
        lines=meaning_lines(found),
        tables=[table],
        open_lines=0,
    )


def _meanings_table(found: list[Meaning], information: MIResult) -> Table:
    frame = pd.DataFrame(
        {
            "dim": [it.dim for it in found],
            "label": [it.label for it in found],
            "correlation": [it.correlation for it in found],
        }
    )
    kept = ["dim", "label", "mi_nats", "std_nats", "p_value", *_MEASURED.split(", ")]
    frame = frame.merge(information.table[kept], how="left", on=["dim", "label"])
    for name in ("n", "n_groups"):
        frame[name] = pd.Series(whole_numbers(frame[name]), dtype=object)
    # Of Fisher's z, by D. G. Bonett, T. A. Wright, Psychometrika 65, 23 (2000), carried back.
    variance = (1 + frame["correlation"] ** 2 / 2) / (frame["n_groups"].astype(float) - 3)
    frame["correlation_std"] = (1 - frame["correlation"] ** 2) * variance**0.5
    return _table(
        "meanings",
        frame,
        f"dim, label=knows most of, mi_nats, correlation=rank correlation, {_MEASURED}",
    )


def labels(study: ReportStudy) -> Part:
    """Show what each informative dimension knows of each label."""
    result = study.information
    count, pairs = len(result.significant), len(result.table)
    text = f"{count:,} of {pairs:,} pairs of dimension and label are significant (q < 0.05)."
    return Part(
        paragraphs=[text, *study.measured_on()],
        lines=result.notes,
        tables=[_information_table("mi", result)],
        pictures=[_drawn("labels", result.plot())],
        provenance=result.provenance,
    )


def _information_table(name: str, result: MIResult, **shown: int) -> Table:
    return _table(name, result.table, f"dim, label, mi_nats, {_MEASURED}", by="mi_nats", **shown)


_MOST_PICTURES = 8


def against_labels(study: ReportStudy) -> Part:
    """Draw each label against the dimension that knows most of it."""
    result = study.information
    values, frame = study.sample.latents.values, study.sample.label_table
    numbers = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name])]
    significant = {(row["label"], row["dim"]) for row in result.significant.to_dict("records")}
    pictures = []
    for row in result.best.to_dict("records"):
        label, dim = str(row["label"]), int(row["dim"])
        if (label, dim) not in significant or label not in numbers:
            continue
        by = companion(label, list(map(str, numbers)))
        axes = plot_dim_against_label(
            values[:, dim], frame[label], dim=dim, name=label, mi=float(row["mi_nats"]),
            color=None if by is None else frame[by], color_name=by or "label"
        )  # fmt: skip
        pictures.append(
            _drawn("drawn", axes, raster=True, name=label_name(label), label=label, dim=dim)
        )
        if len(pictures) == _MOST_PICTURES:
            break
    if not pictures:
        raise NotPossible(
            "No label of numbers has a dimension that knows something significant of it, so there "
            "is nothing to draw: give other labels, or more rows."
        )
    return Part(paragraphs=study.measured_on(), pictures=pictures)


# Trees read hardly better and take minutes where other work is going on.
_READ_BY: tuple[ReaderName, ...] = ("linear", "curved", "knn")


def readable(study: ReportStudy) -> Part:
    """Show how well each label can be read from the informative dimensions together."""
    sample, dims = study.labelled_sample, study.dims
    study.check_stars(_FEWEST_STARS)
    result = study.run(
        "labels read from latents", probe, sample, dims=dims, columns=study.columns,
        readers=_READ_BY, seed=study.seed
    )  # fmt: skip
    pictures = []
    if (result.best["kind"] == "number").any():
        drawn = _drawn("readable", result.plot(), raster=True)
        pictures.append(drawn)
    told, count = len(result.told), len(result.best)
    table = _table(
        "readable",
        result.best,
        "label, error, unit, r2, accuracy, baseline, q_value, reader, n=stars",
    )
    return Part(
        f"{told} of {count} labels can be read from the informative dimensions.",
        study.measured_on(),
        [*result.sentences(), *result.notes],
        [table],
        pictures,
        result.provenance,
        open_lines=0,
    )


_MOST_ROWS_GIVEN = 3_000


def left_after_labels(study: ReportStudy) -> Part:
    """Show what each dimension still knows of the other labels once the one it knows best is known.

    On 3,000 rows at most, since each value has a null of its own.
    """
    known = study.information.labels
    best = study.information.significant.drop_duplicates("dim").sort_values("dim")
    if not len(best) or len(known) < 2:
        raise NotPossible(
            "Fewer than two labels, or no dimension that knows something significant of one, so "
            "nothing can be left: give other labels, or more rows."
        )
    sample = study.labelled_sample
    rows = np.flatnonzero(sample.latents.ok)
    if len(rows) > _MOST_ROWS_GIVEN:
        drawn = np.random.default_rng(study.seed).choice(rows, _MOST_ROWS_GIVEN, replace=False)
        sample = sample.take(np.sort(drawn))
    tables = []
    with study.stage("what is left after labels") as advance:
        for row in counted(best.to_dict("records"), len(best), advance):
            result = mi_matrix(
                sample,
                dims=[row["dim"]],
                columns=[name for name in known if name != row["label"]],
                given=[row["label"]],
                n_draws=3,
                seed=study.seed,
            )
            tables.append(result.table)
    frame = pd.concat(tables, ignore_index=True)
    frame["q_value"] = q_values(frame["p_value"].to_numpy(dtype=np.float64))
    table = _table(
        "left", frame, "dim, given, label, mi_nats=left (nats), q_value, n, n_groups", by="mi_nats"
    )
    left = table.frame[table.frame["q_value"] < SIGNIFICANT].drop_duplicates("dim")
    named = shortened(
        f"{row['dim']} {row['label']} given {row['given']} "
        f"({with_error(row['mi_nats'], row['std_nats'])})"
        for row in left.to_dict("records")
    )
    headline = (
        f"Once the label that a dimension knows most of is known, {len(left)} of {len(best)} "
        f"dimensions still know another (q < 0.05){f', in nats: {named}' if len(left) else ''}."
    )
    return Part(headline, study.measured_on(), tables=[table], provenance=result.provenance)


# 5. What each does

_LINES_SHOWN = 3
_SAID = 2
"""Sentences below the picture of a traversal, on velocity and continuum; it shows the others."""


def line_map(study: ReportStudy) -> Part:
    """Show which lines each informative dimension moves."""
    result = study.line_map
    dims, n = result.dims.copy(), len(result.dims)
    dims["rv_kms_per_unit"] = dims["rv_kms_per_sigma"] / dims["sigma"]
    effects = _table(
        "effects",
        dims,
        "dim, rv_kms_per_sigma, rv_kms_per_unit, shift_explained, verdict=Doppler shift, "
        "color_mag_per_sigma, rms_per_sigma, sigma",
        by="rms_per_sigma",
    )
    lines = _table(
        "lines",
        result.table.sort_values(["rank", "dim"], kind="stable", ignore_index=True),
        "dim, rank, line, element, wavelength, depth, depth_per_sigma, ew_per_sigma",
        open_rows=min(n, 10),
        max_rows=_LINES_SHOWN * n,
    )
    return Part(
        _line_map_headline(effects.frame),
        study.measured_on(),
        (),
        [effects, lines],
        [_drawn("lines", result.plot(), raster=True)],
        result.provenance,
        open_lines=0,
    )


def _line_map_headline(effects: pd.DataFrame) -> str:
    first, shifts = effects.iloc[0], effects[effects["verdict"] == "shift"]
    named = [
        f"{row['dim']} ({with_error(row['rv_kms_per_sigma'], row['rv_error'])} km/s per sigma)"
        for row in shifts.to_dict("records")
    ]
    return (
        f"Dimension {first['dim']} changes the flux most, by {100 * first['rms_per_sigma']:.2g} % "
        f"per sigma. Doppler shift: {', '.join(named) or 'none'}."
    )


def traversals(study: ReportStudy) -> Part:
    """Move the dimensions that change the flux most, one at a time, and draw the spectra."""
    from latentscope.models.traversal import traverse

    effects = study.line_map.dims.sort_values("rms_per_sigma", ascending=False)
    # Velocity first, since the others are read with it in mind.
    shifts = effects["verdict"] == "shift"
    effects = pd.concat([effects[shifts], effects[~shifts]])
    dims = [int(dim) for dim in effects["dim"].head(study.effort.n_traversals)]
    results = [
        study.run(
            f"traversal of dimension {dim}", traverse, study.network, dim,
            latents=study.sample.latents
        )
        for dim in dims
    ]  # fmt: skip
    which = ""
    if len(dims) < len(effects):
        which = f"Of {len(effects)} dimensions the {len(dims)} that change the flux most. "
    text = (
        f"{which}One at a time is moved through quantiles of the data, all others held at their "
        "mean: decoded spectra, what changes against the base, zooms, velocities and lines."
    )
    steps = pd.concat([it.table.assign(dim=it.dim) for it in results], ignore_index=True)
    return Part(
        paragraphs=[text],
        tables=[
            _table(
                "traversals",
                steps,
                "dim, value, rv_kms, correlation, color_mag, slope, rms",
                open_rows=0,
            )
        ],
        pictures=[
            _drawn(
                "traversal",
                it.plot(),
                raster=True,
                dim=it.dim,
                found=" ".join(it.sentences()[:_SAID]),
            )
            for it in results
        ],
        provenance={**results[0].provenance, "dim": dims},
    )


# 6. Is it the sample


def observation(study: ReportStudy) -> Part:
    """Show what dimensions know of instrument, epoch and air, as the latents' table has them."""
    study.check_rows()
    with _refused():
        sample, dims = observed(study.sample), study.dims
        result = study.run("how it was observed", mi_matrix, sample, dims=dims, seed=study.seed)
    count = len(result.significant.drop_duplicates("dim"))
    headline = (
        f"{count} of {len(dims)} informative dimensions know something of how the spectra were "
        "observed (q < 0.05)."
        if count
        else "No informative dimension knows anything significant of how the spectra were observed."
    )
    caution = (
        "Programs and instruments choose their stars: what a dimension knows of them it may know "
        "by way of temperature. mi --given tells what is left once that is known."
    )
    return Part(
        headline,
        [caution, *study.measured_on()],
        [*result.sentences(5, significant=True), *result.notes],
        [_information_table("observation", result, open_rows=8)],
        provenance=result.provenance,
    )


@contextmanager
def _refused() -> Iterator[None]:
    """Tell as not possible what a diagnostic refuses to measure."""
    try:
        yield
    except EstimatorError as error:
        raise NotPossible(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


_FEWEST_EXPOSURES = 20


def _most_exposed(study: ReportStudy) -> str:
    """Name of the star with most exposures, 20 or more of which the time is known; else empty."""
    latents = study.latents
    times = [one for name in TIMES if (one := latents.column(name)) is not None]
    if latents.groups is None or not times:
        return ""
    dated = latents.ok & ~np.logical_and.reduce([pd.isna(one) for one in times])
    exposures = pd.Series(latents.groups[dated], dtype=object).dropna().astype(str).value_counts()
    return str(exposures.index[0]) if exposures.max() >= _FEWEST_EXPOSURES else ""


def over_time(study: ReportStudy) -> Part:
    """Follow the star with most exposures: what changes while the star does not."""
    with _refused():
        # Without labels: those of a star do not change.
        star = replace(study.data, labels=None)
        result = track(star, _most_exposed(study), dims=study.dims, seed=study.seed)
    first, *lines = result.sentences()
    whole = float(study.activity.table.set_index("dim")["std"][study.dims].median())
    within = float(result.dims["std"].median())
    return Part(
        f"{first}; its latents scatter by {within:.2g}, those of all rows by {whole:.2g}.",
        lines=[*lines, *result.notes],
        pictures=[_drawn("time", result.plot())],
        provenance=result.provenance,
    )


def other_samples(study: ReportStudy) -> Part:
    """Show what changes on other samples of the same rows."""
    study.check_rows()
    result = study.run(
        "other samples", robustness, study.labelled_sample, n_draws=study.effort.n_draws,
        dims=study.dims, columns=study.columns, seed=study.seed
    )  # fmt: skip
    others = result.mi[result.mi["sample"] != WHOLE]
    order = others["difference"].abs().fillna(-np.inf).sort_values(ascending=False, kind="stable")
    samples = _table(
        "samples",
        result.overview,
        "sample, informative, gained, lost, pairs, changed, draws, n, n_stars",
    )
    pairs = _table(
        "robustness",
        others.loc[order.index].reset_index(drop=True),
        "sample, label, dim, mi_nats=here (nats), whole, difference, p_value, q_value, n, n_stars",
        open_rows=5,
        max_rows=10,
    )
    return Part(
        _samples_headline(result),
        study.measured_on(),
        [*result.sentences(), *result.notes],
        [samples, pairs],
        [_drawn("samples", result.plot())],
        result.provenance,
        open_lines=0,
    )


def _samples_headline(result: RobustnessResult) -> str:
    others = result.mi[~result.mi["sample"].isin((WHOLE, REPEATS, HALF))]
    changed, pairs = int(others["significant"].sum()), len(others)
    fewest, most = result.mad["informative"].min(), result.mad["informative"].max()
    between = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return (
        f"On other samples of these stars {between} dimensions are informative, and {changed:,} of "
        f"{pairs:,} values of information change (q < 0.05)."
    )


def other_latents(study: ReportStudy) -> Part:
    """Show what these latents and other ones of the same spectra have in common."""
    result = study.run(
        "other latents", comparison.compare, study.data, study.other, columns=study.columns,
        seed=study.seed
    )  # fmt: skip
    first, *lines = result.sentences()
    return Part(
        first,
        lines=[*lines, *result.notes],
        pictures=[_drawn("other", result.plot())],
        provenance=result.provenance,
    )


PLANS = (
    Plan("encoded", "What was encoded, and can it be trusted?", (
        Step("rows", "Rows, failures, quality", rows),
        Step("trust", "Trust", trust),
    )),
    Plan("dimensions", "How many dimensions matter?", (
        Step("spread", "Spread of each dimension", spread),
        Step("information", "Information of each dimension", information),
    )),
    Plan("separate", "Are they separate?", (
        Step("shared", "What dimensions share", shared),
        Step("scatter", "Dimensions against one another", scatter),
        Step("disentanglement", "Measures of disentanglement", disentanglement),
    )),
    Plan("meaning", "What does each mean?", (
        Step("meanings", "In words", meanings),
        Step("labels", "Dimensions and labels", labels),
        Step("drawn", "Labels and the dimensions that know them", against_labels),
        Step("readable", "How well each label can be read", readable),
        Step("left", "What is left after the label of each dimension", left_after_labels),
    )),
    Plan("effect", "What does each do?", (
        Step("lines", "Lines that each dimension moves", line_map),
        Step("traversals", "One dimension moved at a time", traversals),
    )),
    Plan("sample", "Is it the sample?", (
        Step("observation", "Instrument, epoch, air", observation),
        Step("time", "One star over time", over_time, _most_exposed),
        Step("samples", "Other samples of the same rows", other_samples),
        Step(
            "other", "Other latents of the same spectra", other_latents,
            lambda study: study.other is not None,
        ),
    )),
)  # fmt: skip
"""The order of a report."""


def chapters_of(study: ReportStudy) -> tuple[Chapter, ...]:
    """Make all parts, in their order; an error in one is kept as its outcome."""
    said = set(study.notes)
    return tuple(
        Chapter(
            plan.key,
            plan.question,
            tuple(_outcome(step, study, said) for step in plan.steps if step.wanted(study)),
        )
        for plan in PLANS
    )


def _outcome(step: Step, study: ReportStudy, said: set[str]) -> Outcome:
    """Make a part, without the lines that are `said` already, such as notes on the labels."""
    began = perf_counter()
    outcome = Outcome(step.key, step.title)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LatentscopeWarning)
        try:
            part = step.make(study)
            warned = " ".join(str(warning.message) for warning in caught)
            new = [line for line in part.lines if line not in said and line not in warned]
            part = replace(part, lines=new)
            # Rendered here, so that what cannot be shown affects no other part.
            outcome = replace(outcome, part=part, html=part_html(part))
            said.update(part.lines)
        except NotPossible as reason:
            outcome = replace(outcome, absent=str(reason))
        except Exception as error:  # a part that fails affects no other
            outcome = replace(outcome, part=None, error=error)
    return replace(outcome, warnings=_own_warnings(caught), seconds=perf_counter() - began)


def _own_warnings(caught: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return our own warnings as text, each once, and pass the others on."""
    ours = []
    for warning in caught:
        if issubclass(warning.category, LatentscopeWarning):
            ours.append(" ".join(str(warning.message).split()))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return tuple(dict.fromkeys(ours))
