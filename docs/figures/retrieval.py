"""Draw the picture of docs/retrieval.md, print its table: `python docs/figures/retrieval.py`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from archive import archive, save

from latentscope import Retriever
from latentscope.plots import plot_matched_spectra

QUERY, MATCHES = 12, 6
LABELS = ["radvel", "Teff", "logg", "[M/H]", "vsini"]


def main() -> None:
    """Draw one query and its matches, and say how alike matches are in what is true of them."""
    latents, labels = archive()
    retriever = Retriever(latents)
    result = retriever.query(QUERY, MATCHES)
    save(plot_matched_spectra(result), "retrieval-spectra.png")
    print(alike(retriever, labels[LABELS]).round(2).to_string())


def alike(retriever: Retriever, labels: pd.DataFrame) -> pd.DataFrame:
    """Median difference of true labels: of the first matches, the closest of these, and any two."""
    found = retriever.query(np.arange(len(labels)), 1).table
    values = labels.to_numpy(dtype=np.float64)
    queries = found["query"].map({name: row for row, name in enumerate(retriever.latents.ids)})
    apart = np.abs(values[found["row"]] - values[queries])
    anyone = np.random.default_rng(0).permutation(len(labels))
    closest = (found["percentile"] < 10).to_numpy()
    medians = {
        "any two": np.median(np.abs(values[anyone] - values), axis=0),
        "nearest": np.median(apart, axis=0),
        "nearest, percentile below 10": np.median(apart[closest], axis=0),
    }
    return pd.DataFrame(medians, index=labels.columns)


if __name__ == "__main__":
    main()
