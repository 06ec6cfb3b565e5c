"""What a model's dimensions know: simulated stars with known truth, and real stars shifted.

Run:

    python -m benchmarks.model_quality harps-sim --stars 5000 --real Gl581.fits:-9.2

Each real spectrum is Doppler-shifted by -60 ... +60 km/s; the number after the colon is its known
radial velocity in km/s. Prints the table of the model card; `-o` writes JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from benchmarks.timing import markdown_table
from latentscope.diagnostics.mi.api import mutual_information
from latentscope.files import atomic_path
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
    table = {}
    for name in LABELS:
        y = labels[name].to_numpy(float)
        values = [mutual_information(latents[:, d], y) for d in range(latents.shape[1])]
        order = np.argsort(values)[::-1]
        best = int(order[0])
        table[name] = {
            "dim": best,
            "mi_nats": round(float(values[best]), 3),
            "rank_correlation": round(float(spearmanr(latents[:, best], y)[0]), 3),
            "second_dim": int(order[1]),
            "second_mi_nats": round(float(values[order[1]]), 3),
        }
    return table


def informative(latents: np.ndarray, kl: np.ndarray) -> dict[str, Any]:
    """Informative dimensions by MAD and by KL, and the largest MI between two of them."""
    mad = np.median(np.abs(latents - np.median(latents, 0)), 0)
    by_mad = [int(d) for d in np.flatnonzero(mad > 0.02)]
    by_kl, open_at_all = (
        [int(d) for d in np.flatnonzero(kl.mean(0) > nats)] for nats in (0.1, 0.02)
    )
    pairs = [
        (mutual_information(latents[:, a], latents[:, b]), a, b)
        for i, a in enumerate(by_kl)
        for b in by_kl[i + 1 :]
    ]
    largest = max(pairs, default=(0.0, -1, -1))
    return {
        "mad": np.round(mad, 4).tolist(),
        "kl": np.round(kl.mean(0), 3).tolist(),
        "by_mad": by_mad,
        "by_kl": by_kl,
        "by_kl_0.02": open_at_all,
        "largest_pair_mi_nats": round(float(largest[0]), 3),
        "largest_pair": list(largest[1:]),
    }


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
) -> dict[str, float]:
    """How the RV dimension follows the shifts, and what is read off at no shift."""
    rv = labels["radvel"].to_numpy()
    core = abs(rv) < 60
    slope, intercept = robust_line(rv[core], latents[core, rv_dim])
    read = (track[:, rv_dim] - intercept) / slope  # km/s
    inner = abs(SHIFTS) <= 40
    at_rest = track[len(SHIFTS) // 2]
    nearest = np.argsort(abs(latents[:, teff_dim] - at_rest[teff_dim]))[:50]
    return {
        "steps_right": int(np.sum(np.diff(read) > 0)),
        "steps": len(SHIFTS) - 1,
        "monotone": bool(np.all(np.diff(read) > 0)),
        "monotone_40": bool(np.all(np.diff(read[inner]) > 0)),
        "slope": round(float(np.polyfit(SHIFTS, read, 1)[0]), 3),
        "rv_read": round(float(read[len(SHIFTS) // 2]), 2),
        "teff_read": round(float(labels["Teff"].to_numpy()[nearest].mean())),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All figures of the model card."""
    model = load_model(args.model)
    if args.no_fit:
        model.encode = partial(model.encode, fit=False)
    latents, kl, labels = simulated_latents(model, args)
    result: dict[str, Any] = {
        "model": args.model, "stars": args.stars, "seed": args.seed,
        "labels": label_table(latents, labels), "dims": informative(latents, kl), "real": {},
    }  # fmt: skip
    rv_dim, teff_dim = (result["labels"][name]["dim"] for name in ("radvel", "Teff"))
    slope, intercept = robust_line(latents[:, rv_dim], labels["radvel"].to_numpy())
    residual = labels["radvel"] - slope * latents[:, rv_dim] - intercept
    fgk = labels["Teff"].between(4000, 7000) & (labels["vsini"] < 10)
    result["rv_error_fgk"] = round(float(1.4826 * np.median(abs(residual[fgk]))), 3)
    result["km_s_per_unit"] = round(slope, 3)
    for entry in args.real:
        path, _, velocity = entry.rpartition(":")
        track = real_track(model, path)
        name = read_spectrum(path).meta.get("object") or Path(path).name
        result["real"][name] = track_figures(track, rv_dim, teff_dim, latents, labels)
        result["real"][name]["rv_known"] = float(velocity)
    return result


def markdown(result: dict[str, Any]) -> str:
    """Tables for the model card."""
    dims = result["dims"]
    lines = [
        f"{result['stars']} new simulated stars (seed {result['seed']}), one spectrum per star, "
        "kNN MI (KSG, k = 3):",
        "",
        markdown_table(
            ["label", "dim", "MI (nats)", "rank correlation", "next dim", "its MI"],
            [
                [
                    name, str(e["dim"]), f"{e['mi_nats']:.2f}", f"{e['rank_correlation']:+.3f}",
                    str(e["second_dim"]), f"{e['second_mi_nats']:.2f}",
                ]
                for name, e in result["labels"].items()
            ],
        ),
        "",
        f"Informative dimensions: MAD > 0.02: {dims['by_mad']}; KL > 0.1: {dims['by_kl']}; "
        f"KL > 0.02: {dims['by_kl_0.02']}. "
        f"Largest MI between two above 0.1: {dims['largest_pair_mi_nats']:.2f} nats "
        f"({dims['largest_pair']}).",
        f"RV dimension: {result['km_s_per_unit']:.2f} km/s per unit; robust error "
        f"{result['rv_error_fgk']:.2f} km/s for slowly rotating FGK stars.",
        "",
        markdown_table(
            ["real star", "steps in the right direction", "slope over simulated",
             "RV read (known), km/s", "Teff read, K"],
            [
                [
                    name, f"{e['steps_right']} of {e['steps']}", f"{e['slope']:.2f}",
                    f"{e['rv_read']:+.1f} ({e['rv_known']:+.1f})", str(e["teff_read"]),
                ]
                for name, e in result["real"].items()
            ],
        ),
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--linelist")
    parser.add_argument("--stars", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=5000)
    parser.add_argument("--real", action="append", default=[], metavar="FILE:RV")
    parser.add_argument("--no-fit", action="store_true", help="velocity by the convolutions alone")
    parser.add_argument("-o", "--output")
    args = parser.parse_args()
    result = measure(args)
    print(markdown(result))
    if args.output:
        with atomic_path(args.output) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
