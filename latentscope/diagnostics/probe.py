"""How well each label can be read from latents, and probes that read new spectra.

`probe` measures: readers learn a label from the latents of some stars and are judged on others.
`fit_probe` makes what `latentscope.models.probes` stores beside a model: for each label a
polynomial of few dimensions, with intervals from stars that it did not learn from (split conformal
prediction: Papadopoulos et al. 2002; scores over the local error: Lei et al. 2018, JASA 113, 1094,
section 5.2; separately for each range of the label: Vovk, Gammerman & Shafer 2005, Algorithmic
Learning in a Random World, section 4.5). Each star counts once, by one random row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations_with_replacement
from math import ceil, comb, sqrt
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from latentscope.data import LabelsLike
from latentscope.diagnostics.disentanglement import ready_labels
from latentscope.diagnostics.disentanglement_measures import Label, squared_correlations
from latentscope.diagnostics.mi.api import q_values
from latentscope.diagnostics.mi.columns import Seed, own_rng, whole_seed
from latentscope.diagnostics.study import (
    Dims,
    GroupsLike,
    Result,
    Study,
    StudyLike,
    check_least,
    read_study,
)
from latentscope.errors import ChoiceError, EstimatorError
from latentscope.labels import Missing
from latentscope.workers import Progress, counted

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
ReaderName = Literal["linear", "curved", "knn", "boosted"]
READERS: tuple[ReaderName, ...] = get_args(ReaderName)

FOLDS = 5
SIGNIFICANT = 0.05
_SHUFFLES = 999
_NEIGHBORS = 15
_COVERED = (2.5, 97.5)  # percentiles over samples of stars

_UNITS = {
    "K": ("teff", "temperature", "t_eff"),
    "dex": ("logg", "log g", "feh", "m_h", "mh", "alpha_m", "moh"),
    "km/s": ("radvel", "rv", "vrad", "radial_velocity", "vsini", "vmacro", "vmic", "berv"),
}
_BRACKETS = re.compile(r"\[\w+/\w+\]")  # [Fe/H]
_ENDING = re.compile(r"[\s_]*(?:\((.+)\)|\[(.+)\]|_(kms|k|dex|mag|gyr|pc|days))$", re.IGNORECASE)
_SPELLED = {"kms": "km/s", "k": "K", "gyr": "Gyr"}


def unit_of(label: str) -> str:
    """Return the unit of a label by its name: K, dex, km/s or its ending; empty where unknown.

    Examples
    --------
    >>> unit_of("Teff"), unit_of("[Fe/H]"), unit_of("age (Gyr)"), unit_of("mass")
    ('K', 'dex', 'Gyr', '')
    """
    name = label.strip()
    for unit, names in _UNITS.items():
        if name.lower() in names:
            return unit
    if _BRACKETS.fullmatch(name):
        return "dex"
    ending = _ENDING.search(label)
    # A name that ends in _k is a temperature or, as mag_k, of the K band.
    if ending is None or (name.lower().endswith("_k") and not name.lower().startswith("t")):
        return ""
    spelled = next(part for part in ending.groups() if part)
    return _SPELLED.get(spelled.lower(), spelled)


# ---- readers: fit(x, y) and predict(x), as scikit-learn has them ----


class Curve:
    """Polynomial of all columns, by ridge regression, with ten rows or more for each term.

    `degree` is the largest sum of powers in a term. Generalized cross-validation chooses the
    penalty (Golub, Heath & Wahba 1979, Technometrics 21, 215, eq. 1.3). Beyond six robust standard
    deviations values weigh less, by the square of the distance: wrong velocities, but not giants
    among dwarfs.
    """

    def __init__(self, degree: int) -> None:
        self.degree = degree

    def fit(self, x: Floats, y: Floats) -> Curve:
        """Learn y (n,) from x (n, d)."""
        n, d = x.shape
        degree = self.degree
        while degree > 1 and _ROWS_A_TERM * comb(d + degree, degree) > n:
            degree -= 1
        self.center, self.scale = x.mean(axis=0), _spread(x)
        self.powers = _powers(d, degree)
        terms = self._terms(x)
        weights = np.ones(n)
        for _ in range(_REWEIGHTED):
            self.coefficients = _ridge(terms, y, weights)
            off = np.abs(y - terms @ self.coefficients)
            width = max(1.4826 * float(np.median(off)), _LEAST)
            # Squared, so that a thousandfold error does not choose the penalty.
            weights = np.minimum(1.0, _USUAL * width / np.maximum(off, _LEAST)) ** 2
        return self

    def predict(self, x: Floats) -> Floats:
        """Read rows x (n, d) -> (n,)."""
        return np.asarray(self._terms(x) @ self.coefficients)

    def _terms(self, x: Floats) -> Floats:
        return monomials((x - self.center) / self.scale, self.powers)


_ROWS_A_TERM = 10
_USUAL = 6.0
_LEAST = float(np.finfo(np.float32).tiny)
_REWEIGHTED = 6
_PENALTIES = np.logspace(-9, 1, 11)


def monomials(x: Floats, powers: Codes) -> Floats:
    """Products of powers of columns: x (n, d), powers (terms, d) -> (n, terms)."""
    terms = np.ones((len(x), len(powers)))
    for column, power in zip(x.T, powers.T, strict=True):
        table = column[:, None] ** np.arange(power.max(initial=0) + 1)
        terms *= table[:, power]
    return terms


def _powers(d: int, degree: int) -> Codes:
    """Powers of all terms up to a degree, the constant one first, shape (terms, d)."""
    chosen = [
        term for size in range(degree + 1) for term in combinations_with_replacement(range(d), size)
    ]
    counts = [np.bincount(np.array(term, dtype=np.int64), minlength=d) for term in chosen]
    return np.array(counts, dtype=np.int64).reshape(len(chosen), d)


def _spread(x: Floats) -> Floats:
    """Standard deviation of each column; 1 where it is constant."""
    spread = x.std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def _ridge(terms: Floats, y: Floats, weights: Floats) -> Floats:
    """Coefficients of terms (n, t), the first of which is constant and not penalized."""
    total = weights.sum()
    means, level = weights @ terms / total, weights @ y / total
    centered = terms - means
    size = np.sqrt(weights @ centered**2 / total)
    size[size == 0] = 1.0
    scaled = centered / size * np.sqrt(weights)[:, None]
    target = (y - level) * np.sqrt(weights)
    values, axes = np.linalg.eigh(scaled.T @ scaled)
    values = np.maximum(values, 0.0)
    along = axes.T @ (scaled.T @ target)
    rest, n = float(target @ target), len(y)

    def loss(penalty: float) -> float:
        kept = along / (values + penalty)
        left = rest - 2 * kept @ along + kept**2 @ values
        free = n - 1 - (values / (values + penalty)).sum()
        return float(max(left, 0.0) / free**2)

    penalty = min(_PENALTIES * n, key=loss)
    found = (axes @ (along / (values + penalty))) / size
    found[0] = level - means[1:] @ found[1:]
    return np.asarray(found)


def _reader(name: ReaderName, classes: bool, seed: int) -> Any:
    """An untrained reader of numbers or of classes."""
    # Imported here, since scikit-learn takes longer to load than most tables to measure.
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "boosted":
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        settings = {"early_stopping": False, "random_state": seed}
        if classes:
            return HistGradientBoostingClassifier(class_weight="balanced", **settings)
        return HistGradientBoostingRegressor(**settings)
    if name == "knn":
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        kind = KNeighborsClassifier if classes else KNeighborsRegressor
        return make_pipeline(StandardScaler(), kind(_NEIGHBORS, weights="distance"))
    if classes:
        from sklearn.linear_model import LogisticRegression

        machine = LogisticRegression(max_iter=1000, class_weight="balanced")
        return make_pipeline(StandardScaler(), machine)
    return Curve(1 if name == "linear" else 3)


@dataclass(frozen=True, eq=False, repr=False)
class ProbeResult(Result):
    """How well labels are read from latents, on held-out stars.

    Parameters
    ----------
    table : DataFrame
        One row per label, set of dimensions and reader: `label, kind` ("number" or "classes"),
        `dims, reader, unit`; for numbers `error` (median of |read - true|), `rms`, `r2` (share of
        the variance explained) and `baseline` (error of the median label); for classes `accuracy`
        (mean over classes of the share read right) and `baseline` (1 over the number of classes).
        `..._low ... ..._high`: 95 % interval over samples of stars. `p_value`: by shuffled labels;
        `q_value`: false discovery rate over the table; `n`: number of stars, one row per star.
    predictions : DataFrame
        Rows of the latents that were read: `row`, and for each label its value and, as
        `..._read`, that of the best reader.
    confusion : dict of str to DataFrame
        For labels of classes, numbers of stars by true class (rows) and class read (columns).
    """

    drawn_by = "plot_probe"

    table: pd.DataFrame
    predictions: pd.DataFrame
    confusion: dict[str, pd.DataFrame]
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def told(self) -> list[str]:
        """Labels that can be read: q below 0.05, and better than a constant."""
        return [str(row["label"]) for row in self.best.to_dict("records") if _tells(row)]

    @property
    def best(self) -> pd.DataFrame:
        """The table's row of each label's best reader, by least error or largest accuracy."""
        order = self.table["error"].fillna(-self.table["accuracy"])
        rows = order.groupby(self.table["label"], sort=False).idxmin()
        return self.table.loc[rows].reset_index(drop=True)

    def sentences(self) -> list[str]:
        """Say how well the best reader reads each label."""
        return [_sentence(row) for row in self.best.to_dict("records")]


def _tells(row: dict[Any, Any]) -> bool:
    better = row["accuracy"] > row["baseline"] if row["kind"] == "classes" else row["r2"] > 0
    return bool(row["q_value"] < SIGNIFICANT and better)


def _sentence(row: dict[Any, Any]) -> str:
    by = f"{row['reader']}, {_dims_words(row['dims'])}, {row['n']:,} stars"
    if not _tells(row):
        return f"{row['label']} cannot be read ({by}; p = {row['p_value']:.2g})"
    if row["kind"] == "classes":
        return (
            f"{row['label']} is read right in {100 * row['accuracy']:.0f} % of each class "
            f"({_between(row, 'accuracy', 100, '.0f')}chance {100 * row['baseline']:.0f}; {by})"
        )
    unit = f" {row['unit']}" if row["unit"] else ""
    return (
        f"{row['label']} is read to {row['error']:.3g}{unit} ({_between(row, 'error', 1, '.3g')}"
        f"without latents {row['baseline']:.3g}), R2 {row['r2']:.3f} ({by})"
    )


def _between(row: dict[Any, Any], name: str, factor: float, digits: str) -> str:
    low, high = factor * row[f"{name}_low"], factor * row[f"{name}_high"]
    return "" if np.isnan(low) else f"{low:{digits}} ... {high:{digits}}; "


def _dims_words(dims: str) -> str:
    if dims.isdigit():
        return f"dim {dims}"
    return f"dims {dims}" if dims[0].isdigit() else f"{dims} dims"


def probe(
    latents: StudyLike,
    labels: LabelsLike | None = None,
    *,
    dims: Dims | Literal["each"] = "informative",
    columns: Sequence[str] | None = None,
    discrete: Sequence[str] | None = None,
    readers: Sequence[ReaderName] = READERS,
    groups: GroupsLike = "auto",
    join: str | None = None,
    missing: Missing = "auto",
    n_bootstraps: int = 200,
    max_stars: int = 10_000,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> ProbeResult:
    """Measure how well each label can be read from latents, in the label's unit.

    Readers learn from four fifths of the stars and are judged on the rest, five times over.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Rows of NaN are left out.
    labels : DataFrame, array (n, labels) or path
        Joined on an id column that both have, else row by row. Numbers beyond 5 sigma and classes
        of fewer than 20 stars are left out.
    dims : "informative", "all", "each" or a list of int
        "each": the informative ones one by one.
    columns : list of str, optional
        Labels to take; by default all that `mi_matrix` takes and 100 stars have.
    discrete : list of str, optional
        Labels to treat as classes.
    readers : list of "linear", "curved", "knn", "boosted"
        Ridge regression (logistic for classes); the same on all terms up to the third power (not of
        classes); 15 neighbors; gradient-boosted trees.
    groups, join, missing
        As for `read_study`, with its errors and warnings.
    n_bootstraps : int
        Samples of stars for the intervals; 0: no intervals.
    max_stars : int
        Stars at most; of more a random part is taken.
    seed : int or Generator
        Seed of all random draws.
    progress : callable, optional
        Called with (readings done, readings in all).

    Raises
    ------
    EstimatorError
        If no label can be used, one asked for cannot, or values are infinite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(500, 3))
    >>> result = probe(z, pd.DataFrame({"Teff": 5500 + 500 * z[:, 1]}), readers=["linear"])
    >>> result.best["r2"].round(3).item()
    1.0
    """
    seed = whole_seed(seed)
    unknown = [name for name in readers if name not in READERS]
    if unknown or not readers:
        raise ChoiceError(f"readers are {list(readers)}; expected some of {', '.join(READERS)}")
    check_least(0, n_bootstraps=n_bootstraps)
    check_least(100, max_stars=max_stars)
    study = read_study(
        latents, labels, groups=groups, join=join, missing=missing, discrete=discrete
    )
    each = isinstance(dims, str) and dims == "each"
    named: Dims = "informative" if each else dims  # type: ignore[assignment]
    chosen = study.choose(named)
    if each:
        sets = {str(dim): [dim] for dim in chosen}
    else:
        sets = {dims if isinstance(dims, str) else ",".join(map(str, chosen)): chosen}
    usable, notes = ready_labels(study, columns, study.latents.ok, seed)
    notes = [note for note in notes if not note.startswith("cut into bins")]
    jobs = [
        (label, name, reader)
        for label in usable
        for name in sets
        for reader in readers
        if label.numbers is not None or reader != "curved"
    ]
    rows = {label.name: _one_row_per_star(study, label, max_stars, seed) for label in usable}
    lines, read = [], {}
    for label, name, reader in counted(jobs, len(jobs), progress):
        line, read[label.name, name, reader] = _measured(
            study, label, rows[label.name], sets[name], reader, n_bootstraps, seed
        )
        lines.append({"label": label.name, "dims": name, "reader": reader, **line})
    table = pd.DataFrame(lines, columns=_COLUMNS)
    table["q_value"] = q_values(table["p_value"].to_numpy(dtype=np.float64))
    provenance = study.provenance(
        "probe", dims=dims if isinstance(dims, str) else chosen,
        columns=[label.name for label in usable], readers=list(readers), n_bootstraps=n_bootstraps,
        max_stars=max_stars, seed=seed,
    )  # fmt: skip
    notes = [*study.notes, *study.left_out_of(named), *notes]
    result = ProbeResult(table, pd.DataFrame(), {}, provenance, tuple(notes))
    best = [(row["label"], row["dims"], row["reader"]) for row in result.best.to_dict("records")]
    predictions, confusion = _predictions(study, usable, rows, [read[key] for key in best])
    return replace(result, predictions=predictions, confusion=confusion)


_INTERVALS = ("error", "rms", "r2", "accuracy")
_COLUMNS = [
    "label", "kind", "dims", "reader", "unit",
    *(f"{name}{end}" for name in _INTERVALS for end in ("", "_low", "_high")),
    "baseline", "p_value", "q_value", "n",
]  # fmt: skip


def _one_row_per_star(study: Study, label: Label, max_stars: int, seed: int) -> Codes:
    keep = label.codes >= 0
    rows = study.stars.draws(keep, 1, own_rng(seed, 21)).rows[0]
    if len(rows) > max_stars:
        rows = own_rng(seed, 22).choice(rows, max_stars, replace=False)
    return np.sort(rows)


def _measured(
    study: Study,
    label: Label,
    rows: Codes,
    dims: Sequence[int],
    reader: ReaderName,
    n_bootstraps: int,
    seed: int,
) -> tuple[dict[str, Any], Floats | Codes]:
    """Read a label on rows (n,), one per star: columns of the table, and the readings (n,)."""
    x = study.latents.values[rows][:, list(dims)].astype(np.float64)
    rng, numbers = own_rng(seed, 23), label.numbers
    classes = numbers is None
    y: Any = label.codes[rows] if numbers is None else numbers[rows]

    def fresh() -> Any:
        return _reader(reader, classes, seed)

    read = held_out(fresh, x, y, rng)
    score: Callable[[Any, Any], dict[str, float]] = _class_scores if classes else _number_scores
    line: dict[str, Any] = {"kind": "classes" if classes else "number", "n": len(y)}
    scores = score(read, y)
    line |= scores
    if n_bootstraps:
        some = rng.integers(len(y), size=(n_bootstraps, len(y)))
        draws = pd.DataFrame([score(read[one], y[one]) for one in some])
        for name in scores:
            low, high = np.percentile(draws[name], _COVERED)
            line |= {f"{name}_low": low, f"{name}_high": high}
    if classes:
        line["baseline"] = 1 / label.classes
    else:
        line["unit"] = unit_of(label.name)
        line["baseline"] = float(np.median(np.abs(y - np.median(y))))
    line["p_value"] = shuffled_p_value(fresh, x, y, rng, classes=classes)
    return line, read


def held_out(fresh: Callable[[], Any], x: Floats, y: Any, rng: np.random.Generator) -> Any:
    """Read rows x (n, d), one per star, each by a reader that learned from four other folds."""
    fold = rng.permutation(len(y)) % FOLDS
    read = np.empty_like(y)
    for number in range(FOLDS):
        judged = fold == number
        read[judged] = fresh().fit(x[~judged], y[~judged]).predict(x[judged])
    return read


def _number_scores(read: Floats, y: Floats) -> dict[str, float]:
    off = y - read
    spread = float(((y - y.mean()) ** 2).sum())
    return {
        "error": float(np.median(np.abs(off))),
        "rms": float(np.sqrt(np.mean(off**2))),
        "r2": 1 - float(off @ off) / spread if spread else float("nan"),
    }


def _class_scores(read: Codes, y: Codes) -> dict[str, float]:
    """Share of rows that are read right, averaged over classes."""
    classes = np.unique(y)
    right, every = np.bincount(y, read == y), np.bincount(y)
    return {"accuracy": float((right[classes] / every[classes]).mean())}


def shuffled_p_value(
    fresh: Callable[[], Any], x: Floats, y: Any, rng: np.random.Generator, *, classes: bool
) -> float:
    """Chance that stars with shuffled labels are read as well.

    A reader learns from one half of the stars; the labels of the other half are shuffled. This is
    exact, as it would not be over cross-validation, where each star is learned from too.
    """
    order = rng.permutation(len(y))
    learn, judge = order[: len(y) // 2], order[len(y) // 2 :]
    read, truth = fresh().fit(x[learn], y[learn]).predict(x[judge]), y[judge]
    if classes:
        found = _class_scores(read, truth)["accuracy"]
        shuffled = [
            _class_scores(read, rng.permutation(truth))["accuracy"] for _ in range(_SHUFFLES)
        ]
    else:
        # The squared error of a shuffle depends on this product alone.
        centered = read - read.mean()
        found = float(centered @ truth)
        shuffled = [float(centered @ rng.permutation(truth)) for _ in range(_SHUFFLES)]
    # A random part of equal ones, so that p-values of a useless label are uniform.
    null = np.array(shuffled)
    above, same = int((null > found).sum()), int((null == found).sum())
    return (1 + above + int(rng.integers(same + 1))) / (1 + _SHUFFLES)


def _predictions(
    study: Study, labels: Sequence[Label], rows: dict[str, Codes], read: Sequence[Any]
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    frame = pd.DataFrame(index=np.unique(np.concatenate([rows[label.name] for label in labels])))
    confusion = {}
    for label, answers in zip(labels, read, strict=True):
        values = study.label_table[label.name].iloc[rows[label.name]]
        if label.numbers is None:
            codes = label.codes[rows[label.name]]
            names = values.groupby(codes).first()
            answers = names.loc[answers].to_numpy()
            confusion[label.name] = pd.crosstab(
                values.to_numpy(), answers, rownames=["true"], colnames=["read"]
            )
        frame.loc[rows[label.name], label.name] = values.to_numpy()
        frame.loc[rows[label.name], f"{label.name}_read"] = answers
    return frame.rename_axis("row").reset_index(), confusion


# ---- probes, with intervals ----

COVERED = 0.9
"""Share of stars whose label lies inside the interval."""

FAR = 3.0
"""Distance beyond which nothing is read, relative to the outermost training stars."""

_CALIBRATION = 4  # one star in so many
_CLOUD = 2000  # stars that are kept
_NEAR = 10  # stars for distance and local error
_LOCAL = 60  # stars whose errors make a local one
_LEAST_ERROR = 0.2  # of a local error, over that of all
_OUTERMOST = 0.99
_DEGREES = (1, 2, 3, 4)
_MOST_DIMS = 16
_WRONG = 20.0
_OUTSIDE = 10  # stars outside of their intervals in a range of a label
_WORTH = 0.01  # by which an error has to fall for one more dimension, or degree
_CLEAR = 2.0  # standard errors of the fall


@dataclass(frozen=True, eq=False)
class Reading:
    """How one label is read: a polynomial of some dimensions, and its errors.

    Parameters
    ----------
    label, unit : str
    dims : list of int
        Dimensions of the latents that are read.
    center, scale : ndarray of float64, shape (k,)
        What dimensions are centered on and divided by.
    powers, coefficients : ndarray, shape (terms, k) and (terms,)
    errors : ndarray of float64, shape (m, 2)
        How far labels lie below and above their reading near each star of the probe's cloud, in the
        label's unit: the quantiles that leave out as much as the interval.
    edges : ndarray of float64, shape (b - 1,)
        Where ranges of the label meet, ascending.
    factors : ndarray of float64, shape (b,)
        For each range, how many of these errors a label in it may lie off.
    lowest, highest : float
        Range of the label among the training stars.
    """

    label: str
    unit: str
    dims: list[int]
    center: Floats
    scale: Floats
    powers: Codes
    coefficients: Floats
    errors: Floats
    edges: Floats
    factors: Floats
    lowest: float
    highest: float

    def read(self, values: Floats) -> Floats:
        """Read rows of latents (n, d) -> (n,)."""
        scaled = (values[:, self.dims] - self.center) / self.scale
        return np.asarray(monomials(scaled, self.powers) @ self.coefficients)

    def interval(self, read: Floats, below: Floats, above: Floats) -> tuple[Floats, Floats]:
        """Lowest and highest label within the errors (n,) that its range allows, of readings (n,).

        The errors are those that `Probe.errors` returns.
        """
        start = np.concatenate([[-np.inf], self.edges])
        end = np.concatenate([self.edges, [np.inf]])
        read, below, above = read[:, None], below[:, None], above[:, None]
        low = np.maximum(start, read - below * self.factors)  # (n, b)
        low = np.where(low <= np.minimum(end, read), low, read).min(axis=1)
        high = np.minimum(end, read + above * self.factors)
        high = np.where(high >= np.maximum(start, read), high, read).max(axis=1)
        return low, high


@dataclass(frozen=True, eq=False)
class Probe:
    """Readings of labels with prediction intervals, made by `fit_probe`; plain arrays.

    Parameters
    ----------
    readings : list of Reading
    n_dims : int
        Dimensions of the latents.
    dims : list of int
        Dimensions for the distance from the training stars.
    spread : ndarray of float64, shape (k,)
        Standard deviations of these among the training stars.
    cloud : ndarray of float64, shape (m, k)
        Training stars, over `spread`.
    reach : float
        Mean distance from the ten nearest of them that 1 % of the stars exceed.
    covered : float
        Share of stars whose label lies inside the interval.
    info : dict of str
        `weights_sha256`, `model`, `origin`, `stars`.
    """

    readings: list[Reading]
    n_dims: int
    dims: list[int]
    spread: Floats
    cloud: Floats
    reach: float
    covered: float
    info: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _tree(self) -> Any:
        return cKDTree(self.cloud)

    @property
    def columns(self) -> list[str]:
        """Columns of what `apply` returns."""
        ends = ("probe", "low", "high")
        return [f"{one.label}_{end}" for one in self.readings for end in ends] + list(_OF_ROWS)

    def apply(self, values: NDArray[np.floating[Any]]) -> pd.DataFrame:
        """Read labels from latents.

        Parameters
        ----------
        values : ndarray, shape (n, d)
            Rows of NaN give NaN.

        Returns
        -------
        DataFrame
            For each label `..._probe` in its unit and `..._low ... ..._high`, an interval that
            holds `covered` of the stars; `probe_distance` from the training stars, over that of
            the outermost 1 % of them; `probe_outside`: whether that is above 1, or a value beyond
            those of the training stars. Intervals widen with the square of a distance above 1;
            above 3 there is no value.

        Raises
        ------
        EstimatorError
            If the latents have another number of dimensions.
        """
        if values.shape[1:] != (self.n_dims,):
            raise EstimatorError(
                f"latents of shape {values.shape}; expected {self.n_dims} dimensions, those of "
                f"{self.info.get('model', 'an unnamed model')}"
            )
        n = len(values)
        found = pd.DataFrame(np.nan, index=range(n), columns=self.columns)
        ok = np.flatnonzero(np.isfinite(values).all(axis=1))
        rows = values[ok].astype(np.float64)
        distance, near = self.near(rows)
        outside, close = distance > 1, distance <= FAR
        for one in self.readings:
            read = np.where(close, one.read(np.where(close[:, None], rows, 0.0)), np.nan)
            low, high = one.interval(read, *self.errors(one, distance, near))
            outside |= (read < one.lowest) | (read > one.highest)
            for end, value in (("probe", read), ("low", low), ("high", high)):
                found.loc[ok, f"{one.label}_{end}"] = value
        found.loc[ok, "probe_distance"] = distance
        found["probe_outside"] = pd.array([None] * n, dtype="boolean")
        found.loc[ok, "probe_outside"] = outside
        return found

    def near(self, rows: Floats) -> tuple[Floats, Codes]:
        """Distance of finite rows (n, d) from the cloud over its reach, (n,), and nearest stars."""
        if not len(rows):
            return np.empty(0), np.empty((0, _NEAR), dtype=np.int64)
        distance, near = self._tree.query(rows[:, self.dims] / self.spread, k=_NEAR)
        return np.asarray(distance.mean(axis=1) / self.reach), np.asarray(near)

    def errors(self, one: Reading, distance: Floats, near: Codes) -> Floats:
        """Usual errors below and above of rows that `near` describes, shape (2, n)."""
        return np.asarray(one.errors[near].mean(axis=1).T * np.maximum(distance, 1.0) ** 2)


_OF_ROWS = ("probe_distance", "probe_outside")


def fit_probe(
    latents: StudyLike,
    labels: LabelsLike | None = None,
    *,
    dims: Dims = "informative",
    columns: Sequence[str] | None = None,
    groups: GroupsLike = "auto",
    join: str | None = None,
    missing: Missing = "auto",
    covered: float = COVERED,
    max_stars: int = 20_000,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> Probe:
    """Learn to read labels of numbers from latents, with prediction intervals.

    Three quarters of the stars are for training: for each label the fewest dimensions and the
    lowest degree of a polynomial that read it about as well as more would. The other quarter
    calibrates the intervals, over the usual error of the stars nearby.

    Parameters
    ----------
    latents, labels, columns, groups, join, missing, max_stars, seed, progress
        As for `probe`. Labels of classes are left out.
    dims : "informative", "all" or a list of int
        Dimensions to read from, and for the distance from the training stars.
    covered : float
        Share of stars whose label should lie inside the interval.

    Raises
    ------
    EstimatorError
        If no label of numbers can be used, or the stars are too few for such an interval.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(500, 3))
    >>> made = fit_probe(z, pd.DataFrame({"Teff": 5500 + 500 * z[:, 1]}))
    >>> made.apply(np.array([[0.0, 1.0, 0.0]]))["Teff_probe"].round().item()
    6000.0
    """
    seed = whole_seed(seed)
    if not 0 < covered < 1:
        raise EstimatorError(f"covered is {covered:g}; expected a share between 0 and 1")
    study = read_study(latents, labels, groups=groups, join=join, missing=missing)
    chosen = study.choose(dims)
    usable, _ = ready_labels(study, columns, study.latents.ok, seed)
    numbers = [label for label in usable if label.numbers is not None]
    if not numbers:
        raise EstimatorError(
            f"{study.latents.source}: no label holds numbers; `probe` measures how well classes "
            "are read"
        )
    rows = {label.name: _one_row_per_star(study, label, max_stars, seed) for label in numbers}
    every = np.unique(np.concatenate(list(rows.values())))
    star = study.stars.codes
    calibrating = own_rng(seed, 24).permutation(int(star.max()) + 1) % _CALIBRATION == 0
    values = study.latents.values
    learned = every[~calibrating[star[every]]]
    x = values[learned][:, chosen].astype(np.float64)
    spread = _spread(x)
    some = own_rng(seed, 25).permutation(len(x))[:_CLOUD]
    # Rounded as they are stored, so that a probe that was read back says the same.
    cloud = (x[some] / spread).astype(np.float16).astype(np.float64)
    info = {"stars": str(len(every)), "source": study.latents.source}
    for name in ("model", "weights_sha256"):
        if study.latents.provenance.get(name):
            info[name] = str(study.latents.provenance[name])
    made = Probe([], values.shape[1], chosen, spread, cloud, 1.0, covered, info)
    judges = values[every[calibrating[star[every]]]].astype(np.float64)
    made = replace(made, reach=float(np.quantile(made.near(judges)[0], _OUTERMOST)))
    readings = []
    for label in counted(numbers, len(numbers), progress):
        held = calibrating[star[rows[label.name]]]
        readings.append(_fitted(made, label, values, rows[label.name], held, seed))
    return replace(made, readings=readings)


def _fitted(
    made: Probe, label: Label, values: Any, rows: Codes, held: NDArray[np.bool_], seed: int
) -> Reading:
    """Reading of a label from rows (n,), one per star; those `held` calibrate its intervals."""
    assert label.numbers is not None
    x, y = values[rows].astype(np.float64), label.numbers[rows]
    learn, own = x[~held], y[~held]
    picked, degree = _choice(learn[:, made.dims], own, seed)
    dims = [made.dims[place] for place in picked]
    off = own - held_out(lambda: Curve(degree), learn[:, dims], own, own_rng(seed, 26))
    tree = cKDTree(learn[:, made.dims] / made.spread)
    near = tree.query(made.cloud, k=min(_LOCAL, len(learn)))[1]
    least = max(_LEAST_ERROR * float(np.median(np.abs(off))), _LEAST)
    tail = (1 - made.covered) / 2
    low, high = np.quantile(off[near], [tail, 1 - tail], axis=1)
    errors = np.maximum(np.stack([-low, high], axis=1), least)
    curve = Curve(degree).fit(learn[:, dims], own)
    reading = Reading(
        label.name, unit_of(label.name), dims, curve.center, curve.scale, curve.powers,
        curve.coefficients, errors.astype(np.float32).astype(np.float64), np.empty(0),
        np.empty(0), float(own.min()), float(own.max()),
    )  # fmt: skip
    judges, truth = x[held], y[held]
    if _rank(len(truth), made.covered) > len(truth):
        raise EstimatorError(
            f"{label.name}: {len(truth)} of {len(rows)} stars to calibrate an interval of "
            f"{100 * made.covered:g} %; expected {ceil(made.covered / (1 - made.covered))}"
        )
    found = truth - reading.read(judges)
    below, above = made.errors(reading, *made.near(judges))
    scores = np.maximum(found / above, -found / below)
    edges, factors = _ranges(truth, scores, made.covered)
    return replace(reading, edges=edges, factors=factors)


def _rank(n: int, covered: float) -> int:
    """Which of n sorted scores the next one does not exceed with probability `covered`."""
    return ceil((n + 1) * covered)


def _ranges(truth: Floats, scores: Floats, covered: float) -> tuple[Floats, Floats]:
    """Edges of ranges of a label (n,) with equally many stars, and the score for each.

    The average one is too small where a label is rare: hot stars are read too cool.
    """
    n = len(truth)
    ranges = max(int(n * (1 - covered)) // _OUTSIDE, 1)
    edges = np.unique(np.quantile(truth, np.arange(1, ranges) / ranges))
    place = np.searchsorted(edges, truth, side="right")
    factors = np.empty(len(edges) + 1)
    for number in range(len(factors)):
        own = scores[place == number]
        if _rank(len(own), covered) > len(own):  # where many stars have the same label
            own = scores
        factors[number] = np.sort(own)[_rank(len(own), covered) - 1]
    return edges, factors


def _choice(x: Floats, y: Floats, seed: int) -> tuple[list[int], int]:
    """Columns of x (n, k), best first, and the degree that read y best.

    One more of either has to make the error smaller, by 1 % and by more than chance.
    """
    ranks = np.argsort(np.argsort(x, axis=0), axis=0).astype(np.float64)
    alone = squared_correlations(ranks, np.argsort(np.argsort(y)).astype(np.float64))
    left = np.argsort(-alone, kind="stable")[:_MOST_DIMS].tolist()

    def errors(places: list[int], degree: int) -> Floats:
        off = np.abs(y - held_out(lambda: Curve(degree), x[:, places], y, own_rng(seed, 27)))
        # A wrong velocity counts as twenty usual errors, not as a thousand.
        return np.asarray(np.minimum(off, _WRONG * np.median(off)))

    def better(found: Floats, least: Floats) -> bool:
        gain = least - found
        chance = gain.std() / sqrt(len(gain))
        return bool(gain.mean() > max(_WORTH * least.mean(), _CLEAR * chance))

    picked: list[int] = []
    least = np.full(len(y), np.inf)
    while left:
        tried = {place: errors([*picked, place], 2) for place in left}
        place = min(tried, key=lambda one: tried[one].mean())
        if picked and not better(tried[place], least):
            break
        least = tried[place]
        picked.append(place)
        left.remove(place)
    degree = _DEGREES[0]
    least = errors(picked, degree)
    for higher in _DEGREES[1:]:
        found = errors(picked, higher)
        if better(found, least):
            degree, least = higher, found
    return picked, degree
