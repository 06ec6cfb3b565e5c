"""Spectra in FITS binary tables: one row of array cells (ESO phase 3), or one row per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.columns import Choice, Label, choose
from latentscope.spectra.draft import Draft
from latentscope.spectra.fitsfile import HDU, Column


def read_table(hdus: Sequence[HDU]) -> Draft | None:
    """Read the first binary table that has wavelength and flux columns; None if none has."""
    for hdu in hdus:
        if hdu.kind != "table" or not hdu.columns:
            continue
        labels = [Label(c.name, c.unit, c.ucd, c.utype) for c in hdu.columns]
        choice = choose(labels)
        if choice is not None:
            return _draft(hdus, hdu, labels, choice)
    return None


def _draft(hdus: Sequence[HDU], hdu: HDU, labels: Sequence[Label], choice: Choice) -> Draft:
    wave, flux = hdu.columns[choice.wavelength], hdu.columns[choice.flux]
    values = _one_spectrum(hdu, wave)
    logarithmic = labels[choice.wavelength].key == "loglam"
    quality = _optional(hdu, choice.quality)
    return Draft(
        format=_format(hdus, hdu),
        where=f"HDU {hdu.index}, columns {wave.name} and {flux.name}",
        wavelength=10.0 ** values.astype(np.float64) if logarithmic else values,
        flux=_one_spectrum(hdu, flux),
        unit="Angstrom" if logarithmic else labels[choice.wavelength].written_unit,
        flux_unit=flux.unit,
        error=_same_length(_optional(hdu, choice.error), values),
        ivar=_same_length(_optional(hdu, choice.ivar), values),
        mask=None if quality is None or quality.shape != values.shape else quality != 0,
        medium=choice.medium,
        inferred=choice.inferred,
        headers=(hdu.header, hdus[0].header),
    )


def _one_spectrum(hdu: HDU, column: Column) -> NDArray[Any]:
    """Return the column as one axis, whether pixels lie along a row or down the rows."""
    rows = hdu.shape[0]
    in_cells = column.repeat > 1 and column.code not in "XA"
    if rows > 1 and (in_cells or column.code in "PQ"):
        raise SpectrumError(
            f"HDU {hdu.index}, column {column.name}: {rows} rows of array cells, one an order or "
            "a target; wanted one merged spectrum: use the S1D or ADP product, or give one row "
            "as a (wavelength, flux) tuple"
        )
    return hdu.cells(column).reshape(-1)


def _optional(hdu: HDU, position: int | None) -> NDArray[Any] | None:
    """Read an error or quality column; a broken one does not fail the spectrum."""
    if position is None:
        return None
    try:
        return _one_spectrum(hdu, hdu.columns[position])
    except (SpectrumError, ValueError, TypeError):
        return None


def _same_length(values: NDArray[Any] | None, like: NDArray[Any]) -> NDArray[Any] | None:
    return values if values is not None and values.shape == like.shape else None


def _format(hdus: Sequence[HDU], hdu: HDU) -> str:
    category = hdus[0].header.text("PRODCATG") or hdu.header.text("PRODCATG")
    if category.upper().startswith("SCIENCE.SPECTRUM"):
        return "eso-phase3"
    names = {column.name.lower() for column in hdu.columns}
    if hdu.shape[0] == 1:
        return "eso-phase3" if {"wave", "flux"} <= names else "table-cells"
    return "drs-s1d-table" if {"wavelength", "wavelength_air"} <= names else "table"
