"""What a step minimizes: reconstruction, KL, and penalties on latents that depend on each other."""

from __future__ import annotations

import math
from typing import Any

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn

from train.learning.devices import whole_batch
from train.settings import Loss, TrainConfig

NARROWEST = 0.05
"""Pixels: a Gaussian of a standard deviation below this changes nothing."""


def blurred(residual: Tensor, sigma: float) -> Tensor:
    """Residual of shape (n, length) smoothed by a Gaussian of `sigma` pixels (0: unchanged).

    Beyond its ends a residual is 0, and what is smeared there counts: rows come out longer, with
    what lies before the first pixel at their end.
    """
    if sigma <= NARROWEST:
        return residual
    transfer = _transfer(residual, sigma)
    size = _size(transfer)
    return torch.fft.irfft(torch.fft.rfft(residual, n=size) * transfer, n=size)


def blurred_energy(residual: Tensor, sigma: float) -> Tensor:
    """Half the sum of squares of each row of ``blurred(residual, sigma)``, shape (n,).

    By Parseval's theorem from the spectrum alone, with its gradient written out: autograd would
    transform rows of real values as complex ones.
    """
    if sigma <= NARROWEST:
        return 0.5 * (residual**2).sum(1)
    power = _transfer(residual, sigma) ** 2
    energy: Tensor = _Energy.apply(residual, power)
    return energy


_REACH = 5.0  # standard deviations: a Gaussian is below 4e-6 of its height there


def _transfer(rows: Tensor, sigma: float) -> Tensor:
    """Transform of the Gaussian at the frequencies of `rfft`, shape (size // 2 + 1,).

    `size` is even and leaves room beside the rows, so that no end reaches the other one.
    """
    size = 2 * next_fast_len(math.ceil(rows.shape[1] / 2 + _REACH * sigma), real=True)
    frequency = torch.fft.rfftfreq(size, device=rows.device, dtype=rows.dtype)
    return torch.exp(-2 * (torch.pi * sigma * frequency) ** 2)


def _size(transfer: Tensor) -> int:
    return 2 * (len(transfer) - 1)


class _Energy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, power: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(rows, n=_size(power))
        ctx.save_for_backward(spectrum * power)
        ctx.length = rows.shape[1]
        # Frequencies stand for their negative too, except the first and the last.
        weight = 2 * power
        weight[0], weight[-1] = power[0], power[-1]
        squares: Tensor = torch.view_as_real(spectrum).square().sum(2)
        return 0.5 * (squares @ weight) / _size(power)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (filtered,) = ctx.saved_tensors
        smooth = torch.fft.irfft(filtered, n=2 * (filtered.shape[1] - 1))
        return grads[0][:, None] * smooth[:, : ctx.length], None


def in_errors(residual: Tensor, ivar: Tensor) -> Tensor:
    """Residual in units of its pixels' errors, shape (n, length): r sqrt(ivar).

    Pixels whose inverse variance is not known (not finite, or not above 0) become 0.
    """
    measured = torch.isfinite(ivar) & (ivar > 0)
    return residual * torch.where(measured, ivar, torch.zeros_like(ivar)).float().sqrt()


def summed(residual: Tensor, loss: Loss, blur: float = 0.0) -> Tensor:
    """Reconstruction term of each row, shape (n,).

    "l1": the sum of absolute values, the negative logarithm of a Laplace likelihood. Else half the
    sum of squares, that of a Gaussian one; of variance 1, or after `in_errors` ("ivar") of each
    pixel's own. The residual (n, length), 0 where pixels do not count, is first smoothed by `blur`
    pixels.
    """
    if loss == "l1":
        return blurred(residual, blur).abs().sum(1)
    return blurred_energy(residual, blur)


def kl_per_dim(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL of q(z|x) from the unit Gaussian in nats, shape (n, latents) (Kingma & Welling 2014)."""
    return 0.5 * (mean**2 + logvar.exp() - 1 - logvar)


def with_free_bits(kl: Tensor, floor: float) -> Tensor:
    """KL in nats, summed over dimensions, each of which counts as at least `floor` (scalar).

    ``sum_j max(floor, mean_n KL_nj)``, the mean over the batch of all processes (Kingma et al.
    2016, arXiv:1606.04934, section "free bits" of the appendix): a dimension below the floor feels
    no pull towards the prior.
    """
    return whole_batch(kl).mean(0).clamp(min=floor).sum()


OPEN = 0.3
"""Nats of KL from which a dimension takes part: the others have noise to say, and would learn to
say it in a useful shape."""


CHANCE = 4.0
"""A squared correlation of N spectra counts beyond this over N, two standard deviations of chance:
without it the noise of many small ones, as large as a batch is small, would drive the latents."""


def dependence(mean: Tensor, earlier: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """How the mean of each dimension depends on each other one, summed (scalar).

    Of standardized means u, the squared correlations of sin u of one dimension, which is bounded
    and has nothing to gain from outliers, with sin u, cos u, sin 2u and cos 2u of another. They see
    a curve, which plain correlation does not, and leave a spread that depends on the other
    dimension alone: metallicity moves the lines of a hot star little, whatever the axes. With as
    many features of both it would be the norm of Gretton et al. (2005, ALT, eq. 6), by random
    features of the kernel (Rahimi & Recht 2007), which such a spread raises too.

    `earlier` are means and log variances (m, latents) of other spectra, which also say which
    dimensions are open. The gradient, which is that of the batch, is scaled up to what it would be
    if all n + m spectra had one.
    """
    if earlier is not None:
        share = (len(mean) + len(earlier[0])) / len(mean)
        mean = torch.cat([mean.detach() + share * (mean - mean.detach()), earlier[0]])
    dims = mean.shape[1]
    u = _standard(mean)
    features = _standard(_features(u).flatten(1))  # (n + m, 4 dims)
    target = _standard(u.sin())
    if earlier is not None:
        # By weights: to pick columns the host would have to know how many there are.
        kept = kl_per_dim(*earlier).mean(0) > OPEN
        features, target = features * kept.repeat_interleave(4), target * kept
    squared = (features.T @ target / len(u)) ** 2  # (4 dims, dims)
    blocks = torch.relu(squared - CHANCE / len(u)).view(dims, 4, dims).sum(1)
    return blocks.sum() - blocks.diagonal().sum()


def _standard(values: Tensor) -> Tensor:
    """Columns with mean 0 and spread 1; a constant one is 0, with a gradient that is finite."""
    return (values - values.mean(0)) / (values.var(0, correction=0) + 1e-12).sqrt()


def _features(u: Tensor) -> Tensor:
    """Features of shape (n, d, 4) of values of shape (n, d)."""
    return torch.stack([u.sin(), u.cos(), (2 * u).sin(), (2 * u).cos()], dim=2)


# Penalties on latents that depend on each other.
#
# Both are properties of the whole archive's latents. A batch of 8 says little about them, so they
# are measured over the batch and the spectra just before it, whose q(z|x) `Memory` keeps. These are
# constants: the gradient flows through the batch alone, and is that of the whole nonetheless.

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
    over the archive of `spectra`. As in their stratified sampling (appendix C), the spectrum that z
    was drawn from counts 1/N and the others together 1 - 1/N, which makes the estimate of q(z)
    unbiased; their eq. 3, which weighs all alike, takes nearly every z for a place that its own
    spectrum alone reaches when a batch is small.

    The path through z is the full gradient of a KL of q(z): what its densities add has mean 0. So
    spectra of earlier steps may stand for the archive without a gradient of their own (`earlier`,
    means and log variances). The value is below the truth where few spectra overlap with each z.
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

    The first term of eq. 6 of Kumar et al. (2018, arXiv:1711.00848; DIP-VAE-I), ``sum_{i != j}
    Cov[mean]_ij^2``, each pair counted twice as there. Their second term, which pulls each variance
    to 1, would open every dimension, and is left out. Means of other spectra (`earlier`) take part;
    the gradient is scaled up to what it would be if all had one, given that the others are like the
    batch.
    """
    if earlier is not None:
        share = (len(mean) + len(earlier)) / len(mean)
        mean = torch.cat([mean.detach() + share * (mean - mean.detach()), earlier])
    centered = mean - mean.mean(0)
    covariance = centered.T @ centered / len(mean)
    return (covariance**2).sum() - (covariance.diagonal() ** 2).sum()


class Memory(nn.Module):
    """q(z|x) of the latest `n_spectra` spectra, without gradient; part of a module's state."""

    mean: Tensor
    logvar: Tensor

    def __init__(self, n_spectra: int, latents: int) -> None:
        super().__init__()
        self._held = 0
        self.register_buffer("mean", torch.zeros(n_spectra, latents))
        self.register_buffer("logvar", torch.zeros(n_spectra, latents))

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
    """The penalties that a run uses in any of its stages, unweighted."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self._names = [name for name in NAMES if config.uses(name)]
        self._spectra = config.steps * config.data.batch_size
        self._memory: Memory | None = None
        if self._names:
            earlier = max(config.penalty_spectra - config.data.part_size, 0)
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

        `mean`, `logvar` and `z` are of q(z|x) and drawn from it, for this process's spectra; no
        `logvar` of a plain autoencoder.
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
