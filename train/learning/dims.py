"""Dimensions of the latent space: which are open, and how they are drawn anew or closed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentscope.models.network import SpectrumVAE
from train.learning.losses import kl_per_dim

DEAD = 0.1
"""Nats: a dimension with less KL than this on the validation rows counts as dead."""

DEAD_MAD = 0.02
"""A dimension of a plain autoencoder whose mean varies less than this (MAD) counts as dead."""

_ROWS = 256
"""Validation spectra that are looked at."""

_BLOCK = 32


def latents_of(
    model: SpectrumVAE, rows: NDArray[Any], logvar_range: tuple[float, float]
) -> tuple[Tensor, Tensor | None]:
    """Means and KL in nats of some hundred rows, shape (n, latents); no KL of an autoencoder.

    By the convolutions alone, which are what training can mend.
    """
    device = next(model.parameters()).device
    means, kls = [], []
    with torch.no_grad():
        for start in range(0, min(len(rows), _ROWS), _BLOCK):
            block = rows[start : min(start + _BLOCK, _ROWS)].astype(np.float32)
            mean, logvar = model.encode(torch.from_numpy(block).to(device), fit=False)
            means.append(mean.float())
            if logvar is not None:
                kls.append(kl_per_dim(mean.float(), logvar.float().clamp(*logvar_range)))
    return torch.cat(means), torch.cat(kls) if kls else None


def dead_dims(mean: Tensor, kl: Tensor | None) -> list[int]:
    """Dimensions that say nothing: by their KL, or of a plain autoencoder by the MAD of the mean.

    Parameters
    ----------
    mean : Tensor of shape (n, latents)
    kl : Tensor of shape (n, latents), or None
        Nats.
    """
    if kl is not None:
        return _below(kl.mean(0), DEAD)
    values = mean.cpu().numpy()
    deviation = np.median(np.abs(values - np.median(values, axis=0)), axis=0)
    return _below(torch.from_numpy(deviation), DEAD_MAD)


def dims_below(kl: Tensor | None, nats: float) -> list[int]:
    """Dimensions whose mean KL is below `nats`; none of a plain autoencoder."""
    return [] if kl is None else _below(kl.mean(0), nats)


def _below(values: Tensor, threshold: float) -> list[int]:
    return [int(dim) for dim in torch.nonzero(values < threshold)]


def redraw(model: SpectrumVAE, dims: list[int], seed: int) -> None:
    """Draw the weights that write and read some dimensions anew."""
    generator = torch.Generator().manual_seed(seed)
    into, out_of = _layers_of_z(model)
    with torch.no_grad():
        for layer in into:
            bound = layer.in_features**-0.5
            for dim in dims:
                layer.weight[dim].copy_(_uniform(layer.weight[dim], bound, generator))
                layer.bias[dim] = 0.0
        for layer in out_of:
            bound = layer.in_features**-0.5
            for dim in dims:
                layer.weight[:, dim].copy_(_uniform(layer.weight[:, dim], bound, generator))


def _uniform(like: Tensor, bound: float, generator: torch.Generator) -> Tensor:
    return torch.empty(like.shape).uniform_(-bound, bound, generator=generator)


def close(model: SpectrumVAE, dims: list[int]) -> None:
    """Set q(z|x) of some dimensions to the unit Gaussian and let the decoder ignore them."""
    into, out_of = _layers_of_z(model)
    with torch.no_grad():
        for layer in into:
            layer.weight[dims] = 0.0
            layer.bias[dims] = 0.0
        for layer in out_of:
            layer.weight[:, dims] = 0.0
        if model.config.doppler and 0 in dims:
            model.doppler_scale.zero_()


def _layers_of_z(model: SpectrumVAE) -> tuple[list[Any], list[Any]]:
    """Linear layers that write the latents, and those that read them."""
    into = [model.mean, model.logvar] if model.config.variational else [model.mean]
    return into, model.readers
