"""What names on a command line stand for."""

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latentscope.data import read_latents
from latentscope.errors import SpectrumError
from latentscope.models.encode import encode
from latentscope.models.rows import expand_sources, read_chunk, source_id
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid
from tests.models.encoding import tiny_model, write_adp


@pytest.fixture
def tree(tmp_path, monkeypatch):
    names = ("b.fits", "a.fits.gz", "night/c.FIT", "night/deep/d.fts", "labels.csv", ".hidden.fits")
    for name in (*names, ".parts/e.fits", "odd[1].fits"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_list_that_can_read_is_many_spectra():
    class SpectrumList(list):  # of specutils
        def read(self):
            raise AssertionError

    assert expand_sources(SpectrumList([b"one", b"two"])) == [b"one", b"two"]


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
        (["a.fits", ""], "a name is empty"),
        ("*.nothing", r"\*\.nothing: matches no file"),
        ("@absent.txt", "@absent.txt: the list cannot be read"),
        ("@empty.txt", "@empty.txt: names no file"),
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


def test_lists_may_have_a_mark_other_line_ends_and_names_that_are_no_text(tree, monkeypatch):
    expected = [Path("b.fits"), Path("n\u00e4chte.fits")]
    text = "b.fits\r\nn\u00e4chte.fits\r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be"):
        mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
        (tree / "list.txt").write_bytes(mark + text.encode(encoding))
        assert expand_sources("@list.txt") == expected
    (tree / "list.txt").write_bytes(b"n\xe4chte.fits\n")
    assert expand_sources("@list.txt") == [Path(os.fsdecode(b"n\xe4chte.fits"))]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"n\xe4chte.fits\n"), "utf-8"))
    assert expand_sources("-") == [Path(os.fsdecode(b"n\xe4chte.fits"))]


def test_the_home_folder_is_meant_by_a_tilde(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree / "night"))
    (tree / "list.txt").write_text("~/c.FIT\n")
    for name in ("~/c.FIT", "~/*.FIT", "@list.txt", Path("~/c.FIT")):
        assert expand_sources(name) == [tree / "night" / "c.FIT"]
    assert expand_sources("~") == [tree / "night" / "c.FIT", tree / "night" / "deep" / "d.fts"]
    (tree / "~").mkdir()
    (tree / "~" / "x.fits").touch()
    assert expand_sources("~/x.fits") == [Path("~/x.fits")]


def test_a_folder_among_names_is_its_spectra_or_a_row(tree):
    (tree / "x.fits").mkdir()
    assert expand_sources(["b.fits", "x.fits"]) == [Path("b.fits"), Path("x.fits")]
    (tree / "x.fits" / "inner.fits").touch()
    assert expand_sources(["b.fits", "x.fits"]) == [Path("b.fits"), Path("x.fits/inner.fits")]


def test_a_folder_that_cannot_be_listed_is_a_row_and_not_left_out(tree, monkeypatch):
    def scandir(path):
        if os.fspath(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    listed = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    assert expand_sources("night") == [Path("night/c.FIT"), Path("night/deep")]


ODD_NAMES = (
    b"caf\xe9.fits", b"cr\rx.fits", b"new\nline.fits", b"tab\t.fits", b"\"quoted\",'x'.fits",
    b"\x1b[31mred.fits", b"[red]x.fits", b"=1+1.fits", b"-x.fits", b"@x.fits",
    "\u202egnp.fits".encode(), b" blank .fits", b"a,b;c.fits", b"x" * 250 + b".fits",
)  # fmt: skip


def test_a_run_over_names_of_every_kind_is_written_and_read_back_row_by_row(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_adp(folder / "plain.fits")
    whole = (folder / "plain.fits").read_bytes()
    paths = [os.path.join(os.fsencode(folder), name) for name in ODD_NAMES]
    for path in paths:
        with open(path, "wb") as file:
            file.write(whole)
    sources = [os.fsdecode(path) for path in paths]
    latents = encode([*sources, "gone\udce9.fits"], tiny_model(), output=tmp_path / "l.npy")
    assert list(latents.table["status"]) == ["ok"] * len(sources) + ["failed"]
    names = [str(name).removeprefix(f"{folder}/") for name in latents.table["file"]]
    assert names[:6] == [
        r"caf\xe9.fits", r"cr\rx.fits", r"new\nline.fits", r"tab\t.fits", "\"quoted\",'x'.fits",
        r"\x1b[31mred.fits",
    ]  # fmt: skip
    assert names[10] == r"\u202egnp.fits"
    read = read_latents(tmp_path / "l.npy")
    np.testing.assert_array_equal(read.values, latents.values.astype("f4"))
    assert [str(name) for name in read.table["file"]] == list(latents.table["file"])
    assert list(read.ids) == [str(name).strip() for name in latents.table["id"]]
    frame = pd.read_csv(tmp_path / "l.csv")
    assert [name.lstrip("'") for name in frame["file"]] == list(latents.table["file"])


def test_text_of_headers_has_no_escape_sequences(tmp_path):
    write_adp(tmp_path / "a.fits")
    data = (tmp_path / "a.fits").read_bytes().replace(b"OBJECT  = 'HD0", b"OBJECT  = '\x1b[H", 1)
    (tmp_path / "a.fits").write_bytes(data)
    latents = encode(tmp_path / "a.fits", tiny_model())
    assert latents.table["status"][0] == "ok"
    assert latents.table["object"][0] == r"\x1b[H"


def test_what_the_preparation_did_is_said_and_too_few_pixels_are_no_row():
    config = PrepareConfig(Grid("linear", 5000.0, 0.1, 2000))
    coarse, fine = np.arange(4900.0, 5300.0, 1.0), np.arange(4900.0, 5300.0, 0.1)
    far = np.array([4900.0, 5300.0])
    sources = [
        Spectrum(coarse, coarse),
        Spectrum(fine, fine, frame="topocentric", berv=15.0),
        Spectrum(fine, fine, frame="topocentric"),
        Spectrum(far, far),
    ]
    chunk = read_chunk(sources, 0, config, 0.5)
    assert [record["status"] for record in chunk.records] == ["ok", "ok", "failed", "failed"]
    assert chunk.where == [0, 1]
    assert "10 times" in chunk.records[0]["assumed"]
    assert "moved from topocentric to barycentric" in chunk.records[1]["assumed"]
    assert "--frame" in chunk.records[2]["error"]
    assert "4e+03 times" in chunk.records[3]["error"]


def test_flux_without_a_line_is_degenerate():
    wavelength = np.arange(4900.0, 5300.0, 0.1)
    config = PrepareConfig(Grid("linear", 5000.0, 0.1, 2000))
    chunk = read_chunk([Spectrum(wavelength, np.full(4000, 7.0))], 0, config, 0.5)
    assert chunk.records[0]["status"] == "degenerate"
    assert "the same in all pixels" in chunk.records[0]["error"]
