"""What can be taken away from the page: spectra, pictures, names."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.explorer.archive import Archive
from latentscope.explorer.arrays import Singles
from latentscope.models.reconstruction import spectrum_fits
from latentscope.spectra.wavelength import doppler_shift
from latentscope.tables import write_csv

# First the spectrum that was made here, under the name that readers look for.
_FITS = {"wavelength": "WAVE", "moved": "FLUX", "input": "INPUT", "reconstruction": "BASE"}
_NAMES = {"input": "input", "base": "reconstruction", "moved": "moved"}


def doppler(rv: float) -> float:
    """What wavelengths at rest are multiplied by at a velocity in km/s, receding positive."""
    return float(doppler_shift(1.0, rv))


def file_name(title: str) -> str:
    """A name for a file of this title, whatever is in it."""
    return re.sub(r"[^\w.+-]+", "_", title).strip("._")[:80] or "spectrum"


def names(archive: Archive, rows: NDArray[np.int64], as_list: bool) -> bytes:
    """Ids of rows as CSV; or their files, one per line, as `encode` takes them by ``@list.txt``."""
    files = archive.latents.column("file")
    if as_list:
        given = archive.ids if files is None else files
        return "".join(f"{given[row]}\n" for row in rows).encode()
    frame = pd.DataFrame({"id": archive.ids[rows], "row": rows})
    if files is not None:
        frame["file"] = files[rows]
    return _csv(frame)


def _csv(frame: pd.DataFrame) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_csv(frame, path)
        return path.read_bytes()


def spectrum(
    kind: str,
    archive: Archive,
    rows: dict[str, Singles],
    seen: tuple[float, float],
    about: dict[str, Any],
) -> bytes:
    """The spectrum as FITS or CSV, whole; as PNG or SVG what of it is seen."""
    found = {name: rows[key] for key, name in _NAMES.items() if key in rows}
    if kind in ("png", "svg"):
        from latentscope.plots.spectrum import plot_flux
        from latentscope.plots.style import save_figure

        axes = plot_flux(archive.wavelength, found, seen, title=about["title"], xlabel=archive.axis)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"picture.{kind}"
            save_figure(axes, path)
            return path.read_bytes()
    table = pd.DataFrame({"wavelength": archive.wavelength, **found})
    if kind == "csv":
        return _csv(table)
    columns = {_FITS[name]: table[name].to_numpy() for name in _FITS if name in table}
    grid, title = archive.grid, about["title"]
    return spectrum_fits(
        columns, grid.medium, grid.frame, title, creator="latentscope explore",
        latents=about["latents"],
    )  # fmt: skip
