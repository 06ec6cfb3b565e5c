"""Model files from the web, through pooch: whole and verified, or absent."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import threading
import urllib.parse
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from latentscope.errors import ModelError, printable, warn
from latentscope.files import atomic_path, file_sha256
from latentscope.models.config import CONFIG_FILE, read_config

if TYPE_CHECKING:
    import requests

ATTEMPTS = 4
TIMEOUT = 30.0  # seconds without a byte after which an attempt has failed

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PASSING = (408, 416, 429)  # besides 5xx: what a server may answer otherwise a second later
_PAGES = (b"<!doctype", b"<html", b"<?xml")
_POINTER = b"version https://git-lfs"
CHECKPOINT_SUFFIXES = (".pth.tar", ".pth", ".pt", ".ckpt", ".tar")

CONNECT = 2.0  # seconds in which an address must take a connection


def answers(url: str) -> bool:
    """Whether a server (or the proxy before it) takes a connection within 2 s.

    Without a network it takes name servers 20 s to say so, at each attempt.
    """
    import requests.utils

    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    parts = urllib.parse.urlsplit(proxy or url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    answered = threading.Event()

    def connect() -> None:
        with suppress(OSError), socket.create_connection((parts.hostname, port), CONNECT):
            answered.set()

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT)
    return answered.is_set()


class _RefusedError(Exception):
    """No reason to try again. No ValueError, as all of ours are: pooch would try those again."""


def url_filename(url: str) -> str:
    """Return the last part of a URL's path, unquoted; '' if the path ends in '/'."""
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path).rsplit("/", 1)[-1]


def check_url(url: str) -> None:
    """Raise ModelError unless `url` is https (or http on this machine)."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise ModelError(f"{url}: is not an address ({error})") from None
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not (parts.scheme == "https" or local) or not parts.hostname:
        raise ModelError(f"{url}: models are loaded over https:// only")


def fetch(url: str, folder: Path, *, sha256: str | None = None) -> Path:
    """Return the path of `url`'s file in `folder`, downloaded if it is not there.

    A file that cannot be what its name says, such as an error message, is not kept. The file is
    verified each time: against `sha256`, or where none is known against the hash that was recorded
    beside it (FILE.sha256, in the layout of sha256sum), with a warning, when it was first seen. A
    file that has changed since is downloaded again. A ModelError if it cannot be downloaded, or is
    not the one that was expected.
    """
    # A quarter of a second to import both, and most models are here already.
    import pooch
    import requests

    check_url(url)
    path = folder / url_filename(url)
    pin = path.with_name(f"{path.name}.sha256")
    expected = sha256 or _read_pin(pin)
    cache = pooch.create(
        folder,
        base_url="",
        registry={path.name: expected},
        urls={path.name: url},
        retry_if_failed=ATTEMPTS - 1,
    )
    try:
        cache.fetch(path.name, downloader=_download)
    except _RefusedError as error:
        raise ModelError(f"{url}: {error}") from None
    except requests.RequestException as error:
        raise ModelError(
            f"{url}: download failed {ATTEMPTS} times, last with: {error}. Is there a network "
            "connection? A file fetched by other means loads by its path"
        ) from error
    except OSError as error:
        raise ModelError(
            f"{url}: cannot be kept in {folder} ({error}); LATENTSCOPE_CACHE can name another "
            "folder"
        ) from error
    except ValueError as error:  # what pooch says of a hash
        remedy = f"remove {pin}" if sha256 is None else "a newer latentscope may know it"
        raise ModelError(
            f"{url} gave another file, {ATTEMPTS} times ({error}); expected SHA-256 {expected}. If "
            f"the change is expected, {remedy}"
        ) from error
    if expected is None:
        _record_pin(pin, path)
    return path


def _download(url: str, output: str, _: Any) -> None:
    """Download to a temporary file for pooch, with a bar on a terminal."""
    import pooch
    import requests

    if not answers(url):
        raise _RefusedError(
            "no answer. Is there a network connection? A file fetched by other means "
            "loads by its path, or from the folder that LATENTSCOPE_WEIGHTS names"
        )
    length = 0

    def check(response: requests.Response, **_: Any) -> None:
        nonlocal length
        reason = _refusal(response, url)
        announced = response.headers.get("Content-Length", "0")
        if not reason and not (announced.isdecimal() and len(announced) < _DIGITS):
            reason = f"the server says that the file has {announced!r} bytes"
        if reason:
            response.close()
            raise _RefusedError(reason)
        length = int(announced)

    # pooch's temporary file is its owner's alone; one that open() makes is as readable as others,
    # and a killed run leaves nothing of it.
    os.unlink(output)
    with atomic_path(output) as temporary:
        pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(),
            chunk_size=1 << 18,
            timeout=TIMEOUT,
            # Not compressed on the way, so that what comes is as long as is said.
            headers={"User-Agent": "latentscope", "Accept-Encoding": "identity"},
            hooks={"response": check},
        )(url, str(temporary), None)
        size = temporary.stat().st_size
        if size < length:  # older versions of urllib3 do not notice
            raise requests.ConnectionError(f"broken off after {size} of {length} bytes")
        fault = content_fault(temporary, url_filename(url))
        if fault:
            raise _RefusedError(f"the server sent something else: it {fault}")


_DIGITS = 16


def _refusal(response: requests.Response, url: str) -> str:
    """Why an answer is final; empty if it has a file or a later attempt may help."""
    if response.is_redirect:
        try:
            target = urllib.parse.urljoin(response.url, response.headers["Location"])
            check_url(target)
        except ValueError as error:  # of ours, or what is not an address
            return f"leads elsewhere: {error}"
        if _is_inside(target) and not _is_inside(url):
            return f"leads to {target}, which is inside this network; the address itself is not"
    status = response.status_code
    if not 400 <= status < 500 or status in _PASSING:
        return ""
    what = {404: "there is no such file", 410: "the file is gone"}.get(status, "the server refuses")
    return f"{what} ({status} {response.reason}); check the address"


def _is_inside(url: str) -> bool:
    """Whether an address names this machine or one of its own network by a number."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        # As the system reads it, for which 127.1 and 0x7f000001 are numbers too.
        number = ipaddress.ip_address(host if ":" in host else socket.inet_aton(host))
    except (OSError, ValueError):
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(number, "ipv4_mapped", None)
    return not (mapped or number).is_global


def content_fault(path: Path, name: str) -> str:
    """Say why a file cannot be what its name says; empty where it may be."""
    with path.open("rb") as file:
        start = file.read(256)
    if start.lstrip().lower().startswith(_PAGES):
        return (
            "is a web page and no model file; has it moved, or is it behind a login? Open the "
            "address in a browser to see"
        )
    if start.startswith(_POINTER):
        return "is a pointer of Git LFS; use the address of the file itself (/resolve/, not /raw/)"
    begins = f"begins with {printable(start[:60].decode('utf-8', 'surrogateescape'))!r}"
    if name == CONFIG_FILE:
        try:
            read_config(path)
        except ModelError as error:
            return f"is no {name} of a model: {str(error).removeprefix(f'{path}: ')}"
    if name.endswith(".safetensors") and not _is_safetensors(path):
        return f"is not a complete safetensors file: it {begins}"
    # torch.save writes a zip archive; before 1.6 it wrote a pickle.
    stored = zipfile.is_zipfile(path) or start.startswith(b"\x80")
    if name.endswith(CHECKPOINT_SUFFIXES) and not stored:
        return f"is not a complete checkpoint: it {begins}"
    return ""


def _is_safetensors(path: Path) -> bool:
    """Whether the header of a safetensors file is whole, and the file as long as it says."""
    try:
        with safe_open(path, "np"):
            return True
    except SafetensorError:
        return False


def _read_pin(pin: Path) -> str | None:
    if not pin.exists():
        return None
    words = pin.read_text(encoding="utf-8").split()
    if not words or len(words[0]) != 64:
        raise ModelError(f"{pin}: is no SHA-256; remove it to record the file's hash anew")
    return words[0]


def _record_pin(pin: Path, path: Path) -> None:
    digest = file_sha256(path)
    with atomic_path(pin) as temporary:
        temporary.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    warn(
        f"{path.name}: no SHA-256 is published for this file, so it is trusted as it came; its "
        f"hash {digest} is recorded in {pin} and must be the same from now on"
    )
