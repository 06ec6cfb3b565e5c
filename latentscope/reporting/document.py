"""What a report is made of: chapters of parts, and in these words, tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from latentscope.errors import LatentscopeError
from latentscope.files import plain


class NotPossible(Exception):
    """A part cannot be made of what was given; the message says why, and what to give."""


@dataclass(frozen=True)
class Column:
    """A column of a table as it is shown.

    Parameters
    ----------
    name : str
        The frame's column.
    heading : str
        What the page calls it, with its unit.
    error : str, optional
        The frame's column of its standard error (68 %), shown beside the value.
    interval : (str, str), optional
        The frame's columns of the lower and upper end of its interval, shown beside the value.
    hint : str
        What the heading means, in a few words.
    decimals : int, optional
        Digits behind the point; by default as the largest of the column needs.
    mixed : bool
        Whether the rows are different quantities, each with digits of its own.
    """

    name: str
    heading: str
    error: str | None = None
    interval: tuple[str, str] | None = None
    hint: str = ""
    decimals: int | None = None
    mixed: bool = False


@dataclass(frozen=True, eq=False)
class Table:
    """A table of numbers.

    Parameters
    ----------
    name : str
        What report.json calls it.
    caption : str
        What it shows, in a sentence.
    frame : DataFrame
        All of its rows and columns, as report.json holds them, the most telling first.
    columns : tuple of Column
        Those the page shows.
    open_rows : int
        Rows that are seen at once, and further ones at a click; 0: the page only names the table.
    max_rows : int
        Rows on the page at most.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    open_rows: int = 10
    max_rows: int = 200


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that the page holds itself.

    Parameters
    ----------
    caption : str
        What to see in it.
    alt : str
        What it shows, for those who cannot see it.
    mime : str
        Such as "image/webp".
    data : bytes
    width, height : int
        As shown at most, in CSS pixels.
    """

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

    Parameters
    ----------
    headline : str
        The finding in a sentence, for the summary; empty if the summary can do without.
    paragraphs : tuple of str
    lines : tuple of str
        Findings one by one.
    tables : tuple of Table
    pictures : tuple of Picture
    provenance : mapping
        Of the diagnostic.
    open_lines : int
        Lines that are seen at once; further ones are folded.
    """

    headline: str = ""
    paragraphs: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    open_lines: int = 10


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a part.

    Parameters
    ----------
    key, title : str
        Its anchor and its heading.
    part : Part or None
        None if it could not be made.
    html : str
        The part as HTML.
    absent : str
        Why it could not be made of what was given, and what to give.
    error : Exception or None
        What went wrong.
    warnings : tuple of str
        What the diagnostics warned of.
    seconds : float
        How long it took.
    """

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
    """All that the page shows.

    Parameters
    ----------
    title, lead : str
        Its heading, and the line below it.
    facts : dict
        What was read, by what, when: name -> text.
    chapters : tuple of Chapter
    notes : tuple of str
        What holds for the whole page, such as a subsample.
    """

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
    def learned(self) -> tuple[tuple[str, ...], Picture | None]:
        """What the network learned: five lines at most, and a picture if there is one."""
        parts = {outcome.key: outcome.part for outcome in self.outcomes if outcome.part}
        lines = parts["meanings"].lines if "meanings" in parts else ()
        headlines = [parts[key].headline for key in ("spread", "information") if key in parts]
        pictures = [
            it for key in ("labels", "spread") if key in parts for it in parts[key].pictures
        ]
        return lines[:5] or tuple(headlines), pictures[0] if pictures else None

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
