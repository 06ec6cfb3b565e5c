"""The simulated archives of a sweep, packed: what all runs learn from, and are measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import latentscope
from latentscope.errors import TableError, warn
from latentscope.simulation.population import observe, star_of_each
from latentscope.simulation.simulate import labels_of
from latentscope.spectra.prepare import PrepareConfig
from train.data.archive import COLUMNS, ArchiveStore, Layout, MissingArchiveError, PackedArchive
from train.data.packing import in_processes
from train.data.rows import simulated_rows
from train.data.simulated import linelist_digest, simulator_digest
from train.data.stars import stars_of

Progress = Callable[[int, int], None]

_SHARD_MB = 8.0
"""A shard is what one process simulates at a time."""

_SAID_TWICE = ("id", "object", "berv", "airmass", "snr")
"""Labels of a simulated spectrum that the archive's own columns hold."""


@dataclass(frozen=True)
class Recipe:
    """A simulated archive."""

    prepare: PrepareConfig
    spectra: int
    seed: int
    repeats: bool  # whether some stars are observed several times
    linelist: str | None = None  # file; by default the built-in list

    @property
    def settings(self) -> dict[str, Any]:
        """What the rows depend on, as the store keeps it."""
        return {
            "prepare": self.prepare.to_dict(),
            "simulated": {
                "spectra": self.spectra,
                "seed": self.seed,
                "repeats": self.repeats,
                "linelist_sha256": linelist_digest(self.linelist),
            },
        }

    def labels(self) -> pd.DataFrame:
        """Truth about the spectra, one row per spectrum, as `latentscope simulate` writes it."""
        stars = star_of_each(self.spectra, self.seed, self.repeats)
        observed = (observe(i, int(star), self.seed) for i, star in enumerate(stars))
        return pd.DataFrame([labels_of(observation) for observation in observed])


def make_archive(
    path: Path, recipe: Recipe, *, workers: int, progress: Progress | None = None
) -> Path:
    """Make a simulated archive, go on with one that was interrupted, or leave one that is done.

    TableError if another archive is there. An archive that another version of the simulator made is
    taken, with a warning.
    """
    store = _store(path, recipe)
    store.sweep()
    done = len(store.table())
    if store.labels:
        return path
    labels = recipe.labels()
    for rows in _simulated(recipe, done, store.layout.shard, workers):
        part = labels.iloc[done : done + len(rows)]
        store.add(rows, np.ones(rows.shape, np.bool_), _records(part))
        done += len(rows)
        if progress is not None:
            progress(done, recipe.spectra)
    own = labels.drop(columns=list(_SAID_TWICE))
    table = store.table()[list(COLUMNS)].join(own)
    store.finish(table, list(own.columns), {"latentscope": latentscope.__version__})
    return path


def facts_of(path: Path) -> dict[str, Any]:
    """What a page says of an archive that `make_archive` made: see `Results.archive`."""
    archive = PackedArchive(path, threads=1)
    exposures = pd.Series(stars_of(archive.table)).value_counts()
    return {
        "linelist": str(archive.settings["linelist"]),
        "simulator_sha256": str(archive.settings["simulator_sha256"]),
        "spectra": len(archive),
        "stars": len(exposures),
        "max_exposures": int(exposures.max()),
        "repeated": float((exposures > 1).mean()),
    }


def _store(path: Path, recipe: Recipe) -> ArchiveStore:
    """Open the archive, or make an empty one."""
    digest = simulator_digest()
    try:
        store = ArchiveStore.open(path, write=True)
    except MissingArchiveError:
        made = {
            "latentscope": latentscope.__version__,
            "simulator_sha256": digest,
            "linelist": "built-in" if recipe.linelist is None else Path(recipe.linelist).name,
        }
        layout = Layout.sized(recipe.prepare.row_size, "float16", shard_mb=_SHARD_MB)
        return ArchiveStore.create(path, recipe.settings | made, layout)
    if any(store.settings.get(key) != value for key, value in recipe.settings.items()):
        raise TableError(
            f"{path}: was made with other settings or another line list than this sweep's; give "
            "the same again, or sweep into another folder"
        )
    if store.settings.get("simulator_sha256") != digest:
        warn(
            f"{path}: made by another version of the simulator, and used unchanged; sweep into a "
            "new folder for new spectra"
        )
    return store


def _records(labels: pd.DataFrame) -> list[dict[str, Any]]:
    """Entries of the archive's table; the last blanks are for what only files have."""
    blank: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {"status": "ok", "frame": "barycentric"}
    blank |= {"rv": float("nan"), "median": 1.0, "coverage": 1.0, "size": 0, "mtime_ns": 0}
    return [
        blank
        | {"file": f"simulated/{label['id']}", "id": label["id"], "row": row}
        | {"star": label["object"], "object": label["object"]}
        | {key: label[key] for key in ("berv", "airmass", "snr")}
        for row, label in enumerate(labels.to_dict("records"))
    ]


def _simulated(
    recipe: Recipe, first: int, block: int, workers: int
) -> Iterator[NDArray[np.float16]]:
    """Rows from number `first` on, a block after the other."""
    jobs = [
        (recipe, start, min(start + block, recipe.spectra))
        for start in range(first, recipe.spectra, block)
    ]
    return in_processes(_block, jobs, workers)


def _block(job: tuple[Recipe, int, int]) -> NDArray[np.float16]:
    recipe, start, stop = job
    rows, _ = simulated_rows(
        recipe.prepare, start, stop, n=recipe.spectra, seed=recipe.seed,
        linelist=recipe.linelist, repeats=recipe.repeats,
    )  # fmt: skip
    return rows
