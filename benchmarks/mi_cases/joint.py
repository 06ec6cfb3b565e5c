"""Cases where x or y has several columns: tasks of Czyz et al. 2023 and some more."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from benchmarks.mi_cases.bmi import NormalMixture, half_cube
from benchmarks.mi_cases.case import CONTINUOUS, Case, Floats, Sample, case
from benchmarks.mi_cases.gaussian import gaussian
from benchmarks.mi_cases.student import dense, normal, paired, student


def spiral(speed: float, first: int = 0, second: int = 1):
    """Turn of two columns by an angle of `speed` times the squared length of the whole row."""

    def turned(x: Floats) -> Floats:
        angle = speed * (x * x).sum(1)
        out = x.copy()
        out[:, first] = np.cos(angle) * x[:, first] - np.sin(angle) * x[:, second]
        out[:, second] = np.sin(angle) * x[:, first] + np.cos(angle) * x[:, second]
        return out

    return turned


def swiss_roll(z: Floats) -> Floats:
    """Normal column laid along a spiral in the plane."""
    turn = 1.5 * np.pi * (1 + 2 * ndtr(z))
    return np.column_stack([turn * np.cos(turn), turn * np.sin(turn)]) / 21


def galaxy(speed: float = 0.5, distance: float = 3.0) -> Case:
    """Two round clouds in three columns, of which the first two, x, are wound up.

    Only the distance along the line between the clouds says which one it is, so the truth is that
    of two columns.
    """
    half = distance / 2
    line = np.array([[-1, -1], [1, 1]]) * [np.sqrt(2) * half, half]
    flat = NormalMixture(line, np.array([np.eye(2)] * 2), (0.05, 0.05))

    def draw(rng: np.random.Generator, n: int) -> Sample:
        side = rng.choice([-half, half], n)
        table = side[:, None] + rng.normal(size=(n, 3))
        return table[:, :2], table[:, 2]

    def log_ratio(x: Floats, y: Floats) -> Floats:
        return flat.log_ratio(x.sum(1) / np.sqrt(2), y)

    return case("galaxy 2 x 1", CONTINUOUS, draw, flat.truth, log_ratio, spiral(speed))


def waves(parts: int = 12, amplitude: float = 5.0, frequency: float = 3.0) -> Case:
    """Clouds in a row, y in steps of four, x sheared into waves by a column of no information."""
    steps = np.arange(parts)
    means = 1.5 * np.column_stack([steps, steps % 4])
    flat = NormalMixture(means, np.array([0.1 * np.eye(2)] * parts), (0.04, 0.04))

    def draw(rng: np.random.Generator, n: int) -> Sample:
        along, y = flat.draw(rng, n)
        return np.column_stack([along, rng.normal(size=n)]), y

    def wavy(x: Floats) -> Floats:
        along = x[:, 0] + amplitude * np.sin(frequency * x[:, 1])
        return np.column_stack([0.1 * along - 0.8, 0.5 * x[:, 1]])

    def log_ratio(x: Floats, y: Floats) -> Floats:
        return flat.log_ratio(x[:, 0], y)

    return case("waves 2 x 1", CONTINUOUS, draw, flat.truth, log_ratio, wavy)


def uneven(x: Floats) -> Floats:
    """Columns in units that differ by a factor of 1000 each."""
    return x * 1000.0 ** np.arange(x.shape[1])


# Correlation of the interacting pairs of the "sparse" tasks: 2^2 / (2^2 + 1).
PAIRED = 0.8

CASES = (
    gaussian("Swiss roll 2 x 1", 0.75, swiss_roll, ndtr),
    normal("normal dense 1 x 2", dense(3, 0.5), 1),
    normal("normal dense 2 x 1, strong", dense(3, 0.9), 2),
    normal("normal dense 2 x 2", dense(4, 0.5), 2),
    normal("normal dense 3 x 3", dense(6, 0.5), 3),
    normal("normal pairs 2 x 2", paired(2, 2, PAIRED), 2),
    normal("normal pairs 3 x 3", paired(3, 2, PAIRED), 3),
    normal("uniform margins, pairs 3 x 3", paired(3, 2, PAIRED), 3, ndtr, ndtr),
    normal("half-cube, pairs 3 x 3", paired(3, 2, PAIRED), 3, half_cube, half_cube),
    normal("spiral, pairs 3 x 3", paired(3, 2, PAIRED), 3, spiral(1 / 3), spiral(1 / 3, 1, 2)),
    normal(
        "spiral of uniform, pairs 3 x 3",
        paired(3, 2, PAIRED),
        3,
        lambda x: spiral(1 / 3)(ndtr(x)),
        lambda y: spiral(1 / 3, 1, 2)(ndtr(y)),
    ),
    normal("units 1000 apart, dense 2 x 2", dense(4, 0.5), 2, uneven, uneven),
    normal("independent 2 x 2", np.eye(4), 2),
    *(student(f"Student 2 x 2, dof {dof}", dof, 2, 2) for dof in (1, 2, 3)),
    student("asinh of Student 2 x 2, dof 1", 1, 2, 2, of_both=np.arcsinh),
    student("Student 3 x 3, dof 2", 2, 3, 3),
    student("asinh of Student 3 x 3, dof 2", 2, 3, 3, of_both=np.arcsinh),
    galaxy(),
    waves(),
)
