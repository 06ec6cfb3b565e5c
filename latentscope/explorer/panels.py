"""The panels: figures, sliders, tables; made here alike for the server and for the single file.

`roots` of a panel are what the page holds of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.events import MouseMove
from bokeh.models import (
    Button,
    CheckboxButtonGroup,
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    Div,
    Dropdown,
    FileInput,
    InlineStyleSheet,
    PlainText,
    Range1d,
    Select,
    Slider,
    Spinner,
    TextInput,
)
from bokeh.plotting import figure
from jinja2 import Environment, Template

from latentscope.explorer.archive import Archive
from latentscope.plots.pairs import LabelColors
from latentscope.plots.style import OVERLAY, QUIET, STRONG, beyond, minus

OVERLAYS = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colors of spectra that are laid over the shown one."""

COLUMNS = ("base", "moved", "input", "residual", "change")
BESIDE = tuple(f"other{i}" for i in range(len(OVERLAYS)))

LINES = ("input", "reconstruction", "moved", "residual", "lines", "masks")
"""What can be hidden."""

SOFT, FAINT = "#56616b", "#dcd7cb"
"""--soft and --line of page.css."""

NAMES = "#7b8794"
"""Color of the names of lines: small letters, to be read on light and on dark."""

_STEPS = 400
# Adding 0 takes the sign off -0.
_FORMAT = """const sigmas = Math.round(10 * (tick - mean) / sigma) / 10 + 0;
return `${tick.toFixed(2)}  (${sigmas.toFixed(1)} σ)`"""


def plain(text: str) -> str:
    """Text in which Bokeh finds no TeX."""
    for mark in ("$$", "\\(", "\\["):
        text = text.replace(mark, mark[0] + "\u200b" + mark[1])
    return text


def asset(name: str) -> str:
    """A file of this folder."""
    return files("latentscope.explorer").joinpath(name).read_text("utf-8")


def template() -> Template:
    """The page around the panels."""
    return Environment(autoescape=True).from_string(asset("page.html"))


def quiet(*figures: Any) -> None:
    """Give figures the page's own light look; page.js paints them in the dark."""
    for one in figures:
        for axis in one.axis:
            axis.update(
                axis_label_text_color=SOFT, axis_label_text_font_style="normal",
                major_label_text_color=SOFT, axis_line_color=FAINT,
                major_tick_line_color=FAINT, minor_tick_line_color=None,
            )  # fmt: skip
        one.grid.grid_line_color = FAINT
        # Around a transparent background Bokeh 3.9 would also draw the ticks of the view before.
        one.outline_line_color = None


def _sheet() -> InlineStyleSheet:
    return InlineStyleSheet(css=asset("widgets.css"))


def _widget(kind: Any, name: str, **options: Any) -> Any:
    """A widget in the page's own look."""
    return kind(name=name, stylesheets=[_sheet()], **options)


def text(name: str, html: str = "", **options: Any) -> Div:
    """A piece of text, in which TeX is none; what users named must be escaped."""
    return Div(
        text=html, name=name, disable_math=True, sizing_mode="stretch_width",
        stylesheets=[_sheet()], **options,
    )  # fmt: skip


class SpectrumPanel:
    """A spectrum and its residual, on the wavelengths of `source`; `beside` has its overlays."""

    def __init__(self, wavelength: Any, axis: str) -> None:
        whole = (float(wavelength[0]), float(wavelength[-1]))
        self.source, self.beside = (
            ColumnDataSource({column: [] for column in ("x", *columns)}, name=name)
            for name, columns in (("spectrum-data", COLUMNS), ("beside-data", BESIDE))
        )
        self.lines = ColumnDataSource({"x": [], "y": [], "name": []})
        self.masks = ColumnDataSource({"x0": [], "x1": []})
        options: dict[str, Any] = {
            "x_range": Range1d(*whole, bounds=whole, min_interval=0.2),
            "sizing_mode": "stretch_width",
            "toolbar_location": None,
            "background_fill_alpha": 0,
            "border_fill_alpha": 0,
            "min_border_left": 66,
            "min_border_right": 8,
            "active_drag": "xpan",
            "active_scroll": "xwheel_zoom",
        }
        tools = "xpan,xwheel_zoom,xbox_zoom,reset,crosshair"
        self.flux = figure(
            name="spectrum", height=330, y_range=Range1d(0, 1.2), tools=tools, **options
        )
        options["x_range"] = self.flux.x_range
        self.left = figure(
            name="residual", height=120, y_range=Range1d(-0.1, 0.1), tools=tools, **options
        )
        self.flux.yaxis.axis_label = "flux / median"
        self.left.yaxis.axis_label = "residual"
        self.left.yaxis.ticker.desired_num_ticks = 3
        self.left.xaxis.axis_label = PlainText(axis)
        self.flux.xaxis.major_label_text_font_size = "0px"
        self.flux.min_border_bottom = 4
        self.left.min_border_top = 4
        self.strips = self.flux.vstrip(
            "x0", "x1", source=self.masks, fill_color=QUIET, fill_alpha=0.25, line_color=None
        )
        spans = self.flux.vspan("x", source=self.lines, line_color=QUIET, line_alpha=0.6)
        names = self.flux.text(
            "x", "y", text="name", source=self.lines, angle=np.pi / 2, x_offset=-3,
            text_align="right", text_baseline="bottom", text_font_size="10px", text_color=NAMES,
        )  # fmt: skip
        self.marks = [spans, names]
        draw = self.flux.line
        look: dict[str, Any] = {"source": self.source, "line_width": 1.2}
        over = look | {"source": self.beside, "visible": False}
        self.drawn = {
            "input": draw("x", "input", **look, color=QUIET, legend_label="input"),
            "base": draw("x", "base", **look, color=STRONG, legend_label="reconstruction"),
        }
        for i, color in enumerate(OVERLAYS):
            self.drawn[f"other{i}"] = draw("x", f"other{i}", **over, color=color)
        self.drawn["moved"] = draw("x", "moved", **look, color=OVERLAY, legend_label="moved")
        self.drawn["residual"] = self.left.line("x", "residual", **look, color=QUIET)
        self.drawn["change"] = self.left.line("x", "change", **look, color=OVERLAY)
        self.flux.legend.visible = False
        quiet(self.flux, self.left)
        self.show = CheckboxButtonGroup(
            name="show", labels=list(LINES), active=list(range(len(LINES))),
            # The buttons are the legend too.
            stylesheets=[_sheet(), InlineStyleSheet(css="".join(
                f".bk-btn:nth-child({place}) {{ border-bottom: 3px solid {color}; }}"
                for place, color in enumerate((QUIET, STRONG, OVERLAY, QUIET), 1)
            ))],
        )  # fmt: skip
        number = {"step": 1, "value": 0, "width": 110}
        self.smooth = _widget(
            Spinner, "smooth", title="smooth (pixels)", low=0, high=1000, **number
        )
        self.rv = _widget(
            Spinner, "rv", title="RV of lines (km/s)", low=-3000, high=3000, format="0.0", **number
        )
        self.goto = _widget(Select, "goto", title="go to a line", width=150)
        kinds = [(kind, kind) for kind in ("FITS", "CSV", "PNG", "SVG")]
        self.save = _widget(Dropdown, "save", label="save", width=90, menu=kinds)
        widgets = [self.show, self.smooth, self.rv, self.goto, self.save]
        self.roots = [self.flux, self.left, *widgets]

    def read_out(self, readout: Div) -> None:
        """Say in the browser what is under the mouse."""
        code = CustomJS(args={"source": self.source, "readout": readout}, code=asset("read.js"))
        self.flux.js_on_event(MouseMove, code)


class MapPanel:
    """Any two columns of the archive against each other."""

    def __init__(self, archive: Archive) -> None:
        options = [(name, plain(name)) for name in archive.columns]
        dims = [f"dim {dim}" for dim in archive.dims]
        self.x, self.y, self.color = (
            _widget(Select, name, title=title, options=options, width=112)
            for name, title in (("map-x", "x axis"), ("map-y", "y axis"), ("map-color", "color"))
        )
        self.x.value, self.y.value = (dims * 2)[:2]
        self.color.value = archive.labels[0] if archive.labels else (dims * 3)[2]
        self.source = ColumnDataSource({"x": [], "y": [], "color": []}, name="map-data")
        self.cells = ColumnDataSource(
            {"image": [], "x": [], "y": [], "dw": [], "dh": []}, name="map-cells"
        )
        self.picked = ColumnDataSource({"x": [], "y": []})
        self.here = ColumnDataSource({"x": [], "y": []})
        self.figure = figure(
            name="map", height=440, sizing_mode="stretch_width", toolbar_location="above",
            tools="pan,wheel_zoom,box_zoom,lasso_select,reset", active_scroll="wheel_zoom",
            x_range=Range1d(0, 1), y_range=Range1d(0, 1),
            background_fill_alpha=0, border_fill_alpha=0,
        )  # fmt: skip
        self.figure.toolbar.logo = None
        quiet(self.figure)
        self.image = self.figure.image_rgba(
            "image", x="x", y="y", dw="dw", dh="dh", source=self.cells
        )
        self.points = self.figure.scatter(
            "x", "y", source=self.source, size=6, fill_color="color", fill_alpha=0.85,
            # So that dark points are seen on a dark page.
            line_color=QUIET, line_width=0.5,
        )  # fmt: skip
        # A lasso is looked at by the server, which has all points: none turn pale here.
        self.points.nonselection_glyph = self.points.selection_glyph = None
        rings: dict[str, Any] = {"fill_color": None, "line_width": 1.5}
        self.figure.scatter("x", "y", source=self.picked, size=9, line_color=STRONG, **rings)
        self.figure.scatter(
            "x", "y", source=self.here, size=17, marker="cross", line_color=OVERLAY, line_width=2.5
        )
        self.legend = text("map-legend")
        self.count = text("map-count", "click a point to open it; draw a lasso to pick many")
        self.find = _widget(
            TextInput, "find", title="open by name", placeholder="id or row", width=150
        )
        kinds = [("names as .csv", "csv"), ("@list.txt for encode", "list")]
        self.save = _widget(Dropdown, "save-picked", label="save picked", width=130, menu=kinds)
        widgets = [self.x, self.y, self.color, self.legend, self.count, self.find, self.save]
        self.roots = [self.figure, *widgets]


class SliderPanel:
    """A slider for each informative dimension."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.dims = list(archive.dims)
        self.sliders = [self._slider(dim, place) for place, dim in enumerate(self.dims)]
        self.does = [
            text(f"does-{place}", self._does(dim), css_classes=["does"])
            for place, dim in enumerate(self.dims)
        ]
        self.mean = _widget(Button, "mean", label="start from the mean")
        self.reset = _widget(Button, "reset", label="reset sliders")
        self.change = text("change", css_classes=["change"])
        self.roots = [*self.sliders, *self.does, self.mean, self.reset, self.change]

    def _slider(self, dim: int, place: int) -> Slider:
        archive = self.archive
        low, high = float(archive.low[dim]), float(archive.high[dim])
        high = high if high > low else low + 1.0
        mean, sigma = float(archive.mean[dim]), float(archive.sigma[dim])
        slider: Slider = _widget(
            Slider, f"slider-{place}", start=low, end=high, value=min(max(mean, low), high),
            step=(high - low) / _STEPS, title=plain(archive.known[dim].name),
            format=CustomJSTickFormatter(args={"mean": mean, "sigma": sigma}, code=_FORMAT),
            sizing_mode="stretch_width", css_classes=["dim"], bar_color=STRONG,
        )  # fmt: skip
        return slider

    def _does(self, dim: int) -> str:
        words = escape(self.archive.known[dim].does)
        return words and f'<span title="{words}">{words}</span>'

    def name_all(self, values: Any) -> None:
        """Put what is known by now beside the sliders, and these in its order."""
        self.dims = list(self.archive.dims)
        for place, dim in enumerate(self.dims):
            made = self._slider(dim, place)
            slider = self.sliders[place]
            value = float(values[dim])
            slider.update(
                start=min(made.start, value), end=max(made.end, value), step=made.step,
                value=value, title=made.title, format=made.format,
            )  # fmt: skip
            self.does[place].text = self._does(dim)


class NearPanel:
    """The nearest spectra: a table that page.js writes, and rings on the map, of one source."""

    def __init__(self, chart: MapPanel) -> None:
        names = ("row", "rank", "name", "distance", "labels", "why", "x", "y")
        self.source = ColumnDataSource({name: [] for name in names}, name="near")
        rings = chart.figure.scatter(
            "x", "y", source=self.source, size=12, fill_color=None, line_color=OVERLAYS[0],
            line_width=1.5,
        )  # fmt: skip
        # Those that are laid over the spectrum are marked in the table.
        rings.nonselection_glyph = rings.selection_glyph = None
        self.heading = text("near-heading")


class Head:
    """What spectrum is shown, and what there is to say."""

    def __init__(self) -> None:
        self.title = text("shown-title", css_classes=["title"])
        self.trust = text("shown-trust")
        self.readout = text("readout", css_classes=["readout"])
        self.message = text("message")
        self.upload = _widget(FileInput, "upload", title="open a file", multiple=False, width=240)
        self.roots = [self.title, self.trust, self.readout, self.message, self.upload]


def legend(colors: LabelColors, label: str) -> str:
    """What colors of a map mean, as HTML."""
    name = escape(label)
    if colors.classes:
        named = zip(colors.classes, colors.palette, strict=True)
        dots = (f'<span style="color:{color}">●</span> {escape(one)}' for one, color in named)
        return f"{name}: {' '.join(dots)}"
    if not np.isfinite(colors.values).any():
        return f"{name}: no values"
    low, high = colors.limits
    ends = beyond(colors.values, low, high)
    least = "\u2264 " if ends in ("min", "both") else ""
    most = "\u2265 " if ends in ("max", "both") else ""
    shades = [_hex(rgba) for rgba in colors.rgba(np.linspace(low, high, 9))]
    strip = f"linear-gradient(to right,{','.join(shades)})"
    bar = f'<span class="bar" style="background:{strip}"></span>'
    scale = f"{least}{minus(f'{low:.4g}')} {bar} {most}{minus(f'{high:.4g}')}"
    return f'{name} <span class="ends">{scale}</span>'


def _hex(rgba: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgba[:3])
