"""Time of mutual information against the peers, in one run: python benchmarks/mi_speed.py.

Each figure is the best of a few repeats, after a first call that compiles. Options make it longer:
--rows sets the size of the large sample (the archive has 272,376 spectra).
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from latentscope.diagnostics.ksg import ksg
from latentscope.diagnostics.mutual_information import mi_matrix


def seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def gaussians(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    x = rng.normal(size=n)
    return x, 0.6 * x + 0.8 * rng.normal(size=n)


def peers() -> dict[str, Callable[[np.ndarray, np.ndarray], object]]:
    from sklearn.feature_selection import mutual_info_regression

    found: dict[str, Callable[[np.ndarray, np.ndarray], object]] = {
        "scikit-learn": lambda x, y: mutual_info_regression(
            x[:, None], y, n_neighbors=3, n_jobs=2, random_state=0
        )
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from npeet_plus import mi

            found["NPEET"] = lambda x, y: mi(x, y, k=3, base=np.e)
        except ImportError:
            print("NPEET is not installed: left out")
        try:
            from ennemi import estimate_mi

            found["ennemi"] = lambda x, y: estimate_mi(y, x, k=3, preprocess=False)
        except ImportError:
            print("ennemi is not installed: left out")
    return found


def one_pair(n: int, repeats: int) -> None:
    x, y = gaussians(n)
    ksg(x, y)
    ours = seconds(lambda: ksg(x, y), repeats)
    print(f"one pair, n = {n:,}: latentscope {1e3 * ours:.2f} ms")
    for name, estimate in peers().items():
        theirs = seconds(lambda estimate=estimate: estimate(x, y), 1 if n > 20_000 else 3)
        print(f"    {name} {1e3 * theirs:.1f} ms, {theirs / ours:.1f}x")


def matrix(n: int, dims: int, labels: int) -> None:
    from sklearn.feature_selection import mutual_info_regression

    rng = np.random.default_rng(0)
    latents = rng.normal(size=(n, dims))
    columns = {f"label_{i}": latents[:, i] + rng.normal(size=n) for i in range(labels)}
    table = pd.DataFrame(columns)
    mi_matrix(latents[:50], table[:50])
    ours = seconds(lambda: mi_matrix(latents, table), 1)
    again = seconds(lambda: mi_matrix(latents, table), 2)
    theirs = seconds(
        lambda: mutual_info_regression(latents, table["label_0"], n_jobs=2, random_state=0), 1
    )
    print(
        f"{dims} x {labels} matrix with error bars and p-values, n = {n:,}: {ours:.2f} s "
        f"({again:.2f} s once the null is known); scikit-learn, values alone, "
        f"{labels * theirs:.2f} s (one label timed): {labels * theirs / ours:.1f}x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="rows of the large sample")
    options = parser.parse_args()
    one_pair(7_000, 5)
    one_pair(options.rows, 3)
    matrix(5_000, 16, 8)


if __name__ == "__main__":
    main()
