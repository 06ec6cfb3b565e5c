"""The simulator in torch against the compiled one: rows a second, in one run.

    python -m benchmarks.simulator_speed --linelist harps_lines.csv.gz
    python -m benchmarks.simulator_speed --device cuda --batch 64

Both make rows with noise of the same stars, in turns. The compiled simulator runs on one core. On a
CPU the figures are processor time of one thread, which other work on the machine disturbs least; on
a GPU, torch is timed by the clock, until the device is done. The shortest of the rounds counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from latentscope.simulation.population import observe
from latentscope.simulation.rows import simulated_rows
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.wavelength import Grid
from train.simulator.making import Maker

_GAPS = ((5303.64, 5338.04),)
GRIDS = {
    "compact": PrepareConfig(
        Grid("log", 3785.0, 2.9391358e-05, 20480, gaps=_GAPS), normalization="continuum"
    ),
    "published": PrepareConfig(
        Grid("linear", 3785.0, 0.01, 312501, pad_left=7589, pad_right=7590, gaps=_GAPS),
        normalization="median-padded",
    ),
}
_SEED = 0


def seconds(task: Callable[[], object], device: torch.device) -> float:
    """Time of a task: of the processor, or by the clock where a GPU works."""
    if device.type == "cpu":
        begin = time.process_time()
        task()
        return time.process_time() - begin
    torch.cuda.synchronize(device)
    begin = time.perf_counter()
    task()
    torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def shortest(tasks: dict[str, tuple[Callable[[], object], torch.device]], rounds: int) -> dict:
    """Return the shortest time of each task in s; the tasks take turns, the first is not timed."""
    best = dict.fromkeys(tasks, float("inf"))
    for turn in range(rounds + 1):
        for name, (task, device) in tasks.items():
            taken = seconds(task, device)
            if turn > 0:
                best[name] = min(best[name], taken)
    return best


def compare(name: str, args: argparse.Namespace) -> None:
    prepare, device, n = GRIDS[name], torch.device(args.device), args.batch
    maker = Maker(prepare, _SEED, args.linelist, device, args.block)

    def compiled() -> object:
        return simulated_rows(prepare, 0, n, n=n, seed=_SEED, linelist=args.linelist)

    cpu = torch.device("cpu")
    best = shortest(
        {
            "compiled": (compiled, cpu),
            "torch": (lambda: maker.rows(range(n)), device),
            "stars": (lambda: [observe(i, i, _SEED) for i in range(n)], cpu),
        },
        args.rounds,
    )
    print(
        f"{name:<10} {n / best['compiled']:>12.1f} {n / best['torch']:>12.1f} "
        f"{best['compiled'] / best['torch']:>8.2f} {n / best['stars']:>12.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--linelist", help="line list file; the built-in list by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--block", type=int, help="spectra made at once in torch")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__} on {args.device}; rows with noise a second")
    print(f"{'grid':<10} {'compiled':>12} {'torch':>12} {'ratio':>8} {'stars drawn':>12}")
    for name in GRIDS:
        compare(name, args)


if __name__ == "__main__":
    main()
