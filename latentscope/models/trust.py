"""Trust of rows by the reference sample of the model that encoded them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents, read_latents
from latentscope.diagnostics.trust.reference import Reference
from latentscope.diagnostics.trust.result import ScoreResult
from latentscope.diagnostics.trust.sample import Sample
from latentscope.diagnostics.trust.score import LatentsLike
from latentscope.diagnostics.trust.score import score as score_against
from latentscope.errors import ChoiceError
from latentscope.models.network import SEGMENTS
from latentscope.models.registry import bundled_models
from latentscope.models.sample import model_sample, read_sample
from latentscope.models.settings import CONFIG_FILE, SAMPLE_FILE, read_settings
from latentscope.spectra.prepare import PrepareConfig

TRUST_COLUMNS = ("recon_percentile", "density_percentile", "trust", "verdict")
"""Columns of the sidecar that compare a row with the model's reference sample."""


def score(
    latents: LatentsLike,
    *,
    reference: Sample | LatentsLike | None = None,
    model: str | os.PathLike[str] | None = None,
    groups: ArrayLike | str | None = None,
    seed: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
) -> ScoreResult:
    """Tell row by row which spectra a model knows.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame or path
        With the trust columns that `encode` writes, where they are known; the spectra themselves
        are not needed.
    reference : Sample, or as `latents`, optional
        Latents of ordinary spectra, encoded with the same model.
    model : str or path, optional
        The model, whose own reference sample is taken: a name, a folder, an address, a Hugging
        Face id. By default, and without a reference, the bundled model that encoded the latents,
        as their provenance says; else the rows are compared with one another.
    groups : array (n,) or str, optional
        The star of each row, where rows are compared with one another.
    seed : int
        Of the draw of 3,000 rows from a larger reference.
    cache_dir : path, optional
        Folder for downloads.

    Returns
    -------
    ScoreResult

    Raises
    ------
    ChoiceError
        If both a reference and a model are given.
    ModelError
        If the model is not there, or has no sample.
    TableError
        If the reference has another number of dimensions, other weights or another grid, or fewer
        than 100 rows.
    """
    read = read_latents(latents)
    if model is not None:
        if reference is not None:
            raise ChoiceError("both a reference and a model are given; wanted one of the two")
        reference = model_sample(model, cache_dir=cache_dir)
    elif reference is None:
        reference = _of_bundled(read)
    return score_against(read, reference=reference, groups=groups, seed=seed)


def _of_bundled(latents: Latents) -> Sample | None:
    """Sample of the bundled model whose weights the provenance names."""
    folder = bundled_models().get(str(latents.provenance.get("model")))
    if folder is None or not (folder / SAMPLE_FILE).is_file():
        return None
    own = read_settings(folder / CONFIG_FILE).info.get("weights_sha256")
    return read_sample(folder) if own == latents.provenance.get("weights_sha256") else None


def with_trust(latents: Latents, reference: Reference | None) -> pd.DataFrame:
    """Return the table of latents with `TRUST_COLUMNS`, which are empty without a reference."""
    assert latents.table is not None
    if reference is None:
        found = pd.DataFrame(index=latents.table.index, columns=list(TRUST_COLUMNS), dtype=float)
        found["verdict"] = ""
    else:
        found = score_against(latents, reference=reference).table[list(TRUST_COLUMNS)]
    table = latents.table.join(found)
    # Last, since it is long and made for programs.
    return table[[name for name in table if name != "recon_segments"] + ["recon_segments"]]


def segment_edges(config: PrepareConfig) -> list[float]:
    """Wavelengths between the 32 parts of a row, in Angstrom of the grid, shape (33,)."""
    grid = config.grid
    first, length = 0, grid.length
    if config.normalization != "continuum":
        first, length = grid.pad_left, grid.size
    sizes = [len(part) for part in np.array_split(np.empty(length), SEGMENTS)]
    at = np.clip(np.cumsum([0, *sizes]) - first, 0, grid.length)
    return [round(float(edge), 3) for edge in grid.edges[at]]


def segments_text(errors: NDArray[Any]) -> str:
    """Write the errors of the parts of a row as text of three digits each; empty if all are NaN."""
    return "" if np.isnan(errors).all() else " ".join(f"{error:.3g}" for error in errors)
