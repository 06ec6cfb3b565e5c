"""The probe of a model folder: from given latents, from simulated stars, along with the weights."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from latentscope.data import Latents, write_latents
from latentscope.models.probes import read_probe
from latentscope.models.weights import load_folder, weights_sha256
from latentscope.simulation.population import POPULATIONS, observe
from train.card import read_card
from train.commands import app
from train.publishing import half, simulated_labels

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def test_the_command_writes_what_can_be_read_and_says_so_in_the_card(folder, tmp_path):
    model, rng = load_folder(folder), np.random.default_rng(0)
    z = rng.normal(size=(600, model.config.latents)).astype(np.float32)
    provenance = {"weights_sha256": weights_sha256(folder), "model": "tiny", "mad_threshold": 0.02}
    write_latents(Latents(z, None, None, provenance), tmp_path / "mine.npy")
    truth = pd.DataFrame({"Teff": 5500 + 500 * z[:, 1], "radvel": rng.normal(size=600)})
    truth.to_csv(tmp_path / "mine.csv.labels.csv", index=False)
    arguments = [
        "probe", str(folder), "--latents", str(tmp_path / "mine.npy"), "--labels",
        str(tmp_path / "mine.csv.labels.csv"),
    ]  # fmt: skip
    for _ in range(2):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    assert [one.label for one in read_probe(folder).readings] == ["Teff"]
    card = read_card(folder)
    assert card.count("## What its probe reads") == 1
    assert card.index("| Teff | ") < card.index("## What it cannot do")
    half(folder, tmp_path / "half")
    assert read_probe(tmp_path / "half").info["weights_sha256"] == weights_sha256(tmp_path / "half")


def test_every_other_simulated_star_is_fast(folder, tmp_path):
    latents, labels = simulated_labels(
        load_folder(folder), 4, seed=3, population="imperfect", folder=tmp_path, workers=1
    )
    assert latents.values.shape == (4, load_folder(folder).config.latents)
    assert np.isfinite(latents.values).all()
    stars = [observe(i, i, 3, POPULATIONS["imperfect"]).star for i in range(4)]
    own = np.array([star.rv for star in stars])
    np.testing.assert_allclose(labels["radvel"][::2], own[::2], atol=1e-3)
    assert (np.abs(labels["radvel"] - own)[1::2] > 1).all()
    np.testing.assert_allclose(labels["Teff"], [star.teff for star in stars], atol=0.1)
