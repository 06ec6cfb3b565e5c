"""How wide the intervals of `metrics` are against the scatter over independent sets of stars.

`python -m benchmarks.metrics_intervals --sets 200 --fast` prints for each headline the mean value,
its scatter over the sets (real), the root mean square of the half widths over 1.96 (width), their
ratio, and how many of the intervals hold the mean of all sets. The ratio is known to 1 in
sqrt(2 sets): with 20 sets to 16 %, with 200 to 5 %. `--fast` leaves out forests, explicitness and
total correlation by neighbors, which take nearly all of the time.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd

from latentscope import metrics
from latentscope.diagnostics import disentanglement

CASES = ("clear", "tied", "exposures", "classes")


def made(stars: int, seed: int, case: str = "clear") -> tuple[np.ndarray, pd.DataFrame]:
    """Six latents, one of them noise and one a repetition, and four labels, one of classes.

    "tied": two dimensions know the same of each label. "exposures": three spectra of a star, with
    errors of their own. "classes": all labels are classes.
    """
    rng = np.random.default_rng(seed)
    a, b, c, d = truth = rng.normal(size=(4, stars))
    noise = rng.normal(size=(5, stars))
    latents = [a + 0.3 * b, b + 0.3 * noise[0], c + 0.6 * noise[1], d + noise[2], noise[3]]
    values = np.column_stack([*latents, 0.7 * a + noise[4]])
    labels = pd.DataFrame(dict(zip("abcd", truth, strict=True))).assign(d=d > 0.3)
    if case == "tied":
        values = np.column_stack([*truth, *truth]) + 0.5 * rng.normal(size=(stars, 8))
    if case == "classes":
        labels = (labels > 0.2) * 1 + (labels > 1.0)
        labels = labels.astype(str)
    if case == "exposures":
        star = np.repeat(np.arange(stars), 3)
        values = values[star] + 0.2 * rng.normal(size=(len(star), values.shape[1]))
        labels = labels.iloc[star].reset_index(drop=True).assign(star=star)
    return values, labels


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, default=300)
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--halves", type=int, default=100)
    parser.add_argument("--case", choices=CASES, default=CASES[0])
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.fast:
        disentanglement.FAMILIES = tuple(it for it in disentanglement.FAMILIES if not it.slow)
    found = []
    for seed in range(options.sets):
        latents, labels = made(options.stars, 1000 + seed, options.case)
        result = metrics(
            latents, labels, dims="all", n_rotations=1, n_halves=options.halves, seed=seed
        )
        found.append(result.headlines)
    table = pd.concat(found)
    keys = ["metric", "estimator"]
    table["mean"] = table.groupby(keys)["value"].transform("mean")
    table["width"] = ((table["high"] - table["low"]) / 2 / 1.96) ** 2
    table["held"] = (table["low"] <= table["mean"]) & (table["mean"] <= table["high"])
    groups = table.groupby(keys, sort=False)
    shown = groups[["value", "width", "held"]].mean()
    shown["width"] **= 0.5
    shown.insert(1, "real", groups["value"].std(ddof=1))
    shown.insert(3, "ratio", shown["width"] / shown["real"])
    print(shown.round(3).to_string())


if __name__ == "__main__":
    main()
