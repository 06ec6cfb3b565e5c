"""Latents of any model and labels for them: read, write, and bring row to row."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, DTypeLike, NDArray

from latentscope.atomic import atomic_path
from latentscope.errors import TableError
from latentscope.joining import match_rows, warn_of_order
from latentscope.tables import (
    STAR_COLUMNS,
    Contents,
    is_id_column,
    numbered_columns,
    numeric_matrix,
    read_contents,
    read_json,
    tidy,
)

_MATRIX_NAMES = ("latents", "values", "mean", "z")
_TRUST_COLUMNS = (
    *("coverage", "snr", "recon_error", "resolution"),
    *("recon_percentile", "density_percentile", "trust", "verdict"),
)
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
                "sidecar table; wanted one row each: encode again, or remove the sidecar"
            )
        if self.logvar is not None:
            object.__setattr__(
                self, "logvar", numeric_matrix(self.logvar, f"{self.source} (logvar)")
            )
            if self.logvar.shape != self.values.shape:
                raise TableError(
                    f"{self.source}: logvar has shape {self.logvar.shape}, the latents "
                    f"{self.values.shape}; wanted the same"
                )

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    @property
    def dims(self) -> int:
        """Number of latent dimensions, d."""
        return int(self.values.shape[1])

    @property
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
        star, known = self.column("star"), self.column("object")
        if star is None or known is None:
            return known if star is None else star
        filled: NDArray[np.object_] = np.where(pd.isna(star), known, star)
        return filled

    def column(self, name: str) -> NDArray[np.object_] | None:
        """Return a column of the sidecar, shape (n,); None where there is none of that name."""
        if self.table is None or name not in self.table:
            return None
        return self.table[name].to_numpy(dtype=object)


def read_latents(source: Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str]) -> Latents:
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
    path = Path(source)
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
    known = [name for name in _MATRIX_NAMES if name in names]
    if not known and len(names) > 1:
        raise TableError(
            f"{source}: holds several arrays ({', '.join(names)}); wanted one, or one that is "
            f"named {' or '.join(_MATRIX_NAMES)}"
        )
    return (known or names)[0]


def _from_frame(frame: pd.DataFrame, source: str) -> Latents:
    numeric = [name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])]
    latent = numbered_columns(numeric, source) or [
        name for name in numeric if not is_id_column(name) and name not in _SIDECAR_COLUMNS
    ]
    if not latent:
        raise TableError(
            f"{source}: no column of latents among {', '.join(frame.columns)}; wanted numeric "
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
        if logvar.is_file()
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
        If the path does not end in .npy.
    """
    path = Path(path)
    if path.suffix.lower() != ".npy":
        raise TableError(f"{path}: latents are written as .npy; wanted a path that ends in .npy")
    table, provenance, logvar = _siblings(path)
    with ExitStack() as stack:
        # Renamed in reverse order of this, once all are written.
        values = stack.enter_context(atomic_path(path))
        np.save(values, latents.values.astype(np.float32))
        if latents.logvar is not None:
            temporary = stack.enter_context(atomic_path(logvar))
            np.save(temporary, latents.logvar.astype(np.float32))
        if latents.table is not None:
            latents.table.to_csv(stack.enter_context(atomic_path(table)), index=False)
        text = json.dumps(latents.provenance, indent=2, default=_plain)
        temporary = stack.enter_context(atomic_path(provenance))
        temporary.write_text(text + "\n", encoding="utf-8")
        for stale in (path, table, logvar):
            stale.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"provenance holds a {type(value).__name__}; wanted what JSON can hold")


def read_labels(source: ArrayLike | pd.DataFrame | str | os.PathLike[str]) -> pd.DataFrame:
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
        frame, name = tidy(source, "labels"), "labels"
        # Without its name, which is a column now.
        frame.index = source.index.set_names([None] * source.index.nlevels)
    elif isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        frame = _label_frame(read_contents(Path(source)), name)
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
        raise TableError(f"{source}: wanted one value a row and column; these hold more: {names}")
    array = next(iter(contents.arrays.values()))
    if array.ndim not in (1, 2):
        raise TableError(f"{source}: has shape {array.shape}; wanted (n,) or (n, labels)")
    named = {f"label_{number}": column for number, column in enumerate(np.atleast_2d(array.T))}
    return tidy(pd.DataFrame(named), source)


def align(
    latents: Latents, labels: pd.DataFrame, join: str | None = None
) -> tuple[Latents, pd.DataFrame]:
    """Bring labels to the rows of the latents.

    Joined on an id column that both sides have and whose ids really match (`id`, `archive_id`,
    `dp_id`, `file` in any pairing, or another `*_id` of the same name), else by row order.

    Parameters
    ----------
    latents : Latents
        Kept as they are, row by row.
    labels : DataFrame
        As `read_labels` gives it; of any length and order if it is joined.
    join : str, optional
        The column to join on, such as `object` for a table with one row a star.

    Returns
    -------
    latents : Latents
        The same.
    labels : DataFrame
        One row per row of the latents; NaN where no label matched.

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
    source = str(labels.attrs.get("source", "labels"))
    rows = match_rows(latents.table, labels, len(latents), join, (latents.source, source))
    if rows is None:
        warn_of_order(latents.index, labels.index, (latents.source, source))
        return latents, labels.reset_index(drop=True)
    joined = labels.reset_index(drop=True).reindex(rows.where(rows >= 0))
    joined = joined.reset_index(drop=True).infer_objects()
    joined.attrs["source"] = source
    return latents, joined
