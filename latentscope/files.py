"""Files that are either whole or absent, and values as JSON knows them."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import math
import os
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MAX_BYTES = 1_000_000_000
"""Bytes read of one spectrum file, and bytes that it may unpack to."""


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return `path` with the home folder for a leading ``~``, unless a file has that name."""
    text = os.fspath(path)
    literal = not text.startswith("~") or os.path.lexists(text)
    return Path(text if literal else os.path.expanduser(text))


def is_address(text: str) -> bool:
    """Whether text is an address such as s3://bucket/file, and no file that is here."""
    return bool(_ADDRESS.match(text)) and not os.path.lexists(text)


_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+://")


def check_room(folder: str | os.PathLike[str], needed: float, advice: str) -> str:
    """Return how much will be written, in words; an OSError with `advice` if the disk is too full.

    `needed` are bytes; the folder need not be there yet.
    """
    there = expanded(folder).absolute()
    there = next(path for path in (there, *there.parents) if path.exists())
    free = shutil.disk_usage(there).free
    size = f"{needed / 1e9:.1f} GB" if needed >= 1e9 else f"{needed / 1e6:.0f} MB"
    if needed > free:
        raise OSError(f"{folder}: {size} are needed, and {free / 1e9:.1f} GB are free; {advice}")
    return size


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise the OSError that writing to `path` would meet, before the work.

    Folders that are missing are made later. A device or a pipe is refused: a file put in its place
    by root would harm the whole machine.
    """
    path = expanded(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        # Names that are too long and links in a circle raise here.
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        regular = True
    if not regular or os.path.abspath(path).startswith(_STREAMS):
        raise OSError(errno.EINVAL, "Is a device or a pipe; expected the name of a file", str(path))
    folder = _target(path).parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, f"Not a folder: {folder}", str(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"No file can be written in {folder}", str(path))


# They lead to what the shell has open, which a rename would take away.
_STREAMS = ("/dev/fd/", "/dev/std", "/proc/")


def _target(path: Path) -> Path:
    """What a path that may be a link leads to."""
    return Path(os.path.realpath(path))


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` if the block succeeds.

    The temporary name keeps the suffix, since writers choose their format by it. On an error the
    temporary file is removed and an older file at `path` stays as it was. A link stays, and what it
    leads to is replaced. What a killed process left beside is removed.
    """
    path = expanded(path)
    check_writable(path)
    target = _target(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    try:
        scratch = tempfile.TemporaryDirectory(prefix=_scratch_name(), dir=target.parent)
    except OSError as error:
        # The user chose `path` and never saw the temporary name.
        error.filename = str(path)
        raise
    with scratch as folder, _held(folder):
        temporary = Path(folder) / path.name
        try:
            yield temporary
        except OSError as error:
            if error.errno is None and re.search("written|space", str(error)):  # numpy, astropy
                what = f"Cannot be written whole ({error}); is the disk full?"
                raise OSError(errno.ENOSPC, what, str(path)) from error
            if error.errno in _FULL or str(error.filename).startswith(folder):
                error.filename = str(path)
            raise
        os.replace(temporary, target)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_SCRATCH = ".latentscope-"
_FRESH = 2.0  # seconds in which a folder is made and held
_OLD = 7 * 86400.0  # seconds, where locks say nothing


@contextmanager
def _held(folder: str) -> Iterator[None]:
    """Lock a folder; the lock of a process that was killed is gone."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def locked(folder: Path) -> int | None:
    """Make a folder and lock it for this process; None if another process has it.

    The lock ends with the process, or when the number that is returned is closed.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            return os.open(os.devnull, os.O_RDONLY)
        # Whoever had the folder may remove it at any moment, and another may make it again.
        with suppress(FileNotFoundError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return None
            except OSError:  # a file system without locks
                return handle
            if os.path.samestat(os.fstat(handle), os.stat(folder)):
                return handle
            os.close(handle)


@lru_cache(maxsize=64)  # once a folder, since an archive may hold 100,000 files
def _sweep(parent: Path) -> None:
    """Remove temporary folders that nobody holds."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(_SCRATCH) and entry.is_dir(follow_symlinks=False):
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age <= _OLD and not _is_free(entry.path):
                    continue
                # Somebody may be about to hold it, or have been killed a moment ago.
                if 0 <= age < _FRESH:
                    time.sleep(_FRESH - age)
                if age > _OLD or _is_free(entry.path):
                    shutil.rmtree(entry.path, ignore_errors=True)


@lru_cache(maxsize=1)
def _scratch_name() -> str:
    """Prefix of this machine's temporary folders, which its containers share."""
    try:
        machine = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        machine = platform.node()
    return f"{_SCRATCH}{hashlib.sha256(machine.encode()).hexdigest()[:8]}-"


def _is_free(folder: str) -> bool:
    """Whether a folder is one of this machine's that nobody holds."""
    # Locks of other machines are not seen on every file system that they share.
    if fcntl is None or not os.path.basename(folder).startswith(_scratch_name()):
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def own_folder() -> Path:
    """Return a folder among the temporary files that is this user's alone, and stays.

    An OSError if there is none: programs run what they find in it, so nobody else may write there.
    """
    user = os.getuid() if hasattr(os, "getuid") else None
    folder = Path(tempfile.gettempdir()) / f"latentscope-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    closed = user is None or (found.st_uid == user and not found.st_mode & 0o077)
    if not stat.S_ISDIR(found.st_mode) or not closed:
        raise PermissionError(errno.EACCES, "Not this user's alone", str(folder))
    tempfile.TemporaryFile(dir=folder).close()
    return folder


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def keep_freed_memory(free: int = 256 << 20, block: int = 32 << 20) -> None:
    """Let the C library keep `free` bytes of freed blocks (up to `block` each) for reuse.

    Arrays as large as spectra and their activations come and go; each time the system would zero
    new pages for them, which takes longer than the work. Only glibc can be told so.
    """
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        for size in (32 << 20, block):  # older versions take no more than the first
            library.mallopt(_MMAP_THRESHOLD, size)
        library.mallopt(_TRIM_THRESHOLD, free)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def plain(value: Any) -> Any:
    """Return `value` as JSON types: no arrays, NaN or paths."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all; NaN becomes null."""
    with atomic_path(path) as temporary:
        text = json.dumps(plain(value), indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
