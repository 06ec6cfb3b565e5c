"""Time of mutual information against the peers, in one run: python -m benchmarks.mi_speed.

Jobs, all through the public functions of latentscope, k = 3:

- archive: 16 latents by 8 labels at --rows, with error bars and p-values, which `mi_matrix` always
  gives. scikit-learn is timed on --peer-dims latents and one label with two processes, values
  alone, and scaled to all pairs.
- unique: 128 latents by 8 labels at --unique-rows. scikit-learn is timed on one label and all
  latents, as starting its processes would count too much with few.
- pair: one pair at --pair-rows from plain arrays, each peer in turn.
- memory: peak above the inputs, 128 latents and 8 labels at --rows, all read, --memory-labels
  of them measured.
- startup: a new process, once everything is compiled: imports, first and second call.

Contenders take turns, each figure is the best of --repeats. The first call, which reads compiled
code and simulates the null, is told apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.feature_selection import mutual_info_regression

from benchmarks.mi_inputs import columns
from benchmarks.mi_peers import peers
from latentscope.diagnostics.mi.api import mi_matrix, mutual_information

Work = Callable[[], object]

_STARTUP = """
import json, time
start = time.perf_counter()
import numba, numpy as np, pandas, scipy.special
others = time.perf_counter()
from latentscope.diagnostics.mi.api import mutual_information
loaded = time.perf_counter()
x, noise = np.random.default_rng(0).normal(size=(2, 1000))
before = time.perf_counter()
mutual_information(x, x + noise)
first = time.perf_counter()
mutual_information(x, x + noise)
second = time.perf_counter()
print(json.dumps([others - start, loaded - others, first - before, second - first]))
"""


def seconds(work: Work) -> float:
    """Time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(contenders: dict[str, Work], repeats: int) -> dict[str, float]:
    """Best time of each contender over rounds in which each has one turn."""
    rounds = [{name: seconds(work) for name, work in contenders.items()} for _ in range(repeats)]
    return {name: min(turn[name] for turn in rounds) for name in contenders}


def row(*cells: str) -> None:
    """Print a line of a markdown table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def told(duration: float) -> str:
    """Seconds as text of three digits."""
    return f"{duration:.3g} s" if duration >= 1 else f"{1e3 * duration:.3g} ms"


def matrix(name: str, rows: int, dims: int, peer_dims: int, repeats: int) -> None:
    """Print the time of a matrix with error bars and p-values, and of scikit-learn's values."""
    latents, labels = columns(rows, dims, 8)
    part = latents[:, :peer_dims]

    def ours() -> object:
        return mi_matrix(latents, labels)

    def theirs() -> object:
        return mutual_info_regression(part, labels["label_0"], n_jobs=2, random_state=0)

    # Code is compiled and read, and scikit-learn's processes started, before the clock is.
    mi_matrix(latents[:60, :2], labels[:60])
    mutual_info_regression(part[:60], labels["label_0"][:60], n_jobs=2)
    first = seconds(ours)
    best = in_turns({"ours": ours, "theirs": theirs}, repeats)
    peer = best["theirs"] * 8 * dims / part.shape[1]
    row(
        f"{name}: {dims} x 8, n = {rows:,}, errors and p-values",
        f"{told(best['ours'])} (first call {told(first)})",
        f"scikit-learn, values alone: {told(peer)} "
        f"({part.shape[1]} of {8 * dims} pairs timed: {told(best['theirs'])})",
        f"{peer / best['ours']:.1f}x (first call {peer / first:.1f}x)",
    )


def archive(options: argparse.Namespace) -> None:
    """Print the job of the whole archive."""
    matrix("archive", options.rows, 16, options.peer_dims, options.repeats)


def unique(options: argparse.Namespace) -> None:
    """Print the job of the unique spectra."""
    matrix("unique", options.unique_rows, 128, 128, options.repeats)


def pair(options: argparse.Namespace) -> None:
    """Print the time of one pair of plain arrays against each peer."""
    latents, labels = columns(options.pair_rows, 1, 1)
    x, y = latents[:, 0].copy(), labels["label_0"].to_numpy()
    mutual_information(x, y)
    wanted = ("scikit-learn", "NPEET", "ennemi", "infomeasure")
    contenders: dict[str, Work] = {"ours": lambda: mutual_information(x, y)}
    for peer in peers(wanted).values():
        peer.estimate(x[:200], y[:200], False)
        contenders[peer.name] = lambda peer=peer: peer.estimate(x, y, False)
    best = in_turns(contenders, options.repeats)
    ours = best.pop("ours")
    for name, theirs in best.items():
        row(
            f"pair: n = {options.pair_rows:,}",
            told(ours),
            f"{name}: {told(theirs)}",
            f"{theirs / ours:.1f}x",
        )


def memory(options: argparse.Namespace) -> None:
    """Print the peak of memory above the inputs, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mi_memory"]
    arguments = [str(options.rows), str(options.memory_labels)]
    done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    row(
        f"memory: n = {options.rows:,} x 136 columns, {options.memory_labels} x 128 pairs",
        f"{found['above']:.0f} MB above the inputs",
        f"inputs {found['inputs']:.0f} MB",
        f"{found['seconds']:.1f} s",
    )


def startup(options: argparse.Namespace) -> None:
    """Print what a new process pays before and in its first call, the best of the repeats."""
    times = []
    for _ in range(1 + options.repeats):
        command = [sys.executable, "-c", _STARTUP]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        times.append(json.loads(done.stdout))
    others, own, first, second = np.min(times[1:], axis=0)
    row(
        "startup: a new process, n = 1,000",
        f"first call {told(first)}, second {told(second)}",
        f"imports: latentscope {told(own)} after numba, numpy, pandas, scipy {told(others)}",
        f"{told(first - second + own)} beyond those",
    )


JOBS = {job.__name__: job for job in (archive, unique, pair, memory, startup)}


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--job", type=lambda text: text.split(","), default=list(JOBS))
    parser.add_argument("--rows", type=int, default=272_376, help="of the whole archive")
    parser.add_argument("--unique-rows", type=int, default=7_000)
    parser.add_argument("--pair-rows", type=int, default=50_000)
    parser.add_argument("--peer-dims", type=int, default=4, help="of the archive, for scikit-learn")
    parser.add_argument("--memory-labels", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args(arguments)
    unknown = [job for job in options.job if job not in JOBS]
    if unknown:
        parser.error(f"job {unknown[0]!r} is not known; choose from {', '.join(JOBS)}")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark with options of the command line."""
    options = _options(arguments)
    row("job", "latentscope", "against", "ratio")
    row(*4 * ["---"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for job in options.job:
            JOBS[job](options)


if __name__ == "__main__":
    main()
