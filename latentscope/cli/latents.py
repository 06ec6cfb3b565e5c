"""The commands that ask what latents hold, from mad to score."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentscope.cli.application import (
    SOME_FAILED,
    Columns,
    Dask,
    Dims,
    Discrete,
    Groups,
    Join,
    Json,
    Key,
    Labels,
    LabelsFile,
    Latents,
    Missing,
    Model,
    Numeric,
    Output,
    Plot,
    Seed,
    Table,
    UsageError,
    Where,
    check_outputs,
    chosen_dims,
    chosen_missing,
    chosen_names,
    command,
    complete_model,
    one_of,
    progress,
    save_plot,
    say_groups,
    study_of,
    write_table,
)
from latentscope.files import check_writable

if TYPE_CHECKING:
    import pandas as pd

    from latentscope.diagnostics.activity import MADResult
    from latentscope.diagnostics.exclusive import Agreement, ExclusiveResult
    from latentscope.diagnostics.mi.result import MIResult, PairwiseResult
    from latentscope.diagnostics.retrieval import RetrievalResult
    from latentscope.diagnostics.study import Study


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
            help="Dimensions above it are informative. Default: the model's own, else 0.02, that "
            "of the published network.",
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
    key: Key = None,
    seed: Seed = 0,
    output: Table = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Count informative dimensions, in two independent ways.

    Dispersion: those whose median absolute deviation exceeds the threshold. Information: those
    that add something to the ones before them, in nats, on up to 5,000 rows, one per star.
    """
    from latentscope.data import read_latents
    from latentscope.diagnostics.activity import Kind
    from latentscope.diagnostics.activity import mad as measure

    out = Output(as_json)
    check_outputs(output, plot, latents)
    kind = one_of("--kind", kind, Kind)
    read = read_latents(str(latents), key)
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
    save_plot(plot, result.plot)


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
        below = " are below all of this" if len(shown) < _MOST_ROWS else ""
        out.say(f"{hidden} more{below}{'' if written else '; -o writes them too'}")
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
    """All dimensions; of many those that are informative by any answer, the widest of these."""
    if len(result.values) <= _MOST_ROWS:
        return list(range(len(result.values)))
    picked = {*result.informative.tolist(), *result.active.nonzero()[0].tolist()}
    if result.estimated_threshold is not None:
        picked |= set((result.values > result.estimated_threshold).nonzero()[0].tolist())
    if found is not None:
        picked |= set(found.carrying)
    return sorted(sorted(picked, key=lambda dim: -result.values[dim])[:_MOST_ROWS])


def _columns_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that fit a terminal."""
    names = {"kl_nats": "kl", "carried_nats": "carried", "rest_nats": "shared", "gain_nats": "gain"}
    columns = [
        "dim", "mad", "informative", "std", "active", "kl_nats", "carried_nats", "rest_nats",
        "partner", "exclusive", "gain_nats", "adds",
    ]  # fmt: skip
    filled = [name for name in columns if name in table and table[name].notna().any()]
    shown = table.round(dict.fromkeys(names, 3))
    if "carries" in shown:
        # Noise around 0, which the table that -o writes has.
        shown.loc[~shown["carries"], "carried_nats"] = float("nan")
    return shown[filled].rename(columns=names)


def _as_json(
    result: MADResult,
    found: ExclusiveResult | None,
    agreement: Agreement | None,
    table: pd.DataFrame,
) -> dict[str, Any]:
    value: dict[str, Any] = {
        "kind": result.kind,
        "threshold": result.threshold,
        "threshold_from": result.threshold_from,
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


_STRONGEST = 15


# Read from their source, since to import it takes longer than all help.
_SOURCE = Path(__file__).parents[1] / "diagnostics" / "mi" / "estimators.py"
_NAMES = re.findall(r'^    name = "(\w+)"$', _SOURCE.read_text("utf-8"), re.MULTILINE)
_ESTIMATORS = ", ".join(["auto", *_NAMES])


@command(
    "latentscope mi latents.npy labels.csv -o mi.csv --plot mi.png",
    "latentscope mi latents.npy labels.csv --dims informative --columns radvel,Teff",
    "latentscope mi latents.npy labels.csv --given Teff,radvel",
    "latentscope mi latents.npy labels.csv --where 'snr > 50' --indicator --plot mi.png",
    "latentscope mi latents.npy",
)
def mi(
    latents: Latents,
    labels: Annotated[
        Path | None,
        typer.Argument(
            metavar="[LABELS]",
            help=".csv, .parquet, .ecsv, .fits or .npy of labels. Default: how the spectra were "
            "observed, as latents.csv says: instrument, mode, program, mjd, exptime, airmass, "
            "berv, snr.",
        ),
    ] = None,
    output: Table = None,
    plot: Plot = None,
    dims: Dims = "all",
    columns: Columns = None,
    estimator: Annotated[str, typer.Option("--estimator", help=f"One of {_ESTIMATORS}.")] = "auto",
    neighbors: Annotated[
        int, typer.Option("--neighbors", min=1, help="Neighbors k of the kNN estimators.")
    ] = 3,
    clip_sigma: Annotated[
        float,
        typer.Option(
            "--clip-sigma",
            min=0.0,
            help="Drop labels more than this many sigma from the median; 0: none.",
        ),
    ] = 5.0,
    indicator: Annotated[
        bool,
        typer.Option(
            "--indicator",
            help="Indicator of Sedaghat et al. 2021, section 6.2: histograms of 5 to 160 bins, "
            "divided by the largest value.",
        ),
    ] = False,
    given: Annotated[
        str | None,
        typer.Option("--given", help="Known labels, a,b: measure what is shared beyond them."),
    ] = None,
    discrete: Discrete = None,
    numeric: Numeric = None,
    join: Join = None,
    where: Where = None,
    key: Key = None,
    missing: Missing = "auto",
    groups: Groups = "auto",
    n_draws: Annotated[
        int, typer.Option("--n-draws", min=1, help="Draws of one random row per star.")
    ] = 11,
    n_permutations: Annotated[
        int, typer.Option("--n-permutations", min=1, help="Shuffles of stars, at most.")
    ] = 199,
    seed: Seed = 0,
    dask: Dask = None,
    as_json: Json = False,
) -> None:
    """Measure what each dimension knows about each label.

    Mutual information in nats, with its sampling error and a p-value. Without labels: is it the
    instrument, the epoch, the air?
    """
    from latentscope.diagnostics.mi.api import mi_matrix

    out = Output(as_json)
    check_outputs(output, plot, latents, labels)
    study = study_of(
        latents, labels, key=key, where=where, groups=groups, join=join, missing=missing,
        discrete=discrete, numeric=numeric,
    )  # fmt: skip
    if indicator:
        if given is not None or estimator != "auto":
            raise UsageError("--indicator is by histograms; leave out --given and --estimator")
        _indicate(out, study, dims, columns, clip_sigma or None, output, plot)
        return
    with progress("mutual information") as advance:
        result = mi_matrix(
            study,
            dims=chosen_dims(dims),
            columns=chosen_names(columns),
            given=chosen_names(given, "--given"),
            estimator=estimator,
            neighbors=neighbors,
            clip_sigma=clip_sigma or None,
            n_draws=n_draws,
            n_permutations=n_permutations,
            seed=seed,
            progress=advance,
            dask=dask,
        )
    write_table(output, result.table, result.provenance)
    for line in _relations(result, written=output is not None):
        out.say(line)
    for note in result.notes:
        out.say(note)
    out.result({"notes": result.notes, "table": result.table.to_dict("records")})
    save_plot(plot, result.plot)


def _indicate(
    out: Output,
    study: Study,
    dims: str,
    columns: str | None,
    clip_sigma: float | None,
    output: Path | None,
    plot: Path | None,
) -> None:
    """Measure the indicator of the paper, and tell the dimension of each label."""
    from latentscope.diagnostics.mi.indicator import paper_indicator

    asked: dict[str, Any] = {"columns": chosen_names(columns), "clip_sigma": clip_sigma}
    table = paper_indicator(study, dims=chosen_dims(dims), **asked)
    write_table(output, table, study.provenance("indicator", dims=dims, **asked))
    for label, part in table.groupby("label", sort=False):
        mean = part.groupby("dim")["indicator"].mean().sort_values(ascending=False, kind="stable")
        first = ", ".join(f"dim {dim} {value:.2f}" for dim, value in mean.head(3).items())
        out.say(f"{label}: {first} (mean over the numbers of bins; n = {part['n'].iloc[0]:,})")
    for note in study.notes:
        out.say(note)
    out.result({"notes": study.notes, "table": table.to_dict("records")})
    if plot is not None:
        from latentscope.plots.information import plot_indicator
        from latentscope.plots.style import save_figure

        save_figure(plot_indicator(table), plot)


def _relations(result: MIResult, *, written: bool) -> list[str]:
    """Put the strongest significant relations into words, and count them."""
    from latentscope.diagnostics.mi.result import SIGNIFICANT

    pairs, count = len(result.table), len(result.significant)
    lines = result.sentences(_STRONGEST, significant=True)
    first = f", the strongest {_STRONGEST} shown" if count > _STRONGEST else ""
    table = "" if written else "; -o writes the table of all"
    summary = f"{count:,} of {pairs:,} pairs are significant (q < {SIGNIFICANT:g}){first}{table}"
    return [*lines, summary]


@command(
    "latentscope pairs latents.npy --plot pairs.png",
    "latentscope pairs latents.npy --color spec_type --labels-file labels.csv --plot pairs.pdf",
)
def pairs(
    latents: Latents,
    color: Annotated[
        str | None,
        typer.Option("--color", help="Column that colors the points: of the labels or sidecar."),
    ] = None,
    labels_file: LabelsFile = None,
    dims: Dims = "informative",
    output: Table = None,
    plot: Plot = None,
    discrete: Discrete = None,
    numeric: Numeric = None,
    join: Join = None,
    where: Where = None,
    key: Key = None,
    missing: Missing = "auto",
    groups: Groups = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure and draw how dimensions depend on each other.

    Mutual information of each pair in nats, and with --plot a scatter grid, colored by a
    label. Structure in a panel means that two dimensions are not disentangled.
    """
    from latentscope.diagnostics.mi.api import pairwise_mi

    out = Output(as_json)
    check_outputs(output, plot, latents, labels_file)
    if (color is not None or labels_file is not None) and (color is None or plot is None):
        raise UsageError("a color needs --color COLUMN and --plot PICTURE")
    study = study_of(
        latents, labels_file, key=key, where=where, groups=groups, join=join, missing=missing,
        discrete=discrete, numeric=numeric,
    )  # fmt: skip
    if color is not None:
        study.column(color)  # refused before the work
    with progress("pairs") as advance:
        result = pairwise_mi(study, dims=chosen_dims(dims), seed=seed, progress=advance)
    ranked = _ranked(result)
    write_table(output, ranked, result.provenance)
    for line in result.sentences(_STRONGEST, significant=True):
        out.say(line)
    out.say(_count(result))
    for note in result.notes:
        out.say(note)
    out.result({"dims": result.dims, "notes": result.notes, "pairs": ranked.to_dict("records")})
    if plot is not None:
        from latentscope.plots.pairs import plot_pairs
        from latentscope.plots.style import save_figure

        ax = plot_pairs(
            study,
            chosen_dims(dims),
            color,
            pairs=result,
            seed=seed,
        )
        save_figure(ax, plot)


def _ranked(result: PairwiseResult) -> pd.DataFrame:
    table = result.table.sort_values("mi_nats", ascending=False, kind="stable", na_position="last")
    table.insert(0, "rank", range(1, len(table) + 1))
    return table.reset_index(drop=True)


def _count(result: PairwiseResult) -> str:
    from latentscope.diagnostics.mi.result import SIGNIFICANT

    count, dims = len(result.significant), ", ".join(map(str, result.dims))
    first = f", the strongest {_STRONGEST} shown" if count > _STRONGEST else ""
    return (
        f"{count:,} of {len(result.table):,} pairs of dims {dims} share something "
        f"(q < {SIGNIFICANT:g}){first}"
    )


@command(
    "latentscope metrics latents.npy labels.csv --plot metrics.png",
    "latentscope metrics latents.npy labels.csv --columns radvel,Teff -o metrics.csv",
)
def metrics(
    latents: Latents,
    labels: Labels,
    output: Table = None,
    plot: Plot = None,
    dims: Dims = "informative",
    columns: Columns = None,
    discrete: Discrete = None,
    numeric: Numeric = None,
    join: Join = None,
    where: Where = None,
    key: Key = None,
    missing: Missing = "auto",
    groups: Groups = "auto",
    n_halves: Annotated[
        int,
        typer.Option("--n-halves", min=0, help="Halves of the stars for the intervals; 0: none."),
    ] = 100,
    max_stars: Annotated[
        int | None,
        typer.Option(
            "--max-stars",
            min=100,
            help="Use a random sample of this many stars, to compare archives at equal numbers.",
        ),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure disentanglement beside a random rotation and PCA.

    MIG, SAP, DCI, modularity, explicitness and total correlation, with 95 % intervals.
    """
    from latentscope.diagnostics.disentanglement import metrics as measure

    out = Output(as_json)
    check_outputs(output, plot, latents, labels)
    study = study_of(
        latents, labels, key=key, where=where, groups=groups, join=join, missing=missing,
        discrete=discrete, numeric=numeric,
    )  # fmt: skip
    with progress("metrics") as advance:
        result = measure(
            study,
            dims=chosen_dims(dims),
            columns=chosen_names(columns),
            n_halves=n_halves,
            max_stars=max_stars,
            seed=seed,
            progress=advance,
        )
    write_table(output, result.table, result.provenance)
    out.frame(result.compact)
    out.say()
    for line in (*result.sentences(), *result.notes):
        out.say(line)
    if output is None:
        out.say("-o writes the table, label by label")
    out.result(
        {
            "notes": result.notes,
            "sentences": result.sentences(),
            "table": result.table.to_dict("records"),
        }
    )
    save_plot(plot, result.plot)


@command(
    "latentscope probe latents.npy labels.csv --plot probe.png",
    "latentscope probe latents.npy labels.csv --columns Teff,logg --save stars.safetensors",
    "latentscope probe others.npy --apply stars.safetensors -o others.probe.csv",
)
def probe(
    latents: Latents,
    labels: Annotated[
        Path | None,
        typer.Argument(
            metavar="LABELS",
            help=".csv, .parquet, .ecsv, .fits or .npy of labels; with --apply to compare with.",
        ),
    ] = None,
    apply: Annotated[
        str | None,
        typer.Option(
            "--apply", metavar="PROBE", help="Read labels with a saved probe: a file, or a model."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="PROBE",
            help="Save a probe with intervals: a .safetensors file, or the folder of the model.",
        ),
    ] = None,
    covered: Annotated[
        float,
        typer.Option("--covered", help="Share of stars that the saved intervals should hold."),
    ] = 0.9,
    output: Table = None,
    plot: Plot = None,
    color: Annotated[
        str | None, typer.Option("--color", help="Label that colors the points of --plot.")
    ] = None,
    dims: Annotated[
        str,
        typer.Option(
            "--dims", help="all, informative, a list: 11,19, or each: informative ones one by one."
        ),
    ] = "informative",
    columns: Columns = None,
    readers: Annotated[
        str, typer.Option("--readers", help="Regressors: some of linear, curved, knn and boosted.")
    ] = "linear,curved,knn,boosted",
    join: Join = None,
    where: Where = None,
    key: Key = None,
    missing: Missing = "auto",
    groups: Groups = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure how well each label can be read from latents.

    In its own unit, on held-out stars, by four regressors, with 95 % intervals and p-values from
    shuffled labels. --save stores a probe with prediction intervals, which --apply and encode use
    on other spectra.
    """
    from latentscope.diagnostics.probe import fit_probe
    from latentscope.diagnostics.probe import probe as measure

    out = Output(as_json)
    if apply is not None:
        if save is not None or plot is not None:
            raise UsageError("--apply goes without --save and --plot, which are of labels")
        check_outputs(output, None, latents, labels, Path(apply))
        study = study_of(
            latents, labels, key=key, where=where, join=join, missing=missing,
            groups="none" if labels is None else groups,
        )  # fmt: skip
        _apply_probe(out, apply, study, output)
        return
    if labels is None:
        raise UsageError("no LABELS; expected a table of them, or --apply PROBE")
    check_outputs(output, plot, latents, labels)
    if save is not None and not save.is_dir():
        if save.suffix != ".safetensors":
            raise UsageError(
                f"--save is {save}; expected a name that ends in .safetensors, or a model's folder"
            )
        check_writable(save)
    given: Any = {"columns": chosen_names(columns), "seed": seed}
    study = study_of(
        latents, labels, key=key, where=where, groups=groups, join=join, missing=missing
    )
    with progress("probe") as advance:
        result = measure(
            study,
            dims="each" if dims == "each" else chosen_dims(dims),
            readers=chosen_names(readers),  # type: ignore[arg-type]
            progress=advance,
            **given,
        )
    write_table(output, result.table, result.provenance)
    for line in result.sentences():
        out.say(line)
    for name, counts in result.confusion.items():
        out.say()
        out.say(f"{name}: stars of each class (rows), and what they are read as")
        out.frame(counts.reset_index())
    for note in result.notes:
        out.say(note)
    if output is None:
        out.say("-o writes the table of all readers")
    written = None
    told = [name for name in result.told if name not in result.confusion]
    if save is not None and not told:
        out.say("no probe is saved: no numeric label can be read")
    elif save is not None:
        from latentscope.models.probes import write_probe

        with progress("intervals") as advance:
            fitted = fit_probe(
                study,
                dims="informative" if dims == "each" else chosen_dims(dims),
                covered=covered,
                progress=advance,
                **given | {"columns": told},
            )
        written = write_probe(fitted, save)
        out.say(f"{written}: reads {', '.join(one.label for one in fitted.readings)}")
    out.result(
        {
            "notes": result.notes,
            "sentences": result.sentences(),
            "table": result.table.to_dict("records"),
            "confusion": {
                name: counts.to_dict("index") for name, counts in result.confusion.items()
            },
            "probe": written,
        }
    )
    save_plot(plot, lambda: result.plot(color=color))


def _apply_probe(out: Output, source: str, study: Study, output: Path | None) -> None:
    from latentscope.diagnostics.study import origin
    from latentscope.models.probes import apply_probe, compare_probe, read_probe

    probe = read_probe(source)
    found = apply_probe(probe, study.latents)
    provenance = {**origin("probe"), "probe": source, **probe.info, "covered": probe.covered}
    write_table(output, found, provenance)
    shown = found if output is None else found.head(_STRONGEST)
    out.frame(shown)
    outside = int(found["probe_outside"].sum())
    out.say(
        f"{len(found):,} rows read, with intervals that hold {100 * probe.covered:g} % of the stars"
        f"; {outside:,} lie outside of what the probe learned from"
    )
    compared = None
    if study.labels is not None:
        compared = compare_probe(probe, study)
        out.say()
        out.frame(compared)
    out.result(
        {
            "table": found.to_dict("records"),
            "covered": probe.covered,
            "compared": None if compared is None else compared.to_dict("records"),
        }
    )


@command(
    "latentscope robustness latents.npy labels.csv --plot robustness.png",
    "latentscope robustness latents.npy labels.csv --classes Teff -o robustness.csv",
)
def robustness(
    latents: Latents,
    labels: Labels,
    output: Table = None,
    plot: Plot = None,
    dims: Dims = "informative",
    columns: Columns = None,
    discrete: Discrete = None,
    numeric: Numeric = None,
    join: Join = None,
    where: Where = None,
    key: Key = None,
    missing: Missing = "auto",
    groups: Groups = "auto",
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            help="Label whose classes are drawn in equal numbers. Default: spectral type or Teff.",
        ),
    ] = None,
    n_draws: Annotated[
        int, typer.Option("--n-draws", min=3, help="Draws of each random sample.")
    ] = 8,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Test sensitivity to sample selection.

    Counts informative dimensions and measures information on one spectrum per star, on equal
    classes and on halves.
    """
    from latentscope.diagnostics.robustness import robustness as measure

    out = Output(as_json)
    check_outputs(output, plot, latents, labels)
    study = study_of(
        latents, labels, key=key, where=where, groups=groups, join=join, missing=missing,
        discrete=discrete, numeric=numeric,
    )  # fmt: skip
    with progress("robustness") as advance:
        result = measure(
            study,
            classes=classes,
            n_draws=n_draws,
            dims=chosen_dims(dims),
            columns=chosen_names(columns),
            seed=seed,
            progress=advance,
        )
    write_table(output, result.table, result.provenance)
    out.frame(result.overview)
    out.say()
    for line in (*result.sentences(), *result.notes):
        out.say(line)
    if output is None:
        out.say("-o writes the table, pair by pair")
    out.result(
        {
            "notes": result.notes,
            "sentences": result.sentences(),
            "mad": result.mad.to_dict("records"),
            "mi": result.mi.to_dict("records"),
        }
    )
    save_plot(plot, result.plot)


@command(
    "latentscope compare old.npy new.npy --labels labels.csv --plot compare.png",
    "latentscope compare seed0.npy seed1.npy seed2.npy -o compare.csv",
)
def compare(
    latents: Annotated[
        list[Path],
        typer.Argument(metavar="LATENTS LATENTS...", help="Latents of the same spectra."),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", "--labels-file", help=".csv, .parquet, .ecsv, .fits or .npy of labels."
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option("--names", help="Names of the models: old,new. Default: the file names."),
    ] = None,
    output: Table = None,
    plot: Plot = None,
    dims: Dims = "informative",
    columns: Annotated[
        str | None, typer.Option("--columns", help="Only these columns of LABELS: a,b.")
    ] = None,
    discrete: Discrete = None,
    numeric: Numeric = None,
    join: Join = None,
    where: Where = None,
    key: Key = None,
    missing: Missing = "auto",
    groups: Groups = "auto",
    max_stars: Annotated[
        int,
        typer.Option(
            "--max-stars",
            min=100,
            help="Largest number of stars; above it a random sample is used.",
        ),
    ] = 10_000,
    show: Annotated[int, typer.Option("--show", min=0, help="Moved rows to list.")] = 5,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Compare the latents of two or more models, seeds or releases.

    How alike they are (CKA, SVCCA, UDR), which dimensions match, which labels each knows better,
    and which rows moved. -o writes the measures, and beside them .dims.csv, .labels.csv and
    .rows.csv.
    """
    from latentscope.data import read_latents
    from latentscope.diagnostics.comparison import compare as measure

    out = Output(as_json)
    tables = {
        name: None if output is None else output.with_suffix(f".{name}.csv")
        for name in ("dims", "labels", "rows")
    }
    for path in (output, *tables.values()):
        check_outputs(path, plot, *latents, labels)
    first = study_of(
        latents[0], labels, key=key, groups=groups, join=join, missing=missing,
        discrete=discrete, numeric=numeric,
    )  # fmt: skip
    others = [read_latents(str(path), key) for path in latents[1:]]
    with progress("compare") as advance:
        result = measure(
            first,
            *others,
            names=chosen_names(names, "--names"),
            dims=chosen_dims(dims),
            columns=chosen_names(columns),
            where=where,
            max_stars=max_stars,
            seed=seed,
            progress=advance,
        )
    parts = {"dims": result.matching, "labels": result.labels, "rows": result.moved}
    write_table(output, result.table, result.provenance)
    for name, table in parts.items():
        write_table(tables[name], table, result.provenance)
    for line in (*result.sentences(show), *result.notes):
        out.say(line)
    if output is None:
        out.say("-o writes the tables")
    out.result(
        {
            "notes": result.notes,
            "sentences": result.sentences(show),
            "models": result.models.to_dict("records"),
            "similarity": result.table.to_dict("records"),
            **{name: table.to_dict("records") for name, table in parts.items()},
        }
    )
    save_plot(plot, result.plot)


_MODEL_LATENTS = Annotated[
    Path | None,
    typer.Option(
        "--latents",
        help="Latents of data by this model, for mean, quantiles and spread. Default: the sample"
        " that came with the model, or its prior.",
    ),
]
_LINELIST = Annotated[
    Path | None,
    typer.Option(
        "--linelist", help="Lines to measure: CSV, MOOG/linemake or VALD. Default: built in."
    ),
]
_RV = Annotated[
    float | None,
    typer.Option("--rv", help="Velocity of the lines at the start, km/s. Default: measured."),
]
_SPECTRUM = Annotated[
    Path | None,
    typer.Argument(
        metavar="[SPECTRUM]", help="Spectrum to start from. Default: the mean of the data."
    ),
]


@command(
    "latentscope track latents.npy --star HD128621 --plot track.png",
    "latentscope track latents.npy activity.csv --star HD128621 --columns rv,log_rhk -o track.csv",
)
def track(
    latents: Latents,
    labels: Annotated[
        Path | None,
        typer.Argument(metavar="[LABELS]", help="Table of velocities, activity indices, ..."),
    ] = None,
    star: Annotated[
        str | None,
        typer.Option("--star", help="Name of the star, in star or object. Default: the only one."),
    ] = None,
    output: Table = None,
    plot: Plot = None,
    dims: Dims = "informative",
    columns: Columns = None,
    time: Annotated[
        str | None,
        typer.Option("--time", help="Time column, in days. Default: bjd, hjd, mjd or jd."),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            help="What is independent: exposures or nights. auto: nights, if there are ten or more "
            "and some have several exposures.",
        ),
    ] = "auto",
    min_period: Annotated[
        float | None, typer.Option("--min-period", help="Days. Default: twice the median step.")
    ] = None,
    max_period: Annotated[
        float | None, typer.Option("--max-period", help="Days. Default: the length of the series.")
    ] = None,
    n_permutations: Annotated[
        int, typer.Option("--n-permutations", min=1, help="Shuffles of exposures or nights.")
    ] = 199,
    key: Key = None,
    where: Where = None,
    join: Join = None,
    missing: Missing = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Follow one star over time: scatter, periods, correlations.

    Its latents against time, their scatter against what q(z|x) allows, Lomb-Scargle periods with
    false-alarm probabilities, and rank correlations with velocities and indices.
    """
    from latentscope.diagnostics.track import By
    from latentscope.diagnostics.track import track as follow

    out = Output(as_json)
    check_outputs(output, plot, latents, labels)
    study = study_of(
        latents, labels, key=key, where=where, groups="none", join=join, missing=missing
    )
    result = follow(
        study,
        star,
        dims=chosen_dims(dims),
        columns=chosen_names(columns),
        time=time,
        by=one_of("--by", by, By),
        min_period=min_period,
        max_period=max_period,
        n_permutations=n_permutations,
        seed=seed,
    )
    write_table(output, result.series, result.provenance)
    save_plot(plot, result.plot)
    for line in (*result.sentences(), *result.notes):
        out.say(line)
    out.result(
        {
            "star": result.star,
            "by": result.by,
            "dims": result.dims.to_dict("records"),
            "correlations": result.correlations.to_dict("records"),
            "series": result.series.to_dict("records"),
            "notes": result.notes,
        }
    )


@command(
    "latentscope traverse --dim 0 --plot dim0.png",
    "latentscope traverse spectrum.fits -m harps-sim --dim 7 --latents latents.npy --sigmas -3:3",
    "latentscope traverse --dim 7 --window 5160:5190 --window 6550:6576 -o dim7.csv",
)
def traverse(
    spectrum: _SPECTRUM = None,
    dim: Annotated[int, typer.Option("--dim", min=0, help="The dimension to move.")] = ...,  # type: ignore[assignment]
    model: Model = None,
    latents: _MODEL_LATENTS = None,
    quantiles: Annotated[
        str | None,
        typer.Option(
            "--quantiles", help="Quantiles of the data: 0.1,0.5,0.9. Default: seven, 0.02 to 0.98."
        ),
    ] = None,
    sigmas: Annotated[
        str | None,
        typer.Option("--sigmas", help="Range about the start, in spreads of the data: -3:3."),
    ] = None,
    values: Annotated[
        str | None, typer.Option("--values", help="Values of the dimension: -2,0,2.")
    ] = None,
    n_steps: Annotated[
        int, typer.Option("--n-steps", min=2, help="Number of steps of --sigmas.")
    ] = 7,
    window: Annotated[
        list[str] | None,
        typer.Option("--window", help="Zoom of the plot, Angstrom: 5160:5190. Repeatable."),
    ] = None,
    linelist: _LINELIST = None,
    rv: _RV = None,
    output: Table = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Move one dimension, decode, and measure what changes.

    Radial velocity, color and slope of the continuum, depth and width of lines. -o writes the
    spectra's table, and the lines' beside it as .lines.csv.
    """
    from latentscope.models.config import DEFAULT_MODEL
    from latentscope.models.traversal import traverse as measure

    out = Output(as_json)
    inputs = (spectrum, latents, linelist)
    check_outputs(output, plot, *inputs)
    if output is not None:
        check_outputs(output.with_suffix(".lines.csv"), None, *inputs)
    zooms = [_range("--window", text) for text in window or ()]
    with progress("traverse") as advance:
        result = measure(
            model or DEFAULT_MODEL,
            dim,
            spectrum=spectrum,
            latents=latents,
            linelist=linelist,
            rv=rv,
            quantiles=None if quantiles is None else _numbers("--quantiles", quantiles),
            sigmas=None if sigmas is None else _spaced(sigmas, n_steps),
            values=None if values is None else _numbers("--values", values),
            progress=advance,
        )
    write_table(output, result.table, result.provenance)
    if output is not None:
        write_table(output.with_suffix(".lines.csv"), result.lines, result.provenance)
    if plot is not None:
        from latentscope.plots.style import save_figure
        from latentscope.plots.traversal import plot_traversal

        save_figure(plot_traversal(result, windows=zooms or None), plot)
    sentences = result.sentences()
    out.frame(result.table)
    out.say()
    for sentence in sentences:
        out.say(sentence)
    out.say(_begun(result.provenance))
    out.result(
        {
            "dim": result.dim,
            "verdict": result.verdict,
            "rv_kms_per_unit": result.rv_per_unit.value,
            "rv_kms_per_unit_error": result.rv_per_unit.error,
            "shift_explained": result.shift_explained,
            "unit": result.unit,
            "sentences": sentences,
            "provenance": result.provenance,
            "table": result.table.to_dict("records"),
            "lines": result.lines.to_dict("records"),
        }
    )


@command(
    "latentscope linemap -m harps-sim -o linemap.csv --plot linemap.png",
    "latentscope linemap --latents latents.npy --dims 7,12 --linelist lines.csv",
)
def linemap(
    spectrum: _SPECTRUM = None,
    model: Model = None,
    latents: _MODEL_LATENTS = None,
    dims: Annotated[
        str, typer.Option("--dims", help="informative, or a list: 11,19.")
    ] = "informative",
    step: Annotated[
        float,
        typer.Option("--step", help="Step of the central differences, in spreads of the data."),
    ] = 0.5,
    linelist: _LINELIST = None,
    rv: _RV = None,
    output: Table = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Find which lines each dimension moves.

    The derivative of the decoded spectrum with respect to each informative dimension, read on a
    list of lines.
    """
    from latentscope.models.config import DEFAULT_MODEL
    from latentscope.models.traversal import line_map

    out = Output(as_json)
    check_outputs(output, plot, spectrum, latents, linelist)
    chosen = None if dims == "informative" else _whole_numbers(dims)
    with progress("line map") as advance:
        result = line_map(
            model or DEFAULT_MODEL,
            latents=latents,
            dims=chosen,
            spectrum=spectrum,
            linelist=linelist,
            step=step,
            rv=rv,
            progress=advance,
        )
    write_table(output, result.table, result.provenance)
    save_plot(plot, result.plot)
    out.frame(result.dims)
    out.say()
    for sentence in result.sentences():
        out.say(sentence)
    out.say(_begun(result.provenance) + ("" if output else "; -o writes the table of all lines"))
    out.result(
        {
            "sentences": result.sentences(),
            "provenance": result.provenance,
            "dims": result.dims.to_dict("records"),
            "table": result.table.to_dict("records"),
        }
    )


def _begun(provenance: dict[str, Any]) -> str:
    return (
        f"moved from {provenance['base_from']}, whose lines are at {provenance['base_rv']:+.1f} "
        f"km/s ({provenance['base_rv_from']}); one sigma is the spread of {provenance['data']}"
    )


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} is {text!r}; expected numbers such as -2,0,2") from None


def _whole_numbers(text: str) -> list[int]:
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdigit() for number in numbers):
        raise UsageError(f"--dims is {text!r}; expected informative, or numbers such as 11,19")
    return [int(number) for number in numbers]


def _range(option: str, text: str) -> tuple[float, float]:
    first, _, last = text.partition(":")
    try:
        found = float(first), float(last)
    except ValueError:
        found = 0.0, 0.0
    if not found[0] < found[1]:
        raise UsageError(f"{option} is {text!r}; expected first:last, ascending, such as 5160:5190")
    return found


def _spaced(text: str, n_steps: int) -> list[float]:
    first, last = _range("--sigmas", text)
    return [first + (last - first) * step / (n_steps - 1) for step in range(n_steps)]


_ON_SCREEN = ("rank", "row", "id", "star", "distance", "percentile", "agree", "differ")
_IN_FILES_ONLY = ("query", "object", "file")


@command(
    "latentscope retrieve spectrum.fits latents.npy -k 5 --plot nearest.png",
    "latentscope retrieve --row 12 --row 40 latents.npy --labels-file labels.csv -o nearest.csv",
    "latentscope retrieve --id ADP.2014-09-16T11:04:49.123 latents.npy --one-per-star",
)
def retrieve(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="[QUERY]... LATENTS",
            help="Query spectra, as 'encode' takes them, then the latents to search.",
        ),
    ],
    n_matches: Annotated[
        int, typer.Option("-k", "--n-matches", min=1, help="Matches per query.")
    ] = 10,
    row: Annotated[
        list[int] | None,
        typer.Option("--row", help="Query row of LATENTS, from 0. Repeatable."),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--id", help="Query row of LATENTS, by id. Repeatable."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            help="Model that encodes QUERY. Default: the one that made LATENTS.",
            autocompletion=complete_model,
        ),
    ] = None,
    dims: Dims = "informative",
    metric: Annotated[
        str, typer.Option("--metric", help="euclidean, mahalanobis, manhattan or cosine.")
    ] = "euclidean",
    spread: Annotated[
        str,
        typer.Option(
            "--spread", help="Scale of the dimensions: robust (MAD), plain (std) or none."
        ),
    ] = "robust",
    groups: Groups = "auto",
    same_star: Annotated[
        bool, typer.Option("--same-star", help="Include other spectra of the query's star.")
    ] = False,
    one_per_star: Annotated[
        bool, typer.Option("--one-per-star", help="List only the nearest spectrum of each star.")
    ] = False,
    labels: LabelsFile = None,
    columns: Columns = None,
    join: Join = None,
    where: Where = None,
    key: Key = None,
    missing: Missing = "auto",
    output: Table = None,
    plot: Plot = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Find the spectra nearest to a query in latent space.

    Exact; other spectra of the same star are left out. The percentile says how many spectra have a
    nearer match than this one.
    """
    from latentscope.data import read_latents
    from latentscope.diagnostics.nearest import Metric, Spread
    from latentscope.diagnostics.retrieval import Retriever

    out = Output(as_json)
    *files, latents = sources
    _check_asked(files, row or [], name or [], latents)
    check_outputs(output, plot, Path(latents), labels)
    with progress("usual distances") as advance:
        retriever = Retriever(
            latents if key is None else read_latents(latents, key),
            dims=chosen_dims(dims),
            metric=one_of("--metric", metric, Metric),
            spread=one_of("--spread", spread, Spread),
            groups=groups,
            same_star=same_star,
            one_per_star=one_per_star,
            labels=None if labels is None else str(labels),
            columns=_chosen_columns(columns, labels),
            join=join,
            missing=chosen_missing(missing),
            where=where,
            seed=seed,
            progress=advance,
        )
    # A row that is not there is told before a model is loaded.
    of_sample: list[int | str] = [*(row or []), *(name or [])]
    asked: list[Any] = [retriever.queries(of_sample)] if of_sample else []
    if files:
        from latentscope.models.queries import encode_queries

        with progress("encode") as advance:
            asked.append(encode_queries(files, retriever.latents, model, progress=advance))
    result = retriever.query(asked, n_matches)
    write_table(output, _wide(result), result.provenance)
    _show(out, result)
    if plot is not None:
        from latentscope.plots.retrieval import plot_answers
        from latentscope.plots.style import save_figure

        save_figure(plot_answers(result), plot)
    if result.failed:
        raise typer.Exit(SOME_FAILED)


def _check_asked(files: list[str], rows: list[int], names: list[str], latents: str) -> None:
    if not files and not rows and not names:
        raise UsageError(
            f"nothing to look for in {latents}; expected spectra before it, or --row, or --id"
        )


def _chosen_columns(columns: str | None, labels: Path | None) -> list[str] | None:
    if columns is None:
        return None
    if labels is None:
        raise UsageError("--columns names columns to show; give their file too (--labels-file)")
    return chosen_names(columns)


def _wide(result: RetrievalResult) -> pd.DataFrame:
    """Return the matches with the difference in each dimension beside."""
    import pandas as pd

    return pd.concat([result.table, result.differences.add_prefix("delta_")], axis=1)


def _show(out: Output, result: RetrievalResult) -> None:
    labels = [
        name for name in result.table if name not in _ON_SCREEN and name not in _IN_FILES_ONLY
    ]
    for place, query in enumerate(result.queries.to_dict("records")):
        if not query["error"]:
            out.say(result.heading(place))
            shown = result.matches(place)
            out.frame(shown[[name for name in (*_ON_SCREEN, *labels) if name in shown]])
            out.say()
    for note in result.notes:
        out.say(note)
    out.failures(result.failed)
    matches = result.table.to_dict("records")
    for match, differences in zip(matches, result.differences.to_dict("records"), strict=True):
        match["differences"] = differences
    queries = result.queries.astype(object)
    out.result(
        {
            "queries": queries.where(queries.notna(), None).to_dict("records"),
            "matches": matches,
            "dims": result.dims,
            "metric": result.provenance["metric"],
            "notes": result.notes,
            "failed": [{"query": name, "error": why} for name, why in result.failed],
        }
    )


@command(
    "latentscope score latents.npy",
    "latentscope score latents.npy -m me/my-model -o trust.csv --plot trust.png",
    "latentscope score latents.npy --reference ordinary.npy",
)
def score(
    latents: Latents,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            help="Model that encoded them, with its reference sample. Default: the bundled model "
            "they name, else they are compared with each other.",
            autocompletion=complete_model,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option("--reference", help="Latents of ordinary spectra, encoded with that model."),
    ] = None,
    output: Table = None,
    plot: Plot = None,
    show: Annotated[int, typer.Option("--show", min=0, help="Least trusted rows to list.")] = 10,
    groups: Groups = "auto",
    key: Key = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Flag spectra unlike the model's training data.

    Latents, reconstruction and resolution are each compared with ordinary spectra: their
    percentiles among these (0 to 100), a trust of each and of all (0 to 1), and a verdict with the
    reason.
    """
    from latentscope.data import read_latents
    from latentscope.models.trust import score as judge

    out = Output(as_json)
    if model is not None and reference is not None:
        raise UsageError("both -m and --reference are given; expected one of the two")
    check_outputs(output, plot, latents, reference)
    result = judge(
        read_latents(str(latents), key),
        reference=None if reference is None else str(reference),
        model=model,
        groups=groups,
        seed=seed,
    )
    write_table(output, result.table, result.provenance)
    save_plot(plot, result.plot)
    for line in result.sentences(show):
        out.say(line)
    say_groups(out, result.provenance)
    out.result(
        {
            "counts": result.counts,
            "reference": result.provenance["reference"],
            "own_reference": result.provenance["own_reference"],
            "table": result.table.to_dict("records"),
        }
    )
