"""Seconds of metrics and robustness, of a report, and of trust: one subcommand each.

    python -m benchmarks.diagnostics_speed metrics
    python -m benchmarks.diagnostics_speed report --informative 128
    python -m benchmarks.diagnostics_speed trust --rows 200000

The time of processors, of all cores together, says what a machine that does other things too would
take without them.
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
import pandas as pd

from benchmarks.mi_speed import columns
from benchmarks.timing import Work, in_turns, wall_and_processor
from latentscope import Latents, load_model, metrics, report, robustness, score
from latentscope.diagnostics.trust_reference import Reference
from latentscope.errors import LatentscopeWarning
from latentscope.models.encode import encode
from latentscope.models.trust import segments_text, trust_sample
from latentscope.simulation.simulate import simulate
from latentscope.spectra.oxygen import resolving_power

NOISE = (0.05, 0.1, 0.3, 0.5, 1, 1.5, 2, 4)
_OFF = 1e-3
SPECTRA, REPEATS, MODEL = 8, 10, "harps-sim"


def time_metrics(options: argparse.Namespace) -> None:
    """Eight labels, of which each has a dimension with noise of its own; the rest knows nothing."""
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(7000, len(NOISE)))
    noisy = labels + np.array(NOISE) * rng.normal(size=labels.shape)
    latents = np.hstack([noisy, rng.normal(size=labels.shape)])
    metrics(latents[:500], labels[:500], n_halves=0)  # compiles
    ways: dict[str, Work] = {
        "metrics": lambda: metrics(latents, labels),
        "robustness": lambda: robustness(latents, labels),
    }
    for name, work in ways.items():
        wall, processor = wall_and_processor(work)
        print(f"{name}: {wall:.1f} s, {processor:.1f} s of processor time")


def network(dims: int) -> Any:
    """Return a network like harps-sim with so many latents and random weights."""
    import torch

    from latentscope.models.network import SpectrumVAE

    like = load_model(MODEL)
    torch.manual_seed(0)
    return SpectrumVAE(replace(like.config, latents=dims), like.prepare, {"name": "random"}).eval()


def time_report(options: argparse.Namespace) -> None:
    """Normal latents, of which some vary, and labels that depend on these; a line per part."""
    values, labels = columns(options.rows, 128, 8)
    values[:, options.informative :] *= _OFF
    model = network(128)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", LatentscopeWarning)
        begun = time.perf_counter(), time.process_time()
        result = report(
            Latents(values.astype(np.float32)),
            labels,
            model=model,
            output=Path(folder) / "report.html",
        )
        wall, processor = time.perf_counter() - begun[0], time.process_time() - begun[1]
        for row in result.table.to_dict("records"):
            print(f"{row['seconds']:7.1f} s  {row['status']:<6}  {row['title']}")
        page, numbers = (path.stat().st_size / 1e6 for path in (result.output, result.json))
    print(
        f"{wall:7.1f} s in all, {processor:.1f} s of processors; page {page:.1f} MB, numbers "
        f"{numbers:.1f} MB"
    )


def many_rows(n: int) -> Latents:
    """Rows drawn from a model's sample, as `encode` would have written them."""
    sample, rng = trust_sample(MODEL), np.random.default_rng(0)
    drawn = sample.rows(rng.integers(0, len(sample), n))
    names = ("recon_error", "coverage", "snr", "resolution")
    text = [segments_text(row) for row in drawn.segments]
    table = pd.DataFrame({name: getattr(drawn, name) for name in names} | {"recon_segments": text})
    moved = drawn.values + 0.01 * rng.normal(size=drawn.values.shape)
    return Latents(moved, table, provenance={"recon_segments": sample.edges.tolist()})


def time_trust(options: argparse.Namespace) -> None:
    """Scoring a large table with its text columns, and the resolution that `encode` measures."""

    def least(work: Work, repeats: int = 1) -> float:
        return in_turns({"": work}, repeats, time.process_time)[""]

    sample, rows = trust_sample(MODEL), many_rows(options.rows)
    print(f"reference of {len(sample):,} rows: {least(lambda: Reference(sample), 3):.2f} s")
    print(f"score of {options.rows:,} rows: {least(lambda: score(rows, reference=sample)):.1f} s")
    spectra = [spectrum for spectrum, _ in simulate(SPECTRA, seed=1)]
    model = load_model(MODEL)
    model.folder = None
    whole = least(lambda: encode(spectra, model, workers=1), REPEATS)
    part = least(lambda: [resolving_power(spectrum) for spectrum in spectra], REPEATS)
    print(
        f"encode of spectra in memory: {1e3 * whole / SPECTRA:.2f} ms each, of which the "
        f"resolution {1e3 * part / SPECTRA:.2f} ms"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    jobs = parser.add_subparsers(required=True)
    job = jobs.add_parser("metrics", help="disentanglement measures and their robustness")
    job.set_defaults(work=time_metrics)
    job = jobs.add_parser("report", help="time and size of a report on made-up latents")
    job.set_defaults(work=time_report)
    job.add_argument("--rows", type=int, default=7_000)
    job.add_argument("--informative", type=int, default=12, help="dimensions of 128 that vary")
    job = jobs.add_parser("trust", help="score of a large table; resolution in encode")
    job.set_defaults(work=time_trust)
    job.add_argument("--rows", type=int, default=200_000)
    options = parser.parse_args(arguments)
    options.work(options)


if __name__ == "__main__":
    main()
