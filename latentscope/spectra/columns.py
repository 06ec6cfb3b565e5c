"""Columns of numbers -> a Draft: by their names, else by their order."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.draft import Draft, Label, choose
from latentscope.spectra.headers import Header


def read_npy(data: bytes) -> Draft:
    """Read a .npy file: one array of numbers, or of named fields."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise SpectrumError(f".npy: {error}; expected an array of numbers") from None
    return array_draft(array, "npy")


def array_draft(array: NDArray[Any], form: str) -> Draft:
    """Take a spectrum from one array: named fields, or wavelength, flux (and error) as rows."""
    if array.dtype.names:
        labels = [Label(name) for name in array.dtype.names]
        return columns_draft(form, labels, [array[name] for name in array.dtype.names])
    if array.ndim != 2 or min(array.shape) not in (2, 3) or array.dtype.kind not in "fiu":
        raise SpectrumError(
            f"{form}: {array.dtype} of shape {array.shape}; expected numbers of shape (2, n) or "
            "(n, 2): wavelength and flux"
        )
    # Of three by three pixels nobody can tell; spectra have more.
    rows = array if array.shape[0] <= 3 else array.T
    return columns_draft(form, [Label("")] * len(rows), list(rows))


def columns_draft(
    form: str,
    labels: Sequence[Label],
    columns: Sequence[NDArray[Any]],
    header: Header | None = None,
) -> Draft:
    """Take a spectrum from columns: by name, else wavelength, flux and error in this order."""
    choice = choose(labels)
    notes: list[str] = []
    if choice is not None:
        notes += choice.notes
        places = (choice.wavelength, choice.flux, choice.error, choice.ivar, choice.quality)
    elif len(columns) >= 2:
        places = (0, 1, 2 if len(columns) == 3 else None, None, None)
        notes.append("columns: the first is wavelength, the second flux; no names say so")
    else:
        raise SpectrumError(f"{form}: one column; expected at least wavelength and flux")
    wave, flux, error, ivar, quality = (
        None if place is None else np.asarray(columns[place]) for place in places
    )
    named = [
        labels[place].name or f"number {place + 1}" for place in places[:2] if place is not None
    ]
    if wave is None or flux is None or wave.dtype.kind not in "fiu" or flux.dtype.kind not in "fiu":
        raise SpectrumError(
            f"{form}, columns {' and '.join(named)}: not all values are numbers; remove the lines "
            "or footers that are none"
        )
    return Draft(
        format=form,
        where=f"{form}, columns {' and '.join(named)}",
        wavelength=wave,
        flux=flux,
        unit=labels[places[0]].written_unit,
        flux_unit=labels[places[1]].written_unit,
        error=_as_float(error),
        error_kind="error" if choice is None else choice.error_kind,
        ivar=_as_float(ivar),
        quality=None if quality is None or quality.dtype.kind not in "fiub" else quality,
        quality_name="" if places[4] is None else labels[places[4]].name,
        medium=None if choice is None else choice.medium,
        inferred=None if choice is None else choice.inferred,
        headers=() if header is None else (header,),
        assumed=notes,
    )


def _as_float(values: NDArray[Any] | None) -> NDArray[Any] | None:
    """Make floats of a column's numbers, since integers would overflow in squares; else None."""
    if values is None or values.dtype.kind not in "fiu":
        return None
    return values if values.dtype.kind == "f" else values.astype(np.float64)
