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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import digamma, ndtri
from scipy.stats import t as student

from latentscope.data import LabelsLike, Latents
from latentscope.diagnostics.activity import MADResult, kl_divergence, mad
from latentscope.diagnostics.groups import Groups, GroupsLike
from latentscope.diagnostics.mi.api import mutual_information, pairwise_mi
from latentscope.diagnostics.mi.columns import (
    Column,
    choose_labels,
    own_rng,
    read_column,
    read_label,
)
from latentscope.diagnostics.mi.estimators import without_single
from latentscope.diagnostics.mi.result import p_text
from latentscope.diagnostics.mi.table import PairResult, Progress, Settings, measure
from latentscope.diagnostics.study import (
    Dims,
    Study,
    StudyLike,
    mad_threshold,
    read_study,
)
from latentscope.errors import EstimatorError

Floats = NDArray[np.float64]

ROWS = 5000
"""Rows measured at most, by default."""

MOST = 32
"""Dimensions compared with one another at most, by default."""


def exclusive_information(
    latents: StudyLike,
    *,
    dims: Dims = "all",
    labels: LabelsLike | None = None,
    columns: Sequence[str] | None = None,
    groups: GroupsLike = "auto",
    join: str | None = None,
    rows: int = ROWS,
    most: int = MOST,
    seed: int = 0,
    progress: Progress | None = None,
) -> ExclusiveResult:
    """What each dimension carries, what it shares with others, and what it adds to them, in nats.

    A large deviation does not make a dimension exclusive: it may repeat what another holds
    (Sedaghat et al. 2021, MNRAS 501, 6026, section 4.3 and figure 5). Three questions are
    answered.

    *Carried*: what one draw z = mu + sigma e of a dimension tells about the spectrum, as
    h(mu + sigma e) - h(sigma e), with the sigma of q(z|x) where `Latents.logvar` is known. Else
    sigma is that of a dimension just at the threshold of the deviations (`mad`), so that the
    answer is then not independent of the deviations' scale. 0.5 log(1 + var(mu) / sigma^2) for
    Gaussian means; the KL divergence is never below it but for noise.

    *Shared with the rest*: mutual information of mu with those of the other dimensions that carry
    something. The larger of what the strongest partner shares, and what the best prediction from
    all the others shares (of rows that the prediction was not fitted to): both are lower bounds.
    Joint nearest-neighbour estimates are not used, since they lose most of a close relation in
    five dimensions or more.

    *Added*: greedily, what a draw of a dimension tells about the spectrum beyond the means of
    those chosen before, I(x; z_j | mu_S) = I(x; z_j) - I(z_j; mu_S); 0 for a repetition. The second
    term is a lower bound too, so gains are upper bounds. With labels: what it adds about them, the
    sum over labels of I(y; mu_j | mu_S).

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Posterior means; draws would count their noise as information. Rows of NaN are left out.
    dims : "all", "informative" or a list of int
        Those looked at.
    labels : DataFrame, array (n, labels) or path, optional
        Order dimensions by what they add about these; brought to the rows of the latents by
        `latentscope.align`.
    columns : list of str, optional
        Labels to take.
    groups : array (n,) or str, optional
        Which star each row shows, or the column that says so: one random row of each is measured.
        "auto": `star`, else `object`, if rows repeat it; None or "none": rows are independent.
    join : str, optional
        Column to join latents and labels on.
    rows : int
        Random rows measured at most.
    most : int
        Of more dimensions that carry something, those that carry most are compared.
    seed : int
        Of rows, noise, folds and shuffles.
    progress : callable, optional
        Called with (steps done, steps in all).

    Returns
    -------
    ExclusiveResult

    Raises
    ------
    ChoiceError
        If a dimension, label or column of groups is not there.
    EstimatorError
        If there are fewer than 100 independent rows, or values are infinite.
    TableError
        If latents or labels cannot be read or matched.

    Warns
    -----
    LatentscopeWarning
        If rows repeat a star and no groups are found.
    """
    _check(rows, most)
    study = read_study(latents, labels, groups=groups, join=join)
    read, wanted = study.latents, study.choose(dims)
    sample = draw_sample(read, wanted, study.groups, rows, seed)
    about = [] if study.labels is None else _labels(study, columns, seed)
    carried = _carried(sample)
    places = _strongest(carried, most)
    step = _steps(progress, len(places) * (2 if len(places) > 1 else 1))
    shared = _shared(sample, places, seed, step)
    gains = (
        AboutLabels(sample, about, seed) if about else AboutSpectra(sample, carried.amount, seed)
    )
    order = greedy(gains, [wanted[i] for i in places], step)
    table = _table(read, sample, carried, shared)
    table["adds"] = table["dim"].isin(order.loc[order["adds"], "dim"])
    names = tuple(column.name for column in about)
    provenance = study.provenance(
        "exclusive information",
        dims=wanted,
        columns=list(names),
        seed=seed,
        resolution=sample.resolution,
        rows_measured=len(sample.rows),
        dims_compared=[wanted[i] for i in places],
    )
    return ExclusiveResult(
        table,
        order,
        len(sample.rows),
        len(read),
        sample.resolution,
        sample.noise.limit(SIGNIFICANT / len(wanted)),
        names,
        int(carried.significant.sum()) - len(places),
        provenance,
    )


@dataclass(frozen=True)
class _Carried:
    """What each dimension carries, and which of them anything at all."""

    amount: Amount
    p_value: Floats
    significant: NDArray[np.bool_]


def _carried(sample: Sample) -> _Carried:
    amount = widened(sample.means, sample.noise)
    # Not a false discovery rate: of 6 informative dimensions in 128 that would let a dead one pass
    # in one run of 16.
    p_value = np.minimum(1.0, amount.p_value * len(sample.dims))
    varies = np.ptp(sample.means, axis=0) > 0
    return _Carried(amount, p_value, (p_value < SIGNIFICANT) & (amount.nats > 0) & varies)


def _strongest(carried: _Carried, most: int) -> list[int]:
    """Places of the dimensions that carry something, of too many those that carry most."""
    ranked = np.argsort(-np.where(carried.significant, carried.amount.nats, -np.inf), kind="stable")
    return sorted(int(i) for i in ranked[: min(int(carried.significant.sum()), most)])


def _check(rows: int, most: int) -> None:
    for name, value in (("rows", rows), ("most", most)):
        if value < 2:
            raise EstimatorError(f"{name} is {value}; wanted 2 or more")


def _steps(progress: Progress | None, total: int) -> Callable[[], None]:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return step


def _labels(study: Study, columns: Sequence[str] | None, seed: int) -> list[Column]:
    frame = study.label_table
    names, _ = choose_labels(frame, columns, study.group_column)
    return [
        read_label(name, frame[name], discrete="auto", clip_sigma=5.0, seed=seed) for name in names
    ]


def _shared(
    sample: Sample, places: list[int], seed: int, step: Callable[[], None]
) -> dict[int, dict[str, Any]]:
    """What each dimension shares with the others, by its place."""
    if len(places) < 2:
        return {}
    # One row a star was drawn: these are independent.
    pairs = pairwise_mi(sample.means[:, places], groups=None, seed=seed).table
    found = {}
    for number, place in enumerate(places):
        of_it = pairs[(pairs["dim_x"] == number) | (pairs["dim_y"] == number)]
        partner = of_it.iloc[int(of_it["mi_nats"].argmax())]
        other = int(partner["dim_x"] + partner["dim_y"]) - number
        joint = _with_rest(sample.means, place, [i for i in places if i != place], seed)
        own = joint.mi_nats >= partner["mi_nats"]
        found[place] = {
            "rest_nats": joint.mi_nats if own else partner["mi_nats"],
            "rest_std_nats": joint.std_nats if own else partner["std_nats"],
            "rest_p_value": joint.p_value if own else _of_several(partner["p_value"], len(of_it)),
            "partner": sample.dims[places[other]],
            "partner_nats": partner["mi_nats"],
        }
        step()
    return found


def _of_several(p_value: float, number: int) -> float:
    """P-value of the strongest of so many partners."""
    return float(min(1.0, p_value * number))


def _with_rest(means: Floats, place: int, others: list[int], seed: int) -> PairResult:
    predicted = cross_fitted(means[:, others], means[:, [place]], own_rng(seed, 9, place))[:, 0]
    return measure(
        read_column("dim", means[:, place], discrete=False, stream=(seed, 0, place)),
        read_column("rest", predicted, discrete=False, stream=(seed, 9, place)),
        None,
        Settings(seed=seed),
    )


def _table(
    read: Latents,
    sample: Sample,
    carried: _Carried,
    shared: dict[int, dict[str, Any]],
) -> pd.DataFrame:
    kl = np.full(len(sample.dims), np.nan)
    if read.logvar is not None:
        logvar = read.logvar[sample.rows][:, sample.dims]
        kl = kl_divergence(sample.means, logvar)
    table = pd.DataFrame(
        {
            "dim": sample.dims,
            "kl_nats": kl,
            "carried_nats": carried.amount.nats,
            "carried_std_nats": carried.amount.std,
            "carried_p_value": carried.p_value,
            "carries": carried.significant,
        }
    )
    of_place = [shared.get(place, {}) for place in range(len(sample.dims))]
    for name in ("rest_nats", "rest_std_nats", "rest_p_value"):
        table[name] = [float(found.get(name, np.nan)) for found in of_place]
    table["partner"] = pd.Series([found.get("partner") for found in of_place], dtype=object)
    table["partner_nats"] = [float(found.get("partner_nats", np.nan)) for found in of_place]
    alike = (table["rest_nats"] >= SHARED) & (table["rest_p_value"] < SIGNIFICANT)
    # Where one dimension alone carries something there is no rest to share with.
    known = table["rest_nats"].notna() | (not shared)
    return table.assign(exclusive=table["carries"] & known & ~alike)


SHARED = 0.1
"""Nats from which what two dimensions share counts: those of a Gaussian pair with |r| = 0.43."""

_NAMED = 12


@dataclass(frozen=True, eq=False)
class ExclusiveResult:
    """What each dimension carries, shares with others, and adds to them.

    Parameters
    ----------
    table : DataFrame
        One row a dimension looked at: `dim, kl_nats, carried_nats, carried_std_nats,
        carried_p_value, carries, rest_nats, rest_std_nats, rest_p_value, partner, partner_nats,
        exclusive, adds`. `carries`: `carried_nats` is more than noise, p below 0.01, corrected for
        the number of dimensions. `rest_nats`: mutual information with the other dimensions that
        carry something, `partner` the strongest of them and `partner_nats` what it shares.
        `exclusive`: carries something and shares less than 0.1 nats with the rest, or nothing
        significant. `adds`: in the greedy order. NaN, None or False where not measured.
    order : DataFrame
        `step, dim, gain_nats, std_nats, p_value, adds, total_nats`: the greedy order, the most
        first. Rows after the last that adds something say what each of the rest would add to it.
    n, n_rows : int
        Independent rows measured, and rows that were there.
    resolution : str
        The noise that dimensions are read with, in words.
    limit : float
        Nats; less than about that cannot be told from noise with n rows.
    labels : tuple of str
        Labels about which dimensions add something; empty: about the spectra.
    left_out : int
        Dimensions that carry something and were not ordered, since too many do.
    provenance : dict
        Settings, versions, and where the latents come from.
    """

    table: pd.DataFrame
    order: pd.DataFrame
    n: int
    n_rows: int
    resolution: str
    limit: float
    labels: tuple[str, ...]
    left_out: int
    provenance: dict[str, Any]

    @property
    def informative(self) -> list[int]:
        """Dimensions that add something significant to those before them, ascending."""
        return sorted(int(dim) for dim in self.order.loc[self.order["adds"], "dim"])

    @property
    def carrying(self) -> list[int]:
        """Dimensions that carry something, whether others repeat it or not, ascending."""
        return [int(dim) for dim in self.table.loc[self.table["carries"], "dim"]]

    def sentences(self) -> list[str]:
        """Return lines a person can read: what adds, where it ends, what is shared, and on what."""
        return [*self._order_text(), self._exclusive_text(), self._basis_text()]

    def _order_text(self) -> list[str]:
        adds = self.order[self.order["adds"]]
        about = f" about {', '.join(self.labels)}" if self.labels else ""
        count, carrying = len(adds), len(self.carrying)
        first = (
            f"{carrying} of {len(self.table)} dimensions carry information, {count} of them add "
            f"some{about} to those before: {_dims(self.informative)}"
        )
        lines = [first]
        if count:
            shown = adds.head(_NAMED).to_dict("records")
            gains = ", ".join(f"{row['dim']} ({row['gain_nats']:.2f})" for row in shown)
            more = f" and {count - _NAMED} more" if count > _NAMED else ""
            lines.append(f"what each adds{about}, in order (nats): {gains}{more}")
        return [*lines, self._end_text()]

    def _end_text(self) -> str:
        rest = self.order[~self.order["adds"]]
        if not len(self.order):
            return "nothing is carried, so nothing is added"
        if not len(rest):
            which = "that was ordered" if self.left_out else "that carries something"
            return f"every dimension {which} adds something"
        best = rest.iloc[0]
        return (
            f"nothing significant is added after that: dim {best['dim']} would add "
            f"{best['gain_nats']:.3f} ± {best['std_nats']:.3f} nats, {p_text(best['p_value'])}"
        )

    def _exclusive_text(self) -> str:
        carrying = self.table[self.table["carries"]]
        shared = carrying[~carrying["exclusive"].astype(bool) & carrying["rest_nats"].notna()]
        if len(carrying) < 2:
            return "no two dimensions carry information, so none can share it"
        if not len(shared):
            return f"each is exclusive: none shares {SHARED:g} nats with the rest"
        shown = shared.sort_values("rest_nats", ascending=False).head(_NAMED).to_dict("records")
        told = ", ".join(
            f"{row['dim']} shares {row['rest_nats']:.2f} nats (most with {row['partner']}: "
            f"{row['partner_nats']:.2f})"
            for row in shown
        )
        return f"{len(shared)} not exclusive: {told}"

    def _basis_text(self) -> str:
        some = f"a random {self.n:,}" if self.n < self.n_rows else f"all {self.n:,}"
        one = ", one a star" if self.provenance["groups"] else ""
        out = f"; {self.left_out} that carry less were not ordered" if self.left_out else ""
        return (
            f"information measured on {some} of {self.n_rows:,} rows{one}; noise: "
            f"{self.resolution}; less than {self.limit:.2f} nats is not seen{out}"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw what each dimension adds (`latentscope.plots.plot_exclusive`)."""
        return import_module("latentscope.plots").plot_exclusive(self, ax)


@dataclass(frozen=True)
class Agreement:
    """Whether deviations and information pick the same dimensions.

    Parameters
    ----------
    both : list of int
        Dimensions above the threshold that add information.
    only_varying : list of int
        Above the threshold, but add nothing significant.
    only_adding : list of int
        Below the threshold, but add something.
    reasons : dict
        Of each dimension on which they differ, in words.
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
            return [f"both answers agree on {len(self.both)} dimensions: {_dims(self.both)}"]
        differ = sorted([*self.only_varying, *self.only_adding])
        several = "s" if len(differ) > 1 else ""
        return [
            f"the two answers differ in {len(differ)} dimension{several} and agree on "
            f"{len(self.both)}: {_dims(self.both)}",
            *(f"dim {dim} {self.reasons[dim]}" for dim in differ[:_NAMED]),
            *([f"... and {len(differ) - _NAMED} more"] if len(differ) > _NAMED else []),
        ]


def compare(activity: MADResult, information: ExclusiveResult) -> Agreement:
    """Compare which dimensions vary with which add information.

    Parameters
    ----------
    activity : MADResult
        Of `mad`.
    information : ExclusiveResult
        Of `exclusive_information`, on the same latents. Dimensions that it did not look at or did
        not order are not compared.
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


def _dims(dims: list[int]) -> str:
    return ", ".join(map(str, dims)) or "none"


FEWEST_ROWS = 100
_MAD_OF_NORMAL = 0.6745


@dataclass(frozen=True)
class Sample:
    """Some rows of the dimensions looked at.

    Parameters
    ----------
    dims : list of int
        The dimensions, ascending.
    rows : ndarray of int64, shape (n,)
        Which rows of the latents, ascending, one a star where stars are known.
    means : ndarray of float64, shape (n, d)
        Values of these dimensions.
    noise : Noise
        What they are read with.
    resolution : str
        Where the noise comes from, in words.
    """

    dims: list[int]
    rows: NDArray[np.int64]
    means: Floats
    noise: Noise
    resolution: str

    @property
    def drawn(self) -> Floats:
        """Means and noise: a draw of each dimension for each row, shape (n, d)."""
        return self.means + self.noise.drawn


def draw_sample(
    latents: Latents, dims: list[int], groups: Groups | None, most: int, seed: int
) -> Sample:
    """Draw independent rows, and the noise of these dimensions.

    Parameters
    ----------
    latents : Latents
        With `logvar`, if it is known; else the noise has the standard deviation of a dimension at
        the threshold of the deviations: the estimated one, or the published one without a gap.
    dims : list of int
        Dimensions.
    groups : Groups or None
        Which star each row shows; one random row of each is drawn.
    most : int
        Rows at most.
    seed : int
        Of all that.

    Raises
    ------
    EstimatorError
        If there are fewer than 100 independent rows.
    """
    rng = own_rng(seed, 3)
    rows = _rows(latents, groups, most, rng)
    means = latents.values[rows][:, dims].astype(np.float64)
    sigma, resolution = _sigma(latents, rows, dims)
    return Sample(dims, rows, means, Noise.of(sigma, rng), resolution)


def _rows(
    latents: Latents, groups: Groups | None, most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    usable = latents.ok
    if latents.logvar is not None:
        usable = usable & np.isfinite(latents.logvar).all(axis=1)
    rows = np.flatnonzero(usable) if groups is None else groups.draws(usable, 1, rng).rows[0]
    if len(rows) < FEWEST_ROWS:
        what = "rows are finite" if groups is None else "groups have a finite row"
        raise EstimatorError(
            f"{latents.source}: {len(rows)} {what}; wanted {FEWEST_ROWS} or more to measure "
            "information"
        )
    chosen = rows if len(rows) <= most else rng.choice(rows, most, replace=False)
    ascending: NDArray[np.int64] = np.sort(chosen)
    return ascending


def _sigma(latents: Latents, rows: NDArray[np.int64], dims: list[int]) -> tuple[Floats, str]:
    if latents.logvar is not None:
        sigma: Floats = np.exp(0.5 * latents.logvar[rows][:, dims].astype(np.float64))
        return sigma, "the posterior's own width (logvar)"
    estimated = mad(latents).estimated_threshold
    threshold = mad_threshold(latents) if estimated is None else estimated
    where = "published" if estimated is None else "estimated"
    told = f"that of a dimension at the {where} threshold {threshold:.3g}, since logvar is unknown"
    return np.full((len(rows), len(dims)), threshold / _MAD_OF_NORMAL), told


_SPACING = 8
_NULL_DRAWS = 20


@dataclass(frozen=True)
class Noise:
    """The noise that dimensions are read with, drawn once.

    Parameters
    ----------
    drawn : ndarray of float64, shape (n, d)
        sigma_j(x) e.
    entropy : ndarray of float64, shape (d,)
        Of that noise, the same estimate as of the draws, averaged over draws.
    scatter : ndarray of float64, shape (d,)
        Standard deviation of the estimate over such draws.
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
        """Nats of which noise of the median scatter would show as much with this p-value."""
        return float(student.isf(p_value, _NULL_DRAWS - 1) * np.median(_wider(self.scatter)))


@dataclass(frozen=True)
class Amount:
    """Amounts of information with their errors.

    Parameters
    ----------
    nats : ndarray of float64, shape (d,)
        Signed.
    std : ndarray of float64, shape (d,)
        Sampling error.
    p_value : ndarray of float64, shape (d,)
        That noise alone, with a mean that never moves, looks like as much.
    """

    nats: Floats
    std: Floats
    p_value: Floats


def widened(means: Floats, noise: Noise) -> Amount:
    """Return how much means spread the noise: h(mean + noise) - h(noise), in nats.

    Where the noise is the same for every spectrum this is I(x; z). Where it differs, what its size
    alone tells is left out. Half a log of (1 + variance of the mean / variance of the noise) of
    Gaussian means.

    Parameters
    ----------
    means : ndarray of float64, shape (n, d)
        Means, or what is left of them when a prediction is taken off.
    noise : Noise
        Of the same dimensions.
    """
    value, std = entropy(means + noise.drawn)
    nats = value - noise.entropy
    return Amount(nats, std, p_of_noise(nats, noise.scatter))


def p_of_noise(nats: Floats, scatter: Floats) -> Floats:
    """P-value of an amount in nats if there is nothing but noise of this scatter, shape (d,).

    By Student's t, since the scatter and the centre of the null come from 20 draws.
    """
    p_values: Floats = student.sf(nats / _wider(scatter), _NULL_DRAWS - 1)
    return p_values


def _wider(scatter: Floats) -> Floats:
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


SIGNIFICANT = 0.01
"""p, after the correction for the dimensions left, below which an addition counts."""


@dataclass(frozen=True)
class Gain:
    """What a dimension adds, in nats, with the p-value that it adds nothing."""

    dim: int
    nats: float
    std: float
    p_value: float


def greedy(
    gains: Callable[[list[int], list[int]], list[Gain]],
    candidates: list[int],
    step: Callable[[], None],
) -> pd.DataFrame:
    """Order dimensions by what each adds, until nothing significant is added.

    Parameters
    ----------
    gains : callable
        (chosen, left) -> what each of those left adds to the chosen.
    candidates : list of int
        Dimensions.
    step : callable
        Called after each.

    Returns
    -------
    DataFrame
        `step, dim, gain_nats, std_nats, p_value, adds, total_nats`. `p_value` is corrected for the
        number of dimensions left to choose from. Rows after the last that adds something say what
        each of the rest would add to it, the most first.
    """
    rows: list[tuple[Gain, float, bool]] = []
    chosen: list[int] = []
    left = list(candidates)
    while left:
        found = sorted(gains(chosen, left), key=lambda gain: -gain.nats)
        p_values = [min(1.0, gain.p_value * len(left)) for gain in found]
        adds = found[0].nats > 0 and p_values[0] < SIGNIFICANT
        taken = 1 if adds else len(found)
        rows += [(found[i], p_values[i], adds) for i in range(taken)]
        for gain in found[:taken]:
            left.remove(gain.dim)
            step()
        chosen.append(found[0].dim)
    table = pd.DataFrame(
        {
            "step": np.arange(1, len(rows) + 1),
            "dim": np.array([gain.dim for gain, _, _ in rows], dtype=np.int64),
            "gain_nats": np.array([gain.nats for gain, _, _ in rows], dtype=np.float64),
            "std_nats": np.array([gain.std for gain, _, _ in rows], dtype=np.float64),
            "p_value": np.array([p for _, p, _ in rows], dtype=np.float64),
            "adds": np.array([adds for _, _, adds in rows], dtype=bool),
        }
    )
    return table.assign(total_nats=table["gain_nats"].where(table["adds"], 0.0).cumsum())


class AboutSpectra:
    """What dimensions add about the spectra, without labels: I(x; z_j | mu_S) in nats.

    Of three lower bounds on what the chosen dimensions tell about z_j the largest counts: what a
    prediction from them takes off its spread, what that prediction shares with it, and what any
    one of them shares with it.

    Parameters
    ----------
    sample : Sample
    carried : Amount
        Of the sample's dimensions.
    seed : int
        Of predictions.
    """

    def __init__(self, sample: Sample, carried: Amount, seed: int) -> None:
        self._sample, self._carried, self._seed = sample, carried, seed
        self._told: dict[tuple[int, int], PairResult] = {}
        drawn = sample.drawn
        place = {dim: i for i, dim in enumerate(sample.dims)}
        self._place = place
        self._drawn = {
            dim: read_column(f"draw {dim}", drawn[:, i], discrete=False, stream=(seed, 4, dim))
            for dim, i in place.items()
        }

    def __call__(self, chosen: list[int], left: list[int]) -> list[Gain]:
        """Return what each dimension left adds to the chosen."""
        places = [self._place[dim] for dim in left]
        if not chosen:
            return [
                Gain(dim, *(float(of[i]) for of in (c.nats, c.std, c.p_value)))
                for c in [self._carried]
                for dim, i in zip(left, places, strict=True)
            ]
        known = self._sample.means[:, [self._place[dim] for dim in chosen]]
        means, noise = self._sample.means[:, places], self._sample.noise
        predicted = cross_fitted(known, means, own_rng(self._seed, 5))
        noise = Noise(noise.drawn[:, places], noise.entropy[places], noise.scatter[places])
        rest = widened(means - predicted, noise)
        return [
            self._least(
                Gain(dim, *(float(of[i]) for of in (rest.nats, rest.std, rest.p_value))),
                float(noise.scatter[i]),
                [self._share(dim, predicted[:, i]), self._told_by(dim, chosen[-1], chosen)],
            )
            for i, dim in enumerate(left)
        ]

    def _share(self, dim: int, predicted: Floats) -> PairResult:
        column = read_column(
            f"prediction of {dim}", predicted, discrete=False, stream=(self._seed, 6, dim)
        )
        return measure(self._drawn[dim], column, None, Settings(seed=self._seed))

    def _told_by(self, dim: int, latest: int, chosen: list[int]) -> PairResult:
        """Return what the one of the chosen tells that tells most."""
        self._told[dim, latest] = measure(
            self._drawn[dim], self._mean(latest), None, Settings(seed=self._seed)
        )
        return max((self._told[dim, other] for other in chosen), key=lambda pair: pair.mi_nats)

    def _mean(self, dim: int) -> Column:
        values = self._sample.means[:, self._place[dim]]
        return read_column(f"dim {dim}", values, discrete=False, stream=(self._seed, 0, dim))

    def _least(self, rest: Gain, scatter: float, told: list[PairResult]) -> Gain:
        place = self._place[rest.dim]
        carried, std = float(self._carried.nats[place]), float(self._carried.std[place])
        gains = [rest]
        for pair in told:
            nats = carried - pair.mi_nats
            error = float(np.hypot(scatter, pair.std_nats))
            p_value = float(p_of_noise(np.array(nats), np.array(error)))
            gains.append(Gain(rest.dim, nats, float(np.hypot(std, pair.std_nats)), p_value))
        return min(gains, key=lambda gain: gain.nats)


_SHUFFLES = 8
_MOST_SCORES = 3
"""Columns to which the predicted scores of classes are reduced: kNN degrades with more."""


@dataclass(frozen=True)
class _Label:
    """A label on the rows of the sample that have it: what is predicted, and its values."""

    rows: NDArray[np.int64]
    targets: Floats
    values: NDArray[np.generic]
    discrete: bool


class AboutLabels:
    """What dimensions add about labels: the sum over labels of I(y; mu_j | mu_S) in nats.

    That is J(S, j) - J(S), J the larger of what a prediction of the label from the dimensions
    shares with it and what any one of them does: lower bounds of what they tell together. The null
    is what a column of shuffled rows adds. Labels that say the same count as often as they are
    given.

    Parameters
    ----------
    sample : Sample
    columns : list of Column
        Labels, of all rows of the latents.
    seed : int
        Of predictions and shuffles.

    Raises
    ------
    EstimatorError
        If a label is known for fewer than 100 rows of the sample.
    """

    def __init__(self, sample: Sample, columns: list[Column], seed: int) -> None:
        self._means, self._seed = sample.means, seed
        self._place = {dim: i for i, dim in enumerate(sample.dims)}
        self._labels = [_label(column, sample) for column in columns]
        self._alone: dict[tuple[int, int], float] = {}

    def __call__(self, chosen: list[int], left: list[int]) -> list[Gain]:
        """Return what each dimension left adds to the chosen."""
        before = self._known(chosen)
        rng = own_rng(self._seed, 7, len(chosen))
        nothing = np.array(
            [self._known(chosen, self._shuffled(left, rng)) for _ in range(_SHUFFLES)]
        )
        centre = float((nothing - before).mean())
        std = float(nothing.std(ddof=1) * np.sqrt(1 + 1 / _SHUFFLES))
        found = []
        for dim in left:
            nats = self._known([*chosen, dim]) - before
            p_value = float(student.sf((nats - centre) / max(std, 1e-12), _SHUFFLES - 1))
            found.append(Gain(dim, nats, std, p_value))
        return found

    def _shuffled(self, left: list[int], rng: np.random.Generator) -> Floats:
        return rng.permutation(self._means[:, self._place[int(rng.choice(left))]])

    def _known(self, dims: list[int], other: Floats | None = None) -> float:
        """Sum over labels of what dimensions, and another column, tell together."""
        places = [self._place[dim] for dim in dims]
        columns = self._means[:, places]
        if other is not None:
            columns = np.column_stack([columns, other])
        if not columns.shape[1]:
            return 0.0
        return sum(
            max([self._together(i, columns), *(self._by_itself(i, place) for place in places)])
            for i in range(len(self._labels))
        )

    def _together(self, label: int, columns: Floats) -> float:
        of = self._labels[label]
        scores = cross_fitted(columns[of.rows], of.targets, own_rng(self._seed, 8))
        scores = scores - scores.mean(axis=0)
        left, sizes, _ = np.linalg.svd(scores, full_matrices=False)
        # The scores of all classes add up to 1, so one of them says nothing new.
        kept = min(max(scores.shape[1] - 1, 1), _MOST_SCORES)
        return self._shared(left[:, :kept] * sizes[:kept], of)

    def _by_itself(self, label: int, place: int) -> float:
        if (label, place) not in self._alone:
            of = self._labels[label]
            self._alone[label, place] = self._shared(self._means[of.rows, place], of)
        return self._alone[label, place]

    def _shared(self, columns: Floats, of: _Label) -> float:
        return mutual_information(columns, of.values, discrete=of.discrete, seed=self._seed)


def _label(column: Column, sample: Sample) -> _Label:
    rows = np.flatnonzero(column.valid[sample.rows])
    if len(rows) < FEWEST_ROWS:
        raise EstimatorError(
            f"{column.name}: known for {len(rows)} of {len(sample.rows)} rows; wanted "
            f"{FEWEST_ROWS} or more"
        )
    of_latents = sample.rows[rows]
    if column.codes is None:
        assert column.values is not None
        values = column.values[of_latents]
        return _Label(rows, normal_scores(values[:, None]), values, False)
    several = without_single(column.codes[of_latents])
    rows, of_latents = rows[several], of_latents[several]
    codes = np.unique(column.codes[of_latents], return_inverse=True)[1]
    if codes.max(initial=0) == 0:
        raise EstimatorError(f"{column.name}: one class with several rows; wanted two or more")
    return _Label(rows, np.eye(int(codes.max()) + 1)[codes], codes, True)


_FOLDS = 5
_MOST_PRODUCTS = 16
"""Columns up to which products are features; of more they would outnumber the rest."""

_KNOTS = (-1.2, -0.6, 0.0, 0.6, 1.2)
"""Of the splines, in normal scores."""

_BUMPS = 100
_ROWS_PER_BUMP = 8
_WIDTHS = (1.0, 6.0)
"""Variances of the bumps over the number of columns, which have unit variance."""

_PENALTIES = 10.0 ** np.arange(-6.0, 5.0, 2.0)


def normal_scores(values: Floats) -> Floats:
    """Normal quantiles of the ranks in each column, shape (n, d) -> (n, d)."""
    ranks = np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0, kind="stable")
    scores: Floats = ndtri((ranks + 0.5) / len(values))
    return scores


def cross_fitted(columns: Floats, targets: Floats, rng: np.random.Generator) -> Floats:
    """Predict each row from the others: five folds, each predicted by the fit to the rest.

    So a prediction is independent of the noise in its own row's target, and what it shares with
    the target is a lower bound of what the columns share with it.

    Parameters
    ----------
    columns : ndarray of float64, shape (n, s)
        What is known; none constant, independent rows.
    targets : ndarray of float64, shape (n, t)
        What is predicted.
    rng : Generator
        Of folds and bumps.

    Returns
    -------
    ndarray of float64, shape (n, t)
    """
    features = _features(columns, rng)
    centre = targets.mean(axis=0)
    wanted = targets - centre
    fold = rng.permutation(len(features)) % _FOLDS
    parts = [(features[fold == k], wanted[fold == k]) for k in range(_FOLDS)]
    grams = [part.T @ part for part, _ in parts]
    moments = [part.T @ target for part, target in parts]
    gram, moment = sum(grams), sum(moments)
    found = np.empty((len(_PENALTIES), *targets.shape))
    for k, (part, _) in enumerate(parts):
        found[:, fold == k] = _ridge(gram - grams[k], moment - moments[k], part)
    best = ((found - wanted) ** 2).sum(axis=1).argmin(axis=0)
    predicted: Floats = np.stack([found[i, :, t] for t, i in enumerate(best)], axis=1) + centre
    return predicted


def _ridge(gram: Floats, moment: Floats, rows: Floats) -> Floats:
    """Predictions with each penalty, shape (penalties, rows, t)."""
    weights, vectors = np.linalg.eigh(gram)
    turned, rows = vectors.T @ moment, rows @ vectors
    shrunk = np.maximum(weights, 0)[None] + _PENALTIES[:, None]
    return np.stack([rows @ (turned / each[:, None]) for each in shrunk])


def _features(columns: Floats, rng: np.random.Generator) -> Floats:
    n, s = columns.shape
    scores = normal_scores(columns)
    parts = [columns - columns.mean(axis=0), scores**3]
    parts += [np.maximum(scores - knot, 0.0) ** 3 for knot in _KNOTS]
    if s <= _MOST_PRODUCTS:
        first, second = np.triu_indices(s)
        parts.append(scores[:, first] * scores[:, second])
    bumps = scores[rng.choice(n, min(_BUMPS, n // _ROWS_PER_BUMP), replace=False)]
    squares = (scores**2).sum(axis=1)[:, None] + (bumps**2).sum(axis=1) - 2 * scores @ bumps.T
    parts += [np.exp(-squares / (2 * width * s)) for width in _WIDTHS]
    features = np.hstack(parts)
    features -= features.mean(axis=0)
    deviation = np.sqrt(np.einsum("ij,ij->j", features, features) / n)
    scaled: Floats = features / np.where(deviation > 0, deviation, 1.0)
    return scaled
