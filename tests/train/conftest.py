import pytest
import yaml

TINY = {
    "name": "tiny",
    "description": "a network for tests",
    "architecture": {
        "length": 512, "channels": [4, 8], "kernels": [5, 3], "strides": [4, 4], "latents": 3,
        "extra": 8, "output": "mean", "doppler": True,
    },
    "prepare": {
        "grid": {"kind": "log", "start": 3800.0, "step": 0.00115, "length": 512,
                 "gaps": [[5303.64, 5338.04]]},
        "normalization": "continuum", "nodes": 8, "window": 5,
    },
    "data": {"spectra": 24, "validation": 12, "seed": 3, "batch_size": 4, "workers": 1},
    "stages": [
        {"steps": 6, "beta": 0.5, "blur": {"start": 3.0, "end": 0.0}},
        {"steps": 4, "beta": 0.1, "revive": True},
    ],
}  # fmt: skip


@pytest.fixture
def tiny(tmp_path):
    """Path of a training configuration that runs in seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """Where the rows of the tiny archive are kept between tests."""
    return tmp_path_factory.mktemp("rows")
