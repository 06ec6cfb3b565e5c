import pytest
import torch

from latentscope.models.network import SHIFT_MARGIN, fit_shift, shift_lines
from tests.models.comb import comb


@pytest.mark.parametrize("shift", [0.0, 0.25, 7.0, -31.4, 100.5])
def test_the_shift_moves_lines_to_longer_wavelength_by_the_pixels_asked_for(shift):
    pixels = torch.arange(2048, dtype=torch.float64)
    shifts = torch.tensor([shift, 0.0], dtype=torch.float64)
    moved = shift_lines(torch.stack([comb(pixels, 0.0)] * 2), shifts)
    torch.testing.assert_close(moved[0], comb(pixels, shift), rtol=0, atol=1e-9)
    torch.testing.assert_close(moved[1], comb(pixels, 0.0), rtol=0, atol=1e-12)


def test_a_shift_brings_in_continuum_at_the_edge_and_not_the_other_end():
    pixels = torch.arange(512, dtype=torch.float64)
    line = torch.exp(-0.5 * ((pixels - 500) / 3) ** 2)
    moved = shift_lines(line[None], torch.tensor([60.0], dtype=torch.float64))[0]
    assert SHIFT_MARGIN > 60
    assert float(moved.abs().max()) < 1e-9


def test_the_gradient_of_the_shift_is_right():
    generator = torch.Generator().manual_seed(3)
    lines = torch.randn(2, 40, generator=generator, dtype=torch.float64, requires_grad=True)
    pixels = torch.tensor([0.7, -3.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(shift_lines, (lines, pixels), fast_mode=True)


@pytest.mark.parametrize(("shift", "start"), [(0.0, 1.5), (12.3, 10.8), (-31.4, -29.0)])
def test_the_fitted_shift_is_where_the_lines_lie(shift, start):
    pixels = torch.arange(2048, dtype=torch.float64)
    lines, moved = comb(pixels, 0.0)[None], comb(pixels, shift)[None]
    for wanted in (moved, 0.7 * moved, 2.0 * moved):
        found = fit_shift(lines, wanted, torch.tensor([start], dtype=torch.float64), _prior(1e-9))
        assert found.item() == pytest.approx(shift, abs=1e-3)


def test_the_prior_weighs_as_much_as_the_lines_say_little():
    generator = torch.Generator().manual_seed(5)
    pixels = torch.arange(2048, dtype=torch.float64)
    lines, moved = comb(pixels, 0.0)[None], comb(pixels, 0.1)[None]
    information = float((torch.gradient(lines[0])[0] ** 2).sum())  # of a small shift
    for share in (0.1, 1.0, 10.0):
        found = fit_shift(lines, moved, torch.zeros(1).double(), _prior(share * information))
        assert found.item() == pytest.approx(0.1 / (1 + share), rel=0.05)
    noise = 0.01 * torch.randn(1, 2048, generator=generator, dtype=torch.float64)
    nothing = fit_shift(1e-6 * lines, noise, torch.full((1,), 3.0).double(), _prior(1.0))
    assert abs(nothing.item()) < 1e-3


def test_the_fit_is_as_good_as_a_search():
    generator = torch.Generator().manual_seed(6)
    pixels = torch.arange(1024, dtype=torch.float64)
    lines = comb(pixels, 0.0)[None]
    noise = 0.1 * torch.randn(1, 1024, generator=generator, dtype=torch.float64)
    wanted = comb(pixels, 4.0)[None] + noise
    grid = torch.arange(2.0, 6.0, 0.01, dtype=torch.float64)
    squares = ((wanted - shift_lines(lines.expand(len(grid), -1), grid)) ** 2).sum(1)
    found = fit_shift(lines, wanted, torch.tensor([3.0], dtype=torch.float64), _prior(1e-6))
    assert found.item() == pytest.approx(grid[squares.argmin()].item(), abs=0.02)


def _prior(value):
    return torch.tensor(value, dtype=torch.float64)
