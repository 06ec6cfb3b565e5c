"""A spectrum beside what a model makes of it: identities, errors, velocity, files."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from latentscope.errors import LatentscopeWarning, SpectrumError
from latentscope.models.reconstruction import reconstruct, view_spectrum
from latentscope.simulation.simulate import simulate
from latentscope.spectra.prepare import prepare, restore
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.spectrum import Spectrum


@pytest.fixture
def spectrum(model):
    """Noise around 1 with errors, on the pixels of the small model, with a masked stretch."""
    wavelength = model.prepare.grid.wavelength
    rng = np.random.default_rng(0)
    flux = 50.0 * (1 + 0.02 * rng.normal(size=len(wavelength)))
    mask = np.zeros(len(wavelength), bool)
    mask[20:24] = True
    return Spectrum(wavelength, flux, ivar=np.ones(len(flux)), mask=mask, meta={"object": "star"})


def test_it_is_what_encoder_and_decoder_make_of_it(model, spectrum):
    found = reconstruct(spectrum, model)
    prepared = prepare(spectrum, model.prepare)
    with torch.inference_mode():
        mean = model.encode(torch.from_numpy(prepared.row[None]))[0]
        drawn = restore(model.decode(mean).numpy()[0], model.prepare)
    gap = model.prepare.grid.gap_mask
    np.testing.assert_allclose(found.latents, mean[0], atol=1e-6)
    np.testing.assert_allclose(found.reconstruction[~gap], drawn[~gap], atol=1e-6)
    assert np.isnan(found.reconstruction[gap]).all()
    unused = spectrum.mask | gap
    np.testing.assert_array_equal(np.isnan(found.flux), unused)
    np.testing.assert_array_equal(np.isnan(found.residual), unused)
    np.testing.assert_array_equal(found.table["mask"], unused)
    # Printed, both are a line and not their arrays.
    assert repr(spectrum).startswith(f"Spectrum of star: {len(spectrum):,} pixels, ")
    assert repr(found).endswith(" % rms")
    assert repr(found).count("\n") == repr(spectrum).count("\n") == 0


def test_errors_are_those_of_the_file_over_the_median(model, spectrum):
    found = reconstruct(spectrum, model)
    used = np.isfinite(found.flux)
    # The continuum of the row is kept at nodes: a few per cent.
    np.testing.assert_allclose(found.error[used] * 50.0, 1.0, rtol=0.06)
    noise = dataclasses.replace(found, reconstruction=found.flux - found.error)
    assert noise.summary["chi"] == pytest.approx(1.4826, rel=1e-3)
    assert reconstruct(dataclasses.replace(spectrum, ivar=None), model).error is None


@pytest.mark.parametrize("rv", [-80.0, 0.0, 35.0])
def test_the_velocity_is_read_off_the_lines(rv):
    star, truth = next(simulate(1, seed=3))
    moved = 1 + (rv - truth["radvel"]) / 299792.458
    shifted = dataclasses.replace(star, wavelength=star.wavelength * moved, rv=None)
    found = reconstruct(shifted, None)
    assert found.rv_from == "its lines"
    assert found.rv == pytest.approx(rv, abs=1.0)
    assert reconstruct(shifted, None, rv=5.0).rv == 5.0


def test_files_hold_it_and_fits_is_a_spectrum_again(model, spectrum, tmp_path):
    found = reconstruct(spectrum, model)
    found.write(tmp_path / "star.fits")
    again = read_spectrum(tmp_path / "star.fits")
    np.testing.assert_allclose(again.flux, found.reconstruction, atol=1e-6)
    np.testing.assert_array_equal(again.wavelength, found.wavelength)
    assert (again.medium, again.frame) == (found.medium, found.frame)
    assert again.meta["object"] == "star"
    found.write(tmp_path / "star.csv")
    table = pd.read_csv(tmp_path / "star.csv")
    np.testing.assert_allclose(
        table["residual"], table["input"] - table["reconstruction"], atol=1e-6
    )


def test_what_the_model_cannot_take_is_shown_alone_with_the_reason(model):
    wavelength = np.linspace(4080.0, 4400.0, 5000)
    far = Spectrum(wavelength, np.ones(5000))
    with pytest.raises(SpectrumError, match=r"covers 0\.\d+ of the model's grid"):
        reconstruct(far, model)
    with pytest.warns(LatentscopeWarning, match="without a reconstruction"):
        found = view_spectrum(far, model)
    assert found.reconstruction is None
    assert len(found.flux) == 5000
    with pytest.raises(SpectrumError, match="rv is nan km/s"):
        reconstruct(far, None, rv=float("nan"))


@pytest.mark.parametrize(
    ("name", "rv"),
    # By the pipeline; by the lines; its owners moved it to rest.
    [("HARPS.2010-09-18T23:42:36.178_s1d_A", -9.2), ("HARPS.2012-03-24T08:37:45.581_s1d_A", -22.7),
     ("38vir_rest", 0.0)],
)  # fmt: skip
def test_lines_of_real_stars_are_marked_where_they_are(shared_data, name, rv):
    found = reconstruct(shared_data / f"{name}.fits", "harps-sim")
    assert found.rv_from == "its lines"
    assert found.rv == pytest.approx(rv, abs=0.4)
    assert found.summary["rms"] < 0.6
