"""A network that knows its validation rows, and a short run to look at."""

import contextlib
from types import SimpleNamespace

import lightning
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from latentscope.models.network import SpectrumVAE
from train.data.sources import data_of
from train.learning.module import SpectrumModule
from train.watching import Watch, loggers


@pytest.fixture
def module(config):
    """An untrained tiny network."""
    torch.manual_seed(3)
    return SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)


@pytest.fixture
def data(config):
    """Sixty validation rows of noise, with a label."""
    rng = np.random.default_rng(0)
    rows = (0.1 * rng.normal(size=(60, config.prepare.row_size))).astype(np.float16)
    labels = pd.DataFrame({"radvel": rng.normal(size=60)})
    return SimpleNamespace(
        validation_rows=rows, validation_valid=None, validation_ivar=None, validation_labels=labels
    )


class Killed(Exception):
    """Stands for a machine that goes away in the middle of a run."""


@pytest.fixture
def run(config, data_folder):
    """Function (folder, every, dies=None, steps=None): train with a Watch, or until step `dies`."""

    def train(folder, every, *, dies=None, epoch=None):
        torch.manual_seed(0)
        data = data_of(config, data_folder)
        data.setup()
        if epoch is not None:
            shown = type(data)
            data.__class__ = type("Shown", (shown,), {"epoch_steps": epoch})
        module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
        stop = Stop(dies)
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_steps=config.steps,
            logger=loggers(folder),
            callbacks=[
                Watch(every, folder),
                ModelCheckpoint(folder, save_last=True, save_top_k=0, every_n_train_steps=4),
                stop,
            ],
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        last = folder / "last.ckpt"
        with contextlib.suppress(Killed):
            trainer.fit(module, datamodule=data, ckpt_path=str(last) if last.exists() else None)
        return module

    return train


class Stop(lightning.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise Killed
