"""Draw the pictures of docs/traversal.md: `python docs/figures/traversal.py [LINELIST]`.

Prints, for each bundled model, what regression of its velocity dimension on the true velocities
says, and what the traversal says; with a line list also for 60 stars made with it.
"""

from __future__ import annotations

import sys

import numpy as np
from archive import archive, save
from scipy.stats import spearmanr, theilslopes

from latentscope import (
    SpectrumVAE,
    encode,
    line_map,
    load_model,
    simulate,
    traverse,
)
from latentscope.diagnostics.traversal.traverse import TraversalResult

STARS = 60


def main() -> None:
    """Draw a traversal of temperature, one of a learned velocity, and a line map."""
    for name in ("harps-sim", "harps-sim-plain"):
        model = load_model(name)
        if sys.argv[1:]:
            compare(name, model, *simulated(model, sys.argv[1]))
        latents, labels = archive(name)
        walk = compare(name, model, latents.values, labels["radvel"].to_numpy())
        if name == "harps-sim-plain":
            save(walk.plot(), "traversal-rv.png")
            continue
        dim = follower(latents.values, labels["Teff"].to_numpy())
        walk = traverse(model, dim, latents=latents)
        print(*walk.sentences(), sep="\n")
        save(walk.plot(), "traversal-teff.png")
        found = line_map(model, latents=latents)
        print(*found.sentences(), sep="\n")
        save(found.plot(), "line-map.png")


def simulated(model: SpectrumVAE, linelist: str) -> tuple[np.ndarray, np.ndarray]:
    """Return latents and true velocities of 60 stars made with a line list."""
    pairs = simulate(STARS, seed=31, repeats=False, linelist=linelist)
    spectra, labels = zip(*pairs, strict=True)
    rv = np.array([row["radvel"] for row in labels])
    return encode(list(spectra), model, recon_error=False).values, rv


def compare(name: str, model: SpectrumVAE, latents: np.ndarray, rv: np.ndarray) -> TraversalResult:
    """Print what regression and traversal say of the velocity dimension; return the traversal."""
    dim = follower(latents, rv)
    walk = traverse(model, dim, latents=latents)
    slope = 1 / theilslopes(latents[:, dim], rv)[0]
    found, share = walk.rv_per_unit, 100 * walk.shift_explained
    print(f"{name}, dim {dim}, {len(rv)} spectra: regression {slope:+.1f} km/s per unit", end=", ")
    print(f"traversal {found.value:+.2f} ± {found.error:.2f}; shifts explain {share:.1f} %")
    return walk


def follower(latents: np.ndarray, label: np.ndarray) -> int:
    """Return the dimension whose rank correlation with a label is largest."""
    alive = latents.std(axis=0) > 0.05
    finite = np.isfinite(latents).all(axis=1) & np.isfinite(label)
    ranks = [
        abs(spearmanr(column[finite], label[finite]).statistic) if lives else 0.0
        for column, lives in zip(latents.T, alive, strict=True)
    ]
    return int(np.argmax(ranks))


if __name__ == "__main__":
    main()
