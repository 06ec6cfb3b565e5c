"""What names on a command line stand for."""

import io
from pathlib import Path

import numpy as np
import pytest

from latentscope.errors import SpectrumError
from latentscope.models.rows import expand_sources, source_id
from latentscope.spectra.spectrum import Spectrum


@pytest.fixture
def tree(tmp_path, monkeypatch):
    names = ("b.fits", "a.fits.gz", "night/c.FIT", "night/deep/d.fts", "labels.csv", ".hidden.fits")
    for name in (*names, ".parts/e.fits", "odd[1].fits"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_stands_for_its_fits_files_at_any_depth(tree):
    found = [path.relative_to(tree).as_posix() for path in expand_sources(str(tree))]
    assert found == ["a.fits.gz", "b.fits", "night/c.FIT", "night/deep/d.fts", "odd[1].fits"]
    assert expand_sources(tree) == expand_sources([str(tree)])


def test_globs_lists_and_standard_input(tree, monkeypatch):
    assert expand_sources(["*.fits"]) == [Path("b.fits"), Path("odd[1].fits")]
    assert expand_sources("night/**/*.[fF]*") == [Path("night/c.FIT"), Path("night/deep/d.fts")]
    (tree / "list.txt").write_text("# a night\nb.fits\n\n night/c.FIT \nodd[2].fits\n")
    listed = [Path("b.fits"), Path("night/c.FIT"), Path("odd[2].fits")]
    assert expand_sources("@list.txt") == listed
    monkeypatch.setattr("sys.stdin", io.StringIO("b.fits\n"))
    assert expand_sources("-") == [Path("b.fits")]


def test_order_repeats_and_missing_files_are_kept(tree):
    names = ["b.fits", "absent.fits", "a.fits.gz", "b.fits"]
    assert expand_sources(names) == [Path(name) for name in names]


def test_an_existing_file_is_itself_whatever_its_name(tree):
    assert expand_sources("odd[1].fits") == [Path("odd[1].fits")]
    assert expand_sources(Path("odd[9].fits")) == [Path("odd[9].fits")]


def test_objects_are_handed_on():
    spectrum = Spectrum(np.arange(1.0, 4.0), np.ones(3))
    assert expand_sources(spectrum) == [spectrum]
    assert expand_sources(iter([spectrum, "x.fits"])) == [spectrum, Path("x.fits")]
    assert expand_sources(b"SIMPLE") == [b"SIMPLE"]


def test_open_files_pairs_and_arrays_are_one_source_each(tmp_path):
    numbers = np.arange(1.0, 4.0)
    path = tmp_path / "a.fits"
    path.write_bytes(b"SIMPLE\nline")
    with path.open("rb") as stream:
        assert expand_sources(stream) == [stream]
        assert source_id(stream, 0) == "a"
    assert source_id(io.BytesIO(b""), 4) == "spectrum-000004"
    for source in ((numbers, numbers), ([1, 2.0], [3, 4]), np.stack([numbers, numbers]), b"S"):
        (one,) = expand_sources(source)
        assert one is source


def test_two_sources_are_not_taken_for_wavelength_and_flux():
    numbers = np.arange(1.0, 4.0)
    spectrum = Spectrum(numbers, numbers)
    pair = (numbers, numbers)
    for sources in ((spectrum, spectrum), (pair, pair), [numbers, numbers]):
        assert len(expand_sources(sources)) == 2
    assert expand_sources(("a.fits", "b.fits")) == [Path("a.fits"), Path("b.fits")]
    assert expand_sources(np.array(["a.fits", "b.fits"])) == [Path("a.fits"), Path("b.fits")]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "no spectra given"),
        ("*.nothing", r"\*\.nothing: matches no file"),
        ("@absent.txt", "@absent.txt: the list cannot be read"),
        ("@empty.txt", "no spectra given"),
        ("bare", r"no FITS file.*bare/\*\.csv"),
    ],
)
def test_names_that_stand_for_nothing_say_so(tree, source, message):
    (tree / "empty.txt").touch()
    (tree / "bare").mkdir()
    with pytest.raises(SpectrumError, match=message):
        expand_sources(source)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x/ADP.2014-09-16T11:05:37.617.fits", "ADP.2014-09-16T11:05:37.617"),
        ("ADP.2014-09-16T11:05:37.617.fits.gz", "ADP.2014-09-16T11:05:37.617"),
        ("ADP.2014-09-16T11:05:37.617", "ADP.2014-09-16T11:05:37.617"),
        ("HARPS.2010_s1d_A.FITS.fz", "HARPS.2010_s1d_A"),
        ("star.v2.csv", "star.v2"),
        ("star.fits.bz2", "star"),
        (".fits", ".fits"),
    ],
)
def test_ids_are_names_without_known_suffixes(name, expected):
    assert source_id(Path(name), 0) == expected


def test_spectra_without_a_file_are_numbered():
    wavelength = np.arange(1.0, 4.0)
    assert source_id(Spectrum(wavelength, wavelength), 12) == "spectrum-000012"
    assert source_id(Spectrum(wavelength, wavelength, meta={"file": "q/a.fits"}), 12) == "a"
