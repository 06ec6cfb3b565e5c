"""Chapter 6: whether it is the sample."""

from __future__ import annotations

import numpy as np

from latentscope.diagnostics.robustness.result import RobustnessResult
from latentscope.diagnostics.robustness.robustness import robustness
from latentscope.diagnostics.robustness.samples import REPEATS, WHOLE
from latentscope.reporting.parts import Column, Part, Table
from latentscope.reporting.pictures import picture
from latentscope.reporting.plan import Plan, Step
from latentscope.reporting.study import Study


def other_samples(study: Study) -> Part:
    """Show what changes on other samples of the same rows."""
    study.check_rows()
    labels, dims = study.sample_labels, study.dims
    with study.stage("other samples") as advance:
        result = robustness(
            study.sample,
            labels,
            groups=study.sample_stars,
            halves=study.effort.halves,
            dims=dims,
            columns=study.columns,
            seed=study.seed,
            progress=advance,
        )
    drawn = picture(
        result.plot(),
        "The same numbers on other samples of the same rows; where the marks of all samples agree, "
        "it is not the sample.",
        f"Informative dimensions and information on {len(result.samples)} samples.",
    )
    return Part(
        _headline(result),
        study.measured_on(),
        (*result.sentences(), *result.notes),
        (_overview(result), _pairs(result)),
        (drawn,),
        result.provenance,
    )


def _headline(result: RobustnessResult) -> str:
    others = result.mi[~result.mi["sample"].isin((WHOLE, REPEATS))]
    changed, pairs = int(others["significant"].sum()), len(others)
    counts = result.mad["informative"]
    between = (
        f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    )
    return (
        f"On other samples of these stars {between} dimensions are informative, and {changed:,} of "
        f"{pairs:,} values of information change (q < 0.05)."
    )


def _overview(result: RobustnessResult) -> Table:
    columns = (
        Column("sample", "sample"),
        Column("informative", "informative", interval=("low", "high"), hint="MAD above 0.02"),
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


def _pairs(result: RobustnessResult) -> Table:
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
    return Table("robustness", caption, frame, columns, open_rows=8, most=100)


SAMPLE = Plan(
    "sample",
    "Is it the sample?",
    (Step("samples", "Other samples of the same rows", other_samples),),
)
