"""`python -m train`: its commands."""

from __future__ import annotations

from latentscope.__main__ import leave_when_asked


def main() -> None:
    """Run the command line of training."""
    leave_when_asked()
    from latentscope.cli import main as run
    from train.commands import app

    run(app)


if __name__ == "__main__":
    main()
