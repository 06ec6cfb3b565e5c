import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from latentscope.errors import LatentscopeWarning, TableError
from latentscope.simulation.simulate import write_spectrum
from latentscope.spectra.prepare import PrepareConfig, prepare
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.spectrum import Spectrum
from tests.train.conftest import TINY
from train.data.archive import Layout, PackedArchive
from train.data.packed import Draw, PackedBatches
from train.data.packing import pack


def layout_of(config, dtype="float16"):
    return Layout(config.row_size, dtype, chunk=2, shard=4, ivar_size=config.ivar_size)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("normalization", ["continuum", "median-padded", "median-valid"])
def test_inverse_variances_come_back_with_their_rows(exposures, tmp_path, normalization, dtype):
    values = TINY["prepare"] | {"normalization": normalization}
    config = PrepareConfig.from_dict(values)
    pack(exposures, tmp_path / "a.zarr", config, layout=layout_of(config, dtype), workers=1)
    archive = PackedArchive(tmp_path / "a.zarr")
    wanted = []
    for file in archive.table["file"]:
        spectrum = read_spectrum(file)
        wanted.append(prepare(spectrum, config, ivar=True).ivar)
    root = archive.read_root_ivar(np.arange(7))
    assert root.shape == (7, archive.ivar_size) == (7, config.ivar_size)
    assert root.astype("f8") ** 2 == pytest.approx(np.array(wanted), rel=2**-9, abs=1e-12)
    assert 0.5 < (root > 0).mean() < 1
    draw = Draw(np.arange(7), 0)
    for batch in PackedBatches(archive, draw, 3, 5, window_mb=0.01, ivar=True):
        assert np.array_equal(batch.ivar, root[batch.numbers].astype("f4") ** 2)
        assert np.array_equal(batch.rows, archive.read(batch.numbers)[0])


def test_what_float16_cannot_hold_saturates(exposures, tmp_path):
    wavelength = 3780.0 + np.arange(3150.0)
    meta = {"object": "loud", "snr": 1.0, "linelist": "none", "airmass": 1.0}
    sigma = np.where(wavelength < 5000, 1e-4, 50.0)
    spectrum = Spectrum(wavelength, np.full(3150, 100.0), ivar=sigma**-2, berv=0.0, meta=meta)
    write_spectrum(spectrum, tmp_path / "ADP.loud.fits", "adp")
    config = PrepareConfig.from_dict(TINY["prepare"])
    pack(tmp_path / "ADP.loud.fits", tmp_path / "a.zarr", config, layout=layout_of(config))
    root = PackedArchive(tmp_path / "a.zarr").read_root_ivar([0])[0].astype("f8")
    at = config.grid.wavelength
    assert (root[at < 4990] == 65504).all()
    assert root[(at > 5010) & ~config.grid.gap_mask].min() > 1
    assert root[at > 5010].max() < 100


def test_an_archive_is_packed_with_or_without(exposures, tmp_path):
    config = PrepareConfig.from_dict(TINY["prepare"])
    plain = dataclasses.replace(layout_of(config), ivar_size=0)
    pack(exposures, tmp_path / "plain.zarr", config, layout=plain, workers=1)
    pack(exposures, tmp_path / "ivar.zarr", config, layout=layout_of(config), workers=1)
    arrays = {name: zarr.open_group(tmp_path / f"{name}.zarr") for name in ("plain", "ivar")}
    assert "root_ivar" not in arrays["plain"]
    assert np.array_equal(arrays["plain"]["rows"][:], arrays["ivar"]["rows"][:])
    assert arrays["ivar"]["root_ivar"].shape == (7, 512)
    with pytest.raises(TableError, match="--ivar"):
        PackedArchive(tmp_path / "plain.zarr").read_root_ivar([0])
    with pytest.raises(TableError, match="another ivar"):
        pack(exposures, tmp_path / "plain.zarr", config, layout=layout_of(config), workers=1)


def test_archives_from_before_there_were_inverse_variances_open(exposures, tmp_path):
    config = PrepareConfig.from_dict(TINY["prepare"])
    plain = dataclasses.replace(layout_of(config), ivar_size=0)
    pack(exposures, tmp_path / "a.zarr", config, layout=plain, workers=1)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    layout = dict(group.attrs["layout"])
    del layout["ivar_size"]
    group.attrs["layout"] = layout
    assert PackedArchive(tmp_path / "a.zarr").ivar_size == 0
    assert pack(exposures, tmp_path / "a.zarr", config, layout=plain, workers=1).kept == 7


def test_spectra_without_errors_are_counted(exposures, night, tmp_path):
    config = PrepareConfig.from_dict(TINY["prepare"])
    with pytest.warns(LatentscopeWarning, match="21 of 28 spectra have no errors"):
        pack([exposures, night], tmp_path / "a.zarr", config, layout=layout_of(config), workers=1)
    root = PackedArchive(tmp_path / "a.zarr").read_root_ivar(np.arange(28))
    assert (root > 0).any(axis=1).tolist() == [True] * 7 + [False] * 21


def test_the_command_line_packs_them(exposures, tmp_path, tiny):
    command = [sys.executable, "-m", "train", "pack", str(exposures), "--grid", str(tiny)]
    command += ["--ivar", "--workers", "2", "-o", str(tmp_path / "a.zarr")]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert PackedArchive(tmp_path / "a.zarr").ivar_size == 512
