"""A Dask cluster gives what threads give, and loses nothing when workers die."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import latentscope.models.encode as encoding
from latentscope.errors import ModelError
from latentscope.models.encode import encode
from tests.models.encoding import tiny_model, write_adp, write_archive

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, scheduler_kwargs=encoding._NO_PAGE
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK", 4)
    folder = tmp_path / "archive"
    folder.mkdir()
    files = write_archive(folder, 42)
    files[5].write_bytes(b"SIMPLE  =")
    return [*files, tmp_path / "absent.fits"]


def outputs(folder):
    """Bytes of latents and table that a run left, and nothing else is there."""
    assert sorted(path.name for path in folder.iterdir()) == [
        *("latents.csv", "latents.json", "latents.npy")
    ]
    return [(folder / f"latents.{end}").read_bytes() for end in ("npy", "csv")]


def test_local_distributed_killed_and_resumed_runs_give_the_same_bytes(archive, tmp_path, client):
    # In batches of one, whose latents do not depend on where a worker's share begins.
    options = {"batch_size": 1, "logvar": False}
    encode(archive, tiny_model(), output=tmp_path / "local" / "latents.npy", **options)
    wanted = outputs(tmp_path / "local")

    pids = client.run(os.getpid)
    killed = []

    def kill_one(done, total):
        if not killed:
            killed.append(min(pids.values()))
            os.kill(killed[0], signal.SIGKILL)

    encode(
        archive,
        tiny_model(),
        output=tmp_path / "killed" / "latents.npy",
        progress=kill_one,
        dask=client,
        **options,
    )
    assert killed
    assert outputs(tmp_path / "killed") == wanted

    class StopError(Exception):
        pass

    def stop(done, total):
        if done >= 13:
            raise StopError

    resumed = tmp_path / "resumed" / "latents.npy"
    with pytest.raises(StopError):
        encode(archive, tiny_model(), output=resumed, progress=stop, dask=client, **options)
    assert len(list((tmp_path / "resumed" / "latents.npy.parts").glob("*.npz"))) == 3
    seen = []
    encode(
        archive,
        tiny_model(),
        output=resumed,
        progress=lambda done, total: seen.append(done),
        dask=client,
        **options,
    )
    assert seen[0] == 12
    assert outputs(tmp_path / "resumed") == wanted
    assert np.isnan(np.load(resumed)[[5, 42]]).all()


def test_a_worker_makes_its_network_once(archive, client):
    def count():
        import latentscope.models.encode as encoding

        made, encoding._MADE = [], []
        network = encoding.Network

        class Counted(network):
            def __init__(self, *arguments):
                encoding._MADE.append(1)
                super().__init__(*arguments)

        encoding.Network = Counted
        return made

    client.run(count)
    encode(archive, tiny_model(), dask=client)
    made = client.run(lambda: len(encoding._MADE))
    assert max(made.values()) == 1


def test_relative_names_need_the_folder_of_the_workers(archive, client, monkeypatch):
    monkeypatch.chdir(archive[0].parent)
    with pytest.raises(ModelError, match="where relative names of files are others"):
        encode(archive[0].name, tiny_model(), dask=client)


def test_what_the_workers_refuse_is_said(archive, client):
    with pytest.raises(ModelError, match="device is 'gpu'; expected auto, cpu, cuda"):
        encode(archive, tiny_model(), device="gpu", dask=client)


def test_an_address_without_a_scheduler_is_said(archive):
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "3 s"}),
        pytest.raises(ModelError, match=r"no Dask scheduler at tcp://127.0.0.1:9 "),
    ):
        encode(archive, tiny_model(), dask="tcp://127.0.0.1:9")


def test_without_the_package_the_error_says_what_to_install(archive, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModelError, match=r"pip install 'latentscope-spectra\[distributed\]'"):
        encode(archive, tiny_model(), dask="local")


def test_the_command_starts_a_cluster_of_its_own(tmp_path, repository):
    write_adp(tmp_path / "a.fits")
    command = "-m latentscope encode a.fits --dask local --workers 2 --json"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(repository)},
    )
    # The file is off the grid of the bundled model.
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["failed"][0]["file"] == "a.fits"
    assert "covers" in done.stderr


def test_dask_is_loaded_where_it_is_asked_for():
    code = "import latentscope.models.encode, sys; print('distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n"
