"""Draw what is left once a label is known: docs/images/mi-given.png, on made stars."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from archive import save

from latentscope import mi_matrix
from latentscope.plots import plot_mi


def main() -> None:
    """Measure 3,000 stars with and without the temperature, print the tables and draw them."""
    rng = np.random.default_rng(0)
    teff, air, noise, other = rng.normal(size=(4, 3000))
    latents = np.column_stack([teff + 0.62 * air + 0.207 * noise, other])
    labels = pd.DataFrame(
        {"Teff": teff, "mass": 0.95 * teff + 0.31 * rng.normal(size=3000), "airmass": air}
    )
    columns = ["mass", "airmass"]
    alone = mi_matrix(latents, labels, columns=columns)
    given = mi_matrix(latents, labels, columns=columns, given="Teff")
    for result in (alone, given):
        print("\n".join(result.sentences()))
    print(f"truth: airmass {np.log(1 + 0.62**2 / (1 + 0.207**2)) / 2:.3f}, given Teff "
          f"{np.log(1 + 0.62**2 / 0.207**2) / 2:.3f}")  # fmt: skip
    _, axes = plt.subplots(1, 2, figsize=(8, 1.9), dpi=150, layout="constrained")
    for ax, result in zip(axes, (alone, given), strict=True):
        plot_mi(result, ax)
    save(axes[0], "mi-given.png")


if __name__ == "__main__":
    main()
