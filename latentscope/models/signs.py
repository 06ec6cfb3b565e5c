"""Signs by which a spectrum shows that it is no star's, or in another medium than stated.

Three numbers of each row, whose sizes in ordinary spectra a reference sample knows: lines in
emission, lines that lie where no star's do, and shifts that differ from blue to red.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from latentscope.models.network import SpectrumVAE
from latentscope.spectra.wavelength import SPEED_OF_LIGHT, air_to_vacuum, vacuum_to_air

_BALMER = np.array([4101.73, 4340.47, 4861.35, 6562.79])  # Angstrom in air
_WIDTH, _REACH = 80.0, 180.0  # km/s: over which a line is averaged; of velocities it may have
_NEAR, _FAR = 900.0, 17_500.0  # km/s: of stars, and of what is searched beyond
_AIR = 6860.0  # Angstrom: beyond it lies oxygen of the air, which does not move with a star


class Signs(NamedTuple):
    """Numbers of n rows, shape (n,); NaN where the model cannot tell.

    `emission`: height of the Balmer lines above the continuum or above what the model expects,
    whichever is less, in units of the continuum; averaged over 80 km/s and those of the four lines
    that lie on the grid, at the velocity within 180 km/s where it is highest.

    `elsewhere`: highest correlation with the lines of the model's mean star at 900 to 17,500 km/s,
    either way, over the highest at less; about 1 in noise, and above it in a galaxy.

    `vacuum`: how far the lines' shifts follow the ratio of vacuum to air wavelengths, which falls
    by 2.5 km/s from 3800 to 6900 Angstrom: 0 in the stated medium, 1 where vacuum is taken for air,
    -1 where air is taken for vacuum. Of a model with a Doppler layer, which puts lines in place.
    """

    emission: Tensor
    elsewhere: Tensor
    vacuum: Tensor


class Reader:
    """Measures the signs of rows on a device.

    Of a model of line contrast on a logarithmic grid; by another one nothing can be told.
    """

    def __init__(self, model: SpectrumVAE, device: torch.device) -> None:
        prepare = model.prepare
        self._tells = (
            prepare is not None
            and prepare.normalization == "continuum"
            and prepare.grid.kind == "log"
        )
        if not self._tells:
            return
        assert prepare is not None
        grid = prepare.grid
        pixel = grid.step * SPEED_OF_LIGHT  # km/s
        vacuum = grid.medium == "vacuum"
        lines, air = (air_to_vacuum(at) if vacuum else at for at in (_BALMER, np.array([_AIR])))
        self._half, self._reach = round(_WIDTH / pixel / 2), round(_REACH / pixel)
        edge = self._half + self._reach
        at = np.round(np.log(lines / grid.wavelength[0]) / grid.step).astype(int)
        self._lines = [int(p) for p in at if edge <= p < grid.length - edge]
        # The mean star, whose lines the prior's middle draws.
        with torch.inference_mode():
            zero = torch.zeros(1, model.config.latents, device=next(model.parameters()).device)
            star = model.decode(zero).to(device)
        self._star_like = torch.from_numpy((grid.wavelength < air[0]) & ~grid.gap_mask).to(device)
        star = torch.where(self._star_like, star[:, : grid.length], 0.0)
        self._near, self._far = round(_NEAR / pixel), round(_FAR / pixel)
        self._size = next_fast_len(grid.length + self._far, real=True)
        self._star = torch.fft.rfft(star, n=self._size).conj()
        shift = np.log(air_to_vacuum(grid.wavelength) / grid.wavelength)
        if vacuum:
            shift = np.log(grid.wavelength / vacuum_to_air(grid.wavelength))
        self._shift = torch.from_numpy((shift / grid.step).astype(np.float32)).to(device)
        self._moves = model.config.doppler

    def read(self, rows: Tensor, drawn: Tensor, inside: Tensor, errors: Tensor) -> Signs:
        """Signs of rows (n, length) that are drawn so, known where `inside`.

        `errors` are those of equal parts of the rows, (n, parts).
        """
        unknown = torch.full((len(rows),), torch.nan, device=rows.device)
        if not self._tells:
            return Signs(unknown, unknown, unknown)
        residual = torch.where(inside, rows - drawn, 0.0)
        return Signs(
            self._emission(residual, rows) if self._lines else unknown,
            self._elsewhere(torch.where(inside & self._star_like, rows, 0.0)),
            self._vacuum(residual, drawn, inside, errors) if self._moves else unknown,
        )

    def _emission(self, residual: Tensor, rows: Tensor) -> Tensor:
        around, width = self._half + self._reach, 2 * self._half + 1

        def at_lines(values: Tensor) -> Tensor:
            near = torch.stack([values[:, p - around : p + around + 1] for p in self._lines])
            return near.mean(0).unfold(1, width, 1).mean(2)

        # Cores that are less deep than the model's are no emission.
        return torch.minimum(at_lines(residual), at_lines(rows)).amax(1)

    def _elsewhere(self, rows: Tensor) -> Tensor:
        correlation = torch.fft.irfft(torch.fft.rfft(rows, n=self._size) * self._star, n=self._size)
        near, far = self._near, self._far
        at_star = torch.cat([correlation[:, -near:], correlation[:, : near + 1]], 1).amax(1)
        beyond = torch.cat([correlation[:, -far:-near], correlation[:, near + 1 : far + 1]], 1)
        return beyond.amax(1) / at_star.clamp(min=torch.finfo(rows.dtype).tiny)

    def _vacuum(self, residual: Tensor, drawn: Tensor, inside: Tensor, errors: Tensor) -> Tensor:
        """Weighted slope of the shifts of parts over those that the other medium gives them."""
        slope = torch.where(inside, torch.gradient(drawn, dim=1)[0], 0.0)
        parts = errors.shape[1]

        def sums(values: Tensor) -> Tensor:
            return torch.stack([part.sum(1) for part in values.tensor_split(parts, 1)], 1)

        square, product = sums(slope.square()), sums(slope * residual)
        given = torch.stack([part.mean() for part in self._shift.tensor_split(parts)])
        weight = torch.where(errors > 0, errors, torch.inf).square().reciprocal().nan_to_num(0.0)
        total = (weight * square).sum(1, keepdim=True)
        given = given - (weight * square * given).sum(1, keepdim=True) / total
        # Lines that lie further to the red lower the flux where they fall.
        return -(weight * product * given).sum(1) / (weight * square * given.square()).sum(1)
