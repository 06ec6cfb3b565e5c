import json
import os

import numpy as np
import pytest

from latentscope.errors import ModelError
from latentscope.models.weights import load_model
from train.data.archive import Layout
from train.data.packing import pack
from train.fit import fit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*isinstance.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty"),
]
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
    whole = fit(config, tmp_path / "whole", archive=str(labelled))
    assert_equal(whole, interrupted(config, tmp_path / "parts", archive=str(labelled)))
    assert training_of(whole)["archive"] == "a.zarr"
    assert training_of(whole)["balance"] == "one spectrum per star per epoch"

    os.utime(sorted(night.glob("*.fits"))[0])
    pack(night, labelled, config.prepare, layout=LAYOUT, workers=1)
    with pytest.raises(ModelError):
        fit(config, tmp_path / "parts", archive=str(labelled))


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


def test_a_loss_weighted_by_inverse_variance_reads_them(exposures, tmp_path, configured, prepare):
    plain, full = tmp_path / "plain.zarr", tmp_path / "ivar.zarr"
    layout = Layout(520, "float16", chunk=2, shard=4, ivar_size=prepare.ivar_size)
    pack(exposures, full, prepare, layout=layout, workers=1)
    pack(exposures, plain, prepare, layout=LAYOUT, workers=1)
    config = configured(run={"loss": "ivar"}, archive=SPLIT | {"path": str(full)})
    assert training_of(fit(config, tmp_path / "run"))["archive"] == "ivar.zarr"
    with pytest.raises(ModelError, match="pack the spectra into a new archive with --ivar"):
        fit(config, tmp_path / "other", archive=str(plain))
