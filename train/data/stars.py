"""Which star a spectrum shows, under whatever name, and which split the star belongs to."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.data import match_rows, read_labels
from latentscope.errors import ChoiceError, LatentscopeWarning, TableError, warn
from latentscope.tables import STAR_COLUMNS, star_name

SPLITS = ("train", "validation", "test")


def read_aliases(path: str | Path) -> dict[str, str]:
    """Read a table of the names of stars: one row per star, its names in any number of columns.

    Returns each name -> the first one of its row, both as `star_name` has them. TableError if the
    table cannot be read, or a name stands on two rows.
    """
    aliases: dict[str, str] = {}
    for row in read_labels(path).itertuples(index=False):
        names = [star_name(name) for name in row if not pd.isna(name) and star_name(name)]
        for name in names:
            if aliases.setdefault(name, names[0]) != names[0]:
                raise TableError(
                    f"{path}: {name!r} is a name of {aliases[name]!r} and of {names[0]!r}; "
                    "expected each name on one row"
                )
    return aliases


def resolved(names: Iterable[object], aliases: Mapping[str, str]) -> NDArray[np.object_]:
    """Return the star of each name, shape (n,); "" where there is none."""
    plain = ["" if pd.isna(name) else star_name(name) for name in names]
    return np.array([aliases.get(name, name) for name in plain], dtype=object)


def stars_of(
    table: pd.DataFrame, group: str | None = None, aliases: Mapping[str, str] | None = None
) -> NDArray[np.object_]:
    """Return what keeps spectra of an archive's table together in splits, shape (n,).

    `group` is the column that names the stars, by default `star`; where it is empty the name is
    that of `star`, else of `object`, else the file, each a star of its own. ChoiceError if there is
    no such column, or its numbers are too long to be told apart.
    """
    stars = np.full(len(table), "", dtype=object)
    for column in filter(None, (group, *STAR_COLUMNS)):
        if column not in table:
            raise ChoiceError(f"group: no column {column!r}; the archive has {', '.join(table)}")
        values = table[column]
        if pd.api.types.is_float_dtype(values):
            if values.abs().max() > 2**53:
                raise ChoiceError(
                    f"group: the numbers of {column} have lost their last digits; give the column "
                    f"a name that ends in _id, such as {column}_id, and pack the labels again"
                )
            values = values.map(lambda value: f"{value:.15g}", na_action="ignore")
        missing = stars == ""
        if column == group and values.isna().any():
            warn(
                f"{values.isna().sum()} of {len(table)} spectra have no {group}; they are told "
                "apart by star or object, and may share a star with others"
            )
        stars[missing] = resolved(values[missing], aliases or {})
    return np.where(stars == "", table["file"], stars)


def split_by_star(
    stars: Sequence[str] | NDArray[np.object_],
    validation: float = 0.1,
    test: float = 0.0,
    seed: int = 0,
) -> NDArray[np.str_]:
    """Return the split of each spectrum: "train", "validation" or "test", shape (n,).

    A star's split follows from a hash of its name and the seed alone. All its exposures share it,
    and stars that an archive gains later move no other star. `validation` and `test` are fractions
    of the stars, on average; ChoiceError if they leave nothing to train on.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ChoiceError(
            f"validation {validation} and test {test}; expected fractions of the stars from 0 on, "
            "with a sum below 1"
        )
    codes, names = pd.factorize(np.asarray(stars, dtype=object))
    place = np.array([_place(f"{seed}:{name}") for name in names])
    held = np.where(place < validation, SPLITS[1], SPLITS[2])
    splits: NDArray[np.str_] = np.where(place < validation + test, held, SPLITS[0])[codes]
    return splits


def _place(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def listed_splits(
    path: str,
    table: pd.DataFrame,
    stars: NDArray[np.object_],
    aliases: Mapping[str, str] | None = None,
) -> NDArray[np.str_]:
    """Return the split of each spectrum by a list, shape (n,); "" for those that it leaves out.

    `path` is a table with a column `split` (train, validation or test) and a column `star`, or one
    that names spectra (id, file, archive_id); `stars` is what `stars_of` said of `table`. Warns if
    spectra are left out, or a star stands in two splits; TableError if the list cannot be read,
    lacks a column, has another split, or names nothing of the archive.
    """
    given = read_labels(path)
    if "split" not in given or not given["split"].isin(SPLITS).all():
        raise TableError(f"{path}: expected a column `split` with {', '.join(SPLITS)} in each row")
    own = table.assign(star=stars)
    if "star" in given:
        given["star"] = resolved(given["star"], aliases or {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LatentscopeWarning)  # what is left out is said below
        join = "star" if "star" in given else None
        rows = match_rows(own, given, len(own), join, ("the archive", path))
    if rows is None:
        raise TableError(f"{path}: names no star or spectrum of the archive by star, id or file")
    splits: NDArray[np.str_] = np.append(given["split"].to_numpy(str), "")[rows]
    told = pd.DataFrame({"star": stars, "split": splits})[splits != ""]
    torn = int((told.groupby("star")["split"].nunique() > 1).sum())
    for number, what in (
        (int((splits == "").sum()), f"of {len(splits)} spectra are not in the list and left out"),
        (torn, "stars stand in more than one split: what is learned of them is not new there"),
    ):
        if number:
            warn(f"{path}: {number} {what}")
    return splits
