from __future__ import annotations

import hashlib
import socket

import pytest

from latentscope.errors import LatentscopeWarning, ModelError
from latentscope.models.download import ATTEMPTS, check_url, fetch, url_filename

DATA = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(DATA).hexdigest()


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
        with pytest.raises(ModelError, match=r"(?i)refused.*network connection"):
            fetch(url, tmp_path / "cache")


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>moved", b"\n <html><body>log in</body>"])
def test_a_web_page_is_no_model(page, address, file_server, tmp_path):
    file_server.files["/data/weights.bin"] = page
    with pytest.raises(ModelError, match="web page"):
        fetch(address, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


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
