"""What all pictures share: colors, type, axes, names of labels, and how they are written."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Literal, ParamSpec

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import FuncNorm, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike

from latentscope.diagnostics.mi.api import SIGNIFICANT
from latentscope.diagnostics.probe import unit_of
from latentscope.files import atomic_path

P = ParamSpec("P")

# Above so many points a cloud of them hides its own density.
HEXBIN_ABOVE = 5000
_LONGEST_NAME, _LONGEST_TITLE = 30, 48
# For names on ticks, which axes that were given may have made before.
LITERAL: dict[str, Any] = {"parse_math": False, "usetex": False}
INK, QUIET, STRONG, OVERLAY = "#222222", "#9aa5b1", "#0072b2", "#d55e00"
THIRD, FOURTH, PALE, RULE = "#009e73", "#7b6ba8", "#f1f3f5", "#e3e7eb"
SOFT = "#5c6670"  # of words: QUIET is too pale to be read

CLASSES = (
    STRONG, OVERLAY, THIRD, "#cc79a7", "#e6a700", "#56b4e9", "#8c564b", FOURTH, "#444444",
)  # fmt: skip
"""Classes that have no order; told apart by all kinds of color vision (Okabe & Ito)."""

SPECTRAL = {
    "O": "#2c2f8f", "B": "#3f6fd8", "A": "#5fb3e6", "F": "#7fa86b", "G": "#e3b21c",
    "K": "#ea7a1f", "M": "#b3202c",
}  # fmt: skip
"""Spectral classes, from hot to cool."""

SEQUENCE = LinearSegmentedColormap.from_list(
    "sequence", ["#cfe6d6", "#7fcdbb", "#41b6c4", "#1d91c0", "#225ea8", "#253494", "#0a1f5c"]
)
"""Numbers from low to high, all of them visible on paper."""

SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#06436b", STRONG, "#8cc0de", "#ffffff", "#f3b285", OVERLAY, "#7c3400"]
)
"""Changes, blue below 0 and orange above."""

# Dark in the middle, where the line from which the others depart is drawn.
ALONG = LinearSegmentedColormap.from_list("along", ["#56b4e9", STRONG, INK, OVERLAY, "#e6a700"])
"""The same for lines on paper."""

WIDE = 8.0
"""Inches that a picture is wide at most, so that a page shows it with readable letters."""

SIGNIFICANT_NATS = f"nats (gray: q \u2265 {SIGNIFICANT:g})"
"""What colors of information mean."""

_LOW = 2.3  # inches
_NATS = 6.0
_FEW_POWERS = 20.0  # highest over lowest value
_NATS_TICKS = (0, 0.1, 0.3, 0.5, 1, 2, 5)
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "legend.fontsize": 8,
    "legend.frameon": False,
    # Names come from users: a dollar in one is a dollar, not the start of a formula.
    "text.parse_math": False,
    # Missing on many machines.
    "text.usetex": False,
}


@contextmanager
def settings_of(style: Mapping[Any, Any]) -> Iterator[None]:
    """Set some of matplotlib's settings for a while, and leave the others alone.

    Its own `rc_context` puts all of them back. The first figure of a notebook is what makes the
    notebook interactive, and drawn in there it was the last one to be shown.
    """
    before: dict[Any, Any] = {name: rcParams[name] for name in style}
    rcParams.update(style)
    try:
        yield
    finally:
        rcParams.update(before)


def styled(draw: Callable[P, Axes]) -> Callable[P, Axes]:
    """Draw in the project's colors and type, and leave matplotlib's settings as they were."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Axes:
        with settings_of(STYLE):
            return draw(*args, **kwargs)

    return drawn


def new_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return `ax`, or the axes of a new figure of `size` inches where it is None."""
    if ax is None:
        return plt.subplots(figsize=size)[1]
    for text in (ax.xaxis.label, ax.yaxis.label, *ax.get_children()):
        if isinstance(text, Text):
            text.set(**LITERAL)
    return ax


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def save_figure(ax: Axes, path: str | os.PathLike[str]) -> None:
    """Write the figure that holds `ax` by the suffix (.png, .pdf, .svg), atomically, and close it.

    All that is drawn is inside the picture, even where it reaches beyond the figure.
    """
    figure = _figure(ax)
    # Labels of ticks are made when they are drawn.
    with atomic_path(path) as temporary, settings_of(STYLE):
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
    plt.close(figure)


def nats_scale() -> FuncNorm:
    """Return the scale of colors that all pictures of information share, 1 - exp(-nats)."""
    return FuncNorm(
        (lambda nats: -np.expm1(-np.maximum(nats, 0)), lambda part: -np.log1p(-part)),
        0, _NATS, clip=True,
    )  # fmt: skip


def add_bar(drawn: ScalarMappable, ax: Any, label: str, **options: Any) -> Colorbar:
    """Add the bar of colors of what was drawn beside axes."""
    figure = _figure(ax[0] if isinstance(ax, list) else ax)
    bar: Colorbar = figure.colorbar(drawn, ax=ax, **{"pad": 0.02, "aspect": 30} | options)
    bar.outline.set_visible(False)
    bar.set_label(label)
    return bar


def plain_log(axis: Any) -> None:
    """Write plain numbers along a logarithmic axis; 2, 3 and 5 too where few powers of ten are."""

    def between(value: float, place: float = 0) -> str:
        low, high = sorted(axis.get_view_interval())
        return f"{value:g}" if high < _FEW_POWERS * low and f"{value:e}"[0] in "235" else ""

    axis.set_major_formatter("{x:g}")
    # Matplotlib's own would be formulas, which are not drawn as such here.
    axis.set_minor_formatter(between)


def beyond(values: ArrayLike, low: float, high: float) -> Literal["neither", "min", "max", "both"]:
    """Say at which ends of a bar of colors values lie beyond it, as its `extend`."""
    known = np.asarray(values, dtype=np.float64)
    below, above = bool((known < low).any()), bool((known > high).any())
    if below and above:
        return "both"
    return "min" if below else "max" if above else "neither"


def nats_bar(ax: Axes) -> None:
    """Add the bar of `nats_scale` beside axes."""
    # Beside few rows there is no room for more.
    low = _figure(ax).get_figheight() < _LOW
    ticks, label = ((0, 0.3, 1, 5), "nats") if low else (_NATS_TICKS, SIGNIFICANT_NATS)
    bar = add_bar(ScalarMappable(nats_scale(), SEQUENCE), ax, label, ticks=list(ticks))
    bar.ax.set_yticklabels([f"{tick:g}" for tick in ticks])
    bar.ax.minorticks_off()


def nats_text(nats: float) -> str:
    """Write nats as a cell of a picture shows them."""
    return "-" if np.isnan(nats) else minus(f"{nats:.2f}".replace("-0.00", "0.00"))


def minus(number: str) -> str:
    """Write a number with the minus sign that axes have."""
    return number.replace("-", "\u2212")


def counted(table: pd.DataFrame) -> str:
    """Say on how many rows, and stars where they repeat, a table was measured: n = 60 to 80."""
    least, most = int(table["n"].min()), int(table["n"].max())
    rows = f"n = {most:,}" if least == most else f"n = {least:,} to {most:,}"
    stars = int(table["n_groups"].max()) if "n_groups" in table else 0
    return rows if stars in (0, most) else f"{rows} ({stars:,} stars)"


_SHORT = {
    "radvel": "radial velocity", "rv": "RV", "teff": "Teff", "logg": "log g", "vsini": "v sin i",
    "berv": "BERV", "snr": "SNR", "spec_type": "spectral type", "vmacro": "macroturbulence",
    "resolution": "resolving power", "mjd": "MJD", "bjd": "BJD",
}  # fmt: skip


def label_name(label: str) -> str:
    """Return what an astronomer writes for a common label; other labels keep their own names.

    Examples
    --------
    >>> label_name("vsini"), label_name("[M/H]"), label_name("mass_of_host")
    ('v sin i', '[M/H]', 'mass_of_host')
    """
    return _SHORT.get(label.lower(), label)


def label_title(label: str) -> str:
    """Return a label as an axis names it, with its unit where the name tells; long names are cut.

    Examples
    --------
    >>> label_title("radvel"), label_title("Teff"), label_title("age (Gyr)"), label_title("mass")
    ('radial velocity (km/s)', 'effective temperature (K)', 'age (Gyr)', 'mass')
    """
    unit = unit_of(label)
    name = "effective temperature" if label.lower() == "teff" else label_name(label)
    (name,) = short_names([name])
    return name if not unit or unit in name else f"{name} ({unit})"


def companion(label: str, labels: Iterable[str]) -> str | None:
    """Return the label that colors points of another: gravity for temperature, else temperature."""
    others = {name.lower(): name for name in labels if name != label}
    by_teff = ("teff", "[m/h]", "[fe/h]", "logg")
    expected = ("logg", "[m/h]", "[fe/h]") if label.lower() == "teff" else by_teff
    return next((others[name] for name in expected if name in others), None)


def short_title(name: str) -> str:
    """Cut a name that would leave no room for the rest of a title."""
    return short_names([name], _LONGEST_TITLE)[0]


def short_names(names: Iterable[str], longest: int = _LONGEST_NAME) -> list[str]:
    """Cut long names in the middle, but not those that would then look the same."""
    names, head = list(names), longest // 2
    tail = head - 1
    short = [n if len(n) <= longest else f"{n[:head]}\u2026{n[-tail:]}" for n in names]
    times = Counter(short)
    return [cut if times[cut] == 1 else name for name, cut in zip(names, short, strict=True)]


LARGEST_SVG = 90_000
"""Bytes of SVG above which a picture becomes WebP."""

_DENSE, _WIDEST = 192.0, 1600.0
"""Dots of WebP: per inch, two for a CSS pixel, and across at most."""


def picture_bytes(
    ax: Axes, largest_svg: int = LARGEST_SVG
) -> tuple[Literal["svg", "webp"], bytes, tuple[int, int]]:
    """Return the figure that holds `ax` as SVG, or as lossless WebP where that would be larger.

    The same drawing gives the same bytes; with `largest_svg` of 0 always WebP. The figure is
    closed. Returns the format, the bytes, and width and height in CSS pixels, 96 to the inch.
    """
    figure = _figure(ax)
    dense = min(_DENSE, _WIDEST / figure.get_figwidth())

    def saved(**options: Any) -> bytes:
        buffer = io.BytesIO()
        figure.savefig(buffer, bbox_inches="tight", dpi=dense, **options)
        return buffer.getvalue()

    kind: Literal["svg", "webp"] = "svg"
    try:
        with settings_of(STYLE | {"svg.hashsalt": "latentscope", "svg.fonttype": "path"}):
            data = saved(format=kind, metadata={"Date": None}) if largest_svg else b""
            if not 0 < len(data) <= largest_svg:
                kind, data = "webp", saved(format="webp", pil_kwargs={"lossless": True})
            box = figure.get_tightbbox()
    finally:
        plt.close(figure)
    pad = 2 * float(plt.rcParams["savefig.pad_inches"])
    return kind, data, (round(96 * (box.width + pad)), round(96 * (box.height + pad)))
