"""Hooks of mkdocs: the commands from their own help, the changes, and the version."""

import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File
from typer.cli import get_docs_for_click


def on_config(config: Any) -> None:
    """Say at the foot of each page which version it is about."""
    import latentscope

    config.copyright = f"latentscope {latentscope.__version__}"


def on_files(files: Any, config: Any) -> None:
    """Take the list of changes for a page."""
    text = (Path(config.docs_dir).parent / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changes.md", content=text))


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
