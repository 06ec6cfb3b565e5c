"""The commands of `python -m train`."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from latentscope.cli.application import (
    NOTHING_DONE,
    SOME_FAILED,
    Output,
    UsageError,
    command,
    echo,
    progress,
)
from latentscope.cli.options import Workers
from latentscope.files import cores, keep_freed_memory

app = typer.Typer(
    name="python -m train",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def about() -> None:
    """Train spectrum autoencoders: on a simulated archive, or on your own, packed.

    Exit codes: 0 all done, 1 nothing done, 2 wrong usage, 3 done but some inputs failed.
    """


Folder = Annotated[Path, typer.Argument(help="Model folder, such as runs/mine/model.")]
Linelist = Annotated[
    Path | None, typer.Option(help="Line list of the simulation. Default: the built-in one.")
]
Archive = Annotated[str | None, typer.Option(help="Packed archive. Default: the configuration's.")]
Rows = Annotated[
    Path | None, typer.Option(help="Folder for the simulated rows. Default: in the run's.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another value of a key; repeatable."),
]


@command(
    "python -m train fit train/configs/harps-sim.yaml -o runs/harps-sim --linelist lines.csv",
    "python -m train fit my.yaml -o runs/b --set stages.0.beta=0.3 --set trainer.devices=4",
    after_interrupt="; the same command goes on from the last checkpoint",
    of=app,
)
def fit(
    config: Annotated[Path, typer.Argument(help="YAML file, such as train/configs/harps-sim.yaml")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    linelist: Linelist = None,
    archive: Archive = None,
    data: Rows = None,
    threads: Annotated[
        int, typer.Option(min=0, help="Threads of torch. 0: as many as are fastest here.")
    ] = 0,
    watch_every: Annotated[
        int, typer.Option(min=1, help="Steps between checkpoints, and looks at validation rows.")
    ] = 1000,
    change: Changes = None,
) -> None:
    """Train a model; run the same command again to go on after an interruption."""
    from train.settings import read_config

    settings = read_config(config, change or ())
    from train.fit import fit
    from train.learning.devices import rank_and_world

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    keep_freed_memory((1 << 31) - 1, 1 << 30)  # a fifth of a step's time on a busy CPU
    folder = fit(
        settings,
        output,
        linelist=linelist,
        archive=archive,
        data_folder=data,
        watch_every=watch_every,
        threads=threads,
        progress=sys.stderr.isatty(),
    )
    if rank_and_world()[0] == 0:
        echo(f"model written to {folder}; try: latentscope encode spectra/ -m {folder}")


@command(
    "python -m train export my.yaml --run runs/mine -o runs/mine/best --checkpoint best.ckpt",
    of=app,
)
def export(
    config: Annotated[Path, typer.Argument(help="The run's YAML file.")],
    run: Annotated[Path, typer.Option(help="Folder of the run.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")],
    linelist: Linelist = None,
    archive: Archive = None,
    data: Rows = None,
    checkpoint: Annotated[str, typer.Option(help="File in the run's folder.")] = "last.ckpt",
    change: Changes = None,
) -> None:
    """Write the model of a checkpoint of a run, ended or not.

    Before the last step no dimension is closed or turned.
    """
    from train.settings import read_config

    settings = read_config(config, change or ())
    from train.fit import export_checkpoint

    steps = export_checkpoint(
        settings,
        run,
        output,
        linelist=linelist,
        archive=archive,
        data_folder=data,
        checkpoint=checkpoint,
    )
    echo(f"model of step {steps:,} of {settings.steps:,} written to {output}")


@command("python -m train half runs/mine/model runs/mine/model-half", of=app)
def half(
    folder: Folder,
    output: Annotated[Path, typer.Argument(help="Folder for the smaller model.")],
) -> None:
    """Copy a model folder with its weights rounded to float16: half the size.

    Whoever loads it computes in float32 as before.
    """
    from train.publishing import half

    moved = half(folder, output)
    size = sum(path.stat().st_size for path in output.iterdir()) / 1e6
    echo(f"{output}: {size:.1f} MB; the reference latents moved by {moved:.1g} at most")


@command(
    "python -m train pack spectra/ -o archive.zarr -m harps-sim --labels spectra/labels.csv",
    "find /archive -name '*_s1d_A.fits' | python -m train pack - -o s3://bucket/archive.zarr",
    after_interrupt="; finished blocks are kept, the same command goes on from there",
    of=app,
)
def pack(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...",
            help="Files, folders, quoted globs, @list.txt (a name per line), - for stdin.",
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", help="The archive: a folder or an fsspec URL.")
    ],
    out: Output,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="Model whose grid the rows get. Default: harps-sim."),
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option("--grid", help="YAML or JSON file with `prepare`, as in train/configs/."),
    ] = None,
    dtype: Annotated[
        Literal["float16", "float32"], typer.Option("--dtype", help="Type of the stored rows.")
    ] = "float16",
    compression: Annotated[
        Literal["zstd", "lz4"],
        typer.Option("--compression", help="zstd is smaller, lz4 read faster."),
    ] = "zstd",
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Table of labels, joined on an id column.")
    ] = None,
    join: Annotated[
        str | None, typer.Option("--join", help="Column to join labels on, such as star.")
    ] = None,
    aliases: Annotated[
        Path | None,
        typer.Option("--aliases", help="Table of stars' names, a row per star, to join labels by."),
    ] = None,
    min_coverage: Annotated[
        float,
        typer.Option(
            "--min-coverage",
            min=0.0,
            max=1.0,
            help="A spectrum that fills less of the grid than this fails.",
        ),
    ] = 0.5,
    ivar: Annotated[
        bool, typer.Option("--ivar", help="Pack the inverse variance of each value too.")
    ] = False,
    workers: Workers = None,
) -> None:
    """Pack spectra into one Zarr archive, or add new ones to it.

    A file that fails stands in the archive's table with the reason. The same command goes on after
    an interruption, and reads no file twice.
    """
    from train.data.archive import Layout
    from train.data.packing import named_preparation, pack

    name, prepare = named_preparation(model, grid)
    layout = Layout.sized(
        prepare.row_size,
        dtype,
        compression=compression,
        ivar_size=prepare.ivar_size if ivar else 0,
    )
    with progress("pack") as advance:
        report = pack(
            files,
            output,
            prepare,
            layout=layout,
            model=name,
            min_coverage=min_coverage,
            labels=labels,
            join=join,
            aliases=aliases,
            workers=workers,
            progress=advance,
        )
    out.failures(report.failed)
    out.say(
        f"packed {report.packed} spectra into {report.archive}: {report.rows} rows, "
        f"{report.kept} of the named files were there before"
    )
    failed = [{"file": file, "error": reason} for file, reason in report.failed]
    out.result(vars(report) | {"failed": failed})
    if failed:
        raise typer.Exit(SOME_FAILED if report.packed + report.kept else NOTHING_DONE)


@command(
    "python -m train sample runs/mine/model --n-spectra 3000 --linelist lines.csv.gz",
    "python -m train sample runs/mine/model --latents mine.npy",
    of=app,
)
def sample(
    folder: Folder,
    latents: Annotated[
        Path | None,
        typer.Option(help="Latents of ordinary spectra, encoded with this model: take 3,000."),
    ] = None,
    n_spectra: Annotated[
        int, typer.Option(min=100, help="Spectra to simulate and encode, without --latents.")
    ] = 3000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated archive.")] = 7000,
    linelist: Linelist = None,
) -> None:
    """Write the reference sample of a model, by which `latentscope score` judges spectra.

    Ordinary spectra, which it was not trained on: simulated ones, or yours.
    """
    from latentscope.data import read_latents
    from latentscope.diagnostics.trust_reference import draw_trust_sample
    from latentscope.models.trust import write_trust_sample
    from latentscope.models.weights import load_folder
    from train.publishing import simulated_sample

    model = load_folder(folder)
    model.folder = None  # so that an older sample, of other weights perhaps, is not asked
    if latents is not None:
        drawn = draw_trust_sample(read_latents(latents), origin=latents.name)
    else:
        with progress("simulate and encode", n_spectra) as advance:
            drawn = simulated_sample(
                model, n_spectra, seed=seed, linelist=linelist, progress=advance
            )
    path = write_trust_sample(drawn, folder)
    size = path.stat().st_size / 1e3
    echo(f"{path}: {len(drawn):,} spectra ({drawn.info['origin']}), {size:.0f} kB")


@command(
    "python -m train probe runs/mine/model",
    "python -m train probe runs/mine/model --latents mine.npy --labels mine.csv",
    of=app,
)
def probe(
    folder: Folder,
    out: Output,
    latents: Annotated[
        Path | None, typer.Option(help="Latents of labelled spectra, encoded with this model.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Their labels; with --latents.")] = None,
    n_spectra: Annotated[
        int, typer.Option(min=400, help="Stars to simulate and encode, without --latents.")
    ] = 3072,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated archive.")] = 9000,
    population: Annotated[str, typer.Option(help="Stars and instruments of it.")] = "imperfect",
    data: Annotated[
        Path | None, typer.Option(help="Folder for the simulated rows. Default: thrown away.")
    ] = None,
    workers: Workers = None,
) -> None:
    """Write the probe of a model, by which `latentscope encode` reads labels from spectra.

    It learns from simulated stars, which the network was not trained on, or from yours.
    """
    from latentscope.data import read_latents
    from latentscope.diagnostics.study import read_study
    from latentscope.models.weights import load_folder
    from latentscope.simulation.population import POPULATIONS
    from train.publishing import export_probe, simulated_labels

    if (latents is None) != (labels is None):
        raise UsageError("--latents and --labels go together; expected both, or none")
    if population not in POPULATIONS:
        raise UsageError(
            f"--population is {population!r}; expected one of {', '.join(POPULATIONS)}"
        )
    model = load_folder(folder)
    if latents is not None and labels is not None:
        study = read_study(read_latents(latents), str(labels))
        read, truth, origin = study.latents, study.label_table, f"spectra of {labels.name}"
    else:
        with tempfile.TemporaryDirectory() as scratch:
            read, truth = simulated_labels(
                model,
                n_spectra,
                seed=seed,
                population=population,
                folder=Path(scratch) if data is None else data,
                workers=workers or cores(),
            )
        origin = f"simulated stars (population {population}, seed {seed})"
    told = export_probe(folder, read, truth, origin=origin)
    out.say(told[["label", "error", "error_low", "error_high", "unit", "r2", "n"]])
    out.say(f"{folder}: reads {', '.join(told['label'])}, from {origin}")
    out.result({"folder": folder, "origin": origin, "table": told.to_dict("records")})


@command(
    "python -m train push runs/mine/model me/my-model --private",
    "latentscope encode spectra/ -m me/my-model",
    after_interrupt="; push again: what the hub has already is not sent twice",
    of=app,
)
def push(
    folder: Folder,
    repository: Annotated[
        str, typer.Argument(metavar="ORG/NAME", help="Repository; made if it is not there.")
    ],
    out: Output,
    private: Annotated[bool, typer.Option("--private", help="Make a private repository.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="Branch, made if it is not there. Default: main.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the folder; upload nothing.")
    ] = False,
) -> None:
    """Upload a model folder to the Hugging Face hub, after a check that it loads.

    Needs a token that may write: `hf auth login`, or HF_TOKEN. HF_ENDPOINT names another hub.
    """
    from train.publishing import push

    pushed = push(folder, repository, private=private, revision=revision, dry_run=dry_run)
    out.table(("file", "bytes"), list(pushed.files.items()))
    if pushed.url is None:
        out.say(f"nothing uploaded; without --dry-run this goes to {pushed.repository}")
    else:
        out.say(
            f"uploaded as {pushed.url}; try: latentscope encode spectra/ -m {pushed.repository}"
        )
    out.result(
        {
            "repository": pushed.repository,
            "files": pushed.files,
            "reference_difference": pushed.difference,
            "url": pushed.url,
        }
    )


@command(
    "python -m train sweep -o runs/sweep --linelist lines.csv",
    after_interrupt="; the same command goes on, finished runs are kept",
    of=app,
)
def sweep(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the sweep.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML file; default: train/configs/sweep.yaml.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny networks, a minute in all, for a look.")
    ] = False,
    linelist: Linelist = None,
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time; each has one thread.")] = 2,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Train nothing; measure the runs that are finished."),
    ] = False,
) -> None:
    """Train a grid of networks, latent size by beta, and measure what each has learned.

    The same command goes on after an interruption: finished runs are kept, others go on from their
    checkpoints. A run that fails leaves the others alone; the exit code is 3 then.
    """
    from train.sweep.run import sweep

    report = sweep(
        output,
        config=config,
        quick=quick,
        linelist=None if linelist is None else str(linelist),
        workers=workers,
        measure_only=measure,
        say=lambda line: echo(line, err=True),
    )
    for name, reason in report.failed.items():
        echo(f"failed: {name}: {reason}", err=True)
    echo(f"{report.finished} of {report.total} runs finished; results in {output}")
    if report.failed or report.finished < report.total:
        raise typer.Exit(SOME_FAILED if report.finished else NOTHING_DONE)
