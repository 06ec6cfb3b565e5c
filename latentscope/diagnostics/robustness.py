"""Informative dimensions and mutual information on other samples of the rows.

As Sedaghat et al. 2021, MNRAS 501, 6026, repeat their analysis on one spectrum per star and on
equal numbers of each spectral class.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from latentscope.data import LabelsLike
from latentscope.diagnostics.activity import MADResult, mad
from latentscope.diagnostics.mi.api import SIGNIFICANT, decimals_of, mi_matrix, q_values
from latentscope.diagnostics.mi.columns import (
    Names,
    Seed,
    check_columns,
    choose_labels,
    is_text,
    own_rng,
    read_column,
    read_label,
    stripped,
    whole_seed,
)
from latentscope.diagnostics.study import (
    Dims,
    Groups,
    GroupsLike,
    Result,
    Study,
    StudyLike,
    check_least,
    read_study,
)
from latentscope.errors import LatentscopeWarning
from latentscope.labels import Missing
from latentscope.tables import find_columns
from latentscope.workers import Progress, counted

Rows = NDArray[np.int64]

WHOLE, REPEATS, SINGLE, HALF = "all", "repeats counted", "one per star", "half of the stars"

_BEST = 0.05  # nats above which a dimension is called the best of a label
_MIN_DRAWS = 3
# Draws of one row per star for each value: fewer on samples that are drawn several times.
_WHOLE_DRAWS, _OTHER_DRAWS = 11, 5
_MIN_EQUAL = 100

_CLASS_COLUMNS = ("spec_type", "sp_type", "spectral_type", "Teff")
"""Columns of classes, the first that is there, in any case, where none is named."""

_SPECTRAL_TYPE = re.compile(r"[OBAFGKM]([\d\s.:+/-]|I|V|$)")
_N_BINS = 5


@dataclass(frozen=True, eq=False, repr=False)
class RobustnessResult(Result):
    """Informative dimensions and mutual information on other samples of the same rows.

    Parameters
    ----------
    mad : DataFrame
        One row per sample: `sample, draws, n, n_stars, informative, low, high, gained, lost`.
        `informative`: number of dimensions above the threshold of all rows, the median over the
        draws; `low ... high`: range over the draws; `gained`, `lost`: dimensions that most draws
        count and all rows do not, and the reverse.
    mi : DataFrame
        One row per sample, label and dimension: `sample, label, dim, mi_nats, std_nats, scatter,
        whole, difference, std_difference, p_value, draws, n, n_stars, q_value, significant`.
        `mi_nats`: mean over the draws; `std_nats`: sampling error (68 %) of one; `scatter`: their
        standard deviation; `whole`: value on all rows, or, for equal classes, the mean over random
        samples of as many stars; `difference`: mean minus that; `std_difference`: its error, for
        samples of fewer stars that of one draw, which is part of the whole, else that of the whole;
        `significant`: q below 0.05 over the table. Halves have no p-value, since they differ from
        the whole by their number of stars.
    notes : tuple of str
        Labels that lost values or were left out, missing samples, and stars in each class.
    """

    drawn_by = "plot_robustness"

    mad: pd.DataFrame
    mi: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """Both tables in one: the rows of `mi` with the counts of their sample."""
        counts = self.mad[["sample", "informative", "gained", "lost"]]
        return self.mi.merge(counts, on="sample", how="left")

    @property
    def samples(self) -> list[str]:
        """Names of the samples, all rows first."""
        return list(self.mad["sample"])

    @property
    def overview(self) -> pd.DataFrame:
        """One row per sample: its size, informative dimensions, and how many pairs differ."""
        pairs = self.mi.groupby("sample", sort=False)
        return self.mad.assign(
            pairs=self.mad["sample"].map(pairs["mi_nats"].count()),
            changed=self.mad["sample"].map(pairs["significant"].sum()),
        )

    @property
    def error_ratio(self) -> float:
        """Scatter of halves of the stars in units of the quoted errors, the median over pairs.

        1 where the errors are right: a half scatters about the whole as the whole does about the
        value of infinitely many stars. NaN where no pair has both.
        """
        half, whole = (self.of(name).set_index(["label", "dim"]) for name in (HALF, WHOLE))
        ratio = half["scatter"] / whole["std_nats"].where(whole["std_nats"] > 0)
        return float(ratio.median())

    def of(self, sample: str) -> pd.DataFrame:
        """Return the rows of `mi` of a sample."""
        return self.mi[self.mi["sample"] == sample]

    def best(self, sample: str) -> dict[str, int]:
        """Return the strongest dimension of each label that has one above 0.05 nats."""
        rows = self.of(sample)
        rows = rows[rows["mi_nats"] > _BEST]
        first = rows.loc[rows.groupby("label", sort=False)["mi_nats"].idxmax()]
        return dict(zip(first["label"], first["dim"].astype(int), strict=True))

    def sentences(self) -> list[str]:
        """Say what changes from sample to sample, and what does not."""
        counts = []
        for row in self.mad[self.mad["sample"] != REPEATS].to_dict("records"):
            between = "" if row["low"] == row["high"] else f" ({row['low']} to {row['high']})"
            moved = "".join(f", {what} {row[what]}" for what in ("gained", "lost") if row[what])
            counts.append(f"{row['sample']} {row['informative']}{between}{moved}")
        ratio = self.error_ratio
        errors = (
            "Errors cannot be checked against the scatter of halves."
            if np.isnan(ratio)
            else f"Halves of the stars scatter by {ratio:.2f} of the quoted errors (median over "
            "pairs; 1 where the errors are right)."
        )
        return [
            f"Informative dimensions: {'; '.join(counts)}.",
            *map(self._change, self.samples[1:]),
            self._best_dims(),
            errors,
        ]

    def _change(self, sample: str) -> str:
        rows = self.of(sample)
        if sample == HALF:
            row = rows.iloc[int(np.nanargmax(rows["difference"].abs()))]
            return (
                f"With half of the stars: at most {row['difference']:+.2f} nats, {row['label']} "
                f"with dim {row['dim']}, from {row['whole']:.2f} to {row['mi_nats']:.2f}; that is "
                "their number, so compare archives at equal numbers."
            )
        changed = rows[rows["significant"]]
        when = {
            REPEATS: "With every spectrum counted as a star",
            SINGLE: "With one spectrum per star",
        }.get(sample, f"With {sample}")
        if not len(changed):
            return f"{when}: none of {len(rows)} pairs change (q < {SIGNIFICANT:g})."
        row = changed.iloc[int(np.argmax(changed["difference"].abs()))]
        decimals = decimals_of(row["std_difference"])
        others = self._other_best(sample) if sample == REPEATS else {}
        misled = f"; another dimension then seems to know most of {', '.join(others)}"
        return (
            f"{when}: {len(changed)} of {len(rows)} pairs change (q < {SIGNIFICANT:g}), most of "
            f"all {row['label']} with dim {row['dim']}, from {row['whole']:.{decimals}f} to "
            f"{row['mi_nats']:.{decimals}f} nats "
            f"({row['difference']:+.{decimals}f} ± {row['std_difference']:.{decimals}f})"
            f"{misled if others else ''}."
        )

    def _best_dims(self) -> str:
        whole = self.best(WHOLE)
        if not whole:
            return f"No label shares more than {_BEST:g} nats with a dimension."
        moved = [
            f"{label} (dim {whole[label]} on all, {dim} on {name})"
            for name in self.samples[1:]
            if name != REPEATS
            for label, dim in self._other_best(name).items()
        ]
        if not moved:
            return "The dimension that knows most of a label is the same on every sample of stars."
        return f"The dimension that knows most differs for {', '.join(moved)}."

    def _other_best(self, sample: str) -> dict[str, int]:
        whole, here = self.best(WHOLE), self.best(sample)
        return {label: dim for label, dim in here.items() if whole.get(label, dim) != dim}


def robustness(
    latents: StudyLike,
    labels: LabelsLike | None = None,
    *,
    groups: GroupsLike = "auto",
    classes: str | None = None,
    n_draws: int = 8,
    dims: Dims = "informative",
    columns: Sequence[str] | None = None,
    discrete: bool | Names | None = None,
    numeric: Names | None = None,
    join: str | None = None,
    missing: Missing = "auto",
    seed: Seed = 0,
    progress: Progress | None = None,
) -> RobustnessResult:
    """Count informative dimensions and measure information again on other samples of the rows.

    One spectrum per star, equal numbers of stars of each class, random halves of the stars, and
    every spectrum counted as a star.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Rows of NaN are left out.
    labels : DataFrame, array (n, labels) or path
        Joined on an id column that both have, else row by row.
    classes : str, optional
        The label whose classes are drawn in equal numbers: letters of spectral types, other
        classes, or five bins of equal width of a number. By default a column of spectral types, or
        Teff, if there is one.
    n_draws : int
        Draws of each random sample, 3 or more.
    dims : "informative", "all" or a list of int
        Dimensions whose information is measured, on all samples.
    columns, groups, discrete, numeric, join, missing
        As for `mi_matrix`, with its errors and warnings.
    seed : int or Generator
        Seed of all random draws.
    progress : callable, optional
        Called with (draws done, draws in all).

    Raises
    ------
    EstimatorError
        If values are infinite, no dimension is informative, or no label can be measured.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> labels = pd.DataFrame({"Teff": 5500 + 500 * z[:, 1]})
    >>> result = robustness(z, labels, n_draws=3)
    >>> result.best("half of the stars")
    {'Teff': 1}
    """
    seed = whole_seed(seed)
    check_least(_MIN_DRAWS, n_draws=n_draws)
    study = read_study(
        latents, labels, groups=groups, join=join, missing=missing, discrete=discrete,
        numeric=numeric,
    )  # fmt: skip
    frame, grouping = study.label_table, study.stars
    chosen = study.choose(dims)
    names, notes = choose_labels(frame, columns, study.group_column)
    class_of_row = read_classes(frame, classes, study.kinds)
    samples, sample_notes = _draw_samples(study, class_of_row, n_draws, seed)
    # Labels that are classes on all rows, and dimensions, are the same on every sample.
    kinds = {name: _is_discrete(study, name, seed) for name in names}
    every = replace(study, labels=frame[names], groups=grouping, dims=chosen, kinds=kinds)
    values = replace(study.latents, table=None, logvar=None)
    label_notes: tuple[str, ...] = ()
    draws = [
        (sample, rows, into)
        for sample in samples
        for part, into in ((sample.draws, sample.tables), (sample.like, sample.alike))
        for rows in part
    ]
    for sample, rows, into in counted(draws, len(draws), progress):
        name, part = sample.name, every.take(np.sort(rows))
        with warnings.catch_warnings():
            # Given once, for the whole.
            warnings.simplefilter("default" if name == WHOLE else "ignore", LatentscopeWarning)
            found = mi_matrix(
                part if name in (WHOLE, HALF) else replace(part, groups=None),
                n_draws=_WHOLE_DRAWS if name == WHOLE else _OTHER_DRAWS,
                # Differences to the whole are tested, not values.
                n_permutations=1,
                seed=seed,
            )
        into.append(found.table)
        if into is sample.tables:
            sample.spreads.append(mad(values.take(rows), threshold=study.threshold[0]))
        if name == WHOLE:
            label_notes = found.notes
    by = None if class_of_row is None else class_of_row.name
    settings: dict[str, Any] = {"classes": by, "n_draws": n_draws, "seed": seed}
    provenance = study.provenance("robustness", dims=chosen, columns=names, **settings)
    # The whole repeats the notes of the study.
    said = (*study.notes, *study.left_out_of(dims), *notes, *label_notes, *sample_notes)
    return RobustnessResult(
        _compared_spread(samples, grouping),
        _compared_information(samples),
        provenance,
        tuple(dict.fromkeys(said)),
    )


def _is_discrete(study: Study, name: str, seed: int) -> bool:
    if study.kinds.get(name):
        return True
    return read_label(
        name,
        study.label_table[name],
        discrete=study.kinds.get(name, "auto"),
        clip_sigma=None,
        seed=seed,
    ).discrete


@dataclass(frozen=True, eq=False)
class _Sample:
    """A sample of rows, drawn once or several times, by name, and what was measured on each draw.

    All rows, each star counting once (WHOLE) or each row as a star (REPEATS); one row per star
    (SINGLE), or of those, equal numbers of each class; all rows of half of the stars (HALF).
    """

    name: str
    draws: Sequence[Rows]
    like: Sequence[Rows] = ()  # random samples of as many stars, to compare with
    spreads: list[MADResult] = field(default_factory=list)
    tables: list[pd.DataFrame] = field(default_factory=list)
    alike: list[pd.DataFrame] = field(default_factory=list)  # of `like`


def _draw_samples(
    study: Study, classes: Classes | None, n_draws: int, seed: int
) -> tuple[list[_Sample], list[str]]:
    """Draw the samples that there are, the whole first; and say which are missing."""
    ok, groups = study.latents.ok, study.stars
    every = np.flatnonzero(ok)
    singles = [groups.draws(ok, 1, own_rng(seed, 20, i)).rows[0] for i in range(n_draws)]
    samples, notes = [_Sample(WHOLE, [every])], []
    if len(singles[0]) < len(every):
        samples += [_Sample(REPEATS, [every]), _Sample(SINGLE, singles)]
    else:
        known = study.groups is not None
        reason = "every star has one spectrum" if known else "every row counts as a star"
        notes.append(f"no sample of {SINGLE}: {reason}")
    if classes is None:
        notes.append("no sample of equal classes: no column of spectral types or Teff; name one")
    else:
        notes.append(classes.note(singles[0]))
        equal = [classes.equal_rows(rows, own_rng(seed, 21, i)) for i, rows in enumerate(singles)]
        n_equal = min(map(len, equal))
        if n_equal < _MIN_EQUAL:
            notes.append(
                f"no sample of equal {classes.name}: {n_equal} stars; expected {_MIN_EQUAL} or "
                "more in two classes or more"
            )
        else:
            like = [
                own_rng(seed, 23, i).choice(singles[i], len(rows), replace=False)
                for i, rows in enumerate(equal)
            ]
            samples.append(_Sample(f"equal {classes.name}", equal, like))
    codes = groups.codes[every]
    stars, halves = np.unique(codes), []
    for i in range(n_draws):
        half = own_rng(seed, 22, i).choice(stars, len(stars) // 2, replace=False)
        halves.append(every[np.isin(codes, half)])
    return [*samples, _Sample(HALF, halves)], notes


@dataclass(frozen=True, eq=False)
class Classes:
    """Class of each row by a column: codes (n,), -1 where missing, and the names of classes."""

    name: str
    codes: NDArray[np.int64]
    names: tuple[str, ...]

    def counts(self, rows: Rows) -> tuple[Rows, NDArray[np.bool_]]:
        """How many of these rows, one per star, each class has, and whether it counts."""
        codes = self.codes[rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(self.names))
        # A rarer class would leave little of the others.
        return counts, np.asarray(counts >= max(20, 0.02 * counts.sum()))

    def equal_rows(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """Draw as many of these rows, one per star, from each class that counts, of two or more."""
        counts, frequent = self.counts(rows)
        taken = np.flatnonzero(frequent)
        if len(taken) < 2:
            return rows[:0]
        codes, size = self.codes[rows], int(counts[taken].min())
        drawn = [rng.choice(rows[codes == code], size, replace=False) for code in taken]
        return np.sort(np.concatenate(drawn))

    def note(self, rows: Rows) -> str:
        """Say how many of these rows, one per star, each class has, and which are left out."""
        each = zip(self.names, *self.counts(rows), strict=True)
        parts = [
            f"{name} {count:,}{'' if kept else ' (left out)'}"
            for name, count, kept in each
            if count
        ]
        return f"stars by {self.name}: {', '.join(parts)}"


def read_classes(
    frame: pd.DataFrame, name: str | None, kinds: Mapping[str, bool] = MappingProxyType({})
) -> Classes | None:
    """Make classes of a column of the labels, by default spectral types or Teff, if there.

    Spectral types go by their letter; numbers of many values into five bins of equal width between
    their 1st and 99th percentile.
    """
    if name is None:
        held = find_columns([frame], _CLASS_COLUMNS)
        if not held:
            return None
        name = str(held[0].name)
    check_columns(frame, [name])
    values = frame[name]
    if is_text(values):
        text = stripped(values)
        spectral = text.dropna().map(lambda value: bool(_SPECTRAL_TYPE.match(value)))
        # Some may be peculiar.
        if len(spectral) and spectral.mean() >= 0.8:
            text = text.map(lambda value: value[0], na_action="ignore")
        codes, names = pd.factorize(text, sort=True)
        return Classes(name, codes.astype(np.int64), tuple(map(str, names)))
    column = read_column(name, values, discrete=kinds.get(name, "auto"))
    if column.codes is not None:
        numbers = np.sort(values.dropna().unique())
        return Classes(name, column.codes, tuple(f"{number:g}" for number in numbers))
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    low, high = np.nanquantile(numbers, (0.01, 0.99))
    edges = np.linspace(low, high, _N_BINS + 1)
    codes = np.searchsorted(edges[1:-1], numbers, side="right").astype(np.int64)
    codes[np.isnan(numbers)] = -1
    return Classes(name, codes, tuple(f"{a:.4g}-{b:.4g}" for a, b in pairwise(edges)))


def _compared_spread(samples: Sequence[_Sample], groups: Groups) -> pd.DataFrame:
    """How many dimensions are informative on each sample, and which come and go."""
    records = []
    first = samples[0].spreads[0]
    whole = np.array(first.values > first.threshold)
    for sample in samples:
        informative = np.array([result.values > result.threshold for result in sample.spreads])
        counts, mostly = informative.sum(axis=1), informative.mean(axis=0) > 0.5
        n_stars = [len(np.unique(groups.codes[rows])) for rows in sample.draws]
        records.append(
            {
                "sample": sample.name, "draws": len(sample.draws),
                # Classes are drawn anew each time, so sizes may differ between draws.
                "n": int(np.median([len(rows) for rows in sample.draws])),
                "n_stars": int(np.median(n_stars)), "informative": int(np.median(counts)),
                "low": int(counts.min()), "high": int(counts.max()),
                "gained": " ".join(map(str, np.flatnonzero(mostly & ~whole))),
                "lost": " ".join(map(str, np.flatnonzero(~mostly & whole))),
            }
        )  # fmt: skip
    return pd.DataFrame(records)


def _compared_information(samples: Sequence[_Sample]) -> pd.DataFrame:
    """Information of each pair on each sample, and its difference to the whole at equal numbers."""
    whole = _pairs(samples[0].tables)
    parts = []
    for sample in samples:
        pairs = _pairs(sample.tables).reindex(whole.index)
        alike = _pairs(sample.alike).reindex(whole.index) if sample.alike else whole
        beside = alike["mi_nats"]
        difference = pairs["mi_nats"] - beside
        error = _error(sample.name, pairs, whole)
        p_value = 2 * norm.sf(np.abs(difference / error.where(error > 0)))
        pairs = pairs.assign(
            sample=sample.name, whole=beside, difference=difference, std_difference=error,
            p_value=np.nan if sample.name == HALF else p_value,
        )  # fmt: skip
        parts.append(pairs.reset_index())
    table = pd.concat(parts, ignore_index=True)[
        ["sample", "label", "dim", "mi_nats", "std_nats", "scatter", "whole", "difference",
         "std_difference", "p_value", "draws", "n", "n_stars"]
    ]  # fmt: skip
    table["q_value"] = q_values(table["p_value"].to_numpy(dtype=np.float64))
    table["significant"] = table["q_value"] < SIGNIFICANT
    return table


def _pairs(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean over the draws, their scatter, and the error of one, by (label, dim)."""
    joined = pd.concat(tables)
    joined["variance"] = joined["std_nats"] ** 2
    by_pair = joined.groupby(["label", "dim"], sort=False)
    return pd.DataFrame(
        {
            "mi_nats": by_pair["mi_nats"].mean(),
            "std_nats": np.sqrt(by_pair["variance"].mean()),
            "scatter": by_pair["mi_nats"].std(ddof=1),
            "draws": by_pair["mi_nats"].count(),
            "n": by_pair["n"].median().astype(int),
            "n_stars": by_pair["n_groups"].median().astype(int),
        }
    )


def _error(sample: str, pairs: pd.DataFrame, whole: pd.DataFrame) -> pd.Series:
    """Error of the difference to the whole that the sample is part of."""
    if sample == WHOLE:
        return pairs["std_nats"] * np.nan
    if sample in (REPEATS, SINGLE):
        # The same stars: a change within the error of the whole means nothing.
        return whole["std_nats"]
    return nested_error(pairs["std_nats"], whole["std_nats"], pairs["n_stars"], whole["n_stars"])


def nested_error(
    part: pd.Series, whole: pd.Series, part_stars: pd.Series, whole_stars: pd.Series
) -> pd.Series:
    """Error of the difference between a sample of m stars and the whole of n that it is part of.

    sqrt(s^2 + w^2 - 2 sqrt(m / n) s w): the variance is sigma^2 (1/m - 1/n) with s^2 = sigma^2 / m
    and w^2 = sigma^2 / n. As if independent, halves would have an error sqrt(3) too large.
    """
    shared = (part_stars / whole_stars).clip(upper=1.0) ** 0.5
    variance: pd.Series = part**2 + whole**2 - 2 * shared * part * whole
    return variance.clip(lower=0.0) ** 0.5
