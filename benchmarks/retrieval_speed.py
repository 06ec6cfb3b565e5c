"""Time of retrieval against the peers, in one run: python -m benchmarks.retrieval_speed.

The ten nearest of --rows standardized rows of float32, by Euclidean distance, for one query and for
--queries of them at once, after everything is loaded:

- latentscope: the search alone (`Neighbors`), and `Retriever.query` with its tables and reasons;
- numpy: squared norms and one product of matrices, then `argpartition`;
- scikit-learn: `NearestNeighbors`, brute force;
- scipy: `cKDTree`, of which only --tree-queries of many are timed and scaled;
- faiss: `IndexFlatL2`, where faiss-cpu is installed.

Contenders take turns. Printed are the best and the median time by the clock over --repeats, and the
median of the processor's time, from which the ratios are, since it hardly feels what else runs; and
how many of the first --checked queries have other rows, or another order, than a sort of float64
distances. Threads are those of OMP_NUM_THREADS and NUMBA_NUM_THREADS: give both 1, or the
processor's time is that of several cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from benchmarks.timing import Work, duration, rounds, row, wall_and_processor
from latentscope.diagnostics.nearest import Neighbors
from latentscope.diagnostics.retrieval import Retriever

Singles = NDArray[np.float32]
Found = NDArray[np.int64]
Search = Callable[[Singles], Found]

K = 10


@dataclass(frozen=True)
class Contender:
    """A way to find the nearest rows, shape (m, d) -> (m, K), and how many queries it is given."""

    name: str
    search: Search
    max_queries: int = 1 << 30


def contenders(rows: Singles, tree_queries: int) -> list[Contender]:
    """Load the rows into every contender."""
    found = [*ours(rows), Contender("numpy, norms and a product", by_numpy(rows))]
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(rows)
    found.append(
        Contender(
            "scikit-learn NearestNeighbors, brute",
            lambda queries: brute.kneighbors(queries, return_distance=False),
        )
    )
    tree = cKDTree(rows)
    found.append(
        Contender("scipy cKDTree", lambda queries: tree.query(queries, K)[1], tree_queries)
    )
    if importlib.util.find_spec("faiss") is not None:
        found.append(Contender("faiss IndexFlatL2", by_faiss(rows)))
    return found


def ours(rows: Singles) -> list[Contender]:
    """Both ways into this package."""
    retriever = Retriever(rows, dims="all", spread="none")
    every, nobody = np.ones(len(rows), dtype=np.bool_), np.empty(0, dtype=np.int64)
    neighbors = Neighbors(rows, every, retriever.space)

    def search(queries: Singles) -> Found:
        near = neighbors.nearest(queries.astype("f8"), [nobody] * len(queries), K)
        return np.array([one.rows for one in near])

    def answer(queries: Singles) -> Found:
        return retriever.query(queries, K).table["row"].to_numpy().reshape(len(queries), K)

    return [Contender("latentscope, search", search), Contender("latentscope, query", answer)]


def by_numpy(rows: Singles) -> Search:
    """Brute force with a matrix product."""
    norms = np.einsum("ij,ij->i", rows, rows)

    def search(queries: Singles) -> Found:
        squared = norms - 2 * (queries @ rows.T)
        near = np.argpartition(squared, K, axis=1)[:, :K]
        order = np.argsort(np.take_along_axis(squared, near, axis=1), axis=1)
        return np.take_along_axis(near, order, axis=1)

    return search


def by_faiss(rows: Singles) -> Search:
    """Exact search of faiss."""
    import faiss

    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    return lambda queries: index.search(queries, K)[1]


def wrong(search: Search, rows: Singles, queries: Singles) -> int:
    """Count queries whose rows are not those of a sort of distances in float64."""
    found, count = search(queries), 0
    for query, near in zip(queries.astype("f8"), found, strict=True):
        distances = ((rows.astype("f8") - query) ** 2).sum(axis=1)
        count += not np.array_equal(np.argsort(distances, kind="stable")[:K], near)
    return count


def measure(rows: Singles, queries: Singles, options: argparse.Namespace) -> None:
    """Print a line for each contender."""
    ways = contenders(rows, options.tree_queries)
    for way in ways:
        way.search(queries[:1])
    searches: dict[tuple[str, int], Work] = {}
    for way in ways:
        for count in (1, len(queries)):
            part = queries[: min(count, way.max_queries)]
            searches[way.name, count] = lambda way=way, part=part: way.search(part)
    times = rounds(searches, options.repeats, wall_and_processor)
    for way in ways:
        cells = [f"{way.name}, {rows.shape[1]} dims"]
        for count in (1, len(queries)):
            taken = times[way.name, count] * count / min(count, way.max_queries)
            best, (clock, processor) = taken[:, 0].min(), np.median(taken, axis=0)
            ratio = processor / np.median(times[ways[0].name, count][:, 1])
            cells += [duration(best), duration(clock), duration(processor), f"{ratio:.1f}x"]
        checked = queries[: min(options.checked, way.max_queries)]
        row(*cells, f"{wrong(way.search, rows, checked)} of {len(checked)}")


def sample(n: int, dims: int, seed: int) -> Singles:
    """Independent Gaussian dimensions: no structure that a search could use."""
    return np.random.default_rng(seed).standard_normal((n, dims), dtype=np.float32)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 8])
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--tree-queries", type=int, default=4)
    parser.add_argument("--checked", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args(arguments)
    kinds = ("best", "median", "processor", "ratio")
    counts = [f"{count}: {kind}" for count in (1, options.queries) for kind in kinds]
    row("who", *counts, "wrong")
    row(*["---"] * 10)
    for dims in options.dims:
        start = time.perf_counter()
        rows = sample(options.rows, dims, 0)
        measure(rows, sample(options.queries, dims, 1), options)
        print(f"\n{options.rows:,} rows, {time.perf_counter() - start:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
