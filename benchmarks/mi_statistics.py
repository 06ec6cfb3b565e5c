"""What mutual information says where the truth is known: python -m benchmarks.mi_statistics.

Parts, of which --part chooses; all values in nats:

- groups, false_positives, coverage: the time of groups, p-values of independent columns, and how
  often the truth lies within an error bar (docs/mutual-information.md);
- exposures, rounding, strong, many_columns, selection: where it fools people, means over --seeds
  (docs/pitfalls.md);
- joint: what one column shares with several, nearest neighbors against a prediction
  from them. Gaussian columns of which a known mixture makes the target: joint KSG takes neighbors
  that are near in all columns, few of which matter, and loses close relations; what a cross-fitted
  prediction shares with the target keeps them.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd

from benchmarks.timing import seconds
from latentscope.diagnostics.exclusive import cross_fitted
from latentscope.diagnostics.mi.api import mi_matrix, mutual_information

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
            classes = None if sizes is None else ["label"]
            result = mi_matrix(rng.normal(size=(n, 200)), table, discrete=classes)
            p_values.extend(result.table["p_value"])
        shares = ", ".join(f"{np.mean(np.array(p_values) <= p):.4f}" for p in (0.05, 0.01, 0.001))
        print(f"{name}, n = {n:,}: {shares} at 0.05, 0.01, 0.001 of {len(p_values):,} pairs")


def groups(stars: int) -> None:
    rng = np.random.default_rng(0)
    star = np.repeat(np.arange(stars), 3)
    latents = rng.normal(size=(stars, 16))[star] + 0.1 * rng.normal(size=(len(star), 16))
    labels = latents[::3, :4][star] + rng.normal(size=(stars, 4))[star]
    taken = seconds(lambda: mi_matrix(latents, labels, groups=star))
    print(f"64 pairs of {stars:,} stars with 3 exposures: {taken:.1f} s")


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
                f"  scatter {scatter}, {count} exposures per star: {np.mean(plain):.2f}, called "
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
        line = ", ".join(f"{name} {np.mean(found):.3f}" for name, found in values.items())
        print(f"  step {step}: {line}")


def strong(seeds: int) -> None:
    print("y = x + Gaussian noise of a standard deviation s, x normal")
    for noise in (0.1, 0.01, 0.001, 0.0001):
        truth = 0.5 * np.log(1 + noise**-2)
        line = []
        for n in (300, 1_000, 5_000, 50_000):
            values = []
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                x = rng.normal(size=n)
                values.append(mutual_information(x, x + noise * rng.normal(size=n)))
            line.append(f"n = {n:,} {np.mean(values):.2f}")
        print(f"  s = {noise:g}: truth {truth:.2f}; {', '.join(line)}")


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


def joint() -> None:
    print("rho   columns  true    joint kNN  prediction")
    for rho in (0.0, 0.6, 0.9, 0.999):
        for columns in (1, 3, 5, 9):
            true = -0.5 * np.log(1 - rho**2)
            found = np.mean([_joint(rho, columns, seed) for seed in range(3)], axis=0)
            print(f"{rho:<5} {columns:7d}  {true:5.3f}  {found[0]:9.3f}  {found[1]:10.3f}")


def _joint(rho: float, columns: int, seed: int, rows: int = 5_000) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    several = rng.normal(size=(rows, columns))
    target = rho * several.sum(axis=1) / np.sqrt(columns)
    target += np.sqrt(1 - rho**2) * rng.normal(size=rows)
    predicted = cross_fitted(several, target[:, None], rng)[:, 0]
    return (
        mutual_information(target, several, discrete=False),
        mutual_information(target, predicted, discrete=False),
    )


PITFALLS = (exposures, rounding, strong, many_columns, selection)
PARTS = [part.__name__ for part in (groups, false_positives, coverage, *PITFALLS, joint)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--repeats", type=int, default=300, help="of coverage")
    parser.add_argument("--pairs", type=int, default=6_000, help="of false_positives")
    parser.add_argument("--stars", type=int, default=2_334, help="of groups")
    parser.add_argument("--seeds", type=int, default=5, help="of the places where it fools people")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    work = {
        "groups": lambda: groups(options.stars),
        "false_positives": lambda: false_positives(options.pairs),
        "coverage": lambda: coverage(options.repeats),
        "joint": joint,
    }
    for pitfall in PITFALLS:
        work[pitfall.__name__] = lambda pitfall=pitfall: pitfall(options.seeds)
    for name in options.part:
        work[name]()


if __name__ == "__main__":
    main()
