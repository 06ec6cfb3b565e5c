"""Model files from the web, through pooch: whole and verified, or absent."""

from __future__ import annotations

import os
import sys
import urllib.parse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentscope.errors import LatentscopeWarning, ModelError
from latentscope.files import atomic_path, file_sha256

if TYPE_CHECKING:
    import requests

ATTEMPTS = 4
TIMEOUT = 30.0  # seconds without a byte after which an attempt has failed

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PASSING = (408, 416, 429)  # besides 5xx: what a server may answer otherwise a second later
_PAGES = (b"<!doctype", b"<html", b"<?xml")


class _RefusedError(Exception):
    """No reason to try again. No ValueError, as all of ours are: pooch would try those again."""


def url_filename(url: str) -> str:
    """Return the last part of a URL's path, unquoted; '' if the path ends in '/'."""
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path).rsplit("/", 1)[-1]


def check_url(url: str) -> None:
    """Raise ModelError unless `url` is https (or http on this machine)."""
    parts = urllib.parse.urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not (parts.scheme == "https" or local) or not parts.hostname:
        raise ModelError(f"{url}: models are loaded over https:// only, so that nobody swaps them")


def fetch(url: str, folder: Path, *, sha256: str | None = None) -> Path:
    """Return the path of `url`'s file in `folder`, downloaded if it is not there.

    The file is verified each time: against `sha256`, or where none is known against the hash that
    was recorded beside it (FILE.sha256, in the layout of sha256sum) when it was first seen. A file
    that has changed since is downloaded again.

    Raises
    ------
    ModelError
        If the file cannot be downloaded, or is not the one that was expected.

    Warns
    -----
    LatentscopeWarning
        When a hash is recorded because none was published.
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

    length = 0

    def check(response: requests.Response, **_: Any) -> None:
        nonlocal length
        length = int(response.headers.get("Content-Length", 0))
        reason = _refusal(response)
        if reason:
            response.close()
            raise _RefusedError(reason)

    # pooch's temporary file is its owner's alone; one that open() makes is as readable as others.
    os.unlink(output)
    pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=1 << 18,
        timeout=TIMEOUT,
        # Not compressed on the way, so that what comes is as long as is said.
        headers={"User-Agent": "latentscope", "Accept-Encoding": "identity"},
        hooks={"response": check},
    )(url, output, None)
    size = os.path.getsize(output)
    if size < length:  # older versions of urllib3 do not notice
        raise requests.ConnectionError(f"broken off after {size} of {length} bytes")
    with open(output, "rb") as file:
        start = file.read(256).lstrip().lower()
    if start.startswith(_PAGES):
        raise _RefusedError(
            "the server sent a web page and no model file; has it moved, or is it behind a login? "
            "Open the address in a browser to see"
        )


def _refusal(response: requests.Response) -> str:
    """Why an answer is final; empty where there is a file in it, or a later attempt may help."""
    if response.is_redirect:
        try:
            check_url(urllib.parse.urljoin(response.url, response.headers["Location"]))
        except ModelError as error:
            return f"leads elsewhere: {error}"
    status = response.status_code
    if not 400 <= status < 500 or status in _PASSING:
        return ""
    what = {404: "there is no such file", 410: "the file is gone"}.get(status, "the server refuses")
    return f"{what} ({status} {response.reason}); check the address"


def _read_pin(pin: Path) -> str | None:
    if not pin.exists():
        return None
    words = pin.read_text(encoding="utf-8").split()
    if not words or len(words[0]) != 64:
        raise ModelError(f"{pin}: holds no SHA-256; remove it to record the file's hash anew")
    return words[0]


def _record_pin(pin: Path, path: Path) -> None:
    digest = file_sha256(path)
    with atomic_path(pin) as temporary:
        temporary.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    warnings.warn(
        f"{path.name}: no SHA-256 is published for this file, so it is trusted as it came; its "
        f"hash {digest} is recorded in {pin} and must be the same from now on",
        LatentscopeWarning,
        stacklevel=3,
    )
