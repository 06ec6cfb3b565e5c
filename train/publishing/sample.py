"""The reference sample of a model folder: what the network makes of ordinary spectra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from latentscope.data import Latents
from latentscope.diagnostics.trust import MAX_ROWS, MIN_ROWS, TrustSample, draw_trust_sample
from latentscope.models.config import SAMPLE_FILE
from latentscope.models.encode import Network, encode
from latentscope.models.network import SpectrumVAE
from latentscope.models.trust import segment_edges, write_trust_sample
from latentscope.models.weights import load_folder, weights_sha256
from latentscope.simulation.simulate import simulate
from train.data.source import Data

_AT_ONCE = 64

SEED = 7000
"""Of the simulated spectra of a sample; no configuration trains on this archive."""


def simulated_sample(
    model: SpectrumVAE,
    n: int,
    *,
    seed: int = SEED,
    linelist: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> TrustSample:
    """Encode `n` simulated spectra, one a star, as a reference sample.

    Parameters
    ----------
    model : SpectrumVAE
        With its preparation.
    n : int
    seed : int
        Of the simulated archive: another one than the network was trained on.
    linelist : str, optional
        Line list file; the built-in list by default.
    progress : callable, optional
        Called with the number of spectra done.
    """
    values, tables, provenance = [], [], {}
    spectra = (spectrum for spectrum, _ in simulate(n, seed=seed, linelist=linelist, repeats=False))
    done = 0
    while some := list(islice(spectra, _AT_ONCE)):
        part = encode(some, model)
        values.append(part.values)
        tables.append(part.table)
        provenance = part.provenance
        done += len(some)
        if progress is not None:
            progress(done)
    latents = Latents(
        np.concatenate(values), pd.concat(tables, ignore_index=True), None, provenance
    )
    lines = "built-in lines" if linelist is None else Path(linelist).name
    return draw_trust_sample(latents, max_rows=n, origin=f"simulated spectra, seed {seed}, {lines}")


def validation_sample(model: SpectrumVAE, data: Data) -> TrustSample:
    """Sample of up to 3,000 validation rows, whose noise and resolution nobody knows any more."""
    assert model.prepare is not None
    rows, valid = data.validation_rows, data.validation_valid
    order = np.random.default_rng(0).permutation(len(rows))[:MAX_ROWS]
    some, pixels = rows[order].astype(np.float32), _everywhere(model)
    good = np.tile(pixels, (len(some), 1)) if valid is None else valid[order]
    found = Network(model, "cpu", "auto", True).encode(some, good)
    unknown = np.full(len(some), np.nan)
    info = {
        "model": str(model.info["name"]),
        "weights_sha256": weights_sha256(model),
        "origin": "validation spectra of its training",
    }
    return TrustSample(
        found.mean.astype(np.float64),
        found.recon_error.astype(np.float64),
        (good & pixels).sum(axis=1) / pixels.sum(),
        unknown,
        unknown,
        found.segments.astype(np.float64),
        np.array(segment_edges(model.prepare)),
        info,
    )


def export_sample(folder: Path, data: Data) -> None:
    """Write the sample of validation rows beside a model's weights; none of fewer than 100 rows.

    An older one is removed: it belonged to other weights.
    """
    (folder / SAMPLE_FILE).unlink(missing_ok=True)
    if len(data.validation_rows) >= MIN_ROWS:
        write_trust_sample(validation_sample(load_folder(folder), data), folder)


def copy_sample(sample: TrustSample, model: SpectrumVAE, folder: Path) -> None:
    """Write a model's sample beside other weights that make nearly the same latents."""
    info = sample.info | {"weights_sha256": weights_sha256(model)}
    write_trust_sample(replace(sample, info=info), folder)


def _everywhere(model: SpectrumVAE) -> np.ndarray:
    """Pixels of a row that hold flux, shape (row_size,): no gap, no padding, no log continuum."""
    assert model.prepare is not None
    grid, out = model.prepare.grid, np.zeros(model.prepare.row_size, np.bool_)
    first = 0 if model.prepare.normalization == "continuum" else grid.pad_left
    out[first : first + grid.length] = ~grid.gap_mask
    return out
