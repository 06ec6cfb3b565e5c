"""The command mad: how many dimensions are informative, by spread and by information."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentscope.cli.application import command, one_of
from latentscope.cli.options import Groups, Json, Latents, Plot, Seed, Table
from latentscope.cli.output import Output, progress, say_groups
from latentscope.cli.tables import check_outputs, write_table

if TYPE_CHECKING:
    import pandas as pd

    from latentscope.diagnostics.activity import MADResult
    from latentscope.diagnostics.exclusive import Agreement, ExclusiveResult

_MOST_ROWS = 32


@command(
    "latentscope mad latents.npy",
    "latentscope mad latents.npy -o mad.csv --plot mad.png",
)
def mad(
    latents: Latents,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            min=0.0,
            help="A dimension above it is informative. Default: the model's own, else 0.02.",
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", help="median or mean: absolute deviation, unscaled.")
    ] = "median",
    information: Annotated[
        bool,
        typer.Option(
            "--information/--no-information",
            help="Also measure what each dimension carries, shares and adds.",
        ),
    ] = True,
    groups: Groups = "auto",
    seed: Seed = 0,
    output: Table = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Tell how many dimensions are informative, by two independent answers.

    Dispersion: those whose median absolute deviation exceeds the threshold. Information: those
    that add something to the ones before them, in nats, measured on up to 5,000 rows, one a
    star.
    """
    from latentscope.data import read_latents
    from latentscope.diagnostics.activity import Kind
    from latentscope.diagnostics.activity import mad as measure

    out = Output(as_json)
    check_outputs(output, plot, latents)
    kind = one_of("--kind", kind, Kind)
    read = read_latents(latents)
    result = measure(read, kind=kind, threshold=threshold)  # type: ignore[arg-type]
    found, why_not = _information(read, groups, seed) if information else (None, "")
    table = result.table if found is None else _joined(result.table, found)
    beside = {} if found is None else {"information": found.provenance}
    write_table(output, table, {**result.provenance, **beside})
    agreement = _say(out, result, found, table, written=output is not None)
    if why_not:
        out.say(f"information was not measured: {why_not}")
    if found is not None:
        say_groups(out, found.provenance)
    out.result(_as_json(result, found, agreement, table))
    if plot is not None:
        from latentscope.plots.activity import plot_mad
        from latentscope.plots.style import save_figure

        save_figure(plot_mad(result), plot)


def _information(latents: Any, groups: str, seed: int) -> tuple[ExclusiveResult | None, str]:
    from latentscope.diagnostics.exclusive import exclusive_information
    from latentscope.errors import ChoiceError, EstimatorError

    with progress("information") as advance:
        try:
            return exclusive_information(latents, groups=groups, seed=seed, progress=advance), ""
        except ChoiceError:
            raise
        except EstimatorError as error:
            # The deviations stand without it, such as those of a few rows.
            return None, str(error)


def _joined(table: pd.DataFrame, found: ExclusiveResult) -> pd.DataFrame:
    order = found.order[["dim", "step", "gain_nats", "p_value"]]
    columns = found.table.drop(columns="kl_nats").merge(order, on="dim", how="left")
    return table.merge(columns, on="dim", how="left")


def _say(
    out: Output,
    result: MADResult,
    found: ExclusiveResult | None,
    table: pd.DataFrame,
    *,
    written: bool,
) -> Agreement | None:
    from latentscope.diagnostics.exclusive import compare

    shown = _rows_shown(result, found)
    out.frame(_columns_shown(table[table["dim"].isin(shown)]))
    hidden = len(table) - len(shown)
    if hidden:
        out.say(f"{hidden} more are below all of this{'' if written else '; -o writes them too'}")
    out.say()
    for line in result.sentences():
        out.say(line)
    out.say(f"{result.n} rows counted, {result.ignored} of NaN left out")
    if found is None:
        return None
    out.say()
    agreement = compare(result, found)
    for line in (*found.sentences(), "", *agreement.sentences()):
        out.say(line)
    return agreement


def _rows_shown(result: MADResult, found: ExclusiveResult | None) -> list[int]:
    """All dimensions; of many those that are informative by any answer."""
    if len(result.values) <= _MOST_ROWS:
        return list(range(len(result.values)))
    picked = {*result.informative.tolist(), *result.active.nonzero()[0].tolist()}
    if result.estimated_threshold is not None:
        picked |= set((result.values > result.estimated_threshold).nonzero()[0].tolist())
    if found is not None:
        picked |= set(found.carrying)
    return sorted(picked)


def _columns_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that fit a terminal."""
    names = {"kl_nats": "kl", "carried_nats": "carried", "rest_nats": "shared", "gain_nats": "gain"}
    columns = [
        "dim", "mad", "informative", "std", "active", "kl_nats", "carried_nats", "rest_nats",
        "partner", "exclusive", "gain_nats", "adds",
    ]  # fmt: skip
    known = [name for name in columns if name in table and table[name].notna().any()]
    shown = table.round(dict.fromkeys(names, 3))
    if "carries" in shown:
        # Noise around 0, which the table that -o writes has.
        shown.loc[~shown["carries"], "carried_nats"] = float("nan")
    return shown[known].rename(columns=names)


def _as_json(
    result: MADResult,
    found: ExclusiveResult | None,
    agreement: Agreement | None,
    table: pd.DataFrame,
) -> dict[str, Any]:
    value: dict[str, Any] = {
        "kind": result.kind,
        "threshold": result.threshold,
        "estimated_threshold": result.estimated_threshold,
        "estimated_from": result.gap.reason,
        "n": result.n,
        "ignored": result.ignored,
        "informative": result.informative,
        "active": result.active.nonzero()[0],
        "kl_nats": None if result.kl is None else float(result.kl.sum()),
        "table": table.to_dict("records"),
    }
    if found is not None and agreement is not None:
        value["information"] = {
            "informative": found.informative,
            "carrying": found.carrying,
            "sentences": [*found.sentences(), *agreement.sentences()],
            "order": found.order.to_dict("records"),
            "n": found.n,
            "resolution": found.resolution,
            "limit_nats": found.limit,
            "agree": agreement.agree,
            "only_varying": agreement.only_varying,
            "only_adding": agreement.only_adding,
        }
    return value
