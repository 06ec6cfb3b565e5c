"""Draw docs/images/rv-teff.png: `python docs/figures/velocity.py Gl581.fits:-9.2 [STARS]`.

Velocity as `harps-sim-plain` learned it, as `harps-sim` fits it, and the temperature of the latter,
against the truth of simulated stars, with the track of a real star that is shifted.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from archive import save

from benchmarks.model_quality import SHIFTS, encode_rows, label_table, real_track
from latentscope import load_model
from latentscope.plots import plot_dim_against_label
from latentscope.plots.style import WIDE
from latentscope.spectra.read import read_spectrum
from train.data.rows import simulated_rows

PLAIN, FITTED = "harps-sim-plain", "harps-sim"
TITLES = {
    PLAIN: f"{PLAIN}: learned",
    FITTED: f"{FITTED}: built in and fitted",
}


def main() -> None:
    """Draw three panels."""
    path, _, known = sys.argv[1].rpartition(":")
    stars = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    _, axes = plt.subplots(1, 3, figsize=(WIDE, 2.9), dpi=150, layout="constrained")
    models = {name: load_model(name) for name in (PLAIN, FITTED)}
    if models[PLAIN].prepare != models[FITTED].prepare:
        raise SystemExit(
            "the two models prepare spectra differently; draw each from rows of its own"
        )
    rows, truth = simulated_rows(models[FITTED].prepare, 0, stars, n=stars, seed=5000)
    labels = pd.DataFrame(truth)
    star = read_spectrum(path).meta.get("object") or Path(path).name
    for ax, (name, model) in zip(axes, models.items(), strict=False):
        latents, _ = encode_rows(model, rows)
        best = label_table(latents, labels)
        track = real_track(model, path)
        dim = best["radvel"]["dim"]
        plot_dim_against_label(
            latents[:, dim], labels["radvel"], ax, dim=dim, name="radvel",
            mi=best["radvel"]["mi_nats"], track=(float(known) + SHIFTS, track[:, dim]),
            track_name=f"{star}, shifted",
        )  # fmt: skip
        ax.set_title(f"{TITLES[name]}\n{best['radvel']['mi_nats']:.2f} nats, n = {stars:,}")
        print(name, {label: best[label] for label in ("radvel", "Teff")}, flush=True)
    teff = best["Teff"]
    plot_dim_against_label(
        latents[:, teff["dim"]], labels["Teff"], axes[2], dim=teff["dim"], name="Teff",
        color=labels["logg"], color_name="logg",
    )  # fmt: skip
    axes[2].set_title(f"{FITTED}: learned\n{teff['mi_nats']:.2f} nats, n = {stars:,}")
    save(axes[0], "rv-teff.png")


if __name__ == "__main__":
    main()
