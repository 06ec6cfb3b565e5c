"""Spectra to compare with latents, encoded by the very model that made the latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from latentscope.data import Latents
from latentscope.errors import LatentscopeError, ModelError
from latentscope.models.encode import encode
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import load_model, weights_sha256

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
    _check_same(network, latents)
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


def _check_same(model: SpectrumVAE, latents: Latents) -> None:
    name = str(model.info.get("name", "unnamed"))
    if model.config.latents != latents.dims:
        raise ModelError(
            f"{latents.source}: has {latents.dims} dimensions, the model {name} has "
            f"{model.config.latents}; wanted the model that made these latents (-m MODEL)"
        )
    made_by = latents.provenance
    prepare = None if model.prepare is None else model.prepare.to_dict()
    for what, ours, theirs in (
        ("other weights", weights_sha256(model), made_by.get("weights_sha256")),
        ("another preparation of spectra", prepare, made_by.get("prepare")),
    ):
        if theirs is not None and ours != theirs:
            raise ModelError(
                f"{latents.source}: made by {made_by.get('model', 'a model')} with {what} than "
                f"{name} has, whose latents do not compare with them; name the model that made "
                "them (-m MODEL), or encode them again"
            )
