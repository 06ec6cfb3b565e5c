"""A model folder onto the Hugging Face hub."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from latentscope.errors import ChoiceError, LatentscopeWarning, ModelError
from latentscope.models.check_rows import CHECK_FILE, check_against_rows
from latentscope.models.config import CONFIG_FILE, SAMPLE_FILE
from latentscope.models.weights import WEIGHTS_FILE, load_folder
from train.publishing.card import CARD_FILE, is_unwritten, read_card

FILES = (CONFIG_FILE, WEIGHTS_FILE, CHECK_FILE, CARD_FILE)
"""What a model folder has to hold to be pushed."""

BESIDES = (SAMPLE_FILE, "*.png", "*.svg", "LICENSE*", "CITATION*")
"""What goes along, if it is there."""

_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")

_ADVICE = {
    400: "the hub did not take the request: look at README.md's first lines and at the names",
    401: "the token is not valid: run `hf auth login`, or set HF_TOKEN",
    403: "this token may not write there: take one with write permission, and a member's",
    404: "there is no such repository or branch for this token",
}


@dataclass(frozen=True)
class Pushed:
    """What was uploaded, or would be.

    Parameters
    ----------
    repository : str
        `org/name`, with `@revision` if one was named: what `load_model` takes.
    files : dict
        Name -> size in bytes.
    difference : float
        Largest difference of the reference latents.
    url : str or None
        Of the commit; None of a dry run.
    """

    repository: str
    files: dict[str, int]
    difference: float
    url: str | None


def push(
    folder: Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
) -> Pushed:
    """Check a model folder and upload it to the Hugging Face hub in one commit.

    The token is that of the environment (`HF_TOKEN`) or of `hf auth login`; `HF_ENDPOINT` names
    another hub.

    Parameters
    ----------
    folder : Path
        As `export` writes it.
    repository : str
        `org/name`; made if it is not there.
    private : bool
        Make a private repository; one that is there and public is refused.
    revision : str, optional
        Branch, made if it is not there; by default `main`.
    dry_run : bool
        Check the folder and upload nothing.

    Raises
    ------
    ChoiceError
        If the repository's name is none.
    ModelError
        If the folder does not load, its reference latents do not agree, there is no token, or the
        hub cannot be reached or refuses.

    Warns
    -----
    LatentscopeWarning
        If the author's part of the model card is not written.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise ChoiceError(f"{repository!r} is no repository; wanted ORG/NAME, such as me/my-model")
    difference, files = _checked(folder)
    name = repository if revision is None else f"{repository}@{revision}"
    if dry_run:
        return Pushed(name, files, difference, None)
    with _hub_errors(repository):
        url = _upload(folder, repository, list(files), private, revision)
    return Pushed(name, files, difference, url)


def _checked(folder: Path) -> tuple[float, dict[str, int]]:
    """Difference of the reference latents, and the files to upload with their sizes."""
    difference = check_against_rows(load_folder(folder), folder)
    card = read_card(folder)
    if card is None:
        raise ModelError(
            f"{folder / CARD_FILE}: no such file; nobody knows what a model without a card is good "
            "for: export the run again, or write one"
        )
    if is_unwritten(card):
        warnings.warn(
            f"{folder / CARD_FILE}: nobody has written what this model cannot do; edit that "
            "section and push again",
            LatentscopeWarning,
            stacklevel=3,
        )
    paths = {path for pattern in (*FILES, *BESIDES) for path in folder.glob(pattern)}
    return difference, {path.name: path.stat().st_size for path in sorted(paths)}


def _upload(
    folder: Path, repository: str, files: list[str], private: bool, revision: str | None
) -> str:
    # half a second to import
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    token = get_token()
    if token is None:
        raise ModelError(
            "no Hugging Face token: run `hf auth login`, or set HF_TOKEN to a token that may write"
        )
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token, library_name="latentscope")
    if not api.repo_exists(repository):
        api.create_repo(repository, private=private or None, exist_ok=True)
    if private and not api.model_info(repository).private:
        raise ModelError(
            f"{repository} is there already and is public; make it private in its settings, or "
            "push without --private"
        )
    if revision is not None:
        api.create_branch(repository, branch=revision, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repository,
        folder_path=folder,
        allow_patterns=files,
        revision=revision,
        commit_message="Upload a latentscope model",
    )
    return str(commit.commit_url)


@contextmanager
def _hub_errors(repository: str) -> Iterator[None]:
    """Turn whatever the hub's client raises into a ModelError that says what to do."""
    try:
        yield
    except ModelError:
        raise
    # The client raises errors of its HTTP library and of its storage library as they are, and
    # these have no base in common.
    except Exception as error:
        causes = [error] if error.__cause__ is None else [error, error.__cause__]
        reason = " ".join(" ".join(map(str, causes)).split()) or type(error).__name__
        advice = _ADVICE.get(_status(error), "look at the network connection, and push again")
        raise ModelError(f"{repository}: not uploaded ({reason}); {advice}") from error


def _status(error: BaseException) -> int:
    """HTTP status of an error or of what it came from; 0 without one."""
    response = getattr(error, "response", None)
    if response is None and error.__cause__ is not None:
        return _status(error.__cause__)
    return int(getattr(response, "status_code", 0))
