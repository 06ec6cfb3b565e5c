"""The page as one file that opens without a server: map, neighbors, one dimension at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.events import DocumentReady
from bokeh.models import ColumnDataSource, CustomJS
from bokeh.resources import INLINE

from latentscope.explorer.archive import Archive
from latentscope.explorer.arrays import Floats, Singles
from latentscope.explorer.page import FACTS, foot
from latentscope.explorer.panels import (
    COLUMNS,
    NAMES,
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
from latentscope.files import atomic_path
from latentscope.plots.spectrum import envelope
from latentscope.plots.style import label_title

MOST_ROWS = 20_000
"""Most points of the map; more are thinned out evenly."""

STEPS = 9
"""Places of each dimension that are decoded."""

_MOST_VALUES = 2_000_000  # of all decoded spectra: 8 MB, 11 MB as text
_MOST_COLUMNS = 24


def write_page(archive: Archive, path: Path) -> Path:
    """Write the page of an archive as one file, which asks for nothing outside it."""
    archive.learn(wait=True)
    document, variables = _document(archive)
    page = file_html(
        document,
        INLINE,
        title="latentscope explore",
        template=template(),
        template_variables=variables,
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _document(archive: Archive) -> tuple[Document, dict[str, Any]]:
    document = Document()
    head, chart = Head(), MapPanel(archive)
    near = NearPanel(chart)
    finite = np.flatnonzero(archive.latents.ok)
    rows = finite[:: -(-len(finite) // MOST_ROWS)]
    roots: list[Any] = [head.title, head.readout, head.message, near.heading]
    roots += [chart.figure, chart.x, chart.y, chart.color, chart.legend, chart.count]
    scope: dict[str, Any] = {
        "figures": [chart.figure], "message": head.message, "upload": None, "largest": 0,
        "overlays": [], "near": near.source,
        "sliders": [], "goto": None,
    }  # fmt: skip
    offline = _map_scope(archive, rows, chart, near)
    if archive.model is not None:
        panel, sliders = SpectrumPanel(archive.wavelength, archive.axis), SliderPanel(archive)
        roots += [panel.flux, panel.left, panel.goto, *sliders.sliders, *sliders.does]
        roots += [sliders.change]
        scope |= {"figures": [panel.flux, panel.left, chart.figure], "goto": panel.goto}
        scope |= {"sliders": sliders.sliders}
        offline |= _spectrum_scope(archive, head, panel, sliders)
    for root in roots:
        document.add_root(root)
    # Roots before scripts: these look for them.
    code = f"{asset('page.js')}\n{asset('offline.js')}"
    document.js_on_event(DocumentReady, CustomJS(args={**scope, **offline}, code=code))
    shown = f"{len(rows):,} of " if len(rows) < len(finite) else ""
    return document, {
        "heading": shown + archive.title,
        "style": asset("page.css"),
        "spectra": archive.model is not None,
        "sliders": len(archive.dims),
        "offline": True,
        "foot": foot(archive),
    }


def _map_scope(archive: Archive, rows: Any, chart: MapPanel, near: NearPanel) -> dict[str, Any]:
    """What the map and the table need: columns, colors, names, stars, and standardized latents."""
    names = archive.columns[:_MOST_COLUMNS]
    colors = {name: archive.colors(name) for name in names}
    for select in (chart.x, chart.y, chart.color):
        select.options = [(name, plain(name)) for name in names]
    space = archive.retriever.space
    points = space.points(space.part(archive.latents.values, rows))
    stars = archive.study.stars.codes[rows]
    columns = {f"x:{name}": archive.values(name)[rows].astype(np.float32) for name in names}
    table = {"name": [plain(str(archive.ids[row])) for row in rows], "star": stars}
    facts = [", ".join(archive.facts(int(row))[:FACTS]) for row in rows]
    rgba = {
        name: (255 * colors[name].rgba(colors[name].values[rows])).astype(np.uint8)
        for name in names
    }
    return {
        "chart": chart.source, "here": chart.here, "map_figure": chart.figure,
        "selects": [chart.x, chart.y, chart.color],
        "legend_text": chart.legend, "near_heading": near.heading, "count": chart.count,
        "table": ColumnDataSource({**columns, **table, "facts": facts}),
        "paints": ColumnDataSource(rgba),
        "points": ColumnDataSource({str(i): points[:, i].astype(np.float32)
                                    for i in range(points.shape[1])}),
        "names": {name: plain(archive.map_name(name)) for name in names},
        "legends": {name: f"<p class='legend'>{legend(colors[name], label_title(name))}</p>"
                    for name in names},
    }  # fmt: skip


def _spectrum_scope(
    archive: Archive, head: Head, panel: SpectrumPanel, sliders: SliderPanel
) -> dict[str, Any]:
    """Decoded steps of each dimension, from the spectrum nearest to the mean."""
    shown = archive.shown(archive.middle)
    head.title.text = plain(shown.title).replace("<", "&lt;")
    sliders.name_all(shown.values)
    bins = _MOST_VALUES // (len(archive.dims) * STEPS) // 2
    first, last = (float(end) for end in archive.wavelength[[0, -1]])

    def drawn(flux: Singles) -> tuple[Floats, Singles]:
        x, y = envelope(archive.wavelength, flux[None], first, last, bins)
        return x, np.ascontiguousarray(y[0])

    base = archive.decoded(shown.values)
    x, reconstruction = drawn(base)
    blank = np.full(len(x), np.nan, np.float32)
    given = blank if shown.flux is None else drawn(shown.flux)[1]
    left = blank if shown.flux is None else drawn(shown.flux - base)[1]
    panel.source.data = dict.fromkeys(COLUMNS, blank) | {
        "x": x.copy(), "base": reconstruction, "input": given, "residual": left,
    }  # fmt: skip
    steps, values = {}, []
    for place, dim in enumerate(archive.dims):
        slider = sliders.sliders[place]
        at = np.linspace(slider.start, slider.end, STEPS)
        slider.update(step=float(at[1] - at[0]), tags=[float(shown.values[dim])])
        values.append(at.tolist())
        for number, value in enumerate(at):
            moved = shown.values
            moved[dim] = value
            steps[f"{place}:{number}"] = drawn(archive.decoded(moved))[1]
    flux = np.concatenate([reconstruction, given])
    low, high = np.nanquantile(flux, [0.0, 0.999])
    panel.flux.y_range.update(start=float(min(low, 0)), end=float(1.15 * high))
    # There are no buttons that say what the colors mean.
    panel.flux.legend[0].update(
        visible=True, location="top_left", background_fill_alpha=0, border_line_color=None,
        label_text_color=NAMES, label_text_font_size="11px",
    )  # fmt: skip
    wide = float(np.nanmax(np.abs(left))) if np.isfinite(left).any() else 0.2
    panel.left.y_range.update(start=-wide, end=wide)
    panel.goto.options = ["", *(name for name, _ in archive.lines)]
    panel.read_out(head.readout)
    return {
        "spectrum": panel.source, "steps": ColumnDataSource(steps), "values": values,
        "change": sliders.change, "lines": dict(archive.lines), "flux": panel.flux,
        "does": [archive.known[dim].does for dim in archive.dims],
    }  # fmt: skip
