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
code and simulates the null, stands apart.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_selection import mutual_info_regression

from benchmarks.mi_peers import peers
from benchmarks.timing import Work, duration, in_turns, row, seconds
from latentscope.diagnostics.mi.api import mi_matrix, mutual_information

# What a label makes of the latent it depends on: straight, folded, waved, heavy-tailed.
CURVES = (lambda z: z, lambda z: z * z, lambda z: np.sin(3 * z), lambda z: np.exp(0.8 * z))

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


def columns(rows: int, dims: int, labels: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Normal latents of shape (rows, dims) and continuous labels that depend on some of them.

    Latents go in pairs of correlation 0.6. Nothing is held beside what is returned, so that a
    measurement of memory can begin here.
    """
    rng = np.random.default_rng(0)
    latents = np.empty((rows, dims))
    rng.standard_normal(out=latents)
    for i in range(1, dims, 2):
        latents[:, i] *= 0.8
        latents[:, i] += 0.6 * latents[:, i - 1]
    table = {}
    for i in range(labels):
        curve = CURVES[i % len(CURVES)]
        table[f"label_{i}"] = curve(latents[:, i % dims]) + 0.5 * rng.standard_normal(rows)
    return latents, pd.DataFrame(table)


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
        f"{duration(best['ours'])} (first call {duration(first)})",
        f"scikit-learn, values alone: {duration(peer)} "
        f"({part.shape[1]} of {8 * dims} pairs timed: {duration(best['theirs'])})",
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
    contenders: dict[str, Work] = {"ours": lambda: mutual_information(x, y)}
    for peer in peers(("scikit-learn", "NPEET", "ennemi", "infomeasure")).values():
        peer.estimate(x[:200], y[:200], False)
        contenders[peer.name] = lambda peer=peer: peer.estimate(x, y, False)
    best = in_turns(contenders, options.repeats)
    ours = best.pop("ours")
    for name, theirs in best.items():
        row(
            f"pair: n = {options.pair_rows:,}",
            duration(ours),
            f"{name}: {duration(theirs)}",
            f"{theirs / ours:.1f}x",
        )


def resident(field: str) -> float:
    """Resident size of this process, MB: VmRSS now, or VmHWM at most so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Of this process alone; getrusage also remembers the one that started it.
        (line,) = [line for line in status.read_text().splitlines() if line.startswith(field)]
        return int(line.split()[1]) / 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1024**2 if sys.platform == "darwin" else 1024)


def memory_of(rows: int, measured: int) -> None:
    """Print the peak of `mi_matrix` above its inputs as a line of JSON, in megabytes and seconds.

    In a process of its own, because the peak of a process never falls.
    """
    # Code is compiled or read, and the null simulated, before the large columns exist.
    mi_matrix(*columns(200, 4, 2))
    before = resident("VmRSS")
    latents, labels = columns(rows, 128, 8)
    loaded = resident("VmRSS")
    taken = seconds(lambda: mi_matrix(latents, labels, columns=list(labels.columns[:measured])))
    above = resident("VmHWM") - loaded
    print(json.dumps({"inputs": loaded - before, "above": above, "seconds": taken}))


def memory(options: argparse.Namespace) -> None:
    """Print the peak of memory above the inputs, measured in a process of its own."""
    arguments = f"({options.rows}, {options.memory_labels})"
    code = f"from benchmarks.mi_speed import memory_of; memory_of{arguments}"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
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
        f"first call {duration(first)}, second {duration(second)}",
        f"imports: latentscope {duration(own)} after numba, numpy, pandas, scipy "
        f"{duration(others)}",
        f"{duration(first - second + own)} beyond those",
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
