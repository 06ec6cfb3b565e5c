"""Latents and labels for the benchmarks of speed and memory."""

from __future__ import annotations

import numpy as np
import pandas as pd

# What a label makes of the latent it depends on: straight, folded, waved, heavy-tailed.
CURVES = (lambda z: z, lambda z: z * z, lambda z: np.sin(3 * z), lambda z: np.exp(0.8 * z))


def columns(rows: int, dims: int, labels: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Normal latents of shape (rows, dims) and continuous labels that depend on some of them.

    Latents go in pairs of correlation 0.6. Nothing is held beside what is returned, so that a
    measurement of memory can begin here.
    """
    rng = np.random.default_rng(0)
    latents = np.empty((rows, dims))
    rng.standard_normal(out=latents)
    for i in range(1, dims, 2):
        latents[:, i] *= 0.8
        latents[:, i] += 0.6 * latents[:, i - 1]
    told = {}
    for i in range(labels):
        curve = CURVES[i % len(CURVES)]
        told[f"label_{i}"] = curve(latents[:, i % dims]) + 0.5 * rng.standard_normal(rows)
    return latents, pd.DataFrame(told)
