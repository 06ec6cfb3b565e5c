"""Simulated spectra and archives: what `latentscope simulate` writes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, get_args

import numba
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.errors import LatentscopeError, LatentscopeWarning
from latentscope.files import atomic_path
from latentscope.simulation.files import file_name, write_spectrum
from latentscope.simulation.linelist import read_linelist
from latentscope.simulation.population import Observation, observe, spectral_type, star_of_each
from latentscope.simulation.synthesis import FIRST, LOG_STEP, Synthesizer, interpolate_nodes
from latentscope.spectra.spectrum import Spectrum

Layout = Literal["adp", "s1d"]
_START, _STEP, _LENGTH = 3781.19, 0.01, 313114  # the HARPS pipeline's S1D grid
_GAP = (5304.2, 5337.4)  # between the two CCDs, at rest with the observer


def synthesizer_of(linelist: str | os.PathLike[str] | None) -> Synthesizer:
    """Synthesizer with a line list; the last two are kept, since their templates take seconds."""
    return _synthesizer(None if linelist is None else os.fspath(linelist))


@lru_cache(maxsize=2)
def _synthesizer(linelist: str | None) -> Synthesizer:
    return Synthesizer(read_linelist(linelist))


def simulate(
    n: int,
    *,
    seed: int = 0,
    linelist: str | os.PathLike[str] | None = None,
    repeats: bool = True,
    first: int = 0,
) -> Iterator[tuple[Spectrum, dict[str, Any]]]:
    """Yield simulated HARPS-like spectra and their true labels, one after the other.

    Each spectrum lies on the HARPS pipeline's grid (3781.19-6912.32 Angstrom in air, barycentric
    frame, steps of 0.01 Angstrom), in relative flux with photon noise, the gap between the CCDs
    zero. The same seed gives the same spectra, whatever `n` and `first`.

    Parameters
    ----------
    n : int
        How many spectra the archive holds.
    seed : int
        Seed of stars, nights and noise.
    linelist : path, optional
        Line list file (see `read_linelist`); the built-in list by default.
    repeats : bool
        Whether some stars are observed several times.
    first : int
        Begin with this row of the archive.

    Yields
    ------
    Spectrum
        With `flux` of shape (313114,), float32.
    dict
        `id, object, radvel` (km/s), `Teff` (K), `logg, [M/H], [alpha/M], vsini` (km/s), `berv`
        (km/s), `airmass, snr, spec_type`.
    """
    stars = star_of_each(n, seed, repeats)
    synthesizer = synthesizer_of(linelist)
    for index in range(first, n):
        observation = observe(index, int(stars[index]), seed)
        yield _spectrum(synthesizer, observation, seed), labels_of(observation)


def labels_of(observation: Observation) -> dict[str, Any]:
    """Truth about one spectrum, as `labels.csv` holds it."""
    star, night = observation.star, observation.night
    return {
        "id": Path(file_name(observation.index, "adp")).stem,
        "object": f"SIM{observation.star_id:06d}",
        "radvel": round(star.rv, 4),
        "Teff": round(star.teff, 1),
        "logg": round(star.logg, 3),
        "[M/H]": round(star.metallicity, 3),
        "[alpha/M]": round(star.alpha, 3),
        "vsini": round(star.vsini, 2),
        "berv": round(night.berv, 4),
        "airmass": round(night.airmass, 3),
        "snr": round(observation.snr, 1),
        "spec_type": spectral_type(star.teff, star.logg),
    }


def _spectrum(synthesizer: Synthesizer, observation: Observation, seed: int) -> Spectrum:
    fine = fine_flux(synthesizer, observation)
    flux, start = _to_linear(fine, observation.night.berv)
    median = np.median(flux[flux > 0])
    flux *= np.float32(observation.flux_scale / median)
    noise = np.random.default_rng((seed, 3, observation.index))
    deviates = noise.standard_normal(_LENGTH, dtype=np.float32)
    gain = observation.flux_scale / observation.snr**2
    with np.errstate(divide="ignore"):
        ivar = np.where(flux > 0, 1 / (np.float32(gain) * flux), 0)
    add_noise(flux, deviates, gain)
    star = labels_of(observation)
    meta = {
        "format": "simulated",
        "object": star["object"],
        "star": star["object"],
        "snr": observation.snr,
        "airmass": observation.night.airmass,
        "linelist": synthesizer.lines.name,
    }
    wavelength = np.asarray(start + _STEP * np.arange(_LENGTH), dtype=np.float64)
    return Spectrum(wavelength, flux, ivar=ivar, berv=observation.night.berv, meta=meta)


def fine_flux(synthesizer: Synthesizer, observation: Observation) -> NDArray[np.float32]:
    """Noiseless flux through the instrument's response on the fine log grid, shape (262144,)."""
    flux = synthesizer.spectrum(observation.star, observation.night)
    return flux * interpolate_nodes(observation.response, len(flux))


def _to_linear(fine: NDArray[np.float32], berv: float) -> tuple[NDArray[np.float32], float]:
    low, high = (edge * (1.0 + berv / 299792.458) for edge in _GAP)
    gap = (int((low - _START) / _STEP), int((high - _START) / _STEP))
    return resample_log(fine, np.log(_START / FIRST), gap), _START


@numba.njit(cache=True, fastmath=True)
def resample_log(
    fine: NDArray[np.float32], offset: float, gap: tuple[int, int]
) -> NDArray[np.float32]:
    """Interpolate the fine log grid at the pixels of the linear grid; zero inside the gap."""
    out = np.empty(_LENGTH, np.float32)
    ratio = _STEP / _START
    for j in range(_LENGTH):
        position = (offset + np.log(1.0 + j * ratio)) / LOG_STEP
        k = min(int(position), len(fine) - 2)
        part = np.float32(position - k)
        out[j] = (np.float32(1) - part) * fine[k] + part * fine[k + 1]
    out[gap[0] : gap[1]] = 0.0
    return out


@numba.njit(cache=True, fastmath=True)
def add_noise(flux: NDArray[np.float32], deviates: NDArray[np.float32], gain: float) -> None:
    """Add photon noise in place: variance `gain` times the flux."""
    factor = np.float32(gain)
    for j in range(len(flux)):
        flux[j] += deviates[j] * np.sqrt(factor * flux[j])


def write_archive(
    folder: str | os.PathLike[str],
    n: int,
    *,
    seed: int = 0,
    layout: Layout = "adp",
    linelist: str | os.PathLike[str] | None = None,
    repeats: bool = True,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write `n` simulated spectra as FITS files and their truth as `labels.csv`.

    Parameters
    ----------
    folder : path
        Made if it is not there; files of the same name are replaced.
    n : int
        Number of spectra.
    seed : int
        The same seed gives the same files, whatever the number of workers.
    layout : {"adp", "s1d"}
        ESO phase-3 product (binary table, 5 MB) or HARPS pipeline S1D (image, 1.25 MB).
    linelist : path, optional
        Line list file; the built-in list by default.
    repeats : bool
        Whether some stars are observed several times.
    workers : int, optional
        Processes; as many as there are cores by default.
    progress : callable, optional
        Called with the number of files written so far.

    Returns
    -------
    Path
        Of `labels.csv`.

    Raises
    ------
    LatentscopeError
        If `n` or `layout` makes no sense; SpectrumError if the line list cannot be read.
    """
    if n < 1:
        raise LatentscopeError(f"n is {n}; wanted at least one spectrum")
    if layout not in get_args(Layout):
        raise LatentscopeError(f"layout is {layout!r}; wanted one of {', '.join(get_args(Layout))}")
    path = None if linelist is None else os.fspath(linelist)
    read_linelist(path)  # a bad list is an error here, not in a worker
    folder = Path(folder)
    target = folder / "labels.csv"
    _make_room(folder, target, {file_name(index, layout) for index in range(n)})
    jobs = [
        (folder, start, min(start + 16, n), n, seed, layout, path, repeats)
        for start in range(0, n, 16)
    ]
    rows: list[dict[str, Any]] = []
    for part in _run(jobs, min(workers or os.cpu_count() or 1, len(jobs))):
        rows.extend(part)
        if progress is not None:
            progress(len(rows))
    with atomic_path(target) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
    return target


def _make_room(folder: Path, labels: Path, names: set[str]) -> None:
    """Make the folder; old labels go first, so that they never lie beside new spectra."""
    folder.mkdir(parents=True, exist_ok=True)
    labels.unlink(missing_ok=True)
    others = {path.name for path in folder.glob("*.fits")} - names
    if others:
        warnings.warn(
            f"{folder} holds {len(others)} other FITS files, such as {min(others)}; labels.csv "
            "will not know them",
            LatentscopeWarning,
            stacklevel=3,
        )


def _run(jobs: list[tuple[Any, ...]], workers: int) -> Iterator[list[dict[str, Any]]]:
    if workers <= 1:
        yield from map(_write_block, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_write_block, jobs)


def _write_block(job: tuple[Any, ...]) -> list[dict[str, Any]]:
    folder, start, stop, n, seed, layout, linelist, repeats = job
    rows = []
    spectra = simulate(n, seed=seed, linelist=linelist, repeats=repeats, first=start)
    for index, (spectrum, labels) in zip(range(start, stop), spectra, strict=False):
        name = file_name(index, layout)
        labels["id"] = Path(name).stem
        write_spectrum(spectrum, folder / name, layout)
        rows.append(labels)
    return rows
