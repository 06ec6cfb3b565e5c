"""Draw the pictures of docs/mad.md and docs/pairs.md: `python docs/figures/informative.py`."""

from __future__ import annotations

from archive import archive, save

from latentscope import exclusive_information, mad, pairwise_mi
from latentscope.plots import plot_pairs


def main() -> None:
    """Draw the deviations, what each dimension adds, and all pairs."""
    latents, labels = archive()
    save(mad(latents).plot(), "mad.png")
    save(exclusive_information(latents, groups="star").plot(), "exclusive.png")
    found = pairwise_mi(latents, dims="informative", groups="star")
    color = labels["spec_type"]
    save(plot_pairs(latents, color=color, name="spec_type", pairs=found), "pairs.png")


if __name__ == "__main__":
    main()
