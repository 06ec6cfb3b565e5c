import fcntl
import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from latentscope.errors import LatentscopeError, ModelError
from train.data.packing import alone
from train.sweep.grid import folder_of, is_done, read_sweep, runs_of
from train.sweep.run import Sweep, sweep, write_configs

ROOT = Path(__file__).parents[3]

# Stands for `train fit`: eight steps, each written down; goes on from the last one; one fails.
FIT = """
import json, os, sys, time
from pathlib import Path
config, folder = Path(sys.argv[1]), Path(sys.argv[3])
steps = folder / "steps.txt"
begun = len(steps.read_text().split()) if steps.exists() else 0
for step in range(begun, 8):
    time.sleep(float({pause}))
    with steps.open("a") as file:
        file.write(f"{{step}}\\n")
    if "name: d002-beta0\\n" in config.read_text():
        sys.exit("the loss is nan")
(folder / "model").mkdir(exist_ok=True)
(folder / "model" / "config.json").write_text(json.dumps(
    {{"archive": sys.argv[5], "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}}))
"""


@pytest.fixture
def sweep_of(small, written, tmp_path):
    """Function (pause): a sweep whose runs are a script, in tmp_path/sweep."""
    config = read_sweep(written(small))
    folder, said = tmp_path / "sweep", []

    def make(pause=0.0, names=None):
        script = tmp_path / "fit.py"
        script.write_text(FIT.format(pause=pause))
        runs = [run for run in runs_of(config) if names is None or run.name in names]
        write_configs(config, runs, folder)
        return Sweep(folder, runs, 2, said.append, fit=(sys.executable, str(script)))

    make.config, make.folder, make.said = config, folder, said
    return make


def steps_of(runner, run):
    return [int(line) for line in (folder_of(runner.folder, run) / "steps.txt").read_text().split()]


def test_one_failed_run_loses_no_other(sweep_of):
    runner = sweep_of()
    outcomes = runner.train()
    failed = [outcome for outcome in outcomes if outcome.error]
    assert [outcome.run.name for outcome in failed] == ["d002-beta0"]
    assert "the loss is nan" in failed[0].error
    assert "exit code 1" in failed[0].error
    done = [run for run in runner.runs if is_done(runner.folder, run)]
    assert len(done) == len(runner.runs) - 1 == 7
    assert len(sweep_of.said) == 8
    model = folder_of(runner.folder, done[0]) / "model" / "config.json"
    assert json.loads(model.read_text())["archive"] == str(runner.folder / "archive.zarr")


@pytest.mark.parametrize("named", ["0,1", "GPU-7"])
def test_runs_share_the_gpus_evenly(sweep_of, monkeypatch, named):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    runner = sweep_of()
    runner.train()
    models = runner.folder.glob("runs/*/model/config.json")
    used = [json.loads(model.read_text())["gpu"] for model in models]
    assert set(used) == set(named.split(","))


def test_finished_runs_are_kept_and_failed_ones_tried_again(sweep_of):
    sweep_of().train()
    runner = sweep_of()
    outcomes = runner.train()
    assert [len(steps_of(runner, run)) for run in runner.runs] == [8, 2, 8, 8, 8, 8, 8, 8]
    assert [bool(outcome.error) for outcome in outcomes].count(True) == 1
    assert "7 of 8 runs were finished before" in sweep_of.said


def driver(runner, tmp_path):
    """A process that trains the sweep's runs."""
    code = textwrap.dedent(f"""
        from pathlib import Path
        from train.sweep.run import Sweep
        from train.sweep.grid import runs_of
        from train.sweep.grid import read_sweep
        runs = runs_of(read_sweep({str(tmp_path / "sweep.yaml")!r}))
        runs = [run for run in runs if run.name in {[run.name for run in runner.runs]!r}]
        Sweep(Path({str(runner.folder)!r}), runs, 2, print, fit={tuple(runner.fit)!r}).train()
    """)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    wanted = [folder_of(runner.folder, run) / "steps.txt" for run in runner.runs]
    for _ in range(600):
        if all(path.exists() for path in wanted):
            return process
        time.sleep(0.1)
    process.kill()
    raise AssertionError("the sweep did not begin")


@pytest.mark.slow
def test_a_killed_sweep_leaves_runs_that_the_next_one_waits_for(sweep_of, tmp_path):
    runner = sweep_of(0.3, ["d002-ae", "d003-ae"])
    process = driver(runner, tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not any(is_done(runner.folder, run) for run in runner.runs)
    outcomes = runner.train()
    assert not any(outcome.error for outcome in outcomes)
    for run in runner.runs:
        assert is_done(runner.folder, run)
        # Two processes in one folder would have written some steps twice.
        assert steps_of(runner, run) == list(range(8))


@pytest.mark.slow
def test_a_terminated_sweep_ends_its_runs(sweep_of, tmp_path):
    runner = sweep_of(0.5, ["d002-ae", "d003-ae"])
    process = driver(runner, tmp_path)
    process.terminate()
    assert process.wait(60) != 0
    counts = [len(steps_of(runner, run)) for run in runner.runs]
    for run in runner.runs:
        with (folder_of(runner.folder, run) / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert [len(steps_of(runner, run)) for run in runner.runs] == counts
    assert max(counts) < 8


def test_a_run_that_somebody_holds_is_waited_for(sweep_of):
    runner = sweep_of(names=["d002-ae"])
    here = folder_of(runner.folder, runner.runs[0])
    with (here / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = threading.Thread(target=runner.train)
        waiting.start()
        waiting.join(1.5)
        assert waiting.is_alive()
        assert not (here / "steps.txt").exists()
    waiting.join(60)
    assert is_done(runner.folder, runner.runs[0])


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


def test_runs_of_another_configuration_are_refused_once_begun(sweep_of, small, written):
    runner = sweep_of(names=["d002-ae"])
    small["base"]["stages"][0]["steps"] = 7
    other = read_sweep(written(small))
    write_configs(other, runner.runs, runner.folder)
    runner.train()
    write_configs(other, runner.runs, runner.folder)
    with pytest.raises(ModelError):
        write_configs(sweep_of.config, runner.runs, runner.folder)


def test_a_base_that_trains_nothing_is_named(small, written, tmp_path):
    small["base"]["stages"] = [{"steps": 3, "lambda": 1.0}]
    config = read_sweep(written(small))
    with pytest.raises(ModelError, match="lambda"):
        write_configs(config, runs_of(config), tmp_path / "sweep")
