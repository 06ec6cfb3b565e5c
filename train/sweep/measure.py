"""What a network of a sweep learned, on stars that it never saw: one set of figures per run."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

import latentscope
from latentscope.diagnostics.activity import kl_divergence, mad
from latentscope.diagnostics.mi.api import mi_matrix, pairwise_mi
from latentscope.files import atomic_path
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import load_model, weights_sha256
from latentscope.spectra.prepare import PrepareConfig
from train.data.archive import PackedArchive
from train.sweep.archive import facts_of
from train.sweep.grid import (
    ARCHIVE,
    TEST,
    SweepConfig,
    folder_of,
    is_done,
    runs_of,
)
from train.sweep.results import (
    EXAMPLE,
    LABELS,
    LATENTS,
    STARS,
    Figures,
    Floats,
    Measured,
    Results,
    write_results,
)
from train.validation import rank_correlation

COOL, WARM = 4000.0, 7300.0
"""K: what FGK stars are here."""

_FIGURES = "figures.json"
_BATCH = 50


@dataclass(frozen=True)
class Stars:
    """Rows and labels of the stars that all runs are measured on."""

    rows: NDArray[np.float16]
    labels: pd.DataFrame
    fingerprint: str
    prepare: PrepareConfig
    example: int

    @classmethod
    def read(cls, path: Path) -> Stars:
        """Read the packed archive of test stars."""
        archive = PackedArchive(path, threads=1)
        rows, _ = archive.read(np.arange(len(archive)))
        table = archive.table
        labels = table[[*LABELS, "spec_type"]].reset_index(drop=True)
        return cls(rows, labels, archive.fingerprint, archive.prepare, _example(labels))

    @property
    def fgk(self) -> NDArray[np.bool_]:
        """Which stars are FGK stars."""
        return np.asarray(self.labels["Teff"].between(COOL, WARM))


def measured(folder: Path, stars: Stars) -> Figures:
    """Measure a run, or read what was measured of the same weights on the same stars.

    `folder` is the run's, with `model/` in it, and receives the figures and latents.
    """
    weights = weights_sha256(folder / "model")
    earlier = _read(folder, weights, stars.fingerprint)
    if earlier is not None:
        return earlier
    model = load_model(folder / "model")
    mean, kl, line_variance, example = _encoded(model, stars)
    figures = Figures(
        weights=weights,
        test=stars.fingerprint,
        mad=_rounded(mad(mean).values),
        kl=_rounded(kl),
        line_variance=line_variance,
        mi=_information(mean, stars.labels),
        mi_fgk=_information(mean[stars.fgk], stars.labels[stars.fgk]),
        rank={label: _rounded(rank_correlation(mean, stars.labels[label])) for label in LABELS},
        pairs=[],
    )
    figures = replace(figures, pairs=_pairs(mean, figures.informative))
    with atomic_path(folder / LATENTS) as temporary:
        np.savez(temporary, mean=mean, example=example)
    with atomic_path(folder / _FIGURES) as temporary:
        temporary.write_text(json.dumps(asdict(figures), indent=1) + "\n", "utf-8")
    return figures


def _read(folder: Path, weights: str, test: str) -> Figures | None:
    path = folder / _FIGURES
    if not (path.exists() and (folder / LATENTS).exists()):
        return None
    values = json.loads(path.read_text("utf-8"))
    return Figures(**values) if (values["weights"], values["test"]) == (weights, test) else None


def _example(labels: pd.DataFrame) -> int:
    """Pick the moving dwarf nearest to the Sun's temperature with much signal, if there is one."""
    signal = labels["snr"] >= labels["snr"].quantile(0.7)
    moving = labels["radvel"].abs().between(20, 60) & (labels["logg"] > 4)
    suitable = signal & moving & labels["[M/H]"].between(-0.4, 0.3) & (labels["vsini"] < 8)
    pool = labels[suitable] if suitable.any() else labels
    nearest = (pool["Teff"] - 5700.0).abs().to_numpy().argmin()
    return int(pool.index.to_numpy()[nearest])


def _encoded(model: SpectrumVAE, stars: Stars) -> tuple[Floats, Floats, float, Floats]:
    """Latents, KL per dimension, share of line variance, and the example's row."""
    prepare = stars.prepare
    lines = np.arange(prepare.row_size)[prepare.science][~prepare.grid.gap_mask]
    middle = stars.rows.mean(0, dtype=np.float64)[lines]
    means, logvars, sums, example = [], [], np.zeros(2), np.empty(0)
    with torch.no_grad():
        for start in range(0, len(stars.rows), _BATCH):
            rows = torch.from_numpy(stars.rows[start : start + _BATCH].astype("f4"))
            mean, logvar = model.encode(rows)
            decoded = model.decode(mean).numpy().astype(np.float64)
            truth = rows.numpy().astype(np.float64)[:, lines]
            sums += [((part - truth) ** 2).sum() for part in (decoded[:, lines], middle)]
            if start <= stars.example < start + _BATCH:
                example = decoded[stars.example - start]
            means.append(mean.numpy())
            if logvar is not None:
                logvars.append(logvar.numpy())
    mean = np.concatenate(means)
    kl = kl_divergence(mean, np.concatenate(logvars)) if logvars else np.empty(0)
    return mean.astype(np.float64), kl, round(float(1 - sums[0] / sums[1]), 5), example


def _information(mean: Floats, labels: pd.DataFrame) -> dict[str, list[float]]:
    result = mi_matrix(mean, labels[list(LABELS)].reset_index(drop=True), columns=list(LABELS))
    matrix = result.matrix.fillna(0.0)
    return {str(label): _rounded(row.to_numpy()) for label, row in matrix.iterrows()}


def _pairs(mean: Floats, dims: list[int]) -> list[list[float]]:
    """Mutual information of some dimensions with one another, the largest first."""
    if len(dims) < 2:
        return []
    table = pairwise_mi(mean, dims=dims).table.sort_values("mi_nats", ascending=False)
    kept = table[["dim_x", "dim_y", "mi_nats"]].itertuples(index=False)
    return [[int(x), int(y), round(float(value), 5)] for x, y, value in kept]


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 5) for value in values]


def results_of(
    config: SweepConfig,
    folder: Path,
    *,
    failed: Collection[str] = (),
    command: str = "",
    say: Callable[[str], None] = print,
) -> Results:
    """Measure the finished runs of a sweep's folder, and write the results into it.

    The folder receives `results.json` and `runs.csv`, and for pictures `stars.csv` and
    `example.npy`; `failed` are names of runs, `command` is what made it all.
    """
    stars = Stars.read(folder / TEST)
    runs, missing = {}, {}
    for run in runs_of(config):
        if not is_done(folder, run):
            missing[run.name] = "failed" if run.name in failed else "not finished"
            continue
        here = folder_of(folder, run)
        say(f"measure {run.name}")
        settings = json.loads((here / "model" / "config.json").read_text("utf-8"))
        runs[run.name] = Measured(run, measured(here, stars), settings.get("training", {}))
    test = {"sha256": stars.fingerprint, "example": stars.example}
    results = Results(
        config, runs, missing, facts_of(folder / ARCHIVE), test, command, latentscope.__version__
    )
    with atomic_path(folder / STARS) as temporary:
        stars.labels.to_csv(temporary, index=False)
    with atomic_path(folder / EXAMPLE) as temporary, temporary.open("wb") as file:
        np.save(file, stars.rows[stars.example])
    write_results(results, folder)
    return results
