"""Mutual information of two variables, and of all pairs of latents and labels, in nats.

First the results, tables that say themselves in words; then the public functions; then how one pair
is measured, with its error bar and p-value; then the one loop over many pairs, on all threads, with
few columns at a time in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from itertools import chain, islice
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import LabelsLike, aligned
from latentscope.diagnostics.mi.columns import (
    CLIP_SIGMA,
    TIED_SHARE,
    Column,
    Discrete,
    LabelSummary,
    Names,
    Seed,
    check_columns,
    choose_labels,
    is_text,
    listed,
    notes_of,
    own_rng,
    read_column,
    read_dim,
    read_label,
    summary_of,
    whole_seed,
)
from latentscope.diagnostics.mi.conditional import CONDITIONAL, Recipe, measured_given
from latentscope.diagnostics.mi.estimators import (
    AUTO,
    ESTIMATORS,
    Estimate,
    Estimator,
    RankTest,
    check_estimator,
    check_takes_several,
    choose,
    joint_value,
    kinds_of,
    of_other_scale,
    rank_test,
    without_single,
)
from latentscope.diagnostics.mi.nulls import (
    Items,
    Null,
    group_p_value,
    null_of,
    ranks_of,
    sizes_of,
)
from latentscope.diagnostics.study import (
    Dims,
    Draws,
    Groups,
    GroupsLike,
    Result,
    StudyLike,
    identical_rows,
    observed,
    read_study,
)
from latentscope.errors import ChoiceError, EstimatorError, shortened, warn
from latentscope.labels import Missing
from latentscope.tables import without_mask
from latentscope.workers import Progress, counted, on_cluster, pairs_in_order, threads_for

Normalization = Literal["maximum", "correlation", "entropy"]

SIGNIFICANT = 0.05
"""False discovery rate below which a pair is called significant."""

_DECIMALS = (2, 4)


class _Sentences(Result, ABC):
    """What tables of pairs have in common."""

    @property
    def significant(self) -> pd.DataFrame:
        """Rows of the table with q below 0.05, strongest first."""
        return _strongest(self.table[self.table["q_value"] < SIGNIFICANT])

    def sentences(self, count: int = 10, *, significant: bool = False) -> list[str]:
        """Return the strongest pairs as lines a person can read.

        Such as "dim 3: radvel 4.10 ± 0.02 nats, p < 0.001, n = 4,090", or "dims 3 and 7: ...".

        Parameters
        ----------
        count : int
            Lines at most.
        significant : bool
            Whether only pairs with q below 0.05 count.
        """
        rows = self.significant if significant else _strongest(self.table)
        return [
            f"{self._pair_text(row)} {_value_text(row)}"
            for row in rows.head(count).to_dict("records")
        ]

    @abstractmethod
    def _pair_text(self, row: dict[Any, Any]) -> str:
        """Name the pair of a row."""


@dataclass(frozen=True, eq=False, repr=False)
class MIResult(_Sentences):
    """Mutual information of latent dimensions with labels, in nats.

    Parameters
    ----------
    table : DataFrame
        One row per pair: `label, dim, mi_nats, std_nats, p_value, q_value, n, n_groups, estimator,
        reason`; with conditions `given` after `dim`. `mi_nats` is signed. `std_nats` is the
        sampling error (68 %). `p_value` is that of independence, `q_value` the false discovery
        rate over the table; both are NaN for a constant column, whose value is 0. Of a pair with
        too few rows or groups all are NaN. `n_groups` is the number of independent rows: groups
        where they were given, else n.
    notes : tuple of str
        What was done to the labels, in words: left out, short of values, treated as classes.
    entropies : dict
        Entropy of each label's classes in nats, NaN of a continuous label.
    """

    drawn_by = "plot_mi"

    table: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()
    entropies: dict[str, float] = field(default_factory=dict)

    @property
    def given(self) -> list[str]:
        """Labels that are known: values are what is shared beyond these."""
        return list(self.provenance.get("given", ()))

    @property
    def labels(self) -> list[str]:
        """Labels, in their order in the table."""
        return list(dict.fromkeys(self.table["label"]))

    @property
    def dims(self) -> list[int]:
        """Latent dimensions, ascending."""
        return sorted({int(dim) for dim in self.table["dim"]})

    @property
    def matrix(self) -> pd.DataFrame:
        """Mutual information in nats, labels x dims."""
        return self.pivot("mi_nats")

    def pivot(self, column: str) -> pd.DataFrame:
        """Return a column of the table as labels x dims."""
        return self.table.pivot(index="label", columns="dim", values=column).loc[
            self.labels, self.dims
        ]

    def normalized(self, kind: Normalization) -> pd.DataFrame:
        """Return the matrix on another scale, labels x dims.

        Parameters
        ----------
        kind : {"maximum", "correlation", "entropy"}
            "maximum": divided by the largest value of the label over the dimensions, as the
            indicator of Sedaghat et al. 2021, section 6.2; 1 marks the dimension that tells most,
            whatever that is. NaN for a label of which no value is above 0. "correlation":
            sqrt(1 - exp(-2 MI)), which is |r| of the Gaussian pair with this mutual information;
            a value below 0 gives 0. "entropy": divided by the entropy of the label's classes, the
            share of it that the dimension tells; NaN for a continuous label, and for one class.

        Raises
        ------
        ChoiceError
            If `kind` is another.
        """
        matrix = self.matrix
        if kind == "maximum":
            largest = matrix.max(axis=1)
            return matrix.div(largest.where(largest > 0), axis=0)
        if kind == "correlation":
            share = -np.expm1(-2 * matrix.clip(lower=0).to_numpy(dtype=np.float64))
            return pd.DataFrame(np.sqrt(share), index=matrix.index, columns=matrix.columns)
        if kind == "entropy":
            entropy = pd.Series(self.entropies, dtype=np.float64).reindex(matrix.index)
            return matrix.div(entropy.where(entropy > 0), axis=0)
        raise ChoiceError(f"kind is {kind!r}; expected one of {', '.join(get_args(Normalization))}")

    @property
    def best(self) -> pd.DataFrame:
        """The strongest dimension of each label: those rows of the table, strongest first."""
        measured = self.table[self.table["mi_nats"].notna()]
        rows = measured.groupby("label", sort=False)["mi_nats"].idxmax()
        return self.table.loc[rows].sort_values("mi_nats", ascending=False)

    def _pair_text(self, row: dict[Any, Any]) -> str:
        known = f" given {row['given']}" if row.get("given") else ""
        return f"dim {row['dim']}: {row['label']}{known}"


@dataclass(frozen=True, eq=False, repr=False)
class PairwiseResult(_Sentences):
    """Mutual information of latent dimensions with one another, in nats.

    Parameters
    ----------
    table : DataFrame
        One row per pair, dim_x below dim_y: `dim_x, dim_y`, and the rest as in `MIResult`.
    notes : tuple of str
        Which rows show one star, and which dimensions were left out, in words.
    """

    drawn_by = "plot_pairwise"

    table: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def dims(self) -> list[int]:
        """Latent dimensions, ascending."""
        return sorted({int(dim) for dim in (*self.table["dim_x"], *self.table["dim_y"])})

    @property
    def matrix(self) -> pd.DataFrame:
        """Mutual information in nats, dims x dims, symmetric.

        The diagonal is NaN: what a continuous column shares with itself has no upper limit.
        """
        return self.pivot("mi_nats")

    def pivot(self, column: str) -> pd.DataFrame:
        """Return a column of the table as dims x dims, symmetric, NaN on the diagonal."""
        above = self.table.pivot(index="dim_x", columns="dim_y", values=column)
        above = above.reindex(index=self.dims, columns=self.dims).astype(np.float64)
        filled = above.fillna(above.T)
        return filled.rename_axis(index="dim", columns="dim")

    def _pair_text(self, row: dict[Any, Any]) -> str:
        return f"dims {row['dim_x']} and {row['dim_y']}:"


def _strongest(table: pd.DataFrame) -> pd.DataFrame:
    measured = table.dropna(subset="mi_nats")
    return measured.sort_values("mi_nats", ascending=False, kind="stable")


def _value_text(row: dict[Any, Any]) -> str:
    groups = f", {row['n_groups']:,} groups" if row["n_groups"] < row["n"] else ""
    decimals = decimals_of(row["std_nats"])
    return (
        f"{row['mi_nats']:.{decimals}f} ± {row['std_nats']:.{decimals}f} nats, "
        f"{p_text(row['p_value'])}, n = {row['n']:,}{groups}"
    )


def decimals_of(std_nats: float) -> int:
    """Decimals of a value in nats that show one digit of its error, 2 to 4."""
    return int(np.clip(np.ceil(-np.log10(max(std_nats, 1e-9))), *_DECIMALS))


def p_text(p_value: float) -> str:
    """Return a p-value in words: "p < 0.001", "p < 0.01", "p = 0.23"; "no p-value" of NaN."""
    if np.isnan(p_value):
        return "no p-value"
    for limit in (0.001, 0.01):
        if p_value < limit:
            return f"p < {limit}"
    return f"p = {p_value:.2g}"


Read = Callable[[int], Column]
Place = tuple[int, int]
PairOfColumns = tuple[Place, Column, Column]

_ABOVE = "above the logarithm"
"""Begins the `reason` of a value that no sample of that size can show."""

_SCALES = "scales too different"
"""Begins the `reason` of columns whose nearest neighbors follow one column alone."""

_FEWEST_GIVEN = 16  # rows from which something can be said beyond conditions

_TESTED_DRAWS = 3
"""Draws of one row per group in each shuffle; the cost grows with them."""


def mutual_information(
    x: ArrayLike,
    y: ArrayLike,
    *,
    discrete: Discrete = "auto",
    neighbors: int = 3,
    estimator: str = "auto",
    given: ArrayLike | None = None,
    seed: Seed = 0,
) -> float:
    """Mutual information of x and y in nats, signed: an estimate of 0 may come out below 0.

    Parameters
    ----------
    x, y : array, shape (n,) or (n, d)
        Samples, row by row, or matched by the indexes of Series or DataFrames. NaN and masked
        values (and None or empty text among classes) drop the row.
    discrete : bool or "auto"
        True: y are classes; False: both are numbers.
        "auto" takes text, booleans and numbers of few values (5 with 10 rows each, 50 with 50) for
        classes.
    neighbors : int
        k of nearest-neighbor estimators; the estimator "auto" takes more where rows are few.
    estimator : str
        "auto" takes "copula", "ross" or "plugin" by what x and y are, and extrapolates strong
        relations to no neighbors. "copula": KSG (Kraskov et al. 2004, algorithm 1) of ranks, ties
        broken at random. "ksg": KSG of the values themselves, which should be of one scale.
        "ross": Ross 2014, y discrete. "plugin": both discrete, Miller's correction. "mixture": Gao
        et al. 2017. "histogram": 40 equal bins. "gmm": mixtures of Gaussians. "npeet": NPEET, if
        installed.
    given : array, shape (n,) or (n, d), optional
        Conditions: the value is then I(x; y | given), what x and y share once these are known.
        x and y have shape (n,), and the estimator is auto, copula, ksg or mixture.
    seed : int or Generator
        Seed of the order of ties and of the jitter of ranks.

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
    TableError
        If x and y have different indexes that do not match.

    Warns
    -----
    LatentscopeWarning
        If x or y is constant, which gives 0; rows are matched by their indexes, or are copies of
        others; more is found than so many rows can show; or the estimator misses what columns of
        such different scales share.

    Examples
    --------
    >>> import numpy as np
    >>> x, noise = np.random.default_rng(0).normal(size=(2, 2000))
    >>> round(mutual_information(x, x + noise), 1)  # the truth is log(2) / 2
    0.3
    >>> abs(mutual_information(x, x + noise, given=noise + x)) < 0.05
    True
    """
    seed = whole_seed(seed)
    check_estimator(estimator)
    settings = Settings(estimator=estimator, neighbors=neighbors, seed=seed)
    x, y, given = _together(x, y, given)
    first, second = _samples("x", x), _samples("y", y)
    if len(first) != len(second):
        raise EstimatorError(
            f"x has {len(first)} rows and y has {len(second)}; expected as many of each"
        )
    kind_of_x, kind_of_y = kinds_of(estimator)
    names = ["x", "y"]
    if discrete is not True and kind_of_x == kind_of_y and first.ndim == second.ndim:
        # In an order of their own, so that ties are broken alike whichever comes first.
        keys = [_order_key(array, _LOOKED_AT) for array in (first, second)]
        if keys[0] == keys[1]:
            keys = [_order_key(array, len(array)) for array in (first, second)]
        if keys[0] > keys[1]:
            first, second, names = second, first, names[::-1]
    kind_of_y = discrete if kind_of_y == "auto" else kind_of_y
    kind_of_x = False if discrete is False else kind_of_x
    single = first.ndim == second.ndim == 1
    if single:
        columns = (
            read_column(names[0], first, discrete=kind_of_x, stream=(seed, 0)),
            read_column(names[1], second, discrete=kind_of_y, stream=(seed, 1)),
        )
    if given is not None:
        _check_conditional(estimator)
        conditions = _samples("given", given)
        if len(conditions) != len(first) or not single:
            raise EstimatorError(
                f"x, y and given have shapes {first.shape}, {second.shape} and {conditions.shape}; "
                "expected (n,), (n,) and (n,) or (n, d)"
            )
        known = _columns("given", conditions, kind_of_x, (seed, 2))
        _warn_of_scales([*columns, *known], settings)
        return measure(*columns, None, replace(settings, n_permutations=1), given=known).mi_nats
    if single:
        value = value_of(*columns, settings)
        _warn_of_copies(columns, value)
        return value
    check_takes_several(estimator)
    if second.ndim == 2 and kind_of_y is True:
        raise EstimatorError(
            f"y has shape {second.shape} and is treated as classes; expected one class per row, "
            "(n,): number the combinations of its columns"
        )
    several = (
        _columns(names[0], first, False, (seed, 0)),
        _columns(names[1], second, kind_of_y if second.ndim == 1 else False, (seed, 1)),
    )
    _warn_of_scales([*several[0], *several[1]], settings)
    value = joint_value(*several, estimator, neighbors)
    _warn_of_copies([*several[0], *several[1]], value)
    return value


def _together(x: Any, y: Any, given: Any) -> tuple[Any, Any, Any]:
    """Bring rows of x, y and conditions together by their indexes, where these differ."""
    x, y = aligned(x, y, ("x", "y"))
    if given is None or np.shape(x)[:1] != np.shape(y)[:1]:
        return x, y, given
    for name in ("x", "y"):
        side = x if name == "x" else y
        if not isinstance(side, pd.Series | pd.DataFrame):
            continue
        places = pd.Series(np.arange(len(side)), index=side.index)
        rows, given = aligned(places, given, (name, "given"))
        if len(rows) < len(side):
            x, y = (
                each.iloc[rows] if hasattr(each, "iloc") else without_mask(each)[rows]
                for each in (x, y)
            )
    return x, y, given


def _order_key(array: NDArray[np.generic], rows: int) -> bytes:
    """Return a sort key for arrays that monotonic maps of their columns do not change."""
    found = b""
    for column in array[:rows].reshape(len(array[:rows]), -1).T:
        codes = pd.factorize(column.astype(str) if column.dtype == object else column, sort=True)[0]
        reverse = np.where(codes < 0, codes, codes.max(initial=0) - codes)
        found += min(codes.tobytes(), reverse.tobytes())
    return found


_LOOKED_AT = 256  # rows, whose order tells nearly all pairs apart


def _samples(name: str, values: ArrayLike) -> NDArray[np.generic]:
    array = without_mask(values)
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
    discrete: bool | Names | None = None,
    numeric: Names | None = None,
    given: Names | None = None,
    groups: GroupsLike = "auto",
    join: str | None = None,
    missing: Missing = "auto",
    n_draws: int = 11,
    n_permutations: int = 199,
    seed: Seed = 0,
    progress: Progress | None = None,
    dask: Any = None,
) -> MIResult:
    """Mutual information of latent dimensions with labels, in nats, with errors and significance.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Rows of NaN are left out. A `Study` has labels, groups and join of its own.
    labels : DataFrame, array (n, labels) or path, optional
        Joined on an id column that both have, else row by row. A missing label leaves the row out
        for that label. By default how the spectra were observed, as the latents' table has it:
        instrument, mode, program, mjd, exptime, airmass, berv, snr.
    dims : "all", "informative" or a list of int
        "informative": those whose median absolute deviation exceeds the threshold of the model
        that made the latents, else 0.02.
    columns : list of str, optional
        Labels to take; by default all but ids, names of stars, and text that names nearly each
        row.
    estimator : str
        As for `mutual_information`; "auto" looks at each pair.
    neighbors : int
        k of the nearest-neighbor estimators.
    clip_sigma : float, optional
        Leave out rows whose continuous label lies further than so many standard deviations from
        its median, again until none does, at most five times, as published; None keeps them.
    discrete : bool or list of str, optional
        Labels to treat as classes. True: all of them; False: none but text, and dimensions are
        numbers too. By default text, booleans and numbers of few
        values (5 with 10 rows each, 50 with 50).
    numeric : list of str, optional
        Labels to take for numbers, however few values they have.
    given : list of str, optional
        Labels that are known: values are what a dimension and a label share beyond these,
        I(dim; label | given), with estimator auto, copula, ksg or mixture. The null moves a
        dimension among the eight rows nearest in these, 40 times at most.
    groups : array (n,) or str, optional
        Which star each row shows, or the column that says so: the sidecar's, filled from the label
        table's of that name. Rows of a star are not independent: the value is then the median over
        draws of one random row per star, the error bar includes their spread, and the null shuffles
        whole stars. "auto": `star`, else `object`, if rows repeat it; None or "none": rows are
        independent.
    join : str, optional
        Column to join latents and labels on.
    missing : "auto", "none" or list of numbers
        Values of labels that stand for missing ones, such as -999, and are left out. "auto":
        such as nines, -1 among positive values, 0 and limits of integers, where they are far from
        all others and yet the same in many rows; the notes say which.
    n_draws : int
        Draws of one row per group.
    n_permutations : int
        Shuffles of groups at most.
    seed : int or Generator
        Seed of ties, jitter, draws and shuffles.
    progress : callable, optional
        Called with (pairs done, pairs in all).
    dask : str or distributed.Client, optional
        Address of the scheduler of a Dask cluster that measures the pairs, or its client; "local":
        one process for each core here. The numbers are the same.

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
        If rows repeat a star and no groups are found, rows have no name in `groups`, values of
        labels stand for missing ones, columns are constant, or pairs have too few rows or groups,
        which makes them NaN.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> labels = pd.DataFrame({"Teff": 5500 + 500 * z[:, 1]})
    >>> result = mi_matrix(z, labels)
    >>> result.best[["label", "dim"]].to_numpy().tolist()
    [['Teff', 1]]
    >>> print(mi_matrix(z, labels, columns="Teff", dims=0).sentences()[0])  # doctest: +ELLIPSIS
    dim 0: Teff ... nats, p = ..., n = 500
    """
    seed = whole_seed(seed)
    check_estimator(estimator)
    settings = Settings(estimator, neighbors, n_draws, n_permutations, seed)
    study = read_study(
        latents,
        labels,
        groups=groups,
        join=join,
        missing=missing,
        discrete=discrete,
        numeric=numeric,
    )
    if study.labels is None:
        study = observed(study, discrete, numeric)
    frame, numbers = study.label_table, study.choose(dims)
    kind_of_latents, kind_of_labels = kinds_of(estimator)
    kind_of_latents = False if discrete is False else kind_of_latents
    names, notes = choose_labels(frame, columns, study.group_column)
    known = listed(given)
    if known:
        _check_conditional(estimator)
        check_columns(frame, known)
        names = [name for name in names if name not in known]
        if not names:
            raise EstimatorError(f"every label is given ({', '.join(known)}); expected another")
    if columns is None and kind_of_labels is False:
        names, notes = _of_numbers(frame, names, notes, estimator)

    def label(name: str) -> Column:
        kind = study.kinds.get(name, kind_of_labels)
        return read_label(name, frame[name], discrete=kind, clip_sigma=clip_sigma, seed=seed)

    # Each label is looked at before any is measured. The first few stay in memory for their turn;
    # the others are read again.
    kept = columns_kept(len(study))
    ready: dict[str, Column] = {}
    summaries, tied = [], set()
    for name in names:
        column = label(name)
        summaries.append(summary_of(column, study.latents.ok))
        if summaries[-1].many_tied and _biased_by_ties(column, estimator):
            tied.add(name)
        if len(ready) < kept:
            ready[name] = column
    del column
    summaries, sparse = _with_rows(summaries, neighbors, strict=columns is not None)
    names = [each.name for each in summaries]
    _warn_of_ties([name for name in names if name in tied], estimator)

    def read_y(place: int) -> Column:
        name = names[place]
        return ready.pop(name) if name in ready else label(name)

    def read_x(place: int) -> Column:
        return read_dim(study.latents, numbers[place], discrete=kind_of_latents, seed=seed)

    settings = replace(settings, pairs=len(names) * len(numbers))
    with on_cluster(dask):
        table = measured_table(
            across(len(numbers), read_x, len(names), read_y, kept),
            {"label": names, "dim": numbers},
            study.groups,
            settings,
            strict=columns is not None,
            progress=progress,
            given=[label(name) for name in known],
        )
    provenance = study.provenance(
        "mutual information",
        given=known,
        **asdict(settings),
        dims=numbers,
        columns=names,
        clip_sigma=clip_sigma,
    )
    left_out = study.left_out_of(dims)
    notes = [
        *study.notes,
        *left_out,
        *notes,
        *sparse,
        *notes_of(summaries, clip_sigma),
        *_above(table),
    ]
    entropies = {each.name: each.entropy for each in summaries}
    return MIResult(table, provenance, tuple(notes), entropies)


def _of_numbers(
    frame: pd.DataFrame, names: list[str], notes: list[str], estimator: str
) -> tuple[list[str], list[str]]:
    """Leave out text labels, which the estimator asked for cannot take."""
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
    notes = []
    if sparse:
        names = shortened(f"{label.name} ({label.rows})" for label in sparse)
        notes = [f"left out, too few rows: {names}"]
        warn(
            f"left out, since {neighbors + 1} rows with the label and a latent are needed "
            f"(neighbors={neighbors}): {names}"
        )
    kept = [label for label in labels if label not in sparse]
    if not kept:
        raise EstimatorError(f"no label has more than {neighbors} rows with finite latents")
    return kept, notes


def pairwise_mi(
    latents: StudyLike,
    *,
    dims: Dims = "all",
    estimator: str = "auto",
    neighbors: int = 3,
    discrete: Discrete = "auto",
    groups: GroupsLike = "auto",
    n_draws: int = 11,
    n_permutations: int = 199,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> PairwiseResult:
    """Mutual information of latent dimensions with one another, in nats, with errors.

    What two dimensions share, in a relation of any shape: 0 if they are independent, as those of a
    disentangled network are.

    Parameters
    ----------
    latents, dims, estimator, neighbors, groups, n_draws, n_permutations, seed, progress
        As those of `mi_matrix`.
    discrete : bool or "auto"
        Whether dimensions hold classes; "auto": those of few values do.

    Raises
    ------
    ChoiceError, EstimatorError, TableError
        As `mi_matrix`; EstimatorError also for fewer than two dimensions.

    Warns
    -----
    LatentscopeWarning
        If rows repeat a star and no groups are found, or dimensions are constant.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> result = pairwise_mi(np.column_stack([z, z.sum(axis=1)]))
    >>> result.significant[["dim_x", "dim_y"]].to_numpy().tolist()
    [[0, 2], [1, 2]]
    """
    seed = whole_seed(seed)
    check_estimator(estimator)
    settings = Settings(estimator, neighbors, n_draws, n_permutations, seed)
    study = read_study(latents, groups=groups)
    numbers, kind = study.choose(dims), kinds_of(estimator)[0]
    kind = kind if discrete == "auto" else discrete
    if len(numbers) < 2:
        raise EstimatorError(
            f"{study.latents.source}: {len(numbers)} dimension to compare; expected two or more"
        )

    def read(place: int) -> Column:
        return read_dim(study.latents, numbers[place], discrete=kind, seed=seed)

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
    return PairwiseResult(table, provenance, (*study.notes, *study.left_out_of(dims)))


# One pair.


@dataclass(frozen=True)
class Settings:
    """How pairs are measured: parameters of `mi_matrix`."""

    estimator: str = "auto"
    neighbors: int = 3
    n_draws: int = 11
    n_permutations: int = 199
    seed: int = 0
    pairs: int = 1  # in the whole table, on which depends how fine p-values are

    def __post_init__(self) -> None:
        least = {"neighbors": 1, "n_draws": 1, "n_permutations": 1, "seed": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < lowest:
                raise EstimatorError(
                    f"{name} is {value!r}; expected a whole number, {lowest} or more"
                )


@dataclass(frozen=True)
class PairResult:
    """What is measured of one pair; `mi_nats` signed, `std_nats` its sampling error.

    A constant column gives 0 without a p-value (NaN); too few rows or groups give NaN throughout.
    """

    mi_nats: float
    std_nats: float
    p_value: float
    n: int
    n_groups: int
    estimator: str
    reason: str


_Found = tuple[float, float, float, list[str]]
"""Value, its error, the p-value, and how it was found, in words."""


@dataclass(frozen=True)
class _Pair:
    """The rows that two columns share, what measures them, and what tests them."""

    x: Column
    y: Column
    keep: NDArray[np.bool_]  # which rows of the whole columns these are
    estimator: Estimator
    test: RankTest
    reason: str
    given: tuple[Column, ...] = ()

    @property
    def constant(self) -> str:
        """Names of the columns that do not vary on these rows."""
        return " and ".join(column.name for column in (self.x, self.y) if column.constant)


def _pair(x: Column, y: Column, name: str, given: Sequence[Column] = ()) -> _Pair:
    if given:
        columns = (x, y, *given)
        keep = np.logical_and.reduce([column.valid for column in columns])
        classes = [column.codes[keep] for column in columns if column.codes is not None]
        if 0 < len(classes) < len(columns):
            # A row alone in its class has no neighbor there.
            together = np.unique(np.stack(classes), axis=1, return_inverse=True)[1]
            keep[keep] = without_single(together.ravel())
        known = ", ".join(column.name for column in given)
        notes = [column.note for column in columns if column.note]
        reason, estimator = "; ".join([f"given {known}", *notes]), ESTIMATORS.get(name, AUTO[0])
    else:
        estimator, x, y, reason = choose(x, y, name)
        keep = x.valid if y.complete else x.valid & y.valid
        codes = x.codes if x.discrete else y.codes
        if codes is not None and x.discrete != y.discrete:
            rows = np.flatnonzero(keep)
            keep = keep.copy()
            keep[rows] = without_single(codes[rows])
    parts = tuple(column.part(keep) for column in given)
    return _Pair(x.part(keep), y.part(keep), keep, estimator, rank_test(x, y), reason, parts)


def value_of(x: Column, y: Column, settings: Settings) -> float:
    """Mutual information of two columns in nats, signed, without error bar and p-value."""
    pair = _pair(x, y, settings.estimator)
    problem = _problem(pair, len(pair.x), "row", settings)
    if problem:
        raise EstimatorError(problem)
    name = settings.estimator
    _warn_of_ties([column.name for column in (x, y) if _biased_by_ties(column, name)], name)
    if pair.constant:
        warn(f"{pair.constant} constant: mutual information 0")
        return 0.0
    _warn_of_scales([pair.x, pair.y], settings)
    return pair.estimator.estimate(pair.x, pair.y, settings.neighbors, settings.seed).value


def _warn_of_scales(columns: list[Column], settings: Settings) -> None:
    name = settings.estimator
    unlike = name != "auto" and ESTIMATORS[name].one_scale
    found = of_other_scale(columns, settings.neighbors) if unlike else ""
    if found:
        warn(
            f"{found}, and {name} takes values as they are, so that it may miss what they share; "
            "scale them, or choose copula"
        )


def _warn_of_copies(columns: Sequence[Column], value: float) -> None:
    """Warn where rows of values repeat, or more is found than so many rows can show."""
    valid, copies = np.logical_and.reduce([column.valid for column in columns]), None
    numbers = [column.values for column in columns if column.n_tied and column.values is not None]
    if len(numbers) == len(columns):
        copies = identical_rows(np.stack(numbers, axis=1), valid)
    n = int(np.count_nonzero(valid))
    if copies is not None:
        warn(
            f"{n - copies.count(valid):,} of {n:,} rows are copies of another, which mutual "
            "information takes for a relation; leave them out"
        )
    elif value > np.log(n):
        warn(
            f"{value:.2f} nats are more than {n:,} rows can show (ln n = {np.log(n):.2f}): rows "
            "are copies of others, or one variable is made of the other"
        )


def _biased_by_ties(column: Column, estimator: str) -> bool:
    if estimator == "mixture":  # which bears values that repeat, but not steps
        return column.rounded
    tied = column.n_tied > TIED_SHARE * len(column.order)
    return tied and estimator in ("ksg", "npeet")


def _warn_of_ties(tied: Sequence[str], estimator: str) -> None:
    """Warn of ties that bias an estimator of the values themselves."""
    if tied:
        warn(
            f"many values of {shortened(tied)} are tied, which biases {estimator}; copula breaks "
            "ties at random"
        )


def measure(
    x: Column,
    y: Column,
    groups: Groups | None,
    settings: Settings,
    *,
    strict: bool = True,
    given: Sequence[Column] = (),
) -> PairResult:
    """Measure one pair of columns on the rows that both have, and those that are given.

    Too few rows or groups give NaN and a reason, or are an error if `strict`.
    """
    pair = _pair(x, y, settings.estimator, given)
    n, name = len(pair.x), pair.estimator.name
    if given:
        name = "mesner-shalizi" if name == "mixture" else "frenzel-pompe"
    n_groups = n if groups is None else groups.count(pair.keep)

    def result(value: float, std: float, p_value: float, reason: str) -> PairResult:
        return PairResult(value, std, p_value, n, n_groups, name, reason)

    problem = _problem(pair, n_groups, "row" if groups is None else "group", settings)
    if problem and strict:
        raise EstimatorError(problem)
    if problem:
        return result(np.nan, np.nan, np.nan, problem)
    if pair.constant:
        return result(0.0, 0.0, np.nan, f"constant: {pair.constant}")
    draws = None
    if groups is not None and n_groups < n:
        rng = own_rng(settings.seed, 2)
        draws = groups.draws(pair.keep, settings.n_draws, rng)
    try:
        if given:
            value, std, p_value, how = _of_given(pair, draws, settings)
        elif draws is None:
            value, std, p_value, how = _of_rows(pair, settings)
        else:
            value, std, p_value, how = _of_groups(pair, draws, settings, rng)
    except EstimatorError as error:
        if strict:
            raise EstimatorError(f"{x.name} and {y.name}: {error}") from error
        return result(np.nan, np.nan, np.nan, str(error))
    if value > np.log(n_groups) and not given:
        how = [*how, f"{_ABOVE} of {n_groups:,} rows"]
    if pair.estimator.one_scale:
        scales = of_other_scale([pair.x, pair.y, *pair.given], settings.neighbors)
        how = [*how, f"{_SCALES}: {scales}"] if scales else how
    return result(value, std, p_value, "; ".join([pair.reason, *how]))


def _check_conditional(estimator: str) -> None:
    if estimator not in CONDITIONAL:
        raise ChoiceError(
            f"{estimator} takes no conditions (given); expected one of {', '.join(CONDITIONAL)}"
        )


def _problem(pair: _Pair, count: int, unit: str, settings: Settings) -> str:
    """Say why a pair cannot be measured on so many rows or groups; empty if it can."""
    names = f"{pair.x.name} and {pair.y.name}"
    if pair.given and count <= max(settings.neighbors, _FEWEST_GIVEN):
        known = ", ".join(column.name for column in pair.given)
        classes = any(column.discrete for column in (pair.x, pair.y, *pair.given))
        shared = ", and share their classes with another" if classes else ""
        return (
            f"{names} given {known}: {count} rows or groups have all{shared}; expected more than "
            f"{max(settings.neighbors, _FEWEST_GIVEN)}"
        )
    if count <= settings.neighbors:
        one_of_classes = pair.x.discrete != pair.y.discrete
        shared = " and share their class with another" if one_of_classes else ""
        return (
            f"{names}: {count} {unit}s have both{shared}; expected more than "
            f"neighbors={settings.neighbors}"
        )
    for column in (pair.x, pair.y):
        # Nothing repeats within a class then, whatever the other column says.
        if column.codes is not None and column.codes.max(initial=-1) + 1 >= count:
            return f"{column.name} has a class for every {unit}; expected several in a class"
    return ""


def _of_rows(pair: _Pair, settings: Settings) -> _Found:
    x, y, n = pair.x, pair.y, len(pair.x)
    k = pair.estimator.neighbors_for(x, y, settings.neighbors)
    found = pair.estimator.estimate(x, y, settings.neighbors, settings.seed)
    by_ranks = found.by_ranks
    if by_ranks is None:
        by_ranks = pair.test.estimate(x, y, k).value
    null = null_of(pair.test, sizes_of(x), sizes_of(y), k, settings.pairs)
    std = float(np.sqrt(_variance(found, null, n)))
    return found.value, std, null.p_value(by_ranks, n), _what_auto_did([found])


def _of_groups(pair: _Pair, draws: Draws, settings: Settings, rng: np.random.Generator) -> _Found:
    number = np.cumsum(pair.keep) - 1  # of each row among those that are kept
    drawn = [(pair.x.take(keep), pair.y.take(keep)) for keep in _masks(pair, draws)]
    x, y = drawn[0]
    k = pair.estimator.neighbors_for(x, y, settings.neighbors)
    null = null_of(pair.test, sizes_of(x), sizes_of(y), k, settings.pairs)
    found = [pair.estimator.estimate(*each, settings.neighbors, settings.seed) for each in drawn]

    def show(column: Column, rows: Items) -> Items:
        items: Items = column.items[number[rows]]
        return items if column.discrete else ranks_of(items)

    p_value = group_p_value(
        pair.test,
        lambda rows: show(pair.x, rows),
        lambda rows: show(pair.y, rows),
        replace(draws, lots=draws.lots[:_TESTED_DRAWS]),
        k,
        null=null,
        n_permutations=settings.n_permutations,
        rng=rng,
    )
    values = [each.value for each in found]
    within = [_variance(each, null, len(x)) for each in found]
    std = float(np.sqrt(np.mean(within) + np.var(values)))
    return float(np.median(values)), std, p_value, _what_auto_did(found)


def _of_given(pair: _Pair, draws: Draws | None, settings: Settings) -> _Found:
    masks = [np.ones(len(pair.x), dtype=bool)] if draws is None else _masks(pair, draws)
    # Ranks of a constant would be noise.
    given = [column for column in pair.given if not column.constant]
    drawn = [
        (pair.x.take(keep), pair.y.take(keep), [column.take(keep) for column in given])
        for keep in masks
    ]
    recipe = Recipe(settings.estimator, settings.neighbors)
    found = measured_given(drawn, recipe, settings.n_permutations, settings.seed)
    return found.value, found.std, found.p_value, _of_neighbors([found.k])


def _masks(pair: _Pair, draws: Draws) -> list[NDArray[np.bool_]]:
    """Rows of the pair that each draw takes."""
    masks = np.zeros((len(draws.lots), len(pair.keep)), dtype=bool)
    np.put_along_axis(masks, draws.rows, True, axis=1)
    return list(masks[:, pair.keep])


def _variance(found: Estimate, null: Null, n: int) -> float:
    return found.variance + (0.0 if found.complete else null.excess / n)


def _above(table: pd.DataFrame) -> list[str]:
    """Name the pairs that are above what their rows can show."""
    rows = table[table["reason"].str.contains(_ABOVE, regex=False)].to_dict("records")
    if not rows:
        return []
    pairs = [f"{row['label']} and dim {row['dim']} ({row['mi_nats']:.2f})" for row in rows]
    limit = np.log(max(row["n_groups"] for row in rows))
    return [
        f"above ln n = {limit:.2f}, more than n rows can show (are rows copied, or is one column "
        f"made of the other?): {shortened(pairs)}"
    ]


def _what_auto_did(estimates: Sequence[Estimate]) -> list[str]:
    return _of_neighbors([each.neighbors for each in estimates if each.neighbors is not None])


def _of_neighbors(found: Sequence[int]) -> list[str]:
    """Say with how many neighbors values were found; 0 stands for an extrapolation to none."""
    ks = sorted(set(found))
    words = [f"k = {' '.join(f'{k}' for k in ks if k)}"] if any(ks) else []
    words += ["extrapolated to no neighbors"] if 0 in ks else []
    return [", ".join(words)] if words else []


# Many pairs, with few columns at a time in memory.


def columns_kept(rows: int) -> int:
    """Columns of so many rows to keep at a time: 250 MB, at 64 bytes per row."""
    return max(4, int(250e6 / (64 * max(rows, 1))))


def across(n_x: int, read_x: Read, n_y: int, read_y: Read, kept: int) -> Iterator[PairOfColumns]:
    """Pair every x with every y: `kept` columns y stay, while the columns x pass by.

    The place of a pair is (of y, of x).
    """
    for first in range(0, n_y, kept):
        beside = {i: read_y(i) for i in range(first, min(first + kept, n_y))}
        for j in range(n_x):
            x = read_x(j)
            yield from (((i, j), x, y) for i, y in beside.items())


def among(count: int, read: Read, kept: int) -> Iterator[PairOfColumns]:
    """Pair every column with every later one, `kept` of which stay, while the later pass by."""
    for first in range(0, count - 1, kept):
        beside = {i: read(i) for i in range(first, min(first + kept, count))}
        for j in range(first + 1, count):
            y = beside[j] if j in beside else read(j)
            yield from (((i, j), x, y) for i, x in beside.items() if i < j)


def measured_table(
    pairs: Iterable[PairOfColumns],
    names: dict[str, Sequence[Any]],
    groups: Groups | None,
    settings: Settings,
    *,
    strict: bool,
    progress: Progress | None,
    given: Sequence[Column] = (),
) -> pd.DataFrame:
    """Measure `settings.pairs` pairs of `across` or `among`, and make the tidy table of them.

    `names` has the title, and the names by place, of either side of a pair's place.
    """
    work = _Measuring(groups, settings, strict, given)
    results: list[tuple[Place, PairResult]] = []
    with closing(pairs_in_order(work, _batches(pairs), threads_for(settings.pairs))) as found:
        try:
            for result in counted(chain.from_iterable(found), settings.pairs, progress):
                results.append(result)
        finally:
            work.ended = True
    table = _tidy(results, names)
    if given:
        table.insert(2, "given", ", ".join(column.name for column in given))
    _check_measured(table, next(iter(names)))
    return table


@dataclass
class _Measuring:
    """Measures each batch of pairs, here or on another machine, until it has `ended`."""

    groups: Groups | None
    settings: Settings
    strict: bool
    given: Sequence[Column]
    ended: bool = False

    def __call__(self, batch: list[PairOfColumns]) -> list[tuple[Place, PairResult]]:
        measured = partial(measure, strict=self.strict, given=self.given)
        return [
            (place, measured(x, y, self.groups, self.settings))
            for place, x, y in batch
            if not self.ended
        ]


def _batches(pairs: Iterable[PairOfColumns]) -> Iterator[list[PairOfColumns]]:
    """Batch pairs of few rows, so that handing them to a thread costs less than they do."""
    rest = iter(pairs)
    for pair in rest:
        more = int(np.clip(30_000 // max(len(pair[1]), 1), 1, 64)) - 1
        yield [pair, *islice(rest, more)]


def _tidy(
    results: Sequence[tuple[Place, PairResult]], names: dict[str, Sequence[Any]]
) -> pd.DataFrame:
    results = sorted(results, key=lambda each: each[0])
    cells: dict[str, list[Any]] = {
        title: [of_side[place[side]] for place, _ in results]
        for side, (title, of_side) in enumerate(names.items())
    }
    for column in fields(PairResult):
        cells[column.name] = [getattr(result, column.name) for _, result in results]
        if column.name == "p_value":
            cells["q_value"] = list(q_values(np.array(cells["p_value"], dtype=np.float64)))
    return pd.DataFrame(cells)


def q_values(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """False discovery rate of each p-value; NaN stays NaN and does not count, shape (m,) -> (m,).

    Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", J. R. Stat. Soc. B 57, 289
    (1995).
    """
    # scipy.stats has this too, but loading it takes longer than most tables do.
    found = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested])[::-1]]
    rank = np.arange(len(order), 0, -1)
    found[order] = np.minimum.accumulate(p_values[order] * len(order) / rank).clip(max=1.0)
    return found


def _check_measured(table: pd.DataFrame, named_by: str) -> None:
    reasons, missing = table["reason"], table[table["mi_nats"].isna()]
    if len(missing) == len(table):
        raise EstimatorError(f"no pair could be measured: {reasons.iloc[0]}")
    constant = reasons[reasons.str.startswith("constant: ")].str.removeprefix("constant: ")
    scales = reasons.str.extract(f"{_SCALES}: ([^;]*)")[0].dropna()
    for found, words in (
        (constant, "constant, hence mutual information 0: {names}"),
        (
            scales,
            "{count} of {all} pairs are too different in scale for an estimator that takes values "
            "as they are, and may miss what they share: {names}; scale them, or choose copula",
        ),
        (
            missing[named_by],
            "{count} of {all} pairs are NaN, with too few rows or groups: those of {names}; the "
            "column reason says how many",
        ),
    ):
        if len(found):
            names = shortened(map(str, found))
            warn(words.format(names=names, count=len(found), all=len(table)))
