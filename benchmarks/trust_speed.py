"""What trust costs: scoring a large table, and the resolution that `encode` measures.

Run: `python -m benchmarks.trust_speed --rows 200000`. Prints processor seconds, which other work on
the machine hardly changes; `score` is read from a .csv-like table with its text columns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from latentscope.data import Latents
from latentscope.diagnostics.trust import Reference
from latentscope.models.encode import encode
from latentscope.models.trust import score, segments_text, trust_sample
from latentscope.models.weights import load_model
from latentscope.simulation.simulate import simulate
from latentscope.spectra.summary import resolving_power

SPECTRA, REPEATS = 8, 10


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """Least processor seconds of a call."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def many_rows(model: str, n: int) -> Latents:
    """Rows drawn from a model's sample, as `encode` would have written them."""
    sample, rng = trust_sample(model), np.random.default_rng(0)
    drawn = sample.rows(rng.integers(0, len(sample), n))
    columns = {
        name: getattr(drawn, name) for name in ("recon_error", "coverage", "snr", "resolution")
    }
    text = [segments_text(row) for row in drawn.segments]
    table = pd.DataFrame(columns | {"recon_segments": text})
    moved = drawn.values + 0.01 * rng.normal(size=drawn.values.shape)
    return Latents(moved, table, provenance={"recon_segments": sample.edges.tolist()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="harps-sim")
    parser.add_argument("--rows", type=int, default=200_000)
    args = parser.parse_args()
    sample, rows = trust_sample(args.model), many_rows(args.model, args.rows)
    print(f"reference of {len(sample):,} rows: {seconds(lambda: Reference(sample), 3):.2f} s")
    print(f"score of {args.rows:,} rows: {seconds(lambda: score(rows, reference=sample)):.1f} s")
    spectra = [spectrum for spectrum, _ in simulate(SPECTRA, seed=1)]
    model = load_model(args.model)
    model.folder = None
    whole = seconds(lambda: encode(spectra, model, workers=1), REPEATS)
    part = seconds(lambda: [resolving_power(spectrum) for spectrum in spectra], REPEATS)
    print(
        f"encode of spectra in memory: {1e3 * whole / SPECTRA:.2f} ms each, of which the "
        f"resolution {1e3 * part / SPECTRA:.2f} ms"
    )


if __name__ == "__main__":
    main()
