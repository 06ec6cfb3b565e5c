"""npy, npz, HDF5 and Parquet: arrays by name, groups by key, rows by number."""

import io
import sys

import numpy as np
import pandas as pd
import pytest

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum

N = 100
WAVELENGTH = 5000.0 + 0.25 * np.arange(N)
ZEROS = np.zeros(N)
PAIR = np.stack([WAVELENGTH, WAVELENGTH])


def npz(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def hdf5(**arrays):
    h5py = pytest.importorskip("h5py")
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
        file.attrs["OBJECT"] = "HD 5"
        file.attrs["SPECSYS"] = "TOPOCENT"
    return stream.getvalue()


def parquet(frame):
    pytest.importorskip("pyarrow")
    stream = io.BytesIO()
    frame.to_parquet(stream)
    return stream.getvalue()


def check(spectrum):
    np.testing.assert_allclose(spectrum.wavelength, WAVELENGTH, rtol=1e-14)
    np.testing.assert_array_equal(spectrum.flux, WAVELENGTH)


FIELDS = np.rec.fromarrays([WAVELENGTH, WAVELENGTH], names="wave,flux")


@pytest.mark.parametrize("write", [npz, hdf5])
@pytest.mark.parametrize(
    ("arrays", "key", "hdu"),
    [
        ({"wave": WAVELENGTH, "flux": WAVELENGTH}, None, None),
        ({"wave": WAVELENGTH, "flux": WAVELENGTH, "teff": 5777.0, "name": "x"}, None, None),
        ({"arr_0": WAVELENGTH, "arr_1": WAVELENGTH}, None, None),
        ({"flux": WAVELENGTH, "lines": np.ones((3, 3)), "wavelength": WAVELENGTH}, None, None),
        ({"wave": WAVELENGTH, "flux": ZEROS, "other": WAVELENGTH}, "other", None),
        ({"a": WAVELENGTH, "b": WAVELENGTH, "c": ZEROS}, "wave=a,flux=b", None),
        ({"wave": WAVELENGTH, "b": WAVELENGTH, "c": ZEROS}, "flux=b", None),
        ({"wave": WAVELENGTH, "b": WAVELENGTH, "c": ZEROS}, "b", None),
        ({"wave": WAVELENGTH, "observed_flux": WAVELENGTH, "c": ZEROS}, None, None),
        ({"only": PAIR}, None, None),
        ({"x": PAIR, "y": PAIR * 0}, "x", None),
        ({"wave": WAVELENGTH, "flux": np.stack([ZEROS, WAVELENGTH])}, None, 2),
        ({"wave": WAVELENGTH[None], "flux": WAVELENGTH[None]}, None, None),
        (
            {"wave": np.stack([ZEROS, WAVELENGTH]), "flux": np.stack([ZEROS, WAVELENGTH])},
            None,
            "0:2",
        ),
        ({"fields": FIELDS}, None, None),
    ],
)
def test_arrays_by_name_by_key_and_by_row(write, arrays, key, hdu):
    check(read_spectrum(write(**arrays), key=key, hdu=hdu))


@pytest.mark.parametrize("write", [npz, hdf5])
@pytest.mark.parametrize(
    ("arrays", "key", "words"),
    [
        ({"x": PAIR, "y": PAIR}, None, "by key='NAME'; it holds x 2 x 100, y 2 x 100"),
        ({"wave": WAVELENGTH, "flux": PAIR}, None, "2 rows .*it holds"),
        ({"wave": WAVELENGTH, "a": WAVELENGTH, "b": ZEROS}, None, "a, b could be the flux"),
        ({"wave": WAVELENGTH, "flux": WAVELENGTH[1:]}, None, "one number per wavelength"),
        ({"teff": WAVELENGTH, "logg": WAVELENGTH}, None, "looks like a catalog"),
        ({"values": np.ones((50, 16))}, None, r"shape \(50, 16\)"),
        ({"wave": WAVELENGTH, "flux": ZEROS}, "flx", "no array or group 'flx'; it holds"),
        ({"wave": WAVELENGTH, "flux": ZEROS}, "wave=a,flux=b", "no array 'a'; it holds"),
    ],
)
def test_what_is_no_one_spectrum_is_refused_with_what_is_inside(write, arrays, key, words):
    with pytest.raises(SpectrumError, match=words):
        read_spectrum(write(**arrays), key=key)


def test_groups_of_hdf5():
    one = hdf5(star__wave=WAVELENGTH, star__flux=WAVELENGTH, star__teff=5777.0, rest__x=ZEROS)
    spectrum = read_spectrum(one)
    check(spectrum)
    assert (spectrum.meta["object"], spectrum.frame) == ("HD 5", "topocentric")
    two = hdf5(a__wave=WAVELENGTH, a__flux=ZEROS, b__wave=WAVELENGTH, b__flux=WAVELENGTH)
    for key in ("b", "/b", "b/flux", "wave=a/wave,flux=b/flux"):
        check(read_spectrum(two, key=key))
    with pytest.raises(SpectrumError, match="holds 2 spectra, in a, b; choose one by key"):
        read_spectrum(two)
    shared = hdf5(wave=WAVELENGTH, a__flux=ZEROS, b__flux=WAVELENGTH)
    for key in ("b", "b/flux"):
        check(read_spectrum(shared, key=key))
    with pytest.raises(SpectrumError, match="holds 2 spectra, in a, b"):
        read_spectrum(shared)
    # What is whole on its own needs nothing from around it.
    check(read_spectrum(hdf5(wave=WAVELENGTH, flux=WAVELENGTH, continuum__flux=ZEROS)))


def test_units_of_hdf5_datasets():
    h5py = pytest.importorskip("h5py")
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["wave"], file["flux"] = WAVELENGTH / 10, WAVELENGTH
        file["wave"].attrs["units"] = b"nm"
    spectrum = read_spectrum(stream.getvalue())
    check(spectrum)
    assert not any("unit" in note for note in spectrum.meta["assumed"])


def test_parquet():
    frame = pd.DataFrame({"wave": WAVELENGTH, "flux": WAVELENGTH})
    check(read_spectrum(parquet(frame)))
    check(read_spectrum(parquet(frame.set_index("wave"))))
    cells = pd.DataFrame(
        {"wave": [WAVELENGTH] * 2, "flux": [ZEROS, WAVELENGTH], "OBJECT": ["a", "HD 7"]}
    )
    spectrum = read_spectrum(parquet(cells), hdu="0:2")
    check(spectrum)
    assert spectrum.meta["object"] == "HD 7"
    check(read_spectrum(parquet(cells[1:])))
    with pytest.raises(SpectrumError, match="2 rows of array cells"):
        read_spectrum(parquet(cells))
    with pytest.raises(SpectrumError, match="looks like a catalog or a table of labels"):
        read_spectrum(parquet(pd.DataFrame({"id": ["a"], "teff": [5777.0]})))


def test_pickles_are_not_loaded():
    stream = io.BytesIO()
    np.save(stream, np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(
        SpectrumError, match=r"Python objects.*read_spectrum\(\(wavelength, flux\)\)"
    ):
        read_spectrum(stream.getvalue())
    objects = np.array([{}], dtype=object)
    check(read_spectrum(npz(wave=WAVELENGTH, flux=WAVELENGTH, extra=objects)))
    with pytest.raises(SpectrumError, match="Python objects"):
        read_spectrum(npz(extra=objects))


@pytest.mark.parametrize(("package", "write"), [("h5py", hdf5), ("pyarrow", parquet)])
def test_what_to_install(package, write, monkeypatch):
    arrays = {"wave": WAVELENGTH, "flux": WAVELENGTH}
    data = write(**arrays) if write is hdf5 else write(pd.DataFrame(arrays))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SpectrumError, match=f"pip install {package}"):
        read_spectrum(data)


def test_what_unpacks_to_too_much_is_refused(monkeypatch):
    big = np.zeros(200_000)
    files = [
        npz(wave=big, flux=big),
        hdf5(wave=big, flux=big),
        parquet(pd.DataFrame({"wave": np.arange(200_000.0), "flux": np.arange(200_000.0)})),
    ]
    monkeypatch.setattr("latentscope.spectra.objects.MAX_BYTES", 1_000_000)
    for data in files:
        with pytest.raises(SpectrumError, match="unpacks to more than"):
            read_spectrum(data)


def test_a_broken_header_of_npy_is_one_error():
    stream = io.BytesIO()
    np.save(stream, PAIR)
    data = stream.getvalue()
    for at, byte in ((10, b"'"), (18, b"("), (60, b"'"), (61, b"{")):
        with pytest.raises(SpectrumError, match="npy"):
            read_spectrum(data[:at] + byte + data[at + 1 :])


@pytest.mark.parametrize("write", [npz, hdf5])
def test_broken_files_are_one_error(write):
    data = bytearray(write(wave=WAVELENGTH, flux=WAVELENGTH))
    for cut in range(60, len(data), 37):
        with pytest.raises(SpectrumError):
            read_spectrum(bytes(data[:cut]))


@pytest.mark.parametrize("key", ["star1", "star1/flux", "wave=star1/wave,flux=star1/flux"])
def test_attributes_and_values_are_those_of_the_group_chosen(key):
    h5py = pytest.importorskip("h5py")
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.attrs["OBJECT"] = "a survey"
        file.create_group("header").attrs["SPECSYS"] = "TOPOCENT"
        for name, berv in (("star1", 12.5), ("star2", -20.0)):
            for array in ("wave", "flux"):
                file[f"{name}/{array}"] = WAVELENGTH
            file[f"{name}/berv"] = berv
            file[name].attrs["object"] = name
    spectrum = read_spectrum(stream.getvalue(), key=key)
    assert (spectrum.meta["object"], spectrum.frame, spectrum.berv) == (
        "star1",
        "topocentric",
        12.5,
    )


def test_attributes_of_a_frame_are_its_header():
    frame = pd.DataFrame({"wave": WAVELENGTH, "flux": WAVELENGTH})
    frame.attrs.update(SPECSYS="TOPOCENT", BERV=12.5)
    for source in (frame, parquet(frame)):
        spectrum = read_spectrum(source)
        assert (spectrum.frame, spectrum.berv) == ("topocentric", 12.5)
