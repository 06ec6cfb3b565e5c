"""The full pipeline on a simulated archive: spectra, latents, MAD, MI, plain words, a report."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from latentscope.data import Latents, read_labels
from latentscope.diagnostics.activity import MADResult, mad
from latentscope.diagnostics.meaning import Meaning, dimension_meanings, meaning_lines
from latentscope.diagnostics.mi.api import MIResult, mi_matrix
from latentscope.diagnostics.study import Study, read_study
from latentscope.diagnostics.trust import VERDICTS
from latentscope.errors import LatentscopeError
from latentscope.files import atomic_path, check_room, expanded, write_json
from latentscope.models.config import DEFAULT_MODEL
from latentscope.models.encode import encode
from latentscope.models.weights import ModelLike, as_model
from latentscope.reporting.report import ReportResult, report
from latentscope.simulation.simulate import write_archive
from latentscope.tables import write_csv

LABELS = ("radvel", "Teff", "logg", "[M/H]", "vsini", "berv", "airmass", "snr")
"""The labels that the demo measures, all of them numbers."""

DRAWN = ("radvel", "Teff")
"""The labels whose best dimension is drawn against the truth."""

Stage = Callable[[str, int | None], AbstractContextManager[Callable[[int], None] | None]]
"""Called with what begins and how many steps it has; gives what is told of each step."""

_ABOUT = (
    "The spectra were simulated with real atomic and molecular lines, which come with latentscope; "
    "bands of TiO beyond the listed ones are invented."
)
_MARK = "demo.json"
_SHUFFLES = 999
_BYTES = 1.25e6  # of a spectrum


@dataclass(frozen=True, repr=False)
class DemoResult:
    """What a demo wrote and found.

    Attributes
    ----------
    folder, summary : Path
        The folder, and the text file in it that says everything in words.
    report : ReportResult
        All diagnostics on one page, `report.html`.
    files : list of Path
        Latents, tables and pictures, in the order of their making.
    informative : list of int
        Dimensions whose MAD exceeds the model's threshold.
    meanings : list of Meaning
        One for each informative dimension, the strongest relation first.
    lines : list of str
        These in words, and whether the spectra are ones that the model knows.
    """

    folder: Path
    summary: Path
    report: ReportResult
    files: list[Path]
    informative: list[int]
    meanings: list[Meaning]
    lines: list[str]

    def __repr__(self) -> str:
        return "\n".join([f"DemoResult in {self.folder}, {len(self.files)} files", *self.lines])


def run_demo(
    folder: str | os.PathLike[str] = "latentscope-demo",
    *,
    n: int = 200,
    model: ModelLike | None = None,
    seed: int = 0,
    workers: int | None = None,
    stage: Stage = lambda label, total: nullcontext(),
) -> DemoResult:
    """Simulate an archive, encode it, and find out what each latent dimension knows.

    Parameters
    ----------
    folder : path
        A new or empty folder, or that of an earlier demo, whose files are then replaced.
    n : int
        Number of simulated spectra, 1.25 MB each.
    model : SpectrumVAE, or what `load_model` takes, optional
        By default the bundled harps-sim.
    seed : int
        Seed of the archive and of the statistics.
    workers : int, optional
        How many simulate and read in parallel.
    stage : callable, optional
        Called with (what begins, number of steps); returns a context manager that yields a
        progress function or None.

    Raises
    ------
    LatentscopeError
        If the folder holds something that no demo wrote, or a step fails.
    """
    folder = expanded(folder)
    network = as_model(DEFAULT_MODEL if model is None else model)
    check_room(folder, n * _BYTES, "simulate fewer (-n), or name a folder on another disk (-o)")
    _claim(folder, n, seed)
    with stage(f"simulating {n} HARPS spectra", n) as advance:
        truth = write_archive(
            folder / "spectra", n, seed=seed, layout="s1d", workers=workers, progress=advance
        )
    with stage("encoding them", n) as advance:
        encode(
            # Other files in the folder do not count.
            [truth.parent / f"{name}.fits" for name in read_labels(truth)["id"]],
            network,
            output=folder / "latents.npy",
            workers=workers,
            resume=False,
            logvar=network.config.variational,
            progress=None if advance is None else lambda done, total: advance(done),
        )
    with stage("measuring what the latents know", None):
        study = read_study(folder / "latents.npy", truth)
        activity = mad(study)
        information = mi_matrix(
            study,
            dims=activity.informative if len(activity.informative) else "all",
            columns=LABELS,
            n_permutations=_SHUFFLES,
            seed=seed,
        )
        values = study.latents.values
        meanings = dimension_meanings(values, study.label_table, activity, information)
    with stage("drawing", None):
        _write(folder, study, activity, information)
    with stage("putting everything on one page", None):
        name = study.latents.provenance.get("model", "the model")
        page = report(
            study,
            model=network,
            columns=list(LABELS),
            output=folder / "report.html",
            title=f"What {name} sees in {n} simulated spectra",
            about=_ABOUT,
            quick=True,
            seed=seed,
        )
    suffixes = ["npy", "csv", "json"] + ["logvar.npy"] * (study.latents.logvar is not None)
    drawn = [f"{label}.png" for label in DRAWN]
    names = [f"latents.{suffix}" for suffix in suffixes]
    names += ["mad.csv", "mi.csv", "mad.png", "mi.png", *drawn, "report.html", "report.json"]
    said = [*meaning_lines(meanings), *_trust_lines(study.latents)]
    informative = [int(dim) for dim in activity.informative]
    lines = [
        *said,
        "",
        f"{n} simulated HARPS spectra were encoded with {name} into {study.latents.dims} numbers "
        f"each. {len(informative)} of these dimensions are informative: their median absolute "
        f"deviation (MAD) exceeds {activity.threshold:g}.",
        "",
        "The strongest pairs (68 % errors; one spectrum of each star at a time):",
        *(f"  {line}" for line in information.sentences(10)),
        "",
        "The network was trained without labels; the truth is in spectra/labels.csv.",
        "Mutual information is in nats: 0 means nothing shared.",
        "All diagnostics are on one page, with pictures: open report.html in a browser.",
        "",
        "Files:",
        *(f"  {file}" for file in names),
    ]
    summary = folder / "summary.txt"
    with atomic_path(summary) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = [folder / file for file in names]
    return DemoResult(folder, summary, page, files, informative, meanings, said)


def _claim(folder: Path, n: int, seed: int) -> None:
    """Mark the folder as a demo's own, unless it holds something else."""
    if folder.exists() and not folder.is_dir():
        raise LatentscopeError(f"{folder}: is a file; expected a folder for the demo")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise LatentscopeError(
            f"{folder}: holds files that no demo wrote; name another folder (-o)"
        )
    write_json(folder / _MARK, {"written_by": "latentscope demo", "n": n, "seed": seed})


def _write(folder: Path, study: Study, activity: MADResult, information: MIResult) -> None:
    """Write tables and pictures of what was found."""
    from latentscope.plots import plot_dim_against_label, save_figure

    for name, result in {"mad": activity, "mi": information}.items():
        with atomic_path(folder / f"{name}.csv") as temporary:
            write_csv(result.table, temporary)
        save_figure(result.plot(), folder / f"{name}.png")
    best = {row["label"]: row for row in information.best.to_dict("records")}
    table = study.label_table
    for label in DRAWN:
        dim = int(best[label]["dim"])
        axes = plot_dim_against_label(
            study.latents.values[:, dim],
            table[label],
            dim=dim,
            name=label,
            mi=float(best[label]["mi_nats"]),
            color=table["logg"] if label == "Teff" else None,
            color_name="logg",
        )
        save_figure(axes, folder / f"{label}.png")


def _trust_lines(latents: Latents) -> list[str]:
    """Say whether these are spectra that the model knows, where it can tell."""
    if latents.table is None or "verdict" not in latents.table:
        return []
    counts = latents.table["verdict"].value_counts()
    found = ", ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in VERDICTS)
    return [f"To the model these spectra are: {found}."]
