"""Spectra that are Python objects: pairs of arrays, Quantities, specutils spectra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.draft import Draft
from latentscope.spectra.headers import Header, Inferred


def is_pair(source: Any) -> bool:
    """Whether `source` is (wavelength, flux), both with a length of their own."""
    return (
        isinstance(source, tuple | list)
        and len(source) == 2
        and all(hasattr(part, "__len__") and not isinstance(part, str | bytes) for part in source)
    )


def is_specutils(source: Any) -> bool:
    """Whether `source` is a specutils Spectrum or Spectrum1D, told without importing specutils."""
    return hasattr(source, "spectral_axis") and hasattr(source, "flux")


def is_hdulist(source: Any) -> bool:
    """Whether `source` is an astropy HDUList, told without importing astropy."""
    return isinstance(source, list) and hasattr(source, "writeto")


def read_specutils(source: Any) -> Draft:
    """Take a specutils spectrum with its uncertainty, mask and header."""
    flux, flux_unit = _numbers(source.flux)
    if flux.ndim != 1:
        raise SpectrumError(
            f"specutils object: flux has shape {flux.shape}; expected one spectrum (n,): index the "
            "one you want"
        )
    wavelength, unit = _wavelengths(source.spectral_axis, "spectral_axis")
    mask = getattr(source, "mask", None)
    header = _meta_header(getattr(source, "meta", None))
    wcs = getattr(getattr(source, "wcs", None), "wcs", None)
    axes = [header.text("CTYPE1"), *(str(kind) for kind in getattr(wcs, "ctype", []))]
    return Draft(
        format="specutils",
        where="specutils object",
        wavelength=wavelength,
        flux=flux,
        unit=unit,
        flux_unit=flux_unit,
        ivar=_uncertainty_ivar(getattr(source, "uncertainty", None), flux.shape),
        mask=None if mask is None else np.array(np.broadcast_to(mask, flux.shape), dtype=bool),
        inferred=Inferred("air") if any(kind.startswith("AWAV") for kind in axes) else None,
        headers=(header,),
    )


def _uncertainty_ivar(uncertainty: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Inverse variance of an NDUncertainty of any of the three kinds; None otherwise."""
    array = getattr(uncertainty, "array", None)
    powers = {"std": -2.0, "var": -1.0, "ivar": 1.0}
    kind = getattr(uncertainty, "uncertainty_type", "")
    if array is None or np.shape(array) != shape or kind not in powers:
        return None
    return np.asarray(np.asarray(array) ** powers[kind])


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
            if isinstance(value, str | int | float | bool):
                values[str(key).upper()] = value
    return Header({}, values)


def read_pair(source: Any) -> Draft:
    """Take (wavelength, flux): arrays (Angstrom unless sized like nm) or Quantities."""
    wavelength, unit = _wavelengths(source[0], "wavelength")
    flux, flux_unit = _numbers(source[1])
    return Draft("arrays", "(wavelength, flux)", wavelength, flux, unit, flux_unit)


def _numbers(values: Any) -> tuple[NDArray[Any], str]:
    """Numbers and unit of a Quantity or an array."""
    unit = getattr(values, "unit", None)
    return np.asarray(getattr(values, "value", values)), "" if unit is None else str(unit)


def _wavelengths(values: Any, what: str) -> tuple[NDArray[Any], str]:
    """Numbers and unit name of wavelengths; spectral Quantities come in Angstrom."""
    if getattr(values, "unit", None) is None:
        return np.asarray(values), ""
    from astropy import units

    try:
        converted = units.Quantity(values).to(units.AA, equivalencies=units.spectral())
    except units.UnitConversionError:
        raise SpectrumError(
            f"{what} is in {values.unit}; expected a length, frequency or energy"
        ) from None
    return np.asarray(converted.value), "Angstrom"
