"""load_model: from a name, a path, a URL or a Hugging Face id to a model with its weights."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from latentscope.errors import ModelError
from latentscope.models.convert import load_checkpoint
from latentscope.models.download import check_url, fetch, url_filename
from latentscope.models.network import moved
from latentscope.models.registry import (
    DEFAULT_MODEL,
    PUBLISHED,
    PublishedModel,
    available_models,
    bundled_models,
    cache_folder,
    cache_root,
    known_names,
    near_misses,
)
from latentscope.models.settings import CONFIG_FILE, SAMPLE_FILE
from latentscope.models.state_dict import WEIGHTS_FILE, weights_sha256
from latentscope.models.storage import load_folder, save_model
from latentscope.models.vae import SpectrumVAE

__all__ = [
    "DEFAULT_MODEL",
    "available_models",
    "load_model",
    "save_model",
    "weights_sha256",
]

CHECKPOINT_SUFFIXES = (".pth.tar", ".pth", ".pt", ".ckpt", ".tar")
FILE_SUFFIXES = (*CHECKPOINT_SUFFIXES, ".safetensors", ".json")
HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")

PathLike = str | os.PathLike[str]


def load_model(
    source: PathLike = DEFAULT_MODEL,
    *,
    cache_dir: PathLike | None = None,
    device: str | torch.device = "cpu",
) -> SpectrumVAE:
    """Return a model with its weights, in eval mode.

    Parameters
    ----------
    source : str or path
        Tried in this order:

        1. a name: a bundled model, or `astro-machines` or `stellar-karaoke`, which are downloaded
           on first use;
        2. `https://...`: a published-format checkpoint (.pth.tar, .pth, .pt), or a folder with
           config.json and model.safetensors (the address of the folder or of one of the two);
        3. a folder with config.json and model.safetensors, or a checkpoint file; write `./name`
           for a folder that has the name of a known model;
        4. a Hugging Face id `org/name`, or `org/name@revision`.
    cache_dir : path, optional
        Folder for downloads; by default LATENTSCOPE_CACHE or ~/.cache/latentscope, and Hugging
        Face's own cache for its models.
    device : str or torch.device
        Where the model runs.

    Returns
    -------
    SpectrumVAE

    Raises
    ------
    ModelError
        If there is no such model, it cannot be downloaded or verified, or its weights do not fit.

    Warns
    -----
    LatentscopeWarning
        When a hash is recorded at the first download of a file that has no published one, and
        when the preparation of a checkpoint has to be assumed.
    """
    text = os.fspath(source)
    if text in PUBLISHED and text not in bundled_models():
        model = _load_published(PUBLISHED[text], cache_dir)
    else:
        path = model_path(text, cache_dir=cache_dir)
        if (hub := _hub_id(text)) is not None and not Path(text).expanduser().exists():
            _fetch_sample(hub[0], path, cache_dir)
        model = load_folder(path) if path.is_dir() else load_checkpoint(path)
    return moved(model, device)


def model_path(
    source: PathLike,
    *,
    files: Sequence[str] = (CONFIG_FILE, WEIGHTS_FILE),
    cache_dir: PathLike | None = None,
) -> Path:
    """Return where a model lies on this machine, downloaded if it has to be.

    Parameters
    ----------
    source : str or path
        As `load_model` takes it, but for the names of published checkpoints.
    files : list of str
        Files that are downloaded, config.json first, all of one revision.
    cache_dir : path, optional
        Folder for downloads.

    Returns
    -------
    Path
        A folder with the files, or a checkpoint.

    Raises
    ------
    ModelError
        If there is no such model, or a file cannot be downloaded.
    """
    text = os.fspath(source)
    if text in bundled_models():
        return bundled_models()[text]
    if "://" in text:
        return _url_path(text, files, cache_dir)
    if Path(text).expanduser().exists():
        return _local_path(Path(text).expanduser())
    if (hub := _hub_id(text)) is not None:
        return _hub_folder(*hub, files, cache_dir)
    raise ModelError(
        f"{text!r} is no model: no such name{near_misses(text, known_names())} and no such "
        f"file. Known names: {', '.join(known_names())}. Else give a folder, a .pth.tar file, "
        "an https:// address or a Hugging Face id (org/name)"
    )


def model_folder(
    source: PathLike, what: str, *, files: Sequence[str], cache_dir: PathLike | None = None
) -> Path:
    """Return the folder of a model, as `model_path`, for what lies beside its weights.

    Raises
    ------
    ModelError
        As `model_path`; also if the model is a checkpoint, which came without `what`.
    """
    if os.fspath(source) not in PUBLISHED:
        folder = model_path(source, files=files, cache_dir=cache_dir)
        if folder.is_dir():
            return folder
    raise ModelError(f"{source}: a published checkpoint, which came without {what}")


def _load_published(entry: PublishedModel, cache_dir: PathLike | None) -> SpectrumVAE:
    path = fetch(entry.url, cache_folder(entry.name, cache_dir), sha256=entry.sha256)
    return load_checkpoint(path, normalization=entry.normalization)


def _local_path(path: Path) -> Path:
    if path.name in (CONFIG_FILE, WEIGHTS_FILE):
        return path.parent
    if path.suffix == ".safetensors":
        raise ModelError(
            f"{path}: weights alone; wanted the folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}"
        )
    return path


def _url_path(url: str, files: Sequence[str], cache_dir: PathLike | None) -> Path:
    check_url(url)
    name = url_filename(url)
    base = url.removesuffix(name) if name in (CONFIG_FILE, WEIGHTS_FILE) else url
    folder = cache_root(cache_dir) / "urls" / hashlib.sha256(base.encode()).hexdigest()[:16]
    if name.endswith(CHECKPOINT_SUFFIXES):
        return fetch(url, folder)
    for file in files:
        fetch(f"{base.rstrip('/')}/{file}", folder)
    return folder


def _hub_id(text: str) -> tuple[str, str | None] | None:
    matched = HUB_ID.fullmatch(text)
    if matched is None or text.startswith((".", "~")) or text.endswith(FILE_SUFFIXES):
        return None
    if Path(text).parent.is_dir():  # a mistyped path: no reason to ask the network
        return None
    return matched[1], matched[2]


def _hub_folder(
    repository: str, revision: str | None, files: Sequence[str], cache_dir: PathLike | None
) -> Path:
    first, *others = files
    folder = _hub_file(repository, first, revision, cache_dir).parent
    for file in others:
        # snapshots/<commit>/config.json: all files from one commit
        _hub_file(repository, file, folder.name, cache_dir)
    return folder


def _fetch_sample(repository: str, folder: Path, cache_dir: PathLike | None) -> None:
    """Download the reference sample of a model on the hub, where it has one."""
    from huggingface_hub.errors import EntryNotFoundError

    try:
        _hub_file(repository, SAMPLE_FILE, folder.name, cache_dir)
    except ModelError as error:
        if not isinstance(error.__cause__, EntryNotFoundError):
            raise


def _hub_file(
    repository: str, filename: str, revision: str | None, cache_dir: PathLike | None
) -> Path:
    # half a second to import, and few models come from there
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    try:
        path = hf_hub_download(
            repository,
            filename,
            revision=revision,
            cache_dir=None if cache_dir is None else cache_root(cache_dir) / "huggingface",
            endpoint=os.environ.get("HF_ENDPOINT"),
            library_name="latentscope",
        )
    except (HfHubHTTPError, EntryNotFoundError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{repository}: no such path here, and {filename} cannot be had from Hugging Face"
            f"{'' if revision is None else f' at revision {revision}'}: {reason}"
        ) from error
    return Path(path)
