"""Draw docs/reproduction.md from the results of a sweep: its pictures, tables and findings.

    python -m train sweep -o runs/sweep --linelist lines.csv
    python docs/figures/reproduction.py runs/sweep docs/reproduction.md

The statements are those of N. Sedaghat et al., "Machines learn to infer stellar parameters just by
looking at a large number of spectra", MNRAS 501, 6026 (2021). Each is held against the runs by a
rule, so that the same results give the same page.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from latentscope.diagnostics.mi.api import mi_matrix
from latentscope.diagnostics.threshold import THRESHOLD, find_gap
from latentscope.errors import LatentscopeError
from latentscope.files import atomic_path
from latentscope.plots.information import plot_mi
from latentscope.spectra.prepare import PrepareConfig, restore
from train.sweep.results import (
    EXAMPLE,
    LABELS,
    STARS,
    Figures,
    Floats,
    Measured,
    Results,
    Value,
    read_latents,
    read_results,
)

SHIFT = 0.2
"""A mutual information that changes by more than this share has changed."""


@dataclass(frozen=True)
class Change:
    """A repetition of the chosen setting against its run on the archive as it is.

    Mutual information is that of the best dimension, on FGK stars, which every archive holds.

    Parameters
    ----------
    entry : Measured
    dimensions : int
        Informative dimensions more than before.
    velocity, temperature : float
        Ratio of the mutual informations with radial velocity and effective temperature.
    """

    entry: Measured
    dimensions: int
    velocity: float
    temperature: float

    @property
    def is_large(self) -> bool:
        """Whether the number changes by more than one, or information by more than `SHIFT`."""
        ratios = (self.velocity, self.temperature)
        return abs(self.dimensions) > 1 or any(abs(ratio - 1) > SHIFT for ratio in ratios)

    @property
    def leaves_out(self) -> bool:
        """Whether the archive has one bin of a label alone, so that the other stars are not in."""
        bins = self.entry.run.archive.get("bins")
        return bins == 1 or (isinstance(bins, Sequence) and len(bins) == 2)

    @property
    def words(self) -> str:
        """Say the change."""
        return (
            f"{self.dimensions:+d} dimensions, RV x {self.velocity:.2f}, "
            f"Teff x {self.temperature:.2f}"
        )


def changes_of(results: Results) -> list[Change]:
    """Return the changes of all finished repetitions; none without the chosen run."""
    if results.chosen is None:
        return []
    before, changes = results.chosen.figures, []
    for entry in results.repeated():
        if entry is results.chosen:
            continue
        after = entry.figures
        velocity, temperature = (
            after.best(label, fgk=True)[1] / max(before.best(label, fgk=True)[1], 1e-9)
            for label in ("radvel", "Teff")
        )
        more = len(after.informative) - len(before.informative)
        changes.append(Change(entry, more, velocity, temperature))
    return changes


KNOWN = 0.5
"""Nats: a dimension with less about a label does not stand for it."""

UNMATCHED = 0.1
"""Nats: a dimension with less about every label matches none."""

INDEPENDENT = 0.3
"""Nats: two dimensions that share less count as disentangled."""

LOST = 0.05
"""Loss of rank correlation from which on detail counts as lost."""


Dims = Callable[[Figures], list[int]]


@dataclass(frozen=True)
class Finding:
    """A statement of the paper, held against the sweep.

    Parameters
    ----------
    statement : str
        What the paper found.
    agrees : bool or None
        None: the runs that would tell are not there.
    rule : str
        When it counts as agreement.
    numbers : str
        What the runs gave.
    """

    statement: str
    agrees: bool | None
    rule: str
    numbers: str


def findings(results: Results) -> list[Finding]:
    """Hold each statement against the runs; the same runs give the same findings."""
    return [
        _deterministic_is_best(results),
        _beta_costs(results),
        _size_helps(results),
        _fewer(results, "above 0.02 of MAD falls with lambda (fig. 4)", lambda f: f.deviating),
        _fewer(results, "with KL > 0.1 nats falls with lambda", lambda f: f.informative),
        _how_many(results, "MAD > 0.02", lambda f: f.deviating),
        _how_many(results, "KL > 0.1 nats", lambda f: f.informative),
        _sizes_agree(results),
        _mad_and_kl(results),
        _small_beta_leaks(results),
        _disentangled(results),
        _stands_for(results, "radvel", "radial velocity", "1.51 nats"),
        _stands_for(results, "Teff", "effective temperature", "1.33 nats"),
        _own_dimensions(results),
        _unmatched(results),
        _large_beta_loses(results),
        _robust(results),
        _sampling_bias(results),
    ]


def _betas(results: Results) -> list[float]:
    return sorted(results.config.grid.beta)


def _listed(values: Sequence[float], form: str = ".3f") -> str:
    return ", ".join("-" if math.isnan(value) else format(value, form) for value in values)


def _in_words(results: Results, rows: Sequence[Sequence[float]], form: str) -> str:
    sized = zip(results.sizes, rows, strict=True)
    return "; ".join(f"{latents} latents: {_listed(row, form)}" for latents, row in sized)


def _all(rows: Sequence[Sequence[float]], holds: Callable[[Sequence[float]], bool]) -> bool | None:
    """Whether something holds for each row without a gap; None if all have one."""
    whole = [row for row in rows if not any(math.isnan(value) for value in row)]
    return all(holds(row) for row in whole) if whole else None


def _falling(row: Sequence[float]) -> bool:
    return all(a >= b for a, b in pairwise(row)) and row[0] > row[-1]


def _deterministic_is_best(results: Results) -> Finding:
    columns: list[float | None] = [None, *_betas(results)]
    rows = [results.row(latents, lambda f: f.line_variance, columns) for latents in results.sizes]
    return Finding(
        "A deterministic autoencoder reconstructs best.",
        _all(rows, lambda row: row[0] >= max(row[1:])),
        "at every size the AE reconstructs at least the share of line variance of every beta",
        f"AE, then beta = {_listed(_betas(results), 'g')}: {_in_words(results, rows, '.3f')}",
    )


def _beta_costs(results: Results) -> Finding:
    rows = [results.row(n, lambda f: f.line_variance, _betas(results)) for n in results.sizes]
    return Finding(
        "The larger lambda, the worse the reconstruction.",
        _all(rows, _falling),
        "at every size the reconstructed line variance falls with beta",
        f"beta = {_listed(_betas(results), 'g')}: {_in_words(results, rows, '.3f')}",
    )


def _size_helps(results: Results) -> Finding:
    by_size = [results.row(n, lambda f: f.line_variance) for n in results.sizes]
    rows = list(zip(*by_size, strict=True))
    curves = [
        f"{'AE' if beta is None else f'beta = {beta:g}'}: {_listed(row)}"
        for beta, row in zip(results.columns, rows, strict=True)
    ]
    return Finding(
        "The more latents, the better the reconstruction.",
        _all(rows, lambda row: row[-1] > row[0]),
        "at every beta the largest network reconstructs more line variance than the smallest",
        f"{_listed(results.sizes, 'd')} latents: {'; '.join(curves)}",
    )


def _fewer(results: Results, words: str, dims: Dims) -> Finding:
    rows = [results.row(n, lambda f: len(dims(f)), _betas(results)) for n in results.sizes]
    return Finding(
        f"The number of dimensions {words}.",
        _all(rows, _falling),
        "it never rises with beta, and ends lower, at every size",
        f"beta = {_listed(_betas(results), 'g')}: {_in_words(results, rows, '.0f')}",
    )


def _of_chosen(
    results: Results, statement: str, rule: str, judged: Callable[[Figures], tuple[bool, str]]
) -> Finding:
    """Hold a statement against the chosen run, by what `judged` says of it and by which numbers."""
    agrees, numbers = judged(results.chosen.figures) if results.chosen else (None, "-")
    return Finding(statement, agrees, rule, numbers)


def _how_many(results: Results, words: str, dims: Dims) -> Finding:
    def judged(figures: Figures) -> tuple[bool, str]:
        found = dims(figures)
        return 4 <= len(found) <= 8, f"{len(found)}: {_dims(found)}"

    statement = f"Six dimensions of 128 are informative at lambda = 0.3 (here: {words})."
    rule = f"4 to 8 dimensions have {words} in the chosen setting"
    return _of_chosen(results, statement, rule, judged)


def _sizes_agree(results: Results) -> Finding:
    beta = [results.config.chosen.beta]
    counts = [results.row(n, lambda f: len(f.informative), beta)[0] for n in results.sizes]
    return Finding(
        "The 8-d network agrees on that number.",
        _all([counts], lambda row: max(row) - min(row) <= 1),
        "at the chosen beta the numbers of all sizes differ by one at most",
        _in_words(results, [[count] for count in counts], ".0f"),
    )


def _mad_and_kl(results: Results) -> Finding:
    return _of_chosen(
        results,
        "(Not in the paper.) MAD > 0.02 and KL > 0.1 nats name the same dimensions.",
        "in the chosen setting both sets are equal",
        lambda f: (
            f.deviating == f.informative,
            f"MAD: {_dims(f.deviating)}; KL: {_dims(f.informative)}",
        ),
    )


def _small_beta_leaks(results: Results) -> Finding:
    small, chosen = results.config.too_small, results.config.chosen.beta
    rows = [results.row(n, lambda f: f.largest_pair, [small, chosen]) for n in results.sizes]
    return Finding(
        "Too small a lambda leaks information among dimensions (fig. 5).",
        _all(rows, lambda row: row[0] > row[1]),
        "at every size the largest MI of two informative dimensions is larger at the small beta",
        f"nats, beta = {small:g} and {chosen:g}: {_in_words(results, rows, '.2f')}",
    )


def _disentangled(results: Results) -> Finding:
    return _of_chosen(
        results,
        "At the chosen lambda the dimensions are disentangled.",
        f"the largest MI of two informative dimensions is below {INDEPENDENT:g} nats",
        lambda f: (f.largest_pair < INDEPENDENT, f"{f.largest_pair:.2f} nats"),
    )


def _stands_for(results: Results, label: str, words: str, published: str) -> Finding:
    def judged(figures: Figures) -> tuple[bool, str]:
        dim, nats = figures.best(label)
        others = (figures.mi[label][d] for d in figures.telling if d != dim)
        second = max(others, default=0.0)
        return nats > KNOWN and nats > 2 * second, (
            f"dimension {dim}: {nats:.2f} nats, rank correlation "
            f"{abs(figures.rank[label][dim]):.2f}; next: {second:.2f} nats"
        )

    statement = f"One dimension is {words} ({published})."
    rule = f"its MI is above {KNOWN:g} nats and more than twice that of the next informative one"
    return _of_chosen(results, statement, rule, judged)


def _own_dimensions(results: Results) -> Finding:
    def judged(figures: Figures) -> tuple[bool, str]:
        velocity, temperature = (figures.best(label)[0] for label in ("radvel", "Teff"))
        return velocity != temperature, f"velocity {velocity}, temperature {temperature}"

    statement = "Velocity and temperature have dimensions of their own."
    return _of_chosen(results, statement, "the best dimensions of both labels differ", judged)


def _unmatched(results: Results) -> Finding:
    def judged(figures: Figures) -> tuple[bool, str]:
        dims = unmatched(figures)
        return 2 <= len(dims) <= 6, f"{len(dims)}: {_dims(dims)}"

    statement = "About four more dimensions are informative and match no label."
    rule = f"2 to 6 informative dimensions share less than {UNMATCHED:g} nats with every label"
    return _of_chosen(results, statement, rule, judged)


def unmatched(figures: Figures) -> list[int]:
    """Informative dimensions that share little with every label."""
    return [
        dim
        for dim in figures.informative
        if max(figures.mi[label][dim] for label in LABELS) < UNMATCHED
    ]


def _large_beta_loses(results: Results) -> Finding:
    betas = _betas(results)
    pair = [results.config.chosen.beta, betas[-1]]
    rows = [
        results.row(n, lambda f: f.best_rank("radvel") + f.best_rank("Teff"), pair)
        for n in results.sizes
    ]
    return Finding(
        "Too large a lambda loses detail.",
        _all(rows, lambda row: row[0] - row[1] > LOST),
        f"at every size the rank correlations with RV and Teff, added, fall by more than {LOST:g} "
        "from the chosen beta to the largest",
        f"beta = {pair[0]:g} and {pair[1]:g}: {_in_words(results, rows, '.2f')}",
    )


def _robust(results: Results) -> Finding:
    changes = [c for c in changes_of(results) if c.entry.run.balance and not c.leaves_out]
    return Finding(
        "The result is robust to balancing.",
        all(not c.is_large for c in changes) if changes else None,
        "on balanced archives of all stars the number of informative dimensions changes by one at "
        f"most, the best MI with RV and Teff (FGK stars) by {SHIFT:.0%} at most",
        _changes_in_words(changes, results),
    )


def _sampling_bias(results: Results) -> Finding:
    changes = [c for c in changes_of(results) if c.leaves_out]
    return Finding(
        "It is sensitive to which stars the sample holds.",
        any(c.is_large for c in changes) if changes else None,
        "on an archive that leaves stars out one of these changes is larger",
        _changes_in_words(changes, results),
    )


def _changes_in_words(changes: Sequence[Change], results: Results) -> str:
    chance = [c.words for c in changes_of(results) if c.entry.run.kind == "seed"]
    changed = "; ".join(f"{c.entry.run.balance}: {c.words}" for c in changes) or "-"
    return changed + (f" (by another seed alone: {'; '.join(chance)})" if chance else "")


def _dims(dims: Sequence[int]) -> str:
    shown = ", ".join(str(dim) for dim in dims[:12])
    return (shown + (" ..." if len(dims) > 12 else "")) or "none"


_MOST_DIMS = 12
_ANSWERS = {True: "yes", False: "**no**", None: "not run"}


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; vertical bars in cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def grid_table(results: Results) -> str:
    """Figures of every point of the grid."""
    head = [
        "latents", "beta", "line variance", "flux rms (%)", "MAD > 0.02", "KL > 0.1",
        "largest MI of two", "RV: MI, rank", "Teff: MI, rank", "minutes",
    ]  # fmt: skip
    rows = []
    for latents in results.sizes:
        for beta in results.columns:
            entry = results.at(latents, beta)
            first = [str(latents), name_of(beta)]
            rows.append([*first, *(_cells(entry) if entry else ["-"] * (len(head) - 2))])
    return markdown(head, rows)


def _cells(entry: Measured) -> list[str]:
    f = entry.figures
    minutes = entry.training.get("minutes")
    return [
        f"{f.line_variance:.3f}",
        f"{100 * f.flux_rms:.2f}",
        str(len(f.deviating)),
        str(len(f.informative)) if f.kl else "-",
        f"{f.largest_pair:.2f}",
        _mi_and_rank(f, "radvel"),
        _mi_and_rank(f, "Teff"),
        "-" if minutes is None else f"{minutes:.1f}",
    ]


def _mi_and_rank(figures: Figures, label: str) -> str:
    return f"{figures.best(label)[1]:.2f}, {figures.best_rank(label):.2f}"


def information_table(figures: Figures) -> str:
    """Labels x informative dimensions: nats, and the share of the row's largest value.

    In the style of the tables of Sedaghat et al. 2021: the indicator of a dimension is its mutual
    information over the largest of the row.
    """
    dims = shown_dims(figures)
    head = ["label", *(f"dim {dim}" for dim in dims), "other dims"]
    rows = []
    for label in LABELS:
        values = figures.mi[label]
        others = [value for dim, value in enumerate(values) if dim not in dims]
        largest = max(values)
        cells = [_share(values[dim], largest) for dim in dims]
        rows.append([label, *cells, f"{max(others):.2f}" if others else "-"])
    return markdown(head, rows)


def _share(value: float, largest: float) -> str:
    share = max(value, 0.0) / largest if largest > 0 else math.nan
    text = f"{abs(value) if round(value, 2) == 0 else value:.2f} ({share:.2f})"
    return f"**{text}**" if value == largest else text


def shown_dims(figures: Figures) -> list[int]:
    """Informative dimensions, of many those with the largest MAD; ascending."""
    strongest = sorted(figures.informative, key=lambda dim: figures.mad[dim], reverse=True)
    return sorted(strongest[:_MOST_DIMS])


def robustness_table(results: Results) -> str:
    """Figures of the chosen setting on every archive; all test stars, and FGK stars."""
    head = [
        "archive", "seed", "spectra an epoch", "stars", "MAD > 0.02", "KL > 0.1",
        "largest MI of two", "RV, Teff, [M/H] (nats)", "the same, FGK stars", "line variance",
    ]  # fmt: skip
    rows = [
        [
            entry.run.balance.replace("-", " ") or "as it is",
            str(entry.run.seed),
            f"{entry.training.get('spectra_an_epoch', 0):,}",
            f"{entry.training.get('stars', {}).get('train', 0):,}",
            str(len(entry.figures.deviating)),
            str(len(entry.figures.informative)),
            f"{entry.figures.largest_pair:.2f}",
            _three(entry.figures, fgk=False),
            _three(entry.figures, fgk=True),
            f"{entry.figures.line_variance:.3f}",
        ]
        for entry in results.repeated()
    ]
    return markdown(head, rows)


def _three(figures: Figures, *, fgk: bool) -> str:
    return ", ".join(
        f"{figures.best(label, fgk=fgk)[1]:.2f}" for label in ("radvel", "Teff", "[M/H]")
    )


INK, QUIET, STRONG, LIMIT = "#222222", "#9aa5b1", "#0072b2", "#d55e00"
OF_SIZES = ("#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9")
MARKERS = "osD^v"
OF_CLASSES = {"A": "#0072b2", "F": "#56b4e9", "G": "#e69f00", "K": "#d55e00", "M": "#5b1a18"}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "path.simplify_threshold": 1.0,
}

ZOOMS = ((5160.0, 5190.0), (6545.0, 6580.0))
"""Angstrom: the magnesium triplet, and H-alpha."""

_WIDE_MEAN = 16
"""Pixels that a point of the whole spectrum stands for."""

_FLOOR = 1e-4
_CROWDED = 64
_PAIRS = 3
_COUNTS = (0, 2, 4, 8, 16, 32, 64, 128)


def name_of(beta: float | None) -> str:
    """Name of a column of the grid: "AE", or the number."""
    return "AE" if beta is None else f"{beta:g}"


def reconstruction(results: Results, stars: Stars) -> Figure:
    """Draw one spectrum and its reconstructions: a row for each beta, a line for each size.

    After figure 3 of Sedaghat et al. 2021; the columns are the whole spectrum and two zooms.
    """
    columns = results.columns
    grid = stars.prepare.grid
    truth = restore(stars.row, stars.prepare)
    views = [(grid.wavelength[0], grid.wavelength[-1]), *ZOOMS]
    figure, axes = plt.subplots(
        len(columns), len(views), figsize=(10.5, 1.35 * len(columns) + 0.9), sharex="col",
        sharey="col", squeeze=False, layout="constrained", width_ratios=[2.0, 1.2, 1.2],
    )  # fmt: skip
    for row, beta in zip(axes, columns, strict=True):
        for ax, view in zip(row, views, strict=True):
            step = _WIDE_MEAN if view == views[0] else 1
            _spectrum(ax, grid.wavelength, truth, view, step, color=QUIET, linewidth=1.8)
            for number, latents in enumerate(results.sizes):
                entry = results.at(latents, beta)
                if entry is not None:
                    flux = restore(stars.latents(entry)["example"], stars.prepare)
                    color = OF_SIZES[number % len(OF_SIZES)]
                    _spectrum(ax, grid.wavelength, flux, view, step, color=color, linewidth=0.9)
        row[0].set_title("deterministic AE" if beta is None else f"beta = {beta:g}", pad=3)
    for ax, view in zip(axes[-1], views, strict=True):
        ax.set_xlim(view)
        ax.set_xlabel("wavelength (Angstrom, air)")
    figure.supylabel("flux / median", fontsize=9)
    _legend_of_sizes(figure, results, Line2D([], [], color=QUIET, linewidth=1.8, label="original"))
    return figure


def _spectrum(
    ax: Axes,
    wavelength: NDArray[np.floating[Any]],
    flux: NDArray[np.floating[Any]],
    view: tuple[float, float],
    step: int,
    **style: Any,
) -> None:
    inside = np.flatnonzero((wavelength >= view[0]) & (wavelength <= view[1]))
    step = max(1, min(step, len(inside) // 50))
    inside = inside[: len(inside) // step * step]
    ax.plot(
        wavelength[inside].reshape(-1, step).mean(1), flux[inside].reshape(-1, step).mean(1),
        drawstyle="default" if step > 1 else "steps-mid", **style,
    )  # fmt: skip


def _legend_of_sizes(figure: Figure, results: Results, *more: Line2D, marked: bool = False) -> None:
    handles = [
        Line2D(
            [], [], color=OF_SIZES[i % len(OF_SIZES)], label=f"{latents} latents",
            marker=MARKERS[i % len(MARKERS)] if marked else "",
        )
        for i, latents in enumerate(results.sizes)
    ]  # fmt: skip
    handles = [*more, *handles]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=9)


def stems(results: Results) -> Figure:
    """Draw the deviation of each dimension against beta (columns) and latent size (rows).

    After figure 4 of Sedaghat et al. 2021. Informative dimensions are blue; above each panel stand
    the numbers of dimensions with MAD > 0.02 and with KL > 0.1 nats.
    """
    sizes, columns = results.sizes, results.columns
    figure, axes = plt.subplots(
        len(sizes), len(columns), figsize=(10.5, 1.75 * len(sizes) + 0.6), sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for row, latents in zip(axes, sizes, strict=True):
        for ax, beta in zip(row, columns, strict=True):
            _stems(ax, results.at(latents, beta), latents)
            ax.set_title("AE" if beta is None else f"beta = {beta:g}", pad=12)
        row[0].set_ylabel(f"{latents} latents\nmedian absolute dev.")
    for ax in axes[-1]:
        ax.set_xlabel("dimension")
    return figure


def _stems(ax: Axes, entry: Measured | None, latents: int) -> None:
    ax.set_yscale("log")
    ax.set_ylim(_FLOOR, 30)
    ax.set_yticks([1e-4, 1e-2, 1], ["0.0001", "0.01", "1"])
    ax.axhline(THRESHOLD, color=LIMIT, linewidth=1, linestyle="--", zorder=3)
    ax.set_xlim(-0.04 * latents - 0.5, 1.04 * latents - 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if entry is None:
        ax.text(0.5, 0.5, "no run", transform=ax.transAxes, ha="center", color=QUIET)
        return
    figures = entry.figures
    values = np.maximum(figures.mad, _FLOOR)
    dims = np.arange(len(values))
    informative = np.isin(dims, figures.informative)
    crowded = latents >= _CROWDED
    for which, color in ((~informative, QUIET), (informative, STRONG)):
        width = 0.4 if crowded and color == QUIET else 1.2
        ax.vlines(dims[which], _FLOOR, values[which], color=color, linewidth=width)
        ax.plot(dims[which], values[which], "o", color=color, markersize=2 if crowded else 4)
    counts = f"MAD: {len(figures.deviating)}"
    counts += f", KL: {len(figures.informative)}" if figures.kl else ""
    ax.text(0.0, 1.01, counts, transform=ax.transAxes, fontsize=8, va="bottom", color=STRONG)


def pairs(results: Results, stars: Stars) -> Figure:
    """Draw pairs of dimensions, colored by spectral class: too small a beta, the chosen one.

    After figure 5 of Sedaghat et al. 2021. Of each network the pairs of informative dimensions
    that share most.
    """
    config = results.config
    rows = [config.too_small, config.chosen.beta]
    figure, axes = plt.subplots(2, _PAIRS, figsize=(10.5, 6.9), squeeze=False, layout="constrained")
    letters = stars.labels["spec_type"].astype(str).str[0].to_numpy()
    for row, beta in zip(axes, rows, strict=True):
        entry = results.at(config.chosen.latents, beta)
        found = [] if entry is None else entry.figures.pairs[:_PAIRS]
        for ax in row[len(found) :]:
            ax.set_axis_off()
        if not found:
            why = "no run" if entry is None else "fewer than two informative dimensions"
            row[0].text(0.0, 0.5, f"beta = {beta:g}: {why}", transform=row[0].transAxes)
        for ax, (x, y, nats) in zip(row, found, strict=False):
            assert entry is not None
            _pair(ax, stars.latents(entry)["mean"], int(x), int(y), letters)
            ax.set_title(f"beta = {beta:g}: they share {nats:.2f} nats")
    handles = [
        Line2D([], [], color=color, marker="o", linestyle="", label=letter)
        for letter, color in OF_CLASSES.items()
        if (letters == letter).any()
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), title="spectral class"
    )
    return figure


def _pair(ax: Axes, mean: Floats, x: int, y: int, letters: NDArray[Any]) -> None:
    classified = np.isin(letters, list(OF_CLASSES))
    colors = np.array([OF_CLASSES.get(letter, QUIET) for letter in letters])
    order = np.random.default_rng(0).permutation(np.flatnonzero(classified))
    ax.scatter(
        mean[order, x], mean[order, y], c=colors[order], s=5, alpha=0.7, linewidths=0,
        rasterized=True,
    )  # fmt: skip
    for set_limits, values in ((ax.set_xlim, mean[:, x]), (ax.set_ylim, mean[:, y])):
        low, high = np.quantile(values, [0.003, 0.997])
        set_limits(low - 0.06 * (high - low), high + 0.06 * (high - low))
    ax.set_xlabel(f"dimension {x}")
    ax.set_ylabel(f"dimension {y}")


def summary(results: Results) -> Figure:
    """Draw what beta and latent size do: error, dimensions, what they share, RV and Teff."""
    columns = results.columns
    panels: list[tuple[str, Value]] = [
        ("line variance reconstructed", lambda f: f.line_variance),
        (
            "dimensions with KL > 0.1 nats (informative)",
            lambda f: len(f.informative) if f.kl else math.nan,
        ),
        ("largest MI of two informative ones (nats)", lambda f: f.largest_pair),
        ("rank correlation with RV", lambda f: f.best_rank("radvel")),
        ("rank correlation with Teff", lambda f: f.best_rank("Teff")),
        ("dimensions with MAD > 0.02", lambda f: len(f.deviating)),
    ]
    figure, axes = plt.subplots(2, 3, figsize=(10.5, 5.4), sharex=True, layout="constrained")
    places = np.arange(len(columns))
    first = 1 if columns[0] is None else 0
    for ax, (title, value) in zip(axes.flat, panels, strict=True):
        for i, latents in enumerate(results.sizes):
            color, marker = OF_SIZES[i % len(OF_SIZES)], MARKERS[i % len(MARKERS)]
            values, shifted = results.row(latents, value), places + 0.06 * (i - 1)
            # The deterministic network stands apart: its value is not one of a curve in beta.
            for part, line in ((slice(first, None), "-"), (slice(0, first), "")):
                ax.plot(
                    shifted[part], values[part], color=color, marker=marker, markersize=5,
                    linewidth=1.5, linestyle=line,
                )  # fmt: skip
        ax.set_title(title)
        ax.set_xticks(places, [name_of(beta) for beta in columns])
        if "dimensions with" in title:
            ax.set_yscale("symlog", linthresh=4)
            ax.set_yticks(_COUNTS, [str(count) for count in _COUNTS])
            ax.set_ylim(-0.3, 190)
        elif "rank" in title:
            ax.set_ylim(0, 1.03)
        else:
            ax.set_ylim(bottom=0)
        ax.grid(axis="y", color="#e3e7eb", linewidth=0.7)
        ax.set_axisbelow(True)
    for ax in axes[-1]:
        ax.set_xlabel("beta (AE: deterministic)")
    _legend_of_sizes(figure, results, marked=True)
    return figure


def robustness(results: Results) -> Figure:
    """Draw what the chosen setting finds on the archive as it is and on balanced ones."""
    entries = results.repeated()
    names = [
        entry.run.balance.replace("-", " ")
        or "as it is" + (f", seed {entry.run.seed}" if entry.run.seed else "")
        for entry in entries
    ]
    panels: list[tuple[str, Value]] = [
        ("informative dimensions", lambda f: len(f.informative)),
        ("MI of the best dimension with RV (nats)", lambda f: f.best("radvel")[1]),
        ("MI of the best dimension with Teff (nats)", lambda f: f.best("Teff")[1]),
    ]
    figure, axes = plt.subplots(
        1, 3, figsize=(10.5, 0.38 * len(entries) + 1.1), sharey=True, layout="constrained"
    )
    colors = [STRONG if not entry.run.balance else LIMIT for entry in entries]
    for ax, (title, value) in zip(axes, panels, strict=True):
        values = [value(entry.figures) for entry in entries]
        ax.barh(range(len(entries)), values, color=colors, height=0.62)
        for place, number in enumerate(values):
            text = f"{number:.2f}" if isinstance(number, float) else str(number)
            ax.annotate(
                text, (number, place), xytext=(3, 0), textcoords="offset points", va="center",
                fontsize=8,
            )  # fmt: skip
        ax.set_xlim(0, 1.18 * max([*values, 0.1]))
        ax.set_title(title)
    axes[0].set_yticks(range(len(entries)), names)
    axes[0].invert_yaxis()
    return figure


BEGIN = "<!-- sweep: begin; drawn by docs/figures/reproduction.py, edits in here are lost -->"
END = "<!-- sweep: end -->"

_LARGEST = 200_000
_RESOLUTIONS = (150, 120, 100, 80, 60)
_COLORS = 256
_PUBLISHED_LAMBDA, _PUBLISHED_LATENTS = 0.3, 128


@dataclass(frozen=True)
class Stars:
    """What pictures show of the stars that all runs were measured on.

    Parameters
    ----------
    folder : Path
        Of the sweep.
    labels : DataFrame
    row : ndarray of float64, shape (row_size,)
        The spectrum of the example.
    prepare : PrepareConfig
    """

    folder: Path
    labels: pd.DataFrame
    row: Floats
    prepare: PrepareConfig

    @classmethod
    def read(cls, folder: Path, results: Results) -> Stars:
        """Read them from a sweep's folder."""
        return cls(
            folder,
            pd.read_csv(folder / STARS),
            np.load(folder / EXAMPLE).astype(np.float64),
            PrepareConfig.from_dict(dict(results.config.base["prepare"])),
        )

    def latents(self, entry: Measured) -> dict[str, Floats]:
        """Latents of all stars, `mean`, and the reconstructed row of the `example`."""
        return read_latents(self.folder, entry.run)


def main(words: Sequence[str] | None = None) -> None:
    """Write the page's part between the markers, and its pictures beside it, under `images/`.

    What stands outside the markers is kept; a page that is not there is made.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("sweep", type=Path, help="folder of `python -m train sweep`")
    parser.add_argument("page", type=Path, help="Markdown page, such as docs/reproduction.md")
    given = parser.parse_args(words)
    try:
        found = draw(given.sweep, given.page)
    except LatentscopeError as error:
        sys.exit(f"reproduction: {error}")
    agree = sum(bool(finding.agrees) for finding in found)
    print(f"{given.page}: {agree} of {len(found)} statements of the paper hold")


def draw(folder: Path, page: Path) -> list[Finding]:
    """Draw the page of a sweep; return what agrees with the paper, as the page tells it."""
    before, after = _around(page)
    results = read_results(folder)
    stars = Stars.read(folder, results)
    found = findings(results)
    with plt.rc_context(STYLE):
        drawn = {
            "summary": summary(results),
            "reconstruction": reconstruction(results, stars),
            "mad": stems(results),
            "pairs": pairs(results, stars),
        }
        if results.chosen is not None:
            drawn["mi"] = _information(stars, results.chosen)
            drawn["robustness"] = robustness(results)
        for name, figure in drawn.items():
            save(figure, _picture(page, name))
    # Names without this machine's folders, so that the commands can be repeated elsewhere.
    places = f"runs/{folder.name} {page.parent.name}/{page.name}"
    script = f"python docs/figures/reproduction.py {places}"
    text = "\n\n".join(_sections(results, stars, found, page, f"{results.command}\n{script}"))
    with atomic_path(page) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")
    return found


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG of few colors, below 200 kB, and close it."""
    for resolution in _RESOLUTIONS:
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=resolution)
        picture = Image.open(buffer).convert("RGB")
        small = picture.quantize(_COLORS, dither=Image.Dither.NONE)
        with atomic_path(path) as temporary:
            small.save(temporary, optimize=True)
        if path.stat().st_size < _LARGEST:
            break
    plt.close(figure)


def _around(page: Path) -> tuple[str, str]:
    """What stands before and after the markers."""
    if not page.exists():
        return "# The paper, redrawn\n\n", "\n"
    text = page.read_text("utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise LatentscopeError(
            f"{page}: has no markers to write between; put these two lines where the sweep goes: "
            f"{BEGIN} and {END}"
        )
    return head, tail


def _picture(page: Path, name: str) -> Path:
    return page.parent / "images" / f"{page.stem}-{name}.png"


def _information(stars: Stars, chosen: Measured) -> Figure:
    dims = shown_dims(chosen.figures) or [0]
    labels = stars.labels[list(LABELS)]
    mean = stars.latents(chosen)["mean"]
    ax = plot_mi(mi_matrix(mean, labels, dims=dims, columns=list(LABELS)))
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def _sections(
    results: Results, stars: Stars, found: Sequence[Finding], page: Path, command: str
) -> list[str]:
    config = results.config
    point = f"{config.chosen.latents} latents, beta = {config.chosen.beta:g}"
    parts = ["## How it was made", f"```\n{command}\n```", _made(results), _missing(results)]
    parts += ["## How beta compares with the paper's lambda", _prices(results)]
    head = ["the paper found", "here", "counts as agreement if", "numbers"]
    answers = [[f.statement, _ANSWERS[f.agrees], f.rule, f.numbers] for f in found]
    parts += ["## What agrees with the paper", _counted(found), markdown(head, answers)]
    parts += [
        "## Latent size and beta",
        _image(page, "summary", "Reconstruction, dimensions and labels against beta"),
        grid_table(results),
        "*Line variance*: share of the variance of the line contrast around the mean spectrum. "
        "*Flux rms*: residual over the median flux. *Largest MI of two*: between informative "
        "dimensions (KL > 0.1 nats; of a deterministic network MAD > 0.02), in nats. *RV, Teff*: "
        "mutual information of the best informative dimension in nats, and the largest rank "
        "correlation. "
        "*Minutes*: of training, on one thread. A deterministic network has no KL, and its latents "
        "no fixed scale, so that 0.02 means nothing there; the same holds for beta = 0.",
        "## Reconstruction (figure 3)",
        _image(page, "reconstruction", "One spectrum and its reconstructions"),
        _example(results, stars),
        "## Which dimensions are informative (figure 4)",
        _image(page, "mad", "Median absolute deviation of each dimension"),
        "Blue: informative by KL > 0.1 nats, or of a deterministic network by MAD > 0.02 (dashed). "
        "Above each panel: how many dimensions exceed either.",
        _restless(results),
        "## Too small a beta (figure 5)",
        _image(page, "pairs", "Pairs of dimensions, colored by spectral class"),
        f"{config.chosen.latents} latents; of each network the pairs of informative dimensions "
        "that share most. Structure means that the dimensions are not independent.",
    ]
    if results.chosen is not None:
        parts += [
            f"## What the dimensions know: {point}",
            information_table(results.chosen.figures),
            "Nats of mutual information, and in brackets the share of the row's largest value; "
            "*other dims*: the largest of all dimensions that are not informative.",
            _unmatched_in_words(results.chosen),
            _image(page, "mi", "Mutual information of informative dimensions with labels"),
            f"## Balanced archives: {point}",
            _image(page, "robustness", "The chosen setting on balanced archives"),
            robustness_table(results),
            "Every network is measured on the same test stars, of all kinds; and on the FGK stars "
            "among them alone, of which every archive holds some.",
        ]
    return [part for part in parts if part]


def _image(page: Path, name: str, words: str) -> str:
    return f"![{words}](images/{_picture(page, name).name})"


def _made(results: Results) -> str:
    config, archive = results.config, results.archive
    entries = list(results.runs.values())
    training = entries[0].training if entries else {}
    minutes = sum(entry.training.get("minutes") or 0.0 for entry in entries)
    lines = [
        f"- Archive: {archive['spectra']:,} spectra of {archive['stars']:,} stars, simulated "
        f"(seed {config.archive.seed}, line list {archive['linelist']}); "
        f"{archive['repeated']:.0%} of the stars have several exposures, at most "
        f"{archive['max_exposures']}. The published archive holds 272,376 spectra of about 7,000 "
        "stars, 39 of each on average. Stars of all kinds come in unequal numbers, see "
        "[the simulated archive](simulation.md).",
        f"- Training: {training.get('split', '')}; {training.get('steps', 0):,} steps of "
        f"{training.get('batch_size', 0)} spectra each.",
        f"- Test: {config.test.stars:,} new stars (seed {config.test.seed}), one spectrum each.",
        f"- Runs: {len(entries)} finished, one seed each where not said otherwise; {minutes:.0f} "
        "minutes in all, one thread a run.",
        "- Mutual information: [as `latentscope mi` measures it](mutual-information.md), by "
        "nearest neighbors, in nats.",
        f"- latentscope {results.latentscope}; SHA-256 of the simulator begins with "
        f"`{archive['simulator_sha256'][:12]}`, of the archive's table with "
        f"`{str(training.get('archive_sha256'))[:12]}`, of the test stars' with "
        f"`{results.test['sha256'][:12]}`.",
        "- No network saw a label; balanced archives use them to draw their spectra.",
    ]
    return "\n".join(lines)


def _missing(results: Results) -> str:
    if not results.missing:
        return ""
    lines = [f"- `{name}`: {why}" for name, why in results.missing.items()]
    return "Runs that are missing on this page:\n\n" + "\n".join(lines)


def _prices(results: Results) -> str:
    squares, deviation = results.test["half_squares"], results.test["deviation"]
    there = _PUBLISHED_LAMBDA / _PUBLISHED_LATENTS
    same = there / deviation * squares
    return (
        "The loss here is half the sum of squared residuals of a spectrum's line contrast, plus "
        "beta times the KL summed over dimensions, in nats (the blur and the weight of the "
        "continuum apart). The training code that was published with the follow-up study takes the "
        "mean absolute residual a pixel, plus lambda times the KL averaged over the d dimensions. "
        "So a nat costs beta here, and lambda / d there: the fewer dimensions, the dearer.\n\n"
        "To compare the two, divide the price of a nat by what the mean spectrum leaves "
        f"unexplained. On the test stars that is {squares:.0f} in this loss, so beta = 1 asks "
        f"{100 / squares:.2f} % of it for a nat. The mean absolute residual of their flux is "
        f"{deviation:.3f} of the median, so lambda = {_PUBLISHED_LAMBDA:g} with "
        f"{_PUBLISHED_LATENTS} dimensions asks {100 * there / deviation:.2f} %: as much as "
        f"beta = {same:.2g} here. This is a guide, not an identity: the preparation of the "
        "spectra, the noise and the pixels differ too."
    )


def _counted(found: Sequence[Finding]) -> str:
    yes, no, unknown = (sum(f.agrees is x for f in found) for x in (True, False, None))
    more = f"; {unknown} wait for runs" if unknown else ""
    return (
        f"Of {len(found)} statements {yes} hold here and {no} do not{more}. Each is tested by the "
        "rule in the third column, on the numbers in the fourth."
    )


def _example(results: Results, stars: Stars) -> str:
    star = stars.labels.iloc[results.test["example"]]
    return (
        f"A test star of class {star['spec_type']}: Teff {star['Teff']:.0f} K, log g "
        f"{star['logg']:.2f}, [M/H] {star['[M/H]']:+.2f}, radial velocity {star['radvel']:+.1f} "
        f"km/s, SNR {star['snr']:.0f} a pixel of 0.01 Angstrom. Each point of the left column is "
        "the mean of 16 pixels."
    )


def _restless(results: Results) -> str:
    """What the dimensions are that deviate and are not informative."""
    entry = results.chosen
    if entry is None:
        return ""
    f = entry.figures
    dims = [dim for dim in f.deviating if dim not in f.informative]
    if not dims:
        return "In the chosen setting both measures name the same dimensions."
    largest = max(f.mi[label][dim] for label in LABELS for dim in dims)
    return (
        f"In the chosen setting {len(dims)} dimensions have a MAD above 0.02 and a KL below 0.1 "
        f"nats. Their median MAD is {np.median([f.mad[dim] for dim in dims]):.3f}, that of the "
        f"informative ones {np.median([f.mad[dim] for dim in f.informative] or [0.0]):.2f}; their "
        f"mean KL is {np.mean([f.kl[dim] for dim in dims]):.3f} nats. A threshold of 0.02 wants a "
        "network that was trained until the means of its closed dimensions came to rest; so this "
        f"page counts by KL. Such a mean, small as it is, shares up to {largest:.2f} nats with a "
        "label: mutual information does not see the scale, nor that a draw of z forgets it. So "
        f"labels are compared with informative dimensions alone. {_estimated(f)}"
    )


def _estimated(f: Figures) -> str:
    """What threshold the deviations themselves suggest, and whether it names the same."""
    threshold = find_gap(np.array(f.mad)).threshold
    if threshold is None:
        return "The deviations show no gap from which `latentscope mad` could take a threshold."
    above = [dim for dim, value in enumerate(f.mad) if value > threshold]
    same = above == f.informative
    verdict = "those that KL names" if same else f"{len(above)}, not those that KL names"
    return (
        f"The gap between the deviations, from which [`latentscope mad`](mad.md) estimates a "
        f"threshold, lies at {threshold:.2f}; above it are {verdict}."
    )


def _unmatched_in_words(entry: Measured) -> str:
    dims = unmatched(entry.figures)
    if not dims:
        return f"Every informative dimension shares {UNMATCHED:g} nats or more with some label."
    listed = ", ".join(map(str, dims))
    return f"Informative, but below {UNMATCHED:g} nats with every label: {listed}."


if __name__ == "__main__":
    main()
