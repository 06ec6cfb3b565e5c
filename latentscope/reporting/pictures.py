"""Axes -> pictures that the page holds itself."""

from __future__ import annotations

from typing import Any

from latentscope.reporting.parts import Picture

_MIME = {"svg": "image/svg+xml", "webp": "image/webp"}


def picture(axes: Any, caption: str, alt: str, *, raster: bool = False) -> Picture:
    """Make a picture of the figure that holds `axes`, and close the figure.

    Parameters
    ----------
    axes : matplotlib Axes, or an array of them
        As the functions of `latentscope.plots` return them.
    caption : str
        What to see in it.
    alt : str
        What it shows, for those who cannot see it.
    raster : bool
        Whether it is so full that there is no use in trying SVG.
    """
    from latentscope.plots.embedded import LARGEST_SVG, picture_bytes

    one = axes.flat[0] if hasattr(axes, "flat") else axes
    kind, data, (width, height) = picture_bytes(one, 0 if raster else LARGEST_SVG)
    return Picture(caption, alt, _MIME[kind], data, width, height)
