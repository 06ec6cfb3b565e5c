"""Spectra in arrays and tables: Python objects, and the files that hold some.

Arrays, Quantities, tables and specutils spectra; .npy, .npz, HDF5 and Parquet.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError, shortened
from latentscope.files import MAX_BYTES
from latentscope.spectra.columns import (
    Numbers,
    array_draft,
    roles_of,
    row_of,
    table_draft,
    without_wavelength,
)
from latentscope.spectra.draft import Draft, Label, choose
from latentscope.spectra.headers import Header, Inferred, Keywords, medium_of_axis


def read_specutils(source: Any) -> Draft:
    """Take a specutils spectrum with its uncertainty, mask and header."""
    flux = Numbers.of(source.flux)
    if flux.values.ndim != 1:
        raise SpectrumError(
            f"specutils object: flux has shape {flux.values.shape}; expected one spectrum (n,): "
            "index the one you want"
        )
    wavelength = _wavelengths(source.spectral_axis, "spectral_axis")
    mask = getattr(source, "mask", None)
    header = _meta_header(getattr(source, "meta", None))
    wcs = getattr(getattr(source, "wcs", None), "wcs", None)
    axes = [header.text("CTYPE1"), *(str(kind) for kind in getattr(wcs, "ctype", []))]
    media = [medium_of_axis(kind.upper(), Keywords((header,))) for kind in axes]
    uncertainty = getattr(source, "uncertainty", None)
    ivar = _uncertainty_ivar(uncertainty, flux.values.shape)
    unread = uncertainty is not None and ivar is None
    return Draft(
        format="specutils",
        where="specutils object",
        wavelength=wavelength.values,
        flux=flux.values,
        unit=wavelength.unit,
        flux_unit=flux.unit,
        ivar=ivar,
        mask=flux.mask
        if mask is None
        else np.array(np.broadcast_to(mask, flux.values.shape), dtype=bool),
        inferred=next(filter(None, media), _medium_of_unit(source.spectral_axis)),
        headers=(header,),
        assumed=["errors: none; the uncertainty is of an unknown kind"] if unread else [],
    )


def _uncertainty_ivar(uncertainty: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Inverse variance of an NDUncertainty of any of the three kinds; None otherwise."""
    array = getattr(uncertainty, "array", None)
    powers = {"std": -2.0, "var": -1.0, "ivar": 1.0}
    kind = getattr(uncertainty, "uncertainty_type", "")
    if array is None or np.shape(array) != shape or kind not in powers:
        return None
    return np.asarray(np.asarray(array, dtype=np.float64) ** powers[kind])


def _meta_header(meta: Any) -> Header:
    """Keywords of a header kept in `meta`, and the plain entries of `meta` itself."""
    values: dict[str, Any] = {}
    inner = meta.get("header") if isinstance(meta, Mapping) else None
    for source in (source for source in (meta, inner) if isinstance(source, Mapping)):
        for key in list(source):
            try:
                value = source[key]
            except Exception:  # astropy raises VerifyError and others for cards that are broken
                continue
            # astropy has all HISTORY cards as one value of its own kind.
            if str(key).upper() in ("HISTORY", "COMMENT"):
                value = str(value)
            if hasattr(value, "unit"):  # a Quantity
                value = str(value)
            if isinstance(value, str | int | float | bool):
                values[str(key).upper()] = value
    return Header({}, values)


def read_pair(source: Any) -> Draft:
    """Take (wavelength, flux), Quantities or in Angstrom or nm by size, and a third part.

    The third is the error of the flux, by its unit an inverse variance, of bool a mask (True: bad).
    """
    wavelength, flux = _wavelengths(source[0], "wavelength"), Numbers.of(source[1])
    draft = Draft("arrays", "(wavelength, flux)", wavelength.values, flux.values,
                  wavelength.unit, flux.unit, mask=flux.mask,
                  inferred=_medium_of_unit(source[0]))  # fmt: skip
    if len(source) == 3:
        _take_third(draft, source[2])
    return without_wavelength(draft, wavelength.mask)


def _take_third(draft: Draft, third: Any) -> None:
    """Take the third part beside wavelength and flux as error, inverse variance or mask."""
    shape = np.shape(draft.flux)
    if hasattr(third, "uncertainty_type"):
        draft.ivar = _uncertainty_ivar(third, shape)
        return
    numbers = Numbers.of(third)
    if numbers.values.shape != shape:
        raise SpectrumError(
            f"the third array has shape {numbers.values.shape}, flux {shape}; expected the error "
            "of each pixel"
        )
    if numbers.values.dtype.kind == "b":
        draft.mask = numbers.values if draft.mask is None else numbers.values | draft.mask
        return
    if not numbers.numeric:
        raise SpectrumError(f"the third array holds {numbers.values.dtype}; expected errors")
    if not numbers.unit:
        draft.assumed.append("errors: the third array, in the unit of the flux")
        draft.error = numbers.floats()
        return
    from astropy import units

    unit, flux_unit = units.Unit(numbers.unit), units.Unit(draft.flux_unit)
    if unit.is_equivalent(flux_unit):
        draft.error = numbers.floats() * unit.to(flux_unit)
    elif unit.is_equivalent(flux_unit**-2):
        draft.ivar = numbers.floats() * unit.to(flux_unit**-2)
    else:
        raise SpectrumError(
            f"the third array is in {numbers.unit}, flux in {draft.flux_unit or 'no unit'}; "
            "expected the unit of the flux (errors) or 1 over its square (inverse variance)"
        )


def read_table(source: Any, key: str | None, row: int | None) -> Draft:
    """Take a spectrum from an astropy Table, a pandas DataFrame or Series, or a mapping."""
    if isinstance(source, Mapping):
        # Lists are arrays; single values stay as they are.
        columns = {
            str(name): column if hasattr(column, "dtype") else np.asarray(column)
            for name, column in source.items()
        }
        return table_draft("mapping", columns, {}, {}, key, row)
    if hasattr(source, "colnames"):
        columns = {name: source[name] for name in source.colnames}
        meta = source.meta if isinstance(getattr(source, "meta", None), Mapping) else {}
        return table_draft("astropy-table", columns, {}, dict(meta), key, row)
    return read_frame(source.to_frame() if source.ndim == 1 else source, "DataFrame", key, row)


def read_frame(frame: Any, form: str, key: str | None, row: int | None) -> Draft:
    """Take a spectrum from a pandas DataFrame, of which the wavelengths may be the index."""
    columns = {str(name): frame.iloc[:, at] for at, name in enumerate(frame.columns)}
    counted = np.array_equal(frame.index, np.arange(len(frame)))
    if not counted and frame.index.nlevels == 1:
        columns = {str(frame.index.name or ""): frame.index.to_series(), **columns}
    return table_draft(form, columns, {}, dict(frame.attrs), key, row)


def _wavelengths(values: Any, what: str) -> Numbers:
    """Numbers and unit of wavelengths; spectral Quantities come in Angstrom."""
    numbers = Numbers.of(values)
    if getattr(values, "unit", None) is None:
        return numbers
    from astropy import units

    try:
        converted = units.Quantity(numbers.values, numbers.unit).to(
            units.AA, equivalencies=units.spectral()
        )
    except units.UnitConversionError:
        raise SpectrumError(
            f"{what} is in {values.unit}; expected a length, frequency or energy"
        ) from None
    return Numbers(np.asarray(converted.value), numbers.mask, "Angstrom")


def _medium_of_unit(values: Any) -> Inferred | None:
    """Frequencies and energies become the wavelengths of light in vacuum."""
    unit = getattr(values, "unit", None)
    if unit is None:
        return None
    from astropy import units

    try:
        if units.Unit(unit).is_equivalent("m"):  # some have it as text
            return None
    except (TypeError, ValueError):
        return None
    return Inferred("vacuum", f"since the axis is in {unit}")


_PICKLED = (
    "holds Python objects, which run code when they are loaded, and are not read; load it where "
    "you trust it, and give the arrays: read_spectrum((wavelength, flux))"
)


def is_npz(data: bytes) -> bool:
    """Whether these bytes are a zip archive of .npy files."""
    length = int.from_bytes(data[26:28], "little")
    return data.startswith(b"PK\x03\x04") and data[30 : 30 + length].endswith(b".npy")


@contextmanager
def _opened(form: str, package: str = "") -> Iterator[None]:
    """Turn what a reader raises, or a missing package, into a SpectrumError."""
    try:
        yield
    except SpectrumError:
        raise
    except ImportError:
        raise SpectrumError(
            f"{form}: is read by the package {package}: pip install {package}"
        ) from None
    except Exception as error:  # each reader raises its own kinds for a broken file
        reason = (
            _PICKLED if "allow_pickle" in str(error) else f"{error}; download or write it again"
        )
        raise SpectrumError(f"{form}: {reason}") from None


def _check_size(form: str, size: int) -> None:
    """Raise if the unpacked file is too large."""
    if size > MAX_BYTES:
        raise SpectrumError(
            f"{form}: unpacks to more than {MAX_BYTES / 1e9:g} GB, the most that is read of a "
            "file; expected one spectrum"
        )


def read_npy(data: bytes, key: str | None) -> Draft:
    """Read a .npy file: one array of numbers, or of named fields."""
    with _opened(".npy"):
        return array_draft(np.load(io.BytesIO(data), allow_pickle=False), "npy", key)


def read_npz(data: bytes, key: str | None, hdu: int | str | None) -> Draft:
    """Read a .npz file by the names of its arrays."""
    arrays: dict[str, Any] = {}
    with _opened(".npz"), np.load(io.BytesIO(data), allow_pickle=False) as archive:
        _check_size("npz", sum(member.file_size for member in archive.zip.infolist()))
        for name in archive.files:
            try:
                arrays[name] = archive[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
    if not arrays:
        raise SpectrumError(f".npz: {_PICKLED}")
    return _container_draft("npz", arrays, {}, {}, key, row_of(hdu))


def read_hdf5(data: bytes, key: str | None, hdu: int | str | None) -> Draft:
    """Read an HDF5 file by the names of its datasets."""
    with _opened("HDF5", "h5py"):
        import h5py
    arrays: dict[str, Any] = {}
    units: dict[str, str] = {}
    attributes: dict[str, dict[str, Any]] = {}

    def keep(name: str, item: Any) -> None:
        attributes[name] = {key: _plain(item.attrs[key]) for key in item.attrs}
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            _check_size("HDF5", item.nbytes + sum(array.nbytes for array in arrays.values()))
            arrays[name] = item[()] if item.shape else np.asarray(item[()])
            unit = item.attrs.get("unit", item.attrs.get("units", ""))
            units[name] = str(_plain(unit))

    with _opened("HDF5"), h5py.File(io.BytesIO(data), "r") as file:
        keep("", file)
        file.visititems(keep)
    if any(name.rpartition("/")[2] == "block0_values" for name in arrays):
        raise SpectrumError(
            "HDF5: written by pandas in a layout of its own; read it with pandas.read_hdf, and "
            "give the table"
        )
    return _container_draft("hdf5", arrays, units, attributes, key, row_of(hdu))


def is_votable(data: bytes) -> bool:
    """Whether this is a table of the Virtual Observatory, in XML."""
    return b"<votable" in data[:4096].lower()


def read_votable(data: bytes, key: str | None, hdu: int | str | None) -> Draft:
    """Read the first table of a VOTable; its parameters are keywords."""
    from astropy.io.votable import parse

    with _opened("VOTable"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how writers keep to the standard
        votable = parse(io.BytesIO(data), verify="ignore")
        filled = [table for table in votable.iter_tables() if len(table.array)]
        if not filled:
            raise SpectrumError("VOTable: holds no table with rows")
        found = filled[0]
        names = [[field.name for field in table.fields] for table in filled]
        if names[0] in names[1:]:
            raise SpectrumError(
                f"VOTable: holds {names.count(names[0])} tables of {shortened(names[0])}; "
                "expected one spectrum: give one of them as a table"
            )
        params = {
            item.name: _plain(item.value)
            for item in votable.iter_fields_and_params()
            if hasattr(item, "value")
        }
        table = found.to_table()
    columns = {field.name: table.columns[at] for at, field in enumerate(found.fields)}
    marks = {field.name: (str(field.ucd or ""), str(field.utype or "")) for field in found.fields}
    return table_draft("votable", columns, {}, params, key, row_of(hdu), marks)


def read_parquet(data: bytes, key: str | None, hdu: int | str | None) -> Draft:
    """Read a Parquet table: a row per pixel, or a row per spectrum in cells of lists."""
    import pandas as pd

    with _opened("parquet", "pyarrow"):
        from pyarrow.parquet import read_metadata

        metadata = read_metadata(io.BytesIO(data))
        groups = range(metadata.num_row_groups)
        _check_size("parquet", sum(metadata.row_group(at).total_byte_size for at in groups))
        table = pd.read_parquet(io.BytesIO(data))
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
    attributes: Mapping[str, Mapping[str, Any]],
    key: str | None,
    row: int | None,
) -> Draft:
    """Choose the arrays of one spectrum: by key, else by name; `attributes` are by path."""
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
    others = _others(arrays, group)
    meta: dict[str, Any] = {}
    for path, values in attributes.items():
        meta |= {} if f"{path}/".startswith(others) else values
    meta |= _scalars({path: it for path, it in arrays.items() if not path.startswith(others)})
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
    """The arrays of numbers in a group and its parents, by their names."""
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


def _others(arrays: Mapping[str, Any], group: Mapping[str, Any]) -> tuple[str, ...]:
    """Groups of other spectra, that hold arrays of the same names: paths with a slash behind."""
    own = [path for path, it in arrays.items() if any(it is chosen for chosen in group.values())]
    names = {path.rpartition("/")[2] for path in own}
    found = []
    for parts in (path.split("/") for path in arrays if path not in own):
        if parts[-1] in names and len(parts) > 1:
            # Up to where it leaves the chosen one.
            above = ["/".join(parts[:depth]) + "/" for depth in range(1, len(parts) + 1)]
            found.append(next(it for it in above if not any(f"{o}/".startswith(it) for o in own)))
    return tuple(found)


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
    """Single values as a header."""
    return {
        name.rpartition("/")[2]: _plain(value)
        for name, value in arrays.items()
        if np.ndim(value) == 0
    }


def _shape(array: Any) -> str:
    return " x ".join(map(str, np.shape(array))) or "(one value)"
