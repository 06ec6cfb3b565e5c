"""Pictures of one dimension against a label."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from latentscope.plots.style import HEXBIN_ABOVE, LITERAL, OVERLAY, STRONG, new_axes, styled


@styled
def plot_dim_against_label(
    latent: ArrayLike,
    label: ArrayLike,
    ax: Axes | None = None,
    *,
    dim: int | None = None,
    name: str = "label",
    mi: float | None = None,
    track: tuple[ArrayLike, ArrayLike] | None = None,
    track_name: str = "track",
) -> Axes:
    """Draw one latent dimension against a label it was never shown.

    Parameters
    ----------
    latent : array (n,)
        Values of the dimension.
    label : array (n,)
        Numbers; rows with a NaN on either side are left out.
    ax : Axes, optional
        Where to draw; by default a new figure.
    dim : int, optional
        Number of the dimension, for the axis.
    name : str
        Of the label, with its unit.
    mi : float, optional
        Mutual information in nats, for the title.
    track : (array, array), optional
        Label and latent values of other spectra, drawn on top, joined in their order.
    track_name : str
        What the legend calls them.
    """
    ax = new_axes(ax, (4.6, 3.6))
    z = np.asarray(latent, dtype=np.float64)
    truth = np.asarray(label, dtype=np.float64)
    known = np.isfinite(z) & np.isfinite(truth)
    z, truth = z[known], truth[known]
    if len(z) > HEXBIN_ABOVE:
        ax.hexbin(truth, z, gridsize=70, bins="log", mincnt=1, cmap="cividis", linewidths=0.1)
    else:
        size = float(np.clip(4000 / max(len(z), 1), 3, 18))
        ax.scatter(truth, z, s=size, color=STRONG, alpha=0.5, linewidths=0, rasterized=True)
    if track is not None:
        there, value = (np.asarray(part, dtype=np.float64) for part in track)
        ax.plot(there, value, "-", color="white", linewidth=4, zorder=3)
        ax.plot(
            there, value, "o-", color=OVERLAY, markersize=4, linewidth=1.8, zorder=4,
            markeredgecolor="white", markeredgewidth=0.6, label=track_name,
        )  # fmt: skip
        for text in ax.legend(loc="best", fontsize=8).get_texts():
            text.set(**LITERAL)
    ax.set_xlabel(name, **LITERAL)
    ax.set_ylabel("latent dimension" + ("" if dim is None else f" {dim}"))
    ax.set_title(_relation(truth, z, mi))
    return ax


def _relation(label: NDArray[np.float64], latent: NDArray[np.float64], mi: float | None) -> str:
    parts = [] if mi is None else [f"MI {mi:.2f} nats"]
    if len(label) > 2 and np.ptp(label) > 0 and np.ptp(latent) > 0:
        parts.append(f"rank correlation {spearmanr(label, latent).statistic:+.3f}")
    return ", ".join([*parts, f"n = {len(label):,}"])
