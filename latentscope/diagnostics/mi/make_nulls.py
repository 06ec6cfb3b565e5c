"""Make the table of nulls: python -m latentscope.diagnostics.mi.make_nulls.

For each method of ranks and number of neighbours, estimates of shuffled ranks at several n give
the shape of the null (see `null_shapes`). Entries of other methods stay as they are. The draws are
seeded; all of the default takes about half an hour on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from latentscope.diagnostics.mi import estimators
from latentscope.diagnostics.mi.estimators import Method
from latentscope.diagnostics.mi.nulls import (
    TABLE,
    Shape,
    TableEntry,
    key_of,
    read_table,
    simulated,
    write_table,
)
from latentscope.files import atomic_path

NEIGHBORS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32)
ROWS = (12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 4096)

_FEWEST_PER_NEIGHBOR = 2
_DRAWS = 20_000
_FULL_SHAPE_UP_TO = 1024
_DRAWS_OF_WIDTH = 6_000


def entry_of(method: Method, neighbors: int, rows: Sequence[int] = ROWS) -> TableEntry:
    """Simulate a method of ranks with one number of neighbours.

    Beyond 1,024 rows fewer draws are made, which give the width alone: the rest of the shape is
    that of 1,024 rows, scaled.
    """
    shapes: list[Shape] = []
    enough = [n for n in rows if n >= _FEWEST_PER_NEIGHBOR * neighbors]
    for n in enough:
        wide = n > _FULL_SHAPE_UP_TO and shapes
        draws = _DRAWS_OF_WIDTH if wide else _DRAWS
        shape = simulated(method, np.arange(n), np.arange(n), neighbors, draws)
        if wide:
            before = shapes[-1].of_more_rows(n / enough[len(shapes) - 1]).coefficients
            width = np.where(np.arange(len(before)) == 1, shape.coefficients, before)
            shape = Shape(width, shape.excess)
        shapes.append(shape)
    return TableEntry(
        np.array(enough, dtype=np.float64),
        np.array([shape.coefficients for shape in shapes]),
        np.array([shape.excess for shape in shapes]),
    )


def methods() -> dict[str, Method]:
    """Return the estimators that have a name, by name."""
    return {value.name: value for value in vars(estimators).values() if isinstance(value, Method)}


def main() -> None:
    """Simulate what is asked for, and put it into the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["copula"], choices=sorted(methods()))
    parser.add_argument("--neighbors", nargs="+", type=int, default=NEIGHBORS)
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("-o", "--output", type=Path, default=TABLE)
    options = parser.parse_args()
    for name in options.methods:
        for neighbors in options.neighbors:
            entry = entry_of(methods()[name], neighbors, options.rows)
            table = {**read_table(options.output), key_of(name, neighbors): entry}
            with atomic_path(options.output) as temporary:
                write_table(temporary, table)
            width = entry.coefficients[-1, 1]
            print(f"{name}, k = {neighbors}: standard deviation {width:.4f} / sqrt(n)", flush=True)


if __name__ == "__main__":
    main()
