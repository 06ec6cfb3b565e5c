"""The model of a run that has not ended, from its last checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from latentscope.errors import ModelError
from latentscope.models.config import WeightsDtype
from latentscope.models.network import SpectrumVAE
from train.data.source import data_of
from train.learning.checkpoints import LAST
from train.learning.fit import with_paths
from train.learning.module import SpectrumModule
from train.publishing.export import export
from train.settings.run import TrainConfig


def export_checkpoint(
    config: TrainConfig,
    run: Path,
    folder: Path,
    *,
    linelist: str | None = None,
    archive: str | None = None,
    data_folder: Path | None = None,
    dtype: WeightsDtype = "float32",
) -> int:
    """Write the model folder of what a run has reached so far.

    Averaged weights, where the run has them; no dimension is closed. The run can go on meanwhile.

    Parameters
    ----------
    config : TrainConfig
        The run's.
    run : Path
        Its folder, with `last.ckpt`.
    folder : Path
        Receives the model.
    linelist, archive, data_folder
        As `fit` takes them.
    dtype : {"float32", "float16"}
        How the weights are stored.

    Returns
    -------
    int
        Steps that the network was trained.

    Raises
    ------
    ModelError
        If there is no checkpoint, or it belongs to another configuration.
    """
    path = run / LAST
    if not path.is_file():
        raise ModelError(
            f"{path}: no such file; a run writes its first checkpoint after some steps, and one "
            f"that has ended has its model in {run / 'model'}"
        )
    config = with_paths(config, linelist, archive)
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    module.on_load_checkpoint(checkpoint)
    module.load_state_dict(checkpoint["state_dict"])
    data = data_of(config, data_folder or run / "data")
    data.setup()
    steps = int(checkpoint["global_step"])
    export(module, config, data, folder, steps=steps, dtype=dtype)
    return steps
