"""Draw the picture of docs/disentanglement.md and print its numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from archive import archive, save

from latentscope import metrics

# Four even mixtures of four dimensions.
EVEN = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
LABELS = ["radvel", "Teff", "logg", "[M/H]", "[alpha/M]", "vsini", "spec_type"]


def main() -> None:
    """Measure the bundled model's latents, draw the measures, and print what they say."""
    latents, labels = archive()
    result = metrics(latents, labels, columns=LABELS, groups="star")
    save(result.plot(), "disentanglement.png")
    print(result.compact.round(2).to_string(index=False))
    print("\n".join(result.sentences()))
    print(result.importance.round(2).to_string())
    print(known().round(2).to_string())


def known(stars: int = 2000) -> pd.DataFrame:
    """What latents give of which it is known how disentangled they are, against four labels."""
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(stars, 4))
    perfect = labels + 0.02 * rng.normal(size=labels.shape)
    cases = {
        "perfect": perfect,
        "useless": rng.normal(size=labels.shape),
        "duplicated": np.hstack([perfect, perfect]),
        "rotated": perfect @ EVEN,
    }
    found = {
        name: metrics(values, labels, n_halves=0, n_rotations=1).headlines
        for name, values in cases.items()
    }
    first = found["perfect"]
    titles = pd.MultiIndex.from_frame(first[["metric", "estimator"]])
    columns = {name: table["value"].to_numpy() for name, table in found.items()}
    return pd.DataFrame(columns, index=titles)


if __name__ == "__main__":
    main()
