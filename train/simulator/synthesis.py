"""Noiseless spectra of a block of observations on the fine logarithmic grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from latentscope.simulation.atmosphere import SPEED_OF_LIGHT
from latentscope.simulation.bands import telluric_templates
from latentscope.simulation.broadening import rotation_kernel
from latentscope.simulation.population import Observation, observe
from latentscope.simulation.synthesis import (
    FLOOR,
    LOG_STEP,
    NODES,
    PIXEL_VELOCITY,
    PIXELS,
    THIN,
    Night,
    Star,
    Synthesizer,
    photons,
)
from train.simulator.broadening import convolved
from train.simulator.molecules import Molecules
from train.simulator.profiles import LineProfiles, add_balmer
from train.simulator.strengths import LineStrengths
from train.simulator.templates import Nodes, Shift, on_device, shifted


class BlockSynthesizer:
    """`latentscope.simulation.synthesis.Synthesizer` for many stars at once, on a device.

    Parameters
    ----------
    synthesizer : Synthesizer
        What the stars of a block have in common is asked of it.
    device : torch device
    """

    def __init__(self, synthesizer: Synthesizer, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._synthesizer = synthesizer
        self._strengths = LineStrengths(synthesizer, self.device)
        self._profiles = LineProfiles(synthesizer.lines.wavelength, PIXELS, self.device)
        self._molecules = Molecules(synthesizer.wavelength, self.device)
        air = np.stack(telluric_templates(synthesizer.wavelength))
        self._air = on_device(air, self.device)
        self._photon_nodes = Nodes(len(NODES), PIXELS, self.device)
        self._response_nodes = Nodes(len(observe(0, 0, 0).response), PIXELS, self.device)

    @torch.no_grad()
    def flux(self, observations: Sequence[Observation]) -> Tensor:
        """Spectra through the instrument's response, float32 of shape (b, 262144)."""
        flux = self.spectra([o.star for o in observations], [o.night for o in observations])
        response = np.stack([o.response for o in observations])
        return flux.mul_(self._response_nodes.curve(response))

    @torch.no_grad()
    def spectra(self, stars: Sequence[Star], nights: Sequence[Night]) -> Tensor:
        """Relative photon flux in the barycentric frame, float32 of shape (b, 262144)."""
        instrument = SPEED_OF_LIGHT / self._synthesizer.resolution / 2.3548 / PIXEL_VELOCITY
        kernels = [rotation_kernel(star.vsini / PIXEL_VELOCITY, instrument) for star in stars]
        flux = convolved(self.lines_at(stars), kernels)
        flux.mul_(self._transmission(nights))
        return flux.mul_(
            self._photon_nodes.curve(np.stack([photons(star.teff, NODES) for star in stars]))
        )

    @torch.no_grad()
    def lines_at(self, stars: Sequence[Star]) -> Tensor:
        """Residual flux of lines and bands, unrotated, float32 of shape (b, 262144); 1 = none."""
        beta = np.array([star.rv / SPEED_OF_LIGHT for star in stars])
        log_shift = 0.5 * (np.log1p(beta) - np.log1p(-beta))
        shift = Shift(log_shift / LOG_STEP, self.device)
        tau = self._profiles.optical_depth(self._strengths.of(stars), shift)
        balmer = np.array([self._synthesizer.balmer_strength(star) for star in stars])
        add_balmer(tau, on_device(balmer, self.device), log_shift)
        tau += self._molecules.optical_depth(stars, shift)
        return tau.add_(1.0).reciprocal_().mul_(1 - FLOOR).add_(FLOOR)

    def _transmission(self, nights: Sequence[Night]) -> Tensor:
        columns = np.array([[n.airmass, n.airmass * n.water] for n in nights])
        berv = np.array([n.berv / SPEED_OF_LIGHT for n in nights])
        oxygen, water = on_device(columns.T[:, :, None], self.device)
        depth = (oxygen * self._air[0]).addcmul_(water, self._air[1])
        depth = shifted(depth, Shift(berv / LOG_STEP, self.device))
        return depth.mul_(depth > THIN).neg_().exp_()
