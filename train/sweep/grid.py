"""Which networks a sweep trains: its YAML file, and a run's settings for each point."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from latentscope.errors import ModelError
from latentscope.settings import read_settings, settings
from train.settings import AtLeastOne, Number, Whole, read_yaml


@settings(ModelError)
class Archive:
    """The simulated archive that all runs learn from, some of its stars observed several times."""

    spectra: AtLeastOne
    seed: Whole = Field(ge=0)


@settings(ModelError)
class NewStars:
    """New stars, one spectrum each, that all runs are measured on."""

    stars: AtLeastOne
    seed: Whole = Field(ge=0)


@settings(ModelError)
class Grid:
    """Which networks are trained."""

    latents: tuple[AtLeastOne, ...] = Field(min_length=1)
    # Factors of the KL term.
    beta: tuple[Annotated[Number, Field(ge=0)], ...] = Field(min_length=1)
    deterministic: bool = True  # a plain autoencoder at each size, too

    def __post_init__(self) -> None:
        for name, values in (("latents", self.latents), ("beta", self.beta)):
            if len(set(values)) < len(values):
                raise ModelError(f"{name} is {list(values)}; expected different numbers")


@settings(ModelError)
class Setting:
    """A point of the grid."""

    latents: Whole
    beta: Number


@settings(ModelError)
class SweepConfig:
    """A sweep."""

    # A training configuration (docs/training.md) without name, description, latents and archive;
    # in its stages `beta` is a share of the run's.
    base: dict[str, Any]
    archive: Archive
    test: NewStars
    grid: Grid
    chosen: Setting  # looked at closely, and repeated
    too_small: Number  # the beta that stands against the chosen one in the picture of pairs
    # Name of a balanced archive -> keys of `data.archive` that make it out of the simulated one.
    balanced: dict[str, dict[str, Any]] = field(default_factory=dict)
    seeds: tuple[Whole, ...] = ()  # further ones, to know how far two runs differ by chance

    def __post_init__(self) -> None:
        lacking = sorted({"architecture", "prepare", "data", "stages"} - set(self.base))
        if lacking:
            raise ModelError(f"base lacks {', '.join(lacking)}")
        for what, value, of_grid in (
            ("chosen: latents", self.chosen.latents, self.grid.latents),
            ("chosen: beta", self.chosen.beta, self.grid.beta),
            ("too_small", self.too_small, self.grid.beta),
        ):
            if value not in of_grid:
                raise ModelError(
                    f"{what} is {value}; expected a value of the grid, {list(of_grid)}"
                )
        if self.test.seed == self.archive.seed:
            raise ModelError(f"archive and test have the seed {self.test.seed}; expected two")


def read_sweep(path: str | Path) -> SweepConfig:
    """Read a sweep's configuration; ModelError if it cannot be read or a key does not fit."""
    return read_settings(SweepConfig, read_yaml(path), where=str(path), error=ModelError)


ARCHIVE, TEST, RUNS = "archive.zarr", "test.zarr", "runs"
"""Contents of a sweep's folder."""

DONE = "done.json"
"""In the folder of a run that ended."""

Kind = Literal["grid", "seed", "balanced"]


@dataclass(frozen=True)
class Run:
    """One training run of a sweep."""

    name: str  # also of its folder
    kind: Kind  # a point of the grid; the chosen setting with another seed, or another archive
    latents: int
    beta: float | None  # None: a deterministic autoencoder
    seed: int = 0
    balance: str = ""  # name of the balanced archive
    archive: Mapping[str, Any] = field(default_factory=dict)  # keys of `data.archive` for it


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

    `archive` is the name of the packed archive; `fit --archive` says where it lies.
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
