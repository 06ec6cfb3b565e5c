"""Training rows of a packed archive: split by star, balanced as the configuration says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import lightning
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.errors import ChoiceError, ModelError
from latentscope.spectra.prepare import PrepareConfig
from train.data.balance import Draw, binned, split_by_star, statement
from train.data.place import place_of
from train.data.shuffle import PackedBatches
from train.packing.archive import PackedArchive, unpacked
from train.settings.data import ArchiveConfig, DataConfig

_MEAN_ROWS = 4000
"""Training spectra whose mean stands for the archive's."""

_FEWEST_LABELS = 20
"""A label is watched if so many validation spectra have it."""


class PackedData(lightning.LightningDataModule):
    """Training and validation rows of a packed archive.

    Parameters
    ----------
    config : DataConfig
        With an `archive`.
    prepare : PrepareConfig
        The model's; the archive's must be the same.
    steps, seed : int
        Of the run; the seed decides the order of the spectra.
    ivar : bool
        Hand out inverse variances, which the archive must have.
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
        super().__init__()
        if config.archive is None:
            raise ModelError("this configuration names no packed archive; add data: archive: path")
        self._config, self._settings, self._prepare = config, config.archive, prepare
        self._steps, self._seed, self._ivar = steps, seed, ivar

    def setup(self, stage: str | None = None) -> None:
        """Open the archive, split it, and read the validation rows.

        Raises
        ------
        TableError
            If there is no archive, or nothing in it to train on.
        ModelError
            If its rows were prepared otherwise than the model wants, or it has no inverse variances
            and the loss weighs by them.
        ChoiceError
            If no star is left for validation, or the label or its weights are not there.
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
        self._stars = archive.stars
        self._splits = split_by_star(self._stars, c.validation, c.test, c.split_seed)
        self.draw = self._draw()
        watched = self._watched()
        self.validation_rows, bits = archive.read(watched)
        self.validation_valid = unpacked(bits, archive.row_size)
        self.validation_ivar = self._inverse_variance(watched)
        self.validation_labels = _numeric(archive.table[archive.labels].iloc[watched])

    @property
    def provenance(self) -> dict[str, Any]:
        """What the network learned from, for its config.json."""
        c = self._settings
        stars = pd.Series(self._splits).groupby(pd.factorize(self._stars)[0]).first()
        return {
            "archive": str(c.path).rstrip("/").rsplit("/", 1)[-1],
            "archive_sha256": self.archive.fingerprint,
            "spectra": int((self._splits == "train").sum()),
            "spectra_an_epoch": len(self.draw),
            "stars": {str(name): int(n) for name, n in stars.value_counts().items()},
            "split": f"by star, SHA-256 of '{c.split_seed}:star'; validation {c.validation:g}, "
            f"test {c.test:g} of the stars",
            "balance": statement(dataclasses.asdict(c)),
            "bins": c.bins if c.label else None,
            "labels_used": "to balance epochs" if c.label else False,
        }

    @property
    def epoch_steps(self) -> float:
        """Steps of an epoch, fractions included."""
        return len(self.draw) / self._config.batch_size

    def sample(self, size: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield rows and masks of some thousand training spectra in blocks of `size`."""
        members = self.draw.members
        rng = np.random.default_rng((self._seed, 2))
        some = np.sort(rng.choice(members, min(_MEAN_ROWS, len(members)), replace=False))
        for start in range(0, len(some), size):
            rows, bits = self.archive.read(some[start : start + size])
            yield rows.astype(np.float32), unpacked(bits, self.archive.row_size)

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which spectra of the archive these numbers of a batch are: id and file."""
        some = self.archive.table.iloc[[int(number) for number in numbers]]
        return [f"{name} ({file})" for name, file in zip(some["id"], some["file"], strict=True)]

    def train_dataloader(self) -> PackedBatches:
        """Batches that remain after the trainer's step: this process's part, on its device."""
        size = self._config.batch_size
        place = place_of(self.trainer, size)
        return PackedBatches(
            self.archive,
            self.draw,
            size,
            self._steps,
            start=place.step,
            window_mb=self._settings.window_mb,
            rank=place.rank,
            world=place.world,
            ivar=self._ivar,
            device=place.device,
        )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to know of the archive."""
        return {"archive_sha256": self.archive.fingerprint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with an archive that changed meanwhile.

        Raises
        ------
        ModelError
            If spectra or labels were added or changed since the checkpoint.
        """
        if state_dict != self.state_dict():
            raise ModelError(
                f"{self._settings.path}: the archive changed since the checkpoint, so the run "
                "cannot go on as it began; put the old archive back, or train into another folder"
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

    def _inverse_variance(self, members: NDArray[np.int64]) -> NDArray[np.float32] | None:
        if not self._ivar:
            return None
        root = self.archive.read_root_ivar(members).astype(np.float32)
        return np.square(root, out=root)

    def _watched(self) -> NDArray[np.int64]:
        """Validation spectra, one a star, the same ones for a split."""
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
