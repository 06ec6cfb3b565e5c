"""Simulated spectra and archives: what `latentscope simulate` writes.

A noiseless spectrum on the fine grid becomes the pixels, the gap and the noise of the HARPS
pipeline, and a FITS file laid out as the ESO archive or the pipeline do.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics.mi.columns import Seed, whole_seed
from latentscope.errors import LatentscopeError, LatentscopeWarning
from latentscope.files import atomic_path, check_writable, expanded
from latentscope.simulation.atmosphere import SPEED_OF_LIGHT
from latentscope.simulation.imperfect import exposed, faults
from latentscope.simulation.lines import read_linelist
from latentscope.simulation.population import (
    FIRST,
    HARPS,
    Observation,
    Population,
    observe,
    spectral_type,
    star_of_each,
)
from latentscope.simulation.synthesis import LOG_STEP, Synthesizer, one_thread, synthesizer_of
from latentscope.spectra.spectrum import Spectrum

Layout = Literal["adp", "s1d"]
_START, _STEP, _LENGTH = 3781.19, 0.01, 313114  # the HARPS pipeline's S1D grid, Angstrom
_GAP = (5304.2, 5337.4)  # between the two CCDs, at rest with the observer
_FIRST_NIGHT = datetime(2025, 1, 1)
_BLOCK = 16  # files that a worker writes before it reports


def simulate(
    n: int,
    *,
    seed: Seed = 0,
    linelist: str | os.PathLike[str] | None = None,
    repeats: bool = True,
    first: int = 0,
    population: Population = HARPS,
) -> Iterator[tuple[Spectrum, dict[str, Any]]]:
    """Yield simulated HARPS-like spectra and their true labels, one after the other.

    Each spectrum lies on the HARPS pipeline's grid (3781.19-6912.32 Angstrom in air, barycentric
    frame, steps of 0.01 Angstrom), in relative flux with photon noise, the gap between the CCDs
    zero. The same seed gives the same spectra, whatever `n` and `first`.

    Parameters
    ----------
    n : int
        Number of spectra in the archive.
    seed : int or Generator
        Seed of stars, nights and noise.
    linelist : path, optional
        Line list file (see `read_linelist`); the package's atomic lines by default.
    repeats : bool
        Whether some stars are observed several times.
    first : int
        Begin with this row of the archive.
    population : Population
        Which stars and instruments, and whether with faults; those of HARPS, without, by default.

    Yields
    ------
    Spectrum
        With `flux` of shape (313114,), float32.
    dict
        `id, object, radvel` (km/s), `Teff` (K), `logg, [M/H], [alpha/M], [C/M], vsini` (km/s),
        `vmacro` (km/s), `berv` (km/s), `airmass, snr, R` (resolving power), `spec_type`.

    Examples
    --------
    >>> spectrum, truth = next(simulate(1))
    >>> len(spectrum), spectrum.medium, truth["Teff"] > 2500
    (313114, 'air', True)
    """
    seed = whole_seed(seed)
    stars = star_of_each(n, seed, repeats)
    synthesizer = synthesizer_of(linelist)
    for index in range(first, n):
        observation = observe(index, int(stars[index]), seed, population)
        if population.imperfect:
            rng = np.random.default_rng((seed, 4, index))
            lines, physics, seen = faults(synthesizer.lines, observation, rng)
            spectrum = _spectrum(Synthesizer(lines, physics=physics), seen, seed)
            yield exposed(spectrum, seen, rng), labels_of(observation)
        else:
            yield _spectrum(synthesizer, observation, seed), labels_of(observation)


def labels_of(observation: Observation) -> dict[str, Any]:
    """Truth about one spectrum, as in `labels.csv`."""
    star, night = observation.star, observation.night
    return {
        "id": Path(file_name(observation.index, "adp")).stem,
        "object": f"SIM{observation.star_id:06d}",
        "radvel": round(star.rv, 4),
        "Teff": round(star.teff, 1),
        "logg": round(star.logg, 3),
        "[M/H]": round(star.metallicity, 3),
        "[alpha/M]": round(star.alpha, 3),
        "[C/M]": round(star.carbon, 3),
        "vsini": round(star.vsini, 2),
        "vmacro": round(star.macroturbulence, 2),
        "berv": round(night.berv, 4),
        "airmass": round(night.airmass, 3),
        "snr": round(observation.snr, 1),
        "R": round(night.resolution),
        "spec_type": spectral_type(star.teff, star.logg),
    }


def _spectrum(synthesizer: Synthesizer, observation: Observation, seed: int) -> Spectrum:
    berv = observation.night.berv
    # One star at a time: on a CPU a block is no faster, and callers take spectra one by one.
    with one_thread():
        fine = synthesizer.flux([observation])[0].numpy()
    left, part = _pipeline_pixels()
    flux = (1 - part) * fine[left] + part * fine[left + 1]
    low, high = (edge * (1.0 + berv / SPEED_OF_LIGHT) for edge in _GAP)
    flux[int((low - _START) / _STEP) : int((high - _START) / _STEP)] = 0.0
    flux *= np.float32(observation.flux_scale / np.median(flux[flux > 0]))
    # The stream of noise is numpy's and drawn on the file's pixels, so that an archive is the same
    # on every machine.
    noise = np.random.default_rng((seed, 3, observation.index))
    deviates = noise.standard_normal(_LENGTH, dtype=np.float32)
    variance = np.float32(observation.flux_scale / observation.snr**2) * flux
    with np.errstate(divide="ignore"):
        ivar = np.where(flux > 0, 1 / variance, 0)
    flux += deviates * np.sqrt(variance)
    star = labels_of(observation)["object"]
    meta = {
        "format": "simulated",
        "object": star,
        "star": star,
        "snr": observation.snr,
        "airmass": observation.night.airmass,
        "linelist": synthesizer.lines.name,
    }
    wavelength = np.asarray(_START + _STEP * np.arange(_LENGTH), dtype=np.float64)
    return Spectrum(wavelength, flux, ivar=ivar, berv=berv, meta=meta)


@lru_cache(maxsize=1)
def _pipeline_pixels() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pixel of the fine grid left of each of a file's pixels, and how far it lies to the right."""
    position = (np.log(_START / FIRST) + np.log1p(np.arange(_LENGTH) * (_STEP / _START))) / LOG_STEP
    left = position.astype(np.int64)
    return left, (position - left).astype(np.float32)


def file_name(index: int, layout: str) -> str:
    """File name of row `index`: `ADP.<time>.fits`, or `HARPS.<time>_s1d_A.fits`.

    The time is invented, one exposure every 20 minutes.
    """
    time = (_FIRST_NIGHT + timedelta(minutes=20 * index)).isoformat(timespec="milliseconds")
    return f"ADP.{time}.fits" if layout == "adp" else f"HARPS.{time}_s1d_A.fits"


def write_spectrum(spectrum: Spectrum, path: Path, layout: str) -> None:
    """Write a spectrum on an equidistant grid in air, barycentric frame, whole or not at all.

    "adp" is a binary table with one row of array cells WAVE, FLUX, ERR; "s1d" an image.
    """
    from astropy.io import fits

    wavelength, flux = spectrum.wavelength, spectrum.flux
    header = fits.Header()
    header["TELESCOP"] = "SIMULATED"
    header["INSTRUME"] = "HARPS"
    header["OBJECT"] = spectrum.meta["object"]
    header["SNR"] = round(spectrum.meta["snr"], 2)
    header["ORIGIN"] = ("latentscope", "simulated, not observed")
    header["LINELIST"] = spectrum.meta["linelist"][:60]
    header["HIERARCH ESO OBS TARG NAME"] = spectrum.meta["object"]
    header["HIERARCH ESO DRS BERV"] = (spectrum.berv, "km/s")
    header["HIERARCH ESO TEL AIRM START"] = spectrum.meta["airmass"]
    header["HIERARCH ESO TEL AIRM END"] = spectrum.meta["airmass"]
    if layout == "s1d":
        step = float(wavelength[-1] - wavelength[0]) / (len(wavelength) - 1)
        header["CRPIX1"], header["CRVAL1"], header["CDELT1"] = 1.0, wavelength[0], round(step, 8)
        header["CTYPE1"], header["BUNIT"] = "Angstrom", "Relative Flux"
        hdus = fits.HDUList([fits.PrimaryHDU(flux.astype(">f4"), header)])
    else:
        header["SPECSYS"] = "BARYCENT"
        hdus = fits.HDUList([fits.PrimaryHDU(header=header), _table(spectrum)])
    with atomic_path(path) as temporary:
        hdus.writeto(temporary)


def _table(spectrum: Spectrum) -> Any:
    from astropy.io import fits

    assert spectrum.ivar is not None
    with np.errstate(divide="ignore"):
        error = np.where(spectrum.ivar > 0, 1 / np.sqrt(spectrum.ivar), 0)
    n = len(spectrum)
    # Big-endian as FITS has it: astropy swaps the bytes of native columns one cell at a time.
    row = np.empty(1, [("WAVE", ">f8", (n,)), ("FLUX", ">f4", (n,)), ("ERR", ">f4", (n,))])
    row["WAVE"], row["FLUX"], row["ERR"] = spectrum.wavelength, spectrum.flux, error
    table = fits.BinTableHDU(row.view(fits.FITS_rec), name="SPECTRUM")
    for number, unit in enumerate(("Angstrom", "adu", "adu"), start=1):
        table.header[f"TUNIT{number}"] = unit
    # The archive's way of saying that the wavelengths are in air.
    table.header["TUCD1"] = "em.wl;obs.atmos"
    return table


def write_archive(
    folder: str | os.PathLike[str],
    n: int,
    *,
    seed: Seed = 0,
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
    seed : int or Generator
        The same seed gives the same files, whatever the number of workers.
    layout : {"adp", "s1d"}
        ESO phase-3 product (binary table, 5 MB) or HARPS pipeline S1D (image, 1.25 MB).
    linelist : path, optional
        Line list file; the package's atomic lines by default.
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
        raise LatentscopeError(f"n is {n}; expected at least one spectrum")
    if layout not in get_args(Layout):
        raise LatentscopeError(
            f"layout is {layout!r}; expected one of {', '.join(get_args(Layout))}"
        )
    seed = whole_seed(seed)
    path = None if linelist is None else os.fspath(expanded(linelist))
    read_linelist(path)  # a bad list is an error here, not in a worker
    folder = expanded(folder)
    target = folder / "labels.csv"
    _make_room(folder, target, {file_name(index, layout) for index in range(n)})
    jobs = [
        (folder, start, min(start + _BLOCK, n), n, seed, layout, path, repeats)
        for start in range(0, n, _BLOCK)
    ]
    rows: list[dict[str, Any]] = []
    for part in _run(jobs, min(workers or os.cpu_count() or 1, len(jobs))):
        rows.extend(part)
        if progress is not None:
            progress(len(rows))
    with atomic_path(target) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
    return target


def _make_room(folder: Path, labels: Path, spectra: set[str]) -> None:
    """Make the folder; old labels go first, so that they never lie beside new spectra."""
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(labels)
    if labels.exists():
        with labels.open(encoding="utf-8", errors="replace") as stream:
            names = stream.readline(1000).strip().split(",")
        if names[:4] != ["id", "object", "radvel", "Teff"]:
            raise LatentscopeError(
                f"{labels} is there, which simulate did not write; name another folder (-o)"
            )
        labels.unlink()
    others = {path.name for path in folder.glob("*.fits")} - spectra
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
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
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
