"""The tables of the page, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from train.sweep.findings import Finding
from train.sweep.measure import LABELS, Figures, Measured, Results

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
            first = [str(latents), "AE" if beta is None else f"{beta:g}"]
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
        _known(f, "radvel"),
        _known(f, "Teff"),
        "-" if minutes is None else f"{minutes:.1f}",
    ]


def _known(figures: Figures, label: str) -> str:
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


def findings_table(found: Sequence[Finding]) -> str:
    """Statements of the paper, whether the runs agree, by which rule, and the numbers."""
    head = ["the paper found", "here", "counts as agreement if", "numbers"]
    return markdown(head, [[f.statement, _ANSWERS[f.agrees], f.rule, f.numbers] for f in found])
