"""Files of several arrays or tables: .npy, .npz, HDF5, Parquet."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from latentscope.errors import SpectrumError, shortened
from latentscope.spectra.columns import array_draft, roles_of, row_of, table_draft
from latentscope.spectra.draft import Draft, Label, choose

_PICKLED = (
    "holds Python objects, which run code when they are loaded, and are not read; load it where "
    "you trust it, and give the arrays: read_spectrum((wavelength, flux))"
)


def is_npz(data: bytes) -> bool:
    """Whether these bytes are a zip archive of .npy files."""
    length = int.from_bytes(data[26:28], "little")
    return data.startswith(b"PK\x03\x04") and data[30 : 30 + length].endswith(b".npy")


def read_npy(data: bytes, key: str | None) -> Draft:
    """Read a .npy file: one array of numbers, or of named fields."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        if "allow_pickle" in str(error):
            raise SpectrumError(f".npy: {_PICKLED}") from None
        raise SpectrumError(f".npy: {error}; expected an array of numbers") from None
    return array_draft(array, "npy", key)


def read_npz(data: bytes, key: str | None, hdu: int | str | None) -> Draft:
    """Read a .npz file by the names of its arrays."""
    arrays: dict[str, Any] = {}
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            for name in archive.files:
                try:
                    arrays[name] = archive[name]
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
    except Exception as error:  # zipfile and zlib raise many kinds
        raise SpectrumError(f".npz: {error}; expected arrays of numbers") from None
    if not arrays:
        raise SpectrumError(f".npz: {_PICKLED}")
    return _container_draft("npz", arrays, {}, {}, key, row_of(hdu))


def read_hdf5(data: bytes, key: str | None, hdu: int | str | None) -> Draft:
    """Read an HDF5 file by the names of its datasets."""
    try:
        import h5py
    except ImportError:
        raise SpectrumError(
            "is an HDF5 file, which the package h5py reads: pip install h5py"
        ) from None
    arrays: dict[str, Any] = {}
    units: dict[str, str] = {}
    meta: dict[str, Any] = {}

    def keep(name: str, item: Any) -> None:
        meta.update((attribute, _plain(item.attrs[attribute])) for attribute in item.attrs)
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            arrays[name] = item[()]
            unit = item.attrs.get("unit", item.attrs.get("units", ""))
            units[name] = str(_plain(unit))

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            file.visititems(keep)
            meta.update((attribute, _plain(file.attrs[attribute])) for attribute in file.attrs)
    except (OSError, RuntimeError, KeyError) as error:
        raise SpectrumError(f"HDF5: {error}; download or write it again") from None
    if any(name.rpartition("/")[2] == "block0_values" for name in arrays):
        raise SpectrumError(
            "HDF5: written by pandas in a layout of its own; read it with pandas.read_hdf, and "
            "give the table"
        )
    return _container_draft("hdf5", arrays, units, meta, key, row_of(hdu))


def read_parquet(data: bytes, key: str | None, hdu: int | str | None) -> Draft:
    """Read a Parquet table: a row a pixel, or a row a spectrum in cells of lists."""
    import pandas as pd

    try:
        table = pd.read_parquet(io.BytesIO(data))
    except ImportError:
        raise SpectrumError(
            "is a Parquet file, which the package pyarrow reads: pip install pyarrow"
        ) from None
    except Exception as error:  # pyarrow raises many kinds
        raise SpectrumError(f"parquet: {error}; download or write it again") from None
    columns = {str(name): table[name] for name in table.columns}
    return table_draft("parquet", columns, {}, {}, key, row_of(hdu))


def _plain(value: Any) -> Any:
    """Return an HDF5 attribute as a plain value."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value.item() if getattr(value, "size", 0) == 1 else value


def _container_draft(
    form: str,
    arrays: Mapping[str, Any],
    units: Mapping[str, str],
    meta: Mapping[str, Any],
    key: str | None,
    row: int | None,
) -> Draft:
    """Choose the arrays of one spectrum: by key, else by name."""
    inside = f"it holds {shortened(f'{name} {_shape(array)}' for name, array in arrays.items())}"
    roles = roles_of(key) if key is not None else {}
    if roles:
        missing = [name for name in roles.values() if name not in arrays]
        if missing:
            raise SpectrumError(f"{form}: key {key!r}: no array {missing[0]!r}; {inside}")
        group = {name: arrays[name] for name in roles.values()}
    elif key is not None and key in arrays:
        array, parent = arrays[key], key.rpartition("/")[0]
        if array.ndim > 1 or array.dtype.names:
            return array_draft(array, f"{form}, {key}")
        group, key = _members(arrays, parent), key.rpartition("/")[2]
    else:
        matrices = [name for name, array in arrays.items() if array.ndim > 1 or array.dtype.names]
        if key is None and len(arrays) == 1 == len(matrices):
            return array_draft(arrays[matrices[0]], f"{form}, {matrices[0]}")
        group, key = _group(form, arrays, key, inside), None
    group_units = {
        name: units.get(path, "") for path in arrays for name in (path, path.rpartition("/")[2])
    }
    try:
        return table_draft(
            form, _spread(group), group_units, {**meta, **_scalars(arrays)}, key, row
        )
    except SpectrumError as error:
        raise SpectrumError(f"{error}; {inside}") from None


def _group(form: str, arrays: Mapping[str, Any], key: str | None, inside: str) -> dict[str, Any]:
    """The arrays of the group that `key` names, or of the only one that is a spectrum."""
    parents = list(dict.fromkeys(name.rpartition("/")[0] for name in arrays))
    if key is not None:
        if key.strip("/") not in parents:
            raise SpectrumError(f"{form}: no array or group {key!r}; {inside}")
        return _members(arrays, key.strip("/"))
    groups = {parent: _members(arrays, parent) for parent in parents}
    found = [name for name, group in groups.items() if choose([Label(name) for name in group])]
    if len(found) > 1:
        raise SpectrumError(
            f"{form}: holds {len(found)} spectra, in {shortened(name or '/' for name in found)}; "
            "choose one by key"
        )
    if found or len(groups) == 1:
        return groups[found[0] if found else parents[0]]
    raise SpectrumError(
        f"{form}: no group has wavelength and flux; choose arrays by key='wave=NAME,flux=NAME'; "
        f"{inside}"
    )


def _members(arrays: Mapping[str, Any], parent: str) -> dict[str, Any]:
    """The arrays with numbers in a group, by their names in it."""
    return {
        name.rpartition("/")[2]: array
        for name, array in arrays.items()
        if name.rpartition("/")[0] == parent and np.ndim(array) and array.dtype.kind in "fiub"
    }


def _spread(group: Mapping[str, Any]) -> dict[str, Any]:
    """Give each row its wavelengths, where many spectra share those of one array."""
    shapes = [array.shape for array in group.values() if array.ndim == 2]
    if not shapes:
        return dict(group)
    return {
        name: np.broadcast_to(array, shapes[0]) if array.shape == shapes[0][1:] else array
        for name, array in group.items()
    }


def _scalars(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """What single values say, as a header would."""
    return {
        name.rpartition("/")[2]: _plain(value)
        for name, value in arrays.items()
        if np.ndim(value) == 0
    }


def _shape(array: Any) -> str:
    return " x ".join(map(str, np.shape(array))) or "(one value)"
