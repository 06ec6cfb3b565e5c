"""Pictures of what was found: a query and its matches, as latents or as spectra."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from latentscope.data import spectrum_path
from latentscope.diagnostics.retrieval import RetrievalResult
from latentscope.errors import EstimatorError, LatentscopeError, SpectrumError, warn
from latentscope.plots.style import OVERLAY, QUIET, STRONG, WIDE, new_axes, short_title, styled
from latentscope.spectra.read import Reading, read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import convert

Floats = NDArray[np.float64]
Window = tuple[float, float]

MAGNESIUM = (5160.0, 5190.0)
"""Angstrom; the Mg b lines, which know of temperature, gravity and metals, and iron beside them."""

_MAX_QUERIES, _MAX_MATCHES = 4, 10
_LETTERS = 48  # along the axis of the dimensions
_HEIGHTS = (1.0, 0.62)  # inches of a picture, and of each spectrum in it
_POINTS = 2000
_FEW_PIXELS = 20


@styled
def plot_retrieval(result: RetrievalResult, ax: Axes | None = None, *, query: int = 0) -> Axes:
    """Draw one query and its matches dimension by dimension, in spreads from the sample's median.

    The gray band holds 90 % of the sample in each dimension.

    Raises
    ------
    EstimatorError
        If that query has no matches.
    """
    matches = result.matches(query)
    name = str(result.queries["query"].iloc[query])
    if not len(matches):
        raise EstimatorError(f"{name}: no matches to draw, {result.queries['error'].iloc[query]}")
    ax = new_axes(ax, (WIDE, 3.0))
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
    ax.plot([], [], color=STRONG, linewidth=1, label=f"{len(found)} nearest, the nearest darkest")
    ax.plot(places, asked, "o-", color=OVERLAY, markersize=4, linewidth=1.8, label="query")
    every = -(-len(places) * len(str(max(result.dims))) // _LETTERS)
    ax.set_xticks(places[::every], [str(dim) for dim in result.dims[::every]])
    ax.set_xlim(-0.4, len(places) - 0.6)
    ax.set_xlabel("latent dimension")
    ax.set_ylabel("offset from the median (spreads)")
    far = matches["distance"]
    ax.set_title(f"{short_title(name)}: distance {far.iloc[0]:.3g} to {far.iloc[-1]:.3g}")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


@styled
def plot_answers(result: RetrievalResult, *, window: Window | None = None) -> Axes:
    """Draw queries one above the other, the first four of those that have matches.

    As spectra of `window` in Angstrom, where the files of a query and of a match are found; else as
    latents.

    Returns
    -------
    Axes
        Those of the first query.

    Warns
    -----
    LatentscopeWarning
        If there are more queries than that.
    """
    answered = np.flatnonzero(result.queries["matches"].to_numpy() > 0)
    if len(answered) > _MAX_QUERIES:
        warn(f"the picture shows the first {_MAX_QUERIES} of {len(answered)} queries")
    shown = [int(place) for place in answered[:_MAX_QUERIES]]
    found = {place: spectra_found(result, place) for place in shown}
    heights = [
        _HEIGHTS[0] + _HEIGHTS[1] * len(found[place]) if found[place] else 3.4 for place in shown
    ]
    _, axes = plt.subplots(
        len(shown), 1, squeeze=False, figsize=(WIDE, sum(heights)), height_ratios=heights
    )
    for place, ax in zip(shown, axes[:, 0], strict=True):
        if found[place]:
            plot_matched_spectra(result, ax, query=place, window=window, spectra=found[place])
        else:
            plot_retrieval(result, ax, query=place)
    first: Axes = axes[0, 0]
    return first


def spectra_found(result: RetrievalResult, query: int = 0) -> list[tuple[str, Spectrum]]:
    """Read the spectra of a query and its first ten matches from the files that are found.

    Files are looked for where the sidecar says, from the current folder and from that of the
    latents. Each comes with its name, the query first, all in the medium and frame of the query;
    none where the file of the query, or of all matches, is not found. Warns of matches whose file
    is not found, or cannot be read or brought to the query's frame.
    """
    first = _read(str(result.queries.iloc[query].get("file", "")), result)
    matches = result.matches(query).head(_MAX_MATCHES)
    if not isinstance(first, Spectrum) or "file" not in matches:
        return []
    shown, missing = [("query", first)], []
    for match in matches.to_dict("records"):
        found = _read(str(match["file"]), result, first)
        if isinstance(found, Spectrum):
            star = match.get("star", match.get("object"))
            called = star if isinstance(star, str) else match.get("id", f"row {match['row']}")
            shown.append((f"{match['rank']}. {called}, {match['distance']:.3g}", found))
        else:
            missing.append(found)
    if missing and len(shown) > 1:
        warn(f"the picture lacks {len(missing)} of {len(matches)} matches: {missing[0]}")
    return shown if len(shown) > 1 else []


def _read(file: str, result: RetrievalResult, like: Spectrum | None = None) -> Spectrum | str:
    """Read a spectrum, or return why there is none."""
    path = spectrum_path(file, str(result.provenance["source"]))
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
    spectra: list[tuple[str, Spectrum]] | None = None,
) -> Axes:
    """Draw the spectrum of a query, and below it those of its matches, the nearest first.

    Each is divided by its median over the window and drawn below the one before; behind each match
    stands the query again.

    Parameters
    ----------
    result : RetrievalResult
    ax : Axes, optional
    query : int
        Which query, counted from 0.
    window : (float, float), optional
        Wavelengths in Angstrom; by default 5160 to 5190, the Mg b lines, or all where the query
        does not have these.
    spectra : list of (str, Spectrum), optional
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
    asked = shown[0][1]
    window = _window(asked.wavelength, window)
    lines = [_line(spectrum, window) for _, spectrum in shown]
    if np.isnan(lines[0][1]).all():
        raise SpectrumError(f"{name}: has no flux from {window[0]:g} to {window[1]:g} Angstrom")
    ax = new_axes(ax, (WIDE, _HEIGHTS[0] + _HEIGHTS[1] * len(shown)))
    low, high = np.nanquantile(lines[0][1], [0.01, 0.99])
    step = max(float(high - low), 0.1)
    levels = 1 - step * np.arange(len(shown), dtype=np.float64)
    for place, (level, (title, _), line) in enumerate(zip(levels, shown, lines, strict=True)):
        color, drawn = (STRONG, line) if place else (OVERLAY, lines[0])
        if place:
            ax.plot(lines[0][0], lines[0][1] + level - 1, color=OVERLAY, linewidth=0.8, alpha=0.55)
        ax.plot(drawn[0], drawn[1] + level - 1, color=color, linewidth=0.8)
        ax.annotate(
            title, (1, level), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=8, color=color,
        )  # fmt: skip
    ax.set_xlim(*window)
    # Each spectrum has its own ticks: 1, and the halves below that do not reach the next.
    below = np.arange(0.0, min(step, 1.0), 0.5)
    ticks = (levels[:, None] - below).ravel()
    ax.set_yticks(ticks, [f"{1 - part:g}" for _ in levels for part in below], fontsize=7)
    ax.margins(y=0.02)
    ax.set_xlabel(f"wavelength in {asked.medium} (\u00c5)")
    ax.set_ylabel("flux / median")
    ax.set_title(f"{short_title(name)} and its nearest, each with its distance")
    return ax


def _window(wavelength: Floats, window: Window | None) -> Window:
    if window is not None:
        return window
    inside = (wavelength >= MAGNESIUM[0]) & (wavelength <= MAGNESIUM[1])
    whole = float(wavelength[0]), float(wavelength[-1])
    return MAGNESIUM if inside.sum() >= _FEW_PIXELS else whole


def _line(spectrum: Spectrum, window: Window) -> tuple[Floats, Floats]:
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
