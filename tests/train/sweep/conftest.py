import copy

import pytest
import yaml

from tests.train.conftest import TINY

SMALL = {
    "base": {
        "architecture": {
            key: value for key, value in TINY["architecture"].items()
            if key not in ("latents", "doppler")
        },
        "prepare": TINY["prepare"],
        "data": {"batch_size": 4, "archive": {"validation": 0.2, "watch_rows": 8}},
        "stages": [
            {"steps": 6, "beta": {"start": 0.1, "end": 1.0, "curve": "geometric"},
             "learning_rate": 0.02},
            {"steps": 4, "beta": 1.0, "learning_rate": 0.02},
        ],
    },
    "archive": {"spectra": 40, "seed": 3},
    "test": {"stars": 60, "seed": 8},
    "grid": {"latents": [2, 3], "beta": [0.0, 0.3]},
    "chosen": {"latents": 3, "beta": 0.3},
    "too_small": 0.0,
    "seeds": [1],
    "balanced": {"one-per-star": {"one_per_star": True}},
}  # fmt: skip


@pytest.fixture
def small():
    """Values of a sweep of tiny networks."""
    return copy.deepcopy(SMALL)


@pytest.fixture
def written(tmp_path):
    """Function (values): path of a sweep's configuration."""

    def write(values):
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write
