"""Traversals and line maps of a model: its decoder, wavelengths and data for the diagnostics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents
from latentscope.diagnostics.study import Study, with_threshold
from latentscope.diagnostics.traversal.line_map import LineMapResult, line_map
from latentscope.diagnostics.traversal.traverse import Progress, TraversalResult, traverse
from latentscope.errors import ChoiceError, EstimatorError, ModelError, SpectrumError
from latentscope.models.encode import encode
from latentscope.models.line_features import line_features
from latentscope.models.network import SpectrumVAE
from latentscope.models.rows import source_file
from latentscope.models.spread import Data, Floats, Spread
from latentscope.models.trust import sample_beside
from latentscope.models.weights import weights_sha256
from latentscope.simulation.linelist import LineList
from latentscope.spectra.prepare import restore
from latentscope.spectra.wavelength import vacuum_to_air

QUANTILES = (0.02, 0.16, 0.31, 0.5, 0.69, 0.84, 0.98)
"""Of the data: where a traversal stops by default."""

_HEARD = 0.01  # of the largest change that a dimension makes

Lines = LineList | str | os.PathLike[str]


def traverse_model(
    model: SpectrumVAE,
    dim: int,
    *,
    spectrum: Any = None,
    base: ArrayLike | None = None,
    latents: Data | None = None,
    values: ArrayLike | None = None,
    quantiles: Sequence[float] | None = None,
    sigmas: Sequence[float] | None = None,
    linelist: Lines | None = None,
    rv: float | None = None,
    progress: Progress | None = None,
) -> TraversalResult:
    """Move one latent dimension of a model, decode, and measure what changes.

    Parameters
    ----------
    model : SpectrumVAE
        With its preparation, as `load_model` gives it.
    dim : int
    spectrum : path, Spectrum, ..., optional
        Where to start: it is encoded, and its mean latents are the base.
    base : array (d,), optional
        Latents to start from, instead. By default the mean of the data.
    latents : Latents, array (n, d), DataFrame or path, optional
        The data: latents of a set of spectra by this model, whose mean, quantiles and spread (half
        the distance of the 16 % and 84 % quantiles) count. By default the reference sample that
        came with the model; without one its prior: mean 0, spread 1.
    values : array, optional
        What the dimension is set to.
    quantiles : list of float, optional
        Quantiles of the data to set it to, between 0 and 1; by default seven from 0.02 to 0.98.
    sigmas : list of float, optional
        Or distances from the base's value, in spreads of the data.
    linelist : LineList or path, optional
        Atomic lines to measure: see `line_features`. By default the built-in list.
    rv : float, optional
        Velocity of the base's lines, km/s, receding positive; by default measured on them.
    progress : callable, optional
        Called with (spectra done, spectra in all).

    Raises
    ------
    ModelError
        If the model does not say how it prepares spectra.
    ChoiceError
        If there is no such dimension, or more than one of `values`, `quantiles` and `sigmas`, or of
        `spectrum` and `base`, is given.
    EstimatorError
        If the latents are of another model, or the values cannot be used.
    SpectrumError
        If the spectrum cannot be encoded, or the line list cannot be read.

    Warns
    -----
    LatentscopeWarning
        If the dimension does not vary in the data: the prior stands for it then.
    """
    _check_alone({"values": values, "quantiles": quantiles, "sigmas": sigmas})
    _check_alone({"spectrum": spectrum, "base": base})
    _check_dims(model, [dim])
    decoder, data = _Decoder(model), _data(model, latents)
    start, begun = _start(model, data, spectrum, base)
    unit = data.unit(dim)
    if values is None and sigmas is not None:
        values = start[dim] + unit * np.asarray(sigmas, dtype=np.float64)
    elif values is None:
        values = data.quantiles(dim, QUANTILES if quantiles is None else quantiles)
    result = traverse(
        decoder.flux,
        start,
        dim,
        values,
        wavelength=decoder.wavelength,
        unit=unit,
        valid=decoder.valid,
        contrast=decoder.contrast if decoder.has_contrast else None,
        features=line_features(linelist),
        rv=rv,
        progress=progress,
    )
    about = _about(model, data, begun)
    return replace(result, provenance=result.provenance | about)


def line_map_of_model(
    model: SpectrumVAE,
    *,
    latents: Data | None = None,
    dims: Sequence[int] | None = None,
    spectrum: Any = None,
    base: ArrayLike | None = None,
    linelist: Lines | None = None,
    step: float = 0.5,
    rv: float | None = None,
    progress: Progress | None = None,
) -> LineMapResult:
    """Which lines each latent dimension of a model moves.

    Parameters
    ----------
    model : SpectrumVAE
        With its preparation.
    latents, spectrum, base, linelist, rv
        As for `traverse_model`.
    dims : list of int, optional
        By default the informative ones: those whose MAD over the data exceeds the model's
        threshold; without data, those that change the decoded spectrum by at least 1 % of what the
        one with the largest change does.
    step : float
        Of the central differences, in spreads of the data.
    progress : callable, optional
        Called with (dimensions done, dimensions in all).

    Raises
    ------
    ModelError, ChoiceError, EstimatorError, SpectrumError
        As for `traverse_model`; EstimatorError also if no dimension is informative.

    Warns
    -----
    LatentscopeWarning
        If a dimension that was asked for does not vary in the data: the prior stands for it then.
    """
    _check_alone({"spectrum": spectrum, "base": base})
    decoder, data = _Decoder(model), _data(model, latents)
    start, begun = _start(model, data, spectrum, base)
    chosen = _informative(decoder, data, start) if dims is None else list(dims)
    _check_dims(model, chosen)
    units = data.sigma.copy()
    units[chosen] = [data.unit(dim) for dim in chosen]
    result = line_map(
        decoder.flux,
        start,
        chosen,
        units,
        wavelength=decoder.wavelength,
        step=step,
        valid=decoder.valid,
        contrast=decoder.contrast if decoder.has_contrast else None,
        features=line_features(linelist),
        rv=rv,
        progress=progress,
    )
    about = _about(model, data, begun)
    return replace(result, provenance=result.provenance | about)


class _Decoder:
    """A model's decoder, from arrays to arrays.

    Wavelengths are in air, in Angstrom, whatever the model's medium.
    """

    def __init__(self, model: SpectrumVAE) -> None:
        if model.prepare is None:
            raise ModelError(
                "this model does not say how its spectra are prepared, so that their wavelengths "
                "are unknown; build it with prepare=..., or load it by load_model"
            )
        self.model, self.prepare = model, model.prepare
        grid = self.prepare.grid
        vacuum = grid.medium == "vacuum"
        self.wavelength = vacuum_to_air(grid.wavelength) if vacuum else grid.wavelength
        self.valid = ~grid.gap_mask
        self.has_contrast = self.prepare.normalization == "continuum"
        self._last: tuple[Floats, NDArray[np.float32]] | None = None

    def flux(self, latents: Floats) -> NDArray[np.floating[Any]]:
        """Flux of latents (k, d), shape (k, pixels)."""
        return restore(self.rows(latents), self.prepare)

    def contrast(self, latents: Floats) -> NDArray[np.floating[Any]]:
        """Line contrast of latents (k, d), shape (k, pixels)."""
        return self.rows(latents)[:, : self.prepare.grid.length]

    def rows(self, latents: Floats) -> NDArray[np.float32]:
        """Decoded rows; the last ones are kept, since flux and contrast are made of the same."""
        if self._last is None or self._last[0] is not latents:
            device = next(self.model.parameters()).device
            with torch.no_grad():
                decoded = self.model.decode(torch.from_numpy(latents).to(device, torch.float32))
            self._last = latents, decoded.cpu().numpy()
        return self._last[1]


def _data(model: SpectrumVAE, latents: Data | None) -> Spread:
    """Latents that were given, the model's reference sample, or its prior."""
    sample = sample_beside(model) if latents is None else None
    if sample is None:
        return Spread.of(latents, model.config.latents)
    named = Latents(sample.values, source="the model's reference sample")
    return Spread.of(named, model.config.latents)


def _start(
    model: SpectrumVAE, data: Spread, spectrum: Any, base: ArrayLike | None
) -> tuple[Floats, str]:
    """Latents to start from, and where they come from."""
    if base is not None:
        start = np.asarray(base, dtype=np.float64)
        if start.shape != (model.config.latents,):
            raise EstimatorError(
                f"base has shape {start.shape}; this model has ({model.config.latents},) latents"
            )
        return start, "latents that were given"
    if spectrum is None:
        return data.mean, f"the mean of {data.source}"
    encoded = encode([spectrum], model, workers=1, recon_error=False)
    name = source_file(spectrum) or "the spectrum"
    if not encoded.ok[0]:
        assert encoded.table is not None
        reason = str(encoded.table["error"][0])
        raise SpectrumError(reason if name in reason else f"{name}: {reason}")
    return encoded.values[0].astype(np.float64), name


def _informative(decoder: _Decoder, data: Spread, start: Floats) -> list[int]:
    info = decoder.model.info
    if data.values is not None:
        found = Study(with_threshold(Latents(data.values), info)).informative
        if not found:
            raise EstimatorError(
                f"{data.source}: no dimension is informative; name dimensions to map them"
            )
        return found
    change = np.array([_change(decoder, start, dim) for dim in range(data.dims)])
    if not change.max() > 0:
        raise EstimatorError("no dimension changes the decoded spectrum; is the model trained?")
    return [int(dim) for dim in np.flatnonzero(change >= _HEARD * change.max())]


def _change(decoder: _Decoder, start: Floats, dim: int) -> float:
    """Root mean square of what half a unit either way changes in the decoded row."""
    moved = np.repeat(start[None], 2, axis=0)
    moved[:, dim] += (-0.5, 0.5)
    below, above = decoder.rows(moved)
    return float(np.sqrt(np.mean((above - below) ** 2)))


def _check_dims(model: SpectrumVAE, dims: Sequence[int]) -> None:
    unknown = [dim for dim in dims if not 0 <= dim < model.config.latents]
    if unknown:
        raise ChoiceError(f"dim is {unknown[0]}; this model has 0 to {model.config.latents - 1}")


def _check_alone(options: Mapping[str, Any]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise ChoiceError(f"{' and '.join(given)} are given; wanted one of them")


def _about(model: SpectrumVAE, data: Spread, begun: str) -> dict[str, Any]:
    return {
        "model": str(model.info.get("name", "")),
        "weights_sha256": weights_sha256(model),
        "data": data.source,
        "base_from": begun,
    }
