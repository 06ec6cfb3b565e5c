"""Draw the picture of docs/trust.md: ordinary spectra with a few of each kind of outlier.

Run from the repository; --linelist replaces the built-in lines:

    python docs/figures/trust.py
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from archive import save

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.outliers import kinds, ordinary
from latentscope import encode, load_model, score

SPECTRA, OF_EACH, SEED = 240, 2, 9000


def main() -> None:
    """Simulate, spoil two spectra in each way, score and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--linelist")
    args = parser.parse_args()
    spectra = list(ordinary(SPECTRA, seed=SEED, linelist=args.linelist))
    for number, (name, spoil) in enumerate(kinds(args.linelist).items()):
        for copy in range(OF_EACH):
            at = number * OF_EACH + copy
            spoiled = spoil(spectra[at], np.random.default_rng(at))
            spectra[at] = replace(spoiled, meta=spoiled.meta | {"file": f"{name} ({copy + 1})"})
    result = score(encode(spectra, load_model("harps-sim")))
    print("\n".join(result.sentences(20)))
    save(result.plot(), "trust.png")


if __name__ == "__main__":
    main()
