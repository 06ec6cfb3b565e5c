"""Latents of any model and labels for them: read, write, and bring row to row."""

from __future__ import annotations

import json
import os
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, DTypeLike, NDArray

from latentscope.errors import LatentscopeWarning, TableError, shortened
from latentscope.files import atomic_path, check_writable, expanded
from latentscope.tables import (
    ID_COLUMNS,
    STAR_COLUMNS,
    Contents,
    file_id,
    is_id_column,
    numbered_columns,
    numeric_matrix,
    provenance_beside,
    read_contents,
    read_json,
    tidy,
    write_csv,
)

LabelsLike = ArrayLike | pd.DataFrame | str | os.PathLike[str]

_MATRIX_NAMES = ("latents", "values", "mean", "z")
_TRUST_COLUMNS = (
    *("coverage", "snr", "recon_error", "resolution"),
    *("recon_percentile", "density_percentile", "trust", "verdict"),
)
_CALLER = 5
"""Frames from `match_rows` to who called the diagnostic that read its study."""

_SIDECAR_COLUMNS = (*STAR_COLUMNS, "status", "error", *_TRUST_COLUMNS)


@dataclass(frozen=True, eq=False)
class Latents:
    """Latent values, one row a spectrum, with whatever is known about the rows.

    Parameters
    ----------
    values : ndarray of float, shape (n, d)
        Row i belongs to input i. A row of NaN stands for an input that failed.
    table : DataFrame of n rows, optional
        The sidecar, row by row: `file`, `id`, `object`, `star`, `status`, `error`, ...
    logvar : ndarray of float, shape (n, d), optional
        Log variance of q(z|x).
    provenance : dict
        Where the values come from: model, weights, preparation, version, command.
    source : str
        What messages call these latents; the file's path where they were read from one.
    index : Index of n values, optional
        Of the DataFrame that they come from.

    Raises
    ------
    TableError
        If the values are not a numeric (n, d) array, or the table or logvar do not fit them.
    """

    values: NDArray[np.floating[Any]]
    table: pd.DataFrame | None = None
    logvar: NDArray[np.floating[Any]] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    source: str = "latents"
    index: pd.Index | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", numeric_matrix(self.values, self.source))
        if self.table is not None and len(self.table) != len(self):
            raise TableError(
                f"{self.source}: {len(self)} rows of latents, but {len(self.table)} rows in their "
                "sidecar table; expected one row each: encode again, or remove the sidecar"
            )
        if self.logvar is not None:
            object.__setattr__(
                self, "logvar", numeric_matrix(self.logvar, f"{self.source} (logvar)")
            )
            if self.logvar.shape != self.values.shape:
                raise TableError(
                    f"{self.source}: logvar has shape {self.logvar.shape}, the latents "
                    f"{self.values.shape}; expected the same"
                )

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    @property
    def dims(self) -> int:
        """Number of latent dimensions, d."""
        return int(self.values.shape[1])

    # Asked for again and again, and a pass over all values each time.
    @cached_property
    def ok(self) -> NDArray[np.bool_]:
        """Which rows are finite throughout, shape (n,)."""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    @property
    def ids(self) -> NDArray[np.object_] | None:
        """The sidecar's `id` column, shape (n,); None where there is none."""
        return self.column("id")

    @property
    def groups(self) -> NDArray[np.object_] | None:
        """Which star each row shows: `star`, filled from `object`; None where neither is known.

        Shape (n,). A row without either is NaN.
        """
        star, target = self.column("star"), self.column("object")
        if star is None or target is None:
            return target if star is None else star
        filled: NDArray[np.object_] = np.where(pd.isna(star), target, star)
        return filled

    def column(self, name: str) -> NDArray[np.object_] | None:
        """Return a column of the sidecar, shape (n,); None where there is none of that name."""
        if self.table is None or name not in self.table:
            return None
        return self.table[name].to_numpy(dtype=object)

    def take(self, rows: NDArray[np.int64]) -> Latents:
        """Return the latents of some rows."""
        return replace(
            self,
            values=self.values[rows],
            table=None if self.table is None else self.table.iloc[rows].reset_index(drop=True),
            logvar=None if self.logvar is None else self.logvar[rows],
            index=None,
        )


LatentsLike = Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str]


def read_latents(source: LatentsLike) -> Latents:
    """Read latents from wherever they are.

    Parameters
    ----------
    source : Latents, array (n, d), DataFrame or path
        A path is .npy, .npz, .csv, .ecsv, .parquet, .h5 or .fits. `x.npy` brings its siblings
        `x.csv` (sidecar table), `x.json` (provenance) and `x.logvar.npy`, where they exist. In a
        table, columns named like dimensions (`0`, `z3`, `dim_12`, `latent 5`) are the latents, in
        order of their numbers; if none is, every numeric column is that neither identifies the row
        nor is a trust column.

    Raises
    ------
    TableError
        If the source cannot be read, holds no latents, or its sidecar has another length.

    Warns
    -----
    LatentscopeWarning
        If the columns named like dimensions are not numbered 0 ... d-1; it says which is which.
    """
    if isinstance(source, Latents):
        return source
    if isinstance(source, pd.DataFrame):
        found = _from_contents(Contents(frame=tidy(source, "latents")), "latents")
        return replace(found, index=source.index)
    if not isinstance(source, str | os.PathLike):
        return Latents(np.asarray(source))
    path = expanded(source)
    latents = _from_contents(read_contents(path), str(path))
    return _with_siblings(latents, path) if path.suffix.lower() == ".npy" else latents


def _from_contents(contents: Contents, source: str) -> Latents:
    if not contents.arrays:
        assert contents.frame is not None
        return _from_frame(contents.frame, source)
    name = _matrix_name(contents, source)
    logvar = contents.arrays.get("logvar") if name != "logvar" else None
    return Latents(contents.arrays[name], contents.frame, logvar, source=source)


def _matrix_name(contents: Contents, source: str) -> str:
    names = [name for name in contents.arrays if name != "logvar"] or list(contents.arrays)
    usual = [name for name in _MATRIX_NAMES if name in names]
    if not usual and len(names) > 1:
        raise TableError(
            f"{source}: holds several arrays ({', '.join(names)}); expected one, or one that is "
            f"named {' or '.join(_MATRIX_NAMES)}"
        )
    return (usual or names)[0]


def _from_frame(frame: pd.DataFrame, source: str) -> Latents:
    numeric = [name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])]
    latent = numbered_columns(numeric, source) or [
        name for name in numeric if not is_id_column(name) and name not in _SIDECAR_COLUMNS
    ]
    if not latent:
        raise TableError(
            f"{source}: no column of latents among {', '.join(frame.columns)}; expected numeric "
            "columns named 0, 1, ... or z0, z1, ..."
        )
    values = frame[latent].to_numpy(dtype=np.float64, na_value=np.nan)
    rest = frame.drop(columns=latent)
    return Latents(values, rest if len(rest.columns) else None, source=source)


def _siblings(path: Path) -> tuple[Path, Path, Path]:
    return path.with_suffix(".csv"), path.with_suffix(".json"), path.with_suffix(".logvar.npy")


def _with_siblings(latents: Latents, path: Path) -> Latents:
    table, provenance, logvar = _siblings(path)
    frame = read_contents(table).frame if table.is_file() else latents.table
    return replace(
        latents,
        table=frame,
        provenance=read_json(provenance) if provenance.is_file() else {},
        logvar=_from_contents(read_contents(logvar), str(logvar)).values
        if os.path.isfile(logvar)
        else None,
    )


def write_latents(latents: Latents, path: str | os.PathLike[str]) -> None:
    """Write latents as `path` (.npy, float32) with their siblings, each file whole or absent.

    The siblings are `.csv` (the sidecar table), `.json` (provenance) and `.logvar.npy`. One that
    these latents do not have is removed if an earlier run left it, since it would be read as
    theirs. An older `path` is removed before the first sibling is replaced, and the new one comes
    last: values are never found beside a table of other values, wherever a crash falls.

    Raises
    ------
    TableError
        If the path does not end in .npy, or a sibling of it is no file of latentscope's.
    """
    path = check_latents_path(path, logvar=latents.logvar is not None)
    table, provenance, logvar = _siblings(path)
    with ExitStack() as stack:
        # Renamed in reverse order of this, once all are written.
        values = stack.enter_context(atomic_path(path))
        np.save(values, latents.values.astype(np.float32))
        if latents.logvar is not None:
            temporary = stack.enter_context(atomic_path(logvar))
            np.save(temporary, latents.logvar.astype(np.float32))
        if latents.table is not None:
            write_csv(latents.table, stack.enter_context(atomic_path(table)))
        made_by = {"latentscope": import_module("latentscope").__version__}
        text = json.dumps(made_by | latents.provenance, indent=2, default=_plain)
        temporary = stack.enter_context(atomic_path(provenance))
        temporary.write_text(text + "\n", encoding="utf-8")
        for stale in filter(os.path.exists, (path, table, logvar)):
            # A link stays, and what it leads to goes.
            os.unlink(os.path.realpath(stale))


def check_latents_path(path: str | os.PathLike[str], *, logvar: bool = False) -> Path:
    """Return where latents (with log variances) can be written, ``~`` as the home folder.

    Raises
    ------
    TableError
        If it does not end in .npy, or files of somebody else have the names of its siblings.
    OSError
        If no file can be written there.
    """
    path = expanded(path)
    if path.suffix.lower() != ".npy":
        raise TableError(f"{path}: latents are written as .npy; expected a path that ends in .npy")
    table, provenance, variances = _siblings(path)
    for file in (path, table, provenance, *([variances] if logvar else [])):
        check_writable(file)
    # latents.npy brings latents.csv, and labels.npy would bring the end of the user's labels.csv.
    made_by = provenance_beside(path)
    others = [] if made_by is not None else [provenance, variances]
    # The table of a diagnostic has a provenance of ours too.
    if not is_sidecar(table) and (not made_by or "diagnostic" in made_by):
        others.insert(0, table)
    others = [file for file in others if os.path.exists(file)]
    if others:
        raise TableError(
            f"{path}: these latents would replace {others[0]}, which no encode wrote; give the "
            "latents another name"
        )
    target = Path(os.path.realpath(path))
    theirs = _siblings(target)[0]
    if path.is_symlink() and theirs.exists() and not (table.exists() and theirs.samefile(table)):
        raise TableError(
            f"{path}: is a link to {target}, whose table {theirs} would then stand beside other "
            f"latents; give -o {target}, or another name"
        )
    return path


_LONGEST_HEADER = 100_000


def is_sidecar(path: Path) -> bool:
    """Whether a .csv is a table of latents, as `encode` writes it."""
    if not os.path.isfile(path):
        return False
    with path.open(encoding="utf-8", errors="replace") as stream:
        return {"id", "status"} <= set(stream.readline(_LONGEST_HEADER).strip().split(","))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"provenance holds a {type(value).__name__}; expected what JSON can hold")


def read_labels(source: LabelsLike) -> pd.DataFrame:
    """Read labels: one row a spectrum or a star, one column a label.

    Empty text, the text "nan" and masked cells are missing (NaN), never a class. Id columns stay
    text, so that long ids keep their last digits.

    Parameters
    ----------
    source : DataFrame, array (n,) or (n, labels), or path
        A path is .csv, .ecsv, .parquet, .fits, .npy, .npz or .h5. The columns of an array without
        names are called `label_0`, `label_1`, ...

    Returns
    -------
    DataFrame
        With `attrs["source"]`, what messages call it, and the index of a DataFrame.

    Raises
    ------
    TableError
        If the source cannot be read, has no rows, or a cell holds more than one value.
    """
    if isinstance(source, pd.DataFrame):
        # What was read before keeps its name.
        frame, name = tidy(source, "labels"), str(source.attrs.get("source", "labels"))
        # Without its name, which is a column now.
        frame.index = source.index.set_names([None] * source.index.nlevels)
    elif isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        frame = _label_frame(read_contents(expanded(source)), name)
    else:
        name = "labels"
        frame = _label_frame(Contents({name: np.asarray(source)}), name)
    if not len(frame) or not len(frame.columns):
        raise TableError(f"{name}: has {len(frame)} rows and {len(frame.columns)} columns")
    frame.attrs["source"] = name
    return frame


def _label_frame(contents: Contents, source: str) -> pd.DataFrame:
    if not contents.arrays:
        assert contents.frame is not None
        return contents.frame
    if contents.frame is not None or len(contents.arrays) > 1:
        names = ", ".join(f"{name} {array.shape}" for name, array in contents.arrays.items())
        raise TableError(f"{source}: expected one value a row and column; these hold more: {names}")
    array = next(iter(contents.arrays.values()))
    if array.ndim not in (1, 2):
        raise TableError(f"{source}: has shape {array.shape}; expected (n,) or (n, labels)")
    named = {f"label_{number}": column for number, column in enumerate(np.atleast_2d(array.T))}
    return tidy(pd.DataFrame(named), source)


def join_labels(latents: Latents, labels: LabelsLike, join: str | None = None) -> pd.DataFrame:
    """Bring labels to the rows of the latents.

    Joined on an id column that both sides have and whose ids really match (`id`, `archive_id`,
    `dp_id`, `file` in any pairing, or another `*_id` of the same name), else by row order.

    Parameters
    ----------
    latents : Latents of n rows
    labels : DataFrame, array or path
        As `read_labels` takes it; of any length and order if it is joined.
    join : str, optional
        The column to join on, such as `object` for a table with one row a star.

    Returns
    -------
    DataFrame of n rows
        NaN where no label matched.

    Warns
    -----
    LatentscopeWarning
        If some rows have no label, or the tables are taken row by row though ids on both sides
        have nothing in common, or though their indexes have the same values in another order.

    Raises
    ------
    TableError
        If an id that is joined on repeats among the labels, nothing matches, or the lengths
        differ where there is nothing to join on.
    """
    frame = read_labels(labels)
    sources = (latents.source, str(frame.attrs["source"]))
    rows = match_rows(latents.table, frame, len(latents), join, sources)
    if rows is None:
        _warn_of_order(latents.index, frame.index, sources)
        joined = frame.reset_index(drop=True)
    else:
        joined = frame.reset_index(drop=True).reindex(rows.where(rows >= 0))
        joined = joined.reset_index(drop=True).infer_objects()
    joined.attrs["source"] = sources[1]
    return joined


@dataclass(frozen=True)
class _Match:
    """A column of the sidecar against a column of the labels: the label's row for each row."""

    left: str
    right: str
    rows: pd.Series
    repeated: list[str]

    @property
    def count(self) -> int:
        return int((self.rows >= 0).sum())


def match_rows(
    table: pd.DataFrame | None,
    labels: pd.DataFrame,
    n: int,
    join: str | None,
    sources: tuple[str, str],
) -> pd.Series | None:
    """Return for each of n rows the row of its label, -1 for none; None for row order.

    `table` holds the rows' own columns, such as the sidecar of latents; `sources` are what messages
    call the rows and the labels. Warns and raises as `join_labels` does.
    """
    left = [] if table is None else [str(name) for name in table.columns]
    right = [str(name) for name in labels.columns]
    pairs = _pairs_of_ids(left, right) if join is None else _pairs_with(join, left, right, sources)
    matches = [_matched(table, labels, *pair) for pair in pairs if table is not None]
    best = max(matches, key=lambda match: (match.count, not match.repeated), default=None)
    if best is None or not best.count:
        _check_row_order(matches, len(labels), n, join, sources)
        if not matches and table is not None:
            _warn_of_unused_ids(left, labels, sources)
        return None
    if best.repeated:
        raise TableError(
            f"{sources[1]}: column {best.right} repeats {shortened(best.repeated)}; expected one "
            f"row for each {best.right}"
        )
    if best.count < n:
        warnings.warn(
            f"{n - best.count} of {n} rows of {sources[0]} have no label: their {best.left} is not "
            f"among the {best.right} of {sources[1]}",
            LatentscopeWarning,
            stacklevel=_CALLER,
        )
    return best.rows


def _names_files(column: str) -> bool:
    return column.lower() in ID_COLUMNS


def _pairs_of_ids(left: list[str], right: list[str]) -> list[tuple[str, str]]:
    same = [(a, b) for a in left for b in right if is_id_column(a) and a.lower() == b.lower()]
    # The same exposure may be named in one table by its file and in the other by an archive id.
    files = [(a, b) for a in left for b in right if _names_files(a) and _names_files(b)]
    return same + [pair for pair in files if pair not in same]


def _pairs_with(
    join: str, left: list[str], right: list[str], sources: tuple[str, str]
) -> list[tuple[str, str]]:
    if join not in right:
        raise TableError(
            f"{sources[1]}: has no column {join!r} to join on; it has {', '.join(right)}"
        )
    same = [name for name in left if name.lower() == join.lower()]
    if same:
        return [(join if join in same else same[0], join)]
    kind = STAR_COLUMNS if join.lower() in STAR_COLUMNS else ID_COLUMNS
    alike = [(name, join) for name in left if name.lower() in kind]
    if not alike:
        raise TableError(
            f"{sources[0]}: has no column {join!r}, nor any of {', '.join(kind)}, to join "
            f"{sources[1]} on; it has {', '.join(left) or 'no sidecar table'}"
        )
    return alike


def _matched(table: pd.DataFrame, labels: pd.DataFrame, left: str, right: str) -> _Match:
    files = _names_files(left) or _names_files(right)
    keys = row_keys(labels[right], files=files).dropna()
    repeated = sorted(set(keys[keys.duplicated()]))
    lookup = keys.drop_duplicates()
    rows = row_keys(table[left], files=files).map(pd.Series(lookup.index, index=lookup.to_numpy()))
    return _Match(left, right, rows.fillna(-1).astype(np.int64), repeated)


def row_keys(column: pd.Series, *, files: bool) -> pd.Series:
    """Return ids as text that compares equal for the same row, NaN where missing.

    Whole numbers lose their point (7.0 is 7), and with `files` names lose folders and suffixes.
    """

    def key(value: object) -> str:
        # A column of whole numbers with a gap is one of floats.
        if isinstance(value, float | np.floating) and float(value).is_integer():
            value = int(value)
        text = str(value).strip()
        return file_id(text) if files else text

    return column.reset_index(drop=True).map(key, na_action="ignore")


def _check_row_order(
    matches: list[_Match], n_labels: int, n: int, join: str | None, sources: tuple[str, str]
) -> None:
    tried = ", ".join(f"{match.left} with {match.right}" for match in matches)
    if join is not None:
        raise TableError(
            f"{sources[0]} and {sources[1]} have no id in common (tried {tried}); check that they "
            "describe the same spectra"
        )
    if n_labels != n:
        reason = f"no id in common (tried {tried})" if matches else "no id column in common"
        raise TableError(
            f"{sources[0]} has {n} rows and {sources[1]} has {n_labels}, with {reason}; expected "
            "equal lengths, or an id column on both sides, or a column to join on"
        )
    if matches:
        warnings.warn(
            f"{sources[0]} and {sources[1]} have no id in common (tried {tried}), but {n} rows "
            "each: taken row by row",
            LatentscopeWarning,
            stacklevel=_CALLER + 1,
        )


def _warn_of_order(latents: pd.Index | None, labels: pd.Index, sources: tuple[str, str]) -> None:
    """Warn where tables taken row by row have indexes of the same values in another order."""
    if latents is None or len(latents) != len(labels) or latents.equals(labels):
        return
    if set(latents) == set(labels):
        warnings.warn(
            f"{sources[0]} and {sources[1]} are taken row by row, though their indexes have the "
            "same values in another order; to match them make the index a column id of both, else "
            "reset_index(drop=True)",
            LatentscopeWarning,
            stacklevel=_CALLER,
        )


def _warn_of_unused_ids(left: list[str], labels: pd.DataFrame, sources: tuple[str, str]) -> None:
    ids = [name for name in left if is_id_column(name)]
    similar = [str(name) for name in labels.columns if _looks_like_ids(labels[name])]
    if ids and similar:
        warnings.warn(
            f"{sources[1]} has no id column and is taken row by row, though {sources[0]} has ids "
            f"({', '.join(ids)}) and {', '.join(similar)} names each row; to match them pass "
            f"join={similar[0]!r} (--join {similar[0]}), or call that column id",
            LatentscopeWarning,
            stacklevel=_CALLER + 1,
        )


def _looks_like_ids(column: pd.Series) -> bool:
    names = column.dropna()
    return len(names) > 1 and names.is_unique and all(isinstance(name, str) for name in names)
