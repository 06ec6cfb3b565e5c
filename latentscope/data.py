"""Latents of any model and labels for them: read, write, and bring row to row."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, DTypeLike, NDArray

from latentscope.errors import ChoiceError, TableError, meant, shortened, warn
from latentscope.files import atomic_path, check_writable, expanded
from latentscope.tables import (
    ID_COLUMNS,
    PROVENANCE,
    STAR_COLUMNS,
    Contents,
    beyond_floats,
    counts_rows,
    file_id,
    find_column,
    find_columns,
    from_other_frames,
    is_astropy_table,
    is_id_column,
    is_index_column,
    is_structured,
    numbered_columns,
    numbers_dimension,
    numeric_matrix,
    provenance_beside,
    read_contents,
    read_json,
    star_name,
    table_contents,
    tidy,
    without_mask,
    write_csv,
)

LabelsLike = ArrayLike | pd.DataFrame | pd.Series | str | os.PathLike[str]

_MATRIX_NAMES = ("latents", "values", "mean", "z", "embeddings", "embedding")

_SUBSET = "unique_subset"
"""Column of the published table (Sedaghat et al. 2021), filled in rows with latents."""

_TRUST_COLUMNS = (
    *("coverage", "snr", "recon_error", "resolution", "rv_ambiguous", "rv_second_peak"),
    *("recon_percentile", "density_percentile", "trust", "verdict"),
)
_INTERNAL = re.compile(r"\.\s*_")

_ENOUGH = 0.5
"""Share of rows whose names must be among a column's values to take these for the same names."""

_FEWEST_COUNTED = 10
"""Rows from which 0, 1, 2, ... are no accident."""

_SIDECAR_COLUMNS = (*STAR_COLUMNS, "status", "error", *_TRUST_COLUMNS)


@dataclass(frozen=True, eq=False, repr=False)
class Latents:
    """Latent values, one row per spectrum, with what is known about the rows.

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
        Index of the DataFrame that they come from.
    names : tuple of str
        Columns of a table that were taken for them though their names do not number dimensions.

    Raises
    ------
    TableError
        If the values are not a numeric (n, d) array, or the table or logvar do not fit them.

    Examples
    --------
    >>> latents = Latents(np.eye(3), pd.DataFrame({"id": ["a", "b", "c"]}))
    >>> latents.shape, list(latents[[True, False, True]].ids)
    ((3, 3), ['a', 'c'])
    """

    values: NDArray[np.floating[Any]]
    table: pd.DataFrame | None = None
    logvar: NDArray[np.floating[Any]] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    source: str = "latents"
    index: pd.Index | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", numeric_matrix(self.values, self.source))
        if self.table is not None and len(self.table) != len(self):
            raise TableError(
                f"{self.source}: {len(self)} rows of latents, but {len(self.table)} rows in their "
                "sidecar table; encode again, or remove the sidecar"
            )
        if self.logvar is None:
            return
        logvar = numeric_matrix(self.logvar, f"{self.source} (logvar)")
        object.__setattr__(self, "logvar", logvar)
        if logvar.shape != self.values.shape:
            raise TableError(
                f"{self.source}: logvar has shape {logvar.shape}, the latents {self.values.shape}; "
                "expected the same"
            )

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        names = [] if self.table is None else map(str, self.table.columns)
        columns = f", columns {shortened(names)}" if names else ""
        return f"Latents of {self.source}: {len(self):,} rows, {self.dims} dimensions{columns}"

    def __getitem__(self, rows: Any) -> Latents:
        """Return the latents of some rows: a mask (n,), a slice, or numbers."""
        rows = rows if isinstance(rows, slice) else np.asarray(rows)
        return self.take(np.atleast_1d(np.arange(len(self))[rows]))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions, (n, d)."""
        return len(self), self.dims

    def to_frame(self) -> pd.DataFrame:
        """Return columns of the table and of latents: `z0`, `z1`, ..., or the names they had.

        `read_latents` reads it back.
        """
        names = self.names or [f"z{dim}" for dim in range(self.dims)]
        frame = pd.DataFrame(self.values, columns=list(names), index=self.index)
        if self.table is not None:
            beside = self.table.set_axis(frame.index)
            frame = pd.concat([beside.drop(columns=list(names), errors="ignore"), frame], axis=1)
        return frame

    @property
    def dims(self) -> int:
        """Number of latent dimensions, d."""
        return int(self.values.shape[1])

    @cached_property  # a pass over all values
    def ok(self) -> NDArray[np.bool_]:
        """Which rows are finite throughout, shape (n,)."""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    @property
    def ids(self) -> NDArray[np.object_] | None:
        """The sidecar's `id` column, shape (n,); None where there is none."""
        return self.column("id")

    @property
    def groups(self) -> NDArray[np.object_] | None:
        """Star of each row, (n,): `star`, else `object`, else NaN; None if neither is known."""
        star, target = self.column("star"), self.column("object")
        if star is None or target is None:
            return target if star is None else star
        return np.asarray(np.where(pd.isna(star), target, star), dtype=object)

    @property
    def mad_threshold(self) -> float | None:
        """Their model's threshold of the median absolute deviation; None where none is known.

        A TableError if it is no number, 0 or more.
        """
        given = self.provenance.get("mad_threshold")
        if given is None:
            return None
        number = isinstance(given, int | float) and not isinstance(given, bool)
        if not number or not 0 <= given < np.inf:
            raise TableError(
                f"{self.source}: mad_threshold is {given!r} in their provenance; expected a "
                "number, 0 or more"
            )
        return float(given)

    def column(self, name: str) -> NDArray[np.object_] | None:
        """Return a column of the sidecar, shape (n,), its name in any case; None where none is."""
        column = None if self.table is None else find_column(self.table, name)
        return None if column is None else column.to_numpy(dtype=object)

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


def read_latents(source: LatentsLike, key: str | None = None) -> Latents:
    """Read latents from wherever they are.

    Parameters
    ----------
    source : Latents, array (n, d), DataFrame, astropy Table or path
        A path is .npy, .npz, .csv, .ecsv, .parquet, .h5 or .fits. `x.npy` brings `x.csv` (sidecar
        table), `x.json` (provenance) and `x.logvar.npy`, where they exist. In a table, columns
        named like dimensions (`0`, `z3`, `dim_12`, `latent 5`) are the latents, in order of their
        numbers; if none is, every numeric column that neither identifies or counts the rows nor is
        a trust column. Vectors in one column (HDF5, FITS, lists in Parquet) are latents. Masked
        cells are NaN.
    key : str, optional
        Array to read from a file that has several, such as `spectrum_embeddings`.

    Raises
    ------
    TableError
        If the source cannot be read, holds no latents, or its sidecar has another length.

    Warns
    -----
    LatentscopeWarning
        If the columns named like dimensions are not numbered 0 ... d-1; it says which is which. Or
        if a column counts the rows: of a table it is left out, of an array only told.

    Examples
    --------
    >>> read_latents(pd.DataFrame({"id": ["a", "b"], "z0": [0.1, 0.2], "z1": [1, 2]})).shape
    (2, 2)
    >>> read_latents("embeddings.h5", key="spectrum_embeddings")  # doctest: +SKIP
    """
    if key is not None and not isinstance(source, str | os.PathLike):
        raise ChoiceError(f"key is {key!r}, and the latents come from no file; leave it out")
    source = from_other_frames(source)
    if isinstance(source, Latents):
        return source
    if is_astropy_table(source) or is_structured(source):
        return _from_contents(table_contents(source, "latents"), "latents")
    if isinstance(source, pd.DataFrame):
        found = _from_contents(Contents(frame=tidy(source, "latents")), "latents")
        return replace(found, index=source.index)
    if not isinstance(source, str | os.PathLike):
        latents = Latents(without_mask(source))
        _warn_of_counters(latents)
        return latents
    path = expanded(source)
    latents = _from_contents(read_contents(path, key), str(path))
    if latents.names and is_sidecar(path) and path.with_suffix(".npy").is_file():
        raise TableError(
            f"{path}: is the table that encode writes beside latents; expected these, such as "
            f"{path.with_suffix('.npy')}"
        )
    return _with_siblings(latents, path) if path.suffix.lower() == ".npy" else latents


def _warn_of_counters(latents: Latents) -> None:
    """Warn of a dimension of an array that counts the rows, as a saved index does."""
    values = latents.values
    if len(values) < _FEWEST_COUNTED:
        return
    # Most columns show in two rows that they do not.
    steps = values[1] - values[0]
    for dim in np.flatnonzero((steps == 1) & ((values[0] == 0) | (values[0] == 1))):
        if np.array_equal(np.diff(values[:, dim]), np.ones(len(values) - 1)):
            warn(
                f"{latents.source}: dim {dim} counts the rows, as an index saved with the values "
                "does; leave it out, or choose dims without it"
            )


def _from_contents(contents: Contents, source: str) -> Latents:
    if not contents.arrays:
        assert contents.frame is not None
        return _from_frame(contents.frame, source)
    names = [name for name in contents.arrays if name != "logvar"] or list(contents.arrays)
    usual = [name for name in _MATRIX_NAMES if name in names]
    if not usual and len(names) > 1:
        raise TableError(
            f"{source}: holds several arrays ({', '.join(names)}); say which (key=, --key)"
        )
    name = (usual or names)[0]
    logvar = contents.arrays.get("logvar") if name != "logvar" else None
    latents = Latents(
        contents.arrays[name], contents.frame, logvar, contents.provenance, source=source
    )
    _warn_of_counters(latents)
    return latents


def _from_frame(frame: pd.DataFrame, source: str) -> Latents:
    numeric = [name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])]
    latent = numbered_columns(numeric, source)
    numbered = bool(latent)
    if not numbered:
        others = {
            name for name in numeric if is_id_column(name) or name.lower() in _SIDECAR_COLUMNS
        }
        counters = {
            name for name in numeric if len(frame) >= _FEWEST_COUNTED and counts_rows(frame[name])
        }
        latent = [name for name in numeric if name not in others | counters]
        left_out = [name for name in numeric if is_index_column(name) or name in counters - others]
        stem = latent[0].rstrip("0123456789") if latent else ""
        numbers = [name.removeprefix(stem).lstrip("0") for name in latent]
        from_0 = ["", *map(str, range(1, len(latent)))]
        if len(latent) > 1 and numbers not in (from_0, [*from_0[1:], str(len(latent))]):
            taken = (f"dim {dim} is {name}" for dim, name in enumerate(latent))
            warn(
                f"{source}: no column is named as a dimension (z0, z1, ...), so all columns of "
                f"numbers are taken for dimensions: {shortened(taken)}"
            )
        if left_out:
            warn(
                f"{source}: no dimension, since it counts or names rows as a saved index does: "
                f"{shortened(left_out)}"
            )
    if not latent:
        text = [name for name in map(str, frame) if numbers_dimension(name) and len(frame)]
        example = f"; {text[0]} holds text such as {frame[text[0]].iloc[0]!r}" if text else ""
        raise TableError(
            f"{source}: no column of latents among {', '.join(frame.columns)}; expected numeric "
            f"columns named 0, 1, ... or z0, z1, ...{example}"
        )
    values = frame[latent].to_numpy(dtype=np.float64, na_value=np.nan)
    rest = frame.drop(columns=latent)
    names = () if numbered else tuple(latent)
    return Latents(values, rest if len(rest.columns) else None, source=source, names=names)


def _siblings(path: Path) -> tuple[Path, Path, Path]:
    return path.with_suffix(".csv"), path.with_suffix(".json"), path.with_suffix(".logvar.npy")


def _with_siblings(latents: Latents, path: Path) -> Latents:
    table, provenance, logvar = _siblings(path)
    found: dict[str, Any] = {"provenance": read_json(provenance) if provenance.is_file() else {}}
    if table.is_file():
        found["table"] = read_contents(table).frame
    if os.path.isfile(logvar):  # False of a name too long
        found["logvar"] = _from_contents(read_contents(logvar), str(logvar)).values
    return replace(latents, **found)


def write_latents(latents: Latents, path: str | os.PathLike[str]) -> None:
    """Write latents as `path` (.npy, float32) with their siblings, each file whole or absent.

    The siblings are `.csv` (the sidecar table), `.json` (provenance) and `.logvar.npy`; those of an
    earlier run are removed. A .parquet holds all of them in one file (`write_parquet`).

    Raises
    ------
    TableError
        If the path ends in neither, or no encode wrote the siblings that are there.

    Examples
    --------
    >>> write_latents(Latents(np.eye(3)), "latents.npy")
    >>> read_latents("latents.npy").shape
    (3, 3)
    """
    path = check_latents_path(path, logvar=latents.logvar is not None)
    if path.suffix.lower() == ".parquet":
        write_parquet([latents], path)
        return
    table, provenance, logvar = _siblings(path)
    # The older values go before the first sibling is replaced, and the new ones come last: values
    # are never found beside a table of other values, wherever a crash falls.
    with ExitStack() as stack:
        # Renamed in reverse order of this, once all are written.
        values = stack.enter_context(atomic_path(path))
        np.save(values, latents.values.astype(np.float32))
        if latents.logvar is not None:
            temporary = stack.enter_context(atomic_path(logvar))
            np.save(temporary, latents.logvar.astype(np.float32))
        if latents.table is not None:
            write_csv(latents.table, stack.enter_context(atomic_path(table)))
        text = _json(latents.provenance, indent=2) + "\n"
        stack.enter_context(atomic_path(provenance)).write_text(text, encoding="utf-8")
        for stale in filter(os.path.exists, (path, table, logvar)):
            # A link stays, and what it leads to goes.
            os.unlink(os.path.realpath(stale))


def _json(provenance: dict[str, Any], **options: Any) -> str:
    made_by = {"latentscope": import_module("latentscope").__version__}
    return json.dumps(made_by | provenance, default=_plain, **options)


def write_parquet(blocks: Iterable[Latents], path: str | os.PathLike[str]) -> None:
    """Write latents that come in blocks as one Parquet file, whole or not at all.

    Vectors are columns `latents` and `logvar`, lists of d float32, behind the table's columns,
    which are those of the first block; the provenance of the last block is metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = check_latents_path(path)
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(path))
        writer: pq.ParquetWriter | None = None
        waiting: list[pa.Table] = []
        for block in blocks:
            table = _arrow_table(block)
            if writer is None:
                schema = table.schema
                writer = pq.ParquetWriter(temporary, schema, compression="zstd")
                stack.enter_context(writer)
            waiting.append(table.cast(schema))
            if sum(map(len, waiting)) >= _ROW_GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting.clear()
        if writer is None:
            raise TableError(f"{path}: no latents to write; expected at least one row")
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
        writer.add_key_value_metadata({PROVENANCE: _json(block.provenance)})


_ROW_GROUP = 8192  # rows; fewer would make the index of a large file long

_FLAGS = ("rv_ambiguous",)
"""Columns of true and false, with empty text where it is not known."""


def _arrow_table(latents: Latents) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for name, column in ({} if latents.table is None else latents.table).items():
        if name in _FLAGS:
            column = column.map(lambda value: value if isinstance(value, bool) else None)
            columns[str(name)] = pa.array(column, pa.bool_(), from_pandas=True)
        elif pd.api.types.is_numeric_dtype(column):
            columns[str(name)] = pa.array(column, from_pandas=True)
        else:
            text = column.map(str, na_action="ignore")
            columns[str(name)] = pa.array(text, pa.string(), from_pandas=True)
    for name, values in (("latents", latents.values), ("logvar", latents.logvar)):
        if values is not None:
            flat = pa.array(values.astype(np.float32).ravel())
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.table(columns)


def check_latents_path(path: str | os.PathLike[str], *, logvar: bool = False) -> Path:
    """Return where latents (with log variances) can be written, ``~`` as the home folder.

    A TableError if it does not end in .npy or .parquet, or it or its siblings are files of somebody
    else; an OSError if no file can be written there.
    """
    path = expanded(path)
    if path.suffix.lower() not in (".npy", ".parquet"):
        raise TableError(f"{path}: expected a path that ends in .npy or .parquet")
    table, provenance, variances = _siblings(path)
    files = [path, table, provenance, *([variances] if logvar else [])]
    parquet = path.suffix.lower() == ".parquet"
    for file in files[:1] if parquet else files:
        check_writable(file)
    # latents.npy brings latents.csv, and labels.npy would bring the end of the user's labels.csv.
    if parquet:
        others = [] if _is_ours(path) else [path]
    else:
        made_by = provenance_beside(path)
        others = [] if made_by is not None else [provenance, variances]
        # The table of a diagnostic has a provenance of ours too.
        if not is_sidecar(table) and (not made_by or "diagnostic" in made_by):
            others.insert(0, table)
    others = [file for file in others if os.path.exists(file)]  # False of a name too long
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


def _is_ours(path: Path) -> bool:
    """Whether a Parquet file has a provenance of ours."""
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise TableError(
            f"{path}: Parquet needs the package pyarrow: pip install pyarrow"
        ) from None
    try:
        return PROVENANCE in (pq.read_metadata(path).metadata or {})
    except (OSError, ValueError):
        return False


_LONGEST_HEADER = 100_000


def is_sidecar(path: Path) -> bool:
    """Whether a .csv is a table of latents, as `encode` writes it."""
    if not os.path.isfile(path):
        return False
    with path.open(encoding="utf-8", errors="replace") as stream:
        return {"id", "status"} <= set(stream.readline(_LONGEST_HEADER).strip().split(","))


def spectrum_path(file: str, latents: str | os.PathLike[str]) -> Path | None:
    """Where the file of a row is now, seen from here or from the file of the latents; else None.

    Its name was relative to the folder that `encode` was called from. That may be any above the
    latents, where the file lies below them, such as after ``latentscope demo``.
    """
    beside = Path(latents).resolve().parent
    below = (top / file for top in beside.parents)
    paths = (Path(file), beside / file, *(path for path in below if path.is_relative_to(beside)))
    return next((path for path in paths if file and path.is_file()), None)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"provenance holds a {type(value).__name__}; expected what JSON can hold")


def read_labels(source: LabelsLike) -> pd.DataFrame:
    """Read labels: one row per spectrum or star, one column per label.

    Empty text, the text "nan" and masked cells are missing (NaN), never a class. Id columns stay
    text, so that long ids keep their last digits.

    Parameters
    ----------
    source : DataFrame, Series, dict of columns, array (n,) or (n, labels), astropy Table, or path
        A path is .csv, .ecsv, .parquet, .fits, .npy, .npz or .h5. Units are dropped. The columns
        of an array without names are called `label_0`, `label_1`, ...

    Returns
    -------
    DataFrame
        With `attrs["source"]`, what messages call it, and the index of a DataFrame.

    Raises
    ------
    TableError
        If the source cannot be read, has no rows, or a cell holds more than one value.

    Examples
    --------
    >>> list(read_labels({"id": ["a", "b"], "kind": ["giant", "--"]})["kind"])
    ['giant', nan]
    """
    source = from_other_frames(source)
    if isinstance(source, Mapping):
        source = pd.DataFrame({str(name): without_mask(column) for name, column in source.items()})
    if isinstance(source, pd.Series):
        source = source.to_frame("label_0" if source.name is None else source.name)
    if isinstance(source, pd.DataFrame):
        # What was read before keeps its name, and has its index as a column.
        again = "source" in source.attrs and source.index.names == [None]
        frame = tidy(source.reset_index(drop=True) if again else source, "labels")
        name = str(source.attrs.get("source", "labels"))
        # Without its name, which is a column now.
        frame.index = source.index.set_names([None] * source.index.nlevels)
    elif isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        frame = _label_frame(read_contents(expanded(source)), name)
    else:
        name, table = "labels", is_astropy_table(source) or is_structured(source)
        contents = table_contents(source, name) if table else Contents({name: without_mask(source)})
        frame = _label_frame(contents, name)
    if not len(frame) or not len(frame.columns):
        raise TableError(f"{name}: has {len(frame)} rows and {len(frame.columns)} columns")
    frame.attrs["source"] = name
    return frame


def _label_frame(contents: Contents, source: str) -> pd.DataFrame:
    if not contents.arrays:
        assert contents.frame is not None
        return contents.frame
    names = shortened(f"{name} {array.shape}" for name, array in contents.arrays.items())
    if contents.frame is not None:
        warn(f"{source}: not read, since they have several values per row: {names}")
        return contents.frame
    if len(contents.arrays) > 1:
        raise TableError(f"{source}: expected one value per row and column; it holds {names}")
    array = next(iter(contents.arrays.values()))
    if array.ndim not in (1, 2):
        raise TableError(f"{source}: has shape {array.shape}; expected (n,) or (n, labels)")
    named = {f"label_{number}": column for number, column in enumerate(np.atleast_2d(array.T))}
    return tidy(pd.DataFrame(named), source)


def check_order(latents: Latents, labels: pd.DataFrame) -> None:
    """Refuse latents and labels that were swapped; warn where they only look so.

    The columns of latents number dimensions, those of labels have names.
    """
    source = str(labels.attrs["source"])
    columns = [name for name in labels.columns if not is_id_column(name)]
    if not latents.names or len(columns) < 2:
        return
    nameless = columns == [f"label_{number}" for number in range(len(columns))]
    if all(numbers_dimension(name) for name in columns) or (nameless and Path(source).is_file()):
        raise TableError(
            f"{source}: looks like latents, and {latents.source} like labels "
            f"({shortened(latents.names)}); expected latents first: {source} {latents.source}; if "
            "these are in order, call the columns of the latents z0, z1, ..."
        )
    if nameless:
        warn(
            f"{latents.source} is taken for latents, and its columns {shortened(latents.names)} "
            f"for dimensions; {source}, without names, for labels; if it is the other way round, "
            f"give latents first: {source} {latents.source}"
        )


def join_labels(latents: Latents, labels: LabelsLike, join: str | None = None) -> pd.DataFrame:
    """Bring labels to the rows of the latents.

    Joined on an id column that both sides have and whose ids really match (`id`, `archive_id`,
    `dp_id`, `file` in any pairing, or another `*_id` of the same name), else by the indexes of two
    DataFrames, else on any column of the labels whose values name rows or stars of the latents,
    else by row order.

    Parameters
    ----------
    latents : Latents of n rows
    labels : DataFrame, array or path
        As `read_labels` takes it; of any length and order if it is joined.
    join : str, optional
        The column to join on, such as `object` for a table with one row per star.

    Returns
    -------
    DataFrame of n rows
        NaN where no label matched.

    Warns
    -----
    LatentscopeWarning
        If some rows have no label, the tables are joined on indexes or on columns of other names,
        or rows are taken in their order though both sides have ids.

    Raises
    ------
    TableError
        If an id that is joined on repeats among the labels with other values, nothing matches, the
        lengths differ where there is nothing to join on, or indexes have only some rows in common.
    """
    return bring_to_rows(latents, read_labels(labels), join)


def bring_to_rows(latents: Latents, frame: pd.DataFrame, join: str | None = None) -> pd.DataFrame:
    """Bring labels that `read_labels` read to the rows of the latents, as `join_labels` does."""
    sources = (latents.source, str(frame.attrs["source"]))
    frame = _published_subset(latents, frame)
    indexes = None if latents.index is None else (latents.index, frame.index)
    rows = match_rows(latents.table, frame, len(latents), join, sources, indexes)
    if rows is None:
        ordered = _orders(latents.table, latents.index), _orders(frame, frame.index)
        _warn_of_shuffled(ordered, sources)
    joined = frame.reset_index(drop=True)
    if rows is not None:
        joined = joined.reindex(rows.where(rows >= 0)).reset_index(drop=True).infer_objects()
    joined.attrs["source"] = sources[1]
    return joined


def _orders(table: pd.DataFrame | None, index: pd.Index | None) -> dict[str, NDArray[np.float64]]:
    """Places that an index or ids count, by the name of each that has another order than rows."""
    columns = []
    if index is not None and index.nlevels == 1:
        columns.append(pd.Series(index, name="index"))
    if table is not None:
        columns += [table[name] for name in table.columns if is_id_column(name)]
    found: dict[str, NDArray[np.float64]] = {}
    for column in columns:
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        ordered = np.sort(numbers)
        counts = ordered[0] in (0, 1) and bool((np.diff(ordered) == 1).all())
        if counts and not np.array_equal(numbers, ordered):
            found.setdefault(str(column.name), numbers - ordered[0])
    return found


def _warn_of_shuffled(
    orders: tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]],
    sources: tuple[str, str],
) -> None:
    """Warn of rows taken in their order that one side counts in another, and the other does not."""
    if any(np.array_equal(a, b) for a in orders[0].values() for b in orders[1].values()):
        return
    for source, found in zip(reversed(sources), reversed(orders), strict=True):
        for name in found:
            warn(
                f"{source}: taken row by row, though its {name} counts the rows in another "
                "order, as after a sort or a shuffle; if the other side has the order of the "
                f"{name}, sort by it (.sort_index() of a DataFrame), else leave it out "
                "(.reset_index(drop=True))"
            )
            return


def _published_subset(latents: Latents, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the published latents have, if this is the published table."""
    if latents.table is not None or _SUBSET not in frame or len(frame) == len(latents):
        return frame
    filled = frame[_SUBSET].notna()
    if int(filled.sum()) != len(latents):
        return frame
    warn(
        f"{latents.source}: taken for the {len(latents):,} of {len(frame):,} rows of "
        f"{frame.attrs['source']} whose {_SUBSET} is not empty, in their order"
    )
    attrs, frame = frame.attrs, frame[filled.to_numpy()]
    frame.attrs = attrs
    return frame


def rows_where(frame: pd.DataFrame, where: str) -> NDArray[np.bool_]:
    """Tell which rows of a table meet a condition, as pandas' `DataFrame.eval` reads it, (n,).

    Such as ``Teff > 5000 and logg.notna()``; a name with other letters goes into backticks. A
    comparison with a missing value is false. A ChoiceError if the condition cannot be read.
    """
    problem = "variables (@) and internals (.__) are not read"
    if "@" not in where and not _INTERNAL.search(where):
        try:
            # A column has a name of its own there, and variables of ours are not seen.
            found: Any = frame.eval(where, engine="python", local_dict={}, global_dict={})
            if np.shape(found) == (len(frame),) and pd.api.types.is_bool_dtype(found):
                return np.asarray(pd.Series(found).fillna(False), dtype=bool)
            problem = "it is not true or false for each row"
        except Exception as error:
            problem = " ".join(str(error).split())
    raise ChoiceError(
        f"where is {where!r}: {problem}; expected a condition such as 'Teff > 5000 and "
        f"logg.notna()' on {_near_names(where, [*map(str, frame.columns)])}; names such as "
        "`[M/H]` in backticks"
    )


def _near_names(text: str, names: list[str], few: int = 12) -> str:
    """List names, first those similar to words of a text; of many only some."""
    lower = {name.lower(): name for name in names}
    words = [word.lower() for word in re.findall(r"\w+", text)]
    near = [lower[one] for word in words for one in get_close_matches(word, lower, 3)]
    if not near or len(names) <= few:
        return ", ".join(names) if len(names) <= few else shortened(names)
    return f"one of {len(names)} columns, such as {', '.join(dict.fromkeys(near))}"


def bring_latents(latents: Latents, other: Latents) -> NDArray[np.floating[Any]]:
    """Bring other latents of the same spectra to the rows of these; NaN where they lack a row.

    Joined on ids as `join_labels` does it, else by the indexes of two DataFrames, else by order. A
    TableError if both have ids and none is in common, or neither has and the lengths differ.
    """
    table = pd.DataFrame(index=range(len(other))) if other.table is None else other.table
    indexes = None
    if latents.index is not None and other.index is not None:
        indexes = latents.index, other.index
    sources = (latents.source, other.source)
    rows = match_rows(latents.table, table, len(latents), None, sources, indexes, by_order=False)
    if rows is None:
        ordered = _orders(latents.table, latents.index), _orders(other.table, other.index)
        _warn_of_shuffled(ordered, sources)
        return other.values
    found = rows.to_numpy()
    return np.where(found[:, None] < 0, np.nan, other.values[found])


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
    indexes: tuple[pd.Index, pd.Index] | None = None,
    *,
    by_order: bool = True,
) -> pd.Series | None:
    """Return for each of n rows the row of its label, -1 for none; None for row order.

    `table` holds the rows' own columns, such as the sidecar of latents; `sources` are what messages
    call the rows and the labels; `indexes` are those of two DataFrames; `by_order` says whether
    rows of which all ids differ may be taken in their order. Warns and raises as `join_labels`.
    """
    left = [] if table is None else [str(name) for name in table.columns]
    right = [str(name) for name in labels.columns]
    pairs = _pairs_of_ids(left, right) if join is None else _pairs_with(join, left, right, sources)
    matches: list[_Match] = []
    if table is not None:
        lost = {
            (a, b): bool(_without_digits(table[a]) or _without_digits(labels[b])) for a, b in pairs
        }
        for pair in sorted(pairs, key=lost.__getitem__):
            # Ids without their last digits do no harm beside others that match.
            if not (lost[pair] and any(match.count for match in matches)):
                matches.append(_matched(table, labels, *pair, sources))
    best = max(matches, key=lambda match: (match.count, not match.repeated), default=None)
    if join is None and (best is None or not best.count):
        if not matches and indexes is not None and indexes[0].equals(indexes[1]):
            if table is not None:
                _check_stars(table, labels, sources)
            return None
        best = _by_index(*indexes, labels, sources) if indexes is not None else None
        if best is None and table is not None:
            best = _by_values(table, labels, sources)
        if best is not None and not best.repeated:
            warn(
                f"{sources[1]} is joined to {sources[0]} on its {best.right}, whose values are "
                f"those of their {best.left}"
            )
    if best is None or not best.count:
        tried = ", ".join(f"{match.left} with {match.right}" for match in matches)
        _check_row_order(tried, len(labels), n, join, sources, by_order=by_order)
        if table is not None:
            _check_stars(table, labels, sources)
        if not matches:
            _warn_of_unused_ids(left, labels, sources)
        return None
    if best.repeated:
        raise TableError(
            f"{sources[1]}: column {best.right} repeats {shortened(best.repeated)} with other "
            f"values; expected one row for each {best.right}"
        )
    if best.count < n:
        warn(
            f"{n - best.count} of {n} rows of {sources[0]} have no row in {sources[1]}: their "
            f"{best.left} is not among its {best.right}"
        )
    return best.rows


def aligned(x: Any, y: Any, names: tuple[str, str]) -> tuple[Any, Any]:
    """Bring the rows of two Series or DataFrames together by their indexes, where these differ.

    Anything else comes back as it is, and so do two of which one only counts its rows and has
    nothing in common with the other. Warns if rows are matched; a TableError if only some rows of
    either have an index in common, or one of these repeats.
    """
    pandas = (pd.Series, pd.DataFrame)
    if not isinstance(x, pandas) or not isinstance(y, pandas):
        return x, y
    match = _by_index(x.index, y.index, pd.DataFrame(y), names)
    if match is None:
        return x, y
    if match.repeated:
        raise TableError(
            f"{names[1]}: its index repeats {shortened(match.repeated)} and is not that of "
            f"{names[0]}; expected one row for each"
        )
    found = match.rows.to_numpy()
    both = np.flatnonzero(found >= 0)
    warn(f"{names[0]} and {names[1]} are matched by their indexes, {len(both):,} rows")
    return x.iloc[both], y.iloc[found[both]]


def _by_index(
    left: pd.Index, right: pd.Index, labels: pd.DataFrame, sources: tuple[str, str]
) -> _Match | None:
    """Match the indexes of two DataFrames; None where they say nothing.

    That is where they are the same, or one only counts the rows and has nothing in common with the
    other.
    """
    if left.equals(right) or (counts_rows(left) and counts_rows(right)):
        return None
    table = pd.DataFrame({"index": left})
    match = _matched(table, labels.assign(index=right), "index", "index", sources)
    if match.count == len(left) or len(right) == int(right.isin(left).sum()) > 0:
        return match
    if not match.count and (counts_rows(left) or counts_rows(right)):
        return None
    names = not counts_rows(left) and not counts_rows(right)
    if match.count >= _ENOUGH * len(left) and names:
        return match
    raise TableError(
        f"{sources[0]} and {sources[1]}: {match.count:,} of {len(left):,} rows have an index that "
        f"is among the {len(right):,} of the labels; expected the same index in both to match "
        "them, or reset_index(drop=True) of both to take them row by row"
    )


def _by_values(
    table: pd.DataFrame, labels: pd.DataFrame, sources: tuple[str, str]
) -> _Match | None:
    """Match a column of the labels whose values name rows or stars; None without one.

    Small whole numbers might be anything.
    """
    matches = [
        _matched(table, labels, left, right, sources)
        for left in table.columns
        if (is_id_column(left) or left.lower() in STAR_COLUMNS) and not counts_rows(table[left])
        for right in map(str, labels.columns)
        if _may_name(labels[right])
    ]
    good = [
        match
        for match in matches
        if match.count >= max(_ENOUGH * len(table), 2)
        # Several rows of a star are nothing unusual.
        and not (match.repeated and match.left.lower() in STAR_COLUMNS)
    ]
    return max(good, key=lambda match: (not match.repeated, match.count), default=None)


def _may_name(column: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(column) or _without_digits(column):
        return False
    if not pd.api.types.is_numeric_dtype(column):
        return all(isinstance(value, str | int) for value in column.dropna())
    numbers = column.dropna().to_numpy(dtype=np.float64)
    whole = len(numbers) > 0 and bool((numbers == np.round(numbers)).all())
    return whole and float(np.abs(numbers).max()) >= 10 * len(numbers)


def _pairs_of_ids(left: list[str], right: list[str]) -> list[tuple[str, str]]:
    left, right = ([name for name in side if not is_index_column(name)] for side in (left, right))
    same = [(a, b) for a in left for b in right if is_id_column(a) and a.lower() == b.lower()]
    # The same exposure may be named in one table by its file and in the other by an archive id.
    files = [(a, b) for a in left for b in right if {a.lower(), b.lower()} <= {*ID_COLUMNS}]
    return same + [pair for pair in files if pair not in same]


def _pairs_with(
    join: str, left: list[str], right: list[str], sources: tuple[str, str]
) -> list[tuple[str, str]]:
    if join not in right:
        raise TableError(
            f"{sources[1]}: has no column {join!r}{meant(join, right)} to join on; it has "
            f"{', '.join(right)}"
        )
    same = [name for name in left if name.lower() == join.lower()]
    if same:
        return [(join if join in same else same[0], join)]
    star = join.lower() in STAR_COLUMNS
    # A column of another name may have names of files or of stars, such as hostname.
    alike = [
        (name, join)
        for name in left
        if name.lower() in STAR_COLUMNS or (is_id_column(name) and not star)
    ]
    if not alike:
        kind = STAR_COLUMNS if star else (*ID_COLUMNS, "*_id", *STAR_COLUMNS)
        raise TableError(
            f"{sources[0]}: has no column {join!r}, nor any of {', '.join(kind)}, to join "
            f"{sources[1]} on; it has {', '.join(left) or 'no sidecar table'}"
        )
    return alike


def _matched(
    table: pd.DataFrame, labels: pd.DataFrame, left: str, right: str, sources: tuple[str, str]
) -> _Match:
    files = left.lower() in ID_COLUMNS or right.lower() in ID_COLUMNS
    stars = left.lower() in STAR_COLUMNS
    sides = [(table[left], sources[0]), (labels[right], sources[1])]
    for column, source in sides:
        _check_digits(column, source)
    # A catalog may leave out what all its ids begin with; two releases number stars anew.
    bare = not all(column.astype(str).str.match(_GAIA).any() for column, _ in sides)
    ids = [row_keys(column, files=files, stars=stars, bare=bare) for column, _ in sides]
    if not ids[0].isin(ids[1].dropna()).any():
        ids = _without_zeros(ids)
    keys = ids[1].dropna()
    repeated = keys[keys.duplicated(keep=False)]
    if len(repeated):
        repeated = _with_other_values(labels, repeated)
    lookup = keys.drop_duplicates()
    place = pd.Series(lookup.index, index=lookup.to_numpy())
    rows = ids[0].map(place).fillna(-1).astype(np.int64)
    return _Match(left, right, rows, sorted(set(repeated)))


def _without_zeros(ids: list[pd.Series]) -> list[pd.Series]:
    """Take off zeros before numbers, which one side may have lost, unless ids differ by them."""
    for keys in ids:
        if not keys.dropna().str.fullmatch(r"\d+").all():
            return ids
        if keys.str.lstrip("0").nunique() < keys.nunique():
            return ids
    return [keys.str.lstrip("0") for keys in ids]


def _with_other_values(labels: pd.DataFrame, repeated: pd.Series) -> pd.Series:
    """Return the repeated keys of rows that differ in more than their names."""
    names = [name for name in labels.columns if not is_id_column(name)]
    rows = labels[names].reset_index(drop=True).loc[repeated.index].astype(object)
    rows = rows.assign(**{"": repeated}).drop_duplicates()
    kept = repeated[rows.index]
    return kept[kept.duplicated()]


_GAIA = re.compile(r"^\s*gaia ?e?dr(\d) ?(?=\d)", re.IGNORECASE)  # before an id of the archive
_AS_FLOATS = r"\d+\.0+|\d(?:\.\d+)?[eE]\+?\d+"


def _without_digits(column: pd.Series) -> list[float]:
    """Values too large for floats, also written as text, to keep their last digits."""
    filled = column.dropna()
    if pd.api.types.is_integer_dtype(filled) or pd.api.types.is_bool_dtype(filled):
        return []
    if not pd.api.types.is_float_dtype(filled):
        text = filled.astype(str).str.strip()
        written = text.str.fullmatch(_AS_FLOATS)
        if not (written | text.str.fullmatch(r"\d+")).all():
            return []
        filled = text[written].astype(float)
    return filled[beyond_floats(filled)].tolist()


def _check_digits(column: pd.Series, source: str) -> None:
    """Refuse ids that would name another row, or none."""
    if large := _without_digits(column):
        raise TableError(
            f"{source}: {column.name} has ids of more than 15 digits as floats, such as "
            f"{large[0]:.16g}, whose last digits are lost; expected whole numbers or text: read "
            "and save that column as such"
        )


def row_keys(
    column: pd.Series, *, files: bool, stars: bool = False, bare: bool = True
) -> pd.Series:
    """Return ids as text that compares equal for the same row, NaN where missing.

    Whole numbers lose their point (7.0 is 7, and so is 7e0); with `files` names lose folders and
    suffixes, with `stars` they have one spelling (`star_name`); ids of Gaia lose their release if
    `bare`.
    """
    column = column.reset_index(drop=True)
    if column.map(lambda value: isinstance(value, str)).any():
        # So is one that was written as text.
        text = column.dropna().astype(str).str.strip()
        written = text.str.fullmatch(_AS_FLOATS)
        if written.any() and (written | text.str.fullmatch(r"\d+")).all():
            # No float for whole numbers, of which long ones would lose digits.
            numbers = [
                float(value) if point else int(value)
                for value, point in zip(text, written, strict=True)
            ]
            column = pd.Series(numbers, text.index, dtype=object).reindex(column.index)

    def key(value: object) -> str:
        # A column of whole numbers with a gap is one of floats.
        if isinstance(value, float | np.floating) and float(value).is_integer():
            value = int(value)
        text = _GAIA.sub("" if bare else r"gaia dr\1 ", str(value).strip())
        return file_id(text) if files else star_name(text) if stars else text

    return column.map(key, na_action="ignore")


def _check_row_order(
    tried: str, n_labels: int, n: int, join: str | None, sources: tuple[str, str], *, by_order: bool
) -> None:
    """Refuse rows that only their order can match, or warn; `tried` are pairs of ids."""
    if join is not None or (tried and not by_order):
        raise TableError(
            f"{sources[0]} and {sources[1]} have no id in common (tried {tried}); check that they "
            "describe the same spectra"
        )
    if n_labels != n:
        reason = f"no id in common (tried {tried})" if tried else "no id column in common"
        raise TableError(
            f"{sources[0]} has {n} rows and {sources[1]} has {n_labels}, with {reason}; expected "
            "equal lengths, or an id column on both sides, or a column to join on"
        )
    if tried:
        warn(
            f"{sources[0]} and {sources[1]} have no id in common (tried {tried}), but {n} rows "
            "each: taken row by row"
        )


def _check_stars(table: pd.DataFrame, labels: pd.DataFrame, sources: tuple[str, str]) -> None:
    """Refuse rows in their order whose stars are the same in another; warn if they have no name.

    Small numbers may be codes, which each side counts in its own way.
    """
    for left in find_columns([table], STAR_COLUMNS):
        for right in find_columns([labels], STAR_COLUMNS):
            a, b = (row_keys(names, files=False, stars=True) for names in (left, right))
            named = a.notna() & b.notna()
            if not named.any() or (a == b)[named].mean() >= _ENOUGH:
                return
            row = int(np.flatnonzero(named & (a != b))[0])
            differ = (
                f"{sources[0]} and {sources[1]} name other stars, such as {left.iloc[row]} (their "
                f"{left.name}) and {right.iloc[row]} ({right.name}) in row {row + 1}"
            )
            codes = not (_may_name(left) or _may_name(right))
            renumbered = codes and np.array_equal(
                pd.factorize(a[named])[0], pd.factorize(b[named])[0]
            )
            if a[named].isin(b).mean() >= _ENOUGH and not renumbered:
                raise TableError(
                    f"{differ}: their order is not the same; expected the same, or an id column on "
                    "both sides"
                )
            warn(f"{differ}: taken row by row, {len(table)} rows each")
            return


def _warn_of_unused_ids(left: list[str], labels: pd.DataFrame, sources: tuple[str, str]) -> None:
    ids = [name for name in left if is_id_column(name)]
    similar = [str(name) for name in labels.columns if _looks_like_ids(labels[name])]
    if ids and similar:
        warn(
            f"{sources[1]} has no id column and is taken row by row, though {sources[0]} has ids "
            f"({', '.join(ids)}) and {', '.join(similar)} names each row; to match them pass "
            f"join={similar[0]!r} (--join {similar[0]}), or call that column id"
        )


def _looks_like_ids(column: pd.Series) -> bool:
    names = column.dropna()
    if pd.api.types.is_numeric_dtype(names):
        return len(names) > 1 and bool(beyond_floats(names).all())
    return len(names) > 1 and names.is_unique and all(isinstance(name, str) for name in names)
