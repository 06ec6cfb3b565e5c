"""Samples whose neighbors are known."""

import numpy as np
import pandas as pd

from latentscope import Latents, retrieve


def sample(n=60, stars=20, d=3, seed=0, **columns):
    """Latents of n exposures of so many stars, in turn; exposures of a star lie close together."""
    rng = np.random.default_rng(seed)
    star = np.arange(n) % stars
    values = rng.normal(size=(stars, d))[star] + 0.01 * rng.normal(size=(n, d))
    table = pd.DataFrame(
        {
            "file": [f"night/{i}.fits" for i in range(n)],
            "id": [f"exposure-{i}" for i in range(n)],
            "object": [f"S{i}" for i in star],
        }
        | columns
    )
    return Latents(values, table, provenance={"model": "m"}, source="here.npy")


def line(values, **columns):
    """One dimension, whose distances are seen at a glance."""
    table = pd.DataFrame(columns) if columns else None
    return Latents(np.asarray(values, dtype=np.float64)[:, None], table)


def near(latents, query, **options):
    options = {"dims": "all", "spread": "none", "n_matches": 3} | options
    return retrieve(query, latents, **options)
