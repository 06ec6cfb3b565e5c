"""Penalties on latents that depend on each other.

Both are properties of the whole archive's latents. A batch of 8 says little about them, so they
are measured over the batch and the spectra just before it, whose q(z|x) `Memory` keeps. These are
constants: the gradient flows through the batch alone, and is that of the whole nonetheless.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from train.learning.dependence import dependence
from train.learning.ranks import whole_batch
from train.settings.run import TrainConfig

NAMES = ("total_correlation", "decorrelation", "dependence")
"""Schedules of a stage that are factors of a penalty."""


def total_correlation(
    z: Tensor,
    mean: Tensor,
    logvar: Tensor,
    spectra: int,
    earlier: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Total correlation KL(q(z) || prod_j q(z_j)) of the archive's latents in nats, estimated.

    The second term of eq. 2 of Chen et al. (2018, arXiv:1802.04942). q(z) is the mean of q(z|x)
    over the archive. As in their stratified sampling (appendix C), the spectrum that z was drawn
    from counts 1/N and the others together 1 - 1/N, which makes the estimate of q(z) unbiased;
    their eq. 3, which weighs all alike, takes nearly every z for a place that its own spectrum
    alone reaches when a batch is small.

    The path through z is the full gradient of a KL of q(z): what its densities add has mean 0.
    So spectra of earlier steps may stand for the archive without a gradient of their own.

    Parameters
    ----------
    z, mean, logvar : Tensor of shape (n, latents)
        Draws, and the q(z|x) that they were drawn from.
    spectra : int
        N, the spectra of the archive.
    earlier : tuple of Tensor, each of shape (m, latents), optional
        Means and log variances of other spectra.

    Returns
    -------
    Tensor
        A scalar. It is below the truth where few spectra overlap with each z.
    """
    own = torch.arange(len(z), device=z.device)
    if earlier is not None:
        mean = torch.cat([mean, earlier[0]])
        logvar = torch.cat([logvar, earlier[1]])
    log_density = _log_normal(z[:, None], mean[None], logvar[None])  # (n, n + m, latents)
    count = max(spectra, 2)
    weight = log_density.new_full((len(z), len(mean)), math.log1p(-1 / count))
    weight = weight - math.log(max(len(mean) - 1, 1))
    weight[own, own] = -math.log(count)
    joint = torch.logsumexp(weight + log_density.sum(2), dim=1)  # (n,)
    margins = torch.logsumexp(weight[:, :, None] + log_density, dim=1)  # (n, latents)
    return (joint - margins.sum(1)).mean()


def _log_normal(z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * ((z - mean) ** 2 * torch.exp(-logvar) + logvar + math.log(2 * math.pi))


def decorrelation(mean: Tensor, earlier: Tensor | None = None) -> Tensor:
    """Sum of squared covariances between the means of different dimensions (scalar).

    The first term of eq. 6 of Kumar et al. (2018, arXiv:1711.00848; DIP-VAE-I),
    ``sum_{i != j} Cov[mean]_ij^2``, each pair counted twice as there. Their second term, which
    pulls each variance to 1, would open every dimension, and is left out.

    Parameters
    ----------
    mean : Tensor of shape (n, latents)
    earlier : Tensor of shape (m, latents), optional
        Means of other spectra. They take part in the covariance; the gradient is scaled up to what
        it would be if all n + m spectra had one, given that the others are like the batch.
    """
    if earlier is not None:
        share = (len(mean) + len(earlier)) / len(mean)
        mean = torch.cat([mean.detach() + share * (mean - mean.detach()), earlier])
    centred = mean - mean.mean(0)
    covariance = centred.T @ centred / len(mean)
    return (covariance**2).sum() - (covariance.diagonal() ** 2).sum()


class Memory(nn.Module):
    """q(z|x) of the latest spectra, without gradient; part of a module's state.

    Parameters
    ----------
    size : int
        Spectra that it holds.
    latents : int
    """

    mean: Tensor
    logvar: Tensor

    def __init__(self, size: int, latents: int) -> None:
        super().__init__()
        self._held = 0
        self.register_buffer("mean", torch.zeros(size, latents))
        self.register_buffer("logvar", torch.zeros(size, latents))

    @property
    def full(self) -> bool:
        """Whether as many spectra as it holds have been seen."""
        return self._held >= len(self.mean)

    def add(self, mean: Tensor, logvar: Tensor) -> None:
        """Take in a batch, shape (n, latents) each; the oldest spectra drop out."""
        self._held = min(self._held + len(mean), len(self.mean))
        with torch.no_grad():
            for held, new in ((self.mean, mean), (self.logvar, logvar)):
                held.copy_(torch.cat([held, new])[len(new) :])

    def forget(self) -> None:
        """Hold nothing."""
        self._held = 0

    def get_extra_state(self) -> dict[str, Any]:
        """How many spectra are held, for a checkpoint."""
        return {"held": self._held}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint's number of spectra."""
        self._held = state["held"]


class Penalties(nn.Module):
    """The penalties that a run uses in any of its stages, unweighted.

    Parameters
    ----------
    config : TrainConfig
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self._names = [name for name in NAMES if config.uses(name)]
        self._spectra = config.steps * config.data.batch_size
        self._memory: Memory | None = None
        if self._names:
            earlier = max(config.penalty_spectra - config.data.batch_size, 0)
            self._memory = Memory(earlier, config.architecture.latents)

    def learn_from(self, spectra: int) -> None:
        """Say how many different spectra there are to learn from."""
        self._spectra = min(self._spectra, spectra)

    def forget(self) -> None:
        """Begin anew, when the latents have changed at a stroke."""
        if self._memory is not None:
            self._memory.forget()

    def forward(self, mean: Tensor, logvar: Tensor | None, z: Tensor) -> dict[str, Tensor]:
        """Penalties of the batch of all processes; 0 until enough spectra have gone before it.

        Parameters
        ----------
        mean, logvar, z : Tensor of shape (n, latents)
            Of q(z|x) and drawn from it, for this process's spectra; no `logvar` of a plain
            autoencoder.

        Returns
        -------
        dict of str to scalar Tensor
        """
        memory = self._memory
        if memory is None:
            return {}
        mean = whole_batch(mean)
        logvar = torch.zeros_like(mean) if logvar is None else whole_batch(logvar)
        values = {name: mean.new_zeros(()) for name in self._names}
        if memory.full and "decorrelation" in values:
            values["decorrelation"] = decorrelation(mean, memory.mean)
        if memory.full and "dependence" in values:
            values["dependence"] = dependence(mean, (memory.mean, memory.logvar))
        if memory.full and "total_correlation" in values:
            values["total_correlation"] = total_correlation(
                whole_batch(z), mean, logvar, self._spectra, (memory.mean, memory.logvar)
            )
        memory.add(mean, logvar)
        return values
