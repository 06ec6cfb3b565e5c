"""Shares in the notes are of the rows that have latents."""

import numpy as np
import pytest

from latentscope.diagnostics.mi.columns import notes_of, read_column, seen

N = 600


def test_ties_of_rows_without_latents_do_not_count():
    values = np.repeat(np.arange(N / 2), 2)
    column = read_column("teff", values)
    assert notes_of([seen(column, np.arange(N) >= 10)], None) == [
        "values tied, their order random: teff (100%)"
    ]
    alone = seen(column, np.arange(N) % 2 == 0)
    assert (alone.rows, alone.tied, alone.many_tied) == (N // 2, 0, False)


@pytest.mark.parametrize("seed", range(5))
def test_ties_are_those_that_counting_finds(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 400, N) / 3
    values[rng.random(N) < 0.1] = np.nan
    ok = rng.random(N) < 0.7
    label = seen(read_column("v", values), ok)
    kept = values[ok & ~np.isnan(values)]
    counts = np.unique(kept, return_counts=True)[1]
    assert (label.rows, label.tied) == (len(kept), counts[counts > 1].sum())
    assert seen(read_column("v", values), np.zeros(N, dtype=bool)).tied == 0
