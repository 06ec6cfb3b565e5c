"""Simulated full-grid spectra a second on one core: `python -m benchmarks.simulate_speed`.

There is no peer to compare with: the figure is processor time, which other work on the machine
disturbs less than wall time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from latentscope.simulation.files import file_name, write_spectrum
from latentscope.simulation.simulate import simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--linelist")
    parser.add_argument("-n", type=int, default=100)
    args = parser.parse_args()
    spectra = simulate(args.n + 2, linelist=args.linelist)
    next(spectra), next(spectra)  # templates and compilation
    begin = time.process_time()
    kept = [spectrum for spectrum, _ in spectra]
    made = time.process_time() - begin
    print(f"made: {args.n / made:.1f} spectra/s of processor time, {len(kept[0])} pixels each")
    with tempfile.TemporaryDirectory() as folder:
        for layout in ("s1d", "adp"):
            begin = time.process_time()
            for index, spectrum in enumerate(kept):
                write_spectrum(spectrum, Path(folder) / file_name(index, layout), layout)
            written = time.process_time() - begin
            print(f"made and written as {layout}: {args.n / (made + written):.1f} spectra/s")


if __name__ == "__main__":
    main()
