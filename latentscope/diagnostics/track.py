"""One star over time: how far its latents scatter, whether with a period, and with what.

Shuffles of stars say nothing about one star. So its exposures are shuffled; or its nights, each by
its mean, since exposures of one night share the conditions of that night.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2, rankdata

from latentscope.data import LabelsLike, Latents
from latentscope.diagnostics.mi.api import q_values
from latentscope.diagnostics.mi.columns import Seed, in_days, listed, whole_seed
from latentscope.diagnostics.study import (
    Dims,
    Result,
    Study,
    StudyLike,
    known_stars,
    origin,
    read_study,
    unnamed,
)
from latentscope.errors import ChoiceError, EstimatorError, meant, shortened
from latentscope.labels import Missing
from latentscope.tables import STAR_COLUMNS, star_name

Floats = NDArray[np.float64]
By = Literal["auto", "exposures", "nights"]

TIMES = ("bjd", "hjd", "mjd", "jd", "time")
"""Columns that may hold the time in days, the first that is there."""

SURE = 0.01
"""False-alarm probability below which a period is called one."""

_NIGHT = 0.25  # days without an exposure after which another night begins
_KNOWN = 0.5  # variance of q(z|x), over that of the prior, of a dimension that is used
_FEWEST = 5  # exposures
_FEWEST_PERIODIC = 10  # exposures, or nights, for a period
_MOST_FREQUENCIES = 20_000
_SAMPLES = 5  # frequencies per width of a peak
# Of the latents' own table, in which other columns may be made from the latents.
_OF_ROWS = ("rv", "berv", "airmass", "exptime", "snr", "resolution", "recon_error")


@dataclass(frozen=True, eq=False, repr=False)
class TrackResult(Result):
    """Latents of one star over time.

    Attributes
    ----------
    star : str
    series, table : DataFrame
        One row per exposure, ascending in time: `row` (of the latents), `time` in days, `night`
        (from 0), `dim_3`, ... and, where known, `error_dim_3`, ..., one sigma of q(z|x).
    dims : DataFrame
        One row per dimension: `dim`, `mean`, `std` (scatter of the exposures), `within` (scatter
        within nights: root mean square of successive differences, over sqrt(2); NaN without such),
        `allowed` (root mean square sigma of q(z|x)), `ratio` (std over that), `p_value` (of as
        large a scatter by q(z|x) alone, chi-squared), `period` in days of the highest `power` (0 to
        1, share of the variance that a sine explains), `fap` (share of shuffles with as high a peak
        at any frequency) and `fap_baluev` (Baluev 2008, an upper limit for white noise).
    correlations : DataFrame
        One row per dimension and column: `dim, label, rho` (Spearman), `p_value, n, q_value`.
    periodograms : DataFrame
        `frequency` in cycles per day, and the power of `dim_3`, ... Empty if exposures are too few.
    by : {"exposures", "nights"}
        What was shuffled, for periods and correlations.
    """

    drawn_by = "plot_track"

    star: str
    series: pd.DataFrame
    dims: pd.DataFrame
    correlations: pd.DataFrame
    periodograms: pd.DataFrame
    by: str
    notes: tuple[str, ...]
    provenance: dict[str, Any]

    @property
    def table(self) -> pd.DataFrame:
        """The series, which files hold."""
        return self.series

    def sentences(self) -> list[str]:
        """Say how each dimension scatters, whether with a period, and what it correlates with."""
        span = float(np.ptp(self.series["time"]))
        nights = int(self.series["night"].nunique())
        lines = [
            f"{self.star}: {len(self.series)} exposures in {nights} "
            f"night{'s' * (nights != 1)}, {span:.4g} days; by {self.by}"
        ]
        return lines + [self._sentence(row) for row in self.dims.to_dict("records")]

    def _sentence(self, row: dict[Any, Any]) -> str:
        dim = row["dim"]
        parts = [f"dim {dim} scatters by {row['std']:.3g}"]
        if np.isfinite(row["ratio"]):
            chance = row["p_value"]
            p = "p < 0.001" if chance < 0.001 else f"p = {chance:.2g}"
            parts[0] += f", {row['ratio']:.2g} times what q(z|x) allows ({p})"
        if np.isfinite(row["fap"]):
            sure = row["fap"] < SURE
            parts.append(
                f"{'period' if sure else 'no period; the best is'} {row['period']:.4g} d "
                f"(false alarm {row['fap']:.2g})"
            )
        mine = self.correlations[
            (self.correlations["dim"] == dim) & (self.correlations["q_value"] < 0.05)
        ]
        if len(mine):
            words = [f"{one.label} ({one.rho:+.2f})" for one in mine.head(4).itertuples()]
            parts.append(f"goes with {', '.join(words)}")
        return "; ".join(parts)


def track(
    latents: StudyLike,
    star: str | None = None,
    labels: LabelsLike | None = None,
    *,
    dims: Dims = "informative",
    columns: Sequence[str] | None = None,
    time: str | None = None,
    by: By = "auto",
    min_period: float | None = None,
    max_period: float | None = None,
    n_permutations: int = 199,
    join: str | None = None,
    missing: Missing = "auto",
    seed: Seed = 0,
) -> TrackResult:
    """Follow the latents of one star over time: scatter, periods and correlations.

    Lomb-Scargle periodograms with a floating mean (Zechmeister & Kuerster 2009, A&A 496, 577), from
    the length of the series down to twice the median step. The false-alarm probability is the share
    of shuffles of the values over the times with as high a peak at any frequency.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        With `mjd` and `star` or `object` in their table, as `encode` writes it.
    star : str, optional
        Its name in `star` or `object`, in upper or lower case; not needed where there is only one.
    labels : DataFrame, array or path, optional
        Velocities, activity indices, ..., one row per spectrum.
    dims : "all", "informative" or list of int
        "informative": by the spread over all rows; where none is, those whose mean variance of
        q(z|x) is below half of the prior's.
    columns : list of str, optional
        Columns to correlate with; by default all labels that are numbers and vary, and rv, berv,
        airmass, exptime, snr, resolution and recon_error of the latents' table.
    time : str, optional
        Column of the time in days; by default bjd, hjd, mjd, jd or time.
    by : {"auto", "exposures", "nights"}
        What is independent. "auto": nights, if there are ten or more and some have several
        exposures. A night ends with 6 hours without exposure.
    min_period, max_period : float, optional
        In days.
    n_permutations : int
    join, missing
        As for `read_study`.
    seed : int or Generator

    Raises
    ------
    ChoiceError
        If there is no such star or column.
    EstimatorError
        If fewer than 5 of its exposures have latents and a time.

    Examples
    --------
    >>> track("latents.npy", "HD128621", "activity.csv").sentences()  # doctest: +SKIP
    """
    if by not in get_args(By):
        raise ChoiceError(f"by is {by!r}; expected one of {', '.join(get_args(By))}")
    study = read_study(latents, labels, groups=None, join=join, missing=missing)
    chosen, notes = _chosen(study, dims)
    name, rows = _rows_of(study.latents, star)
    frame = _columns_of(study.latents, study.labels)
    where = study.latents.source
    clock = _clock(frame, time, where)
    days = pd.to_numeric(in_days(frame[clock]), errors="coerce").to_numpy(dtype=np.float64)
    usable = rows[study.latents.ok[rows] & np.isfinite(days[rows])]
    if len(usable) < _FEWEST:
        raise EstimatorError(
            f"{where}: {len(usable)} of {len(rows)} exposures of {name} have latents and {clock}; "
            f"expected {_FEWEST} or more"
        )
    notes = [*study.notes, *notes]
    if len(usable) < len(rows):
        notes.append(f"left out, without latents or {clock}: {len(rows) - len(usable)} exposures")
    usable = usable[np.argsort(days[usable], kind="stable")]
    when, values = days[usable], study.latents.values[np.ix_(usable, chosen)].astype(np.float64)
    night = np.concatenate([[0], np.cumsum(np.diff(when) > _NIGHT)])
    unit = _unit(by, night)
    logvar = study.latents.logvar
    sigma = None if logvar is None else np.exp(logvar[np.ix_(usable, chosen)] / 2.0)
    if sigma is None:
        notes.append("the width of q(z|x) is unknown: encode with --logvar")
    seed = whole_seed(seed)
    rng = np.random.default_rng(seed)
    groups = night if unit == "nights" else np.arange(len(when))
    shuffles = np.array([rng.permutation(groups[-1] + 1) for _ in range(n_permutations)])
    means = _means(np.column_stack([when, values]), groups)
    periods, spectra = _periods(
        means[:, 0], means[:, 1:], shuffles, (min_period, max_period), chosen
    )
    if spectra.empty:
        notes.append(f"no periods: {len(means)} {unit}; expected {_FEWEST_PERIODIC} or more")
    table = pd.DataFrame({"dim": chosen, **_scatter(values, sigma, night), **periods})
    given = () if study.labels is None else study.labels.columns
    beside = _numbers(frame.iloc[usable], columns, {*given, *_OF_ROWS} - {clock})
    correlations = _correlations(means[:, 1:], beside, groups, shuffles, chosen)
    series = pd.DataFrame({"row": usable, "time": when, "night": night})
    for place, dim in enumerate(chosen):
        series[f"dim_{dim}"] = values[:, place]
        if sigma is not None:
            series[f"error_dim_{dim}"] = sigma[:, place]
    about = origin("track") | {
        "source": where, "star": name, "time_column": clock, "by": unit, "dims": chosen,
        "n_permutations": n_permutations, "seed": seed,
    }  # fmt: skip
    return TrackResult(name, series, table, correlations, spectra, unit, tuple(notes), about)


def _chosen(study: Study, dims: Dims) -> tuple[list[int], list[str]]:
    """Dimensions to follow, and a note where they are not those asked for."""
    if not isinstance(dims, str) or dims != "informative" or study.informative:
        return study.choose(dims), []
    # Rows of one star need not vary as those of many do.
    logvar, ok = study.latents.logvar, study.latents.ok
    note = "no dimension varies enough to be called informative: "
    if logvar is None:
        return study.choose("all"), [f"{note}all"]
    known = np.flatnonzero(np.exp(logvar[ok]).mean(axis=0) < _KNOWN).tolist()
    note += f"those with a variance of q(z|x) below {_KNOWN:g} of the prior's"
    return known or study.choose("all"), [note]


def _rows_of(latents: Latents, star: str | None) -> tuple[str, NDArray[np.int64]]:
    """Name of the star and its rows."""
    names = known_stars(latents)
    if names is None:
        if star is None:
            return "the star", np.arange(len(latents))
        raise ChoiceError(
            f"{latents.source}: no column {' or '.join(STAR_COLUMNS)} says which rows show {star}"
        )
    counts = Counter(str(name) for name in names[~unnamed(names)])
    if star is None and len(set(map(star_name, counts))) == 1:
        star = counts.most_common(1)[0][0]
    if star is not None:
        hit, plain = np.zeros(len(latents), dtype=np.bool_), star_name(star)
        for column in map(latents.column, STAR_COLUMNS):
            if column is not None:
                hit |= np.array([star_name(name) == plain for name in column])
        if hit.any():
            return star, np.flatnonzero(hit)
    most = ", ".join(f"{name} ({count})" for name, count in counts.most_common(5))
    said = "no star is named" if star is None else f"no row shows {star!r}{meant(star, counts)}"
    raise ChoiceError(f"{latents.source}: {said}; expected one such as {most}")


def _columns_of(latents: Latents, labels: pd.DataFrame | None) -> pd.DataFrame:
    """Labels, and the other columns of the latents' table, shape (n, columns)."""
    frames = [frame for frame in (labels, latents.table) if frame is not None]
    empty = pd.DataFrame(index=range(len(latents)))
    joined = pd.concat([empty, *(frame.reset_index(drop=True) for frame in frames)], axis=1)
    return joined.loc[:, ~joined.columns.duplicated()]


def _clock(frame: pd.DataFrame, time: str | None, source: str) -> str:
    names = {str(name).casefold(): str(name) for name in frame.columns}
    for name in TIMES if time is None else (time.casefold(),):
        if name in names and (time is not None or frame[names[name]].notna().any()):
            return names[name]
    raise ChoiceError(
        f"{source}: no column {time or ', '.join(TIMES)} of the time in days; encode again, give "
        "a table of labels with one, or name it (--time)"
    )


def _unit(by: By, night: NDArray[np.int64]) -> str:
    if by != "auto":
        return by
    nights = int(night[-1]) + 1
    return "nights" if _FEWEST_PERIODIC <= nights < len(night) else "exposures"


def _means(values: Floats, groups: NDArray[np.int64]) -> Floats:
    """Mean of the rows of each group, (n, m) -> (groups, m); NaN is left out."""
    return pd.DataFrame(values).groupby(groups).mean().to_numpy(dtype=np.float64)


def _scatter(values: Floats, sigma: Floats | None, night: NDArray[np.int64]) -> dict[str, Floats]:
    n, d = values.shape
    steps = np.diff(values, axis=0)[np.diff(night) == 0]
    unknown = np.full(d, np.nan)
    std = values.std(axis=0, ddof=1)
    within = np.sqrt(np.mean(steps**2, axis=0) / 2) if len(steps) else unknown
    allowed, p_value = unknown, unknown
    if sigma is not None:
        weight = 1 / sigma**2
        center = (weight * values).sum(axis=0) / weight.sum(axis=0)
        allowed = np.sqrt(np.mean(sigma**2, axis=0))
        p_value = chi2.sf((weight * (values - center) ** 2).sum(axis=0), n - 1)
    return {
        "mean": values.mean(axis=0), "std": std, "within": within, "allowed": allowed,
        "ratio": std / allowed, "p_value": p_value,
    }  # fmt: skip


def _periods(
    when: Floats,
    values: Floats,
    shuffles: NDArray[np.int64],
    limits: tuple[float | None, float | None],
    chosen: Sequence[int],
) -> tuple[dict[str, Floats], pd.DataFrame]:
    """Best period of each dimension with its false-alarm probabilities, and the periodograms."""
    from astropy.timeseries import LombScargle

    names = ("period", "power", "fap", "fap_baluev")
    found = {name: np.full(len(chosen), np.nan) for name in names}
    steps = np.diff(when)[np.diff(when) > 0]
    if len(when) < _FEWEST_PERIODIC or not len(steps):
        return found, pd.DataFrame(columns=["frequency"])
    shortest = limits[0] or 2 * float(np.median(steps))
    longest = limits[1] or float(np.ptp(when))
    if not 0 < shortest < longest:
        raise EstimatorError(
            f"periods from {shortest:.4g} to {longest:.4g} days; expected an ascending range (the "
            f"series is {np.ptp(when):.4g} days long)"
        )
    step = 1 / (_SAMPLES * float(np.ptp(when)))
    count = min(max(int((1 / shortest - 1 / longest) / step), 2), _MOST_FREQUENCIES)
    frequency = np.linspace(1 / longest, 1 / shortest, count)

    def powers(column: Floats) -> Floats:
        power = LombScargle(when, column).power(frequency, assume_regular_frequency=True)
        return np.asarray(power, dtype=np.float64)

    spectra = pd.DataFrame({"frequency": frequency})
    for place, dim in enumerate(chosen):
        column = values[:, place]
        if not np.ptp(column) > 0:
            spectra[f"dim_{dim}"] = np.nan
            continue
        power = powers(column)
        best = int(np.argmax(power))
        peaks = np.array([powers(column[shuffle]).max() for shuffle in shuffles])
        # Shuffles that leave all in place have the very same peak, to rounding.
        above = np.count_nonzero(peaks >= power[best] * (1 - 1e-9))
        found["period"][place], found["power"][place] = 1 / frequency[best], power[best]
        found["fap"][place] = (1 + above) / (1 + len(shuffles))
        found["fap_baluev"][place] = LombScargle(when, column).false_alarm_probability(
            power[best], method="baluev", minimum_frequency=frequency[0],
            maximum_frequency=frequency[-1],
        )  # fmt: skip
        spectra[f"dim_{dim}"] = power
    return found, spectra


def _numbers(frame: pd.DataFrame, columns: Sequence[str] | None, usual: set[str]) -> pd.DataFrame:
    """Columns asked for; by default the usual ones that are numbers and vary among these rows."""
    if columns is not None:
        columns = listed(columns)
        absent = [name for name in columns if name not in frame]
        if absent:
            there = shortened(map(str, frame.columns))
            near = meant(absent[0], frame)
            raise ChoiceError(f"no column {absent[0]!r}{near}; expected one of {there}")
        days = frame[columns].apply(in_days)
        return pd.DataFrame(days.apply(pd.to_numeric, errors="coerce"))
    times = [name for name in frame.columns if str(name).casefold() in TIMES]
    numbers = frame.drop(columns=times).select_dtypes("number")
    names = [name for name in numbers if name in usual and numbers[name].nunique() > 2]
    return pd.DataFrame(numbers[names])


def _correlations(
    values: Floats,
    frame: pd.DataFrame,
    groups: NDArray[np.int64],
    shuffles: NDArray[np.int64],
    chosen: Sequence[int],
) -> pd.DataFrame:
    """Rank correlation of dimensions (units, d) with columns, with p-values by shuffles."""
    rows: list[dict[str, Any]] = []
    for label in frame.columns:
        column = _means(frame[[label]].to_numpy(dtype=np.float64), groups)[:, 0]
        both = np.flatnonzero(np.isfinite(column))
        if len(both) < _FEWEST:
            continue
        ranks = _standard(rankdata(column[both])[:, None])[:, 0]
        mine = _standard(rankdata(values[both], axis=0))
        rho = ranks @ mine
        # Ranks of the shuffled units, so that those without the label drop out.
        orders = np.argsort(np.argsort(shuffles[:, both], axis=1), axis=1)
        null = np.abs(ranks[orders] @ mine)
        above = (null >= np.abs(rho) * (1 - 1e-9)).sum(axis=0)
        p = (1 + above) / (1 + len(shuffles))
        rows += [
            {"dim": dim, "label": str(label), "rho": rho[place], "p_value": p[place],
             "n": len(both)}
            for place, dim in enumerate(chosen)
        ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["dim", "label", "rho", "p_value", "n"])
    table.insert(4, "q_value", q_values(table["p_value"].to_numpy(dtype=np.float64)))
    return table.sort_values("rho", key=np.abs, ascending=False, kind="stable", ignore_index=True)


def _standard(ranks: Floats) -> Floats:
    """Columns with mean 0 and a sum of squares of 1; of equal ranks NaN."""
    centered = ranks - ranks.mean(axis=0)
    norm = np.sqrt((centered**2).sum(axis=0))
    found: Floats = np.divide(centered, norm, out=np.full_like(centered, np.nan), where=norm > 0)
    return found
