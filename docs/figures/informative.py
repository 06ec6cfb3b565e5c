"""Draw the pictures of docs/mad.md and docs/pairs.md: `python docs/figures/informative.py`."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from archive import IMAGES, archive
from matplotlib.axes import Axes
from PIL import Image

from latentscope import exclusive_information, mad, pairwise_mi
from latentscope.plots import plot_exclusive, plot_mad, plot_pairs


def main() -> None:
    """Draw the deviations, what each dimension adds, and all pairs."""
    latents, labels = archive()
    save(plot_mad(mad(latents)), "mad.png", 110)
    save(plot_exclusive(exclusive_information(latents, groups="star")), "exclusive.png", 110)
    found = pairwise_mi(latents, dims="informative", groups="star")
    color = labels["spec_type"]
    save(plot_pairs(latents, color=color, name="spec_type", pairs=found), "pairs.png", 95)


def save(ax: Axes, name: str, dpi: int) -> None:
    """Write a picture in 128 colors, which a page loads faster."""
    path = Path(IMAGES / name)
    figure = ax.get_figure(root=True)
    figure.savefig(path, dpi=dpi, bbox_inches="tight")
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
