"""The commands on latents, from mad to score."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentscope.cli.application import SOME_FAILED, UsageError, command, watched
from latentscope.cli.options import (
    LABELS,
    Columns,
    Dask,
    Dims,
    Groups,
    Joined,
    Key,
    Labels,
    LabelsFile,
    Latents,
    Model,
    Results,
    Rows,
    Seed,
    dims_or,
    interval,
    model_option,
    names,
    numbers,
    option,
    parsed,
    whole,
)
from latentscope.files import check_writable

if TYPE_CHECKING:
    import pandas as pd

    from latentscope.diagnostics.activity import MADResult
    from latentscope.diagnostics.exclusive import ExclusiveResult
    from latentscope.diagnostics.mi.api import MIResult, PairwiseResult
    from latentscope.diagnostics.study import Study

_MOST_DIMS = 32
_STRONGEST = 15


@command("latentscope mad latents.npy", "latentscope mad latents.npy -o mad.csv --plot mad.png")
def mad(
    latents: Latents,
    out: Results,
    threshold: Annotated[
        float | None,
        option(
            "MAD",
            "Dimensions above it are informative. Default: the model's own, else 0.02, that "
            "of the published network.",
            min=0.0,
        ),
    ] = None,
    kind: Annotated[
        Literal["median", "mean"], typer.Option("--kind", help="Absolute deviation, unscaled.")
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
) -> None:
    """Count informative dimensions, in two independent ways.

    Dispersion: those whose median absolute deviation exceeds the threshold. Information: those
    that add something to the ones before them, in nats, on up to 5,000 rows, one per star.
    """
    from latentscope.data import read_latents
    from latentscope.diagnostics.activity import mad as measure
    from latentscope.diagnostics.exclusive import compare

    out.check(latents)
    read = read_latents(str(latents), key)
    result = measure(read, kind=kind, threshold=threshold)
    found, why_not = _information(read, groups, seed) if information else (None, "")
    table, provenance = result.table, result.provenance
    if found is not None:
        order = found.order[["dim", "step", "gain_nats", "p_value"]]
        columns = found.table.drop(columns="kl_nats").merge(order, on="dim", how="left")
        table = table.merge(columns, on="dim", how="left")
        provenance = {**provenance, "information": found.provenance}
    shown = _dims_shown(result, found)
    words: list[Any] = [_columns_shown(table[table["dim"].isin(shown)])]
    if hidden := len(table) - len(shown):
        below = " are below all of this" if len(shown) < _MOST_DIMS else ""
        words.append(f"{hidden} more{below}{'' if out.output else '; -o writes them too'}")
    words += ["", *result.sentences()]
    words.append(f"{result.n} rows counted, {result.ignored} of NaN left out")
    record: dict[str, Any] = {
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
        "table": table,
    }
    if found is not None:
        agreement = compare(result, found)
        words += ["", *found.sentences(), "", *agreement.sentences()]
        words += filter(None, [found.provenance.get("groups_found")])
        record["information"] = {
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
    elif why_not:
        words.append(f"information was not measured: {why_not}")
    out.give(result, words, record, table=table, provenance=provenance)


def _information(latents: Any, groups: str, seed: int) -> tuple[ExclusiveResult | None, str]:
    from latentscope.diagnostics.exclusive import exclusive_information
    from latentscope.errors import ChoiceError, EstimatorError

    try:
        return watched("information", exclusive_information, latents, groups=groups, seed=seed), ""
    except ChoiceError:
        raise
    except EstimatorError as error:
        # The deviations stand without it, such as those of a few rows.
        return None, str(error)


def _dims_shown(result: MADResult, found: ExclusiveResult | None) -> list[int]:
    """All dimensions; of many those that are informative by any answer, the widest of these."""
    if len(result.values) <= _MOST_DIMS:
        return list(range(len(result.values)))
    picked = {*result.informative.tolist(), *result.active.nonzero()[0].tolist()}
    if result.estimated_threshold is not None:
        picked |= set((result.values > result.estimated_threshold).nonzero()[0].tolist())
    if found is not None:
        picked |= set(found.carrying)
    return sorted(sorted(picked, key=lambda dim: -result.values[dim])[:_MOST_DIMS])


def _columns_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that fit a terminal."""
    headings = {
        "kl_nats": "kl", "carried_nats": "carried", "rest_nats": "shared", "gain_nats": "gain"
    }  # fmt: skip
    columns = [
        "dim", "mad", "informative", "std", "active", "kl_nats", "carried_nats", "rest_nats",
        "partner", "exclusive", "gain_nats", "adds"
    ]  # fmt: skip
    filled = [name for name in columns if name in table and table[name].notna().any()]
    shown = table.round(dict.fromkeys(headings, 3))
    if "carries" in shown:
        # Noise around 0, which the table that -o writes has.
        shown.loc[~shown["carries"], "carried_nats"] = float("nan")
    return shown[filled].rename(columns=headings)


# Read from their source, since to import it takes longer than all help.
_SOURCE = Path(__file__).parents[1] / "diagnostics" / "mi" / "estimators.py"
_NAMES = re.findall(r'^    name = "(\w+)"$', _SOURCE.read_text("utf-8"), re.MULTILINE)


@command(
    "latentscope mi latents.npy labels.csv -o mi.csv --plot mi.png",
    "latentscope mi latents.npy labels.csv --dims 3,7 --columns radvel,Teff",
    "latentscope mi latents.npy labels.csv --given Teff,radvel",
    "latentscope mi latents.npy labels.csv --where 'snr > 50' --indicator",
    "latentscope mi latents.npy",
)
def mi(
    latents: Latents,
    rows: Rows,
    out: Results,
    labels: Annotated[
        Path | None,
        typer.Argument(
            metavar="LABELS",
            help=f"{LABELS} Default: how the spectra were observed, as latents.csv says: "
            "instrument, mode, program, mjd, exptime, airmass, berv, snr.",
        ),
    ] = None,
    dims: Dims = "all",
    columns: Columns = None,
    given: Annotated[
        Any, parsed(names, "Known labels, a,b: measure what is shared beyond them.")
    ] = None,
    estimator: Annotated[str, option("NAME", f"One of {', '.join(['auto', *_NAMES])}.")] = "auto",
    neighbors: Annotated[int, option("K", "Neighbors k of the kNN estimators.", min=1)] = 3,
    clip_sigma: Annotated[
        float,
        option("SIGMA", "Drop labels more than this many sigma from the median; 0: none.", min=0.0),
    ] = 5.0,
    indicator: Annotated[
        bool,
        typer.Option(
            "--indicator",
            help="Indicator of Sedaghat et al. 2021, section 6.2: histograms of 5 to 160 bins, "
            "divided by the largest value.",
        ),
    ] = False,
    n_draws: Annotated[int, whole(1, "Draws of one random row per star.")] = 11,
    n_permutations: Annotated[int, whole(1, "Shuffles of stars, at most.")] = 199,
    seed: Seed = 0,
    dask: Dask = None,
) -> None:
    """Measure what each dimension knows about each label.

    Mutual information in nats, with its sampling error and a p-value. Without labels: is it the
    instrument, the epoch, the air?
    """
    from latentscope.diagnostics.mi.api import mi_matrix

    out.check(latents, labels)
    study = rows.study(latents, labels)
    if indicator:
        if given is not None or estimator != "auto":
            raise UsageError("--indicator is by histograms; leave out --given and --estimator")
        _indicate(out, study, dims, columns, clip_sigma or None)
        return
    result = watched(
        "mutual information",
        mi_matrix,
        study,
        dims=dims,
        columns=columns,
        given=given,
        estimator=estimator,
        neighbors=neighbors,
        clip_sigma=clip_sigma or None,
        n_draws=n_draws,
        n_permutations=n_permutations,
        seed=seed,
        dask=dask,
    )
    words = _strongest(result, "pairs are significant")
    out.give(result, words, {"table": result.table}, more="the table of all pairs")


def _strongest(result: MIResult | PairwiseResult, verdict: str) -> list[str]:
    """Put the strongest significant pairs into words, and count them."""
    from latentscope.diagnostics.mi.api import SIGNIFICANT

    pairs, count = len(result.table), len(result.significant)
    first = f", the strongest {_STRONGEST} shown" if count > _STRONGEST else ""
    return [
        *result.sentences(_STRONGEST, significant=True),
        f"{count:,} of {pairs:,} {verdict} (q < {SIGNIFICANT:g}){first}",
    ]


def _indicate(
    out: Results, study: Study, dims: Any, columns: list[str] | None, clip_sigma: float | None
) -> None:
    """Measure the indicator of the paper, and tell the dimension of each label."""
    from latentscope.diagnostics.meaning import paper_indicator

    def draw() -> Any:
        from latentscope.plots.information import plot_indicator

        return plot_indicator(table)

    asked: dict[str, Any] = {"dims": dims, "columns": columns, "clip_sigma": clip_sigma}
    table = paper_indicator(study, **asked)
    words = []
    for label, part in table.groupby("label", sort=False):
        mean = part.groupby("dim")["indicator"].mean().sort_values(ascending=False, kind="stable")
        first = ", ".join(f"dim {dim} {value:.2f}" for dim, value in mean.head(3).items())
        words.append(f"{label}: {first} (mean over the numbers of bins; n = {part['n'].iloc[0]:,})")
    out.give(
        None,
        words,
        {"table": table},
        notes=study.notes,
        table=table,
        provenance=study.provenance("indicator", **asked),
        draw=draw,
    )


@command(
    "latentscope pairs latents.npy --plot pairs.png",
    "latentscope pairs latents.npy --color spec_type --plot pairs.pdf",
)
def pairs(
    latents: Latents,
    rows: Rows,
    out: Results,
    color: Annotated[
        str | None, option("NAME", "Column of the labels or of latents.csv that colors the points.")
    ] = None,
    labels_file: LabelsFile = None,
    dims: Dims = "informative",
    seed: Seed = 0,
) -> None:
    """Measure and draw how dimensions depend on each other.

    Mutual information of each pair in nats, and with --plot a scatter grid, colored by a
    label. Structure in a panel means that two dimensions are not disentangled.
    """
    from latentscope.diagnostics.mi.api import pairwise_mi

    def draw() -> Any:
        from latentscope.plots.pairs import plot_pairs

        return plot_pairs(study, dims, color, pairs=result, seed=seed)

    out.check(latents, labels_file)
    if (color is not None or labels_file is not None) and (color is None or out.plot is None):
        raise UsageError("a color needs --color COLUMN and --plot PICTURE")
    study = rows.study(latents, labels_file)
    if color is not None:
        study.column(color)  # refused before the work
    result = watched("pairs", pairwise_mi, study, dims=dims, seed=seed)
    ranked = result.table.sort_values("mi_nats", ascending=False, kind="stable", ignore_index=True)
    ranked.insert(0, "rank", range(1, len(ranked) + 1))
    named = ", ".join(map(str, result.dims))
    words = _strongest(result, f"pairs of dims {named} share something")
    out.give(result, words, {"dims": result.dims, "pairs": ranked}, table=ranked, draw=draw)


@command(
    "latentscope metrics latents.npy labels.csv --plot metrics.png",
    "latentscope metrics latents.npy labels.csv --columns radvel,Teff -o m.csv",
)
def metrics(
    latents: Latents,
    labels: Labels,
    rows: Rows,
    out: Results,
    dims: Dims = "informative",
    columns: Columns = None,
    n_halves: Annotated[int, whole(0, "Halves of the stars for the intervals; 0: none.")] = 100,
    max_stars: Annotated[
        int | None,
        whole(100, "Use a random sample of this many stars, to compare archives at equal numbers."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Measure disentanglement beside a random rotation and PCA.

    MIG, SAP, DCI, modularity, explicitness and total correlation, with 95 % intervals.
    """
    from latentscope.diagnostics.disentanglement import metrics as measure

    out.check(latents, labels)
    study = rows.study(latents, labels)
    result = watched(
        "metrics",
        measure,
        study,
        dims=dims,
        columns=columns,
        n_halves=n_halves,
        max_stars=max_stars,
        seed=seed,
    )
    words = [result.compact, "", *result.sentences()]
    out.give(result, words, {"table": result.table}, more="the table, label by label")


@command(
    "latentscope probe latents.npy labels.csv --plot probe.png",
    "latentscope probe latents.npy labels.csv --save stars.safetensors",
    "latentscope probe others.npy --apply stars.safetensors -o others.probe.csv",
)
def probe(
    latents: Latents,
    rows: Joined,
    out: Results,
    labels: Annotated[
        Path | None,
        typer.Argument(metavar="LABELS", help=f"{LABELS} With --apply: to compare with."),
    ] = None,
    apply: Annotated[
        str | None, option("PROBE", "Read labels with a saved probe: a file, or a model.")
    ] = None,
    save: Annotated[
        Path | None,
        option(
            "PROBE", "Save a probe with intervals: a .safetensors file, or the folder of the model."
        ),
    ] = None,
    covered: Annotated[
        float,
        option(
            "SHARE",
            "Share of stars whose true label a saved interval should contain.",
            min=0.0,
            max=1.0,
        ),
    ] = 0.9,
    color: Annotated[str | None, option("NAME", "Label that colors the points of --plot.")] = None,
    dims: Annotated[
        Any,
        parsed(
            dims_or("all", "informative", "each"),
            "all, informative, a list: 11,19, or each: informative ones one by one.",
        ),
    ] = "informative",
    columns: Columns = None,
    readers: Annotated[
        Any, parsed(names, "Regressors: some of linear, curved, knn and boosted.")
    ] = "linear,curved,knn,boosted",
    groups: Groups = "auto",
    seed: Seed = 0,
) -> None:
    """Measure how well each label can be read from latents.

    In its own unit, on held-out stars, by four regressors, with 95 % intervals and p-values from
    shuffled labels. --save stores a probe with prediction intervals, which --apply and encode use
    on other spectra.
    """
    from latentscope.diagnostics.probe import fit_probe
    from latentscope.diagnostics.probe import probe as measure
    from latentscope.models.config import CONFIG_FILE

    if apply is not None:
        if save is not None or out.plot is not None:
            raise UsageError("--apply does not go with --save or --plot, which need labels")
        out.check(latents, labels, Path(apply))
        _apply_probe(
            out, apply, rows.study(latents, labels, groups="none" if labels is None else groups)
        )
        return
    if labels is None:
        raise UsageError("no LABELS; expected a table of them, or --apply PROBE")
    out.check(latents, labels)
    if color is not None and out.plot is None:
        raise UsageError("--color colors a picture; give --plot PICTURE too")
    if save is not None and not (save / CONFIG_FILE).is_file():
        if save.suffix != ".safetensors":
            raise UsageError(
                f"--save is {save}; expected a name that ends in .safetensors, or a model's folder"
            )
        check_writable(save)
    study = rows.study(latents, labels, groups=groups)
    if color is not None:
        study.column(color)  # refused before the work
    result = watched(
        "probe", measure, study, dims=dims, columns=columns, readers=readers, seed=seed
    )
    words: list[Any] = result.sentences()
    for name, counts in result.confusion.items():
        words += ["", f"{name}: stars of each class (rows), and what they are read as"]
        words.append(counts.reset_index())
    written = None
    told = [name for name in result.told if name not in result.confusion]
    if save is not None and not told:
        words.append("no probe is saved: no numeric label can be read")
    elif save is not None:
        from latentscope.models.probes import write_probe

        fitted = watched(
            "intervals",
            fit_probe,
            study,
            dims="informative" if dims == "each" else dims,
            columns=told,
            covered=covered,
            seed=seed,
        )
        written = write_probe(fitted, save)
        words.append(f"{written}: reads {', '.join(one.label for one in fitted.readings)}")
    record = {
        "table": result.table,
        "confusion": {name: counts.to_dict("index") for name, counts in result.confusion.items()},
        "probe": written,
    }
    out.give(
        result, words, record, more="the table of all readers",
        draw=lambda: result.plot(color=color)
    )  # fmt: skip


def _apply_probe(out: Results, source: str, study: Study) -> None:
    from latentscope.diagnostics.study import origin
    from latentscope.models.probes import apply_probe, compare_probe, read_probe

    probe = read_probe(source)
    found = apply_probe(probe, study.latents)
    outside = int(found["probe_outside"].sum())
    words = [
        found if out.output is None else found.head(_STRONGEST),
        f"{len(found):,} rows read, with intervals that hold {100 * probe.covered:g} % of the "
        f"stars; {outside:,} lie outside of what the probe learned from",
    ]
    compared = None if study.labels is None else compare_probe(probe, study)
    if compared is not None:
        words += ["", compared]
    out.give(
        None,
        words,
        {"table": found, "covered": probe.covered, "compared": compared},
        table=found,
        provenance=origin("probe") | {"probe": source, **probe.info, "covered": probe.covered},
    )


@command(
    "latentscope robustness latents.npy labels.csv --plot robustness.png",
    "latentscope robustness latents.npy labels.csv --classes Teff -o r.csv",
)
def robustness(
    latents: Latents,
    labels: Labels,
    rows: Rows,
    out: Results,
    dims: Dims = "informative",
    columns: Columns = None,
    classes: Annotated[
        str | None,
        option(
            "NAME",
            "Label whose classes are drawn in equal numbers. Default: spectral type or Teff.",
        ),
    ] = None,
    n_draws: Annotated[int, whole(3, "Draws of each random sample.")] = 8,
    seed: Seed = 0,
) -> None:
    """Test sensitivity to sample selection.

    Counts informative dimensions and measures information on one spectrum per star, on equal
    classes and on halves.
    """
    from latentscope.diagnostics.robustness import robustness as measure

    out.check(latents, labels)
    study = rows.study(latents, labels)
    result = watched(
        "robustness",
        measure,
        study,
        classes=classes,
        n_draws=n_draws,
        dims=dims,
        columns=columns,
        seed=seed,
    )
    words = [result.overview, "", *result.sentences()]
    record = {"mad": result.mad, "mi": result.mi}
    out.give(result, words, record, more="the table, pair by pair")


@command(
    "latentscope compare old.npy new.npy --labels labels.csv --plot compare.png",
    "latentscope compare seed0.npy seed1.npy seed2.npy -o compare.csv",
)
def compare(
    latents: Annotated[
        list[Path], typer.Argument(metavar="LATENTS", help="Latents of the same spectra.")
    ],
    rows: Rows,
    out: Results,
    labels: Annotated[Path | None, option("FILE", LABELS, "--labels", "--labels-file")] = None,
    names: Annotated[
        Any, parsed(names, "Names of the models: old,new. Default: the file names.")
    ] = None,
    dims: Dims = "informative",
    columns: Annotated[Any, parsed(names, "Only these columns of LABELS: a,b.")] = None,
    max_stars: Annotated[
        int, whole(100, "Largest number of stars; above it a random sample is used.")
    ] = 10_000,
    show: Annotated[int, whole(0, "Moved rows to list.")] = 5,
    seed: Seed = 0,
) -> None:
    """Compare the latents of two or more models, seeds or releases.

    How alike they are (CKA, SVCCA, UDR), which dimensions match, which labels each knows better,
    and which rows moved. -o writes the measures, and beside them .dims.csv, .labels.csv and
    .rows.csv.
    """
    from latentscope.data import read_latents
    from latentscope.diagnostics.comparison import compare as measure

    out.check(*latents, labels, beside=("dims", "labels", "rows"))
    # The condition is for `measure`, which matches the rows first.
    first = replace(rows, where=None).study(latents[0], labels)
    others = [read_latents(str(path), rows.key) for path in latents[1:]]
    result = watched(
        "compare",
        measure,
        first,
        *others,
        names=names,
        dims=dims,
        columns=columns,
        where=rows.where,
        max_stars=max_stars,
        seed=seed,
    )
    parts = {"dims": result.matching, "labels": result.labels, "rows": result.moved}
    record = {"models": result.models, "similarity": result.table, **parts}
    out.give(result, result.sentences(show), record, beside=parts, more="the tables")


@command(
    "latentscope track latents.npy --star HD128621 --plot track.png",
    "latentscope track latents.npy activity.csv --star HD128621 -o track.csv",
)
def track(
    latents: Latents,
    rows: Joined,
    out: Results,
    labels: Annotated[
        Path | None,
        typer.Argument(metavar="LABELS", help="Table of velocities, activity indices, ..."),
    ] = None,
    star: Annotated[
        str | None, option("NAME", "Name of the star, in star or object. Default: the only one.")
    ] = None,
    dims: Dims = "informative",
    columns: Columns = None,
    time: Annotated[
        str | None, option("COLUMN", "Time column, in days. Default: bjd, hjd, mjd or jd.")
    ] = None,
    by: Annotated[
        Literal["auto", "exposures", "nights"],
        typer.Option(
            "--by",
            help="What is independent: exposures or nights. auto: nights, if there are ten or more "
            "and some have several exposures.",
        ),
    ] = "auto",
    min_period: Annotated[float | None, option("DAYS", "Default: twice the median step.")] = None,
    max_period: Annotated[
        float | None, option("DAYS", "Default: the length of the series.")
    ] = None,
    n_permutations: Annotated[int, whole(1, "Shuffles of exposures or nights.")] = 199,
    seed: Seed = 0,
) -> None:
    """Follow one star over time: scatter, periods, correlations.

    Its latents against time, their scatter against what q(z|x) allows, Lomb-Scargle periods with
    false-alarm probabilities, and rank correlations with velocities and indices.
    """
    from latentscope.diagnostics.track import track as follow

    out.check(latents, labels)
    result = follow(
        rows.study(latents, labels, groups="none"),
        star,
        dims=dims,
        columns=columns,
        time=time,
        by=by,
        min_period=min_period,
        max_period=max_period,
        n_permutations=n_permutations,
        seed=seed,
    )
    parts = {name: getattr(result, name) for name in ("dims", "correlations", "series")}
    record = {"star": result.star, "by": result.by, **parts}
    out.give(result, result.sentences(), record, table=result.series)


@dataclass(frozen=True)
class Start:
    """Where a model starts to decode, and which lines are measured."""

    spectrum: Annotated[
        Path | None,
        typer.Argument(
            metavar="SPECTRUM", help="Spectrum to start from. Default: the mean of the data."
        ),
    ] = None
    latents: Annotated[
        Path | None,
        option(
            "LATENTS",
            "Latents of data by this model, for mean, quantiles and spread. Default: the sample "
            "that came with the model, or its prior.",
        ),
    ] = None
    linelist: Annotated[
        Path | None,
        option("FILE", "Lines to measure: CSV, MOOG/linemake or VALD. Default: built in."),
    ] = None
    rv: Annotated[
        float | None, option("KM/S", "Velocity of the lines at the start. Default: measured.")
    ] = None


@command(
    "latentscope traverse --dim 0 --plot dim0.png",
    "latentscope traverse spectrum.fits --dim 14 --latents latents.npy --sigmas -3:3",
    "latentscope traverse --dim 14 --window 5160:5190 --window 6550:6576 -o dim14.csv",
)
def traverse(
    dim: Annotated[int, option("DIM", "Dimension to move.", min=0)],
    start: Start,
    out: Results,
    model: Model = None,
    quantiles: Annotated[
        Any, parsed(numbers, "Quantiles of the data: 0.1,0.5,0.9. Default: seven, 0.02 to 0.98.")
    ] = None,
    sigmas: Annotated[
        Any, parsed(interval, "Range about the start, in spreads of the data: -3:3.")
    ] = None,
    values: Annotated[Any, parsed(numbers, "Values of the dimension: -2,0,2.")] = None,
    n_steps: Annotated[int, whole(2, "Number of steps of --sigmas.")] = 7,
    window: Annotated[
        list[Any] | None, parsed(interval, "Zoom of the plot, Angstrom: 5160:5190. Repeatable.")
    ] = None,
) -> None:
    """Move one dimension, decode, and measure what changes.

    Radial velocity, color and slope of the continuum, depth and width of lines. -o writes the
    spectra's table, and the lines' beside it as .lines.csv.
    """
    import numpy as np

    from latentscope.models.config import DEFAULT_MODEL
    from latentscope.models.traversal import traverse as measure

    out.check(start.spectrum, start.latents, start.linelist, beside=["lines"])
    result = watched(
        "traverse",
        measure,
        model or DEFAULT_MODEL,
        dim,
        quantiles=quantiles,
        sigmas=None if sigmas is None else np.linspace(sigmas[0], sigmas[1], n_steps).tolist(),
        values=values,
        **vars(start),
    )
    record = {
        "dim": result.dim,
        "verdict": result.verdict,
        "rv_kms_per_unit": result.rv_per_unit.value,
        "rv_kms_per_unit_error": result.rv_per_unit.error,
        "shift_explained": result.shift_explained,
        "unit": result.unit,
        "provenance": result.provenance,
        "table": result.table,
        "lines": result.lines,
    }
    out.give(
        result,
        [result.table, "", *result.sentences()],
        record,
        notes=[_begun(result.provenance)],
        beside={"lines": result.lines},
        draw=lambda: result.plot(windows=window or None),
    )


@command(
    "latentscope linemap -m harps-sim -o linemap.csv --plot linemap.png",
    "latentscope linemap --latents latents.npy --dims 13,14 --linelist lines.csv",
)
def linemap(
    start: Start,
    out: Results,
    model: Model = None,
    dims: Annotated[
        Any, parsed(dims_or("informative"), "informative, or a list: 11,19.")
    ] = "informative",
    step: Annotated[
        float, option("SIGMA", "Step of the central differences, in spreads of the data.")
    ] = 0.5,
) -> None:
    """Find which lines each dimension moves.

    The derivative of the decoded spectrum with respect to each informative dimension, read on a
    list of lines.
    """
    from latentscope.models.config import DEFAULT_MODEL
    from latentscope.models.traversal import line_map

    out.check(start.spectrum, start.latents, start.linelist)
    result = watched(
        "line map",
        line_map,
        model or DEFAULT_MODEL,
        dims=None if dims == "informative" else dims,
        step=step,
        **vars(start),
    )
    parts = {name: getattr(result, name) for name in ("provenance", "dims", "table")}
    words, notes = [result.dims, "", *result.sentences()], [_begun(result.provenance)]
    out.give(result, words, parts, notes=notes, more="the table of all lines")


def _begun(provenance: dict[str, Any]) -> str:
    return (
        f"moved from {provenance['base_from']}, whose lines are at {provenance['base_rv']:+.1f} "
        f"km/s ({provenance['base_rv_from']}); one sigma is the spread of {provenance['data']}"
    )


_ON_SCREEN = ("rank", "row", "id", "star", "distance", "percentile", "agree", "differ")
_IN_FILES_ONLY = ("query", "object", "file")


@command(
    "latentscope retrieve spectrum.fits latents.npy -k 5 --plot nearest.png",
    "latentscope retrieve --row 12 --row 40 latents.npy -o nearest.csv",
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
    rows: Joined,
    out: Results,
    n_matches: Annotated[int, whole(1, "Matches per query.", "-k", "--n-matches")] = 10,
    row: Annotated[
        list[int] | None, option("ROW", "Query row of LATENTS, from 0. Repeatable.")
    ] = None,
    name: Annotated[
        list[str] | None, option("ID", "Query row of LATENTS, by id. Repeatable.", "--id")
    ] = None,
    model: Annotated[
        str | None, model_option("Model that encodes QUERY. Default: the one that made LATENTS.")
    ] = None,
    dims: Dims = "informative",
    metric: Annotated[
        Literal["euclidean", "mahalanobis", "manhattan", "cosine"],
        typer.Option("--metric", help="Distance, in units of the spreads."),
    ] = "euclidean",
    spread: Annotated[
        Literal["robust", "plain", "none"],
        typer.Option("--spread", help="Scale of the dimensions: MAD, std, or none."),
    ] = "robust",
    same_star: Annotated[
        bool, typer.Option("--same-star", help="Include other spectra of the query's star.")
    ] = False,
    one_per_star: Annotated[
        bool, typer.Option("--one-per-star", help="List only the nearest spectrum of each star.")
    ] = False,
    labels: LabelsFile = None,
    columns: Columns = None,
    groups: Groups = "auto",
    seed: Seed = 0,
) -> None:
    """Find the spectra nearest to a query in latent space.

    Exact; other spectra of the same star are left out. The percentile says how many spectra have a
    nearer match than this one.
    """
    from latentscope.data import read_latents
    from latentscope.diagnostics.retrieval import Retriever

    def draw() -> Any:
        from latentscope.plots.retrieval import plot_answers

        return plot_answers(result)

    *files, latents = sources
    of_sample: list[int | str] = [*(row or []), *(name or [])]
    if not files and not of_sample:
        raise UsageError(
            f"nothing to look for in {latents}; expected spectra before it, or --row, or --id"
        )
    if columns is not None and labels is None:
        raise UsageError("--columns names columns to show; give their file too (--labels-file)")
    out.check(Path(latents), labels)
    retriever = watched(
        "usual distances",
        Retriever,
        latents if rows.key is None else read_latents(latents, rows.key),
        dims=dims,
        metric=metric,
        spread=spread,
        groups=groups,
        same_star=same_star,
        one_per_star=one_per_star,
        labels=None if labels is None else str(labels),
        columns=columns,
        join=rows.join,
        missing=rows.missing,
        where=rows.where,
        seed=seed,
    )
    # A row that is not there is told before a model is loaded.
    asked: list[Any] = [retriever.queries(of_sample)] if of_sample else []
    if files:
        from latentscope.models.queries import encode_queries

        asked.append(watched("encode", encode_queries, files, retriever.latents, model))
    result = retriever.query(asked, n_matches)
    words: list[Any] = []
    hidden = (*_ON_SCREEN, *_IN_FILES_ONLY)
    shown = [*_ON_SCREEN, *(name for name in result.table if name not in hidden)]
    for place, query in enumerate(result.queries.to_dict("records")):
        if not query["error"]:
            found = result.matches(place)
            words += [result.heading(place), found[[name for name in shown if name in found]], ""]
    out.failures(result.failed)
    matches = result.table.to_dict("records")
    for match, differences in zip(matches, result.differences.to_dict("records"), strict=True):
        match["differences"] = differences
    queries = result.queries.astype(object)
    record = {
        "queries": queries.where(queries.notna(), None),
        "matches": matches,
        "dims": result.dims,
        "metric": result.provenance["metric"],
        "failed": [{"query": name, "error": why} for name, why in result.failed],
    }
    wide = result.table.join(result.differences.add_prefix("delta_"))
    out.give(result, words, record, table=wide, draw=draw)
    if result.failed:
        raise typer.Exit(SOME_FAILED)


@command(
    "latentscope score latents.npy",
    "latentscope score latents.npy -m me/my-model -o trust.csv --plot trust.png",
    "latentscope score latents.npy --reference ordinary.npy",
)
def score(
    latents: Latents,
    out: Results,
    model: Annotated[
        str | None,
        model_option(
            "Model that encoded them, with its reference sample. Default: the bundled model they "
            "name, else they are compared with each other."
        ),
    ] = None,
    reference: Annotated[
        Path | None, option("LATENTS", "Latents of ordinary spectra, encoded with that model.")
    ] = None,
    show: Annotated[int, whole(0, "Least trusted rows to list.")] = 10,
    groups: Groups = "auto",
    key: Key = None,
    seed: Seed = 0,
) -> None:
    """Flag spectra unlike the model's training data.

    Latents, reconstruction and resolution are each compared with ordinary spectra: their
    percentiles among these (0 to 100), a trust of each and of all (0 to 1), and a verdict with the
    reason.
    """
    from latentscope.data import read_latents
    from latentscope.models.trust import score as judge

    out.check(latents, reference)
    result = judge(
        read_latents(str(latents), key),
        reference=None if reference is None else str(reference),
        model=model,
        groups=groups,
        seed=seed,
    )
    words = [*result.sentences(show), *filter(None, [result.provenance.get("groups_found")])]
    record = {
        "counts": result.counts,
        "reference": result.provenance["reference"],
        "own_reference": result.provenance["own_reference"],
        "table": result.table,
    }
    out.give(result, words, record)
