"""Text, .npy, arrays, Quantities and specutils objects; flux = wavelength."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.table import Table
from astropy.wcs import WCS

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum
from tests.spectra import fits_layouts as layouts

WAVELENGTH = 5000.0 + 0.25 * np.arange(40)


def lines(mark, *columns):
    return "\n".join(
        mark.join(f"{value:.17g}" for value in row) for row in zip(*columns, strict=True)
    )


def check(spectrum, medium="air", rtol=1e-15):
    np.testing.assert_allclose(spectrum.wavelength, WAVELENGTH, rtol=rtol)
    np.testing.assert_allclose(spectrum.flux, WAVELENGTH, rtol=rtol)
    assert spectrum.medium == medium


@pytest.mark.parametrize("mark", [",", ";", "\t", " ", "   ", ", "])
@pytest.mark.parametrize(
    "head", ["", "# wavelength flux\n", "wavelength{}flux\n", "# made by x\n\n"]
)
def test_text_columns(mark, head):
    indent = "" if mark.strip() or mark == "\t" else "  "
    body = lines(mark, WAVELENGTH, WAVELENGTH).replace("\n", f"\n{indent}")
    text = head.format(mark) + indent + body + "\n\n"
    spectrum = read_spectrum(text.encode())
    check(spectrum)
    assert spectrum.meta["format"] == ("csv" if mark.strip() or mark == "\t" else "text")
    noted = any("no names" in note for note in spectrum.meta["assumed"])
    assert noted == ("flux" not in head)


def test_csv_columns_by_name_wherever_they_are(tmp_path):
    path = tmp_path / "star.csv"
    error = np.full(40, 0.5)
    path.write_text(
        '"",err,Flux (erg),"wavelength_vac [nm]"\n'
        + lines(",", np.arange(40), error, WAVELENGTH, WAVELENGTH / 10)
    )
    spectrum = read_spectrum(path)
    check(spectrum, "vacuum")
    np.testing.assert_array_equal(spectrum.ivar, 4.0)
    assert spectrum.meta["flux_unit"] == "erg"


def test_third_column_without_a_name_is_the_error():
    spectrum = read_spectrum(lines(" ", WAVELENGTH, WAVELENGTH, np.full(40, 2.0)).encode())
    np.testing.assert_array_equal(spectrum.ivar, 0.25)


@pytest.mark.parametrize(("scale", "name"), [(10.0, "nm"), (1e4, "micron")])
def test_unit_by_the_size_of_the_numbers(scale, name):
    spectrum = read_spectrum(lines(" ", WAVELENGTH / scale, WAVELENGTH).encode())
    check(spectrum)
    assert any(f"wavelength unit: {name}" in note for note in spectrum.meta["assumed"])


def test_missing_values_are_nan():
    text = lines(",", WAVELENGTH, WAVELENGTH).splitlines()
    text[3] = f"{WAVELENGTH[3]},"
    text[4] = f"{WAVELENGTH[4]},nan"
    spectrum = read_spectrum("\n".join(text).encode())
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(spectrum.flux)), [3, 4])


@pytest.mark.parametrize("mark", [" ", ","])
def test_fortran_writes_d_for_the_exponent(mark):
    text = lines(mark, WAVELENGTH / 1000, WAVELENGTH / 1000).replace(mark, f"D+03{mark}")
    text = text.replace("\n", "d3\n") + "D3\n"
    check(read_spectrum(f"wavelength{mark}flux\n{text}".encode()), rtol=1e-13)


def test_integers_and_open_text_files():
    text = "\n".join(f"{value} {value}" for value in range(5000, 5040))
    spectrum = read_spectrum(io.StringIO(text))
    np.testing.assert_array_equal(spectrum.flux, np.arange(5000.0, 5040.0))
    assert spectrum.flux.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("just some words\nand more\n", "without a line of numbers"),
        ("1\n2\n3\n", "without a line of numbers"),
        ("5000 1\n5001 2\nThe end of it\n", "after line"),
        ("5000 1\n5001 two\n", "not all values are numbers"),
        ("# %ECSV 1.0\n# ---\n# datatype: [\n", "ecsv"),
    ],
)
def test_text_that_is_no_spectrum(text, words):
    with pytest.raises(SpectrumError, match=words):
        read_spectrum(text.encode())


def test_ecsv_with_units_and_keywords():
    table = Table(
        {"wave": WAVELENGTH / 10 * units.nm, "flux": WAVELENGTH, "qual": np.arange(40) == 2}
    )
    table.meta = {"OBJECT": "HD 2", "specsys": "TOPOCENT", "BERV": 4.5}
    stream = io.StringIO()
    table.write(stream, format="ascii.ecsv")
    spectrum = read_spectrum(stream.getvalue().encode())
    check(spectrum)
    assert spectrum.meta["object"] == "HD 2"
    assert (spectrum.frame, spectrum.berv) == ("topocentric", 4.5)
    np.testing.assert_array_equal(np.flatnonzero(spectrum.mask), [2])


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def test_npy_in_every_orientation():
    pair = np.stack([WAVELENGTH, WAVELENGTH])
    named = np.zeros(40, dtype=[("flux", "f8"), ("wavelength_air", "f8")])
    named["flux"] = named["wavelength_air"] = WAVELENGTH
    for array in (pair, pair.T, named):
        check(read_spectrum(npy(array)))
        check(read_spectrum(array))


@pytest.mark.parametrize("array", [np.ones(5), np.ones((4, 5)), np.array([{}, {}], dtype=object)])
def test_npy_that_is_no_spectrum(array):
    with pytest.raises(SpectrumError, match=r"\.npy|npy:"):
        read_spectrum(npy(array))


def test_pairs_of_arrays_and_quantities():
    check(read_spectrum((WAVELENGTH, WAVELENGTH)))
    check(read_spectrum([list(WAVELENGTH), list(WAVELENGTH)]))
    check(read_spectrum((WAVELENGTH / 10 * units.nm, WAVELENGTH * units.Jy)))
    single = read_spectrum((WAVELENGTH, WAVELENGTH.astype("f4")))
    assert single.flux.dtype == np.float32
    frequency = (WAVELENGTH * units.AA).to(units.Hz, equivalencies=units.spectral())
    spectrum = read_spectrum((frequency[::-1], WAVELENGTH[::-1] * units.Jy))
    check(spectrum, medium="vacuum", rtol=1e-13)


def test_the_arrays_given_stay_as_they_were():
    wavelength, flux = WAVELENGTH[::-1].copy(), WAVELENGTH[::-1].copy()
    read_spectrum((wavelength, flux))
    np.testing.assert_array_equal(wavelength, WAVELENGTH[::-1])
    np.testing.assert_array_equal(flux, WAVELENGTH[::-1])


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((WAVELENGTH, WAVELENGTH[:-1]), "one number per wavelength"),
        ((WAVELENGTH * units.kg, WAVELENGTH), "kg; expected a length"),
        ((["a", "b"], [1.0, 2.0]), "expected numbers"),
        ((np.r_[WAVELENGTH, 1.0, 2.0], np.r_[WAVELENGTH, 1.0, 2.0]), "ascend"),
        ((np.zeros(5), np.ones(5)), "middle is 0"),
        (([5000.0], [1.0]), "at least 2"),
    ],
)
def test_pairs_that_do_not_fit(pair, words):
    with pytest.raises(SpectrumError, match=words):
        read_spectrum(pair)


def test_specutils_objects():
    specutils = pytest.importorskip("specutils")
    sigma = np.full(40, 0.5)
    for uncertainty in (StdDevUncertainty(sigma), VarianceUncertainty(sigma**2),
                        InverseVariance(sigma**-2)):  # fmt: skip
        source = specutils.Spectrum(
            spectral_axis=WAVELENGTH / 10 * units.nm,
            flux=WAVELENGTH * units.Jy,
            uncertainty=uncertainty,
            mask=np.arange(40) == 5,
            meta={"header": {"OBJECT": "HD 3", "SPECSYS": "BARYCENT"}, "origin": object()},
        )
        spectrum = read_spectrum(source)
        check(spectrum)
        np.testing.assert_allclose(spectrum.ivar, 4.0)
        np.testing.assert_array_equal(np.flatnonzero(spectrum.mask), [5])
        assert spectrum.meta["object"] == "HD 3"
    two = specutils.Spectrum(spectral_axis=WAVELENGTH * units.AA, flux=np.ones((2, 40)) * units.Jy)
    for source in (two, specutils.SpectrumList([two])):
        with pytest.raises(SpectrumError):
            read_spectrum(source)


@pytest.mark.parametrize(
    ("kind", "drs", "medium"),
    [("WAVE", {}, "vacuum"), ("AWAV", {}, "air"), ("WAVE", {"ESO DRS BERV": 1.0}, "air")],
)
def test_specutils_objects_are_of_the_medium_of_their_axis(kind, drs, medium):
    specutils = pytest.importorskip("specutils")
    axis = {"CTYPE1": kind, "CUNIT1": "Angstrom", "CRVAL1": 5000.0, "CDELT1": 0.25, "CRPIX1": 1.0}
    source = specutils.Spectrum(
        flux=WAVELENGTH * units.Jy, wcs=WCS(fits.Header(axis)), meta={"header": axis | drs}
    )
    check(read_spectrum(source), medium=medium, rtol=1e-12)


def test_reading_leaves_the_filters_of_warnings_alone(monkeypatch):
    def changed(*args, **kwargs):
        raise AssertionError("filters belong to the process, and readers run in threads")

    wavelength = WAVELENGTH.astype("f4")
    tiles = fits.CompImageHDU(wavelength, compression_type="GZIP_1", quantize_level=0)
    layouts.put(tiles.header, {"CRVAL1": 5000.0, "CDELT1": 0.25, "CUNIT1": "Angstrom"})
    packed = layouts.as_bytes(fits.PrimaryHDU(), tiles)
    with fits.open(io.BytesIO(packed)) as hdulist:
        monkeypatch.setattr("warnings.catch_warnings.__enter__", changed)
        check(read_spectrum(hdulist))
        check(read_spectrum(packed))


@pytest.mark.parametrize("name", ["Spectrum", "Spectrum1D"])
def test_unknown_layouts_go_to_specutils_of_either_generation(name, monkeypatch):
    class Reader:
        spectral_axis = WAVELENGTH * units.AA
        flux = WAVELENGTH * units.Jy

        @classmethod
        def read(cls, path):
            assert path.is_file()
            return cls()

    monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
    monkeypatch.setitem(sys.modules, "specutils", SimpleNamespace(**{name: Reader}))
    spectrum = read_spectrum(layouts.image(WAVELENGTH))
    check(spectrum)
    assert "read by specutils" in spectrum.meta["assumed"]


def test_a_shortage_of_memory_is_not_the_files_fault(tmp_path, monkeypatch):
    import latentscope.spectra.read as reading

    file = tmp_path / "spectrum.fits"
    fits.PrimaryHDU(np.ones(100, np.float32)).writeto(file)

    def short(data):
        raise MemoryError

    monkeypatch.setattr(reading, "read_hdus", short)
    with pytest.raises(MemoryError):
        read_spectrum(file)
    # But no honest file asks for a petabyte.
    monkeypatch.setattr(reading, "read_hdus", lambda data: np.empty(10**15, np.uint8))
    with pytest.raises(SpectrumError, match="its content contradicts its header"):
        read_spectrum(file)
