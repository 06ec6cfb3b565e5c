"""Part files beside an output, so that an interrupted run goes on where it was.

A part holds the latents and records of one block of files. Its name is a hash of all that its
content depends on: weights, architecture, preparation, options, and path, size and time of change
of each file. A part from another model, another list or an older file is never found by that name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.files import atomic_path


@dataclass(frozen=True)
class Part:
    """Latents and records of some sources, row by row.

    Parameters
    ----------
    values, logvar : ndarray of float32, shape (n, d)
    records : list of n dict
    """

    values: NDArray[np.float32]
    logvar: NDArray[np.float32]
    records: list[dict[str, Any]]


class PartStore:
    """The part files of one output.

    Parameters
    ----------
    output : Path
        The latents' file; parts lie in a folder beside it, named `<output>.parts`.
    settings : dict
        Plain JSON values of whatever the results depend on besides the files.
    """

    def __init__(self, output: Path, settings: dict[str, Any]) -> None:
        self.folder = output.with_name(output.name + ".parts")
        self._settings = json.dumps(settings, sort_keys=True)

    def load(self, sources: list[Path]) -> Part | None:
        """Return the part of these files, or None if there is none (or it is damaged)."""
        path = self._path(sources)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                part = Part(stored["values"], stored["logvar"], json.loads(str(stored["records"])))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return part if len(part.values) == len(part.records) == len(sources) else None

    def save(self, sources: list[Path], part: Part) -> None:
        """Write the part of these files, whole or not at all."""
        with atomic_path(self._path(sources)) as temporary:
            np.savez(
                temporary,
                values=part.values,
                logvar=part.logvar,
                records=np.array(json.dumps(part.records)),
            )

    def discard(self) -> None:
        """Remove all parts of this output, of other runs too."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, sources: list[Path]) -> Path:
        text = json.dumps([self._settings, [_stamp(source) for source in sources]])
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()}.npz"


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        stat = os.stat(path)
    except OSError:
        return str(path), -1, -1
    return str(path), stat.st_size, stat.st_mtime_ns
