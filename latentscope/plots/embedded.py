"""Pictures as bytes, for pages that hold their pictures themselves."""

from __future__ import annotations

import io
from typing import Any, Literal

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Format = Literal["svg", "webp"]

_DENSE = 192.0
"""Dots per inch of WebP: two for a CSS pixel."""

_WIDEST = 1600.0
"""Dots that a picture is wide at most."""


LARGEST_SVG = 90_000
"""Bytes of SVG above which a picture becomes WebP."""


def picture_bytes(
    ax: Axes, largest_svg: int = LARGEST_SVG
) -> tuple[Format, bytes, tuple[int, int]]:
    """Return the figure that holds `ax` as SVG, or as WebP where that would be larger than asked.

    The same drawing gives the same bytes. The figure is closed.

    Parameters
    ----------
    ax : Axes
    largest_svg : int
        Bytes of SVG at most; 0 always gives WebP.

    Returns
    -------
    format : {"svg", "webp"}
        WebP is without loss.
    data : bytes
    size : (int, int)
        Width and height in CSS pixels, 96 to the inch.
    """
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    try:
        with plt.rc_context({"svg.hashsalt": "latentscope", "svg.fonttype": "path"}):
            kind, data = _smallest(figure, largest_svg)
            box = figure.get_tightbbox()
    finally:
        plt.close(figure)
    pad = 2 * float(plt.rcParams["savefig.pad_inches"])
    return kind, data, (round(96 * (box.width + pad)), round(96 * (box.height + pad)))


def _smallest(figure: Figure, largest_svg: int) -> tuple[Format, bytes]:
    dense = min(_DENSE, _WIDEST / figure.get_figwidth())
    if largest_svg:
        drawn = _saved(figure, format="svg", dpi=dense, metadata={"Date": None})
        if len(drawn) <= largest_svg:
            return "svg", drawn
    return "webp", _saved(figure, format="webp", dpi=dense, pil_kwargs={"lossless": True})


def _saved(figure: Figure, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, bbox_inches="tight", **settings)
    return buffer.getvalue()
