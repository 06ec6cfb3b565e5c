"""The program `latentscope`, also `python -m latentscope`."""

import os
import signal
from typing import Any


def leave_when_asked() -> None:
    """Let Ctrl-C and SIGTERM end the process with a line, until a command has to clean up."""
    for number in (signal.SIGINT, signal.SIGTERM):  # batch systems send the second
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(number, _leave)


def _leave(*_: Any) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)


def main() -> None:
    """Run the command line."""
    leave_when_asked()
    from latentscope.cli import main as run  # takes a while

    run()


if __name__ == "__main__":
    main()
