"""What a reader takes from a source, which columns it reads, and the Spectrum that comes of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.headers import (
    Header,
    Inferred,
    Keywords,
    describe,
    frame_of,
    medium_of,
    velocities,
)
from latentscope.spectra.spectrum import Frame, Medium, Spectrum
from latentscope.spectra.wavelength import UNITS, angstrom_per

WAVELENGTH = ("wave", "wavelength", "lambda", "lam", "wl", "wavelengths", "wave_vac",
              "wavelength_vac", "wavelength_vacuum", "vacuum_wavelength", "wave_air",
              "wavelength_air", "air_wavelength", "loglam", "spectral_axis")  # fmt: skip
FLUX = ("flux", "flux_reduced", "flux_el", "spec", "spectrum", "intensity", "counts", "fluxes",
        "flux_norm", "normalized_flux", "relative_flux")  # fmt: skip
ERROR = ("err", "error", "flux_err", "flux_error", "e_flux", "err_flux", "sigma", "uncertainty",
         "noise", "std", "eflux")  # fmt: skip
IVAR = ("ivar", "flux_ivar", "inverse_variance", "inv_var")
QUALITY = ("qual", "quality", "dq", "mask", "and_mask", "flag", "flags", "bpm")


@dataclass
class Draft:
    """What a reader took from a source, as it stands there."""

    format: str
    where: str
    wavelength: NDArray[Any]
    flux: NDArray[Any]
    unit: str = ""
    flux_unit: str = ""
    error: NDArray[Any] | None = None
    ivar: NDArray[Any] | None = None
    mask: NDArray[np.bool_] | None = None
    medium: Medium | None = None
    inferred: Inferred | None = None
    headers: Sequence[Header] = ()
    assumed: list[str] = field(default_factory=list)


def finish(draft: Draft, file: str | None, frame: Frame | None = None) -> Spectrum:
    """Make the Spectrum of a draft: Angstrom, ascending, errors to ivar, notes of it all.

    A `frame` that is given counts, whatever the file says.

    Raises
    ------
    SpectrumError
        If a unit is unknown, the arrays do not fit, wavelengths go up and down, or no flux is
        finite. The message starts with the place in the file.
    """
    wavelength = _angstrom(draft)
    flux = _checked_flux(draft, len(wavelength))
    ivar = _inverse_variance(draft)
    mask = draft.mask
    wavelength, keep = _ascending(draft, wavelength)
    if keep is not None:
        flux = flux[keep]
        ivar = None if ivar is None else ivar[keep]
        mask = None if mask is None else mask[keep]
    # One look at the middle spares most spectra the pass over all pixels.
    if not (np.isfinite(flux[len(flux) // 2]) or np.isfinite(flux).any()):
        raise SpectrumError(f"{draft.where}: no flux value is finite; there is no spectrum in it")
    keywords = Keywords(draft.headers)
    rv, berv, rv_keyword = velocities(keywords)
    assumed = list(draft.assumed)
    medium = draft.medium or medium_of(keywords, wavelength, assumed, draft.inferred)
    if frame is None:
        frame = frame_of(keywords, assumed)
    else:
        assumed.append(f"frame: {frame}, as it was asked for")
    meta = {"format": draft.format, **describe(keywords, file), "assumed": assumed}
    meta |= {"file": file} if file else {}
    meta |= {"flux_unit": draft.flux_unit} if draft.flux_unit else {}
    meta |= {"rv_keyword": rv_keyword} if rv is not None else {}
    return Spectrum(wavelength, flux, medium, frame, ivar, mask, rv, berv, meta)


def _angstrom(draft: Draft) -> NDArray[np.float64]:
    wavelength = np.asarray(draft.wavelength)
    if wavelength.ndim != 1 or wavelength.dtype.kind not in "fiu":
        raise SpectrumError(
            f"{draft.where}: wavelength is {wavelength.dtype} of shape {wavelength.shape}; "
            "expected numbers of shape (n,)"
        )
    wavelength = wavelength.astype(np.float64, copy=False)
    factor = angstrom_per(draft.unit)
    if factor is None and draft.unit.strip():
        raise SpectrumError(
            f"{draft.where}: the wavelength unit {draft.unit!r} is unknown; expected Angstrom, nm, "
            "micron or m"
        )
    if factor is None:
        factor = _guess_unit(draft, wavelength)
    return wavelength if factor == 1.0 else wavelength * factor


def _guess_unit(draft: Draft, wavelength: NDArray[np.float64]) -> float:
    real = wavelength[np.isfinite(wavelength) & (wavelength > 0)]
    middle = float(np.median(real)) if len(real) else 0.0
    # From the ultraviolet to 50 micron the three units overlap nowhere that stars are observed.
    for longest, name in ((50.0, "micron"), (1500.0, "nm"), (1e6, "Angstrom")):
        if 0.05 < middle < longest:
            draft.assumed.append(
                f"wavelength unit: {name}, by the size of the numbers (middle {middle:.6g})"
            )
            return UNITS[name.lower()]
    raise SpectrumError(
        f"{draft.where}: the wavelengths have no unit and their middle is {middle:.6g}, which "
        "is neither Angstrom, nm nor micron of a stellar spectrum; are these wavelengths?"
    )


def _checked_flux(draft: Draft, count: int) -> NDArray[np.floating[Any]]:
    flux = np.asarray(draft.flux)
    if flux.shape != (count,) or flux.dtype.kind not in "fiu":
        raise SpectrumError(
            f"{draft.where}: flux is {flux.dtype} of shape {flux.shape} where wavelength has "
            f"shape ({count},); expected one number per wavelength"
        )
    if flux.dtype in (np.float32, np.float64) and flux.dtype.isnative:
        return flux
    # float32 holds integers of 16 bits exactly, and costs half.
    return flux.astype(np.float32 if flux.dtype.itemsize <= 2 else np.float64)


def _inverse_variance(draft: Draft) -> NDArray[Any] | None:
    """1/error^2; 0 where the error is zero, negative or not finite; None if it is so everywhere."""
    # An inverse variance of 0 says "not known", as everywhere here.
    if draft.ivar is not None:
        return np.where(np.isfinite(draft.ivar) & (draft.ivar > 0), draft.ivar, 0)
    if draft.error is None:
        return None
    error = np.asarray(draft.error)
    with np.errstate(all="ignore"):
        ivar: NDArray[Any] = np.square(error)
        np.divide(1, ivar, out=ivar)
        ivar[~(error > 0) | ~np.isfinite(ivar)] = 0
    # Many HARPS products have a column ERR that is NaN from end to end.
    if not ivar.any():
        draft.assumed.append("errors: none, since the file's error column holds no usable value")
        return None
    return ivar


def _ascending(
    draft: Draft, wavelength: NDArray[np.float64]
) -> tuple[NDArray[np.float64], slice | None]:
    """Strictly ascending wavelengths and the slice that made them so (None: untouched)."""
    if len(wavelength) > 1 and wavelength[0] > 0 and _ascends(wavelength):
        return wavelength, None
    first, last = _filled_range(wavelength)
    if last - first < 2:
        raise SpectrumError(
            f"{draft.where}: {max(last - first, 0)} of {len(wavelength)} wavelengths are usable; "
            "expected at least 2 positive ones"
        )
    inner = wavelength[first:last]
    keep = slice(first, last)
    # A slice that runs backwards to the very first pixel has no end.
    if inner[0] > inner[-1]:
        keep = slice(last - 1, first - 1 if first else None, -1)
        draft.assumed.append("order: the wavelengths descend in the file and were reversed")
    dropped = len(wavelength) - (last - first)
    if dropped:
        draft.assumed.append(
            f"pixels: {dropped} at the ends have no wavelength of their own and were dropped"
        )
    ordered = wavelength[keep]
    if not _ascends(ordered):
        at = int(np.argmin(ordered[1:] > ordered[:-1]))
        raise SpectrumError(
            f"{draft.where}: wavelengths go from {ordered[at]:.8g} to {ordered[at + 1]:.8g} "
            "Angstrom where they should ascend; merge overlapping orders or drop repeats first"
        )
    return ordered, keep


def _ascends(wavelength: NDArray[np.float64]) -> bool:
    return bool(np.all(wavelength[1:] > wavelength[:-1]))


def _filled_range(wavelength: NDArray[np.float64]) -> tuple[int, int]:
    """Bounds of the part between padded ends: zeros, NaN, or one value again and again."""
    usable = np.flatnonzero(np.isfinite(wavelength) & (wavelength > 0))
    if not len(usable):
        return 0, 0
    first, last = int(usable[0]), int(usable[-1]) + 1
    moving = np.flatnonzero(np.diff(wavelength[first:last]) != 0)
    if not len(moving):
        return first, first + 1
    return first + int(moving[0]), first + int(moving[-1]) + 2


@dataclass(frozen=True)
class Label:
    """What a table says of one of its columns; empty where it is silent."""

    name: str
    unit: str = ""
    ucd: str = ""
    utype: str = ""

    @property
    def key(self) -> str:
        """The name in lower case without a unit in brackets, words joined by underscores."""
        bare = re.sub(r"[\[(].*", "", self.name)
        return re.sub(r"[\s-]+", "_", bare.strip().lower())

    @property
    def written_unit(self) -> str:
        """The unit, or what stands in brackets behind the name."""
        bracket = re.search(r"[\[(]\s*([^\])]+?)\s*[\])]", self.name)
        return self.unit or (bracket[1] if bracket else "")


@dataclass(frozen=True)
class Choice:
    """Positions of the columns to read, and the medium as far as the columns tell."""

    wavelength: int
    flux: int
    error: int | None
    ivar: int | None
    quality: int | None
    medium: Medium | None
    inferred: Inferred | None


def choose(labels: Sequence[Label]) -> Choice | None:
    """Find the spectrum among the columns, by name, else UTYPE, else UCD.

    None if there is no wavelength or no flux. Where vacuum and air wavelengths stand side by side
    (ESPRESSO), the main column counts.
    """
    wavelength = _find(labels, WAVELENGTH, "spectralaxis.value", "em.wl")
    flux = _find(labels, FLUX, "fluxaxis.value", "phot.flux")
    if wavelength is None or flux is None or wavelength == flux:
        return None
    inferred = None
    # The ESO SDP standard means vacuum by a bare em.wl, which some writers put on air too: a
    # keyword overrules it.
    if labels[wavelength].ucd.lower().strip() == "em.wl":
        inferred = Inferred("vacuum", "since the UCD is em.wl without obs.atmos")
    return Choice(
        wavelength=wavelength,
        flux=flux,
        error=_find_error(labels, flux),
        ivar=_by_name(labels, IVAR),
        quality=_find(labels, QUALITY, "fluxaxis.accuracy.qualitystatus", "meta.code.qual"),
        medium=_medium(labels, labels[wavelength]),
        inferred=inferred,
    )


def _by_name(labels: Sequence[Label], names: Sequence[str]) -> int | None:
    keys = [label.key for label in labels]
    return next((keys.index(name) for name in names if name in keys), None)


def _find(labels: Sequence[Label], names: Sequence[str], utype: str, ucd: str) -> int | None:
    found = _by_name(labels, names)
    if found is not None:
        return found
    for position, label in enumerate(labels):
        if label.utype.lower().endswith(utype):
            return position
    for position, label in enumerate(labels):
        if label.ucd.lower().startswith(ucd):
            return position
    return None


def _find_error(labels: Sequence[Label], flux: int) -> int | None:
    """Find the error of the flux column chosen, not of another flux in the same table."""
    key = labels[flux].key
    # FLUX_REDUCED has ERR_REDUCED; a plain ERR beside it belongs to a plain FLUX.
    own = [key.replace("flux", word) for word in ("err", "error")] if "flux" in key else []
    own += [f"{key}_err", f"{key}_error", f"e_{key}", f"err_{key}"]
    found = _by_name(labels, own)
    if found is None and "_" not in key:
        found = _find(labels, ERROR, "fluxaxis.accuracy.staterror", "stat.error")
    return found


def _medium(labels: Sequence[Label], label: Label) -> Medium | None:
    """Tell the medium by the column's name, its UCD (ESO SDP standard), or its neighbors."""
    words = label.key.split("_")
    if "air" in words:
        return "air"
    # SDSS gives its logarithms in vacuum.
    if {"vac", "vacuum"} & set(words) or label.key == "loglam":
        return "vacuum"
    if "obs.atmos" in label.ucd.lower():
        return "air"
    # A column that says air beside one that says nothing: the other is the vacuum one.
    if any("air" in other.key.split("_") for other in labels):
        return "vacuum"
    return None
