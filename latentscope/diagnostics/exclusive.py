"""Which dimensions hold information of their own, and in which order they add it.

A spectrum x gives a dimension z_j a mean mu_j(x) and a noise sigma_j(x). What a draw
z_j = mu_j + sigma_j e, e standard normal, tells about the spectrum is

    I(x; z_j) = h(z_j) - E[h(z_j | x)].

The KL divergence of q(z_j|x) from the prior, averaged over spectra, is that plus the divergence of
the distribution of all z_j from the prior (M. D. Hoffman, M. J. Johnson, "ELBO surgery", 2016), so
it is never smaller.

Since draws of different dimensions are independent for a given spectrum, what a draw of z_j tells
beyond the means mu_S of other dimensions is I(x; z_j | mu_S) = I(x; z_j) - I(z_j; mu_S), exactly. A
dimension that repeats another adds 0. With f any function of mu_S,
I(x; z_j | mu_S) <= h(z_j - f) - E[h(z_j | x)].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import digamma
from scipy.stats import t as student

from latentscope.data import Latents
from latentscope.diagnostics.activity import MADResult, kl_divergence, mad
from latentscope.diagnostics.mi.api import PairResult, Settings, measure, p_text, pairwise_mi
from latentscope.diagnostics.mi.columns import Seed, own_rng, read_column, whole_seed
from latentscope.diagnostics.prediction import cross_fitted
from latentscope.diagnostics.study import (
    Dims,
    Groups,
    GroupsLike,
    Result,
    StudyLike,
    check_least,
    read_study,
)
from latentscope.diagnostics.threshold import MAD_OF_NORMAL
from latentscope.errors import EstimatorError
from latentscope.workers import Progress, stepper

Floats = NDArray[np.float64]

MAX_ROWS = 5000
"""Rows measured at most, by default."""

MAX_DIMS = 32
"""Dimensions compared with one another at most, by default."""

SIGNIFICANT = 0.01
"""p, after the correction for the dimensions left, below which an addition counts."""

SHARED = 0.1
"""Nats from which sharing counts: those of a Gaussian pair with |r| = 0.43."""

_MIN_ROWS = 100
_SPACING = 8
_NULL_DRAWS = 20
_N_NAMED = 12
_SHARED = ("rest_nats", "rest_std_nats", "rest_p_value", "partner", "partner_nats")
"""Columns of what a dimension shares with the others."""


@dataclass(frozen=True, eq=False, repr=False)
class ExclusiveResult(Result):
    """What each dimension carries, shares with others, and adds to them.

    Parameters
    ----------
    table : DataFrame
        One row per dimension: `dim, kl_nats, carried_nats, carried_std_nats, carried_p_value,
        carries, rest_nats, rest_std_nats, rest_p_value, partner, partner_nats, exclusive, adds`.
        `carries`: more than noise (p below 0.01, corrected for the number of dimensions).
        `rest_nats`: mutual information with the other dimensions that carry something; `partner`:
        the strongest of them. `exclusive`: carries something and shares less than 0.1 nats with the
        rest, or nothing significant. `adds`: in the greedy order. NaN or None where not measured.
    order : DataFrame
        `step, dim, gain_nats, std_nats, p_value, adds, total_nats`: the greedy order. Rows after
        the last that adds something say what each of the rest would add to it.
    n, n_rows : int
        Independent rows measured, and all rows.
    resolution : str
        The noise that dimensions are read with, in words.
    limit : float
        Nats below which nothing can be told from noise with n rows, about.
    left_out : int
        Dimensions that carry something but were not ordered, since too many do.
    """

    drawn_by = "plot_exclusive"

    table: pd.DataFrame
    order: pd.DataFrame
    n: int
    n_rows: int
    resolution: str
    limit: float
    left_out: int
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def informative(self) -> list[int]:
        """Dimensions that add something significant to those before them, ascending."""
        return sorted(int(dim) for dim in self.order.loc[self.order["adds"], "dim"])

    @property
    def carrying(self) -> list[int]:
        """Dimensions that carry something, whether others repeat it or not, ascending."""
        return [int(dim) for dim in self.table.loc[self.table["carries"], "dim"]]

    def sentences(self) -> list[str]:
        """Say which dimensions add something, which share it, and on what this is measured."""
        notes = [note for note in self.notes if note != self.provenance.get("groups_found")]
        return [*self._order_text(), self._exclusive_text(), self._basis_text(), *notes]

    def _order_text(self) -> list[str]:
        adds, rest = self.order[self.order["adds"]], self.order[~self.order["adds"]]
        ordered, count = len(self.order), len(adds)
        lines = []
        if self.left_out:
            lines.append(
                f"only {ordered} of {len(self.carrying)} dimensions that carry information were "
                f"ordered, those that carry most (max_dims={ordered}); the others may add "
                "something too"
            )
        lines.append(
            f"{len(self.carrying)} of {len(self.table)} dimensions carry information, {count} of "
            f"them add some to those before: {_listed(self.informative)}"
        )
        if count:
            shown = adds.head(_N_NAMED).to_dict("records")
            gains = ", ".join(f"{row['dim']} ({row['gain_nats']:.2f})" for row in shown)
            more = f" and {count - _N_NAMED} more" if count > _N_NAMED else ""
            lines.append(f"what each adds, in order (nats): {gains}{more}")
        if not ordered:
            return [*lines, "nothing is carried, so nothing is added"]
        if not len(rest):
            which = "that was ordered" if self.left_out else "that carries something"
            return [*lines, f"every dimension {which} adds something"]
        best = rest.iloc[0]
        return [
            *lines,
            f"nothing significant is added after that: dim {best['dim']} would add "
            f"{best['gain_nats']:.3f} ± {best['std_nats']:.3f} nats, {p_text(best['p_value'])}",
        ]

    def _exclusive_text(self) -> str:
        carrying = self.table[self.table["carries"]]
        shared = carrying[~carrying["exclusive"].astype(bool) & carrying["rest_nats"].notna()]
        if len(carrying) < 2:
            return "no two dimensions carry information, so none can share it"
        if not len(shared):
            return f"each is exclusive: none shares {SHARED:g} nats with the rest"
        strongest = shared.sort_values("rest_nats", ascending=False).head(_N_NAMED)
        words = ", ".join(
            f"{row['dim']} shares {row['rest_nats']:.2f} nats (most with {row['partner']}: "
            f"{row['partner_nats']:.2f})"
            for row in strongest.to_dict("records")
        )
        return f"{len(shared)} not exclusive: {words}"

    def _basis_text(self) -> str:
        measured = f"a random {self.n:,}" if self.n < self.n_rows else f"all {self.n:,}"
        one = ", one per star" if self.provenance["groups"] else ""
        return (
            f"information measured on {measured} of {self.n_rows:,} rows{one}; noise: "
            f"{self.resolution}; less than {self.limit:.2f} nats is not seen"
        )


def exclusive_information(
    latents: StudyLike,
    *,
    dims: Dims = "all",
    groups: GroupsLike = "auto",
    max_rows: int = MAX_ROWS,
    max_dims: int = MAX_DIMS,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> ExclusiveResult:
    """What each dimension carries, what it shares with others, and what it adds to them, in nats.

    A large deviation does not make a dimension exclusive: it may repeat what another holds
    (Sedaghat et al. 2021, MNRAS 501, 6026, section 4.3 and figure 5). Hence three questions.

    *Carried*: what one draw z = mu + sigma e of a dimension tells about the spectrum, as
    h(mu + sigma e) - h(sigma e), with the sigma of q(z|x) where `Latents.logvar` is known; else
    that of a dimension just at the threshold of the deviations (`mad`). For Gaussian means it is
    0.5 log(1 + var(mu) / sigma^2). The KL divergence is never below it, except for noise.

    *Shared with the rest*: mutual information of mu with those of the other dimensions that carry
    something: with the strongest partner, or with a prediction from all others (of rows that it was
    not fitted to), whichever is larger. Both are lower bounds. Joint nearest-neighbor estimates
    lose most of a close relation in five dimensions or more.

    *Added*: greedily, what a draw of a dimension tells about the spectrum beyond the means of those
    chosen before, I(x; z_j | mu_S) = I(x; z_j) - I(z_j; mu_S); 0 for a copy. The second term is a
    lower bound, so gains are upper bounds.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Posterior means; draws would count their noise as information. Rows of NaN are left out.
    dims : "all", "informative" or a list of int
    groups
        As for `read_study`, with its errors and warnings. One random row of each star is measured.
    max_rows : int
        Random rows measured at most.
    max_dims : int
        Dimensions compared at most, those that carry most.
    seed : int or Generator
        Seed of rows, noise and folds.
    progress : callable, optional
        Called with (steps done, steps in all).

    Raises
    ------
    ChoiceError
        If a dimension or column of groups is not there.
    EstimatorError
        If there are fewer than 100 independent rows, or values are infinite.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> repeated = np.column_stack([z, z[:, 0] + 0.001])
    >>> len(exclusive_information(repeated).informative)
    2
    """
    seed = whole_seed(seed)
    check_least(2, max_rows=max_rows, max_dims=max_dims)
    study = read_study(latents, groups=groups)
    read = study.latents
    readings = _read(read, study.choose(dims), study.groups, max_rows, seed)
    amount = widened(readings.means, readings.noise)
    # A false discovery rate would let a dead one of 128 dimensions pass in one run of 16.
    p_value = np.minimum(1.0, amount.p_value * len(readings.dims))
    varies = np.ptp(readings.means, axis=0) > 0
    carries = (p_value < SIGNIFICANT) & (amount.nats > 0) & varies
    # Places among the dimensions read of those that are compared, ascending.
    ranked = np.argsort(-np.where(carries, amount.nats, -np.inf), kind="stable")
    places = sorted(int(i) for i in ranked[: min(int(carries.sum()), max_dims)])

    step = stepper(len(places) * (2 if len(places) > 1 else 1), progress)
    shared = _shared(readings, places, seed, step)
    gains = _Gains(readings, amount, seed)
    order = _greedy(gains, [readings.dims[i] for i in places], step)
    kl = np.full(len(readings.dims), np.nan)
    if read.logvar is not None:
        kl = kl_divergence(readings.means, read.logvar[readings.rows][:, readings.dims])
    table = pd.DataFrame(
        {
            "dim": readings.dims,
            "kl_nats": kl,
            "carried_nats": amount.nats,
            "carried_std_nats": amount.std,
            "carried_p_value": p_value,
            "carries": carries,
        }
    ).join(shared)
    alike = (table["rest_nats"] >= SHARED) & (table["rest_p_value"] < SIGNIFICANT)
    # A dimension that alone carries something has no rest to share with.
    compared = table["rest_nats"].notna() | (len(places) < 2)
    table["exclusive"] = table["carries"] & compared & ~alike
    table["adds"] = table["dim"].isin(order.loc[order["adds"], "dim"])
    provenance = study.provenance(
        "exclusive information", dims=readings.dims, seed=seed, resolution=readings.resolution,
        rows_measured=len(readings.rows), dims_compared=[readings.dims[i] for i in places],
    )  # fmt: skip
    return ExclusiveResult(
        table, order, len(readings.rows), len(read), readings.resolution,
        readings.noise.limit(SIGNIFICANT / len(readings.dims)), int(carries.sum()) - len(places),
        provenance, (*study.notes, *study.left_out_of(dims)),
    )  # fmt: skip


@dataclass(frozen=True)
class _Readings:
    """Independent `rows` of the latents, their `means` (n, d), and the noise, also in words."""

    dims: list[int]
    rows: NDArray[np.int64]
    means: Floats
    noise: Noise
    resolution: str


def _read(
    latents: Latents, dims: list[int], groups: Groups | None, max_rows: int, seed: int
) -> _Readings:
    rng = own_rng(seed, 3)
    usable = latents.ok
    if latents.logvar is not None:
        usable = usable & np.isfinite(latents.logvar).all(axis=1)
    rows = np.flatnonzero(usable) if groups is None else groups.draws(usable, 1, rng).rows[0]
    if len(rows) < _MIN_ROWS:
        what = "rows are finite" if groups is None else "groups have a finite row"
        raise EstimatorError(
            f"{latents.source}: {len(rows)} {what}; expected {_MIN_ROWS} or more to measure "
            "information"
        )
    rows = np.sort(rows if len(rows) <= max_rows else rng.choice(rows, max_rows, replace=False))
    means = latents.values[rows][:, dims].astype(np.float64)
    if latents.logvar is not None:
        sigma = np.exp(0.5 * latents.logvar[rows][:, dims].astype(np.float64))
        resolution = "the posterior's own width (logvar)"
    else:
        spread = mad(latents)
        estimated = spread.estimated_threshold
        threshold = spread.threshold if estimated is None else estimated
        if not threshold:
            raise EstimatorError(f"{latents.source}: no dimension varies; nothing to measure")
        sigma = np.full(means.shape, threshold / MAD_OF_NORMAL)
        where = spread.threshold_from if estimated is None else "estimated"
        resolution = (
            f"that of a dimension at the {where} threshold {threshold:.3g}, since logvar is unknown"
        )
    return _Readings(dims, rows, means, Noise.of(sigma, rng), resolution)


@dataclass(frozen=True)
class Noise:
    """The noise that dimensions are read with: one draw of sigma_j(x) e, shape (n, d).

    `entropy` and `scatter` (d,) are the mean and standard deviation of its entropy over 20 draws.
    """

    drawn: Floats
    entropy: Floats
    scatter: Floats

    @classmethod
    def of(cls, sigma: Floats, rng: np.random.Generator) -> Noise:
        """Draw noise of these standard deviations, shape (n, d)."""
        entropies = np.array(
            [entropy(sigma * rng.standard_normal(sigma.shape))[0] for _ in range(_NULL_DRAWS)]
        )
        return cls(
            sigma * rng.standard_normal(sigma.shape),
            entropies.mean(axis=0),
            entropies.std(axis=0, ddof=1),
        )

    def limit(self, p_value: float) -> float:
        """Nats that noise of the median scatter reaches with this p-value."""
        return float(student.isf(p_value, _NULL_DRAWS - 1) * np.median(_wider(self.scatter)))


@dataclass(frozen=True)
class Amount:
    """Information in nats, signed, its sampling error, and its p-value under noise, (d,)."""

    nats: Floats
    std: Floats
    p_value: Floats


def widened(means: Floats, noise: Noise) -> Amount:
    """How much means (n, d) spread the noise: h(mean + noise) - h(noise), in nats.

    This is I(x; z) where the noise is the same for every spectrum; where it differs, information in
    its size alone is left out.
    """
    value, std = entropy(means + noise.drawn)
    nats = value - noise.entropy
    return Amount(nats, std, _p_of_noise(nats, noise.scatter))


def _p_of_noise(nats: Floats, scatter: Floats) -> Floats:
    """P-value of nats if there is only noise of this scatter, (d,), by Student's t."""
    p_values: Floats = student.sf(nats / _wider(scatter), _NULL_DRAWS - 1)
    return p_values


def _wider(scatter: Floats) -> Floats:
    # The mean of 20 draws has an error too.
    wider: Floats = np.maximum(scatter, np.finfo(np.float64).tiny) * np.sqrt(1 + 1 / _NULL_DRAWS)
    return wider


def entropy(values: Floats) -> tuple[Floats, Floats]:
    """Differential entropy of each column in nats, and its sampling error, shape (n, d) -> (d,).

    From spacings of 8 (O. Vasicek, J. R. Stat. Soc. B 38, 54, 1976), with the expectation of the
    logarithm of a spacing in place of its limit: on 5,000 normal rows it is 0.006 nats too low.
    """
    ascending = np.sort(values, axis=0)
    terms = np.log(ascending[_SPACING:] - ascending[:-_SPACING])
    n = len(values)
    value = terms.mean(axis=0) - digamma(_SPACING) + digamma(n + 1)
    return value, terms.std(axis=0) / np.sqrt(n)


def _shared(
    readings: _Readings, places: list[int], seed: int, step: Callable[[], None]
) -> pd.DataFrame:
    """What each dimension shares with the others; NaN where it is not compared."""
    means, nothing = readings.means, dict.fromkeys(_SHARED, np.nan) | {"partner": None}
    rows: dict[int, dict[str, Any]] = {}
    if len(places) > 1:
        # One row per star was drawn: these are independent.
        pairs = pairwise_mi(means[:, places], groups=None, seed=seed).table
        for number, place in enumerate(places):
            own = pairs[(pairs["dim_x"] == number) | (pairs["dim_y"] == number)]
            partner = own.iloc[int(own["mi_nats"].argmax())]
            other = int(partner["dim_x"] + partner["dim_y"]) - number
            rest = means[:, [i for i in places if i != place]]
            joint = _pair(
                means[:, place],
                (seed, 0, place),
                cross_fitted(rest, means[:, [place]], own_rng(seed, 9, place))[:, 0],
                (seed, 9, place),
                seed,
            )
            jointly = joint.mi_nats >= partner["mi_nats"]
            # The strongest partner of several is one by luck, too.
            p_value = float(min(1.0, partner["p_value"] * len(own)))
            rows[place] = {
                "rest_nats": joint.mi_nats if jointly else partner["mi_nats"],
                "rest_std_nats": joint.std_nats if jointly else partner["std_nats"],
                "rest_p_value": joint.p_value if jointly else p_value,
                "partner": readings.dims[places[other]],
                "partner_nats": partner["mi_nats"],
            }
            step()
    of_each = [rows.get(place, nothing) for place in range(len(readings.dims))]
    table = pd.DataFrame(of_each, columns=list(_SHARED))
    # Whole numbers beside None, which pandas would make floats of.
    table["partner"] = pd.Series([row["partner"] for row in of_each], dtype=object)
    return table


def _pair(
    x: Floats, x_stream: tuple[int, ...], y: Floats, y_stream: tuple[int, ...], seed: int
) -> PairResult:
    """Mutual information of two columns of numbers; streams seed their jitter."""
    return measure(
        read_column("x", x, discrete=False, stream=x_stream),
        read_column("y", y, discrete=False, stream=y_stream),
        None,
        Settings(seed=seed),
    )


class Gain(NamedTuple):
    """What a dimension adds, in nats, with the p-value that it adds nothing."""

    dim: int
    nats: float
    std: float
    p_value: float


def _greedy(gains: _Gains, candidates: list[int], step: Callable[[], None]) -> pd.DataFrame:
    """Order dimensions by what each adds, until nothing significant is added.

    `p_value` is corrected for the number of dimensions left to choose from.
    """
    rows: list[tuple[int, float, float, float, bool]] = []
    chosen: list[int] = []
    left = list(candidates)
    while left:
        ranked = sorted(gains(chosen, left), key=lambda gain: -gain.nats)
        best, n_left = ranked[0], len(left)
        adds = best.nats > 0 and best.p_value * n_left < SIGNIFICANT
        for dim, nats, std, p_value in ranked[:1] if adds else ranked:
            rows.append((dim, nats, std, min(1.0, p_value * n_left), adds))
            left.remove(dim)
            step()
        chosen.append(best.dim)
    table = pd.DataFrame(rows, columns=["dim", "gain_nats", "std_nats", "p_value", "adds"])
    # Named, since columns without rows have none.
    table = table.astype({"dim": int, "adds": bool}).astype(
        {"gain_nats": float, "std_nats": float, "p_value": float}
    )
    table.insert(0, "step", np.arange(1, len(rows) + 1))
    return table.assign(total_nats=table["gain_nats"].where(table["adds"], 0.0).cumsum())


class _Gains:
    """What dimensions add to those chosen: I(x; z_j | mu_S) in nats.

    Taken off is the largest of three lower bounds on I(z_j; mu_S): what a prediction from the
    chosen takes off the spread of z_j, what that prediction shares with it, and what any one of the
    chosen shares with it.
    """

    def __init__(self, readings: _Readings, carried: Amount, seed: int) -> None:
        self._means, self._noise, self._carried = readings.means, readings.noise, carried
        self._draws, self._seed = readings.means + readings.noise.drawn, seed
        self._place = {dim: i for i, dim in enumerate(readings.dims)}
        self._pairs: dict[tuple[int, int], PairResult] = {}

    def __call__(self, chosen: list[int], left: list[int]) -> list[Gain]:
        places = [self._place[dim] for dim in left]
        if not chosen:
            return [self._gain(dim, self._carried, self._place[dim]) for dim in left]
        before = self._means[:, [self._place[dim] for dim in chosen]]
        predicted = cross_fitted(before, self._means[:, places], own_rng(self._seed, 5))
        noise = Noise(
            self._noise.drawn[:, places], self._noise.entropy[places], self._noise.scatter[places]
        )
        rest = widened(self._means[:, places] - predicted, noise)
        gains = []
        for i, dim in enumerate(left):
            shared = self._pair(dim, predicted[:, i], (self._seed, 6, dim))
            strongest = self._strongest_pair(dim, chosen)
            three = self._gain(dim, rest, i), self._less(dim, shared), self._less(dim, strongest)
            gains.append(min(three, key=lambda gain: gain.nats))
        return gains

    @staticmethod
    def _gain(dim: int, amount: Amount, i: int) -> Gain:
        return Gain(dim, float(amount.nats[i]), float(amount.std[i]), float(amount.p_value[i]))

    def _less(self, dim: int, pair: PairResult) -> Gain:
        """What a dimension carries beyond what a pair shares."""
        place = self._place[dim]
        nats = float(self._carried.nats[place]) - pair.mi_nats
        scatter = np.hypot(self._noise.scatter[place], pair.std_nats)
        std = np.hypot(self._carried.std[place], pair.std_nats)
        return Gain(dim, nats, float(std), float(_p_of_noise(np.array(nats), scatter)))

    def _pair(self, dim: int, column: Floats, stream: tuple[int, ...]) -> PairResult:
        draws = self._draws[:, self._place[dim]]
        return _pair(draws, (self._seed, 4, dim), column, stream, self._seed)

    def _strongest_pair(self, dim: int, chosen: list[int]) -> PairResult:
        """The pair with the chosen dimension that shares most; only the latest is new."""
        latest = chosen[-1]
        mean = self._means[:, self._place[latest]]
        self._pairs[dim, latest] = self._pair(dim, mean, (self._seed, 0, latest))
        return max((self._pairs[dim, other] for other in chosen), key=lambda pair: pair.mi_nats)


@dataclass(frozen=True)
class Agreement:
    """Whether deviations and information pick the same dimensions.

    `both`: above the threshold, and add information; `only_varying`: add nothing significant;
    `only_adding`: below the threshold; and the `reasons`, in words, for those that differ.
    """

    both: list[int]
    only_varying: list[int]
    only_adding: list[int]
    reasons: dict[int, str]

    @property
    def agree(self) -> bool:
        """Whether both pick the same."""
        return not self.only_varying and not self.only_adding

    def sentences(self) -> list[str]:
        """Return the verdict in lines."""
        if self.agree:
            return [f"both answers agree on {len(self.both)} dimensions: {_listed(self.both)}"]
        differ = sorted([*self.only_varying, *self.only_adding])
        several = "s" if len(differ) > 1 else ""
        more = len(differ) - _N_NAMED
        return [
            f"the two answers differ in {len(differ)} dimension{several} and agree on "
            f"{len(self.both)}: {_listed(self.both)}",
            *(f"dim {dim} {self.reasons[dim]}" for dim in differ[:_N_NAMED]),
            *([f"... and {more} more"] if more > 0 else []),
        ]


def compare(activity: MADResult, information: ExclusiveResult) -> Agreement:
    """Compare the dimensions that vary with those that add information, on the same latents.

    Parameters
    ----------
    activity : MADResult
    information : ExclusiveResult
        Dimensions that it did not order are not compared.
    """
    seen = {int(dim) for dim in information.table["dim"]}
    unordered = set(information.carrying) - {int(dim) for dim in information.order["dim"]}
    varying = {int(dim) for dim in activity.informative} & (seen - unordered)
    adding = set(information.informative)
    rows = information.table.set_index("dim").to_dict("index")
    reasons = {dim: _why_nothing(rows[dim]) for dim in varying - adding}
    for dim in adding - varying:
        reasons[dim] = (
            f"adds information ({rows[dim]['carried_nats']:.2f} nats carried), but its deviation "
            f"of {activity.values[dim]:.3g} is below the threshold"
        )
    return Agreement(
        sorted(varying & adding), sorted(varying - adding), sorted(adding - varying), reasons
    )


def _why_nothing(row: dict[Any, Any]) -> str:
    if not row["carries"]:
        return (
            f"varies, but carries no information: {row['carried_nats']:.3f} nats, lost in the "
            "noise it is read with"
        )
    partner = row["partner"]
    with_whom = "" if pd.isna(partner) else f", {row['partner_nats']:.2f} of them with {partner}"
    return (
        f"varies, but adds nothing: of its {row['carried_nats']:.2f} nats it shares "
        f"{row['rest_nats']:.2f} with the rest{with_whom}"
    )


def _listed(dims: list[int]) -> str:
    return ", ".join(map(str, dims)) or "none"
