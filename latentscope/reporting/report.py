"""Latents (and labels, and their model) -> one page that says what the network learned."""

from __future__ import annotations

import os
import platform
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import latentscope
from latentscope.data import LabelsLike, Latents, LatentsLike, read_latents
from latentscope.diagnostics.mi.columns import Names, Seed, check_columns, listed, whole_seed
from latentscope.diagnostics.study import GroupsLike, Study, StudyLike, origin, read_study
from latentscope.diagnostics.threshold import with_threshold
from latentscope.errors import ChoiceError
from latentscope.files import atomic_path, check_writable, expanded, write_json
from latentscope.labels import Missing
from latentscope.reporting.chapters import chapters_of
from latentscope.reporting.document import (
    FULL,
    QUICK,
    Document,
    Outcome,
    ReportStudy,
    Stage,
    draw_rows,
)
from latentscope.reporting.page import page_html
from latentscope.tables import provenance_beside
from latentscope.workers import on_cluster

if TYPE_CHECKING:
    from latentscope.models.network import SpectrumVAE

ROWS = 20_000
"""Rows that slow statistics take at most, unless more are asked for."""


@dataclass(frozen=True, eq=False)
class ReportResult:
    """What a report found, and where it was written.

    Attributes
    ----------
    output, json : Path
        The page, and its numbers.
    document : Document
        All that the page shows.
    """

    output: Path
    json: Path
    document: Document
    provenance: dict[str, Any]

    def __repr__(self) -> str:
        parts = f"{len(self.document.outcomes)} parts, {len(self.failures)} went wrong"
        return f"ReportResult({str(self.output)!r}, {str(self.json)!r}: {parts})"

    @property
    def failures(self) -> list[Outcome]:
        """Parts that went wrong, whose `error` says how."""
        return self.document.failures

    @property
    def table(self) -> pd.DataFrame:
        """One row per part: `chapter, part, title, status, seconds, headline`."""
        rows = [
            {
                "chapter": chapter.key,
                "part": it.key,
                "title": it.title,
                "status": it.status,
                "seconds": it.seconds,
                "headline": it.headline or it.absent,
            }
            for chapter in self.document.chapters
            for it in chapter.outcomes
        ]
        return pd.DataFrame(rows)

    @property
    def record(self) -> dict[str, Any]:
        """All that the page says, unrounded, as report.json holds it."""
        return self.document.record()

    def sentences(self) -> list[str]:
        """Return the findings, one per line, in the order of the page."""
        return [outcome.headline for outcome in self.document.outcomes if outcome.headline]


def report(
    latents: StudyLike,
    labels: LabelsLike | None = None,
    *,
    output: str | os.PathLike[str],
    model: SpectrumVAE | str | os.PathLike[str] | None = None,
    compare: LatentsLike | None = None,
    groups: GroupsLike = "auto",
    columns: list[str] | None = None,
    join: str | None = None,
    missing: Missing = "auto",
    discrete: bool | Names | None = None,
    numeric: Names | None = None,
    max_rows: int = ROWS,
    json: str | os.PathLike[str] | None = None,
    title: str | None = None,
    about: str = "",
    command: str | None = None,
    quick: bool = False,
    seed: Seed = 0,
    progress: Stage | None = None,
    dask: Any = None,
) -> ReportResult:
    """Measure all that can be measured of these latents, and write it as one page.

    What cannot be measured of what was given is told in a line, and so is what went wrong; neither
    affects the other parts.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Rows of NaN are left out and counted.
    labels : DataFrame, array (n, labels) or path, optional
        Joined on an id column that both have, else row by row.
    output : path
        The page, .html: one file that opens without a network.
    model : SpectrumVAE, or what `load_model` takes, optional
        The model that made the latents; needed for traversals.
    compare : as `latents`, optional
        Latents of the same spectra by another model, seed or release, to compare with.
    groups : array (n,) or str, optional
        Which star each row shows, or the column that says so. "auto": `star`, else `object`, if
        rows repeat it and it names 20 stars or more; None or "none": rows are independent.
    columns : list of str, optional
        Labels to take; by default all but ids, names of stars, and text that names nearly each
        row.
    join : str, optional
        Column to join latents and labels on.
    missing : "auto", "none" or list of numbers
        Values of labels that stand for missing ones, as `mi_matrix` takes them.
    discrete, numeric
        Labels to take for classes, or for numbers, as `mi_matrix` takes them.
    max_rows : int
        Rows at most that slow statistics take, drawn at random; the page says where.
    json : path, optional
        The numbers; by default beside the page.
    title : str, optional
        Heading of the page.
    about : str
        What a reader should know of these data, for the line below the heading.
    command : str, optional
        The command line, for the page.
    quick : bool
        Whether fewer repetitions (hence wider intervals) and pictures do.
    seed : int or Generator
        Seed of all random draws.
    progress : callable, optional
        Called with what begins; returns a context manager that yields a function (done, total) or
        None.
    dask : str or distributed.Client, optional
        Cluster that measures mutual information, as for `mi_matrix`.

    Raises
    ------
    TableError
        If latents or labels cannot be read or matched, or no row is finite.
    ModelError
        If the model cannot be loaded.
    ChoiceError
        If `output` is no .html or would replace an input, `max_rows` is below 100, or a column
        asked for is not there.

    Examples
    --------
    >>> report("latents.npy", "labels.csv", output="report.html")  # doctest: +SKIP
    """
    seed = whole_seed(seed)
    page = expanded(output)
    check_writable(page)
    numbers = page.with_suffix(".json") if json is None else expanded(json)
    _check(page, numbers, max_rows, latents, labels)
    data = read_study(
        latents,
        labels,
        groups=groups,
        join=join,
        missing=missing,
        discrete=discrete,
        numeric=numeric,
    )
    rows = draw_rows(data.latents, max_rows, seed)
    if columns is not None:
        columns = listed(columns)
    if data.labels is not None:
        check_columns(data.labels, columns or ())
    network = None
    if model is not None:
        from latentscope.models.weights import as_model, check_made_by

        network = as_model(model)
        check_made_by(network, data.latents)
        data = replace(data, latents=with_threshold(data.latents, network.info))
    study = ReportStudy(
        data,
        network,
        rows,
        columns,
        seed,
        QUICK if quick else FULL,
        progress or (lambda label: nullcontext()),
        None if compare is None else read_latents(compare),
    )
    facts = _facts(study, command)
    name = Path(study.latents.source).name
    lead = f"A report of latentscope, {facts['Date']}. {about}".strip()
    with on_cluster(dask):
        chapters = chapters_of(study)
    heading = title or f"What the latents of {name} know"
    document = Document(heading, lead, facts, chapters, study.notes)
    provenance = {
        **origin("report"),
        "rows": len(study.latents),
        "rows_finite": study.finite,
        "rows_of_slow_statistics": len(study.rows),
        "quick": quick,
        "seed": seed,
        "source": study.latents.source,
        "latents": study.latents.provenance,
    }
    with atomic_path(page) as temporary:
        # Names of files need not be UTF-8.
        temporary.write_text(page_html(document), encoding="utf-8", errors="backslashreplace")
    write_json(numbers, document.record() | {"provenance": provenance})
    return ReportResult(page, numbers, document, provenance)


_FEWEST_ROWS = 100


def _check(page: Path, numbers: Path, max_rows: int, latents: Any, labels: Any) -> None:
    """Refuse, before the work, what cannot end well."""
    if page.suffix.lower() not in (".html", ".htm"):
        raise ChoiceError(f"output is {page}; expected a name that ends in .html")
    if max_rows < _FEWEST_ROWS:
        raise ChoiceError(f"max_rows is {max_rows}; expected {_FEWEST_ROWS} or more")
    check_writable(numbers)
    if numbers.exists() and provenance_beside(numbers) is None:
        raise ChoiceError(
            f"{page} would replace {numbers}, which no report wrote; name another output"
        )
    if isinstance(latents, Study):
        labels = None if latents.labels is None else latents.labels.attrs["source"]
        latents = latents.latents.source
    written = {page.resolve(), numbers.resolve()}
    for given in (latents, labels):
        if isinstance(given, str | os.PathLike):
            path = expanded(given)
            if written & {path.resolve(), path.with_suffix(".json").resolve()}:
                raise ChoiceError(
                    f"{page} and {numbers} would replace {path} or a file that belongs to it; name "
                    "another output"
                )


_SHORT_HASH = 12


def _facts(study: ReportStudy, command: str | None) -> dict[str, str]:
    """Say what was read, by what, when."""
    latents, labels = study.latents, study.data.labels
    facts = {"Latents": f"{latents.source}: {len(latents):,} rows × {latents.dims} dimensions"}
    facts |= _encoded_by(latents)
    if labels is not None:
        facts["Labels"] = f"{labels.attrs.get('source', 'labels')}: {len(labels.columns)} columns"
    if study.data.groups is not None:
        facts["Stars"] = f"{study.star_count:,}"
    if study.model is not None:
        from latentscope.models.weights import weights_sha256

        name = study.model.info.get("name", "without a name")
        facts["Model"] = f"{name}, weights {weights_sha256(study.model)[:_SHORT_HASH]}"
    facts["Made by"] = (
        f"latentscope {latentscope.__version__}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}"
    )
    facts["Seed"] = str(study.seed)
    if command is not None:
        facts["Command"] = command
    return facts | {"Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")}


def _encoded_by(latents: Latents) -> dict[str, str]:
    made_by = latents.provenance
    if "model" not in made_by:
        return {}
    weights = str(made_by.get("weights_sha256", "unknown"))[:_SHORT_HASH]
    version = made_by.get("latentscope", "?")
    return {"Encoded by": f"{made_by['model']}, weights {weights}, latentscope {version}"}
