"""A spectrum and its reconstructions on one pair of axes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from latentscope.plots.style import LITERAL, OVERLAY, QUIET, STRONG, new_axes, styled

_COLORS = {"input": QUIET, "reconstruction": STRONG, "moved": OVERLAY}


@styled
def plot_spectrum(
    wavelength: NDArray[np.float64],
    flux: Mapping[str, NDArray[np.floating]],
    ax: Axes | None = None,
    *,
    window: tuple[float, float] | None = None,
    title: str = "",
    xlabel: str = "wavelength (Angstrom)",
) -> Axes:
    """Draw spectra on the same wavelengths over each other.

    Parameters
    ----------
    wavelength : ndarray, shape (n,)
        Angstrom, ascending.
    flux : mapping of str to ndarray, shape (n,)
        By name, drawn in this order; NaN leaves a hole.
    ax : Axes, optional
        Where to draw; by default a new figure.
    window : (float, float), optional
        Wavelengths that are drawn; by default all.
    title, xlabel : str

    Examples
    --------
    >>> import numpy as np
    >>> plot_spectrum(np.arange(4000.0, 4010.0), {"input": np.ones(10)}).get_ylabel()
    'flux / median'
    """
    first, last = window or (float(wavelength[0]), float(wavelength[-1]))
    part = slice(*np.searchsorted(wavelength, (first, last)))
    ax = new_axes(ax, (8.0, 3.6))
    for name, values in flux.items():
        ax.plot(wavelength[part], values[part], linewidth=0.8, color=_COLORS.get(name), label=name)
    ax.set_xlim(first, last)
    ax.set_xlabel(xlabel)
    ax.set_ylabel("flux / median")
    ax.set_title(title, **LITERAL)
    if len(flux) > 1:
        ax.legend(loc="upper right", ncols=len(flux), fontsize=8)
    return ax
