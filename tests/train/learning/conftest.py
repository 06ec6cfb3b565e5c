from collections.abc import Iterator

import lightning
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from latentscope.models.network import SpectrumVAE
from train.data.batches import Batch
from train.learning.module import SpectrumModule


class Rows:
    """Batches of a run from a step on; as long as the whole run."""

    def __init__(self, data, start):
        self._data, self._start = data, start

    def __len__(self):
        return self._data.steps

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self._start, self._data.steps):
            yield self._data.batch(step)


class Noise(lightning.LightningDataModule):
    """Made-up rows in memory: a few lines that move and grow, and noise."""

    def __init__(self, config, ivar=None):
        super().__init__()
        self.steps, self.size, self.ivar = config.steps, config.data.batch_size, ivar
        rng = np.random.default_rng(0)
        pixel = np.arange(config.prepare.row_size)
        centre, depth = rng.uniform(100, 400, (64, 1)), rng.uniform(0.2, 1, (64, 1))
        lines = -depth * np.exp(-0.5 * ((pixel - centre) / 20) ** 2)
        self.rows = (lines + rng.normal(0, 0.01, lines.shape)).astype(np.float32)
        self.validation_rows = self.rows[48:]
        self.validation_valid = None
        self.validation_labels = pd.DataFrame()
        self.provenance = {"spectra": 48}
        self.spoiled: dict[int, float] = {}

    def batch(self, step):
        numbers = np.random.default_rng((1, step)).choice(48, self.size, replace=False)
        rows = torch.from_numpy(self.rows[numbers])
        if step in self.spoiled:
            rows[1, 3] = self.spoiled[step]
        return Batch(rows, torch.from_numpy(numbers), ivar=self.ivar)

    def sample(self, max_rows):
        for start in range(0, 48, max_rows):
            yield self.rows[start : start + max_rows], None

    def names(self, numbers):
        return [f"spectrum {int(number)}" for number in numbers]

    def train_dataloader(self):
        return Rows(self, self.trainer.global_step)


class Record(lightning.Callback):
    """Loss of every step."""

    def __init__(self):
        self.losses = {}

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.losses[trainer.global_step] = float(outputs["loss"])


@pytest.fixture
def module_of():
    """Function config -> SpectrumModule with weights of seed 0."""

    def build(config):
        torch.manual_seed(0)
        return SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)

    return build


@pytest.fixture
def train(tmp_path, module_of):
    """Function config -> (module, losses by step) of a run on made-up rows."""

    def run(config, data=None, module=None, stop=None, resume=None, callbacks=(), **options):
        module = module or module_of(config)
        record = Record()
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_steps=stop or config.steps,
            callbacks=[record, *callbacks],
            logger=False,
            log_every_n_steps=options.pop("log_every_n_steps", 1),
            enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            **options,
        )
        trainer.fit(module, datamodule=data or Noise(config), ckpt_path=resume)
        return module, record.losses

    return run


@pytest.fixture
def noise():
    """The data module of made-up rows."""
    return Noise
