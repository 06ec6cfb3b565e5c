"""FITS headers, and what their keywords say of a spectrum: names, velocities, SNR, medium, frame.

A HARPS header has 3,000 cards, and astropy spends four times as long on them as the whole file
takes here: cards are only indexed, and a value is parsed when somebody asks for it. So a card that
breaks the standard harms nobody who does not need it.

What is known of observatories and pipelines stands in tables: `TEXTS` and `NUMBERS` (facts),
`BERV`, `NOT_APPLIED`, `APPLIED` and `RV` (velocities), `WRITERS` (medium and frame by who wrote the
file), `SPECSYS` (frames by their names). Keywords are tried in order, and each number has a range,
outside of which it is one of those that pipelines write for "unknown" (-99999, 1e20, ...).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from latentscope.errors import SpectrumError
from latentscope.spectra.spectrum import Frame, Medium
from latentscope.spectra.wavelength import SPEED_OF_LIGHT

CARD = 80
_QUOTED = re.compile(r"'((?:[^']|'')*)'?")

Value = str | int | float | bool | None

PIPELINES = ("ESO", "TNG", "OHP")
"""Observatories whose DRS keywords begin with their name: HARPS and ESPRESSO, HARPS-N, SOPHIE."""


def _of_drs(old: str, new: str = "") -> tuple[str, ...]:
    """Keywords of the old pipeline of HARPS and its sisters (DRS), and that of ESPRESSO (QC)."""
    return tuple(f"{name} {word}" for word in (f"DRS {old}", f"QC {new or old}")
                 for name in PIPELINES)  # fmt: skip


TEXTS = {
    "object": ("OBJECT", "OBJNAME", "TARGNAME", "TARGET", "ESO OBS TARG NAME", "TNG OBS TARG NAME"),
    # Exposures of one observing block share its target, whatever OBJECT says of each.
    "star": ("ESO OBS TARG NAME", "TNG OBS TARG NAME", "OHP TARG NAME", "TARGNAME"),
    "archive_id": ("ARCFILE", "DP.ID", "DP_ID", "DPID"),
    "original_file": ("ORIGFILE", "PIPEFILE", "PROV1", "FILENAME"),
    "instrument": ("INSTRUME", "INSTRMNT", "INSTRUMENT"),
    # What an instrument can be set to: fiber, resolution, arms.
    "mode": ("ESO INS MODE", "ESO SEQ ARM", "INSMODE", "INSTMODE", "OBSMODE", "OBS_MODE"),
    "program": ("PROG_ID", "ESO OBS PROG ID", "PROGRAM", "PROGID", "PROPID", "PROPOSID",
                "PROGNAME"),
    "date_obs": ("DATE-OBS", "UT-DATE"),
    "flux_unit": ("BUNIT",),
}  # fmt: skip
"""Entries of ``meta`` that are text, and the keywords that hold them."""

_JULIAN = "julian date"
NUMBERS = {
    # From 1900 to 2100.
    "mjd": (15_020.0, 88_070.0, ("MJD-OBS", "MJD", "MJDOBS", "MJD-BEG", "MJDSTART")),
    # Barycentric ones lie within 8.3 minutes of those of the observer.
    _JULIAN: (2_415_020.0, 2_488_070.0, (*_of_drs("BJD"), "BJD", "HJD", "JD")),
    "exptime": (1e-6, 1e7, ("EXPTIME", "TEXPTIME", "EXPOSURE", "ITIME", "EXP_TIME")),
    # ESPRESSO numbers the telescopes of the VLT. The airmass at the start stands for the exposure;
    # that at its end counts only where there is no other.
    "airmass": (1.0, 40.0, ("AIRMASS", "ESO TEL AIRM START", *(f"ESO TEL{n} AIRM START"
                            for n in range(1, 5)), "TNG TEL AIRM START", "ESO TEL AIRM END",
                            "TNG TEL AIRM END")),
    "snr": (1e-6, 1e6, ("SNR", "SN", "S/N", "ESO QC SNR", "SNR_MED")),
}  # fmt: skip
"""Entries of ``meta`` that are numbers: the range of those to believe, and their keywords."""

# Echelle pipelines give one ratio per order.
_ORDER_SNR = _of_drs("SPE EXT SN{}", "ORDER{} SNR")

# Velocities of the observer toward the star, to be added to an observed velocity.
BERV = _of_drs("BERV")
# Pipelines and IRAF (bcvcorr: BCV, HCV; rvcorrect: VHELIO) that write the correction and leave the
# wavelengths as observed; BARYCOR: UVES, X-shooter. X-shooter's manual and serval read them so.
_EARTH_ALONE = ("BARYCORR", "BARYCOR", "BCV", "BERV", "V_BARY", "VBARY", "BARYVEL", "BARY_VEL",
                "BARY_CORR", "BVC", "BVCORR", "BARYCENTRIC VELOCITY", "BARYCENTRIC CORRECTION",
                "BARYCENTRIC_CORRECTION")  # fmt: skip
NOT_APPLIED = ("ESO QC VRAD BARYCOR", *_EARTH_ALONE, "ESO QC VRAD HELICOR", "HCV", "VHELIO",
               "V_HELIO", "HELICORR", "HELIOCOR", "HELIO_RV", "HELVEL", "VHELCOR",
               "HELIOCENTRIC CORRECTION")  # fmt: skip
# GALAH (its README takes the correction off by BARYEFF), HERMES of Mercator, MAKEE for HIRES, and
# CERES.
APPLIED = ("BARYEFF", "BVCOR", "HELIOVEL", "BARYCENTRIC CORRECTION (KM/S)")
# Words for "done": HST (HELCORR), LAMOST (HELIO = T), PypeIt (VEL_TYPE), MAKEE, REDSPEC (HELIOCNT)
# and others; HELIUM is a lamp, BCORRECT of the bias as well.
_SWITCH = re.compile(r"HELCORR|VEL_TYPE|(?:BARY|BERV|BCV|BCOR(?!RECT)|HELI(?!UM)|VHEL)\w*")
# Names of velocities in pipelines that are not known; not the largest of the year, errors, dates.
_LIKE_BERV = re.compile(r"(?!.*(?:MX|MAX|ERR|JD|HELIUM)).*(?:BERV|BARY|HELC|HELIO|BCV|VHEL).*")
_ON = re.compile(r"T|TRUE|Y|YES|(?:COMPLETE|APPLIED|HELIOC|BARYC|DONE).*")
_OFF = re.compile(r"F|FALSE|N|NO")
# Velocities of the star. RVC is that of the cross-correlation after the correction for the drift of
# the night, which plain RV lacks.
RV = (*_of_drs("CCF RVC", "CCF RV"), "RADVEL")
CATALOG_RV = ("ESO TEL TARG RADVEL", "ESO OCS OBJ RV", "TNG TEL TARG RADVEL",
              "ESO OBS TARG RADVEL")  # fmt: skip
"""Typed in by the observer."""

_EARTH = 31.0
"""The Earth moves at 30.3 km/s and turns at 0.5."""
_STARS = 2000.0
"""km/s, faster than any star of the Galaxy."""

# Wavelengths for the center of the Earth or of the Sun are taken for those of their neighbor: that
# is less than a pixel of HARPS (0.8 km/s), and noted.
SPECSYS: dict[str, tuple[Frame | None, str]] = {
    "TOPOCENT": ("topocentric", ""),
    "SOLARSYS": ("barycentric", ""),
    "GEOCENTR": ("topocentric", "taken from geocentric, up to 0.5 km/s away"),
    "BARYCENT": ("barycentric", ""),
    "HELIOCEN": ("barycentric", "taken from heliocentric, up to 0.02 km/s away"),
    "SOURCE": ("rest", ""),
    # From 20 to hundreds of km/s off the barycenter.
    **dict.fromkeys(("LSRK", "LSRD", "GALACTOC", "LOCALGRP", "CMBDIPOL"), (None, "")),
}
"""Frames by the eight letters that FITS has for each, and a note; None for those refused."""
_FRAMES: dict[str, tuple[Frame | None, str]] = {
    **{name: found for name, found in SPECSYS.items() if found[0] and name != "SOURCE"},
    **dict.fromkeys(("OBSERVER", "OBSERVED", "OBSERVAT"), ("topocentric", "")),
    "RESTFRAM": ("rest", ""),
}
"""What the word FRAME, which is no standard's, may say of wavelengths."""

_MEDIUM = ("AIRORVAC", "VACUUM", "WAVEMED", "AIRVAC", "VACAIR", "WAVETYPE", "MEDIUM")
_BY_LETTERS = ("AIRORVAC", "VACUUM", "WAVEMED")
# First letters of the values of these; VACUUM is a logical: TRUE, FALSE, 1, 0.
_MEDIA: dict[str, Medium] = {"AIR": "air", "VAC": "vacuum", "TRU": "vacuum", "FAL": "air",
                             "1": "vacuum", "0": "air"}  # fmt: skip


class Custom(NamedTuple):
    """Medium and frame (as `SPECSYS`) that a writer uses without stating it; None if unknown."""

    medium: Medium | None = None
    frame: str | None = None


# By the manuals of the ESO pipelines, PypeIt's out_onespec, the data models of SDSS, APOGEE and
# DESI, the handbooks of HST and JWST, and serval's readers of the others.
WRITERS = {
    "DRS": Custom("air", "BARYCENT"),
    "new DRS": Custom("vacuum", "BARYCENT"),
    "UVES": Custom("air", "TOPOCENT"),
    "XSHOOTER": Custom("air", "TOPOCENT"),
    "APOGEE": Custom("vacuum", "BARYCENT"),
    "PypeIt": Custom("vacuum", "HELIOCEN"),
    "PypeIt with VEL_TYPE": Custom("vacuum", "TOPOCENT"),
    "DESI": Custom("vacuum", "HELIOCEN"),
    "LAMOST": Custom("vacuum", "HELIOCEN"),
    "SDSS": Custom("vacuum", "HELIOCEN"),
    **dict.fromkeys(("HST", "JWST", "CARMENES", "NEID", "KPF", "EXPRES", "HPF", "SPIROU"),
                    Custom("vacuum")),
}  # fmt: skip
"""Writers of files, as `_writer` names them, and their customs."""
_OBSERVED = {"UVES", "XSHOOTER"}
"""Instruments whose pipeline leaves wavelengths as observed, in air whatever CTYPE1 says."""

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
        found = {card.partition("=")[0].rstrip(): card for card in reversed(cards)}
        if "HIERARCH " in text:
            found = {key.removeprefix("HIERARCH "): card for key, card in found.items()}
        return cls(found)

    def get(self, key: str, default: Value = None) -> Value:
        """Return the value of `key`, or `default` where it is absent, empty or broken."""
        value = self._values.get(key)
        if value is None and (card := self._cards.get(key)) is not None:
            value = self._values[key] = _parse(card.partition("=")[2])
        return default if value is None else value

    def text(self, key: str) -> str:
        """Return the value of `key` without outer blanks as text; empty where it is absent."""
        return str(self.get(key, "")).strip()

    def integer(self, key: str, default: int = 0) -> int:
        """Return the value of `key` if it is a number, cut to a whole one, else `default`."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return default
        return int(value) if value == value else default

    def comment(self, key: str) -> str:
        """Return the comment behind a value; empty where there is none."""
        card = self._cards.get(key, "").partition("=")[2]
        return _QUOTED.sub("", card, count=1).partition("/")[2].strip()

    def commentary(self) -> Iterable[str]:
        """Text of HISTORY and COMMENT cards."""
        for card in self._cards.values():
            if card.startswith(("HISTORY", "COMMENT")):
                yield card[8:].strip()
        for key in ("HISTORY", "COMMENT"):
            yield from self.text(key).splitlines()

    def names(self) -> tuple[str, ...]:
        """All keywords, those that were parsed twice."""
        return (*self._cards, *self._values)

    def has_prefix(self, prefix: str) -> bool:
        """Whether any keyword starts with `prefix`."""
        return any(key.startswith(prefix) for key in self.names())


# m/s, km s-1, km.s-1, m s**-1, ms-1, meters per second; ms alone are milliseconds.
_SPEED = re.compile(
    r"(?<![a-z])(k|kilo)?m(?:et(?:er|re)s?)?"
    r"(?:(?: ?(?:/|per|\.) ?| )s(?:ec(?:ond)?s?)?\b|\*?s(?:\^|\*\*)?-1)"
)


class Keywords:
    """Keywords of several headers, the most telling header first."""

    def __init__(self, headers: Sequence[Header]) -> None:
        self._headers = headers

    def values(self, keys: Iterable[str]) -> Iterator[tuple[str, Any]]:
        """Pairs (keyword, value) of those that are there, in the order of `keys`."""
        for key in keys:
            for header in self._headers:
                value = header.get(key)
                if value is not None:
                    yield key, value

    def has(self, *keys: str) -> bool:
        """Whether one of these keywords has a value."""
        return any(True for _ in self.values(keys))

    def text(self, keys: Iterable[str]) -> str | None:
        """Return the first value that is a name, blanks tidied; None if there is none."""
        for _, value in self.values(keys):
            words = " ".join(str(value).split())
            if words.upper() not in _NAMELESS:
                return words
        return None

    def number(self, keys: Iterable[str], low: float, high: float) -> float | None:
        """Return the first number in [low, high]; None if there is none."""
        numbers = (_number(value) for _, value in self.values(keys))
        return next((x for x in numbers if x is not None and low <= x <= high), None)

    def velocity(self, keys: Iterable[str], limit: float) -> tuple[float | None, str | None]:
        """Return the first velocity in km/s up to `limit`, and its keyword.

        The comment may say m/s; where it says nothing, m/s are told by their size in keywords that
        hold the Earth's velocity and nothing else.
        """
        for key in keys:
            for header in self._headers:
                value = header.get(key)
                number = None if value is None else _number(in_km(str(value)))
                # 0 is what forms hold before anybody fills them in, nines stand for unknown.
                unset = number == 0 and key not in BERV
                if number is None or unset or re.fullmatch("9{3,}", str(int(abs(number)))):
                    continue
                unit = _SPEED.search(header.comment(key).lower())
                large = limit < abs(number) <= 1000 * limit and key in _EARTH_ALONE
                if large if unit is None else not unit[1]:
                    number /= 1000.0
                if abs(number) <= limit:
                    return number, key
        return None, None

    def axis(self) -> Iterator[str]:
        """Texts and comments about the first axis of an image."""
        for header in self._headers:
            yield from map(header.text, ("CTYPE1", "CNAME1", "WAT1_001"))
            yield from map(header.comment, ("CTYPE1", "CUNIT1", "CRVAL1", "CDELT1", "CD1_1"))

    def commentary(self) -> Iterable[str]:
        """Text of the HISTORY and COMMENT cards of all headers."""
        for header in self._headers:
            yield from header.commentary()

    def switches(self, keys: re.Pattern[str]) -> Iterator[tuple[str, bool]]:
        """Pairs (keyword, on or off) of logicals, or words for them, of these keywords."""
        for header in self._headers:
            for key in header.names():
                word = str(header.get(key)).strip().upper() if keys.fullmatch(key) else ""
                if _ON.fullmatch(word) or _OFF.fullmatch(word):
                    yield key, _ON.fullmatch(word) is not None

    def like_berv(self) -> str:
        """A keyword and its value that may be the Earth's velocity by name and size."""
        for header in self._headers:
            for key in filter(_LIKE_BERV.fullmatch, header.names()):
                number = _number(in_km(str(header.get(key))))
                if number and abs(number) <= _EARTH:
                    return f"{key} = {header.get(key)}"
        return ""

    def has_prefix(self, prefix: str) -> bool:
        """Whether any keyword of any header starts with `prefix`."""
        return any(header.has_prefix(prefix) for header in self._headers)


@dataclass(frozen=True)
class Inferred:
    """A medium that the wavelength axis suggests, and why, if that is worth a note."""

    medium: Medium
    reason: str = ""


def medium_of_axis(kind: str, keywords: Keywords) -> Inferred | None:
    """Medium that CTYPE1 means in the FITS standard; None if it means none."""
    if kind.startswith("AWAV"):
        return Inferred("air")
    # An S1D of the DRS is in air, whatever its CTYPE1 says.
    if kind in ("WAVE", "WAVE-LOG") and drs_pipeline(keywords) is None:
        return Inferred("vacuum", f"which CTYPE1 = {kind} means in the FITS standard")
    return None


def describe(keywords: Keywords, file: str | None) -> dict[str, Any]:
    """Fill the `meta` entries that keywords (for the archive id, the file name too) can fill."""
    facts: dict[str, Any] = {name: keywords.text(keys) for name, keys in TEXTS.items()}
    for name, (low, high, keys) in NUMBERS.items():
        facts[name] = keywords.number(keys, low, high)
    # Where nobody named the target of the block, exposures of one OBJECT are taken for one star.
    facts["star"] = facts["star"] or facts["object"]
    if facts["snr"] is None:
        facts["snr"] = _median_order_snr(keywords)
    if facts["archive_id"]:  # the name of the file as it was archived
        facts["archive_id"] = facts["archive_id"].removesuffix(".gz").removesuffix(".fits")
    elif file and (match := _ARCHIVE_NAME.match(re.split(r"[\\/]", file)[-1])):
        facts["archive_id"] = match[1].replace("_", ":")
    julian = facts.pop(_JULIAN)
    if facts["mjd"] is None:  # the start of the exposure, if the file says that
        facts["mjd"] = _mjd_of_date(facts["date_obs"] or "")
    if facts["mjd"] is None and julian is not None:
        facts["mjd"] = julian - 2_400_000.5
    return {key: value for key, value in facts.items() if value is not None}


def _mjd_of_date(date: str) -> float | None:
    """Modified Julian date of a date with its time, 1900 to 2100."""
    if re.match(r"(19|20)\d\d-\d\d-\d\dT\d\d:\d\d", date):
        with suppress(ValueError):
            since = np.datetime64(date.rstrip("Z"), "ms") - np.datetime64("1858-11-17", "ms")
            return float(since / np.timedelta64(1, "D"))
    return None


def _median_order_snr(keywords: Keywords) -> float | None:
    """Median signal-to-noise ratio over the orders of an echelle pipeline."""
    for pattern in _ORDER_SNR:
        values = keywords.values(pattern.format(order) for order in range(200))
        numbers = (_number(value) for _, value in values)
        orders = [number for number in numbers if number is not None and 0.0 < number < 1e6]
        if orders:
            return float(np.median(orders))
    return None


def drs_pipeline(keywords: Keywords) -> str | None:
    """``DRS`` (HARPS, HARPS-N, SOPHIE), ``new DRS`` (the ESPRESSO one), or None.

    Only these pipelines write a BERV under their observatory's name, in every product.
    """
    found = next(keywords.values(BERV), ("", None))[0]
    return "DRS" if " DRS " in found else "new DRS" if found else None


def _upper(keywords: Keywords, *keys: str) -> str:
    return str(keywords.text(keys)).upper()


def _apogee(keywords: Keywords) -> bool:
    return _upper(keywords, "TELESCOP") in ("APO25M", "LCO25M", "APO1M")


def _writer(keywords: Keywords) -> str:
    """Who wrote the file, a name in `WRITERS`; empty if that is not known."""
    instrument, telescope = _upper(keywords, *TEXTS["instrument"]), _upper(keywords, "TELESCOP")
    if instrument in _OBSERVED and keywords.text(("ESO PRO CATG",)):
        return instrument
    if drs := drs_pipeline(keywords):
        return drs
    if _apogee(keywords):
        return "APOGEE"
    if keywords.has("DMODCLS", "PYP_SPEC", "VERSPYP"):
        return "PypeIt with VEL_TYPE" if keywords.text(("VEL_TYPE",)) else "PypeIt"
    # SPGRP: by what its spectra are grouped. The instrument stands in the header of another HDU.
    if keywords.text(("SPGRP",)) or keywords.text(("EXTNAME",)) in ("B_FLUX", "R_FLUX", "Z_FLUX"):
        return "DESI"
    known = {*WRITERS} - _OBSERVED
    named = [name for name in (instrument, telescope) if name in known]
    # idlspec2d writes HELIO_RV once it has applied it.
    sdss = "SDSS" in telescope or keywords.text(("VERS2D", "RUN2D"))
    return named[0] if named else "LAMOST" if "LAMOST" in telescope else "SDSS" if sdss else ""


def medium_of(
    keywords: Keywords, wavelength: np.ndarray, assumed: list[str], inferred: Inferred | None = None
) -> Medium:
    """Tell the medium where the column's name did not; add a note if it is a guess.

    A keyword made for it counts first, then what words say of the axis, then what was `inferred`
    from it, then customs.
    """
    for key, value in keywords.values(_MEDIUM):
        word = str(value).strip().upper()[:3]
        stated = _MEDIA.get(word) if key in _BY_LETTERS else medium_in(str(value))
        if stated is not None:
            return stated
    writer = _writer(keywords)
    custom, words = WRITERS.get(writer, Custom()).medium, f"the custom of {writer}"
    said, line = _medium_said(keywords)
    axis = next((found for text in keywords.axis() if (found := medium_in(text))), None)
    if inferred is not None and inferred.medium == axis:
        axis = None  # astropy repeats in a comment what CTYPE1 means by the standard
    medium: Medium
    if custom and writer in _OBSERVED:
        medium, note = custom, words
    elif axis is not None and "DRS" not in writer:
        medium, note = axis, ""
    elif inferred is not None:
        medium, note = inferred.medium, inferred.reason
    elif said is not None:
        medium, note = said, f"since the header says {line!r}"
    elif custom:
        medium, note = custom, words
    # Air does not let such light through, and its refractive index is not defined there.
    elif wavelength[0] < 2000.0:
        medium, note = "vacuum", "the custom below 2000 Angstrom"
    # CRIRES+, GIANO, HPF, IGRINS, NIRPS, NIRSPEC, SpeX and others.
    elif wavelength[0] > 9500.0:
        medium, note = "vacuum", "the custom in the near infrared; the file does not say"
    else:
        medium, note = "air", "the custom for optical spectra; the file does not say"
    assumed += [f"medium: {medium}, {note}"] if note else []
    return medium


_WAVELENGTHS = re.compile(r"wave|lambda|angstrom|\bin (?:vacuum|air)\b")
_IN_AIR = re.compile(r"(?<![a-z])air(?![a-z]|[ _-]?mass)")
_IN_VACUUM = re.compile(r"(?<![a-z])vac(?:uum)?(?![a-z])")


def medium_in(text: str) -> Medium | None:
    """Medium that words name, as in "Angstrom (vac)"; None if they name none, or both."""
    lower = text.lower()
    air, vacuum = _IN_AIR.search(lower), _IN_VACUUM.search(lower)
    if bool(air) == bool(vacuum) or _NEGATED.search(lower):
        return None
    return "air" if air else "vacuum"


def _medium_said(keywords: Keywords) -> tuple[Medium | None, str]:
    """Return the medium of wavelengths by HISTORY or COMMENT, and the card."""
    for line in keywords.commentary():
        lower = line.lower()
        if not _WAVELENGTHS.search(lower) or _NEGATED.search(lower):
            continue
        air, vacuum = _IN_AIR.search(lower), _IN_VACUUM.search(lower)
        if air and vacuum:  # from the one to the other
            to = re.search(r"\b(?:to|into|in) (air|vac)", lower)
            air, vacuum = (to, None) if to and to[1] == "air" else (None, to)
        if air or vacuum:
            return ("air" if air else "vacuum"), line[:60]
    return None, ""


@dataclass(frozen=True)
class Motion:
    """Frame of the wavelengths; velocities in km/s, receding positive, None where unknown."""

    frame: Frame
    rv: float | None
    berv: float | None
    rv_keyword: str | None


_OFFER = "; --frame (frame=) overrules it"


def motion_of(
    keywords: Keywords, assumed: list[str], asked: Frame | None = None, named: Frame | None = None
) -> Motion:
    """Tell the frame of the wavelengths and the velocities; add a note of what is assumed.

    Of a spectrum that IRAF's dopcor moved to rest, `rv` is what a pipeline measured, if that agrees
    with the shift. The frame that the user `asked` for counts before all, then the one that the
    column of wavelengths has in its name.
    """
    told = "as it was asked for" if asked else "as the name of the wavelength column says"
    asked = asked or named
    rv, berv, rv_keyword, berv_keyword = _velocities(keywords)
    if asked is not None:
        assumed.append(f"frame: {asked}, {told}")
        return Motion(asked, rv, berv, rv_keyword)
    frame, note, certain = _frame(keywords, berv, berv_keyword)
    shift, cards = _dopcor(keywords)
    if shift is None:
        assumed += [f"frame: {frame}, {note}"] if note else []
        return Motion(frame, rv, berv, rv_keyword)
    words = f"IRAF shifted it: DOPCOR {cards}"
    moved = _moved(shift, rv, berv, frame, certain, drs_pipeline(keywords) is not None)
    if moved is None:
        note = note.removesuffix(_OFFER) or "as SPECSYS says"
        assumed.append(
            f"frame: {frame}, {note} ({words}; the lines may already be at rest){_OFFER}"
        )
        return Motion(frame, rv, berv, rv_keyword)
    if moved == 0.0:
        assumed.append(f"frame: barycentric; {words}, which takes out the Earth's motion{_OFFER}")
        return Motion("barycentric", rv, berv, rv_keyword)
    measured = rv is not None and rv_keyword in RV and abs(rv - moved) < 2.0
    other = f", not by {rv:.6g} km/s of {rv_keyword}" if rv is not None and not measured else ""
    assumed.append(f"frame: rest, since {words}{other}{_OFFER}")
    return Motion("rest", rv, berv, rv_keyword) if measured else Motion("rest", None, berv, None)


def _velocities(keywords: Keywords) -> tuple[float | None, float | None, str | None, str | None]:
    """Velocities of the star and of the observer, and their keywords."""
    if _apogee(keywords):  # where VHELIO is that of the star
        rv, rv_keyword = keywords.velocity(("VHELIO",), _STARS)
        return rv, None, rv_keyword, None
    berv, berv_keyword = keywords.velocity((*BERV, *NOT_APPLIED, *APPLIED), _EARTH)
    rv, rv_keyword = keywords.velocity((*RV, *CATALOG_RV), _STARS)
    # fxcor of IRAF: VHELIO is the star's velocity then, VOBS the same before the correction.
    observed, _ = keywords.velocity(("VOBS",), _STARS)
    helio, _ = keywords.velocity(("VHELIO",), _STARS)
    if observed is not None and helio is not None and abs(helio - observed) <= _EARTH:
        rv, rv_keyword = (helio, "VHELIO") if rv is None else (rv, rv_keyword)
        if berv_keyword in (None, "VHELIO"):
            berv, berv_keyword = helio - observed, "VHELIO"
    return rv, berv, rv_keyword, berv_keyword


def _moved(
    shift: float, rv: float | None, berv: float | None, frame: Frame, certain: bool, drs: bool
) -> float | None:
    """Velocity from the shifted wavelengths to the barycenter's, km/s; None if nothing tells."""
    if drs and frame == "barycentric":  # so that whatever was shifted is not any more
        return shift
    if berv is not None and abs(shift + berv) < 0.5:
        return 0.0
    if rv is not None and abs(shift - rv) < 2.0:
        return shift
    if frame == "topocentric" and berv is not None:
        return shift + berv
    # The shift may be what made it barycentric, unless it is faster than the Earth, or not its own.
    if frame == "barycentric" and (abs(shift) > _EARTH or (certain and berv is not None)):
        return shift
    return None


def _frame(
    keywords: Keywords, berv: float | None, berv_keyword: str | None
) -> tuple[Frame, str, bool]:
    """Frame before a shift by IRAF, a note where it is assumed, and whether the file is certain."""
    # Spectra combined of several visits are at rest, whatever else they say.
    if _apogee(keywords) and keywords.text(("SFILE1", "NVISITS")):
        return "rest", "by APOGEE, which combines visits at rest", True
    for key, value in keywords.values(("SPECSYS", "SPECSYS1", "FRAME")):
        letters = re.sub("[^A-Z]", "", str(value).upper())
        word = letters[:8]
        # TOPO, HELIO
        known = _FRAMES if key == "FRAME" else SPECSYS
        clear = len(word) > 3 and not letters.startswith("OBSERVATI") and letters != "SOLAR"
        name = next((name for name in known if name.startswith(word) and clear), "")
        if name:
            frame, note = known[name]
            if frame is None:
                raise SpectrumError(
                    f"SPECSYS = {word}: the wavelengths are in a frame that moves against the "
                    "barycenter of the solar system; convert them, or take them as they stand with "
                    "--frame barycentric (frame='barycentric')"
                )
            return frame, note, True
        if word and key != "FRAME":
            frame, note, _ = _frame_by_custom(keywords, berv, berv_keyword)
            return frame, f"SPECSYS {word!r} is not one that is handled; {note}", False
    return _frame_by_custom(keywords, berv, berv_keyword)


def _frame_by_custom(
    keywords: Keywords, berv: float | None, berv_keyword: str | None
) -> tuple[Frame, str, bool]:
    """Frame without SPECSYS: by the words of HISTORY, then by the custom of the writer."""
    said = _said(keywords, _AT_REST)
    if said:
        return "rest", f"since the header says {said!r}", True
    undone = _said(keywords, _CORRECTED, negated=True)
    if undone:
        return "topocentric", f"since the header says {undone!r}{_OFFER}", False
    writer = _writer(keywords)
    # A BERV in the header does not mean that it is still to be applied: the DRS applies it when it
    # merges the orders into an S1D, and writes no SPECSYS.
    custom, note = SPECSYS.get(WRITERS.get(writer, Custom()).frame or "", (None, ""))
    if custom == "barycentric":
        return custom, f"{note}, the custom of {writer}".removeprefix(", "), True
    # One that is on decides, whatever others say.
    key, on = max(keywords.switches(_SWITCH), key=itemgetter(1), default=("", False))
    said = f"as {key} = {keywords.text([key])} says"
    if on:
        return "barycentric", said, True
    if key:
        return "topocentric", said + _OFFER, False
    if berv_keyword in APPLIED:
        return "barycentric", f"corrected by {berv_keyword} already, as its pipeline does", True
    if said := _said(keywords, _CORRECTED):
        return "barycentric", f"since the header says {said!r}", True
    if berv is not None and berv_keyword in NOT_APPLIED:
        note = f"since {berv_keyword} gives {berv:.6g} km/s and no word says that it was applied"
        return "topocentric", note + _OFFER, False
    if custom == "topocentric":
        return custom, f"the custom of {writer}{_OFFER}", False
    unread = keywords.like_berv()
    doubt = f", and what {unread} means is not known" if unread else ""
    return "barycentric", f"the file does not say{doubt}{_OFFER}", False


_SUN = "(?:helio|bary)cent"
_BERV = r"(?:\bberv\b|\bearth(?:'?s)? (?:motion|velocity))"
# What else than the spectrum is brought to the Sun, or from it.
_ELSE = r"\b(?:rvs?|radial velocit\w+|templates?|ccfs?|masks?|models?|tellur\w+|sky|atlas)\b"
_CORRECTED = re.compile(
    rf"{_SUN}\w*.*\b(?:corrected|applied|shifted|transformed)"
    rf"|(?:corrected|shifted|transformed|applied|reduced)\b[^,;]*{_SUN}"
    r"|\bin (?:the )?(?:solar system )?(?:helio|bary)cent"
    r"|(?:helio|bary)centric (?:wave|lambda)|wavelengths?\W+(?:are )?(?:helio|bary)centric"
    r"|(?:helio|bary)cent\w* correction\b.*\b(?:removed|undone)\b"
    rf"|^(?!.*{_ELSE}).*(?:{_BERV}[^,;]*\b(?:corrected|applied|shifted|transformed)"
    rf"|\b(?:corrected|applied|shifted|transformed)\b[^,;]*{_BERV})"
)
_AT_REST = re.compile(
    r"(?:corrected|shifted|transformed|moved|brought)\b.*\b(?:rest[ -]?frame|to rest)\b"
    r"|\bin (?:the |its )?(?:stellar |star's )?rest[ -]?frame"
)
_NEGATED = re.compile(
    r"\b(?:not?|without|un\w*corrected|isn't|to be|must|should|off|skipped)\b"
    r"|correction\b.*\b(?:removed|undone)\b"
)
# Times are brought to the Sun as well.
_OF_TIME = re.compile(r"\b(?:[hb]?jd|julian|times?|dates?)\b")


def _said(keywords: Keywords, words: re.Pattern[str], *, negated: bool = False) -> str:
    """Return the first HISTORY or COMMENT card with these words, negated or not."""
    for line in keywords.commentary():
        lower = line.lower()
        found = words.search(lower) and not _OF_TIME.search(lower)
        if found and bool(_NEGATED.search(lower)) == negated:
            return line[:60]
    return ""


def _dopcor(keywords: Keywords) -> tuple[float | None, str]:
    """Total velocity in km/s that IRAF's dopcor runs took off, and their cards."""
    cards: list[str] = []
    while (card := keywords.text([f"DOPCOR{len(cards) + 1:02d}"])) is not None:
        cards.append(card)
    shifts = [_number(card.split()[0]) or 0.0 for card in cards]
    # A redshift unless its isvelocity was set, and nobody corrects for 20 m/s.
    total = sum(shift * SPEED_OF_LIGHT if abs(shift) < 0.02 else shift for shift in shifts)
    return total or None, ", ".join(cards)


_VELOCITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(k?)m ?(?:/ ?s|s-1)")


def in_km(text: str) -> str:
    """The text; if it is a velocity, its number in km/s."""
    found = _VELOCITY.fullmatch(text.strip())
    if found is None:
        return text
    return found[1] if found[2] else str(float(found[1]) / 1000)


def _number(value: Any) -> float | None:
    """Make a finite float, also of text such as ``'12.5 '``; None if it is no number."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


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
