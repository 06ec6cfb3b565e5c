"""A star whose spectrum is known in closed form: Gaussian lines on a sloping continuum."""

import numpy as np

from latentscope.diagnostics.traversal.lines import stellar_features

C = 299792.458
SIGMA = 12.0  # km/s
DEPTH = 0.3
FIRST, LAST = 4940.0, 6000.0
RATE = 20.0  # km/s per unit of dim 0

LINES = [
    f
    for f in stellar_features()
    if f.kind in ("narrow", "strong") and FIRST + 5 < f.wavelength < LAST - 5
]


def doppler(rv):
    return np.sqrt((1 + rv / C) / (1 - rv / C))


def log_grid(step=8.8):
    """Wavelengths in equal velocities of `step` km/s."""
    count = int(np.log(LAST / FIRST) * C / step)
    return FIRST * np.exp(step / C * np.arange(count))


def star(wavelength, rv=0.0, iron=0.0, slope=0.0, widening=0.0):
    """Flux of a star.

    Receding at `rv` km/s; Fe I lines deeper by `iron`; continuum as wavelength^slope; lines wider
    by the factor 1 + `widening`, and shallower by as much.
    """
    depth = np.zeros(len(wavelength))
    for f in LINES:
        sigma = SIGMA * (1 + widening) / C * f.wavelength
        center = f.wavelength * doppler(rv)
        first, last = np.searchsorted(wavelength, [center - 7 * sigma, center + 7 * sigma])
        part = wavelength[first:last]
        height = (DEPTH + (iron if f.element == "Fe I" else 0.0)) / (1 + widening)
        depth[first:last] += height * np.exp(-0.5 * ((part - center) / sigma) ** 2)
    return (1 - depth) * (wavelength / 5500.0) ** slope


class Decoder:
    """Latents: RV (20 km/s a unit), iron (0.05 of depth), slope (0.5), nothing."""

    def __init__(self, wavelength, sign=1.0):
        self.wavelength, self.sign, self.sizes = wavelength, sign, []

    def __call__(self, latents):
        self.sizes.append(len(latents))
        return np.array([self._one(z) for z in latents])

    def _one(self, z):
        rv = self.sign * RATE * z[0]
        return star(self.wavelength, rv=rv, iron=0.05 * z[1], slope=0.5 * z[2])
