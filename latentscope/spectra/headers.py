"""FITS headers, and what their keywords say of a spectrum: names, velocities, SNR, medium, frame.

A HARPS header has 3,000 cards, and astropy spends four times as long on them as the whole file
takes here: cards are only indexed, and a value is parsed when somebody asks for it. So a card that
breaks the standard harms nobody who does not need it.

Every fact has a list of keywords, tried in order, and a range outside which a value is one of the
numbers that pipelines write for "unknown" (-99999, 1e20, ...). Nothing here ever fails a read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentscope.spectra.spectrum import Frame, Medium

CARD = 80
_QUOTED = re.compile(r"'((?:[^']|'')*)'?")

Value = str | int | float | bool | None

PIPELINES = ("ESO", "TNG", "OHP")
"""Observatories whose DRS keywords begin with their name: HARPS and ESPRESSO, HARPS-N, SOPHIE."""

OBJECT = ("OBJECT", "OBJNAME", "TARGNAME", "TARGET", "ESO OBS TARG NAME", "TNG OBS TARG NAME")
# Exposures of one observing block share its target, whatever OBJECT says of each.
STAR = ("ESO OBS TARG NAME", "TNG OBS TARG NAME", "OHP TARG NAME", "TARGNAME")
ARCHIVE_ID = ("ARCFILE", "DP.ID", "DP_ID", "DPID")
ORIGINAL_FILE = ("ORIGFILE", "PIPEFILE", "PROV1", "FILENAME")
# ESPRESSO numbers the telescopes of the VLT. The airmass at the start stands for the exposure; that
# at its end counts only where there is no other.
AIRMASS = ("AIRMASS", "ESO TEL AIRM START", "ESO TEL1 AIRM START", "ESO TEL2 AIRM START",
           "ESO TEL3 AIRM START", "ESO TEL4 AIRM START", "TNG TEL AIRM START", "ESO TEL AIRM END",
           "TNG TEL AIRM END")  # fmt: skip
# Echelle pipelines give one ratio an order; a product that was merged has one for all.
SNR = ("SNR", "SN", "S/N", "ESO QC SNR", "SNR_MED")
ORDER_SNR = ("ESO DRS SPE EXT SN{}", "TNG DRS SPE EXT SN{}", "OHP DRS SPE EXT SN{}",
             "ESO QC ORDER{} SNR", "TNG QC ORDER{} SNR")  # fmt: skip
# DRS: the old pipeline of HARPS and its sisters; QC: that of ESPRESSO; BARYCOR: UVES, X-shooter.
BERV = ("ESO DRS BERV", "ESO QC BERV", "TNG DRS BERV", "TNG QC BERV", "OHP DRS BERV",
        "ESO QC VRAD BARYCOR", "BERV", "BARYCORR")  # fmt: skip
# RVC is the velocity of the cross-correlation after the correction for the drift of the night,
# which plain RV lacks.
RV = ("ESO DRS CCF RVC", "ESO QC CCF RV", "TNG DRS CCF RVC", "TNG QC CCF RV", "OHP DRS CCF RVC",
      "RADVEL")  # fmt: skip
CATALOG_RV = ("ESO TEL TARG RADVEL", "ESO OCS OBJ RV", "TNG TEL TARG RADVEL",
                "ESO OBS TARG RADVEL")  # fmt: skip
"""Typed in by the observer; 0 is what the form holds when nobody did."""

MEDIA: dict[str, Medium] = {"AIR": "air", "VAC": "vacuum", "TRU": "vacuum", "FAL": "air"}
"""First letters of what AIRORVAC, VACUUM (a logical: TRUE, FALSE) and WAVEMED hold."""

# Wavelengths for the center of the Earth or of the Sun are taken for those of their neighbor: that
# is less than a pixel of HARPS (0.8 km/s), and noted.
FRAMES: dict[str, tuple[Frame, str]] = {
    "TOPOCENT": ("topocentric", ""),
    "GEOCENTR": ("topocentric", "taken from geocentric, up to 0.5 km/s away"),
    "BARYCENT": ("barycentric", ""),
    "HELIOCEN": ("barycentric", "taken from heliocentric, up to 0.02 km/s away"),
    "SOURCE": ("rest", ""),
}
_NAMELESS = {"", "UNKNOWN", "N/A", "NONE", "NULL", "NAN", "UNDEFINED", "-"}
# Windows forbids colons in file names, so that downloads hold underscores in their place.
_ARCHIVE_NAME = re.compile(r"(?:r\.)?([A-Z][A-Z0-9]*\.\d{4}-\d\d-\d\dT\d\d[:_]\d\d[:_]\d\d\.\d{3})")


class Header:
    """Keywords of one HDU; HIERARCH ones go without that word, as in ``ESO DRS BERV``.

    Of a repeated keyword the first counts. A value that cannot be parsed reads as None.
    """

    def __init__(self, cards: Mapping[str, str], values: Mapping[str, Any] | None = None) -> None:
        self._cards = cards
        self._values: dict[str, Any] = dict(values or {})

    @classmethod
    def from_block(cls, text: str) -> Header:
        """Index the cards of a header block (its length a multiple of 80)."""
        cards = [text[start : start + CARD] for start in range(0, len(text), CARD)]
        if "CONTINUE  " in text:
            cards = _continued(cards)
        # Backwards, so that the first of repeated keywords is the one that stays.
        return cls({card.partition("=")[0].rstrip(): card for card in reversed(cards)})

    def get(self, key: str, default: Value = None) -> Value:
        """Return the value of `key`, or `default` where it is absent, empty or broken."""
        if key not in self._values:
            card = self._cards.get(key) or self._cards.get(f"HIERARCH {key}")
            self._values[key] = None if card is None else _parse(card.partition("=")[2])
        value = self._values[key]
        return default if value is None else value

    def text(self, key: str) -> str:
        """Return the value of `key` without outer blanks as text; empty where it is absent."""
        return str(self.get(key, "")).strip()

    def integer(self, key: str, default: int = 0) -> int:
        """Return the value of `key` if it is a number, cut to a whole one, else `default`."""
        value = self.get(key)
        return int(value) if isinstance(value, int | float) and value == value else default

    def has_prefix(self, prefix: str) -> bool:
        """Whether any keyword starts with `prefix`."""
        starts = (prefix, f"HIERARCH {prefix}")
        return any(key.startswith(starts) for key in (*self._cards, *self._values))


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


@dataclass(frozen=True)
class Inferred:
    """A medium that the wavelength axis suggests, and why, if that is worth a note."""

    medium: Medium
    reason: str = ""


def describe(keywords: Keywords, file: str | None) -> dict[str, Any]:
    """Fill the `meta` entries that keywords (for the archive id, the file name too) can fill."""
    # Where nobody named the target of the block, exposures of one OBJECT are taken for one star.
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
    # The Earth moves at 30 km/s and turns at 0.5; no star of the Galaxy passes 2,000.
    berv, _ = keywords.number(BERV, -40.0, 40.0)
    rv, source = keywords.number(RV, -2000.0, 2000.0)
    if rv is None:
        rv, source = keywords.number(CATALOG_RV, -2000.0, 2000.0, unset=0.0)
    return rv, berv, source


def drs_pipeline(keywords: Keywords) -> str | None:
    """``DRS`` (HARPS, HARPS-N, SOPHIE), ``new DRS`` (the ESPRESSO one), or None.

    Only these pipelines write a BERV under their observatory's name, in every product.
    """
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
    for _, value in keywords.values(("AIRORVAC", "VACUUM", "WAVEMED")):
        word = str(value).strip().upper()[:3]
        if word in MEDIA:
            return MEDIA[word]
    if inferred is not None:
        assumed += [f"medium: {inferred.medium}, {inferred.reason}"] if inferred.reason else []
        return inferred.medium
    if drs_pipeline(keywords) == "DRS":
        assumed.append("medium: air, as the DRS pipelines write S1D spectra")
        return "air"
    # Air does not let such light through, and its refractive index is not defined there.
    if wavelength[0] < 2000.0:
        assumed.append("medium: vacuum, the custom below 2000 Angstrom")
        return "vacuum"
    assumed.append("medium: air, the custom for optical spectra; the file does not say")
    return "air"


def frame_of(keywords: Keywords, assumed: list[str]) -> Frame:
    """Tell the frame of the wavelengths; add a note where it is not what the header says."""
    for _, value in keywords.values(("SPECSYS", "SPECSYS1")):
        word = str(value).strip().upper()[:8]  # FITS cuts the names of frames to eight letters
        if word in FRAMES:
            frame, note = FRAMES[word]
            if note:
                assumed.append(f"frame: {frame}, {note}")
            return frame
        if word:
            assumed.append(f"frame: barycentric; SPECSYS {word!r} is not one that is handled")
            return "barycentric"
    # A BERV in the header does not mean that it is still to be applied: the DRS applies it when it
    # merges the orders into an S1D, and writes no SPECSYS.
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
        # Keywords hold the name of the file as it was archived.
        return named.removesuffix(".gz").removesuffix(".fits")
    match = _ARCHIVE_NAME.match(re.split(r"[\\/]", file)[-1]) if file else None
    return match[1].replace("_", ":") if match else None


def _median_order_snr(keywords: Keywords) -> float | None:
    """Median signal-to-noise ratio over the orders of an echelle pipeline."""
    for pattern in ORDER_SNR:
        values = keywords.values(pattern.format(order) for order in range(200))
        numbers = (_number(value) for _, value in values)
        orders = [number for number in numbers if number is not None and 0.0 < number < 1e6]
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


def _parse(text: str) -> Value:
    """Parse what a card has behind its equals sign; None if that is nothing or broken."""
    text = text.strip()
    if text.startswith("'"):
        return _string(text)
    word = text.partition("/")[0].strip()
    if word in ("T", "F"):
        return word == "T"
    for number in (int, float):
        try:
            return number(word.replace("D", "E").replace("d", "e"))  # Fortran's double precision
        except ValueError:
            continue
    return None


def _continued(cards: list[str]) -> list[str]:
    """Put each CONTINUE card behind the card that it continues, after a line feed."""
    whole: list[str] = []
    for card in cards:
        if card.startswith("CONTINUE  ") and whole:
            whole[-1] += "\n" + card
        else:
            whole.append(card)
    return whole


def _string(text: str) -> str:
    """Join a quoted string and its CONTINUE cards; an & at the end asks for the next of them."""
    first, *more = (_QUOTED.search(line) for line in text.split("\n"))
    value = "" if first is None else first[1].replace("''", "'").rstrip()
    for quoted in more:
        if quoted is None or not value.endswith("&"):
            break
        value = value[:-1] + quoted[1].replace("''", "'").rstrip()
    return value
