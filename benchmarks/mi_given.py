"""Conditional mutual information against its known truth, NPEET, ennemi and tigramite's CMIknn.

`python -m benchmarks.mi_given --rows 1000,4000` prints mean errors in nats by case and number of
conditions; `--speed` times one pair of 50,000 rows, in turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import ennemi
import npeet_plus
import numpy as np
import pandas as pd
from tigramite.independence_tests.cmiknn import CMIknn

from benchmarks.timing import rounds, wall_and_processor
from latentscope import mutual_information

Case = tuple[str, np.ndarray, np.ndarray, np.ndarray, float]


def cases(n: int, conditions: int, seed: int) -> Iterator[Case]:
    """Chains, forks and colliders: name, x, y, conditions (n, d), and the truth in nats."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, n))
    others = rng.normal(size=(n, conditions))
    z = others.sum(axis=1) / np.sqrt(conditions)
    related, half = 0.8 * a + 0.6 * b, -0.5 * np.log(0.36)
    link = a + 0.2 * b
    yield "chain", a, link + 0.2 * c, np.column_stack([link, others[:, 1:]]), 0.0
    yield "fork", z + a, z + b, others, 0.0
    yield "close fork", z + 0.1 * a, z + 0.1 * b, others, 0.0
    close = z + 0.1 * (0.9 * a + np.sqrt(0.19) * b)
    yield "close fork, r = 0.9 left", z + 0.1 * a, close, others, -0.5 * np.log(0.19)
    met = np.column_stack([a + b + 0.5 * c, others[:, 1:]])
    yield "collider", a, b, met, -0.5 * np.log(0.36)
    yield "parabola and wave", z**2 + 0.3 * a, np.sin(3 * z) + 0.3 * related, others, half
    yield "scatter follows", np.exp(z / 2) * a, np.exp(z / 2) * related, others, half
    yield "heavy tails", np.sinh(2 * (z + 0.5 * a)), np.exp(z + 0.5 * related), others, half


def values(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> dict[str, float]:
    """Estimates by name, in nats, k = 3."""
    names = ("auto", "copula", "ksg")
    found = {name: mutual_information(x, y, given=z, estimator=name) for name in names}
    found["NPEET"] = npeet_plus.cmi(x[:, None], y[:, None], z, k=3, base=np.e)
    found["ennemi"] = float(ennemi.estimate_mi(y, x, k=3, cond=z)[0, 0])
    found["CMIknn"] = cmi_knn(x, y, z)
    return found


def cmi_knn(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> float:
    """Tigramite's estimate, of ranks, as it takes them by default."""
    roles = np.array([0, 1] + [2] * z.shape[1])
    return float(CMIknn(knn=3).get_dependence_measure(np.vstack([x, y, z.T]), roles))


def speed(rows: int) -> None:
    """Time one pair and one condition, in turns."""
    _, x, y, z, _ = next(iter(cases(rows, 1, 0)))
    values(x[:500], y[:500], z[:500])  # compiles
    jobs = {
        "ksg": lambda: mutual_information(x, y, given=z, estimator="ksg"),
        "auto": lambda: mutual_information(x, y, given=z),
        "ennemi": lambda: ennemi.estimate_mi(y, x, k=3, cond=z),
        "CMIknn": lambda: cmi_knn(x, y, z),
    }
    for name, times in rounds(jobs, 5, wall_and_processor).items():
        wall, processor = times.min(axis=0)
        print(f"{name}: {wall:.3f} s, {processor:.3f} s of processor time")


def main() -> None:
    """Print the table, or times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1000,4000")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    if options.speed:
        speed(50_000)
        return
    found = [
        {"rows": n, "conditions": d, "case": name, "truth": truth}
        | {key: value - truth for key, value in values(x, y, z).items()}
        for n in map(int, options.rows.split(","))
        for d in (1, 3)
        for seed in range(options.seeds)
        for name, x, y, z, truth in cases(n, d, seed)
    ]
    table = pd.DataFrame(found)
    mean = table.groupby(["rows", "conditions", "case"], sort=False).mean()
    print(mean.round(3).to_string())
    size = table.drop(columns=["case", "truth"]).abs().groupby(["rows", "conditions"]).mean()
    print("\nmean |error|\n" + size.round(3).to_string())


if __name__ == "__main__":
    main()
