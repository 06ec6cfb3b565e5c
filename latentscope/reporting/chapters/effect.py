"""Chapter 5: what each dimension does to a spectrum."""

from __future__ import annotations

import pandas as pd

from latentscope.diagnostics.traversal.line_map import LineMapResult
from latentscope.diagnostics.traversal.traverse import TraversalResult
from latentscope.reporting.numbers import with_error
from latentscope.reporting.parts import Column, Part, Picture, Table
from latentscope.reporting.pictures import picture
from latentscope.reporting.plan import Plan, Step
from latentscope.reporting.study import Study

_LINES_SHOWN = 3


def line_map(study: Study) -> Part:
    """Show which lines each informative dimension moves."""
    result = study.line_map
    drawn = picture(
        result.plot(),
        "How much deeper (or shallower) the lines of each element become when a dimension grows by "
        "one sigma of the data.",
        f"Map of {len(result.dims)} dimensions against elements, by change of line depth.",
        raster=True,
    )
    return Part(
        _headline(result),
        study.measured_on(),
        tuple(result.sentences()),
        (_dims_table(result), _lines_table(result)),
        (drawn,),
        result.provenance,
    )


def _headline(result: LineMapResult) -> str:
    rows = result.dims.sort_values("rms_per_sigma", ascending=False).to_dict("records")
    shifts = [
        f"{row['dim']} ({with_error(row['rv_kms_per_sigma'], row['rv_error'])} km/s per sigma)"
        for row in rows
        if row["verdict"] == "shift"
    ]
    return (
        f"Dimension {rows[0]['dim']} changes the flux most, by "
        f"{100 * rows[0]['rms_per_sigma']:.2g} % per sigma. "
        f"Doppler shift: {', '.join(shifts) or 'none'}."
    )


def _dims_table(result: LineMapResult) -> Table:
    frame = result.dims.sort_values("rms_per_sigma", ascending=False, ignore_index=True)
    columns = (
        Column("dim", "dim"),
        Column("rv_kms_per_sigma", "RV (km/s per σ)", error="rv_error", hint="receding positive"),
        Column("shift_explained", "shift explains", decimals=3, hint="share of the lines' change"),
        Column("verdict", "Doppler shift"),
        Column(
            "colour_mag_per_sigma",
            "colour (mag per σ)",
            decimals=3,
            hint="like B - V, positive: redder",
        ),
        Column("slope_per_sigma", "slope per σ", error="slope_error", hint="positive: redder"),
        Column("rms_per_sigma", "flux change per σ", hint="relative, root mean square"),
        Column("sigma", "σ of the data"),
    )
    caption = "What one sigma of the data does to the decoded spectrum, the largest change first."
    return Table("effects", caption, frame, columns)


def _lines_table(result: LineMapResult) -> Table:
    frame = result.table.sort_values(["rank", "dim"], kind="stable", ignore_index=True)
    columns = (
        Column("dim", "dim"),
        Column("rank", "rank"),
        Column("line", "line"),
        Column("element", "element"),
        Column("wavelength", "wavelength (Å)", decimals=1),
        Column("depth", "depth"),
        Column("depth_per_sigma", "depth per σ", error="depth_error"),
        Column("ew_per_sigma", "equivalent width per σ (Å)", error="ew_error"),
        Column("width_per_sigma", "width per σ (Å)", error="width_error"),
    )
    caption = "The lines that each dimension changes most, the first of each dimension first."
    most = _LINES_SHOWN * len(result.dims)
    return Table("lines", caption, frame, columns, open_rows=len(result.dims), most=most)


def traversals(study: Study) -> Part:
    """Move the dimensions that change the flux most, one at a time, and draw the spectra."""
    effects = study.line_map.dims.sort_values("rms_per_sigma", ascending=False)
    dims = [int(dim) for dim in effects["dim"].head(study.effort.traversals)]
    results = [_traversal(study, dim) for dim in dims]
    some = len(dims) < len(effects)
    which = (
        f"Of {len(effects)} dimensions the {len(dims)} that change the flux most. " if some else ""
    )
    told = (
        f"{which}One at a time is moved through quantiles of the data, all others held at their "
        "mean: decoded spectra, what changes against the base, zooms, velocities and lines."
    )
    return Part(
        paragraphs=(told,),
        tables=(_steps(results),),
        pictures=tuple(_drawn(result) for result in results),
        provenance={**results[0].provenance, "dim": dims},
    )


def _traversal(study: Study, dim: int) -> TraversalResult:
    from latentscope.models.traversal import traverse_model

    with study.stage(f"traversal of dimension {dim}") as advance:
        return traverse_model(study.network, dim, latents=study.sample, progress=advance)


def _drawn(result: TraversalResult) -> Picture:
    return picture(
        result.plot(),
        " ".join(result.sentences()),
        f"Decoded spectra for values of dimension {result.dim}, and what changes.",
        raster=True,
    )


def _steps(results: list[TraversalResult]) -> Table:
    steps = [result.table.assign(dim=result.dim) for result in results]
    frame = pd.concat(steps, ignore_index=True)
    columns = (
        Column("dim", "dim"),
        Column("value", "value"),
        Column("rv_kms", "RV (km/s)", error="rv_error", hint="against the base"),
        Column("correlation", "correlation"),
        Column("colour_mag", "colour (mag)"),
        Column("slope", "slope", error="slope_error"),
        Column("rms", "flux change"),
    )
    caption = "Each step of the traversals, against the base."
    return Table("traversals", caption, frame, columns, open_rows=0, most=400)


EFFECT = Plan(
    "effect",
    "What does each do?",
    (
        Step("lines", "Lines that each dimension moves", line_map),
        Step("traversals", "One dimension moved at a time", traversals),
    ),
)
