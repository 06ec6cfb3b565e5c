"""Weights on disk: model folders, published checkpoints, and load_model for whatever names a model.

Then, whether a model computes here what it did where it was trained; last, the checkpoints.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from latentscope.data import Latents
from latentscope.errors import ModelError, meant, warn
from latentscope.files import atomic_path, expanded, file_sha256
from latentscope.models.config import (
    CONFIG_FILE,
    DEFAULT_MODEL,
    PROBE_FILE,
    PUBLISHED,
    PUBLISHED_ARCHITECTURE,
    SAMPLE_FILE,
    ModelConfig,
    PublishedNormalization,
    VAEConfig,
    bundled_models,
    cache_folder,
    cache_root,
    kept_model,
    published_prepare,
    read_config,
)
from latentscope.models.download import CHECKPOINT_SUFFIXES, answers, check_url, fetch, url_filename
from latentscope.models.network import (
    SpectrumVAE,
    check_shapes,
    check_state,
    listed,
    load_state,
    moved,
    single,
)
from latentscope.settings import read_settings

WEIGHTS_FILE = "model.safetensors"
_FILE_SUFFIXES = (*CHECKPOINT_SUFFIXES, ".safetensors", ".json")
_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")

PathLike = str | os.PathLike[str]
ModelLike = SpectrumVAE | str | os.PathLike[str]
"""A model, or what `load_model` takes."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file; raise `ModelError` if it is missing or damaged."""
    with _opened(path):
        state: dict[str, Tensor] = safetensors.torch.load_file(path)
    return state


def _shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a .safetensors file, without the tensors."""
    with _opened(path), safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; a model folder holds config.json and {path.name}")
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path}: is not a complete safetensors file ({error}); copy or download it again"
        ) from error


def _shapes_of(config: ModelConfig, path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of the model that the file `path` describes, without memory."""
    try:
        with torch.device("meta"):
            model = SpectrumVAE(config.architecture, config.prepare)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except (RuntimeError, TypeError, OverflowError) as error:
        raise ModelError(
            f"{path}: its architecture is too large for any memory ({str(error).splitlines()[0]})"
        ) from error
    return {name: tuple(values.shape) for name, values in model.state_dict().items()}


def _serialized(model: SpectrumVAE) -> bytes:
    """The weights as a safetensors file: in float16 where `model.info["weights_dtype"]` says so."""
    # Rounded to the nearest; weights that were read from such a file lose nothing.
    half = model.info.get("weights_dtype") == "float16"
    weights = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    state = {k: (v.half() if half else v.float()).contiguous() for k, v in weights.items()}
    large = [k for k, v in state.items() if half and not v.isfinite().equal(weights[k].isfinite())]
    if large:
        raise ModelError(
            f"{listed('tensors exceed 65504, the largest number of float16', large)}; store these "
            "weights as float32"
        )
    data: bytes = safetensors.torch.save(state)
    return data


def weights_sha256(model: ModelLike) -> str:
    """Return the SHA-256 of the weights of a model, 64 hexadecimal digits.

    A model, the folder that `save_model` wrote of it (or its name, if it is bundled) and the
    `model.safetensors` therein have the same one; a checkpoint file has its own.
    """
    if isinstance(model, SpectrumVAE):
        return hashlib.sha256(_serialized(model)).hexdigest()
    path = bundled_models().get(os.fspath(model), expanded(model))
    path = path / WEIGHTS_FILE if path.is_dir() else path
    try:
        return file_sha256(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error


def save_model(model: SpectrumVAE, folder: str | os.PathLike[str]) -> Path:
    """Write a model as a folder that `load_model` reads.

    Each file is replaced in one step; config.json comes last and records the SHA-256 of the
    weights, so that a folder that was left half written is not taken for a whole one.

    Parameters
    ----------
    model : SpectrumVAE
        `model.info` holds at least `name`, and otherwise only what config.json knows.
    folder : path
        Made if it is not there; other files in it stay.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        If `model.info` has no name or an unknown entry, or the folder cannot be written.

    Examples
    --------
    >>> folder = save_model(load_model("harps-sim"), "mine")
    >>> load_model("mine").config.latents
    16
    """
    folder = expanded(folder)
    # Checked and formatted before anything is written.
    data = _serialized(model)
    info = {**model.info, "weights_sha256": hashlib.sha256(data).hexdigest()}
    values = {"architecture": model.config, "prepare": model.prepare, **info}
    what = f"{folder}: the model's info"
    text = read_settings(ModelConfig, values, where=what, error=ModelError).to_json()
    try:
        with atomic_path(folder / WEIGHTS_FILE) as path:
            path.write_bytes(data)
        with atomic_path(folder / CONFIG_FILE) as path:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{folder}: the model cannot be written there ({error})") from error
    return folder


def convert_checkpoint(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    normalization: PublishedNormalization | None = None,
) -> Path:
    """Write a published checkpoint (.pth.tar) as a model folder, and return the folder.

    `normalization`, "median-padded" or "median-valid", is what its spectra were divided by; by
    default its name tells, or it is assumed to be "median-padded", with a warning.

    Raises
    ------
    ModelError
        If the file cannot be read or does not fit the published architecture.

    Examples
    --------
    >>> convert_checkpoint("model_128d.pth.tar", "astro-machines/")  # doctest: +SKIP
    """
    return save_model(load_checkpoint(path, normalization=normalization), folder)


def load_folder(folder: PathLike) -> SpectrumVAE:
    """Return the model in a folder, in eval mode on the CPU; its weights must be the config's."""
    folder = expanded(folder)
    path, weights = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    config = read_config(path)
    shapes = _shapes_in(weights)
    found = weights_sha256(weights)
    # Two files copied at different times, or a save that was interrupted between them.
    if config.weights_sha256 is not None and found != config.weights_sha256:
        raise ModelError(
            f"{weights}: SHA-256 is {found}, {path} records {config.weights_sha256}; the two are "
            "not of one model: copy or write the folder again"
        )
    # Before memory is taken: a number of the config may be anything.
    check_shapes(str(weights), shapes, _shapes_of(config, path))
    model = SpectrumVAE(config.architecture, config.prepare, config.info)
    load_state(model, read_weights(weights), str(weights))
    model.folder = folder
    return model.float().eval()  # whatever torch's default type is


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
           on first use unless the folder that LATENTSCOPE_WEIGHTS names has them;
        2. `https://...`: a published-format checkpoint (.pth.tar, .pth, .pt), or a folder with
           config.json and model.safetensors (the address of the folder or of one of the two);
        3. a folder with config.json and model.safetensors, or a checkpoint file; write `./name`
           for a folder that has the name of a known model;
        4. a Hugging Face id `org/name`, or `org/name@revision`; without a revision it is looked for
           in LATENTSCOPE_WEIGHTS first.
    cache_dir : path, optional
        Folder for downloads; by default LATENTSCOPE_CACHE or ~/.cache/latentscope, and Hugging
        Face's own cache for its models.
    device : str or torch.device
        Where the model runs.

    Raises
    ------
    ModelError
        If there is no such model, it cannot be downloaded or verified, or its weights do not fit.

    Warns
    -----
    LatentscopeWarning
        When a hash is recorded at the first download of a file that has no published one, and
        when the preparation of a checkpoint has to be assumed.

    Examples
    --------
    >>> model = load_model("harps-sim")
    >>> model.config.latents, model.prepare.normalization
    (16, 'continuum')
    """
    text = os.fspath(source)
    # A converted folder that is bundled under the name is faster than the checkpoint.
    if text in PUBLISHED and text not in bundled_models():
        entry = PUBLISHED[text]
        path = kept_model(text) or fetch(
            entry.url, cache_folder(entry.name, cache_dir), sha256=entry.sha256
        )
        if path.is_dir():
            model = load_folder(path)
        else:
            model = load_checkpoint(path, normalization=entry.normalization)
    else:
        files = (CONFIG_FILE, WEIGHTS_FILE)
        path = _model_path(text, files, cache_dir, optional=(SAMPLE_FILE, PROBE_FILE))
        model = load_folder(path) if path.is_dir() else load_checkpoint(path)
    return moved(model, device)


def as_model(model: ModelLike) -> SpectrumVAE:
    """Return a model: itself, where it is, or what `load_model` makes of its name or path."""
    return model if isinstance(model, SpectrumVAE) else load_model(model)


def check_made_by(model: SpectrumVAE, latents: Latents) -> None:
    """Refuse a model that did not make these latents, as far as their provenance says.

    It has another number of dimensions, other weights, or another preparation of spectra.
    """
    name = str(model.info.get("name", "unnamed"))
    if model.config.latents != latents.dims:
        raise ModelError(
            f"{latents.source}: has {latents.dims} dimensions, the model {name} has "
            f"{model.config.latents}; give the model that made these latents (-m MODEL)"
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
                f"{name} has, whose latents do not compare with them; give the model that made "
                "them (-m MODEL), or encode the spectra again"
            )


def check_weights(info: Mapping[str, Any], expected: str | None, what: str) -> None:
    """Refuse results of other weights than expected, as far as `info` says."""
    found = info.get("weights_sha256")
    if expected and found and expected != found:
        raise ModelError(
            f"{what}: made by weights {found[:12]}..., the model has {expected[:12]}...; make it "
            "again with this model"
        )


def beside(model: SpectrumVAE, name: str, read: Callable[[Path], Any]) -> Any:
    """Read what lies in the folder that a model was read from; None without it.

    None too where the model's weights were changed since: it is no longer theirs.
    """
    if model.folder is None or not (model.folder / name).is_file():
        return None
    found = read(model.folder)
    return found if found.info.get("weights_sha256") == weights_sha256(model) else None


def model_folder(
    source: PathLike, what: str, *, files: Sequence[str], cache_dir: PathLike | None = None
) -> Path:
    """Return the folder of a model, with the files beside its weights.

    `source` and `cache_dir` are those of `load_model`; `what` stands in the error if the model is a
    checkpoint, which came without. Of `files`, downloaded where they have to be, config.json comes
    first, so that all are of one revision.
    """
    if os.fspath(source) not in PUBLISHED or kept_model(os.fspath(source)):
        folder = _model_path(os.fspath(source), files, cache_dir)
        if folder.is_dir():
            return folder
    raise ModelError(f"{source}: a published checkpoint, which came without {what}")


def _model_path(
    text: str, files: Sequence[str], cache_dir: PathLike | None, optional: Sequence[str] = ()
) -> Path:
    """Path of a model's folder or checkpoint on this machine, downloaded if needed."""
    if text in bundled_models():
        return bundled_models()[text]
    if "://" in text:
        return _url_path(text, files, cache_dir)
    path = expanded(text)
    if path.exists():
        if path.suffix == ".safetensors" and path.name != WEIGHTS_FILE:
            raise ModelError(
                f"{path}: weights alone; expected the folder that holds {CONFIG_FILE} and "
                f"{WEIGHTS_FILE}"
            )
        return path.parent if path.name in (CONFIG_FILE, WEIGHTS_FILE) else path
    kept = kept_model(text)
    if kept is not None:
        return kept
    hub = _HUB_ID.fullmatch(text)
    is_file = text.startswith((".", "~")) or text.endswith(_FILE_SUFFIXES)
    # A path mistyped beside others is no reason to ask the network.
    if hub is not None and not is_file and not Path(text).parent.is_dir():
        return _hub_folder(hub[1], hub[2], files, optional, cache_dir)
    names = [*bundled_models(), *PUBLISHED]
    raise ModelError(
        f"{text!r} is not a model: no such name{meant(text, names, 0.5)} and no such file. Known "
        f"names: {', '.join(names)}. Else give a folder, a .pth.tar file, an https:// address or a "
        "Hugging Face id (org/name)"
    )


def _url_path(url: str, files: Sequence[str], cache_dir: PathLike | None) -> Path:
    check_url(url)
    name = url_filename(url)
    base = url.removesuffix(name) if name in (CONFIG_FILE, WEIGHTS_FILE) else url
    # Two addresses may end in the same name, so a hash of the address is the folder's.
    folder = cache_root(cache_dir) / "urls" / hashlib.sha256(base.encode()).hexdigest()[:16]
    if name.endswith(CHECKPOINT_SUFFIXES):
        return fetch(url, folder)
    for file in files:
        fetch(f"{base.rstrip('/')}/{file}", folder)
    return folder


def _hub_folder(
    repository: str,
    revision: str | None,
    files: Sequence[str],
    optional: Sequence[str],
    cache_dir: PathLike | None,
) -> Path:
    """Download files of a model on Hugging Face; of the optional ones, those that it has."""
    # Half a second to import, and few models come from there.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    endpoint = os.environ.get("HF_ENDPOINT") or ENDPOINT
    silent = not answers(endpoint)
    folder = None
    for file in (*files, *optional):
        try:
            path = hf_hub_download(
                repository,
                file,
                # snapshots/<commit>/config.json: all files from the commit of the first.
                revision=revision if folder is None else folder.name,
                cache_dir=None if cache_dir is None else cache_root(cache_dir) / "huggingface",
                endpoint=endpoint,
                library_name="latentscope",
                local_files_only=silent,
            )
        except (HfHubHTTPError, EntryNotFoundError, HFValidationError, OSError) as error:
            if file in optional and isinstance(error, EntryNotFoundError):
                continue
            at = "" if revision is None else f" at revision {revision}"
            why = f"no answer from {endpoint}" if silent else " ".join(str(error).split())
            raise ModelError(
                f"{repository}: no such path here, and {file} cannot be had from Hugging Face{at}: "
                f"{why}"
            ) from error
        folder = folder or Path(path).parent
    assert folder is not None
    return folder


# Check rows: `reference.safetensors` of a model folder has what the model made of some prepared
# rows where it was trained, which shows that it computes the same on another machine.

CHECK_FILE = "reference.safetensors"

TOLERANCE = 1e-3
"""Largest difference that counts as the same: float32 on another processor gives about 1e-5."""


def write_check_rows(model: SpectrumVAE, rows: ArrayLike, folder: PathLike) -> Path:
    """Write prepared rows, (n, row_size), and the output of the model in a folder.

    `reference.safetensors` has `rows` (float16 where they fit into it), `mean` and `logvar` of
    q(z|x), shape (n, latents), and `residual`, shape (n,): the root mean square of what the
    reconstruction from the mean leaves of each row. If weights were rounded, the model must be read
    from the folder.
    """
    given = torch.from_numpy(np.array(rows, dtype=np.float32))
    half = given.half()
    stored = half if bool(torch.isfinite(half).all()) else given
    found = _computed(model, stored)
    if not all(bool(torch.isfinite(values).all()) for values in found.values()):
        raise ModelError(f"{folder}: the model makes no finite latents of the reference spectra")
    path = Path(folder) / CHECK_FILE
    with atomic_path(path) as temporary:
        temporary.write_bytes(safetensors.torch.save({"rows": stored, **found}))
    return path


def check_against_rows(
    model: SpectrumVAE, folder: PathLike, *, tolerance: float = TOLERANCE
) -> float:
    """Return the largest difference of a model's latents from those of `reference.safetensors`.

    Of means, log variances and residuals: in units of the latents, whose prior has a standard
    deviation of 1, and relative for numbers above 1. A ModelError if there is no such file, it is
    damaged or of another model, or the difference exceeds the tolerance.
    """
    path = Path(folder) / CHECK_FILE
    stored = _checks_in(path)
    rows = stored.pop("rows", torch.zeros(0, 0))
    if rows.ndim != 2 or rows.shape[1] != model.config.row_size:
        raise ModelError(
            f"{path}: rows of shape {tuple(rows.shape)}; this model takes "
            f"(n, {model.config.row_size}): the file belongs to another model"
        )
    found = _computed(model, rows)
    shapes = {key: tuple(values.shape) for key, values in found.items()}
    if {key: tuple(values.shape) for key, values in stored.items()} != shapes:
        raise ModelError(f"{path}: expected {shapes} beside the rows; it belongs to another model")
    difference = max(_difference(found[key], stored[key].float()) for key in found)
    if not difference <= tolerance:
        raise ModelError(
            f"{path}: the latents of the reference spectra differ by {difference:.2g}, expected at "
            f"most {tolerance:g}: these weights are not those it was written with, or they "
            "compute something else here; download the model again, or try another version of "
            "torch or another device"
        )
    return difference


def check_model(source: PathLike, *, cache_dir: PathLike | None = None) -> float:
    """Load a model, as `load_model` takes it, and compare its latents with its check rows."""
    files = (CONFIG_FILE, WEIGHTS_FILE, CHECK_FILE)
    what = "reference latents; there is nothing to compare with"
    folder = model_folder(source, what, files=files, cache_dir=cache_dir)
    return check_against_rows(load_folder(folder), folder)


def read_check_rows(folder: PathLike) -> NDArray[np.float32]:
    """Return the check rows of a model folder, shape (n, row_size)."""
    rows: NDArray[np.float32] = _checks_in(Path(folder) / CHECK_FILE)["rows"].float().numpy()
    return rows


def _checks_in(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(
            f"{path}: no such file; this model came without reference latents, so there is "
            "nothing to compare with"
        )
    return read_weights(path)


def _computed(model: SpectrumVAE, rows: Tensor) -> dict[str, Tensor]:
    """Mean, logvar (of a variational model) and residual of rows, in float32 on the CPU."""
    model = single(model)
    device = next(model.parameters()).device
    given = rows.to(device, torch.float32)
    with torch.no_grad():
        mean, logvar = model.encode(given)
        residual = (model.decode(mean) - given).square().mean(1).sqrt()
    found = {"mean": mean, "residual": residual} | ({} if logvar is None else {"logvar": logvar})
    return {key: values.float().cpu().contiguous() for key, values in found.items()}


def _difference(found: Tensor, stored: Tensor) -> float:
    scaled = (found - stored).abs().nan_to_num(torch.inf) / stored.abs().clamp(min=1.0)
    return float(scaled.max()) if scaled.numel() else 0.0


# Published checkpoints (`.pth.tar`) -> `SpectrumVAE`: one table of names, strict.
_MOST_LATENTS = 1024
_DEPTH = len(PUBLISHED_ARCHITECTURE.channels)

_LAYERS = {
    **{f"conv{i + 1}.0": f"encoder.{i}" for i in range(_DEPTH)},
    "fc11": "mean",
    "fc12": "logvar",
    "fc2": "expand",
    **{f"deconv{_DEPTH - i}.0": f"decoder.{i}" for i in range(_DEPTH)},
    "predict0": "final",
}
PUBLISHED_KEYS = {
    f"{theirs}.{part}": f"{ours}.{part}"
    for theirs, ours in _LAYERS.items()
    for part in ("weight", "bias")
}
"""Tensor of a published checkpoint -> tensor of `SpectrumVAE`."""


class _Unread:
    """Replaces numpy scalars and dtypes, such as a best loss, which are not needed."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


_NUMPY_SCALARS: list[Any] = [
    (_Unread, name)
    for name in ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")
]


def load_checkpoint(
    path: str | os.PathLike[str], *, normalization: PublishedNormalization | None = None
) -> SpectrumVAE:
    """Return the model of a checkpoint (.pth.tar), in eval mode on the CPU.

    It has the published names and shapes, but for the number of latents (the paper trained 8 to
    128). `normalization` is what its spectra were divided by, which the file does not say: by
    default the names of the two published files tell, and any other is taken for "median-padded",
    with a warning. A ModelError if the file cannot be read, does not fit the published
    architecture, or the normalization is another one.
    """
    path = expanded(path)
    if normalization not in (None, *get_args(PublishedNormalization)):
        raise ModelError(
            f"normalization is {normalization!r}; expected one of "
            f"{', '.join(get_args(PublishedNormalization))}"
        )
    theirs = read_checkpoint(path)
    state = published_state(theirs, str(path))
    normalization = normalization or _assumed_normalization(path)
    architecture = _architecture(theirs)
    info = _info(path, normalization, architecture)
    model = SpectrumVAE(architecture, published_prepare(normalization), info)
    load_state(model, state, str(path))
    return model.float().eval()  # whatever torch's default type is


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint without running any code in it.

    The file has a dict with `state_dict`, or a bare state dict; numpy scalars beside it are passed
    over, and a prefix `module.` (of data-parallel training) is taken off the names. ModelError if
    it is missing, truncated, no checkpoint, or has more than tensors and numbers.
    """
    path = expanded(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if _is_compressed(path):
        raise ModelError(
            f"{path}: is a zip archive that unpacks to more than it has, unlike what torch.save "
            "writes; unpack it, or download it again"
        )
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: is not a checkpoint, or holds objects besides tensors, which could run code "
            "when loaded and are refused; save its state_dict alone with torch.save"
        ) from error
    except Exception as error:  # broken bytes make torch and pickle stumble in many ways
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise ModelError(
            f"{path}: is not a complete checkpoint ({reason}); copy or download it again"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not state:
        kind = type(state).__name__
        raise ModelError(f"{path}: holds a {kind}; expected a state dict of tensors")
    others = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise ModelError(
            f"{path}: holds {', '.join(others[:8])}, no tensors; expected a dict with "
            "'state_dict', or tensors alone"
        )
    parallel = all(str(name).startswith("module.") for name in state)
    return {str(k).removeprefix("module.") if parallel else str(k): v for k, v in state.items()}


def _is_compressed(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist()) > path.stat().st_size
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def published_state(state: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Rename and reshape the tensors of a published checkpoint for `SpectrumVAE`.

    Convolution weights (out, in, k) become (out, in, 1, k), transposed ones (in, out, k) become
    (in, out, 1, k). `what` names the file, for the error if a tensor is missing, unexpected or of
    another shape than published.
    """
    with torch.device("meta"):  # shapes without memory
        ours = SpectrumVAE(_architecture(state)).state_dict()
    shapes = {theirs: tuple(ours[name].shape) for theirs, name in PUBLISHED_KEYS.items()}
    check_state(what, state, {k: (*s[:2], *s[3:]) if len(s) == 4 else s for k, s in shapes.items()})
    return {
        name: state[theirs].unsqueeze(2) if state[theirs].ndim == 3 else state[theirs]
        for theirs, name in PUBLISHED_KEYS.items()
    }


def _architecture(state: Mapping[str, Tensor]) -> VAEConfig:
    """Published architecture with the checkpoint's number of latents; 128 where it has none."""
    weight = state.get("fc11.weight")
    if weight is None or weight.ndim != 2 or not 1 <= len(weight) <= _MOST_LATENTS:
        return PUBLISHED_ARCHITECTURE
    return replace(PUBLISHED_ARCHITECTURE, latents=len(weight))


def _assumed_normalization(path: Path) -> PublishedNormalization:
    for entry in PUBLISHED.values():
        if entry.filename == path.name:
            return entry.normalization
    warn(
        f"{path.name} does not say how its spectra were normalized; assumed 'median-padded', as "
        "in astro-machines. `latentscope convert --normalization` writes a model folder that says"
    )
    return "median-padded"


def _info(
    path: Path, normalization: PublishedNormalization, architecture: VAEConfig
) -> dict[str, Any]:
    source = {"file": path.name, "sha256": file_sha256(path)}
    published = architecture == PUBLISHED_ARCHITECTURE
    for model in PUBLISHED.values():
        if published and model.filename == path.name and model.normalization == normalization:
            return {**model.config.info, "source": source}
    info = {
        "name": path.name.split(".")[0],
        "description": "converted from a checkpoint with the published architecture",
        "source": source,
    }
    # The paper gives the threshold for its 128 latents alone.
    return info | ({"mad_threshold": 0.02} if published else {})
