"""What FITS keywords say of a spectrum: object, velocities, airmass, SNR, medium, frame.

Every fact has a list of keywords, tried in order, and a range outside which a value is one of the
numbers that pipelines write for "unknown" (-99999, 1e20, ...). Nothing here ever fails a read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentscope.spectra.fits import Header
from latentscope.spectra.spectrum import Frame, Medium

PIPELINES = ("ESO", "TNG", "OHP")
"""Observatories whose DRS keywords begin with their name: HARPS and ESPRESSO, HARPS-N, SOPHIE."""

OBJECT = ("OBJECT", "OBJNAME", "TARGNAME", "TARGET", "ESO OBS TARG NAME", "TNG OBS TARG NAME")
STAR = ("ESO OBS TARG NAME", "TNG OBS TARG NAME", "OHP TARG NAME", "TARGNAME")
ARCHIVE_ID = ("ARCFILE", "DP.ID", "DP_ID", "DPID")
ORIGINAL_FILE = ("ORIGFILE", "PIPEFILE", "PROV1", "FILENAME")
AIRMASS = (
    "AIRMASS",
    "ESO TEL AIRM START",
    "ESO TEL1 AIRM START",
    "ESO TEL2 AIRM START",
    "ESO TEL3 AIRM START",
    "ESO TEL4 AIRM START",
    "TNG TEL AIRM START",
    "ESO TEL AIRM END",
    "TNG TEL AIRM END",
)
SNR = ("SNR", "SN", "S/N", "ESO QC SNR", "SNR_MED")
ORDER_SNR = (
    "ESO DRS SPE EXT SN{}",
    "TNG DRS SPE EXT SN{}",
    "OHP DRS SPE EXT SN{}",
    "ESO QC ORDER{} SNR",
    "TNG QC ORDER{} SNR",
)
BERV = (
    "ESO DRS BERV",
    "ESO QC BERV",
    "TNG DRS BERV",
    "TNG QC BERV",
    "OHP DRS BERV",
    "ESO QC VRAD BARYCOR",
    "BERV",
    "BARYCORR",
)
RV = (
    "ESO DRS CCF RVC",
    "ESO QC CCF RV",
    "TNG DRS CCF RVC",
    "TNG QC CCF RV",
    "OHP DRS CCF RVC",
    "RADVEL",
)
CATALOGUE_RV = (
    "ESO TEL TARG RADVEL",
    "ESO OCS OBJ RV",
    "TNG TEL TARG RADVEL",
    "ESO OBS TARG RADVEL",
)
"""Typed in by the observer; 0 is what the form holds when nobody did."""

MEDIA: dict[str, Medium] = {"AIR": "air", "VAC": "vacuum", "TRU": "vacuum", "FAL": "air"}
"""First letters of what AIRORVAC, VACUUM and WAVEMED hold."""

FRAMES: dict[str, tuple[Frame, str]] = {
    "TOPOCENT": ("topocentric", ""),
    "GEOCENTR": ("topocentric", "taken from geocentric, up to 0.5 km/s away"),
    "BARYCENT": ("barycentric", ""),
    "HELIOCEN": ("barycentric", "taken from heliocentric, up to 0.02 km/s away"),
    "SOURCE": ("rest", ""),
}
_NAMELESS = {"", "UNKNOWN", "N/A", "NONE", "NULL", "NAN", "UNDEFINED", "-"}
_ARCHIVE_NAME = re.compile(r"(?:r\.)?([A-Z][A-Z0-9]*\.\d{4}-\d\d-\d\dT\d\d[:_]\d\d[:_]\d\d\.\d{3})")


@dataclass(frozen=True)
class Inferred:
    """A medium that the wavelength axis suggests, and why, if that is worth a note."""

    medium: Medium
    reason: str = ""


class Keywords:
    """Keywords of several headers, the most telling header first."""

    def __init__(self, headers: Sequence[Header]) -> None:
        self._headers = headers

    def values(self, keys: Iterable[str]) -> Iterable[tuple[str, Any]]:
        """Pairs (keyword, value) of those that are there, in the order of `keys`."""
        for key in keys:
            for header in self._headers:
                value = header.get(key)
                if value is not None:
                    yield key, value

    def text(self, keys: Iterable[str]) -> str | None:
        """Return the first value that is a name, blanks tidied; None if there is none."""
        for _, value in self.values(keys):
            words = " ".join(str(value).split())
            if words.upper() not in _NAMELESS:
                return words
        return None

    def number(
        self, keys: Iterable[str], low: float, high: float, unset: float | None = None
    ) -> tuple[float | None, str | None]:
        """Return the first number in [low, high] other than `unset`, and its keyword."""
        for key, value in self.values(keys):
            number = _number(value)
            if number is not None and low <= number <= high and number != unset:
                return number, key
        return None, None

    def has_prefix(self, prefix: str) -> bool:
        """Whether any keyword of any header starts with `prefix`."""
        return any(header.has_prefix(prefix) for header in self._headers)


def describe(keywords: Keywords, file: str | None) -> dict[str, Any]:
    """Fill the `meta` entries that keywords (for the archive id, the file name too) can fill."""
    star = keywords.text(STAR)
    name = keywords.text(OBJECT)
    snr, _ = keywords.number(SNR, 1e-6, 1e6)
    facts: dict[str, Any] = {
        "object": name,
        "star": star or name,
        "archive_id": _archive_id(keywords, file),
        "original_file": keywords.text(ORIGINAL_FILE),
        "instrument": keywords.text(("INSTRUME",)),
        "date_obs": keywords.text(("DATE-OBS", "UT-DATE")),
        "exptime": keywords.number(("EXPTIME",), 0.0, 1e7)[0],
        "airmass": keywords.number(AIRMASS, 1.0, 40.0)[0],
        "snr": snr if snr is not None else _median_order_snr(keywords),
        "flux_unit": keywords.text(("BUNIT",)),
    }
    return {key: value for key, value in facts.items() if value is not None}


def velocities(keywords: Keywords) -> tuple[float | None, float | None, str | None]:
    """Radial velocity and BERV in km/s, and the keyword that the radial velocity came from."""
    berv, _ = keywords.number(BERV, -40.0, 40.0)
    rv, source = keywords.number(RV, -2000.0, 2000.0)
    if rv is None:
        rv, source = keywords.number(CATALOGUE_RV, -2000.0, 2000.0, unset=0.0)
    return rv, berv, source


def drs_pipeline(keywords: Keywords) -> str | None:
    """``DRS`` (HARPS, HARPS-N, SOPHIE), ``new DRS`` (the ESPRESSO one), or None."""
    for observatory in PIPELINES:
        if any(True for _ in keywords.values([f"{observatory} DRS BERV"])):
            return "DRS"
        if any(True for _ in keywords.values([f"{observatory} QC BERV"])):
            return "new DRS"
    return None


def medium_of(
    keywords: Keywords,
    wavelength: np.ndarray,
    assumed: list[str],
    inferred: Inferred | None = None,
) -> Medium:
    """Tell the medium where the column's name did not; add a note if it is a guess.

    A keyword made for it counts first, then what was `inferred` from the axis, then customs.
    """
    stated = _stated_medium(keywords)
    if stated is not None:
        return stated
    if inferred is not None:
        assumed += [f"medium: {inferred.medium}, {inferred.reason}"] if inferred.reason else []
        return inferred.medium
    if drs_pipeline(keywords) == "DRS":
        assumed.append("medium: air, as the DRS pipelines write S1D spectra")
        return "air"
    if wavelength[0] < 2000.0:
        assumed.append("medium: vacuum, the custom below 2000 Angstrom")
        return "vacuum"
    assumed.append("medium: air, the custom for optical spectra; the file does not say")
    return "air"


def _stated_medium(keywords: Keywords) -> Medium | None:
    """What the first keyword that is made for the medium says, text or logical."""
    for _, value in keywords.values(("AIRORVAC", "VACUUM", "WAVEMED")):
        word = str(value).strip().upper()[:3]
        if word in MEDIA:
            return MEDIA[word]
    return None


def frame_of(keywords: Keywords, assumed: list[str]) -> Frame:
    """Tell the frame of the wavelengths; add a note where it is not what the header says."""
    for _, value in keywords.values(("SPECSYS", "SPECSYS1")):
        word = str(value).strip().upper()[:8]
        if word in FRAMES:
            frame, note = FRAMES[word]
            if note:
                assumed.append(f"frame: {frame}, {note}")
            return frame
        if word:
            assumed.append(f"frame: barycentric; SPECSYS {word!r} is not one that is handled")
            return "barycentric"
    if drs_pipeline(keywords) is not None:
        assumed.append("frame: barycentric, as the DRS pipelines write S1D spectra")
        return "barycentric"
    assumed.append("frame: barycentric; the file does not say" + _doppler_note(keywords))
    return "barycentric"


def _doppler_note(keywords: Keywords) -> str:
    """IRAF logs each dopcor run, but not what it was meant to achieve."""
    shifts = [str(value) for _, value in keywords.values(f"DOPCOR{i:02d}" for i in range(1, 100))]
    if not shifts:
        return ""
    words = ", ".join(" ".join(shift.split()) for shift in shifts)
    return f" (IRAF shifted it: DOPCOR {words}; the lines may already be at rest)"


def _archive_id(keywords: Keywords, file: str | None) -> str | None:
    """Find the archive's name for the file in keywords or in an archive-style file name."""
    named = keywords.text(ARCHIVE_ID)
    if named is not None:
        return named.removesuffix(".gz").removesuffix(".fits")
    match = _ARCHIVE_NAME.match(re.split(r"[\\/]", file)[-1]) if file else None
    return match[1].replace("_", ":") if match else None


def _median_order_snr(keywords: Keywords) -> float | None:
    """Median signal-to-noise ratio over the orders of an echelle pipeline."""
    for pattern in ORDER_SNR:
        found = (number for _, value in keywords.values(pattern.format(i) for i in range(200))
                 if (number := _number(value)) is not None and 0.0 < number < 1e6)  # fmt: skip
        orders = list(found)
        if orders:
            return float(np.median(orders))
    return None


def _number(value: Any) -> float | None:
    """Make a finite float, also of text such as ``'12.5 '``; None if it is no number."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if np.isfinite(number) else None
