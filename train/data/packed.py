"""Training rows of a packed archive: split by star, balanced, and shuffled within windows."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from latentscope.errors import ChoiceError, ModelError, TableError, warn
from latentscope.spectra.prepare import PrepareConfig
from train.data.archive import ROOT_IVAR, PackedArchive, unpacked
from train.data.batches import START, Batch, Data, Place, Sampled, ahead_of, made_ahead, sent
from train.data.stars import listed_splits, read_aliases, split_by_star, stars_of
from train.settings import ArchiveConfig, DataConfig


def binned(values: ArrayLike, bins: int | Sequence[float]) -> NDArray[np.int64]:
    """Return the bin of each value of a label, shape (n,); -1 where it has none.

    Text has one class per value, in order of the text. Numbers fall into equal bins from the
    smallest to the largest value, or between ascending borders, of which the last belongs to the
    last bin; missing values and those outside have no bin. ChoiceError if the bins are none.
    """
    column = pd.Series(values)
    if not pd.api.types.is_numeric_dtype(column):
        return pd.factorize(column, sort=True)[0].astype(np.int64)
    numbers = np.asarray(column.to_numpy(np.float64, na_value=np.nan), np.float64)
    finite = np.isfinite(numbers)
    edges = _edges(numbers[finite], bins)
    places = np.searchsorted(edges, numbers, side="right") - 1
    places[numbers == edges[-1]] = len(edges) - 2
    inside = finite & (places >= 0) & (places < len(edges) - 1)
    return np.where(inside, places, -1).astype(np.int64)


def _edges(finite: NDArray[np.float64], bins: int | Sequence[float]) -> NDArray[np.float64]:
    if isinstance(bins, int):
        if bins < 1 or not len(finite):
            raise ChoiceError(f"{bins} bins for {len(finite)} known values; expected one or more")
        return np.linspace(finite.min(), finite.max(), bins + 1)
    edges = np.asarray(bins, dtype=np.float64)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ChoiceError(f"bins is {list(bins)}; expected two or more ascending borders")
    return edges


@dataclass(frozen=True)
class Draw:
    """Which spectra an epoch shows, each time the same number of them.

    Without stars or bins an epoch is all `members`, each once. With stars it is one spectrum of
    each star, another one every epoch. With bins, spectra are drawn so that every bin has its
    weight's share of the epoch: the expected number of times a spectrum is drawn is weight /
    (spectra of its bin), scaled to the epoch, and the true number is that rounded down or up
    (systematic sampling). TableError if there is nothing to draw.
    """

    members: NDArray[np.int64]  # numbers of the spectra to draw from, shape (n,)
    seed: int
    stars: NDArray[np.object_] | None = None  # of each member
    bins: NDArray[np.int64] | None = None  # of each member, none negative
    weights: Mapping[int, float] = field(default_factory=dict)  # of bins, in any unit; else 1

    def __post_init__(self) -> None:
        if not len(self.members):
            raise TableError("no spectrum is left to train on; see the splits and the labels")

    def __len__(self) -> int:
        """Spectra in an epoch."""
        return len(self.members) if self.stars is None else len(set(self.stars))

    def epoch(self, number: int) -> NDArray[np.int64]:
        """Members of epoch `number`, in no useful order; with bins some of them repeat."""
        # The last number keeps the draws of a run apart: 0 epochs, 1 windows, 2 the mean's spectra.
        rng = np.random.default_rng((self.seed, number, 0))
        chosen = np.arange(len(self.members))
        if self.stars is not None:
            chosen = rng.permutation(len(self.members))
            chosen = chosen[np.unique(self.stars[chosen].astype(str), return_index=True)[1]]
        if self.bins is not None:
            chosen = chosen[_systematic(self._shares(self.bins[chosen]), rng)]
        return self.members[chosen]

    def _shares(self, bins: NDArray[np.int64]) -> NDArray[np.float64]:
        """Expected number of times each spectrum is drawn; the sum is their number."""
        counts = np.bincount(bins)
        weights = np.array([self.weights.get(place, 1.0) for place in range(len(counts))])
        shares = weights[bins] / counts[bins]
        if not (weights >= 0).all() or not shares.sum() > 0:
            raise ChoiceError(f"weights {dict(self.weights)}; expected them from 0 on, not all 0")
        result: NDArray[np.float64] = shares * (len(bins) / shares.sum())
        return result


def _systematic(expected: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw each index about `expected` times, rounded down or up; in all as often as there are."""
    order = rng.permutation(len(expected))
    ends = np.cumsum(expected[order])
    marks = rng.random() + np.arange(len(expected))
    drawn: NDArray[np.int64] = order[np.minimum(np.searchsorted(ends, marks), len(ends) - 1)]
    return drawn


def statement(config: ArchiveConfig) -> str:
    """Say in words how epochs are balanced, for a run's provenance."""
    what = "one spectrum per star per epoch" if config.one_per_star else "every spectrum"
    if config.label is None:
        return what if config.one_per_star else f"{what} once per epoch"
    shares = f"weights {config.weights}" if config.weights else "equal shares"
    return f"{what}, drawn with {shares} of the bins of {config.label}"


_Loaded = tuple[list[NDArray[Any]], NDArray[np.int64]]
"""Arrays of a window (numbers, rows, bits of masks, 1 / sigma if asked for), and their order."""


@dataclass(frozen=True)
class Window:
    """Spectra that are in memory together, and the order in which they are handed out."""

    members: NDArray[np.int64]  # numbers of the spectra to read, each once
    order: NDArray[np.int64]  # places in `members`, with repeats where an epoch repeats spectra


def windows(
    members: NDArray[np.int64],
    chunks: NDArray[np.int64],
    n_spectra: int,
    rng: np.random.Generator,
) -> list[Window]:
    """Shuffle an epoch: chunks in random order, cut into windows, each of them permuted.

    `members` (k,) are the spectra of the epoch, with repeats where it has some, `chunks` the chunk
    of every spectrum of the archive; a chunk never stands in two windows. A window ends with the
    chunk that brings it to `n_spectra` different ones. Together the windows hold `members`, each as
    often as there.
    """
    # A chunk is decompressed whole, so that its rows are cheapest together.
    unique, counts = np.unique(members, return_counts=True)
    codes = np.unique(chunks[unique], return_inverse=True)[1]
    shuffled = rng.permutation(codes.max(initial=-1) + 1)
    by_chunk = np.argsort(shuffled[codes], kind="stable")
    ends = np.cumsum(np.bincount(shuffled[codes]))
    cuts, begin = [], 0
    for end in ends[:-1]:
        if end - begin >= n_spectra:
            cuts.append(end)
            begin = end
    parts = np.split(by_chunk, cuts)
    return [
        Window(unique[part], rng.permutation(np.repeat(np.arange(len(part)), counts[part])))
        for part in parts
    ]


class PackedBatches:
    """Batches of shuffled rows and their masks, the same for a seed wherever a run takes them up.

    The spectra of one epoch after the other are cut into batches; an epoch's last few begin the
    next one's first batch, so that none is left out. While a window is handed out, a thread reads
    the next: memory holds two windows of `window_mb` (10^6 bytes) and a chunk. Batches before the
    place's step are not read; they go to its device in the archive's dtype, masks as bits.
    """

    def __init__(
        self,
        archive: PackedArchive,
        draw: Draw,
        batch_size: int,
        steps: int,
        place: Place = START,
        *,
        window_mb: float = 256.0,
        ivar: bool = False,
    ) -> None:
        self._archive, self._draw, self._size = archive, draw, batch_size
        self._steps, self._place, self._ivar = steps, place, ivar
        self._chunks = archive.chunks
        row = archive.row_size * archive.dtype.itemsize + -(-archive.row_size // 8)
        row += archive.ivar_size * ROOT_IVAR.itemsize if ivar else 0
        self._window = max(1, int(window_mb * 1e6 / row))

    def __iter__(self) -> Iterator[Batch]:
        """Yield rows of the archive's dtype, their numbers in it and their masks."""
        loaded, device = self._loaded(), self._place.device
        try:
            yield from made_ahead(self._batches(loaded), ahead_of(device), device)
        finally:
            loaded.close()

    def _batches(self, loaded: Iterator[_Loaded]) -> Iterator[Batch]:
        rest: list[_Loaded] = []
        for _ in range(self._place.step, self._steps):
            rest, parts = self._filled(rest, loaded)
            yield self._batch([np.concatenate(arrays) for arrays in zip(*parts, strict=True)])

    def _filled(
        self, rest: list[_Loaded], loaded: Iterator[_Loaded]
    ) -> tuple[list[_Loaded], list[list[NDArray[Any]]]]:
        """Take a batch from what is left of earlier windows and, where that ends, from new ones."""
        parts: list[list[NDArray[Any]]] = []
        missing = self._size // self._place.world
        while missing:
            arrays, order = rest.pop() if rest else next(loaded)
            taken, left = order[:missing], order[missing:]
            parts.append([array[taken] for array in arrays])
            missing -= len(taken)
            if len(left):
                rest.append((arrays, left))
        return rest, parts

    def _batch(self, arrays: list[NDArray[Any]]) -> Batch:
        numbers, rows, bits, *root = map(torch.from_numpy, arrays)
        on_cpu = self._place.device.type == "cpu"
        # On a CPU numpy unpacks the bits; to a device they travel eight times smaller than masks.
        valid = torch.from_numpy(unpacked(arrays[2], rows.shape[1])) if on_cpu else bits
        batch = sent(Batch(rows, numbers, valid, root[0] if root else None), self._place.device)
        assert batch.valid is not None
        if not on_cpu:
            batch = batch._replace(valid=unpacked_bits(batch.valid, rows.shape[1]))
        if batch.ivar is not None:
            batch = batch._replace(ivar=batch.ivar.float().square_())
        return batch

    def _read(self, members: NDArray[np.int64]) -> list[NDArray[Any]]:
        return [members, *self._archive.read(members, ivar=self._ivar)]

    def _loaded(self) -> Generator[_Loaded, None, None]:
        """Yield windows as arrays, and the order of their rows; one is read ahead."""
        with ThreadPoolExecutor(1, "train-read") as pool:
            ahead: Future[list[NDArray[Any]]] | None = None
            order: NDArray[np.int64] = np.empty(0, np.int64)
            for window in self._windows():
                following = pool.submit(self._read, window.members)
                if ahead is not None:
                    yield ahead.result(), order
                ahead, order = following, window.order

    def _windows(self) -> Iterator[Window]:
        """Yield this process's part of the windows, from the one with its first row on."""
        start, rank, world, _ = self._place
        length, first = len(self._draw), start * self._size
        number, at = first // length, first // length * length
        while True:
            rng = np.random.default_rng((self._draw.seed, number, 1))
            for window in windows(self._draw.epoch(number), self._chunks, self._window, rng):
                # Rows before the first step, and those of other processes, are not even read.
                skip = max(first - at, 0)
                skip += (rank - at - skip) % world
                own = window.order[skip::world]
                if len(own):
                    used, order = np.unique(own, return_inverse=True)
                    yield Window(window.members[used], order)
                at += len(window.order)
            number += 1


def unpacked_bits(bits: Tensor, row_size: int) -> Tensor:
    """Masks of bool, shape (n, row_size), of their bits as `numpy.packbits` packs them."""
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    unpacked = (bits[:, :, None] >> shifts) & 1
    return unpacked.flatten(1)[:, :row_size].bool()


_MEAN_ROWS = 4000
"""Training spectra whose mean stands for the archive's."""

_FEWEST_LABELS = 20
"""Validation spectra that need a label for it to be watched."""


class PackedData(Data):
    """Training and validation rows of a packed archive.

    `prepare` is the model's; the archive's must be the same. With `ivar` inverse variances are
    handed out, which the archive must have.
    """

    def __init__(
        self,
        config: DataConfig,
        prepare: PrepareConfig,
        steps: int,
        seed: int,
        *,
        ivar: bool = False,
    ) -> None:
        super().__init__(config.batch_size, steps)
        assert config.archive is not None
        self._settings, self._prepare, self._seed, self._ivar = config.archive, prepare, seed, ivar

    def setup(self, stage: str | None = None) -> None:
        """Open the archive, split it, and read the validation rows.

        TableError if there is no archive, or nothing in it to train on; ModelError if its rows were
        prepared otherwise, or lack the inverse variances that the loss needs; ChoiceError if no
        star is left for validation, or the label or its weights are not there.
        """
        c = self._settings
        archive = self.archive = PackedArchive(c.path)
        if archive.prepare != self._prepare:
            raise ModelError(
                f"{c.path}: its rows have another preparation than the configuration's; pack the "
                "spectra with --grid and this configuration, or take over the archive's `prepare`"
            )
        if self._ivar and not archive.ivar_size:
            raise ModelError(
                f"{c.path}: has no inverse variances, by which the loss weighs; pack the spectra "
                "into a new archive with --ivar, or take another loss"
            )
        aliases = {} if c.aliases is None else read_aliases(c.aliases)
        self._stars = stars_of(archive.table, c.group, aliases)
        if c.splits is None:
            self._splits = split_by_star(self._stars, c.validation, c.test, c.split_seed)
        else:
            self._splits = listed_splits(c.splits, archive.table, self._stars, aliases)
        self.draw = self._draw()
        watched = self._watched()
        self.validation_rows, bits, *root = archive.read(watched, ivar=self._ivar)
        self.validation_valid = unpacked(bits, archive.row_size)
        if root:
            self.validation_ivar = np.square(root[0].astype(np.float32))
        labels = archive.table[archive.labels].iloc[watched]
        self.validation_labels = _numeric(labels)
        unwatched = [str(name) for name in labels if name not in self.validation_labels]
        if unwatched:
            warn(
                f"{c.path}: not watched: {', '.join(unwatched)} (text, one number throughout, or "
                f"known of fewer than {_FEWEST_LABELS} validation stars)"
            )

    @property
    def origin(self) -> dict[str, Any]:
        """Which archive, and how it is split and balanced."""
        c = self._settings
        used = self._splits != ""
        stars = pd.Series(self._splits[used]).groupby(self._stars[used]).first()
        shares = f"validation {c.validation:g}, test {c.test:g} of the stars"
        by = f"SHA-256 of '{c.split_seed}:star'; {shares}"
        if c.splits is not None:
            by = f"the list {Path(c.splits).name}"
        return {
            "archive": str(c.path).rstrip("/").rsplit("/", 1)[-1],
            "archive_sha256": self.archive.fingerprint,
            "spectra": int((self._splits == "train").sum()),
            "spectra_an_epoch": len(self.draw),
            "stars": {str(name): int(n) for name, n in stars.value_counts().items()},
            "star_names": c.group or "star",
            "split": f"by star, {by}",
            "splits_sha256": self._splits_digest,
            "balance": statement(c),
            "bins": c.bins if c.label else None,
            "labels_used": "to balance epochs" if c.label else False,
        }

    @property
    def epoch_steps(self) -> float:
        """Steps of an epoch, fractions included."""
        return len(self.draw) / self.size

    def blocks(self, max_rows: int) -> Iterator[Sampled]:
        """Yield rows and masks of some thousand training spectra."""
        members = self.draw.members
        rng = np.random.default_rng((self._seed, 2))
        chosen = np.sort(rng.choice(members, min(_MEAN_ROWS, len(members)), replace=False))
        for start in range(0, len(chosen), max_rows):
            rows, bits = self.archive.read(chosen[start : start + max_rows])
            yield rows.astype(np.float32), unpacked(bits, self.archive.row_size)

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which spectra of the archive they are: id and file."""
        entries = self.archive.table.iloc[[int(number) for number in numbers]]
        return [
            f"{name} ({file})" for name, file in zip(entries["id"], entries["file"], strict=True)
        ]

    def batches(self, place: Place) -> Iterator[Batch]:
        """Yield batches of rows that are read in windows."""
        window = self._settings.window_mb
        return iter(
            PackedBatches(
                self.archive, self.draw, self.size, self.steps, place,
                window_mb=window, ivar=self._ivar,
            )
        )  # fmt: skip

    @property
    def _splits_digest(self) -> str:
        """SHA-256 of star and split of each spectrum."""
        told = pd.DataFrame({"star": self._stars, "split": self._splits}).to_csv(index=False)
        return hashlib.sha256(told.encode()).hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to know of the archive."""
        return {
            "archive_sha256": self.archive.fingerprint, "splits_sha256": self._splits_digest
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on if spectra, labels, stars or splits changed since the checkpoint."""
        if self.state_dict() != self.state_dict() | state_dict:
            raise ModelError(
                f"{self._settings.path}: the archive, or how it is split, changed since the "
                "checkpoint, so the run cannot go on as it began; put the old archive and lists "
                "back, or train into another folder"
            )

    def _draw(self) -> Draw:
        """Say what an epoch shows."""
        c, table = self._settings, self.archive.table
        members = np.flatnonzero(self._splits == "train")
        bins, weights = None, {}
        if c.label is not None:
            if c.label not in table:
                raise ChoiceError(
                    f"{c.path}: has no column {c.label!r} to balance by; it has "
                    f"{', '.join(self.archive.labels) or 'no labels'}"
                )
            values = table[c.label].iloc[members]
            bins = binned(values, c.bins)
            members, bins = members[bins >= 0], bins[bins >= 0]
            weights = _bin_weights(values, c)
        stars = self._stars[members] if c.one_per_star else None
        return Draw(members, self._seed, stars, bins, weights)

    def _watched(self) -> NDArray[np.int64]:
        """Validation spectra, one per star, the same ones for a split."""
        c = self._settings
        members = np.flatnonzero(self._splits == "validation")
        if not len(members):
            raise ChoiceError(
                f"{c.path}: none of {len(set(self._stars))} stars falls into a validation split of "
                f"{c.validation:g}; raise `validation`, or take another `split_seed`"
            )
        chosen = Draw(members, c.split_seed, self._stars[members]).epoch(0)
        return np.random.default_rng(c.split_seed).permutation(chosen)[: c.watch_rows]


def _bin_weights(values: pd.Series, config: ArchiveConfig) -> dict[int, float]:
    """Weights by number of the bin, of a configuration that names classes or numbers."""
    given = config.weights or {}
    if pd.api.types.is_numeric_dtype(values):
        number = config.bins if isinstance(config.bins, int) else len(config.bins) - 1
        names: list[Any] = list(range(number))
    else:
        names = sorted(values.dropna().unique())
    unknown = [str(name) for name in given if name not in names]
    if unknown:
        raise ChoiceError(
            f"weights of {', '.join(unknown)}; the bins of {config.label} are "
            f"{', '.join(map(str, names))}"
        )
    return {names.index(name): float(weight) for name, weight in given.items()}


def _numeric(labels: pd.DataFrame) -> pd.DataFrame:
    """Labels that can be ranked: numbers, not all the same, known for some spectra at least."""
    numbers = labels.select_dtypes("number").reset_index(drop=True)
    kept = [
        name
        for name, column in numbers.items()
        if column.notna().sum() >= _FEWEST_LABELS and column.nunique() > 1
    ]
    return numbers[kept]
