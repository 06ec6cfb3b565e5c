import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import yaml

from latentscope.errors import LatentscopeError, ModelError
from train.data.packing import alone
from train.sweep.grid import folder_of, is_done, read_sweep, runs_of
from train.sweep.run import sweep, train_runs, write_configs

ROOT = Path(__file__).parents[3]


def fit(config, folder, archive):
    """Stands for a run: eight steps, each written down; goes on from the last one; one fails."""
    values = yaml.safe_load(config.read_text())
    steps = folder / "steps.txt"
    begun = len(steps.read_text().splitlines()) if steps.exists() else 0
    for step in range(begun, 8):
        time.sleep(values["stages"][0]["steps"] / 100)
        with steps.open("a") as file:
            file.write(f"{step} {os.getpid()}\n")
        if values["name"] == "d002-beta0":
            raise ModelError("the loss is nan")
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "config.json").write_text(
        json.dumps({"archive": str(archive), "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")})
    )


@pytest.fixture
def sweep_of(small, written, tmp_path):
    """Function (names, steps): runs whose configurations are in tmp_path/sweep."""
    folder, said = tmp_path / "sweep", []

    def make(names=None, steps=1):
        small["base"]["stages"][0]["steps"] = steps
        config = read_sweep(written(small))
        runs = [run for run in runs_of(config) if names is None or run.name in names]
        write_configs(config, runs, folder)
        return runs

    make.folder, make.said = folder, said
    make.train = lambda runs: train_runs(folder, runs, 2, said.append, fit)
    return make


def steps_of(folder, run):
    lines = (folder_of(folder, run) / "steps.txt").read_text().splitlines()
    return [int(line.split()[0]) for line in lines]


def model_of(folder, run):
    return json.loads((folder_of(folder, run) / "model" / "config.json").read_text())


def test_one_failed_run_loses_no_other_and_is_tried_again(sweep_of):
    runs, folder = sweep_of(), sweep_of.folder
    failed = sweep_of.train(runs)
    assert list(failed) == ["d002-beta0"]
    assert "the loss is nan" in failed["d002-beta0"]
    done = [run for run in runs if is_done(folder, run)]
    assert len(done) == len(runs) - 1 == 7
    assert len(sweep_of.said) == 8
    assert model_of(folder, done[0])["archive"] == str(folder / "archive.zarr")
    assert list(sweep_of.train(runs)) == ["d002-beta0"]
    assert [len(steps_of(folder, run)) for run in runs] == [8, 2, 8, 8, 8, 8, 8, 8]
    assert "7 of 8 runs were finished before" in sweep_of.said


@pytest.mark.parametrize("named", ["0,1", "GPU-7"])
def test_runs_share_the_gpus(sweep_of, monkeypatch, named):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    runs = sweep_of(["d002-ae", "d003-ae"], steps=10)
    sweep_of.train(runs)
    assert {model_of(sweep_of.folder, run)["gpu"] for run in runs} == set(named.split(","))


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_runs_end_with_the_sweep_and_go_on_with_the_next_one(sweep_of, tmp_path, by):
    runs, folder = sweep_of(["d002-ae", "d003-ae"], steps=50), sweep_of.folder
    # Jobs in the background begin with SIGINT ignored.
    code = textwrap.dedent(f"""
        import signal
        from pathlib import Path
        from tests.train.sweep.test_run import fit
        from train.sweep.grid import read_sweep, runs_of
        from train.sweep.run import train_runs
        if __name__ == "__main__":
            signal.signal(signal.SIGINT, signal.default_int_handler)
            runs = [run for run in runs_of(read_sweep({str(tmp_path / "sweep.yaml")!r}))
                    if run.name in ("d002-ae", "d003-ae")]
            train_runs(Path({str(folder)!r}), runs, 2, print, fit)
    """)
    script = tmp_path / "driver.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(script)], cwd=ROOT, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    steps = [folder_of(folder, run) / "steps.txt" for run in runs]
    waited(lambda: all(path.exists() for path in steps))
    process.send_signal(by)
    assert process.wait(60) != 0
    workers = {int(line.split()[1]) for path in steps for line in path.read_text().splitlines()}
    waited(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert not any(is_done(folder, run) for run in runs)
    assert not sweep_of.train(runs)
    assert [steps_of(folder, run) for run in runs] == [list(range(8))] * 2


def waited(holds):
    """Wait until something holds, for a minute at most."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("nothing happened for a minute")


def test_two_sweeps_do_not_share_a_folder(small, written, tmp_path):
    folder = tmp_path / "sweep"
    folder.mkdir()
    with (
        alone(folder),
        pytest.raises(LatentscopeError),
    ):
        sweep(folder, config=written(small), measure_only=True)
    assert not list(folder.iterdir())
    with pytest.raises(LatentscopeError):
        sweep(folder, config=written(small), measure_only=True)


def test_runs_of_another_configuration_are_refused_once_begun(sweep_of):
    sweep_of(["d002-ae"], steps=2)
    sweep_of.train(sweep_of(["d002-ae"]))
    sweep_of(["d002-ae"])
    with pytest.raises(ModelError):
        sweep_of(["d002-ae"], steps=2)


def test_a_base_that_trains_nothing_is_named(small, written, tmp_path):
    small["base"]["stages"] = [{"steps": 3, "lambda": 1.0}]
    config = read_sweep(written(small))
    with pytest.raises(ModelError, match="lambda"):
        write_configs(config, runs_of(config), tmp_path / "sweep")
