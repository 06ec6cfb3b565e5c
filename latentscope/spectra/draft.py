"""What a reader takes from a source, which columns it reads, and the Spectrum that comes of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentscope.compiled import njit
from latentscope.errors import SpectrumError
from latentscope.spectra.headers import (
    Header,
    Inferred,
    Keywords,
    describe,
    medium_in,
    medium_of,
    motion_of,
)
from latentscope.spectra.spectrum import Frame, Medium, Spectrum, ascends
from latentscope.spectra.wavelength import UNITS, angstrom_per, logarithm_of

WAVELENGTH = ("wave", "wavelength", "lambda", "lam", "wl", "wavelengths", "waves", "wavelen",
              "spectral_axis", "opt_wave", "box_wave", "arg", "awav")  # fmt: skip
"""Names of columns of wavelengths, without what qualifies them."""
_QUALIFIERS: dict[str, tuple[Medium | None, Frame | None]] = {
    "barycentric": (None, "barycentric"), "bary": (None, "barycentric"),
    "heliocentric": (None, "barycentric"), "helio": (None, "barycentric"), "": (None, None),
    "vacuum": ("vacuum", None), "vac": ("vacuum", None), "air": ("air", None), "obs": (None, None),
    "topocentric": (None, "topocentric"), "topo": (None, "topocentric"),
    "restframe": (None, "rest"), "rest": (None, "rest"),
}  # fmt: skip
"""Words in a wavelength's name and their meaning; of several columns the first here counts."""
_WORDS = "|".join(filter(None, _QUALIFIERS))
_QUALIFIER = re.compile(rf"(?<![a-z])(?:{_WORDS})|(?:{_WORDS})(?![a-z])")
ROLES = {
    role: tuple(names.split())
    for role, names in {
        "flux": """flux fluxreduced fluxel spec spectrum intensity counts fluxes fluxnorm
            normalizedflux relativeflux optflam optcounts boxflam boxcounts fun fluxnormalized
            normflux normalisedflux fluxdensity flam stokesi""",
        "error": """err error fluxerr fluxerror eflux errflux sigma uncertainty noise std errors
            staterror staterr sig fluxsigma sigmaflux errorflux unc fluxunc uncert fluxuncertainty
            stddev dflux errorbar fluxstd stdflux stdev rms errs""",
        "variance": "var variance fluxvar varflux fluxvariance varianceflux err2 error2 sigma2",
        "relative": """relativeerror relativeerr relerror relerr relativeuncertainty
            fractionalerror fracerr""",
        "ivar": "ivar fluxivar ivarflux errivar inversevariance invvar",
        # Of several the first counts: a pixel that any exposure flagged (OR_MASK) is mostly good.
        "quality": """qual quality dq dataqual dataquality andmask mask optmask boxmask flag flags
            pixelflags bpm badpix badpixels badmask crmask pixmask pixelmask dqwgt good goodpix
            goodpixels goodmask valid qualityflag qualflag dqflag fluxflag fluxmask badpixel isgood
            goodpixel ormask bad isbad maskbad reject rejected outlier outliers ok use usable
            isvalid validpixel validpixels maskgood""",
    }.items()
}
"""Names of columns by their role, in lower case and without underscores; the first counts."""
NAMED = {name: role for role, names in ROLES.items() for name in names}
_GOOD = ["dqwgt", "good", "goodpix", "goodpixels", "goodmask", "valid", "isgood", "goodpixel",
         "ok", "use", "usable", "isvalid", "validpixel", "validpixels", "maskgood"]  # fmt: skip
"""Columns that are 1 where a pixel is good; DQ_WGT is that of COS."""
_GOOD_IMAGE = re.compile(r"(?<!not)good(?:pi?x|pm|data|mask|flag|qual)")
_EITHER = [
    *("mask", "optmask", "boxmask", "fluxmask", "pixmask", "pixelmask"),
    *("quality", "dataqual", "dataquality"),
]
"""Columns that are 1 where a pixel is good in some files (PypeIt, CALSPEC), bad in others."""
_ERROR_LIKE = re.compile(r"(?:^|_)(?:\w*err(?:or)?s?|sigma?|unc\w*|\w*ivar|var|std|noise)(?:_|$)")
_FLAG_LIKE = re.compile(r"mask|flag|bad|reject|cosmic|good")


ErrorKind = Literal["error", "variance", "relative"]


_LOG_FLUX = re.compile(r"\s*(?:log|dex|ln\b|lg\b|mag\b|(?:log|lg|ln)(?:10)?_?f)", re.IGNORECASE)
_LOG_NAME = re.compile(r"\s*(log10|log|ln)\s*[(\[]\s*(\w+)\s*[)\]]", re.IGNORECASE)
_LOG_WAVELENGTH = re.compile(r"(?:log10|log|ln)_?(?:lam|lambda|wave|wavelength|wl)s?")


@dataclass
class Draft:
    """What a reader took from a source, as it stands there.

    `quality` holds flags in one of the ways of pipelines, of which `quality_name`, the column's
    name, tells; `mask` is True for bad pixels. Of a file with several spectra `name` is what `hdu`
    takes to choose this one, `title` its HDU's name, `target` what it is of, where that is said.
    """

    format: str
    where: str
    wavelength: NDArray[Any]
    flux: NDArray[Any]
    unit: str = ""
    flux_unit: str = ""
    error: NDArray[Any] | None = None
    error_kind: ErrorKind = "error"
    ivar: NDArray[Any] | None = None
    quality: NDArray[Any] | None = None
    quality_name: str = ""
    mask: NDArray[np.bool_] | None = None
    medium: Medium | None = None
    frame: Frame | None = None
    inferred: Inferred | None = None
    logarithmic: bool = False  # the logarithm of wavelength, to base 10 or e
    headers: Sequence[Header] = ()
    assumed: list[str] = field(default_factory=list)
    name: str = ""
    title: str = ""
    target: str = ""

    def part(self, pixels: slice | NDArray[np.bool_], **changes: Any) -> Draft:
        """The same with these pixels alone, and other changes."""
        names = ("wavelength", "flux", "error", "ivar", "quality", "mask")
        arrays = {name: getattr(self, name) for name in names}
        shape = np.shape(self.wavelength)
        kept = {name: it[pixels] for name, it in arrays.items() if np.shape(it) == shape}
        return replace(self, assumed=list(self.assumed), **kept, **changes)


def filled(drafts: list[Draft]) -> list[Draft]:
    """Leave out rows without a spectrum, and say so."""
    full = [len(drafts) == 1 or _holds_data(draft) for draft in drafts]
    kept = [draft for draft, use in zip(drafts, full, strict=True) if use]
    empty = [draft.name for draft, use in zip(drafts, full, strict=True) if not use]
    if kept and empty:
        kept[0].assumed.append(f"rows: {', '.join(empty)} hold no flux and are left out")
    return kept


def _holds_data(draft: Draft) -> bool:
    """Whether there is flux other than 0 at two wavelengths or more."""
    wavelength, flux = np.asarray(draft.wavelength), np.asarray(draft.flux)
    if wavelength.shape != flux.shape:
        return True  # for `finish` to say
    use = np.isfinite(wavelength) & (wavelength > 0) & np.isfinite(flux)
    return bool(np.count_nonzero(use) > 1 and flux[use].any())


def finish(
    draft: Draft, file: str | None, frame: Frame | None = None, *, ivar: bool = True
) -> Spectrum:
    """Make the Spectrum of a draft: Angstrom, ascending, errors to ivar, notes of it all.

    A `frame` that is given overrules the file. Without `ivar` errors tell no more than
    which pixels are to be masked. A SpectrumError that starts with the place in the file, if a unit
    is unknown, the arrays do not fit, or no flux is finite.
    """
    said = medium_in(draft.unit)
    wavelength = _angstrom(draft)
    flux = _checked_flux(draft, len(wavelength))
    weights, blank = _inverse_variance(draft, flux, ivar)
    mask = _without_blanks(draft, flux, _mask(draft, flux, blank))
    wavelength, keep = _ascending(draft, wavelength)
    if keep is not None:
        flux = flux[keep]
        weights = None if weights is None else weights[keep]
        mask = None if mask is None else mask[keep]
    # One look at the middle spares most spectra the pass over all pixels.
    if not (np.isfinite(flux[len(flux) // 2]) or np.isfinite(flux).any()):
        raise SpectrumError(f"{draft.where}: no flux value is finite; there is no spectrum in it")
    keywords = Keywords(draft.headers)
    assumed = list(draft.assumed)
    medium = draft.medium or said or medium_of(keywords, wavelength, assumed, draft.inferred)
    motion = motion_of(keywords, assumed, frame, draft.frame)
    meta = {"format": draft.format, **describe(keywords, file), "assumed": assumed}
    meta |= {"file": file} if file else {}
    meta |= {"flux_unit": draft.flux_unit} if draft.flux_unit else {}
    meta |= {"rv_keyword": motion.rv_keyword} if motion.rv is not None else {}
    return Spectrum(
        wavelength, flux, medium, motion.frame, weights, mask, motion.rv, motion.berv, meta
    )


class UnorderedError(SpectrumError):
    """Wavelengths go back in the middle of a spectrum; it carries them, in Angstrom."""

    def __init__(self, message: str, wavelength: NDArray[np.float64]) -> None:
        super().__init__(message)
        self.wavelength = wavelength


_LEAST_ORDER = 20  # pixels


def orders_of(draft: Draft, wavelength: NDArray[np.float64]) -> list[Draft]:
    """Cut what holds one order after the other where the wavelengths go back; empty if none do."""
    steps = np.diff(wavelength)
    forward = steps * np.sign(np.nanmedian(steps)) > 0
    bounds = [0, *(np.flatnonzero(~forward) + 1).tolist(), len(wavelength)]
    if len(bounds) < 3 or np.diff(bounds).min() < _LEAST_ORDER:
        return []
    # One bad wavelength goes back too, but not by a step like those of an order beside it.
    inner = np.array(bounds[1:-1])
    beside = np.abs(steps[[inner - 2, inner]])
    if not beside.max() < 10 * np.nanmedian(np.abs(steps)):
        return []
    # In Angstrom by now: the unit is that of the whole, not of each order by its own size.
    whole = replace(draft, wavelength=wavelength, unit="Angstrom", logarithmic=False)
    return [
        whole.part(slice(start, stop), title=f"pixels {start + 1} to {stop}", name="")
        for start, stop in pairwise(bounds)
    ]


def _angstrom(draft: Draft) -> NDArray[np.float64]:
    wavelength = np.asarray(draft.wavelength)
    if wavelength.ndim != 1 or wavelength.dtype.kind not in "fiu":
        raise SpectrumError(
            f"{draft.where}: wavelength is {wavelength.dtype} of shape {wavelength.shape}; "
            "expected numbers of shape (n,)"
        )
    wavelength = wavelength.astype(np.float64, copy=False)
    if len(wavelength) > 2 and wavelength[0] in (0, 1) and np.all(np.diff(wavelength) == 1):
        raise SpectrumError(
            f"{draft.where}: the wavelengths are {wavelength[0]:g}, {wavelength[1]:g}, ..., "
            "numbers of pixels; expected wavelengths"
        )
    if draft.logarithmic or logarithm_of(draft.unit):
        wavelength = _raised(draft, wavelength)
    factor = angstrom_per(draft.unit)
    if factor is None and draft.unit.strip():
        raise SpectrumError(
            f"{draft.where}: the wavelength unit {draft.unit!r} is unknown; expected Angstrom, nm, "
            "micron or m"
        )
    if factor is None:
        factor = _guess_unit(draft, wavelength)
    return wavelength if factor == 1.0 else wavelength * factor


def _raised(draft: Draft, logarithm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wavelengths from their logarithms, and the remaining unit."""
    stated = logarithm_of(draft.unit)
    draft.unit = stated[1] if stated else draft.unit
    if angstrom_per(draft.unit) is None:
        draft.unit = ""
    real = logarithm[np.isfinite(logarithm)]
    middle = float(np.median(real)) if len(real) else 0.0
    if middle > 20:
        draft.assumed.append(f"wavelength: no logarithm, whatever its name (middle {middle:.6g})")
        return logarithm
    # Of light that stars are observed in, in Angstrom or nm: 2 to 5 to base 10, 5 to 12 to base e.
    base, name = (10.0, "10") if middle < 5.0 else (np.e, "e")
    draft.assumed.append(f"wavelength: raised from its logarithm to base {name}, by its size")
    # SDSS, whose custom this is, means Angstrom.
    if not draft.unit and base**middle > 1000.0:
        draft.unit = "Angstrom"
    return np.asarray(base**logarithm)


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
    if _LOG_FLUX.match(draft.flux_unit):
        raise SpectrumError(
            f"{draft.where}: flux is in {draft.flux_unit!r}, a logarithm; expected flux on a "
            "linear scale: raise it to its power first"
        )
    if flux.shape != (count,) or flux.dtype.kind not in "fiu":
        raise SpectrumError(
            f"{draft.where}: flux is {flux.dtype} of shape {flux.shape} where wavelength has "
            f"shape ({count},); expected one number per wavelength"
        )
    if flux.dtype in (np.float32, np.float64) and flux.dtype.isnative:
        return flux
    # float32 holds integers of 16 bits exactly, and costs half.
    return flux.astype(np.float32 if flux.dtype.itemsize <= 2 else np.float64)


_NEARLY_ALL = 0.9
_NO_FLUX = 1e20
"""What writers fill with, where it is not 0, -999, ..."""
_NO_ERROR = 1e10
"""Times the flux; no error is as large."""


def _inverse_variance(
    draft: Draft, flux: NDArray[Any], needed: bool
) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]:
    """Inverse variance, 0 where the file gives none, and where that is; None for nothing.

    Where it is not `needed`, it is not computed if all pixels have some.
    """
    given = draft.error if draft.ivar is None else draft.ivar
    if given is None:
        return None, None
    power = 1 if draft.ivar is not None else -1 if draft.error_kind == "variance" else -2
    if draft.error_kind == "relative" and power < 0:
        given = given * np.abs(flux, dtype=np.float64)
    single = given.dtype == np.float32
    given = np.ascontiguousarray(given, np.float32 if single else np.float64)
    if single and not needed and _all_positive(given):
        return None, None
    ivar = np.empty(len(given))
    usable = _weigh(given, power, _largest(given, flux, power), ivar)
    # Many HARPS products have a column ERR that is NaN from end to end.
    if not usable:
        draft.assumed.append("errors: none, since the file's error column holds no usable value")
        return None, None
    return ivar if needed else None, None if usable == len(ivar) else ivar == 0


def _largest(given: NDArray[Any], flux: NDArray[Any], power: int) -> float:
    """From where on a number stands for no error: what is out of all proportion to the flux."""
    if power > 0 or not (given >= _NO_FLUX).any():
        return np.inf
    size = np.abs(flux[np.isfinite(flux) & (flux != 0)], dtype=np.float64)
    largest = _NO_ERROR * float(np.median(size)) if len(size) else 0.0
    return max(_NO_FLUX, largest if power == -2 else largest * largest)


@njit(nogil=True)
def _all_positive(values: NDArray[np.float32]) -> bool:
    """Whether all values (n,) are positive and meant, so that their squares are in float64 too."""
    found = True
    for i in range(len(values)):
        found &= (values[i] > 0) & (values[i] < _NO_FLUX)
    return found


# Of numpy, whose 1 / 0 is infinite; and no branch within, so that it is compiled to vectors.
@njit(nogil=True, error_model="numpy")
def _weigh(given: NDArray[Any], power: int, largest: float, ivar: NDArray[np.float64]) -> int:
    """Write a power of the values, 0 where not positive and finite; count the others."""
    usable = 0
    for i in range(len(given)):
        # In float32 the square of an error below 1e-19 is 0, which is a common size in erg units.
        value = np.float64(given[i])
        weight = value
        if power < 0:
            weight = 1.0 / (value if power == -1 else value * value)
        good = (value > 0) & (weight > 0) & (weight < np.inf) & (value < largest)
        ivar[i] = weight if good else 0.0
        usable += int(good)
    return usable


def _mask(
    draft: Draft, flux: NDArray[Any], blank: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Pixels that a mask, a quality column or a missing error takes out; None if there are none."""
    mask = draft.mask
    if blank is not None:
        mask = blank if mask is None else mask | blank
        # A pixel with neither flux nor error is an empty one, of which nobody asks.
        dropped = np.count_nonzero(blank & np.isfinite(flux) & (flux != 0))
        if dropped:
            draft.assumed.append(
                f"pixels: {dropped} with flux but without an error or inverse variance (0, "
                "negative, not finite or far beyond the flux) are left out"
            )
    if draft.quality is not None and (_is_good(draft.quality_name) or draft.quality.any()):
        flagged = _flagged(draft, draft.quality, flux, mask)
        if flagged is not None and flagged.any():
            mask = flagged if mask is None else mask | flagged
    return mask


_LEAST_BLANK = 20  # pixels in a row


def _without_blanks(
    draft: Draft, flux: NDArray[Any], mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Mask runs of one value, 0 or less or very large, that a detector or writer left blank."""
    blank = np.zeros(len(flux), dtype=np.bool_)
    runs = _find_blanks(np.ascontiguousarray(flux), blank)
    count = np.count_nonzero(blank)
    if not 0 < count < len(flux):
        return mask
    new = count if mask is None else int(np.count_nonzero(blank & ~mask))
    if new:
        values = ", ".join(f"{value:g}" for value in np.unique(flux[runs] + 0.0)[:3])
        draft.assumed.append(f"pixels: {new} in runs of {values} hold no flux and are left out")
    return blank if mask is None else mask | blank


@njit(nogil=True)
def _find_blanks(flux: NDArray[Any], blank: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Mark runs of one value that is no flux; return where they begin."""
    n, stop, found = len(flux), 0, 0
    starts = np.empty(n // _LEAST_BLANK, np.intp)
    # A run that is long enough has a pixel of these, and the next one too.
    for i in range(0, n - 1, _LEAST_BLANK - 1):
        value = flux[i]
        if i < stop or flux[i + 1] != value or 0 < value < _NO_FLUX:
            continue
        start, stop = i, i + 2
        while start > 0 and flux[start - 1] == value:
            start -= 1
        while stop < n and flux[stop] == value:
            stop += 1
        if stop - start >= _LEAST_BLANK:
            blank[start:stop] = True
            starts[found] = start
            found += 1
    return starts[:found]


def _is_good(name: str) -> bool:
    """Whether a mask of this name is 1 where a pixel is good."""
    joined = re.sub("[^a-z]", "", name.lower())
    return joined in _GOOD or _GOOD_IMAGE.search(joined) is not None


def _flagged(
    draft: Draft, quality: NDArray[Any], flux: NDArray[Any], mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Bad pixels of a quality column; None if it flags too many to be of use."""
    name = Label(draft.quality_name).joined
    column = f"column {draft.quality_name}" if name else "the quality column"
    if quality.dtype.kind == "f":
        quality = np.where(np.isfinite(quality), quality, 1)
    bits: NDArray[np.int64] = quality.astype(np.int64)
    # HST: the bits that its calibration takes for serious; the others are remarks.
    serious = Keywords(draft.headers).number(["SDQFLAGS"], 1, 2**31)
    if _is_good(draft.quality_name):
        bits = (bits == 0).astype(np.int64)
    elif serious is not None:
        bits &= int(serious)
    one: NDArray[np.bool_] = bits != 0
    alive = np.isfinite(flux) & (flux != 0)
    if mask is not None:
        alive &= ~mask
    count = np.count_nonzero(alive)
    ones = np.count_nonzero(alive & one)
    if name in _EITHER and ones > count - ones and bits.min() >= 0 and bits.max() == 1:
        draft.assumed.append(f"mask: 1 is good in {column}, which holds 1 for {ones} of {count}")
        return ~one
    if ones <= _NEARLY_ALL * count:
        return one
    # A bit that most pixels have says something of the exposure.
    for bit in range(63):
        if np.count_nonzero(bits[alive] >> bit & 1) > _NEARLY_ALL * count:
            bits &= ~(1 << bit)
    left: NDArray[np.bool_] = bits != 0
    draft.assumed.append(
        f"mask: {column} flags {ones} of {count} pixels; flags that nearly all pixels have are "
        "not used"
    )
    return left if np.count_nonzero(alive & left) <= _NEARLY_ALL * count else None


_FEW_LOST = 0.01
_BESIDE = 20  # pixels
_LEVEL_STEP = 1.25


def _ascending(
    draft: Draft, wavelength: NDArray[np.float64]
) -> tuple[NDArray[np.float64], slice | NDArray[np.intp] | None]:
    """Strictly ascending wavelengths and the pixels that they are of (None: all, untouched)."""
    if len(wavelength) > 1 and wavelength[0] > 0 and ascends(wavelength):
        return wavelength, None
    first, last = _filled_range(wavelength)
    if last - first < 2:
        raise SpectrumError(
            f"{draft.where}: {max(last - first, 0)} of {len(wavelength)} wavelengths are usable; "
            "expected at least 2 positive ones"
        )
    keep = slice(first, last)
    descends = wavelength[first] > wavelength[last - 1]
    if descends:  # a slice that runs backwards to the very first pixel has no end
        keep = slice(last - 1, first - 1 if first else None, -1)
    ordered = wavelength[keep]
    chosen: slice | NDArray[np.intp] = keep
    if not ascends(ordered):
        usable = np.arange(len(wavelength))[keep][np.isfinite(ordered) & (ordered > 0)]
        own = usable[np.diff(wavelength[usable], prepend=0.0) != 0]
        lost = len(ordered) - len(own)
        meet = orders_of(draft, wavelength) and _steps_at_repeats(draft, wavelength, usable)
        if meet or lost > _FEW_LOST * len(ordered) or not ascends(wavelength[own]):
            at = int(np.argmin(ordered[1:] > ordered[:-1]))
            raise UnorderedError(
                f"{draft.where}: wavelengths go from {ordered[at]:.8g} to {ordered[at + 1]:.8g} "
                "Angstrom where they should ascend; merge overlapping orders or drop repeats first",
                wavelength,
            )
        chosen = own
        draft.assumed.append(
            f"pixels: {lost} without a wavelength, or with that of the pixel before, were dropped"
        )
    if descends:
        draft.assumed.append("order: the wavelengths descend in the file and were reversed")
    dropped = len(wavelength) - (last - first)
    if dropped:
        draft.assumed.append(
            f"pixels: {dropped} at the ends have no wavelength of their own and were dropped"
        )
    return wavelength[chosen], chosen


def _steps_at_repeats(
    draft: Draft, wavelength: NDArray[np.float64], usable: NDArray[np.intp]
) -> bool:
    """Whether the flux has another level from a repeated wavelength on, as where orders meet."""
    flux = np.asarray(draft.flux)[usable]
    for at in np.flatnonzero(np.diff(wavelength[usable]) == 0) + 1:
        sides = flux[max(at - _BESIDE, 0) : at], flux[at : at + _BESIDE]
        levels = [float(np.median(side[np.isfinite(side)])) for side in sides
                  if np.isfinite(side).any()]  # fmt: skip
        if len(levels) == 2 and min(levels) > 0 and max(levels) > _LEVEL_STEP * min(levels):
            return True
    return False


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


# Names of columns that tables of other things have, in lower case, words joined by underscores.
OTHER_TABLES = {
    "a light curve": """time t jd mjd bjd hjd rjd btjd bkjd tjd date phase epoch cadence cadenceno
        sap_flux pdcsap_flux obstime""",
    "a cross-correlation function or a line profile": """velocity vel vrad vhelio rv_grid
        ccf lag""",
    "a line list": """species element elem ion ionization ion_stage loggf log_gf gf excitation
        excitation_potential ep ep_ev chi chi_ev lower_energy elow e_low ei ek ei_ev ek_ev aki fik
        acc conf_i conf_k term_i term_k lande damping vdw stark molecule line_id equivalent_width
        ew""",
    "a table over frequency or energy": """wavenumber wavenumbers wave_number wn frequency freq nu
        energy energies""",
    "a table of latents": """recon_error recon_percentile density_percentile verdict trust latent
        latents dim""",
    "a catalog or a table of labels": """id ids source_id solution_id obj_id object_id ra dec
        raj2000 dej2000 ra_deg dec_deg ra_icrs de_icrs glon glat pmra pmdec parallax plx teff logg
        log_g feh fe_h m_h mh alpha_fe vsini vmic vmac rv radial_velocity mass
        radius age luminosity lum distance ebv mag magnitude gmag bmag vmag rmag imag jmag hmag
        kmag umag zmag phot_g_mean_mag phot_bp_mean_mag phot_rp_mean_mag bp_rp b_v kic tic epic hip
        hd tmass gaia_id spt sptype spectral_type year month day""",
}
_OTHER = {name: what for what, names in OTHER_TABLES.items() for name in names.split()}
_LATENT = re.compile(r"(z|dim|latent|mu)_?\d+")


@dataclass(frozen=True)
class Label:
    """A table's description of one column; empty where it has none."""

    name: str
    unit: str = ""
    ucd: str = ""
    utype: str = ""

    @property
    def key(self) -> str:
        """The name in lower case without its unit, words joined by underscores."""
        return _key(self.name)

    @property
    def joined(self) -> str:
        """The key without underscores, as names stand in `ROLES`."""
        return self.key.replace("_", "")

    @property
    def written_unit(self) -> str:
        """The unit, or what stands in brackets behind the name."""
        bracket = re.search(r"[\[(]\s*([^\])]+?)\s*[\])]", self.name)
        if self.unit or bracket:
            words = re.split(r"[\s,;]+", bracket[1]) if bracket else ()
            return self.unit or " ".join(w for w in words if w.lower() not in (*_QUALIFIERS, "in"))
        stem, _, unit = re.sub(r"[\s-]+", "_", self.name.strip().lower()).rpartition("_")
        return unit if _bare(stem) in WAVELENGTH and angstrom_per(unit) else ""

    @property
    def logarithmic(self) -> bool:
        """Whether the name is that of the logarithm of wavelengths."""
        return bool(_LOG_WAVELENGTH.fullmatch(_bare(self.key)))

    @property
    def qualifiers(self) -> list[str]:
        """Words that give the medium or frame of wavelengths."""
        return _QUALIFIER.findall(self.name.lower())

    @property
    def foreign(self) -> str | None:
        """The kind of table, no spectrum, that has such a column; None if a spectrum may."""
        if _LATENT.fullmatch(self.key):
            return "a table of latents"
        if self.key in _OTHER:
            return _OTHER[self.key]
        # Teff_gspphot, BJD-2450000, e_logg, V_mag; but lines have names that begin like others.
        words = self.key.removeprefix("e_").split("_")
        kinds = [_OTHER.get(word) for word in (words[0], words[-1]) if len(word) > 1]
        return next((kind for kind in kinds if kind not in (None, "a line list")), None)


@lru_cache(maxsize=1024)  # the columns of an archive have few names
def _key(name: str) -> str:
    logarithm = _LOG_NAME.match(name)
    bare = logarithm.expand(r"\1_\2") if logarithm else re.sub(r"[\[(].*", "", name)
    key = re.sub(r"[\s-]+", "_", bare.strip().lower())
    stem, _, unit = key.rpartition("_")
    return stem if _bare(stem) in WAVELENGTH and angstrom_per(unit) else key


def _bare(key: str) -> str:
    """A name without its qualifiers."""
    return _QUALIFIER.sub("", key).strip("_")


@dataclass(frozen=True)
class Choice:
    """Positions of the columns to read, and the medium as far as the columns tell."""

    wavelength: int
    flux: int
    error: int | None
    error_kind: ErrorKind
    ivar: int | None
    quality: int | None
    medium: Medium | None
    frame: Frame | None
    inferred: Inferred | None
    logarithmic: bool
    notes: list[str]


def find_wavelength(labels: Sequence[Label]) -> int | None:
    """Position of the column of wavelengths, by name, else UTYPE, else UCD."""
    order = list(_QUALIFIERS)
    ranks = [
        (min(map(order.index, label.qualifiers or [""])), WAVELENGTH.index(bare), place)
        for place, label in enumerate(labels)
        if (bare := _bare(label.key)) in WAVELENGTH
    ]
    if ranks:
        return min(ranks)[-1]
    logarithms = [place for place, label in enumerate(labels) if label.logarithmic]
    return logarithms[0] if logarithms else _find(labels, (), "spectralaxis.value", "em.wl")


def is_line_list(labels: Sequence[Label]) -> bool:
    """Whether columns have names that no spectrum has, beside wavelengths and intensities."""
    return any(label.foreign == "a line list" for label in labels)


def find_flux(labels: Sequence[Label]) -> int | None:
    """Position of the column of fluxes, by name, else UTYPE, else UCD."""
    return _find(labels, ROLES["flux"], "fluxaxis.value", "phot.flux")


def choose(
    labels: Sequence[Label], wavelength: int | None = None, flux: int | None = None
) -> Choice | None:
    """Find the spectrum among the columns, by name, else UTYPE, else UCD; or take those given.

    None if there is no wavelength or no flux. Where vacuum and air wavelengths stand side by side
    (ESPRESSO), the main column counts.
    """
    wavelength = find_wavelength(labels) if wavelength is None else wavelength
    flux = find_flux(labels) if flux is None else flux
    if wavelength is None or flux is None or wavelength == flux:
        return None
    # The ESO SDP standard means vacuum by a bare em.wl, which some writers put on air too: a
    # keyword overrules it.
    vacuum = labels[wavelength].ucd.lower().strip() == "em.wl"
    error, error_kind = _find_error(labels, flux)
    name = labels[flux].joined
    ivar = _by_name(labels, (f"{name}ivar", f"ivar{name}", *ROLES["ivar"]))
    unread = [label.name for label in labels if _ERROR_LIKE.search(label.key)]
    quality = _find(labels, ROLES["quality"], "fluxaxis.accuracy.qualitystatus", "meta.code.qual")
    flags = [label.name for label in labels if _FLAG_LIKE.search(label.key)]
    notes = [f"errors: none; column {name} is not read, its meaning is not known"
             for name in unread[:1] if error is None and ivar is None]  # fmt: skip
    notes += [f"mask: none; column {name} is not read, its meaning is not known"
              for name in flags[:1] if quality is None]  # fmt: skip
    said = [_QUALIFIERS[word] for word in labels[wavelength].qualifiers]
    return Choice(
        wavelength=wavelength,
        flux=flux,
        error=error,
        error_kind=error_kind,
        ivar=ivar,
        quality=quality,
        medium=next((medium for medium, _ in said if medium), _medium(labels, labels[wavelength])),
        frame=next((frame for _, frame in said if frame), None),
        inferred=Inferred("vacuum", "since the UCD is em.wl without obs.atmos") if vacuum else None,
        notes=notes,
        logarithmic=labels[wavelength].logarithmic,
    )


def _by_name(labels: Sequence[Label], names: Sequence[str]) -> int | None:
    keys = [label.joined for label in labels]
    return next((keys.index(name) for name in names if name in keys), None)


def _find(labels: Sequence[Label], names: Sequence[str], utype: str, ucd: str) -> int | None:
    by_utype = (place for place, it in enumerate(labels) if it.utype.lower().endswith(utype))
    by_ucd = (place for place, it in enumerate(labels) if it.ucd.lower().startswith(ucd))
    named = _by_name(labels, names)
    return next(by_utype, next(by_ucd, None)) if named is None else named


def _find_error(labels: Sequence[Label], flux: int) -> tuple[int | None, ErrorKind]:
    """Find the error of the flux column chosen, not of another flux in the same table."""
    key, name = labels[flux].key, labels[flux].joined
    # FLUX_REDUCED has ERR_REDUCED; a plain ERR beside it belongs to a plain FLUX.
    own = [name.replace("flux", word) for word in ("err", "error")] if "flux" in key else []
    own += [f"{name}err", f"{name}error", f"e{name}", f"err{name}"]
    found = _by_name(labels, own)
    if found is None and "_" not in key:
        found = _find(labels, ROLES["error"], "fluxaxis.accuracy.staterror", "stat.error")
    if found is not None and labels[found].joined not in ROLES["relative"]:
        return found, "error"
    kinds: dict[ErrorKind, Sequence[str]] = {
        "variance": (f"{name}var", *ROLES["variance"]),
        "relative": ROLES["relative"],
    }
    for kind, names in kinds.items():
        position = _by_name(labels, names)
        if position is not None:
            return position, kind
    return None, "error"


def _medium(labels: Sequence[Label], label: Label) -> Medium | None:
    """Tell the medium by the column's UCD (ESO SDP standard), or its neighbors."""
    if label.key == "awav" or "obs.atmos" in label.ucd.lower():  # the name of air ones in FITS
        return "air"
    # SDSS gives its logarithms in vacuum. A column that says air beside one that says nothing:
    # the other is the vacuum one.
    neighbors = any("air" in other.key.split("_") for other in labels)
    return "vacuum" if label.key == "loglam" or neighbors else None
