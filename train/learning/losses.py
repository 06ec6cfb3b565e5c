"""Terms of the loss: reconstruction, and the KL of q(z|x)."""

from __future__ import annotations

import torch
from torch import Tensor

from train.learning.blur import blurred, blurred_energy
from train.learning.ranks import whole_batch
from train.settings.run import Loss


def in_errors(residual: Tensor, ivar: Tensor) -> Tensor:
    """Residual in units of its pixels' errors, shape (n, length): r sqrt(ivar).

    Pixels whose inverse variance is not known (not finite, or not above 0) become 0.
    """
    known = torch.isfinite(ivar) & (ivar > 0)
    return residual * torch.where(known, ivar, torch.zeros_like(ivar)).float().sqrt()


def summed(residual: Tensor, loss: Loss, blur: float = 0.0) -> Tensor:
    """Reconstruction term of each row, shape (n,).

    Parameters
    ----------
    residual : Tensor of shape (n, length)
        0 where pixels do not count.
    loss : {"l2", "l1", "ivar"}
        "l1": the sum of absolute values, the negative logarithm of a Laplace likelihood. Else half
        the sum of squares, that of a Gaussian one; of variance 1, or after `in_errors` ("ivar") of
        each pixel's own.
    blur : float
        Pixels: standard deviation of the Gaussian that smooths the residual first.
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

    Parameters
    ----------
    kl : Tensor of shape (n, latents)
    floor : float
        Nats per dimension.
    """
    return whole_batch(kl).mean(0).clamp(min=floor).sum()
