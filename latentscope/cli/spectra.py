"""The commands of files and models: encode, inspect, plot, reconstruct, simulate, models, ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from latentscope import __version__
from latentscope.cli.application import (
    NOTHING_DONE,
    SOME_FAILED,
    Advance,
    Output,
    UsageError,
    Voice,
    command,
    echo,
    of_the_system,
    progress,
    watched,
)
from latentscope.cli.options import (
    Dask,
    Files,
    Model,
    Reading,
    Seed,
    Workers,
    check_plot,
    complete_model,
    interval,
    model_option,
    option,
    parsed,
    save_plot,
    whole,
)
from latentscope.errors import LatentscopeError, SpectrumError
from latentscope.files import check_room, check_writable, write_json

if TYPE_CHECKING:
    from latentscope.models.reconstruction import Reconstruction
    from latentscope.spectra.prepare import PrepareConfig

_Found = TypeVar("_Found")

MinCoverage = Annotated[
    float,
    option("SHARE", "Smallest fraction of the model's grid that a spectrum must "
        "fill.", "--min-coverage", min=0.0, max=1.0)
]  # fmt: skip


def batch_size(text: str) -> Any:
    """Parse auto, or a number."""
    if text != "auto" and (not text.isdigit() or int(text) == 0):
        raise typer.BadParameter(f"{text!r}; expected auto or a whole number of at least 1")
    return text if text == "auto" else int(text)


_UNITS = dict.fromkeys(("first", "last", "step"), "Angstrom") | dict.fromkeys(
    ("rv", "berv"), "km/s"
)


@command(
    "latentscope encode spectra/*.fits",
    "latentscope encode spectra/ @list.txt -m astro-machines -o latents.npy",
    "find . -name '*_s1d_A.fits' | latentscope encode - -m folder/ --logvar",
    after_interrupt="; finished blocks are kept, the same command goes on from there",
)
def encode(
    files: Files,
    reading: Reading,
    out: Output,
    model: Model = None,
    output: Annotated[
        Path,
        option(
            "FILE",
            "Latents: .npy, with .csv and .json beside it; or .parquet, with all in one.",
            "-o",
            "--output",
        ),
    ] = Path("latents.npy"),
    logvar: Annotated[
        bool, typer.Option("--logvar", help="Write the log variances too, as .logvar.npy.")
    ] = False,
    device: Annotated[
        str, option("NAME", "cpu, cuda, cuda:1, or auto: a GPU if there is one.")
    ] = "cpu",
    precision: Annotated[
        Literal["float32", "bf16"],
        typer.Option("--precision", help="bf16 is faster on processors that have it, to 1e-3."),
    ] = "float32",
    batch: Annotated[Any, parsed(batch_size, "Spectra per batch, or auto.", "--batch-size")] = (
        "auto"
    ),
    workers: Workers = None,
    dask: Dask = None,
    min_coverage: MinCoverage = 0.5,
    no_resume: Annotated[
        bool,
        typer.Option(
            "--no-resume", help="Start over; ignore finished blocks of an interrupted run."
        ),
    ] = False,
    no_recon_error: Annotated[
        bool, typer.Option("--no-recon-error", help="Leave the recon_error column empty; faster.")
    ] = False,
    probe: Annotated[
        str,
        option(
            "PROBE",
            "Probe that reads labels from the latents: a file, a model, or none. auto: the "
            "model's own.",
        ),
    ] = "auto",
) -> None:
    """Turn spectra into latents, one row per file, in their order.

    A file that fails keeps its place as a row of NaN, with the reason in the .csv; the exit code
    is then 3.
    """
    from latentscope.data import check_latents_path
    from latentscope.models.config import DEFAULT_MODEL
    from latentscope.models.encode import encode as encode_spectra
    from latentscope.models.weights import load_model

    if output.suffix.lower() not in (".npy", ".parquet"):
        raise UsageError(
            f"--output is {str(output)!r}; expected a path that ends in .npy or .parquet"
        )
    check_latents_path(output, logvar=logvar)
    earlier = output.exists()
    network = load_model(model or DEFAULT_MODEL)
    latents = watched(
        "encode",
        encode_spectra,
        files,
        network,
        output=output,
        batch_size=batch,
        device=device,
        precision=precision,
        workers=workers,
        dask=dask,
        min_coverage=min_coverage,
        logvar=logvar,
        recon_error=not no_recon_error,
        resume=not no_resume,
        probe=probe,
        **vars(reading),
    )
    assert latents.table is not None
    failed = latents.table[~latents.ok]
    named = list(zip(map(str, failed["file"]), map(str, failed["error"]), strict=True))
    # Of a Parquet file the other rows are not in memory.
    counted = ("n", "ok", "outside", "unsaid", "model")
    n, done, outside, unsaid, name = (latents.provenance[it] for it in counted)
    written = output if done or not earlier else None
    where = "" if written is None else f": {written}"
    out.say(f"encoded {done} of {n} spectra into {latents.dims} dimensions with {name}{where}")
    if unsaid:
        out.say(
            f"{unsaid} do not state medium or frame of their wavelengths; the column assumed says "
            "what was taken"
        )
    if outside:
        out.say(
            f"{outside} of them are outside of what the model knows; 'latentscope score' says why"
        )
    record = {
        "output": written, "model": name, "spectra": n, "encoded": done, "dims": latents.dims,
    }  # fmt: skip
    _end(out, record, named, n)


def _end(out: Voice, record: dict[str, Any], failed: Sequence[tuple[str, str]], asked: int) -> None:
    """Name the files that failed, print all as JSON, and leave with their exit code."""
    out.failures(failed)
    out.result(record | {"failed": _failures(failed)})
    if failed:
        raise typer.Exit(SOME_FAILED if len(failed) < asked else NOTHING_DONE)


def _failures(failed: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"file": file, "error": error} for file, error in failed]


@command(
    "latentscope inspect spectrum.fits",
    "latentscope inspect spectra/*.fits -m astro-machines --json",
)
def inspect(
    files: Files,
    reading: Reading,
    out: Output,
    model: Model = None,
) -> None:
    """Show the contents of a spectrum file.

    Format, medium, frame, range, step, coverage of a model's grid, SNR, and what the file does
    not say and was assumed.
    """
    from latentscope.models.rows import expand_sources
    from latentscope.spectra.read import read_spectrum
    from latentscope.spectra.summary import summarize

    config = _preparation(model)
    sources = expand_sources(files)

    def read(file: Any) -> dict[str, Any]:
        spectrum = read_spectrum(file, **vars(reading))
        summary = {"file": str(file), **summarize(spectrum, config)}
        _describe(out, summary)
        return summary

    summaries, failed = _each(sources, read)
    _end(out, {"spectra": summaries}, failed, len(sources))


def _each(
    files: Sequence[Any], work: Callable[[Any], _Found], advance: Advance | None = None
) -> tuple[list[_Found], list[tuple[str, str]]]:
    """Results of the work on each file, and the files that failed, with the reason."""
    found: list[_Found] = []
    failed: list[tuple[str, str]] = []
    for number, file in enumerate(files):
        try:
            found.append(work(file))
        except LatentscopeError as error:
            failed.append((str(file), str(error)))
        except BrokenPipeError:  # of what the work prints
            raise
        except OSError as error:
            failed.append((str(file), of_the_system(error)))
        except Exception as error:  # one file of many may break a reader in any way
            failed.append((str(file), f"{type(error).__name__}: {error}"))
        if advance is not None:
            advance(number + 1, len(files))
    return found, failed


@command(
    "latentscope plot spectrum.fits",
    "latentscope plot one.fits two.fits --wavelength 5160-5190 --rest -o both.png",
    "latentscope plot spectrum.fits -m none",
)
def plot(
    files: Files,
    reading: Reading,
    out: Output,
    model: Annotated[
        str | None,
        model_option(
            "Model that reconstructs: name, folder or address; none: spectra alone. Default: the "
            "bundled harps-sim."
        ),
    ] = None,
    output: Annotated[
        Path, option("FILE", "Plot to save: .png, .pdf or .svg.", "-o", "--output")
    ] = Path("plot.png"),
    wavelength: Annotated[
        list[Any] | None, parsed(interval, "A zoom in Angstrom: 5160-5190. Repeatable.")
    ] = None,
    rest: Annotated[bool, typer.Option("--rest", help="Shift each star to rest.")] = False,
    rv: Annotated[
        float | None,
        option(
            "KM/S",
            "Velocity of the stars' lines, receding positive. Default: measured on the lines, "
            "else the header's.",
        ),
    ] = None,
) -> None:
    """Plot spectra, their reconstructions and the residuals.

    Flux, reconstruction, residual, pixels that were not used, lines by name, zooms. Up to 8 spectra
    are overlaid. One that the model cannot take is drawn without it.
    """
    from latentscope.models.config import DEFAULT_MODEL
    from latentscope.models.reconstruction import view_spectrum
    from latentscope.models.rows import expand_sources
    from latentscope.models.weights import load_model
    from latentscope.plots.spectrum import MOST_SPECTRA, plot_spectrum

    check_plot(output, "-o")
    sources = expand_sources(files)
    if len(sources) > MOST_SPECTRA:
        raise UsageError(f"{len(sources)} spectra; expected {MOST_SPECTRA} at most in one picture")
    network = None if model == "none" else load_model(model or DEFAULT_MODEL)
    shown, failed = _each(
        sources, lambda file: view_spectrum(file, network, rv=rv, **vars(reading))
    )
    if shown:
        save_plot(output, lambda: plot_spectrum(shown, windows=wavelength or None, rest=rest))
    facts = [_facts(one) for one in shown]
    if shown:
        _say_reconstructions(out, facts)
        out.say(f"wrote {output}")
    record = {"output": output if shown else None, "spectra": facts}
    _end(out, record, failed, len(sources))


def _facts(one: Reconstruction) -> dict[str, Any]:
    about = {name: one.provenance[name] for name in ("file", "object", "model", "assumed")}
    return {"id": one.name, **about, "rv": one.rv, "rv_from": one.rv_from, **one.summary}


def _say_reconstructions(out: Voice, facts: Sequence[dict[str, Any]]) -> None:
    names = ("id", "object", "rv", "rv_from", "rms", "chi")
    out.table(names, [[one[name] for name in names] for one in facts])


@command(
    "latentscope reconstruct spectra/*.fits -o reconstructions/",
    "latentscope reconstruct spectrum.fits -m folder/ -o . --format csv",
)
def reconstruct(
    files: Files,
    reading: Reading,
    out: Output,
    model: Model = None,
    output: Annotated[
        Path, option("FOLDER", "Folder; files of the same name are replaced.", "-o", "--output")
    ] = Path("reconstructions"),
    suffix: Annotated[
        Literal["fits", "csv"], typer.Option("--format", help="Format of the files.")
    ] = "fits",
    min_coverage: MinCoverage = 0.5,
) -> None:
    """Write reconstructions of spectra, as FITS or CSV.

    NAME.reconstruction.fits for each file: wavelength, reconstruction, input and its error,
    residual and mask at the model's pixels; reconstruct.json says what made them. A file that
    fails leaves the others.
    """
    from latentscope.models.config import DEFAULT_MODEL
    from latentscope.models.reconstruction import reconstruct as reconstructed
    from latentscope.models.rows import expand_sources
    from latentscope.models.weights import load_model, weights_sha256

    check_writable(output / "reconstruct.json")
    sources = expand_sources(files)
    network = load_model(model or DEFAULT_MODEL)
    options = {**vars(reading), "min_coverage": min_coverage}
    written: dict[str, str] = {}

    def write(file: Any) -> dict[str, Any]:
        found = reconstructed(file, network, **options)
        if found.name in written:
            raise SpectrumError(
                f"{file}: has the name of {written[found.name]}, which is written already; give "
                "another folder"
            )
        path = output / f"{found.name}.reconstruction.{suffix}"
        found.write(path)
        written[found.name] = str(file)
        return _facts(found) | {"output": str(path)}

    with progress("reconstruct", len(sources)) as advance:
        facts, failed = _each(sources, write, advance)
    record = {"folder": output, "spectra": facts}
    if facts:
        _say_reconstructions(out, facts)
        out.say(f"wrote {len(facts)} of {len(sources)} spectra to {output}")
        about: dict[str, Any] = {
            "latentscope": __version__,
            "weights_sha256": weights_sha256(network),
        }
        about |= options | record | {"failed": _failures(failed)}
        write_json(output / "reconstruct.json", about)
    _end(out, record, failed, len(sources))


def _preparation(model: str | None) -> PrepareConfig | None:
    """Return a model's preparation, without loading weights if that is possible."""
    from latentscope.models.config import DEFAULT_MODEL, known_config

    settings = known_config(model or DEFAULT_MODEL)
    if settings is not None:
        return settings.prepare
    from latentscope.models.weights import load_model

    return load_model(str(model)).prepare


def _describe(out: Voice, summary: dict[str, Any]) -> None:
    for key, value in summary.items():
        for item in value if isinstance(value, list) else [value]:
            if item not in (None, ""):
                shown = f"{item:.8g}" if isinstance(item, float) else str(item)
                out.say(f"{key:<15} {shown} {_UNITS.get(key, '')}".rstrip())
    out.say()


_BYTES = {"adp": 4.8e6, "s1d": 1.25e6}
"""Bytes of one file, by layout."""


@command(
    "latentscope simulate -n 1000 -o spectra/",
    "latentscope simulate -n 200 -o small/ --layout s1d --linelist lines.csv",
)
def simulate(
    out: Output,
    n: Annotated[int, whole(1, "Number of spectra.", "-n", "--number")] = 1000,
    output: Annotated[
        Path, option("FOLDER", "Folder; files of the same name are replaced.", "-o", "--output")
    ] = Path("spectra"),
    seed: Seed = 0,
    layout: Annotated[
        Literal["adp", "s1d"],
        typer.Option(
            "--layout",
            help="adp: ESO phase-3 tables, 4.8 MB each; s1d: small images, 1.25 MB each.",
        ),
    ] = "adp",
    linelist: Annotated[
        Path | None, option("FILE", "Line list: CSV, MOOG/linemake or VALD extract-stellar.")
    ] = None,
    workers: Workers = None,
) -> None:
    """Simulate an archive of spectra with known truth.

    HARPS-like FITS files, and labels.csv.
    """
    from latentscope.simulation.simulate import write_archive

    smaller = "fewer (-n), or --layout s1d," if layout == "adp" else "fewer (-n)"
    size = check_room(output, n * _BYTES[layout], f"write {smaller} or to another disk (-o)")
    echo(f"simulating {n:,} spectra into {output}, {size}", err=True)
    with progress("simulate", n) as advance:
        labels = write_archive(
            output,
            n,
            seed=seed,
            layout=layout,
            linelist=linelist,
            workers=workers,
            progress=advance,
        )
    out.say(f"wrote {n} spectra and {labels}")
    out.result({"folder": output, "labels": labels, "spectra": n, "seed": seed, "layout": layout})


@command(
    "latentscope models", "latentscope models --check org/name", "latentscope models --check all"
)
def models(
    out: Output,
    check: Annotated[
        str | None,
        option(
            "MODEL",
            "Check that a model computes its reference latents: name, folder, Hugging Face id, or "
            "all for the bundled ones.",
            autocompletion=complete_model,
        ),
    ] = None,
) -> None:
    """List the available models, or check one.

    Bundled ones, and published ones, which are downloaded on first use.
    """
    if check is not None:
        _check(check, out)
        return
    from latentscope.models.config import available_models

    models = available_models()
    columns = ("name", "where", "latents", "grid", "description")
    out.table(columns, [[item[name] for name in columns] for item in models])
    out.result(models)


def _check(model: str, out: Voice) -> None:
    from latentscope.models.config import bundled_models
    from latentscope.models.weights import TOLERANCE, check_model

    def examine(name: str) -> dict[str, Any]:
        difference = check_model(name)
        out.say(
            f"{name}: its reference spectra give the expected latents, to {difference:.1g} "
            f"(allowed: {TOLERANCE:g})"
        )
        return {"model": name, "difference": difference, "tolerance": TOLERANCE}

    if model != "all":
        out.result(examine(model))
        return
    names = list(bundled_models())
    results, failed = _each(names, examine)
    out.failures(failed)
    out.result([*results, *({"model": name, "error": why} for name, why in failed)])
    if failed:
        raise typer.Exit(SOME_FAILED if results else NOTHING_DONE)


@command("latentscope doctor", "latentscope doctor --json")
def doctor(out: Output) -> None:
    """Show this installation, to paste into a bug report.

    Versions, processor and devices, threads, folders and free disk, hashes of the models.
    """
    from latentscope.models.doctor import examine

    found = examine()
    for section, values in found.items():
        out.say(section)
        if section == "versions":
            listed = ", ".join(f"{name}\u00a0{value}" for name, value in values.items())
            for line in wrap(listed, 78, break_on_hyphens=False):
                out.say("  " + line.replace("\u00a0", " "))
            continue
        for name, value in values.items():
            out.say(f"  {name:<20} {value}")
    out.result(found)


@command("latentscope convert model_128d_e182_i1500000.pth.tar folder/")
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="IN", help="Published .pth.tar checkpoint.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the converted model.")],
    out: Output,
    normalization: Annotated[
        Literal["median-padded", "median-valid"] | None,
        typer.Option(
            "--normalization",
            help="Normalization in training: median-padded (astro-machines) or median-valid "
            "(stellar-karaoke). Default: by the name of the published file.",
        ),
    ] = None,
) -> None:
    """Turn a published checkpoint into a model folder.

    The folder holds config.json, which says how to prepare spectra, and model.safetensors.
    """
    from latentscope.models.weights import convert_checkpoint, load_model, save_model

    if not checkpoint.is_file():
        raise UsageError(f"{checkpoint}: no such file; expected a .pth.tar checkpoint")
    if normalization is None:
        save_model(load_model(checkpoint), folder)
    else:
        convert_checkpoint(checkpoint, folder, normalization=normalization)
    out.say(f"wrote {folder / 'config.json'} and {folder / 'model.safetensors'}")
    out.result({"checkpoint": checkpoint, "folder": folder})
