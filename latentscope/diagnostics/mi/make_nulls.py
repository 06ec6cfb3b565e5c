"""Make the table of nulls: python -m latentscope.diagnostics.mi.make_nulls.

For each number of neighbors, KSG of shuffled ranks at several n gives the shape of the null (see
`Shape`). Other entries stay as they are. The draws are seeded; all of the default takes about half
an hour on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from latentscope.diagnostics.mi.estimators import Copula
from latentscope.diagnostics.mi.nulls import (
    TABLE,
    Shape,
    TableEntry,
    read_table,
    simulated,
    write_table,
)
from latentscope.files import atomic_path

NEIGHBORS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32)
ROWS = (12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 4096)


def entry_of(neighbors: int, rows: Sequence[int] = ROWS) -> TableEntry:
    """Simulate KSG of ranks with one number of neighbors.

    Beyond 1,024 rows fewer draws are made, which give the width alone: the rest of the shape is
    that of 1,024 rows, scaled.
    """
    shapes: list[Shape] = []
    enough = [n for n in rows if n >= 2 * neighbors]
    for n in enough:
        wide = n > 1024 and shapes
        n_draws = 6_000 if wide else 20_000
        shape = simulated(Copula(), np.arange(n), np.arange(n), neighbors, n_draws)
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


def main() -> None:
    """Simulate what is asked for, and put it into the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neighbors", nargs="+", type=int, default=NEIGHBORS)
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("-o", "--output", type=Path, default=TABLE)
    options = parser.parse_args()
    table = dict(read_table(options.output))
    for neighbors in options.neighbors:
        entry = table[neighbors] = entry_of(neighbors, options.rows)
        with atomic_path(options.output) as temporary:
            write_table(temporary, table)
        width = entry.coefficients[-1, 1]
        print(f"k = {neighbors}: standard deviation {width:.4f} / sqrt(n)", flush=True)


if __name__ == "__main__":
    main()
