"""Picture of one star over time: latents with their errors, and their periodograms."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from latentscope.diagnostics.track import SURE, TrackResult
from latentscope.plots.style import (
    INK,
    OVERLAY,
    QUIET,
    SOFT,
    STRONG,
    WIDE,
    label_name,
    new_axes,
    short_title,
    styled,
)

_MOST = 6


@styled
def plot_track(result: TrackResult, ax: Axes | None = None, *, dim: int | None = None) -> Axes:
    """Draw latents against time with one sigma of q(z|x), and beside each its periodogram.

    Of more than six dimensions those are drawn whose scatter is largest against what q(z|x) allows.
    A period with a false-alarm probability below 0.01 is drawn as a curve through the exposures.
    `dim`, or given axes, ask for one dimension alone; axes show it against time.
    """
    table = result.dims.sort_values("ratio", ascending=False, kind="stable")
    dims = [dim] if dim is not None else sorted(table["dim"].head(_MOST if ax is None else 1))
    if ax is not None:
        _against_time(new_axes(ax, (0, 0)), result, dims[0])
        ax.set_title(short_title(result.star))
        return ax
    wide = not result.periodograms.empty
    _, grid = plt.subplots(
        len(dims), 1 + wide, figsize=(WIDE if wide else 7, 1 + 1.25 * len(dims)),
        squeeze=False, sharex="col", width_ratios=(1.4, 1.0)[: 1 + wide],
    )  # fmt: skip
    for row, one in zip(grid, dims, strict=True):
        _against_time(row[0], result, one)
        if wide:
            _periodogram(row[1], result, one)
    for ax_ in grid[:-1].ravel():
        ax_.set_xlabel("")
    nights = int(result.series["night"].nunique())
    told = f"{len(result.series)} exposures in {nights} night{'s' * (nights != 1)}"
    grid[0, 0].set_title(f"{short_title(result.star)}: {told}")
    axes: Axes = grid[0, 0]
    return axes


def _against_time(ax: Axes, result: TrackResult, dim: int) -> None:
    series = result.series
    start = float(np.floor(series["time"].iloc[0]))
    when = series["time"].to_numpy(dtype=np.float64) - start
    value = series[f"dim_{dim}"].to_numpy(dtype=np.float64)
    error = series.get(f"error_dim_{dim}")
    ax.errorbar(when, value, error, fmt=".", color=INK, ecolor=QUIET, markersize=4, elinewidth=0.8)
    row = result.dims[result.dims["dim"] == dim].iloc[0]
    if row["fap"] < SURE:
        # A sine of the period found, by least squares.
        place = np.linspace(when[0], when[-1], 1000)
        phase, drawn = (2 * np.pi * t / row["period"] for t in (when, place))
        basis = np.column_stack([np.ones_like(phase), np.sin(phase), np.cos(phase)])
        fit = np.linalg.lstsq(basis, value, rcond=None)[0]
        curve = np.column_stack([np.ones_like(drawn), np.sin(drawn), np.cos(drawn)]) @ fit
        ax.plot(place, curve, color=STRONG, linewidth=0.9, zorder=0)
    ax.set_ylabel(f"dim {dim}")
    ax.locator_params(axis="y", nbins=4)
    ax.set_xlabel(f"{label_name(result.provenance['time_column'])} \u2212 {start:.0f} (days)")


def _periodogram(ax: Axes, result: TrackResult, dim: int) -> None:
    row = result.dims[result.dims["dim"] == dim].iloc[0]
    frequency = result.periodograms["frequency"]
    ax.plot(frequency, result.periodograms[f"dim_{dim}"], color=INK, linewidth=0.7)
    sure = row["fap"] < SURE
    if np.isfinite(row["period"]):
        ax.axvline(1 / row["period"], color=STRONG if sure else QUIET, linewidth=0.9, zorder=0)
    ax.set_ylim(0, 1)
    ax.set_ylabel("power")
    ax.set_xlabel("frequency (cycles per day)")
    ax.set_title(
        f"{row['period']:.4g} d, false alarm {row['fap']:.2g}", fontsize=8, loc="right",
        color=STRONG if sure else OVERLAY if np.isnan(row["fap"]) else SOFT,
    )  # fmt: skip
