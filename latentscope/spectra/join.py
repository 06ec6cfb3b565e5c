"""One spectrum from the arms, orders or chips that a file holds, or the reason why there is none.

What may be joined follows each other in wavelength and overlaps at the ends alone, is of one
object, medium and frame, and has one level where two of them overlap. Orders whose flux falls
towards both ends carry the blaze of the spectrograph, and make no spectrum side by side.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.spectrum import Spectrum

MAX_OVERLAP = 0.8
"""Of the shorter piece; orders overlap by up to two thirds, exposures of one setting by nearly all.
"""

_WITHIN = 0.9  # of a piece that holds the others, so that they are its parts
_STEP = 1.5  # levels of neighbors: no spectrum beyond
_WORTH_A_NOTE = 0.05
_BLAZE = 0.7  # of the flux in the middle of an order, towards both of its ends
_MIN_PIXELS = 8
_FEW = 8  # arms or chips; there are more orders
_DETECTOR = ("image-table", "table-cells", "table")
"""Formats with a wavelength for each pixel."""

Floats = NDArray[Any]


@dataclass(frozen=True)
class Piece:
    """A spectrum with its name in the file, and its target (empty if unknown)."""

    name: str
    spectrum: Spectrum
    target: str = ""

    @property
    def range(self) -> tuple[float, float]:
        """First and last wavelength in Angstrom."""
        return float(self.spectrum.wavelength[0]), float(self.spectrum.wavelength[-1])

    def __str__(self) -> str:
        return f"{self.name} ({self.range[0]:.0f}-{self.range[1]:.0f})"


def join(pieces: Sequence[Piece]) -> Spectrum:
    """Join pieces of one spectrum; what was done is a note in ``meta["assumed"]``.

    Overlaps are weighted by inverse variance, interpolated onto the pixels of the bluer piece.
    Where a piece has none, each fades into its neighbor linearly: orders are weakest at their ends.
    A SpectrumError says how to choose one, if they are several spectra and not parts of one.
    """
    if len(pieces) == 1:
        return pieces[0].spectrum
    # An arm without data has zeros for flux and inverse variance.
    lit = [piece for piece in pieces if piece.spectrum.flux[_usable(piece.spectrum)].any()]
    if 0 < len(lit) < len(pieces):
        dark = [piece for piece in pieces if not any(piece is other for other in lit)]
        return _noted(join(lit), f"{_listed(dark)} without flux, not read")
    _check_units(pieces)
    whole = _whole(pieces)
    if whole is not None:
        others = _listed([piece for piece in pieces if piece is not whole])
        return _noted(whole.spectrum, f"{whole.name} is the spectrum; not read: {others}")
    ordered = sorted(pieces, key=lambda piece: piece.range)
    _check_parts(ordered, pieces)
    _check_blaze(ordered)
    _check_stated(ordered)
    levels = [_levels(*pair) for pair in pairwise(ordered)]
    steps = [step for step in levels if step is not None]
    if steps and np.median(steps) > np.log(_STEP):
        raise SpectrumError(
            f"{len(pieces)} pieces whose fluxes differ by {np.expm1(np.median(steps)):.0%} where "
            f"they overlap, so that they make no one spectrum: {_choices(pieces)}"
        )
    weighted = all(piece.spectrum.ivar is not None for piece in ordered)
    joined = ordered[0].spectrum
    for piece in ordered[1:]:
        joined = _pair(joined, piece.spectrum, weighted=weighted)
    note = f"joined from {len(pieces)} pieces: {_listed(ordered)} Angstrom"
    if steps:
        note += ", overlaps " + ("weighted by ivar" if weighted else "faded into each other")
    if steps and max(steps) > np.log1p(_WORTH_A_NOTE):
        note += f", where levels differ by up to {np.expm1(max(steps)):.0%}"
    lost = not weighted and any(piece.spectrum.ivar is not None for piece in ordered)
    if lost:
        note += "; errors: none, since not all of them have some"
    return _merged(joined, ordered, note)


def _check_units(pieces: Sequence[Piece]) -> None:
    """Raise if units that the file does not say were guessed to be different ones."""
    notes = [note for piece in pieces for note in piece.spectrum.meta["assumed"]]
    units = {note.split(",")[0] for note in notes if note.startswith("wavelength unit:")}
    if len(units) > 1:
        raise SpectrumError(
            f"{len(pieces)} spectra of which the file does not say the wavelength unit, and whose "
            f"numbers are of the size of different ones: {_choices(pieces)}"
        )


def _whole(pieces: Sequence[Piece]) -> Piece | None:
    """The piece that contains all others, such as a sum beside its exposures."""
    for piece in pieces:
        first, last = piece.range
        length = last - first
        others = [other.range for other in pieces if other is not piece]
        slack = 0.01 * length
        if all(
            first - slack <= low and high <= last + slack and high - low < _WITHIN * length
            for low, high in others
        ):
            return piece
    return None


def _check_parts(ordered: Sequence[Piece], pieces: Sequence[Piece]) -> None:
    """Raise unless they follow each other and are of one object, medium and frame."""
    for what in ("medium", "frame"):
        found = {getattr(piece.spectrum, what) for piece in pieces}
        if len(found) > 1:
            raise SpectrumError(
                f"{len(pieces)} spectra, {' and '.join(sorted(found))} ones: {_choices(pieces)}"
            )
    if len({piece.target for piece in pieces if piece.target}) > 1:
        raise SpectrumError(f"{len(pieces)} spectra of several objects: {_choices(pieces)}")
    for one, two in pairwise(ordered):
        (start, end), (other_start, other_end) = one.range, two.range
        shorter = min(end - start, other_end - other_start)
        overlap = min(end, other_end) - other_start
        if other_end <= end or overlap > MAX_OVERLAP * shorter:
            raise SpectrumError(
                f"{len(pieces)} spectra, {one.name} and {two.name} of nearly the same range: rows "
                f"or HDUs that are objects, fibers, visits or exposures; {_choices(pieces)}"
            )


def _check_blaze(ordered: Sequence[Piece]) -> None:
    """Raise if the flux of most of three or more orders falls towards both ends."""
    falling = [_falls(piece.spectrum) for piece in ordered]
    # Arms with gaps between them may each have a response of their own.
    apart = all(one.range[1] < two.range[0] for one, two in pairwise(ordered))
    if len(falling) > (_FEW if apart else 2) and sum(falling) > len(falling) / 2:
        raise SpectrumError(
            f"{len(ordered)} orders, not merged, of which {sum(falling)} fall below "
            f"{_BLAZE:.0%} towards both ends, so that they carry the blaze of the spectrograph; "
            f"use a merged spectrum, divide by the blaze, or {_choices(ordered)}"
        )


def _check_stated(ordered: Sequence[Piece]) -> None:
    """Raise if these are the orders of an echelle on wavelengths of an unknown frame."""
    # Merged spectra have customs. Orders on the pixels of the detector have none: most are not
    # corrected for the motion of the Earth, and in vacuum.
    first = ordered[0].spectrum.meta
    unstated = any(
        note.startswith("frame:") and "the file does not say" in note for note in first["assumed"]
    )
    if unstated and len(ordered) > _FEW and first["format"] in _DETECTOR:
        raise SpectrumError(
            f"{len(ordered)} orders, not merged, on wavelengths whose frame the file does not say; "
            f"use a merged spectrum, give frame= (--frame), or {_choices(ordered)}"
        )


def _falls(spectrum: Spectrum) -> bool:
    use = np.flatnonzero(_usable(spectrum))
    if len(use) < 10 * _MIN_PIXELS:
        return False
    tenth = len(use) // 10
    first, middle, last = (
        float(np.median(spectrum.flux[part]))
        for part in (use[:tenth], use[4 * tenth : 6 * tenth], use[-tenth:])
    )
    return max(first, last) < _BLAZE * middle


def _usable(spectrum: Spectrum) -> NDArray[np.bool_]:
    use: NDArray[np.bool_] = np.isfinite(spectrum.flux)
    if spectrum.mask is not None:
        use &= ~spectrum.mask
    if spectrum.ivar is not None:
        use &= np.asarray(spectrum.ivar) > 0
    return use


def _levels(one: Piece, two: Piece) -> float | None:
    """How far the levels of neighbors differ, |ln|, in the worse half of their overlap."""
    a, b = one.spectrum, two.spectrum
    shared = np.flatnonzero(_usable(a) & (a.wavelength >= b.wavelength[0]))
    if len(shared) < _MIN_PIXELS:
        return None
    other, weight = _onto(a.wavelength[shared], b, b.ivar)
    shared, other = shared[weight > 0], other[weight > 0]
    steps = []
    for half in np.array_split(np.arange(len(shared)), 2):
        if len(half) < _MIN_PIXELS // 2:
            return None
        here, there = a.flux[shared[half]].astype(float), other[half]
        levels = float(np.median(here)), float(np.median(there))
        if min(levels) <= 0:
            return None
        difference = abs(float(np.log(levels[0] / levels[1])))
        # Neither noise nor lines are a difference of level.
        scatter = here / levels[0] - there / levels[1]
        noise = 1.25 * 1.48 * float(np.median(np.abs(scatter))) / np.sqrt(len(half))
        steps.append(difference if difference > 3 * noise else 0.0)
    return max(steps)


def _onto(wavelength: Floats, spectrum: Spectrum, ivar: Floats | None) -> tuple[Floats, Floats]:
    """Flux and weight of a spectrum at other wavelengths; weight 0 beside every unusable pixel."""
    use = _usable(spectrum)
    right = np.searchsorted(spectrum.wavelength, wavelength).clip(1, len(spectrum) - 1)
    exact = spectrum.wavelength[right] == wavelength
    good = use[right] & (use[right - 1] | exact)
    flux = np.interp(wavelength, spectrum.wavelength, np.where(use, spectrum.flux, 0.0))
    weight = (
        np.ones(len(wavelength))
        if ivar is None
        else np.interp(wavelength, spectrum.wavelength, ivar)
    )
    return flux, np.where(good, weight, 0.0)


def _pair(blue: Spectrum, red: Spectrum, *, weighted: bool) -> Spectrum:
    """Append the red piece to the blue one; pixels of the blue one stay where both have some."""
    end = blue.wavelength[-1]
    start = int(np.searchsorted(blue.wavelength, red.wavelength[0]))
    rest = slice(int(np.searchsorted(red.wavelength, end, side="right")), None)
    flux, use = np.array(blue.flux, dtype=np.float64), _usable(blue)
    ivar = np.array(blue.ivar, dtype=np.float64) if weighted and blue.ivar is not None else None
    wavelength = blue.wavelength[start:]
    if len(wavelength):
        other, there = _onto(wavelength, red, red.ivar if weighted else None)
        here = use[start:].astype(np.float64)
        if ivar is not None:
            here = np.where(use[start:], ivar[start:], 0.0)
        else:
            fade = (wavelength - red.wavelength[0]) / max(end - red.wavelength[0], 1e-9)
            there = there * np.maximum(fade, 1e-9)
            here = here * np.maximum(1.0 - fade, 1e-9)
        total = here + there
        some = total > 0
        own = np.where(here > 0, flux[start:], 0.0)
        flux[start:][some] = (here * own + there * other)[some] / total[some]
        use[start:] |= some
        if ivar is not None:
            ivar[start:] = total
    use = np.concatenate([use, _usable(red)[rest]])
    flux = np.concatenate([flux, red.flux[rest]])
    if blue.flux.dtype == red.flux.dtype == np.float32:
        flux = flux.astype(np.float32)
    return replace(
        blue,
        wavelength=np.concatenate([blue.wavelength, red.wavelength[rest]]),
        flux=flux,
        ivar=None if ivar is None or red.ivar is None else np.concatenate([ivar, red.ivar[rest]]),
        mask=None if use.all() else ~use,
    )


def _merged(joined: Spectrum, ordered: Sequence[Piece], note: str) -> Spectrum:
    """The joined spectrum, with headers and notes of all pieces, each once."""
    alike: dict[str, list[str]] = {}
    for piece in ordered:
        for text in piece.spectrum.meta["assumed"]:
            alike.setdefault(re.sub(r"[\d.]+", "", text), []).append(text)
    notes = [
        texts[0] if len(set(texts)) == 1 else f"{texts[0]}; alike in {len(texts) - 1} other pieces"
        for texts in alike.values()
    ]
    meta = {key: value for piece in reversed(ordered) for key, value in piece.spectrum.meta.items()}
    meta["assumed"] = notes
    return _noted(replace(joined, meta=meta), note)


def _noted(spectrum: Spectrum, note: str) -> Spectrum:
    assumed = [*spectrum.meta.get("assumed", []), f"several spectra: {note}"]
    return replace(spectrum, meta=spectrum.meta | {"assumed": assumed})


def _listed(pieces: Sequence[Piece]) -> str:
    shown = [str(piece) for piece in pieces]
    return ", ".join(shown if len(shown) <= 4 else [*shown[:2], "...", shown[-1]])


def _choices(pieces: Sequence[Piece]) -> str:
    """Say how to choose one of them, in Python and on the command line."""
    if not pieces[0].name.startswith("HDU "):
        return _listed(pieces)
    first = pieces[0].name.removeprefix("HDU ").split(" ")[0]
    return f'choose one, as in hdu="{first}" (--hdu {first}), of {_listed(pieces)}'
