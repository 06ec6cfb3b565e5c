"""A model's config.json: what the network is, how it wants its spectra, and what it was made of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from latentscope.errors import ModelError
from latentscope.models.architecture import VAEConfig
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
