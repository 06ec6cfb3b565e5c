"""Read a file of the corpus and say whether the answer is right, refused or wrong."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from latentscope.errors import SpectrumError
from latentscope.spectra.prepare import resample
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid
from tests.spectra.instruments import Layout, Truth


def verdict(layout: Layout, folder: Path) -> tuple[str, list[str]]:
    """Read a layout's file; "right", "refused" or "wrong", and what is wrong with the answer.

    A refusal of what should be read is "refused", with a problem where the truth does not allow it.
    """
    data, truth = layout.build()
    path = folder / f"{re.sub(r'[^A-Za-z0-9]+', '_', layout.name)}{layout.suffix}"
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # astropy's, which an optional reader may stumble upon
            spectrum = read_spectrum(path, **truth.options)
    except SpectrumError as error:
        message = str(error)
        expected = truth.refused if truth.refused is not None else truth.or_refused
        if expected is None:
            return "refused", [f"refused: {message}"]
        problems = [f"no word of {word!r} in {message!r}" for word in expected
                    if not _mentions(message.replace(str(path), ""), word)]  # fmt: skip
        if not message.startswith(str(path)):
            problems.append(f"without the file's name: {message}")
        return "refused", problems
    if truth.refused is not None:
        first, last = spectrum.wavelength[[0, -1]]
        return "wrong", [f"read as {len(spectrum)} pixels from {first:.6g} to {last:.6g}"]
    problems = list(_differences(spectrum, truth))
    return ("wrong" if problems else "right"), problems


def whole(path: Path) -> bool:
    """Whether the flux is the wavelength still, wherever it counts."""
    spectrum = read_spectrum(path)
    counts = _counts(spectrum)
    return np.allclose(spectrum.flux[counts], spectrum.wavelength[counts], rtol=1e-6)


def _counts(spectrum: Spectrum) -> np.ndarray:
    counts = np.isfinite(spectrum.flux)
    if spectrum.mask is not None:
        counts &= ~spectrum.mask
    if spectrum.ivar is not None:
        counts &= np.asarray(spectrum.ivar) > 0
    return counts


def _mentions(text: str, alternatives: str) -> bool:
    return any(word.lower() in text.lower() for word in alternatives.split("|"))


def _differences(spectrum: Spectrum, truth: Truth) -> Iterator[str]:
    notes = "; ".join(spectrum.meta["assumed"])
    wavelength, expected = spectrum.wavelength, np.asarray(truth.wavelength)
    if truth.joined:
        yield from _differences_of_joined(wavelength, expected)
    elif len(wavelength) != len(expected):
        yield f"{len(wavelength)} pixels, {wavelength[0]:.8g} to {wavelength[-1]:.8g}; {notes}"
        return
    elif not np.allclose(wavelength, expected, rtol=1e-6, atol=0):
        worst = float(np.max(np.abs(wavelength / expected - 1)))
        yield f"wavelengths off by {worst:.2g}, {wavelength[0]:.8g} for {expected[0]:.8g}"
        return
    if truth.medium not in (None, spectrum.medium):
        yield f"medium {spectrum.medium}, expected {truth.medium} ({notes})"
    if truth.frame and spectrum.frame not in truth.frame.split("|"):
        yield f"frame {spectrum.frame}, expected {truth.frame} ({notes})"
    if truth.berv is not None and spectrum.berv != truth.berv:
        yield f"berv {spectrum.berv}, expected {truth.berv}"
    if spectrum.rv != truth.rv and spectrum.frame != "rest":
        yield f"rv {spectrum.rv}, expected {truth.rv}"
    counts = _counts(spectrum)
    bad = np.asarray(truth.bad, dtype=float)
    flagged = np.zeros(len(wavelength), dtype=bool)
    if len(bad):
        flagged = np.min(np.abs(wavelength[:, None] / bad - 1), axis=1) < 1e-8
    if (counts & flagged).any():
        yield f"{np.count_nonzero(counts & flagged)} flagged pixels count"
    lost = np.count_nonzero(~counts & ~flagged)
    if lost > len(bad):  # of overlapping parts each may flag some
        yield f"{lost} of {len(counts)} good pixels do not count"
    good = counts & ~flagged
    flux = spectrum.flux[good] / truth.scale
    if not np.allclose(flux, wavelength[good], rtol=1e-6):
        at = int(np.argmax(np.abs(flux / wavelength[good] - 1)))
        yield f"flux {flux[at]:.8g} at {wavelength[good][at]:.8g}"
    yield from _differences_on_a_grid(spectrum, truth)
    if spectrum.mask is not None or spectrum.ivar is not None:
        yield from _differences_of_errors(spectrum, truth, good, notes)
    elif truth.error is not None and not (truth.error_or_note and _mentions(notes, "error")):
        yield f"no errors, and no word of them ({notes})"
    yield from (f"no word of {word!r} in {notes!r}" for word in truth.assumed
                if not _mentions(notes, word))  # fmt: skip


def _differences_on_a_grid(spectrum: Spectrum, truth: Truth) -> Iterator[str]:
    """What a model would see: values of pixels that do not count must not leak into it."""
    wavelength = spectrum.wavelength
    step = 2.5 * float(np.median(np.diff(wavelength)))
    length = int((wavelength[-1] - wavelength[0]) / step) - 2
    grid = Grid("linear", wavelength[0] + step, step, length, 0, 0, spectrum.medium, spectrum.frame)
    flux, valid, _ = resample(spectrum, grid)
    distance = np.abs(flux / truth.scale - grid.wavelength)[valid]
    widest = float(np.max(np.diff(wavelength)[np.diff(wavelength) < 10 * step], initial=step))
    expected = 0.5 * np.count_nonzero(_counts(spectrum)) / 2.5
    if len(distance) < expected or distance.max(initial=0) > max(step, widest):
        worst = distance.max(initial=0)
        yield f"on a grid {len(distance)} of {length} pixels, off by up to {worst:.4g}"


def _differences_of_joined(wavelength: np.ndarray, expected: np.ndarray) -> Iterator[str]:
    """Parts may be joined on other pixels than theirs: over the same range, and as fine."""
    ends = np.array([wavelength[0], wavelength[-1]])
    if not np.allclose(ends, [expected[0], expected[-1]], rtol=1e-6):
        yield f"{ends[0]:.8g} to {ends[1]:.8g}, expected {expected[0]:.8g} to {expected[-1]:.8g}"
    right = np.searchsorted(wavelength, expected).clip(1, len(wavelength) - 1)
    distance = np.minimum(expected - wavelength[right - 1], wavelength[right] - expected)
    lonely = np.abs(distance) > np.maximum(1.3e-5 * expected, 0.05)
    if lonely.any():
        yield f"{np.count_nonzero(lonely)} pixels of the file have no neighbor"


def _differences_of_errors(
    spectrum: Spectrum, truth: Truth, good: np.ndarray, notes: str
) -> Iterator[str]:
    if truth.error is None or truth.joined:
        return
    if spectrum.ivar is None:
        if not (truth.error_or_note and _mentions(notes, "error")):
            yield f"no errors, and no word of them ({notes})"
        return
    expected = np.broadcast_to(np.asarray(truth.error, dtype=float) ** -2.0, good.shape)[good]
    found = np.asarray(spectrum.ivar)[good]
    if not np.allclose(found / expected, 1.0, rtol=1e-5):
        yield f"ivar {np.median(found):.6g}, expected {np.median(expected):.6g}"
