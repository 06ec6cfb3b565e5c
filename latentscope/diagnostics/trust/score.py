"""Row by row, whether the model knows such spectra."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents, read_latents
from latentscope.diagnostics.provenance import origin
from latentscope.diagnostics.trust.reference import Reference
from latentscope.diagnostics.trust.result import ScoreResult
from latentscope.diagnostics.trust.sample import (
    SIZE,
    Sample,
    sample_indices,
    sample_of,
    sample_rows,
)
from latentscope.diagnostics.trust.verdicts import DOUBTFUL, OUTSIDE, judged_table
from latentscope.errors import TableError

Floats = NDArray[np.float64]
LatentsLike = Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str]


def score(
    latents: LatentsLike,
    *,
    reference: Sample | Reference | LatentsLike | None = None,
    groups: ArrayLike | str | None = None,
    seed: int = 0,
) -> ScoreResult:
    """Compare rows of latents with a reference of ordinary ones.

    Four numbers are compared, as far as both sides have them: the reconstruction error at equal
    noise, its pattern over wavelength, the density of the latents and the resolution. The smallest
    p-value of pattern (the error, where there is no pattern), density and resolution becomes
    `trust`, corrected for there being several, so that 5 % of ordinary rows fall below 0.05.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame or path
        With the trust columns that `encode` writes, where they are known.
    reference : Sample, Reference, or as `latents`, optional
        Ordinary spectra encoded with the same model; of more than 3,000 rows a random 3,000, one a
        star. By default the latents themselves: rows are then ranked among each other.
    groups : array (n,) or str, optional
        The star of each row of `latents`, or the column that names it, where they are their own
        reference.
    seed : int
        Of the draw.

    Returns
    -------
    ScoreResult

    Raises
    ------
    TableError
        If the reference has another number of dimensions, other weights or another grid, or fewer
        than 100 rows.
    """
    read = read_latents(latents)
    rows = sample_rows(read)
    if reference is None:
        chosen = sample_indices(read, size=SIZE, groups=_names(read, groups), seed=seed)
        known = Reference(rows.rows(chosen))
    else:
        chosen = None
        known = _reference(reference, seed)
    _check(rows, known.sample, read.source)
    table = judged_table(read, rows, known, chosen)
    provenance = {
        **origin("score"),
        "reference": known.sample.info | {"rows": len(known.sample)},
        "own_reference": chosen is not None,
        "dims": known.dims.tolist(),
        "doubtful_below": DOUBTFUL,
        "outside_below": OUTSIDE,
        "seed": seed,
        "source": read.source,
        "latents": read.provenance,
    }
    return ScoreResult(table, provenance)


def _reference(given: Sample | Reference | LatentsLike, seed: int) -> Reference:
    if isinstance(given, Reference):
        return given
    return Reference(
        given if isinstance(given, Sample) else sample_of(read_latents(given), seed=seed)
    )


def _names(latents: Latents, groups: ArrayLike | str | None) -> ArrayLike | None:
    if not isinstance(groups, str):
        return groups
    column = latents.column(groups)
    if column is None:
        raise TableError(f"{latents.source}: no column {groups!r} to name the stars")
    return column


def _check(rows: Sample, reference: Sample, source: str) -> None:
    said = reference.info.get("origin") or "the reference"
    if rows.values.shape[1] != reference.values.shape[1]:
        raise TableError(
            f"{source}: {rows.values.shape[1]} dimensions, but {said} has "
            f"{reference.values.shape[1]}; wanted latents of one model"
        )
    weights = rows.info.get("weights_sha256"), reference.info.get("weights_sha256")
    if all(weights) and weights[0] != weights[1]:
        raise TableError(
            f"{source}: encoded by other weights ({str(weights[0])[:12]}...) than {said} "
            f"({str(weights[1])[:12]}...); give the model that encoded them, or encode again"
        )
    edges = rows.edges, reference.edges
    if all(map(len, edges)) and not (
        len(edges[0]) == len(edges[1]) and np.allclose(*edges, rtol=1e-6)
    ):
        raise TableError(
            f"{source}: its {len(edges[0]) - 1} parts of the spectrum are not those of {said}; "
            "wanted one grid: encode again with this version"
        )
