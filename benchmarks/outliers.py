"""How well the trust of `score` tells spectra that a model has no business with.

Run, with the line list that the models were trained with:

    python -m benchmarks.outliers --linelist lines.csv.gz --real Gl581.fits --real hd140283.fits

Each star gives one spectrum of each kind; `--ordinary` more give the rate of false alarms. For each
kind of outlier: the area under the curve (AUC: the chance that an outlier is trusted less
than an ordinary spectrum), and the shares called doubtful and outside. Prints tables; `-o` writes
JSON.
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from benchmarks.outlier_kinds import (
    Kind,
    active_star,
    galaxy,
    nebula,
    noise_only,
    ordinary,
    resolution_of,
    wrong_medium,
)
from latentscope.data import Latents
from latentscope.files import atomic_path
from latentscope.models.encode import encode
from latentscope.models.trust import score
from latentscope.models.weights import load_model

AT_ONCE = 20
ORDINARY = "ordinary"
TESTS = {
    "recon_error": "recon_percentile",
    "pattern": "misfit_percentile",
    "density": "density_percentile",
    "resolution": "resolution_percentile",
}


def kinds(linelist: str | None) -> dict[str, Kind]:
    """Each kind of outlier by name."""
    return {
        "vacuum taken for air": wrong_medium,
        "R = 40,000": resolution_of(40_000.0),
        "R = 20,000": resolution_of(20_000.0),
        "R = 5,000": resolution_of(5_000.0),
        "planetary nebula": nebula,
        "star with emission lines": active_star,
        "noise": noise_only,
        "galaxy": galaxy(linelist),
    }


def auc(usual: np.ndarray, odd: np.ndarray) -> float:
    """Chance that a value of `odd` is below one of `usual`, ties by half."""
    ranks = rankdata(np.concatenate([usual, odd]))[len(usual) :]
    larger = ranks.sum() - len(odd) * (len(odd) + 1) / 2
    return 1 - float(larger) / (len(usual) * len(odd))


def encoded(models: dict[str, Any], args: argparse.Namespace) -> dict[str, dict[str, Latents]]:
    """Latents of ordinary spectra and of outliers made of the same, by model and kind."""
    made = kinds(args.linelist)
    parts: dict[str, dict[str, list[Latents]]] = {
        name: {kind: [] for kind in (ORDINARY, *made)} for name in models
    }
    spectra = ordinary(args.stars, seed=args.seed, linelist=args.linelist)
    first = 0
    while some := list(islice(spectra, AT_ONCE)):
        for number, kind in enumerate((ORDINARY, *made)):
            rngs = [np.random.default_rng((args.seed, first + i, number)) for i in range(len(some))]
            changed = (
                some
                if kind == ORDINARY
                else [made[kind](one, rng) for one, rng in zip(some, rngs, strict=True)]
            )
            for name, model in models.items():
                parts[name][kind].append(encode(changed, model, workers=1))
        first += len(some)
        print(f"{first} of {args.stars} stars", flush=True)
    others = ordinary(args.ordinary, seed=args.seed + 1, linelist=args.linelist)
    while some := list(islice(others, AT_ONCE)):
        for name, model in models.items():
            parts[name][ORDINARY].append(encode(some, model, workers=1))
    return {
        name: {kind: joined(found) for kind, found in of_model.items()}
        for name, of_model in parts.items()
    }


def joined(parts: list[Latents]) -> Latents:
    """Rows of several results as one."""
    values = np.concatenate([part.values for part in parts])
    table = pd.concat([part.table for part in parts], ignore_index=True)
    return Latents(values, table, provenance=parts[0].provenance)


def figures(found: dict[str, Latents]) -> list[dict[str, Any]]:
    """One line a kind: AUC of the trust and of each test alone, shares of the verdicts."""
    tables = {kind: score(latents).table for kind, latents in found.items()}
    usual = tables[ORDINARY]
    lines = []
    for kind, table in tables.items():
        # No latents at all is the plainest verdict.
        trust = table["trust"].fillna(0.0).to_numpy()
        line: dict[str, Any] = {
            "kind": kind,
            "n": len(table),
            "auc": auc(usual["trust"].to_numpy(), trust),
        }
        for name, column in TESTS.items():
            known = table[column].dropna().to_numpy()
            line[name] = auc(*_as_trust(name, usual[column].dropna().to_numpy(), known))
        for verdict in ("doubtful", "outside"):
            line[verdict] = float((table["verdict"] == verdict).mean())
        line["measured R"] = float(np.nanmedian(table["resolution"].fillna(0.0)))
        line["no latents"] = float((table["verdict"] == "").mean())
        lines.append(line)
    return lines


def _as_trust(name: str, usual: np.ndarray, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles so that a low one is odd: of the density as it is, of errors turned round."""
    if not len(odd):
        return np.zeros(1), np.zeros(1)
    if name == "resolution":
        return -abs(usual - 50), -abs(odd - 50)
    return (usual, odd) if name == "density" else (-usual, -odd)


def real(models: dict[str, Any], files: list[str]) -> list[dict[str, Any]]:
    """Verdicts on real spectra."""
    lines = []
    for name, model in models.items():
        table = score(encode(files, model, workers=1)).table if files else pd.DataFrame()
        for row in table.to_dict("records"):
            lines.append({"model": name, **row})
    return lines


def markdown(result: dict[str, Any]) -> str:
    """Tables for the page on trust."""
    lines = []
    for name, of_model in result["models"].items():
        header = ["kind", "n", "measured R", "auc", *TESTS, "doubtful", "outside", "no latents"]
        lines += [f"\n{name}\n", "| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
        for line in of_model:
            cells = [f"{line[key]:.3f}" for key in ("auc", *TESTS)]
            shares = [f"{100 * line[key]:.1f} %" for key in ("doubtful", "outside", "no latents")]
            first = [line["kind"], str(line["n"]), f"{line['measured R']:,.0f}"]
            lines.append(f"| {' | '.join(first + cells + shares)} |")
    lines += [
        "",
        "| spectrum | model | verdict | trust | resolution | reason |",
        "| --- " * 6 + "|",
    ]
    for row in result["real"]:
        lines.append(
            f"| {row['id']} | {row['model']} | {row['verdict']} | {row['trust']:.2g} "
            f"| {row['resolution']:,.0f} | {row['reason']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["harps-sim", "harps-sim-plain"])
    parser.add_argument("--linelist")
    parser.add_argument("--stars", type=int, default=200)
    parser.add_argument("--ordinary", type=int, default=1000, help="more ordinary spectra")
    parser.add_argument("--seed", type=int, default=8000)
    parser.add_argument("--real", action="append", default=[], metavar="FILE")
    parser.add_argument("-o", "--output")
    args = parser.parse_args()
    models = {name: load_model(name) for name in args.models}
    for model in models.values():
        model.folder = None  # scored once, at the end
    found = encoded(models, args)
    result = {
        "stars": args.stars,
        "ordinary": args.ordinary,
        "seed": args.seed,
        "models": {name: figures(of_model) for name, of_model in found.items()},
        "real": real(models, args.real),
    }
    print(markdown(result))
    if args.output:
        with atomic_path(Path(args.output)) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
