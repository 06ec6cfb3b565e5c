"""Checkpoints that are either whole or absent, however a run ends."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from latentscope.files import atomic_path

LAST = "last.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the file and renames.

    Lightning itself writes into the system's temporary folder and moves the file, which copies it
    where that lies on another disk: a kill leaves half a checkpoint then, and no other.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint; an older one stays until the new one is complete."""
        with atomic_path(path) as temporary:
            torch.save(checkpoint, temporary)


def discard_unfinished(folder: Path) -> None:
    """Remove what a killed run had written of a checkpoint."""
    for left in folder.glob(f".{LAST}.*"):
        shutil.rmtree(left, ignore_errors=True)
