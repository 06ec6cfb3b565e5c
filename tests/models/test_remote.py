"""Spectra at addresses: as local files, and each broken one costs its own row."""

import functools
import http.server
import os
import sys
import threading

import numpy as np
import pytest

import latentscope.spectra.read as reading
from latentscope.errors import SpectrumError
from latentscope.models.encode import encode
from latentscope.models.rows import expand_sources
from latentscope.spectra.read import read_spectrum
from tests.models.encoding import tiny_model, write_archive

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def send_head(self):
        if not self.path.endswith("broken.fits"):
            return super().send_head()
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"SIMPLE  =")  # and the connection ends
        return None


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    return write_archive(folder, 3)


@pytest.fixture
def web(archive):
    handler = functools.partial(Handler, directory=archive[0].parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_files_of_a_web_server(archive, web, tmp_path):
    addresses = [f"{web}/{file.name}" for file in archive]
    asked = [*addresses, f"{web}/absent.fits", f"{web}/broken.fits", "http://127.0.0.1:9/x.fits"]
    (tmp_path / "list.txt").write_text("\n".join(asked))
    found = encode(f"@{tmp_path / 'list.txt'}", tiny_model(), output=tmp_path / "latents.npy")
    local = encode(archive, tiny_model())
    np.testing.assert_allclose(found.values[:3], local.values, rtol=1e-5, atol=1e-6)
    assert found.table["file"].tolist() == asked
    assert found.table["id"][:3].tolist() == local.table["id"].tolist()
    assert found.table["status"].tolist() == ["ok"] * 3 + ["failed"] * 3
    for address, error in zip(asked[3:], found.table["error"][3:], strict=True):
        assert error.startswith(f"{address}: cannot be fetched (")
        assert f"({address})" not in error


def test_no_more_than_a_file_of_usual_size_is_taken(archive, web, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 5000)
    with pytest.raises(SpectrumError, match="has more than"):
        read_spectrum(f"{web}/{archive[0].name}")


def test_an_address_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SpectrumError, match=r"pip install 'latentscope-spectra\[remote\]'"):
        expand_sources("https://example.org/a.fits")


def test_an_unknown_kind_of_store_is_said():
    with pytest.raises(SpectrumError, match=r"^abacus://x/a.fits: cannot be listed \(.*abacus"):
        expand_sources("abacus://x/a.fits")


@pytest.fixture
def bucket(archive, monkeypatch):
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    import s3fs

    store = s3fs.S3FileSystem(skip_instance_cache=True)
    store.mkdir("stars")
    for file in archive:
        store.put(os.fspath(file), f"stars/night/{file.name}")
    store.pipe("stars/night/labels.csv", b"a,b\n")
    yield "s3://stars"
    server.stop()


def test_files_of_s3(archive, bucket):
    wanted = [f"{bucket}/night/{file.name}" for file in archive]
    assert expand_sources(f"{bucket}/night/*.000.fits") == wanted[:1]
    assert expand_sources(f"{bucket}/night/") == wanted
    found = encode([f"{bucket}/night/", f"{bucket}/absent.fits"], tiny_model())
    local = encode(archive, tiny_model())
    np.testing.assert_allclose(found.values[:3], local.values, rtol=1e-5, atol=1e-6)
    assert "cannot be fetched" in found.table["error"][3]
    with pytest.raises(SpectrumError, match="matches no file"):
        expand_sources(f"{bucket}/other/*.fits")
