"""The chapters of a report: questions in the order of asking, and the parts that answer them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics import comparison
from latentscope.diagnostics.activity import MADResult
from latentscope.diagnostics.disentanglement import MetricsResult, metrics
from latentscope.diagnostics.exclusive import (
    Agreement,
    ExclusiveResult,
    compare,
    exclusive_information,
)
from latentscope.diagnostics.meaning import Meaning, dimension_meanings, meaning_lines
from latentscope.diagnostics.mi.api import mi_matrix, q_values
from latentscope.diagnostics.mi.result import SIGNIFICANT, MIResult, PairwiseResult
from latentscope.diagnostics.probe import ProbeResult, ReaderName, probe
from latentscope.diagnostics.robustness import HALF, REPEATS, WHOLE, RobustnessResult, robustness
from latentscope.diagnostics.study import observed
from latentscope.diagnostics.threshold import SAID_BY
from latentscope.diagnostics.track import TIMES, track
from latentscope.diagnostics.traversal.line_map import LineMapResult
from latentscope.diagnostics.traversal.traverse import TraversalResult
from latentscope.diagnostics.trust import VERDICTS, ScoreResult
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
    Table,
)
from latentscope.reporting.numbers import whole_numbers, with_error
from latentscope.reporting.page import part_html
from latentscope.reporting.study import ReportStudy


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


# 1. What was encoded

QUALITY = {
    "coverage": "share of the model's wavelengths that the spectrum fills",
    "snr": "signal-to-noise ratio per pixel",
    "recon_error": "error of the reconstruction, relative to the flux",
}
"""Columns that `encode` writes beside latents."""

_COMMON_ERRORS = 5
_FEWEST_OF_TRUST = 100
_WORST = 50


def rows(study: ReportStudy) -> Part:
    """Count rows, failures and stars, and summarise the quality columns."""
    latents = study.latents
    n, finite = len(latents), study.finite
    failed = n - finite
    by = f" by {latents.provenance['model']}" if "model" in latents.provenance else ""
    stars = "" if study.data.groups is None else f" of {study.star_count:,} stars"
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


def _errors(study: ReportStudy) -> list[str]:
    """Name the reasons why rows failed, the most common first."""
    errors = study.latents.column("error")
    if errors is None:
        return []
    counted = pd.Series(errors[~study.latents.ok]).dropna().value_counts()
    lines = [f"failed, {count:,} rows: {text}" for text, count in counted.items()]
    more = len(lines) - _COMMON_ERRORS
    return lines[:_COMMON_ERRORS] + ([f"and {more:,} other errors"] if more > 0 else [])


def _repeats(study: ReportStudy) -> list[str]:
    groups = study.data.groups
    if groups is None:
        return []
    counts = np.unique(groups.codes[study.latents.ok], return_counts=True)[1]
    return [
        f"rows per star: {np.median(counts):g} in the median, {counts.max():,} at most; stars, not "
        "rows, are taken for independent"
    ]


def _quality(study: ReportStudy) -> Table | None:
    found = []
    for name, meaning in QUALITY.items():
        column = study.latents.column(name)
        if column is None:
            continue
        values = pd.to_numeric(pd.Series(column), errors="coerce").to_numpy(dtype=np.float64)
        finite = np.isfinite(values)
        if finite.any():
            found.append(_quantiles(name, meaning, values[finite], study.independent(finite)))
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
    findings = result.sentences(0)
    drawn = Picture.of(
        result.plot(),
        "Trust of every row, sorted: the chance that an ordinary spectrum looks as odd. Ordinary "
        "spectra follow the dashed line; what drops below it the model does not know.",
        "Sorted trust of all rows against the share of rows with at most this trust.",
    )
    tables = (_verdicts_table(result, study), _odd_table(result))
    ranked = ", ranked among themselves" if result.provenance["own_reference"] else ""
    headline = _sentence(findings[0] + ranked)
    return Part(headline, (), tuple(findings), tables, (drawn,), result.provenance)


def _sentence(line: str) -> str:
    return line[:1].upper() + line[1:] + "."


def _verdicts_table(result: ScoreResult, study: ReportStudy) -> Table:
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
        Column("reason", "reason"),
        Column("recon_percentile", "error (percentile)", hint="% of the reference below it"),
        Column("density_percentile", "density (percentile)", hint="0: emptier than all"),
    )
    worst = result.worst.head(_WORST).reset_index(drop=True)
    caption = "The rows that are trusted least. The command score writes all of them."
    return Table("odd", caption, worst, columns, open_rows=5, max_rows=10)


def median_error(values: NDArray[np.float64], independent: int) -> float:
    """Standard error (68 %) of the median: half the distance of the ranks that enclose it.

    The number of values below the true median is binomial, with a standard deviation of half the
    root of the number of independent values (W. J. Conover, "Practical Nonparametric Statistics",
    3rd ed. 1999, section 3.2).

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    independent : int
        Independent values among them, such as stars; never more than n.
    """
    half = 0.5 / np.sqrt(independent)
    below, above = np.quantile(values, [max(0.5 - half, 0.0), min(0.5 + half, 1.0)])
    return float(above - below) / 2


def mad_error(values: NDArray[np.float64], independent: int) -> float:
    """Standard error (68 %) of the median absolute deviation, the median taken as known."""
    return median_error(np.abs(values - np.median(values)), independent)


# 2. How many dimensions matter

_FEWEST_STARS = 100


def spread(study: ReportStudy) -> Part:
    """Show the spread of each dimension."""
    result = study.activity
    count, dims = len(result.informative), len(result.values)
    whose = "" if result.threshold_from == "model" else f" ({SAID_BY[result.threshold_from]})"
    headline = (
        f"{count} of {dims} dimensions are informative: their median absolute deviation exceeds "
        f"{result.threshold:.3g}{whose}; n = {result.n:,}."
    )
    drawn = Picture.of(
        result.plot(),
        "Each stem is a dimension. Those above the dashed line are informative; a dimension that "
        "the network has switched off stays near 0 for every spectrum.",
        f"Stem plot of the median absolute deviation of {dims} dimensions; informative: "
        f"{', '.join(map(str, result.informative)) or 'none'}.",
    )
    table = _spread_table(study, result)
    lines = tuple(result.sentences())
    return Part(headline, (), lines, (table,), (drawn,), result.provenance)


def _spread_table(study: ReportStudy, result: MADResult) -> Table:
    values = study.latents.values[study.latents.ok]
    frame = result.table.copy()
    frame["mad_std"] = [
        mad_error(values[:, dim].astype(float), study.star_count) for dim in frame["dim"]
    ]
    frame["n"] = result.n
    frame = frame.sort_values("mad", ascending=False, kind="stable", ignore_index=True)
    columns = [
        Column("dim", "dim"),
        Column("mad", "MAD", error="mad_std", hint="median absolute deviation, unscaled"),
        Column("informative", "informative", hint=f"MAD above {result.threshold:.3g}"),
        Column("above_gap", "above the gap", hint="above the threshold estimated from the data"),
        Column("active", "active", hint="variance of the mean above 0.01, Burda et al. 2016"),
        Column("kl_nats", "KL (nats)", hint="of q(z|x) from a unit Gaussian, mean over rows"),
        Column("std", "std"),
    ]
    if result.kl is None:
        columns = [column for column in columns if column.name != "kl_nats"]
    if result.estimated_threshold is None:
        columns = [column for column in columns if column.name != "above_gap"]
    return Table(
        "mad",
        f"Spread of each dimension over {result.n:,} rows, the widest first.",
        frame,
        tuple(columns),
        open_rows=min(max(len(result.informative), 5), 10),
    )


def information(study: ReportStudy) -> Part:
    """Show what each dimension carries, and what it adds to the others."""
    study.check_stars(_FEWEST_STARS)
    with study.stage("information of dimensions") as advance:
        result = exclusive_information(
            replace(study.data, labels=None), seed=study.seed, progress=advance
        )
    agreement = compare(study.activity, result)
    drawn = Picture.of(
        result.plot(),
        "Dimensions in the order in which each adds most to those before it; what follows after "
        "the last significant one adds nothing that these data can show.",
        f"What each dimension adds in nats, in order: {', '.join(map(str, result.order['dim']))}.",
    )
    return Part(
        _agreement_text(agreement, result),
        (),
        (*result.sentences(), *agreement.sentences()),
        (_order_table(result), _exclusive_table(result)),
        (drawn,),
        result.provenance,
        open_lines=3,
    )


def _agreement_text(agreement: Agreement, result: ExclusiveResult) -> str:
    count = len(result.informative)
    answer = f"By the information that they add, {count} dimensions matter (n = {result.n:,})"
    if agreement.agree:
        return f"{answer}, the same ones."
    differ = len(agreement.only_varying) + len(agreement.only_adding)
    return f"{answer}; the two answers agree on {len(agreement.both)} and differ in {differ}."


def _order_table(result: ExclusiveResult) -> Table:
    frame = result.order.assign(n=result.n)
    columns = (
        Column("step", "step"),
        Column("dim", "dim"),
        Column("gain_nats", "adds (nats)", error="std_nats"),
        Column("p_value", "p"),
        Column("adds", "significant"),
        Column("total_nats", "together (nats)"),
        Column("n", "n", hint="independent rows measured"),
    )
    caption = "What each dimension adds to those chosen before it, in greedy order."
    return Table("order", caption, frame, columns)


def _exclusive_table(result: ExclusiveResult) -> Table:
    frame = result.table.assign(n=result.n)
    frame = frame.sort_values("carried_nats", ascending=False, kind="stable", ignore_index=True)
    frame["partner"] = pd.Series(whole_numbers(frame["partner"]), dtype=object)
    columns = (
        Column("dim", "dim"),
        Column("carried_nats", "carries (nats)", error="carried_std_nats"),
        Column("carried_p_value", "p"),
        Column("rest_nats", "shares with the rest (nats)", error="rest_std_nats"),
        Column("partner", "most with dim"),
        Column("partner_nats", "of it (nats)"),
        Column("exclusive", "exclusive"),
        Column("adds", "adds"),
        Column("n", "n", hint="independent rows measured"),
    )
    caption = "What each dimension carries, and shares with the others, the richest first."
    return Table("exclusive", caption, frame, columns, open_rows=0)


# 3. Are they separate

_KINDS_OF_STARS = ("spec_type", "spectral_type", "sp_type", "spectype", "class", "teff")


def shared(study: ReportStudy) -> Part:
    """Show what informative dimensions share."""
    result = study.shared
    drawn = Picture.of(
        result.plot(),
        "Every cell is a pair of dimensions. Gray cells are not significant; in a well separated "
        "network all of them are gray.",
        f"Heatmap of mutual information among {len(result.dims)} dimensions.",
    )
    headline = _shared_headline(result)
    text = (headline, *study.measured_on())
    return Part(headline, text, (), (_pairs_table(result),), (drawn,), result.provenance)


def _shared_headline(result: PairwiseResult) -> str:
    pairs, count = len(result.table), len(result.significant)
    if not count:
        return f"None of {pairs:,} pairs of dimensions shares anything significant (q < 0.05)."
    verb = "shares" if count == 1 else "share"
    return (
        f"{count:,} of {pairs:,} pairs of dimensions {verb} something significant (q < 0.05); the "
        f"strongest: {result.sentences(1)[0]}."
    )


_MEASURED = (
    Column("q_value", "q", hint="false discovery rate over this table"),
    Column("n", "n"),
    Column("n_groups", "stars", hint="independent rows"),
    Column("estimator", "estimator"),
)
"""Columns of every table of information, behind its nats; report.json has more."""


def _pairs_table(result: PairwiseResult) -> Table:
    frame = result.table.sort_values("mi_nats", ascending=False, kind="stable", ignore_index=True)
    columns = (
        Column("dim_x", "dim"),
        Column("dim_y", "with dim"),
        Column("mi_nats", "shared (nats)", error="std_nats"),
        *_MEASURED,
    )
    caption = "Mutual information of each pair of dimensions, the strongest first. 0: independent."
    return Table("pairwise", caption, frame, columns, open_rows=5, max_rows=100)


def scatter(study: ReportStudy) -> Part:
    """Draw the informative dimensions against one another, colored by a label if there is one."""
    pairs = study.shared
    label = _colored_by(study)
    color = None if label is None else study.data.label_table[label]
    dims = _most_shared(pairs)
    axes = plot_pairs(
        study.latents,
        dims,
        color,
        name=label or "label",
        discrete=study.data.kinds.get(label or "", "auto"),
        pairs=pairs,
        seed=study.seed,
    )
    by = "" if label is None else f", colored by {label}"
    drawn = Picture.of(
        axes,
        f"Each panel below the diagonal shows two dimensions{by}. Separate dimensions give clouds "
        "without a shape; bands, curves and empty corners are shared information.",
        f"Scatter grid of dimensions {', '.join(map(str, dims))}{by}.",
        raster=True,
    )
    count = len(pairs.dims)
    drawn_dims = (
        f"Drawn: the {len(dims)} of {count} dimensions that share most."
        if len(dims) < count
        else ""
    )
    return Part(paragraphs=(drawn_dims,) if drawn_dims else (), pictures=(drawn,))


def _most_shared(pairs: PairwiseResult) -> list[int]:
    """Return the dimensions that share most with another, ascending."""
    strongest = pairs.matrix.max(axis=0).sort_values(ascending=False, kind="stable")
    return sorted(int(dim) for dim in strongest.index[:MAX_DIMS])


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
    with study.stage("disentanglement") as advance:
        result = metrics(
            sample,
            dims=dims,
            columns=study.columns,
            n_halves=study.effort.n_halves,
            seed=study.seed,
            progress=advance,
        )
    drawn = Picture.of(
        result.plot(),
        "Each measure beside the same measure of other axes: random rotations of these latents and "
        "their principal components. Only what beats both says that these axes are special.",
        f"Measures of disentanglement of {len(dims)} dimensions beside two baselines.",
    )
    headline, *findings = result.sentences()
    return Part(
        headline,
        (headline, *study.measured_on()),
        (*findings, *result.notes),
        (_metrics_table(result), _metrics_by_label(result)),
        (drawn,),
        result.provenance,
        open_lines=0,
    )


_MEASURE_COLUMNS = (
    Column("value", "value", interval=("low", "high"), hint="95 % over samples of stars"),
    Column("rotation", "rotation", interval=("rotation_low", "rotation_high")),
    Column("pca", "PCA"),
    Column("verdict", "verdict", hint="baselines that the interval beats"),
)


def _metrics_table(result: MetricsResult) -> Table:
    columns = (Column("metric", "measure"), Column("estimator", "estimator"), *_MEASURE_COLUMNS)
    caption = (
        "Measures over all labels: value [95 %], the same for random rotations [range] and for PCA."
    )
    return Table("metrics", caption, result.headlines, columns)


def _metrics_by_label(result: MetricsResult) -> Table:
    frame = result.table[result.table["label"] != "mean"].reset_index(drop=True)
    columns = (
        Column("metric", "measure"),
        Column("estimator", "estimator"),
        Column("label", "label"),
        *_MEASURE_COLUMNS,
    )
    return Table("metrics_by_label", "The same, label by label.", frame, columns, open_rows=0)


# 4. What each means


def labels(study: ReportStudy) -> Part:
    """Show what each informative dimension knows of each label."""
    result = study.information
    caption = (
        "Mutual information of dimensions with labels, the strongest first; in nats, ± standard "
        "error."
    )
    table = _information_table("mi", caption, result)
    drawn = Picture.of(
        result.plot(),
        "Rows are labels that the network never saw, columns are dimensions. Gray cells are not "
        "significant; a label that is dark in one column alone has a dimension of its own.",
        f"Heatmap of mutual information of {len(result.labels)} labels with "
        f"{len(result.dims)} dimensions.",
    )
    count, pairs = len(result.significant), len(result.table)
    text = f"{count:,} of {pairs:,} pairs of dimension and label are significant (q < 0.05)."
    return Part(
        "", (text, *study.measured_on()), result.notes, (table,), (drawn,), result.provenance
    )


def _information_table(key: str, caption: str, result: MIResult, **shown: int) -> Table:
    frame = result.table.sort_values("mi_nats", ascending=False, kind="stable", ignore_index=True)
    columns = (
        Column("dim", "dim"),
        Column("label", "label"),
        Column("mi_nats", "knows (nats)", error="std_nats"),
        *_MEASURED,
    )
    return Table(key, caption, frame, columns, max_rows=1200, **shown)


def meanings(study: ReportStudy) -> Part:
    """Say in words what each informative dimension follows."""
    sample = study.labelled_sample
    found = dimension_meanings(
        sample.latents.values, sample.label_table, study.activity, study.information
    )
    found = [it for it in found if it.dim in study.dims]
    table = _meanings_table(found, study.information)
    lines = tuple(meaning_lines(found))
    return Part(_meanings_headline(table.frame), (), lines, (table,), open_lines=0)


def against_labels(study: ReportStudy) -> Part:
    """Draw each label against the dimension that knows most of it."""
    result = study.information
    values, frame = study.sample.latents.values, study.sample.label_table
    significant = {(row["label"], row["dim"]) for row in result.significant.to_dict("records")}
    pictures = []
    for row in result.best.to_dict("records"):
        label, dim = str(row["label"]), int(row["dim"])
        if (label, dim) not in significant or not pd.api.types.is_numeric_dtype(frame[label]):
            continue
        by = companion(label, _numbers_of(frame))
        axes = plot_dim_against_label(
            values[:, dim], frame[label], dim=dim, name=label, mi=float(row["mi_nats"]),
            color=None if by is None else frame[by], color_name=by or "label",
        )  # fmt: skip
        caption = f"{label_name(label)} and dimension {dim}, which knows most of it."
        alt = f"Dimension {dim} against {label}."
        pictures.append(Picture.of(axes, caption, alt, raster=True))
        if len(pictures) == _MOST_PICTURES:
            break
    if not pictures:
        raise NotPossible(
            "No label of numbers has a dimension that knows something significant of it, so there "
            "is nothing to draw: give other labels, or more rows."
        )
    return Part(paragraphs=study.measured_on(), pictures=tuple(pictures))


def _numbers_of(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame if pd.api.types.is_numeric_dtype(frame[name])]


_MOST_PICTURES = 8
_MOST_ROWS_GIVEN = 3_000


def left_after_labels(study: ReportStudy) -> Part:
    """Show what each dimension still knows of the other labels once the one it knows best is known.

    On 3,000 rows at most, since each value has a null of its own.
    """
    significant = study.information.significant
    best = significant.drop_duplicates("dim").sort_values("dim")
    if not len(best) or len(study.information.labels) < 2:
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
        for done, row in enumerate(best.to_dict("records"), start=1):
            others = [name for name in study.information.labels if name != row["label"]]
            result = mi_matrix(
                sample,
                dims=[row["dim"]],
                columns=others,
                given=[row["label"]],
                n_draws=3,
                seed=study.seed,
            )
            tables.append(result.table)
            if advance is not None:
                advance(done, len(best))
    frame = pd.concat(tables, ignore_index=True)
    frame["q_value"] = q_values(frame["p_value"].to_numpy(dtype=np.float64))
    frame = frame.sort_values("mi_nats", ascending=False, kind="stable", ignore_index=True)
    left = frame[frame["q_value"] < SIGNIFICANT].drop_duplicates("dim")
    named = shortened(
        f"{row['dim']} {row['label']} given {row['given']} "
        f"({with_error(row['mi_nats'], row['std_nats'])})"
        for row in left.to_dict("records")
    )
    headline = (
        f"Once the label that a dimension knows most of is known, {len(left)} of {len(best)} "
        f"dimensions still know another (q < 0.05){f', in nats: {named}' if len(left) else ''}."
    )
    columns = (
        Column("dim", "dim"),
        Column("given", "known"),
        Column("label", "label"),
        Column("mi_nats", "left (nats)", error="std_nats"),
        *_MEASURED[:-1],
    )
    caption = "What dimensions share with labels beyond the label they know most of, in nats."
    table = Table("left", caption, frame, columns, max_rows=200)
    return Part(headline, (headline, *study.measured_on()), (), (table,), (), result.provenance)


def _meanings_table(found: list[Meaning], information: MIResult) -> Table:
    frame = pd.DataFrame(
        {
            "dim": [it.dim for it in found],
            "label": [it.label for it in found],
            "correlation": [it.correlation for it in found],
        }
    )
    kept = ["dim", "label", "mi_nats", "std_nats", "p_value", "q_value", "n", "n_groups"]
    frame = frame.merge(information.table[[*kept, "estimator"]], how="left", on=["dim", "label"])
    for name in ("n", "n_groups"):
        frame[name] = pd.Series(whole_numbers(frame[name]), dtype=object)
    frame["correlation_std"] = _correlation_error(
        frame["correlation"], frame["n_groups"].astype(float)
    )
    columns = (
        Column("dim", "dim"),
        Column("label", "knows most of"),
        Column("mi_nats", "knows (nats)", error="std_nats"),
        Column("correlation", "rank correlation", error="correlation_std", hint="Spearman's"),
        Column("q_value", "q", hint="false discovery rate over all pairs"),
        Column("n", "n"),
        Column("n_groups", "stars", hint="independent rows"),
        Column("estimator", "estimator"),
    )
    return Table("meanings", "The label that each dimension knows most of.", frame, columns)


def _correlation_error(correlation: pd.Series, independent: pd.Series) -> pd.Series:
    """Standard error of Spearman's correlation.

    That of Fisher's z, with the variance of D. G. Bonett, T. A. Wright, Psychometrika 65, 23
    (2000), carried back.
    """
    variance = (1 + correlation**2 / 2) / (independent - 3)
    return (1 - correlation**2) * variance**0.5


def _meanings_headline(frame: pd.DataFrame) -> str:
    """Say which label each dimension knows most of, with errors."""
    matched = frame.dropna(subset="label").to_dict("records")
    if not matched:
        return "No dimension follows any of the labels significantly."
    pairs = [
        f"{row['dim']} {row['label']} ({with_error(row['mi_nats'], row['std_nats'])})"
        for row in matched
    ]
    silent = len(frame) - len(matched)
    rest = f"; {silent} match no label" if silent else ""
    return f"Dimension and label that it knows most of (nats): {shortened(pairs)}{rest}."


# Trees read hardly better and take minutes where other work is going on.
_READ_BY: tuple[ReaderName, ...] = ("linear", "curved", "knn")


def readable(study: ReportStudy) -> Part:
    """Show how well each label can be read from the informative dimensions together."""
    sample, dims = study.labelled_sample, study.dims
    study.check_stars(_FEWEST_STARS)
    with study.stage("labels read from latents") as advance:
        result = probe(
            sample,
            dims=dims,
            columns=study.columns,
            readers=_READ_BY,
            seed=study.seed,
            progress=advance,
        )
    pictures = []
    if (result.best["kind"] == "number").any():
        drawn = Picture.of(
            result.plot(),
            "Labels as they are read from stars that were not learned from, against what is true; "
            "below, what is left.",
            "Labels read from latents against their true values.",
            raster=True,
        )
        pictures.append(drawn)
    told, count = len(result.told), len(result.best)
    headline = f"{told} of {count} labels can be read from the informative dimensions."
    return Part(
        headline,
        (headline, *study.measured_on()),
        (*result.sentences(), *result.notes),
        (_readable_table(result),),
        tuple(pictures),
        result.provenance,
        open_lines=0,
    )


def _readable_table(result: ProbeResult) -> Table:
    hint = "95 % over samples of stars"
    columns = (
        Column("label", "label"),
        Column("error", "median error", interval=("error_low", "error_high"), hint=hint),
        Column("unit", "unit"),
        Column("r2", "R²", interval=("r2_low", "r2_high")),
        Column("accuracy", "accuracy", interval=("accuracy_low", "accuracy_high")),
        Column("baseline", "without latents", hint="error of the median, or chance"),
        Column("q_value", "q", hint="shuffled labels; false discovery rate over all readers"),
        Column("reader", "reader"),
        Column("n", "stars"),
    )
    caption = "How well each label is read on stars not learned from; of classes the accuracy."
    return Table("readable", caption, result.best, columns)


# 5. What each does

_LINES_SHOWN = 3
_SAID = 2
"""Sentences below the picture of a traversal, on velocity and continuum; it shows the others."""


def line_map(study: ReportStudy) -> Part:
    """Show which lines each informative dimension moves."""
    result = study.line_map
    drawn = Picture.of(
        result.plot(),
        "How much deeper (or shallower) the lines of each element become when a dimension grows by "
        "one sigma of the data.",
        f"Map of {len(result.dims)} dimensions against elements, by change of line depth.",
        raster=True,
    )
    return Part(
        _line_map_headline(result),
        study.measured_on(),
        tuple(result.sentences()),
        (_dims_table(result), _lines_table(result)),
        (drawn,),
        result.provenance,
        open_lines=0,
    )


def _line_map_headline(result: LineMapResult) -> str:
    rows = result.dims.sort_values("rms_per_sigma", ascending=False).to_dict("records")
    shifts = [
        f"{row['dim']} ({with_error(row['rv_kms_per_sigma'], row['rv_error'])} km/s per sigma)"
        for row in rows
        if row["verdict"] == "shift"
    ]
    return (
        f"Dimension {rows[0]['dim']} changes the flux most, by "
        f"{100 * rows[0]['rms_per_sigma']:.2g} % per sigma. "
        f"Doppler shift: {', '.join(shifts) or 'none'}."
    )


def _dims_table(result: LineMapResult) -> Table:
    frame = result.dims.sort_values("rms_per_sigma", ascending=False, ignore_index=True)
    frame["rv_kms_per_unit"] = frame["rv_kms_per_sigma"] / frame["sigma"]
    columns = (
        Column("dim", "dim"),
        Column("rv_kms_per_sigma", "RV (km/s per σ)", error="rv_error", hint="receding positive"),
        Column("rv_kms_per_unit", "(km/s per unit)", hint="whatever the spread of the data"),
        Column("shift_explained", "shift explains", decimals=3, hint="share of the lines' change"),
        Column("verdict", "Doppler shift"),
        Column(
            "color_mag_per_sigma",
            "color (mag per σ)",
            decimals=3,
            hint="like B - V, positive: redder",
        ),
        Column("rms_per_sigma", "flux change per σ", hint="relative, root mean square"),
        Column("sigma", "σ of the data"),
    )
    caption = "What one sigma of the data does to the decoded spectrum, the largest change first."
    return Table("effects", caption, frame, columns)


def _lines_table(result: LineMapResult) -> Table:
    frame = result.table.sort_values(["rank", "dim"], kind="stable", ignore_index=True)
    columns = (
        Column("dim", "dim"),
        Column("rank", "rank"),
        Column("line", "line"),
        Column("element", "element"),
        Column("wavelength", "wavelength (Å)", decimals=1),
        Column("depth", "depth"),
        Column("depth_per_sigma", "depth per σ", error="depth_error"),
        Column("ew_per_sigma", "equivalent width per σ (Å)", error="ew_error"),
    )
    caption = "The lines that each dimension changes most, the first of each dimension first."
    most = _LINES_SHOWN * len(result.dims)
    return Table(
        "lines", caption, frame, columns, open_rows=min(len(result.dims), 10), max_rows=most
    )


def traversals(study: ReportStudy) -> Part:
    """Move the dimensions that change the flux most, one at a time, and draw the spectra."""
    effects = study.line_map.dims.sort_values("rms_per_sigma", ascending=False)
    # Velocity first, since the others are read with it in mind.
    shifts = effects["verdict"] == "shift"
    effects = pd.concat([effects[shifts], effects[~shifts]])
    dims = [int(dim) for dim in effects["dim"].head(study.effort.n_traversals)]
    results = [_traversal(study, dim) for dim in dims]
    which = ""
    if len(dims) < len(effects):
        which = f"Of {len(effects)} dimensions the {len(dims)} that change the flux most. "
    text = (
        f"{which}One at a time is moved through quantiles of the data, all others held at their "
        "mean: decoded spectra, what changes against the base, zooms, velocities and lines."
    )
    return Part(
        paragraphs=(text,),
        tables=(_steps(results),),
        pictures=tuple(_drawn(result) for result in results),
        provenance={**results[0].provenance, "dim": dims},
    )


def _traversal(study: ReportStudy, dim: int) -> TraversalResult:
    from latentscope.models.traversal import traverse

    latents = study.sample.latents
    with study.stage(f"traversal of dimension {dim}") as advance:
        return traverse(study.network, dim, latents=latents, progress=advance)


def _drawn(result: TraversalResult) -> Picture:
    return Picture.of(
        result.plot(),
        " ".join(result.sentences()[:_SAID]),
        f"Decoded spectra for values of dimension {result.dim}, and what changes.",
        raster=True,
    )


def _steps(results: list[TraversalResult]) -> Table:
    steps = [result.table.assign(dim=result.dim) for result in results]
    frame = pd.concat(steps, ignore_index=True)
    columns = (
        Column("dim", "dim"),
        Column("value", "value"),
        Column("rv_kms", "RV (km/s)", error="rv_error", hint="against the base"),
        Column("correlation", "correlation"),
        Column("color_mag", "color (mag)"),
        Column("slope", "slope", error="slope_error"),
        Column("rms", "flux change"),
    )
    caption = "Each step of the traversals, against the base."
    return Table("traversals", caption, frame, columns, open_rows=0, max_rows=400)


# 6. Is it the sample


def observation(study: ReportStudy) -> Part:
    """Show what dimensions know of instrument, epoch and air, as the latents' table has them."""
    study.check_rows()
    try:
        sample, dims = observed(study.sample), study.dims
        with study.stage("how it was observed") as advance:
            result = mi_matrix(sample, dims=dims, seed=study.seed, progress=advance)
    except EstimatorError as error:
        raise NotPossible(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    significant = result.significant
    best = significant.drop_duplicates("dim")
    headline = (
        f"{len(best)} of {len(dims)} informative dimensions know something of how the spectra were "
        "observed (q < 0.05)."
        if len(best)
        else "No informative dimension knows anything significant of how the spectra were observed."
    )
    caution = (
        "Programs and instruments choose their stars: what a dimension knows of them it may know "
        "by way of temperature. mi --given tells what is left once that is known."
    )
    caption = "Information on how spectra were observed, the most first; in nats, ± standard error."
    table = _information_table("observation", caption, result, open_rows=8)
    words = tuple(result.sentences(5, significant=True))
    return Part(
        headline, (caution, *study.measured_on()), (*words, *result.notes), (table,), (),
        result.provenance,
    )  # fmt: skip


_FEWEST_EXPOSURES = 20


def _most_exposed(study: ReportStudy) -> str:
    """Name of the star with most exposures, 20 or more of which the time is known; else empty."""
    latents = study.latents
    names, times = (
        latents.groups,
        [one for name in TIMES if (one := latents.column(name)) is not None],
    )
    if names is None or not times:
        return ""
    dated = latents.ok & ~np.logical_and.reduce([pd.isna(one) for one in times])
    exposures = pd.Series(names[dated], dtype=object).dropna().astype(str).value_counts()
    return str(exposures.index[0]) if exposures.max() >= _FEWEST_EXPOSURES else ""


def over_time(study: ReportStudy) -> Part:
    """Follow the star with most exposures: what changes while the star does not."""
    try:
        # Without labels: those of a star do not change.
        star = replace(study.data, labels=None)
        result = track(star, _most_exposed(study), dims=study.dims, seed=study.seed)
    except EstimatorError as error:
        raise NotPossible(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    first, *lines = result.sentences()
    whole = float(study.activity.table.set_index("dim")["std"][study.dims].median())
    within = float(result.dims["std"].median())
    headline = f"{first}; its latents scatter by {within:.2g}, those of all rows by {whole:.2g}."
    drawn = Picture.of(
        result.plot(),
        "Latents of the star with most exposures against time, and their periodograms.",
        f"Dimensions of {result.star} against time.",
    )
    return Part(headline, (headline,), (*lines, *result.notes), (), (drawn,), result.provenance)


def other_latents(study: ReportStudy) -> Part:
    """Show what these latents and other ones of the same spectra have in common."""
    assert study.other is not None
    with study.stage("other latents") as advance:
        result = comparison.compare(
            study.data, study.other, columns=study.columns, seed=study.seed,
            progress=advance,
        )  # fmt: skip
    first, *lines = result.sentences()
    drawn = Picture.of(
        result.plot(),
        "Mutual information of the dimensions of both, and what each knows of labels. Framed cells "
        "are dimensions that are matched.",
        "Matrix of the dimensions of both latents.",
    )
    return Part(first, (), (*lines, *result.notes), (), (drawn,), result.provenance)


def other_samples(study: ReportStudy) -> Part:
    """Show what changes on other samples of the same rows."""
    study.check_rows()
    sample, dims = study.labelled_sample, study.dims
    with study.stage("other samples") as advance:
        result = robustness(
            sample,
            n_draws=study.effort.n_draws,
            dims=dims,
            columns=study.columns,
            seed=study.seed,
            progress=advance,
        )
    drawn = Picture.of(
        result.plot(),
        "The same numbers on other samples of the same rows; where the marks of all samples agree, "
        "it is not the sample.",
        f"Informative dimensions and information on {len(result.samples)} samples.",
    )
    return Part(
        _samples_headline(result),
        study.measured_on(),
        (*result.sentences(), *result.notes),
        (_samples_table(result), _robustness_table(result)),
        (drawn,),
        result.provenance,
        open_lines=0,
    )


def _samples_headline(result: RobustnessResult) -> str:
    others = result.mi[~result.mi["sample"].isin((WHOLE, REPEATS, HALF))]
    changed, pairs = int(others["significant"].sum()), len(others)
    counts = result.mad["informative"]
    between = (
        f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    )
    return (
        f"On other samples of these stars {between} dimensions are informative, and {changed:,} of "
        f"{pairs:,} values of information change (q < 0.05)."
    )


def _samples_table(result: RobustnessResult) -> Table:
    columns = (
        Column("sample", "sample"),
        Column("informative", "informative", interval=("low", "high"), hint="MAD above threshold"),
        Column("gained", "gained"),
        Column("lost", "lost"),
        Column("pairs", "pairs"),
        Column("changed", "changed", hint="q below 0.05"),
        Column("draws", "draws"),
        Column("n", "n"),
        Column("n_stars", "stars"),
    )
    caption = (
        "The samples: informative dimensions [range over draws], and how many pairs of dimension "
        "and label differ from all rows."
    )
    return Table("samples", caption, result.overview, columns)


def _robustness_table(result: RobustnessResult) -> Table:
    others = result.mi[result.mi["sample"] != WHOLE]
    order = others["difference"].abs().fillna(-np.inf).sort_values(ascending=False, kind="stable")
    columns = (
        Column("sample", "sample"),
        Column("label", "label"),
        Column("dim", "dim"),
        Column("mi_nats", "here (nats)", error="std_nats"),
        Column("whole", "on all (nats)"),
        Column("difference", "difference", error="std_difference"),
        Column("p_value", "p"),
        Column("q_value", "q"),
        Column("n", "n"),
        Column("n_stars", "stars"),
    )
    caption = "Information on other samples, those that differ most from all rows first."
    frame = others.loc[order.index].reset_index(drop=True)
    return Table("robustness", caption, frame, columns, open_rows=5, max_rows=100)


PLANS = (
    Plan(
        "encoded",
        "What was encoded, and can it be trusted?",
        (Step("rows", "Rows, failures, quality", rows), Step("trust", "Trust", trust)),
    ),
    Plan(
        "dimensions",
        "How many dimensions matter?",
        (
            Step("spread", "Spread of each dimension", spread),
            Step("information", "Information of each dimension", information),
        ),
    ),
    Plan(
        "separate",
        "Are they separate?",
        (
            Step("shared", "What dimensions share", shared),
            Step("scatter", "Dimensions against one another", scatter),
            Step("disentanglement", "Measures of disentanglement", disentanglement),
        ),
    ),
    Plan(
        "meaning",
        "What does each mean?",
        (
            Step("meanings", "In words", meanings),
            Step("labels", "Dimensions and labels", labels),
            Step("drawn", "Labels and the dimensions that know them", against_labels),
            Step("readable", "How well each label can be read", readable),
            Step("left", "What is left after the label of each dimension", left_after_labels),
        ),
    ),
    Plan(
        "effect",
        "What does each do?",
        (
            Step("lines", "Lines that each dimension moves", line_map),
            Step("traversals", "One dimension moved at a time", traversals),
        ),
    ),
    Plan(
        "sample",
        "Is it the sample?",
        (
            Step("observation", "Instrument, epoch, air", observation),
            Step("time", "One star over time", over_time, _most_exposed),
            Step("samples", "Other samples of the same rows", other_samples),
            Step(
                "other",
                "Other latents of the same spectra",
                other_latents,
                lambda study: study.other is not None,
            ),
        ),
    ),
)
"""The order of a report."""


def chapters_of(study: ReportStudy) -> tuple[Chapter, ...]:
    """Make all parts, in their order; an error in one is kept as its outcome."""
    return tuple(
        Chapter(
            plan.key,
            plan.question,
            tuple(_outcome(step, study) for step in plan.steps if step.wanted(study)),
        )
        for plan in PLANS
    )


def _outcome(step: Step, study: ReportStudy) -> Outcome:
    began = perf_counter()
    part, html, absent, error = None, "", "", None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LatentscopeWarning)
        try:
            made = step.make(study)
            # Rendered here, so that what cannot be shown costs no more than its own part.
            part, html = made, part_html(made)
        except NotPossible as reason:
            absent = str(reason)
        except Exception as fault:
            error = fault
    ours = _own_warnings(caught)
    return Outcome(step.key, step.title, part, html, absent, error, ours, perf_counter() - began)


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
