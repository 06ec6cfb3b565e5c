import pytest
import torch

from latentscope.model.shift import SHIFT_MARGIN, shift_lines
from tests.model.comb import comb


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
