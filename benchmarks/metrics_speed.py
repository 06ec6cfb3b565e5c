"""Seconds that the disentanglement measures and their robustness take.

`python -m benchmarks.metrics_speed` measures 7,000 stars of 16 dimensions against 8 labels; the
processor time is that of all cores together.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from latentscope import metrics, robustness

NOISE = (0.05, 0.1, 0.3, 0.5, 1, 1.5, 2, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, default=7000)
    parser.add_argument("--dims", type=int, default=16)
    parser.add_argument("--n-halves", type=int, default=100)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(chosen.stars, len(NOISE)))
    noisy = labels + np.array(NOISE) * rng.normal(size=labels.shape)
    rest = rng.normal(size=(chosen.stars, chosen.dims - len(NOISE)))
    latents = np.hstack([noisy, rest])
    metrics(latents[:500], labels[:500], n_halves=0)  # compiles
    measured("metrics", lambda: metrics(latents, labels, n_halves=chosen.n_halves))
    measured("robustness", lambda: robustness(latents, labels))


def measured(name: str, work: Callable[[], object]) -> None:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{name}: {wall:.1f} s, {processor:.1f} s of processor time")


if __name__ == "__main__":
    main()
