import dataclasses
import json
import re
import shutil
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from latentscope.diagnostics.mi.api import mi_matrix, pairwise_mi
from latentscope.errors import ModelError
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import (
    check_against_rows,
    check_model,
    load_folder,
    load_model,
    save_model,
)
from train.card import UNWRITTEN, findings
from train.learning.dims import close
from train.learning.module import SpectrumModule
from train.publishing import export, half
from train.validation import evaluated, validate


@pytest.fixture
def known(data):
    """Data whose validation rows lie along a line, with a label that says where."""
    rng = np.random.default_rng(0)
    place = rng.normal(size=400)
    direction = rng.normal(size=data.validation_rows.shape[1])
    rows = place[:, None] * direction + 0.3 * rng.normal(size=(400, len(direction)))
    data.validation_rows = (0.1 * rows).astype(np.float16)
    labels = {"Teff": place, "constant": np.ones(400), "rare": np.full(400, np.nan)}
    data.validation_labels = pd.DataFrame(labels)
    return data


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_the_folder_is_whole_and_loads(module, config, data, folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "reference.safetensors"
    ]  # fmt: skip
    model = load_model(folder)
    for one, other in zip(model.parameters(), module.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert model.prepare == config.prepare
    assert model.info["beta"] == 0.1
    training = model.info["training"]
    assert (training["archive"], training["steps"], training["batch_size"]) == ("simulated", 10, 4)
    assert training["labels_used"] is False


def test_the_reference_is_of_three_validation_rows(data, folder):
    held = load_file(folder / "reference.safetensors")
    wanted = data.validation_rows[[0, 6, 11]]
    assert np.array_equal(held["rows"].numpy(), wanted)
    assert check_model(folder) < 1e-6


def test_the_card_says_what_the_hub_reads_and_what_was_run(folder):
    text = (folder / "README.md").read_text()
    assert ModelCard(text).data.library_name == "latentscope"
    assert front_matter(text)["pipeline_tag"] == "feature-extraction"
    assert {"astronomy", "spectroscopy"} <= set(front_matter(text)["tags"])
    assert text.split("---\n")[2].startswith("\n# tiny\n")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["How to use it", "How it was made", "What its dimensions know",
                        "What it cannot do", "Provenance"]  # fmt: skip
    assert "| 1 | 6 | 0.5 | 3 to 0, linear |  |" in text
    assert "| 2 | 4 | 0.1 | 0 | dead dimensions drawn anew |" in text
    assert UNWRITTEN in text
    provenance = json.loads(text.split("```json\n")[1].split("```")[0])
    assert provenance == load_model(folder).info["training"]


def test_what_an_author_wrote_outlives_another_export(module, config, data, folder):
    card = folder / "README.md"
    card.write_text(card.read_text().replace(UNWRITTEN, "Not for white dwarfs.\n\nNor galaxies."))
    export(module, config, data, folder)
    text = card.read_text()
    assert text.count("Not for white dwarfs.\n\nNor galaxies.") == 1
    assert UNWRITTEN not in text


def test_a_license_outlives_another_export_and_what_cannot_be_read_does_not(
    module, config, data, folder
):
    card = folder / "README.md"
    fresh = card.read_text()
    card.write_text(fresh.replace("tags:", "license: mit\ntags:", 1))
    export(module, config, data, folder)
    licensed = front_matter(fresh) | {"license": "mit"}
    assert front_matter(card.read_text()) == licensed
    card.write_text(fresh.replace("\npipeline_tag", " pipeline_tag", 1))
    export(module, config, data, folder)
    assert front_matter(card.read_text()) == front_matter(fresh)


@pytest.mark.parametrize("name", ["harps-sim", "harps-sim-plain"])
def test_the_cards_of_the_package_have_the_front_matter_that_is_written(name, folder):
    card = files("latentscope.models").joinpath("bundled", name, "README.md").read_text("utf-8")
    fresh = front_matter((folder / "README.md").read_text())
    assert front_matter(card) == fresh | {"license": "bsd-3-clause"}


def test_averaged_weights_are_exported(config, data, tmp_path):
    config = dataclasses.replace(config, ema_decay=0.9)
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    with torch.no_grad():
        module.average.update_parameters(module.model)
        for weight in module.model.parameters():
            weight.add_(1.0)
    own = [weight.clone() for weight in module.model.parameters()]
    folder = export(module, config, data, tmp_path / "model")
    for one, other in zip(load_model(folder).parameters(), own, strict=True):
        assert torch.allclose(one, other - 1.0, atol=1e-6)
    for one, other in zip(module.model.parameters(), own, strict=True):
        assert torch.equal(one, other)
    assert "averaged with a decay of 0.9" in (folder / "README.md").read_text()


def test_findings_are_those_of_latentscope(module, known):
    found = findings(module, known)
    with evaluated(module):
        seen = validate(module, known)
    assert found.informative == seen.informative
    assert set(found.informative) == {1, 2}
    table = mi_matrix(seen.mean, known.validation_labels[["Teff"]], dims=[1, 2]).matrix.loc["Teff"]
    [row] = found.labels.to_dict("records")  # nothing of labels that are constant or rare
    assert row["label"] == "Teff"
    assert row["dim"] == table.idxmax()
    assert row["mi_nats"] == pytest.approx(table.max())
    assert row["next_mi_nats"] == pytest.approx(table.min())
    assert abs(row["rank"]) > 0.5
    pair = pairwise_mi(seen.mean, dims=[1, 2]).table.iloc[0]
    assert found.pair == (pytest.approx(pair["mi_nats"]), 1, 2)
    assert found.n == 400


def test_the_card_shows_the_findings(module, config, known, tmp_path):
    found = findings(module, known)
    text = (export(module, config, known, tmp_path / "m") / "README.md").read_text()
    best = found.labels.iloc[0]
    assert f"| Teff | {best['dim']} | {best['mi_nats']:.2f} +- " in text
    assert f"informative dimensions is {found.pair[0]:.2f} nats" in text
    assert "2 of 3 dimensions are informative" in text
    assert "Measured on 400 validation spectra" in text


def test_a_network_that_knows_nothing_is_exported_too(module, config, data, tmp_path):
    close(module.model, [0, 1, 2])
    text = (export(module, config, data, tmp_path / "m") / "README.md").read_text()
    assert "0 of 3 dimensions are informative, strongest first: none" in text
    assert "| label |" not in text


def test_half_the_size_and_nearly_the_latents(module, config, data, folder, tmp_path):
    moved = half(folder, tmp_path / "half")
    sizes = [(f / "model.safetensors").stat().st_size for f in (folder, tmp_path / "half")]
    assert sizes[1] < 0.6 * sizes[0]
    assert 0 < moved < 0.05
    assert check_model(tmp_path / "half") < 1e-6
    rounded = load_model(tmp_path / "half")
    assert check_against_rows(rounded, folder, tolerance=1.0) == pytest.approx(moved)
    for one, other in zip(rounded.parameters(), module.model.parameters(), strict=True):
        assert torch.equal(one, other.half().float())
    text = (tmp_path / "half" / "README.md").read_text()
    assert "Weights rounded to float16" in text
    with pytest.raises(ModelError, match="another folder"):
        half(folder, folder)


def test_the_published_size_fits_into_twenty_megabytes(tmp_path):
    from latentscope.models.config import PUBLISHED_ARCHITECTURE, published_prepare

    prepare = published_prepare("median-valid")
    model = SpectrumVAE(PUBLISHED_ARCHITECTURE, prepare, {"name": "x", "weights_dtype": "float16"})
    folder = save_model(model, tmp_path / "big")
    assert (folder / "model.safetensors").stat().st_size < 14.2e6
    from latentscope.models.weights import write_check_rows

    rows = np.random.default_rng(0).normal(size=(3, 327680))
    write_check_rows(load_folder(folder), rows, folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 17e6


@pytest.fixture
def interrupted(config, data_folder, tmp_path, monkeypatch):
    """Run folder with the checkpoint of step 4 of 10."""
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint

    from train.data.sources import data_of

    data = data_of(config, data_folder)
    data.setup()
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    folder = tmp_path / "run"
    lightning.Trainer(
        accelerator="cpu", max_steps=4, logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder,
        callbacks=[ModelCheckpoint(folder, save_last=True, save_top_k=0, every_n_train_steps=4)],
    ).fit(module, datamodule=data)  # fmt: skip
    return module, folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*isinstance.*LeafSpec")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*dataloader is not resumable")
def test_a_run_that_has_not_ended_is_exported(interrupted, config, data_folder, tmp_path):
    from train.fit import export_checkpoint

    module, run = interrupted
    folder = tmp_path / "so-far"
    assert export_checkpoint(config, run, folder, data_folder=data_folder) == 4
    model = load_model(folder)
    for one, other in zip(model.parameters(), module.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert model.info["training"]["steps"] == 4
    assert "4 steps of 10 that were planned" in (folder / "README.md").read_text()
    other = dataclasses.replace(config, seed=9)
    with pytest.raises(ModelError, match="another configuration"):
        export_checkpoint(other, run, folder, data_folder=data_folder)
    shutil.rmtree(run)
    with pytest.raises(ModelError, match=r"last\.ckpt: no such file"):
        export_checkpoint(config, run, folder, data_folder=data_folder)


def test_an_autoencoder_has_a_card(tiny, data, tmp_path):
    from train.settings import read_config

    values = yaml.safe_load(tiny.read_text())
    values["architecture"] |= {"variational": False, "doppler": False}
    for stage in values["stages"]:
        stage["beta"] = 0.0
    tiny.write_text(yaml.safe_dump(values))
    config = read_config(tiny)
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    with torch.no_grad():
        module.model.mean.weight *= 30
    text = (export(module, config, data, tmp_path / "m") / "README.md").read_text()
    assert "An autoencoder with 3 latents" in text
    assert "3 of 3 dimensions are informative" in text
