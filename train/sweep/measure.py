"""What a network of a sweep learned, on stars that it never saw: one table of figures a run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from latentscope.diagnostics.activity import mad
from latentscope.diagnostics.mi.api import mi_matrix, pairwise_mi
from latentscope.diagnostics.study import (
    THRESHOLD,
)
from latentscope.files import atomic_path
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import load_model, weights_sha256
from latentscope.spectra.prepare import PrepareConfig, restore
from train.data.archive import PackedArchive
from train.sweep.grid import TEST, Run, SweepConfig, folder_of, is_done, point_name, runs_of

LABELS = ("radvel", "Teff", "[M/H]", "logg", "vsini", "airmass", "snr", "berv")
"""Labels that dimensions are compared with; the networks saw none of them."""

COOL, WARM = 4000.0, 7300.0
"""K: what FGK stars are here."""

KL_ACTIVE = 0.1
"""Nats of KL, mean over stars, above which a dimension counts as informative.

The paper's 0.02 of MAD is no use after some thousand steps: dimensions that say nothing have means
that have not come to rest, of a few hundredths.
"""

_FIGURES, _LATENTS = "figures.json", "latents.npz"
_BATCH = 50

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stars:
    """Rows and labels of the stars that all runs are measured on.

    Parameters
    ----------
    rows : ndarray of float16, shape (n, row_size)
    labels : DataFrame of n rows
    fingerprint : str
        SHA-256 of the archive's table.
    prepare : PrepareConfig
    example : int
        Number of the spectrum that pictures show.
    """

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
    def spread(self) -> tuple[float, float]:
        """What the mean spectrum leaves unexplained of a spectrum, on average.

        Half the sum of squared residuals of the lines, and the mean absolute residual of the flux
        over its median.
        """
        kept = ~self.prepare.grid.gap_mask
        middle = _lines(self.rows.mean(0, dtype=np.float64)[None], self.prepare)
        parts = np.array_split(np.arange(len(self.rows)), -(-len(self.rows) // _BATCH))
        flux = sum(self._flux(part).sum(0) for part in parts) / len(self.rows)
        squares, deviation = 0.0, 0.0
        for part in parts:
            lines = _lines(self.rows[part].astype(np.float64), self.prepare)
            squares += float((((lines - middle)[:, kept]) ** 2).sum())
            deviation += float(np.abs((self._flux(part) - flux)[:, kept]).sum())
        return squares / 2 / len(self.rows), deviation / len(self.rows) / int(kept.sum())

    def _flux(self, part: NDArray[np.int64]) -> Floats:
        return np.asarray(restore(self.rows[part].astype(np.float64), self.prepare))

    @property
    def fgk(self) -> NDArray[np.bool_]:
        """Which stars are FGK stars."""
        known: NDArray[np.bool_] = self.labels["Teff"].between(COOL, WARM).to_numpy()
        return known


@dataclass(frozen=True)
class Figures:
    """What was measured of a run.

    Parameters
    ----------
    weights, test : str
        SHA-256 of the model's weights and of the test stars' table.
    mad, kl : list of float
        Median absolute deviation, and mean KL in nats, of each dimension; no KL without variances.
    line_variance : float
        Share of the variance of the line contrast, around the mean spectrum, that is reconstructed.
    flux_rms : float
        Root mean square residual of the flux, over its median.
    mi, mi_fgk : dict of str to list of float
        Mutual information of each label with each dimension, nats; all stars, and FGK stars.
    rank : dict of str to list of float
        Spearman's rank correlation of each label with each dimension.
    pairs : list of [dim, dim, nats]
        Mutual information of the informative dimensions with one another, the largest first.
    """

    weights: str
    test: str
    mad: list[float]
    kl: list[float]
    line_variance: float
    flux_rms: float
    mi: dict[str, list[float]]
    mi_fgk: dict[str, list[float]]
    rank: dict[str, list[float]]
    pairs: list[list[float]]

    @property
    def deviating(self) -> list[int]:
        """Dimensions with a MAD above 0.02."""
        return _above(self.mad, THRESHOLD)

    @property
    def informative(self) -> list[int]:
        """Dimensions with a KL above 0.1 nats; of a network without KL the deviating ones."""
        return _above(self.kl, KL_ACTIVE) if self.kl else self.deviating

    @property
    def largest_pair(self) -> float:
        """Largest mutual information between two informative dimensions, nats; 0 of fewer."""
        return self.pairs[0][2] if self.pairs else 0.0

    @property
    def telling(self) -> list[int]:
        """Informative dimensions; all, where none is."""
        return self.informative or list(range(len(self.mad)))

    def best(self, label: str, *, fgk: bool = False) -> tuple[int, float]:
        """Informative dimension that tells most of a label, and how much, in nats."""
        values = (self.mi_fgk if fgk else self.mi)[label]
        dim = max(self.telling, key=lambda dim: values[dim])
        return dim, values[dim]

    def best_rank(self, label: str) -> float:
        """Largest absolute rank correlation of a label with one informative dimension."""
        return max(abs(self.rank[label][dim]) for dim in self.telling)


def measured(folder: Path, stars: Stars) -> tuple[Figures, dict[str, Floats]]:
    """Measure a run, or read what was measured of the same weights on the same stars.

    Parameters
    ----------
    folder : Path
        Of the run; it holds `model/` and receives the figures.
    stars : Stars

    Returns
    -------
    figures : Figures
    arrays : dict of ndarray
        `mean` of shape (n, latents), and `example`, the reconstructed row of `stars.example`.
    """
    weights = weights_sha256(folder / "model")
    known = _read(folder, weights, stars.fingerprint)
    if known is not None:
        return known
    model = load_model(folder / "model")
    mean, kl, errors, example = _encoded(model, stars)
    figures = Figures(
        weights=weights,
        test=stars.fingerprint,
        mad=_rounded(mad(mean).values),
        kl=_rounded(kl.mean(0)) if kl.size else [],
        **errors,
        mi=_information(mean, stars.labels),
        mi_fgk=_information(mean[stars.fgk], stars.labels[stars.fgk]),
        rank=_ranks(mean, stars.labels),
        pairs=[],
    )
    figures = replace(figures, pairs=_pairs(mean, figures.informative))
    arrays = {"mean": mean, "example": example}
    with atomic_path(folder / _LATENTS) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
    with atomic_path(folder / _FIGURES) as temporary:
        temporary.write_text(json.dumps(asdict(figures), indent=1) + "\n", "utf-8")
    return figures, arrays


def _read(folder: Path, weights: str, test: str) -> tuple[Figures, dict[str, Floats]] | None:
    path, latents = folder / _FIGURES, folder / _LATENTS
    if not (path.exists() and latents.exists()):
        return None
    values = json.loads(path.read_text("utf-8"))
    if (values["weights"], values["test"]) != (weights, test):
        return None
    with np.load(latents) as file:
        return Figures(**values), {name: file[name] for name in file.files}


def _example(labels: pd.DataFrame) -> int:
    """Pick the moving dwarf nearest to the Sun's temperature with much signal, if there is one."""
    signal = labels["snr"] >= labels["snr"].quantile(0.7)
    moving = labels["radvel"].abs().between(20, 60) & (labels["logg"] > 4)
    some = signal & moving & labels["[M/H]"].between(-0.4, 0.3) & (labels["vsini"] < 8)
    pool = labels[some] if some.any() else labels
    nearest = (pool["Teff"] - 5700.0).abs().to_numpy().argmin()
    return int(pool.index.to_numpy()[nearest])


def _encoded(model: SpectrumVAE, stars: Stars) -> tuple[Floats, Floats, dict[str, float], Floats]:
    """Latents, KL per dimension, errors of the reconstruction, and the example's row."""
    kept = ~stars.prepare.grid.gap_mask
    middle = _lines(stars.rows.mean(0, dtype=np.float64)[None], stars.prepare)[:, kept]
    means, kls, sums = [], [], np.zeros(3)
    example = np.empty(0)
    with torch.no_grad():
        for start in range(0, len(stars.rows), _BATCH):
            rows = torch.from_numpy(stars.rows[start : start + _BATCH].astype("f4"))
            mean, logvar = model.encode(rows)
            decoded = model.decode(mean).numpy().astype(np.float64)
            truth = rows.numpy().astype(np.float64)
            sums += _squares(decoded, truth, middle, kept, stars.prepare)
            if start <= stars.example < start + _BATCH:
                example = decoded[stars.example - start]
            means.append(mean.numpy())
            if logvar is not None:
                kls.append((0.5 * (mean**2 + logvar.exp() - 1 - logvar)).numpy())
    residual, variance, flux = sums / (len(stars.rows) * kept.sum())
    errors = {
        "line_variance": round(float(1 - residual / variance), 5),
        "flux_rms": round(float(np.sqrt(flux)), 6),
    }
    kl = np.concatenate(kls) if kls else np.empty(0)
    return np.concatenate(means).astype(np.float64), kl.astype(np.float64), errors, example


def _squares(
    decoded: Floats, truth: Floats, middle: Floats, kept: NDArray[np.bool_], config: PrepareConfig
) -> Floats:
    """Sums of squares: residual and variance of the lines, residual of the flux."""
    lines, wanted = _lines(decoded, config)[:, kept], _lines(truth, config)[:, kept]
    flux = (restore(decoded, config) - restore(truth, config))[:, kept]
    return np.array(
        [((lines - wanted) ** 2).sum(), ((wanted - middle) ** 2).sum(), (flux**2).sum()]
    )


def _lines(rows: Floats, config: PrepareConfig) -> Floats:
    """Line contrast of rows, or the flux where the preparation knows no contrast."""
    grid = config.grid
    return rows[:, grid.pad_left : grid.pad_left + grid.length]


def _information(mean: Floats, labels: pd.DataFrame) -> dict[str, list[float]]:
    result = mi_matrix(mean, labels[list(LABELS)].reset_index(drop=True), columns=list(LABELS))
    matrix = result.matrix.fillna(0.0)
    return {str(label): _rounded(row.to_numpy()) for label, row in matrix.iterrows()}


def _ranks(mean: Floats, labels: pd.DataFrame) -> dict[str, list[float]]:
    """Rank correlations; 0 with a dimension that is constant."""
    of_dims = _centred(mean)
    return {
        label: _rounded(_centred(labels[[label]].to_numpy(np.float64))[:, 0] @ of_dims)
        for label in LABELS
    }


def _centred(columns: Floats) -> Floats:
    """Ranks of each column around their mean, of unit length; zeros of a constant one."""
    ranks = rankdata(columns, axis=0)
    ranks -= ranks.mean(0)
    length = np.sqrt((ranks**2).sum(0))
    return np.asarray(ranks / np.where(length > 0, length, 1.0))


def _pairs(mean: Floats, dims: list[int]) -> list[list[float]]:
    """Mutual information of some dimensions with one another, the largest first."""
    if len(dims) < 2:
        return []
    table = pairwise_mi(mean, dims=dims).table.sort_values("mi_nats", ascending=False)
    kept = table[["dim_x", "dim_y", "mi_nats"]].itertuples(index=False)
    return [[int(x), int(y), round(float(value), 5)] for x, y, value in kept]


def _above(values: list[float], threshold: float) -> list[int]:
    return [dim for dim, value in enumerate(values) if value > threshold]


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 5) for value in values]


Value = Callable[[Figures], float]


@dataclass(frozen=True)
class Measured:
    """One finished run.

    Parameters
    ----------
    run : Run
    figures : Figures
    arrays : dict of ndarray
        As `train.sweep.measure.measured` gives them.
    training : dict
        What the model's config.json says of its training.
    """

    run: Run
    figures: Figures
    arrays: Mapping[str, Floats]
    training: Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """All of a sweep.

    Parameters
    ----------
    config : SweepConfig
    stars : Stars
        What the runs were measured on.
    runs : dict of str to Measured
        The finished ones, by name.
    missing : dict of str to str
        Name of every other run -> "failed" or "not finished".
    """

    config: SweepConfig
    stars: Stars
    runs: Mapping[str, Measured]
    missing: Mapping[str, str]

    @property
    def columns(self) -> list[float | None]:
        """Betas of the grid, ascending; first None, if there are deterministic networks."""
        grid = self.config.grid
        first: list[float | None] = [None] if grid.deterministic else []
        return [*first, *sorted(grid.beta)]

    @property
    def sizes(self) -> list[int]:
        """Latent sizes of the grid, ascending."""
        return sorted(self.config.grid.latents)

    def at(self, latents: int, beta: float | None) -> Measured | None:
        """Return the run at a point of the grid, if it is finished."""
        return self.runs.get(point_name(latents, beta))

    @property
    def chosen(self) -> Measured | None:
        """The run of the chosen setting, if it is finished."""
        return self.at(self.config.chosen.latents, self.config.chosen.beta)

    def repeated(self) -> list[Measured]:
        """Return the chosen setting, its other seeds, and its balanced archives, as finished."""
        chosen = [] if self.chosen is None else [self.chosen]
        return chosen + [entry for entry in self.runs.values() if entry.run.kind != "grid"]

    def row(
        self, latents: int, value: Value, columns: Sequence[float | None] | None = None
    ) -> list[float]:
        """Return a figure along the betas (all columns by default); NaN where no run is."""
        found = [self.at(latents, beta) for beta in (self.columns if columns is None else columns)]
        return [math.nan if entry is None else float(value(entry.figures)) for entry in found]


def results_of(
    config: SweepConfig, folder: Path, failed: Collection[str], say: Callable[[str], None]
) -> Results:
    """Measure the finished runs of a sweep's folder.

    Parameters
    ----------
    config : SweepConfig
    folder : Path
    failed : collection of str
        Names of runs that failed.
    say : callable
        Told a line about each run that is measured.
    """
    stars = Stars.read(folder / TEST)
    runs, missing = {}, {}
    for run in runs_of(config):
        if not is_done(folder, run):
            missing[run.name] = "failed" if run.name in failed else "not finished"
            continue
        here = folder_of(folder, run)
        say(f"measure {run.name}")
        figures, arrays = measured(here, stars)
        settings = json.loads((here / "model" / "config.json").read_text("utf-8"))
        runs[run.name] = Measured(run, figures, arrays, settings.get("training", {}))
    return Results(config, stars, runs, missing)
