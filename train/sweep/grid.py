"""Which networks a sweep trains: its YAML file, and a run's settings for each point."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from latentscope.errors import LatentscopeError, ModelError

T = TypeVar("T")


@dataclass(frozen=True)
class Archive:
    """The simulated archive that all runs learn from.

    Parameters
    ----------
    spectra : int
        Some stars have several; see `latentscope.simulate`.
    seed : int
    """

    spectra: int
    seed: int


@dataclass(frozen=True)
class NewStars:
    """New stars, one spectrum each, that all runs are measured on.

    Parameters
    ----------
    stars : int
    seed : int
        Another one than the archive's.
    """

    stars: int
    seed: int


@dataclass(frozen=True)
class Grid:
    """Which networks are trained.

    Parameters
    ----------
    latents : tuple of int
    beta : tuple of float
        Factors of the KL term, summed over dimensions, in nats.
    deterministic : bool
        A plain autoencoder at each size, too.
    """

    latents: tuple[int, ...]
    beta: tuple[float, ...]
    deterministic: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "latents", tuple(int(n) for n in self.latents))
        object.__setattr__(self, "beta", tuple(float(b) for b in self.beta))
        for name, values in (("latents", self.latents), ("beta", self.beta)):
            if not values or len(set(values)) < len(values) or min(values) < 0:
                raise ModelError(
                    f"grid: {name} is {list(values)}; wanted different numbers, none negative"
                )


@dataclass(frozen=True)
class Setting:
    """A point of the grid."""

    latents: int
    beta: float


@dataclass(frozen=True)
class SweepConfig:
    """A sweep.

    Parameters
    ----------
    base : dict
        A training configuration (docs/training.md) without name, description, latents and archive;
        in its stages `beta` is a share of the run's.
    archive : Archive
    test : NewStars
    grid : Grid
    chosen : Setting
        The point that is looked at closely and repeated on balanced archives.
    too_small : float
        The beta that stands against the chosen one in the picture of pairs.
    balanced : dict of str to dict
        Name of a balanced archive -> keys of `data.archive` that make it out of the simulated one.
    seeds : tuple of int
        Further seeds for the chosen setting, to know how far two runs differ by chance.

    Raises
    ------
    ModelError
        If `chosen` or `too_small` are not in the grid, or both archives have the same seed.
    """

    base: Mapping[str, Any]
    archive: Archive
    test: NewStars
    grid: Grid
    chosen: Setting
    too_small: float
    balanced: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        parts = {"architecture", "prepare", "data", "stages"}
        if not isinstance(self.base, Mapping) or not parts <= set(self.base):
            raise ModelError(f"base: wanted a mapping with {', '.join(sorted(parts))}")
        for what, value, there in (
            ("chosen: latents", self.chosen.latents, self.grid.latents),
            ("chosen: beta", self.chosen.beta, self.grid.beta),
            ("too_small", self.too_small, self.grid.beta),
        ):
            if value not in there:
                raise ModelError(f"{what} is {value}; wanted a value of the grid, {list(there)}")
        if self.test.seed == self.archive.seed:
            raise ModelError(f"archive and test have the seed {self.test.seed}; wanted two")


def read_sweep(path: str | Path) -> SweepConfig:
    """Read a sweep's configuration.

    Raises
    ------
    ModelError
        If the file is missing, is no YAML, holds an unknown key or lacks one.
    """
    try:
        values = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: cannot read the sweep's configuration: {error}") from error
    if not isinstance(values, Mapping):
        raise ModelError(f"{path}: wanted a mapping with base, archive, test, grid, chosen")
    kinds = {"archive": Archive, "test": NewStars, "grid": Grid, "chosen": Setting}
    try:
        parts = {
            name: _built(kinds[name], value, name) if name in kinds else value
            for name, value in values.items()
        }
        if "seeds" in parts:
            parts["seeds"] = tuple(int(seed) for seed in parts["seeds"])
        return _built(SweepConfig, parts, "the sweep")
    except (TypeError, ValueError) as error:
        reason = error if isinstance(error, LatentscopeError) else f"not a sweep: {error}"
        raise ModelError(f"{path}: {reason}") from error


def _built(kind: type[T], values: Any, name: str) -> T:
    known = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        raise ModelError(f"{name} is {values!r}; wanted {', '.join(known)}")
    needed = [
        key
        for key, f in known.items()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    unknown, missing = sorted(set(values) - set(known)), sorted(set(needed) - set(values))
    if unknown or missing:
        said = [f"has no {', '.join(map(str, unknown))}"] if unknown else []
        said += [f"lacks {', '.join(missing)}"] if missing else []
        raise ModelError(f"{name} {' and '.join(said)}; known: {', '.join(known)}")
    return kind(**values)


ARCHIVE, TEST, RUNS = "archive.zarr", "test.zarr", "runs"
"""What a sweep's folder holds."""

DONE = "done.json"
"""What a run's folder holds once it ended."""

Kind = Literal["grid", "seed", "balanced"]


@dataclass(frozen=True)
class Run:
    """One training run of a sweep.

    Parameters
    ----------
    name : str
        Also that of its folder.
    kind : {"grid", "seed", "balanced"}
        A point of the grid; the chosen setting with another seed, or on a balanced archive.
    latents : int
    beta : float or None
        None: a deterministic autoencoder.
    seed : int
    balance : str
        Name of the balanced archive; empty: the archive as it is.
    archive : dict
        Keys of `data.archive` that balance it.
    """

    name: str
    kind: Kind
    latents: int
    beta: float | None
    seed: int = 0
    balance: str = ""
    archive: Mapping[str, Any] = field(default_factory=dict)


def point_name(latents: int, beta: float | None) -> str:
    """Name of a point of the grid, such as "d032-beta0.3", or "d032-ae"."""
    return f"d{latents:03d}-" + ("ae" if beta is None else f"beta{beta:g}")


def runs_of(config: SweepConfig) -> list[Run]:
    """Runs of a sweep: the grid size by size, then the chosen setting's repetitions."""
    grid, chosen = config.grid, config.chosen
    betas = [*([None] if grid.deterministic else []), *grid.beta]
    runs = [
        Run(point_name(latents, beta), "grid", latents, beta)
        for latents in grid.latents
        for beta in betas
    ]
    name = point_name(chosen.latents, chosen.beta)
    for seed in config.seeds:
        runs.append(Run(f"{name}-seed{seed}", "seed", chosen.latents, chosen.beta, seed))
    for balance, archive in config.balanced.items():
        runs.append(
            Run(
                f"{name}-{balance}", "balanced", chosen.latents, chosen.beta,
                balance=balance, archive=archive,
            )
        )  # fmt: skip
    return runs


def folder_of(folder: Path, run: Run) -> Path:
    """Folder of a run in a sweep's folder."""
    return folder / RUNS / run.name


def is_done(folder: Path, run: Run) -> bool:
    """Whether a run ended and its model is there."""
    here = folder_of(folder, run)
    return (here / DONE).exists() and (here / "model" / "config.json").exists()


def values_of(config: SweepConfig, run: Run, archive: str) -> dict[str, Any]:
    """Training configuration of a run as YAML values.

    Parameters
    ----------
    config : SweepConfig
    run : Run
    archive : str
        Name of the packed archive; `fit --archive` says where it lies.
    """
    values: dict[str, Any] = copy.deepcopy(dict(config.base))
    values["name"] = run.name
    network = "autoencoder" if run.beta is None else f"beta-VAE, beta = {run.beta:g}"
    values["description"] = f"{run.latents} latents, {network}; a run of a sweep"
    values["seed"] = run.seed
    values["architecture"] = {
        **values["architecture"], "latents": run.latents, "variational": run.beta is not None,
    }  # fmt: skip
    data = values.get("data", {})
    packed = {**data.get("archive", {}), **copy.deepcopy(dict(run.archive)), "path": archive}
    values["data"] = {**data, "archive": packed}
    values["stages"] = [
        {**stage, "beta": scaled(stage.get("beta", 1.0), run.beta or 0.0)}
        for stage in values["stages"]
    ]
    return values


def scaled(schedule: Any, beta: float) -> Any:
    """Multiply a schedule of shares (a number, or a mapping with start and end) by beta."""
    if beta == 0.0:
        return 0.0
    if not isinstance(schedule, Mapping):
        return float(schedule) * beta
    ends = {key: float(schedule[key]) * beta for key in ("start", "end") if key in schedule}
    return {**schedule, **ends}
