"""FITS files of simulated spectra, laid out as the ESO archive and the HARPS pipeline do."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from latentscope.files import atomic_path
from latentscope.spectra.spectrum import Spectrum

_FIRST_NIGHT = datetime(2025, 1, 1)


def observation_time(index: int) -> str:
    """Invented time of the exposure in row `index`, one every 20 minutes; unique per row."""
    return (_FIRST_NIGHT + timedelta(minutes=20 * index)).isoformat(timespec="milliseconds")


def file_name(index: int, layout: str) -> str:
    """File name of row `index`: `ADP.<time>.fits`, or `HARPS.<time>_s1d_A.fits`."""
    time = observation_time(index)
    return f"ADP.{time}.fits" if layout == "adp" else f"HARPS.{time}_s1d_A.fits"


def write_spectrum(spectrum: Spectrum, path: Path, layout: str) -> None:
    """Write a spectrum of the simulated archive in one of its two layouts.

    Parameters
    ----------
    spectrum : Spectrum
        On an equidistant grid in air, barycentric frame.
    path : Path
        The file; written whole or not at all.
    layout : {"adp", "s1d"}
        Binary table with one row of array cells WAVE, FLUX, ERR; or a one-dimensional image.
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
    # Big-endian as FITS wants it: astropy swaps the bytes of native columns one cell at a time.
    row = np.empty(1, [("WAVE", ">f8", (n,)), ("FLUX", ">f4", (n,)), ("ERR", ">f4", (n,))])
    row["WAVE"], row["FLUX"], row["ERR"] = spectrum.wavelength, spectrum.flux, error
    table = fits.BinTableHDU(row.view(fits.FITS_rec), name="SPECTRUM")
    for number, unit in enumerate(("Angstrom", "adu", "adu"), start=1):
        table.header[f"TUNIT{number}"] = unit
    # The archive's way of saying that the wavelengths are in air.
    table.header["TUCD1"] = "em.wl;obs.atmos"
    return table
