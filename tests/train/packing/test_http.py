import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from train.data.archive import Layout, PackedArchive
from train.data.packed import Draw, PackedBatches
from train.data.packing import pack

pytest.importorskip("aiohttp")


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
