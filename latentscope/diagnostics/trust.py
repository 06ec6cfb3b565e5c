"""Which rows a model knows: latents and errors compared with those of ordinary spectra.

A network gives latents of anything. A row is believed as far as an ordinary spectrum looks as odd
in the worst of three respects: how the error of the reconstruction is spread over wavelength, how
empty its place among the latents is, and its resolving power. Each becomes a p-value over the rows
of a reference sample, and the smallest of them, corrected for there being several, is the trust.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from latentscope.data import Latents, LatentsLike, read_latents
from latentscope.diagnostics.groups import GroupsLike, read_groups, star_names, unnamed
from latentscope.diagnostics.study import THRESHOLD, mad_threshold
from latentscope.diagnostics.study import origin as origin_of
from latentscope.errors import TableError

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

MAX_ROWS = 3000
"""Rows of a sample at most: percentiles to 0.03 %."""

MIN_ROWS = 100
"""Rows that a reference needs."""

N_FOLDS = 5
"""Rows of the reference are judged by fits to the other four fifths of it."""

SEGMENTS = "recon_segments"
"""Column of the sidecar, and entry of the provenance with the wavelengths of its edges."""

VERDICTS = ("ordinary", "doubtful", "outside")
DOUBTFUL, OUTSIDE = 0.05, 0.001
"""Trust below which a row is doubtful, and outside."""

_COVERAGE_SLACK = 0.1
_N_NEIGHBORS = 10
_COLUMNS = ("recon_error", "coverage", "snr", "resolution")
_TESTS = ("misfit", "density", "resolution")

# First and last wavelength, Angstrom in air, and what is there.
_FEATURES = (
    (3925.0, 3978.0, "Ca H and K"),
    (4093.0, 4110.0, "H-delta"),
    (4290.0, 4320.0, "G band of CH"),
    (4332.0, 4349.0, "H-gamma"),
    (4852.0, 4870.0, "H-beta"),
    (5160.0, 5190.0, "Mg b"),
    (5884.0, 5902.0, "Na D"),
    (6552.0, 6573.0, "H-alpha"),
    (6867.0, 6944.0, "O2 of the air"),
    (7594.0, 7700.0, "O2 of the air"),
)


@dataclass(frozen=True, eq=False)
class TrustSample:
    """Rows of latents with what is known of their trust, as arrays.

    Parameters
    ----------
    values : ndarray of float64, shape (n, d)
        Latent means; a row of NaN where there are none.
    recon_error, coverage, snr, resolution : ndarray of float64, shape (n,)
        As `encode` writes them; NaN where not known.
    segments : ndarray of float64, shape (n, s)
        Root mean square of the reconstruction's error in s parts of the spectrum; s is 0 where
        nobody wrote them.
    edges : ndarray of float64, shape (s + 1,)
        Wavelengths between these parts, Angstrom; empty where not known.
    info : dict of str
        `model`, `weights_sha256`, `mad_threshold` where the model has one, and `origin`: in words,
        what spectra these are.
    """

    values: Floats
    recon_error: Floats
    coverage: Floats
    snr: Floats
    resolution: Floats
    segments: Floats
    edges: Floats
    info: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, which: NDArray[Any]) -> TrustSample:
        """Return some of the rows, by index or mask."""
        names = ("values", *_COLUMNS, "segments")
        return replace(self, **{name: getattr(self, name)[which] for name in names})

    @property
    def has_snr(self) -> Mask:
        """Rows whose signal-to-noise ratio is known, shape (n,)."""
        return np.isfinite(self.snr) & (self.snr > 0)


def trust_rows(latents: Latents, segments: Floats | None = None) -> TrustSample:
    """All rows of latents, in order, with the trust columns of their table.

    Parameters
    ----------
    latents : Latents of n rows
    segments : ndarray of float64, shape (n, s), optional
        Errors of the parts of the spectrum; by default read from the column `recon_segments`.

    Raises
    ------
    TableError
        If the column `recon_segments` is not what `encode` writes.
    """
    columns = {name: _numbers(latents, name) for name in _COLUMNS}
    parts = _parsed_segments(latents) if segments is None else segments
    edges = np.asarray(latents.provenance.get(SEGMENTS, []), dtype=np.float64)
    if parts.shape[1] == 0 or len(edges) != parts.shape[1] + 1:
        edges = np.empty(0)
    info = {key: str(latents.provenance.get(key, "")) for key in ("model", "weights_sha256")}
    if latents.provenance.get("mad_threshold") is not None:
        info["mad_threshold"] = str(mad_threshold(latents))
    info["origin"] = latents.source
    values = latents.values.astype(np.float64)
    return TrustSample(values, **columns, segments=parts, edges=edges, info=info)


def draw_trust_sample(
    latents: Latents,
    *,
    max_rows: int = MAX_ROWS,
    groups: ArrayLike | None = None,
    seed: int = 0,
    origin: str | None = None,
) -> TrustSample:
    """Draw a reference from latents: rows with latents, one a star, `max_rows` at most.

    Parameters
    ----------
    latents : Latents
        Of ordinary spectra: what is in the sample counts as ordinary.
    max_rows : int
    groups : array (n,), optional
        The star of each row; one random row of each is taken. By default `latents.groups`.
    seed : int
        Of the draw.
    origin : str, optional
        What these spectra are, in words; by default the latents' file.

    Raises
    ------
    TableError
        If no row has latents, or groups have another length.
    """
    drawn = _drawn_rows(latents, max_rows, groups, seed)
    if not len(drawn):
        raise TableError(f"{latents.source}: no row has latents; a reference needs ordinary ones")
    sample = trust_rows(latents).rows(drawn)
    return replace(sample, info=sample.info | {"origin": origin or latents.source})


def _drawn_rows(latents: Latents, max_rows: int, groups: ArrayLike | None, seed: int) -> Rows:
    """Rows of a drawn sample, in random order: `folds` relies on it."""
    names = latents.groups if groups is None else np.asarray(groups, dtype=object)
    if names is not None and len(names) != len(latents):
        raise TableError(f"groups has {len(names)} values for {len(latents)} rows of latents")
    order = np.random.default_rng(seed).permutation(np.flatnonzero(latents.ok))
    if names is not None:
        named = pd.Series(names[order])
        order = order[(~named.duplicated() | unnamed(named)).to_numpy()]
    return np.asarray(order[:max_rows], dtype=np.int64)


def _numbers(latents: Latents, name: str) -> Floats:
    column = latents.column(name)
    if column is None:
        return np.full(len(latents), np.nan)
    return pd.to_numeric(pd.Series(column), errors="coerce").to_numpy(dtype=np.float64)


def _parsed_segments(latents: Latents) -> Floats:
    """Errors of the parts of each row from the text of the sidecar, shape (n, s)."""
    column = latents.column(SEGMENTS)
    filled = np.zeros(len(latents), dtype=np.bool_) if column is None else ~unnamed(column)
    if column is None or not filled.any():
        return np.empty((len(latents), 0))
    rows = np.flatnonzero(filled)
    count = len(str(column[rows[0]]).split())
    out = np.full((len(latents), count), np.nan)
    # In blocks, so that the joined text of an archive never stands in memory twice over.
    for start in range(0, len(rows), 10_000):
        block = rows[start : start + 10_000]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)
                flat = np.fromstring(" ".join(column[block]), dtype=np.float64, sep=" ")
            out[block] = flat.reshape(len(block), count)
        except (ValueError, TypeError, DeprecationWarning) as error:
            raise TableError(
                f"{latents.source}: column {SEGMENTS} holds something else than {count} numbers a "
                f"row in rows {block[0]} to {block[-1]}; encode again, or remove the column"
            ) from error
    return out


def share_above(reference: Floats, distance: Floats) -> Floats:
    """Probability that an ordinary row has at least this distance, in (0, 1].

    The share of the reference up to its 95 % quantile u; beyond it the power law
    p(u) (distance / u)^-a with Hill's (1975, Annals of Statistics 3, 1163) estimate of a from the
    rows above u. A distance that no row of the reference has is thus rarer the larger it is.

    Parameters
    ----------
    reference : ndarray, shape (n,)
        Distances of ordinary rows, positive and finite.
    distance : ndarray, shape (m,)

    Returns
    -------
    ndarray, shape (m,)
        NaN where the distance is NaN.
    """
    ordered = np.sort(reference)
    n = len(ordered)
    below = np.searchsorted(ordered, distance, side="left")
    p = (1.0 + n - below) / (1.0 + n)
    edge = float(np.quantile(ordered, 0.95))
    above = ordered[ordered > edge]
    # Of fewer than ten rows no power law can be told.
    if len(above) >= 10 and edge > 0:
        index = len(above) / np.log(above / edge).sum()
        with np.errstate(invalid="ignore", divide="ignore"):
            beyond = (1.0 + len(above)) / (1.0 + n) * (distance / edge) ** -index
        p = np.where(distance > edge, beyond, p)
    return np.where(np.isnan(distance), np.nan, p)


def percent_below(reference: Floats, values: Floats) -> Floats:
    """Percentage of the reference that is smaller, shape (m,); NaN of NaN."""
    below = np.searchsorted(np.sort(reference), values, side="left")
    return np.where(np.isnan(values), np.nan, 100.0 * below / len(reference))


def alike(filled: Mask) -> Iterator[tuple[Mask, Rows]]:
    """Yield each set of columns that rows have, shape (k,), and the indices of those rows.

    Parameters
    ----------
    filled : ndarray of bool, shape (n, k)
        Which row has which column.
    """
    # Nearly all rows have all columns, and sorting a million rows takes longer than the rest.
    whole = filled.all(axis=1)
    if whole.any():
        yield np.ones(filled.shape[1], dtype=np.bool_), np.flatnonzero(whole)
    others = np.flatnonzero(~whole)
    sets, member = np.unique(filled[others], axis=0, return_inverse=True)
    for number, columns in enumerate(sets):
        yield columns, others[member.reshape(-1) == number]


class Fit:
    """Quadratic regression of columns y on columns x, with x held to the range it was fitted in.

    Linear, or a mean alone, where there are fewer than ten rows a term.

    Parameters
    ----------
    x : ndarray, shape (n, p)
    y : ndarray, shape (n, q)
    """

    def __init__(self, x: Floats, y: Floats) -> None:
        width = x.shape[1]
        self._order = 2 if len(x) >= 10 * (width + 1) * (width + 2) // 2 else 1
        if len(x) < 10 * (width + 1):
            self._order = 0
        # A parabola runs away outside of its data; the edges leave out stray rows.
        self._low, self._high = np.quantile(x, (0.005, 0.995), axis=0)
        self._center, deviation = x.mean(axis=0), x.std(axis=0)
        self._scale = np.where(deviation > 0, deviation, 1.0)
        terms = self._terms(x)
        # A ridge of 1 on all but the constant: constant columns must not make it singular.
        penalty = np.diag((np.arange(terms.shape[1]) > 0).astype(np.float64))
        self._weights = np.linalg.solve(terms.T @ terms + penalty, terms.T @ y)

    def residual(self, x: Floats, y: Floats) -> Floats:
        """Return y less what is expected at x, shape (m, q)."""
        return np.asarray(y - self._terms(x) @ self._weights)

    def _terms(self, x: Floats) -> Floats:
        inside = (np.clip(x, self._low, self._high) - self._center) / self._scale
        parts = [np.ones((len(x), 1))]
        if self._order > 0:
            parts.append(inside)
        if self._order > 1:
            first, second = np.triu_indices(x.shape[1])
            parts.append(inside[:, first] * inside[:, second])
        return np.concatenate(parts, axis=1)


def folds(n: int) -> Rows:
    """Fold of each of n rows in random order, 0 to 4."""
    return np.arange(n) % N_FOLDS


def held_out(x: Floats, y: Floats) -> Floats:
    """Residual of each row from a fit to the other folds, shape (n, q)."""
    out, fold = np.empty_like(y), folds(len(x))
    for number in range(N_FOLDS):
        mine = fold == number
        out[mine] = Fit(x[~mine], y[~mine]).residual(x[mine], y[mine])
    return out


class _Expected:
    """Logarithmic errors (n, q) less those that like spectra with like noise have.

    Two fits: one that knows the signal-to-noise ratio (True), if nine reference rows in ten have
    it, and one that does not (False), for rows without.
    """

    def __init__(self, sample: TrustSample, dims: Rows, error: Floats) -> None:
        self._dims = dims
        self._fits: dict[bool, Fit] = {}
        self.rows: dict[bool, Rows] = {}
        self.own: dict[bool, Floats] = {}
        finite = np.isfinite(error).all(axis=1)
        for with_snr in (True, False):
            rows = np.flatnonzero(finite & sample.has_snr if with_snr else finite)
            if len(rows) >= MIN_ROWS and (not with_snr or len(rows) >= 0.9 * finite.sum()):
                x, y = self._x(sample, rows, with_snr), error[rows]
                self._fits[with_snr], self.rows[with_snr] = Fit(x, y), rows
                # Held out, as rows to be judged are: a fit hugs the rows it was made of.
                self.own[with_snr] = held_out(x, y)

    def __bool__(self) -> bool:
        return False in self._fits

    @property
    def best(self) -> bool:
        """Which fit serves the reference itself."""
        return True in self._fits

    def residuals(
        self, sample: TrustSample, rows: Mask, error: Floats
    ) -> Iterator[tuple[bool, Rows, Floats]]:
        """Yield each fit, the rows of a sample that it serves, and their residuals (rows, q)."""
        has_snr = sample.has_snr & self.best
        for with_snr, fit in self._fits.items():
            served = np.flatnonzero(rows & (has_snr == with_snr))
            yield with_snr, served, fit.residual(self._x(sample, served, with_snr), error[served])

    def _x(self, sample: TrustSample, rows: Rows, with_snr: bool) -> Floats:
        x = sample.values[rows][:, self._dims]
        return np.column_stack([x, np.log(sample.snr[rows])]) if with_snr else x


class Judgement(NamedTuple):
    """What a pattern says of m rows that have the same parts.

    Parameters
    ----------
    rows : ndarray of int64, shape (m,)
    distance : ndarray, shape (m,)
    reference : ndarray, shape (n,)
        Distances of the reference over the same parts, each row held out.
    part : ndarray of int64, shape (m,)
        Where each row is oddest, the other parts given.
    excess : ndarray, shape (m,)
        Its residual there over what the other parts make expect.
    """

    rows: Rows
    distance: Floats
    reference: Floats
    part: Rows
    excess: Floats


class Pattern:
    """Mahalanobis distance of residuals (m, s) from those of a reference (n, s).

    Errors of neighbouring parts rise and fall together with the noise; what counts is what breaks
    this pattern. The covariance is shrunk to its diagonal by s / (10 n + s).

    Parameters
    ----------
    reference : ndarray, shape (n, s)
        Residuals in random order, finite.
    """

    def __init__(self, reference: Floats) -> None:
        self._reference = reference
        self._center, self._covariance = _moments(reference)

    def judge(self, residual: Floats) -> Iterator[Judgement]:
        """Judge rows, one set for each choice of parts that rows have; none of rows without."""
        for parts, rows in alike(np.isfinite(residual)):
            if parts.any():
                deviation = residual[rows][:, parts] - self._center[parts]
                covariance = self._covariance[np.ix_(parts, parts)]
                part, excess = _oddest(deviation, covariance)
                distance, reference = _distance(deviation, covariance), self._held_out(parts)
                yield Judgement(rows, distance, reference, np.flatnonzero(parts)[part], excess)

    def own(self) -> Judgement:
        """Judge the reference, each row held out."""
        rows, parts = np.arange(len(self._reference)), np.ones(len(self._center), np.bool_)
        distance = self._held_out(parts)
        part, excess = _oddest(self._reference - self._center, self._covariance)
        return Judgement(rows, distance, distance, part, excess)

    def _held_out(self, parts: Mask) -> Floats:
        given = self._reference[:, parts]
        out, fold = np.empty(len(given)), folds(len(given))
        for number in range(N_FOLDS):
            mine = fold == number
            center, covariance = _moments(given[~mine])
            out[mine] = _distance(given[mine] - center, covariance)
        return out


def _oddest(deviation: Floats, covariance: Floats) -> tuple[Rows, Floats]:
    """Part that deviates most from what the others make expect, and by how much, (m,) each."""
    # The regression of each part on all others stands in the inverse covariance.
    inverse = np.linalg.inv(covariance)
    precision = np.diag(inverse)
    weighted = deviation @ inverse
    part = np.argmax(np.abs(weighted) / np.sqrt(precision), axis=1)
    return part, (weighted / precision)[np.arange(len(deviation)), part]


def _moments(rows: Floats) -> tuple[Floats, Floats]:
    """Median, and covariance of the 99 % of rows that lie closest to it."""
    center = np.median(rows, axis=0)
    distance = _distance(rows - center, _covariance(rows))
    return center, _covariance(rows[distance <= np.quantile(distance, 0.99)])


def _covariance(rows: Floats) -> Floats:
    n, s = rows.shape
    full = np.atleast_2d(np.cov(rows, rowvar=False))
    shrink = s / (10 * n + s)
    return np.asarray((1 - shrink) * full + shrink * np.diag(np.diag(full)))


def _distance(deviation: Floats, covariance: Floats) -> Floats:
    solved = np.linalg.solve(covariance, deviation.T).T
    return np.asarray(np.sqrt(np.sum(deviation * solved, axis=1)))


class Judged(NamedTuple):
    """What a test says of rows: p-value of being ordinary, and percentile; NaN where it cannot."""

    p: Floats
    percentile: Floats

    @classmethod
    def unknown(cls, n: int) -> Judged:
        """Of n rows of which the test can say nothing; to be filled."""
        return cls(np.full(n, np.nan), np.full(n, np.nan))

    def fill(self, rows: Rows, reference: Floats, distance: Floats) -> None:
        """Judge some rows by their distances among those of the reference."""
        self.p[rows] = share_above(reference, distance)
        self.percentile[rows] = percent_below(reference, distance)


class Reconstruction:
    """Reconstruction error over what is expected; the percentile is that of the error."""

    def __init__(self, sample: TrustSample, dims: Rows) -> None:
        self._expected = _Expected(sample, dims, _log(sample.recon_error)[:, None])
        self.own = Judged.unknown(len(sample))
        if self._expected:
            own = np.exp(self._expected.own[self._expected.best][:, 0])
            self.own.fill(self._expected.rows[self._expected.best], own, own)

    def judge(self, sample: TrustSample) -> Judged:
        """Judge rows."""
        out = Judged.unknown(len(sample))
        error = _log(sample.recon_error)[:, None]
        rows = np.isfinite(error[:, 0]) & np.isfinite(sample.values).all(axis=1)
        if self._expected:
            for with_snr, served, residual in self._expected.residuals(sample, rows, error):
                own = np.exp(self._expected.own[with_snr][:, 0])
                out.fill(served, own, np.exp(residual[:, 0]))
        return out


class Misfit:
    """Pattern of the reconstruction's error over wavelength; the percentile is that of the misfit.

    Attributes
    ----------
    own : Judged
    own_oddest : tuple of ndarray
        Part of the spectrum that is oddest in each row (-1: none), and its error over the one that
        the other parts make expect.
    """

    def __init__(self, sample: TrustSample, dims: Rows) -> None:
        error = _log(sample.segments)
        self._n_parts = error.shape[1]
        # Parts that few rows have, or whose error never changes, have no pattern.
        usable = [
            part
            for part in range(self._n_parts)
            if np.isfinite(error[:, part]).mean() >= 0.9
            and np.nanmin(error[:, part]) < np.nanmax(error[:, part])
        ]
        self._parts = np.array(usable, dtype=np.int64)
        self._expected = _Expected(sample, dims, error[:, self._parts])
        self._patterns: dict[bool, Pattern] = {}
        self.own, self.own_oddest = Judged.unknown(len(sample)), _no_part(len(sample))
        if usable and self._expected:
            self._patterns = {key: Pattern(own) for key, own in self._expected.own.items()}
            best = self._expected.best
            rows = self._expected.rows[best]
            self._fill(self.own, self.own_oddest, rows, self._patterns[best].own())

    def judge(self, sample: TrustSample) -> tuple[Judged, tuple[Rows, Floats]]:
        """Judge rows, and find the oddest part of each."""
        out, oddest = Judged.unknown(len(sample)), _no_part(len(sample))
        if not self._patterns or sample.segments.shape[1] != self._n_parts:
            return out, oddest
        error = _log(sample.segments[:, self._parts])
        rows = np.asarray(np.isfinite(error).any(axis=1) & np.isfinite(sample.values).all(axis=1))
        for with_snr, served, residual in self._expected.residuals(sample, rows, error):
            for found in self._patterns[with_snr].judge(residual):
                self._fill(out, oddest, served, found)
        return out, oddest

    def _fill(self, out: Judged, oddest: tuple[Rows, Floats], rows: Rows, found: Judgement) -> None:
        mine = rows[found.rows]
        out.fill(mine, found.reference, found.distance)
        oddest[0][mine], oddest[1][mine] = self._parts[found.part], np.exp(found.excess)


def _no_part(n: int) -> tuple[Rows, Floats]:
    return np.full(n, -1, dtype=np.int64), np.full(n, np.nan)


def _log(error: Floats) -> Floats:
    """Logarithm; NaN of what is not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(error > 0, np.log(error), np.nan)


class Density:
    """Distance of the tenth nearest reference row over standardised informative dimensions.

    The percentile is that of the density: 0 is emptier than all reference.
    """

    def __init__(self, sample: TrustSample, dims: Rows) -> None:
        self._dims = dims
        values = sample.values[:, dims]
        self.own = Judged.unknown(len(sample))
        if not len(dims):
            return
        self._scale = values.std(axis=0)
        self._tree = cKDTree(values / self._scale)
        # One more than for others, since a row of the reference is its own nearest.
        self._reference = self._kth(values, _N_NEIGHBORS + 1)
        self.own = self._judged(self._reference)

    def judge(self, sample: TrustSample) -> Judged:
        """Judge rows."""
        out = Judged.unknown(len(sample))
        if not len(self._dims):
            return out
        ok = np.isfinite(sample.values).all(axis=1)
        distance = self._kth(sample.values[ok][:, self._dims], _N_NEIGHBORS)
        out.p[ok], out.percentile[ok] = self._judged(distance)
        return out

    def _kth(self, values: Floats, k: int) -> Floats:
        distance, _ = self._tree.query(values / self._scale, [k])
        return np.asarray(distance, dtype=np.float64).reshape(len(values))

    def _judged(self, distance: Floats) -> Judged:
        percentile = percent_below(-self._reference, -distance)
        return Judged(share_above(self._reference, distance), percentile)


class Resolution:
    """Measured resolving power, to both sides of the reference's median."""

    def __init__(self, sample: TrustSample) -> None:
        measured = sample.resolution[np.isfinite(sample.resolution)]
        enough = len(measured) >= max(MIN_ROWS, len(sample) / 2)
        self._reference = measured if enough else None
        self.own = self.judge(sample)

    def judge(self, sample: TrustSample) -> Judged:
        """Judge rows; the percentile is that of the resolving power."""
        if self._reference is None:
            return Judged.unknown(len(sample))
        median, given = float(np.median(self._reference)), sample.resolution
        low = share_above(median / self._reference, median / given)
        high = share_above(self._reference / median, given / median)
        p = np.minimum(2 * np.minimum(low, high), 1.0)
        return Judged(p, percent_below(self._reference, given))


class Reference:
    """A sample of ordinary rows with its tests; `own` has what these say of its own rows.

    Parameters
    ----------
    sample : TrustSample
        In random order, as `draw_trust_sample` draws it.

    Raises
    ------
    TableError
        If it has fewer than 100 rows with latents.
    """

    def __init__(self, sample: TrustSample) -> None:
        sample = sample.rows(np.asarray(np.isfinite(sample.values).all(axis=1)))
        if len(sample) < MIN_ROWS:
            raise TableError(
                f"the reference ({sample.info.get('origin', 'sample')}) has {len(sample)} rows "
                f"with latents; expected at least {MIN_ROWS}, better 2,000"
            )
        self.sample = sample
        self.dims = _informative(sample)
        self.density = Density(sample, self.dims)
        self.reconstruction = Reconstruction(sample, self.dims)
        self.misfit = Misfit(sample, self.dims)
        self.resolution = Resolution(sample)
        self.own = {
            "recon": self.reconstruction.own,
            "misfit": self.misfit.own,
            "density": self.density.own,
            "resolution": self.resolution.own,
        }
        coverage = sample.coverage[np.isfinite(sample.coverage)]
        self.lowest_coverage = float(np.quantile(coverage, 0.01)) if len(coverage) else float("nan")

    def judge(self, rows: TrustSample) -> tuple[dict[str, Judged], tuple[Rows, Floats]]:
        """What each test says of rows, and where the error of each is oddest."""
        misfit, oddest = self.misfit.judge(rows)
        tests = {
            "recon": self.reconstruction.judge(rows),
            "misfit": misfit,
            "density": self.density.judge(rows),
            "resolution": self.resolution.judge(rows),
        }
        failed = ~np.isfinite(rows.values).all(axis=1)
        for judged in tests.values():
            judged.p[failed] = judged.percentile[failed] = np.nan
        return tests, oddest


def _informative(sample: TrustSample) -> Rows:
    """Dimensions above the MAD threshold; where there is none, those that vary at all."""
    values = sample.values
    spread = np.median(np.abs(values - np.median(values, axis=0)), axis=0)
    dims = np.flatnonzero(spread > float(sample.info.get("mad_threshold", THRESHOLD)))
    return dims if len(dims) else np.flatnonzero(values.std(axis=0) > 0)


@dataclass(frozen=True, eq=False)
class ScoreResult:
    """Which rows the model knows.

    Parameters
    ----------
    table : DataFrame
        One row a row of the latents:

        - `id`: of the row, its number where there is none;
        - `recon_percentile`: percentage of the reference with a smaller reconstruction error, each
          over what like spectra with like noise have;
        - `misfit_percentile`: the same of the pattern of that error over wavelength;
        - `density_percentile`: percentage of the reference in emptier places of the latent space;
        - `resolution_percentile`: percentage of the reference with a lower resolution;
        - `worst`, `worst_ratio`: where the pattern is oddest, Angstrom, and the error there over
          what the rest of the spectrum makes expect;
        - `coverage`, `resolution`: as encoded;
        - `trust`: chance that an ordinary spectrum looks as odd as this, 0 to 1;
        - `verdict`: "ordinary", "doubtful" (trust below 0.05, or low coverage), "outside" (below
          0.001); empty for a row without latents;
        - `reason`: in words, of rows that are not ordinary. Percentages are of the reference.

        NaN where it cannot be told.
    provenance : dict
        Settings, versions, `reference` (what it is, its model, its rows), and where the latents
        come from.
    """

    table: pd.DataFrame
    provenance: dict[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each verdict, and rows without latents as `none`."""
        found = self.table["verdict"].value_counts()
        counts = {name: int(found.get(name, 0)) for name in VERDICTS}
        return counts | {"none": int(found.get("", 0))}

    @property
    def worst(self) -> pd.DataFrame:
        """Rows that are not ordinary, least trusted first."""
        odd = self.table[self.table["verdict"].isin(VERDICTS[1:])]
        return odd.sort_values("trust", kind="stable")

    def sentences(self, count: int = 10) -> list[str]:
        """Return what the table says as lines a person can read.

        Parameters
        ----------
        count : int
            Rows that are named at most, the least trusted first.
        """
        counts = self.counts
        judged = sum(counts[name] for name in VERDICTS)
        reference = self.provenance["reference"]
        lines = [
            f"of {judged:,} spectra {counts['ordinary']:,} are ordinary, {counts['doubtful']:,} "
            f"doubtful and {counts['outside']:,} outside of what the model knows"
            + (f"; {counts['none']:,} have no latents" if counts["none"] else "")
        ]
        if self.provenance["own_reference"]:
            lines.append(
                "they were compared with each other: this ranks them, and about 5 % are called "
                "doubtful whatever they are; a reference of spectra known to be ordinary would tell"
            )
        else:
            lines.append(
                f"compared with {reference['rows']:,} ordinary spectra ({reference['origin']}), of "
                "which 5 % would be called doubtful or outside, and 0.1 % outside"
            )
            if counts["outside"] > judged / 2:
                lines.append(
                    "most are outside: the set differs from the reference as a whole; to find the "
                    "odd ones in it, give spectra of its kind that you trust as the reference"
                )
        tests = {
            "reconstruction error": "recon_percentile",
            "its pattern over wavelength": "misfit_percentile",
            "resolution": "resolution_percentile",
        }
        missing = [name for name, column in tests.items() if self.table[column].isna().all()]
        if missing:
            lines.append(f"not compared, since not known on both sides: {', '.join(missing)}")
        for row in self.worst.head(count).to_dict("records"):
            trust = "below 0.001" if row["trust"] < 0.001 else f"{row['trust']:.2g}"
            lines.append(f"{row['id']}: {row['verdict']} (trust {trust}): {row['reason']}")
        return lines

    def plot(self, ax: Any = None) -> Any:
        """Draw trust and its parts (`latentscope.plots.plot_trust`)."""
        # By name, since diagnostics stand below the pictures of them.
        return import_module("latentscope.plots").plot_trust(self, ax)


def score_against(
    latents: LatentsLike,
    reference: TrustSample | Reference | LatentsLike | None = None,
    *,
    groups: GroupsLike = "auto",
    seed: int = 0,
    segments: Floats | None = None,
) -> ScoreResult:
    """Compare rows of latents with a reference of ordinary ones.

    Four numbers are compared, as far as both sides have them: the reconstruction error at equal
    noise, its pattern over wavelength, the density of the latents and the resolution. The smallest
    p-value of pattern (the error, where there is no pattern), density and resolution becomes
    `trust`, corrected for there being several, so that 5 % of ordinary rows fall below 0.05.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame or path
        With the trust columns that `encode` writes, where they are known.
    reference : TrustSample, Reference, or as `latents`, optional
        Ordinary spectra encoded with the same model; of more than 3,000 rows a random 3,000, one a
        star. By default the latents themselves: rows are then ranked among each other.
    groups : array (n,) or str, optional
        The star of each row of the reference, or the column that names it: one row of each is
        taken. "auto": `star`, filled from `object`; None or "none": rows are independent.
    seed : int
        Of the draw.
    segments : ndarray, shape (n, s), optional
        As for `trust_rows`.

    Returns
    -------
    ScoreResult

    Raises
    ------
    TableError
        If the reference has another number of dimensions, other weights or another grid, or fewer
        than 100 rows.
    """
    read = read_latents(latents)
    rows = trust_rows(read, segments)
    drawn, note = None, ""
    if isinstance(reference, Reference):
        model = reference
    elif isinstance(reference, TrustSample):
        model = Reference(reference)
    elif reference is not None:
        ordinary = read_latents(reference)
        stars, note = _stars(ordinary, groups)
        model = Reference(draw_trust_sample(ordinary, groups=stars, seed=seed))
    else:
        stars, note = _stars(read, groups)
        drawn = _drawn_rows(read, MAX_ROWS, stars, seed)
        model = Reference(rows.rows(drawn))
    _check_comparable(rows, model.sample, read.source)
    provenance = {
        **origin_of("score"),
        "reference": model.sample.info | {"rows": len(model.sample)},
        "own_reference": drawn is not None,
        "dims": model.dims.tolist(),
        "doubtful_below": DOUBTFUL,
        "outside_below": OUTSIDE,
        "seed": seed,
        "source": read.source,
        "latents": read.provenance,
    }
    if note:
        provenance["groups_found"] = note
    return ScoreResult(_judged_table(read, rows, model, drawn), provenance)


def _stars(latents: Latents, groups: GroupsLike) -> tuple[ArrayLike, str]:
    """Name the star of each row, and say how the names were found."""
    alone = np.arange(len(latents))
    if groups is None or (isinstance(groups, str) and groups == "none"):
        return alone, ""
    if not isinstance(groups, str):
        return groups, ""
    if groups == "auto":
        # Few stars or many: a reference holds each star once.
        names = latents.groups
        if names is None or unnamed(names).all():
            return alone, ""
        n_rows, n_stars = int(latents.ok.sum()), read_groups(names, len(latents)).count(latents.ok)
        note = f"the reference has one row a star: {n_stars:,} stars in {n_rows:,} rows"
        return names, note if n_stars < n_rows else ""
    column = star_names(groups, latents, None)
    if column is None:
        raise TableError(f"{latents.source}: no column {groups!r} to name the stars")
    return column, ""


def _check_comparable(rows: TrustSample, reference: TrustSample, source: str) -> None:
    name = reference.info.get("origin") or "the reference"
    if rows.values.shape[1] != reference.values.shape[1]:
        raise TableError(
            f"{source}: {rows.values.shape[1]} dimensions, but {name} has "
            f"{reference.values.shape[1]}; expected latents of one model"
        )
    weights = rows.info.get("weights_sha256"), reference.info.get("weights_sha256")
    if all(weights) and weights[0] != weights[1]:
        raise TableError(
            f"{source}: encoded by other weights ({str(weights[0])[:12]}...) than {name} "
            f"({str(weights[1])[:12]}...); give the model that encoded them, or encode again"
        )
    edges = rows.edges, reference.edges
    if all(map(len, edges)) and not (
        len(edges[0]) == len(edges[1]) and np.allclose(*edges, rtol=1e-6)
    ):
        raise TableError(
            f"{source}: its {len(edges[0]) - 1} parts of the spectrum are not those of {name}; "
            "expected one grid: encode again with this version"
        )


def _judged_table(
    latents: Latents, rows: TrustSample, reference: Reference, drawn: Rows | None
) -> pd.DataFrame:
    """Table of a `ScoreResult`; rows `drawn` are the reference and judged as held out from it."""
    tests, (part, ratio) = reference.judge(rows)
    if drawn is not None:
        for name, judged in tests.items():
            judged.p[drawn], judged.percentile[drawn] = reference.own[name]
        part[drawn], ratio[drawn] = reference.misfit.own_oddest
    edges = reference.sample.edges if len(reference.sample.edges) else rows.edges
    worst = np.full(len(rows), np.nan)
    if len(edges):
        worst = np.where(part >= 0, ((edges[:-1] + edges[1:]) / 2)[part], np.nan)
    trust, corrected = _trust(_counted(tests), _counted(reference.own))
    low_coverage = rows.coverage < reference.lowest_coverage - _COVERAGE_SLACK
    verdict = np.full(len(rows), "ordinary", dtype=object)
    verdict[(trust < DOUBTFUL) | low_coverage] = "doubtful"
    verdict[trust < OUTSIDE] = "outside"
    verdict[np.isnan(trust)] = ""
    ids = latents.ids
    table = pd.DataFrame(
        {
            "id": np.arange(len(rows)) if ids is None else ids,
            **{f"{name}_percentile": judged.percentile for name, judged in tests.items()},
            "worst": worst,
            "worst_ratio": ratio,
            "coverage": rows.coverage,
            "resolution": rows.resolution,
            "trust": trust,
            "verdict": verdict,
        }
    )
    table["reason"] = _reasons(table, corrected, low_coverage, latents.column("error"), reference)
    return table


def _counted(tests: dict[str, Judged]) -> Floats:
    """P-values that count, shape (n, 3): the error's own one where its pattern is not known."""
    error = np.where(np.isnan(tests["misfit"].p), tests["recon"].p, tests["misfit"].p)
    return np.stack([error, tests["density"].p, tests["resolution"].p], axis=1)


def _trust(p: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Trust of rows (n,), and each test's p-value corrected for there being several, (n, 3).

    The chance that the smallest of t independent p-values is at most p is 1 - (1 - p)^t (Sidak
    1967); t is such that 5 % of the reference, whose tests depend on each other, fall below 0.05.
    """
    trust, corrected = np.full(len(p), np.nan), np.full(p.shape, np.nan)
    for tests, rows in alike(np.isfinite(p)):
        if tests.any():
            whole = reference[np.isfinite(reference[:, tests]).all(axis=1)][:, tests]
            n_tests = 1.0
            if len(whole):
                smallest = np.quantile(whole.min(axis=1), DOUBTFUL)
                n_tests = float(np.log1p(-DOUBTFUL) / np.log1p(-smallest))
            with np.errstate(divide="ignore"):
                fixed = -np.expm1(n_tests * np.log1p(-p[rows][:, tests]))
            corrected[np.ix_(rows, tests)] = fixed
            trust[rows] = fixed.min(axis=1)
    return trust, corrected


def _reasons(
    table: pd.DataFrame,
    corrected: Floats,
    low_coverage: Mask,
    errors: NDArray[np.object_] | None,
    reference: Reference,
) -> list[str]:
    """One line a row, of why it is not ordinary; empty for one that is."""
    out = [""] * len(table)
    features = feature_names(reference.sample.edges)
    odd = np.flatnonzero((table["verdict"] != "ordinary").to_numpy())
    for row, record in zip(odd.tolist(), table.iloc[odd].to_dict("records"), strict=True):
        if not record["verdict"]:
            error = None if errors is None or pd.isna(errors[row]) else str(errors[row])
            out[row] = f"no latents: {error}" if error else "no latents"
            continue
        # The most telling first; a test is named where it alone would make a row doubtful.
        order = [test for test in np.argsort(corrected[row]) if corrected[row, test] < DOUBTFUL]
        words = [_reason(_TESTS[test], record, features) for test in order]
        if low_coverage[row]:
            words.append(
                f"fills {100 * record['coverage']:.0f} % of the grid, the reference "
                f"{100 * reference.lowest_coverage:.0f} % and more"
            )
        out[row] = "; ".join(words)
    return out


def feature_names(edges: Floats) -> dict[float, str]:
    """Names of what lies in each part of the spectrum, by its central wavelength."""
    names = {}
    for first, last in pairwise(edges):
        inside = [name for low, high, name in _FEATURES if low < last and high > first]
        names[(first + last) / 2] = ", ".join(dict.fromkeys(inside))
    return names


def _reason(test: str, record: dict[Any, Any], features: dict[float, str]) -> str:
    if test == "density":
        emptier = _percent(100 - record["density_percentile"])
        return f"latents in an emptier place than {emptier}"
    if test == "resolution":
        percentile = record["resolution_percentile"]
        side, share = ("below", 100 - percentile) if percentile < 50 else ("above", percentile)
        return f"resolution {record['resolution']:,.0f}, {side} {_percent(share)}"
    if np.isnan(record["misfit_percentile"]):
        return f"reconstruction worse than {_percent(record['recon_percentile'])}"
    words = f"reconstruction odder than {_percent(record['misfit_percentile'])}"
    worst = record["worst"]
    if not np.isnan(worst):
        name = features.get(worst, "")
        words += f", most near {worst:,.0f} A" + (f" ({name})" if name else "")
        words += f": error {record['worst_ratio']:.2g} times what the rest suggests"
    return words


def _percent(share: float) -> str:
    """At most 99.9, since a sample cannot tell more."""
    return f"{min(np.floor(10 * share) / 10, 99.9):.1f} % of the reference"
