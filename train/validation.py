"""Figures of a network on validation rows: loss terms, dimensions, and what labels know of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning, median_abs_deviation

from latentscope.diagnostics.activity import ACTIVE_VARIANCE
from latentscope.diagnostics.mi.api import mi_matrix
from latentscope.diagnostics.threshold import THRESHOLD
from latentscope.errors import EstimatorError, LatentscopeWarning
from latentscope.models.network import SpectrumVAE
from train.data.batches import Data
from train.learning.dims import DEAD
from train.learning.module import SpectrumModule, averaged
from train.settings import Schedule


@contextmanager
def evaluated(module: SpectrumModule) -> Iterator[SpectrumVAE]:
    """Yield the network that is watched and exported, in eval mode and without gradients.

    It has the averaged weights, where the run averages them. Training goes on afterwards as if
    nothing had been looked at; no random number is drawn.
    """
    model = module.model
    training = model.training
    model.eval()
    try:
        with averaged(model, module.average), torch.no_grad():
            yield model
    finally:
        model.train(training)


# Labels are looked at here alone, for the log; nothing flows back into the training.

_AT_ONCE = 50
_MAX_DIMS = 32
"""Dimensions whose mutual information with labels is measured: those with the largest KL."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Validation:
    """What a network makes of the validation rows."""

    losses: dict[str, float]  # mean of each term, unweighted and without blur
    mean: Floats  # of q(z|x), shape (n, latents)
    kl: Floats  # nats, mean over the rows, shape (latents,)

    @property
    def mad(self) -> Floats:
        """Median absolute deviation of the mean, shape (latents,), unscaled."""
        return np.asarray(median_abs_deviation(self.mean))

    @property
    def strength(self) -> Floats:
        """What dimensions are ordered by: KL, or MAD where a network has none."""
        return self.kl if self.kl.any() else self.mad

    @property
    def informative(self) -> list[int]:
        """Dimensions with MAD above 0.02 and, where there is any KL, with more than 0.1 nats."""
        above = (self.mad > THRESHOLD) & ((self.kl > DEAD) | (not self.kl.any()))
        return [dim for dim in np.argsort(-self.strength).tolist() if above[dim]]


def validate(module: SpectrumModule, data: Data) -> Validation:
    """Run the network over the validation rows; call it inside `evaluated(module)`."""
    parts: dict[str, list[NDArray[Any]]] = {}
    rows, valid, ivar = data.validation_rows, data.validation_valid, data.validation_ivar
    for start in range(0, len(rows), _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        batch = torch.from_numpy(rows[block].astype("f4")).to(module.device)
        mask = None if valid is None else torch.from_numpy(valid[block]).to(module.device)
        errors = None if ivar is None else torch.from_numpy(ivar[block]).to(module.device)
        for key, value in module.terms(batch, valid=mask, ivar=errors).items():
            parts.setdefault(key, []).append(value.double().cpu().numpy())
    terms = {key: np.concatenate(value) for key, value in parts.items()}
    losses = {key: float(value.mean()) for key, value in terms.items() if value.ndim == 1}
    return Validation(losses, terms["mean"], terms["kl"].mean(0))


def dims_table(seen: Validation, labels: pd.DataFrame) -> pd.DataFrame:
    """One row per dimension: `dim, kl, mad, variance, active`, and `LABEL_mi` in nats, signed.

    Of many dimensions those with the largest KL are measured against labels; NaN of the others.
    """
    variance = seen.mean.var(0)
    table = pd.DataFrame(
        {
            "dim": np.arange(len(seen.kl)),
            "kl": seen.kl,
            "mad": seen.mad,
            "variance": variance,
            "active": variance > ACTIVE_VARIANCE,
        }
    )
    shared = _information(seen, labels)
    for name in labels:
        table[f"{name}_mi"] = shared.get(name, np.nan)
    return table


def figures(
    module: SpectrumModule, seen: Validation, dims: pd.DataFrame, labels: pd.DataFrame
) -> dict[str, float]:
    """One line of `watch.csv`: losses, counts of dimensions, the best dimension of each label."""
    # Linear in its terms, so that means will do; and comparable between the stages of a run.
    terms = {key: torch.tensor([value]) for key, value in seen.losses.items()}
    terms["kl"] = torch.from_numpy(seen.kl)[None]
    last = replace(module.config.stages[-1], free_bits=Schedule(0.0))
    line = {"loss": module.loss_of(terms, last, 1.0).item()} | seen.losses
    line |= {
        "kl": seen.kl.sum(),
        "kl_dims": (seen.kl > DEAD).sum(),
        "mad_dims": (seen.mad > THRESHOLD).sum(),
        "active_dims": dims["active"].sum(),
    }
    for name in labels:
        correlation = np.abs(rank_correlation(seen.mean, labels[name]))
        best = int(np.argmax(correlation))
        line |= {f"{name}_dim": best, f"{name}_rank": correlation[best]}
        shared = dims[f"{name}_mi"]
        if shared.notna().any():
            line |= {f"{name}_mi_dim": int(np.nanargmax(shared)), f"{name}_mi": shared.max()}
    if module.model.config.doppler:
        line["doppler_scale"] = module.model.doppler_scale.item()
    return {key: float(value) for key, value in line.items()}


@contextmanager
def own_threads() -> Iterator[None]:
    """Keep torch's number of threads, and let numba have no more of them.

    The first kernel that numba runs gives OpenMP, and so torch, one thread per core; beside other
    work on the machine that makes training several times slower.
    """
    threads, max_threads = torch.get_num_threads(), numba.get_num_threads()
    numba.set_num_threads(min(threads, max_threads))
    try:
        yield
    finally:
        numba.set_num_threads(max_threads)
        torch.set_num_threads(threads)


def _information(seen: Validation, labels: pd.DataFrame) -> pd.DataFrame:
    """Mutual information in nats, dims x labels; empty where none can be measured."""
    strongest = sorted(np.argsort(-seen.strength)[:_MAX_DIMS].tolist())
    if labels.empty or not np.isfinite(seen.mean).all():
        return pd.DataFrame()
    with warnings.catch_warnings(), own_threads():
        # Dead dimensions and rare labels are nothing to be told of every thousand steps.
        warnings.simplefilter("ignore", LatentscopeWarning)
        try:
            return mi_matrix(seen.mean, labels, dims=strongest).matrix.T
        except EstimatorError:
            return pd.DataFrame()


def rank_correlation(mean: Floats, label: pd.Series) -> Floats:
    """Rank correlation (Spearman) of a label, shape (n,), with each dimension of `mean`.

    0 of a constant dimension; rows without the label are left out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        dims = pd.DataFrame(mean).corrwith(label.reset_index(drop=True), method="spearman")
    return dims.fillna(0.0).to_numpy()
