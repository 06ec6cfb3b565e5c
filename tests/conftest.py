"""What all tests share: the folder of real data, and pictures without a display."""

import os
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real spectra and published figures, which are not part of this repository."""
    folder = Path(os.environ.get("LATENTSCOPE_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; LATENTSCOPE_SHARED_DATA can name another folder")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return ROOT
