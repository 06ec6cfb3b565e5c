"""Mutual information of two variables, and of all pairs of latents and labels, in nats."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import LabelsLike
from latentscope.diagnostics.groups import GroupsLike
from latentscope.diagnostics.mi.columns import (
    CLIP_SIGMA,
    Column,
    Discrete,
    LabelSummary,
    check_columns,
    choose_labels,
    is_text,
    notes_of,
    read_column,
    read_dim,
    read_label,
    summary_of,
)
from latentscope.diagnostics.mi.estimators import (
    check_estimator,
    check_takes_several,
    joint_value,
    kinds_of,
)
from latentscope.diagnostics.mi.result import MIResult, PairwiseResult
from latentscope.diagnostics.mi.table import (
    Progress,
    Settings,
    across,
    among,
    columns_kept,
    measured_table,
    value_of,
    warn_of_ties,
)
from latentscope.diagnostics.study import Dims, StudyLike, read_study
from latentscope.errors import EstimatorError, LatentscopeWarning, shortened


def mutual_information(
    x: ArrayLike,
    y: ArrayLike,
    *,
    discrete: Discrete = "auto",
    neighbors: int = 3,
    estimator: str = "auto",
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
    ChoiceError
        If there is no such estimator.
    EstimatorError
        If the lengths differ, values are infinite, `neighbors` is not below the number of rows, or
        the estimator does not take such variables, or y is to hold classes in several columns.

    Warns
    -----
    LatentscopeWarning
        If x or y is constant, which gives 0.

    Examples
    --------
    >>> import numpy as np
    >>> x, noise = np.random.default_rng(0).normal(size=(2, 2000))
    >>> round(mutual_information(x, x + noise), 1)  # the truth is log(2) / 2
    0.3
    """
    check_estimator(estimator)
    settings = Settings(estimator=estimator, neighbors=neighbors, seed=seed)
    first, second = _samples("x", x), _samples("y", y)
    if len(first) != len(second):
        raise EstimatorError(
            f"x has {len(first)} rows and y has {len(second)}; expected one row each"
        )
    kind_of_x, kind_of_y = kinds_of(estimator)
    kind_of_y = discrete if kind_of_y == "auto" else kind_of_y
    if first.ndim == 1 and second.ndim == 1:
        return value_of(
            read_column("x", first, discrete=kind_of_x, stream=(seed, 0)),
            read_column("y", second, discrete=kind_of_y, stream=(seed, 1)),
            settings,
        )
    check_takes_several(estimator)
    if second.ndim == 2 and kind_of_y is True:
        raise EstimatorError(
            f"y has shape {second.shape} and is taken for classes; expected one class a row, (n,): "
            "number the combinations of its columns"
        )
    return joint_value(
        _columns("x", first, False, (seed, 0)),
        _columns("y", second, kind_of_y if second.ndim == 1 else False, (seed, 1)),
        estimator,
        neighbors,
    )


def _samples(name: str, values: ArrayLike) -> NDArray[np.generic]:
    array = np.asarray(values)
    if array.ndim not in (1, 2) or array.size == 0:
        raise EstimatorError(f"{name} has shape {array.shape}; expected (n,) or (n, d), not empty")
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _columns(
    name: str, array: NDArray[np.generic], discrete: Discrete, stream: tuple[int, int]
) -> list[Column]:
    parts = array.reshape(len(array), -1).T
    return [
        read_column(f"{name}[{i}]", part, discrete=discrete, stream=(*stream, i))
        for i, part in enumerate(parts)
    ]


def mi_matrix(
    latents: StudyLike,
    labels: LabelsLike | None = None,
    *,
    dims: Dims = "all",
    columns: Sequence[str] | None = None,
    estimator: str = "auto",
    neighbors: int = 3,
    clip_sigma: float | None = CLIP_SIGMA,
    discrete: Sequence[str] | None = None,
    groups: GroupsLike = "auto",
    join: str | None = None,
    n_draws: int = 11,
    n_permutations: int = 199,
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
        Leave out rows whose continuous label lies further than so many standard deviations from
        its median, again until none does, at most five times, as published; None keeps them.
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
    n_draws : int
        Draws of one row a group.
    n_permutations : int
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
    ChoiceError
        If there is no such estimator, dimension or label.
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
    settings = Settings(estimator, neighbors, n_draws, n_permutations, seed)
    study = read_study(latents, labels, groups=groups, join=join)
    frame, numbers, ok = study.label_table, study.choose(dims), study.latents.ok
    kind_of_latents, kind_of_labels = kinds_of(estimator)
    classes = list(discrete or ())
    check_columns(frame, classes)
    names, notes = choose_labels(frame, columns, study.group_column)
    if columns is None and kind_of_labels is False:
        names, notes = _of_numbers(frame, names, notes, estimator)

    def label(name: str) -> Column:
        kind = True if name in classes else kind_of_labels
        return read_label(name, frame[name], discrete=kind, clip_sigma=clip_sigma, seed=seed)

    # Each label is looked at before any is measured. The first few stay in memory for their turn;
    # the others are read again.
    kept = columns_kept(len(study))
    ready: dict[str, Column] = {}
    summaries = []
    for name in names:
        column = label(name)
        summaries.append(summary_of(column, ok))
        if len(ready) < kept:
            ready[name] = column
    del column
    summaries, sparse = _with_rows(summaries, neighbors, strict=columns is not None)
    names = [each.name for each in summaries]
    warn_of_ties([each.name for each in summaries if each.many_tied], estimator)

    def read_y(place: int) -> Column:
        name = names[place]
        return ready.pop(name) if name in ready else label(name)

    def read_x(place: int) -> Column:
        return read_dim(study.latents, numbers[place], ok, discrete=kind_of_latents, seed=seed)

    settings = replace(settings, pairs=len(names) * len(numbers))
    table = measured_table(
        across(len(numbers), read_x, len(names), read_y, kept),
        {"label": names, "dim": numbers},
        study.groups,
        settings,
        strict=columns is not None,
        progress=progress,
    )
    provenance = study.provenance(
        "mutual information",
        **asdict(settings),
        dims=numbers,
        columns=names,
        discrete=classes,
        clip_sigma=clip_sigma,
    )
    notes = [*study.notes, *notes, *sparse, *notes_of(summaries, clip_sigma)]
    entropies = {each.name: each.entropy for each in summaries}
    return MIResult(table, provenance, tuple(notes), entropies)


def _of_numbers(
    frame: pd.DataFrame, names: list[str], notes: list[str], estimator: str
) -> tuple[list[str], list[str]]:
    """Leave out labels of text, which an estimator asked for does not take."""
    text = [name for name in names if is_text(frame[name])]
    numbers = [name for name in names if name not in text]
    if not numbers:
        raise EstimatorError(
            f"no label holds numbers, which {estimator} takes; another estimator, such as auto, "
            "takes text too"
        )
    return numbers, [*notes, *(f"{name}: left out, text, not for {estimator}" for name in text)]


def _with_rows(
    labels: list[LabelSummary], neighbors: int, *, strict: bool
) -> tuple[list[LabelSummary], list[str]]:
    """Leave out labels with too few rows, which `measure` refuses, unless they were asked for."""
    sparse = [] if strict else [label for label in labels if label.rows <= neighbors]
    names = shortened(f"{label.name} ({label.rows})" for label in sparse)
    if sparse:
        warnings.warn(
            f"left out, since {neighbors + 1} rows with the label and a latent are needed "
            f"(neighbors={neighbors}): {names}",
            LatentscopeWarning,
            stacklevel=3,
        )
    kept = [label for label in labels if label not in sparse]
    if not kept:
        raise EstimatorError(f"no label has more than {neighbors} rows with finite latents")
    return kept, [f"left out, too few rows: {names}"] if sparse else []


def pairwise_mi(
    latents: StudyLike,
    *,
    dims: Dims = "all",
    estimator: str = "auto",
    neighbors: int = 3,
    groups: GroupsLike = "auto",
    n_draws: int = 11,
    n_permutations: int = 199,
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
    estimator, neighbors, n_draws, n_permutations, seed
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
    ChoiceError
        If there is no such estimator or dimension.
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
    settings = Settings(estimator, neighbors, n_draws, n_permutations, seed)
    study = read_study(latents, groups=groups)
    numbers, ok, kind = study.choose(dims), study.latents.ok, kinds_of(estimator)[0]
    if len(numbers) < 2:
        raise EstimatorError(
            f"{study.latents.source}: {len(numbers)} dimension to compare; expected two or more"
        )

    def read(place: int) -> Column:
        return read_dim(study.latents, numbers[place], ok, discrete=kind, seed=seed)

    settings = replace(settings, pairs=len(numbers) * (len(numbers) - 1) // 2)
    table = measured_table(
        among(len(numbers), read, columns_kept(len(study))),
        {"dim_x": numbers, "dim_y": numbers},
        study.groups,
        settings,
        strict=True,
        progress=progress,
    )
    provenance = study.provenance("pairwise mutual information", **asdict(settings), dims=numbers)
    return PairwiseResult(table, provenance)
