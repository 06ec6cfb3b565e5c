"""`python -m train push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentscope.cli.options import Json
from latentscope.cli.output import Output
from train.commands.application import app
from train.commands.guard import guard


@app.command(
    name="push",
    epilog="\b\nExample:\n"
    "  python -m train push runs/mine/model me/my-model --private\n"
    "  latentscope encode spectra/ -m me/my-model",
)
def push_command(
    folder: Annotated[Path, typer.Argument(help="Model folder, such as runs/mine/model.")],
    repository: Annotated[
        str, typer.Argument(metavar="ORG/NAME", help="Repository; made if it is not there.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make a private repository.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="Branch, made if it is not there. Default: main.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the folder; upload nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Upload a model folder to the Hugging Face hub, after a check that it loads.

    Needs a token that may write: `hf auth login`, or HF_TOKEN. HF_ENDPOINT names another hub.
    """
    from train.publishing.push import push

    out = Output(as_json)
    with guard("push again; what the hub has already is not sent twice"):
        pushed = push(folder, repository, private=private, revision=revision, dry_run=dry_run)
    out.table(("file", "bytes"), list(pushed.files.items()))
    if pushed.url is None:
        out.say(f"nothing uploaded; without --dry-run this goes to {pushed.repository}")
    else:
        out.say(
            f"uploaded as {pushed.url}; try: latentscope encode spectra/ -m {pushed.repository}"
        )
    out.result(
        {
            "repository": pushed.repository,
            "files": pushed.files,
            "reference_difference": pushed.difference,
            "url": pushed.url,
        }
    )
