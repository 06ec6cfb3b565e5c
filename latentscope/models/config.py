"""A model's config.json: its architecture, its preparation, its threshold; apart from torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args

from latentscope.errors import ModelError
from latentscope.spectra.prepare import PrepareConfig

CONFIG_FILE = "config.json"
SAMPLE_FILE = "sample.safetensors"
FORMAT = 1
REQUIRED = ("format", "name", "architecture", "prepare")
OPTIONAL = (
    "description",
    "mad_threshold",
    "beta",
    "paper",
    "training",
    "dims",
    "source",
    "license",
    "weights_dtype",
    "weights_sha256",
)

WeightsDtype = Literal["float32", "float16"]
"""How weights lie in model.safetensors; the network computes in float32 either way."""

Output = Literal["conv", "mean"]


@dataclass(frozen=True)
class VAEConfig:
    """Architecture of a `SpectrumVAE`.

    Parameters
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

    Raises
    ------
    ModelError
        If the numbers do not make a network.
    """

    length: int
    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    latents: int
    extra: int = 0
    extra_hidden: int = 64
    hidden: int = 0
    variational: bool = True
    negative_slope: float = 0.1
    output: Output = "conv"
    doppler: bool = False
    doppler_init: float = 3.0

    def __post_init__(self) -> None:
        for name in ("channels", "kernels", "strides"):
            object.__setattr__(self, name, tuple(int(value) for value in getattr(self, name)))
        for wrong in self._faults():
            raise ModelError(f"this is no architecture: {wrong}")

    def _faults(self) -> list[str]:
        depth = len(self.channels)
        even = [s for s in self.strides if s < 1 or (s > 1 and s % 2)]
        checks = [
            (
                depth == 0 or depth != len(self.kernels) or depth != len(self.strides),
                f"{depth} channels, {len(self.kernels)} kernels, {len(self.strides)} strides; "
                "wanted as many of each, at least one",
            ),
            (
                any(k < 1 or k % 2 == 0 for k in self.kernels),
                f"kernels {self.kernels}; wanted odd ones",
            ),
            (bool(even), f"strides {self.strides}; wanted 1 or even ones"),
            (
                min((self.latents, self.length, *self.channels), default=0) < 1
                or min(self.extra, self.hidden) < 0,
                f"length {self.length}, channels {self.channels}, latents {self.latents}, extra "
                f"{self.extra}, hidden {self.hidden}; wanted positive numbers (these two: or 0)",
            ),
            (
                not even and self.length % prod(self.strides) != 0,
                f"length {self.length} is no multiple of {prod(self.strides)}, the product of "
                "the strides",
            ),
            (
                self.output not in get_args(Output),
                f"output {self.output!r}; wanted one of {', '.join(get_args(Output))}",
            ),
        ]
        return [message for failed, message in checks if failed]

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
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> VAEConfig:
        """Build a config from `to_dict` output; unknown or missing keys raise `ModelError`."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ModelError(
                f"architecture has unknown keys {', '.join(unknown)}; known: "
                f"{', '.join(sorted(known))}"
            )
        missing = [
            k for k in ("length", "channels", "kernels", "strides", "latents") if k not in settings
        ]
        if missing:
            raise ModelError(f"architecture lacks {', '.join(missing)}")
        return cls(**settings)


@dataclass(frozen=True)
class ModelSettings:
    """What config.json says.

    Parameters
    ----------
    architecture : VAEConfig
    prepare : PrepareConfig or None
        None for a model of rows that did not come from spectra.
    info : dict
        `name` and the optional entries: `description`, `mad_threshold`, `beta`, `paper`,
        `training`, `dims` (dimension -> text), `source`, `license`, `weights_dtype`
        (one of `WeightsDtype`; float32 where it is not said), `weights_sha256`.
    """

    architecture: VAEConfig
    prepare: PrepareConfig | None = None
    info: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the text of config.json.

        Raises
        ------
        ModelError
            If `info` has no name, a key that config.json does not know, or an unknown
            `weights_dtype`.
        """
        values = {"format": FORMAT, **self.info}
        values["architecture"] = self.architecture.to_dict()
        values["prepare"] = None if self.prepare is None else self.prepare.to_dict()
        _check_keys("the model's info", values)
        return json.dumps(values, indent=2) + "\n"


def read_settings(path: Path) -> ModelSettings:
    """Read a config.json, strictly.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    ModelSettings

    Raises
    ------
    ModelError
        If the file is missing, is no JSON object, is of another format, lacks a key, has one that
        is not known, or a value makes no architecture or preparation.
    """
    values = _read_object(path)
    if values.get("format") != FORMAT:
        raise ModelError(
            f"{path}: format is {values.get('format')!r}; this version of latentscope reads "
            f"format {FORMAT}; is it a latentscope model, or one from a newer version?"
        )
    _check_keys(str(path), values)
    try:
        architecture = VAEConfig.from_dict(values["architecture"])
        prepare = values["prepare"]
        prepare = None if prepare is None else PrepareConfig.from_dict(prepare)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: {error}") from error
    info = {k: v for k, v in values.items() if k not in ("format", "architecture", "prepare")}
    return ModelSettings(architecture, prepare, info)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: no such file; a model folder holds {CONFIG_FILE} and model.safetensors"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path}: holds a {type(values).__name__}; wanted a JSON object")
    return values


def _check_keys(what: str, values: dict[str, Any]) -> None:
    missing = [key for key in REQUIRED if key not in values]
    if missing:
        raise ModelError(f"{what}: lacks {', '.join(missing)}")
    unknown = sorted(set(values) - {*REQUIRED, *OPTIONAL})
    if unknown:
        raise ModelError(
            f"{what}: unknown {', '.join(unknown)}; known are {', '.join((*REQUIRED, *OPTIONAL))}"
        )
    dtype = values.get("weights_dtype", "float32")
    if dtype not in get_args(WeightsDtype):
        raise ModelError(
            f"{what}: weights_dtype is {dtype!r}; wanted one of {', '.join(get_args(WeightsDtype))}"
        )
