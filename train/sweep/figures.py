"""The paper's pictures of training, drawn from the runs of a sweep.

Each function takes the results and returns a matplotlib figure; colours are those of Okabe & Ito,
which people who do not tell red from green tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from latentscope.diagnostics.study import THRESHOLD
from latentscope.spectra.prepare import restore
from train.sweep.measure import Floats, Measured, Results, Value

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


def reconstruction(results: Results) -> Figure:
    """Draw one spectrum and its reconstructions: a row for each beta, a line for each size.

    After figure 3 of Sedaghat et al. 2021; the columns are the whole spectrum and two zooms.
    """
    stars, columns = results.stars, results.columns
    grid = stars.prepare.grid
    truth = restore(stars.rows[stars.example].astype(np.float64), stars.prepare)
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
                    flux = restore(entry.arrays["example"], stars.prepare)
                    colour = OF_SIZES[number % len(OF_SIZES)]
                    _spectrum(ax, grid.wavelength, flux, view, step, color=colour, linewidth=0.9)
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
    for which, colour in ((~informative, QUIET), (informative, STRONG)):
        width = 0.4 if crowded and colour == QUIET else 1.2
        ax.vlines(dims[which], _FLOOR, values[which], color=colour, linewidth=width)
        ax.plot(dims[which], values[which], "o", color=colour, markersize=2 if crowded else 4)
    said = f"MAD: {len(figures.deviating)}"
    said += f", KL: {len(figures.informative)}" if figures.kl else ""
    ax.text(0.0, 1.01, said, transform=ax.transAxes, fontsize=8, va="bottom", color=STRONG)


def pairs(results: Results) -> Figure:
    """Draw pairs of dimensions, coloured by spectral class: too small a beta, the chosen one.

    After figure 5 of Sedaghat et al. 2021. Of each network the pairs of informative dimensions
    that share most.
    """
    config = results.config
    rows = [config.too_small, config.chosen.beta]
    figure, axes = plt.subplots(2, _PAIRS, figsize=(10.5, 6.9), squeeze=False, layout="constrained")
    letters = results.stars.labels["spec_type"].astype(str).str[0].to_numpy()
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
            _pair(ax, entry.arrays["mean"], int(x), int(y), letters)
            ax.set_title(f"beta = {beta:g}: they share {nats:.2f} nats")
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=letter)
        for letter, colour in OF_CLASSES.items()
        if (letters == letter).any()
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), title="spectral class"
    )
    return figure


def _pair(ax: Axes, mean: Floats, x: int, y: int, letters: NDArray[Any]) -> None:
    known = np.isin(letters, list(OF_CLASSES))
    colours = np.array([OF_CLASSES.get(letter, QUIET) for letter in letters])
    order = np.random.default_rng(0).permutation(np.flatnonzero(known))
    ax.scatter(
        mean[order, x], mean[order, y], c=colours[order], s=5, alpha=0.7, linewidths=0,
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
    for ax, (title, value) in zip(axes.flat, panels, strict=True):
        for i, latents in enumerate(results.sizes):
            _curve(ax, places, results.row(latents, value), i, columns)
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


def _curve(
    ax: Axes, places: NDArray[Any], values: Sequence[float], number: int, columns: Sequence[Any]
) -> None:
    """Draw one size's values; the deterministic network's is not joined to the others."""
    style: dict[str, Any] = {
        "color": OF_SIZES[number % len(OF_SIZES)], "marker": MARKERS[number % len(MARKERS)],
        "markersize": 5,
    }  # fmt: skip
    shift = 0.06 * (number - 1)
    first = 1 if columns[0] is None else 0
    ax.plot(places[first:] + shift, values[first:], linewidth=1.5, **style)
    ax.plot(places[:first] + shift, values[:first], linestyle="", **style)


def robustness(results: Results) -> Figure:
    """Draw what the chosen setting finds on the archive as it is and on balanced ones."""
    entries = results.repeated()
    names = [_archive_name(entry) for entry in entries]
    panels: list[tuple[str, Value]] = [
        ("informative dimensions", lambda f: len(f.informative)),
        ("MI of the best dimension with RV (nats)", lambda f: f.best("radvel")[1]),
        ("MI of the best dimension with Teff (nats)", lambda f: f.best("Teff")[1]),
    ]
    figure, axes = plt.subplots(
        1, 3, figsize=(10.5, 0.38 * len(entries) + 1.1), sharey=True, layout="constrained"
    )
    colours = [STRONG if not entry.run.balance else LIMIT for entry in entries]
    for ax, (title, value) in zip(axes, panels, strict=True):
        values = [value(entry.figures) for entry in entries]
        ax.barh(range(len(entries)), values, color=colours, height=0.62)
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


def _archive_name(entry: Measured) -> str:
    if entry.run.balance:
        return entry.run.balance.replace("-", " ")
    return "as it is" + (f", seed {entry.run.seed}" if entry.run.seed else "")
