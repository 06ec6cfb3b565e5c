"""Draw the picture of docs/robustness.md and print its numbers."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from archive import IMAGES, archive
from PIL import Image

from latentscope import robustness
from latentscope.plots import plot_robustness


def main() -> None:
    """Measure the bundled model's latents on other samples, draw these, print what they say."""
    latents, labels = archive()
    result = robustness(latents, labels, groups="star")
    figure = plot_robustness(result).get_figure(root=True)
    path = IMAGES / "robustness.png"
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)
    print(result.overview.to_string(index=False))
    print("\n".join((*result.sentences(), *result.notes)))


if __name__ == "__main__":
    main()
