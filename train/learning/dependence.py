"""How much single dimensions depend on each other, along curves too, by a few features of each."""

from __future__ import annotations

import torch
from torch import Tensor

from train.learning.losses import kl_per_dim

OPEN = 0.3
"""Nats of KL from which a dimension takes part: the others have noise to say, and would learn to
say it in a useful shape."""


CHANCE = 4.0
"""A squared correlation of N spectra counts beyond this over N, two standard deviations of chance:
without it the noise of many small ones, as large as a batch is small, would drive the latents."""


def dependence(mean: Tensor, earlier: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Squared correlations between Fourier features of different dimensions, summed (scalar).

    The features of a standardised mean u are sin u, cos u, sin 2u and cos 2u. All their
    correlations vanish where two dimensions are independent, and not where one's spread or sign
    depends on the other, which plain correlation does not see. It is the Hilbert-Schmidt norm of
    Gretton et al. (2005, ALT, eq. 6 and theorem 4) with so many random features of the kernel
    (Rahimi & Recht 2007) and standardised; being bounded, it has nothing to gain from outliers.

    Parameters
    ----------
    mean : Tensor of shape (n, latents)
    earlier : tuple of Tensor, each of shape (m, latents), optional
        Means and log variances of other spectra, as in `penalties`; they say which dimensions are
        open. The gradient, which is that of the batch, is scaled up to what it would be if all
        n + m spectra had one.

    Returns
    -------
    Tensor
        Close to 0 where all are independent.
    """
    if earlier is not None:
        share = (len(mean) + len(earlier[0])) / len(mean)
        kept = kl_per_dim(*earlier).mean(0) > OPEN
        mean = torch.cat([mean.detach() + share * (mean - mean.detach()), earlier[0]])[:, kept]
    dims = mean.shape[1]
    features = _features(_standard(mean))  # (n + m, dims, 4)
    values = _standard(features.flatten(1))
    squared = (values.T @ values / len(values)) ** 2
    above = torch.relu(squared - CHANCE / len(values))
    blocks = above.view(dims, 4, dims, 4).sum((1, 3))
    return (blocks.sum() - blocks.diagonal().sum()) / 2


def _standard(values: Tensor) -> Tensor:
    """Columns with mean 0 and spread 1."""
    return (values - values.mean(0)) / (values.std(0, correction=0) + 1e-6)


def _features(u: Tensor) -> Tensor:
    """Features of shape (n, d, 4) of values of shape (n, d)."""
    return torch.stack([u.sin(), u.cos(), (2 * u).sin(), (2 * u).cos()], dim=2)
