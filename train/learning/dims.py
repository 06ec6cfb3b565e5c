"""Dimensions of the latent space: which are open, drawn anew or closed, and how they are turned."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation
from torch import Tensor

from latentscope.diagnostics.threshold import THRESHOLD
from latentscope.models.network import LOGVAR_RANGE, SpectrumVAE
from train.learning.losses import kl_per_dim

DEAD = 0.1
"""Nats: a dimension with less KL than this on the validation rows counts as dead."""

_ROWS = 256
"""Validation spectra that decide."""

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
    """Dimensions that say nothing: by their KL in nats, or of an autoencoder by their MAD."""
    if kl is not None:
        return _below(kl.mean(0), DEAD)
    deviation = median_abs_deviation(mean.cpu().numpy())
    return _below(torch.from_numpy(deviation), THRESHOLD)


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


# Turning the axes of a trained latent space to where they depend on each other least.
#
# The prior is the same in every direction, so a beta-VAE lays its axes where the decoder wants
# them: along what changes the spectrum most, which mixes physical causes that change the same
# lines. Causes that are independent in the archive come apart where the total correlation of the
# dimensions is least, as in independent component analysis (Comon 1994), but for one thing: the
# spread of a dimension may depend on another's, as metallicity moves the lines of a hot star
# little, and a velocity those of a metal-poor star. Such a wedge has the least total correlation
# along its edges, or wherever a network has bent it to. So one of two dimensions may widen and
# narrow with the other, and what dependence is left then is what counts.
# The turn needs no label.

_COARSE, _FINE = 5.0, 1.0  # degrees
_SWEEPS = 6
_SAMPLE_BLOCK, _SAMPLE_BLOCKS = 50, 160  # training spectra that decide
_DEGREE = 5
_CENTERS = (0.1, 0.3, 0.5, 0.7, 0.9)  # quantiles, from one of which a dimension widens
_NARROWEST = 1e-3  # standard deviations
_CLEAR_GAIN = 0.01  # nats: chance leaves less, and what training has found must not yield to it


def turn_to_least_dependence(model: SpectrumVAE, data: Any) -> None:
    """Turn the open dimensions of a model by what some thousand training spectra say.

    The dimension that shifts the lines of a Doppler layer stays as it is.
    """
    mean, logvar, dims, _ = _sampled(model, data)
    if len(dims) < 2:
        return  # nothing to turn, nor anything to turn it against
    rotate(model, dims, least_dependence(mean[:, dims]), logvar)


def gather(model: SpectrumVAE, data: Any) -> None:
    """Turn the closed dimensions to their principal axes, strongest first.

    Adam moves every dimension alike, so a direction that hardly pays opens in all the closed ones
    at once, a little in each, and takes very long to find one of them. The prior is the same in
    every direction: turned like this, what they share lies in one dimension, and nothing that is
    decoded changes.
    """
    mean, logvar, _, dims = _sampled(model, data)
    if len(dims) < 2:
        return
    axes = torch.linalg.eigh(torch.cov(mean[:, dims].double().T)).eigenvectors
    rotate(model, dims, axes.flip(1).T, logvar)


def _sampled(model: SpectrumVAE, data: Any) -> tuple[Tensor, Tensor | None, list[int], list[int]]:
    """Means and log variances of training spectra, and which dimensions are open, and closed.

    Neither is that of a Doppler layer.
    """
    read, logvars = [], []
    device = next(model.parameters()).device
    with torch.no_grad():
        for rows, _ in islice(data.sample(_SAMPLE_BLOCK), _SAMPLE_BLOCKS):
            block = torch.from_numpy(rows.astype(np.float32)).to(device)
            mean, logvar = model.encode(block, fit=False)
            read.append(mean.cpu())
            logvars.append(torch.empty(0) if logvar is None else logvar.clamp(*LOGVAR_RANGE).cpu())
    mean = torch.cat(read)
    logvar = torch.cat(logvars) if model.config.variational else None
    dead = dead_dims(mean, None if logvar is None else kl_per_dim(mean, logvar))
    dims = range(1 if model.config.doppler else 0, model.config.latents)
    return mean, logvar, [d for d in dims if d not in dead], [d for d in dims if d in dead]


def least_dependence(mean: Tensor) -> Tensor:
    """Rotation (d, d) that leaves dimensions that depend on each other least, of latents (n, d).

    A rotation keeps the joint entropy, so the sum of the entropies of single dimensions says what
    their total correlation is (Learned-Miller & Fisher 2003, JMLR 4, 1271; their RADICAL, without
    the whitening). Of a pair, the one whose spread depends on the other counts with its entropy
    once that spread is known (`entropy_given_spread`): the pair's likelihood if y = c + s(x) w,
    with x and w independent. One pair after the other turns by the angle between -45 and 45 degrees
    with the least sum, to a degree, until none gains any more. A dimension stays the one that it
    was before most.
    """
    values = mean.numpy().astype(np.float64)
    dims = values.shape[1]
    rotation = np.eye(dims)
    for _ in range(_SWEEPS):
        before = rotation
        for i in range(dims):
            for j in range(i + 1, dims):
                pair = values @ rotation[[i, j]].T  # (n, 2)
                turned = rotation.copy()
                turned[[i, j]] = _turn(_best_angle(pair)) @ rotation[[i, j]]
                rotation = turned
        if np.array_equal(before, rotation):
            break
    return torch.from_numpy(rotation)


def _best_angle(pair: NDArray[np.float64]) -> float:
    """Degrees by which values (n, 2) are to turn; 0 where that does not clearly gain."""
    basis = _polynomials(len(pair))

    def cost(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        return min(
            spacing_entropy(x) + _given_spread(basis, x, y),
            spacing_entropy(y) + _given_spread(basis, y, x),
        )

    def best(angles: NDArray[np.float64]) -> tuple[float, float]:
        costs = [cost(*(pair @ _turn(float(angle)).T).T) for angle in angles]
        return min(zip(costs, angles.tolist(), strict=True))

    coarse = np.arange(_COARSE, 45.0 + _COARSE / 2, _COARSE)
    _, rough = best(np.concatenate([[0.0], coarse, -coarse]))
    fine = np.arange(_FINE, _COARSE, _FINE)
    least, angle = best(rough + np.concatenate([[0.0], fine, -fine]))
    return angle if least < cost(*pair.T) - _CLEAR_GAIN else 0.0


def spacing_entropy(values: NDArray[np.float64]) -> float:
    """Differential entropy in nats of values (n,), from spacings of sqrt(n) of them.

    Vasicek (1976), in the form of Learned-Miller & Fisher (2003), eq. 8.
    """
    count = len(values)
    reach = max(int(np.sqrt(count)), 1)
    ordered = np.sort(values)
    spacings = ordered[reach:] - ordered[:-reach]
    return float(np.mean(np.log((count + 1) / reach * np.maximum(spacings, 1e-12))))


def entropy_given_spread(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Entropy in nats of y (n,) once its spread at each x (n,) is known; that of y if less.

    If y = c + s(x) w: H(w) + mean log s, which is the entropy of y given x where w does not depend
    on x. c is that of five quantiles of y which leaves least, log s a polynomial of the rank of x.
    """
    return _given_spread(_polynomials(len(x)), x, y)


def _given_spread(
    basis: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> float:
    ordered = y[np.argsort(x)]
    floor = max(_NARROWEST * float(y.std()), 1e-12)
    left = [spacing_entropy(y)]
    for center in np.quantile(y, _CENTERS):
        distance = np.log(np.maximum(np.abs(ordered - center), floor))
        spread = basis @ (basis.T @ distance)  # of mean 0, as the basis is
        left.append(spacing_entropy((ordered - center) * np.exp(-spread)))
    return min(left)


def _polynomials(count: int) -> NDArray[np.float64]:
    """Orthonormal polynomials at equal steps, without the constant, shape (count, degree)."""
    vander = np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, count), _DEGREE)
    return np.asarray(np.linalg.qr(vander)[0][:, 1:])


def _turn(degrees: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, sine], [-sine, cosine]])


def rotate(model: SpectrumVAE, dims: list[int], rotation: Tensor, logvar: Tensor | None) -> None:
    """Turn some dimensions of a model; what it makes of a spectrum's mean latents stays the same.

    Encoder means are turned and the decoder turns them back. A turned posterior is no longer
    independent in each dimension; the log variance is the turned mean of the log variances (n, d)
    of the archive before the turn, plus what the logarithm of the turned variances has above that
    on average.
    """
    full = torch.eye(model.config.latents, dtype=torch.float64)
    full[torch.tensor(dims)[:, None], torch.tensor(dims)] = rotation.double()
    with torch.no_grad():
        _multiply(model.mean, full)
        if logvar is not None:
            _multiply(model.logvar, full**2)
            shares, logvar = rotation.double() ** 2, logvar[:, dims].double()
            above = torch.log(logvar.exp() @ shares.T) - logvar @ shares.T
            model.logvar.bias[dims] += above.mean(0).to(model.logvar.bias)
        for layer in model.readers:
            layer.weight.copy_(layer.weight.cpu().double() @ full.T)


def _multiply(layer: torch.nn.Linear, matrix: Tensor) -> None:
    # On the CPU, where the matrix is, and where there is float64 whatever the model runs on.
    layer.weight.copy_(matrix @ layer.weight.cpu().double())
    layer.bias.copy_(matrix @ layer.bias.cpu().double())
