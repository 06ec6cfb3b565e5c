"""`python -m train`: its commands."""

from __future__ import annotations

from train.commands import fit, pack
from train.commands.application import app

__all__ = ["app", "fit", "pack"]

if __name__ == "__main__":
    app(prog_name="python -m train")
