import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from latentscope.errors import ModelError
from latentscope.models.config import PUBLISHED
from latentscope.models.weights import load_model
from train.commands import app
from train.data.archive import Layout
from train.data.packing import pack
from train.fit import fit
from train.settings import DataConfig, read_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*isinstance.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty"),
]
CONFIGS = Path(__file__).parents[3] / "train" / "configs"
LAYOUT = Layout(520, "float16", chunk=2, shard=4)
SPLIT = {"validation": 0.4, "split_seed": 1, "window_mb": 0.01}


def assert_equal(one, other):
    first, second = (load_model(folder).state_dict() for folder in (one, other))
    assert first.keys() == second.keys()
    for key in first:
        assert np.allclose(first[key], second[key], atol=1e-6), key


def training_of(folder):
    return json.loads((folder / "config.json").read_text())["training"]


def test_a_run_on_a_packed_archive_goes_on_where_it_was(
    labelled, tmp_path, configured, interrupted, night
):
    config = configured(archive=SPLIT | {"path": "elsewhere.zarr", "one_per_star": True})
    archive = shutil.copytree(labelled, tmp_path / "a.zarr")
    whole = fit(config, tmp_path / "whole", archive=str(archive))
    assert_equal(whole, interrupted(config, tmp_path / "parts", archive=str(archive)))
    assert training_of(whole)["archive"] == "a.zarr"
    assert training_of(whole)["balance"] == "one spectrum per star per epoch"

    pack(night, archive, config.prepare, layout=LAYOUT, workers=1)
    with pytest.raises(ModelError):
        fit(config, tmp_path / "parts", archive=str(archive))


def test_a_run_on_a_shifted_mixture_goes_on_where_it_was(
    labelled, tmp_path, configured, interrupted, data_folder
):
    config = configured(
        archive=SPLIT | {"path": str(labelled)}, mixture=True, doppler={"spread": 200.0}
    )
    whole = fit(config, tmp_path / "whole", data_folder=data_folder)
    assert_equal(whole, interrupted(config, tmp_path / "parts", data_folder=data_folder))
    said = training_of(whole)
    assert said["spectra_a_batch"] == {"simulated": 3, "packed": 3}
    assert said["doppler_shifts"] == "uniform within +-200 km/s, anew each time"
    still = configured(archive=SPLIT | {"path": str(labelled)}, mixture=True)
    with pytest.raises(ModelError, match="another configuration"):
        fit(still, tmp_path / "parts", data_folder=data_folder)


def test_a_run_in_parts_goes_on_where_it_was(labelled, tmp_path, configured, interrupted):
    archive = SPLIT | {"path": str(labelled)}
    config = configured(archive=archive, accumulate=2, doppler=True, batch_size=6)
    whole = fit(config, tmp_path / "whole", watch_every=4)
    assert_equal(whole, interrupted(config, tmp_path / "parts"))
    watched = [pd.read_csv(tmp_path / name / "watch.csv") for name in ("whole", "parts")]
    assert watched[0]["step"].tolist() == watched[1]["step"].tolist()
    assert len(pd.read_csv(tmp_path / "parts" / "log" / "metrics.csv")) == config.steps


def test_a_loss_weighted_by_inverse_variance_reads_them(exposures, tmp_path, configured, prepare):
    plain, full = tmp_path / "plain.zarr", tmp_path / "ivar.zarr"
    layout = Layout(520, "float16", chunk=2, shard=4, ivar_size=prepare.ivar_size)
    pack(exposures, full, prepare, layout=layout, workers=1)
    pack(exposures, plain, prepare, layout=LAYOUT, workers=1)
    config = configured(run={"loss": "ivar"}, archive=SPLIT | {"path": str(full)})
    assert training_of(fit(config, tmp_path / "run"))["archive"] == "ivar.zarr"
    with pytest.raises(ModelError, match="pack the spectra into a new archive with --ivar"):
        fit(config, tmp_path / "other", archive=str(plain))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_recipe_begins_on_packed_phase_3_files(exposures, tmp_path, name):
    archive, folder = str(tmp_path / "harps.zarr"), tmp_path / "run"
    small = ["stages.0.steps=1", "data.batch_size=2", "data.archive.validation=0.5"]
    words = (
        ["pack", str(exposures), "-o", archive, "-m", name, "--workers", "1"],
        ["fit", str(CONFIGS / "harps-128d.yaml"), "-o", str(folder), "--archive", archive,
         *(word for change in small for word in ("--set", change))],
    )  # fmt: skip
    for command in words:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    seen = pd.read_csv(folder / "log" / "metrics.csv")
    # The paper's loss: residuals averaged over pixels, lambda times the KL averaged over latents.
    expected = seen["lines"] / 327_680 + 0.3 * seen["kl"] / 128
    assert seen["loss"].tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    model = load_model(folder / "model")
    assert model.prepare == PUBLISHED[name].config.prepare
    assert model.config == PUBLISHED[name].config.architecture


def test_a_run_without_a_preparation_needs_an_archive(tmp_path):
    config = read_config(CONFIGS / "harps-128d.yaml")
    with pytest.raises(ModelError, match=r"data\.archive\.path is missing.*--archive"):
        fit(config, tmp_path / "run")
    with pytest.raises(ModelError, match="prepare is missing"):
        fit(dataclasses.replace(config, data=DataConfig()), tmp_path / "run")
