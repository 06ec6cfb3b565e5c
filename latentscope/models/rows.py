"""Spectra read and prepared in chunks, each with its record; a broken one costs itself alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import LatentscopeError
from latentscope.models.sources import source_file, source_id
from latentscope.spectra.prepare import PrepareConfig, Prepared, ivar_size, prepare, row_ivar
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.summary import resolving_power

COLUMNS = (
    "file",
    "id",
    "object",
    "star",
    "archive_id",
    "status",
    "error",
    "coverage",
    "snr",
    "recon_error",
    "resolution",
    "median",
    "rv",
    "berv",
    "airmass",
    "assumed",
    "recon_segments",
)
"""Columns of the sidecar table that follow from a spectrum alone, in order."""

_NUMBERS = ("coverage", "snr", "recon_error", "resolution", "median", "rv", "berv", "airmass")


@dataclass(frozen=True)
class Chunk:
    """Prepared rows of some sources, and a record for each source.

    Parameters
    ----------
    records : list of dict
        One per source, with the keys of `COLUMNS`.
    where : list of int
        Which of the records the rows belong to.
    rows : ndarray of float32, shape (len(where), row_size)
    valid : ndarray of bool, shape (len(where), row_size)
    ivar : ndarray of float32, shape (len(where), ivar_size), optional
        As `row_ivar` gives it, where it was asked for.
    """

    records: list[dict[str, Any]]
    where: list[int] = field(repr=False)
    rows: NDArray[np.float32] = field(repr=False)
    valid: NDArray[np.bool_] = field(repr=False)
    ivar: NDArray[np.float32] | None = field(default=None, repr=False)


def read_chunk(
    sources: list[Any],
    first: int,
    config: PrepareConfig,
    min_coverage: float,
    *,
    ivar: bool = False,
) -> Chunk:
    """Read and prepare some sources.

    Parameters
    ----------
    sources : list
        What `expand_sources` gives.
    first : int
        Index of the first of them among all.
    config : PrepareConfig
    min_coverage : float
        Spectra that fill less of the grid than this fail.
    ivar : bool
        Give the rows' inverse variances too.

    Returns
    -------
    Chunk
        Sources that failed or are degenerate have a record with status and reason, and no row.
    """
    records, where, rows, valid, variances = [], [], [], [], []
    for index, source in enumerate(sources):
        record, prepared, known = _read_one(source, first + index, config, min_coverage, ivar)
        records.append(record)
        if prepared is not None:
            where.append(index)
            rows.append(prepared.row)
            valid.append(prepared.valid)
            variances.append(known)
    return Chunk(
        records,
        where,
        _stacked(rows, config.row_size, np.float32),
        _stacked(valid, config.row_size, np.bool_),
        _stacked(variances, ivar_size(config), np.float32) if ivar else None,
    )


def _stacked(arrays: list[Any], width: int, dtype: type[Any]) -> NDArray[Any]:
    return np.stack(arrays) if arrays else np.empty((0, width), dtype=dtype)


def fail(record: dict[str, Any], reason: str, status: str = "failed") -> None:
    """Mark a record as failed (or degenerate), with the reason on one line."""
    record["status"] = status
    record["error"] = " ".join(reason.split())


def _read_one(
    source: Any, index: int, config: PrepareConfig, min_coverage: float, ivar: bool
) -> tuple[dict[str, Any], Prepared | None, NDArray[np.float32] | None]:
    record = _blank(source, index)
    try:
        spectrum = read_spectrum(source)
        _describe(record, spectrum)
        prepared = prepare(spectrum, config)
        known = row_ivar(spectrum, prepared, config) if ivar else None
    except LatentscopeError as error:
        fail(record, str(error))
        return record, None, None
    except Exception as error:  # one file in an archive may break a reader in any way
        fail(record, f"{source_file(source) or 'spectrum'}: {type(error).__name__}: {error}")
        return record, None, None
    record["coverage"] = prepared.coverage
    record["median"] = prepared.scale
    if prepared.coverage < min_coverage:
        fail(
            record,
            f"covers {prepared.coverage:.3f} of the model's grid, less than {min_coverage:g}; "
            "a lower --min-coverage lets it through",
        )
        return record, None, None
    if prepared.degenerate:
        limit = config.min_median or 0.0
        fail(
            record,
            f"its median flux is not above {limit:g} in the file's unit, or its mean is not "
            "positive: nothing to normalise by",
            status="degenerate",
        )
        return record, None, None
    return record, prepared, known


def _blank(source: Any, index: int) -> dict[str, Any]:
    record: dict[str, Any] = dict.fromkeys(COLUMNS, "") | dict.fromkeys(_NUMBERS, float("nan"))
    return record | {"file": source_file(source), "id": source_id(source, index), "status": "ok"}


def _describe(record: dict[str, Any], spectrum: Spectrum) -> None:
    meta = spectrum.meta
    for name in ("object", "star", "archive_id"):
        record[name] = str(meta.get(name) or "")
    for name in ("snr", "airmass"):
        record[name] = _number(meta.get(name))
    record["rv"], record["berv"] = _number(spectrum.rv), _number(spectrum.berv)
    record["resolution"] = resolving_power(spectrum)
    record["assumed"] = "; ".join(meta.get("assumed") or ())


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
