"""The sample of a model folder: from validation rows, from simulated spectra, from latents."""

import dataclasses

import numpy as np
import pytest

from latentscope.data import write_latents
from latentscope.diagnostics.trust_reference import trust_rows
from latentscope.models.config import SAMPLE_FILE
from latentscope.models.encode import encode
from latentscope.models.trust import read_trust_sample
from latentscope.models.weights import load_folder, weights_sha256
from latentscope.simulation.simulate import simulate
from train.publishing import export, half, push, simulated_sample, validation_sample

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def many(data):
    """Data with 120 validation rows, each like one of the twelve."""
    rng = np.random.default_rng(0)
    copies = np.arange(120) % 12
    data.validation_labels = data.validation_labels.iloc[copies].reset_index(drop=True)
    rows = data.validation_rows[copies].astype(np.float32)
    data.validation_rows = (rows + 0.02 * rng.normal(size=rows.shape)).astype(np.float16)
    return data


@pytest.fixture
def sampled(module, config, many, tmp_path):
    return export(module, config, many, tmp_path / "sampled")


def test_export_writes_the_validation_rows(sampled, many):
    sample, model = read_trust_sample(sampled), load_folder(sampled)
    assert len(sample) == 120
    assert sample.info["origin"] == "validation spectra of its training"
    assert sample.info["weights_sha256"] == weights_sha256(model)
    assert np.isnan(sample.snr).all()
    assert (sample.coverage == 1).all()
    again = validation_sample(model, many)
    np.testing.assert_allclose(sample.segments, again.segments, rtol=1e-3)


def test_rows_give_what_their_spectra_give(sampled, data):
    model = load_folder(sampled)
    model.folder = None
    spectra = [one for one, _ in simulate(12, seed=4, repeats=False)]
    by_spectra = trust_rows(encode(spectra, model))
    data.setup()
    by_rows = validation_sample(model, data)
    order = np.random.default_rng(0).permutation(12)
    # Another draw of the same noise. An untrained decoder has more than one velocity that fits.
    difference = np.abs(by_rows.values - by_spectra.values[order])
    assert difference[:, 1:].max() < 0.3
    assert np.mean(difference[:, 0] < 0.3) > 0.7
    ratio = by_rows.segments / by_spectra.segments[order]
    np.testing.assert_allclose(np.nanmedian(ratio), 1, atol=0.1)
    np.testing.assert_array_equal(by_rows.edges, by_spectra.edges)


def test_few_rows_leave_no_sample_and_no_older_one(module, config, data, sampled):
    data.setup()
    export(module, config, data, sampled)
    assert not (sampled / SAMPLE_FILE).exists()


def test_half_takes_the_sample_along(sampled, tmp_path):
    half(sampled, tmp_path / "half")
    before, after = read_trust_sample(sampled), read_trust_sample(tmp_path / "half")
    np.testing.assert_array_equal(after.values, before.values)
    assert after.info["weights_sha256"] == weights_sha256(tmp_path / "half")


def test_push_takes_the_sample_along_and_a_load_brings_it(sampled, hub, tmp_path):
    from latentscope.models.trust import sample_beside, trust_sample
    from latentscope.models.weights import load_model

    with pytest.warns(match="nobody has written"):
        assert SAMPLE_FILE in push(sampled, "me/tiny").files
    model = load_model("me/tiny", cache_dir=tmp_path / "cache")
    found = sample_beside(model)
    np.testing.assert_array_equal(found.values, read_trust_sample(sampled).values)
    again = trust_sample("me/tiny", cache_dir=tmp_path / "other")
    np.testing.assert_array_equal(again.values, found.values)


def test_a_model_of_the_hub_without_a_sample_loads(folder, hub, tmp_path):
    from latentscope.models.trust import sample_beside
    from latentscope.models.weights import load_model

    with pytest.warns(match="nobody has written"):
        push(folder, "me/bare")
    assert sample_beside(load_model("me/bare", cache_dir=tmp_path / "cache")) is None


def test_simulated_spectra_have_noise_and_resolution(sampled):
    seen = []
    model = load_folder(sampled)
    sample = simulated_sample(model, 5, seed=9, progress=seen.append)
    assert seen == [5]
    assert np.isfinite(sample.snr).all()
    assert sample.info["origin"] == "imperfect simulated spectra, seed 9, built-in lines"
    # Of some the telluric lines were removed; the others were taken at HARPS's power, give or take.
    measured = sample.resolution[np.isfinite(sample.resolution)]
    assert len(measured) > 2
    np.testing.assert_allclose(measured, 115_000, rtol=0.3)


def test_the_command_takes_latents(sampled, tmp_path):
    from typer.testing import CliRunner

    from train.commands import app

    model = load_folder(sampled)
    rows = encode([one for one, _ in simulate(2, seed=9)], model)
    copies = np.arange(140) % 2
    table = rows.table.iloc[copies].reset_index(drop=True).drop(columns=["object", "star"])
    many = dataclasses.replace(rows, values=rows.values[copies], table=table)
    write_latents(many, tmp_path / "mine.npy")
    done = CliRunner().invoke(
        app, ["sample", str(sampled), "--latents", str(tmp_path / "mine.npy")]
    )
    assert done.exit_code == 0, done.output
    assert "140 spectra (mine.npy)" in done.output
    assert len(read_trust_sample(sampled)) == 140
