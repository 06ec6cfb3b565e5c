"""What all pictures share: colours, type, axes, names that users gave, and how they are written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentscope.files import atomic_path

P = ParamSpec("P")

# Above so many points a cloud of them hides its own density.
HEXBIN_ABOVE = 5000
_LONGEST_NAME = 30
# Names come from users: a dollar in one is a dollar, not the start of a formula.
LITERAL: dict[str, Any] = {"parse_math": False, "usetex": False}
INK, QUIET, STRONG, OVERLAY = "#222222", "#9aa5b1", "#0072b2", "#d55e00"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def styled(draw: Callable[P, Axes]) -> Callable[P, Axes]:
    """Draw in the project's colours and type, and leave matplotlib's settings as they were."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Axes:
        with plt.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def new_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return `ax`, or the axes of a new figure of `size` inches where it is None."""
    return plt.subplots(figsize=size, dpi=150, layout="constrained")[1] if ax is None else ax


def save_figure(ax: Axes, path: str | os.PathLike[str]) -> None:
    """Write the figure that holds `ax` as its suffix says (.png, .pdf, .svg), whole or not at all.

    All that is drawn is inside the picture, even where it reaches beyond the figure. The figure is
    closed.
    """
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
    plt.close(figure)


def short_names(names: Iterable[str]) -> list[str]:
    """Cut long names in the middle, but not those that would then look the same."""
    names = list(names)
    short = [_short_name(name) for name in names]
    times = Counter(short)
    return [cut if times[cut] == 1 else name for name, cut in zip(names, short, strict=True)]


def _short_name(name: str) -> str:
    if len(name) <= _LONGEST_NAME:
        return name
    head = _LONGEST_NAME // 2
    return f"{name[:head]}\N{HORIZONTAL ELLIPSIS}{name[1 + head - _LONGEST_NAME :]}"
