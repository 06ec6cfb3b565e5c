"""The page: one HTML document that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib.resources import files

from latentscope.reporting.part_page import text_html
from latentscope.reporting.parts import Chapter, Document, Outcome

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What the page may load: its own pictures, style and script, and nothing from anywhere else."""


def page_html(document: Document) -> str:
    """Return the whole page; all that came from users is escaped."""
    return "\n".join(_page(document)) + "\n"


def _page(document: Document) -> Iterator[str]:
    title = escape(document.title)
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title>\n<style>\n{_own('page.css')}</style>\n</head>\n<body>"
    yield '<a class="skip" href="#main">To the findings</a>\n<div class="page">'
    yield from _header(document)
    yield from _summary(document)
    yield from _contents(document)
    yield from _facts(document)
    yield '<main id="main">'
    for number, chapter in enumerate(document.chapters, 1):
        yield from _chapter(number, chapter)
    yield "</main>"
    yield from _footer(document)
    yield f"</div>\n<script>\n{_own('page.js')}</script>\n</body>\n</html>"


def _own(name: str) -> str:
    return files("latentscope.reporting").joinpath(name).read_text(encoding="utf-8")


def _header(document: Document) -> Iterator[str]:
    yield '<header><button type="button" id="theme" hidden>Dark page</button>'
    yield f"<h1>{escape(document.title)}</h1>"
    yield f'<p class="lead">{escape(document.lead)}</p></header>'


def _facts(document: Document) -> Iterator[str]:
    yield '<section aria-labelledby="facts"><h2 class="small" id="facts">How this was made</h2>'
    yield '<dl class="facts">'
    for name, text in document.facts.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
    yield "</dl>"
    for note in document.notes:
        yield f'<p class="note">{escape(note)}</p>'
    yield "</section>"


def _summary(document: Document) -> Iterator[str]:
    yield '<section class="summary" aria-labelledby="summary"><h2 id="summary">In short</h2><dl>'
    for chapter in document.chapters:
        told = [it.part.headline for it in chapter.outcomes if it.part and it.part.headline]
        failed = [it.title for it in chapter.outcomes if it.error is not None]
        yield f'<dt><a href="#{chapter.key}">{escape(chapter.question)}</a></dt>'
        yield from (f"<dd>{text_html(text)}</dd>" for text in told)
        yield from (
            f"<dd>{escape(name)}: could not be measured, see there.</dd>" for name in failed
        )
        if not told and not failed:
            yield f'<dd class="about">{text_html(chapter.outcomes[0].absent)}</dd>'
    yield "</dl></section>"


def _contents(document: Document) -> Iterator[str]:
    yield '<nav aria-labelledby="contents"><h2 id="contents">Contents</h2><ol>'
    for chapter in document.chapters:
        yield f'<li><a href="#{chapter.key}">{escape(chapter.question)}</a><ol>'
        for it in chapter.outcomes:
            yield f'<li><a href="#{it.key}">{escape(it.title)}</a></li>'
        yield "</ol></li>"
    yield "</ol></nav>"


def _chapter(number: int, chapter: Chapter) -> Iterator[str]:
    yield f'<section aria-labelledby="{chapter.key}">'
    yield (
        f'<h2 id="{chapter.key}"><span class="count">{number}</span> {escape(chapter.question)}'
        f"{_anchor(chapter.key, chapter.question)}</h2>"
    )
    for outcome in chapter.outcomes:
        anchor = _anchor(outcome.key, outcome.title)
        yield f'<h3 id="{outcome.key}">{escape(outcome.title)}{anchor}</h3>'
        yield from _outcome(outcome)
    yield "</section>"


def _anchor(key: str, name: str) -> str:
    return f'<a class="anchor" href="#{key}" aria-label="Link to: {escape(name)}">#</a>'


def _outcome(outcome: Outcome) -> Iterator[str]:
    if outcome.part is not None:
        yield outcome.html
    elif outcome.error is not None:
        yield f'<p class="failed">Could not be measured: {escape(outcome.failure)}</p>'
    else:
        yield f'<p class="absent">{text_html(outcome.absent)}</p>'
    for warning in outcome.warnings:
        yield f'<p class="note">Warning: {text_html(warning)}</p>'


def _footer(document: Document) -> Iterator[str]:
    seconds = sum(it.seconds for chapter in document.chapters for it in chapter.outcomes)
    yield (
        "<footer><p>Values are shown as value ± standard error (68 %), or value [95 % interval]. "
        "Information is in nats: 0 means that two columns share nothing. Click on the head of a "
        "column to sort by it; report.json beside this page holds all numbers unrounded. "
        f"The measurements took {seconds:,.0f} s.</p></footer>"
    )
