"""Optical depths of all lines of a block of stars, on the device, from a few dozen on the host.

Which star has which abundances, pressures and opacities is the business of
`latentscope.simulation`. It is asked about one line of each species and about a line at each of a
few wavelengths; every other line differs from these by its own log gf, excitation and wavelength
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.polynomial.chebyshev import chebpts1, chebvander
from numpy.typing import NDArray
from torch import Tensor

from latentscope.simulation.linelist import LineList
from latentscope.simulation.synthesis import PIXEL_VELOCITY, Star, Synthesizer

_NODES = 12
"""Wavelengths of which the opacity is asked; a polynomial through them is good to 1e-10."""


class Lines(NamedTuple):
    """Lines of a block of stars.

    Attributes
    ----------
    depth : Tensor of float64, shape (b, lines)
        Central optical depth.
    width : Tensor of float64, shape (b, lines)
        Doppler width in pixels.
    damping : Tensor of float64, shape (b, lines)
    """

    depth: Tensor
    width: Tensor
    damping: Tensor


class LineStrengths:
    """What does not change from star to star in the strengths of a list's lines.

    Parameters
    ----------
    synthesizer : Synthesizer
    device : torch device
    """

    def __init__(self, synthesizer: Synthesizer, device: torch.device) -> None:
        lines = synthesizer.lines
        first = np.unique(lines.species_index, return_index=True)[1]
        low, high = lines.wavelength.min() - 1.0, lines.wavelength.max() + 1.0
        nodes = (low + high) / 2 + (high - low) / 2 * chebpts1(_NODES)
        self._species = len(first)
        self._asked = Synthesizer(_asked(lines, first, nodes), synthesizer.resolution)
        at = (2 * lines.wavelength - low - high) / (high - low)
        basis = np.linalg.solve(chebvander(chebpts1(_NODES), _NODES - 1).T,
                                chebvander(at, _NODES - 1).T)  # fmt: skip

        def exact(values: NDArray[Any]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)

        index = lines.species_index
        self._index = exact(index.astype(np.int64))
        self._loggf = exact(lines.loggf - lines.loggf[first][index])
        # The last line asked about has 1 eV more.
        excitation = lines.excitation - lines.excitation[first][index]
        self._factors = exact(np.vstack([basis, excitation]))

    def of(self, stars: Sequence[Star]) -> Lines:
        """Depths, widths and dampings of the lines of some stars."""
        answers = np.array([self._asked.optical_depths(star) for star in stars])
        log_depth = np.log10(answers[:, 0])
        n = self._species
        table = torch.from_numpy(
            np.concatenate([log_depth[:, :n], answers[:, 1, :n] / PIXEL_VELOCITY,
                            answers[:, 2, :n], log_depth[:, n:] - log_depth[:, :1]], 1)
        ).to(self._factors.device)  # fmt: skip
        species = [table[:, k * n : (k + 1) * n].index_select(1, self._index) for k in range(3)]
        log, width, damping = species
        log += self._loggf
        # Line by line and not as a product of matrices, whose last digit depends on its size.
        for column, factor in zip(table[:, 3 * n :].T, self._factors, strict=True):
            log.addcmul_(column[:, None], factor)
        return Lines(torch.pow(10.0, log), width, damping)


def _asked(lines: LineList, first: NDArray[np.intp], nodes: NDArray[np.float64]) -> LineList:
    """A line of each species at one wavelength, one at each node, and one with 1 eV more."""
    some = np.concatenate([first, np.repeat(first[:1], len(nodes) + 1)])
    excitation = lines.excitation[some].copy()
    excitation[-1] += 1.0
    middle = nodes.mean()
    wavelength = np.concatenate([np.full(len(first), middle), nodes, [middle]])
    return LineList("asked", wavelength, lines.z[some], lines.ion[some], excitation,
                    lines.loggf[some])  # fmt: skip
