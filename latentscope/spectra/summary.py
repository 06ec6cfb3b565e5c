"""A spectrum in a few numbers, as ``latentscope inspect`` shows them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.oxygen import frame_doubt, oxygen_seen
from latentscope.spectra.prepare import PrepareConfig, prepare
from latentscope.spectra.spectrum import Spectrum

Sampling = Literal["linear", "log", "irregular"]

_FROM_META = ("object", "star", "archive_id", "instrument", "date_obs", "airmass", "snr")


def summarize(spectrum: Spectrum, config: PrepareConfig | None = None) -> dict[str, Any]:
    """Summarize a spectrum in plain JSON values, in the order in which they are to be shown.

    Returns
    -------
    dict
        `file`, `format`, `medium`, `frame`; `first`, `last` and `step` (the median one) in
        Angstrom, `sampling` ("linear", "log" or "irregular"), `pixels`; `finite`, the fraction of
        pixels with a finite flux that is not masked; `flux_median` in `flux_unit`; `coverage`,
        the fraction of the grid of a model with the preparation `config` that is filled (0 where
        that fails, and then `coverage_error` says why); `rv`, `rv_keyword` and `berv` in km/s,
        receding positive; `object`, `star`, `archive_id`, `instrument`, `date_obs`, `airmass`,
        `snr`; `assumed`, a list of what the file did not say. Unknown values are None.
    """
    meta = spectrum.meta
    usable = np.isfinite(spectrum.flux)
    if spectrum.mask is not None:
        usable &= ~spectrum.mask
    sampling, step = _sampling(spectrum.wavelength)
    coverage, trouble, notes = _coverage(spectrum, config)
    doubt = frame_doubt(spectrum, oxygen_seen(spectrum).velocity)
    return {
        "file": meta.get("file"),
        "format": meta.get("format"),
        "medium": spectrum.medium,
        "frame": spectrum.frame,
        "first": float(spectrum.wavelength[0]),
        "last": float(spectrum.wavelength[-1]),
        "step": step,
        "sampling": sampling,
        "pixels": len(spectrum),
        "finite": float(usable.mean()),
        "flux_median": float(np.median(spectrum.flux[usable])) if usable.any() else None,
        "flux_unit": meta.get("flux_unit"),
        "coverage": coverage,
        "coverage_error": trouble,
        "rv": spectrum.rv,
        "rv_keyword": meta.get("rv_keyword"),
        "berv": spectrum.berv,
        **{key: meta.get(key) for key in _FROM_META},
        "assumed": [*meta.get("assumed", []), *filter(None, [doubt]), *notes],
    }


def _sampling(wavelength: NDArray[np.float64]) -> tuple[Sampling, float]:
    """Tell how the pixels are spaced, and their median step in Angstrom."""
    # Tables may hold rounded wavelengths, so that equal steps are equal to 1e-4.
    steps = np.diff(wavelength)
    step = float(np.median(steps))
    if np.ptp(steps) < 1e-4 * step:
        return "linear", step
    logarithmic = np.diff(np.log(wavelength))
    if np.ptp(logarithmic) < 1e-4 * float(np.median(logarithmic)):
        return "log", step
    return "irregular", step


def _coverage(
    spectrum: Spectrum, config: PrepareConfig | None
) -> tuple[float | None, str | None, tuple[str, ...]]:
    """Coverage of the model's grid, why there is none, and notes of the preparation."""
    if config is None:
        return None, None, ()
    try:
        prepared = prepare(spectrum, config)
    except SpectrumError as error:
        return 0.0, str(error), ()
    return float(prepared.coverage), None, prepared.notes
