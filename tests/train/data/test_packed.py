import numpy as np
import pytest
import yaml

from latentscope.errors import ChoiceError, LatentscopeError, ModelError
from tests.train.conftest import TINY
from train.data.packed import PackedData
from train.settings import ArchiveConfig, read_config


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


def test_masked_pixels_do_not_count(tmp_path, tiny):
    import torch

    from latentscope.models.network import SpectrumVAE
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
