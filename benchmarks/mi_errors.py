"""Error bars, false positives and the time of groups: python -m benchmarks.mi_errors.

The figures of docs/mutual-information.md beside those of mi_accuracy and mi_speed.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd

from latentscope.diagnostics.mi.api import mi_matrix

SIZES = {
    "both continuous": (1_000, None),
    "two equal classes": (1_000, [500, 500]),
    "a class of 1 %": (1_000, [10, 990]),
    "100 classes of 10 rows": (1_000, [10] * 100),
}


def coverage(repeats: int) -> None:
    for n in (600, 5_000):
        for rho in (0.0, 0.3, 0.6, 0.9, 0.95, 0.99):
            rng = np.random.default_rng(1)
            truth, score = -0.5 * np.log(1 - rho**2), []
            for _ in range(repeats):
                x = rng.normal(size=(n, 1))
                y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=(n, 1))
                row = mi_matrix(x, y).table.iloc[0]
                score.append((row["mi_nats"] - truth) / row["std_nats"])
            inside, mean = np.mean(np.abs(score) < 1), np.mean(score)
            print(f"n = {n:,}, r = {rho}: inside {inside:.0%}, mean score {mean:+.2f}")


def false_positives(pairs: int) -> None:
    for name, (n, sizes) in SIZES.items():
        rng = np.random.default_rng(5)
        p_values = []
        for _ in range(max(1, pairs // 200)):
            label = rng.normal(size=n) if sizes is None else np.repeat(np.arange(len(sizes)), sizes)
            table = pd.DataFrame({"label": rng.permutation(label)})
            known = None if sizes is None else ["label"]
            result = mi_matrix(rng.normal(size=(n, 200)), table, discrete=known)
            p_values.extend(result.table["p_value"])
        shares = ", ".join(f"{np.mean(np.array(p_values) <= p):.4f}" for p in (0.05, 0.01, 0.001))
        print(f"{name}, n = {n:,}: {shares} at 0.05, 0.01, 0.001 of {len(p_values):,} pairs")


def groups(stars: int) -> None:
    rng = np.random.default_rng(0)
    star = np.repeat(np.arange(stars), 3)
    latents = rng.normal(size=(stars, 16))[star] + 0.1 * rng.normal(size=(len(star), 16))
    labels = latents[::3, :4][star] + rng.normal(size=(stars, 4))[star]
    begin = time.perf_counter()
    mi_matrix(latents, labels, groups=star)
    print(f"64 pairs of {stars:,} stars with 3 exposures: {time.perf_counter() - begin:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=6_000)
    parser.add_argument("--stars", type=int, default=2_334)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    groups(options.stars)
    false_positives(options.pairs)
    coverage(options.repeats)


if __name__ == "__main__":
    main()
