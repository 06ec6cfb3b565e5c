"""The page of a sweep: its pictures, tables and findings between two markers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import latentscope
from latentscope.diagnostics.activity import find_gap
from latentscope.diagnostics.mi.api import mi_matrix
from latentscope.errors import LatentscopeError
from latentscope.files import atomic_path
from latentscope.plots.information import plot_mi
from train.sweep import figures, tables
from train.sweep.archive import Facts
from train.sweep.findings import UNMATCHED, Finding, findings, unmatched
from train.sweep.measure import LABELS, Figures, Measured, Results

BEGIN = "<!-- sweep: begin; drawn by `python -m train sweep`, edits in here are lost -->"
END = "<!-- sweep: end -->"

_LARGEST = 200_000
_RESOLUTIONS = (150, 120, 100, 80, 60)
_COLOURS = 256
_PUBLISHED_LAMBDA, _PUBLISHED_LATENTS = 0.3, 128


def draw(results: Results, page: Path, command: str, facts: Facts) -> list[Finding]:
    """Write the page's part between the markers, and its pictures beside it, under `images/`.

    Parameters
    ----------
    results : Results
    page : Path
        Markdown; what stands outside the markers is kept. Made if it is not there.
    command : str
        The command that does it all, for the page.
    facts : Facts
        Of the archive that the runs learned from.

    Returns
    -------
    list of Finding
        What agrees with the paper, as the page tells it.

    Raises
    ------
    LatentscopeError
        If the page is there without the markers.
    """
    before, after = _around(page)
    found = findings(results)
    with plt.rc_context(figures.STYLE):
        drawn = {
            "summary": figures.summary(results),
            "reconstruction": figures.reconstruction(results),
            "mad": figures.stems(results),
            "pairs": figures.pairs(results),
        }
        if results.chosen is not None:
            drawn["mi"] = _information(results, results.chosen)
            drawn["robustness"] = figures.robustness(results)
        for name, figure in drawn.items():
            save(figure, _picture(page, name))
    text = "\n\n".join(_sections(results, found, page, command, facts))
    with atomic_path(page) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")
    return found


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG of few colours, below 200 kB, and close it."""
    for resolution in _RESOLUTIONS:
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=resolution)
        picture = Image.open(buffer).convert("RGB")
        small = picture.quantize(_COLOURS, dither=Image.Dither.NONE)
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


def _information(results: Results, chosen: Measured) -> Figure:
    dims = tables.shown_dims(chosen.figures) or [0]
    labels = results.stars.labels[list(LABELS)]
    mean = chosen.arrays["mean"]
    ax = plot_mi(mi_matrix(mean, labels, dims=dims, columns=list(LABELS)))
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def _sections(
    results: Results, found: Sequence[Finding], page: Path, command: str, facts: Facts
) -> list[str]:
    config = results.config
    point = f"{config.chosen.latents} latents, beta = {config.chosen.beta:g}"
    parts = ["## How it was made", f"```\n{command}\n```", _made(results, facts), _missing(results)]
    parts += ["## How beta compares with the paper's lambda", _prices(results)]
    parts += ["## What agrees with the paper", _counted(found), tables.findings_table(found)]
    parts += [
        "## Latent size and beta",
        _image(page, "summary", "Reconstruction, dimensions and labels against beta"),
        tables.grid_table(results),
        "*Line variance*: share of the variance of the line contrast around the mean spectrum. "
        "*Flux rms*: residual over the median flux. *Largest MI of two*: between informative "
        "dimensions (KL > 0.1 nats; of a deterministic network MAD > 0.02), in nats. *RV, Teff*: "
        "mutual information of the best informative dimension in nats, and the largest rank "
        "correlation. "
        "*Minutes*: of training, on one thread. A deterministic network has no KL, and its latents "
        "no fixed scale, so that 0.02 means nothing there; the same holds for beta = 0.",
        "## Reconstruction (figure 3)",
        _image(page, "reconstruction", "One spectrum and its reconstructions"),
        _example(results),
        "## Which dimensions are informative (figure 4)",
        _image(page, "mad", "Median absolute deviation of each dimension"),
        "Blue: informative by KL > 0.1 nats, or of a deterministic network by MAD > 0.02 (dashed). "
        "Above each panel: how many dimensions exceed either.",
        _restless(results),
        "## Too small a beta (figure 5)",
        _image(page, "pairs", "Pairs of dimensions, coloured by spectral class"),
        f"{config.chosen.latents} latents; of each network the pairs of informative dimensions "
        "that share most. Structure means that the dimensions are not independent.",
    ]
    if results.chosen is not None:
        parts += [
            f"## What the dimensions know: {point}",
            tables.information_table(results.chosen.figures),
            "Nats of mutual information, and in brackets the share of the row's largest value; "
            "*other dims*: the largest of all dimensions that are not informative.",
            _unmatched(results.chosen),
            _image(page, "mi", "Mutual information of informative dimensions with labels"),
            f"## Balanced archives: {point}",
            _image(page, "robustness", "The chosen setting on balanced archives"),
            tables.robustness_table(results),
            "Every network is measured on the same test stars, of all kinds; and on the FGK stars "
            "among them alone, of which every archive holds some.",
        ]
    return [part for part in parts if part]


def _image(page: Path, name: str, words: str) -> str:
    return f"![{words}](images/{_picture(page, name).name})"


def _made(results: Results, facts: Facts) -> str:
    config = results.config
    entries = list(results.runs.values())
    training = entries[0].training if entries else {}
    minutes = sum(entry.training.get("minutes") or 0.0 for entry in entries)
    lines = [
        f"- Archive: {facts.spectra:,} spectra of {facts.stars:,} stars, simulated (seed "
        f"{config.archive.seed}, line list {facts.linelist}); {facts.repeated:.0%} of the stars "
        f"have several exposures, at most {facts.most}. The published archive holds 272,376 "
        "spectra of about 7,000 stars, 39 of each on average. Stars of all kinds come in unequal "
        "numbers, see [the simulated archive](simulation.md).",
        f"- Training: {training.get('split', '')}; {training.get('steps', 0):,} steps of "
        f"{training.get('batch_size', 0)} spectra each.",
        f"- Test: {config.test.stars:,} new stars (seed {config.test.seed}), one spectrum each.",
        f"- Runs: {len(entries)} finished, one seed each where not said otherwise; {minutes:.0f} "
        "minutes in all, one thread a run.",
        "- Mutual information: [as `latentscope mi` measures it](mutual-information.md), by "
        "nearest neighbours, in nats.",
        f"- latentscope {latentscope.__version__}; SHA-256 of the simulator begins with "
        f"`{facts.simulator[:12]}`, of the archive's table with "
        f"`{str(training.get('archive_sha256'))[:12]}`, of the test stars' with "
        f"`{results.stars.fingerprint[:12]}`.",
        "- No network saw a label; balanced archives use them to draw their spectra.",
    ]
    return "\n".join(lines)


def _missing(results: Results) -> str:
    if not results.missing:
        return ""
    lines = [f"- `{name}`: {why}" for name, why in results.missing.items()]
    return "Runs that are missing on this page:\n\n" + "\n".join(lines)


def _prices(results: Results) -> str:
    squares, deviation = results.stars.spread
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


def _example(results: Results) -> str:
    star = results.stars.labels.iloc[results.stars.example]
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
    known = max(f.mi[label][dim] for label in LABELS for dim in dims)
    return (
        f"In the chosen setting {len(dims)} dimensions have a MAD above 0.02 and a KL below 0.1 "
        f"nats. Their median MAD is {np.median([f.mad[dim] for dim in dims]):.3f}, that of the "
        f"informative ones {np.median([f.mad[dim] for dim in f.informative] or [0.0]):.2f}; their "
        f"mean KL is {np.mean([f.kl[dim] for dim in dims]):.3f} nats. A threshold of 0.02 wants a "
        "network that was trained until the means of its closed dimensions came to rest; so this "
        f"page counts by KL. Such a mean, small as it is, shares up to {known:.2f} nats with a "
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


def _unmatched(entry: Measured) -> str:
    dims = unmatched(entry.figures)
    if not dims:
        return f"Every informative dimension shares {UNMATCHED:g} nats or more with some label."
    listed = ", ".join(map(str, dims))
    return f"Informative, but below {UNMATCHED:g} nats with every label: {listed}."
