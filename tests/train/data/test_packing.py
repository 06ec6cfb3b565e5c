import dataclasses
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from typer.testing import CliRunner

from latentscope.errors import LatentscopeError, LatentscopeWarning, TableError
from latentscope.models.rows import read_chunk
from latentscope.simulation.simulate import write_spectrum
from latentscope.spectra.prepare import PrepareConfig, prepare
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.spectrum import Spectrum
from tests.train.conftest import TINY
from train.commands import app
from train.data.archive import ArchiveStore, Layout, PackedArchive, unpacked
from train.data.packed import Draw, PackedBatches
from train.data.packing import pack

ROOT = Path(__file__).parents[3]
SMALL = Layout(520, "float16", chunk=2, shard=4)


def packed(sources, archive, prepare, **options):
    return pack(sources, archive, prepare, **({"layout": SMALL, "workers": 1} | options))


def rows_of(archive):
    """Rows and masks by file, whatever the order of packing."""
    rows, valid = archive.read(np.arange(len(archive)))
    order = np.argsort(archive.table["file"])
    return archive.table["file"].iloc[order].tolist(), rows[order], valid[order]


@pytest.mark.parametrize(("dtype", "exact"), [("float16", False), ("float32", True)])
@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_what_is_read_back_is_the_models_row(night, tmp_path, prepare, dtype, exact, compression):
    files = sorted(night.glob("*.fits"))
    layout = Layout(520, dtype, 2, 4, compression)
    report = packed(str(night), tmp_path / "a.zarr", prepare, layout=layout)
    assert (report.rows, report.packed, report.kept, report.failed) == (21, 21, 0, [])
    archive = PackedArchive(tmp_path / "a.zarr")
    rows, valid = archive.read(np.arange(21))
    wanted = read_chunk(files, 0, prepare, 0.5)
    assert rows.dtype == archive.dtype == dtype
    assert np.array_equal(unpacked(valid, 520), wanted.valid)
    bound = np.maximum(2.0**-11 * np.abs(wanted.rows), 2.0**-25)
    error = np.abs(rows.astype("f8") - wanted.rows)
    assert (error <= (0 if exact else bound)).all()
    assert archive.prepare == prepare
    table = archive.table
    assert table["file"].tolist() == [str(file) for file in files]
    assert table["star"].tolist() == [f"s{s}" for s in range(6) for _ in range(s + 1)]
    assert np.allclose(table["berv"], 0.5 * np.arange(21))
    assert np.allclose(table["snr"], 10.0 + np.arange(21))
    assert table["median"].between(400, 600).all()
    assert (table["coverage"] > 0.99).all()
    assert set(table["frame"]) == {"barycentric"}


def test_the_store_explains_itself_to_any_reader_of_zarr(night, tmp_path, prepare):
    packed(night, tmp_path / "a.zarr", prepare, model="tiny")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert group.metadata.zarr_format == 3
    assert group["rows"].shape == (21, 520)
    assert (group["rows"].chunks, group["rows"].shards) == ((2, 520), (4, 520))
    settings = group.attrs["settings"]
    assert PrepareConfig.from_dict(settings["prepare"]) == prepare
    assert settings["model"] == "tiny"
    assert settings["latentscope"]
    assert group.attrs["runs"][0]["command"]
    index = group[group.attrs["index"]]
    assert index["star"][:3].tolist() == ["s0", "s1", "s1"]
    assert set(group.attrs["columns"]) == set(index.array_keys())


def test_reading_in_any_order_with_repeats(night, tmp_path, prepare):
    packed(night, tmp_path / "a.zarr", prepare)
    archive = PackedArchive(tmp_path / "a.zarr", threads=3)
    rows, valid = archive.read(np.arange(21))
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert np.array_equal(rows, group["rows"][:])
    assert np.array_equal(valid, group["valid"][:])
    wanted = np.random.default_rng(0).integers(0, 21, 50)
    again, masks = archive.read(wanted)
    assert np.array_equal(again, rows[wanted])
    assert np.array_equal(masks, valid[wanted])
    assert archive.read([])[0].shape == (0, 520)


def test_rows_of_zeros_and_damaged_or_lost_shards(night, tmp_path, prepare):
    layout = Layout(520, "float16", chunk=1, shard=2)
    packed(night, tmp_path / "a.zarr", prepare, layout=layout)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    group["rows"][3] = 0
    shard = tmp_path / "a.zarr" / "rows" / "c" / "2" / "0"
    shard.write_bytes(b"\0" * 200 + shard.read_bytes()[200:])
    (tmp_path / "a.zarr" / "rows" / "c" / "4" / "0").unlink()
    archive = PackedArchive(tmp_path / "a.zarr")
    assert (archive.read([3, 0])[0][0] == 0).all()
    with pytest.raises(TableError, match="rows/c/2/0: chunk 0 is damaged"):
        archive.read(np.arange(7))
    with pytest.raises(TableError, match="rows/c/4/0 is missing"):
        archive.read([8])


def test_a_url_holds_the_same_as_a_folder(night, tmp_path, prepare):
    url = f"memory://packed/{tmp_path.name}.zarr"
    packed(night, tmp_path / "a.zarr", prepare)
    packed(night, url, prepare)
    packed(night, f"file://{tmp_path}/b.zarr", prepare)
    for other in (url, tmp_path / "b.zarr"):
        for one, two in zip(
            rows_of(PackedArchive(tmp_path / "a.zarr")), rows_of(PackedArchive(other)), strict=True
        ):
            assert np.array_equal(one, two)


def test_a_broken_file_is_named_and_has_no_row(night, tmp_path, prepare):
    (night / "HARPS.0003_s1d_A.fits").write_bytes(b"SIMPLE  = nothing of the kind")
    report = packed([str(night), "gone.fits"], tmp_path / "a.zarr", prepare)
    assert (report.rows, report.packed) == (20, 20)
    assert [Path(file).name for file, _ in report.failed] == ["HARPS.0003_s1d_A.fits", "gone.fits"]
    archive = PackedArchive(tmp_path / "a.zarr")
    assert archive.failed["row"].tolist() == [-1, -1]
    assert (archive.failed["error"] != "").all()
    assert np.isfinite(archive.read(np.arange(20))[0]).all()
    again = packed([str(night), "gone.fits"], tmp_path / "a.zarr", prepare)
    assert (again.packed, again.kept, len(again.failed)) == (0, 20, 2)


def test_what_a_killed_run_left_is_swept(night, tmp_path, prepare):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.12ab.partial").write_text("{")
    packed(night, tmp_path / "a.zarr", prepare)
    assert not list((tmp_path / "a.zarr").rglob("*.partial"))


def test_only_failures_make_an_archive_without_rows(tmp_path, prepare):
    names = [f"gone{number}.fits" for number in range(40)]
    report = packed(names, tmp_path / "a.zarr", prepare)
    assert (report.rows, len(report.failed)) == (0, 40)
    with pytest.raises(TableError, match="no row"):
        PackedArchive(tmp_path / "a.zarr")


def test_a_row_that_float16_cannot_hold_fails_and_float32_takes_it(tmp_path, expose):
    prepare = PrepareConfig.from_dict(TINY["prepare"] | {"normalization": "median-valid"})
    expose(tmp_path, "calm")
    expose(tmp_path, "hot", first=1, spike=1e9)
    layout = Layout.sized(prepare.row_size, "float16")
    report = pack(tmp_path, tmp_path / "a.zarr", prepare, layout=layout, workers=1)
    assert report.rows == 1
    assert "float32" in report.failed[0][1]
    layout = Layout.sized(prepare.row_size, "float32")
    assert pack(tmp_path, tmp_path / "b.zarr", prepare, layout=layout, workers=1).rows == 2


def test_an_archive_grows_and_takes_changed_files_again(night, tmp_path, prepare, expose):
    files = sorted(night.glob("*.fits"))
    packed(files[:6], tmp_path / "a.zarr", prepare)
    before = rows_of(PackedArchive(tmp_path / "a.zarr"))
    report = packed(files[:10], tmp_path / "a.zarr", prepare)
    assert (report.packed, report.kept, report.rows) == (4, 6, 10)
    after = rows_of(PackedArchive(tmp_path / "a.zarr"))
    assert after[0][:6] == before[0]
    assert np.array_equal(after[1][:6], before[1])
    expose(night, "another", first=0)
    report = packed(files, tmp_path / "a.zarr", prepare)
    assert (report.packed, report.kept, report.rows) == (12, 9, 21)
    archive = PackedArchive(tmp_path / "a.zarr")
    assert archive.table["star"].tolist().count("another") == 1
    assert np.array_equal(rows_of(archive)[1][1:6], before[1][1:])
    assert not np.array_equal(rows_of(archive)[1][0], before[1][0])


def test_another_preparation_or_another_folder_is_refused(night, tmp_path, prepare):
    packed(night, tmp_path / "a.zarr", prepare)
    other = PrepareConfig.from_dict(TINY["prepare"] | {"window": 7})
    with pytest.raises(TableError, match="another prepare"):
        packed(night, tmp_path / "a.zarr", other)
    with pytest.raises(TableError, match="another dtype"):
        packed(night, tmp_path / "a.zarr", prepare, layout=Layout(520, "float32", 2, 4))
    with pytest.raises(TableError, match="other files"):
        packed(night, night, prepare)
    with pytest.raises(TableError, match="no packed archive"):
        PackedArchive(tmp_path / "nowhere.zarr")
    zarr.create_group(tmp_path / "plain.zarr")
    with pytest.raises(TableError, match="no packed archive of format"):
        PackedArchive(tmp_path / "plain.zarr")


def test_two_processes_do_not_pack_into_one_archive(night, tmp_path, prepare):
    fcntl = pytest.importorskip("fcntl")
    packed(sorted(night.glob("*"))[:2], tmp_path / "a.zarr", prepare)
    held = os.open(tmp_path / "a.zarr", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(TableError, match="another process"):
        packed(night, tmp_path / "a.zarr", prepare)
    os.close(held)
    assert packed(night, tmp_path / "a.zarr", prepare).rows == 21


def test_labels_are_joined_by_id_kept_and_replaced(night, tmp_path, prepare):
    ids = [f"HARPS.{number:04d}_s1d_A" for number in range(20, -1, -1)]
    labels = pd.DataFrame({"id": ids, "[M/H]": np.arange(20.0, -1, -1), "snr": 1.0, "type": "G"})
    labels.loc[0, "type"] = np.nan
    packed(night, tmp_path / "a.zarr", prepare, labels=labels)
    packed(night, tmp_path / "a.zarr", prepare)
    archive = PackedArchive(tmp_path / "a.zarr")
    assert archive.labels == ["[M/H]", "label_snr", "type"]
    assert archive.table["[M/H]"].tolist() == list(range(21))
    assert archive.table["type"].isna().tolist() == [False] * 20 + [True]
    with pytest.warns(LatentscopeWarning, match="20 of 21 rows"):
        packed(night, tmp_path / "a.zarr", prepare, labels=labels.iloc[:1])
    by_star = pd.DataFrame({"star": [f"s{s}" for s in range(6)], "Teff": 5000 + np.arange(6)})
    packed(night, tmp_path / "a.zarr", prepare, labels=by_star, join="star")
    archive = PackedArchive(tmp_path / "a.zarr")
    assert archive.labels == ["Teff"]
    assert (archive.table["Teff"] - 5000 == archive.table["star"].str[1].astype(int)).all()
    with pytest.raises(LatentscopeError, match="no column that names"):
        packed(night, tmp_path / "a.zarr", prepare, labels=pd.DataFrame({"x": range(21)}))


KILLED = """
import json, multiprocessing, os, signal, sys, types, yaml
import train.data.archive
from latentscope.spectra.prepare import PrepareConfig
from train.data.packing import pack
from train.data.archive import Layout

def die():
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

def dies_at_call(number, function):
    calls = []
    def counted(*words, **more):
        calls.append(1)
        return die() if len(calls) == number else function(*words, **more)
    return counted

def run(archive, where, workers):
    if where == "rows":  # nothing of the third block is written
        train.data.archive.np.packbits = dies_at_call(3, train.data.archive.np.packbits)
    if where == "journal":  # the third block's rows are written, its entry is not
        dumps = dies_at_call(3, json.dumps)
        train.data.archive.json = types.SimpleNamespace(dumps=dumps, loads=json.loads)
    if where == "finish":  # half of the index's columns are written
        train.data.archive.as_array = dies_at_call(9, train.data.archive.as_array)
    pack(night, archive, prepare, layout=Layout(520, "float16", 2, 4), workers=workers,
         progress=lambda done, total: die() if where == "reading" and done >= 10 else None)

if __name__ == "__main__":
    night, config, *cases = sys.argv[1:]
    prepare = PrepareConfig.from_dict(yaml.safe_load(open(config))["prepare"])
    for where in cases:  # each a fork, so that modules are imported once
        child = os.fork()
        if child == 0:
            run(where + ".zarr", where, 2 if where == "reading" else 1)
        print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="needs SIGKILL and /proc")
def test_a_killed_run_goes_on(night, tmp_path, prepare, tiny):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    blocks = {"reading": 2, "rows": 2, "journal": 2, "finish": 6}
    done = subprocess.run(
        [sys.executable, script, night, tiny, *blocks], cwd=tmp_path,
        capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    said = done.stdout.splitlines()
    ended = [line for line in said if line.startswith("ended")]
    assert ended == ["ended -9"] * len(blocks), done.stderr
    workers = " ".join(line for line in said if line not in ended).split()
    assert workers
    deadline = time.monotonic() + 20
    while not all(map(gone, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert all(map(gone, workers)), "workers outlive their parent"

    packed(night, tmp_path / "whole.zarr", prepare)
    whole = rows_of(PackedArchive(tmp_path / "whole.zarr"))
    for where, number in blocks.items():
        archive = tmp_path / f"{where}.zarr"
        names, rows, valid = rows_of(PackedArchive(archive))
        assert len(names) == min(4 * number, 21), where
        at = [whole[0].index(name) for name in names]
        assert np.array_equal(rows, whole[1][at])
        assert np.array_equal(valid, whole[2][at])

        report = packed(night, archive, prepare)
        assert (report.kept, report.rows) == (len(names), 21)
        for one, two in zip(rows_of(PackedArchive(archive)), whole, strict=True):
            assert np.array_equal(one, two)


def test_memory_does_not_grow_with_the_archive(tmp_path, expose):
    grid = TINY["prepare"]["grid"] | {"length": 16_384, "step": 0.00115 / 32}
    prepare = PrepareConfig.from_dict(TINY["prepare"] | {"grid": grid})
    layout = Layout(prepare.row_size, "float16", 2, 8)
    peaks = []
    for n in (20, 20, 80):  # the first one compiles and fills caches
        folder = tmp_path / f"{len(peaks)}"
        folder.mkdir()
        expose(folder, "star", n=n)
        tracemalloc.start()
        pack(folder, tmp_path / f"{len(peaks)}.zarr", prepare, layout=layout, workers=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    all_rows = 60 * prepare.row_size * 2
    assert peaks[2] - peaks[1] < 0.5 * all_rows


def test_a_store_takes_no_layout_that_it_does_not_know():
    with pytest.raises(TableError, match="float64"):
        Layout(520, "float64", 2, 4)
    with pytest.raises(TableError, match="positive"):
        Layout.sized(520, "float16", chunk_mb=0)
    big = Layout.sized(327_680, "float16")
    assert (big.chunk, big.shard) == (1, 49)
    assert Layout.sized(20_800, "float16").shard % Layout.sized(20_800, "float16").chunk == 0


def test_an_unknown_kind_of_url_is_named(prepare):
    with pytest.raises(TableError, match="nosuch"):
        ArchiveStore.open("nosuch://bucket/a.zarr")


SENT = []


class Ranges(SimpleHTTPRequestHandler):
    """Serves parts of files, as object stores do, and notes in SENT how many bytes each had."""

    def do_GET(self):
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            self.send_error(404)
            return
        data, asked = file.read_bytes(), self.headers.get("Range")
        self.send_response(206 if asked else 200)
        if asked:
            first, last = asked.removeprefix("bytes=").split("-")
            start = int(first) if first else len(data) - int(last)
            stop = min(int(last) + 1, len(data)) if first and last else len(data)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
            data = data[start:stop]
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        SENT.append(len(data))

    def log_message(self, *words):
        """Say nothing."""


@pytest.fixture
def served(night, tmp_path, prepare):
    """URL of a packed archive on a server, and its folder."""
    pytest.importorskip("aiohttp")
    folder = tmp_path / "a.zarr"
    pack(night, folder, prepare, layout=Layout(520, "float16", chunk=2, shard=8), workers=1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/a.zarr", folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_archive_is_read_over_the_network_chunk_by_chunk(served):
    url, folder = served
    there, here = PackedArchive(url), PackedArchive(folder)
    assert there.fingerprint == here.fingerprint
    SENT.clear()
    rows, valid = there.read([3])
    assert np.array_equal(rows, here.read([3])[0])
    assert np.array_equal(valid, here.read([3])[1])
    shard = (folder / "rows" / "c" / "0" / "0").stat().st_size
    assert 0 < sum(SENT) < 0.6 * shard
    draw = Draw(np.arange(21), 0)
    ways = [PackedBatches(one, draw, 4, 8, window_mb=0.01) for one in (there, here)]
    for far, near in zip(*ways, strict=True):
        assert np.array_equal(far.rows, near.rows)
        assert np.array_equal(far.numbers, near.numbers)


def layout_of(config, dtype="float16"):
    return Layout(config.row_size, dtype, chunk=2, shard=4, ivar_size=config.ivar_size)


@pytest.mark.parametrize(
    ("normalization", "dtype"),
    [("continuum", "float16"), ("median-padded", "float32"), ("median-valid", "float16")],
)
def test_inverse_variances_come_back_with_their_rows(exposures, tmp_path, normalization, dtype):
    values = TINY["prepare"] | {"normalization": normalization}
    config = PrepareConfig.from_dict(values)
    pack(exposures, tmp_path / "a.zarr", config, layout=layout_of(config, dtype), workers=1)
    archive = PackedArchive(tmp_path / "a.zarr")
    wanted = []
    for file in archive.table["file"]:
        spectrum = read_spectrum(file)
        wanted.append(prepare(spectrum, config, ivar=True).ivar)
    root = archive.read(np.arange(7), ivar=True)[2]
    assert root.shape == (7, archive.ivar_size) == (7, config.ivar_size)
    assert root.astype("f8") ** 2 == pytest.approx(np.array(wanted), rel=2**-9, abs=1e-12)
    assert 0.5 < (root > 0).mean() < 1
    draw = Draw(np.arange(7), 0)
    for batch in PackedBatches(archive, draw, 3, 5, window_mb=0.01, ivar=True):
        assert np.array_equal(batch.ivar, root[batch.numbers].astype("f4") ** 2)
        assert np.array_equal(batch.rows, archive.read(batch.numbers)[0])


def test_what_float16_cannot_hold_saturates(exposures, tmp_path):
    wavelength = 3780.0 + np.arange(3150.0)
    meta = {"object": "loud", "snr": 1.0, "linelist": "none", "airmass": 1.0}
    sigma = np.where(wavelength < 5000, 1e-4, 50.0)
    flux = 100.0 + np.sin(wavelength)
    spectrum = Spectrum(wavelength, flux, ivar=sigma**-2, berv=0.0, meta=meta)
    write_spectrum(spectrum, tmp_path / "ADP.loud.fits", "adp")
    config = PrepareConfig.from_dict(TINY["prepare"])
    pack(
        tmp_path / "ADP.loud.fits", tmp_path / "a.zarr", config, layout=layout_of(config), workers=1
    )
    root = PackedArchive(tmp_path / "a.zarr").read([0], ivar=True)[2][0].astype("f8")
    at = config.grid.wavelength
    assert (root[at < 4990] == 65504).all()
    assert root[(at > 5010) & ~config.grid.gap_mask].min() > 1
    assert root[at > 5010].max() < 100


def test_an_archive_is_packed_with_or_without(exposures, tmp_path):
    config = PrepareConfig.from_dict(TINY["prepare"])
    plain = dataclasses.replace(layout_of(config), ivar_size=0)
    pack(exposures, tmp_path / "plain.zarr", config, layout=plain, workers=1)
    pack(exposures, tmp_path / "ivar.zarr", config, layout=layout_of(config), workers=1)
    arrays = {name: zarr.open_group(tmp_path / f"{name}.zarr") for name in ("plain", "ivar")}
    assert "root_ivar" not in arrays["plain"]
    assert np.array_equal(arrays["plain"]["rows"][:], arrays["ivar"]["rows"][:])
    assert arrays["ivar"]["root_ivar"].shape == (7, 512)
    with pytest.raises(TableError, match="--ivar"):
        PackedArchive(tmp_path / "plain.zarr").read([0], ivar=True)[2]
    with pytest.raises(TableError, match="another ivar"):
        pack(exposures, tmp_path / "plain.zarr", config, layout=layout_of(config), workers=1)


def test_archives_from_before_there_were_inverse_variances_open(exposures, tmp_path):
    config = PrepareConfig.from_dict(TINY["prepare"])
    plain = dataclasses.replace(layout_of(config), ivar_size=0)
    pack(exposures, tmp_path / "a.zarr", config, layout=plain, workers=1)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    layout = dict(group.attrs["layout"])
    del layout["ivar_size"]
    group.attrs["layout"] = layout
    assert PackedArchive(tmp_path / "a.zarr").ivar_size == 0
    assert pack(exposures, tmp_path / "a.zarr", config, layout=plain, workers=1).kept == 7


def test_spectra_without_errors_are_counted(exposures, night, tmp_path):
    config = PrepareConfig.from_dict(TINY["prepare"])
    with pytest.warns(LatentscopeWarning, match="21 of 28 spectra have no errors"):
        pack([exposures, night], tmp_path / "a.zarr", config, layout=layout_of(config), workers=1)
    root = PackedArchive(tmp_path / "a.zarr").read(np.arange(28), ivar=True)[2]
    assert (root > 0).any(axis=1).tolist() == [True] * 7 + [False] * 21


def test_the_command_line_packs_them(exposures, tmp_path, tiny):
    words = ["pack", str(exposures), "--grid", str(tiny), "--ivar", "--workers", "1"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "a.zarr")])
    assert done.exit_code == 0, done.output
    assert PackedArchive(tmp_path / "a.zarr").ivar_size == 512
