import numpy as np
import pytest

from latentscope.diagnostics.trust.sets import alike


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_every_row_comes_once_with_its_own_columns(share):
    known = np.random.default_rng(0).random((200, 3)) >= share
    seen = np.zeros(200, int)
    sets = []
    for columns, rows in alike(known):
        assert (known[rows] == columns).all()
        seen[rows] += 1
        sets.append(tuple(columns))
    assert (seen == 1).all()
    assert len(sets) == len(set(sets)) == len(np.unique(known, axis=0))
