"""How fast the simulator is: full spectra, files, and training rows per second.

    python -m benchmarks.simulator_speed --linelist harps_lines.csv.gz
    python -m benchmarks.simulator_speed --device cuda --n 64

On a CPU the figures are processor time of one thread, which other work on the machine disturbs
least; with a GPU all are timed by the clock, until the device is done. The tasks take
turns, and the shortest of the rounds counts. `spectra` are what `latentscope simulate` makes, with
noise on 313,114 pixels; `archive rows` have noise of numpy's stream and are always made on the CPU,
`stream rows` have that of the device.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from benchmarks.encode_speed import COMPACT_GRID
from benchmarks.timing import Work, in_turns
from latentscope.models.config import published_prepare
from latentscope.simulation.population import observe
from latentscope.simulation.simulate import file_name, simulate, write_spectrum
from latentscope.simulation.synthesis import synthesizer_of
from latentscope.spectra.prepare import PrepareConfig
from train.data.rows import Maker, simulated_rows

GRIDS = {
    "compact": PrepareConfig(COMPACT_GRID, normalization="continuum"),
    "published": published_prepare("median-padded"),
}


def written(n: int, linelist: str | None, layout: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for index, (spectrum, _) in enumerate(simulate(n, linelist=linelist)):
            write_spectrum(spectrum, Path(folder) / file_name(index, layout), layout)


def tasks_of(args: argparse.Namespace) -> dict[str, Work]:
    n, linelist = args.n, args.linelist
    observations = [observe(index, index, 0) for index in range(n)]
    synthesizer = synthesizer_of(linelist)
    tasks: dict[str, Work] = {
        "stars drawn": lambda: [observe(index, index, 0) for index in range(n)],
        "noiseless": lambda: [synthesizer.flux([o]) for o in observations],
        "spectra": lambda: list(simulate(n, linelist=linelist)),
    }
    for layout in ("s1d", "adp"):
        tasks[f"{layout} files"] = partial(written, n, linelist, layout)
    for name, prepare in GRIDS.items():
        archive = partial(simulated_rows, prepare, 0, n, n=n, linelist=linelist)
        maker = Maker(prepare, 0, linelist, args.device, args.block)
        tasks[f"archive rows, {name}"] = archive
        tasks[f"stream rows, {name}"] = partial(maker.rows, range(n))
    return tasks


def gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--linelist", help="line list file; the built-in list by default")
    parser.add_argument("--device", default="cpu", help="of the stream rows")
    parser.add_argument("--n", type=int, default=32, help="spectra of each task")
    parser.add_argument("--block", type=int, help="stream rows made at once")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    clock = time.process_time if args.device == "cpu" else gpu_clock
    best = in_turns(tasks_of(args), args.rounds, clock, warm=True)
    print(f"torch {torch.__version__}, stream rows on {args.device}; per second, one thread")
    for name, taken in best.items():
        print(f"{name:<24} {args.n / taken:>10.1f}")


if __name__ == "__main__":
    main()
