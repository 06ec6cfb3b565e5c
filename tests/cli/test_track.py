"""track: the series, the picture, the JSON."""

import numpy as np
import pandas as pd
import pytest

from latentscope.data import Latents, write_latents


def test_track_follows_the_star_that_is_named(command, tmp_path):
    rng = np.random.default_rng(5)
    when = 55000.0 + np.arange(40)
    values = np.column_stack([np.sin(when[:30] / 2), np.zeros(30)]) + 0.1 * rng.normal(size=(30, 2))
    values = np.concatenate([values, rng.normal(size=(10, 2))])
    star = ["HD 1"] * 30 + ["HD 2"] * 10
    table = pd.DataFrame({"id": np.arange(40).astype(str), "star": star, "mjd": when})
    write_latents(Latents(values, table.assign(status="ok")), tmp_path / "latents.npy")
    labels = tmp_path / "activity.csv"
    pd.DataFrame({"id": table["id"], "index": values[:, 0] ** 3}).to_csv(labels, index=False)
    ended = command(
        "track", tmp_path / "latents.npy", labels, "--star", "hd1", "--dims", "all", "--json",
        "-o", tmp_path / "track.csv", "--plot", tmp_path / "track.png",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.json["dims"][0]["period"] == pytest.approx(4 * np.pi, rel=0.05)
    first = ended.json["correlations"][0]
    assert (first["dim"], first["label"], first["rho"]) == (0, "index", pytest.approx(1))
    assert len(pd.read_csv(tmp_path / "track.csv")) == 30
    assert (tmp_path / "track.png").read_bytes().startswith(b"\x89PNG")
    assert "goes with index" in ended.err
    wrong = command("track", tmp_path / "latents.npy", "--star", "HD 9")
    assert wrong.code == 2
    assert "HD 1 (30)" in wrong.err
