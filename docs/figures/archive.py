"""The simulated archive that the pictures of the documentation are made from.

`python docs/figures/SUBJECT.py` draws a page's pictures into docs/images/; the archive is made once
and kept in the folder that LATENTSCOPE_FIGURES names (by default `figures-archive`).
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

from latentscope import Latents, encode, load_model, read_labels, read_latents
from latentscope.data import join_labels
from latentscope.plots.style import STYLE, save_figure
from latentscope.simulation.simulate import write_archive

matplotlib.use("Agg")
matplotlib.rcParams.update(STYLE)

IMAGES = Path(__file__).resolve().parents[1] / "images"
FOLDER = Path(os.environ.get("LATENTSCOPE_FIGURES", "figures-archive"))
SPECTRA, SEED = 2000, 77


def archive(model: str = "harps-sim") -> tuple[Latents, pd.DataFrame]:
    """Return latents of 2,000 simulated spectra by a model, and their true labels row by row."""
    truth = FOLDER / "archive" / "labels.csv"
    if not truth.is_file():
        write_archive(truth.parent, SPECTRA, seed=SEED, layout="s1d")
    encoded = FOLDER / f"{model}.npy"
    if not encoded.is_file():
        files = [truth.parent / f"{name}.fits" for name in read_labels(truth)["id"]]
        encode(files, load_model(model), output=encoded, logvar=True)
    latents = read_latents(encoded)
    return latents, join_labels(latents, truth)


def save(ax: Axes, name: str) -> None:
    """Write a picture as the commands do, but in few colors."""
    path = IMAGES / name
    save_figure(ax, path)
    shrink(path)


def shrink(path: Path) -> None:
    """Leave a picture 256 colors, so that a page loads faster."""
    with Image.open(path) as drawn:
        few = drawn.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
