"""The benchmark of retrieval runs, at a size that measures nothing, and finds who is wrong."""

import numpy as np

from benchmarks import retrieval_speed


def test_a_line_for_each_contender(capsys):
    arguments = ["--rows", "400", "--dims", "3", "--queries", "5", "--repeats", "1"]
    retrieval_speed.main([*arguments, "--tree-queries", "2"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "3 dims" in line]
    assert {line.split("|")[1].split(",")[0].strip() for line in lines} >= {
        "latentscope", "numpy", "scikit-learn NearestNeighbors", "scipy cKDTree",
    }  # fmt: skip
    assert all(line.endswith(("| 0 of 4 |", "| 0 of 2 |")) for line in lines)


def test_wrong_rows_are_counted():
    rows = retrieval_speed.sample(50, 2, 0)
    queries = retrieval_speed.sample(3, 2, 1)
    ours = retrieval_speed.ours(rows)[0].search
    assert retrieval_speed.wrong(ours, rows, queries) == 0
    assert retrieval_speed.wrong(lambda q: np.roll(ours(q), 1, axis=1), rows, queries) == 3
