"""Chapter 2: how many dimensions matter."""

from __future__ import annotations

import pandas as pd

from latentscope.diagnostics.activity import MADResult
from latentscope.diagnostics.informative.exclusive import exclusive_information
from latentscope.diagnostics.informative.result import Agreement, ExclusiveResult, compare
from latentscope.reporting.medians import mad_error
from latentscope.reporting.numbers import whole_numbers
from latentscope.reporting.parts import Column, Part, Table
from latentscope.reporting.pictures import picture
from latentscope.reporting.plan import Plan, Step
from latentscope.reporting.study import Study

_FEWEST_STARS = 100


def spread(study: Study) -> Part:
    """Show the spread of each dimension."""
    result = study.activity
    count, dims = len(result.informative), len(result.values)
    headline = (
        f"{count} of {dims} dimensions are informative: their median absolute deviation exceeds "
        f"{result.threshold:g} (n = {result.n:,})."
    )
    drawn = picture(
        result.plot(),
        "Each stem is a dimension. Those above the dashed line are informative; a dimension that "
        "the network has switched off stays near 0 for every spectrum.",
        f"Stem plot of the median absolute deviation of {dims} dimensions; informative: "
        f"{', '.join(map(str, result.informative)) or 'none'}.",
    )
    table = _spread_table(study, result)
    lines = tuple(result.sentences())
    return Part(headline, (), lines, (table,), (drawn,), result.provenance)


def _spread_table(study: Study, result: MADResult) -> Table:
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
        Column("informative", "informative", hint=f"MAD above {result.threshold:g}"),
        Column("above_gap", "above the gap", hint="above the threshold estimated from the data"),
        Column("active", "active", hint="variance of the mean above 0.01, Burda et al. 2016"),
        Column("kl_nats", "KL (nats)", hint="of q(z|x) from a unit Gaussian, mean over rows"),
        Column("std", "std"),
        Column("median", "median"),
        Column("minimum", "minimum"),
        Column("maximum", "maximum"),
        Column("n", "n"),
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
        open_rows=max(len(result.informative), 5),
    )


def information(study: Study) -> Part:
    """Show what each dimension carries, and what it adds to the others."""
    study.check_stars(_FEWEST_STARS)
    with study.stage("information of dimensions") as advance:
        result = exclusive_information(
            study.latents, groups=study.stars, seed=study.seed, progress=advance
        )
    agreement = compare(study.activity, result)
    drawn = picture(
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
    )


def _agreement_text(agreement: Agreement, result: ExclusiveResult) -> str:
    count = len(result.informative)
    told = f"By the information that they add, {count} dimensions matter (n = {result.n:,})"
    if agreement.agree:
        return f"{told}, the same ones."
    differ = len(agreement.only_varying) + len(agreement.only_adding)
    return f"{told}; the two answers agree on {len(agreement.both)} and differ in {differ}."


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
    return Table("exclusive", caption, frame, columns, open_rows=max(len(result.carrying), 5))


DIMENSIONS = Plan(
    "dimensions",
    "How many dimensions matter?",
    (
        Step("spread", "Spread of each dimension", spread),
        Step("information", "Information of each dimension", information),
    ),
)
