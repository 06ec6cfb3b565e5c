"""Models without their weights: what a config.json says, and which models have a name; no torch.

A published model is one entry of `PUBLISHED`: its address, its hash, its configuration, its paper.

Sedaghat et al. 2021, MNRAS 501, 6026 (astro-machines) and Sedaghat et al. 2023, MNRAS,
doi:10.1093/mnras/stad2686 (stellar-karaoke); values from their public code.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from latentscope.errors import ModelError, warn
from latentscope.files import expanded, plain
from latentscope.settings import read_settings, settings
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.wavelength import MAX_PIXELS, Grid

CONFIG_FILE = "config.json"
SAMPLE_FILE = "sample.safetensors"
PROBE_FILE = "probe.safetensors"

Output = Literal["conv", "mean"]
WeightsDtype = Literal["float32", "float16"]
"""Types of weights in model.safetensors; the network computes in float32 with both."""


# Strict: pydantic would take true for 1 and 1e12 for a whole number.
Whole = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[int, Field(strict=True, gt=0)]
_DEEPEST = 100  # convolutions
_LARGEST = 10_000_000  # bytes of a config.json


def _odd(kernel: int) -> int:
    # An even kernel has no middle, and would shift the row by half a pixel.
    if kernel % 2 == 0:
        raise ValueError(f"kernel {kernel}; expected an odd one")
    return kernel


def _one_or_even(stride: int) -> int:
    # The decoder mirrors a stride s by a transposed convolution of padding s/2.
    if stride > 1 and stride % 2:
        raise ValueError(f"stride {stride}; expected 1 or an even one")
    return stride


@settings(ModelError)
class EncoderConfig:
    """A custom encoder in place of the convolutions.

    `class_path`, "package.module.Class", names a torch module that is made with the arguments
    `length`, `features` and those of `init_args`, and takes rows (n, length) to features
    (n, features).
    """

    class_path: Annotated[str, Field(pattern=r"^\w+(\.\w+)+$")]
    init_args: dict[str, Any] = dataclasses.field(default_factory=dict)


@settings(ModelError)
class VAEConfig:
    """Architecture of a `SpectrumVAE`.

    Attributes
    ----------
    length : int
        Values of the row that go through the convolutions; a multiple of the product of strides.
    channels, kernels, strides : tuple of int
        One entry per encoder convolution. Kernels are odd; strides are 1 or even, since the
        decoder mirrors a stride s by a transposed convolution of kernel 2s and padding s/2
        (stride 1: kernel 3, padding 1).
    latents : int
        Dimensions of the latent space.
    extra : int
        Trailing values of the row (log continuum at nodes) that bypass the convolutions.
    extra_hidden : int
        Hidden width of the perceptron that decodes them.
    hidden : int
        Width of a perceptron of two layers between the latents and the decoder's linear map, by
        which a pixel can follow a latent along a curve; 0: none.
    variational : bool
        False: a plain autoencoder, with no log variance.
    negative_slope : float
        Slope of the LeakyReLU after each convolution.
    output : {"conv", "mean"}
        "conv": the published end, an activation after the last transposed convolution and a 1-1
        convolution of kernel 3. "mean": neither, but a learned mean per pixel is added.
    doppler : bool
        Latent 0 shifts the decoded lines and does nothing else.
    doppler_init : float
        Pixels per unit of latent 0 before training (the value is learned).
    encoder : EncoderConfig, optional
        In place of the encoder's convolutions; the decoder has those of the settings above.

    Raises
    ------
    ModelError
        If the numbers do not make a network.
    """

    length: Annotated[Positive, Field(le=MAX_PIXELS)]
    channels: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=_DEEPEST)]
    kernels: tuple[Annotated[Positive, AfterValidator(_odd)], ...]
    strides: tuple[Annotated[Positive, AfterValidator(_one_or_even)], ...]
    latents: Positive
    extra: Annotated[Whole, Field(le=MAX_PIXELS)] = 0
    extra_hidden: Positive = 64
    hidden: Whole = 0
    variational: bool = True
    negative_slope: float = 0.1
    output: Output = "conv"
    doppler: bool = False
    doppler_init: float = 3.0
    encoder: EncoderConfig | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> VAEConfig:
        depth = len(self.channels)
        if not depth == len(self.kernels) == len(self.strides):
            raise ValueError(
                f"{depth} channels, {len(self.kernels)} kernels, {len(self.strides)} strides; "
                "expected as many of each"
            )
        if self.length % prod(self.strides):
            raise ValueError(
                f"length {self.length} is not a multiple of {prod(self.strides)}, the product of "
                "the strides"
            )
        return self

    @property
    def row_size(self) -> int:
        """Values in one row: `length` + `extra`."""
        return self.length + self.extra

    @property
    def width(self) -> int:
        """Pixels left after the last encoder convolution."""
        return self.length // prod(self.strides)

    @property
    def flat(self) -> int:
        """Values of the flattened (channel-major) convolution output."""
        return self.channels[-1] * self.width

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON types."""
        values = dict(plain(dataclasses.asdict(self)))
        if self.encoder is None:
            del values["encoder"]  # which older versions do not know
        return values


@settings(ModelError)
class ModelConfig:
    """Contents of config.json; ModelError if a value does not fit."""

    name: str
    architecture: VAEConfig
    prepare: PrepareConfig | None  # None for a model of rows that did not come from spectra
    format: Literal[1] = 1  # of the file; later versions of latentscope may write another
    description: str | None = None
    beta: Annotated[float, Field(ge=0)] | None = None  # weight of the KL divergence in training
    # Median absolute deviation from which a dimension of this model is informative.
    mad_threshold: Annotated[float, Field(ge=0)] | None = None
    paper: str | None = None
    weights_dtype: WeightsDtype | None = None  # float32 where it is not given
    training: dict[str, Any] | None = None  # what it was trained on
    dims: dict[str, str] | None = None  # dimension -> text
    source: dict[str, Any] | None = None  # the checkpoint that it was converted from
    license: str | None = None
    # Of model.safetensors, so that a folder left half written is not taken for a whole one.
    weights_sha256: str | None = None

    @property
    def info(self) -> dict[str, Any]:
        """The name, and what else is given besides architecture and preparation."""
        others = {"architecture", "prepare", "format"}
        names = [field.name for field in dataclasses.fields(self) if field.name not in others]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def to_json(self) -> str:
        """Return the text of config.json."""
        prepare = None if self.prepare is None else self.prepare.to_dict()
        values = {"format": self.format, **self.info, "architecture": self.architecture.to_dict()}
        return json.dumps(values | {"prepare": prepare}, indent=2) + "\n"


def read_config(path: Path) -> ModelConfig:
    """Read a config.json, strictly: ModelError for what is missing, unknown, twice or wrong."""
    try:
        whole = stat.S_ISREG(path.stat().st_mode) and path.stat().st_size <= _LARGEST
        text = path.read_text(encoding="utf-8") if whole else "0"
        values = json.loads(text, object_pairs_hook=_unrepeated)
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: no such file; a model folder holds {CONFIG_FILE} and model.safetensors"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({error})") from None
    if not whole:
        raise ModelError(f"{path}: is not a file of at most {_LARGEST / 1e6:g} MB, as models have")
    if not isinstance(values, dict):
        raise ModelError(f"{path}: holds a {type(values).__name__}; expected a JSON object")
    # Before all else, since a newer format may have other keys.
    if values.get("format") != 1:
        raise ModelError(
            f"{path}: format is {values.get('format')!r}; this version of latentscope reads "
            "format 1; is it a latentscope model, or one from a newer version?"
        )
    return read_settings(ModelConfig, values, where=str(path), error=ModelError)


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice} is there more than once")
    return found


# 312,501 pixels padded to 2^18 + 2^16; the gap is that between the two CCDs with room for the
# barycentric shift, pixels 159453..162893 of the padded row.
PUBLISHED_GRID = Grid(
    kind="linear",
    start=3785.0,
    step=0.01,
    length=312_501,
    pad_left=7_589,
    pad_right=7_590,
    medium="air",
    frame="barycentric",
    gaps=((5303.64, 5338.04),),
)

# Both published networks; 7,046,997 parameters.
PUBLISHED_ARCHITECTURE = VAEConfig(
    length=PUBLISHED_GRID.size,
    channels=(16, 16, 16, 32, 32, 32, 64, 64, 64, 128, 128, 128, 256, 512, 512),
    kernels=(7, 5, 5) + 12 * (3,),
    strides=14 * (2,) + (1,),
    latents=128,
)

PublishedNormalization = Literal["median-padded", "median-valid"]


def published_prepare(normalization: PublishedNormalization) -> PrepareConfig:
    """Return the preparation of a published HARPS network."""
    # stellar-karaoke, whose normalization is "median-valid", takes fainter spectra for degenerate.
    min_median = 50.0 if normalization == "median-valid" else None
    return PrepareConfig(PUBLISHED_GRID, normalization=normalization, min_median=min_median)


DEFAULT_MODEL = "harps-sim"
BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class PublishedModel:
    """A published checkpoint: its address, and what its authors divided the flux by."""

    name: str
    url: str
    normalization: PublishedNormalization
    description: str
    paper: str
    # None where its authors published no hash: that of the first download is recorded then, and
    # later loads must match it (trust on first use).
    sha256: str | None = None

    @property
    def filename(self) -> str:
        """Name of the checkpoint file."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def config(self) -> ModelConfig:
        """Architecture, preparation and description, as config.json would hold them."""
        return ModelConfig(
            name=self.name,
            architecture=PUBLISHED_ARCHITECTURE,
            prepare=published_prepare(self.normalization),
            description=self.description,
            beta=0.3,
            mad_threshold=0.02,
            paper=self.paper,
        )


_SITE = "https://www.rawdataspeaks.org/wp-content/uploads/projects"

PUBLISHED = {
    model.name: model
    for model in (
        PublishedModel(
            name="astro-machines",
            url=f"{_SITE}/astro-machines/data/model_128d_e182_i1500000.pth.tar",
            normalization="median-padded",
            description="272,376 HARPS spectra, 128 latents, 1,500,000 iterations",
            paper="Sedaghat et al. 2021, MNRAS 501, 6026, doi:10.1093/mnras/staa3540",
        ),
        PublishedModel(
            name="stellar-karaoke",
            url=f"{_SITE}/karaoke/data/model_14v3_128d_e116_i954k.pth.tar",
            normalization="median-valid",
            description="HARPS spectra, 128 latents, 954,000 iterations",
            paper="Sedaghat et al. 2023, MNRAS, doi:10.1093/mnras/stad2686",
        ),
    )
}


def bundled_models() -> dict[str, Path]:
    """Return the folders of the models that come with the package, by name."""
    return {path.parent.name: path.parent for path in sorted(BUNDLED.glob(f"*/{CONFIG_FILE}"))}


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder for downloads: the one given, LATENTSCOPE_CACHE, or the user's cache."""
    folder = os.environ.get("LATENTSCOPE_CACHE") if cache_dir is None else cache_dir
    if folder:
        return expanded(folder)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "latentscope"


def cache_folder(name: str, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of a published model in the cache."""
    return cache_root(cache_dir) / "models" / name


WEIGHTS_FOLDER = "LATENTSCOPE_WEIGHTS"
"""Environment variable with a folder of models, searched before cache and network."""


def kept_model(name: str) -> Path | None:
    """Return where the folder that LATENTSCOPE_WEIGHTS names has a model; None without it.

    A folder ``name`` (of a Hugging Face id ``org/name``) with config.json, or the published
    checkpoint of that name, in such a folder or beside it. Warns if it names no folder.
    """
    root = os.environ.get(WEIGHTS_FOLDER)
    if not root:
        return None
    if not os.path.isdir(expanded(root)):
        what = f"{WEIGHTS_FOLDER} names {root}, which is no folder; it is not used"
        warn(what)
    folder = expanded(root) / name
    if os.path.exists(folder / CONFIG_FILE):
        return folder
    if name not in PUBLISHED:
        return None
    file = PUBLISHED[name].filename
    return next((p for p in (folder / file, folder.with_name(file)) if os.path.exists(p)), None)


def available_models(cache_dir: str | os.PathLike[str] | None = None) -> list[dict[str, Any]]:
    """List the models known by name.

    Parameters
    ----------
    cache_dir : path, optional
        Folder of downloads; by default LATENTSCOPE_CACHE or ~/.cache/latentscope.

    Returns
    -------
    list of dict
        `name`, `where` ("bundled", "kept" in LATENTSCOPE_WEIGHTS, "cached" or "to download"),
        `latents` (number), `grid` (text, wavelengths in Angstrom), `description`, `paper`.

    Examples
    --------
    >>> "harps-sim" in [model["name"] for model in available_models()]
    True
    """
    found = [("bundled", read_config(path / CONFIG_FILE)) for path in bundled_models().values()]
    for model in PUBLISHED.values():
        # Also where the home folder is closed to this user.
        cached = os.path.exists(cache_folder(model.name, cache_dir) / model.filename)
        where = "kept" if kept_model(model.name) else "cached" if cached else "to download"
        found.append((where, model.config))
    return [
        {
            "name": config.name,
            "where": where,
            "latents": config.architecture.latents,
            "grid": _grid_text(config),
            "description": config.description or "",
            "paper": config.paper or "",
        }
        for where, config in found
    ]


def known_config(source: str | os.PathLike[str]) -> ModelConfig | None:
    """Return the config.json of a bundled or published model, or of one in a folder.

    Nothing is downloaded, and torch is not loaded. None for a checkpoint, an address or a Hugging
    Face id, which `load_model` knows.
    """
    text = os.fspath(source)
    if text in bundled_models():
        return read_config(bundled_models()[text] / CONFIG_FILE)
    if text in PUBLISHED:
        return PUBLISHED[text].config
    folder = expanded(text)
    return read_config(folder / CONFIG_FILE) if folder.is_dir() else None


def _grid_text(config: ModelConfig) -> str:
    if config.prepare is None:
        return f"rows of {config.architecture.row_size} values"
    grid = config.prepare.grid
    first, last = grid.wavelength[0], grid.wavelength[-1]
    return f"{first:.0f}-{last:.0f} A, {grid.length} {grid.kind} pixels, {grid.medium}"
