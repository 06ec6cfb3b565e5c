"""Picture of how many spectra a model does not know."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from latentscope.diagnostics.trust import VERDICTS, ScoreResult
from latentscope.plots.style import (
    INK,
    OVERLAY,
    QUIET,
    STRONG,
    WIDE,
    new_axes,
    plain_log,
    short_names,
    styled,
)

_MIN_TRUST = 1e-6
_MAX_POINTS = 3000
_N_NAMED = 5
_PLAIN = 1e-3  # from where on numbers are written out
_RAISED = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)
_COLORS = dict(zip(VERDICTS, (QUIET, STRONG, OVERLAY), strict=True))


@styled
def plot_trust(result: ScoreResult, ax: Axes | None = None) -> Axes:
    """Draw the trust of all spectra in order, against what ordinary spectra would show.

    A point at (0.01, 0.001) says that 1 % of the spectra have a trust of 0.001 or less; ordinary
    spectra lie on the dashed line. Spectra below 1e-6 are drawn there; the five least trusted that
    are outside are named.
    """
    ax = new_axes(ax, (WIDE, 4.2))
    rows = result.table[result.table["verdict"] != ""].sort_values("trust", kind="stable")
    n = len(rows)
    ranks = np.arange(1, n + 1)
    if n > _MAX_POINTS:
        ranks = np.unique(np.geomspace(1, n, _MAX_POINTS).astype(np.int64))
    trust = np.maximum(rows["trust"].to_numpy(dtype=np.float64)[ranks - 1], _MIN_TRUST)
    verdict = rows["verdict"].to_numpy(dtype=object)[ranks - 1]
    for name, color in _COLORS.items():
        mine = verdict == name
        label = f"{name}: {result.counts[name]:,}"
        ax.plot(ranks[mine] / n, trust[mine], ".", color=color, markersize=5, label=label)
    ax.plot([1 / max(n, 2), 1], [1 / max(n, 2), 1], "--", color=QUIET, linewidth=1)
    for limit in ("doubtful_below", "outside_below"):
        value = result.provenance[limit]
        ax.axhline(value, color=QUIET, linewidth=0.7)
        ax.annotate(
            f"{limit.partition('_')[0]} below {value:g}", (1, value), xytext=(0, 2),
            xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
            fontsize=8, color=INK,
        )  # fmt: skip
    odd = [str(name) for name in rows[rows["verdict"] == "outside"]["id"].head(_N_NAMED)]
    if odd:
        # Beside their points they would cover each other.
        text = "\n".join(["least trusted:", *short_names(odd)])
        ax.text(0.02, 0.98, text, transform=ax.transAxes, va="top", fontsize=7)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(_MIN_TRUST / 2, 1.5)
    ax.set_xlabel("share of the spectra with at most this trust")
    ax.set_ylabel("trust")
    plain_log(ax.xaxis)
    ax.xaxis.set_major_formatter(_tick)
    ax.yaxis.set_major_formatter(_trust_tick)
    ax.yaxis.set_minor_formatter("")
    ax.set_title(f"{n:,} spectra (dashed: if all were ordinary)")
    ax.legend(loc="lower right")
    return ax


def _tick(value: float, place: float = 0) -> str:
    """Write a power of ten on an axis."""
    if value > 0.99 * _PLAIN:
        return f"{value:g}"
    return "10" + str(round(np.log10(value))).translate(_RAISED)


def _trust_tick(value: float, place: float = 0) -> str:
    """Say that the least trust drawn stands for all below."""
    return ("\u2264 " if value < 1.01 * _MIN_TRUST else "") + _tick(value)
