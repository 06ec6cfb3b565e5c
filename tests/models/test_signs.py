"""Signs of what is no star, against what was put in."""

import numpy as np
import pytest
import torch

from latentscope.models.trust import Reader
from latentscope.models.weights import load_model
from latentscope.spectra.wavelength import air_to_vacuum

CPU = torch.device("cpu")
PIXEL = 8.811  # km/s


@pytest.fixture(scope="module")
def model():
    return load_model("harps-sim")


@pytest.fixture(scope="module")
def star(model):
    """The mean star's lines, shape (1, length), and the pixels that are known."""
    with torch.inference_mode():
        lines = model.decode(torch.zeros(1, model.config.latents))[:, : model.config.length]
    inside = torch.from_numpy(~model.prepare.grid.gap_mask)[None]
    return torch.where(inside, lines, 0.0), inside


def read(model, rows, drawn, inside):
    error = torch.full((1, 32), 0.1)
    return [float(sign) for sign in Reader(model, CPU).read(rows, drawn, inside, error)]


def at(model, wavelength):
    return round(np.log(wavelength / model.prepare.grid.wavelength[0]) / model.prepare.grid.step)


def test_what_is_drawn_as_it_is_shows_no_sign(model, star):
    lines, inside = star
    emission, elsewhere, vacuum = read(model, lines, lines, inside)
    assert emission == 0
    assert elsewhere < 0.2
    assert vacuum == 0


@pytest.mark.parametrize("share", [-1.0, 0.5, 1.0])
def test_the_other_medium_is_found_at_its_size(model, star, share):
    lines, inside = star
    wave = model.prepare.grid.wavelength
    ratio = air_to_vacuum(wave) / wave
    # The mean shift is that of the star's velocity, which is fitted.
    seen = wave * (ratio / ratio[inside[0].numpy()].mean()) ** share
    rows = torch.from_numpy(np.interp(wave, seen, lines[0].numpy())[None].astype("f4"))
    _, _, vacuum = read(model, rows, lines, inside)
    assert vacuum == pytest.approx(share, abs=0.15)


def test_lines_of_another_depth_are_no_other_medium(model, star):
    lines, inside = star
    assert abs(read(model, 0.6 * lines, lines, inside)[2]) < 0.1


@pytest.mark.parametrize("velocity", [-150.0, 0.0, 90.0])
def test_balmer_lines_in_emission_are_found_at_any_velocity(model, star, velocity):
    lines, inside = star
    rows = lines.clone()
    filled = lines.clone()
    for line in (4101.73, 4340.47, 4861.35, 6562.79):
        middle = at(model, line * (1 + velocity / 299792.458))
        core = slice(middle - 10, middle + 11)
        rows[0, core], filled[0, core] = 0.7, 0.0
    drawn = torch.where(inside, -0.2, 0.0)
    assert read(model, rows, drawn, inside)[0] == pytest.approx(0.7, abs=0.01)
    # What fills an absorption line is none, nor is what the model expects.
    assert read(model, filled, lines, inside)[0] < 0.1
    assert read(model, rows, rows, inside)[0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("velocity", [-12_000.0, 3_000.0])
def test_lines_at_a_redshift_lie_elsewhere(model, star, velocity):
    lines, inside = star
    rows = lines.roll(round(velocity / PIXEL), dims=1)
    assert read(model, rows, lines, inside)[1] > 3
    assert read(model, lines.roll(20, dims=1), lines, inside)[1] < 0.3


def test_a_model_of_another_preparation_tells_nothing():
    other = load_model("harps-sim")
    other.prepare = None
    unknown = Reader(other, CPU).read(*[torch.zeros(2, 5)] * 2, torch.ones(2, 5) > 0, None)
    assert all(torch.isnan(sign).all() for sign in unknown)
