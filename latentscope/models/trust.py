"""Trust of rows by what a model makes of ordinary spectra: the sample kept beside its weights.

A model folder may hold `sample.safetensors`: latents and trust columns of some thousand ordinary
spectra, by which `score` judges others.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from latentscope.data import Latents, LatentsLike, read_latents
from latentscope.diagnostics.groups import GroupsLike
from latentscope.diagnostics.mi.columns import Seed
from latentscope.diagnostics.study import Study, StudyLike
from latentscope.diagnostics.trust import ScoreResult, score_against
from latentscope.diagnostics.trust_reference import MIN_ROWS, Reference, TrustSample
from latentscope.errors import ChoiceError, ModelError
from latentscope.files import atomic_path
from latentscope.models.config import CONFIG_FILE, SAMPLE_FILE, bundled_models, read_config
from latentscope.models.network import SpectrumVAE
from latentscope.models.rows import SEGMENTS
from latentscope.models.weights import ModelLike, beside, check_weights, model_folder
from latentscope.spectra.prepare import PrepareConfig

TRUST_COLUMNS = (
    *("recon_percentile", "density_percentile"),
    *("trust_latents", "trust_fit", "trust_resolution", "trust_kind", "trust", "verdict"),
)
"""Columns of the sidecar that compare a row with the model's reference sample."""

_WIDE = ("values", "segments")
_LATER = ("contrast", "roughness", "emission", "elsewhere", "vacuum", "oxygen_rv")
_COLUMNS = ("recon_error", "coverage", "snr", "resolution", *_LATER, "edges")
_ADVICE = "give --reference LATENTS, latents of ordinary spectra that this model encoded"


def score(
    latents: StudyLike,
    model: ModelLike | None = None,
    *,
    reference: TrustSample | ModelLike | LatentsLike | None = None,
    groups: GroupsLike = "auto",
    seed: Seed = 0,
    cache_dir: str | os.PathLike[str] | None = None,
) -> ScoreResult:
    """Tell row by row which spectra a model knows.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        With the trust columns that `encode` writes, where they are known; the spectra themselves
        are not needed.
    model : SpectrumVAE, str or path, optional
        The model, whose own reference sample is taken: itself, a name, a folder, an address, a
        Hugging Face id. By default, and without a reference, the bundled model that encoded the
        latents, as their provenance says; else the rows are compared with one another.
    reference : as `latents`, as `model`, or what `trust_sample` gives, optional
        Latents of ordinary spectra, encoded with the same model; or whose sample is taken.
    groups : array (n,) or str, optional
        The star of each row of the reference (without one, of the latents), or the column that
        names it. "auto": `star`, filled from `object`; None or "none": rows are independent.
    seed : int or Generator
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

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(2000, 2))
    >>> z[0] = 50.0
    >>> bool(score(z).table["density_percentile"].iloc[0] < 1)
    True
    """
    given = latents if isinstance(latents, Study) else read_latents(latents)
    if model is not None and reference is not None:
        raise ChoiceError("both a reference and a model are given; expected one of the two")
    if model is None and _is_model(reference):
        model, reference = reference, None
    if model is not None:
        reference = trust_sample(model, cache_dir=cache_dir)
    elif reference is None:
        reference = _sample_of_bundled(given.latents if isinstance(given, Study) else given)
    assert not isinstance(reference, SpectrumVAE)
    return score_against(given, reference, groups=groups, seed=seed)


def _is_model(given: Any) -> TypeGuard[ModelLike]:
    """Whether a model stands for its sample: itself, a bundled one's name, or a folder."""
    if isinstance(given, str | os.PathLike):
        return str(given) in bundled_models() or Path(given).is_dir()
    return isinstance(given, SpectrumVAE)


def trust_sample(
    model: ModelLike, *, cache_dir: str | os.PathLike[str] | None = None
) -> TrustSample:
    """Return the reference sample of a model: what it makes of ordinary spectra.

    `model` is as for `score`, `cache_dir` the folder for downloads.

    Raises
    ------
    ModelError
        If there is no such model, or it has no sample.
    """
    if isinstance(model, SpectrumVAE):
        sample = sample_beside(model)
        if sample is None:
            name = model.info.get("name", "unnamed")
            raise ModelError(f"the model {name} has no reference sample of its weights: {_ADVICE}")
        return sample
    files = (CONFIG_FILE, SAMPLE_FILE)
    what = f"a reference sample: {_ADVICE}"
    return read_trust_sample(model_folder(model, what, files=files, cache_dir=cache_dir))


def sample_beside(model: SpectrumVAE) -> TrustSample | None:
    """Return the reference sample in the folder that a model was read from, as `beside` does."""
    found: TrustSample | None = beside(model, SAMPLE_FILE, read_trust_sample)
    return found


def _sample_of_bundled(latents: Latents) -> TrustSample | None:
    """Sample of the bundled model whose weights the provenance names."""
    folder = bundled_models().get(str(latents.provenance.get("model")))
    if folder is None or not (folder / SAMPLE_FILE).is_file():
        return None
    same = _weights_of(folder) == latents.provenance.get("weights_sha256")
    return read_trust_sample(folder) if same else None


def write_trust_sample(sample: TrustSample, folder: str | os.PathLike[str]) -> Path:
    """Write what `draw_trust_sample` draws from a model's latents as its `sample.safetensors`.

    Latents and errors of segments are rounded to float16 where they fit into it.
    """
    folder = Path(folder)
    check_weights(sample.info, _weights_of(folder), "the latents")
    path = folder / SAMPLE_FILE
    if len(sample) < MIN_ROWS:
        raise ModelError(
            f"{path}: {len(sample)} spectra are too few for a reference; expected at least "
            f"{MIN_ROWS}, better 2,500"
        )
    arrays = {name: getattr(sample, name).astype(np.float32) for name in (*_WIDE, *_COLUMNS)}
    for name in _WIDE:
        if np.nanmax(np.abs(arrays[name]), initial=0.0) < np.finfo(np.float16).max:
            # Three digits, as tables have them; the file is half the size.
            arrays[name] = arrays[name].astype(np.float16)
    with atomic_path(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save(arrays, metadata=sample.info))
    return path


def read_trust_sample(folder: str | os.PathLike[str]) -> TrustSample:
    """Return the reference sample of a model folder; ModelError unless it is of its weights."""
    path = Path(folder) / SAMPLE_FILE
    if not path.is_file():
        raise ModelError(f"{path}: no such file; this model has no reference sample: {_ADVICE}")
    try:
        with safe_open(path, framework="np") as stored:
            info = dict(stored.metadata() or {})
            arrays = {name: stored.get_tensor(name).astype(np.float64) for name in stored.keys()}  # noqa: SIM118
        for name in _LATER:  # samples of before they were measured
            arrays.setdefault(name, np.full(len(arrays["values"]), np.nan))
        sample = TrustSample(**arrays, info=info)
    except (SafetensorError, OSError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path}: is not a reference sample ({error}); write or download it again"
        ) from error
    config = read_config(path.with_name(CONFIG_FILE))
    check_weights(info, config.weights_sha256, str(path))
    if config.mad_threshold is not None:
        sample = replace(sample, info=info | {"mad_threshold": str(config.mad_threshold)})
    return sample


def _weights_of(folder: Path) -> str | None:
    return read_config(folder / CONFIG_FILE).weights_sha256


def with_trust(
    latents: Latents, segments: NDArray[np.floating[Any]], reference: Reference | None
) -> pd.DataFrame:
    """Return the table of latents with `TRUST_COLUMNS` and the errors of segments, shape (n, s).

    Without a reference the columns are empty.
    """
    assert latents.table is not None
    if reference is None:
        found = pd.DataFrame(index=latents.table.index, columns=list(TRUST_COLUMNS), dtype=float)
        found["verdict"] = ""
    else:
        # As they will be read from the table, so that `score` of the file says the same.
        digits = [float(f"{error:.3g}") for error in segments.ravel()]
        parts = np.array(digits).reshape(segments.shape)
        parts = parts if np.isfinite(segments).any() else np.empty((len(latents), 0))
        found = score_against(latents, reference, segments=parts).table[list(TRUST_COLUMNS)]
    # Last, since it is long and made for programs.
    text = [segments_text(row) for row in segments]
    return latents.table.join(found).assign(recon_segments=text)


def segment_edges(config: PrepareConfig) -> list[float]:
    """Wavelengths between the 32 parts of a row, in Angstrom of the grid, shape (33,)."""
    grid = config.grid
    first, length = 0, grid.length
    if config.normalization != "continuum":
        first, length = grid.pad_left, grid.size
    # As the network splits a row, padding and all; what lies beyond the grid is clipped.
    sizes = [len(part) for part in np.array_split(np.empty(length), SEGMENTS)]
    at = np.clip(np.cumsum([0, *sizes]) - first, 0, grid.length)
    return [round(float(edge), 3) for edge in grid.edges[at]]


def segments_text(errors: NDArray[Any]) -> str:
    """Write the errors of the parts of a row with three digits; empty if all are NaN."""
    return "" if np.isnan(errors).all() else " ".join(f"{error:.3g}" for error in errors)
