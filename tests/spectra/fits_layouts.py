"""Small FITS files in the layouts of archives and pipelines; flux = wavelength unless given."""

import io

import numpy as np
from astropy.io import fits

ANGSTROM_PER = {"Angstrom": 1.0, "angstrom": 1.0, "nm": 10.0, "um": 1e4, "micron": 1e4}


def as_bytes(*hdus):
    stream = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(stream, output_verify="ignore")
    return stream.getvalue()


def primary(data=None, **keywords):
    """Keywords such as ESO_DRS_BERV become HIERARCH ones."""
    hdu = fits.PrimaryHDU(data)
    put(hdu.header, keywords)
    return hdu


def put(header, keywords):
    for key, value in keywords.items():
        if key.startswith(("ESO_", "TNG_", "OHP_")):
            key = "HIERARCH " + key.replace("_", " ")
        header[key] = value


def linear_grid(n=500, start=5000.0, step=0.01):
    return start + step * np.arange(n)


def adp(
    wavelength=None,
    *,
    flux=None,
    err=None,
    qual=None,
    unit="Angstrom",
    rows=False,
    names=("WAVE", "FLUX", "ERR", "QUAL"),
    ucd="em.wl;obs.atmos",
    utype=None,
    **keywords,
):
    """An ESO phase-3 product: one row of array cells, or (rows=True) one row per pixel."""
    wavelength = linear_grid() if wavelength is None else np.asarray(wavelength, dtype=float)
    flux = wavelength.astype("f4") if flux is None else flux
    arrays = [wavelength / ANGSTROM_PER[unit], flux, err, qual]
    codes = ("D", "E", "E", "J")
    units = (unit, "adu", "adu", None)
    columns = []
    for name, array, code, column_unit in zip(names, arrays, codes, units, strict=True):
        if array is None:
            continue
        code = "D" if name == names[1] and np.asarray(array).dtype == np.float64 else code
        form, cells = (code, array) if rows else (f"{len(array)}{code}", [array])
        columns.append(fits.Column(name, form, unit=column_unit, array=cells))
    table = fits.BinTableHDU.from_columns(columns, name="SPECTRUM")
    if ucd:
        table.header["TUCD1"] = ucd
    if utype:
        table.header["TUTYP1"], table.header["TUTYP2"] = utype
    defaults = {"PRODCATG": "SCIENCE.SPECTRUM", "SPECSYS": "BARYCENT", "OBJECT": "HD 1"}
    return as_bytes(primary(**(defaults | keywords)), table)


def s1d_image(n=500, start=5000.0, step=0.01, observatory="ESO", flux=None, **keywords):
    """A merged spectrum of the old DRS."""
    flux = linear_grid(n, start, step).astype("f4") if flux is None else flux
    defaults = {
        "CRVAL1": start, "CDELT1": step, "CRPIX1": 1.0, "CTYPE1": "Angstrom",
        "BUNIT": "Relative Flux", "OBJECT": "Gl 1", f"{observatory}_DRS_BERV": -12.5,
    }  # fmt: skip
    return as_bytes(primary(flux, **(defaults | keywords)))


def s1d_table(n=500, **keywords):
    """A merged spectrum of the ESPRESSO pipeline, S1D_A."""
    vacuum = 5000.0 * np.exp(np.arange(n) * 5e-6)
    columns = [
        fits.Column("wavelength", "D", unit="angstrom", array=vacuum),
        fits.Column("wavelength_air", "D", unit="angstrom", array=vacuum - 1.4),
        fits.Column("flux", "D", unit="e-", array=vacuum),
        fits.Column("error", "D", unit="e-", array=np.full(n, 2.0)),
        fits.Column("quality", "J", array=(np.arange(n) % 7 == 0).astype(int)),
    ]
    defaults = {"OBJECT": "TAU CET", "ESO_QC_BERV": 3.25, "ESO_QC_CCF_RV": -16.6}
    return as_bytes(primary(**(defaults | keywords)), fits.BinTableHDU.from_columns(columns))


def image(data, **keywords):
    """Any image with any keywords."""
    return as_bytes(primary(np.asarray(data), **keywords))


def break_card(data, key, text):
    """Overwrite the value field of a card with `text`, as careless pipelines do."""
    start = data.index(key.encode())
    card = f"{key}={text}".ljust(80)[:80].encode()
    return data[:start] + card + data[start + 80 :]


def assert_flux_is_wavelength(spectrum, rtol=2e-7):
    np.testing.assert_allclose(spectrum.flux, spectrum.wavelength, rtol=rtol)
