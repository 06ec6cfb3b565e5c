"""Spectra that are Python objects: arrays, Quantities, tables, specutils spectra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.columns import Numbers, table_draft, without_wavelength
from latentscope.spectra.draft import Draft
from latentscope.spectra.headers import Header, Inferred


def is_pair(source: Any) -> bool:
    """Whether `source` is (wavelength, flux) or with a third part, each with a length."""
    return (
        isinstance(source, tuple | list)
        and len(source) in (2, 3)
        and all(
            (hasattr(part, "__len__") or hasattr(part, "uncertainty_type"))
            and not isinstance(part, str | bytes | Mapping)
            for part in source
        )
    )


def is_specutils(source: Any) -> bool:
    """Whether `source` is a specutils Spectrum or Spectrum1D, told without importing specutils."""
    return hasattr(source, "spectral_axis") and hasattr(source, "flux")


def is_table(source: Any) -> bool:
    """Whether `source` is a table or mapping of columns, told without importing its package."""
    return (
        isinstance(source, Mapping)
        or hasattr(source, "colnames")
        or (hasattr(source, "iloc") and hasattr(source, "to_numpy"))
    )


def is_hdulist(source: Any) -> bool:
    """Whether `source` is an astropy HDUList, told without importing astropy."""
    return isinstance(source, list) and hasattr(source, "writeto")


def read_specutils(source: Any) -> Draft:
    """Take a specutils spectrum with its uncertainty, mask and header."""
    flux = Numbers.of(source.flux)
    if flux.values.ndim != 1:
        raise SpectrumError(
            f"specutils object: flux has shape {flux.values.shape}; expected one spectrum (n,): "
            "index the one you want"
        )
    wavelength = _wavelengths(source.spectral_axis, "spectral_axis")
    mask = getattr(source, "mask", None)
    header = _meta_header(getattr(source, "meta", None))
    wcs = getattr(getattr(source, "wcs", None), "wcs", None)
    axes = [header.text("CTYPE1"), *(str(kind) for kind in getattr(wcs, "ctype", []))]
    uncertainty = getattr(source, "uncertainty", None)
    ivar = _uncertainty_ivar(uncertainty, flux.values.shape)
    unread = uncertainty is not None and ivar is None
    return Draft(
        format="specutils",
        where="specutils object",
        wavelength=wavelength.values,
        flux=flux.values,
        unit=wavelength.unit,
        flux_unit=flux.unit,
        ivar=ivar,
        mask=flux.mask
        if mask is None
        else np.array(np.broadcast_to(mask, flux.values.shape), dtype=bool),
        inferred=Inferred("air") if any(kind.startswith("AWAV") for kind in axes) else None,
        headers=(header,),
        assumed=["errors: none; the uncertainty is of an unknown kind"] if unread else [],
    )


def _uncertainty_ivar(uncertainty: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Inverse variance of an NDUncertainty of any of the three kinds; None otherwise."""
    array = getattr(uncertainty, "array", None)
    powers = {"std": -2.0, "var": -1.0, "ivar": 1.0}
    kind = getattr(uncertainty, "uncertainty_type", "")
    if array is None or np.shape(array) != shape or kind not in powers:
        return None
    return np.asarray(np.asarray(array, dtype=np.float64) ** powers[kind])


def _meta_header(meta: Any) -> Header:
    """Keywords of a header kept in `meta`, and the plain entries of `meta` itself."""
    values: dict[str, Any] = {}
    if not isinstance(meta, Mapping):
        return Header({})
    inner = meta.get("header")
    for source in [meta, inner] if isinstance(inner, Mapping) else [meta]:
        for key in list(source):
            try:
                value = source[key]
            except Exception:  # astropy raises VerifyError and others for cards that are broken
                continue
            # astropy has all HISTORY cards as one value of its own kind.
            if str(key).upper() in ("HISTORY", "COMMENT"):
                value = str(value)
            if isinstance(value, str | int | float | bool):
                values[str(key).upper()] = value
    return Header({}, values)


def read_pair(source: Any) -> Draft:
    """Take (wavelength, flux), Quantities or in Angstrom or nm by size, and a third part.

    The third is the error of the flux, by its unit an inverse variance, of bool a mask (True: bad).
    """
    wavelength, flux = _wavelengths(source[0], "wavelength"), Numbers.of(source[1])
    draft = Draft(
        format="arrays",
        where="(wavelength, flux)",
        wavelength=wavelength.values,
        flux=flux.values,
        unit=wavelength.unit,
        flux_unit=flux.unit,
        mask=flux.mask,
    )
    if len(source) == 3:
        _take_third(draft, source[2])
    return without_wavelength(draft, wavelength.mask)


def _take_third(draft: Draft, third: Any) -> None:
    """Put the third part beside wavelength and flux where it belongs."""
    shape = np.shape(draft.flux)
    if hasattr(third, "uncertainty_type"):
        draft.ivar = _uncertainty_ivar(third, shape)
        return
    numbers = Numbers.of(third)
    if numbers.values.shape != shape:
        raise SpectrumError(
            f"the third array has shape {numbers.values.shape}, flux {shape}; expected the error "
            "of each pixel"
        )
    if numbers.values.dtype.kind == "b":
        draft.mask = numbers.values if draft.mask is None else numbers.values | draft.mask
        return
    if not numbers.numeric:
        raise SpectrumError(f"the third array holds {numbers.values.dtype}; expected errors")
    if not numbers.unit:
        draft.assumed.append("errors: the third array, in the unit of the flux")
        draft.error = numbers.floats()
        return
    from astropy import units

    unit, flux_unit = units.Unit(numbers.unit), units.Unit(draft.flux_unit)
    if unit.is_equivalent(flux_unit):
        draft.error = numbers.floats() * unit.to(flux_unit)
    elif unit.is_equivalent(flux_unit**-2):
        draft.ivar = numbers.floats() * unit.to(flux_unit**-2)
    else:
        raise SpectrumError(
            f"the third array is in {numbers.unit}, flux in {draft.flux_unit or 'no unit'}; "
            "expected the unit of the flux (errors) or 1 over its square (inverse variance)"
        )


def read_table(source: Any, key: str | None, row: int | None) -> Draft:
    """Take a spectrum from an astropy Table, a pandas DataFrame or Series, or a mapping."""
    meta = getattr(source, "meta", None)
    if isinstance(source, Mapping):
        columns = {str(name): _listed(column) for name, column in source.items()}
        return table_draft("mapping", columns, {}, {}, key, row)
    if hasattr(source, "colnames"):
        columns = {name: source[name] for name in source.colnames}
        plain = dict(meta) if isinstance(meta, Mapping) else {}
        return table_draft("astropy-table", columns, {}, plain, key, row)
    return read_frame(source.to_frame() if source.ndim == 1 else source, "DataFrame", key, row)


def read_frame(frame: Any, form: str, key: str | None, row: int | None) -> Draft:
    """Take a spectrum from a pandas DataFrame, of which the wavelengths may be the index."""
    columns = {str(name): frame.iloc[:, at] for at, name in enumerate(frame.columns)}
    counted = np.array_equal(frame.index, np.arange(len(frame)))
    if not counted and frame.index.nlevels == 1:
        columns = {str(frame.index.name or ""): frame.index.to_series(), **columns}
    return table_draft(form, columns, {}, {}, key, row)


def _listed(values: Any) -> Any:
    """Lists as arrays; single values and what is an array stay as they are."""
    return values if hasattr(values, "dtype") else np.asarray(values)


def _wavelengths(values: Any, what: str) -> Numbers:
    """Numbers and unit of wavelengths; spectral Quantities come in Angstrom."""
    numbers = Numbers.of(values)
    if getattr(values, "unit", None) is None:
        return numbers
    from astropy import units

    try:
        converted = units.Quantity(numbers.values, numbers.unit).to(
            units.AA, equivalencies=units.spectral()
        )
    except units.UnitConversionError:
        raise SpectrumError(
            f"{what} is in {values.unit}; expected a length, frequency or energy"
        ) from None
    return Numbers(np.asarray(converted.value), numbers.mask, "Angstrom")
