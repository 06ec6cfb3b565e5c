"""The spectra in the HDUs of a FITS file: in tables, else in images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.columns import choose_by_key
from latentscope.spectra.draft import Choice, Draft, choose, filled
from latentscope.spectra.hdus import HDU
from latentscope.spectra.headers import Header
from latentscope.spectra.images import (
    MAX_ORDERS,
    image_pieces,
    refuse_frames,
    refuse_other_products,
    role_of,
    target_of,
)

_TARGETS = ("object", "target", "targetid", "target_id", "objid", "obj_id", "source_id", "sourceid",
            "fiber", "fiberid", "star", "name")  # fmt: skip
"""Columns that say what each row is of, in tables of a row per spectrum."""


def find_spectra(
    hdus: Sequence[HDU], file: str | None, hdu: int | str | None = None, key: str | None = None
) -> list[Draft]:
    """Read the spectrum, in pieces if it lies in arms or orders; empty if there is none.

    Several pieces are for `latentscope.spectra.join.join` to join or refuse; `hdu` chooses one.
    `key` names columns of tables.

    Raises
    ------
    SpectrumError
        If the file is a product of a pipeline that is no merged spectrum, or lacks that HDU.
    """
    chosen: Sequence[HDU] | None = None
    row = None
    if hdu is None:
        refuse_other_products(hdus, file)
    else:
        chosen, row = _chosen(hdus, str(hdu).strip())
    # Tables first: the image beside a table of wavelengths is a quick look.
    tables = _table_pieces(hdus[0].header, hdus if chosen is None else chosen, row, key)
    found = tables or image_pieces(hdus, chosen, row)
    if not found and hdu is None:
        refuse_frames(hdus, file)
    return found


def _chosen(hdus: Sequence[HDU], text: str) -> tuple[Sequence[HDU] | None, int | None]:
    """HDUs of a number or EXTNAME (in any case; None: all of them), and the row."""
    found = _named(hdus, text)
    if found:
        return found, None
    name, _, row = text.rpartition(":")
    found = _named(hdus, name) if name else list(hdus)
    if ":" not in text or not found:
        raise SpectrumError(f"no HDU {text!r} in {'; '.join(map(str, hdus))}")
    if not row.isdigit() or int(row) < 1:
        raise SpectrumError(f"row {row!r} of hdu {text!r}; expected a whole number from 1 on")
    return found if name else None, int(row)


def _named(hdus: Sequence[HDU], name: str) -> list[HDU]:
    return [
        hdu for hdu in hdus if name.upper() in (str(hdu.index), hdu.header.text("EXTNAME").upper())
    ]


def _table_pieces(
    primary: Header, hdus: Sequence[HDU], row: int | None, key: str | None
) -> list[Draft]:
    """Read the spectra of tables: of the one that is the sum of others, if one says so."""
    tables = []
    refusal = f"key {key!r} names columns of a table, and there is none; hdu chooses an image"
    for hdu in hdus:
        if hdu.kind != "table" or len(hdu.shape) != 2 or not hdu.shape[0] or not hdu.columns:
            continue
        try:
            where = f"HDU {hdu.index}"
            choice = choose_by_key(where, hdu.columns, key) if key else choose(hdu.columns)
        except SpectrumError as error:
            refusal = str(error)
            continue
        tables += [] if choice is None else [(hdu, choice)]
    if key and not tables:
        raise SpectrumError(refusal)
    names = [hdu.header.text("EXTNAME") for hdu, _ in tables]
    # SDSS and LAMOST keep the exposures behind their sum; models and skies are no second spectra.
    sums = ["COADD" in name.upper() for name in names]
    fluxes = [role_of(name) == "flux" for name in names]
    # The one spectrum of a phase-3 product is in its first extension (ESO SDP standard, 5.4).
    first = [primary.text("PRODCATG").upper().startswith("SCIENCE.SPECTRUM") and n == 0
             for n in range(len(tables))]  # fmt: skip
    main = next((use for use in (first, sums, fluxes) if any(use)), [True] * len(tables))
    pieces = [
        piece
        for (hdu, choice), use in zip(tables, main, strict=True)
        if use
        for piece in _pieces_of(hdu, choice, primary, row)
    ]
    others = [str(hdu.index) for (hdu, _), use in zip(tables, main, strict=True) if not use]
    if pieces and others:
        pieces[0].assumed.append(
            f"tables: HDU {', '.join(others)} not read, exposures or parts beside the spectrum"
        )
    return pieces


def _pieces_of(hdu: HDU, choice: Choice, primary: Header, row: int | None) -> list[Draft]:
    """Read one table: a row a pixel, or a row (of array cells) a spectrum."""
    columns = hdu.columns
    wave, flux = columns[choice.wavelength], columns[choice.flux]
    waves, fluxes = hdu.pieces(wave), hdu.pieces(flux)
    notes = list(choice.notes)
    error, ivar, quality = (
        _optional(hdu, position, fluxes, notes)
        for position in (choice.error, choice.ivar, choice.quality)
    )
    if row is not None and row > len(waves):
        raise SpectrumError(
            f"HDU {hdu.index}: has no row {row}; its table holds {len(waves)} spectra"
        )
    where = f"HDU {hdu.index}, columns {wave.name} and {flux.name}"
    if len(fluxes) != len(waves):
        raise SpectrumError(
            f"{where}: {len(waves)} arrays of wavelengths and {len(fluxes)} of flux; expected as "
            "many of both, or one number a row in each"
        )
    if row is None and len(waves) > MAX_ORDERS:
        raise SpectrumError(
            f"HDU {hdu.index}: {len(waves)} rows of spectra; choose one, as in "
            f'hdu="{hdu.index}:1" (--hdu {hdu.index}:1)'
        )
    rows = range(len(waves)) if row is None else [row - 1]
    several = len(rows) > 1 or row is not None
    pieces = [
        Draft(
            format=_table_format(primary, hdu),
            where=where + (f", row {k + 1}" if several else ""),
            wavelength=waves[k],
            flux=fluxes[k],
            unit=wave.written_unit,
            flux_unit=flux.unit,
            error=error[k],
            error_kind=choice.error_kind,
            ivar=ivar[k],
            quality=quality[k],
            quality_name="" if choice.quality is None else columns[choice.quality].name,
            medium=choice.medium,
            inferred=choice.inferred,
            assumed=list(notes),
            logarithmic=choice.logarithmic,
            headers=(hdu.header, primary),
            name=f"{hdu.index}:{k + 1}" if several else str(hdu.index),
            title=hdu.header.text("EXTNAME"),
            target=_target(hdu, k) if several else target_of(hdu),
        )
        for k in rows
    ]
    return filled(pieces)


def _target(hdu: HDU, row: int) -> str:
    """What a row of array cells is of, as far as a column says."""
    cells = (hdu.stored(column, row) for column in hdu.columns if column.key in _TARGETS)
    return "".join(cell.hex() for cell in cells)


def _optional(
    hdu: HDU, position: int | None, fluxes: Sequence[NDArray[Any]], notes: list[str]
) -> Sequence[NDArray[Any] | None]:
    """Read an error or quality column; a broken one does not fail the spectrum, and is noted."""
    nothing = [None] * len(fluxes)
    if position is None:
        return nothing
    column = hdu.columns[position]
    try:
        values = hdu.pieces(column)
    except (SpectrumError, ValueError, TypeError) as error:
        notes.append(f"errors: not those of column {column.name} ({error})")
        return nothing
    if [value.shape for value in values] != [flux.shape for flux in fluxes]:
        notes.append(f"errors: not those of column {column.name}, of another length than the flux")
        return nothing
    return values


def _table_format(primary: Header, hdu: HDU) -> str:
    category = primary.text("PRODCATG") or hdu.header.text("PRODCATG")
    if category.upper().startswith("SCIENCE.SPECTRUM"):
        return "eso-phase3"
    names = {column.name.lower() for column in hdu.columns}
    if hdu.shape[0] == 1:
        return "eso-phase3" if {"wave", "flux"} <= names else "table-cells"
    return "drs-s1d-table" if {"wavelength", "wavelength_air"} <= names else "table"
