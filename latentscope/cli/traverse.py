"""Commands that decode: traverse, linemap."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from latentscope.cli.application import UsageError, command
from latentscope.cli.options import Json, Model, Plot, Table
from latentscope.cli.output import Output, progress
from latentscope.cli.tables import check_outputs, write_table

_MODEL_LATENTS = Annotated[
    Path | None,
    typer.Option(
        "--latents",
        help="Latents of data by this model: their mean, quantiles and spread count. Default: the "
        "sample that came with the model, or its prior.",
    ),
]
_LINELIST = Annotated[
    Path | None,
    typer.Option("--linelist", help="Lines to measure: CSV, MOOG/linemake or VALD. Default: ours."),
]
_RV = Annotated[
    float | None,
    typer.Option("--rv", help="Velocity of the base's lines, km/s. Default: measured on them."),
]
_SPECTRUM = Annotated[
    Path | None,
    typer.Argument(metavar="[SPECTRUM]", help="Where to start. Default: the mean of the data."),
]


@command(
    "latentscope traverse --dim 0 --plot dim0.png",
    "latentscope traverse spectrum.fits -m harps-sim --dim 15 --latents latents.npy --sigmas -3:3",
    "latentscope traverse --dim 15 --window 5160:5190 --window 6550:6576 -o dim15.csv",
)
def traverse(
    spectrum: _SPECTRUM = None,
    dim: Annotated[int, typer.Option("--dim", min=0, help="The dimension to move.")] = ...,  # type: ignore[assignment]
    model: Model = None,
    latents: _MODEL_LATENTS = None,
    quantiles: Annotated[
        str | None,
        typer.Option("--quantiles", help="Of the data: 0.1,0.5,0.9. Default: seven, 0.02 to 0.98."),
    ] = None,
    sigmas: Annotated[
        str | None,
        typer.Option("--sigmas", help="Range in spreads of the data about the base: -3:3."),
    ] = None,
    values: Annotated[
        str | None, typer.Option("--values", help="What to set the dimension to: -2,0,2.")
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=2, help="Spectra that --sigmas decodes.")
    ] = 7,
    window: Annotated[
        list[str] | None,
        typer.Option("--window", help="Zoom of the picture, Angstrom: 5160:5190. Repeatable."),
    ] = None,
    linelist: _LINELIST = None,
    rv: _RV = None,
    output: Table = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Move one dimension, decode, and measure what changes.

    Radial velocity, color and slope of the continuum, depth and width of lines. -o writes the
    spectra's table, and the lines' beside it as .lines.csv.
    """
    from latentscope.models.registry import DEFAULT_MODEL
    from latentscope.models.traversal import traverse as measure

    out = Output(as_json)
    inputs = [path for path in (spectrum, latents, linelist) if path is not None]
    check_outputs(output, plot, *inputs)
    if output is not None:
        check_outputs(output.with_suffix(".lines.csv"), None, *inputs)
    zooms = [_range("--window", text) for text in window or ()]
    with progress("traverse") as advance:
        result = measure(
            model or DEFAULT_MODEL,
            dim,
            spectrum=spectrum,
            latents=latents,
            linelist=linelist,
            rv=rv,
            quantiles=None if quantiles is None else _numbers("--quantiles", quantiles),
            sigmas=None if sigmas is None else _spaced(sigmas, steps),
            values=None if values is None else _numbers("--values", values),
            progress=advance,
        )
    write_table(output, result.table, result.provenance)
    if output is not None:
        write_table(output.with_suffix(".lines.csv"), result.lines, result.provenance)
    if plot is not None:
        from latentscope.plots.style import save_figure
        from latentscope.plots.traversal import plot_traversal

        save_figure(plot_traversal(result, windows=zooms or None), plot)
    sentences = result.sentences()
    out.frame(result.table)
    out.say()
    for sentence in sentences:
        out.say(sentence)
    out.say(_begun(result.provenance))
    out.result(
        {
            "dim": result.dim,
            "verdict": result.verdict,
            "rv_kms_per_unit": result.rv_per_unit.value,
            "rv_kms_per_unit_error": result.rv_per_unit.error,
            "shift_explained": result.shift_explained,
            "unit": result.unit,
            "sentences": sentences,
            "provenance": result.provenance,
            "table": result.table.to_dict("records"),
            "lines": result.lines.to_dict("records"),
        }
    )


@command(
    "latentscope linemap -m harps-sim -o linemap.csv --plot linemap.png",
    "latentscope linemap --latents latents.npy --dims 13,15 --linelist lines.csv",
)
def linemap(
    spectrum: _SPECTRUM = None,
    model: Model = None,
    latents: _MODEL_LATENTS = None,
    dims: Annotated[
        str, typer.Option("--dims", help="informative, or a list: 11,19.")
    ] = "informative",
    step: Annotated[
        float, typer.Option("--step", help="Of the central differences, in spreads of the data.")
    ] = 0.5,
    linelist: _LINELIST = None,
    rv: _RV = None,
    output: Table = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Find which lines each dimension moves.

    The derivative of the decoded spectrum with respect to each informative dimension, read on a
    list of lines.
    """
    from latentscope.models.registry import DEFAULT_MODEL
    from latentscope.models.traversal import line_map

    out = Output(as_json)
    check_outputs(
        output, plot, *(path for path in (spectrum, latents, linelist) if path is not None)
    )
    chosen = None if dims == "informative" else _whole_numbers(dims)
    with progress("line map") as advance:
        result = line_map(
            model or DEFAULT_MODEL,
            latents=latents,
            dims=chosen,
            spectrum=spectrum,
            linelist=linelist,
            step=step,
            rv=rv,
            progress=advance,
        )
    write_table(output, result.table, result.provenance)
    if plot is not None:
        from latentscope.plots.style import save_figure
        from latentscope.plots.traversal import plot_line_map

        save_figure(plot_line_map(result), plot)
    out.frame(result.dims)
    out.say()
    for sentence in result.sentences():
        out.say(sentence)
    out.say(_begun(result.provenance) + ("" if output else "; -o writes the table of all lines"))
    out.result(
        {
            "sentences": result.sentences(),
            "provenance": result.provenance,
            "dims": result.dims.to_dict("records"),
            "table": result.table.to_dict("records"),
        }
    )


def _begun(provenance: dict[str, Any]) -> str:
    return (
        f"moved from {provenance['base_from']}, whose lines are at {provenance['base_rv']:+.1f} "
        f"km/s ({provenance['base_rv_from']}); one sigma is the spread of {provenance['data']}"
    )


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} is {text!r}; expected numbers such as -2,0,2") from None


def _whole_numbers(text: str) -> list[int]:
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdigit() for number in numbers):
        raise UsageError(f"--dims is {text!r}; expected informative, or numbers such as 11,19")
    return [int(number) for number in numbers]


def _range(option: str, text: str) -> tuple[float, float]:
    first, _, last = text.partition(":")
    try:
        found = float(first), float(last)
    except ValueError:
        found = 0.0, 0.0
    if not found[0] < found[1]:
        raise UsageError(f"{option} is {text!r}; expected first:last, ascending, such as 5160:5190")
    return found


def _spaced(text: str, steps: int) -> list[float]:
    first, last = _range("--sigmas", text)
    return [first + (last - first) * step / (steps - 1) for step in range(steps)]
