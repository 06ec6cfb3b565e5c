from __future__ import annotations

import hashlib
import socket

import pytest

from latentscope.errors import LatentscopeWarning, ModelError
from latentscope.models.download import check_url, download, fetch, url_filename

DATA = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def address(file_server):
    file_server.files["/data/weights.bin"] = DATA
    return f"{file_server.url}/data/weights.bin"


def ranges(server):
    return [asked for _, _, asked in server.log]


def test_a_file_arrives_whole_and_nothing_else_is_left(address, file_server, tmp_path):
    path = fetch(address, tmp_path / "cache", sha256=DIGEST)
    assert path == tmp_path / "cache" / "weights.bin"
    assert path.read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]
    fetch(address, tmp_path / "cache", sha256=DIGEST)
    assert len(file_server.log) == 1


def test_a_broken_transfer_is_resumed_where_it_stopped(address, file_server, tmp_path):
    file_server.faults["/data/weights.bin"] = ["cut", "cut"]
    download(address, tmp_path / "w", pause=0)
    assert (tmp_path / "w").read_bytes() == DATA
    half = len(DATA) // 2
    assert ranges(file_server) == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_a_server_without_ranges_makes_it_start_anew(address, file_server, tmp_path):
    file_server.ranges = False
    file_server.faults["/data/weights.bin"] = ["cut"]
    download(address, tmp_path / "w", pause=0)
    assert (tmp_path / "w").read_bytes() == DATA


def test_a_server_that_resumes_at_another_byte_is_not_believed(address, file_server, tmp_path):
    file_server.faults["/data/weights.bin"] = ["cut", "wrong range"]
    download(address, tmp_path / "w", pause=0)
    assert (tmp_path / "w").read_bytes() == DATA
    assert ranges(file_server)[2] is None


def test_a_file_that_changed_between_attempts_is_not_pieced_together(
    address, file_server, tmp_path, monkeypatch
):
    newer = DATA[::-1]
    file_server.faults["/data/weights.bin"] = ["cut"]
    monkeypatch.setattr(
        "latentscope.models.download.time.sleep",
        lambda _: file_server.files.update({"/data/weights.bin": newer}),
    )
    download(address, tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == newer


@pytest.mark.parametrize("fault", ["503", "429", "hang up"])
def test_a_passing_fault_is_tried_again(fault, address, file_server, tmp_path):
    file_server.faults["/data/weights.bin"] = [fault]
    download(address, tmp_path / "w", pause=0)
    assert (tmp_path / "w").read_bytes() == DATA


def test_a_lasting_fault_says_how_far_it_came(address, file_server, tmp_path):
    file_server.faults["/data/weights.bin"] = ["cut"] + 3 * ["503"]
    with pytest.raises(ModelError, match=r"failed 4 times, last with: 503"):
        fetch(address, tmp_path / "cache", pause=0)
    file_server.faults["/data/weights.bin"] = ["cut"]
    with pytest.raises(ModelError, match=rf"broken off after {len(DATA) // 2} of {len(DATA)} byte"):
        download(address, tmp_path / "w", attempts=1)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, "there is no such file"), (410, "gone"), (403, "the server refuses")],
)
def test_a_refusal_is_told_at_once(status, message, address, file_server, tmp_path):
    file_server.faults["/data/weights.bin"] = [str(status)]
    with pytest.raises(ModelError, match=message) as caught:
        fetch(address, tmp_path / "cache")
    assert address in str(caught.value)
    assert len(file_server.log) == 1
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_network_is_told(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/weights.bin"
        with pytest.raises(ModelError, match=r"(?i)refused.*network connection"):
            download(url, tmp_path / "w", attempts=2, pause=0)


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>moved", b"\n <html><body>log in</body>"])
def test_a_web_page_is_no_model(page, address, file_server, tmp_path):
    file_server.files["/data/weights.bin"] = page
    with pytest.raises(ModelError, match="web page"):
        fetch(address, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_with_another_hash_is_refused_and_not_kept(address, file_server, tmp_path):
    file_server.files["/data/weights.bin"] = DATA[:-1] + b"x"
    with pytest.raises(ModelError, match=f"wanted {DIGEST}"):
        fetch(address, tmp_path / "cache", sha256=DIGEST)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cached_file_that_changed_is_refused(address, tmp_path):
    path = fetch(address, tmp_path / "cache", sha256=DIGEST)
    path.write_bytes(DATA + b"x")
    with pytest.raises(ModelError, match=r"weights\.bin has changed.*delete it"):
        fetch(address, tmp_path / "cache", sha256=DIGEST)


def test_without_a_published_hash_the_first_one_seen_is_trusted_and_then_held(
    address, file_server, tmp_path
):
    with pytest.warns(LatentscopeWarning, match=DIGEST):
        path = fetch(address, tmp_path / "cache")
    pin = path.with_name("weights.bin.sha256")
    assert pin.read_text() == f"{DIGEST}  weights.bin\n"
    assert fetch(address, tmp_path / "cache") == path
    path.write_bytes(b"other")
    with pytest.raises(ModelError, match=f"wanted {DIGEST}"):
        fetch(address, tmp_path / "cache")
    path.unlink()
    file_server.files["/data/weights.bin"] = b"other"
    with pytest.raises(ModelError, match=r"another file.*remove .*weights\.bin\.sha256"):
        fetch(address, tmp_path / "cache")
    pin.write_text("no hash\n")
    with pytest.raises(ModelError, match="holds no SHA-256"):
        fetch(address, tmp_path / "cache")


def test_a_file_put_into_the_cache_by_hand_is_taken(address, file_server, tmp_path):
    (tmp_path / "weights.bin").write_bytes(DATA)
    with pytest.warns(LatentscopeWarning, match="recorded"):
        assert fetch(address, tmp_path).read_bytes() == DATA
    assert file_server.log == []


@pytest.mark.parametrize(
    "url", ["http://example.org/m.pth.tar", "ftp://127.0.0.1/m", "file:///etc/hosts", "https:///m"]
)
def test_models_come_over_https_only(url):
    with pytest.raises(ModelError, match="https"):
        check_url(url)
    check_url("https://example.org/m.pth.tar")


def test_the_file_name_of_an_address_has_no_query():
    assert url_filename("https://example.org/a%20b/model%20v1.pth.tar?download=1") == (
        "model v1.pth.tar"
    )
    assert url_filename("https://example.org/folder/") == ""
