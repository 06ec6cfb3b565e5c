"""Spectra and their reconstructions: flux, residual, lines by name, zooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from latentscope.diagnostics.traversal.lines import Feature, stellar_features
from latentscope.errors import ChoiceError
from latentscope.models.reconstruction import Reconstruction, view_spectrum
from latentscope.plots.style import (
    CLASSES,
    INK,
    OVERLAY,
    QUIET,
    STRONG,
    WIDE,
    new_axes,
    short_names,
    short_title,
    styled,
)
from latentscope.plots.traversal import Floats, Window, local_mean, zooms_of
from latentscope.spectra.spectrum import Medium
from latentscope.spectra.wavelength import air_to_vacuum, doppler_shift

Singles = NDArray[np.float32]

MOST_SPECTRA = 8
"""Spectra in one picture at most."""

BINS = 1200
"""Bins across a view, about one per pixel of the screen; each gives two points."""

_MARGIN = 0.35  # of the view on either side, so that a short pan meets lines already drawn
_STRONG_KINDS = ("balmer", "resonance", "strong")
_MOST_LINES = 40
_ACROSS = 5  # zooms beside each other at most
_NAME = (0.11, 57.0)  # inches across and points up that the name of a line needs


@styled
def plot_spectrum(
    spectra: Any,
    ax: Axes | None = None,
    *,
    model: Any = "harps-sim",
    windows: Sequence[Window] | None = None,
    rest: bool = False,
    **options: Any,
) -> Axes:
    """Draw spectra, what a model makes of them, and the residuals, whole and in zooms.

    Residuals are in sigmas where all spectra have errors, else in per cent of the flux around them;
    their mean over 100 Angstrom tells the continuum from the lines.

    Parameters
    ----------
    spectra : path, Spectrum, Reconstruction, ..., or list of up to 8 of them
        As `reconstruct` takes or gives them; several are drawn over each other.
    ax : Axes, optional
        Where to draw the flux alone, of the first window or of all; by default a new figure with
        all panels.
    model : SpectrumVAE, str or path, or None
        What reconstructs; None: the spectra alone.
    windows : list of (first, last), optional
        Zooms in Angstrom of the axis. By default Ca II H and K, H-beta, Mg b, Na D and H-alpha,
        where the spectra reach them.
    rest : bool
        Take the velocity of each star out of the wavelengths. Else they stay in the model's frame,
        and the marks of the lines go to the velocity of the first star.
    **options
        `min_coverage`, `hdu`, `key`, `frame`, `rv`: as `reconstruct` takes them.

    Returns
    -------
    Axes
        Those of the whole flux.

    Raises
    ------
    SpectrumError, ModelError
        As `reconstruct` does.
    ChoiceError
        If there is no spectrum or more than 8, one that should be at rest has no known velocity, or
        they differ in medium or frame.

    Warns
    -----
    LatentscopeWarning
        If the model cannot take a spectrum, which is then drawn alone, or a window holds none.

    Examples
    --------
    >>> from latentscope import simulate
    >>> from latentscope.plots import plot_spectrum
    >>> spectrum, labels = next(simulate(1, seed=1))
    >>> plot_spectrum(spectrum, windows=[(5160, 5190)]).get_ylabel()
    'flux / median'
    """
    given = spectra if isinstance(spectra, list) else [spectra]
    picture = _Picture(
        [
            one if isinstance(one, Reconstruction) else view_spectrum(one, model, **options)
            for one in given
        ],
        rest,
    )
    whole = picture.reach()
    if ax is not None:
        ax = new_axes(ax, (WIDE, 3.6))
        picture.flux(ax, windows[0] if windows else whole)
        ax.set_xlabel(picture.axis())
        ax.set_title(picture.title())
        return ax
    zooms = list(zooms_of(windows, picture.holds, picture.factor).items())
    across = min(len(zooms), _ACROSS) or 1
    down = -(-len(zooms) // across)
    heights = (2.0, 1.0)[: 1 + picture.modeled]
    panels = len(heights)
    figure = plt.figure(figsize=(WIDE, 4.0 + 3.4 * down))
    # One grid of all panels, so that zooms are equally wide.
    grid = figure.add_gridspec(panels * (1 + down), across, height_ratios=heights * (1 + down))
    main, *below = [figure.add_subplot(grid[row, :]) for row in range(panels)]
    picture.pair(main, below, whole)
    main.set_title(picture.title(), pad=_NAME[1], y=1)
    for number, (name, window) in enumerate(zooms):
        row, column = divmod(number, across)
        top = panels * (1 + row)
        zoom, *under = [figure.add_subplot(grid[top + place, column]) for place in range(panels)]
        picture.pair(zoom, under, window, across)
        zoom.set_title(name, fontsize=9, pad=_NAME[1], y=1)
        for one in (zoom, *under):
            one.set_ylabel("" if column else one.get_ylabel())
    named = [handle for ax in (main, *below) for handle in ax.get_legend_handles_labels()[0]]
    if len(named) > 1:
        figure.legend(handles=named, loc="outside upper center", ncols=4)
    figure.supxlabel(picture.axis(), fontsize=9)
    return main


@styled
def plot_flux(
    wavelength: Floats,
    flux: Mapping[str, Singles],
    window: Window,
    *,
    title: str = "",
    xlabel: str = "wavelength (\u00c5)",
) -> Axes:
    """Draw spectra (n,) by name, over each other on the same wavelengths, in a window."""
    ax = new_axes(None, (WIDE, 3.6))
    for (name, values), color in zip(flux.items(), (QUIET, STRONG, OVERLAY), strict=False):
        place, (drawn,) = envelope(wavelength, values[None], *window)
        ax.plot(place, drawn, linewidth=0.8, color=color, label=name)
    ax.set(xlim=window, xlabel=xlabel, ylabel="flux / median", title=title)
    ax.legend(loc="upper right", ncols=len(flux))
    return ax


class _Picture:
    """What is drawn: spectra on wavelengths of the axis."""

    def __init__(self, shown: Sequence[Reconstruction], rest: bool) -> None:
        if not 1 <= len(shown) <= MOST_SPECTRA:
            raise ChoiceError(f"{len(shown)} spectra; expected 1 to {MOST_SPECTRA} in one picture")
        self.shown, self.rest, self.first = shown, rest, shown[0]
        for one in shown:
            if rest and np.isnan(one.rv):
                raise ChoiceError(
                    f"{one.name}: its velocity is not in the header and cannot be read off its "
                    "lines; give it (--rv, rv=...), or leave the wavelengths as they are"
                )
            if one.medium != self.first.medium or not (rest or one.frame == self.first.frame):
                raise ChoiceError(
                    f"{self.first.name} ({self.first.medium}, {self.first.frame}) and {one.name} "
                    f"({one.medium}, {one.frame}) differ in medium or frame; draw each by itself"
                )
        self.waves = [
            doppler_shift(one.wavelength, -one.rv) if rest else one.wavelength for one in shown
        ]
        # Of the lines that are marked.
        self.factor = (
            1.0 if rest or np.isnan(self.first.rv) else float(doppler_shift(1.0, self.first.rv))
        )
        self.alone = len(shown) == 1
        modeled = [one for one in shown if one.reconstruction is not None]
        self.modeled = bool(modeled)
        self.sigmas = all(one.error is not None for one in modeled)
        self.colors: tuple[str, ...] = (INK, *CLASSES)
        if self.alone and self.first.model:
            self.colors = (QUIET,)

    def reach(self) -> Window:
        """From the first to the last pixel that any spectrum has."""
        pairs = zip(self.shown, self.waves, strict=True)
        ends = [wave[np.flatnonzero(np.isfinite(one.flux))[[0, -1]]] for one, wave in pairs]
        return min(float(first) for first, _ in ends), max(float(last) for _, last in ends)

    def holds(self, window: Window) -> bool:
        pairs = zip(self.shown, self.waves, strict=True)
        parts = (one.flux[slice(*np.searchsorted(wave, window))] for one, wave in pairs)
        return any(np.count_nonzero(np.isfinite(part)) > 1 for part in parts)

    def title(self) -> str:
        models = " and ".join(sorted({one.model for one in self.shown if one.model}))
        by = f", by {models}" if models else ""
        if not self.alone:
            return f"{len(self.shown)} spectra{by}"
        target, name = str(self.first.provenance["object"]), self.first.name
        name = short_title(f"{target}, {name}" if target and target not in name else name)
        if not by:
            return name
        rms, chi = self.first.summary["rms"], self.first.summary["chi"]
        size = "" if np.isnan(chi) else f", typically {chi:.2g} \u03c3"
        return f"{name}{by}: residual {100 * rms:.2g} % of the median, rms{size}"

    def axis(self) -> str:
        one = self.first
        where = f"wavelength (\u00c5, {one.medium}"
        if self.rest:
            taken = f"{one.rv:+.1f} km/s" if self.alone else "the velocity of each star"
            return f"{where}, at rest: {taken} taken out)"
        if one.frame == "rest":
            return f"{where}, at rest as the file says)"
        if np.isnan(one.rv):
            said = "velocity unknown, lines marked at 0"
        elif self.alone:
            said = f"not corrected for the star's {one.rv:+.1f} km/s"
        else:
            said = f"not corrected for velocities; lines marked at the first's {one.rv:+.1f} km/s"
        return f"{where}, {one.frame}; {said})"

    def pair(self, above: Axes, below: Sequence[Axes], window: Window, across: int = 1) -> None:
        """Draw flux in a window, one of so many in a row, and below it the residual, if any."""
        self.flux(above, window, across)
        for ax in below:
            self._residual(ax, window)
            ax.sharex(above)
            above.tick_params(labelbottom=False)
        for ax in (above, *below):
            ax.tick_params(labelsize=7)
            ax.locator_params(axis="x", nbins=max(12 // across, 3))

    def flux(self, ax: Axes, window: Window, across: int = 1) -> None:
        """Draw flux over its median in the window."""
        seen = []
        names = ["input"] if self.alone else self._names()
        for name, one, wave, color in zip(names, self.shown, self.waves, self.colors, strict=False):
            part = slice(*np.searchsorted(wave, window))
            finite = one.flux[part][np.isfinite(one.flux[part])]
            level = float(np.median(finite)) if len(finite) else 1.0
            drawn = [(name, one.flux, color)]
            if self.alone and one.reconstruction is not None:
                drawn.append(("reconstruction", one.reconstruction, STRONG))
            for label, values, shade in drawn:
                values = values / (level if level > 0 else 1.0)
                place, (values_seen,) = envelope(wave, values[None].astype(np.float32), *window)
                ax.plot(place, values_seen, linewidth=0.8, color=shade, label=label)
                seen.append(values[part])
        _scale(ax, seen, 0.02, 0.001)
        ax.set_xlim(window)
        ax.set_ylabel("flux / median")
        self._mark_unused(ax, window)
        marks = marked_lines(
            self.first.medium, window, self.factor, _NAME[0] * across / (7.7 - 0.55 * across)
        )
        top = ax.secondary_xaxis("top")
        top.spines["top"].set_visible(False)
        top.set_xticks([at for _, at in marks], [name for name, _ in marks], rotation=90)
        top.tick_params(labelsize=7, length=3, pad=1)

    def _residual(self, ax: Axes, window: Window) -> None:
        """Draw flux minus reconstruction."""
        seen = []
        for one, wave, color in zip(self.shown, self.waves, (INK, *CLASSES), strict=False):
            if one.reconstruction is None:
                continue
            per: Any = one.error if self.sigmas else local_mean(wave, one.flux) / 100
            left = np.divide(one.residual, per, out=np.full(len(wave), np.nan), where=per > 0)
            place, (drawn,) = envelope(wave, left[None].astype(np.float32), *window)
            ax.plot(place, drawn, linewidth=0.6, color=color)
            if self.alone:
                mean = local_mean(wave, left)
                label = "residual, mean over 100 \u00c5"
                ax.plot(wave, mean, color=OVERLAY, linewidth=1.2, label=label)
            seen.append(left[slice(*np.searchsorted(wave, window))])
        ax.axhline(0, color=QUIET, linewidth=0.8)
        _scale(ax, seen, 0.5, 0.015)
        ax.set_xlim(window)
        unit = "\u03c3" if self.sigmas else "% of local flux"
        ax.set_ylabel(f"residual\n({unit})", fontsize=8)

    def _names(self) -> list[str]:
        targets = [str(one.provenance["object"]) for one in self.shown]
        told = all(targets) and len(set(targets)) == len(targets)
        names = short_names(targets if told else [one.name for one in self.shown])
        known = [f", {one.rv:+.1f} km/s" if np.isfinite(one.rv) else "" for one in self.shown]
        return [name + rv for name, rv in zip(names, known, strict=True)]

    def _mark_unused(self, ax: Axes, window: Window) -> None:
        """Mark pixels that were not used along the bottom."""
        for number, (one, wave) in enumerate(zip(self.shown, self.waves, strict=True)):
            first, last = np.searchsorted(wave, window)
            masked = np.isnan(one.flux[first:last])
            if not masked.any():
                continue
            spans = wave[first:last][runs(masked)]
            pixel = float(np.median(np.diff(wave[first:last])))
            # Seen from far a pixel is narrower than a point of the picture.
            width = np.maximum(np.ptp(spans, axis=1) + pixel, (window[1] - window[0]) / BINS)
            ax.broken_barh(
                list(zip(spans[:, 0] - pixel / 2, width, strict=True)),
                (0.025 * number, 0.025),
                transform=ax.get_xaxis_transform(),
                color=OVERLAY if self.alone else self.colors[number],
                linewidth=0,
                label="not used (gap, mask)" if self.alone else None,
            )


def _scale(ax: Axes, seen: Sequence[NDArray[np.floating]], least: float, outside: float) -> None:
    """Let the axis hold all but a part of the pixels at either end."""
    found = np.concatenate([np.empty(0), *(values[np.isfinite(values)] for values in seen)])
    low, high = np.quantile(found, [outside, 1 - outside]) if len(found) else (-least, least)
    pad = max(0.08 * float(high - low), least)
    ax.set_ylim(float(low) - pad, float(high) + pad)


def marked_lines(
    medium: Medium, window: Window, factor: float = 1.0, apart: float = 0.015
) -> list[tuple[str, float]]:
    """Return known lines of a star in a window, ascending; bands are left out.

    Far out only the strong ones; a line without a name where there is no room for it: a name needs
    the part `apart` of the window, in Angstrom of a medium. `factor` is the star's Doppler factor.
    """
    first, last = window
    found = [
        (line.name, at * factor, line.kind in _STRONG_KINDS)
        for line, at in rest_lines(medium)
        if first <= at * factor <= last
    ]
    if len(found) > _MOST_LINES:
        # Far out only the marks of a star's class can be told apart.
        found = [line for line in found if line[2]]
    marks, free = [], first
    for name, at, _ in found:
        marks.append((name if at >= free else "", at))
        free = at + apart * (last - first) if at >= free else free
    return marks


def rest_lines(medium: Medium) -> list[tuple[Feature, float]]:
    """Return known lines of stars and their wavelengths at rest, ascending; no bands."""
    lines = [line for line in stellar_features() if line.kind not in ("band", "telluric")]
    at = np.array([line.wavelength for line in lines])
    return list(zip(lines, (air_to_vacuum(at) if medium == "vacuum" else at).tolist(), strict=True))


def envelope(
    wavelength: Floats, rows: Singles, first: float, last: float, bins: int = BINS
) -> tuple[Floats, Singles]:
    """Thin out spectra between two wavelengths, so that no line core or peak is lost.

    Of rows (k, n) on ascending wavelengths (n,), with a margin on either side of what is seen.
    Where bins hold more than two pixels, each bin gives its least and its largest value, NaN
    without flux; else the pixels stay. Returns x (m,) and y (k, m).
    """
    margin = _MARGIN * (last - first)
    first, last = first - margin, last + margin
    bins = round(bins * (1 + 2 * _MARGIN))
    start = max(int(np.searchsorted(wavelength, first)) - 1, 0)
    stop = min(int(np.searchsorted(wavelength, last)) + 1, len(wavelength))
    wavelength, rows = wavelength[start:stop], rows[:, start:stop]
    if len(wavelength) <= 2 * bins:
        return wavelength, rows
    limits = np.linspace(max(first, wavelength[0]), min(last, wavelength[-1]), bins + 1)
    edges = np.searchsorted(wavelength, limits)
    edges[0], edges[-1] = 0, len(wavelength)
    full = np.diff(edges) > 0
    starts, left, width = edges[:-1][full], limits[:-1][full], np.diff(limits)[full]
    x = np.column_stack([left + 0.25 * width, left + 0.75 * width]).ravel()
    ends = [extreme.reduceat(rows, starts, axis=1) for extreme in (np.fmin, np.fmax)]
    return x, np.stack(ends, axis=2).reshape(len(rows), -1)


def runs(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return first and last pixel of each run of true ones, shape (runs, 2)."""
    padded = np.concatenate([[False], mask, [False]]).astype(np.int8)
    steps = np.diff(padded)
    return np.column_stack([np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1])
