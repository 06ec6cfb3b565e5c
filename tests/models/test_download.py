from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

import latentscope.files as files
import latentscope.models.download as download
from latentscope.errors import LatentscopeWarning, ModelError
from latentscope.models.download import ATTEMPTS, check_url, fetch, url_filename

DATA = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(DATA).hexdigest()


def safetensors(tensors, size):
    """A safetensors file of so many bytes of data; `tensors` are (name -> places)."""
    if isinstance(tensors, dict):
        tensors = {
            name: value
            if name.startswith("__")
            else {"dtype": "U8", "shape": [value[1]], "data_offsets": value}
            for name, value in tensors.items()
        }
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.fixture
def address(file_server):
    file_server.files["/data/weights.bin"] = DATA
    return f"{file_server.url}/data/weights.bin"


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Seconds between attempts, which the tests do not wait."""
    asked = []
    monkeypatch.setattr("pooch.core.time.sleep", asked.append)
    return asked


def test_a_file_arrives_whole_and_nothing_else_is_left(address, file_server, tmp_path):
    path = fetch(address, tmp_path / "cache", sha256=DIGEST)
    assert path == tmp_path / "cache" / "weights.bin"
    assert path.read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]
    fetch(address, tmp_path / "cache", sha256=DIGEST)
    assert len(file_server.log) == 1


def test_a_broken_transfer_is_begun_anew(address, file_server, tmp_path, pauses):
    file_server.faults["/data/weights.bin"] = ["cut", "cut"]
    path = fetch(address, tmp_path / "cache", sha256=DIGEST)
    assert path.read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]
    assert len(file_server.log) == 3
    assert pauses == sorted(pauses)
    assert len(pauses) == 2


def test_a_broken_transfer_is_noticed_without_a_hash(address, file_server, tmp_path, monkeypatch):
    file_server.faults["/data/weights.bin"] = ["cut"] * ATTEMPTS
    with pytest.raises(ModelError, match=f"failed {ATTEMPTS} times"):
        fetch(address, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    # A urllib3 that does not compare lengths leaves it to us.
    monkeypatch.setattr(
        "urllib3.response.HTTPResponse.enforce_content_length", False, raising=False
    )
    file_server.faults["/data/weights.bin"] = ["cut"] * ATTEMPTS
    with pytest.raises(ModelError, match=str(len(DATA) // 2)):
        fetch(address, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_is_not_pieced_together_from_two(address, file_server, tmp_path, monkeypatch):
    newer = DATA[::-1]
    file_server.faults["/data/weights.bin"] = ["cut"]
    monkeypatch.setattr(
        "pooch.core.time.sleep",
        lambda _: file_server.files.update({"/data/weights.bin": newer}),
    )
    with pytest.warns(LatentscopeWarning, match="recorded"):
        assert fetch(address, tmp_path / "cache").read_bytes() == newer


def test_others_may_read_the_file_as_the_umask_says(address, tmp_path):
    path = fetch(address, tmp_path / "cache", sha256=DIGEST)
    (tmp_path / "other").write_text("")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("fault", ["503", "429", "hang up"])
def test_a_passing_fault_is_tried_again(fault, address, file_server, tmp_path):
    file_server.faults["/data/weights.bin"] = [fault]
    assert fetch(address, tmp_path / "cache", sha256=DIGEST).read_bytes() == DATA


def test_a_lasting_fault_gives_up_and_says_why(address, file_server, tmp_path):
    file_server.faults["/data/weights.bin"] = ["cut"] + 3 * ["503"]
    with pytest.raises(ModelError, match=r"failed 4 times, last with: 503"):
        fetch(address, tmp_path / "cache")
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
        begin = time.monotonic()
        with pytest.raises(ModelError, match=r"no answer.*network connection"):
            fetch(url, tmp_path / "cache")
        assert time.monotonic() - begin < 20  # 3 s where nothing else runs; four attempts take more


def test_a_name_server_that_is_not_there_is_not_waited_for(tmp_path, monkeypatch):
    done = threading.Event()

    def silent(*_):
        done.wait(60)
        raise OSError

    monkeypatch.setattr(download, "CONNECT", 0.1)
    monkeypatch.setattr(download.socket, "create_connection", silent)
    with pytest.raises(ModelError, match="no answer"):
        fetch("https://nowhere.example/weights.bin", tmp_path / "cache")
    done.set()


def test_the_proxy_is_asked_where_there_is_one(address, file_server, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", file_server.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert download.answers("https://nowhere.example/weights.bin")


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>moved", b"\n <html><body>log in</body>"])
def test_a_web_page_is_no_model(page, address, file_server, tmp_path):
    file_server.files["/data/weights.bin"] = page
    with pytest.raises(ModelError, match="web page"):
        fetch(address, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        (
            "model.safetensors",
            b'{"error": "quota exceeded"}',
            "not a complete safetensors.*quota exceeded",
        ),
        ("model.safetensors", b"", "not a complete safetensors"),
        ("model.safetensors", safetensors({"w": [0, 4000]}, 3999), "not a complete safetensors"),
        ("model.safetensors", safetensors([[[]]], 4), "not a complete safetensors"),
        ("model.safetensors", b"\xff" * 64, "not a complete safetensors"),
        (
            "config.json",
            b'{"error": "quota exceeded"}',
            r"no config\.json of a model: format is None",
        ),
        ("config.json", b"\x1b[31mtry later", "no config.json of a model: cannot be read as JSON"),
        ("own.pth.tar", b"\x1b[31mtry later", r"not a complete checkpoint.*\\x1b\[31mtry later"),
        ("own.pth.tar", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    ],
)
def test_an_error_message_is_neither_kept_nor_trusted(name, answer, message, file_server, tmp_path):
    file_server.files[f"/m/{name}"] = answer
    url = f"{file_server.url}/m/{name}"
    with pytest.raises(ModelError, match=message):
        fetch(url, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_whole_weights_are_kept(file_server, tmp_path):
    data = safetensors({"__metadata__": {"a": "b"}, "w": [0, 4000]}, 4000)
    file_server.files["/m/model.safetensors"] = data
    with pytest.warns(LatentscopeWarning, match="recorded"):
        path = fetch(f"{file_server.url}/m/model.safetensors", tmp_path)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ("abc", "the server says that the file has 'abc' bytes"),
        ("-5", "'-5' bytes"),
        ("9" * 40, "'999"),
        ("4000", "not a complete safetensors"),  # less than there is
    ],
)
def test_a_wrong_length_is_one_error_at_once(length, message, file_server, tmp_path):
    file_server.files["/m/model.safetensors"] = safetensors({"w": [0, 4000]}, 4000)
    file_server.lengths["/m/model.safetensors"] = length
    begun = time.monotonic()
    with pytest.raises(ModelError, match=message):
        fetch(f"{file_server.url}/m/model.safetensors", tmp_path / "cache")
    assert time.monotonic() - begun < 5
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_without_a_length_arrives(address, file_server, tmp_path):
    file_server.lengths["/data/weights.bin"] = None
    assert fetch(address, tmp_path / "cache", sha256=DIGEST).read_bytes() == DATA


@pytest.mark.parametrize(
    ("start", "target", "why"),
    [
        ("https://example.org/m", "https://169.254.169.254/secret", "inside this network"),
        ("https://example.org/m", "https://[::1]/m", "inside this network"),
        ("https://example.org/m", "https://127.1/m", "inside this network"),
        ("https://example.org/m", "http://localhost:8080/m", "inside this network"),
        ("https://example.org/m", "http://example.org/m", "https://"),
        ("https://example.org/m", "file:///etc/passwd", "https://"),
        ("https://example.org/m", "//10.0.0.8/m", "inside this network"),
        ("https://example.org/m", "https://[::1/m", "leads elsewhere"),
        ("https://example.org/m", "https://cdn.example.com/m", ""),
        ("https://example.org/m", "/elsewhere/m", ""),
        ("https://10.0.0.8/m", "https://10.0.0.9/m", ""),
        ("http://127.0.0.1:80/m", "http://127.0.0.1:81/m", ""),
    ],
)
def test_where_an_address_leads_is_judged_before_it_is_asked(start, target, why):
    answer = SimpleNamespace(
        is_redirect=True, url=start, headers={"Location": target}, status_code=302, reason="Found"
    )
    reason = download._refusal(answer, start)
    assert bool(reason) == bool(why)
    assert why in reason


def test_a_target_that_is_refused_is_never_asked(file_server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_is_inside", lambda url: "moved" not in url)
    file_server.files["/data/weights.bin"] = DATA
    file_server.redirects["/moved/weights.bin"] = "/data/weights.bin"
    with pytest.raises(ModelError, match="inside this network"):
        fetch(f"{file_server.url}/moved/weights.bin", tmp_path / "cache")
    assert [path for _, path in file_server.log] == ["/moved/weights.bin"]


KILLED = """
import os, signal, sys
from pathlib import Path
from latentscope.models import download

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

download.content_fault = kill
download.fetch(sys.argv[1], Path(sys.argv[2]))
"""


def test_what_a_killed_download_left_is_removed_by_the_next(address, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_FRESH", 0.0)
    files._sweep.cache_clear()
    cache = tmp_path / "cache"
    done = subprocess.run([sys.executable, "-c", KILLED, address, str(cache)])
    assert done.returncode == -signal.SIGKILL
    assert len(list(cache.iterdir())) == 1
    path = fetch(address, cache, sha256=DIGEST)
    assert list(cache.iterdir()) == [path]
    files._sweep.cache_clear()


def test_a_file_with_another_hash_is_refused_and_not_kept(address, file_server, tmp_path):
    file_server.files["/data/weights.bin"] = DATA[:-1] + b"x"
    with pytest.raises(ModelError, match=f"expected SHA-256 {DIGEST}"):
        fetch(address, tmp_path / "cache", sha256=DIGEST)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cached_file_that_changed_is_downloaded_again(address, file_server, tmp_path):
    path = fetch(address, tmp_path / "cache", sha256=DIGEST)
    path.write_bytes(DATA + b"x")
    assert fetch(address, tmp_path / "cache", sha256=DIGEST).read_bytes() == DATA
    path.write_bytes(DATA + b"x")
    file_server.files.clear()
    with pytest.raises(ModelError):
        fetch(address, tmp_path / "cache", sha256=DIGEST)


def test_a_cache_that_cannot_be_written_is_named(address, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"cannot be kept in .*LATENTSCOPE_CACHE"):
        fetch(address, tmp_path / "file" / "cache", sha256=DIGEST)


def test_a_redirection_is_followed_but_not_away_from_https(address, file_server, tmp_path):
    moved = f"{file_server.url}/moved/weights.bin"
    file_server.redirects["/moved/weights.bin"] = "/data/weights.bin"
    assert fetch(moved, tmp_path / "cache", sha256=DIGEST).read_bytes() == DATA
    file_server.redirects["/moved/weights.bin"] = "http://latentscope.invalid/weights.bin"
    with pytest.raises(ModelError, match=r"latentscope\.invalid.*https"):
        fetch(moved, tmp_path / "other", sha256=DIGEST)
    assert list((tmp_path / "other").iterdir()) == []


def test_without_a_published_hash_the_first_one_seen_is_trusted_and_then_held(
    address, file_server, tmp_path
):
    with pytest.warns(LatentscopeWarning, match=DIGEST):
        path = fetch(address, tmp_path / "cache")
    pin = path.with_name("weights.bin.sha256")
    assert pin.read_text() == f"{DIGEST}  weights.bin\n"
    assert fetch(address, tmp_path / "cache") == path
    path.write_bytes(b"other")
    assert fetch(address, tmp_path / "cache").read_bytes() == DATA
    path.unlink()
    file_server.files["/data/weights.bin"] = b"other"
    with pytest.raises(ModelError, match=rf"{DIGEST}.*remove .*weights\.bin\.sha256"):
        fetch(address, tmp_path / "cache")
    pin.write_text("no hash\n")
    with pytest.raises(ModelError, match="is no SHA-256"):
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
