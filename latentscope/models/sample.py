"""The reference sample: what a model makes of ordinary spectra, kept beside its weights.

A model folder may hold `sample.safetensors`: latents and trust columns of some thousand ordinary
spectra, by which `score` judges others.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from latentscope.diagnostics.trust.places import FEWEST
from latentscope.diagnostics.trust.sample import Sample
from latentscope.errors import ModelError
from latentscope.files import atomic_path
from latentscope.models.settings import CONFIG_FILE, SAMPLE_FILE, read_settings
from latentscope.models.state_dict import weights_sha256
from latentscope.models.vae import SpectrumVAE
from latentscope.models.weights import model_folder

_WIDE = ("values", "segments")
_COLUMNS = ("recon_error", "coverage", "snr", "resolution", "edges")
_ADVICE = "give --reference LATENTS, latents of ordinary spectra that this model encoded"


def write_sample(sample: Sample, folder: str | os.PathLike[str]) -> Path:
    """Write a reference sample as `sample.safetensors` of a model folder.

    Latents and errors of segments are rounded to float16 where they fit into it.

    Parameters
    ----------
    sample : Sample
        As `sample_of` draws it from latents of the folder's model.
    folder : path
        Of the model.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        If the folder is no model, the sample was encoded by other weights, or it has fewer than
        100 rows.
    """
    folder = Path(folder)
    _check_weights(sample.info, folder, "the latents")
    if len(sample) < FEWEST:
        raise ModelError(
            f"{folder / SAMPLE_FILE}: {len(sample)} spectra are no reference; wanted at least "
            f"{FEWEST}, better 2,500"
        )
    arrays = {name: getattr(sample, name).astype(np.float32) for name in (*_WIDE, *_COLUMNS)}
    for name in _WIDE:
        if np.nanmax(np.abs(arrays[name]), initial=0.0) < np.finfo(np.float16).max:
            arrays[name] = arrays[name].astype(np.float16)
    path = folder / SAMPLE_FILE
    with atomic_path(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save(arrays, metadata=sample.info))
    return path


def read_sample(folder: str | os.PathLike[str]) -> Sample:
    """Return the reference sample of a model folder.

    Raises
    ------
    ModelError
        If there is none, it is damaged, or belongs to other weights.
    """
    path = Path(folder) / SAMPLE_FILE
    if not path.is_file():
        raise ModelError(f"{path}: no such file; this model has no reference sample: {_ADVICE}")
    try:
        with safe_open(path, framework="np") as stored:
            info = dict(stored.metadata() or {})
            arrays = {name: stored.get_tensor(name).astype(np.float64) for name in stored.keys()}  # noqa: SIM118
        sample = Sample(**arrays, info=info)
    except (SafetensorError, OSError, TypeError) as error:
        raise ModelError(
            f"{path}: is no reference sample ({error}); write or download it again"
        ) from error
    _check_weights(info, Path(folder), str(path))
    return sample


def sample_beside(model: SpectrumVAE) -> Sample | None:
    """Return the reference sample in the folder that a model was read from; None without one.

    None too where the model's weights were changed since: the sample is no longer theirs.

    Raises
    ------
    ModelError
        If it is damaged, or belongs to other weights.
    """
    if model.folder is None or not (model.folder / SAMPLE_FILE).is_file():
        return None
    sample = read_sample(model.folder)
    return sample if sample.info.get("weights_sha256") == weights_sha256(model) else None


def model_sample(
    source: str | os.PathLike[str], *, cache_dir: str | os.PathLike[str] | None = None
) -> Sample:
    """Return the reference sample of a model.

    Parameters
    ----------
    source : str or path
        A bundled model's name, a folder, an address or a Hugging Face id.
    cache_dir : path, optional
        Folder for downloads.

    Raises
    ------
    ModelError
        If there is no such model, or it has no sample.
    """
    files = (CONFIG_FILE, SAMPLE_FILE)
    what = f"a reference sample: {_ADVICE}"
    return read_sample(model_folder(source, what, files=files, cache_dir=cache_dir))


def _check_weights(info: dict[str, str], folder: Path, what: str) -> None:
    wanted = read_settings(folder / CONFIG_FILE).info.get("weights_sha256")
    found = info.get("weights_sha256")
    if wanted and found and wanted != found:
        raise ModelError(
            f"{what}: made by weights {found[:12]}..., the model in {folder} has "
            f"{wanted[:12]}...; encode ordinary spectra with it and write the sample again"
        )
