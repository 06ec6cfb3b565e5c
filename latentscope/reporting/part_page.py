"""A part as HTML: words, pictures, tables, and how it was measured."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from itertools import groupby

from latentscope.reporting.numbers import number_text
from latentscope.reporting.parts import Part, Picture
from latentscope.reporting.tables import table_html

_SMALL = 560
"""CSS pixels up to which pictures stand side by side."""

_MINUS = re.compile(r"(?<![\w.])-(?=[\d,.])|(?<= )-$")


def text_html(text: str) -> str:
    """Escape a sentence, with the signs that terminals do without."""
    return escape(_MINUS.sub("−", text.replace("+-", "±")))


def part_html(part: Part) -> str:
    """Return a part as HTML; all that came from users is escaped."""
    return "\n".join(_part(part))


def _part(part: Part) -> Iterator[str]:
    for paragraph in part.paragraphs:
        yield f"<p>{text_html(paragraph)}</p>"
    seen, folded = part.lines[: part.open_lines], part.lines[part.open_lines :]
    yield _list(seen)
    if folded:
        name = f"{len(folded)} more" if seen else "One by one, in words"
        yield f"<details><summary>{name}</summary>{_list(folded)}</details>"
    for wide, pictures in groupby(part.pictures, lambda it: it.width > _SMALL):
        drawn = "".join(_picture(picture) for picture in pictures)
        yield drawn if wide else f'<div class="several">{drawn}</div>'
    yield from (table_html(table) for table in part.tables)
    settings = _settings(part)
    if settings:
        yield f'<p class="note">{escape(settings)}</p>'


def _list(lines: tuple[str, ...]) -> str:
    items = "".join(f"<li>{text_html(line)}</li>" for line in lines)
    return f'<ul class="lines">{items}</ul>' if lines else ""


def _picture(picture: Picture) -> str:
    data = b64encode(picture.data).decode("ascii")
    wide = ' class="wide"' if picture.width > _SMALL else ""
    return (
        f'<figure><div class="card"><img{wide} src="data:{picture.mime};base64,{data}" '
        f'width="{picture.width}" height="{picture.height}" alt="{escape(picture.alt)}"></div>'
        f"<figcaption>{text_html(picture.caption)}</figcaption></figure>"
    )


_SETTINGS = {
    "estimator": "estimator {}",
    "neighbors": "k = {}",
    "draws": "{} draws of one row a star",
    "permutations": "{} shuffles at most",
    "bootstrap": "{} bootstrap samples",
    "seed": "seed {}",
}


def _settings(part: Part) -> str:
    """Say how a part was measured."""
    known = part.provenance
    said = [
        text.format(number_text(known[name]))
        for name, text in _SETTINGS.items()
        if name in known and known[name] is not None
    ]
    return f"Measured with: {', '.join(said)}." if said else ""
