import json
import os

import numpy as np
import pandas as pd
import pytest
import yaml

from latentscope.errors import ChoiceError, LatentscopeError, ModelError
from tests.train.conftest import TINY
from tests.train.learning.test_fit import Killed, pytestmark, weights  # noqa: F401
from train.data.packed import PackedData
from train.learning.fit import fit
from train.packing.pack import pack
from train.packing.store import Layout
from train.settings.data import ArchiveConfig
from train.settings.reading import read_config


@pytest.fixture
def labelled(night, tmp_path, prepare):
    labels = pd.DataFrame({"star": [f"s{s}" for s in range(6)], "Teff": 5000.0 + np.arange(6)})
    labels["type"] = ["F", "F", "G", "G", "K", "K"]
    layout = Layout(520, "float16", chunk=2, shard=4)
    pack(night, tmp_path / "a.zarr", prepare, layout=layout, labels=labels, join="star", workers=1)
    return tmp_path / "a.zarr"


def config_of(tmp_path, **archive):
    path = tmp_path / "packed.yaml"
    values = {"validation": 0.4, "split_seed": 1, "window_mb": 0.01} | archive
    path.write_text(yaml.safe_dump(TINY | {"data": {"batch_size": 4, "archive": values}}))
    return read_config(path)


def data_of(config):
    data = PackedData(config.data, config.prepare, config.steps, config.seed)
    data.setup()
    return data


def test_the_module_holds_out_stars(labelled, tmp_path):
    data = data_of(config_of(tmp_path, path=str(labelled)))
    held = set(data.archive.stars) - set(data.archive.stars[data.draw.members])
    assert 0 < len(held) < 6
    assert len(data.validation_rows) == len(data.validation_valid) == len(held)
    said = data.provenance
    assert said["stars"] == {"train": 6 - len(held), "validation": len(held)}
    assert said["balance"] == "every spectrum once per epoch"
    assert said["spectra"] == len(data.draw) == len(data.draw.members)
    assert said["labels_used"] is False
    sampled = np.concatenate([rows for rows, _ in data.sample(3)])
    assert sampled.shape == (len(data.draw), 520)


def test_labels_balance_the_epochs_and_the_run_says_so(labelled, tmp_path):
    data = data_of(config_of(tmp_path, path=str(labelled), label="type", weights={"K": 3.0}))
    types = data.archive.table["type"].to_numpy()[data.draw.epoch(0)]
    share = 3.0 / (2.0 + len(set(types)))
    assert abs((types == "K").sum() - share * len(data.draw)) <= 4
    assert "weights {'K': 3.0} of the bins of type" in data.provenance["balance"]
    assert data.provenance["labels_used"] == "to balance epochs"
    flat = data_of(config_of(tmp_path, path=str(labelled), label="Teff", bins=2, one_per_star=True))
    assert len(flat.draw) == flat.provenance["stars"]["train"]


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        ({"label": "age"}, "Teff, type"),
        ({"label": "type", "weights": {"M": 1.0}}, "F, G, K"),
        ({"label": "Teff", "bins": 2, "weights": {5: 1.0}}, "0, 1"),
        ({"validation": 0.0}, "none of 6 stars"),
        ({"validation": 1.0}, "below 1"),
    ],
)
def test_what_the_archive_does_not_have_is_named(labelled, tmp_path, archive, words):
    with pytest.raises(ChoiceError, match=words):
        data_of(config_of(tmp_path, path=str(labelled), **archive))


def test_another_grid_is_refused(labelled, tmp_path):
    config = config_of(tmp_path, path=str(labelled))
    other = type(config.prepare).from_dict(config.prepare.to_dict() | {"window": 7})
    with pytest.raises(ModelError, match="another preparation"):
        PackedData(config.data, other, 1, 0).setup()
    with pytest.raises(ModelError, match="names no packed archive"):
        PackedData(type(config.data)(), config.prepare, 1, 0)


def test_the_configuration_is_read_strictly(tmp_path):
    with pytest.raises(LatentscopeError, match="folder"):
        config_of(tmp_path, path="a.zarr", folder="b")
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(TINY | {"data": {"archive": "a.zarr"}}))
    config = read_config(path)
    assert config.data.archive == ArchiveConfig("a.zarr")
    assert "a.zarr" not in config.recipe
    path.write_text(yaml.safe_dump(TINY))
    assert '"archive"' not in read_config(path).recipe  # recipes of older runs stay as they were


def test_a_run_on_a_packed_archive_goes_on_where_it_was(labelled, tmp_path, monkeypatch, night):
    config = config_of(tmp_path, path="elsewhere.zarr", one_per_star=True)
    whole = fit(config, tmp_path / "whole", archive=str(labelled), watch_every=4)

    from train.learning.module import SpectrumModule

    step = SpectrumModule.training_step

    def dies(self, batch, batch_idx):
        if self.global_step == 7:
            raise Killed
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(SpectrumModule, "training_step", dies)
        with pytest.raises(Killed):
            fit(config, tmp_path / "parts", archive=str(labelled), watch_every=4)
    resumed = fit(config, tmp_path / "parts", archive=str(labelled), watch_every=4)
    first, second = weights(whole), weights(resumed)
    for key in first:
        assert np.allclose(first[key], second[key], atol=1e-6), key
    training = json.loads((whole / "config.json").read_text())["training"]
    assert training["archive"] == "a.zarr"
    assert training["balance"] == "one spectrum per star per epoch"

    os.utime(sorted(night.glob("*.fits"))[0])
    layout = Layout(520, "float16", chunk=2, shard=4)
    pack(night, labelled, config.prepare, layout=layout, workers=1)
    with pytest.raises(ModelError, match="archive changed"):
        fit(config, tmp_path / "parts", archive=str(labelled), watch_every=4)


def test_masked_pixels_do_not_count(tmp_path, tiny):
    import torch

    from latentscope.model.vae import SpectrumVAE
    from train.learning.module import SpectrumModule

    config = read_config(tiny)
    torch.manual_seed(0)
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    module.model.eval()
    rows = torch.randn(2, 520)
    valid = torch.rand(2, 520) > 0.3
    decoded = module.model(rows)[0]
    squared = 0.5 * (((decoded - rows) * valid)[:, :512] * module.valid).square().sum(1)
    assert torch.allclose(module.terms(rows, valid=valid)["lines"], squared, rtol=1e-5)
    everything = module.terms(rows, valid=torch.ones_like(valid))
    assert torch.equal(everything["lines"], module.terms(rows)["lines"])
