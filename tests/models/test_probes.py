"""Saved probes: plain arrays that come back as they were, damaged ones, and what encode makes."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from safetensors import safe_open

from latentscope.data import Latents, read_latents
from latentscope.diagnostics.probe import fit_probe
from latentscope.errors import ModelError, TableError
from latentscope.models.config import PROBE_FILE
from latentscope.models.encode import encode
from latentscope.models.probes import (
    apply_probe,
    compare_probe,
    probe_beside,
    read_probe,
    write_probe,
)
from latentscope.models.weights import load_folder, save_model, weights_sha256
from tests.models.encoding import tiny_model, write_archive


def stars(n=800, seed=0):
    """Latents of the tiny model's size, and two labels that follow from them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3)).astype(np.float32)
    frame = pd.DataFrame(
        {
            "Teff": 5500 + 600 * z[:, 0] + 60 * rng.normal(size=n),
            "[M/H]": 0.3 * z[:, 1] - 0.2 * z[:, 0] ** 2 + 0.1 * rng.normal(size=n),
        }
    )
    return z, frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder with a probe."""
    folder = save_model(tiny_model(), tmp_path_factory.mktemp("model") / "tiny")
    z, frame = stars()
    provenance = {"model": "tiny", "weights_sha256": weights_sha256(folder), "mad_threshold": 0.05}
    write_probe(fit_probe(Latents(z, None, None, provenance), frame), folder)
    return folder


def test_a_probe_that_was_written_reads_the_same(tmp_path):
    z, frame = stars()
    made = fit_probe(z, frame)
    read = read_probe(write_probe(made, tmp_path / "stars.safetensors"))
    others = stars(200, 1)[0] * 1.5
    pd.testing.assert_frame_equal(read.apply(others), made.apply(others), check_exact=True)
    assert read.info == made.info
    assert (tmp_path / "stars.safetensors").stat().st_size < 60_000


def test_the_probe_of_a_model_is_found_by_all_its_names(folder):
    model = load_folder(folder)
    rows = stars(20, 2)[0]
    wanted = read_probe(folder).apply(rows)
    for source in (folder / PROBE_FILE, str(folder), model):
        pd.testing.assert_frame_equal(read_probe(source).apply(rows), wanted)
    assert wanted.columns.tolist() == [
        "Teff_probe", "Teff_low", "Teff_high", "[M/H]_probe", "[M/H]_low", "[M/H]_high",
        "probe_distance", "probe_outside",
    ]  # fmt: skip


def test_a_probe_of_other_weights_is_not_taken(folder, tmp_path):
    other = save_model(tiny_model(seed=1), tmp_path / "other")
    with pytest.raises(ModelError, match="made by weights"):
        write_probe(read_probe(folder), other)
    (other / PROBE_FILE).write_bytes((folder / PROBE_FILE).read_bytes())
    with pytest.raises(ModelError, match="make it again"):
        read_probe(other)
    model = load_folder(folder)
    next(model.parameters()).data += 1
    assert probe_beside(model) is None
    z = Latents(stars(5)[0], None, None, {"weights_sha256": "0" * 64})
    with pytest.raises(TableError, match="encoded by weights 000000000000"):
        apply_probe(read_probe(folder), z)


def test_a_model_without_a_probe_says_how_to_make_one(tmp_path):
    bare = save_model(tiny_model(), tmp_path / "bare")
    with pytest.raises(ModelError, match="has no probe: latentscope probe"):
        read_probe(bare)
    with pytest.raises(ModelError, match="has no probe of its weights"):
        read_probe(load_folder(bare))
    with pytest.raises(ModelError, match="no such file"):
        read_probe(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match=r"ends in \.safetensors"):
        write_probe(fit_probe(*stars()), tmp_path / "stars.pkl")


def damaged(path, change):
    """Rewrite a probe with changed facts and arrays."""
    with safe_open(path, framework="np") as stored:
        facts = json.loads(stored.metadata()["probe"])
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    change(facts, arrays)
    metadata = {"format": "latentscope probe 2", "probe": json.dumps(facts)}
    return safetensors.numpy.save(arrays, metadata=metadata)


CHANGES = {
    "a star less": lambda facts, arrays: arrays.update(cloud=arrays["cloud"][:-1]),
    "no coefficients": lambda facts, arrays: arrays.pop("0.coefficients"),
    "not finite": lambda facts, arrays: arrays["0.center"].fill(np.nan),
    "a dimension that is not there": lambda facts, arrays: facts["readings"][0].update(dims=[7]),
    "a negative dimension": lambda facts, arrays: facts.update(dims=[-1, 1, 2]),
    "huge powers": lambda facts, arrays: arrays["0.powers"].fill(10**9),
    "text for a number": lambda facts, arrays: facts["readings"][0].update(lowest="1"),
    "a range too many": lambda facts, arrays: arrays.update({"0.factors": np.ones(99)}),
    "an unknown fact": lambda facts, arrays: facts.update(code="print()"),
    "no label": lambda facts, arrays: facts["readings"][0].pop("label"),
    "flat powers": lambda facts, arrays: arrays.update({"0.powers": np.arange(3)}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_damaged_probe_is_refused_by_name(folder, tmp_path, change):
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damaged(folder / PROBE_FILE, change))
    with pytest.raises(ModelError, match=r"damaged.safetensors: is not a complete probe"):
        read_probe(path)


class _Trap:
    def __reduce__(self):
        return (pytest.fail, ("a probe ran code",))


def test_loading_runs_no_code_and_takes_nothing_else_for_a_probe(folder, tmp_path):
    whole = (folder / PROBE_FILE).read_bytes()
    contents = {
        "pickle": pickle.dumps(_Trap()),
        "half": whole[: len(whole) // 2],
        "empty": b"",
        "weights": (folder / "model.safetensors").read_bytes(),
    }
    for name, data in contents.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(data)
        with pytest.raises(ModelError, match=f"{name}.safetensors: is not a complete probe"):
            read_probe(path)


def test_encode_writes_what_the_probe_reads(folder, tmp_path):
    files = write_archive(tmp_path, 4)
    latents = encode([*files, tmp_path / "none.fits"], str(folder), output=tmp_path / "z.npy")
    wanted = read_probe(folder).apply(latents.values)
    table = latents.table
    assert table.columns[-1] == "recon_segments"
    pd.testing.assert_frame_equal(table[wanted.columns], wanted)
    assert table["Teff_probe"].isna().tolist() == [False] * 4 + [True]
    assert latents.provenance["probe"]["weights_sha256"] == weights_sha256(folder)
    again = read_latents(tmp_path / "z.npy")
    np.testing.assert_allclose(again.column("Teff_low").astype(float), table["Teff_low"])
    bare = encode(files, str(folder), probe=None)
    assert not any("probe" in name for name in bare.table)
    z, frame = stars()
    own = fit_probe(Latents(z, None, None, {}), frame[["Teff"]])
    assert "[M/H]_probe" not in encode(files[:1], str(folder), probe=own).table
    with pytest.raises(ModelError, match="reads 2 dimensions, the model has"):
        encode(files, str(folder), probe=fit_probe(z[:, :2], frame[["Teff"]]))


def test_known_labels_say_how_good_it_is():
    made = fit_probe(*stars(2000))
    z, frame = stars(2000, 5)
    z[0] = 100.0
    found = compare_probe(made, z, frame).set_index("label")
    assert found.loc["Teff", "rms"] == pytest.approx(60, rel=0.1)
    assert found.loc["Teff", "covered"] == pytest.approx(0.9, abs=0.045)
    assert found.loc["Teff", "covered_low"] < found.loc["Teff", "covered"]
    assert found["silent"].tolist() == [1, 1]
    with pytest.raises(TableError, match="none of the columns that the probe reads"):
        compare_probe(made, z, frame.rename(columns={"Teff": "a", "[M/H]": "b"}))
