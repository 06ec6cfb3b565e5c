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
from latentscope.diagnostics.threshold import THRESHOLD
from latentscope.errors import LatentscopeError
from latentscope.files import atomic_path
from latentscope.plots.information import plot_mi
from latentscope.plots.style import CLASSES, INK, OVERLAY, QUIET, RULE, SPECTRAL, STRONG, STYLE
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

KNOWN = 0.5
"""Nats: a dimension with less about a label does not stand for it."""

AHEAD = 1.5
"""Least ratio of a label's information in its own dimension and in the next one. In the published
latents it is 1.9 for temperature (1.33 and 0.69 nats; data/harps_mi_reference.csv of
dpiras/GMM-MI)."""

INDEPENDENT = 0.3
"""Nats: two dimensions that share less count as disentangled."""

LOST = 0.05
"""Loss of rank correlation from which on detail counts as lost."""

SHIFT = 0.2
"""A mutual information that changes by more than this share, and more than by chance, changed."""

# Statements.


@dataclass(frozen=True)
class Finding:
    """A statement of the paper, held against the sweep."""

    statement: str
    agrees: bool | None  # None: the runs that would tell are not there
    rule: str  # when it counts as agreement
    numbers: str = ""  # from the runs, where no table of the page has them


def findings(results: Results) -> list[Finding]:
    """Hold each statement against the runs; the same runs give the same findings."""
    betas, chosen = sorted(results.config.grid.beta), results.config.chosen.beta
    small = results.config.too_small
    chance = _spread([f.line_variance for f in results.seeds.values()])
    columns = [None, *betas]

    def along(
        statement: str, rule: str, value: Value, over: Sequence[float | None],
        holds: Callable[[Floats], bool],
    ) -> Finding:  # fmt: skip
        rows = [np.array(results.row(latents, value, over)) for latents in results.sizes]
        whole = [row for row in rows if not np.isnan(row).any()]
        return Finding(statement, all(map(holds, whole)) if whole else None, rule)

    def in_most_seeds(
        statement: str, rule: str, judged: Callable[[Figures], tuple[bool, str]]
    ) -> Finding:
        told = [judged(figures) for figures in results.seeds.values()]
        agrees = 2 * sum(holds for holds, _ in told) > len(told) if told else None
        return Finding(statement, agrees, rule, "; ".join(words for _, words in told if words))

    def variance(figures: Figures) -> float:
        return figures.line_variance

    counts = {"MAD > 0.02": Figures.deviating.fget, "KL > 0.1 nats": Figures.informative.fget}
    by_size = np.array([results.row(n, variance, columns) for n in results.sizes])
    gained = (by_size[-1] - by_size[0])[~np.isnan(by_size).any(0)]
    found = [
        along(
            "A deterministic network reconstructs best.",
            f"no lambda explains {chance:.3f} (the scatter of seeds) more of the line variance",
            variance, columns, lambda row: row[0] + chance >= max(row[1:]),
        ),
        along(
            "The larger lambda, the worse the reconstruction.",
            "it falls, and never rises by more than that",
            variance, betas, lambda row: row[0] > row[-1] and max(np.diff(row)) <= chance,
        ),
        Finding(
            "The more latents, the better the reconstruction.",
            bool(gained.max() > chance and gained.min() >= -chance) if len(gained) else None,
            "the larger network gains somewhere, and loses nowhere by more",
        ),
    ]  # fmt: skip
    for words, dims in counts.items():
        found += [
            along(
                f"Fewer dimensions are informative the larger lambda (here: {words}).",
                "it never rises, and ends lower",
                lambda f, dims=dims: len(dims(f)), betas,
                lambda row: row[0] > row[-1] and max(np.diff(row)) <= 0,
            ),
            in_most_seeds(
                f"Six dimensions of 128 are informative (here: {words}).",
                "4 to 8 dimensions",
                lambda f, dims=dims: (4 <= len(dims(f)) <= 8, ""),
            ),
        ]  # fmt: skip
    sizes = [results.row(n, lambda f: len(f.informative), [chosen])[0] for n in results.sizes]
    return [
        *found,
        Finding(
            "The 8-d network agrees on that number.",
            None if np.isnan(sizes).any() else max(sizes) - min(sizes) <= 1,
            "the numbers by KL differ by one at most",
        ),
        in_most_seeds(
            "(Not in the paper:) MAD and KL name the same dimensions.",
            "both sets are equal",
            lambda f: (f.deviating == f.informative, ""),
        ),
        along(
            "Too small a lambda leaks information among dimensions.",
            "the largest MI of two is larger at the small lambda",
            lambda f: f.largest_pair, [small, chosen], lambda row: row[0] > row[1],
        ),
        in_most_seeds(
            "At the chosen lambda the dimensions are disentangled.",
            f"the largest MI of two is below {INDEPENDENT:g} nats",
            lambda f: (f.largest_pair < INDEPENDENT, ""),
        ),
        *(
            in_most_seeds(
                f"One dimension is {words} nats).",
                f"above {KNOWN:g} nats, and {AHEAD:g} times the next dimension",
                lambda f, label=label: _stands_for(f, label),
            )
            for label, words in (
                ("radvel", "radial velocity (1.51"), ("Teff", "effective temperature (1.33")
            )
        ),
        in_most_seeds(
            "Velocity and temperature have dimensions of their own.",
            "the best dimensions differ",
            lambda f: (
                f.best("radvel")[0] != f.best("Teff")[0],
                f"{f.best('radvel')[0]} and {f.best('Teff')[0]}",
            ),
        ),
        in_most_seeds(
            "About four more dimensions are informative and match no label.",
            f"2 to 6 share less than {KNOWN:g} nats with every label",
            lambda f: (2 <= len(unmatched(f)) <= 6, str(len(unmatched(f)))),
        ),
        along(
            "Too large a lambda loses detail.",
            f"the rank correlations with RV and Teff, added, fall by {LOST:g}",
            lambda f: f.best_rank("radvel") + f.best_rank("Teff"), [chosen, betas[-1]],
            lambda row: row[0] - row[1] > LOST,
        ),
        *_balancing(results),
    ]  # fmt: skip


def unmatched(figures: Figures) -> list[int]:
    """Informative dimensions that stand for no label.

    By this rule three of the published ones do: 11, 58 and 99; 19 shares 0.72 nats with mass.
    """
    return [
        dim
        for dim in figures.informative
        if max(figures.mi[label][dim] for label in LABELS) < KNOWN
    ]


def _stands_for(figures: Figures, label: str) -> tuple[bool, str]:
    dim, nats = figures.best(label)
    second = max((figures.mi[label][d] for d in figures.telling if d != dim), default=0.0)
    return nats > KNOWN and nats > AHEAD * second, f"{nats:.2f}, next {second:.2f}"


@dataclass(frozen=True)
class Change:
    """What a balanced archive changes against the mean of the seeds on the unbalanced archive.

    Mutual information is that of the best dimension, on FGK stars, which every archive holds.
    """

    entry: Measured
    dimensions: float  # informative ones more than before
    velocity: float  # ratio of the mutual informations, as of temperature
    temperature: float
    is_large: bool  # by more than one dimension, or `SHIFT`, and than any seed

    @property
    def leaves_out(self) -> bool:
        """Whether the archive has one bin of a label alone, so that the other stars are not in."""
        bins = self.entry.run.archive.get("bins")
        return bins == 1 or (isinstance(bins, Sequence) and len(bins) == 2)


def changes_of(results: Results) -> list[Change]:
    """Return the changes by all finished balanced archives; none without the chosen run."""
    if not results.seeds:
        return []

    def figures_of(figures: Figures) -> NDArray[np.float64]:
        known = [figures.best(label, fgk=True)[1] for label in ("radvel", "Teff")]
        return np.array([len(figures.informative), *known])

    seeds = np.array([figures_of(figures) for figures in results.seeds.values()])
    before = np.maximum(seeds.mean(0), 1e-9)

    def change(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([values[0] - before[0], *(values[1:] / before[1:])])

    def size(changed: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array(np.abs([changed[0], *(changed[1:] - 1)]))

    allowed = np.max([size(change(seed)) for seed in seeds], axis=0)
    allowed = np.maximum(allowed, [1, SHIFT, SHIFT])
    return [
        Change(entry, *changed, bool((size(changed) > allowed).any()))
        for entry in results.repeated()
        if entry.run.balance
        for changed in [change(figures_of(entry.figures))]
    ]


def _balancing(results: Results) -> list[Finding]:
    told = []
    for statement, leaves_out, rule in (
        (
            "The result is robust to balancing.", False,
            "dimensions change by one at most, MI with RV and Teff (FGK stars) by "
            f"{SHIFT:.0%}, or by no more than a seed does",
        ),
        (
            "It is sensitive to which stars the sample holds.", True,
            "an archive that leaves stars out changes one of these by more",
        ),
    ):  # fmt: skip
        changes = [c for c in changes_of(results) if c.leaves_out == leaves_out]
        large = any(c.is_large for c in changes)
        agrees = large if leaves_out else not large
        words = [
            f"{c.entry.run.balance} {c.dimensions:+.1f}, RV x {c.velocity:.2f}, "
            f"Teff x {c.temperature:.2f}"
            for c in changes
        ]
        told.append(Finding(statement, agrees if changes else None, rule, "; ".join(words)))
    return told


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values) if values else 0.0


# Tables.


def name_of(beta: float | None) -> str:
    """Name of a column of the grid: "AE", or the number."""
    return "AE" if beta is None else f"{beta:g}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; vertical bars in cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


_HEAD = [
    "line variance", "MAD > 0.02", "KL > 0.1", "largest MI of two", "RV: MI, rank",
    "Teff: MI, rank",
]  # fmt: skip


def grid_table(results: Results) -> str:
    """Figures of every point of the grid."""
    rows = [
        [str(latents), name_of(beta), *_cells(results.at(latents, beta))]
        for latents in results.sizes
        for beta in results.columns
    ]
    return markdown(["latents", "lambda", *_HEAD], rows)


def robustness_table(results: Results) -> str:
    """Figures of the chosen setting with every seed and on every archive."""
    rows = [
        [
            entry.run.balance.replace("-", " ") or f"unbalanced, seed {entry.run.seed}",
            f"{entry.training.get('spectra_an_epoch', 0):,}",
            *_cells(entry),
        ]
        for entry in results.repeated()
    ]
    return markdown(["archive", "spectra an epoch", *_HEAD], rows)


def _cells(entry: Measured | None) -> list[str]:
    if entry is None:
        return ["-"] * len(_HEAD)
    f = entry.figures
    return [
        f"{f.line_variance:.3f}",
        str(len(f.deviating)),
        str(len(f.informative)) if f.kl else "-",
        f"{f.largest_pair:.2f}",
        *(f"{f.best(label)[1]:.2f}, {f.best_rank(label):.2f}" for label in ("radvel", "Teff")),
    ]


# Pictures, 7.5 inches wide: their letters are as large on the page as those around them.

_WIDE = 7.5
MARKERS = "osD^v"

ZOOM = 5160.0, 5190.0
"""Angstrom: the magnesium triplet."""

_POINTS = 250
"""Of a whole spectrum, each the mean of some pixels."""

_FLOOR = 1e-4
_PAIRS = 3


def reconstruction(results: Results, stars: Stars) -> Figure:
    """Draw a spectrum, and below what is left of it, a row for each beta, a line for each size.

    After figure 3 of Sedaghat et al. 2021; the columns are the whole spectrum and a zoom.
    """
    wavelength = stars.prepare.grid.wavelength
    truth = restore(stars.row, stars.prepare)
    columns = results.columns
    figure, axes = plt.subplots(
        len(columns) + 1, 2, figsize=(_WIDE, 0.85 * len(columns) + 2.6), sharex="col",
        sharey="row", squeeze=False, layout="constrained", width_ratios=[1.7, 1.0],
        height_ratios=[2.2, *[1.0] * len(columns)],
    )  # fmt: skip
    for ax, (low, high) in zip(axes.T, [(wavelength[0], wavelength[-1]), ZOOM], strict=True):
        inside = np.flatnonzero((wavelength >= low) & (wavelength <= high))
        step = max(1, len(inside) // _POINTS)
        inside = inside[: len(inside) // step * step]

        def line(ax: Axes, values: Floats, inside: Any = inside, step: int = step, **how: Any):
            x, y = (part[inside].reshape(-1, step).mean(1) for part in (wavelength, values))
            ax.plot(x, y, drawstyle="default" if step > 1 else "steps-mid", **how)

        line(ax[0], truth, color=INK, linewidth=1)
        for row, beta in zip(ax[1:], columns, strict=True):
            row.axhline(0, color=QUIET, linewidth=0.7)
            for color, latents in zip(CLASSES, results.sizes, strict=False):
                entry = results.at(latents, beta)
                if entry is not None:
                    rest = truth - restore(stars.latents(entry)["example"], stars.prepare)
                    line(row, rest, color=color, linewidth=0.9)
        ax[-1].set(xlim=(low, high), xlabel="wavelength (Å, air)")
        ax[-1].xaxis.set_major_locator(MaxNLocator(4))
    axes[0, 0].set_ylabel("flux / median")
    for ax, beta in zip(axes[1:, 0], columns, strict=True):
        ax.set_ylim(-0.4, 0.4)
        ax.set_ylabel("AE" if beta is None else f"lambda {beta:g}")
    axes[1, 0].set_title("original minus reconstruction")
    _legend_of_sizes(figure, results)
    return figure


def _legend_of_sizes(figure: Figure, results: Results, marked: bool = False) -> None:
    handles = [
        Line2D([], [], color=color, label=f"{latents} latents", marker=marker if marked else "")
        for latents, color, marker in zip(results.sizes, CLASSES, MARKERS, strict=False)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))


def stems(results: Results) -> Figure:
    """Draw the deviation of each dimension against beta (columns) and latent size (rows).

    After figure 4 of Sedaghat et al. 2021.
    """
    sizes, columns = results.sizes, results.columns
    figure, axes = plt.subplots(
        len(sizes), len(columns), figsize=(_WIDE, 1.9 * len(sizes) + 0.4), sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for row, latents in zip(axes, sizes, strict=True):
        for ax, beta in zip(row, columns, strict=True):
            _stems(ax, results.at(latents, beta), latents)
            if ax in axes[0]:
                ax.set_title("AE" if beta is None else f"lambda {beta:g}", pad=16)
        row[0].set_ylabel(f"MAD, {latents} latents")
    figure.supxlabel("dimension", fontsize=9)
    return figure


def _stems(ax: Axes, entry: Measured | None, latents: int) -> None:
    ax.set(yscale="log", ylim=(_FLOOR, 30), xlim=(-0.04 * latents - 0.5, 1.04 * latents - 0.5))
    ax.set_yticks([1e-4, 1e-2, 1], ["0.0001", "0.01", "1"])
    ax.axhline(THRESHOLD, color=OVERLAY, linewidth=1, linestyle="--", zorder=3)
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    f = None if entry is None else entry.figures
    if f is not None:
        values = np.maximum(f.mad, _FLOOR)
        dims = np.arange(latents)
        informative = np.isin(dims, f.informative)
        for which, color in ((~informative, QUIET), (informative, STRONG)):
            ax.vlines(dims[which], _FLOOR, values[which], color=color, linewidth=1.0)
            ax.plot(dims[which], values[which], "o", color=color, markersize=2 + 2 * (latents < 64))
    counts = "no run" if f is None else f"MAD {len(f.deviating)}"
    counts += f", KL {len(f.informative)}" if f is not None and f.kl else ""
    ax.text(0.0, 1.02, counts, transform=ax.transAxes, va="bottom", color=STRONG)


def pairs(results: Results, stars: Stars) -> Figure:
    """Draw pairs of dimensions, colored by spectral class: too small a beta, the chosen one.

    After figure 5 of Sedaghat et al. 2021. Of each network the pairs of informative dimensions
    that share most.
    """
    config = results.config
    figure, axes = plt.subplots(2, _PAIRS, figsize=(_WIDE, 5.4), layout="constrained")
    letters = stars.labels["spec_type"].astype(str).str[0].to_numpy()
    for row, beta in zip(axes, [config.too_small, config.chosen.beta], strict=True):
        entry = results.at(config.chosen.latents, beta)
        found = [] if entry is None else entry.figures.pairs[:_PAIRS]
        for ax in row[len(found) :]:
            ax.set_axis_off()
        if not found:
            why = "no run" if entry is None else "fewer than two informative dimensions"
            row[0].text(0.0, 0.5, f"lambda {beta:g}: {why}", transform=row[0].transAxes)
        for ax, (x, y, nats) in zip(row, found, strict=False):
            assert entry is not None
            _pair(ax, stars.latents(entry)["mean"], int(x), int(y), letters)
            ax.set_title(f"lambda {beta:g}: {nats:.2f} nats")
    handles = [
        Line2D([], [], color=color, marker="o", linestyle="", label=letter)
        for letter, color in SPECTRAL.items()
        if (letters == letter).any()
    ]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=len(handles),
        title=f"spectral class, n = {len(letters):,}",
    )
    return figure


def _pair(ax: Axes, mean: Floats, x: int, y: int, letters: NDArray[Any]) -> None:
    colors = np.array([SPECTRAL.get(letter, QUIET) for letter in letters])
    order = np.random.default_rng(0).permutation(np.flatnonzero(colors != QUIET))
    ax.scatter(mean[order, x], mean[order, y], c=colors[order], s=4, linewidths=0, rasterized=True)
    for set_limits, values in ((ax.set_xlim, mean[:, x]), (ax.set_ylim, mean[:, y])):
        low, high = np.quantile(values, [0.003, 0.997])
        set_limits(low - 0.06 * (high - low), high + 0.06 * (high - low))
    ax.set(xlabel=f"dim {x}", ylabel=f"dim {y}")


def summary(results: Results) -> Figure:
    """Draw what beta and latent size do: error, dimensions, what they share, RV and Teff."""
    columns = results.columns
    panels: list[tuple[str, Value]] = [
        ("line variance", lambda f: f.line_variance),
        ("dimensions, MAD > 0.02", lambda f: len(f.deviating)),
        ("dimensions, KL > 0.1 nats", lambda f: len(f.informative) if f.kl else math.nan),
        ("largest MI of two (nats)", lambda f: f.largest_pair),
        ("rank correlation, RV", lambda f: f.best_rank("radvel")),
        ("rank correlation, Teff", lambda f: f.best_rank("Teff")),
    ]
    figure, axes = plt.subplots(2, 3, figsize=(_WIDE, 4.6), sharex=True, layout="constrained")
    places = np.arange(len(columns))
    first = 1 if columns[0] is None else 0
    for ax, (title, value) in zip(axes.flat, panels, strict=True):
        for latents, color, marker in zip(results.sizes, CLASSES, MARKERS, strict=False):
            values = results.row(latents, value)
            # The deterministic network stands apart: its value is not one of a curve in beta.
            for part, line in ((slice(first, None), "-"), (slice(0, first), "")):
                ax.plot(places[part], values[part], line, color=color, marker=marker, markersize=5)
        ax.set_title(title)
        ax.set_xticks(places, [name_of(beta) for beta in columns])
        if "dimensions" in title:
            ax.set_yscale("symlog", linthresh=4)
            ax.set_yticks([0, 4, 8, 32, 128], ["0", "4", "8", "32", "128"])
        lowest, highest = ax.get_ylim()
        # Of squares the median spectrum, that of a closed network, explains less than none.
        lowest = min(lowest, 0) if title == "line variance" else 0
        ax.set_ylim(lowest, 1.03 if "rank" in title else 1.06 * highest)
        ax.grid(axis="y", color=RULE, linewidth=0.7)
    figure.supxlabel("lambda (AE: deterministic)", fontsize=9)
    _legend_of_sizes(figure, results, marked=True)
    return figure


def information(results: Results, stars: Stars) -> Figure:
    """Draw what the informative dimensions of the chosen setting share with labels."""
    chosen = results.chosen
    figure = plt.figure(figsize=(_WIDE, 3.6), layout="constrained")
    ax = figure.subplots()
    if chosen is None:
        ax.set_title("no run")
        return figure
    mean = stars.latents(chosen)["mean"]
    labels = stars.labels[list(LABELS)]
    plot_mi(mi_matrix(mean, labels, dims=chosen.figures.telling, columns=list(LABELS)), ax)
    return figure


# The page.

BEGIN = "<!-- sweep: begin; drawn by docs/figures/reproduction.py, edits in here are lost -->"
END = "<!-- sweep: end -->"

_LARGEST = 200_000
_RESOLUTIONS = (150, 120, 100, 80, 60)
_ANSWERS = {True: "yes", False: "**no**", None: "not run"}


@dataclass(frozen=True)
class Stars:
    """What pictures show of the stars that all runs were measured on."""

    folder: Path  # of the sweep
    labels: pd.DataFrame
    row: Floats  # the spectrum of the example, shape (row_size,)
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
    drawn = {
        "summary": summary,
        "reconstruction": lambda results: reconstruction(results, stars),
        "mad": stems,
        "pairs": lambda results: pairs(results, stars),
        "mi": lambda results: information(results, stars),
    }
    with plt.rc_context(STYLE):
        for name, figure in drawn.items():
            save(figure(results), page.parent / "images" / f"{page.stem}-{name}.png")
    text = "\n\n".join(_sections(results, stars, found, page))
    with atomic_path(page) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")
    return found


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG of few colors, below 200 kB, and close it."""
    for resolution in _RESOLUTIONS:
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=resolution)
        picture = Image.open(buffer).convert("RGB").quantize(dither=Image.Dither.NONE)
        with atomic_path(path) as temporary:
            picture.save(temporary, optimize=True)
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


def _sections(results: Results, stars: Stars, found: Sequence[Finding], page: Path) -> list[str]:
    config = results.config
    point = f"{config.chosen.latents} latents, lambda = {config.chosen.beta:g}"
    # Names without this machine's folders, so that the commands can be repeated elsewhere.
    script = f"docs/figures/reproduction.py runs/{stars.folder.name} {page.parent.name}/{page.name}"
    star = stars.labels.iloc[results.test["example"]]

    def image(name: str, words: str) -> str:
        return f"![{words}](images/{page.stem}-{name}.png)"

    answers = [
        [f.statement, _ANSWERS[f.agrees], f"{f.rule}: {f.numbers}" if f.numbers else f.rule]
        for f in found
    ]
    parts = [
        "## How it was made", f"```\n{results.command}\npython {script}\n```", _made(results),
        _missing(results),
        "## What agrees with the paper", _counted(found),
        markdown(["the paper found", "here", "counts as agreement if"], answers),
        "## Latent size and lambda",
        image("summary", "Reconstruction, dimensions and labels against lambda"),
        grid_table(results),
        "*Line variance*: the share of it that is reconstructed; below 0 where only the median "
        "spectrum is drawn. *MI*: nats, of informative dimensions (KL > 0.1; deterministic: of "
        "all). *RV, Teff*: the best dimension's MI, and the largest rank correlation.",
        "## Reconstruction (figure 3)",
        image("reconstruction", "One spectrum, and what its reconstructions leave"),
        f"A test star of class {star['spec_type']}: Teff {star['Teff']:.0f} K, [M/H] "
        f"{star['[M/H]']:+.2f}, radial velocity {star['radvel']:+.1f} km/s.",
        "## Which dimensions are informative (figure 4)",
        image("mad", "Median absolute deviation of each dimension"),
        f"Blue: KL > 0.1 nats. Dashed: MAD 0.02. {_at_rest(results)}",
        "## Too small a lambda (figure 5)",
        image("pairs", "Pairs of dimensions, colored by spectral class"),
        f"{config.chosen.latents} latents; the pairs of informative dimensions that share most. "
        "Structure is dependence.",
    ]  # fmt: skip
    if results.chosen is not None:
        parts += [
            f"## What the dimensions know: {point}",
            image("mi", "Mutual information of informative dimensions with labels"),
            f"## Seeds and balanced archives: {point}",
            robustness_table(results),
        ]
    return [part for part in parts if part]


def _made(results: Results) -> str:
    config, archive = results.config, results.archive
    entries = list(results.runs.values())
    training = entries[0].training if entries else {}
    minutes = sum(entry.training.get("minutes") or 0.0 for entry in entries)
    lines = [
        f"- Archive: {archive['spectra']:,} spectra of {archive['stars']:,} stars, simulated "
        f"(seed {config.archive.seed}, line list {archive['linelist']}); {archive['repeated']:.0%} "
        f"of the stars have several exposures, at most {archive['max_exposures']}.",
        f"- Training: {len(entries)} runs of {training.get('steps', 0):,} steps of "
        f"{training.get('batch_size', 0)} spectra each, {minutes:.0f} minutes of one thread in all."
        " Labels serve only to balance archives.",
        f"- Test: {config.test.stars:,} new stars (seed {config.test.seed}), one spectrum each.",
        f"- latentscope {results.latentscope}; SHA-256 of the simulator "
        f"`{archive['simulator_sha256'][:12]}`, the archive's table "
        f"`{str(training.get('archive_sha256'))[:12]}`, the test stars' "
        f"`{results.test['sha256'][:12]}`.",
    ]
    return "\n".join(lines)


def _missing(results: Results) -> str:
    if not results.missing:
        return ""
    lines = [f"- `{name}`: {why}" for name, why in results.missing.items()]
    return "Runs that are missing on this page:\n\n" + "\n".join(lines)


def _counted(found: Sequence[Finding]) -> str:
    yes, no, unknown = (sum(f.agrees is x for f in found) for x in (True, False, None))
    more = f"; {unknown} wait for runs" if unknown else ""
    return (
        f"Of {len(found)} statements {yes} hold here and {no} do not{more}. A rule has to hold at "
        "every size, or in most seeds of the chosen setting, whose numbers follow it. The last two "
        "statements rest on one run of each archive."
    )


def _at_rest(results: Results) -> str:
    """What the dimensions of the chosen setting are that are not informative."""
    closed = [
        value
        for figures in results.seeds.values()
        for dim, value in enumerate(figures.mad)
        if dim not in figures.informative
    ]
    if not closed:
        return ""
    return (
        f"The {len(closed)} closed dimensions of all seeds have a median MAD of "
        f"{np.median(closed):.3f}, and {max(closed):.3f} at most."
    )


if __name__ == "__main__":
    main()
