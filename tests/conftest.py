"""What all tests share: the folder of real data, a browser, and pictures without a display."""

import os
import shutil
from pathlib import Path

import matplotlib
import pytest
from hypothesis import settings

from latentscope.workers import NO_PAGE

matplotlib.use("Agg")
# A busy machine, or a first call that compiles, is no fault.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

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


@pytest.fixture(scope="session")
def linelist(tmp_path_factory):
    """Path of a short line list, with which spectra are simulated several times as fast."""
    from tests.simulation.oracle import few_lines

    lines = few_lines()
    path = tmp_path_factory.mktemp("lines") / "few.csv"
    rows = zip(lines.wavelength, lines.z, lines.ion, lines.excitation, lines.loggf, strict=True)
    text = "\n".join(",".join(str(value) for value in row) for row in rows)
    path.write_text(f"wavelength_air_A,Z,ion,ep_eV,loggf\n{text}\n")
    return str(path)


@pytest.fixture(scope="module")
def client():
    """Client of a Dask cluster of two processes."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, scheduler_kwargs=NO_PAGE
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def browser():
    """Chromium; for one module, since its loop would be in the way of another one's."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium")
    with sync_api.sync_playwright() as started:
        found = started.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()
