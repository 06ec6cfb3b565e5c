"""The reference sample beside a model's weights, and the trust of rows by it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from latentscope.data import Latents, read_latents
from latentscope.diagnostics.trust_reference import draw_trust_sample, trust_rows
from latentscope.errors import ChoiceError, ModelError
from latentscope.models.config import CONFIG_FILE, SAMPLE_FILE, bundled_models
from latentscope.models.encode import encode
from latentscope.models.trust import (
    TRUST_COLUMNS,
    read_trust_sample,
    sample_beside,
    score,
    segment_edges,
    trust_sample,
    write_trust_sample,
)
from latentscope.models.weights import load_folder, load_model, save_model, weights_sha256
from latentscope.spectra.prepare import prepare
from latentscope.spectra.spectrum import Spectrum
from tests.models.encoding import GRID, tiny_model

COLUMNS = (
    *("values", "recon_error", "coverage", "snr", "resolution", "contrast", "roughness"),
    *("segments", "edges"),
)


def spectra(n, seed=0, noise=0.1):
    """Noise and slopes: enough for latents that vary."""
    rng = np.random.default_rng(seed)
    wavelength = np.arange(4995.0, 5205.0, 0.5)
    x = (wavelength - 5100) / 100
    return [
        Spectrum(
            wavelength,
            1 + rng.uniform(-0.3, 0.3) * x + 0.2 * rng.normal() * np.sin(5 * x)
            + noise * rng.normal(size=len(x)),
            meta={"snr": 1 / noise},
        )
        for _ in range(n)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder with the sample of 250 spectra."""
    folder = save_model(tiny_model(), tmp_path_factory.mktemp("model") / "tiny")
    latents = encode(spectra(250), load_folder(folder))
    write_trust_sample(draw_trust_sample(latents, origin="spectra of a test"), folder)
    return folder


def test_a_sample_comes_back_as_it_was_written(folder):
    model = load_folder(folder)
    latents = encode(spectra(250), tiny_model())
    wanted, found = draw_trust_sample(latents), read_trust_sample(folder)
    for name in COLUMNS:
        np.testing.assert_allclose(
            getattr(found, name), getattr(wanted, name), rtol=1e-3, atol=1e-4
        )
    assert found.info == {
        "model": "tiny", "weights_sha256": weights_sha256(model), "origin": "spectra of a test",
        "mad_threshold": "0.05",
    }  # fmt: skip
    assert (folder / SAMPLE_FILE).stat().st_size < 30_000


def test_large_latents_keep_their_digits(folder, tmp_path):
    save_model(tiny_model(), tmp_path)
    sample = replace(read_trust_sample(folder), values=1e5 * np.arange(750.0).reshape(250, 3))
    write_trust_sample(sample, tmp_path)
    np.testing.assert_allclose(read_trust_sample(tmp_path).values, sample.values, rtol=1e-6)


def test_errors_of_parts_are_those_of_the_pixels(folder):
    model, some = tiny_model(), spectra(4)
    segments = trust_rows(encode(some, model)).segments
    assert segments.shape == (4, 32)
    import torch

    for spectrum, found in zip(some, segments, strict=True):
        prepared = prepare(spectrum, model.prepare)
        row = torch.from_numpy(prepared.row)[None]
        with torch.no_grad():
            residual = (model.decode(model.encode(row)[0]) - row)[0].numpy()
        parts = zip(np.array_split(residual, 32), np.array_split(prepared.valid, 32), strict=True)
        wanted = [
            np.sqrt(np.mean(part[good] ** 2)) if 2 * good.sum() >= len(good) else np.nan
            for part, good in parts
        ]
        np.testing.assert_allclose(found, wanted, rtol=6e-3)


@pytest.mark.parametrize("normalization", ["median-padded", "continuum"])
def test_edges_of_parts_are_wavelengths_of_the_grid(normalization):
    edges = segment_edges(tiny_model(normalization).prepare)
    assert len(edges) == 33
    assert (edges[0], edges[-1]) == pytest.approx((4999.75, 5199.75))
    if normalization == "continuum":  # 400 pixels: parts of 13 and of 12
        assert np.diff(edges).tolist() == [6.5] * 16 + [6.0] * 16
    else:  # 3 pixels of padding in front
        assert edges[1] == pytest.approx(4999.75 + 0.5 * (13 - GRID.pad_left))


def test_encode_says_whom_to_trust(folder, tmp_path):
    some = [*spectra(20, seed=1), *spectra(2, seed=2, noise=5.0)]
    some[-2:] = [replace(one, meta={"snr": 10.0}) for one in some[-2:]]
    latents = encode(some, load_folder(folder), output=tmp_path / "latents.npy")
    table = pd.read_csv(tmp_path / "latents.csv")
    assert list(table["verdict"][-2:]) == ["outside"] * 2
    assert (table["trust"][-2:] < 1e-3).all()
    assert (table["recon_percentile"][-2:] == 100).all()
    assert (table["verdict"][:20] == "ordinary").mean() > 0.7
    edges = json.loads((tmp_path / "latents.json").read_text())["recon_segments"]
    np.testing.assert_allclose(edges, segment_edges(tiny_model().prepare))
    again = score(read_latents(tmp_path / "latents.npy"), model=folder)
    for name in TRUST_COLUMNS[:3]:
        np.testing.assert_allclose(again.table[name], latents.table[name], rtol=1e-9)
    assert list(again.table["verdict"]) == list(latents.table["verdict"])


def test_without_a_sample_the_columns_are_empty_and_score_says_what_to_do(tmp_path):
    folder = save_model(tiny_model(), tmp_path / "bare")
    assert sample_beside(load_folder(folder)) is None
    latents = encode(spectra(3), load_folder(folder))
    assert latents.table[list(TRUST_COLUMNS[:3])].isna().all(axis=None)
    assert (latents.table["verdict"] == "").all()
    with pytest.raises(ModelError, match=r"no reference sample: give --reference LATENTS"):
        score(latents, model=folder)
    with pytest.raises(ModelError, match=r"astro-machines.* without a reference sample"):
        score(latents, model="astro-machines")


def test_without_reconstruction_density_remains(folder):
    latents = encode(spectra(5, seed=3), load_folder(folder), recon_error=False)
    assert (latents.table["recon_segments"] == "").all()
    assert latents.table["recon_percentile"].isna().all()
    assert latents.table["density_percentile"].notna().all()
    assert latents.table["verdict"].isin(["ordinary", "doubtful", "outside"]).all()


def test_rows_that_failed_are_judged_by_nobody(folder, tmp_path):
    latents = encode([spectra(1)[0], tmp_path / "absent.fits"], load_folder(folder))
    assert latents.table["verdict"][1] == ""
    assert np.isnan(latents.table["trust"][1])


def test_a_sample_of_other_weights_is_refused(folder, tmp_path):
    other = save_model(tiny_model(seed=1), tmp_path / "other")
    (other / SAMPLE_FILE).write_bytes((folder / SAMPLE_FILE).read_bytes())
    for attempt in (lambda: trust_sample(other), lambda: encode(spectra(1), load_folder(other))):
        with pytest.raises(ModelError, match=r"made by weights .*\.\.\., the model has"):
            attempt()
    with pytest.raises(ModelError, match="the latents: made by weights"):
        write_trust_sample(read_trust_sample(folder), other)


def test_a_model_that_was_changed_since_has_no_sample(folder):
    model = load_folder(folder)
    assert sample_beside(model) is not None
    model.mean.bias.data += 1
    assert sample_beside(model) is None
    assert (encode(spectra(2), model).table["verdict"] == "").all()


def test_damage_is_told_before_the_work(folder, tmp_path):
    broken = save_model(tiny_model(), tmp_path / "broken")
    (broken / SAMPLE_FILE).write_bytes((folder / SAMPLE_FILE).read_bytes()[:500])
    with pytest.raises(ModelError, match=r"sample\.safetensors: is not a reference sample"):
        encode([tmp_path / "absent.fits"], load_folder(broken))
    other = (broken / "model.safetensors").read_bytes()
    (broken / SAMPLE_FILE).write_bytes(other)
    with pytest.raises(ModelError, match="is not a reference sample"):
        read_trust_sample(broken)


def test_few_spectra_are_no_sample(folder):
    sample = read_trust_sample(folder)
    with pytest.raises(ModelError, match="99 spectra are too few for a reference"):
        write_trust_sample(sample.rows(np.arange(99)), folder)


def test_a_model_its_name_and_its_folder_stand_for_its_sample(folder):
    latents = encode(spectra(5, seed=4), load_folder(folder))
    expected = score(latents, reference=trust_sample(folder)).table
    for way in ({"model": load_folder(folder)}, {"model": str(folder)}, {"reference": folder},
                {"reference": load_folder(folder)}):  # fmt: skip
        pd.testing.assert_frame_equal(score(latents, **way).table, expected)
    rows = Latents(trust_sample("harps-sim").values[:9])
    by_name = score(rows, "harps-sim").table
    pd.testing.assert_frame_equal(score(rows, reference="harps-sim").table, by_name)


def test_a_model_without_a_folder_has_no_sample():
    with pytest.raises(ModelError, match="tiny has no reference sample"):
        trust_sample(tiny_model())


def test_one_of_reference_and_model():
    with pytest.raises(ChoiceError):
        score(np.zeros((3, 2)), reference=np.zeros((200, 2)), model="harps-sim")


@pytest.mark.parametrize("name", list(bundled_models()))
def test_bundled_models_have_a_sample_that_finds_itself(name):
    folder = bundled_models()[name]
    assert (folder / SAMPLE_FILE).stat().st_size < 1e6
    sample = trust_sample(name)
    assert len(sample) >= 2000
    assert sample.segments.shape[1] == 32
    sha = json.loads((folder / CONFIG_FILE).read_text())["weights_sha256"]
    rows = Latents(sample.values[:50], provenance={"model": name, "weights_sha256": sha})
    result = score(rows)
    assert not result.provenance["own_reference"]
    assert result.provenance["reference"]["model"] == name
    other = Latents(sample.values, provenance={"model": name, "weights_sha256": "0" * 64})
    assert score(other).provenance["own_reference"]


def test_a_model_knows_its_folder(folder):
    assert load_model(folder).folder == folder
    assert tiny_model().folder is None
