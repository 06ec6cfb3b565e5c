import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from latentscope.simulation.simulate import write_spectrum
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.spectrum import Spectrum
from train.settings import read_config

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


def pytest_collection_modifyitems(items):
    """Tiny archives have too few stars for their labels to be watched."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore:.*not watched"))


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads of torch wait for each other where other tests run beside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def config(tiny):
    """The tiny configuration."""
    return read_config(tiny)


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


@pytest.fixture(scope="session")
def prepare():
    """The preparation of the tiny configuration."""
    return PrepareConfig.from_dict(TINY["prepare"])


@pytest.fixture(scope="session")
def expose():
    """Function (folder, star, first, n): `n` small exposures of a star, as S1D files."""

    def write(folder, star, first=0, n=1, spike=None):
        wavelength = 3780.0 + np.arange(3150.0)
        files = []
        for number in range(first, first + n):
            rng = np.random.default_rng((number, len(star)))
            flux = 500 * (1 + 0.3 * np.sin(wavelength / 150)) + rng.normal(0, 20, len(wavelength))
            if spike is not None:
                flux[1000] = spike
            meta = {"object": star, "snr": 10.0 + number, "linelist": "none", "airmass": 1.2}
            spectrum = Spectrum(wavelength, flux, medium="air", frame="barycentric",
                                berv=0.5 * number, meta=meta)  # fmt: skip
            files.append(folder / f"HARPS.{number:04d}_s1d_A.fits")
            write_spectrum(spectrum, files[-1], "s1d")
        return files

    return write


@pytest.fixture(scope="session")
def one_night(tmp_path_factory, expose):
    """Folder of 21 exposures of the stars s0 (1), s1 (2) ... s5 (6)."""
    folder = tmp_path_factory.mktemp("night")
    first = 0
    for star in range(6):
        expose(folder, f"s{star}", first, star + 1)
        first += star + 1
    return folder


@pytest.fixture
def night(one_night, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(one_night, tmp_path / "night")


@pytest.fixture(scope="session")
def exposures(tmp_path_factory):
    """Seven spectra with errors, in the layout that has a column for them."""
    folder = tmp_path_factory.mktemp("exposures")
    wavelength = 3780.0 + np.arange(3150.0)
    for number in range(7):
        meta = {"object": f"s{number}", "snr": 50.0, "linelist": "none", "airmass": 1.2}
        rng = np.random.default_rng(number)
        sigma = 10.0 ** rng.uniform(-1, 1, len(wavelength))
        flux = 500 * (1 + 0.3 * np.sin(wavelength / 150)) + sigma * rng.normal(size=len(wavelength))
        ivar = np.where(rng.random(len(wavelength)) < 0.05, 0, sigma**-2)
        spectrum = Spectrum(wavelength, flux, ivar=ivar, berv=0.0, meta=meta)
        write_spectrum(spectrum, folder / f"ADP.{number}.fits", "adp")
    return folder
