"""Pictures of what was found: a query and its matches, as latents or as spectra."""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from latentscope.diagnostics.retrieval import RetrievalResult
from latentscope.errors import EstimatorError, LatentscopeWarning
from latentscope.plots.matched_spectra import (
    HEIGHTS,
    Window,
    plot_matched_spectra,
    spectra_found,
)
from latentscope.plots.style import LITERAL, OVERLAY, QUIET, STRONG, new_axes, styled

_MOST_QUERIES = 4
_NAMED = 24


@styled
def plot_retrieval(result: RetrievalResult, ax: Axes | None = None, *, query: int = 0) -> Axes:
    """Draw a query and its matches dimension by dimension, in spreads from the sample's median.

    The grey band holds 90 % of the sample in each dimension.

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
    ax = new_axes(ax, (max(6.0, min(1.5 + 0.45 * len(result.dims), 12.0)), 3.4))
    places = np.arange(len(result.dims))
    asked = result.profiles.iloc[query].to_numpy(dtype=np.float64)
    found = asked + result.differences.loc[matches.index].to_numpy(dtype=np.float64)
    band = result.band
    ax.fill_between(
        places, band["low"], band["high"], color=QUIET, alpha=0.25, linewidth=0, label="90 % of all"
    )
    for rank, row in reversed(list(enumerate(found))):
        strength = 1 - 0.75 * rank / max(len(found), 1)
        ax.plot(places, row, "-", color=STRONG, alpha=strength, linewidth=1)
    ax.plot([], [], color=STRONG, linewidth=1, label=f"{len(found)} nearest, the nearest darkest")
    ax.plot(places, asked, "o-", color=OVERLAY, markersize=4, linewidth=1.8, label="query")
    every = -(-len(places) // _NAMED)
    ax.set_xticks(places[::every], [str(dim) for dim in result.dims[::every]])
    ax.set_xlim(-0.4, len(places) - 0.6)
    ax.set_xlabel("latent dimension")
    ax.set_ylabel("spreads from the median")
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
    if len(answered) > _MOST_QUERIES:
        warnings.warn(
            f"the picture shows the first {_MOST_QUERIES} of {len(answered)} queries",
            LatentscopeWarning,
            stacklevel=3,
        )
    shown = [int(place) for place in answered[:_MOST_QUERIES]]
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
