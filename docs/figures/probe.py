"""Draw the picture of docs/probe.md: labels of simulated stars, read from latents of harps-sim.

Run from the repository:

    python docs/figures/probe.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from archive import save

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from latentscope import load_model, probe
from latentscope.models.probes import compare_probe, read_probe
from train.publishing import simulated_labels

CLASSES = {
    "M dwarfs": "Teff < 4000 and logg > 3.5",
    "FGK dwarfs": "4000 <= Teff < 7000 and logg > 3.5",
    "hot stars": "Teff >= 7000",
    "giants": "logg <= 3.5",
    "[M/H] below -1.5": "`[M/H]` < -1.5",
    "metal-poor giants": "`[M/H]` < -1.5 and logg <= 3.5",
}


def main() -> None:
    """Simulate and encode stars that no probe has learned from, read them, draw and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="harps-sim")
    parser.add_argument("--n-spectra", type=int, default=1000)
    parser.add_argument("--data", type=Path, default=Path("probe-rows"))
    args = parser.parse_args()
    latents, labels = simulated_labels(
        load_model(args.model),
        args.n_spectra,
        seed=9500,
        population="imperfect",
        folder=args.data,
        workers=1,
    )
    made = read_probe(args.model)
    print(compare_probe(made, latents, labels, groups=None).round(3).to_string())
    for name, query in CLASSES.items():
        some = labels.index[labels.eval(query)]
        table = compare_probe(made, latents.take(some.to_numpy()), labels.loc[some], groups=None)
        shares = ", ".join(
            f"{row['label']} {row['covered']:.2f}" for row in table.to_dict("records")
        )
        print(f"{name} (n = {len(some)}): {shares}")
    columns = [one.label for one in made.readings]
    result = probe(latents, labels, dims=made.dims, columns=columns, groups=None)
    print("\n".join(result.sentences()))
    print(result.table[["label", "reader", "error", "rms", "r2"]].round(3).to_string())
    save(result.plot(), "probe.png")


if __name__ == "__main__":
    main()
