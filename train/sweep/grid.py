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
    """The simulated archive that all runs learn from.

    Parameters
    ----------
    spectra : int
        Some stars are observed several times, as by `latentscope simulate`.
    seed : int
    """

    spectra: AtLeastOne
    seed: Whole = Field(ge=0)


@settings(ModelError)
class NewStars:
    """New stars, one spectrum each, that all runs are measured on.

    Parameters
    ----------
    stars : int
    seed : int
        Another one than the archive's.
    """

    stars: AtLeastOne
    seed: Whole = Field(ge=0)


@settings(ModelError)
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

    latents: tuple[AtLeastOne, ...] = Field(min_length=1)
    beta: tuple[Annotated[Number, Field(ge=0)], ...] = Field(min_length=1)
    deterministic: bool = True

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
    """

    base: dict[str, Any]
    archive: Archive
    test: NewStars
    grid: Grid
    chosen: Setting
    too_small: Number
    balanced: dict[str, dict[str, Any]] = field(default_factory=dict)
    seeds: tuple[Whole, ...] = ()

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
    """Read a sweep's configuration.

    Raises
    ------
    ModelError
        If the file is missing, is no YAML, or a key of it is unknown, missing or does not fit.
    """
    return read_settings(SweepConfig, read_yaml(path), where=str(path), error=ModelError)


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
