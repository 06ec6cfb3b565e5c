"""Mutual information against known truth, and the peers: python benchmarks/mi_accuracy.py.

Mean absolute error in nats over seeds. With --ive FOLDER also the distance from the published
GMM-MI values of the interpretable-VAE latents (files ive_latents.npy, ive_labels.csv and
ive_mi_reference.csv of dpiras/GMM-MI).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from latentscope.diagnostics.mutual_information import mi_matrix, mutual_information

Sample = tuple[np.ndarray, np.ndarray]


def gaussian(rho: float) -> tuple[Callable[[np.random.Generator, int], Sample], float]:
    def draw(rng: np.random.Generator, n: int) -> Sample:
        x = rng.normal(size=n)
        return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)

    return draw, -0.5 * np.log(1 - rho**2)


def mapped(rho: float, of_x: Callable, of_y: Callable):
    draw, truth = gaussian(rho)
    return (lambda rng, n: tuple(f(c) for f, c in zip((of_x, of_y), draw(rng, n), strict=True))), (
        truth
    )


def two_classes(distance: float):
    def draw(rng: np.random.Generator, n: int) -> Sample:
        y = rng.integers(0, 2, n)
        return rng.normal(size=n) + distance * y, y

    def density(x: float) -> float:
        return 0.5 * (norm.pdf(x) + norm.pdf(x - distance))

    entropy = quad(lambda x: -density(x) * np.log(density(x)), -9, 9 + distance)[0]
    return draw, entropy - 0.5 * np.log(2 * np.pi * np.e)


CASES = {
    "independent": gaussian(0.0),
    "Gaussian 0.3": gaussian(0.3),
    "Gaussian 0.6": gaussian(0.6),
    "Gaussian 0.9": gaussian(0.9),
    "Gaussian 0.99": gaussian(0.99),
    "heavy tails": mapped(0.7, np.sinh, lambda y: y**5),
    "unscaled": mapped(0.7, lambda x: 1e-3 * x, lambda y: 5000 + 1000 * y),
    "rounded to 0.1": mapped(0.7, lambda x: x.round(1), lambda y: y.round(1)),
    "two classes, 1 sigma": two_classes(1.0),
    "two classes, 3 sigma": two_classes(3.0),
}


def scikit_learn(x: np.ndarray, y: np.ndarray) -> float:
    kind = mutual_info_classif if y.dtype.kind == "i" else mutual_info_regression
    return float(kind(x[:, None], y, n_neighbors=3, random_state=0)[0])


def plain_ksg(x: np.ndarray, y: np.ndarray) -> float:
    return mutual_information(x, y, estimator="ross" if y.dtype.kind == "i" else "ksg")


def known_truth(n: int, seeds: int) -> None:
    import warnings

    warnings.simplefilter("ignore")
    estimators = {"auto": mutual_information, "values as are": plain_ksg, "sklearn": scikit_learn}
    print(f"{'n = ' + format(n, ','):<22}{'truth':>8}" + "".join(f"{e:>15}" for e in estimators))
    for name, (draw, truth) in CASES.items():
        errors = []
        for seed in range(seeds):
            x, y = draw(np.random.default_rng(seed), n)
            errors.append([abs(estimate(x, y) - truth) for estimate in estimators.values()])
        told = "".join(f"{error:15.4f}" for error in np.mean(errors, axis=0))
        print(f"{name:<22}{truth:8.4f}{told}")


def published(folder: Path) -> None:
    reference = pd.read_csv(folder / "ive_mi_reference.csv")
    for estimator in ("auto", "ksg"):
        result = mi_matrix(
            folder / "ive_latents.npy", folder / "ive_labels.csv", estimator=estimator
        )
        both = reference.merge(result.table, on=["label", "dim"], suffixes=("_published", ""))
        difference = (both["mi_nats"] - both["mi_nats_published"]).abs()
        print(
            f"IVE, {len(both)} pairs, {estimator}: mean |difference| {difference.mean():.4f} nats, "
            f"largest {difference.max():.4f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ive", type=Path, help="folder with the IVE files")
    options = parser.parse_args()
    known_truth(options.rows, options.seeds)
    if options.ive is not None:
        published(options.ive)


if __name__ == "__main__":
    main()
