"""Mutual information of two variables, of all pairs of latents and labels, in nats."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import LabelsLike
from latentscope.diagnostics.groups import GroupsLike
from latentscope.diagnostics.mi.columns import (
    Column,
    Discrete,
    SeenLabel,
    check_known,
    choose_labels,
    dim_reader,
    is_text,
    notes_of,
    read_column,
    read_label,
    seen,
)
from latentscope.diagnostics.mi.estimators import (
    Estimator,
    check_estimator,
    check_takes_several,
    joint_information,
    kinds_of,
)
from latentscope.diagnostics.mi.result import MIResult, PairwiseResult
from latentscope.diagnostics.mi.table import (
    Progress,
    Settings,
    Task,
    across,
    among,
    check_measured,
    columns_kept,
    measured_table,
    value_of,
    warn_of_ties,
)
from latentscope.diagnostics.study import (
    Dims,
    StudyLike,
    read_study,
)
from latentscope.errors import EstimatorError, LatentscopeWarning, shortened


def mutual_information(
    x: ArrayLike,
    y: ArrayLike,
    *,
    discrete: Discrete = "auto",
    neighbors: int = 3,
    estimator: Estimator = "auto",
    seed: int = 0,
) -> float:
    """Mutual information of x and y in nats, signed: an estimate of 0 may come out below 0.

    Parameters
    ----------
    x, y : array, shape (n,) or (n, d)
        Samples, row by row. NaN (and None or empty text among classes) drops the row.
    discrete : bool or "auto"
        True says that y holds classes, False that it holds numbers, whatever it looks like. "auto"
        takes text, booleans and numbers of few values (5 with 10 rows each, 50 with 50) for
        classes.
    neighbors : int
        k of the nearest-neighbour estimators; "auto" takes more where rows are few.
    estimator : str
        "auto" takes "copula", "ross" or "plugin" by what x and y are, and extrapolates strong
        relations to no neighbours. "copula": KSG (Kraskov et al. 2004, algorithm 1) of ranks, ties
        broken at random. "ksg": the same of the values as they are. "ross": Ross 2014, y discrete.
        "plugin": both discrete, Miller's correction. "mixture": Gao et al. 2017. "histogram": 40
        equal bins. "gmm": mixtures of Gaussians. "npeet": NPEET, if installed.
    seed : int
        Of the order of ties and the jitter of ranks.

    Returns
    -------
    float
        Nats.

    Raises
    ------
    EstimatorError
        If the lengths differ, values are infinite, `neighbors` is not below the number of rows, or
        the estimator does not take such variables, or y is to hold classes in several columns.

    Warns
    -----
    LatentscopeWarning
        If x or y is constant, which gives 0.
    """
    check_estimator(estimator)
    arrays = [_samples(name, values) for name, values in (("x", x), ("y", y))]
    if len(arrays[0]) != len(arrays[1]):
        raise EstimatorError(
            f"x has {len(arrays[0])} rows and y has {len(arrays[1])}; wanted one row each"
        )
    of_x, of_y = kinds_of(estimator)
    of_y = discrete if of_y == "auto" else of_y
    if arrays[0].ndim == 2 or arrays[1].ndim == 2:
        return _joint(arrays[0], arrays[1], of_y, estimator, neighbors, seed)
    settings = Settings(estimator=estimator, neighbors=neighbors, seed=seed)
    columns = (
        read_column("x", arrays[0], discrete=of_x, stream=(seed, 0)),
        read_column("y", arrays[1], discrete=of_y, stream=(seed, 1)),
    )
    return value_of(*columns, settings)


def _samples(name: str, values: ArrayLike) -> NDArray[np.generic]:
    array = np.asarray(values)
    if array.ndim not in (1, 2) or array.size == 0:
        raise EstimatorError(f"{name} has shape {array.shape}; wanted (n,) or (n, d), not empty")
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _joint(
    x: NDArray[np.generic],
    y: NDArray[np.generic],
    discrete: Discrete,
    estimator: Estimator,
    neighbors: int,
    seed: int,
) -> float:
    check_takes_several(estimator)
    if y.ndim == 2 and discrete is True:
        raise EstimatorError(
            f"y has shape {y.shape} and is taken for classes; wanted one class a row, (n,): "
            "number the combinations of its columns"
        )
    first = _columns("x", x, False, seed, 0)
    second = _columns("y", y, discrete if y.ndim == 1 else False, seed, 1)
    return joint_information(first, second, estimator, neighbors)


def _columns(
    name: str, array: NDArray[np.generic], discrete: Discrete, seed: int, side: int
) -> list[Column]:
    parts = array.reshape(len(array), -1).T
    return [
        read_column(f"{name}[{i}]", part, discrete=discrete, stream=(seed, side, i))
        for i, part in enumerate(parts)
    ]


def mi_matrix(
    latents: StudyLike,
    labels: LabelsLike | None = None,
    *,
    dims: Dims = "all",
    columns: Sequence[str] | None = None,
    estimator: Estimator = "auto",
    neighbors: int = 3,
    clip_sigma: float | None = 5.0,
    discrete: Sequence[str] | None = None,
    groups: GroupsLike = "auto",
    join: str | None = None,
    draws: int = 11,
    permutations: int = 199,
    seed: int = 0,
    progress: Progress | None = None,
) -> MIResult:
    """Mutual information of latent dimensions with labels, in nats, with errors and significance.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Rows of NaN are left out. A `Study` has labels, groups and join of its own.
    labels : DataFrame, array (n, labels) or path
        Joined on an id column that both have, else row by row. A missing label leaves the row out
        for that label.
    dims : "all", "informative" or a list of int
        "informative": those whose median absolute deviation exceeds the threshold of the model
        that made the latents, else 0.02.
    columns : list of str, optional
        Labels to take; by default all but ids, names of stars, and text that names nearly each
        row.
    estimator : str
        As for `mutual_information`; "auto" looks at each pair.
    neighbors : int
        k of the nearest-neighbour estimators.
    clip_sigma : float, optional
        Clip continuous labels at so many standard deviations from their mean; None does not.
    discrete : list of str, optional
        Labels to take for classes, whatever they look like. By default text, booleans and numbers
        of few values (5 with 10 rows each, 50 with 50).
    groups : array (n,) or str, optional
        Which star each row shows, or the column that says so: the sidecar's, filled from the label
        table's of that name, and `star` from `object`. Rows of a star are not independent: the
        value is then the median over draws of one random row a star, the error bar includes their
        spread, and the null shuffles whole stars. "auto": `star`, else `object`, if rows repeat
        it; None or "none": rows are independent.
    join : str, optional
        Column to join latents and labels on.
    draws : int
        Draws of one row a group.
    permutations : int
        Shuffles of groups at most.
    seed : int
        Of ties, jitter, draws and shuffles.
    progress : callable, optional
        Called with (pairs done, pairs in all).

    Returns
    -------
    MIResult

    Raises
    ------
    EstimatorError
        If values are infinite, a label asked for has too few rows or groups, the estimator does
        not take a pair, or no row with latents has a name in `groups`.
    TableError
        If latents and labels cannot be read or matched.

    Warns
    -----
    LatentscopeWarning
        If rows repeat a star and no groups are found, rows have no name in `groups`, columns are
        constant, or pairs have too few rows or groups, which makes them NaN.
    """
    check_estimator(estimator)
    settings = Settings(estimator, neighbors, draws, permutations, seed)
    study = read_study(latents, labels, groups=groups, join=join)
    read, frame, numbers = study.latents, study.label_table, study.choose(dims)
    check_known(frame, discrete or ())
    names, notes = choose_labels(frame, columns, study.group_column)
    if columns is None and kinds_of(estimator)[1] is False:
        names, notes = _of_numbers(frame, names, notes, estimator)
    source = _Labels(frame, names, settings, clip_sigma, frozenset(discrete or ()))
    found = source.seen(read.ok, kept=columns_kept(len(read)))
    found, few = _with_rows(found, settings.neighbors, strict=columns is not None)
    warn_of_ties([label.name for label in found if label.many_tied], estimator)
    names = [label.name for label in found]
    total = len(names) * len(numbers)
    task = Task(study.groups, replace(settings, pairs=total), columns is not None, progress)
    kind, _ = kinds_of(estimator)
    table = measured_table(
        across(
            len(numbers),
            dim_reader(read, numbers, kind, seed),
            len(names),
            lambda place: source.take(names[place]),
            columns_kept(len(read)),
        ),
        total,
        task,
        ("label", "dim"),
        (names, numbers),
    )
    check_measured(table, "label")
    provenance = study.provenance(
        "mutual information",
        **asdict(task.settings),
        dims=numbers,
        columns=names,
        discrete=list(discrete or ()),
        clip_sigma=clip_sigma,
    )
    entropies = {label.name: label.entropy for label in found}
    words = (*study.notes, *notes, *few, *notes_of(found, clip_sigma))
    return MIResult(table, provenance, words, entropies)


@dataclass(frozen=True)
class _Labels:
    """The labels of a table: read when wanted, the first few kept from when they were looked at."""

    frame: pd.DataFrame
    names: list[str]
    settings: Settings
    clip_sigma: float | None
    discrete: frozenset[str]
    held: dict[str, Column] = field(default_factory=dict)

    def seen(self, ok: NDArray[np.bool_], kept: int) -> list[SeenLabel]:
        """Look at all labels, and keep so many columns."""
        labels = []
        for name in self.names:
            column = self._read(name)
            labels.append(seen(column, ok))
            if len(self.held) < kept:
                self.held[name] = column
        return labels

    def take(self, name: str) -> Column:
        """Return a column, which is kept no longer."""
        column = self.held.pop(name, None)
        return self._read(name) if column is None else column

    def _read(self, name: str) -> Column:
        _, kind = kinds_of(self.settings.estimator)
        return read_label(
            name,
            self.frame[name],
            discrete=True if name in self.discrete else kind,
            clip_sigma=self.clip_sigma,
            seed=self.settings.seed,
        )


def _of_numbers(
    frame: pd.DataFrame, names: list[str], notes: list[str], estimator: str
) -> tuple[list[str], list[str]]:
    """Leave out labels of text, which an estimator asked for does not take."""
    text = [name for name in names if is_text(frame[name])]
    numbers = [name for name in names if name not in text]
    if not numbers:
        raise EstimatorError(
            f"no label holds numbers, which {estimator} wants; another estimator, such as auto, "
            "takes text too"
        )
    return numbers, [*notes, *(f"{name}: left out, text, not for {estimator}" for name in text)]


def _with_rows(
    labels: list[SeenLabel], neighbors: int, *, strict: bool
) -> tuple[list[SeenLabel], list[str]]:
    """Leave out labels with too few rows, which `measure` refuses, unless they were asked for."""
    few = [] if strict else [label for label in labels if label.rows <= neighbors]
    told = shortened(f"{label.name} ({label.rows})" for label in few)
    if few:
        warnings.warn(
            f"left out, since {neighbors + 1} rows with the label and a latent are needed "
            f"(neighbors={neighbors}): {told}",
            LatentscopeWarning,
            stacklevel=3,
        )
    kept = [label for label in labels if label not in few]
    if not kept:
        raise EstimatorError(f"no label has more than {neighbors} rows with finite latents")
    return kept, [f"left out, too few rows: {told}"] if few else []


def pairwise_mi(
    latents: StudyLike,
    *,
    dims: Dims = "all",
    estimator: Estimator = "auto",
    neighbors: int = 3,
    groups: GroupsLike = "auto",
    draws: int = 11,
    permutations: int = 199,
    seed: int = 0,
    progress: Progress | None = None,
) -> PairwiseResult:
    """Mutual information of latent dimensions with one another, in nats, with errors.

    What two dimensions share, whatever the shape of the relation: 0 if they are independent, as
    those of a disentangled network are.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Rows of NaN are left out.
    dims : "all", "informative" or a list of int
        "informative": as for `mi_matrix`.
    estimator, neighbors, draws, permutations, seed
        As those of `mi_matrix`.
    groups : array (n,) or str, optional
        Which star each row shows, or the sidecar's column that says so. "auto": `star`, else
        `object`, if rows repeat it; None or "none": rows are independent.
    progress : callable, optional
        Called with (pairs done, pairs in all).

    Returns
    -------
    PairwiseResult

    Raises
    ------
    EstimatorError
        If there are fewer than two dimensions, values are infinite, rows or groups are too few, or
        the estimator does not take such columns.
    TableError
        If latents cannot be read.

    Warns
    -----
    LatentscopeWarning
        If rows repeat a star and no groups are found, or dimensions are constant.
    """
    check_estimator(estimator)
    settings = Settings(estimator, neighbors, draws, permutations, seed)
    study = read_study(latents, groups=groups)
    read, numbers = study.latents, study.choose(dims)
    if len(numbers) < 2:
        raise EstimatorError(
            f"{read.source}: {len(numbers)} dimension to compare; expected two or more"
        )
    total = len(numbers) * (len(numbers) - 1) // 2
    task = Task(study.groups, replace(settings, pairs=total), True, progress)
    kind, _ = kinds_of(estimator)
    table = measured_table(
        among(len(numbers), dim_reader(read, numbers, kind, seed), columns_kept(len(read))),
        total,
        task,
        ("dim_x", "dim_y"),
        (numbers, numbers),
    )
    check_measured(table, "dim_x")
    provenance = study.provenance(
        "pairwise mutual information", **asdict(task.settings), dims=numbers
    )
    return PairwiseResult(table, provenance)
