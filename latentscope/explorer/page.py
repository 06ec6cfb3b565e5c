"""One page that somebody looks at: its panels wired to each other, its state and its worker."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.events import DocumentReady, SelectionGeometry, Tap
from bokeh.models import CustomJS
from tornado.ioloop import IOLoop

from latentscope.diagnostics.traversal.lines import SURE, measured, stellar_features
from latentscope.diagnostics.traversal.traverse import Base, Change
from latentscope.errors import LatentscopeError
from latentscope.explorer import export
from latentscope.explorer.archive import LARGEST_UPLOAD, Archive, Shown
from latentscope.explorer.arrays import (
    Floats,
    Singles,
    Window,
    density,
    inside,
    nearest_point,
    smoothed,
)
from latentscope.explorer.panels import (
    BESIDE,
    COLUMNS,
    LINES,
    OVERLAYS,
    Head,
    MapPanel,
    NearPanel,
    SliderPanel,
    SpectrumPanel,
    asset,
    legend,
    plain,
    template,
)
from latentscope.explorer.view import View, read_view
from latentscope.plots.spectrum import BINS, envelope, marked_lines, runs
from latentscope.plots.style import label_title

MOST_POINTS = 8000
"""Points of the map that are drawn one by one; above it their density is."""

FACTS = 8
"""Labels of a spectrum that are seen at once."""

_CELLS = (190, 240)
_GRAVITY, _TEMPERATURE = ("logg", "log g", "log_g"), ("teff", "t_eff", "temperature")
_NAME = 14  # pixels across that the name of a line needs
_MOST_PICKED = 3000
_LINE_WINDOW = 6.0  # Angstrom on either side of a line that was gone to
_PAUSE = 0.15  # seconds without a request before slow things are measured
_SAME = 1e-3  # sigma
_LEAST = 0.003  # change of depth that is named

Apply = Callable[[], None]

_log = logging.getLogger(__name__)


class Worker:
    """A thread for what takes time: of each kind of work only the last asked for is done.

    `post` hands a function to the thread that owns the page.
    """

    def __init__(self, post: Callable[[Apply], Any], fail: Callable[[str], None]) -> None:
        self._post, self._fail = post, fail
        self._jobs: dict[str, tuple[float, Callable[[], Apply]]] = {}
        self._wake, self._open = threading.Condition(), True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ask(self, kind: str, work: Callable[[], Apply], after: float = 0.0) -> None:
        """Have `work` done, in so many seconds, and what it returns applied to the page."""
        with self._wake:
            self._jobs[kind] = (time.monotonic() + after, work)
            self._wake.notify()

    def close(self) -> None:
        """End when the present work is done."""
        with self._wake:
            self._open = False
            self._jobs.clear()
            self._wake.notify()

    def _next(self) -> tuple[str, Callable[[], Apply]] | None:
        with self._wake:
            while self._open:
                if not self._jobs:
                    self._wake.wait()
                    continue
                kind, (due, work) = min(self._jobs.items(), key=lambda job: job[1][0])
                left = due - time.monotonic()
                if left <= 0:
                    del self._jobs[kind]
                    return kind, work
                self._wake.wait(left)
        return None

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                apply = job[1]()
            except (LatentscopeError, OSError) as error:
                self._post(partial(self._fail, str(error)))
            except Exception as error:  # a page must not die of one request
                self._post(partial(self._fail, _unexpected(error)))
            else:
                if self._open:
                    self._post(apply)


def _unexpected(error: Exception) -> str:
    """Log an error that nobody foresaw; what the page says of it."""
    _log.error("the explorer failed", exc_info=error)
    return f"this failed unexpectedly ({type(error).__name__}: {error})"


def _on(act: Apply, *properties: tuple[Any, str]) -> None:
    """Act when a property of a model changes."""
    for model, name in properties:
        model.on_change(name, lambda attr, old, new: act())


class Page:
    """The page of one browser tab, in an empty document of Bokeh.

    `arguments` are those of the request, as `read_view` takes them.
    """

    def __init__(
        self, archive: Archive, document: Document, arguments: dict[str, list[bytes]]
    ) -> None:
        self.archive, self.document, self._loop = archive, document, IOLoop.current()
        # First: what is known by now is drawn at once, and what is learned from here on is told.
        self._named: Apply = lambda: self._later(self._name)
        archive.when_known(self._named)
        latents = archive.latents
        self.view = read_view(arguments, len(latents), latents.dims, archive.columns)
        self.head, self.map = Head(), MapPanel(archive)
        self.near = NearPanel(self.map)
        self.worker = Worker(self._later, self._fail)
        self._busy: set[str] = set()
        self._opened = False
        self.picked = np.empty(0, dtype=np.int64)
        self.shown = archive.average()
        self.values: Floats = self.shown.values.copy()
        roots = [*self.head.roots, *self.map.roots, self.near.heading]
        self.spectra = archive.model is not None
        if not self.spectra:
            roots.remove(self.head.upload)
        else:
            self.panel = SpectrumPanel(archive.wavelength, archive.axis)
            self.sliders = SliderPanel(archive)
            roots += [*self.panel.roots, *self.sliders.roots]
            self.rows: dict[str, Singles] = {}
            self._blank = np.full(len(archive.wavelength), np.nan, np.float32)
            self._base: tuple[Shown, Base] | None = None
            self._lined: Shown | None = None
            self._fresh = True
            self._own_rv, self._bins = 0.0, BINS
        document.title = "latentscope explore"
        document.template = template()
        document.template_variables.update(
            heading=archive.title, style=asset("page.css"), spectra=self.spectra,
            sliders=len(archive.dims), foot=foot(archive),
        )  # fmt: skip
        # Bokeh hears of events from models that were wired before they came into the document.
        self._wire()
        # All at once: after each root Bokeh would walk through all models again.
        with document.models.freeze():
            for root in roots:
                document.add_root(root)
        document.on_session_destroyed(lambda context: self.close())
        self._start()

    def _later(self, act: Apply) -> None:
        """Have something done by the thread that owns the page, unless the tab was closed."""

        # That thread also takes closed pages apart, so that none is between the two lines.
        def hand_over() -> None:
            if not getattr(self.document.session_context, "destroyed", False):
                self.document.add_next_tick_callback(lambda: self._apply(act))

        self._loop.add_callback(hand_over)

    def _apply(self, act: Apply) -> None:
        try:
            act()
        except Exception as error:  # Bokeh would only log it
            self._fail(_unexpected(error))

    def close(self) -> None:
        """Let go of all that this page held."""
        self.worker.close()
        self.archive.forget(self._named)

    # Wires

    def _wire(self) -> None:
        figures = [self.map.figure]
        scope: dict[str, Any] = {"sliders": [], "goto": None}
        chart, x_range, y_range = self.map, self.map.figure.x_range, self.map.figure.y_range
        _on(self._map_changed, *((it, "value") for it in (chart.x, chart.y, chart.color)))
        ends = [(axis, end) for axis in (x_range, y_range) for end in ("start", "end")]
        _on(lambda: self._soon("map", self._draw_map), *ends)
        self.map.figure.on_event(Tap, self._tapped)
        self.map.figure.on_event(SelectionGeometry, self._lassoed)
        self.map.find.on_change("value", lambda attr, old, new: self._find(new))
        self.map.save.on_click(self._save_picked)
        self.near.source.on_change("tags", lambda attr, old, new: self._open_near(new))
        # The file's name comes after its content.
        _on(lambda: self._soon("upload", self._upload), (self.head.upload, "value"))
        if self.spectra:
            panel, sliders = self.panel, self.sliders
            figures = [panel.flux, panel.left, *figures]
            scope |= {"sliders": sliders.sliders, "goto": panel.goto}
            seen = panel.flux.x_range
            _on(lambda: self._soon("zoom", self._zoomed), (seen, "start"), (seen, "end"))
            panel.flux.on_change("inner_width", lambda attr, old, new: self._fit(new))
            panel.read_out(self.head.readout)
            _on(self._look, (panel.show, "active"))
            _on(self._smooth, (panel.smooth, "value"))
            _on(self._mark_lines, (panel.rv, "value"))
            _on(self._address, (panel.rv, "value"))
            panel.goto.on_change("value", lambda attr, old, new: self._go_to(new))
            panel.save.on_click(self._save_spectrum)
            for place, slider in enumerate(sliders.sliders):
                slider.on_change("value", self._slid(place))
            sliders.mean.on_click(lambda: self._show(self.archive.average))
            sliders.reset.on_click(lambda: self._set_values(self.shown.values))
            _on(self._overlay, (self.near.source.selected, "indices"))
        scope |= {
            "figures": figures, "message": self.head.message, "near": self.near.source,
            "upload": self.head.upload if self.spectra else None, "largest": LARGEST_UPLOAD,
            "overlays": list(OVERLAYS),
        }  # fmt: skip
        self.document.js_on_event(DocumentReady, CustomJS(args=scope, code=asset("page.js")))

    def _soon(self, kind: str, act: Apply) -> None:
        """Act once when all that came together is here: two ends of a range are two messages."""
        if kind in self._busy:
            return
        self._busy.add(kind)

        def once() -> None:
            self._busy.discard(kind)
            self._apply(act)

        self.document.add_next_tick_callback(once)

    def _fail(self, message: str) -> None:
        self.head.message.text = f'<p class="alert">{escape(message)}</p>' if message else ""

    def _start(self) -> None:
        view, archive = self.view, self.archive
        # Until somebody chooses, the map shows the two dimensions that are known best.
        self._untouched = ("", "") if view.x or view.y else (self.map.x.value, self.map.y.value)
        for name in ("x", "y", "color"):
            if getattr(view, name):
                getattr(self.map, name).value = getattr(view, name)
        self._map_changed()
        if self.spectra:
            first = max(view.first, float(archive.wavelength[0]))
            last = min(view.last, float(archive.wavelength[-1]))
            if last > first:
                self.panel.flux.x_range.update(start=first, end=last)
            self.panel.smooth.value = view.smooth
            self.panel.goto.options = ["", *(name for name, _ in archive.lines)]

        def begin() -> Shown:
            try:
                return archive.shown(view.row if view.row >= 0 else archive.middle)
            except LatentscopeError as error:
                return replace(archive.shown(archive.middle), note=f"instead of {error}")

        self._show(begin, dict(view.moved), view.rv)

    # The shown spectrum

    def _show(
        self,
        make: Callable[[], Shown],
        moved: dict[int, float] | None = None,
        rv: float = float("nan"),
    ) -> None:
        """Show another spectrum, perhaps moved already; reading and decoding it takes time."""

        def work() -> Apply:
            shown = make()
            base = self.archive.decoded(shown.values) if self.spectra else None
            values = shown.values
            for dim, value in (moved or {}).items():
                values[dim] = value
            return lambda: self._display(shown, base, values, rv)

        self.worker.ask("show", work)

    def _display(self, shown: Shown, base: Singles | None, values: Floats, rv: float) -> None:
        self._fail("")
        self._opened = True
        self.shown, self.values, self._fresh = shown, values.copy(), True
        self.head.title.text = escape(shown.title)
        first, more = shown.facts[:FACTS], shown.facts[FACTS:]
        lines = [line for line in (", ".join(first), shown.trust, shown.note) if line]
        rest = f"<summary>{len(more)} more labels</summary>{escape(', '.join(more))}"
        self.head.trust.text = f'<p class="facts">{" · ".join(map(escape, lines))}</p>' + (
            f'<details class="facts">{rest}</details>' if more else ""
        )
        if base is not None:
            self.rows = {"base": base, "moved": base}
            self._smooth(draw=False)
            self._put_sliders()
            self._look()
            self._moved(rv)
        else:
            self._find_near()
        self._draw_here()

    def _put_sliders(self) -> None:
        sliders = self.sliders
        for place, dim in enumerate(sliders.dims):
            slider, value, start = sliders.sliders[place], self.values[dim], self.shown.values[dim]
            low, high = self.archive.low[dim], self.archive.high[dim]
            slider.update(
                start=float(min(low, value, start)), end=float(max(high, value, start)),
                value=float(value), tags=[float(start)],
            )  # fmt: skip

    def _slid(self, place: int) -> Callable[[str, float, float], None]:
        slider = self.sliders.sliders[place]

        def slid(attr: str, old: float, value: float) -> None:
            dim = self.sliders.dims[place]
            # What the page itself put there is no move.
            if abs(value - self.values[dim]) > 0.51 * slider.step:
                self.values[dim] = value
                self._moved()

        return slid

    def _set_values(self, values: Floats) -> None:
        self.values = values.copy()
        self._put_sliders()
        self._moved()

    def _moved(self, rv: float = float("nan")) -> None:
        """Draw what the latents stand for now; later say what changed, and what is near."""
        values, archive, shown = self.values.copy(), self.archive, self.shown

        def draw() -> Apply:
            same = np.array_equal(values, shown.values)
            flux = self.rows["base"] if same else archive.decoded(values)
            return lambda: self._draw_moved(flux)

        self.worker.ask("draw", draw)
        self._find_near(_PAUSE)

        def measure() -> Apply:
            if self._base is None or self._base[0] is not shown:
                decoder = archive.decoder
                made = Base(
                    decoder.flux, shown.values, features=stellar_features(), **decoder.options
                )
                self._base = shown, made
            base = self._base[1]
            change = next(base.changes(values[None]))
            words = "" if np.array_equal(values, shown.values) else _words(change, base)
            return lambda: self._say_change(words, base.rv, rv, shown)

        self.worker.ask("measure", measure, _PAUSE)

    def _draw_moved(self, flux: Singles) -> None:
        self.rows["moved"] = flux
        self._left_over()
        self.panel.drawn["moved"].visible = self._wanted("moved") and "change" in self.rows
        # The axes hold what a spectrum begins with; moving it leaves them.
        self._draw(scale=self._fresh)
        self._fresh = False

    def _say_change(self, words: str, base_rv: float, rv: float, shown: Shown) -> None:
        self.sliders.change.text = words
        if shown is self.shown and shown is not self._lined:
            # Once for each spectrum: afterwards the box is the user's.
            self._lined, self._own_rv = shown, round(base_rv, 2)
            self.panel.rv.value = rv if np.isfinite(rv) else self._own_rv

    def _smooth(self, draw: bool = True) -> None:
        # Limits of a box are kept by the browser alone, which may be anything.
        flux, pixels = self.shown.flux, min(float(self.panel.smooth.value or 0), 1000.0)
        self.rows.pop("input", None)
        if flux is not None:
            self.rows["input"] = smoothed(flux, pixels)
        self._left_over()
        if draw:
            self._draw()
            self._address()

    def _left_over(self) -> None:
        """What is left of the input, and what moving changed."""
        moved, base, given = (self.rows.get(name) for name in ("moved", "base", "input"))
        for name in ("residual", "change"):
            self.rows.pop(name, None)
        if given is not None and moved is not None:
            self.rows["residual"] = given - moved
        if moved is not None and base is not None and moved is not base:
            self.rows["change"] = moved - base

    # Drawing the spectrum

    def _zoomed(self) -> None:
        self._draw(scale=True)
        self._address()

    def _fit(self, pixels: int) -> None:
        """Have a bin for each pixel of the screen."""
        self._bins = min(max(pixels, BINS // 4), 4 * BINS)
        self._soon("zoom", self._zoomed)

    @property
    def seen(self) -> tuple[float, float]:
        """Wavelengths that are seen."""
        x_range = self.panel.flux.x_range
        return float(x_range.start), float(x_range.end)

    def _draw(self, scale: bool = False) -> None:
        if not self.rows:
            return
        names, panel = list(self.rows), self.panel
        stacked = np.stack([self.rows[name] for name in names])
        x, y = envelope(self.archive.wavelength, stacked, *self.seen, self._bins)
        x, blank = np.ascontiguousarray(x), np.full(len(x), np.nan, np.float32)
        data = {name: np.ascontiguousarray(row) for name, row in zip(names, y, strict=True)}

        def drawn(columns: Sequence[str]) -> dict[str, Any]:
            return {"x": x, **{name: data.get(name, blank) for name in columns}}

        panel.source.data = drawn(COLUMNS)
        if len(panel.beside.data["x"]) or not data.keys().isdisjoint(BESIDE):
            panel.beside.data = drawn(BESIDE)
        for name in BESIDE:
            panel.drawn[name].visible = name in data
        # After the lines, so that all of it is painted at once.
        if scale:
            self._scale(x, data)

    def _scale(self, x: Floats, data: dict[str, Singles]) -> None:
        """Let the axes hold what is seen; a slider leaves them, so that lines are seen to move."""
        first, last = self.seen
        inside_view = (x >= first) & (x <= last)
        for figure, names, least in (
            (self.panel.flux, ("base", "input", "moved"), 0.02),
            (self.panel.left, ("residual", "change"), 0.02),
        ):
            found = [data[name][inside_view] for name in names if name in data]
            flux = np.concatenate([*found, np.empty(0, np.float32)])
            flux = flux[np.isfinite(flux)]
            low, high = np.quantile(flux, [0.002, 0.998]) if len(flux) else (-least, least)
            pad = max(0.08 * (high - low), least)
            figure.y_range.update(start=float(low - pad), end=float(high + 1.6 * pad))
        self._mark_lines()
        self._mark_masks()

    def _look(self) -> None:
        """Show and hide."""
        panel = self.panel
        panel.drawn["input"].visible = self._wanted("input")
        panel.drawn["base"].visible = self._wanted("reconstruction")
        panel.drawn["moved"].visible = self._wanted("moved") and "change" in self.rows
        panel.left.visible = self._wanted("residual")
        for mark in panel.marks:
            mark.visible = self._wanted("lines")
        panel.strips.visible = self._wanted("masks")
        self._draw(scale=True)

    def _wanted(self, name: str) -> bool:
        """Whether one of `LINES` is to be seen."""
        return LINES.index(name) in self.panel.show.active

    def _mark_lines(self) -> None:
        factor = export.doppler(float(self.panel.rv.value or 0.0))
        apart = _NAME / self._bins
        found = marked_lines(self.archive.grid.medium, self.seen, factor, apart)
        self.panel.lines.data = {
            "x": [at for _, at in found],
            "y": [float(self.panel.flux.y_range.end)] * len(found),
            "name": [plain(name) for name, _ in found],
        }

    def _mark_masks(self) -> None:
        flux = self.shown.flux if self.shown.flux is not None else self.rows["base"]
        wavelength = self.archive.wavelength
        found = wavelength[runs(np.isnan(flux))]
        half = (wavelength[1] - wavelength[0]) / 2
        first, last = self.seen
        found = found[(found[:, 1] >= first) & (found[:, 0] <= last)][:500]
        self.panel.masks.data = {"x0": found[:, 0] - half, "x1": found[:, 1] + half}

    def _go_to(self, name: str) -> None:
        at = dict(self.archive.lines).get(name)
        if at is not None:
            at *= export.doppler(float(self.panel.rv.value or 0.0))
            self.panel.flux.x_range.update(start=at - _LINE_WINDOW, end=at + _LINE_WINDOW)

    # The map

    def _map_changed(self) -> None:
        """Take other columns: all of them are seen."""
        archive, panel = self.archive, self.map
        self.xy = archive.values(panel.x.value), archive.values(panel.y.value)
        self.colors = archive.colors(panel.color.value)
        # A Kiel diagram has giants on top and hot stars on the left.
        kiel = panel.y.value.lower() in _GRAVITY
        hot_left = kiel and panel.x.value.lower() in _TEMPERATURE
        for axis, name, values, side, turned in (
            (panel.figure.x_range, panel.x.value, self.xy[0], panel.figure.xaxis, hot_left),
            (panel.figure.y_range, panel.y.value, self.xy[1], panel.figure.yaxis, kiel),
        ):
            known = values[np.isfinite(values)]
            low, high = np.quantile(known, (0.0005, 0.9995)) if len(known) else (0.0, 1.0)
            pad = 0.06 * (high - low) or 1.0
            ends = float(low - pad), float(high + pad)
            start, end = ends[::-1] if turned else ends
            axis.update(start=start, end=end, reset_start=start, reset_end=end)
            side.axis_label = plain(self.archive.map_name(name))
        panel.legend.text = (
            f'<p class="legend">{legend(self.colors, label_title(panel.color.value))}</p>'
        )
        self._draw_map()
        self._draw_picked()
        self._draw_here()
        self._address()

    @property
    def window(self) -> Window:
        """What of the map is seen."""
        x, y = self.map.figure.x_range, self.map.figure.y_range
        x0, x1 = sorted((float(x.start), float(x.end)))
        y0, y1 = sorted((float(y.start), float(y.end)))
        return Window(x0, x1, y0, y1)

    def _draw_map(self) -> None:
        (x, y), window, panel = self.xy, self.window, self.map
        rows = window.rows(x, y)
        points = len(rows) <= MOST_POINTS
        panel.points.visible, panel.image.visible = points, not points
        if points:
            rgba = (255 * self.colors.rgba(self.colors.values[rows])).astype(np.uint8)
            panel.source.data = {"x": x[rows], "y": y[rows], "color": rgba}
            panel.points.glyph.size = 7 if len(rows) <= 1000 else 4
            return
        image = density_image(x, y, self.colors.rgba(self.colors.values), window)
        panel.source.data = {"x": [], "y": [], "color": []}
        panel.cells.data = {
            "image": [image], "x": [window.x0], "y": [window.y0],
            "dw": [window.x1 - window.x0], "dh": [window.y1 - window.y0],
        }  # fmt: skip

    def _draw_here(self) -> None:
        """Mark the shown spectrum, where its latents were moved to."""
        found = []
        for name, values in zip((self.map.x.value, self.map.y.value), self.xy, strict=True):
            dim = self.archive.dim_of(name)
            if dim is not None:
                found.append(float(self.values[dim]))
            else:
                found.append(float(values[self.shown.row]) if self.shown.row >= 0 else np.nan)
        self.map.here.data = {"x": [found[0]], "y": [found[1]]}

    def _draw_picked(self) -> None:
        rows = self.picked
        if len(rows) > _MOST_PICKED:
            rows = rows[:: -(-len(rows) // _MOST_PICKED)]
        self.map.picked.data = {"x": self.xy[0][rows], "y": self.xy[1][rows]}
        rows = np.asarray(self.near.source.data["row"], dtype=np.int64)
        at = {"x": self.xy[0][rows], "y": self.xy[1][rows]}
        self.near.source.data = dict(self.near.source.data) | at
        if len(self.picked):
            self.map.count.text = f'<p class="legend">{len(self.picked):,} picked</p>'

    def _tapped(self, event: Tap) -> None:
        row = nearest_point(*self.xy, (event.x, event.y), self.window)
        if row is not None:
            self._show(lambda: self.archive.shown(row))

    def _lassoed(self, event: SelectionGeometry) -> None:
        shape = event.geometry
        if not event.final or shape["type"] != "poly":
            return
        self.picked = np.flatnonzero(inside(*self.xy, shape["x"], shape["y"]))
        self._draw_picked()

    def _find(self, name: str) -> None:
        """Open a spectrum by its number or its name."""
        if name.strip():

            def make() -> Shown:
                query: Any = int(name) if name.strip().isdigit() else name.strip()
                return self.archive.shown(self.archive.retriever.queries(query)[0].row)

            self._show(make)

    def _save_picked(self, event: Any) -> None:
        if not len(self.picked):
            self._fail("nothing is picked: draw a lasso on the map")
            return
        as_list = event.item == "list"
        data = export.names(self.archive, self.picked, as_list)
        self._hand_over("list.txt" if as_list else "picked.csv", data)

    # The nearest

    def _find_near(self, after: float = 0.0) -> None:
        values, shown = self.values.copy(), self.shown

        def work() -> Apply:
            table, words = self.archive.neighbors(shown, values)

            def apply() -> None:
                self.near.source.selected.indices = []
                rows = table["row"].to_numpy()
                data = {str(name): table[name].to_numpy() for name in table}
                self.near.source.data = data | {"x": self.xy[0][rows], "y": self.xy[1][rows]}
                self.near.heading.text = f'<p class="legend">{escape(words)}</p>'
                # Not before there is a picture.
                self.archive.learn()
                # Not while a slider is dragged: to move its cross the whole map is painted.
                self._draw_here()
                self._address()

            return apply

        self.worker.ask("near", work, after)

    def _open_near(self, asked: list[int]) -> None:
        row = asked[0] if asked else -1
        if isinstance(row, int) and 0 <= row < len(self.archive.latents):
            self._show(lambda: self.archive.shown(row))

    def _overlay(self) -> None:
        """Lay the chosen ones over the shown spectrum, as they are or else decoded."""
        rows = self.near.source.data["row"]
        chosen = [int(rows[place]) for place in self.near.source.selected.indices[: len(OVERLAYS)]]

        def work() -> Apply:
            found = {}
            for place, row in enumerate(chosen):
                one = self.archive.shown(row)
                found[f"other{place}"] = (
                    self.archive.decoded(one.values) if one.flux is None else one.flux
                )
            return lambda: self._put_overlays(found)

        self.worker.ask("overlay", work)

    def _put_overlays(self, found: dict[str, Singles]) -> None:
        for name in BESIDE:
            self.rows.pop(name, None)
        self.rows |= found
        self._draw()

    # In and out

    def _upload(self) -> None:
        name, data = str(self.head.upload.filename), base64.b64decode(self.head.upload.value)
        if not name:
            return
        self._show(lambda: self.archive.uploaded(name, data))

    def _save_spectrum(self, event: Any) -> None:
        kind = event.item.lower()
        shown, rows, seen = self.shown, dict(self.rows), self.seen
        about = {"title": shown.title, "latents": self.values.copy()}

        def work() -> Apply:
            data = export.spectrum(kind, self.archive, rows, seen, about)
            return lambda: self._hand_over(f"{export.file_name(shown.title)}.{kind}", data)

        self.worker.ask("save", work)

    def _hand_over(self, name: str, data: bytes) -> None:
        self.head.message.tags = ["file", name, base64.b64encode(data).decode()]
        # The same file may be asked for again, and bytes need not stay here.
        self.head.message.tags = []

    def _address(self) -> None:
        """Say in the page's address what is looked at: once for all that comes together."""
        self.worker.ask("address", lambda: self._say_address, _PAUSE)

    def _say_address(self) -> None:
        if not self._opened:
            return
        panel, archive, row = self.map, self.archive, self.shown.row
        # What no row has, such as an uploaded spectrum, is said by its latents.
        start = archive.latents.values[row if row >= 0 else archive.middle].astype(np.float64)
        moved = np.flatnonzero(np.abs(self.values - start) > _SAME * archive.sigma)
        view = View(
            row=row,
            moved=tuple((int(dim), float(self.values[dim])) for dim in moved),
            x=panel.x.value, y=panel.y.value, color=panel.color.value,
        )  # fmt: skip
        if self.spectra:
            first, last = self.seen
            whole = last - first >= 0.999 * np.ptp(self.archive.wavelength[[0, -1]])
            first, last = (np.nan, np.nan) if whole else (first, last)
            rv = float(self.panel.rv.value or 0.0)
            view = replace(
                view, first=first, last=last, smooth=float(self.panel.smooth.value or 0),
                rv=np.nan if rv == self._own_rv else rv,
            )  # fmt: skip
        if view != self.view:
            self.view = view
            self.head.message.tags = ["address", view.query, ""]

    def _name(self) -> None:
        """Put names of dimensions everywhere, once they are known."""
        if self.spectra:
            self.sliders.name_all(self.values)
            self._put_sliders()
        best = [f"dim {dim}" for dim in self.archive.dims[:2]]
        if len(best) == 2 and (self.map.x.value, self.map.y.value) == self._untouched:
            self.map.x.value, self.map.y.value = best
        self.map.figure.xaxis.axis_label = plain(self.archive.map_name(self.map.x.value))
        self.map.figure.yaxis.axis_label = plain(self.archive.map_name(self.map.y.value))
        self._find_near()


def density_image(x: Floats, y: Floats, rgba: Floats, window: Window) -> Any:
    """Picture of many points, as Bokeh takes it: mean colors, and opaque where they are dense."""
    counts, mean = density(x, y, rgba, window, _CELLS)
    depth = np.log1p(counts) / np.log1p(max(counts.max(), 1))
    alpha = np.where(counts > 0, 0.25 + 0.75 * depth, 0.0)
    image = np.dstack([mean, alpha])
    return np.ascontiguousarray((255 * image).astype(np.uint8)).view(np.uint32)[..., 0]


def _words(change: Change, base: Base) -> str:
    """What moving did, as HTML: velocity, color, and the lines that changed most."""
    moved = change.velocity
    parts = []
    if np.isfinite(moved.rv) and moved.correlation >= 0.5:
        parts.append(f"<b>{measured(moved.rv, moved.error)} km/s</b>")
    else:
        parts.append("no velocity: correlation below 0.5")
    if abs(change.color) >= 0.0005:
        how = "redder" if change.color > 0 else "bluer"
        parts.append(f"{how} by {abs(change.color):.3f} mag")
    depth = change.strengths[0] - base.strengths[0] - change.sampling[0]
    # What a shift across pixels does to narrow lines is no change of them.
    least = max(_LEAST, SURE * float(np.nanmedian(np.abs(change.sampling[0]))))
    order = np.argsort(-np.nan_to_num(np.abs(depth)))
    named = [
        f"{escape(base.features[i].name)} {depth[i]:+.3f}"
        for i in order[:4]
        if abs(depth[i]) >= least and not base.features[i].telluric
    ]
    parts.append(f"depth of {', '.join(named)}" if named else "no line deeper or weaker")
    return " · ".join(parts)


def foot(archive: Archive) -> str:
    """What the page is made of, and its keys."""
    made = archive.latents.provenance
    weights = str(made.get("weights_sha256", ""))[:12]
    by = f", encoded by {made['model']}, weights {weights}" if "model" in made else ""
    return (
        f"{Path(archive.latents.source).name}{by} · keys n and p: next and previous line · "
        "double click: a slider goes back"
    )
