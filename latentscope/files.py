"""Files that are either whole or absent, and values as JSON knows them."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MAX_BYTES = 1_000_000_000
"""What is read of one file of a spectrum, and what it may unpack to."""


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return `path` with the home folder for a leading ``~``, unless there is a file of that name."""
    text = os.fspath(path)
    literal = not text.startswith("~") or os.path.lexists(text)
    return Path(text if literal else os.path.expanduser(text))


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` if the block succeeds.

    The temporary name keeps the suffix, since writers choose their format by it. On an error the
    temporary file is removed and an older file at `path` stays as it was.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        scratch = tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        # The user chose `path` and never saw the temporary name.
        error.filename = str(path)
        raise
    with scratch as folder:
        temporary = Path(folder) / path.name
        yield temporary
        os.replace(temporary, path)


def plain(value: Any) -> Any:
    """Return `value` as what JSON knows: no arrays, no NaN, no paths."""
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
