"""An independent Conv1d form of the published network, and a local server of model files."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torch import nn

from latentscope.models.network import SpectrumVAE, VAEConfig
from latentscope.models.weights import save_model
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.wavelength import Grid

ENCODER = [1, 16, 16, 16, 32, 32, 32, 64, 64, 64, 128, 128, 128, 256, 512, 512]
DECODER = [512, 512, 256, 128, 128, 128, 64, 64, 64, 32, 32, 32, 16, 16, 16, 1]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


TINY = VAEConfig(
    length=256,
    channels=(4, 6),
    kernels=(9, 5),
    strides=(4, 2),
    latents=3,
    extra=8,
    output="mean",
    doppler=True,
)
TINY_PREPARE = PrepareConfig(
    grid=Grid("log", 4000.0, 1e-4, 256, gaps=((4010.0, 4012.0),)),
    normalization="continuum",
    window=17,
    nodes=8,
)
TINY_INFO = {
    "name": "tiny",
    "description": "for tests",
    "mad_threshold": 0.02,
    "beta": 0.4,
    "paper": "none",
    "training": {"steps": 0},
    "dims": {"0": "radial velocity"},
}


class PublishedNetwork(nn.Module):
    """The published layers under their published names, one by one, as Conv1d."""

    def __init__(self):
        super().__init__()
        for i in range(1, 16):
            kernel = 7 if i == 1 else 5 if i in (2, 3) else 3
            conv = nn.Conv1d(
                ENCODER[i - 1], ENCODER[i], kernel, 1 if i == 15 else 2, (kernel - 1) // 2
            )
            self.add_module(f"conv{i}", nn.Sequential(conv, nn.LeakyReLU(0.1)))
            source, target = DECODER[15 - i], DECODER[16 - i]
            shape = (3, 1, 1) if i == 15 else (4, 2, 1)
            deconv = nn.ConvTranspose1d(source, target, *shape)
            self.add_module(f"deconv{i}", nn.Sequential(deconv, nn.LeakyReLU(0.1)))
        self.fc11 = nn.Linear(10240, 128)
        self.fc12 = nn.Linear(10240, 128)
        self.fc2 = nn.Linear(128, 10240)
        self.predict0 = nn.Conv1d(1, 1, 3, padding=1)

    def scale(self, seed):
        """Draw weights anew so that activations neither grow nor fade from layer to layer."""
        generator = torch.Generator().manual_seed(seed)
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d | nn.Linear):
                weight = layer.weight
                inputs = weight[0].numel()
                if isinstance(layer, nn.ConvTranspose1d):
                    inputs = weight.shape[0] * weight.shape[2] / layer.stride[0]
                weight.data = torch.randn(weight.shape, generator=generator) * (2 / inputs) ** 0.5
                layer.bias.data = 0.1 * torch.randn(layer.bias.shape, generator=generator)
        return self

    def encode(self, x):
        for i in range(1, 16):
            x = getattr(self, f"conv{i}")(x)
        flat = x.reshape(len(x), 512 * 20)
        return self.fc11(flat), self.fc12(flat)

    def decode(self, z):
        x = self.fc2(z).reshape(len(z), 512, 20)
        for i in range(15, 0, -1):
            x = getattr(self, f"deconv{i}")(x)
        return self.predict0(x)


@pytest.fixture(scope="session")
def published_network():
    return PublishedNetwork().scale(seed=5).eval()


@pytest.fixture(scope="session")
def published_checkpoint(published_network, tmp_path_factory):
    """A checkpoint as the training scripts of the published models write it."""
    path = tmp_path_factory.mktemp("checkpoint") / "trained.pth.tar"
    state = published_network.state_dict()
    torch.save({"iter": 1, "epoch": 1, "lr": 1e-4, "state_dict": state, "optimizer": {}}, path)
    return path


class FileServer(ThreadingHTTPServer):
    """Serves `files` (path -> bytes) and misbehaves as `faults` (path -> list of words) say."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {}
        self.types = {}
        self.redirects = {}
        self.lengths = {}
        self.faults = defaultdict(list)
        self.log = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        server = self.server
        server.log.append((self.command, self.path))
        fault = server.faults[self.path].pop(0) if server.faults[self.path] else None
        data = server.files.get(self.path)
        if fault == "hang up":
            self.close_connection = True
            return
        if fault is not None and fault.isdigit():
            self.refuse(int(fault))
            return
        if self.path in server.redirects:
            self.send_response(302)
            self.send_header("Location", server.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if data is None:
            self.refuse(404)
            return
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        self.send_response(200)
        self.send_header("ETag", etag)
        length = server.lengths.get(self.path, str(len(data)))
        if length is None:
            self.close_connection = True
        else:
            self.send_header("Content-Length", length)
        self.send_header("Content-Type", server.types.get(self.path, "application/octet-stream"))
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
        if fault == "cut":
            self.close_connection = True

    def refuse(self, status):
        self.send_response(status)
        if status == 404 and "/resolve/" in self.path:
            known = any(
                name.startswith(self.path.split("/resolve/")[0]) for name in self.server.files
            )
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        """Stay quiet."""


@contextmanager
def serving(server, monkeypatch):
    """Let a server of this machine answer in a thread, with no proxy between."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def file_server(monkeypatch):
    with serving(FileServer(), monkeypatch) as server:
        yield server


@pytest.fixture
def model():
    """A network of a few hundred weights with a preparation and a card."""
    torch.manual_seed(1)
    return SpectrumVAE(TINY, TINY_PREPARE, TINY_INFO).eval()


@pytest.fixture
def folder(model, tmp_path):
    return save_model(model, tmp_path / "tiny")


@pytest.fixture
def same():
    """Whether two models have equal weights under equal names."""

    def compare(left, right):
        states = left.state_dict(), right.state_dict()
        return states[0].keys() == states[1].keys() and all(
            torch.equal(values, states[1][name]) for name, values in states[0].items()
        )

    return compare
