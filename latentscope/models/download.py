"""Model files from the web: whole and verified, or absent."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from latentscope.errors import LatentscopeWarning, ModelError
from latentscope.files import atomic_path

CHUNK = 1 << 18
LOOPBACK = ("localhost", "127.0.0.1", "::1")

Report = Callable[[int, int | None], None]  # bytes received so far, bytes in all


class _InterruptedError(Exception):
    """A transfer failed in a way that may pass: try again, from where it stopped if possible."""


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def url_filename(url: str) -> str:
    """Return the last part of a URL's path, unquoted; '' if the path ends in '/'."""
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path).rsplit("/", 1)[-1]


def check_url(url: str) -> None:
    """Raise ModelError unless `url` is https (or http on this machine)."""
    parts = urllib.parse.urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not (parts.scheme == "https" or local) or not parts.hostname:
        raise ModelError(f"{url}: models are loaded over https:// only, so that nobody swaps them")


def fetch(url: str, folder: Path, *, sha256: str | None = None, pause: float = 1.0) -> Path:
    """Return the path of `url`'s file in `folder`, downloading it if it is not there.

    The file is verified each time: against `sha256`, or where none is known against the hash that
    was recorded beside it (FILE.sha256, in the layout of sha256sum) when it was first seen.

    Parameters
    ----------
    url : str
        An https address.
    folder : Path
        Folder of the cache.
    sha256 : str, optional
        The published hash.
    pause : float
        Seconds before the second attempt; doubled after each.

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If the file cannot be downloaded, or is not the one that was wanted.

    Warns
    -----
    LatentscopeWarning
        When a hash is recorded because none was published.
    """
    path = folder / url_filename(url)
    pin = path.with_name(f"{path.name}.sha256")
    wanted = sha256 or _read_pin(pin)
    if not path.exists():
        with atomic_path(path) as temporary:
            download(url, temporary, pause=pause)
            remedy = f"remove {pin}" if sha256 is None else "a newer latentscope may know it"
            _verify(temporary, wanted, f"{url} gave another file", remedy)
    elif wanted is not None:
        _verify(path, wanted, f"{path} has changed", "delete it and it is downloaded again")
    if wanted is None:
        _record_pin(pin, path)
    return path


def download(
    url: str, path: Path, *, attempts: int = 4, pause: float = 1.0, timeout: float = 30.0
) -> None:
    """Download `url` to `path`, with a progress bar on a terminal.

    A transfer that breaks off is resumed where the server allows it (Range with If-Range), else
    started anew.

    Parameters
    ----------
    url : str
    path : Path
        A file that nobody reads before this function has returned.
    attempts : int
        How often to try.
    pause : float
        Seconds before the second attempt; doubled after each.
    timeout : float
        Seconds without an answer after which an attempt has failed.

    Raises
    ------
    ModelError
        If the address does not exist, refuses, gives a web page, or the attempts are used up.
    """
    check_url(url)
    path.unlink(missing_ok=True)
    etag: str | None = None
    with _progress_bar(url_filename(url)) as report:
        for attempt in range(attempts):
            try:
                with _open(url, path, etag, timeout) as response:
                    etag = response.headers.get("ETag")
                    _receive(response, path, report)
                break
            except _InterruptedError as error:
                if attempt + 1 == attempts:
                    raise ModelError(
                        f"{url}: download failed {attempts} times, last with: {error}. Is there a "
                        "network connection? A file fetched by other means loads by its path"
                    ) from error
                time.sleep(pause * 2**attempt)
    _reject_page(url, path)


def _open(url: str, path: Path, etag: str | None, timeout: float) -> http.client.HTTPResponse:
    headers = {"User-Agent": "latentscope"}
    if path.exists() and etag is not None and not etag.startswith("W/"):
        headers |= {"Range": f"bytes={path.stat().st_size}-", "If-Range": etag}
    request = urllib.request.Request(url, headers=headers)
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            status, reason = error.code, error.reason
        raise _refusal(url, status, reason) from None
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(getattr(error, "reason", None) or error) from error
    check_url(response.url)
    return response


def _refusal(url: str, status: int, reason: str) -> Exception:
    if status in (408, 416, 429) or status >= 500:
        return _InterruptedError(f"{status} {reason}")
    what = {404: "there is no such file", 410: "the file is gone"}.get(status, "the server refuses")
    return ModelError(f"{url}: {what} ({status} {reason}); check the address")


def _reject_page(url: str, path: Path) -> None:
    with open(path, "rb") as file:
        start = file.read(256).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ModelError(
            f"{url}: the server sent a web page and no model file; has it moved, or is it behind a "
            "login? Open the address in a browser to see"
        )


def _receive(response: http.client.HTTPResponse, path: Path, report: Report) -> None:
    """Write the body to `path` (behind what is there, if the server resumes) to its last byte."""
    start = path.stat().st_size if response.status == 206 else 0
    length = response.headers.get("Content-Length")
    total = None if length is None else start + int(length)
    if response.status == 206 and not _continues(response, start):
        path.unlink()
        raise _InterruptedError("the server resumed at another byte than asked for")
    received = start
    with open(path, "ab" if start else "wb") as file:
        try:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                received += len(chunk)
                report(received, total)
        except (OSError, http.client.HTTPException) as error:
            raise _InterruptedError(f"broken off after {received} bytes ({error})") from error
    if total is not None and received < total:
        raise _InterruptedError(f"broken off after {received} of {total} bytes")


def _continues(response: http.client.HTTPResponse, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _verify(path: Path, wanted: str | None, what: str, remedy: str) -> None:
    found = file_sha256(path)
    if wanted is not None and found != wanted:
        raise ModelError(
            f"{what}: its SHA-256 is {found}, wanted {wanted}. If the change is expected, {remedy}"
        )


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


@contextmanager
def _progress_bar(name: str) -> Iterator[Report]:
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(name),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task(name, total=None)
        yield lambda received, total: bar.update(task, completed=received, total=total)
