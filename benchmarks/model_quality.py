"""What a model's dimensions know: simulated stars with known truth, and real stars shifted.

Run:

    python -m benchmarks.model_quality harps-sim --stars 5000 --real Gl581.fits:-9.2

Each real spectrum is Doppler-shifted by -60 ... +60 km/s; the number after the colon is its known
radial velocity in km/s. Prints the table of the model card.
"""

from __future__ import annotations

import argparse
import dataclasses
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from benchmarks.timing import table
from latentscope.diagnostics.mi.api import mutual_information
from latentscope.models.weights import load_model
from latentscope.spectra.prepare import prepare
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.wavelength import doppler_shift
from train.data.rows import simulated_rows
from train.learning.losses import kl_per_dim

LABELS = ("radvel", "Teff", "[M/H]", "logg", "vsini")
SHIFTS = np.arange(-60.0, 61.0, 5.0)


def encode_rows(model: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean latents and KL per dimension (nats) of prepared rows, shape (n, d) each."""
    means, kls = [], []
    with torch.no_grad():
        for start in range(0, len(rows), 32):
            mean, logvar = model.encode(torch.from_numpy(rows[start : start + 32].astype("f4")))
            means.append(mean.numpy())
            kls.append(kl_per_dim(mean, logvar).numpy())
    return np.concatenate(means).astype(float), np.concatenate(kls)


def simulated_latents(model: Any, args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, Any]:
    """Latents, KL and labels of new stars, one spectrum each."""
    means, kls, labels = [], [], []
    for start in range(0, args.stars, 200):
        stop = min(start + 200, args.stars)
        rows, truth = simulated_rows(
            model.prepare, start, stop, n=args.stars, seed=args.seed, linelist=args.linelist
        )
        mean, kl = encode_rows(model, rows)
        means.append(mean)
        kls.append(kl)
        labels += truth
    return np.concatenate(means), np.concatenate(kls), pd.DataFrame(labels)


def label_table(latents: np.ndarray, labels: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Best dimension of each label: MI in nats (KSG, k = 3), rank correlation, second-best MI."""
    found = {}
    for name in LABELS:
        y = labels[name].to_numpy(float)
        values = [mutual_information(latents[:, d], y) for d in range(latents.shape[1])]
        order = np.argsort(values)[::-1]
        best = int(order[0])
        found[name] = {
            "dim": best,
            "mi_nats": round(float(values[best]), 3),
            "rank_correlation": round(float(spearmanr(latents[:, best], y)[0]), 3),
            "second_dim": int(order[1]),
            "second_mi_nats": round(float(values[order[1]]), 3),
        }
    return found


def dimensions(latents: np.ndarray, kl: np.ndarray) -> str:
    """Informative dimensions by MAD and by KL, and the largest MI between two of them."""
    by_mad = np.flatnonzero(np.median(np.abs(latents - np.median(latents, 0)), 0) > 0.02)
    by_kl, open_at_all = (np.flatnonzero(kl.mean(0) > nats).tolist() for nats in (0.1, 0.02))
    pairs = [(mutual_information(*latents[:, pair].T), pair) for pair in combinations(by_kl, 2)]
    largest, pair = max(pairs, default=(0.0, ()))
    return (
        f"Informative dimensions: MAD > 0.02: {by_mad.tolist()}; KL > 0.1: {by_kl}; KL > 0.02: "
        f"{open_at_all}. Largest MI between two above 0.1: {largest:.2f} nats ({list(pair)})."
    )


def robust_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of y on x, three rounds of clipping at 3 robust sigma."""
    keep = np.ones(len(x), bool)
    for _ in range(4):
        slope, intercept = np.polyfit(x[keep], y[keep], 1)
        residual = y - slope * x - intercept
        keep = abs(residual) < 3 * 1.4826 * np.median(abs(residual[keep]))
    return float(slope), float(intercept)


def real_track(model: Any, path: str) -> np.ndarray:
    """Latents of a real spectrum shifted by each of `SHIFTS` km/s, shape (25, d)."""
    spectrum = read_spectrum(path)
    rows = [
        prepare(
            dataclasses.replace(spectrum, wavelength=doppler_shift(spectrum.wavelength, v)),
            model.prepare,
        ).row
        for v in SHIFTS
    ]
    return encode_rows(model, np.array(rows))[0]


def track_figures(
    track: np.ndarray, rv_dim: int, teff_dim: int, latents: np.ndarray, labels: pd.DataFrame
) -> dict[str, Any]:
    """How the RV dimension follows the shifts, and what is read off at no shift."""
    rv = labels["radvel"].to_numpy()
    core = abs(rv) < 60
    slope, intercept = robust_line(rv[core], latents[core, rv_dim])
    read = (track[:, rv_dim] - intercept) / slope  # km/s
    at_rest = track[len(SHIFTS) // 2]
    nearest = np.argsort(abs(latents[:, teff_dim] - at_rest[teff_dim]))[:50]
    return {
        "steps in the right direction": f"{np.sum(np.diff(read) > 0)} of {len(SHIFTS) - 1}",
        "slope over simulated": float(np.polyfit(SHIFTS, read, 1)[0]),
        "RV read, km/s": float(read[len(SHIFTS) // 2]),
        "Teff read, K": round(labels["Teff"].to_numpy()[nearest].mean()),
    }


def measure(args: argparse.Namespace) -> None:
    """Print all figures of the model card."""
    model = load_model(args.model)
    if args.no_fit:
        model.encode = partial(model.encode, fit=False)
    latents, kl, labels = simulated_latents(model, args)
    of_labels = label_table(latents, labels)
    print(f"{args.stars} new simulated stars (seed {args.seed}), kNN MI (KSG, k = 3):\n")
    print(table({"label": name} | found for name, found in of_labels.items()))
    rv_dim, teff_dim = (int(of_labels[name]["dim"]) for name in ("radvel", "Teff"))
    slope, intercept = robust_line(latents[:, rv_dim], labels["radvel"].to_numpy())
    residual = labels["radvel"] - slope * latents[:, rv_dim] - intercept
    slow = labels["Teff"].between(4000, 7000) & (labels["vsini"] < 10)
    error = 1.4826 * np.median(abs(residual[slow]))
    print(f"\n{dimensions(latents, kl)}\nRV dimension: {slope:.2f} km/s per unit, ", end="")
    print(f"robust error {error:.2f} km/s for slowly rotating FGK stars.\n")
    lines = []
    for entry in args.real:
        path, _, velocity = entry.rpartition(":")
        name = read_spectrum(path).meta.get("object") or Path(path).name
        found = track_figures(real_track(model, path), rv_dim, teff_dim, latents, labels)
        lines.append({"real star": name} | found | {"RV known": float(velocity)})
    print(table(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--linelist")
    parser.add_argument("--stars", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=5000)
    parser.add_argument("--real", action="append", default=[], metavar="FILE:RV")
    parser.add_argument("--no-fit", action="store_true", help="velocity by the convolutions alone")
    args = parser.parse_args()
    measure(args)


if __name__ == "__main__":
    main()
