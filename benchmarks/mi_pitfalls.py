"""What mutual information says where it fools people: python -m benchmarks.mi_pitfalls.

The figures of docs/where-mi-fools-you.md: means over seeds, in nats, beside the truth.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np

from latentscope.diagnostics.mi.api import mi_matrix, mutual_information


def exposures(seeds: int) -> None:
    """A latent that clusters by star and a label of the star that has nothing to do with it."""
    print("300 stars, label of the star unrelated to the latent (truth 0)")
    for scatter in (0.3, 0.1, 0.02):
        for count in (1, 3, 10, 30):
            plain, grouped, false = [], [], 0
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                star = np.repeat(np.arange(300), count)
                latent = rng.normal(size=300)[star] + scatter * rng.normal(size=len(star))
                label = rng.normal(size=300)[star]
                alone = mi_matrix(latent[:, None], label[:, None]).table.iloc[0]
                stars = mi_matrix(latent[:, None], label[:, None], groups=star).table.iloc[0]
                plain.append(alone["mi_nats"])
                grouped.append(stars["mi_nats"])
                false += alone["p_value"] < 0.05
            print(
                f"  scatter {scatter}, {count} exposures a star: {np.mean(plain):.2f}, called "
                f"significant {false} of {seeds}; with groups {np.mean(grouped):.2f}"
            )


def rounding(seeds: int) -> None:
    print("correlation 0.7, both columns rounded (truth of the unrounded 0.337), n = 5,000")
    for step in (0.01, 0.1, 0.5):
        values = {name: [] for name in ("auto", "ksg", "mixture", "histogram")}
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            x = rng.normal(size=5_000)
            y = 0.7 * x + np.sqrt(0.51) * rng.normal(size=5_000)
            x, y = (np.round(column / step) * step for column in (x, y))
            for name, found in values.items():
                found.append(mutual_information(x, y, estimator=name))
        told = ", ".join(f"{name} {np.mean(found):.3f}" for name, found in values.items())
        print(f"  step {step}: {told}")


def strong(seeds: int) -> None:
    print("y = x + Gaussian noise of a standard deviation s, x normal")
    for noise in (0.1, 0.01, 0.001, 0.0001):
        truth = 0.5 * np.log(1 + noise**-2)
        told = []
        for n in (300, 1_000, 5_000, 50_000):
            values = []
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                x = rng.normal(size=n)
                values.append(mutual_information(x, x + noise * rng.normal(size=n)))
            told.append(f"n = {n:,} {np.mean(values):.2f}")
        print(f"  s = {noise:g}: truth {truth:.2f}; {', '.join(told)}")


def many_columns(seeds: int) -> None:
    print("d columns each side, each related to one of the other side (truth 1), n = 5,000")
    for d in (1, 2, 3, 5, 10, 20):
        rho = np.sqrt(1 - np.exp(-2 / d))
        values = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            x = rng.normal(size=(5_000, d))
            y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=(5_000, d))
            values.append([mutual_information(x, y, estimator=e) for e in ("auto", "ksg")])
        auto, ksg = np.mean(values, axis=0)
        print(f"  d = {d}: auto {auto:.2f}, ksg {ksg:.2f}")


def selection(seeds: int) -> None:
    print("luminosity and distance independent, kept if the flux is above a limit, n = 5,000")
    for share in (1.0, 0.5, 0.1):
        values = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            luminosity = rng.normal(size=60_000)
            distance = rng.random(60_000) ** (1 / 3)
            flux = luminosity - 2 * np.log(distance)
            kept = np.flatnonzero(flux >= np.quantile(flux, 1 - share))[:5_000]
            values.append(mutual_information(luminosity[kept], distance[kept]))
        print(f"  brightest {share:.0%}: {np.mean(values):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore")
    for part in (exposures, rounding, strong, many_columns, selection):
        part(seeds)


if __name__ == "__main__":
    main()
