"""From a star's parameters to a noiseless spectrum on a fine logarithmic grid.

The residual flux of the lines is 1 / (1 + tau): linear for weak lines, saturating in the core and
widening by the damping wings of strong ones (a Milne-Eddington-like interpolation, Minnaert 1935).
One number fixes the strength of all metal lines: Fe I 6173.34 has tau = 2.2 at the Sun's centre.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

from latentscope.simulation.atmosphere import (
    SPEED_OF_LIGHT,
    SUN,
    Layer,
    continuous_opacity,
    hydrogen_second_level,
    layer,
    stage_fractions,
)
from latentscope.simulation.bands import (
    balmer_lines,
    band_templates,
    telluric_templates,
    titanium_oxide,
)
from latentscope.simulation.broadening import convolve_symmetric, rotation_kernel
from latentscope.simulation.linelist import LineList, read_linelist

FIRST, LAST, PIXELS = 3770.0, 6925.0, 2**18
LOG_STEP = float(np.log(LAST / FIRST)) / (PIXELS - 1)
PIXEL_VELOCITY = LOG_STEP * SPEED_OF_LIGHT  # km/s, about 0.70
FLOOR = 0.08  # residual flux of a saturated core
FAINT, REACH, CORE = 2e-3, 6000.0, 3.3  # lines: least optical depth; pixels; Doppler widths
SOFTENING, ROOT_PI = 2.0, 1.7725  # of the damping wings
BALMER_REACH, BALMER_CORE = 150.0, 0.1225  # Angstrom; squared
THIN = 1e-4  # optical depth of the air that is left out
_FE_I_6173 = (6173.334, 2.221, -2.88, 2.2)  # wavelength, excitation, loggf, tau in the Sun


@dataclass(frozen=True)
class Star:
    """What a spectrum depends on, besides the night it was taken.

    Attributes
    ----------
    teff, logg, metallicity : float
        Kelvin; log10 cm/s^2; dex.
    vsini : float
        Projected rotation in km/s.
    rv : float
        Radial velocity in km/s, receding positive.
    alpha : float
        [alpha/M] in dex: oxygen, magnesium, silicon, sulfur, calcium, titanium over the rest.
    pattern : int
        Seed of what makes a star its own: abundances element by element (0.05 dex of scatter), and
        the pattern of its molecular lines; 0: no scatter, the mean pattern.
    """

    teff: float
    logg: float = 4.44
    metallicity: float = 0.0
    vsini: float = 2.0
    rv: float = 0.0
    alpha: float = 0.0
    pattern: int = 0


@dataclass(frozen=True)
class Night:
    """What the observer adds: barycentric correction in km/s, airmass, water column (1 = usual)."""

    berv: float = 0.0
    airmass: float = 1.2
    water: float = 1.0


@dataclass
class Synthesizer:
    """Makes spectra of stars; holds what is the same for all of them.

    Parameters
    ----------
    lines : LineList, optional
        Atomic lines; the built-in list by default.
    resolution : float
        Resolving power of the instrument.
    """

    lines: LineList = field(default_factory=read_linelist)
    resolution: float = 115_000.0

    @cached_property
    def wavelength(self) -> NDArray[np.float64]:
        """Air wavelength of the fine grid in Angstrom, shape (262144,)."""
        return np.asarray(FIRST * np.exp(LOG_STEP * np.arange(PIXELS)), dtype=np.float64)

    @cached_property
    def _bands(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return band_templates(self.wavelength)

    @cached_property
    def _tellurics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return telluric_templates(self.wavelength)

    @cached_property
    def _calibration(self) -> float:
        """Factor that gives Fe I 6173.34 the stated optical depth in the Sun."""
        wavelength, excitation, loggf, tau = _FE_I_6173
        lines = LineList(
            "Fe I", np.array([wavelength]), np.array([26], "i4"), np.array([0], "i4"),
            np.array([excitation]), np.array([loggf]),
        )  # fmt: skip
        return tau / float(_relative_depths(lines, layer(*SUN), np.zeros(1))[0][0])

    @cached_property
    def _balmer_calibration(self) -> float:
        """Factor that gives H-alpha tau = 0.33 at 1 Angstrom from its centre in the Sun."""
        return 0.33 / _balmer_strength(layer(*SUN))

    def optical_depths(
        self, star: Star
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Central optical depth, Doppler width (km/s) and damping of each line, shape (n,) each."""
        state = layer(star.teff, star.logg, star.metallicity, star.alpha)
        offsets = abundance_offsets(star, self.lines.species["Z"])
        depth, width = _relative_depths(self.lines, state, offsets)
        damping = 0.04 * (state.gas_pressure / 1e5) ** 0.8 + 2e-3
        return depth * self._calibration, width, np.full(len(depth), min(damping, 0.5))

    def balmer_strength(self, star: Star) -> float:
        """Optical depth of H-alpha 1 Angstrom from its centre, up to the profile's shape."""
        state = layer(star.teff, star.logg, star.metallicity, star.alpha)
        return self._balmer_calibration * _balmer_strength(state)

    def lines_at(self, star: Star) -> NDArray[np.float32]:
        """Residual flux of the lines and bands of a star, unrotated, shape (262144,); 1 = none."""
        tau = np.zeros(PIXELS, np.float32)
        depth, width, damping = self.optical_depths(star)
        shift = np.log(np.sqrt((1 + star.rv / SPEED_OF_LIGHT) / (1 - star.rv / SPEED_OF_LIGHT)))
        centre = (np.log(self.lines.wavelength / FIRST) + shift) / LOG_STEP
        add_lines(tau, centre, depth, width / PIXEL_VELOCITY, damping)
        strength = self.balmer_strength(star)
        for position, factor in balmer_lines():
            add_balmer(tau, self.wavelength, position * np.exp(shift), strength * factor)
        tio, ch = band_strengths(star)
        lines, ch_bands = self._bands
        tio_bands = titanium_oxide(self.wavelength, lines, star.pattern) if tio else lines
        add_bands(tau, tio_bands, ch_bands, shift / LOG_STEP, tio, ch)
        return residual_flux(tau)

    def spectrum(self, star: Star, night: Night | None = None) -> NDArray[np.float32]:
        """Relative photon flux per unit wavelength in the barycentric frame, shape (262144,).

        The blackbody of the star (normalised at 5500 Angstrom) times lines and bands, broadened by
        rotation and the instrument, times the tellurics of the night (at rest with the observer:
        in the barycentric frame they move by `berv`).
        """
        instrument = SPEED_OF_LIGHT / self.resolution / 2.3548 / PIXEL_VELOCITY
        kernel = rotation_kernel(star.vsini / PIXEL_VELOCITY, instrument)
        flux = convolve_symmetric(self.lines_at(star), kernel)
        night = night or Night()
        oxygen, water = self._tellurics
        shift = night.berv / SPEED_OF_LIGHT / LOG_STEP
        absorb(flux, oxygen, water, shift, night.airmass, night.airmass * night.water)
        return flux * interpolate_nodes(photons(star.teff, NODES), PIXELS)


_ALPHA = (8, 12, 14, 16, 20, 22)
_ELEMENTS = 93
NODES = FIRST * np.exp(np.log(LAST / FIRST) * np.linspace(0, 1, 1025))


def photons(teff: float, wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blackbody photon flux over that at 5500 Angstrom."""

    def planck(w: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.asarray(w**-4.0 / np.expm1(1.43877e8 / (np.asarray(w) * teff)))

    return planck(wavelength) / planck(5500.0)


def abundance_offsets(star: Star, z: NDArray[np.int64]) -> NDArray[np.float64]:
    """Abundance of each element over the Sun's in dex, shape (n,) like the atomic numbers `z`."""
    scatter = np.zeros(_ELEMENTS)
    if star.pattern:
        scatter = np.random.default_rng((star.pattern, 1)).normal(0.0, 0.05, _ELEMENTS)
    return star.metallicity + star.alpha * np.isin(z, _ALPHA) + scatter[z]


def _relative_depths(
    lines: LineList, state: Layer, offsets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Central optical depth up to a constant factor, and Doppler width in km/s, shape (n,) each.

    `offsets` are the abundances over the Sun's in dex, one a species.
    """
    species, index = lines.species, lines.species_index
    column = stage_fractions(state, species) * 10.0 ** (species["abundance"] - 12 + offsets)
    microturbulence = 1.2
    thermal = 0.0166 * state.temperature / species["mass"]  # 2 k T / m in km^2/s^2
    width = np.sqrt(thermal + microturbulence**2)[index]
    opacity = continuous_opacity(
        state.temperature, state.electron_pressure, state.neutral_hydrogen, lines.wavelength
    )
    boltzmann = 10.0 ** (lines.loggf - lines.excitation * 5040.0 / state.temperature)
    return column[index] * boltzmann * lines.wavelength / (width * opacity), width


def _balmer_strength(state: Layer) -> float:
    """Absorption of n = 2 hydrogen over the continuum; wings grow with pressure (Stark effect)."""
    opacity = continuous_opacity(
        state.temperature, state.electron_pressure, state.neutral_hydrogen, 6563.0
    )
    stark = max(state.electron_pressure, 1e-3) ** 0.35
    return float(hydrogen_second_level(state) / opacity * stark)


def band_strengths(star: Star) -> tuple[float, float]:
    """Optical depth scale of the TiO and CH bands: TiO below 4000 K, CH around 5000 K."""
    titanium_oxide = 3.0 * 10.0 ** ((3300.0 - star.teff) / 450.0 + 1.2 * star.metallicity)
    ch = np.exp(-(((star.teff - 5000.0) / 900.0) ** 2)) * 10.0**star.metallicity
    return (float(min(titanium_oxide, 60.0)) if star.teff < 4500 else 0.0), float(ch)


@numba.njit(cache=True)
def add_lines(
    tau: NDArray[np.float32],
    centre: NDArray[np.float64],
    depth: NDArray[np.float64],
    width: NDArray[np.float64],
    damping: NDArray[np.float64],
) -> None:
    """Add Voigt-like profiles (Gaussian core plus damping wings) to `tau`, in pixels."""
    for i in range(len(centre)):
        if depth[i] < FAINT:
            continue
        wing = damping[i] * depth[i] / ROOT_PI
        core = CORE * width[i]
        reach = min(max(core, width[i] * np.sqrt(wing / FAINT)), REACH)
        low = max(int(np.ceil(centre[i] - reach)), 0)
        high = min(int(centre[i] + reach) + 1, len(tau))
        for j in range(low, high):
            u2 = ((j - centre[i]) / width[i]) ** 2
            value = wing / (u2 + SOFTENING)
            if u2 < CORE * CORE:
                value += depth[i] * np.exp(-u2)
            tau[j] += value


@numba.njit(cache=True)
def add_balmer(
    tau: NDArray[np.float32], wavelength: NDArray[np.float64], centre: float, strength: float
) -> None:
    """Add one Balmer line with wings that fall as distance^-2.5 (Stark broadening)."""
    low = np.searchsorted(wavelength, centre - BALMER_REACH)
    high = np.searchsorted(wavelength, centre + BALMER_REACH)
    for j in range(low, high):
        distance2 = (wavelength[j] - centre) ** 2 + BALMER_CORE
        tau[j] += strength / (distance2 * np.sqrt(np.sqrt(distance2)))


@numba.njit(cache=True, fastmath=True)
def add_bands(
    tau: NDArray[np.float32],
    tio: NDArray[np.float32],
    ch: NDArray[np.float32],
    shift: float,
    tio_strength: float,
    ch_strength: float,
) -> None:
    """Add the band templates, shifted by `shift` pixels (linear interpolation)."""
    whole = int(np.floor(shift))
    part = shift - whole
    for j in range(max(whole + 1, 0), min(len(tau), len(tau) + whole)):
        k = j - whole
        value = tio_strength * ((1 - part) * tio[k] + part * tio[k - 1])
        tau[j] += value + ch_strength * ((1 - part) * ch[k] + part * ch[k - 1])


@numba.njit(cache=True, fastmath=True)
def residual_flux(tau: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flux over the continuum, from 1 down to the floor of a saturated core."""
    out = np.empty_like(tau)
    for j in range(len(tau)):
        out[j] = FLOOR + (1 - FLOOR) / (1 + tau[j])
    return out


@numba.njit(cache=True, fastmath=True)
def absorb(
    flux: NDArray[np.float32],
    oxygen: NDArray[np.float32],
    water: NDArray[np.float32],
    shift: float,
    oxygen_strength: float,
    water_strength: float,
) -> None:
    """Multiply `flux` by the transmission of the air, its lines shifted by `shift` pixels."""
    whole = int(np.floor(shift))
    part = shift - whole
    for j in range(max(whole + 1, 0), min(len(flux), len(flux) + whole)):
        k = j - whole
        depth = oxygen_strength * ((1 - part) * oxygen[k] + part * oxygen[k - 1])
        depth += water_strength * ((1 - part) * water[k] + part * water[k - 1])
        if depth > THIN:
            flux[j] *= np.exp(-depth)


@numba.njit(cache=True, fastmath=True)
def interpolate_nodes(nodes: NDArray[np.float64], length: int) -> NDArray[np.float32]:
    """Values at `length` equal steps between the first and the last of equally spaced nodes."""
    out = np.empty(length, np.float32)
    scale = (len(nodes) - 1) / (length - 1)
    for j in range(length):
        k = min(int(j * scale), len(nodes) - 2)
        part = j * scale - k
        out[j] = (1 - part) * nodes[k] + part * nodes[k + 1]
    return out
