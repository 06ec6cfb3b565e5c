"""retrieve: by file, by row and by id, on latents that a model made."""

import json

import numpy as np
import pandas as pd
import pytest

LATENTS = "latents.npy"


@pytest.fixture
def here(here, tmp_path):
    """The folder of latents and labels, with four exposures of each star."""
    table = pd.read_csv(tmp_path / "latents.csv")
    table["star"] = [f"star-{i // 4}" for i in range(len(table))]
    table.to_csv(tmp_path / "latents.csv", index=False)
    return tmp_path


@pytest.fixture(scope="module")
def encoded(archive, tiny_model, tmp_path_factory):
    """Latents of the simulated archive by a tiny model of random weights."""
    from latentscope.models.encode import encode
    from latentscope.models.weights import load_model

    files = sorted(archive.glob("*.fits"))
    path = tmp_path_factory.mktemp("encoded") / LATENTS
    encode(files, load_model(tiny_model), output=path, workers=1)
    return files, path


@pytest.mark.slow
def test_by_row_with_labels_a_table_and_a_picture(command, here):
    ended = command(
        "retrieve", "--row", 12, "--row", 40, LATENTS, "-k", 3, "--labels-file", "labels.csv",
        "--columns", "radvel", "-o", "near.csv", "--plot", "near.png",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == (
        "spectrum-12: 3 nearest of 395 spectra over 3 dims (euclidean); 4 left out: itself and its "
        "star"
    )
    assert lines[1].split() == [
        "rank", "row", "id", "star", "distance", "percentile", "agree", "differ", "radvel",
    ]  # fmt: skip
    assert lines[6].startswith("spectrum-40: 3 nearest")
    assert lines[-1] == "1 row of NaN left out"
    table = pd.read_csv(here / "near.csv")
    assert table["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    assert not set(table["row"][:3]) & {12, 13, 14, 15}
    assert "Teff" not in table
    values = np.load(LATENTS).astype(float)[:, :3]
    ok = np.isfinite(values).all(axis=1)
    spread = 1.482602218505602 * np.median(
        np.abs(values[ok] - np.median(values[ok], axis=0)), axis=0
    )
    deltas = table[["delta_0", "delta_1", "delta_2"]].to_numpy()
    wanted = (values[table["row"][:3]] - values[12]) / spread
    assert deltas[:3] == pytest.approx(wanted, abs=1e-9)
    assert table["distance"].to_numpy() == pytest.approx(np.linalg.norm(deltas, axis=1))
    assert json.loads((here / "near.json").read_text())["metric"] == "euclidean"
    assert (here / "near.png").read_bytes().startswith(b"\x89PNG")


def test_by_id_as_json_with_every_choice(command, here):
    ended = command(
        "retrieve", "--id", "spectrum-12", LATENTS, "--json", "-k", "5", "--metric", "manhattan",
        "--spread", "plain", "--dims", "0,1", "--same-star", "--one-per-star", "--seed", "3",
    )  # fmt: skip
    assert ended.code == 0
    found = ended.json
    assert found["dims"] == [0, 1]
    assert found["metric"] == "manhattan"
    assert found["queries"][0]["left_out"] == 1
    stars = [match["star"] for match in found["matches"]]
    assert len(set(stars)) == 5
    match = found["matches"][0]
    assert match["distance"] == pytest.approx(sum(map(abs, match["differences"].values())))
    assert "spectrum-12: 5 nearest" in ended.err


@pytest.mark.slow
def test_by_file_with_the_model_of_the_latents(command, encoded, tiny_model):
    files, latents = encoded
    ended = command("retrieve", files[3], latents, "-m", tiny_model, "-k", 4, "--dims", "all")
    assert ended.code == 0
    rows = [line.split()[1] for line in ended.out.splitlines()[2:6]]
    assert "3" not in rows
    assert "11 spectra" in ended.out


def test_some_queries_fail_and_others_work(command, encoded, tiny_model, tmp_path):
    files, latents = encoded
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"garbage")
    ended = command(
        "retrieve", files[3], bad, "--row", "5", latents, "-m", tiny_model, "--dims", "all",
        "--json", "--plot", tmp_path / "x.png",
    )  # fmt: skip
    assert ended.code == 3
    assert [query["matches"] for query in ended.json["queries"]] == [10, 10, 0]
    assert [query["row"] for query in ended.json["queries"]] == [5, 3, None]
    assert ended.json["failed"][0]["query"] == "bad"
    assert "failed: " in ended.err
    assert (tmp_path / "x.png").is_file()
    alone = command("retrieve", bad, latents, "-m", tiny_model, "--dims", "all")
    assert alone.code == 1
    assert "no query can be answered" in alone.err


def test_the_model_is_looked_for_by_the_name_in_the_provenance(command, encoded):
    files, latents = encoded
    ended = command("retrieve", files[0], latents, "--dims", "all")
    assert ended.code == 1
    assert "made by the model 'tiny'" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((LATENTS,), 2, "nothing to look for in latents.npy"),
        ((), 2, "Usage"),
        (("--row", "400", LATENTS), 2, "no row 400; expected 0 ... 399"),
        (("--row", "x", LATENTS), 2, "--row"),
        (("--id", "nosuch", LATENTS), 2, "no row is named 'nosuch'"),
        (("--row", "5", LATENTS), 1, "its latents are NaN"),
        (("--row", "1", "nosuch.npy"), 1, "nosuch.npy: no such file"),
        (("--row", "1", LATENTS, "-k", "0"), 2, "-k"),
        (("--row", "1", LATENTS, "--metric", "hamming"), 2, "not one of 'euclidean'"),
        (("--row", "1", LATENTS, "--spread", "wide"), 2, "not one of 'robust'"),
        (("--row", "1", LATENTS, "--dims", "9"), 2, "dims [9]"),
        (("--row", "1", LATENTS, "--groups", "planet"), 2, "planet"),
        (("--row", "1", LATENTS, "--columns", "Teff"), 2, "--labels-file"),
        (("--row", "1", LATENTS, "--labels-file", "labels.csv", "--columns", ","), 2, "--columns"),
        (("--row", "1", LATENTS, "--labels-file", "labels.csv", "--labels", "mass"), 2, "mass"),
        (("--row", "1", LATENTS, "-o", "latents.csv"), 2, "would replace"),
        (("--row", "1", LATENTS, "--plot", "x.doc"), 2, ".png, .pdf, .svg"),
        (("x.fits", LATENTS), 1, "does not say which model made these latents"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(command, here, arguments, code, said):
    ended = command("retrieve", *arguments)
    assert ended.code == code
    assert said in ended.err
    assert not (here / "x.png").exists()
