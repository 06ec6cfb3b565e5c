"""`python -m train`: its commands."""

from __future__ import annotations

from train.commands import app

__all__ = ["app"]

if __name__ == "__main__":
    app(prog_name="python -m train")
