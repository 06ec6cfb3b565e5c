"""The benchmarks of mutual information run, at sizes that measure nothing."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import pytest

from benchmarks import mi_accuracy, mi_speed, mi_statistics
from benchmarks.mi_cases import CASES
from benchmarks.mi_peers import peers
from benchmarks.mi_speed import columns

CASE = {case.name: case for case in CASES}
SMALL = Namespace(rows=300, unique_rows=100, pair_rows=300, peer_dims=1, memory_labels=1, repeats=1)


def test_accuracy_prints_a_row_each(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--rows", "300", "--seeds", "2", "--only", "1 sigma", "--cases"]
    mi_accuracy.main([*arguments, "--estimators", "auto,ksg"])
    told = capsys.readouterr().out
    assert "| latentscope auto |" in told
    assert "0 of " in told
    assert "two classes, 1 sigma" in told
    assert "x clipped at 1 sigma" in told


def test_failures_are_counted_and_left_out_of_the_mean(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(x: np.ndarray, y: np.ndarray, discrete: bool) -> float:
        if discrete:
            raise ValueError("no classes")
        return -np.inf if len(np.unique(x)) < 100 else 1.0

    chosen = [CASE[name] for name in ("normal 0.3", "two classes, 1 sigma", "x clipped at 1 sigma")]
    chosen.append(CASE["both rounded to 0.5"])
    table = mi_accuracy.all_measured(chosen, {"bad": fails, "none": lambda *_: None}, 400, 3)
    (row,) = mi_accuracy.summary(table).to_dict("records")
    assert row["estimator"] == "bad"
    assert row["failures"] == "6 of 12"
    assert row["continuous"] == pytest.approx(1 - CASE["normal 0.3"].truth)
    assert np.isnan(row["discrete label"])
    assert row["worst pair"].endswith("normal 0.3")
    assert "no classes" in capsys.readouterr().err


def test_peers_come_near_a_known_value() -> None:
    found = peers(("scikit-learn", "NPEET", "ennemi", "infomeasure", "histogram"))
    assert {"scikit-learn", "histogram"} <= set(found)
    for name, peer in found.items():
        for case, discrete in (("normal 0.9", False), ("two classes, 3 sigma", True)):
            x, y = CASE[case].draw(np.random.default_rng(0), 2_000)
            value = peer.estimate(x, y, discrete)
            if value is None:
                assert (name, discrete) == ("infomeasure", True)
            else:
                assert value == pytest.approx(CASE[case].truth, abs=0.2)


def test_inputs_depend_on_the_latents() -> None:
    latents, labels = columns(2_000, 4, 8)
    assert latents.shape == (2_000, 4)
    assert np.corrcoef(latents.T)[0, 1] == pytest.approx(0.6, abs=0.06)
    assert np.corrcoef(latents[:, 0], labels["label_0"])[0, 1] > 0.8
    assert np.corrcoef(latents[:, 1] ** 2, labels["label_1"])[0, 1] > 0.8


def test_speed_of_a_matrix_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    mi_speed.matrix("tiny", 100, 2, 1, 1)
    told = capsys.readouterr().out
    assert told.startswith("| tiny: 2 x 8, n = 100")
    assert "1 of 16 pairs timed" in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "said"),
    [("pair", "scikit-learn"), ("memory", "MB above the inputs"), ("startup", "first call")],
)
def test_speed_jobs_run(job: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    mi_speed.JOBS[job](SMALL)
    assert said in capsys.readouterr().out


def test_speed_names_the_jobs_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        mi_speed.main(["--job", "archives"])
    assert "choose from archive, unique, pair, memory, startup" in capsys.readouterr().err


def test_errors_and_false_positives_are_printed(capsys):
    options = ["--repeats", "2", "--pairs", "200", "--stars", "30"]
    mi_statistics.main([*options, "--part", "groups", "false_positives", "coverage"])
    text = capsys.readouterr().out
    assert "64 pairs of 30 stars" in text
    assert text.count("of 200 pairs") == 4
    assert text.count("inside") == 12
