"""The runs of a sweep, and the training configuration of each."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from train.sweep.settings import SweepConfig

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
