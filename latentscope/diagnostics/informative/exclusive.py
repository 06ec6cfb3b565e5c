"""Which dimensions hold information of their own, and in which order they add it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents, align, read_labels, read_latents
from latentscope.diagnostics.columns.column import Column, own_rng, read_column
from latentscope.diagnostics.columns.dims import Dims, choose_dims
from latentscope.diagnostics.columns.group_columns import groups_of
from latentscope.diagnostics.columns.label_columns import choose_labels, read_label
from latentscope.diagnostics.informative.about_labels import AboutLabels
from latentscope.diagnostics.informative.carried import Amount, kl_divergence, widened
from latentscope.diagnostics.informative.greedy import SIGNIFICANT, AboutSpectra, greedy
from latentscope.diagnostics.informative.prediction import cross_fitted
from latentscope.diagnostics.informative.result import SHARED, ExclusiveResult
from latentscope.diagnostics.informative.sample import Sample, draw_sample
from latentscope.diagnostics.pair_table import Progress
from latentscope.diagnostics.pairs import PairResult, Settings, measure
from latentscope.diagnostics.pairwise import pairwise_mi
from latentscope.diagnostics.provenance import origin
from latentscope.errors import EstimatorError

Floats = NDArray[np.float64]

ROWS = 5000
"""Rows measured at most, by default."""

MOST = 32
"""Dimensions compared with one another at most, by default."""


def exclusive_information(
    latents: Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str],
    *,
    dims: Dims = "all",
    labels: ArrayLike | pd.DataFrame | str | os.PathLike[str] | None = None,
    columns: Sequence[str] | None = None,
    groups: ArrayLike | pd.Series | str | None = None,
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
    latents : Latents, array (n, d), DataFrame or path
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
        If rows repeat a star and no groups are given.
    """
    _check(rows, most)
    read, frame = read_latents(latents), None
    if labels is not None:
        read, frame = align(read, read_labels(labels), join)
    wanted = choose_dims(dims, read)
    beside = pd.DataFrame(index=range(len(read))) if frame is None else frame
    sample = draw_sample(read, wanted, groups_of(groups, read, beside), rows, seed)
    about = [] if frame is None else _labels(frame, columns, groups, seed)
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
    provenance = {
        **origin("exclusive information"),
        "dims": wanted,
        "columns": list(names),
        "groups": groups if isinstance(groups, str) else groups is not None,
        "join": join,
        "seed": seed,
        "resolution": sample.resolution,
        "rows": len(read),
        "rows_finite": int(read.ok.sum()),
        "rows_measured": len(sample.rows),
        "dims_compared": [wanted[i] for i in places],
        "source": read.source,
        "latents": read.provenance,
    }
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


def _labels(
    frame: pd.DataFrame, columns: Sequence[str] | None, groups: Any, seed: int
) -> list[Column]:
    names, _ = choose_labels(frame, columns, groups if isinstance(groups, str) else None)
    return [
        read_label(name, frame[name], discrete="auto", clip_sigma=5.0, seed=seed) for name in names
    ]


def _shared(
    sample: Sample, places: list[int], seed: int, step: Callable[[], None]
) -> dict[int, dict[str, Any]]:
    """What each dimension shares with the others, by its place."""
    if len(places) < 2:
        return {}
    pairs = pairwise_mi(sample.means[:, places], seed=seed).table
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
