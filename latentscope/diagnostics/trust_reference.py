"""A reference of ordinary spectra, and tests that say how odd a row is among them.

Five tests: the error of the reconstruction at equal latents and noise, its pattern over wavelength,
how empty the place among the latents is, the resolving power, and signs of what is no star. Each
gives a p-value and a percentile among the rows of the reference.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from latentscope.data import Latents
from latentscope.diagnostics.study import unnamed
from latentscope.diagnostics.threshold import THRESHOLD
from latentscope.errors import TableError

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

MAX_ROWS = 3000
"""Rows of a sample at most: percentiles to 0.03 %."""

MIN_ROWS = 100
"""Rows that a reference needs."""

N_FOLDS = 5
SEGMENTS = "recon_segments"
"""Column of the sidecar, and entry of the provenance with the wavelengths of its edges."""

_LEVEL = 0.05  # at which combined p-values are exact
_N_NEIGHBORS = 10  # a single neighbor may be as odd as the row
COLUMNS = (
    *("recon_error", "coverage", "snr", "resolution", "contrast", "roughness"),
    *("emission", "elsewhere", "vacuum", "oxygen_rv"),
)
"""Columns of the sidecar by which rows are judged, each a number."""

SIGNS = ("emission", "elsewhere", "vacuum")
"""Columns of the sidecar by which a spectrum shows that it is no star's or of another medium."""

# km/s: shift of oxygen of the air where vacuum is taken for air, or the reverse; its error; and the
# shift within which it is in its place.
_VACUUM_RV, _OXYGEN_ERROR, _IN_PLACE = 82.8, 3.0, 10.0
_NO_STAR = 0.8  # of `elsewhere`: above it, shifts of lines say nothing about the medium


@dataclass(frozen=True, eq=False)
class TrustSample:
    """Rows of latents with their trust columns, as arrays."""

    values: Floats  # latent means (n, d); a row of NaN where there are none
    # As `encode` writes them, shape (n,); NaN where unknown.
    recon_error: Floats
    coverage: Floats
    snr: Floats
    resolution: Floats
    contrast: Floats
    roughness: Floats
    emission: Floats
    elsewhere: Floats
    vacuum: Floats
    oxygen_rv: Floats
    # Root mean square of the reconstruction's error in s parts of the spectrum, (n, s), and the
    # wavelengths between these, (s + 1,), Angstrom; s is 0, and no edges are, where unknown.
    segments: Floats
    edges: Floats
    # `model`, `weights_sha256`, `mad_threshold` if the model has one, `origin` of the spectra.
    info: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, which: NDArray[Any]) -> TrustSample:
        """Return some of the rows, by index or mask."""
        names = ("values", *COLUMNS, "segments")
        return replace(self, **{name: getattr(self, name)[which] for name in names})

    @property
    def has_snr(self) -> Mask:
        """Rows whose signal-to-noise ratio is known (in some headers 0 means unknown), (n,)."""
        return np.isfinite(self.snr) & (self.snr > 0)


def trust_rows(latents: Latents, segments: Floats | None = None) -> TrustSample:
    """All rows of latents with the trust columns of their table, or with the given `segments`."""
    columns = {name: _numbers(latents, name) for name in COLUMNS}
    parts = _parsed_segments(latents) if segments is None else segments
    edges = np.asarray(latents.provenance.get(SEGMENTS, []), dtype=np.float64)
    if parts.shape[1] == 0 or len(edges) != parts.shape[1] + 1:
        edges = np.empty(0)
    info = {key: str(latents.provenance.get(key, "")) for key in ("model", "weights_sha256")}
    if latents.mad_threshold is not None:
        info["mad_threshold"] = str(latents.mad_threshold)
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
    """Draw a reference from latents: finite rows, one per star, `max_rows` at most.

    `groups` (n,) names the star of each row, by default `latents.groups`; `origin` says what these
    spectra are, by default their file. A TableError if no row is finite, or groups have another
    length.
    """
    drawn = drawn_rows(latents, max_rows, groups, seed)
    if not len(drawn):
        raise TableError(f"{latents.source}: no row has latents; expected ordinary ones")
    sample = trust_rows(latents).rows(drawn)
    return replace(sample, info=sample.info | {"origin": origin or latents.source})


def drawn_rows(latents: Latents, max_rows: int, groups: ArrayLike | None, seed: int) -> Rows:
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
    """Errors of the parts of each row, from text in the sidecar, shape (n, s)."""
    column = latents.column(SEGMENTS)
    filled = np.zeros(len(latents), dtype=np.bool_) if column is None else ~unnamed(column)
    if column is None or not filled.any():
        return np.empty((len(latents), 0))
    rows = np.flatnonzero(filled)
    count = len(str(column[rows[0]]).split())
    out = np.full((len(latents), count), np.nan)
    # In blocks, so that the text of an archive is not in memory twice.
    for start in range(0, len(rows), 10_000):
        block = rows[start : start + 10_000]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)
                flat = np.fromstring(" ".join(column[block]), dtype=np.float64, sep=" ")
            out[block] = flat.reshape(len(block), count)
        except (ValueError, TypeError, DeprecationWarning) as error:
            raise TableError(
                f"{latents.source}: column {SEGMENTS} in rows {block[0]} to {block[-1]}; expected "
                f"{count} numbers per row: encode again, or remove the column"
            ) from error
    return out


def share_above(reference: Floats, distance: Floats) -> Floats:
    """Probability that an ordinary row has at least this distance, in (0, 1].

    The share of the reference up to its 95 % quantile u; beyond it the power law
    p(u) (distance / u)^-a, with a from the rows above u (Hill 1975, Annals of Statistics 3, 1163).
    Distances (m,) are positive, the reference (n,) finite; NaN for NaN.
    """
    ordered = np.sort(reference)
    n = len(ordered)
    below = np.searchsorted(ordered, distance, side="left")
    p = (1.0 + n - below) / (1.0 + n)
    edge = float(np.quantile(ordered, 0.95))
    above = ordered[ordered > edge]
    if len(above) >= 10 and edge > 0:
        index = len(above) / np.log(above / edge).sum()
        with np.errstate(invalid="ignore", divide="ignore"):
            beyond = (1.0 + len(above)) / (1.0 + n) * (distance / edge) ** -index
        p = np.where(distance > edge, beyond, p)
    return np.where(np.isnan(distance), np.nan, p)


def percent_below(reference: Floats, values: Floats) -> Floats:
    """Percentage of the reference below each value, shape (m,); NaN for NaN."""
    below = np.searchsorted(np.sort(reference), values, side="left")
    return np.where(np.isnan(values), np.nan, 100.0 * below / len(reference))


def same_columns(filled: Mask) -> Iterator[tuple[Mask, Rows]]:
    """Yield each set of columns that rows have, (n, k) -> (k,), and the indices of those rows."""
    # Nearly all rows have all columns; sorting a million rows takes long.
    whole = filled.all(axis=1)
    if whole.any():
        yield np.ones(filled.shape[1], dtype=np.bool_), np.flatnonzero(whole)
    others = np.flatnonzero(~whole)
    sets, member = np.unique(filled[others], axis=0, return_inverse=True)
    for number, columns in enumerate(sets):
        yield columns, others[member.reshape(-1) == number]


def combined(p: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Smallest p-value of each row (n,), and all of them (n, t), corrected for there being several.

    The smallest of t independent p-values is at most p with a chance of 1 - (1 - p)^t (Sidak 1967);
    t, 1 at least, is such that 5 % of the reference (m, t), whose tests are not independent, fall
    below 0.05.
    """
    smallest, corrected = np.full(len(p), np.nan), np.full(p.shape, np.nan)
    for tests, rows in same_columns(np.isfinite(p)):
        if tests.any():
            whole = reference[np.isfinite(reference[:, tests]).all(axis=1)][:, tests]
            n_tests = 1.0
            if len(whole):
                edge = min(np.quantile(whole.min(axis=1), _LEVEL), _LEVEL)
                n_tests = float(np.log1p(-_LEVEL) / np.log1p(-edge))
            with np.errstate(divide="ignore"):
                fixed = -np.expm1(n_tests * np.log1p(-p[rows][:, tests]))
            corrected[np.ix_(rows, tests)] = fixed
            smallest[rows] = fixed.min(axis=1)
    return smallest, corrected


class Fit:
    """Quadratic regression of y (n, q) on x (n, p), with x clipped to the range of the fit.

    Linear, or a mean, where there are fewer than ten rows per term.
    """

    def __init__(self, x: Floats, y: Floats) -> None:
        width = x.shape[1]
        self._order = 2 if len(x) >= 10 * (width + 1) * (width + 2) // 2 else 1
        if len(x) < 10 * (width + 1):
            self._order = 0
        # A parabola runs away outside its data.
        self._low, self._high = np.quantile(x, (0.005, 0.995), axis=0)
        self._center, deviation = x.mean(axis=0), x.std(axis=0)
        self._scale = np.where(deviation > 0, deviation, 1.0)
        terms = self._terms(x)
        # A ridge of 1 on all but the constant, since columns may be constant.
        penalty = np.diag((np.arange(terms.shape[1]) > 0).astype(np.float64))
        self._weights = np.linalg.solve(terms.T @ terms + penalty, terms.T @ y)

    def residual(self, x: Floats, y: Floats) -> Floats:
        """Return y minus the fit at x, shape (m, q)."""
        return np.asarray(y - self._terms(x) @ self._weights)

    def _terms(self, x: Floats) -> Floats:
        inside = (np.clip(x, self._low, self._high) - self._center) / self._scale
        first, second = np.triu_indices(x.shape[1])
        parts = [np.ones((len(x), 1)), inside, inside[:, first] * inside[:, second]]
        return np.concatenate(parts[: self._order + 1], axis=1)


def folds(n: int) -> Iterator[Mask]:
    """Yield which of n rows in random order belong to each fold."""
    for number in range(N_FOLDS):
        yield np.arange(n) % N_FOLDS == number


def held_out(x: Floats, y: Floats) -> Floats:
    """Residual of each row from a fit to the other folds, shape (n, q)."""
    out = np.empty_like(y)
    for mine in folds(len(x)):
        out[mine] = Fit(x[~mine], y[~mine]).residual(x[mine], y[mine])
    return out


class _Expected:
    """Logarithmic errors (n, q) over those of similar spectra with similar noise.

    Two fits: with the signal-to-noise ratio (True), if nine reference rows in ten have it, and
    without it (False), for rows without.
    """

    def __init__(self, sample: TrustSample, dims: Rows, error: Floats) -> None:
        self._dims = dims
        self._fits: dict[bool, Fit] = {}
        self._rows: dict[bool, Rows] = {}
        self.own: dict[bool, Floats] = {}
        finite = np.isfinite(error).all(axis=1)
        for with_snr in (True, False):
            rows = np.flatnonzero(finite & sample.has_snr if with_snr else finite)
            if len(rows) >= MIN_ROWS and (not with_snr or len(rows) >= 0.9 * finite.sum()):
                x, y = self._x(sample, rows, with_snr), error[rows]
                self._fits[with_snr], self._rows[with_snr] = Fit(x, y), rows
                # A fit hugs the rows it was made of.
                self.own[with_snr] = held_out(x, y)

    def __bool__(self) -> bool:
        return False in self._fits

    @property
    def best(self) -> bool:
        """Which fit serves the reference itself."""
        return True in self._fits

    @property
    def of_reference(self) -> tuple[Rows, Floats]:
        """Rows of the reference, and their residuals, each held out."""
        return self._rows[self.best], self.own[self.best]

    def residuals(self, sample: TrustSample, error: Floats) -> Iterator[tuple[bool, Rows, Floats]]:
        """Yield each fit, the rows of a sample that it serves, and their residuals (rows, q)."""
        known = np.isfinite(error).any(axis=1) & np.isfinite(sample.values).all(axis=1)
        has_snr = sample.has_snr & self.best
        for with_snr, fit in self._fits.items():
            served = np.flatnonzero(known & (has_snr == with_snr))
            yield with_snr, served, fit.residual(self._x(sample, served, with_snr), error[served])

    def _x(self, sample: TrustSample, rows: Rows, with_snr: bool) -> Floats:
        x = sample.values[rows][:, self._dims]
        return np.column_stack([x, np.log(sample.snr[rows])]) if with_snr else x


class Judgement(NamedTuple):
    """Judgement of m rows that have the same parts.

    `distance` (m, 2): of all parts together, and of the oddest part from the value that the others
    suggest, in its standard deviations; `reference` (n, 2): the same of the reference, each row
    held out. `part` (m,) is the oddest part, `excess` (m,) its residual over the suggested value.
    """

    rows: Rows
    distance: Floats
    reference: Floats
    part: Rows
    excess: Floats

    def p(self) -> tuple[Floats, Floats]:
        """P-values (m,) of the rows, and (n,) of the reference: of the odder of both distances."""
        own = np.stack([share_above(one, one) for one in self.reference.T], axis=1)
        pairs = zip(self.reference.T, self.distance.T, strict=True)
        rows = np.stack([share_above(reference, one) for reference, one in pairs], axis=1)
        return combined(rows, own)[0], combined(own, own)[0]


class Pattern:
    """Mahalanobis distance and oddest part of residuals (m, s), by those of a reference (n, s).

    Errors of neighboring parts rise and fall together; what breaks this pattern counts: many parts
    a little (the distance), or one part a lot, such as a line in emission. The covariance is shrunk
    to its diagonal by s / (10 n + s). The reference is finite and in random order.
    """

    def __init__(self, reference: Floats) -> None:
        self._reference = reference
        self._center, self._covariance = _moments(reference)

    def judge(self, residual: Floats) -> Iterator[Judgement]:
        """Judge rows, one set for each choice of parts that rows have; none of rows without."""
        for parts, rows in same_columns(np.isfinite(residual)):
            if parts.any():
                deviation = residual[rows][:, parts] - self._center[parts]
                covariance = self._covariance[np.ix_(parts, parts)]
                distance, part, excess = _judged(deviation, covariance)
                reference = self._held_out(parts)
                yield Judgement(rows, distance, reference, np.flatnonzero(parts)[part], excess)

    def own(self) -> Judgement:
        """Judge the reference, each row held out."""
        rows, parts = np.arange(len(self._reference)), np.ones(len(self._center), np.bool_)
        distance = self._held_out(parts)
        _, part, excess = _judged(self._reference - self._center, self._covariance)
        return Judgement(rows, distance, distance, part, excess)

    def _held_out(self, parts: Mask) -> Floats:
        given = self._reference[:, parts]
        out = np.empty((len(given), 2))
        for mine in folds(len(given)):
            center, covariance = _moments(given[~mine])
            out[mine] = _judged(given[mine] - center, covariance)[0]
        return out


def _judged(deviation: Floats, covariance: Floats) -> tuple[Floats, Rows, Floats]:
    """Both distances (m, 2) of rows, and part and excess (m,) of a `Judgement`."""
    # The inverse covariance holds the regression of each part on all others.
    inverse = np.linalg.inv(covariance)
    precision = np.diag(inverse)
    weighted = deviation @ inverse
    deviations = np.abs(weighted) / np.sqrt(precision)
    part, rows = np.argmax(deviations, axis=1), np.arange(len(deviation))
    distance = np.sqrt(np.maximum(np.sum(deviation * weighted, axis=1), 0.0))
    both = np.stack([distance, deviations[rows, part]], axis=1)
    return both, part, (weighted / precision)[rows, part]


def _moments(rows: Floats) -> tuple[Floats, Floats]:
    """Median, and covariance of the 99 % of rows that lie closest to it."""
    center = np.median(rows, axis=0)
    distance = _distance(rows - center, _covariance(rows))
    # A few spoiled spectra in the reference must not count.
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
    """Result of a test for rows: p-value of being ordinary, and percentile; NaN where unknown.

    `oddest` is the part or sign that is oddest (-1: none), `excess` its error over the suggested
    one, for tests that have several.
    """

    p: Floats
    percentile: Floats
    oddest: Rows
    excess: Floats

    @classmethod
    def unknown(cls, n: int) -> Judged:
        """Nothing is known of n rows, to be filled."""
        p, percentile, excess = np.full((3, n), np.nan)
        return cls(p, percentile, np.full(n, -1, dtype=np.int64), excess)

    def fill(self, rows: Rows | Mask, reference: Floats, distance: Floats) -> None:
        """Judge some rows by their distances among those of the reference."""
        self.p[rows] = share_above(reference, distance)
        self.percentile[rows] = percent_below(reference, distance)


class Reconstruction:
    """Reconstruction error over the expected one; the percentile is that of the error."""

    def __init__(self, sample: TrustSample, dims: Rows) -> None:
        self._expected = _Expected(sample, dims, _log(sample.recon_error)[:, None])
        self.own = Judged.unknown(len(sample))
        if self._expected:
            rows, residual = self._expected.of_reference
            self.own.fill(rows, np.exp(residual[:, 0]), np.exp(residual[:, 0]))

    def judge(self, sample: TrustSample) -> Judged:
        """Judge rows."""
        out = Judged.unknown(len(sample))
        error = _log(sample.recon_error)[:, None]
        for with_snr, served, residual in self._expected.residuals(sample, error):
            own = self._expected.own[with_snr]
            out.fill(served, np.exp(own[:, 0]), np.exp(residual[:, 0]))
        return out


class Misfit:
    """Pattern of the reconstruction's error over wavelength; the percentile is that of the misfit.

    The last two parts are the contrast and the roughness of the spectrum itself.
    """

    def __init__(self, sample: TrustSample, dims: Rows) -> None:
        error = _parts(sample)
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
        self.own = Judged.unknown(len(sample))
        if usable and self._expected:
            self._patterns = {key: Pattern(own) for key, own in self._expected.own.items()}
            found = self._patterns[self._expected.best].own()
            self._fill(self.own, self._expected.of_reference[0], found)

    def judge(self, sample: TrustSample) -> Judged:
        """Judge rows, and find the oddest part of each."""
        out, error = Judged.unknown(len(sample)), _parts(sample)
        if not self._patterns or error.shape[1] != self._n_parts:
            return out
        for with_snr, served, residual in self._expected.residuals(sample, error[:, self._parts]):
            for found in self._patterns[with_snr].judge(residual):
                self._fill(out, served, found)
        return out

    def _fill(self, out: Judged, rows: Rows, found: Judgement) -> None:
        mine = rows[found.rows]
        p, reference = found.p()
        out.p[mine], out.percentile[mine] = p, percent_below(-reference, -p)
        out.oddest[mine], out.excess[mine] = self._parts[found.part], np.exp(found.excess)


def _parts(sample: TrustSample) -> Floats:
    """Logarithms of the errors of segments, and of contrast and roughness, (n, s + 2)."""
    if sample.segments.shape[1] == 0:
        return np.empty((len(sample), 0))
    return _log(np.column_stack([sample.segments, sample.contrast, sample.roughness]))


def _log(error: Floats) -> Floats:
    """Logarithm; NaN of what is not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(error > 0, np.log(error), np.nan)


class Density:
    """Distance of the tenth nearest reference row over standardized informative dimensions.

    The percentile is that of the density: 0 is emptier than all reference.
    """

    def __init__(self, sample: TrustSample, dims: Rows) -> None:
        self._dims = dims
        self.own = Judged.unknown(len(sample))
        if len(dims):
            values = sample.values[:, dims]
            self._scale = values.std(axis=0)
            self._tree = cKDTree(values / self._scale)
            # One more than for others: a row of the reference is its own nearest.
            self._reference = self._kth(values, _N_NEIGHBORS + 1)
            self._fill(self.own, slice(None), self._reference)

    def judge(self, sample: TrustSample) -> Judged:
        """Judge rows."""
        out = Judged.unknown(len(sample))
        if len(self._dims):
            ok = np.asarray(np.isfinite(sample.values).all(axis=1))
            self._fill(out, ok, self._kth(sample.values[ok][:, self._dims], _N_NEIGHBORS))
        return out

    def _kth(self, values: Floats, k: int) -> Floats:
        distance, _ = self._tree.query(values / self._scale, [k])
        return np.asarray(distance, dtype=np.float64).reshape(len(values))

    def _fill(self, out: Judged, rows: Mask | slice, distance: Floats) -> None:
        out.p[rows] = share_above(self._reference, distance)
        out.percentile[rows] = percent_below(-self._reference, -distance)


class Resolution:
    """Measured resolving power, to both sides of the reference's median."""

    def __init__(self, sample: TrustSample) -> None:
        self._reference = sample.resolution[np.isfinite(sample.resolution)]
        self._enough = len(self._reference) >= max(MIN_ROWS, len(sample) / 2)
        self.own = self.judge(sample)

    def judge(self, sample: TrustSample) -> Judged:
        """Judge rows; the percentile is that of the resolving power."""
        out = Judged.unknown(len(sample))
        if self._enough:
            median, given = float(np.median(self._reference)), sample.resolution
            low = share_above(median / self._reference, median / given)
            high = share_above(self._reference / median, given / median)
            # Two sides, each tested.
            out.p[:] = np.minimum(2 * np.minimum(low, high), 1.0)
            out.percentile[:] = percent_below(self._reference, given)
        return out


class Kind:
    """Signs that a spectrum is no star's, or in another medium than stated: the oddest of them.

    Shifts of the lines count as no sign where oxygen of the air is in its place; oxygen shifted as
    by the other medium is sure. `oddest` is a place in `SIGNS`.
    """

    def __init__(self, sample: TrustSample) -> None:
        self._reference = {}
        for name in SIGNS:
            values = _size_of_sign(sample, name)
            known = values[np.isfinite(values)]
            if len(known) >= max(MIN_ROWS, len(sample) / 2):
                self._reference[name] = known
        self._least = 1.0 / (1.0 + len(sample))
        self._p = self._signs(sample)
        self.own = self.judge(sample)

    def judge(self, sample: TrustSample) -> Judged:
        """Judge rows, and find the oddest sign of each."""
        out = Judged.unknown(len(sample))
        if self._reference:
            signs = self._signs(sample)
            own = combined(self._p, self._p)[0]
            out.p[:] = combined(signs, self._p)[0]
            out.percentile[:] = percent_below(-own[np.isfinite(own)], -out.p)
            oddest = np.argmin(np.nan_to_num(signs, nan=2.0), axis=1)
            out.oddest[:] = np.where(np.isnan(out.p), -1, oddest)
        return out

    def _signs(self, sample: TrustSample) -> Floats:
        """P-value of each sign of rows, (n, 3)."""
        out = np.full((len(sample), len(SIGNS)), np.nan)
        for number, name in enumerate(SIGNS):
            if name in self._reference:
                out[:, number] = share_above(self._reference[name], _size_of_sign(sample, name))
        out[sample.elsewhere > _NO_STAR, -1] = np.nan
        off = np.abs(sample.oxygen_rv)
        out[off < _IN_PLACE, -1] = 1.0
        out[np.abs(off - _VACUUM_RV) < _OXYGEN_ERROR, -1] = self._least
        return out


def _size_of_sign(sample: TrustSample, name: str) -> Floats:
    """How far a sign goes; only lines above the continuum are in emission."""
    values: Floats = getattr(sample, name)
    return values if name == "emission" else np.abs(values)


class Reference:
    """A sample of ordinary rows with its tests; `own` has their results for its own rows.

    The rows are in random order, as `draw_trust_sample` draws them, and 100 at least.
    """

    def __init__(self, sample: TrustSample) -> None:
        sample = sample.rows(np.asarray(np.isfinite(sample.values).all(axis=1)))
        if len(sample) < MIN_ROWS:
            raise TableError(
                f"the reference ({sample.info.get('origin', 'sample')}) has {len(sample)} rows "
                f"with latents; expected at least {MIN_ROWS}, better 2,000"
            )
        self.sample = sample
        spread = np.median(np.abs(sample.values - np.median(sample.values, axis=0)), axis=0)
        threshold = float(sample.info.get("mad_threshold", THRESHOLD))
        informative, varying = spread > threshold, sample.values.std(axis=0) > 0
        self.dims = np.flatnonzero(informative if informative.any() else varying)
        self._tests: dict[str, Reconstruction | Misfit | Density | Resolution | Kind] = {
            "recon": Reconstruction(sample, self.dims),
            "misfit": Misfit(sample, self.dims),
            "density": Density(sample, self.dims),
            "resolution": Resolution(sample),
            "kind": Kind(sample),
        }
        self.own = {name: test.own for name, test in self._tests.items()}
        coverage = sample.coverage[np.isfinite(sample.coverage)]
        self.lowest_coverage = float(np.quantile(coverage, 0.01)) if len(coverage) else float("nan")

    def judge(self, rows: TrustSample) -> dict[str, Judged]:
        """Result of each test for rows."""
        tests = {name: test.judge(rows) for name, test in self._tests.items()}
        failed = ~np.isfinite(rows.values).all(axis=1)
        for judged in tests.values():
            judged.p[failed] = judged.percentile[failed] = np.nan
        return tests
