"""Writes the reference of the commands into docs/commands.md, from their own help."""

import re
from typing import Any

import typer
from typer.cli import get_docs_for_click


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Append all commands to the page of the commands; a hook of mkdocs."""
    if page.file.src_uri != "commands.md":
        return markdown
    from latentscope.cli import app
    from train.commands import app as train

    for title, name, commands in (
        ("", "latentscope", app),
        ("## Training", "python -m train", train),
    ):
        markdown += f"\n{title}\n\n{_reference(name, commands)}"
    return markdown


def _reference(name: str, app: typer.Typer) -> str:
    group: Any = typer.main.get_command(app)
    ctx = typer.Context(group)
    text = "".join(
        get_docs_for_click(obj=command, ctx=ctx, indent=2, call_prefix=name)
        for command in group.commands.values()
    )
    text = re.sub(r"^\* `(-h, )?--help`.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(#+) `(.*)`$", r"\1 \2", text, flags=re.MULTILINE)
    # What `--help` sets apart, as a block of code.
    return re.sub(
        r"\x08?\n?Example:\n((?:  .*\n)+)",
        lambda found: "```\n" + re.sub(r"^  ", "", found[1], flags=re.MULTILINE) + "```\n",
        text,
    )
