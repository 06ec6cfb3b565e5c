"""How wide the intervals of `metrics` are against the scatter over independent sets of stars.

`python -m benchmarks.metrics_intervals --stars 300 --sets 20` prints for each headline the mean
value, its scatter over the sets (real), the mean half width over 1.96 (width), their ratio, and how
many of the intervals hold the mean of all sets.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd

from latentscope import metrics
from latentscope.errors import LatentscopeWarning


def made(stars: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Six latents, one of them noise and one a repetition, and four labels, one of classes."""
    rng = np.random.default_rng(seed)
    a, b, c, d = truth = rng.normal(size=(4, stars))
    noise = rng.normal(size=(5, stars))
    latents = [a + 0.3 * b, b + 0.3 * noise[0], c + 0.6 * noise[1], d + noise[2], noise[3]]
    labels = pd.DataFrame(dict(zip("abcd", truth, strict=True))).assign(d=d > 0.3)
    return np.column_stack([*latents, 0.7 * a + noise[4]]), labels


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, default=300)
    parser.add_argument("--sets", type=int, default=20)
    options = parser.parse_args()
    warnings.simplefilter("ignore", LatentscopeWarning)
    found = []
    for seed in range(options.sets):
        latents, labels = made(options.stars, 1000 + seed)
        found.append(metrics(latents, labels, dims="all", n_rotations=1, seed=seed).headlines)
    table = pd.concat(found)
    keys = ["metric", "estimator"]
    table["mean"] = table.groupby(keys)["value"].transform("mean")
    table["width"] = (table["high"] - table["low"]) / 2 / 1.96
    table["held"] = (table["low"] <= table["mean"]) & (table["mean"] <= table["high"])
    groups = table.groupby(keys, sort=False)
    shown = groups[["value", "width", "held"]].mean()
    shown.insert(1, "real", groups["value"].std(ddof=1))
    shown.insert(3, "ratio", shown["width"] / shown["real"])
    print(shown.round(3).to_string())


if __name__ == "__main__":
    main()
