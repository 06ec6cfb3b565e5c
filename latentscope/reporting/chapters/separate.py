"""Chapter 3: whether the dimensions are separate."""

from __future__ import annotations

from latentscope.diagnostics.disentanglement.metrics import metrics
from latentscope.diagnostics.disentanglement.result import MetricsResult
from latentscope.diagnostics.mi_result import PairwiseResult
from latentscope.plots.pairs import MOST_DIMS, plot_pairs
from latentscope.reporting.parts import Column, Part, Table
from latentscope.reporting.pictures import picture
from latentscope.reporting.plan import Plan, Step
from latentscope.reporting.study import Study

_FEWEST_STARS = 100
_KINDS_OF_STARS = ("spec_type", "spectral_type", "sp_type", "spectype", "class", "teff")


def shared(study: Study) -> Part:
    """Show what informative dimensions share."""
    result = study.shared
    drawn = picture(
        result.plot(),
        "Every cell is a pair of dimensions. Framed cells are significant; in a well separated "
        "network all of them are dark.",
        f"Heatmap of mutual information among {len(result.dims)} dimensions.",
    )
    headline = _headline(result)
    text = (headline, *study.measured_on())
    return Part(headline, text, (), (_pairs_table(result),), (drawn,), result.provenance)


def _headline(result: PairwiseResult) -> str:
    pairs, count = len(result.table), len(result.significant)
    if not count:
        return f"None of {pairs:,} pairs of dimensions shares anything significant (q < 0.05)."
    verb = "shares" if count == 1 else "share"
    return (
        f"{count:,} of {pairs:,} pairs of dimensions {verb} something significant (q < 0.05); the "
        f"strongest: {result.sentences(1)[0]}."
    )


def _pairs_table(result: PairwiseResult) -> Table:
    frame = result.table.sort_values("mi_nats", ascending=False, kind="stable", ignore_index=True)
    columns = (
        Column("dim_x", "dim"),
        Column("dim_y", "with dim"),
        Column("mi_nats", "shared (nats)", error="std_nats"),
        Column("p_value", "p"),
        Column("q_value", "q", hint="false discovery rate over this table"),
        Column("n", "n"),
        Column("n_groups", "stars", hint="independent rows"),
        Column("estimator", "estimator"),
    )
    caption = "Mutual information of each pair of dimensions, the strongest first. 0: independent."
    return Table("pairwise", caption, frame, columns, most=100)


def scatter(study: Study) -> Part:
    """Draw the informative dimensions against one another, coloured by a label if there is one."""
    pairs = study.shared
    label = _coloured_by(study)
    colour = None if label is None else study.labels_of(label)
    dims = _most_shared(pairs)
    axes = plot_pairs(
        study.latents, dims, colour, name=label or "label", pairs=pairs, seed=study.seed
    )
    by = "" if label is None else f", coloured by {label}"
    drawn = picture(
        axes,
        f"Each panel below the diagonal shows two dimensions{by}. Separate dimensions give clouds "
        "without a shape; bands, curves and empty corners are shared information.",
        f"Scatter grid of dimensions {', '.join(map(str, dims))}{by}.",
        raster=True,
    )
    count = len(pairs.dims)
    told = (
        f"Drawn: the {len(dims)} of {count} dimensions that share most."
        if len(dims) < count
        else ""
    )
    return Part(paragraphs=(told,) if told else (), pictures=(drawn,))


def _most_shared(pairs: PairwiseResult) -> list[int]:
    """Return the dimensions that share most with another, ascending."""
    strongest = pairs.matrix.max(axis=0).sort_values(ascending=False, kind="stable")
    return sorted(int(dim) for dim in strongest.index[:MOST_DIMS])


def _coloured_by(study: Study) -> str | None:
    """Choose the label that colours: the kind of star as in the paper, or what is known best."""
    if study.labels is None:
        return None
    names = [str(name) for name in study.labels.columns]
    names = [name for name in names if study.columns is None or name in study.columns]
    kinds = [name for name in names if name.lower() in _KINDS_OF_STARS]
    if kinds:
        return min(kinds, key=lambda name: _KINDS_OF_STARS.index(name.lower()))
    return str(study.information.best["label"].iloc[0])


def disentanglement(study: Study) -> Part:
    """Show measures of disentanglement beside those of other axes."""
    labels, dims = study.sample_labels, study.shared.dims
    study.check_stars(_FEWEST_STARS)
    with study.stage("disentanglement") as advance:
        result = metrics(
            study.sample,
            labels,
            dims=dims,
            columns=study.columns,
            groups=study.sample_stars,
            bootstrap=study.effort.bootstrap,
            seed=study.seed,
            progress=advance,
        )
    drawn = picture(
        result.plot(),
        "Each measure beside the same measure of other axes: random rotations of these latents and "
        "their principal components. Only what beats both says that these axes are special.",
        f"Measures of disentanglement of {len(dims)} dimensions beside two baselines.",
    )
    told = result.sentences()
    return Part(
        told[0],
        (told[0], *study.measured_on()),
        (*told[1:], *result.notes),
        (_measures_table(result), _labels_table(result)),
        (drawn,),
        result.provenance,
        open_lines=0,
    )


_MEASURE_COLUMNS = (
    Column("value", "value", interval=("low", "high"), hint="95 % over samples of stars"),
    Column("rotation", "rotation", interval=("rotation_low", "rotation_high")),
    Column("pca", "PCA"),
    Column("verdict", "verdict", hint="baselines that the interval beats"),
    Column("n", "n"),
    Column("n_groups", "stars", hint="independent rows"),
)


def _measures_table(result: MetricsResult) -> Table:
    columns = (Column("metric", "measure"), Column("estimator", "estimator"), *_MEASURE_COLUMNS)
    caption = (
        "Measures over all labels: value [95 %], the same for random rotations [range] and for PCA."
    )
    return Table("metrics", caption, result.headlines, columns, open_rows=20)


def _labels_table(result: MetricsResult) -> Table:
    frame = result.table[result.table["label"] != "mean"].reset_index(drop=True)
    columns = (
        Column("metric", "measure"),
        Column("estimator", "estimator"),
        Column("label", "label"),
        *_MEASURE_COLUMNS,
    )
    return Table("metrics_by_label", "The same, label by label.", frame, columns, open_rows=0)


SEPARATE = Plan(
    "separate",
    "Are they separate?",
    (
        Step("shared", "What dimensions share", shared),
        Step("scatter", "Dimensions against one another", scatter),
        Step("disentanglement", "Measures of disentanglement", disentanglement),
    ),
)
