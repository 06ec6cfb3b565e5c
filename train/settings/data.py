"""What a network learns from: a simulated archive, or a packed one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ArchiveConfig:
    """A packed archive to learn from, and how it is split and balanced.

    Parameters
    ----------
    path : str
        Folder or fsspec URL that `python -m train pack` made, on the grid of `prepare`.
    validation, test : float
        Fractions of the stars that are held out; test stars are not looked at.
    split_seed : int
        Of the hash of a star's name that decides its split.
    one_per_star : bool
        Show one spectrum of each star an epoch, another one every epoch.
    label : str, optional
        Column of the table whose bins get equal shares of an epoch, or `weights`; spectra without
        it are left out.
    bins : int or list of float
        Number of equal bins of a numeric label, or their borders; text is a class a value.
    weights : dict, optional
        Class (text) or number of the bin -> share of the epoch; 1 where one is not named.
    window_mb : float
        MB of rows that are in memory at once and mixed.
    watch_rows : int
        Validation spectra to watch the training with, one a star.
    """

    path: str
    validation: float = 0.1
    test: float = 0.0
    split_seed: int = 0
    one_per_star: bool = False
    label: str | None = None
    bins: int | list[float] = 10
    weights: dict[Any, float] | None = None
    window_mb: float = 256.0
    watch_rows: int = 500


@dataclass(frozen=True)
class DataConfig:
    """The archive a network learns from: a simulated one, or a packed one.

    Parameters
    ----------
    spectra, validation : int
        Stars to train on, and stars to watch the training with; one spectrum each.
    seed : int
        Seed of the training stars; the next number seeds the validation stars.
    linelist : str, optional
        Line list file; the built-in list by default.
    batch_size : int
        Spectra a step.
    workers : int, optional
        Processes that make the archive.
    archive : ArchiveConfig, optional
        A packed archive; of the other values only `batch_size` counts then.
    """

    spectra: int = 16000
    validation: int = 500
    seed: int = 1000
    linelist: str | None = None
    batch_size: int = 8
    workers: int | None = None
    archive: ArchiveConfig | None = None
