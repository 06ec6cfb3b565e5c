"""Chapter 4: what each dimension means."""

from __future__ import annotations

import pandas as pd

from latentscope.diagnostics.meaning import Meaning, dimension_meanings
from latentscope.diagnostics.mi_result import MIResult
from latentscope.diagnostics.wording import shortened
from latentscope.plots.dimension import plot_dim_against_label
from latentscope.reporting.numbers import whole_numbers, with_error
from latentscope.reporting.parts import Column, NotPossible, Part, Table
from latentscope.reporting.pictures import picture
from latentscope.reporting.plan import Plan, Step
from latentscope.reporting.study import Study


def labels(study: Study) -> Part:
    """Show what each informative dimension knows of each label."""
    result = study.information
    frame = result.table.sort_values("mi_nats", ascending=False, kind="stable", ignore_index=True)
    table = Table(
        "mi",
        "Mutual information of dimensions with labels, the strongest first; in nats, ± standard "
        "error.",
        frame,
        (
            Column("dim", "dim"),
            Column("label", "label"),
            Column("mi_nats", "knows (nats)", error="std_nats"),
            Column("p_value", "p"),
            Column("q_value", "q", hint="false discovery rate over this table"),
            Column("n", "n"),
            Column("n_groups", "stars", hint="independent rows"),
            Column("estimator", "estimator"),
        ),
        most=1200,
    )
    drawn = picture(
        result.plot(),
        "Rows are labels that the network never saw, columns are dimensions. Framed cells are "
        "significant; a label that lights up in one column alone has a dimension of its own.",
        f"Heatmap of mutual information of {len(result.labels)} labels with "
        f"{len(result.dims)} dimensions.",
    )
    count, pairs = len(result.significant), len(frame)
    text = f"{count:,} of {pairs:,} pairs of dimension and label are significant (q < 0.05)."
    return Part(
        "", (text, *study.measured_on()), result.notes, (table,), (drawn,), result.provenance
    )


def meanings(study: Study) -> Part:
    """Say in words what each informative dimension follows."""
    found = dimension_meanings(
        study.sample.values, study.sample_labels, study.activity, study.information
    )
    found = [it for it in found if it.dim in study.dims]
    table = _meanings_table(found, study.information)
    return Part(_headline(table.frame), (), tuple(it.sentence for it in found), (table,))


def against_labels(study: Study) -> Part:
    """Draw each label against the dimension that knows most of it."""
    result = study.information
    values, frame = study.sample.values, study.sample_labels
    known = {(row["label"], row["dim"]) for row in result.significant.to_dict("records")}
    pictures = []
    for row in result.best.to_dict("records"):
        label, dim = str(row["label"]), int(row["dim"])
        if (label, dim) not in known or not pd.api.types.is_numeric_dtype(frame[label]):
            continue
        axes = plot_dim_against_label(
            values[:, dim], frame[label], dim=dim, name=label, mi=float(row["mi_nats"])
        )
        caption = f"{label} and dimension {dim}, which knows most of it."
        alt = f"Dimension {dim} against {label}."
        pictures.append(picture(axes, caption, alt, raster=True))
        if len(pictures) == _MOST_PICTURES:
            break
    if not pictures:
        raise NotPossible(
            "No label of numbers has a dimension that knows something significant of it, so there "
            "is nothing to draw: give other labels, or more rows."
        )
    return Part(paragraphs=study.measured_on(), pictures=tuple(pictures))


_MOST_PICTURES = 8


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


def _headline(frame: pd.DataFrame) -> str:
    """Say which label each dimension knows most of, with errors."""
    known = frame.dropna(subset="label").to_dict("records")
    if not known:
        return "No dimension follows any of the labels significantly."
    told = [
        f"{row['dim']} {row['label']} ({with_error(row['mi_nats'], row['std_nats'])})"
        for row in known
    ]
    silent = len(frame) - len(known)
    rest = f"; {silent} match no label" if silent else ""
    return f"Dimension and label that it knows most of (nats): {shortened(told)}{rest}."


MEANING = Plan(
    "meaning",
    "What does each mean?",
    (
        Step("meanings", "In words", meanings),
        Step("labels", "Dimensions and labels", labels),
        Step("drawn", "Labels and the dimensions that know them", against_labels),
    ),
)
