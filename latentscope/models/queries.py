"""Retrieval by spectra, encoded by the model that made the latents."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentscope.data import Latents
from latentscope.diagnostics.retrieval import RetrievalResult, Retriever
from latentscope.diagnostics.study import StudyLike
from latentscope.errors import ChoiceError, LatentscopeError, ModelError
from latentscope.spectra.read import Reading
from latentscope.spectra.spectrum import Spectrum
from latentscope.workers import Progress

# Who searches by rows or values waits for no torch.
if TYPE_CHECKING:
    from latentscope.models.network import SpectrumVAE
    from latentscope.models.weights import ModelLike


def retrieve(
    query: Any,
    latents: StudyLike,
    *,
    n_matches: int = 10,
    model: ModelLike | None = None,
    **options: Any,
) -> RetrievalResult:
    """Find the spectra that are nearest to a query in latent space, exactly.

    Of many questions to the same sample ask a `Retriever`.

    Parameters
    ----------
    query : int, str, path, Spectrum, Latents, array (d,) or (m, d), or a list of these
        Rows by number or id, or values, as `Retriever.query` takes them; or spectra, which are
        encoded as the latents were: a `Spectrum`, a path, or text that names a file and no row.
    latents : Latents, array (n, d), DataFrame, path, or Study
        The sample.
    n_matches : int
        Matches of each query.
    model : SpectrumVAE, str or path, optional
        What encodes spectra; by default the model that the provenance of the latents names.
    **options
        `dims`, `metric`, `spread`, `groups`, `same_star`, `one_per_star`, `labels`, `columns`,
        `join`, `where`, `n_reference`, `seed`, `progress`: as `Retriever` takes them.

    Raises
    ------
    EstimatorError, ChoiceError, TableError
        As `Retriever` and its `query` do.
    ModelError
        As `encode_queries` does.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> z[7] = z[3] + 0.0001
    >>> retrieve(3, z, n_matches=1).table["row"].tolist()
    [7]
    """
    retriever = Retriever(latents, **options)

    def is_spectrum(item: Any) -> bool:
        if not isinstance(item, str):
            return isinstance(item, Spectrum | os.PathLike)
        try:
            retriever.queries(item)
        except ChoiceError:
            return Path(item).is_file()
        return False

    items = query if isinstance(query, list | tuple) else [query]
    if not any(map(is_spectrum, items)):
        return retriever.query(query, n_matches)
    asked: list[Any] = []
    for spectra, run in groupby(items, is_spectrum):
        found = list(run)
        asked += [encode_queries(found, retriever.latents, model)] if spectra else found
    return retriever.query([retriever.queries(item) for item in asked], n_matches)


def encode_queries(
    sources: Any,
    latents: Latents,
    model: ModelLike | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Latents:
    """Encode spectra as the latents were encoded, to search there (`Retriever.query`).

    Parameters
    ----------
    sources : source or list of sources
        As `encode` takes them.
    latents : Latents
        With the provenance that `encode` writes, where `model` is not given.
    model : SpectrumVAE, str or path, optional
        A model, or what `load_model` takes; by default the one that the provenance names.
    workers, progress
        As in `encode`.

    Returns
    -------
    Latents
        One row per spectrum; a row of NaN for one that failed, with the reason in its table.

    Raises
    ------
    ModelError
        If no model is known or it cannot be loaded, or its weights, preparation or number of
        latents are not those that made the latents.
    SpectrumError
        If `sources` names nothing.
    """
    from latentscope.models.encode import encode
    from latentscope.models.weights import as_model, check_made_by

    network = _model_of(latents) if model is None else as_model(model)
    check_made_by(network, latents)
    # A `Spectrum` has its own frame.
    items = sources if isinstance(sources, list | tuple) else [sources]
    own = any(isinstance(item, Spectrum) for item in items)
    alike = {} if own else vars(Reading.of(latents.provenance))
    return encode(
        sources,
        network,
        min_coverage=float(latents.provenance.get("min_coverage", 0.5)),
        workers=workers,
        recon_error=False,
        progress=progress,
        **alike,
    )


def _model_of(latents: Latents) -> SpectrumVAE:
    from latentscope.models.weights import load_model

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
