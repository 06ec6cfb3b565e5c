"""Latents of several models, seeds or releases: what they have in common, and along which axes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from scipy.stats import t as student

from latentscope.data import LabelsLike, Latents, LatentsLike, bring_latents, read_latents
from latentscope.diagnostics.disentanglement import error_of, interval
from latentscope.diagnostics.exclusive import SHARED
from latentscope.diagnostics.mi.api import (
    SIGNIFICANT,
    Settings,
    across,
    columns_kept,
    measured_table,
    mi_matrix,
    mutual_information,
    q_values,
)
from latentscope.diagnostics.mi.columns import (
    Column,
    Names,
    Seed,
    choose_labels,
    own_rng,
    read_dim,
    read_label,
    whole_seed,
)
from latentscope.diagnostics.prediction import Target, scores_of, target_of
from latentscope.diagnostics.study import (
    Dims,
    GroupsLike,
    Result,
    Study,
    StudyLike,
    check_least,
    check_none_infinite,
    read_study,
)
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning, shortened
from latentscope.labels import Missing
from latentscope.workers import Progress, stepper

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

BEST, ALL = "best dim", "all dims"
"""From what a label is known: one dimension, or all of them together."""

_KEPT = 0.99  # share of the variance in the directions of SVCCA (Raghu et al. 2017, section 2.1)
_LASSO = 0.1  # penalty of the regressions of UDR, on columns of unit variance (Duan et al. 2020)
_SHUFFLES = 10
_MIN_STARS = 100
_PLACES = 2000
"""Stars among which neighbors are searched, few enough to measure all pairs."""

_FAR = 10  # percent from which a moved row is named
_BLOCK = 256
_NOTHING = 1e-10  # share of the variance that rounding leaves


def cka(x: ArrayLike, y: ArrayLike) -> float:
    """Linear centered kernel alignment of two sets of latents: 1 if equal up to rotation and scale.

    Around 0 if they are independent, also below: the estimators of covariance are unbiased. A
    rotation or a common factor changes nothing; factors for single dimensions do, since the widest
    count most.

    Parameters
    ----------
    x, y : array, shape (n, p) and (n, q)
        The same n rows, 4 or more.

    References
    ----------
    Kornblith et al. 2019, ICML, "Similarity of neural network representations revisited", eq. 1 and
    section 3; HSIC by Song et al. 2012, JMLR 13, 1393, eq. 5.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(500, 2))
    >>> round(cka(x, 3 * x @ [[0.6, 0.8], [-0.8, 0.6]]), 6)
    1.0
    """
    first, second = (np.asarray(part, dtype=np.float64) for part in (x, y))
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    own = _alignment(first, first) * _alignment(second, second)
    return _alignment(first, second) / float(np.sqrt(own)) if own > 0 else float("nan")


def _alignment(x: Floats, y: Floats) -> float:
    """Estimate HSIC of centered columns with linear kernels, times n (n - 3), without a kernel."""
    n = len(x)
    # The diagonals of the kernels, which the estimator leaves out.
    k, m = (np.einsum("ij,ij->i", part, part) for part in (x, y))
    together = float(((x.T @ y) ** 2).sum() - k @ m)
    # Rows of a centered kernel add up to 0, so without its diagonal to minus that.
    return together + float(k.sum() * m.sum() / (n - 1) - 2 * k @ m) / (n - 2)


def svcca(x: ArrayLike, y: ArrayLike) -> float:
    """Mean canonical correlation of the leading directions of two sets of latents, 0 to 1.

    Leading directions hold 99 % of the variance. 1 if those of one are linear functions of the
    other's. Independent latents give more than 0, the more the fewer rows.

    Parameters
    ----------
    x, y : array, shape (n, p) and (n, q)
        The same n rows.

    References
    ----------
    Raghu et al. 2017, NeurIPS, "SVCCA", section 2.1.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(500, 2))
    >>> round(svcca(x, x[:, ::-1] * [2, -1]), 6)
    1.0
    """
    first, second = (_leading(np.asarray(part, dtype=np.float64)) for part in (x, y))
    found = np.linalg.svd(first.T @ second, compute_uv=False)
    return float(np.minimum(found, 1.0).mean())


def _leading(values: Floats) -> Floats:
    """Principal components (n, k), each of length 1, that hold 99 % of the variance."""
    centered = values - values.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centered, full_matrices=False)
    held = np.cumsum(sizes**2) / np.sum(sizes**2)
    kept = int(np.searchsorted(held, _KEPT * (1 - _NOTHING))) + 1
    return np.asarray(left[:, :kept])


def relative_strength(relation: ArrayLike) -> float:
    """How close a relation of dimensions (p, q) is to one-to-one, 0 to 1.

    The mean over rows and columns of their squared maximum over their sum, of absolute values (Duan
    et al. 2020, section 4): 1 for a permutation, 1 / p where all p x p are 1.
    """
    table = np.abs(np.asarray(relation, dtype=np.float64))
    found = []
    for axis in (0, 1):
        total = table.sum(axis=axis)
        strength = table.max(axis=axis) ** 2 / np.where(total > 0, total, 1.0)
        found.append(float(strength.mean()))
    return float(np.mean(found))


def _rank_correlations(x: Floats, y: Floats) -> Floats:
    """Spearman correlations (p, q) of columns (n, p) and (n, q)."""
    first, second = (_standard(rankdata(part, axis=0)) for part in (x, y))
    return np.asarray(first.T @ second / len(x))


def _weights(x: Floats, y: Floats) -> Floats:
    """Weights (p, q) of columns x (n, p) in lasso regressions of columns y (n, q)."""
    from sklearn.linear_model import Lasso

    first, second = _standard(x), _standard(y)
    machine = Lasso(alpha=_LASSO, precompute=True).fit(first, second)
    return np.asarray(machine.coef_.reshape(second.shape[1], first.shape[1]).T)


def _standard(values: Floats) -> Floats:
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


Key = tuple[str, int, int]
"""A measure and its two models, the same one twice if it is about one."""


def _similarities(values: Sequence[Floats]) -> dict[Key, float]:
    """All measures of sets of latents of the same rows, one per star."""
    found: dict[Key, float] = {}
    for i, j in combinations(range(len(values)), 2):
        found["CKA", i, j] = cka(values[i], values[j])
        found["SVCCA", i, j] = svcca(values[i], values[j])
    if len(values) > 2:
        for name, relation in (("UDR lasso", _weights), ("UDR Spearman", _rank_correlations)):
            for i, own in enumerate(values):
                # Each of the others predicts this one's dimensions.
                others = [other for j, other in enumerate(values) if j != i]
                scores = [relative_strength(relation(other, own)) for other in others]
                found[name, i, i] = float(np.median(scores))
    return found


def moved_rows(x: Floats, y: Floats, places: Rows, stars: Rows, neighbors: int = 10) -> Floats:
    """How far each row's neighbors by x are from it by y, and the reverse, percent, (n,).

    Neighbors in x (n, p) and y (n, q) are the nearest rows of other `stars` (n,) among `places`
    (m,), one row per star. Each has a percentile among all of these by the other latents; the mean
    over neighbors and both ways is 50 if nothing is in common, and for equal latents half of the
    neighbors' own share.
    """
    found = np.empty(len(x))
    for first in range(0, len(x), _BLOCK):
        block = slice(first, first + _BLOCK)
        own = stars[block, None] == stars[places]
        apart = [cdist(part[block], part[places]) for part in (x, y)]
        for distances in apart:
            distances[own] = np.inf
        total = np.zeros(len(own))
        for here, there in (apart, apart[::-1]):
            near = np.argpartition(here, neighbors - 1, axis=1)[:, :neighbors]
            limits = np.take_along_axis(there, near, axis=1)
            for limit in limits.T:
                total += (there < limit[:, None]).sum(axis=1)
        others = len(places) - own.sum(axis=1)
        found[block] = 100 * (total / (2 * neighbors) + 0.5) / others
    return found


@dataclass(frozen=True, eq=False, repr=False)
class ComparisonResult(Result):
    """What two or more sets of latents of the same spectra have in common.

    Parameters
    ----------
    models : DataFrame
        One row per model: `model, source, dims` (those compared, as text).
    similarity : DataFrame
        Also `table`. One row per measure and pair, or model: `measure, a, b, value, low, high,
        chance, n`. CKA and SVCCA are of a pair; UDR, of three models or more, of `a` with all
        others. `low ... high`: 95 % interval from random halves of the stars; `chance`: mean for
        shuffled stars; n: number of stars.
    matching : DataFrame
        One row per pair of dimensions: `a, b, dim_a, dim_b, mi_nats, std_nats, p_value, q_value,
        n, n_groups, estimator, reason, rank_correlation, matched`. `matched`: assigned to each
        other by the largest sum of mutual information, with q < 0.05 and 0.1 nats or more.
    labels : DataFrame
        One row per pair of models, label and reading: `a, b, label, by, dim_a, dim_b, nats_a,
        nats_b, difference, low, high, p_value, q_value, n`. `by`: "best dim", the dimension of
        each that knows most, or "all dims", what a prediction from all of them shares with the
        label, a lower bound. `difference` is nats_a - nats_b. Empty without labels.
    moved : DataFrame
        One row per spectrum and model after the first: `a, b, row, id, star, moved`, the most
        first. `moved`, percent: where the neighbors of a row by one model are among all by the
        other: about 0 if they are the same, 50 if nothing is in common.
    """

    drawn_by = "plot_comparison"

    models: pd.DataFrame
    similarity: pd.DataFrame
    matching: pd.DataFrame
    labels: pd.DataFrame
    moved: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """The measures of similarity."""
        return self.similarity

    def sentences(self, count: int = 5) -> list[str]:
        """Say how alike all are and how each differs from the first; `count` moved rows at most."""
        first, *others = self.models["model"]
        return [
            *self._similar(),
            *(self._matched(first, other) for other in others),
            *(line for other in others for line in self._known(first, other)),
            *(self._moved(first, other, count) for other in others),
        ]

    def _similar(self) -> list[str]:
        pairs: dict[str, list[str]] = {}
        for row in self.similarity.to_dict("records"):
            who = row["a"] if row["a"] == row["b"] else f"{row['a']} and {row['b']}"
            words = (
                f"{row['measure']} {row['value']:.3f} ({row['low']:.3f} ... {row['high']:.3f}, "
                f"chance {row['chance']:.3f})"
            )
            pairs.setdefault(who, []).append(words)
        return [f"{who}: {', '.join(words)}" for who, words in pairs.items()]

    def of(self, table: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
        """Return the rows of one of the tables that are about two models."""
        return table[(table["a"] == a) & (table["b"] == b)]

    def _matched(self, a: str, b: str) -> str:
        table = self.of(self.matching, a, b)
        pairs = table[table["matched"]].sort_values("mi_nats", ascending=False, kind="stable")
        words = [
            f"{row['dim_a']} is {row['dim_b']} ({row['mi_nats']:.2f} nats, rank correlation "
            f"{row['rank_correlation']:+.2f})"
            for row in pairs.to_dict("records")
        ]
        alone = [
            f"{side} {', '.join(map(str, sorted(rest)))}"
            for side, column in ((a, "dim_a"), (b, "dim_b"))
            if (rest := set(table[column]) - set(pairs[column]))
        ]
        lacking = f"; without a counterpart: {'; '.join(alone)}" if alone else ""
        return f"dims of {a} in {b}: {', '.join(words) or 'none'}{lacking}"

    def _known(self, a: str, b: str) -> list[str]:
        lines = []
        for by, rows in self.of(self.labels, a, b).groupby("by", sort=False):
            same = []
            for row in rows.to_dict("records"):
                size = row["difference"]
                if not (row["q_value"] < SIGNIFICANT and abs(size) >= SHARED):
                    same.append(f"{row['label']} ({row['nats_a']:.2f} and {row['nats_b']:.2f})")
                    continue
                better, more, less = (a, "a", "b") if size > 0 else (b, "b", "a")
                dims = f"dims {row[f'dim_{more}']} and {row[f'dim_{less}']}; " if by == BEST else ""
                low, high = sorted((abs(row["low"]), abs(row["high"])))
                lines.append(
                    f"{by}: {better} knows {row['label']} better, {row[f'nats_{more}']:.2f} "
                    f"against {row[f'nats_{less}']:.2f} nats ({dims}by {low:.2f} ... {high:.2f})"
                )
            if same:
                lines.append(f"{by}: {a} and {b} know about the same of {', '.join(same)}")
        return lines

    def _moved(self, a: str, b: str, count: int) -> str:
        rows = self.of(self.moved, a, b)
        named = [
            f"{row['row'] if row['id'] is None else row['id']} ({row['moved']:.0f} %)"
            for row in rows[rows["moved"] > _FAR].head(count).to_dict("records")
        ]
        most = f"most of all {', '.join(named)}" if named else f"none by more than {_FAR} %"
        return (
            f"rows that moved between {a} and {b}: half of them by less than "
            f"{rows['moved'].median():.2g} % (50: nothing in common); {most}"
        )


def compare(
    latents: StudyLike,
    *others: LatentsLike,
    labels: LabelsLike | None = None,
    names: Sequence[str] | None = None,
    dims: Dims = "informative",
    columns: Sequence[str] | None = None,
    discrete: bool | Names | None = None,
    numeric: Names | None = None,
    groups: GroupsLike = "auto",
    join: str | None = None,
    missing: Missing = "auto",
    where: str | None = None,
    neighbors: int = 10,
    n_halves: int = 30,
    max_stars: int = 10_000,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Compare latents of the same spectra by two or more models, seeds or releases.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
    *others : Latents, array (n, d'), DataFrame or path
        Joined to the first on an id that both have, else row by row. Rows count that are finite in
        all.
    labels : DataFrame, array (n, labels) or path, optional
        Joined to the first on an id, else row by row.
    names : list of str, optional
        Names of the models; by default those of their files.
    dims : "informative", "all" or a list of int
        Dimensions of each model.
    columns, discrete, numeric, groups, join, missing
        As for `mi_matrix`, with its errors and warnings.
    where : str, optional
        Take only rows that meet a condition, as for `read_study`.
    neighbors : int
        Nearest stars by which a row is said to have moved.
    n_halves : int
        Random halves of the stars for the intervals, 10 or more.
    max_stars : int
        Stars at most, of more a random part; rows of all stars may have moved.
    seed : int or Generator
        Seed of all random draws.
    progress : callable, optional
        Called with (steps done, steps in all).

    Raises
    ------
    ChoiceError
        If there is nothing to compare with, names repeat, or a dimension or label is not there.
    EstimatorError
        If fewer than 100 stars have latents by all, or values are infinite.

    Warns
    -----
    LatentscopeWarning
        If rows of one are not in another, or rows repeat a star and no groups are found.

    References
    ----------
    CKA: Kornblith et al. 2019; SVCCA: Raghu et al. 2017; UDR: Duan et al. 2020, ICLR, "Unsupervised
    model selection for variational disentangled representation learning".

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> result = compare(z, -z[:, ::-1])
    >>> result.matching.loc[result.matching["matched"], ["dim_a", "dim_b"]].to_numpy().tolist()
    [[0, 1], [1, 0]]
    """
    seed = whole_seed(seed)
    if not others:
        raise ChoiceError("one set of latents; expected another to compare it with")
    check_least(10, n_halves=n_halves)
    check_least(_MIN_STARS, max_stars=max_stars)
    check_least(1, neighbors=neighbors)
    whole = read_study(
        latents, labels, groups=groups, join=join, missing=missing, discrete=discrete,
        numeric=numeric,
    )  # fmt: skip
    reads = [whole.latents, *map(read_latents, others)]
    called = _names(reads, names)
    for read in reads:
        check_none_infinite(read)
    values = [whole.latents.values, *(bring_latents(whole.latents, one) for one in reads[1:])]
    ok = np.logical_and.reduce([np.isfinite(one).all(axis=1) for one in values])
    rows = np.flatnonzero(ok if where is None else ok & whole.meets(where))
    common = whole.take(rows)
    codes = common.stars.codes
    n_stars = int(codes.max(initial=-1)) + 1
    if n_stars < _MIN_STARS or neighbors >= n_stars / 2:
        raise EstimatorError(
            f"{', '.join(called)}: {n_stars:,} stars have latents by all; expected {_MIN_STARS}, "
            f"and twice as many as neighbors ({neighbors}), or more"
        )
    stars = common.stars.draws(codes >= 0, 1, own_rng(seed, 31)).rows[0]
    notes = [] if where is None else [f"{len(rows):,} rows have {where} and latents by all"]
    if n_stars > max_stars:
        stars = np.sort(own_rng(seed, 32).choice(stars, max_stars, replace=False))
        notes.append(f"{max_stars:,} of {n_stars:,} stars taken at random")
    part = np.flatnonzero(np.isin(codes, codes[stars]))
    models: list[_Model] = []
    for name, read, each in zip(called, reads, values, strict=True):
        own = Latents(each[rows], common.latents.table, provenance=read.provenance, source=name)
        # Dimensions that the study was read with are those of the first model.
        study = replace(common, latents=own, dims=None if models else common.dims)
        models.append(_Model(name, study, study.take(part), study.choose(dims)))
    frame = common.labels
    taken, why = ([], []) if frame is None else choose_labels(frame, columns, common.group_column)
    n = len(stars)
    halves = [own_rng(seed, 33, i).choice(n, n // 2, replace=False) for i in range(n_halves)]
    sample = _Sample(stars, halves, seed)
    n_pairs = len(models) * len(others) // 2
    steps = 1 + n_halves + _SHUFFLES + n_pairs + len(taken) + len(others)
    advance = stepper(steps, progress)
    similarity = _similarity_table(models, sample, advance)
    matching = _matching_table(models, sample, advance)
    known, left = _label_table(models, sample, taken, strict=columns is not None, advance=advance)
    moved = _moved_table(models, sample, neighbors, advance)
    moved["row"] = rows[moved["row"]]  # as they are numbered in the first latents
    for place, (column, found) in enumerate(
        {"id": whole.latents.ids, "star": whole.latents.groups}.items(), start=3
    ):
        moved.insert(place, column, None if found is None else found[moved["row"]])
    table = pd.DataFrame(
        {
            "model": called,
            "source": [read.source for read in reads],
            "dims": [",".join(map(str, model.dims)) for model in models],
        }
    )
    provenance = common.provenance(
        "compare", models=table.to_dict("records"), columns=taken, where=where, neighbors=neighbors,
        n_halves=n_halves, max_stars=max_stars, seed=seed,
    )  # fmt: skip
    notes = [*notes, *common.notes, *why, *left]
    return ComparisonResult(table, similarity, matching, known, moved, provenance, tuple(notes))


class _Model(NamedTuple):
    """A model's latents on the rows that all have, and the dimensions that count."""

    name: str
    study: Study
    part: Study  # of the stars that are measured
    dims: list[int]

    def values(self, rows: Rows) -> Floats:
        """Latents of some rows, (m, d)."""
        return self.study.latents.values[rows][:, self.dims].astype(np.float64)


class _Sample(NamedTuple):
    """One row of each star, and halves of these, as places among them."""

    stars: Rows
    halves: list[Rows]
    seed: int

    def interval(self, value: float, parts: Floats) -> tuple[float, float]:
        """95 % interval of a value from its values on the halves."""
        n = len(self.stars)
        return interval(value, parts, n // 2, n)


def _names(reads: Sequence[Latents], names: Sequence[str] | None) -> list[str]:
    """Names as asked for, else as much of each path as tells the models apart."""
    if names is not None:
        found = [str(name) for name in names]
    else:
        paths = [PurePath(read.source).parts for read in reads]
        found = [
            next(
                (
                    short
                    for depth in range(1, len(path) + 1)
                    if [other[-depth:] for other in paths].count(path[-depth:]) == 1
                    and (short := str(PurePath(*path[-depth:])))
                ),
                f"{'/'.join(path)} {place}",
            )
            for place, path in enumerate(paths, start=1)
        ]
    if len(found) != len(reads) or len(set(found)) < len(found):
        raise ChoiceError(f"names are {', '.join(found)}; expected {len(reads)} different ones")
    last = reads[-1]
    if last.names and not reads[0].names:
        raise ChoiceError(
            f"{last.source}: its columns do not number dimensions ({shortened(last.names)}); "
            "labels go to labels= (--labels-file)"
        )
    return found


def _similarity_table(
    models: Sequence[_Model], sample: _Sample, advance: Callable[[], None]
) -> pd.DataFrame:
    columns = [model.values(sample.stars) for model in models]

    def measured(rows: Sequence[Rows]) -> dict[Key, float]:
        found = _similarities([part[some] for part, some in zip(columns, rows, strict=True)])
        advance()
        return found

    n = len(sample.stars)
    values = measured([np.arange(n)] * len(models))
    halves = [measured([half] * len(models)) for half in sample.halves]
    rng = own_rng(sample.seed, 34)
    chance = [measured([rng.permutation(n) for _ in models]) for _ in range(_SHUFFLES)]
    records = []
    for key, value in values.items():
        measure, i, j = key
        low, high = sample.interval(value, np.array([half[key] for half in halves]))
        # An estimate may lie beyond 1; its interval need not.
        high = max(value, min(high, 1.0))
        records.append(
            {"measure": measure, "a": models[i].name, "b": models[j].name, "value": value,
             "low": low, "high": high, "chance": float(np.mean([one[key] for one in chance])),
             "n": n}
        )  # fmt: skip
    return pd.DataFrame(records)


def _matching_table(
    models: Sequence[_Model], sample: _Sample, advance: Callable[[], None]
) -> pd.DataFrame:
    def column(model: int, place: int) -> Column:
        # Of another seed for each model: ties of both columns are not to be broken alike.
        own = models[model]
        dim = own.dims[place]
        return read_dim(own.part.latents, dim, discrete="auto", seed=sample.seed + model)

    tables = []
    for i, j in combinations(range(len(models)), 2):
        of_x, of_y = models[i].dims, models[j].dims
        kept = columns_kept(len(models[i].part))
        table = measured_table(
            across(len(of_x), partial(column, i), len(of_y), partial(column, j), kept),
            {"dim_b": of_y, "dim_a": of_x},
            models[0].part.groups,
            Settings(seed=sample.seed, pairs=len(of_x) * len(of_y)),
            strict=True,
            progress=None,
        )
        ranks = _rank_correlations(models[i].values(sample.stars), models[j].values(sample.stars))
        nats = table["mi_nats"].to_numpy().reshape(len(of_y), len(of_x))
        assigned = np.zeros(nats.shape, dtype=bool)
        assigned[linear_sum_assignment(nats, maximize=True)] = True
        table["rank_correlation"] = ranks.T.ravel()
        table["matched"] = (
            assigned.ravel() & (table["q_value"] < SIGNIFICANT) & (table["mi_nats"] >= SHARED)
        )
        table.insert(0, "a", models[i].name)
        table.insert(1, "b", models[j].name)
        table.insert(2, "dim_a", table.pop("dim_a"))
        tables.append(table.sort_values(["dim_a", "dim_b"], kind="stable"))
        advance()
    return pd.concat(tables, ignore_index=True)


_LABEL_COLUMNS = [
    "a", "b", "label", "by", "dim_a", "dim_b", "nats_a", "nats_b", "difference", "low", "high",
    "p_value", "q_value", "n",
]  # fmt: skip


class _Known(NamedTuple):
    """What one model knows of a label, in nats: on all stars, and on each half."""

    nats: float
    halves: Floats
    dim: int | None = None


def _label_table(
    models: Sequence[_Model],
    sample: _Sample,
    names: Sequence[str],
    *,
    strict: bool,
    advance: Callable[[], None],
) -> tuple[pd.DataFrame, list[str]]:
    """Table of the labels, and words on those left out; `strict` makes these errors."""
    study, records, left = models[0].study, [], []
    for name in names:
        label = read_label(
            name, study.label_table[name], discrete=study.kinds.get(name, "auto"), seed=sample.seed
        )
        try:
            target = target_of(label, sample.stars)
        except EstimatorError as error:
            if strict:
                raise
            left.append(f"left out: {error}")
            advance()
            continue
        found = [_known(model, name, target, sample) for model in models]
        for (a, of_a), (b, of_b) in combinations(zip(models, found, strict=True), 2):
            for by in (BEST, ALL):
                line = {"a": a.name, "b": b.name, "label": name, "by": by, "n": len(target.rows)}
                records.append(line | _difference(of_a[by], of_b[by], sample))
        advance()
    table = pd.DataFrame(records, columns=_LABEL_COLUMNS)
    table["q_value"] = q_values(table["p_value"].to_numpy(dtype=np.float64))
    for column in ("dim_a", "dim_b"):
        # Whole numbers, beside None for all dimensions.
        table[column] = pd.Series([line[column] for line in records], dtype=object)
    return table, left


def _known(model: _Model, name: str, target: Target, sample: _Sample) -> dict[str, _Known]:
    """Measure what the best dimension, and all together, know of a label."""
    seed = sample.seed

    def information(values: Floats, some: NDArray[np.bool_] | slice = slice(None)) -> float:
        return mutual_information(
            values[some], target.values[some], discrete=target.discrete, seed=seed
        )

    with warnings.catch_warnings():
        # Of constant columns and copies, which do not matter for the difference.
        warnings.simplefilter("ignore", LatentscopeWarning)
        best = mi_matrix(
            model.part, dims=model.dims, columns=[name], n_permutations=1, seed=seed
        ).best.iloc[0]
        dim, nats = int(best["dim"]), float(best["mi_nats"])
        rows = sample.stars[target.rows]
        one = model.study.latents.values[rows, dim].astype(np.float64)
        scores = scores_of(target, model.values(rows), own_rng(seed, 35))
        parts = [np.isin(target.rows, half) for half in sample.halves]
        halves = np.array([information(one, part) for part in parts])
        together = np.array([information(scores, part) for part in parts])
        # A prediction that is worse than one of its dimensions is no bound.
        whole = max(nats, information(scores))
    return {BEST: _Known(nats, halves, dim), ALL: _Known(whole, np.maximum(halves, together))}


def _difference(a: _Known, b: _Known, sample: _Sample) -> dict[str, Any]:
    value, parts, n = a.nats - b.nats, a.halves - b.halves, len(sample.stars)
    low, high = sample.interval(value, parts)
    error = error_of(parts, n // 2, n)
    p_value = 2 * student.sf(abs(value) / error, len(parts) - 1) if error > 0 else np.nan
    return {
        "dim_a": a.dim, "dim_b": b.dim, "nats_a": a.nats, "nats_b": b.nats, "difference": value,
        "low": low, "high": high, "p_value": p_value,
    }  # fmt: skip


def _moved_table(
    models: Sequence[_Model], sample: _Sample, neighbors: int, advance: Callable[[], None]
) -> pd.DataFrame:
    codes = models[0].study.stars.codes
    places = sample.stars
    if len(places) > _PLACES:
        places = np.sort(own_rng(sample.seed, 36).choice(places, _PLACES, replace=False))
    first, *others = (
        _whitened(model.values(np.arange(len(codes))), sample.stars) for model in models
    )
    tables = []
    for model, other in zip(models[1:], others, strict=True):
        moved = moved_rows(first, other, places, codes, neighbors)
        table = pd.DataFrame(
            {"a": models[0].name, "b": model.name, "row": np.arange(len(codes)), "moved": moved}
        )
        tables.append(table.sort_values("moved", ascending=False, kind="stable"))
        advance()
    return pd.concat(tables, ignore_index=True)


def _whitened(values: Floats, stars: Rows) -> Floats:
    """Principal components (n, k) of variance 1 over the stars, the same for any linear map."""
    centered = values - values[stars].mean(axis=0)
    _, sizes, axes = np.linalg.svd(centered[stars], full_matrices=False)
    kept = sizes**2 > _NOTHING * (sizes**2).sum()
    return np.asarray(centered @ axes[kept].T / sizes[kept] * np.sqrt(len(stars)))
