"""Spectra to compare with latents, encoded by the very model that made the latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from latentscope.data import Latents
from latentscope.errors import LatentscopeError, ModelError
from latentscope.models.encode import encode
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import check_made_by, load_model

Progress = Callable[[int, int], None]


def encode_queries(
    sources: Any,
    latents: Latents,
    model: SpectrumVAE | str | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Latents:
    """Encode spectra as latents were, to search for them there (`retrieve`).

    Parameters
    ----------
    sources : source or list of sources
        As `encode` takes them.
    latents : Latents
        With the provenance that `encode` writes, where `model` is not given.
    model : SpectrumVAE or str, optional
        A model, or what `load_model` takes; by default the one that the provenance names.
    workers : int, optional
        As in `encode`.
    progress : callable (done, total), optional
        As in `encode`.

    Returns
    -------
    Latents
        One row a spectrum; a row of NaN for one that failed, with the reason in its table.

    Raises
    ------
    ModelError
        If no model is known or it cannot be loaded, or its weights, preparation or number of
        latents are not those that made the latents.
    SpectrumError
        If `sources` names nothing.
    """
    network = model if isinstance(model, SpectrumVAE) else _loaded(model, latents)
    check_made_by(network, latents)
    return encode(
        sources,
        network,
        min_coverage=float(latents.provenance.get("min_coverage", 0.5)),
        workers=workers,
        recon_error=False,
        progress=progress,
    )


def _loaded(model: str | None, latents: Latents) -> SpectrumVAE:
    if model is not None:
        return load_model(model)
    name = latents.provenance.get("model")
    if not isinstance(name, str):
        raise ModelError(
            f"{latents.source}: does not say which model made these latents; name it (-m MODEL)"
        )
    try:
        return load_model(name)
    except LatentscopeError as error:
        raise ModelError(
            f"{latents.source}: made by the model {name!r}, which is not known by this name; give "
            f"its folder or file (-m MODEL): {error}"
        ) from error
