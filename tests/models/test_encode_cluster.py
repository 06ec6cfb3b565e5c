"""A Dask cluster gives what threads give, and loses nothing when workers die."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import latentscope.models.encode as encoding
from latentscope.errors import ClusterError, ModelError
from latentscope.models.encode import encode
from latentscope.models.weights import save_model
from tests.models.encoding import tiny_model, write_adp, write_archive

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


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


def test_a_worker_does_not_make_its_network_for_each_block(archive, client):
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
    # Once, or again where Dask let go of it between two of the eleven blocks.
    assert max(made.values()) <= 3


def test_relative_names_need_the_folder_of_the_workers(archive, client, monkeypatch):
    monkeypatch.chdir(archive[0].parent)
    with pytest.raises(ModelError, match="where relative names of files are others"):
        encode(archive[0].name, tiny_model(), dask=client)


def test_what_the_workers_refuse_is_said(archive, client):
    with pytest.raises(ModelError, match="device is 'gpu', which cannot be used"):
        encode(archive, tiny_model(), device="gpu", dask=client)


def test_an_address_without_a_scheduler_is_said(archive):
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "3 s"}),
        pytest.raises(ClusterError, match=r"no Dask scheduler at tcp://127.0.0.1:9 "),
    ):
        encode(archive, tiny_model(), dask="tcp://127.0.0.1:9")


def test_without_the_package_the_error_says_what_to_install(archive, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"pip install 'latentscope-spectra\[distributed\]'"):
        encode(archive, tiny_model(), dask="local")


def test_the_command_starts_a_cluster_of_its_own(tmp_path, repository):
    write_adp(tmp_path / "a.fits")
    command = "-m latentscope encode a.fits --dask local --workers 1 --json"
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


@pytest.fixture
def hosts():
    """Two hosts of one network: names of network namespaces, and their addresses."""
    names = [f"scope{end}{os.getpid()}" for end in "ab"]
    addresses = ["10.77.0.1", "10.77.0.2"]
    steps = [f"ip netns add {name}" for name in names]
    steps.append(f"ip -n {names[0]} link add va type veth peer name vb netns {names[1]}")
    for name, link, address in zip(names, ("va", "vb"), addresses, strict=True):
        steps.append(f"ip -n {name} addr add {address}/24 dev {link}")
        steps += [f"ip -n {name} link set {device} up" for device in (link, "lo")]
    try:
        for step in steps:
            try:
                subprocess.run(step.split(), check=True, capture_output=True, text=True)
            except (OSError, subprocess.CalledProcessError) as error:
                pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', error)}")
        yield dict(zip(names, addresses, strict=True))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def test_two_hosts_give_the_bytes_of_one_and_one_may_die(hosts, tmp_path, repository):
    folder = tmp_path / "archive"
    folder.mkdir()
    for number, file in enumerate(write_archive(folder, 12) * 50):
        os.link(file, folder / f"{number:03d}.fits")
    model = save_model(tiny_model(), tmp_path / "tiny")
    encode(folder, model, batch_size=1, workers=1, output=tmp_path / "local" / "latents.npy")

    def on(host, *command, **options):
        asked = ["ip", "netns", "exec", host, sys.executable, "-m", *map(str, command)]
        environment = os.environ | {"PYTHONPATH": str(repository)}
        running = subprocess.Popen(asked, cwd=tmp_path, env=environment, text=True, **options)
        started.append(running)
        return running

    (here, address), (there, other) = hosts.items()
    scheduler, started = f"tcp://{address}:8786", []
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        on(here, "dask", "scheduler", "--host", address, "--port", 8786, "--no-dashboard", **quiet)
        for host, own in ((here, address), (there, other)):
            options = ("--host", own, "--nthreads", 1, "--no-dashboard", "--no-nanny")
            worker = on(host, "dask", "worker", scheduler, *options, **quiet)
        waiting = f"import distributed; distributed.Client('{scheduler}').wait_for_workers(2)"
        waited = subprocess.run(["ip", "netns", "exec", here, sys.executable, "-c", waiting])
        assert waited.returncode == 0
        output = tmp_path / "killed" / "latents.npy"
        run = on(
            here,
            *("latentscope", "encode", folder, "-m", model, "-o", output),
            *("--batch-size", 1, "--dask", scheduler),
            stderr=subprocess.PIPE,
        )
        while run.poll() is None and not (output.parent / "latents.npy.parts").exists():
            time.sleep(0.01)
        worker.kill()
        _, said = run.communicate()
    finally:
        for running in started:
            running.kill()
            running.wait()
    assert run.returncode == 0, said
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "local")
