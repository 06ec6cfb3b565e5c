"""Traversals and line maps of models: the bundled ones, against what regression says of them."""

import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import theilslopes

from latentscope.data import Latents
from latentscope.diagnostics.mi.api import mi_matrix
from latentscope.errors import (
    ChoiceError,
    EstimatorError,
    LatentscopeWarning,
    ModelError,
    SpectrumError,
)
from latentscope.models.config import PUBLISHED_ARCHITECTURE, published_prepare
from latentscope.models.encode import encode
from latentscope.models.network import SpectrumVAE, VAEConfig
from latentscope.models.traversal import line_map, traverse
from latentscope.models.weights import load_model, weights_sha256
from latentscope.reporting.report import report
from latentscope.simulation.simulate import simulate
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.wavelength import Grid, doppler_shift, vacuum_to_air

GL581 = "HARPS.2010-09-18T23:42:36.178_s1d_A.fits"
MODELS = ("harps-sim", "harps-sim-plain")
STARS = 60


@pytest.fixture(scope="module")
def models():
    return {name: load_model(name) for name in MODELS}


@pytest.fixture(scope="module")
def archive(models):
    """True velocities of simulated stars, and their latents by each model."""
    made = simulate(STARS, seed=31, repeats=False)
    spectra, labels = zip(*made, strict=True)
    rv = np.array([row["radvel"] for row in labels])
    return rv, {
        name: encode(list(spectra), model, workers=1, recon_error=False).values.astype(float)
        for name, model in models.items()
    }


def rv_dim(rv, latents):
    """The dimension that follows the velocity, and its km/s per unit by robust regression."""
    ranks = np.corrcoef(np.vstack([latents.T, rv]).argsort(axis=1).argsort(axis=1))[-1, :-1]
    ranks[latents.std(axis=0) < 0.1] = 0
    dim = int(np.abs(ranks).argmax())
    return dim, 1 / theilslopes(latents[:, dim], rv)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_velocity_dimension_is_a_doppler_shift_of_the_size_that_regression_says(
    models, archive, name
):
    rv, latents = archive[0], archive[1][name]
    dim, expected = rv_dim(rv, latents)
    result = traverse(models[name], dim, latents=latents)
    assert result.verdict == "shift"
    assert result.rv_per_unit.value == pytest.approx(expected, rel=0.3)
    assert result.shift_explained > 0.7
    assert result.sentences()[0].startswith(f"dim {dim} is a Doppler shift")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_line_map_singles_the_velocity_dimension_out(models, archive, name):
    rv, latents = archive[0], archive[1][name]
    dim, expected = rv_dim(rv, latents)
    dims = line_map(models[name], latents=latents).dims.set_index("dim")
    assert 4 <= len(dims) < 16
    assert list(dims.index[dims["verdict"] == "shift"]) == [dim]
    per_unit = dims.loc[dim, "rv_kms_per_sigma"] / dims.loc[dim, "sigma"]
    assert per_unit == pytest.approx(expected, rel=0.3)
    assert (dims["shift_explained"].drop(dim) < 0.5).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_real_star_that_is_shifted_moves_its_latent_one_way(models, shared_data, archive, name):
    spectrum = read_spectrum(shared_data / GL581)
    dim, expected = rv_dim(archive[0], archive[1][name])
    velocities = np.arange(-60.0, 61.0, 10.0)
    moved = [
        replace(
            spectrum,
            wavelength=doppler_shift(spectrum.wavelength, rv),
            meta=spectrum.meta | {"file": f"Gl581{rv:+.0f}kms"},
        )
        for rv in velocities
    ]
    # The air moved with the star.
    with pytest.warns(LatentscopeWarning, match="contradict the frame"):
        latent = encode(moved, models[name], workers=1, recon_error=False).values[:, dim]
    assert (np.diff(latent) * np.sign(expected) > 0).all()


def test_a_real_spectrum_is_where_the_traversal_starts(models, shared_data):
    path = shared_data / GL581
    result = traverse(models["harps-sim"], 0, spectrum=path, sigmas=[-1, 1])
    assert result.base_rv == pytest.approx(-9.2, abs=6)  # its velocity, with the model's error
    assert result.provenance["base_from"] == str(path)
    np.testing.assert_allclose(result.table["offset"], [-result.unit, result.unit])


def test_the_doppler_layer_comes_out_as_its_scale(models):
    model = models["harps-sim"]
    per_unit = model.doppler_scale.item() * model.prepare.grid.step * 299792.458
    result = traverse(model, 0, values=[-1.5, -0.4, 0.6, 2.0])
    assert result.rv_per_unit.value == pytest.approx(per_unit, rel=0.005)
    assert result.lines["depth_per_sigma"].abs().median() < 0.003
    assert result.provenance["model"] == "harps-sim"
    assert len(result.provenance["weights_sha256"]) == 64


def test_temperature_moves_balmer_lines_against_metals(models):
    model = models["harps-sim"]
    (dim,) = (d for d, what in model.info["dims"].items() if what.startswith("effective temp"))
    result = traverse(model, int(dim), values=[-0.5, 0, 0.5])
    assert abs(result.color_per_unit.value) > 0.1
    hotter = -np.sign(result.color_per_unit.value)  # is bluer
    lines = hotter * result.lines.set_index("line")["depth_per_sigma"]
    assert result.verdict == "none"
    assert lines["H-alpha"] > 0.1
    assert lines["Cr I 4254.3"] < -0.05


def tiny(medium="air", variational=True, prepare=True):
    grid = Grid("log", 4800.0, 6e-5, 4096, medium=medium)
    config = VAEConfig(
        length=4096, channels=(4, 6), kernels=(9, 5), strides=(4, 4), latents=3, extra=16,
        output="mean", doppler=True, variational=variational,
    )  # fmt: skip
    settings = PrepareConfig(grid, normalization="continuum", window=33, nodes=16)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = SpectrumVAE(config, settings if prepare else None, {"name": "tiny"})
        with torch.no_grad():
            model.line_mean.copy_(-0.3 * (torch.rand(4096) > 0.97))
    return model.eval()


def test_values_come_from_quantiles_sigmas_or_a_list():
    rng = np.random.default_rng(0)
    latents = rng.normal([1.0, -2.0, 0.0], [0.5, 1.0, 2.0], (4000, 3))
    model = tiny()
    walked = traverse(model, 1, latents=latents, quantiles=[0.16, 0.5, 0.84])
    np.testing.assert_allclose(walked.table["value"], [-3, -2, -1], atol=0.06)
    assert walked.unit == pytest.approx(1.0, abs=0.04)
    assert walked.base == pytest.approx([1, -2, 0], abs=0.08)
    by_sigma = traverse(model, 2, latents=latents, sigmas=[-1, 2])
    np.testing.assert_allclose(by_sigma.table["offset"], [-2, 4], atol=0.1)
    assert list(traverse(model, 2, values=[4, 3]).table["value"]) == [3, 4]


def test_without_data_the_prior_stands_for_it():
    result = traverse(tiny(), 0, quantiles=[0.1587, 0.8413])
    np.testing.assert_allclose(result.table["value"], [-1, 1], atol=1e-3)
    assert result.unit == 1.0
    assert result.provenance["data"] == "the model's prior"


def test_a_dimension_that_does_not_vary_takes_the_prior_and_says_so():
    latents = np.zeros((10, 3))
    with pytest.warns(LatentscopeWarning, match="dim 2 does not vary"):
        result = traverse(tiny(), 2, latents=latents, quantiles=[0.1587, 0.8413])
    np.testing.assert_allclose(result.table["value"], [-1, 1], atol=1e-3)


def test_wavelengths_are_in_air_whatever_the_model_has():
    air, vacuum = (traverse(tiny(medium), 0, values=[-1, 1]) for medium in ("air", "vacuum"))
    np.testing.assert_allclose(vacuum.wavelength, vacuum_to_air(air.wavelength))


def test_informative_dimensions_are_mapped():
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(300, 3)) * [1.0, 1e-3, 1.0]
    assert list(line_map(tiny(), latents=latents).dims["dim"]) == [0, 2]
    deaf = tiny()
    with torch.no_grad():
        for layer in deaf.readers:
            layer.weight[:, 1] = 0
    assert list(line_map(deaf).dims["dim"]) == [0, 2]


def test_the_model_s_threshold_is_that_of_every_diagnostic():
    model, rng = tiny(), np.random.default_rng(0)
    model.info["mad_threshold"] = 0.5
    values = rng.normal(size=(300, 3)) * [1.0, 0.2, 1.0]
    encoded = Latents(values, provenance={"mad_threshold": 0.5})
    mapped = line_map(model, latents=values).dims["dim"].tolist()
    assert mapped == mi_matrix(encoded, values, dims="informative").dims == [0, 2]


def test_a_line_list_takes_the_place_of_the_lines(tmp_path):
    path = tmp_path / "lines.csv"
    path.write_text(
        "wavelength_air_A,Z,ion,ep_eV,loggf\n5000.5,26,0,1.0,-1.0\n5100.25,22,1,0.5,-0.3\n"
    )
    lines = traverse(tiny(), 0, values=[-1, 1], linelist=path).lines
    atoms = lines[lines["kind"] == "narrow"]
    assert list(atoms["line"]) == ["Fe I 5000.5", "Ti II 5100.2"]
    assert {"H-beta", "TiO 5448"} <= set(lines["line"])


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"dim": 3}, ChoiceError, "dim is 3; there are dimensions 0 to 2"),
        ({"dim": 1.0}, ChoiceError, "dim is 1.0; expected a whole number"),
        ({"rv": float("nan")}, SpectrumError, "rv is nan km/s; expected a finite velocity"),
        ({"latents": np.diag([1.0, 2.0, np.inf])}, EstimatorError, "infinite values in dims 2"),
        ({"values": [1, 2], "sigmas": [1, 2]}, ChoiceError, "values and sigmas are given"),
        ({"spectrum": "a.fits", "base": np.zeros(3)}, ChoiceError, "spectrum and base are given"),
        ({"base": np.zeros(4)}, EstimatorError, r"base has shape \(4,\); there are \(3,\)"),
        ({"latents": np.zeros((5, 4))}, ModelError, "has 4 dimensions, the model .* has 3"),
        ({"latents": np.full((5, 3), np.nan)}, EstimatorError, "0 of 5 rows are finite"),
        ({"quantiles": [0.0, 1.0]}, ChoiceError, "numbers between 0 and 1"),
        ({"spectrum": "nowhere.fits"}, SpectrumError, "nowhere.fits"),
    ],
)
def test_what_cannot_be_used_is_said(options, kind, message):
    given = {"dim": 0} | options
    with pytest.raises(kind, match=message):
        traverse(tiny(), given.pop("dim"), **given)


def test_models_without_preparation_have_no_wavelengths():
    with pytest.raises(ModelError):
        traverse(tiny(prepare=False), 0, values=[-1, 1])


def test_nothing_informative_is_no_map():
    with pytest.raises(EstimatorError):
        line_map(tiny(), latents=np.zeros((5, 3)))


@pytest.mark.slow
def test_the_published_network_is_traversed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SpectrumVAE(PUBLISHED_ARCHITECTURE, published_prepare("median-padded")).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = traverse(model, 124, values=[-1, 1])
    assert result.flux.shape == (2, 312_501)
    assert result.verdict in ("none", "unlike", "partly", "shift")
    assert np.isfinite(result.table["rms"]).all()


def decoder(wavelength):
    """A function that decodes: iron lines by dimension 0, the continuum's slope by dimension 1."""

    def decode(latents):
        line = np.exp(-0.5 * ((wavelength - 5269.5) / 0.3) ** 2)
        depth = 0.3 + 0.1 * latents[:, :1]
        return (1 - depth * line) * (wavelength / 5500) ** latents[:, 1:]

    return decode


def test_any_function_that_decodes_is_traversed_and_mapped():
    wavelength = 5000 * np.exp(3e-5 * np.arange(4000))
    latents = np.random.default_rng(0).normal([0.5, 0.0], [1.0, 0.5], (400, 2))
    decode = decoder(wavelength)
    result = traverse(decode, 1, latents=latents, sigmas=[-1, 1], wavelength=wavelength)
    assert result.slope_per_unit.value == pytest.approx(1.0, abs=0.01)
    assert result.unit == pytest.approx(0.5, abs=0.05)
    assert result.base == pytest.approx(latents.mean(axis=0))
    found = line_map(decode, base=[0.0, 0.0], rv=0.0, wavelength=wavelength)
    assert list(found.dims["dim"]) == [0, 1]
    assert found.lines_of(0)["element"].iloc[0] == "Fe I"
    assert found.provenance["data"] == "the prior"


def test_a_function_that_decodes_needs_no_torch():
    program = """
import sys
import numpy as np
from latentscope import traverse
wavelength = np.linspace(5000.0, 5100.0, 500)
flux = 1 + 0.1 * np.sin(wavelength)
traverse(lambda z: flux * (1 + z[:, :1]), 0, base=[0.0], values=[-0.1, 0.1], wavelength=wavelength)
assert "torch" not in sys.modules, "torch was imported"
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (len, {}, "give wavelength=..."),
        (len, {"wavelength": np.arange(100.0)}, "nothing to start from"),
        (3, {}, "model is a int"),
        ("tiny", {"wavelength": np.arange(100.0)}, "wavelength given for a model"),
        (len, {"wavelength": np.arange(9.0), "latents": np.eye(3), "spectrum": "a"}, "its latents"),
    ],
)
def test_what_a_function_needs_is_said(model, options, message):
    with pytest.raises(ChoiceError, match=message):
        traverse(tiny() if model == "tiny" else model, 0, values=[-1, 1], **options)


def test_a_name_stands_for_its_model(models):
    by_name = line_map("harps-sim", dims=[0])
    pd.testing.assert_frame_equal(by_name.dims, line_map(models["harps-sim"], dims=[0]).dims)


def test_latents_of_another_model_are_refused(models, tmp_path):
    made_by = {"model": "harps-sim", "weights_sha256": weights_sha256(models["harps-sim"])}
    values = np.random.default_rng(0).normal(size=(30, models["harps-sim"].config.latents))
    own = Latents(values, source="own.npy", provenance=made_by)
    assert line_map(models["harps-sim"], dims=[0], latents=own).provenance["data"] == "own.npy"
    other = replace(own, provenance=made_by | {"weights_sha256": "0" * 64, "model": "elsewhere"})
    for refused in (
        lambda: traverse(models["harps-sim"], 0, latents=other),
        lambda: line_map(models["harps-sim"], latents=other),
        lambda: report(other, model=models["harps-sim"], output=tmp_path / "r.html"),
    ):
        with pytest.raises(ModelError, match=r"own\.npy: made by elsewhere .* harps-sim") as error:
            refused()
        assert "give the model that made them" in str(error.value)
