"""FITS headers, and what their keywords say of a spectrum: names, velocities, SNR, medium, frame.

A HARPS header has 3,000 cards, and astropy spends four times as long on them as the whole file
takes here: cards are only indexed, and a value is parsed when somebody asks for it. So a card that
breaks the standard harms nobody who does not need it.

Every fact has a list of keywords, tried in order, and a range outside which a value is one of the
numbers that pipelines write for "unknown" (-99999, 1e20, ...). Nothing here fails a read, but
a frame far from the barycenter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentscope.errors import SpectrumError
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
INSTRUMENT = ("INSTRUME", "INSTRMNT", "INSTRUMENT")
DATE = ("DATE-OBS", "UT-DATE")
MJD = ("MJD-OBS", "MJD", "MJDOBS", "MJD-BEG", "MJDSTART")
# Barycentric ones lie within 8.3 minutes of those of the observer.
JULIAN = ("ESO DRS BJD", "ESO QC BJD", "TNG DRS BJD", "TNG QC BJD", "OHP DRS BJD", "BJD", "HJD",
          "JD")  # fmt: skip
EXPOSURE = ("EXPTIME", "TEXPTIME", "EXPOSURE", "ITIME", "EXP_TIME")
# What an instrument can be set to: fiber, resolution, arms.
MODE = ("ESO INS MODE", "ESO SEQ ARM", "INSMODE", "INSTMODE", "OBSMODE", "OBS_MODE")
PROGRAM = ("PROG_ID", "ESO OBS PROG ID", "PROGRAM", "PROGID", "PROPID", "PROPOSID", "PROGNAME")
# Echelle pipelines give one ratio an order; a product that was merged has one for all.
SNR = ("SNR", "SN", "S/N", "ESO QC SNR", "SNR_MED")
ORDER_SNR = ("ESO DRS SPE EXT SN{}", "TNG DRS SPE EXT SN{}", "OHP DRS SPE EXT SN{}",
             "ESO QC ORDER{} SNR", "TNG QC ORDER{} SNR")  # fmt: skip
# DRS: the old pipeline of HARPS and its sisters; QC: that of ESPRESSO. All are to be added to an
# observed velocity.
BERV = ("ESO DRS BERV", "ESO QC BERV", "TNG DRS BERV", "TNG QC BERV", "OHP DRS BERV")
# Pipelines and IRAF (bcvcorr: BCV, HCV; rvcorrect: VHELIO) that write the correction and leave the
# wavelengths as observed; BARYCOR: UVES, X-shooter. X-shooter's manual and serval read them so.
NOT_APPLIED = ("ESO QC VRAD BARYCOR", "BARYCORR", "BARYCOR", "BCV", "BERV", "V_BARY", "VBARY",
               "BARYVEL", "ESO QC VRAD HELICOR", "HCV", "VHELIO", "V_HELIO", "HELICORR", "HELIOCOR",
               "HELIO_RV")  # fmt: skip
_EARTH_ALONE = ("BARYCORR", "BARYCOR", "BCV", "BERV", "V_BARY", "VBARY", "BARYVEL")
# GALAH (its README takes the correction off by BARYEFF), HERMES of Mercator, MAKEE for HIRES.
APPLIED = ("BARYEFF", "BVCOR", "HELIOVEL")
# RVC is the velocity of the cross-correlation after the correction for the drift of the night,
# which plain RV lacks.
RV = ("ESO DRS CCF RVC", "ESO QC CCF RV", "TNG DRS CCF RVC", "TNG QC CCF RV", "OHP DRS CCF RVC",
      "RADVEL")  # fmt: skip
CATALOG_RV = ("ESO TEL TARG RADVEL", "ESO OCS OBJ RV", "TNG TEL TARG RADVEL",
                "ESO OBS TARG RADVEL")  # fmt: skip
"""Typed in by the observer."""

MEDIA: dict[str, Medium] = {"AIR": "air", "VAC": "vacuum", "TRU": "vacuum", "FAL": "air",
                            "1": "vacuum", "0": "air"}  # fmt: skip
"""First letters of what AIRORVAC, VACUUM (a logical: TRUE, FALSE, 1, 0) and WAVEMED hold."""

# Wavelengths for the center of the Earth or of the Sun are taken for those of their neighbor: that
# is less than a pixel of HARPS (0.8 km/s), and noted.
FRAMES: dict[str, tuple[Frame, str]] = {
    "TOPOCENT": ("topocentric", ""),
    "GEOCENTR": ("topocentric", "taken from geocentric, up to 0.5 km/s away"),
    "BARYCENT": ("barycentric", ""),
    "HELIOCEN": ("barycentric", "taken from heliocentric, up to 0.02 km/s away"),
    "SOURCE": ("rest", ""),
}
_FAR_FRAMES = ("LSRK", "LSRD", "GALACTOC", "LOCALGRP", "CMBDIPOL")
"""From 20 to hundreds of km/s off the barycenter."""
_APOGEE = ("APO25M", "LCO25M", "APO1M")
# By PypeIt's out_onespec, the data models of APOGEE and DESI, the handbooks of HST and JWST, and
# serval's readers of the others, which take wavelengths as they are.
_IN_VACUUM = (*_APOGEE, "HST", "JWST", "CARMENES", "NEID", "KPF", "EXPRES", "SPIROU",
               "LAMOST")  # fmt: skip
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
        value = self._values.get(key)
        if value is None:
            card = self._cards.get(key) or self._cards.get("HIERARCH " + key)
            if card is None:
                return default
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
        """Return what a card has behind its value; empty where there is none."""
        card = self._cards.get(key) or self._cards.get(f"HIERARCH {key}") or ""
        return _QUOTED.sub("", card.partition("=")[2], count=1).partition("/")[2].strip()

    def commentary(self) -> Iterable[str]:
        """Text of HISTORY and COMMENT cards."""
        for card in self._cards.values():
            if card.startswith(("HISTORY", "COMMENT")):
                yield card[8:].strip()
        for key in ("HISTORY", "COMMENT"):
            yield from self.text(key).splitlines()

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
        self, keys: Iterable[str], low: float, high: float
    ) -> tuple[float | None, str | None]:
        """Return the first number in [low, high], and its keyword."""
        for key, value in self.values(keys):
            number = _number(value)
            if number is not None and low <= number <= high:
                return number, key
        return None, None

    def velocity(self, keys: Iterable[str], limit: float) -> tuple[float | None, str | None]:
        """Return the first velocity in km/s up to `limit`, and its keyword.

        The comment may say m/s; where it says nothing, m/s are told by their size in keywords that
        hold the Earth's velocity and nothing else.
        """
        for key in keys:
            for header in self._headers:
                value = header.get(key)
                if value is None:
                    continue
                number = _number(value)
                # 0 is what forms hold before anybody fills them in, nines what stands for unknown.
                unset = number == 0 and key not in BERV
                if number is None or unset or re.fullmatch("9{3,}", str(int(abs(number)))):
                    continue
                per_second = re.search(r"k?m(?:/s| ?s-1| ?s\^-1)", header.comment(key).lower())
                small = per_second is not None and not per_second[0].startswith("k")
                large = limit < abs(number) <= 1000 * limit and key in _EARTH_ALONE
                if small or (per_second is None and large):
                    number /= 1000.0
                if abs(number) <= limit:
                    return number, key
        return None, None

    def commentary(self) -> Iterable[str]:
        """Text of the HISTORY and COMMENT cards of all headers."""
        for header in self._headers:
            yield from header.commentary()

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
        "instrument": keywords.text(INSTRUMENT),
        "mode": keywords.text(MODE),
        "program": keywords.text(PROGRAM),
        "date_obs": keywords.text(DATE),
        "mjd": _mjd(keywords),
        "exptime": keywords.number(EXPOSURE, 1e-6, 1e7)[0],
        "airmass": keywords.number(AIRMASS, 1.0, 40.0)[0],
        "snr": snr if snr is not None else _median_order_snr(keywords),
        "flux_unit": keywords.text(("BUNIT",)),
    }
    return {key: value for key, value in facts.items() if value is not None}


def _mjd(keywords: Keywords) -> float | None:
    """Modified Julian date of the observation: its keyword, the date with its time, a Julian date.

    Of files that say both, that is its start.
    """
    # From 1900 to 2100: others are what stands for unknown.
    found, _ = keywords.number(MJD, 15_020.0, 88_070.0)
    if found is not None:
        return found
    date = str(keywords.text(DATE) or "")
    if re.match(r"(19|20)\d\d-\d\d-\d\dT\d\d:\d\d", date):
        with suppress(ValueError):
            return float((np.datetime64(date.rstrip("Z"), "ms") - _MJD_ZERO) / _DAY)
    julian, _ = keywords.number(JULIAN, 2_415_020.0, 2_488_070.0)
    return None if julian is None else julian - 2_400_000.5


_MJD_ZERO, _DAY = np.datetime64("1858-11-17", "ms"), np.timedelta64(1, "D")


@dataclass(frozen=True)
class Motion:
    """Frame of the wavelengths; velocities in km/s, receding positive, None where unknown."""

    frame: Frame
    rv: float | None
    berv: float | None
    rv_keyword: str | None


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
    instrument = str(keywords.text(INSTRUMENT)).upper()
    # Their manuals: air, whatever CTYPE1 says; ESO's products of them have em.wl;obs.atmos.
    if instrument in _OBSERVED and keywords.text(("ESO PRO CATG",)):
        assumed.append(f"medium: air, as the pipeline of {instrument} writes spectra")
        return "air"
    if inferred is not None:
        assumed += [f"medium: {inferred.medium}, {inferred.reason}"] if inferred.reason else []
        return inferred.medium
    said, line = _medium_said(keywords)
    if said is not None:
        assumed.append(f"medium: {said}, since the header says {line!r}")
        return said
    drs: dict[str | None, Medium] = {"DRS": "air", "new DRS": "vacuum"}
    if (pipeline := drs_pipeline(keywords)) in drs:
        assumed.append(f"medium: {drs[pipeline]}, as the {pipeline} pipelines write S1D spectra")
        return drs[pipeline]
    telescope = str(keywords.text(("TELESCOP",))).upper()
    source = next((name for name in (instrument, telescope) if name in _IN_VACUUM), "")
    source = "PypeIt" if _pypeit(keywords) else "DESI" if _desi(keywords) else source
    if source:
        assumed.append(f"medium: vacuum, as {source} gives wavelengths")
        return "vacuum"
    # Air does not let such light through, and its refractive index is not defined there.
    if wavelength[0] < 2000.0:
        assumed.append("medium: vacuum, the custom below 2000 Angstrom")
        return "vacuum"
    # CRIRES+, GIANO, HPF, IGRINS, NIRPS, NIRSPEC, SpeX and others; exceptions are told above.
    if wavelength[0] > 9500.0:
        assumed.append("medium: vacuum, the custom in the near infrared; the file does not say")
        return "vacuum"
    assumed.append("medium: air, the custom for optical spectra; the file does not say")
    return "air"


_OBSERVED = ("UVES", "XSHOOTER")
"""Instruments whose pipeline leaves wavelengths as observed."""
_EARTH = 31.0
"""The Earth moves at 30.3 km/s and turns at 0.5."""
_STARS = 2000.0
"""No star of the Galaxy is as fast, km/s."""
_OFFER = "; --frame (frame=) overrules it"


def motion_of(
    keywords: Keywords,
    assumed: list[str],
    asked: Frame | None = None,
    named: Frame | None = None,
) -> Motion:
    """Tell the frame of the wavelengths and the velocities; add a note of what is assumed.

    Of a spectrum that IRAF's dopcor moved to rest, `rv` is what a pipeline measured, if that agrees
    with the shift. The frame that the user `asked` for counts before all, then the one that the
    column of wavelengths has in its name.
    """
    told = "as it was asked for" if asked else "as the name of the wavelength column says"
    asked = asked or named
    # VHELIO is the star's velocity there, and spectra combined of several visits are at rest.
    if _apogee(keywords):
        rv, rv_keyword = keywords.velocity(("VHELIO",), _STARS)
        frame: Frame = "rest" if keywords.text(("SFILE1", "NVISITS")) else "barycentric"
        frame = asked or frame
        assumed.append(f"frame: {frame}, {told if asked else 'by APOGEE'}")
        return Motion(frame, rv, None, rv_keyword)
    berv, berv_keyword = keywords.velocity((*BERV, *NOT_APPLIED, *APPLIED), _EARTH)
    rv, rv_keyword = keywords.velocity((*RV, *CATALOG_RV), _STARS)
    observed, _ = keywords.velocity(("VOBS",), _STARS)
    # fxcor of IRAF: VHELIO is the star's velocity then, VOBS the same before the correction.
    helio, _ = keywords.velocity(("VHELIO",), _STARS)
    if observed is not None and helio is not None and abs(helio - observed) <= _EARTH:
        rv, rv_keyword = (helio, "VHELIO") if rv is None else (rv, rv_keyword)
        if berv_keyword in (None, "VHELIO"):
            berv, berv_keyword = helio - observed, "VHELIO"
    if asked is not None:
        assumed.append(f"frame: {asked}, {told}")
        return Motion(asked, rv, berv, rv_keyword)
    frame, note, certain = _frame(keywords, berv, berv_keyword)
    shift, words = _dopcor(keywords)
    if shift is None:
        assumed += [f"frame: {frame}, {note}"] if note else []
        return Motion(frame, rv, berv, rv_keyword)
    words = f"IRAF shifted it: DOPCOR {words}"
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
    note = f"frame: rest, since {words}"
    if rv is not None and not measured:
        note += f", not by {rv:.6g} km/s of {rv_keyword}"
    assumed.append(note + _OFFER)
    return Motion("rest", rv, berv, rv_keyword) if measured else Motion("rest", None, berv, None)


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
    for _, value in keywords.values(("SPECSYS", "SPECSYS1")):
        word = str(value).strip().upper()[:8]  # FITS cuts the names of frames to eight letters
        for name, (frame, note) in FRAMES.items():
            if name.startswith(word) and len(word) > 3:  # TOPO, HELIO
                return frame, note, True
        if word in _FAR_FRAMES:
            raise SpectrumError(
                f"SPECSYS = {word}: the wavelengths are in a frame that moves against the "
                "barycenter of the solar system; convert them, or take them as they stand with "
                "--frame barycentric (frame='barycentric')"
            )
        if word:
            frame, note, _ = _frame_by_custom(keywords, berv, berv_keyword)
            return frame, f"SPECSYS {word!r} is not one that is handled; {note}", False
    return _frame_by_custom(keywords, berv, berv_keyword)


def _frame_by_custom(
    keywords: Keywords, berv: float | None, berv_keyword: str | None
) -> tuple[Frame, str, bool]:
    """The same where no SPECSYS tells."""
    # A BERV in the header does not mean that it is still to be applied: the DRS applies it when it
    # merges the orders into an S1D, and writes no SPECSYS.
    said = _said(keywords, _AT_REST)
    if said:
        return "rest", f"since the header says {said!r}", True
    undone = _said(keywords, _CORRECTED, negated=True)
    if undone:
        return "topocentric", f"since the header says {undone!r}{_OFFER}", False
    if drs_pipeline(keywords) is not None:
        return "barycentric", "as the DRS pipelines write S1D spectra", True
    applied = _applied(keywords, berv_keyword)
    if applied:
        return "barycentric", applied, True
    if berv is not None and berv_keyword in NOT_APPLIED:
        return (
            "topocentric",
            f"since {berv_keyword} gives {berv:.6g} km/s and no word says that it was applied"
            + _OFFER,
            False,
        )
    if _pypeit(keywords) and keywords.text(("VEL_TYPE",)):
        return "topocentric", f"since PypeIt's VEL_TYPE says so{_OFFER}", False
    instrument = str(keywords.text(INSTRUMENT)).upper()
    if instrument in _OBSERVED and keywords.text(("ESO PRO CATG",)):
        return "topocentric", f"as the pipeline of {instrument} leaves spectra{_OFFER}", False
    return "barycentric", f"the file does not say{_OFFER}", False


_CORRECTED = re.compile(
    r"(?:helio|bary)cent\w*.*\b(?:corrected|applied|shifted|transformed)"
    r"|(?:corrected|shifted|transformed|applied|reduced)\b[^,;]*(?:helio|bary)cent"
    r"|\bin (?:the )?(?:solar system )?(?:helio|bary)cent"
    r"|(?:helio|bary)cent\w* correction\b.*\b(?:removed|undone)\b"
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
_WAVELENGTHS = re.compile(r"wave|lambda|angstrom|\bin (?:vacuum|air)\b")
_IN_AIR, _IN_VACUUM_WORDS = re.compile(r"\bair\b(?! ?mass)"), re.compile(r"\bvac(?:uum)?\b")


# HELCORR of HST, HELIO of LAMOST (T), VEL_TYPE of PypeIt, HELIOCNT of MAKEE and REDSPEC.
_DONE = ("HELCORR", "HELIO", "VEL_TYPE", "BARYCORR", "BARYCOR", "HELIOCOR", "HELIOCNT", "BERVCORR",
         "BARYDONE")  # fmt: skip


def _applied(keywords: Keywords, berv_keyword: str | None) -> str:
    """Say which word tells that the Earth's motion is taken out; empty if none does."""
    for key, value in keywords.values(_DONE):
        word = str(value).strip().upper()
        if word.startswith(("COMPLETE", "APPLIED", "HELIOC", "BARYC", "DONE")) or value is True:
            return f"as {key} = {value} says"
    if berv_keyword in APPLIED:
        return f"corrected by {berv_keyword} already, as its pipeline does"
    # idlspec2d writes HELIO_RV once it has applied it.
    telescope = str(keywords.text(("TELESCOP",))).upper()
    if "SDSS" in telescope or "LAMOST" in telescope or keywords.text(("VERS2D", "RUN2D")):
        return "taken from heliocentric, as the pipelines of SDSS and LAMOST write spectra"
    # desispec corrects the wavelengths of each exposure for the motion of the Earth.
    if _desi(keywords):
        return "taken from heliocentric, as DESI corrects spectra"
    if _pypeit(keywords) and not keywords.text(("VEL_TYPE",)):
        return "taken from heliocentric, as PypeIt corrects spectra by default"
    said = _said(keywords, _CORRECTED)
    return f"since the header says {said!r}" if said else ""


def _said(keywords: Keywords, words: re.Pattern[str], *, negated: bool = False) -> str:
    """Return the first HISTORY or COMMENT card with such words, negated or not."""
    for line in keywords.commentary():
        lower = line.lower()
        found = words.search(lower) and not _OF_TIME.search(lower)
        if found and bool(_NEGATED.search(lower)) == negated:
            return line[:60]
    return ""


def _medium_said(keywords: Keywords) -> tuple[Medium | None, str]:
    """Return the medium of wavelengths by HISTORY or COMMENT, and the card."""
    for line in keywords.commentary():
        lower = line.lower()
        if not _WAVELENGTHS.search(lower) or _NEGATED.search(lower):
            continue
        air, vacuum = _IN_AIR.search(lower), _IN_VACUUM_WORDS.search(lower)
        if air and vacuum:  # from the one to the other
            to = re.search(r"\b(?:to|into|in) (air|vac)", lower)
            air, vacuum = (to, None) if to and to[1] == "air" else (None, to)
        if air or vacuum:
            return ("air" if air else "vacuum"), line[:60]
    return None, ""


def _apogee(keywords: Keywords) -> bool:
    return str(keywords.text(("TELESCOP",))).upper() in _APOGEE


def _desi(keywords: Keywords) -> bool:
    # SPGRP: by what its spectra are grouped. The instrument stands in the header of another HDU.
    return (
        keywords.text(INSTRUMENT) == "DESI"
        or keywords.text(("SPGRP",)) is not None
        or keywords.text(("EXTNAME",)) in ("B_FLUX", "R_FLUX", "Z_FLUX")
    )


def _pypeit(keywords: Keywords) -> bool:
    return any(True for _ in keywords.values(("DMODCLS", "PYP_SPEC", "VERSPYP")))


def _dopcor(keywords: Keywords) -> tuple[float | None, str]:
    """Velocity in km/s that IRAF took off in all, and the cards; it logs each dopcor run."""
    cards: list[str] = []
    while (card := keywords.text([f"DOPCOR{len(cards) + 1:02d}"])) is not None:
        cards.append(card)
    words = ", ".join(cards)
    shifts = [_number(card.split()[0]) or 0.0 for card in cards]
    # A redshift unless its isvelocity was set, and nobody corrects for 20 m/s.
    total = sum(shift * _LIGHT if abs(shift) < 0.02 else shift for shift in shifts)
    return total or None, words


_LIGHT = 299_792.458


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
