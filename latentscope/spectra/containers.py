"""Files of several arrays or tables: .npy, .npz, HDF5, Parquet."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from latentscope.errors import SpectrumError, shortened
from latentscope.files import MAX_BYTES
from latentscope.spectra.columns import array_draft, roles_of, row_of, table_draft
from latentscope.spectra.draft import Draft, Label, choose
from latentscope.spectra.objects import read_frame

_PICKLED = (
    "holds Python objects, which run code when they are loaded, and are not read; load it where "
    "you trust it, and give the arrays: read_spectrum((wavelength, flux))"
)


def is_npz(data: bytes) -> bool:
    """Whether these bytes are a zip archive of .npy files."""
    length = int.from_bytes(data[26:28], "little")
    return data.startswith(b"PK\x03\x04") and data[30 : 30 + length].endswith(b".npy")


def _check_size(form: str, size: int) -> None:
    """Raise if what a file unpacks to is too much to hold."""
    if size > MAX_BYTES:
        raise SpectrumError(
            f"{form}: unpacks to more than {MAX_BYTES / 1e9:g} GB, the most that is read of a "
            "file; expected one spectrum"
        )


def read_npy(data: bytes, key: str | None) -> Draft:
    """Read a .npy file: one array of numbers, or of named fields."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # its header is Python text, which may break in many ways
        if "allow_pickle" in str(error):
            raise SpectrumError(f".npy: {_PICKLED}") from None
        raise SpectrumError(f".npy: {error}; expected an array of numbers") from None
    return array_draft(array, "npy", key)


def read_npz(data: bytes, key: str | None, hdu: int | str | None) -> Draft:
    """Read a .npz file by the names of its arrays."""
    arrays: dict[str, Any] = {}
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            _check_size("npz", sum(member.file_size for member in archive.zip.infolist()))
            for name in archive.files:
                try:
                    arrays[name] = archive[name]
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
    except SpectrumError:
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
            _check_size("HDF5", item.nbytes + sum(array.nbytes for array in arrays.values()))
            arrays[name] = item[()] if item.shape else np.asarray(item[()])
            unit = item.attrs.get("unit", item.attrs.get("units", ""))
            units[name] = str(_plain(unit))

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            file.visititems(keep)
            meta.update((attribute, _plain(file.attrs[attribute])) for attribute in file.attrs)
    except SpectrumError:
        raise
    except Exception as error:  # h5py raises many kinds
        raise SpectrumError(f"HDF5: {error}; download or write it again") from None
    if any(name.rpartition("/")[2] == "block0_values" for name in arrays):
        raise SpectrumError(
            "HDF5: written by pandas in a layout of its own; read it with pandas.read_hdf, and "
            "give the table"
        )
    return _container_draft("hdf5", arrays, units, meta, key, row_of(hdu))


def read_parquet(data: bytes, key: str | None, hdu: int | str | None) -> Draft:
    """Read a Parquet table: a row per pixel, or a row per spectrum in cells of lists."""
    import pandas as pd

    try:
        from pyarrow.parquet import read_metadata

        metadata = read_metadata(io.BytesIO(data))
        groups = range(metadata.num_row_groups)
        _check_size("parquet", sum(metadata.row_group(at).total_byte_size for at in groups))
        table = pd.read_parquet(io.BytesIO(data))
    except SpectrumError:
        raise
    except ImportError:
        raise SpectrumError(
            "is a Parquet file, which the package pyarrow reads: pip install pyarrow"
        ) from None
    except Exception as error:  # pyarrow raises many kinds
        raise SpectrumError(f"parquet: {error}; download or write it again") from None
    return read_frame(table, "parquet", key, row_of(hdu))


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
        # What the key leaves open may lie beside the flux.
        beside = _members(arrays, roles.get("flux", "").rpartition("/")[0], around=True)
        group = {name: arrays[name] for name in roles.values()}
        group |= {name: array for name, array in beside.items() if name not in group}
    elif key is not None and key in arrays:
        parent, _, name = key.rpartition("/")
        if np.ndim(arrays[key]) != 1 or arrays[key].dtype.names:
            return array_draft(arrays[key], f"{form}, {key}")
        group, key = _members(arrays, parent, around=True), name
    elif key is None and len(arrays) == 1:
        [(name, array)] = arrays.items()
        return array_draft(array, f"{form}, {name}")
    else:
        group, key = _group(form, arrays, key, inside), None
    group_units = {
        name: units.get(path, "") for path in arrays for name in (path, path.rpartition("/")[2])
    }
    meta = {**meta, **_scalars(arrays)}
    try:
        return table_draft(form, _spread(group), group_units, meta, key, row)
    except SpectrumError as error:
        raise SpectrumError(f"{error}; {inside}") from None


def _group(form: str, arrays: Mapping[str, Any], key: str | None, inside: str) -> dict[str, Any]:
    """The arrays of the group that `key` names, or of the only one that is a spectrum."""
    parents = list(dict.fromkeys(name.rpartition("/")[0] for name in arrays))
    if key is not None:
        if key.strip("/") not in parents:
            raise SpectrumError(f"{form}: no array or group {key!r}; {inside}")
        return _members(arrays, key.strip("/"), around=True)
    for around in (False, True):
        groups = {parent: _members(arrays, parent, around) for parent in parents}
        found = [name for name, group in groups.items() if choose([Label(key) for key in group])]
        if len(found) > 1:
            raise SpectrumError(
                f"{form}: holds {len(found)} spectra, in {shortened(name or '/' for name in found)}"
                "; choose one by key"
            )
        if found:
            return groups[found[0]]
    if len(groups) == 1 and all(array.ndim == 1 for array in groups[parents[0]].values()):
        return groups[parents[0]]
    raise SpectrumError(
        f"{form}: no group has wavelength and flux by name; choose two arrays by "
        f"key='wave=NAME,flux=NAME', or one with both by key='NAME'; {inside}"
    )


def _members(arrays: Mapping[str, Any], parent: str, around: bool = False) -> dict[str, Any]:
    """The arrays with numbers in a group (and in those it lies in), by their names there."""
    groups = [parent]
    while around and groups[0]:
        groups.insert(0, groups[0].rpartition("/")[0])
    # From outside in, so that what is nearest counts.
    return {
        name.rpartition("/")[2]: array
        for group in groups
        for name, array in arrays.items()
        if name.rpartition("/")[0] == group and np.ndim(array) and array.dtype.kind in "fiub"
    }


def _spread(group: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out arrays of other shapes, and give each row the wavelengths that rows share."""
    choice = choose([Label(name) for name in group])
    if choice is not None:
        own = [list(group.values())[place].shape for place in (choice.wavelength, choice.flux)]
        group = {name: array for name, array in group.items() if array.shape in own}
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
