"""The program `latentscope`, also `python -m latentscope`."""

import os
import signal
from typing import Any


def leave_at_ctrl_c() -> None:
    """Let Ctrl-C end the process with a line, until a command begins and has to clean up."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(*_: Any) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)


def main() -> None:
    """Run the command line."""
    leave_at_ctrl_c()
    from latentscope.cli import main as run  # takes a while

    run()


if __name__ == "__main__":
    main()
