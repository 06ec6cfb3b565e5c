"""`python -m train`: its commands."""

from __future__ import annotations

from train.commands import export, fit, pack, push, sample, sweep
from train.commands.application import app

__all__ = ["app", "export", "fit", "pack", "push", "sample", "sweep"]

if __name__ == "__main__":
    app(prog_name="python -m train")
