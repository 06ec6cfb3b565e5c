"""Spectra already in memory: arrays, Quantities, specutils objects; and specutils' readers.

astropy and specutils are recognised by what they offer, so that neither is imported here unless a
file needs it.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.draft import Draft
from latentscope.spectra.fitsfile import Header
from latentscope.spectra.headers import Inferred


def is_specutils(source: Any) -> bool:
    """Whether `source` is a specutils Spectrum or Spectrum1D."""
    return hasattr(source, "spectral_axis") and hasattr(source, "flux")


def is_pair(source: Any) -> bool:
    """Whether `source` is (wavelength, flux), both with a length of their own."""
    return (
        isinstance(source, tuple | list)
        and len(source) == 2
        and all(hasattr(part, "__len__") and not isinstance(part, str | bytes) for part in source)
    )


def read_pair(source: Any) -> Draft:
    """Take (wavelength, flux): arrays (Angstrom unless sized like nm) or Quantities."""
    wavelength, unit = _length(source[0], "wavelength")
    flux, flux_unit = _plain(source[1])
    return Draft(
        format="arrays",
        where="(wavelength, flux)",
        wavelength=wavelength,
        flux=flux,
        unit=unit,
        flux_unit=flux_unit,
    )


def read_specutils(source: Any) -> Draft:
    """Take a specutils spectrum with its uncertainty, mask and header."""
    flux, flux_unit = _plain(source.flux)
    if flux.ndim != 1:
        raise SpectrumError(
            f"specutils object: flux has shape {flux.shape}; wanted one spectrum (n,): index the "
            "one you want"
        )
    wavelength, unit = _length(source.spectral_axis, "spectral_axis")
    mask = getattr(source, "mask", None)
    header = _header(getattr(source, "meta", None))
    return Draft(
        format="specutils",
        where="specutils object",
        wavelength=wavelength,
        flux=flux,
        unit=unit,
        flux_unit=flux_unit,
        ivar=_ivar(getattr(source, "uncertainty", None), flux.shape),
        mask=None if mask is None else np.array(np.broadcast_to(mask, flux.shape), dtype=bool),
        inferred=_inferred(source, header),
        headers=(header,),
    )


def read_with_specutils(data: bytes, name: str) -> Draft:
    """Read FITS bytes by whichever specutils reader recognises them.

    Raises
    ------
    SpectrumError
        If specutils is not installed, or fails too.
    """
    if importlib.util.find_spec("specutils") is None:
        raise SpectrumError(
            "specutils, which knows more formats, is not installed: "
            "pip install 'latentscope-spectra[specutils]'"
        )
    import specutils

    kind = getattr(specutils, "Spectrum", None) or specutils.Spectrum1D  # its name before 2.0
    suffix = "".join(Path(name).suffixes[-1:]) or ".fits"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"spectrum{suffix}"
        path.write_bytes(data)
        try:
            found = kind.read(path)
        except Exception as error:  # whatever a foreign reader stumbles upon
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise SpectrumError(f"specutils fails too ({reason[0][:120]})") from None
    draft = read_specutils(found)
    draft.assumed.append("read by specutils")
    return draft


def _plain(values: Any) -> tuple[NDArray[Any], str]:
    """Numbers and unit of a Quantity or an array."""
    unit = getattr(values, "unit", None)
    return np.asarray(getattr(values, "value", values)), "" if unit is None else str(unit)


def _length(values: Any, what: str) -> tuple[NDArray[Any], str]:
    """Numbers and unit name of wavelengths; spectral Quantities come in Angstrom."""
    if getattr(values, "unit", None) is None:
        return np.asarray(values), ""
    from astropy import units

    try:
        converted = units.Quantity(values).to(units.AA, equivalencies=units.spectral())
    except units.UnitConversionError:
        raise SpectrumError(
            f"{what} is in {values.unit}; wanted a length, frequency or energy"
        ) from None
    return np.asarray(converted.value), "Angstrom"


def _ivar(uncertainty: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Inverse variance of an NDUncertainty of any of the three kinds; None otherwise."""
    array = getattr(uncertainty, "array", None)
    kind = getattr(uncertainty, "uncertainty_type", "")
    if array is None or np.shape(array) != shape:
        return None
    values = np.asarray(array)
    powers = {"std": -2.0, "var": -1.0, "ivar": 1.0}
    if kind not in powers:
        return None
    with np.errstate(all="ignore"):
        return np.asarray(values ** powers[kind])


def _header(meta: Any) -> Header:
    """Keywords of a header kept in `meta`, and the plain entries of `meta` itself."""
    values: dict[str, Any] = {}
    if not isinstance(meta, Mapping):
        return Header({})
    inner = meta.get("header")
    for source in [meta, inner] if isinstance(inner, Mapping) else [meta]:
        for key in list(source):
            value = _entry(source, key)
            if isinstance(value, str | int | float | bool):
                values[str(key).upper()] = value
    return Header({}, values)


def _entry(mapping: Any, key: Any) -> Any:
    """One entry, None where its card is broken."""
    try:
        return mapping[key]
    except Exception:  # astropy raises VerifyError and others for cards that break the standard
        return None


def _inferred(source: Any, header: Header) -> Inferred | None:
    kinds = [header.text("CTYPE1")]
    kinds += [str(kind) for kind in getattr(getattr(getattr(source, "wcs", None), "wcs", None),
                                            "ctype", [])]  # fmt: skip
    return Inferred("air") if any(kind.startswith("AWAV") for kind in kinds) else None
