"""Draw docs/images/plot*.png: `python docs/figures/plot.py ALPHA_CEN_B.fits GL581.fits`."""

from __future__ import annotations

import sys

from archive import save

from latentscope.plots import plot_spectrum


def main() -> None:
    """Draw one star, and two at rest."""
    first, second = sys.argv[1:]
    save(plot_spectrum(first), "plot.png")
    window = [(5160.0, 5190.0), (5884.0, 5902.0)]
    save(plot_spectrum([first, second], windows=window, rest=True), "plot-two.png")


if __name__ == "__main__":
    main()
