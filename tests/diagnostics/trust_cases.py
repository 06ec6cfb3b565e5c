"""Latents with trust columns whose law is known."""

import numpy as np
import pandas as pd

from latentscope.data import Latents

EDGES = np.linspace(3800.0, 6910.0, 9)
SHA = "a" * 64


def text(segments):
    return [" ".join(f"{value:.3g}" for value in row) for row in segments]


def made(
    n, *, seed=0, shift=0.0, worse=1.0, bump=1.0, power=80_000.0, flat=1.0, blurred=1.0, sha=SHA,
    **signs,
):  # fmt: skip
    """Errors rise with noise and with the first latent, together in all eight parts.

    shift moves the latents, worse multiplies all errors, bump that of the last part alone, flat the
    contrast and the roughness of the lines, blurred the latter alone; signs are those of all rows.
    """
    rng = np.random.default_rng(seed)
    values = np.column_stack([rng.normal(size=(n, 2)) + shift, 1e-4 * rng.normal(size=n)])
    snr = np.exp(rng.normal(4, 0.7, n))
    common = 0.1 * values[:, 0] - 0.8 * np.log(snr) + 0.15 * rng.normal(size=n)
    segments = worse * np.exp(common[:, None] + 0.05 * rng.normal(size=(n, 8)))
    segments[:, -1] *= bump
    contrast = flat * np.exp(0.2 * values[:, 1] + 0.03 * rng.normal(size=n))
    roughness = blurred * contrast * np.exp(0.03 * rng.normal(size=n))
    table = pd.DataFrame(
        {
            "id": [f"s{seed}-{i}" for i in range(n)],
            "object": [f"star {seed} {i}" for i in range(n)],
            "status": "ok",
            "error": "",
            "coverage": 1.0,
            "snr": snr,
            "recon_error": np.sqrt((segments**2).mean(1)),
            "contrast": contrast,
            "roughness": roughness,
            "resolution": power * np.exp(0.03 * rng.normal(size=n)),
            "recon_segments": text(segments),
        }
    )
    rng = np.random.default_rng((seed, 1))
    usual = {
        "emission": 0.05 * rng.normal(size=n),
        "elsewhere": 0.1 * np.exp(0.5 * rng.normal(size=n)),
        "vacuum": 0.1 * rng.normal(size=n),
        # One in four has no air to tell.
        "oxygen_rv": np.where(rng.random(n) < 0.25, np.nan, 0.3 * rng.normal(size=n)),
    }
    table = table.assign(**(usual | signs))
    provenance = {"model": "made", "weights_sha256": sha, "recon_segments": EDGES.tolist()}
    return Latents(values, table, provenance=provenance, source=f"made {seed}")


def without(latents, *columns):
    return Latents(
        latents.values,
        latents.table.drop(columns=list(columns)),
        provenance=latents.provenance,
        source=latents.source,
    )
