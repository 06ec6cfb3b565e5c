"""Spectra and their reconstructions: flux, residual, lines by name, zooms."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from numpy.typing import NDArray

from latentscope.compiled import njit
from latentscope.diagnostics.traversal.lines import Feature, stellar_features
from latentscope.errors import ChoiceError, LatentscopeWarning
from latentscope.models.reconstruction import Reconstruction, view_spectrum
from latentscope.plots.style import (
    CLASSES,
    INK,
    LITERAL,
    OVERLAY,
    QUIET,
    STRONG,
    WIDE,
    new_axes,
    short_names,
    styled,
)
from latentscope.plots.traversal import WINDOWS, Window
from latentscope.spectra.spectrum import Medium
from latentscope.spectra.wavelength import air_to_vacuum, doppler_shift

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

MOST_SPECTRA = 8
"""Spectra in one picture at most."""

BINS = 1200
"""Bins across a view, about one per pixel of the screen; each gives two points."""

_MARGIN = 0.35  # of the view on either side, so that a short pan meets lines already drawn
_COLORS = {"input": QUIET, "reconstruction": STRONG, "moved": OVERLAY}
_OF_FILES = (INK, *CLASSES[: MOST_SPECTRA - 1])
_STRONG_KINDS = ("balmer", "resonance", "strong")
_MOST_LINES = 40
_ACROSS = 5  # zooms beside each other at most
_FEW = 2  # pixels that a zoom needs


@styled
def plot_flux(
    wavelength: Floats,
    flux: Mapping[str, NDArray[np.floating]],
    ax: Axes | None = None,
    *,
    window: Window | None = None,
    title: str = "",
    xlabel: str = "wavelength (Angstrom)",
) -> Axes:
    """Draw spectra on the same wavelengths over each other.

    Parameters
    ----------
    wavelength : ndarray, shape (n,)
        Angstrom, ascending.
    flux : mapping of str to ndarray, shape (n,)
        By name, drawn in this order; NaN leaves a hole.
    ax : Axes, optional
        Where to draw; by default a new figure.
    window : (float, float), optional
        Wavelengths that are drawn; by default all.
    title, xlabel : str

    Examples
    --------
    >>> import numpy as np
    >>> plot_flux(np.arange(4000.0, 4010.0), {"input": np.ones(10)}).get_ylabel()
    'flux / median'
    """
    first, last = window or (float(wavelength[0]), float(wavelength[-1]))
    ax = new_axes(ax, (8.0, 3.6))
    _draw(ax, wavelength, flux, (first, last), _COLORS)
    ax.set_xlabel(xlabel)
    ax.set_title(title, **LITERAL)
    if len(flux) > 1:
        ax.legend(loc="upper right", ncols=len(flux), fontsize=8)
    return ax


def _draw(
    ax: Axes,
    wavelength: Floats,
    flux: Mapping[str, NDArray[np.floating]],
    window: Window,
    colors: Mapping[str, str],
) -> None:
    rows = np.stack([np.asarray(values, dtype=np.float32) for values in flux.values()])
    place, drawn = envelope(wavelength, rows, *window)
    for name, values in zip(flux, drawn, strict=True):
        ax.plot(place, values, linewidth=0.8, color=colors.get(name), label=name)
    ax.set_xlim(window)
    ax.set_ylabel("flux / median")


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
    """Draw spectra, what a model makes of them, and what it leaves, whole and in zooms.

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
    shown = [
        one if isinstance(one, Reconstruction) else view_spectrum(one, model, **options)
        for one in given
    ]
    picture = _Picture(shown, rest)
    whole = picture.reach()
    if ax is not None:
        picture.flux(ax, windows[0] if windows else whole)
        ax.set_xlabel(picture.axis())
        ax.set_title(picture.title(), **LITERAL)
        return ax
    zooms = list(picture.zooms(windows).items())
    across = min(len(zooms), _ACROSS) or 1
    down = -(-len(zooms) // across)
    figure = plt.figure(figsize=(WIDE, 3.2 + 2.6 * down), dpi=150, layout="constrained")
    rows = figure.add_gridspec(1 + down, 1)
    main = picture.pair(figure, rows[0], whole)
    main.set_title(picture.title(), **LITERAL)
    handles, names = main.get_legend_handles_labels()
    if len(handles) > 1:
        figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize=8)
    for number, (name, window) in enumerate(zooms):
        row, column = divmod(number, across)
        cells = rows[1 + row].subgridspec(1, across)
        zoom = picture.pair(figure, cells[column], window, column, across)
        zoom.set_title(name, fontsize=9)
    figure.supxlabel(picture.axis(), fontsize=9)
    return main


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
        self.colors = (INK,) if self.alone else _OF_FILES
        self.sigmas = all(one.error is not None for one in shown if one.reconstruction is not None)

    def reach(self) -> Window:
        """From the first to the last pixel that any spectrum has."""
        pairs = zip(self.shown, self.waves, strict=True)
        ends = [wave[np.flatnonzero(np.isfinite(one.flux))[[0, -1]]] for one, wave in pairs]
        return min(float(first) for first, _ in ends), max(float(last) for _, last in ends)

    def zooms(self, windows: Sequence[Window] | None) -> dict[str, Window]:
        if windows is None:
            usual = {n: (a * self.factor, b * self.factor) for n, (a, b) in WINDOWS.items()}
            return {name: window for name, window in usual.items() if self._holds(window)}
        for first, last in windows:
            if not self._holds((first, last)):
                warnings.warn(
                    f"{first:g}-{last:g} Angstrom is left out: no spectrum has flux there",
                    LatentscopeWarning,
                    stacklevel=4,
                )
        return {f"{a:g}-{b:g} \u00c5": (a, b) for a, b in windows if self._holds((a, b))}

    def _holds(self, window: Window) -> bool:
        pairs = zip(self.shown, self.waves, strict=True)
        parts = (one.flux[slice(*np.searchsorted(wave, window))] for one, wave in pairs)
        return any(np.count_nonzero(np.isfinite(part)) >= _FEW for part in parts)

    def title(self) -> str:
        models = " and ".join(sorted({one.model for one in self.shown if one.model}))
        by = f", by {models}" if models else ""
        if not self.alone:
            return f"{len(self.shown)} spectra{by}"
        target = str(self.first.provenance["object"])
        name = self.first.name
        name = f"{target}, {name}" if target and target not in name else name
        if not by:
            return name
        rms, chi = self.first.summary["rms"], self.first.summary["chi"]
        size = "" if np.isnan(chi) else f", typically {chi:.2g} \u03c3"
        return f"{name}{by}: residual {100 * rms:.2g} % rms{size}"

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

    def pair(
        self, figure: Figure, cell: SubplotSpec, window: Window, place: int = 0, across: int = 1
    ) -> Axes:
        """Flux above residual, where there is one, in a window: which of how many in its row."""
        modeled = any(one.reconstruction is not None for one in self.shown)
        cells = cell.subgridspec(1 + modeled, 1, height_ratios=(2.2, 1.0)[: 1 + modeled])
        above = figure.add_subplot(cells[0])
        levels = self.flux(above, window, across)
        axes = [above]
        if modeled:
            below = figure.add_subplot(cells[1], sharex=above)
            self.residual(below, window, levels, across)
            above.tick_params(labelbottom=False)
            axes.append(below)
        for ax in axes:
            ax.tick_params(labelsize=7)
            if place:
                ax.set_ylabel("")
        return above

    def flux(self, ax: Axes, window: Window, across: int = 1) -> list[float]:
        """Draw flux over its median in the window; return these medians."""
        names = ["input"] if self.alone else self._names()
        levels, drawn = [], []
        for name, one, wave, color in zip(names, self.shown, self.waves, self.colors, strict=False):
            part = slice(*np.searchsorted(wave, window))
            finite = one.flux[part][np.isfinite(one.flux[part])]
            level = float(np.median(finite)) if len(finite) else 1.0
            levels.append(level if level > 0 else 1.0)
            flux = {name: one.flux / levels[-1]}
            colors = {name: QUIET if self.alone and one.model else color}
            if self.alone and one.reconstruction is not None:
                flux["reconstruction"] = one.reconstruction / levels[-1]
                colors["reconstruction"] = STRONG
            _draw(ax, wave, flux, window, colors)
            drawn += [values[part] for values in flux.values()]
        _scale(ax, drawn, 0.02, room=0.35 if across == 1 else 0.55)
        self._mask(ax, window)
        self._lines(ax, window, across)
        return levels

    def residual(self, ax: Axes, window: Window, levels: Sequence[float], across: int = 1) -> None:
        """Flux minus reconstruction: in sigmas where all spectra have errors, else in per cent."""
        drawn = []
        for one, wave, level, color in zip(
            self.shown, self.waves, levels, self.colors, strict=False
        ):
            unit = one.error if self.sigmas and one.error is not None else level / 100
            left = one.residual / unit
            place, values = envelope(wave, left[None], *window)
            ax.plot(place, values[0], linewidth=0.6, color=color)
            drawn.append(left[slice(*np.searchsorted(wave, window))])
        ax.axhline(0, color=STRONG if self.alone else QUIET, linewidth=0.8)
        _scale(ax, drawn, 0.5)
        ax.set_xlim(window)
        ax.set_ylabel("residual (\u03c3)" if self.sigmas else "residual (%)")
        ax.locator_params(axis="x", nbins=max(12 // across, 3))

    def _names(self) -> list[str]:
        targets = [str(one.provenance["object"]) for one in self.shown]
        told = all(targets) and len(set(targets)) == len(targets)
        names = short_names(targets if told else [one.name for one in self.shown])
        known = [f", {one.rv:+.1f} km/s" if np.isfinite(one.rv) else "" for one in self.shown]
        return [name + rv for name, rv in zip(names, known, strict=True)]

    def _mask(self, ax: Axes, window: Window) -> None:
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

    def _lines(self, ax: Axes, window: Window, across: int) -> None:
        """Name known lines along the top."""
        for name, at in marked_lines(self.first.medium, window, self.factor, 0.011 * across):
            ax.axvline(at, ymin=0.96, color=INK, linewidth=0.6)
            ax.annotate(
                name, (at, 0.95), xycoords=ax.get_xaxis_transform(), rotation=90, fontsize=6,
                ha="center", va="top", color=INK, **LITERAL,
            )  # fmt: skip


def _scale(
    ax: Axes, levels: Sequence[NDArray[np.floating]], least: float, room: float = 0.0
) -> None:
    """Let the axis hold all but the most extreme pixels, and above them `room` for names."""
    found = np.concatenate([values[np.isfinite(values)] for values in levels])
    low, high = np.quantile(found, [0.001, 0.999]) if len(found) else (-least, least)
    pad = max(0.08 * float(high - low), least)
    ax.set_ylim(float(low) - pad, float(high) + pad + room * float(high - low))


def marked_lines(
    medium: Medium, window: Window, factor: float = 1.0, apart: float = 0.014
) -> list[tuple[str, float]]:
    """Known lines of a star in a window, ascending; bands are left out.

    Far out only the strong ones; a line without a name where there is no room for it.

    Parameters
    ----------
    medium : {"air", "vacuum"}
        Of the window.
    window : (float, float)
        Angstrom.
    factor : float
        Doppler factor of the star.
    apart : float
        Part of the window that a name needs.
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
    """Known lines of stars and their wavelengths at rest, ascending; no bands."""
    lines = [line for line in stellar_features() if line.kind not in ("band", "telluric")]
    at = np.array([line.wavelength for line in lines])
    return list(zip(lines, (air_to_vacuum(at) if medium == "vacuum" else at).tolist(), strict=True))


def envelope(
    wavelength: Floats, rows: Singles, first: float, last: float, bins: int = BINS
) -> tuple[Floats, Singles]:
    """Spectra between two wavelengths, in at most 2 points per bin, with no line core or peak lost.

    Where bins hold more than two pixels, each bin gives its least and its largest value, in the
    order in which they stand; else the pixels are given as they are.

    Parameters
    ----------
    wavelength : ndarray, shape (n,)
        Ascending.
    rows : ndarray of float32, shape (k, n)
        NaN where there is no flux; a bin without any gives NaN.
    first, last : float
        What is seen. A margin on either side is given too.
    bins : int
        Of what is seen.

    Returns
    -------
    x : ndarray, shape (m,)
    y : ndarray of float32, shape (k, m)
    """
    margin = _MARGIN * (last - first)
    first, last = first - margin, last + margin
    bins = round(bins * (1 + 2 * _MARGIN))
    start = max(int(np.searchsorted(wavelength, first)) - 1, 0)
    stop = min(int(np.searchsorted(wavelength, last)) + 1, len(wavelength))
    if stop - start <= 2 * bins:
        return wavelength[start:stop], rows[:, start:stop]
    limits = np.linspace(max(first, wavelength[start]), min(last, wavelength[stop - 1]), bins + 1)
    edges = np.searchsorted(wavelength, limits)
    edges[0], edges[-1] = start, stop
    full = np.diff(edges) > 0
    edges = np.append(edges[:-1][full], stop)
    width = np.diff(limits)[full]
    left = limits[:-1][full]
    x = np.column_stack([left + 0.25 * width, left + 0.75 * width]).ravel()
    y = np.empty((len(rows), len(x)), dtype=np.float32)
    _extremes(rows, edges, y)
    return x, y


@njit(nogil=True)
def _extremes(rows: Any, edges: Any, out: Any) -> None:
    for k in range(len(rows)):
        for b in range(len(edges) - 1):
            low, high = np.float32(np.nan), np.float32(np.nan)
            low_at, high_at = 0, 0
            for i in range(edges[b], edges[b + 1]):
                value = rows[k, i]
                # The comparison with NaN is false, so that the first number is taken.
                if value == value and not (low <= value):
                    low, low_at = value, i
                if value == value and not (high >= value):
                    high, high_at = value, i
            first, second = (low, high) if low_at <= high_at else (high, low)
            out[k, 2 * b], out[k, 2 * b + 1] = first, second


def runs(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First and last pixel of each run of true ones, shape (runs, 2)."""
    padded = np.concatenate([[False], mask, [False]]).astype(np.int8)
    steps = np.diff(padded)
    return np.column_stack([np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1])
