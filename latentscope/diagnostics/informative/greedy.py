"""Dimensions in the order of what each adds to those before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics.columns.column import Column, own_rng, read_column
from latentscope.diagnostics.informative.carried import Amount, Noise, p_of_noise, widened
from latentscope.diagnostics.informative.prediction import cross_fitted
from latentscope.diagnostics.informative.sample import Sample
from latentscope.diagnostics.pairs import PairResult, Settings, measure

Floats = NDArray[np.float64]

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
