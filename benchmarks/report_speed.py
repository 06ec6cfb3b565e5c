"""Time and size of a report on made-up latents: python -m benchmarks.report_speed.

Normal latents of which `--informative` vary, the others being switched off, labels that depend on
some of them, `--stars` stars, and a network of random weights that decodes so many latents on the
grid of harps-sim (`--model no` leaves it out). A line a part, then the sum and the sizes. The time
of processors says what a machine that does other things too would take without them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mi_inputs import columns
from latentscope import Latents, load_model
from latentscope.errors import LatentscopeWarning
from latentscope.reporting.report import ROWS, report

_OFF = 1e-3


def network(dims: int) -> Any:
    """Return a network like harps-sim with so many latents and random weights."""
    import torch

    from latentscope.models.network import SpectrumVAE

    like = load_model("harps-sim")
    torch.manual_seed(0)
    return SpectrumVAE(replace(like.config, latents=dims), like.prepare, {"name": "random"}).eval()


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark with options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=7_000)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--informative", type=int, default=12)
    parser.add_argument("--labels", type=int, default=8)
    parser.add_argument("--stars", type=int, help="default: one a row")
    parser.add_argument("--sample", type=int, default=ROWS, help="rows of slow statistics")
    parser.add_argument("--model", choices=("yes", "no"), default="yes")
    parser.add_argument("-o", "--output", type=Path, help="default: thrown away")
    options = parser.parse_args(arguments)
    values, labels = columns(options.rows, options.dims, options.labels)
    values[:, options.informative :] *= _OFF
    stars = None
    if options.stars is not None:
        stars = np.random.default_rng(1).integers(0, options.stars, options.rows)
    model = network(options.dims) if options.model == "yes" else None
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", LatentscopeWarning)
        output = options.output or Path(folder) / "report.html"
        start, used = time.perf_counter(), time.process_time()
        result = report(
            Latents(values.astype(np.float32)),
            labels,
            model=model,
            groups=stars,
            max_rows=options.sample,
            output=output,
        )
        spent, used = time.perf_counter() - start, time.process_time() - used
        for row in result.table.to_dict("records"):
            print(f"{row['seconds']:7.1f} s  {row['status']:<6}  {row['title']}")
        megabytes = [path.stat().st_size / 1e6 for path in (result.output, result.json)]
    print(
        f"{spent:7.1f} s in all, {used:.1f} s of processors; page {megabytes[0]:.1f} MB, "
        f"numbers {megabytes[1]:.1f} MB"
    )


if __name__ == "__main__":
    main()
