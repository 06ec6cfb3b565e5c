"""Traversals and line maps: of a model, or of any function that decodes latents."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from latentscope.data import Latents, LatentsLike, read_latents
from latentscope.diagnostics.study import Study, check_none_infinite, whole_dims
from latentscope.diagnostics.threshold import with_threshold
from latentscope.diagnostics.traversal.lines import Feature, line, stellar_features
from latentscope.diagnostics.traversal.traverse import (
    Base,
    Decode,
    LineMapResult,
    TraversalResult,
    check_dims,
    measure_line_map,
    measure_traversal,
)
from latentscope.errors import ChoiceError, EstimatorError, ModelError, SpectrumError, warn
from latentscope.simulation.lines import ELEMENTS, LineList, read_linelist
from latentscope.spectra.wavelength import doppler_shift
from latentscope.workers import Progress

if TYPE_CHECKING:
    from latentscope.models.network import SpectrumVAE

# Torch and all that needs it are imported where a model is at hand: a decoder that is a plain
# function can do without.

Floats = NDArray[np.float64]
Lines = LineList | str | os.PathLike[str]

QUANTILES = (0.02, 0.16, 0.31, 0.5, 0.69, 0.84, 0.98)
"""Quantiles of the data at which a traversal stops by default."""

MAX_LINES = 500
"""Lines taken from a list, the strongest."""

_ONE_SIGMA = (0.16, 0.84)
_AUDIBLE = 0.01  # of the largest change that a dimension makes


def traverse(
    model: SpectrumVAE | Decode | str | os.PathLike[str],
    dim: int,
    *,
    spectrum: Any = None,
    base: ArrayLike | None = None,
    latents: LatentsLike | None = None,
    values: ArrayLike | None = None,
    quantiles: Sequence[float] | None = None,
    sigmas: Sequence[float] | None = None,
    linelist: Lines | None = None,
    rv: float | None = None,
    wavelength: ArrayLike | None = None,
    valid: ArrayLike | None = None,
    contrast: Decode | None = None,
    progress: Progress | None = None,
) -> TraversalResult:
    """Move one latent dimension, decode, and measure what changes.

    Parameters
    ----------
    model : SpectrumVAE, str, path or callable
        A model with its preparation, its name or where it lies (as `load_model` takes it); or any
        function from latents (k, d) to flux (k, pixels), with `wavelength`.
    dim : int
    spectrum : path, Spectrum, ..., optional
        Where to start: it is encoded by the model, and its mean latents are the base.
    base : array (d,), optional
        Latents to start from, instead. By default the mean of the data.
    latents : Latents, array (n, d), DataFrame or path, optional
        The data: latents of a set of spectra by this model, whose mean, quantiles and spread (half
        the distance of the 16 % and 84 % quantiles) count. By default the reference sample that
        came with the model; without one the prior: mean 0, spread 1.
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
    wavelength : array (pixels,), optional
        For a function that decodes: Angstrom in air, ascending. A model knows its own.
    valid : array of bool (pixels,), optional
        For such a function: False in gaps.
    contrast : callable, optional
        From latents (k, d) to line contrast (k, pixels), continuum at 0, where such a function
        decodes lines apart from the continuum. By default the flux over its running mean.
    progress : callable, optional
        Called with (spectra done, spectra in all).

    Raises
    ------
    ModelError
        If the model is not there, does not say how it prepares spectra, or other weights made the
        latents.
    ChoiceError
        If there is no such dimension, more than one of `values`, `quantiles` and `sigmas`, or of
        `spectrum` and `base`, is given, or what belongs to a function is given for a model.
    EstimatorError
        If the latents have another number of dimensions, or the values cannot be used.
    SpectrumError
        If the spectrum cannot be encoded, or the line list cannot be read.

    Warns
    -----
    LatentscopeWarning
        If the dimension does not vary in the data: the prior stands for it then.

    Examples
    --------
    >>> from latentscope import traverse
    >>> traverse("harps-sim", 0, sigmas=[-1, 0, 1]).verdict
    'shift'
    """
    _check_alone({"values": values, "quantiles": quantiles, "sigmas": sigmas})
    _check_alone({"spectrum": spectrum, "base": base})
    decoder = _decoder(model, {"wavelength": wavelength, "valid": valid, "contrast": contrast})
    data = _data(decoder, latents, base)
    if not isinstance(dim, int | np.integer) or isinstance(dim, bool):
        raise ChoiceError(f"dim is {dim!r}; expected a whole number")
    check_dims([dim], data.dims)
    start, base_from = _start(decoder, data, spectrum, base)
    unit = data.unit(dim)
    if values is None and sigmas is not None:
        values = start[dim] + unit * np.asarray(sigmas, dtype=np.float64)
    elif values is None:
        values = data.quantiles(dim, QUANTILES if quantiles is None else quantiles)
    if rv is not None:
        doppler_shift(1.0, rv)  # which refuses what is no velocity
    features = line_features(linelist)
    decoded = Base(decoder.flux, start, **decoder.options, features=features, rv=rv)
    result = measure_traversal(decoded, dim, values, unit=unit, progress=progress)
    origin = {**decoder.provenance, "data": data.source, "base_from": base_from}
    return replace(result, provenance=result.provenance | origin)


def line_map(
    model: SpectrumVAE | Decode | str | os.PathLike[str],
    *,
    latents: LatentsLike | None = None,
    dims: Sequence[int] | None = None,
    spectrum: Any = None,
    base: ArrayLike | None = None,
    linelist: Lines | None = None,
    step: float = 0.5,
    rv: float | None = None,
    wavelength: ArrayLike | None = None,
    valid: ArrayLike | None = None,
    contrast: Decode | None = None,
    progress: Progress | None = None,
) -> LineMapResult:
    """Find which lines each latent dimension moves: the derivative of the decoded spectrum.

    Parameters
    ----------
    model, latents, spectrum, base, linelist, rv, wavelength, valid, contrast
        As for `traverse`.
    dims : list of int, or mask of shape (d,), optional
        By default the informative ones: those whose MAD over the data exceeds the model's
        threshold; without data, those that change the decoded spectrum by at least 1 % of what the
        one with the largest change does.
    step : float
        Step of the central differences, in spreads of the data.
    progress : callable, optional
        Called with (dimensions done, dimensions in all).

    Raises
    ------
    ModelError, ChoiceError, EstimatorError, SpectrumError
        As for `traverse`; EstimatorError also if no dimension is informative.

    Warns
    -----
    LatentscopeWarning
        If a dimension that was asked for does not vary in the data: the prior stands for it then.

    Examples
    --------
    >>> from latentscope import line_map
    >>> line_map("harps-sim", dims=[0]).dims["verdict"].tolist()
    ['shift']
    """
    _check_alone({"spectrum": spectrum, "base": base})
    decoder = _decoder(model, {"wavelength": wavelength, "valid": valid, "contrast": contrast})
    data = _data(decoder, latents, base)
    start, base_from = _start(decoder, data, spectrum, base)
    if dims is None:
        chosen = _informative(decoder, data, start)
    else:
        chosen = whole_dims(dims, data.dims, data.source)
        if np.asarray(dims).dtype != np.bool_:  # in the order that was asked for
            chosen = [int(dim) for dim in dims]
    units = data.sigma.copy()
    units[chosen] = [data.unit(dim) for dim in chosen]
    if rv is not None:
        doppler_shift(1.0, rv)  # which refuses what is no velocity
    features = line_features(linelist)
    decoded = Base(decoder.flux, start, **decoder.options, features=features, rv=rv)
    result = measure_line_map(decoded, chosen, units, step=step, progress=progress)
    origin = {**decoder.provenance, "data": data.source, "base_from": base_from}
    return replace(result, provenance=result.provenance | origin)


def line_features(linelist: Lines | None = None, *, max_lines: int = MAX_LINES) -> list[Feature]:
    """Lines and bands to measure, ascending in wavelength.

    Atomic lines of a list, as `read_linelist` takes them, in place of the built-in ones. Balmer
    lines, Ca II H and K, molecular bands and those of the air are always there. The strongest lines
    are kept, by abundance + log gf - excitation in eV: their order at 5040 K, ionization left out.
    """
    builtin = stellar_features()
    if linelist is None:
        return builtin
    given = linelist if isinstance(linelist, LineList) else read_linelist(linelist)
    abundance = np.array([ELEMENTS[int(z)].abundance for z in given.z])
    strength = abundance + given.loggf - given.excitation
    strongest = np.argsort(-strength, kind="stable")[:max_lines]
    lines = [
        line(f"{ELEMENTS[int(given.z[i])].symbol} {'I' * (1 + int(given.ion[i]))}", wavelength)
        for i, wavelength in zip(strongest, given.wavelength[strongest].tolist(), strict=True)
    ]
    kept = [feature for feature in builtin if feature.kind not in ("narrow", "strong")]
    return sorted(kept + lines, key=lambda feature: feature.wavelength)


@dataclass(frozen=True)
class Decoder:
    """Turns latents into spectra: functions, wavelengths in air, and the model behind them.

    `rows` are what the network itself gives: flux, or whatever its preparation makes of flux;
    `options` the `wavelength`, `valid` and `contrast` of a `Base`.
    """

    rows: Decode
    flux: Decode
    options: dict[str, Any]
    model: SpectrumVAE | None = None
    provenance: dict[str, Any] = field(default_factory=lambda: {"model": ""})


def _decoder(
    model: SpectrumVAE | Decode | str | os.PathLike[str], given: dict[str, Any]
) -> Decoder:
    """Make a decoder of a model, its name or path, or a function with its wavelengths."""
    # A model is callable too, as every torch module is. Where its module was never imported there
    # can be none.
    network = sys.modules.get("latentscope.models.network")
    if isinstance(model, str | os.PathLike) or (
        network is not None and isinstance(model, network.SpectrumVAE)
    ):
        superfluous = [name for name, value in given.items() if value is not None]
        if superfluous:
            raise ChoiceError(
                f"{' and '.join(superfluous)} given for a model, which knows its own; leave this "
                "out, or give a function that decodes"
            )
        from latentscope.models.weights import as_model

        return decoder_of(as_model(model))
    if not callable(model):
        raise ChoiceError(
            f"model is a {type(model).__name__}; expected a model, its name or path, or a function "
            "from latents (k, d) to flux (k, pixels)"
        )
    if given["wavelength"] is None:
        raise ChoiceError(
            "a function decodes, but its wavelengths are unknown; give wavelength=..., Angstrom in "
            "air"
        )
    return Decoder(model, model, given)


def decoder_of(model: SpectrumVAE) -> Decoder:
    """Return what turns latents into spectra, of a model; any thread may use it."""
    import torch

    from latentscope.models.network import single
    from latentscope.models.weights import weights_sha256
    from latentscope.spectra.prepare import restore
    from latentscope.spectra.wavelength import vacuum_to_air

    prepare = model.prepare
    if prepare is None:
        raise ModelError(
            "this model does not say how its spectra are prepared, so that their wavelengths are "
            "unknown; build it with prepare=..., or load it by load_model"
        )
    network = single(model)
    last: list[tuple[Floats, NDArray[np.float32]]] = []

    def rows(latents: Floats) -> NDArray[np.float32]:
        # Flux and contrast are asked for in turn and made of the same rows: decode them once.
        for asked, known in last:
            if asked is latents:
                return known
        device = next(network.parameters()).device
        with torch.no_grad():
            decoded = network.decode(torch.from_numpy(latents).to(device, torch.float32))
        found: NDArray[np.float32] = decoded.cpu().numpy()
        # Whole, since other threads may decode with it too.
        last[:] = [(latents, found)]
        return found

    def lines(latents: Floats) -> NDArray[np.float32]:
        return rows(latents)[:, : grid.length]

    grid = prepare.grid
    vacuum = grid.medium == "vacuum"
    return Decoder(
        rows=rows,
        flux=lambda latents: restore(rows(latents), prepare),
        options={
            "wavelength": vacuum_to_air(grid.wavelength) if vacuum else grid.wavelength,
            "valid": ~grid.gap_mask,
            # Only these models decode the lines apart from the continuum.
            "contrast": lines if prepare.normalization == "continuum" else None,
        },
        model=model,
        provenance={
            "model": str(model.info.get("name", "")),
            "weights_sha256": weights_sha256(model),
        },
    )


def _data(decoder: Decoder, latents: LatentsLike | None, base: ArrayLike | None) -> _Spread:
    """Latents that were given, the model's reference sample, or the prior."""
    model = decoder.model
    if latents is not None:
        read = read_latents(latents)
        check_none_infinite(read)
        if model is not None:
            from latentscope.models.weights import check_made_by

            check_made_by(model, read)
        return _Spread.of(read)
    if model is None:
        if base is None:
            raise ChoiceError(
                "a function decodes, but there is nothing to start from; give latents=... or "
                "base=..."
            )
        return _Spread(None, np.size(base), "the prior")
    from latentscope.models.trust import sample_beside

    sample = sample_beside(model)
    if sample is None:
        return _Spread(None, model.config.latents, "the model's prior")
    return _Spread.of(Latents(sample.values, source="the model's reference sample"))


def _start(
    decoder: Decoder, data: _Spread, spectrum: Any, base: ArrayLike | None
) -> tuple[Floats, str]:
    """Latents to start from, and where they come from."""
    if base is not None:
        start = np.asarray(base, dtype=np.float64)
        if start.shape != (data.dims,):
            raise EstimatorError(f"base has shape {start.shape}; there are ({data.dims},) latents")
        return start, "latents that were given"
    if spectrum is None:
        return data.mean, f"the mean of {data.source}"
    if decoder.model is None:
        raise ChoiceError(
            "a spectrum is given to start from, but a function that decodes cannot encode it; give "
            "base=..., its latents"
        )
    from latentscope.models.encode import encode
    from latentscope.models.rows import source_file

    encoded = encode([spectrum], decoder.model, workers=1, recon_error=False)
    name = source_file(spectrum) or "the spectrum"
    if not encoded.ok[0]:
        assert encoded.table is not None
        reason = str(encoded.table["error"][0])
        raise SpectrumError(reason if name in reason else f"{name}: {reason}")
    return encoded.values[0].astype(np.float64), name


def _informative(decoder: Decoder, data: _Spread, start: Floats) -> list[int]:
    if data.latents is not None:
        latents = data.latents
        if decoder.model is not None:
            latents = with_threshold(latents, decoder.model.info)
        informative = Study(latents).informative
        if not informative:
            raise EstimatorError(
                f"{data.source}: no dimension is informative; name dimensions to map them"
            )
        return informative
    change = np.empty(data.dims)
    for dim in range(data.dims):
        # Half a unit either way: the root mean square of what changes in the decoded row.
        moved = np.repeat(start[None], 2, axis=0)
        moved[:, dim] += (-0.5, 0.5)
        below, above = np.asarray(decoder.rows(moved))
        change[dim] = np.sqrt(np.mean((above - below) ** 2))
    if not change.max() > 0:
        raise EstimatorError("no dimension changes the decoded spectrum; is the model trained?")
    return [int(dim) for dim in np.flatnonzero(change >= _AUDIBLE * change.max())]


def _check_alone(options: Mapping[str, Any]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise ChoiceError(f"{' and '.join(given)} are given; expected one of them")


@dataclass(frozen=True)
class _Spread:
    """Where the latents of spectra lie; without latents, a standard normal prior."""

    latents: Latents | None
    dims: int
    source: str

    @classmethod
    def of(cls, latents: Latents) -> _Spread:
        finite = int(latents.ok.sum())
        if finite < 2:
            raise EstimatorError(
                f"{latents.source}: {finite} of {len(latents)} rows are finite; expected two or "
                "more"
            )
        return cls(latents, latents.dims, latents.source)

    @cached_property
    def values(self) -> Floats | None:
        """Finite rows, shape (n, d)."""
        return None if self.latents is None else self.latents.values[self.latents.ok].astype(float)

    @property
    def mean(self) -> Floats:
        return np.zeros(self.dims) if self.values is None else self.values.mean(axis=0)

    @cached_property
    def sigma(self) -> Floats:
        """Half the distance of the 16 % and 84 % quantiles, (d,); 0 where nothing varies."""
        if self.values is None:
            return np.ones(self.dims)
        low, high = np.quantile(self.values, _ONE_SIGMA, axis=0)
        return np.asarray((high - low) / 2, dtype=np.float64)

    def unit(self, dim: int) -> float:
        """One sigma of a dimension; that of the prior, 1, for one that does not vary."""
        if self.sigma[dim] > 0:
            return float(self.sigma[dim])
        warn(
            f"{self.source}: dim {dim} does not vary; mean 0 and sigma 1 of the prior stand for it"
        )
        return 1.0

    def quantiles(self, dim: int, at: Sequence[float]) -> Floats:
        """Values of a dimension at quantiles of the data; the prior's if it does not vary."""
        given = np.asarray(at, dtype=np.float64)
        if not ((given > 0) & (given < 1)).all():
            raise ChoiceError(f"quantiles are {given.tolist()}; expected numbers between 0 and 1")
        if self.values is None or self.sigma[dim] == 0:
            return np.asarray(ndtri(given), dtype=np.float64)
        return np.asarray(np.quantile(self.values[:, dim], given), dtype=np.float64)
