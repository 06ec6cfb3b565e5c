"""Pictures of what was found: a query and its matches, as latents or as spectra."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from latentscope.diagnostics.retrieval import RetrievalResult
from latentscope.errors import EstimatorError, LatentscopeError, LatentscopeWarning, SpectrumError
from latentscope.plots.style import LITERAL, OVERLAY, QUIET, STRONG, WIDE, new_axes, styled
from latentscope.spectra.read import Reading, read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import convert

_MAX_QUERIES = 4
_NAMED = 24


@styled
def plot_retrieval(result: RetrievalResult, ax: Axes | None = None, *, query: int = 0) -> Axes:
    """Draw a query and its matches dimension by dimension, in spreads from the sample's median.

    The gray band holds 90 % of the sample in each dimension.

    Parameters
    ----------
    result : RetrievalResult
    ax : Axes, optional
        Where to draw; by default a new figure.
    query : int
        Which query, counted from 0.

    Raises
    ------
    EstimatorError
        If that query has no matches.
    """
    matches = result.matches(query)
    name = str(result.queries["query"].iloc[query])
    if not len(matches):
        raise EstimatorError(f"{name}: no matches to draw, {result.queries['error'].iloc[query]}")
    ax = new_axes(ax, (max(6.0, min(1.5 + 0.45 * len(result.dims), WIDE)), 3.0))
    places = np.arange(len(result.dims))
    asked = result.profiles.iloc[query].to_numpy(dtype=np.float64)
    found = asked + result.differences.loc[matches.index].to_numpy(dtype=np.float64)
    band = result.band
    ax.fill_between(
        places, band["low"], band["high"], color=QUIET, alpha=0.25, linewidth=0, label="90 % of all"
    )
    # The nearest last, so that it lies on top.
    for rank, row in reversed(list(enumerate(found))):
        strength = 1 - 0.75 * rank / max(len(found), 1)
        ax.plot(places, row, "-", color=STRONG, alpha=strength, linewidth=1)
    # One entry of the legend for all of them.
    ax.plot([], [], color=STRONG, linewidth=1, label=f"{len(found)} nearest, the nearest darkest")
    ax.plot(places, asked, "o-", color=OVERLAY, markersize=4, linewidth=1.8, label="query")
    every = -(-len(places) // _NAMED)
    ax.set_xticks(places[::every], [str(dim) for dim in result.dims[::every]])
    ax.set_xlim(-0.4, len(places) - 0.6)
    ax.set_xlabel("latent dimension")
    ax.set_ylabel("distance from the median (spreads)")
    far = matches["distance"]
    title = f"{name}: distance {far.iloc[0]:.3g} to {far.iloc[-1]:.3g}"
    ax.set_title(title, **LITERAL)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    return ax


@styled
def plot_answers(result: RetrievalResult, *, window: Window | None = None) -> Axes:
    """Draw queries one above the other, the first four of those that have matches.

    As spectra, where the files of a query and of a match are found; else as latents.

    Parameters
    ----------
    result : RetrievalResult
    window : (float, float), optional
        Wavelengths of the spectra in Angstrom, as for `plot_matched_spectra`.

    Returns
    -------
    Axes
        Of the first query.

    Warns
    -----
    LatentscopeWarning
        If there are more queries than that.
    """
    answered = np.flatnonzero(result.queries["matches"].to_numpy() > 0)
    if len(answered) > _MAX_QUERIES:
        warnings.warn(
            f"the picture shows the first {_MAX_QUERIES} of {len(answered)} queries",
            LatentscopeWarning,
            stacklevel=3,
        )
    shown = [int(place) for place in answered[:_MAX_QUERIES]]
    found = {place: spectra_found(result, place) for place in shown}
    heights = [
        HEIGHTS[0] + HEIGHTS[1] * len(found[place]) if found[place] else 3.4 for place in shown
    ]
    _, axes = plt.subplots(
        len(shown), 1, squeeze=False, dpi=150, layout="constrained",
        figsize=(7.6, sum(heights)), height_ratios=heights,
    )  # fmt: skip
    for place, ax in zip(shown, axes[:, 0], strict=True):
        if found[place]:
            plot_matched_spectra(result, ax, query=place, window=window, spectra=found[place])
        else:
            plot_retrieval(result, ax, query=place)
    first: Axes = axes[0, 0]
    return first


Window = tuple[float, float]

MAGNESIUM = (5160.0, 5190.0)
"""Angstrom; the Mg b lines, which know of temperature, gravity and metals, and iron beside them."""

HEIGHTS = (1.0, 0.62)
"""Inches of a picture, and of each spectrum in it."""

_MAX_MATCHES = 10
_POINTS = 2000
_FEW_PIXELS = 20


@dataclass(frozen=True)
class Shown:
    """A spectrum to draw.

    Parameters
    ----------
    name : str
        What stands beside it.
    spectrum : Spectrum
    """

    name: str
    spectrum: Spectrum


def spectra_found(result: RetrievalResult, query: int = 0) -> list[Shown]:
    """Read the spectra of a query and its first ten matches from the files that are found.

    Files are looked for where the sidecar says, from the current folder and from that of the
    latents.

    Parameters
    ----------
    result : RetrievalResult
    query : int
        Which query, counted from 0.

    Returns
    -------
    list of Shown
        The query first, then its matches, all in the medium and frame of the query; empty where
        the file of the query, or of all matches, is not found.

    Warns
    -----
    LatentscopeWarning
        If files of some matches are not found, or cannot be read or brought to the query's frame.
    """
    asked = result.queries.iloc[query]
    first = _read(str(asked.get("file", "")), result)
    matches = result.matches(query).head(_MAX_MATCHES)
    if not isinstance(first, Spectrum) or "file" not in matches:
        return []
    names = _names(result, query)
    shown = [Shown(names[0], first)]
    missing: list[str] = []
    for name, file in zip(names[1:], matches["file"], strict=True):
        found = _read(str(file), result, first)
        if isinstance(found, Spectrum):
            shown.append(Shown(name, found))
        else:
            missing.append(found)
    if len(shown) == 1:
        return []
    if missing:
        warnings.warn(
            f"the picture lacks {len(missing)} of {len(matches)} matches: {missing[0]}",
            LatentscopeWarning,
            stacklevel=3,
        )
    return shown


def _names(result: RetrievalResult, query: int) -> list[str]:
    named = ["query"]
    for match in result.matches(query).head(_MAX_MATCHES).to_dict("records"):
        star = match.get("star", match.get("object"))
        called = star if isinstance(star, str) else match.get("id", f"row {match['row']}")
        named.append(f"{match['rank']}. {called}, {match['distance']:.3g}")
    return named


def _read(file: str, result: RetrievalResult, like: Spectrum | None = None) -> Spectrum | str:
    """Read a spectrum, or return why there is none."""
    folder = Path(str(result.provenance["source"])).parent
    path = next((path for path in (Path(file), folder / file) if path.is_file()), None)
    if path is None:
        return f"{file}: no such file"
    try:
        alike = Reading.of(result.provenance.get("latents", {}))
        spectrum = read_spectrum(path, **vars(alike))
        return spectrum if like is None else convert(spectrum, like.medium, like.frame)
    except (LatentscopeError, OSError) as error:
        return str(error)


@styled
def plot_matched_spectra(
    result: RetrievalResult,
    ax: Axes | None = None,
    *,
    query: int = 0,
    window: Window | None = None,
    spectra: list[Shown] | None = None,
) -> Axes:
    """Draw the spectrum of a query, and below it those of its matches, the nearest first.

    Each is divided by its median over the window and drawn below the one before; behind each match
    stands the query again.

    Parameters
    ----------
    result : RetrievalResult
    ax : Axes, optional
        Where to draw; by default a new figure.
    query : int
        Which query, counted from 0.
    window : (float, float), optional
        Wavelengths in Angstrom; by default 5160 to 5190, the Mg b lines, or all where the query
        does not have these.
    spectra : list of Shown, optional
        As `spectra_found` gives them, which reads them otherwise.

    Raises
    ------
    SpectrumError
        If no file is found, or the query has nothing in the window.
    """
    shown = spectra_found(result, query) if spectra is None else spectra
    name = str(result.queries["query"].iloc[query])
    if not shown:
        raise SpectrumError(
            f"{name}: its file, or those of its matches, are not "
            "found; run from the folder in which they were encoded"
        )
    window = _window(shown[0], window)
    lines = [_line(one.spectrum, window) for one in shown]
    if np.isnan(lines[0][1]).all():
        raise SpectrumError(f"{name}: has no flux from {window[0]:g} to {window[1]:g} Angstrom")
    ax = new_axes(ax, (7.6, HEIGHTS[0] + HEIGHTS[1] * len(shown)))
    step = _step(lines[0][1])
    levels = 1 - step * np.arange(len(shown), dtype=np.float64)
    for level, one, (wavelength, flux) in zip(levels, shown, lines, strict=True):
        drawn = level - 1
        query = one is shown[0]
        ax.plot(
            lines[0][0], lines[0][1] + drawn, color=OVERLAY, linewidth=0.8,
            alpha=1.0 if query else 0.55,
        )  # fmt: skip
        if not query:
            ax.plot(wavelength, flux + drawn, color=STRONG, linewidth=0.8)
        ax.annotate(
            one.name, (1, level), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=8,
            color=OVERLAY if query else STRONG, **LITERAL,
        )  # fmt: skip
    ax.set_xlim(*window)
    _flux_axis(ax, levels, step)
    ax.set_xlabel(f"wavelength in {shown[0].spectrum.medium} (\u00c5)")
    ax.set_ylabel("flux / median")
    ax.set_title(f"{name} and its nearest", **LITERAL)
    handles = [Line2D([], [], color=OVERLAY, label="query"), Line2D([], [], color=STRONG)]
    handles[1].set_label("match")
    # Beside the title, above the names, where no spectrum is.
    ax.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1.24, 1), ncols=2, fontsize=8,
        borderaxespad=0.2,
    )  # fmt: skip
    return ax


def _flux_axis(ax: Axes, levels: NDArray[np.float64], step: float) -> None:
    """Give each spectrum of a stack its own ticks: 1, and the whole halves that do not reach on."""
    below = np.arange(0.0, min(step, 1.0), 0.5)
    ticks = (levels[:, None] - below).ravel()
    ax.set_yticks(ticks, [f"{1 - part:g}" for _ in levels for part in below], fontsize=7)
    ax.margins(y=0.02)


def _window(query: Shown, window: Window | None) -> Window:
    wavelength = query.spectrum.wavelength
    whole = (float(wavelength[0]), float(wavelength[-1]))
    if window is not None:
        return window
    inside = (wavelength >= MAGNESIUM[0]) & (wavelength <= MAGNESIUM[1])
    return MAGNESIUM if inside.sum() >= _FEW_PIXELS else whole


def _line(spectrum: Spectrum, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wavelength and flux in a window over its median, averaged where there are too many pixels."""
    first, end = np.searchsorted(spectrum.wavelength, window)
    wavelength = spectrum.wavelength[first:end]
    flux = np.array(spectrum.flux[first:end], dtype=np.float64)
    if spectrum.mask is not None:
        flux[spectrum.mask[first:end]] = np.nan
    finite = flux[np.isfinite(flux)]
    middle = float(np.median(finite)) if len(finite) else np.nan
    flux = flux / middle if middle > 0 else np.full(len(flux), np.nan)
    # More points than pixels of the picture would be drawn as a black band.
    together = -(-len(flux) // _POINTS) if len(flux) else 1
    whole = len(flux) // together * together
    return (
        wavelength[:whole].reshape(-1, together).mean(axis=1),
        flux[:whole].reshape(-1, together).mean(axis=1),
    )


def _step(flux: NDArray[np.float64]) -> float:
    """How far below each other spectra are drawn."""
    low, high = np.nanquantile(flux, [0.01, 0.99])
    return max(float(high - low), 0.1)
