"""Who is answered, and what no request can reach; without a browser."""

import asyncio
import gc
import http.client
import re
import shutil
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latentscope.errors import LatentscopeError, SpectrumError
from latentscope.explorer.archive import LARGEST_UPLOAD, read_archive
from latentscope.explorer.panels import plain
from latentscope.explorer.serve import serve
from latentscope.explorer.view import View, read_view
from tests.explorer.conftest import running


def status(url, path=None, **headers):
    parts = urlsplit(url)
    asked = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    asked.request("GET", path or f"{parts.path}?{parts.query}", headers=headers)
    answer = asked.getresponse()
    text = answer.read().decode("utf-8", "replace")
    asked.close()
    return answer.status, text


def test_only_its_own_name_is_answered(served):
    port = urlsplit(served.url).port
    assert status(served.url)[0] == 200
    # A tunnel ends at another port.
    for name in (f"localhost:{port}", "localhost:9000", f"10.1.2.3:{port}"):
        assert status(served.url, Host=name)[0] == 200
    assert status(served.url, Origin="http://evil.example")[0] == 403
    for path in ("/autoload.js?bokeh-autoload-element=1", "/metadata"):
        assert status(served.url, path)[0] == 403
    for name in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", ""):
        code, text = status(served.url, Host=name)
        assert (code, "session" in text.lower()) == (403, False)
        assert status(served.url, "/static/js/bokeh.min.js", Host=name)[0] == 403


# The client lets go of refused sockets without closing them.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:Exception ignored in.*socket")
def test_a_page_elsewhere_cannot_open_a_socket(served):
    from tornado.httpclient import HTTPClientError, HTTPRequest
    from tornado.websocket import websocket_connect

    _, text = status(served.url)
    token = re.search(r'"token":"([^"]+)"', text)[1]
    address = served.url.replace("http", "ws") + "ws"

    async def connect(origin, token):
        request = HTTPRequest(address, headers={"Origin": origin})
        socket = await websocket_connect(request, subprotocols=["bokeh", token])
        answer = await asyncio.wait_for(socket.read_message(), 20)
        socket.close()
        await asyncio.sleep(0.2)
        return answer

    with pytest.raises(HTTPClientError, match="403"):
        asyncio.run(connect("http://evil.example", token))
    assert asyncio.run(connect(served.url.rstrip("/"), token)) is not None
    # A session's id that nobody here signed opens nothing.
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    assert asyncio.run(connect(served.url.rstrip("/"), forged)) is None
    gc.collect()


def test_others_need_the_token(archive):
    with running(archive, host="127.0.0.1") as served:
        bare = served.url.partition("?")[0]
        assert "?token=" in served.url
        assert status(served.url)[0] == 200
        for path in ("/", "/?token=", "/?token=x", "/autoload.js?bokeh-autoload-element=1", "/x"):
            code, text = status(bare, path)
            assert code == 403
            assert "token" in text


def test_by_default_nobody_else_can_reach_it(served):
    assert urlsplit(served.url).hostname == "127.0.0.1"
    with pytest.raises(LatentscopeError, match="cannot listen there"):
        serve(None, port=urlsplit(served.url).port)


def test_no_file_outside_the_folder_is_read(folder, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    table = pd.read_csv(folder / "latents.csv")
    shutil.copy(table["file"][0], inside)
    shutil.copy(folder / "latents.npy", tmp_path)
    shutil.copy(folder / "latents.json", tmp_path)
    table.loc[1, "file"] = "/etc/passwd"
    table.loc[2, "file"] = "../../../etc/passwd"
    table.to_csv(tmp_path / "latents.csv", index=False)
    archive = read_archive(tmp_path / "latents.npy", spectra=inside)
    assert archive.shown(0).flux is not None
    for row in (1, 2, 3):
        shown = archive.shown(row)
        assert shown.flux is None
        assert "no such file in" in shown.note


def test_an_upload_is_data_whatever_its_name_says(archive, folder):
    data = next((folder / "spectra").glob("*.fits")).read_bytes()
    shown = archive.uploaded("../../<b>x\n.fits", data)
    assert shown.title.endswith("<b>x\\n.fits")
    assert np.isfinite(shown.values).all()
    with pytest.raises(SpectrumError, match="64 MB at most"):
        archive.uploaded("big", b"0" * (LARGEST_UPLOAD + 1))
    with pytest.raises(SpectrumError, match=r"^odd\.fits"):
        archive.uploaded("odd.fits", b"SIMPLE  = T")


def test_no_text_is_taken_for_a_formula():
    for hostile in ("$$x$$<img>", "\\(x\\)", "\\[x\\]"):
        assert not re.search(r"\$\$|\\\(|\\\[", plain(hostile))
    assert plain("[Fe/H] (dex) $5") == "[Fe/H] (dex) $5"


finite = st.floats(-1e3, 1e3).map(lambda value: float(f"{value:.4g}"))
COLUMNS = ["dim 0", "Teff & co", "[M/H]"]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        View,
        row=st.integers(-1, 9),
        moved=st.dictionaries(st.integers(0, 4), finite).map(lambda it: tuple(it.items())),
        x=st.sampled_from(["", *COLUMNS]),
        y=st.sampled_from(["", *COLUMNS]),
        color=st.sampled_from(["", *COLUMNS]),
        first=st.just(5000.25),
        last=st.just(5100.5),
        rv=finite.map(lambda value: round(value, 3)),
        smooth=st.sampled_from([0.0, 3.0]),
    )
)
def test_the_address_says_all_of_a_view(view):
    from urllib.parse import parse_qs

    given = {name: [it.encode() for it in values] for name, values in parse_qs(view.query).items()}
    assert read_view(given, 10, 5, COLUMNS) == view


@given(
    st.dictionaries(
        st.sampled_from(["row", "z", "x", "wavelength", "rv", "smooth"]), st.binary(max_size=30)
    )
)
def test_an_address_that_makes_no_sense_is_the_whole_view(given):
    view = read_view({name: [value] for name, value in given.items()}, 10, 5, COLUMNS)
    assert -1 <= view.row < 10
    assert all(0 <= dim < 5 and np.isfinite(value) for dim, value in view.moved)
    assert view.x in ("", *COLUMNS)
    assert 0 <= view.smooth <= 1000
