"""What a report is made of: chapters of parts, and in these words, tables and pictures.

And what it is about, `ReportStudy`: what was given, and results that several parts use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.data import Latents
from latentscope.diagnostics.activity import MADResult, mad
from latentscope.diagnostics.mi.api import MIResult, PairwiseResult, mi_matrix, pairwise_mi
from latentscope.diagnostics.study import Study
from latentscope.diagnostics.traversal.traverse import LineMapResult
from latentscope.errors import LatentscopeError, TableError
from latentscope.files import plain


class NotPossible(Exception):
    """A part cannot be made of what was given; the message says why, and what to give."""


@dataclass(frozen=True)
class Column:
    """How a column of a table is shown.

    Beside its value stands its standard error (68 %) or its interval, if the frame has these
    columns. It has as many decimals as the largest of the column needs, unless these are given, or
    its rows are `mixed`, different quantities.
    """

    heading: str
    error: str | None = None
    interval: tuple[str, str] | None = None
    hint: str = ""
    decimals: int | None = None
    mixed: bool = False


@dataclass(frozen=True, eq=False)
class Table:
    """A table: report.json has all of `frame`, the page `max_rows` rows of some columns.

    The first `open_rows` are seen at once, the others at a click; with 0 the page only names it.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    columns: Mapping[str, Column]
    open_rows: int = 10
    max_rows: int = 50


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that the page holds itself; its size is the largest shown, in CSS pixels."""

    caption: str
    alt: str
    mime: str
    data: bytes = field(repr=False)
    width: int
    height: int

    @classmethod
    def of(cls, axes: Any, caption: str, alt: str, *, raster: bool = False) -> Picture:
        """Draw the figure that holds `axes` (one, or an array of them), and close it.

        `raster` says that it is so full that there is no use in trying SVG.
        """
        from latentscope.plots.style import LARGEST_SVG, picture_bytes

        one = axes.flat[0] if hasattr(axes, "flat") else axes
        kind, data, (width, height) = picture_bytes(one, 0 if raster else LARGEST_SVG)
        mime = "image/svg+xml" if kind == "svg" else "image/webp"
        return cls(caption, alt, mime, data, width, height)


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a chapter.

    The headline is its finding in a sentence, which the summary shows too; `lines` are findings
    one by one, of which the first `open_lines` are seen at once.
    """

    headline: str = ""
    paragraphs: Sequence[str] = ()
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    open_lines: int = 10


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a part: itself and its HTML, or why it is absent, or what went wrong."""

    key: str
    title: str
    part: Part | None = None
    html: str = ""
    absent: str = ""
    error: Exception | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """Whether it is "done", "absent" or "failed"."""
        if self.error is not None:
            return "failed"
        return "absent" if self.part is None else "done"

    @property
    def headline(self) -> str:
        """The finding in a sentence; empty where there is none."""
        return self.part.headline if self.part is not None else ""

    @property
    def failure(self) -> str:
        """What went wrong in one line, with the kind of error unless it speaks for itself."""
        if self.error is None:
            return ""
        text = " ".join(str(self.error).split())
        if isinstance(self.error, LatentscopeError):
            return text
        return f"unexpected {type(self.error).__name__}: {text} (this is a fault in latentscope)"

    def record(self) -> dict[str, Any]:
        """Return all that the part says, unrounded."""
        record: dict[str, Any] = {
            "key": self.key,
            "title": self.title,
            "status": self.status,
            "seconds": round(self.seconds, 2),
            "warnings": self.warnings,
        }
        if self.error is not None:
            return record | {"error": self.failure}
        if self.part is None:
            return record | {"absent": self.absent}
        # Where the latents come from stands once, in the provenance of the whole report.
        own = {k: v for k, v in self.part.provenance.items() if k not in ("latents", "model")}
        return record | {
            "headline": self.part.headline,
            "paragraphs": self.part.paragraphs,
            "lines": self.part.lines,
            "provenance": own,
            "tables": {table.name: table.frame.to_dict("records") for table in self.part.tables},
            "pictures": [picture.caption for picture in self.part.pictures],
        }


@dataclass(frozen=True, eq=False)
class Chapter:
    """A question, its anchor, and the parts that answer it."""

    key: str
    question: str
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, eq=False)
class Document:
    """All that the page shows; `facts` say what was read, by what, when."""

    title: str
    lead: str
    facts: dict[str, str]
    chapters: tuple[Chapter, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcomes(self) -> list[Outcome]:
        """All parts in the order of the page."""
        return [outcome for chapter in self.chapters for outcome in chapter.outcomes]

    @property
    def learned(self) -> tuple[list[str], Picture | None]:
        """What the network learned, in five lines at most, and a picture if there is one.

        Without labels, how many dimensions matter; at the end, whether the model knows the spectra.
        """
        parts = {outcome.key: outcome.part for outcome in self.outcomes if outcome.part}
        meanings = parts["meanings"].lines if "meanings" in parts else ()
        # The last line names the dimensions that match no label.
        found = [*meanings[:3], *meanings[3:][-1:]]
        if more := len(meanings) - len(found):
            found[-1] += f" Described below: {more} more."
        if not found:
            found = [parts[key].headline for key in ("spread", "information") if key in parts]
        if found and "trust" in parts:
            found.append(parts["trust"].headline)
        pictures = [
            it for key in ("labels", "spread") if key in parts for it in parts[key].pictures
        ]
        return found, pictures[0] if pictures else None

    @property
    def failures(self) -> list[Outcome]:
        """Parts that went wrong."""
        return [outcome for outcome in self.outcomes if outcome.error is not None]

    @property
    def seconds(self) -> float:
        """How long the measurements took."""
        return sum(outcome.seconds for outcome in self.outcomes)

    def record(self) -> dict[str, Any]:
        """Return all that the page says, unrounded, as what JSON knows.

        `facts` and `notes`, and in `chapters` the parts, each with its status, words,
        `provenance`, and `tables`: name -> list of rows.
        """
        record: dict[str, Any] = plain(
            {
                "title": self.title,
                "facts": self.facts,
                "notes": self.notes,
                "chapters": [
                    {
                        "key": chapter.key,
                        "question": chapter.question,
                        "parts": [outcome.record() for outcome in chapter.outcomes],
                    }
                    for chapter in self.chapters
                ],
            }
        )
        return record


if TYPE_CHECKING:
    from latentscope.models.network import SpectrumVAE

Advance = Callable[[int, int], None]
Stage = Callable[[str], AbstractContextManager[Advance | None]]
"""Called with what begins; gives what is told of each step (done, total), or None."""

MOST_DIMS = 32
"""Dimensions, the widest, that are measured against labels and one another."""


@dataclass(frozen=True)
class Effort:
    """How often what is random is repeated, and how many dimensions are drawn one by one."""

    n_halves: int
    n_draws: int
    n_traversals: int


FULL, QUICK = Effort(50, 8, 8), Effort(10, 4, 3)


@dataclass(frozen=True, eq=False)
class ReportStudy:
    """What was given, and which rows and columns are measured.

    `rows` are those that slow statistics take, ascending, all of them finite; `columns` the labels
    to take, all if None; `stage` shows progress; `other` are latents to compare with.
    """

    data: Study
    model: SpectrumVAE | None
    rows: NDArray[np.int64]
    columns: list[str] | None
    seed: int
    effort: Effort
    stage: Stage
    other: Latents | None = None

    def run(self, what: str, measure: Callable[..., Any], *given: Any, **options: Any) -> Any:
        """Call a diagnostic, its progress shown as `what`."""
        with self.stage(what) as advance:
            return measure(*given, progress=advance, **options)

    @property
    def latents(self) -> Latents:
        """Latents of all rows."""
        return self.data.latents

    @property
    def finite(self) -> int:
        """Rows that are finite."""
        return int(self.latents.ok.sum())

    @property
    def star_count(self) -> int:
        """Stars among the finite rows; the number of these where no stars are known."""
        return self.independent(self.latents.ok)

    def independent(self, rows: NDArray[np.bool_]) -> int:
        """Count the stars among some rows, shape (n,); the rows where no stars are known."""
        return int(rows.sum()) if self.data.groups is None else self.data.groups.count(rows)

    @property
    def sample_text(self) -> str:
        """Say which rows slow statistics take; empty if all."""
        if len(self.rows) == self.finite:
            return ""
        return (
            f"on a random {len(self.rows):,} of {self.finite:,} rows (drawn without replacement, "
            f"seed {self.seed})"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What holds for the whole page: how stars were found, and which rows were drawn."""
        if not self.sample_text:
            return self.data.notes
        drawn = f"Slow statistics are taken {self.sample_text}; --max-rows takes more."
        return (*self.data.notes, drawn)

    @cached_property
    def sample(self) -> Study:
        """The rows that slow statistics take."""
        return self.data if len(self.rows) == len(self.data) else self.data.take(self.rows)

    @property
    def labelled_sample(self) -> Study:
        """The same, of which labels are needed."""
        if self.data.labels is None:
            raise NotPossible(
                "No labels were given, so nothing can be said of this: name a table of labels "
                "(LABELS), with a column id that the latents' table has too."
            )
        return self.sample

    def check_rows(self, fewest: int = 50) -> None:
        """Refuse to measure too few rows."""
        if self.finite < fewest:
            raise NotPossible(
                f"Only {self.finite} rows are finite, too few for this: give {fewest} or more."
            )

    def check_stars(self, fewest: int) -> None:
        """Refuse to measure too few independent rows: stars, or rows where no stars are known."""
        if self.star_count < fewest:
            what = "rows are finite" if self.data.groups is None else "stars have a finite row"
            raise NotPossible(
                f"Only {self.star_count} {what}, too few for this: give {fewest} or more."
            )

    @property
    def network(self) -> SpectrumVAE:
        """The model."""
        if self.model is not None:
            return self.model
        made_by = self.latents.provenance.get("model")
        which = f"-m {made_by}, which made these" if made_by else "the one that made these (-m)"
        raise NotPossible(f"No model was given, and this needs one: give {which} latents.")

    @cached_property
    def activity(self) -> MADResult:
        """Spread of each dimension over all rows."""
        return mad(self.data)

    @cached_property
    def dims(self) -> list[int]:
        """Informative dimensions, ascending; of more than 32 the widest."""
        informative = self.activity.informative
        if not len(informative):
            raise NotPossible(
                "No dimension is informative: none exceeds the threshold of "
                f"{self.activity.threshold:g}, the largest is {self.activity.values.max():.2g}; "
                "give latents that vary."
            )
        widest = informative[np.argsort(-self.activity.values[informative], kind="stable")]
        return sorted(int(dim) for dim in widest[:MOST_DIMS])

    @property
    def dims_text(self) -> str:
        """Say which dimensions are measured, if not all that are informative."""
        count = len(self.activity.informative)
        if count <= MOST_DIMS:
            return "; ".join(self.data.left_out_of("informative"))
        return f"the {MOST_DIMS} widest of {count} informative dimensions"

    @cached_property
    def shared(self) -> PairwiseResult:
        """Mutual information of the informative dimensions with one another."""
        self.check_rows()
        if len(self.dims) < 2:
            raise NotPossible(
                f"Only dimension {self.dims[0]} is informative, so there is nothing to compare it "
                "with: give latents with two or more."
            )
        result: PairwiseResult = self.run(
            "mutual information of dimensions", pairwise_mi, self.sample, dims=self.dims,
            seed=self.seed
        )  # fmt: skip
        return result

    @cached_property
    def information(self) -> MIResult:
        """Mutual information of the informative dimensions with the labels."""
        self.check_rows()
        result: MIResult = self.run(
            "mutual information with labels", mi_matrix, self.labelled_sample, dims=self.dims,
            columns=self.columns, seed=self.seed
        )  # fmt: skip
        return result

    @cached_property
    def line_map(self) -> LineMapResult:
        """Which lines each informative dimension moves."""
        from latentscope.models.traversal import line_map

        result: LineMapResult = self.run(
            "lines that dimensions move", line_map, self.network, latents=self.sample.latents,
            dims=self.dims
        )  # fmt: skip
        return result

    def measured_on(self) -> tuple[str, ...]:
        """Say in a paragraph what a part was measured on, if not on all; else nothing."""
        limits = [text for text in (self.sample_text, self.dims_text) if text]
        return (f"Measured {'; '.join(limits)}.",) if limits else ()


def draw_rows(latents: Latents, max_rows: int, seed: int) -> NDArray[np.int64]:
    """Return the finite rows, ascending; of more than `max_rows` random ones."""
    finite = np.flatnonzero(latents.ok)
    if not len(finite):
        raise TableError(
            f"{latents.source}: none of {len(latents)} rows is finite; nothing to report"
        )
    if len(finite) <= max_rows:
        return finite
    return np.sort(np.random.default_rng(seed).choice(finite, max_rows, replace=False))
