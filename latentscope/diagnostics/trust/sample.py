"""What the trust of rows is judged by: their latents and trust columns, as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents
from latentscope.diagnostics.columns.groups import unnamed
from latentscope.errors import TableError

Floats = NDArray[np.float64]

SIZE = 3000
"""Rows of a sample at most: percentiles to 0.03 %."""

SEGMENTS = "recon_segments"
"""Column of the sidecar, and entry of the provenance with the wavelengths of its edges."""

_AT_ONCE = 10_000


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of latents with what is known of their trust.

    Parameters
    ----------
    values : ndarray of float64, shape (n, d)
        Latent means; a row of NaN where there are none.
    recon_error, coverage, snr, resolution : ndarray of float64, shape (n,)
        As `encode` writes them; NaN where not known.
    segments : ndarray of float64, shape (n, s)
        Root mean square of the reconstruction's error in s parts of the spectrum; s is 0 where
        nobody wrote them.
    edges : ndarray of float64, shape (s + 1,)
        Wavelengths between these parts, Angstrom; empty where not known.
    info : dict of str
        `model`, `weights_sha256`, and `origin`: in words, what spectra these are.
    """

    values: Floats
    recon_error: Floats
    coverage: Floats
    snr: Floats
    resolution: Floats
    segments: Floats
    edges: Floats
    info: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, which: NDArray[Any]) -> Sample:
        """Return some of the rows, by index or mask."""
        names = ("values", "recon_error", "coverage", "snr", "resolution", "segments")
        return replace(self, **{name: getattr(self, name)[which] for name in names})


def sample_rows(latents: Latents) -> Sample:
    """All rows of latents, in order, with the trust columns of their table.

    Raises
    ------
    TableError
        If the column `recon_segments` is not what `encode` writes.
    """
    number = {name: _number(latents, name) for name in _NUMBERS}
    segments = _segments(latents)
    edges = np.asarray(latents.provenance.get(SEGMENTS, []), dtype=np.float64)
    if segments.shape[1] == 0 or len(edges) != segments.shape[1] + 1:
        edges = np.empty(0)
    known = {key: str(latents.provenance.get(key, "")) for key in ("model", "weights_sha256")}
    values = latents.values.astype(np.float64)
    info = known | {"origin": latents.source}
    return Sample(values, **number, segments=segments, edges=edges, info=info)


def sample_of(
    latents: Latents,
    *,
    size: int = SIZE,
    groups: ArrayLike | None = None,
    seed: int = 0,
    origin: str | None = None,
) -> Sample:
    """Draw a reference sample from latents: rows with latents, one a star, `size` at most.

    Parameters
    ----------
    latents : Latents
        Of ordinary spectra: what is in the sample counts as ordinary.
    size : int
        Rows at most.
    groups : array (n,), optional
        The star of each row; one random row of each is taken. By default `latents.groups`.
    seed : int
        Of the draw.
    origin : str, optional
        What these spectra are, in words; by default the latents' file.

    Raises
    ------
    TableError
        If no row has latents, or groups have another length.
    """
    sample = sample_rows(latents)
    chosen = sample_indices(latents, size=size, groups=groups, seed=seed)
    if not len(chosen):
        raise TableError(f"{latents.source}: no row has latents; a reference needs ordinary ones")
    drawn = sample.rows(chosen)
    return replace(drawn, info=drawn.info | {"origin": origin or latents.source})


def sample_indices(
    latents: Latents, *, size: int, groups: ArrayLike | None, seed: int
) -> NDArray[np.int64]:
    """Rows that `sample_of` draws, in random order."""
    names = latents.groups if groups is None else np.asarray(groups, dtype=object)
    if names is not None and len(names) != len(latents):
        raise TableError(f"groups has {len(names)} values for {len(latents)} rows of latents")
    order = np.random.default_rng(seed).permutation(np.flatnonzero(latents.ok))
    if names is not None:
        named = pd.Series(names[order])
        order = order[(~named.duplicated() | unnamed(named)).to_numpy()]
    return np.asarray(order[:size], dtype=np.int64)


_NUMBERS = ("recon_error", "coverage", "snr", "resolution")


def _number(latents: Latents, name: str) -> Floats:
    column = latents.column(name)
    if column is None:
        return np.full(len(latents), np.nan)
    return pd.to_numeric(pd.Series(column), errors="coerce").to_numpy(dtype=np.float64)


def _segments(latents: Latents) -> Floats:
    column = latents.column(SEGMENTS)
    known = np.zeros(len(latents), dtype=np.bool_) if column is None else ~unnamed(column)
    if column is None or not known.any():
        return np.empty((len(latents), 0))
    rows = np.flatnonzero(known)
    count = len(str(column[rows[0]]).split())
    out = np.full((len(latents), count), np.nan)
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        out[some] = _parsed(column[some], count, latents.source)
    return out


def _parsed(texts: Sequence[str] | NDArray[np.object_], count: int, source: str) -> Floats:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            flat = np.fromstring(" ".join(texts), dtype=np.float64, sep=" ")
        return flat.reshape(len(texts), count)
    except (ValueError, TypeError, DeprecationWarning) as error:
        raise TableError(
            f"{source}: column {SEGMENTS} holds something else than {count} numbers a row, such "
            f"as {str(texts[0])[:40]!r}; encode again, or remove the column"
        ) from error
