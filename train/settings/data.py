"""What a network learns from: a simulated archive, a packed one, or both; shifted or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from latentscope.errors import ChoiceError


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
class StreamConfig:
    """Simulated spectra made while training, on its device, instead of an archive made before.

    Parameters
    ----------
    ahead : int
        Batches that a thread makes before they are asked for; 0: no thread.
    block : int, optional
        Spectra made at once; by default as many as suit the device.
    mean_rows : int
        Spectra whose mean the network starts from.
    """

    ahead: int = 1
    block: int | None = None
    mean_rows: int = 500

    def __post_init__(self) -> None:
        if self.ahead < 0 or self.mean_rows < 1 or (self.block is not None and self.block < 1):
            raise ChoiceError(
                f"stream: ahead {self.ahead}, block {self.block}, mean_rows {self.mean_rows}; "
                "wanted ahead from 0 on, the others from 1 on"
            )


@dataclass(frozen=True)
class MixtureConfig:
    """Simulated and packed spectra in every batch.

    Parameters
    ----------
    simulated : float
        Fraction of each batch that is simulated, between 0 and 1; rounded to whole spectra, at
        least one of each kind.
    """

    simulated: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.simulated < 1:
            raise ChoiceError(
                f"mixture: simulated is {self.simulated}; wanted a fraction between 0 and 1"
            )


@dataclass(frozen=True)
class DopplerConfig:
    """A velocity drawn anew for each spectrum each time it is shown, by which it is shifted.

    Parameters
    ----------
    spread : float
        km/s: velocities are uniform between -spread and +spread.
    whole_pixels : bool
        Round shifts to whole pixels of a logarithmic grid: nothing is interpolated then.
    """

    spread: float = 60.0
    whole_pixels: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.spread < 3000:
            raise ChoiceError(
                f"doppler: spread is {self.spread} km/s; wanted more than 0 and less than 3000"
            )


@dataclass(frozen=True)
class DataConfig:
    """What a network learns from: a simulated archive, a stream of spectra, a packed archive.

    Parameters
    ----------
    spectra, validation : int
        Stars to train on, and stars to watch the training with; one spectrum each.
    seed : int
        Seed of the training stars; the next number seeds the validation stars.
    linelist : str, optional
        Line list file; the built-in list by default.
    batch_size : int
        Spectra a step, of all processes together.
    workers : int, optional
        Processes that make the archive.
    archive : ArchiveConfig, optional
        A packed archive; of the values above only `batch_size` counts then, unless there is a
        `mixture`.
    stream : StreamConfig, optional
        Simulate while training, instead of `spectra` before it.
    mixture : MixtureConfig, optional
        Simulated spectra (an archive or a stream) and those of `archive` in every batch.
    doppler : DopplerConfig, optional
        Shift training spectra by random velocities.
    """

    spectra: int = 16000
    validation: int = 500
    seed: int = 1000
    linelist: str | None = None
    batch_size: int = 8
    workers: int | None = None
    archive: ArchiveConfig | None = None
    stream: StreamConfig | None = None
    mixture: MixtureConfig | None = None
    doppler: DopplerConfig | None = None

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides the outcome: not where files lie, nor parts that are absent."""
        values = dataclasses.asdict(self)
        del values["linelist"], values["workers"]
        if self.archive is not None:
            del values["archive"]["path"]
        if self.stream is not None:
            del values["stream"]["ahead"], values["stream"]["block"]
        parts = ("archive", "stream", "mixture", "doppler")
        return {key: value for key, value in values.items() if key not in parts or value}


PARTS: dict[str, type[Any]] = {
    "archive": ArchiveConfig,
    "stream": StreamConfig,
    "mixture": MixtureConfig,
    "doppler": DopplerConfig,
}
"""Keys of `data` that hold keys of their own."""


def spelled_out(key: str, value: Any) -> Mapping[str, Any] | None:
    """Return a part's keys where a configuration has its short form; None for no such part.

    The path alone of an archive, ``true`` for another part with all its defaults, ``false`` for
    none.

    Raises
    ------
    ChoiceError
        If it is no form of the part.
    """
    if value is None or value is False:
        return None
    if key == "archive" and isinstance(value, str):
        return {"path": value}
    if key != "archive" and value is True:
        return {}
    if not isinstance(value, Mapping):
        names = ", ".join(field.name for field in dataclasses.fields(PARTS[key]))
        short = "its path alone" if key == "archive" else "true"
        raise ChoiceError(f"data: {key} is {value!r}; wanted its keys ({names}), or {short}")
    return value
