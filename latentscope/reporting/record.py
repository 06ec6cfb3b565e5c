"""The report as numbers: what report.json holds."""

from __future__ import annotations

from typing import Any

from latentscope.files import plain
from latentscope.reporting.parts import Document, Outcome, Part, Table

_TOLD_ONCE = ("latents", "model")


def record(document: Document) -> dict[str, Any]:
    """Return all that a document says, unrounded, as what JSON knows.

    `facts` and `notes`, and in `chapters` the parts, each with its status (`done`, `absent` or
    `failed`), words, `provenance`, and `tables`: name -> list of rows.
    """
    found: dict[str, Any] = plain(
        {
            "title": document.title,
            "facts": document.facts,
            "notes": document.notes,
            "chapters": [
                {
                    "key": chapter.key,
                    "question": chapter.question,
                    "parts": [_outcome(outcome) for outcome in chapter.outcomes],
                }
                for chapter in document.chapters
            ],
        }
    )
    return found


def status(outcome: Outcome) -> str:
    """Return "done", "absent" or "failed"."""
    if outcome.error is not None:
        return "failed"
    return "absent" if outcome.part is None else "done"


def _outcome(outcome: Outcome) -> dict[str, Any]:
    told: dict[str, Any] = {
        "key": outcome.key,
        "title": outcome.title,
        "status": status(outcome),
        "seconds": round(outcome.seconds, 2),
        "warnings": outcome.warnings,
    }
    if outcome.error is not None:
        told["error"] = outcome.failure
    elif outcome.part is None:
        told["absent"] = outcome.absent
    else:
        told |= _part(outcome.part)
    return told


def _part(part: Part) -> dict[str, Any]:
    return {
        "headline": part.headline,
        "paragraphs": part.paragraphs,
        "lines": part.lines,
        # Where the latents come from is told once, for the whole report.
        "provenance": {k: v for k, v in part.provenance.items() if k not in _TOLD_ONCE},
        "tables": {table.name: _rows(table) for table in part.tables},
        "pictures": [picture.caption for picture in part.pictures],
    }


def _rows(table: Table) -> list[dict[Any, Any]]:
    return table.frame.to_dict("records")
