"""What one column shares with several: nearest neighbours against a prediction from them.

Gaussian columns of which a known mixture makes the target, 5,000 rows, mean of three draws. Joint
KSG takes neighbours that are near in all columns, few of which matter, and loses close relations;
what a cross-fitted prediction shares with the target keeps them. Run:

    python -m benchmarks.joint_relations
"""

from __future__ import annotations

import numpy as np

from latentscope import mutual_information
from latentscope.diagnostics.exclusive import cross_fitted

ROWS, DRAWS = 5000, 3


def main() -> None:
    print("rho   columns  true    joint kNN  prediction")
    for rho in (0.0, 0.6, 0.9, 0.999):
        for columns in (1, 3, 5, 9):
            true = -0.5 * np.log(1 - rho**2)
            joint, predicted = np.mean([_measured(rho, columns, i) for i in range(DRAWS)], axis=0)
            print(f"{rho:<5} {columns:7d}  {true:5.3f}  {joint:9.3f}  {predicted:10.3f}")


def _measured(rho: float, columns: int, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    several = rng.normal(size=(ROWS, columns))
    target = rho * several.sum(axis=1) / np.sqrt(columns)
    target += np.sqrt(1 - rho**2) * rng.normal(size=ROWS)
    predicted = cross_fitted(several, target[:, None], rng)[:, 0]
    return (
        mutual_information(target, several, discrete=False),
        mutual_information(target, predicted, discrete=False),
    )


if __name__ == "__main__":
    main()
