"""`python -m train`: its commands."""

from __future__ import annotations

from latentscope.cli import main
from train.commands import app

__all__ = ["app"]

if __name__ == "__main__":
    main(app)
