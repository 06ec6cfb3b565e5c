"""Columns of numbers -> a Draft: by their names, else by what they hold.

What has no names is no spectrum until a column looks like wavelengths. Tables of other things
(labels, light curves, line lists) are refused, by the names that such tables have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError, shortened
from latentscope.spectra.draft import (
    NAMED,
    OTHER_TABLES,
    Choice,
    Draft,
    Label,
    choose,
    find_flux,
    find_wavelength,
    is_line_list,
)
from latentscope.spectra.headers import Header


class AmbiguousError(SpectrumError):
    """Several columns may be the flux; `key` has to choose."""


MIN_PIXELS = 20
"""Fewer values in a column without a name are not taken for the wavelengths of a spectrum."""

# Columns that only count the pixels.
_COUNTERS = ("pixel", "pixels", "pix", "index", "row", "order", "unnamed:_0")
# What stands beside a flux and is none.
_COMPANION = re.compile(
    r"(e|d|err|error|sig|sigma|unc|uncertainty|std|var|variance|noise|ivar|weight|snr|mask|flag|qual"
    r"|cont|continuum|sky|background|bkg|telluric|transmission|blaze|model|res|residual|order)"
    r"([_\W].*|\d*)"
)


_LIKELY_FLUX = re.compile(
    r"flux|intens|count|spec|norm|^(i|f|y|stokes_?i|i/ic|i_ic|f_?lambda|f_?nu)$"
)
_OF_ARRAYS = ("npz", "hdf5")
"""Files in which any array may be a spectrum, and the order says nothing."""


@dataclass(frozen=True)
class Numbers:
    """Numbers from an array of any kind, with unit, mask and error if any."""

    values: NDArray[Any]
    mask: NDArray[np.bool_] | None = None  # True: ignore
    unit: str = ""

    @classmethod
    def of(cls, array: Any) -> Numbers:
        """Take an array, a Quantity, a column, or a masked one of any of these."""
        unit, mask = getattr(array, "unit", None), None
        if hasattr(array, "unmasked"):  # astropy Masked
            array, mask = array.unmasked, array.mask
        elif isinstance(array, np.ma.MaskedArray):
            array, mask = np.ma.getdata(array), np.ma.getmaskarray(array)
        elif hasattr(array, "to_numpy"):  # pandas, whose nullable kinds know NA
            nullable = array.dtype.kind in "fiub" and not isinstance(array.dtype, np.dtype)
            array = array.to_numpy(float, na_value=np.nan) if nullable else array.to_numpy()
        values = np.asarray(getattr(array, "value", array))
        if mask is not None and not np.any(mask):
            mask = None
        return cls(
            values,
            None if mask is None else np.array(np.broadcast_to(mask, values.shape), dtype=bool),
            "" if unit is None else str(unit),
        )

    def row(self, index: int) -> Numbers:
        """One row of a column of array cells."""
        mask = None if self.mask is None else self.mask[index]
        if np.ma.isMaskedArray(self.values[index]):
            return Numbers.of(self.values[index])
        return Numbers(np.asarray(self.values[index]), mask, self.unit)

    @property
    def numeric(self) -> bool:
        """Whether these are real numbers."""
        return self.values.dtype.kind in "fiu"

    def floats(self) -> NDArray[Any]:
        """Return floats, NaN where masked; squares of integers would overflow."""
        values = self.values
        if values.dtype.kind != "f" or values.dtype.itemsize < 4 or not values.dtype.isnative:
            values = values.astype(np.float64)
        return values if self.mask is None else np.where(self.mask, np.nan, values)

    def flags(self) -> NDArray[Any] | None:
        """Flags of pixels, 1 where masked; None if these are none."""
        if self.values.dtype.kind not in "fiub":
            return None
        return self.values if self.mask is None else np.where(self.mask, 1, self.values)


def array_draft(array: NDArray[Any], form: str, key: str | None = None) -> Draft:
    """Take a spectrum from one array: named fields, or wavelength, flux (and error) as rows."""
    if array.dtype.names:
        labels = [Label(name) for name in array.dtype.names]
        return columns_draft(form, labels, [Numbers.of(array[n]) for n in array.dtype.names], key)
    if array.ndim != 2 or not 2 <= min(array.shape) <= 4 or array.dtype.kind not in "fiu":
        raise SpectrumError(
            f"{form}: {array.dtype} of shape {array.shape}; expected numbers of shape (2, n) or "
            "(n, 2): wavelength and flux"
        )
    # Of few by few pixels nobody can tell; spectra have more.
    rows = array if array.shape[0] <= array.shape[1] else array.T
    return columns_draft(form, [Label("")] * len(rows), [Numbers.of(row) for row in rows], key)


def columns_draft(
    form: str,
    labels: Sequence[Label],
    columns: Sequence[Numbers],
    key: str | None = None,
    header: Header | None = None,
) -> Draft:
    """Take a spectrum from columns: those that `key` names, else by name, else by content."""
    notes: list[str] = []
    choice = _chosen(form, labels, columns, key, notes)
    wave, flux = columns[choice.wavelength], columns[choice.flux]
    named = [
        labels[place].name or f"number {place + 1}" for place in (choice.wavelength, choice.flux)
    ]
    where = f"{form}, columns {' and '.join(named)}"
    if not (wave.numeric and flux.numeric):
        raise SpectrumError(
            f"{where}: not all values are numbers; remove the lines or footers that are none"
        )
    error, ivar, quality = (
        None if place is None else columns[place]
        for place in (choice.error, choice.ivar, choice.quality)
    )
    flags = None if quality is None else quality.flags()
    if quality is not None and flags is None:
        notes.append("mask: none; the column of flags holds no numbers")
    draft = Draft(
        format=form,
        where=where,
        wavelength=wave.values,
        flux=flux.values,
        unit=labels[choice.wavelength].written_unit or wave.unit,
        flux_unit=_flux_unit(labels[choice.flux]) or flux.unit,
        error=error.floats() if error is not None and error.numeric else None,
        error_kind=choice.error_kind,
        ivar=ivar.floats() if ivar is not None and ivar.numeric else None,
        quality=flags,
        quality_name="" if choice.quality is None else labels[choice.quality].name,
        mask=flux.mask,
        medium=choice.medium,
        frame=choice.frame,
        inferred=choice.inferred,
        logarithmic=choice.logarithmic,
        headers=() if header is None else (header,),
        assumed=[*choice.notes, *notes],
    )
    return without_wavelength(draft, wave.mask)


def _flux_unit(label: Label) -> str:
    """The unit; the name of a column such as logflux, so that it is refused."""
    return label.key if label.key.startswith(("log", "lg")) else label.written_unit


def without_wavelength(draft: Draft, mask: NDArray[np.bool_] | None) -> Draft:
    """Leave out the pixels whose wavelength is masked, and say so."""
    if mask is None or mask.shape != np.shape(draft.wavelength):
        return draft
    draft.assumed.append(f"pixels: {np.count_nonzero(mask)} of masked wavelength were dropped")
    return draft.part(~mask)


def table_draft(
    form: str,
    table: Mapping[str, Any],
    units: Mapping[str, str],
    meta: Mapping[str, Any],
    key: str | None = None,
    row: int | None = None,
    marks: Mapping[str, tuple[str, str]] | None = None,
) -> Draft:
    """Take a spectrum from a table: a row per pixel, or a row per spectrum in cells of arrays.

    Of the latter `row`, counted from 1, is taken; what else that row holds joins the header.
    `marks` are UCDs and UTYPEs.
    """
    columns = {str(name): Numbers.of(column) for name, column in table.items()}
    rows = max((len(column.values) for column in columns.values() if column.values.ndim), default=0)
    if not any(_is_cells(column) for column in columns.values()):
        if row is not None:
            raise SpectrumError(f"{form}: has one row per pixel, no row {row}; leave hdu out")
    elif row is None and rows > 1:
        raise SpectrumError(
            f"{form}: holds {rows} rows of array cells, one per spectrum; choose one by "
            f"hdu='0:ROW', ROW from 1 to {rows}"
        )
    elif not 1 <= (row or 1) <= rows:
        raise SpectrumError(f"{form}: has no row {row}; expected 1 to {rows}")
    else:
        at = (row or 1) - 1
        cells = {name: column.row(at) for name, column in columns.items()}
        columns = {name: cell for name, cell in cells.items() if cell.values.ndim}
        plain = {name: cell.values.item() for name, cell in cells.items() if not cell.values.ndim}
        meta = {**meta, **plain}
    labels = [Label(name, units.get(name, ""), *(marks or {}).get(name, ())) for name in columns]
    header = Header({}, {str(name).upper(): value for name, value in meta.items()})
    return columns_draft(form, labels, list(columns.values()), key, header)


def _is_cells(column: Numbers) -> bool:
    """Whether each row of the column holds an array."""
    values = column.values
    if values.dtype == object and values.ndim == 1 and len(values):
        return hasattr(values[0], "__len__") and not isinstance(values[0], str | bytes | Mapping)
    return values.ndim > 1


def row_of(hdu: int | str | None) -> int | None:
    """Return the row that `hdu` names, as 3 or "0:3", where the file has no HDUs."""
    row = "" if hdu is None else str(hdu).rpartition(":")[2]
    if hdu is not None and not row.isdecimal():
        raise SpectrumError(f"hdu {hdu!r}: this is not a FITS file; expected the number of a row")
    return int(row) if row else None


def other_table(names: Sequence[str]) -> str | None:
    """Tell what table other than a spectrum has columns of these names."""
    kinds = {Label(name).foreign for name in names}
    return next((what for what in OTHER_TABLES if what in kinds), None)


def refuse_other_tables(form: str, names: Sequence[str]) -> None:
    """Raise if columns of these names are those of a catalog, a light curve or a line list."""
    what = other_table(names)
    if what is not None:
        raise SpectrumError(
            f"{form}: with columns {shortened(names)} this looks like {what}, not like a spectrum; "
            "expected columns wavelength and flux (name them so, or choose them by key, as in "
            "'wave=NAME,flux=NAME')"
        )


def are_names(words: Sequence[str]) -> bool:
    """Whether these words between blanks name columns, and are no title."""
    labels = [Label(word) for word in words]
    return find_wavelength(labels) is not None or all(
        label.joined in NAMED or label.foreign is not None for label in labels
    )


def _chosen(
    form: str,
    labels: Sequence[Label],
    columns: Sequence[Numbers],
    key: str | None,
    notes: list[str],
) -> Choice:
    """Find wavelength and flux among the columns, by name or content, and what belongs to them."""
    if key is not None:
        return choose_by_key(form, labels, key)
    # Line lists have wavelengths and intensities too, and columns that no spectrum has.
    if is_line_list(labels):
        refuse_other_tables(form, [label.name for label in labels])
    choice = choose(labels)
    if choice is not None:
        return choice
    if len(columns) < 2:
        raise SpectrumError(f"{form}: one column; expected at least wavelength and flux")
    wave, flux, rest = _wavelength_by_content(form, labels, columns)
    if flux is None:
        flux = _flux_by_content(form, labels, wave, rest)
    choice = choose(labels, wave, flux)
    assert choice is not None
    places = [_ordinal(place) for place in (wave, flux)]
    notes.append(f"columns: the {places[0]} is wavelength, the {places[1]} flux; no names say so")
    others = [p for p in rest if p != flux]
    if not others or choice.error is not None:
        return choice
    named = any(label.name for label in labels)
    if not named and len(others) == 1 and looks_like_errors(columns[others[0]], columns[flux]):
        notes.append(f"columns: the {_ordinal(others[0])} is the error of the flux, by its size")
        return replace(choice, error=others[0])
    unread = [p for p in others if not (named and _COMPANION.fullmatch(labels[p].key))]
    if unread:
        words = "" if named else "; no names say what is in them"
        listed = shortened(labels[p].name or _ordinal(p) for p in unread)
        notes.append(f"columns: {listed} not read{words}")
    return choice


def _wavelength_by_content(
    form: str, labels: Sequence[Label], columns: Sequence[Numbers]
) -> tuple[int, int | None, list[int]]:
    """Places of the wavelengths, of a flux that has a name, and of columns that may be the flux."""
    names = [label.name for label in labels]
    wave, flux = find_wavelength(labels), find_flux(labels)
    if wave is None:
        wave = next((p for p in range(len(labels)) if _may_be_wave(labels[p], columns[p])), None)
    if wave is None:
        refuse_other_tables(form, names)
    rest = [
        place
        for place, (label, column) in enumerate(zip(labels, columns, strict=True))
        if column.numeric and label.key not in _COUNTERS and label.foreign is None
        if not (place == 0 and label.name == "" and counts_rows(column.values))
    ]
    if wave is None:
        # A continuum or model may fall as smoothly as wavelengths do.
        like = [p for p in rest if looks_like_wavelengths(columns[p].values)
                and not (labels[p].name and _COMPANION.fullmatch(labels[p].key))]  # fmt: skip
        wave = next((p for p in like if p != flux), None)
        if wave is None and flux in like:
            wave, flux = flux, None  # the names are words of a title
    words = [place for place, column in enumerate(columns) if column.values.dtype.kind in "OUSV"]
    # Of columns without names the flux is the first beside the wavelength, unless that is text.
    last = max((wave or 0), min((p for p in rest if p != wave), default=0))
    unnamed = wave is not None and not any(names) and words and words[0] < last
    if words and (wave is None or unnamed or (flux is None and len(rest) < 2)):
        raise SpectrumError(
            f"{form}, column {names[words[0]] or f'number {words[0] + 1}'}: not all values are "
            "numbers; remove the lines or footers that are none"
        )
    if wave is None:
        raise SpectrumError(
            f"{form}: none of its columns ({shortened(name or 'no name' for name in names)}) "
            "looks like wavelengths, which ascend or descend in even steps, at least "
            f"{MIN_PIXELS} of them; if one is, name it wavelength, and the other flux"
        )
    light = columns[wave].values
    rest = [
        p
        for p in rest
        if p != wave and NAMED.get(labels[p].joined, "flux") == "flux"
        if not (names[p] == "" and _is_frequency(columns[p].values, light))
    ]
    return wave, flux, rest


def _flux_by_content(form: str, labels: Sequence[Label], wave: int, rest: list[int]) -> int:
    """Place of the only column that may be the flux."""
    names = [label.name for label in labels]
    fluxes = [p for p in rest if not _COMPANION.fullmatch(labels[p].key)]
    if not fluxes:
        raise SpectrumError(
            f"{form}: no column of flux beside {names[wave] or f'number {wave + 1}'} "
            f"(columns: {shortened(names)}); if one is, choose it by key='flux=NAME'"
        )
    likely = [p for p in fluxes if _LIKELY_FLUX.search(labels[p].key)]
    fluxes = likely if len(likely) == 1 else fluxes
    named = [p for p in fluxes if names[p]]
    stems = {re.sub(r"_?(?:\d+|[a-d])$", "", labels[p].key) for p in named}  # star1, star2
    if len(named) > min(1 if form in _OF_ARRAYS else 2, len(stems)):
        raise AmbiguousError(
            f"{form}: any of {shortened(names[p] for p in fluxes)} could be the flux; choose one "
            f"by key='flux={names[fluxes[0]]}'"
        )
    return fluxes[0]


def _may_be_wave(label: Label, column: Numbers) -> bool:
    """Whether a name has a word for wavelength (lambda_obs), and the numbers may be some."""
    named = re.match(r"(wave|lam|wl)", label.key) is not None and label.foreign is None
    return named and column.numeric and looks_like_wavelengths(column.values)


def _ordinal(place: int) -> str:
    names = ("first", "second", "third", "fourth")
    return names[place] if place < len(names) else f"{place + 1}th"


_ROLES = {"wave": "wavelength", "wavelength": "wavelength", "flux": "flux", "err": "error",
          "error": "error", "ivar": "ivar", "mask": "quality", "quality": "quality"}  # fmt: skip


def roles_of(key: str) -> dict[str, str]:
    """Read ``"wave=A,flux=B"``: which column or array has which role; empty for a plain name."""
    pairs = [part.partition("=") for part in key.split(",")]
    if not all(mark for _, mark, _ in pairs):
        return {}
    roles = {}
    for role, _, name in pairs:
        if role.strip().lower() not in _ROLES:
            raise SpectrumError(
                f"key {key!r}: {role.strip()!r} is not a role; expected one of wave, flux, err, "
                "ivar, mask, as in 'wave=NAME,flux=NAME'"
            )
        roles[_ROLES[role.strip().lower()]] = name.strip()
    return roles


def choose_by_key(form: str, labels: Sequence[Label], key: str) -> Choice:
    """Take the columns that `key` names or, counted from 1, numbers."""
    names = [label.name for label in labels]
    roles = roles_of(key) or {"flux": key}
    places = {}
    for role, name in roles.items():
        if name in names:
            places[role] = names.index(name)
        elif name.isdecimal() and 1 <= int(name) <= len(names):
            places[role] = int(name) - 1
        else:
            raise SpectrumError(
                f"{form}: key {key!r}: no column {name!r}; it has "
                f"{shortened(name or 'one without a name' for name in names)}"
            )
    wave = places.get("wavelength", find_wavelength(labels))
    flux = places.get("flux", find_flux(labels))
    if wave is None and not any(names):
        wave = 0
    if wave is None or flux is None:
        raise SpectrumError(
            f"{form}: key {key!r} leaves open which column is the "
            f"{'wavelength' if wave is None else 'flux'}; give both, as in 'wave=NAME,flux=NAME'"
        )
    choice = choose(labels, wave, flux)
    assert choice is not None
    said = {"errors:"} if places.keys() & {"error", "ivar"} else set()
    said |= {"mask:"} if "quality" in places else set()
    return replace(
        choice,
        error=places.get("error", choice.error),
        ivar=places.get("ivar", choice.ivar),
        quality=places.get("quality", choice.quality),
        notes=[note for note in choice.notes if note.split(" ")[0] not in said],
    )


def counts_rows(values: NDArray[Any]) -> bool:
    """Whether these are 0, 1, 2, ... or 1, 2, 3, ..."""
    return len(values) > 1 and values[0] in (0, 1) and bool(np.all(np.diff(values) == 1))


def _is_frequency(values: NDArray[Any], wavelength: NDArray[Any]) -> bool:
    """Whether these are the frequencies of the wavelengths, as ATLAS writes beside them."""
    if not np.min(values) > 1e9:
        return False
    product = values.astype(np.float64) * wavelength
    spread = [np.std(array) / np.mean(array) for array in (product, wavelength)]
    return bool(spread[0] < 0.05 * spread[1])


def looks_like_wavelengths(values: NDArray[Any]) -> bool:
    """Whether these go one way in steps that are small and change slowly, as pixels do."""
    values = values[: 1 << 14].astype(np.float64)
    below = values[values < 0]
    values = values[np.isfinite(values) & (values > 0)]
    # One value below 0 again and again is padding; velocities have many.
    if len(values) < MIN_PIXELS or np.any(below != below[:1]) or counts_rows(values):
        return False
    steps = np.diff(values)
    steps *= np.sign(np.median(steps))  # one bad value at an end turns no column around
    forward = steps > 0
    # Orders one after the other go back now and then.
    if np.mean(forward) < 0.98:
        return False
    size = np.median(steps) / np.median(values)
    # From prisms to Fourier spectrometers; Julian dates lie closer.
    if not 1e-7 < size < 0.01:
        return False
    both = forward[1:] & forward[:-1]
    ratio = steps[1:][both] / steps[:-1][both]
    # Of points that lie at random, as lines do, half have neighbor steps as unlike as that.
    return bool(np.mean((ratio > 0.3) & (ratio < 3.3)) > 0.85)


def looks_like_errors(errors: Numbers, flux: Numbers) -> bool:
    """Whether a column without a name can be the error of the flux, and no second flux."""
    error, values = errors.floats(), flux.floats()
    real = np.isfinite(error) & np.isfinite(values)
    if error.shape != values.shape or not real.any() or np.any(error[real] < 0):
        return False
    size, level = np.median(error[real]), np.median(np.abs(values[real]))
    # The scatter from pixel to pixel (DER_SNR, Stoehr et al. 2008) tells noise from a continuum.
    scatter = 0.6 * np.median(np.abs(2 * values[2:-2] - values[:-4] - values[4:])[real[2:-2]])
    if scatter > 0.2 * size > 0:
        return True
    normalized = 0.5 < size < 1.5 and np.max(error[real]) < 2.0 and np.std(error[real]) > 0
    return bool(1e-5 * level < size < 0.5 * level and not normalized)
