"""What a report is made of: chapters of parts, and in these words, tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from latentscope.errors import LatentscopeError
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
