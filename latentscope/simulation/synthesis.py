"""From the parameters of stars to their noiseless spectra on a fine logarithmic grid, in torch.

One simulator serves `latentscope simulate` and training: a block of stars is made at once, on the
CPU or on the device that trains. The few numbers of a star (pressures, abundances, a column a
species, a broadening kernel) are found on the host, the rest on the device. On one CPU thread it is
1.2 times slower than compiled loops over one star, which cannot run where a network trains, and
equal once there is noise and a file (docs/simulation.md).

The residual flux of the lines is 1 / (1 + tau): linear for weak lines, saturating in the core and
widening by the damping wings of strong ones (a Milne-Eddington-like interpolation, Minnaert 1935).
One number fixes the strength of all metal lines: Fe I 6173.34 has tau = 2.2 at the Sun's center.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn.functional import pad

from latentscope.simulation.air import telluric_templates
from latentscope.simulation.atmosphere import (
    SPEED_OF_LIGHT,
    SUN,
    Layer,
    continuous_opacity,
    hydrogen_second_level,
    layer,
    opacity_terms,
    stage_fractions,
)
from latentscope.simulation.lines import (
    BALMER,
    BAND_FADE,
    FILLED,
    TIO_WINDOWS,
    LineList,
    atomic_lines,
    band_template,
    molecular_lines,
    read_linelist,
    species_rows,
    tio_pattern,
)
from latentscope.simulation.molecules import ATOMS, molecular_columns
from latentscope.simulation.population import FIRST, LAST, RESPONSE_NODES, Night, Observation, Star

PIXELS = 2**18
LOG_STEP = float(np.log(LAST / FIRST)) / (PIXELS - 1)
PIXEL_VELOCITY = LOG_STEP * SPEED_OF_LIGHT  # km/s, about 0.70
WAVELENGTH = np.asarray(FIRST * np.exp(LOG_STEP * np.arange(PIXELS)), np.float64)  # Angstrom, air
NODES = FIRST * np.exp(np.log(LAST / FIRST) * np.linspace(0, 1, 1025))  # of the continuum
# Lines: least optical depth, and that where their wings and cores end; most pixels, and Doppler
# widths of a core.
FAINT, WING, EDGE, REACH, CORE = 2e-3, 5e-3, 2e-4, 6000.0, 3.3
SOFTENING, ROOT_PI = 2.0, 1.7725  # of the damping wings
BALMER_REACH, BALMER_CORE = 150.0, 0.1225  # Angstrom; squared
THIN = 1e-4  # optical depth of the air that is left out
_LIMB_DARKENING = 0.6
# Optical depth of the invented TiO bands in an M3 dwarf: it joins them to the real ones (Gl581).
_TIO_BANDS, _M_DWARF = 1.2, (3480.0, 4.9, -0.1)
_ALPHA_ELEMENTS = (8, 12, 14, 16, 20, 22)
_N_ELEMENTS = 93
_IN_MOLECULES = species_rows([(z, 0) for z in ATOMS])
_FE_I_6173 = (6173.334, 2.221, -2.88, 2.2)  # wavelength, excitation, loggf, tau in the Sun
# Optical depths are summed as whole multiples of this: sums of whole numbers do not depend on their
# order, which on a GPU is another one every time.
_UNIT = 2.0**-28
_LINES_AT_ONCE = 2048
_WIDEST_SUM = 64  # pixels on each side; beyond, a Fourier transform is faster than a sum
_PLANNED = 256  # lengths of transforms are multiples of this, so that plans are made once


class Physics(NamedTuple):
    """What all lines of a star share.

    Residual flux of a saturated core, microturbulence in km/s, damping over the usual one.
    """

    floor: float = 0.08
    microturbulence: float = 1.2
    damping: float = 1.0


_USUAL = Physics()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work on one thread: a single spectrum is too little to share.

    Beside other work two threads take seven times as long, most of it waiting for each other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_device(values: NDArray[np.floating], device: torch.device) -> Tensor:
    """Return float32 values on a device."""
    return torch.from_numpy(values.astype(np.float32)).to(device)


class Synthesizer:
    """Makes spectra of stars, one block at a time, by the package's lines or those given.

    On one kind of device a star's spectrum is the same to the last bit in whatever block it comes.
    `wavelength`, (262144,), is that of the fine grid: Angstrom in air.
    """

    def __init__(
        self,
        lines: LineList | None = None,
        device: torch.device | str = "cpu",
        physics: Physics = _USUAL,
    ) -> None:
        self.lines = atomic_lines() + molecular_lines() if lines is None else lines
        self.device = torch.device(device)
        self.wavelength = WAVELENGTH
        self._lines = Lines(self.lines, self.device, physics=physics)
        self._floor = physics.floor
        self._bands, self._air = _templates(self.device)
        self._photon_nodes = Nodes(len(NODES), PIXELS, self.device)
        self._response_nodes = Nodes(RESPONSE_NODES, PIXELS, self.device)

    def flux(self, observations: Sequence[Observation]) -> Tensor:
        """Spectra through the instrument's response, float32 of shape (b, 262144)."""
        flux = self.spectra([o.star for o in observations], [o.night for o in observations])
        response = np.stack([o.response for o in observations])
        return flux.mul_(self._response_nodes.curve(response))

    def spectra(self, stars: Sequence[Star], nights: Sequence[Night]) -> Tensor:
        """Relative photon flux per unit wavelength in the barycentric frame, (b, 262144).

        The blackbody of each star (normalized at 5500 Angstrom) times lines and bands, broadened by
        rotation and macroturbulence, times the transmission of the air, as the instrument sees it.
        """
        kernels = [
            rotation_kernel(*(v / PIXEL_VELOCITY for v in (star.vsini, star.macroturbulence)))
            for star in stars
        ]
        flux = convolved(self.lines_at(stars), kernels)
        flux.mul_(self.transmission(nights))
        # Full width at half maximum to standard deviation, in pixels.
        widths = [SPEED_OF_LIGHT / n.resolution / 2.3548 / PIXEL_VELOCITY for n in nights]
        flux = convolved(flux, [rotation_kernel(0.0, width) for width in widths])
        continuum = np.stack([photons(star.teff, NODES) for star in stars])
        return flux.mul_(self._photon_nodes.curve(continuum))

    def lines_at(self, stars: Sequence[Star]) -> Tensor:
        """Residual flux of lines and bands, unrotated, float32 (b, 262144); 1 = no absorption."""
        beta = np.array([star.rv / SPEED_OF_LIGHT for star in stars])
        log_shift = 0.5 * (np.log1p(beta) - np.log1p(-beta))
        shift = Shift(log_shift / LOG_STEP, self.device)
        tau = self._lines.optical_depth(self._lines.strengths(stars), shift)
        add_balmer(tau, on_device(balmer_strengths(stars), self.device), log_shift)
        tau += self._bands.optical_depth(stars, shift)
        return residual_flux(tau, self._floor)

    def transmission(self, nights: Sequence[Night]) -> Tensor:
        """Transmission of the air, float32 of shape (b, 262144).

        It is at rest with the observer: in the barycentric frame it moves by `berv`.
        """
        columns = np.array([[n.airmass, n.airmass * n.water] for n in nights])
        berv = np.array([n.berv / SPEED_OF_LIGHT for n in nights])
        oxygen, water = on_device(columns.T[:, :, None], self.device)
        depth = (oxygen * self._air[0]).addcmul_(water, self._air[1])
        depth = shifted(depth, Shift(berv / LOG_STEP, self.device))
        return torch.threshold_(depth, THIN, 0.0).neg_().exp_()


@lru_cache(maxsize=4)
def _synthesizer(linelist: str | None, device: str) -> Synthesizer:
    return Synthesizer(read_linelist(linelist) + molecular_lines(), device=device)


def synthesizer_of(
    linelist: str | os.PathLike[str] | None, device: torch.device | str = "cpu"
) -> Synthesizer:
    """Synthesizer with a line list; the last ones are kept, for training and validation alike."""
    return _synthesizer(None if linelist is None else os.fspath(linelist), str(device))


@lru_cache(maxsize=2)
def _templates(device: torch.device) -> tuple[MolecularBands, Tensor]:
    """Bands, and optical depths of O2 and H2O; kept, since they take a second."""
    air = np.stack(telluric_templates(WAVELENGTH))
    return MolecularBands(WAVELENGTH, device), on_device(air, device)


# ---- a star's few numbers, on the host ----


def photons(teff: float, wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blackbody photon flux over that at 5500 Angstrom."""

    def planck(w: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.asarray(w**-4.0 / np.expm1(1.43877e8 / (np.asarray(w) * teff)))

    return planck(wavelength) / planck(5500.0)


def abundance_offsets(star: Star, z: NDArray[np.int64]) -> NDArray[np.float64]:
    """Abundance of each element over the Sun's in dex, shape (n,) like the atomic numbers `z`."""
    scatter = np.zeros(_N_ELEMENTS)
    if star.pattern:
        scatter = np.random.default_rng((star.pattern, 1)).normal(0.0, 0.05, _N_ELEMENTS)
    special = star.alpha * np.isin(z, _ALPHA_ELEMENTS) + star.carbon * (z == 6)
    return np.asarray(star.metallicity + special + scatter[z])


def band_strength(star: Star) -> float:
    """Optical depth scale of the invented TiO bands: as much TiO as there is, over the opacity."""
    return _TIO_BANDS * _titanium_oxide(star) / _titanium_oxide(Star(*_M_DWARF))


@lru_cache(maxsize=64)
def _titanium_oxide(star: Star) -> float:
    state = _layer(star)
    pressure, neutral = state.electron_pressure, state.neutral_hydrogen
    opacity = continuous_opacity(state.temperature, pressure, neutral, 6000.0)
    return float(molecules_of(star, np.array([822]))[0] / opacity)


def molecules_of(star: Star, codes: NDArray[np.int32]) -> NDArray[np.float64]:
    """Molecules per hydrogen nucleus over their partition function, shape (s,) like `codes`."""
    state = _layer(star)
    abundance = _IN_MOLECULES["abundance"] - 12 + abundance_offsets(star, _IN_MOLECULES["Z"])
    abundance[_IN_MOLECULES["Z"] == 1] = 0.0
    neutral = stage_fractions(state, _IN_MOLECULES)
    return molecular_columns(state, 10.0**abundance, neutral, _IN_MOLECULES["mass"], codes)


def balmer_strengths(stars: Sequence[Star]) -> NDArray[np.float64]:
    """Optical depth of H-alpha 1 Angstrom from its center, up to the profile's shape, (b,).

    The Sun's is 0.33.
    """
    absorption = np.array([_balmer_absorption(_layer(star)) for star in stars])
    return 0.33 / _balmer_absorption(_layer(Star(*SUN))) * absorption


def _layer(star: Star) -> Layer:
    """Line-forming layer of a star."""
    return layer(star.teff, star.logg, star.metallicity, star.alpha)


def _balmer_absorption(state: Layer) -> float:
    """Absorption of n = 2 hydrogen over the continuum; wings grow with pressure (Stark effect)."""
    opacity = continuous_opacity(
        state.temperature, state.electron_pressure, state.neutral_hydrogen, 6563.0
    )
    stark = max(state.electron_pressure, 1e-3) ** 0.35
    return float(hydrogen_second_level(state) / opacity * stark)


def rotation_kernel(vsini: float, sigma: float) -> NDArray[np.float32]:
    """Right half of the symmetric kernel: rotation (Gray 2005 eq. 18.14) convolved with a Gaussian.

    Projected rotation (limb darkening 0.6) and standard deviation, 0.3 at least, in pixels. The
    center comes first; it plus twice the rest sums to 1.
    """
    sigma = max(sigma, 0.3)
    sub = 4  # samples a pixel, so that a rotation narrower than a pixel is still integrated
    half = int(np.ceil(vsini + 4 * sigma)) + 1
    x = np.arange(-half * sub, half * sub + 1) / sub
    kernel = np.exp(-0.5 * (x / sigma) ** 2)
    if vsini > 0.25:
        inside = np.clip(1.0 - (x / vsini) ** 2, 0.0, None)
        rotation = 2 * (1 - _LIMB_DARKENING) * np.sqrt(inside) + (
            0.5 * np.pi * _LIMB_DARKENING * inside
        )
        kernel = np.convolve(kernel, rotation, "same")
    right = kernel[half * sub :: sub]
    return np.asarray(right / (right[0] + 2 * right[1:].sum()), dtype=np.float32)


# ---- lines ----


class LineStrengths(NamedTuple):
    """Lines of a block of b stars, in float64."""

    depth: Tensor  # central optical depth, shape (b, lines)
    width: Tensor  # Doppler width in pixels, shape (b, lines)
    damping: Tensor  # of the Voigt profile, in Doppler widths, shape (b, 1): one for all lines


class Lines:
    """Atoms and molecules on the grid: how strong each line is in a star, and where it absorbs."""

    def __init__(
        self,
        lines: LineList,
        device: torch.device,
        pixels: int = PIXELS,
        physics: Physics = _USUAL,
    ) -> None:
        def exact(values: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)

        center = np.log(lines.wavelength / FIRST) / LOG_STEP
        self._whole, self._part = exact(np.floor(center).astype(np.int64)), exact(center % 1.0)
        self._species, self._index = lines.species, exact(lines.species_index.astype(np.int64))
        self._wavelength, self._loggf = exact(lines.wavelength), exact(lines.loggf)
        self._excitation, self._pixels = exact(lines.excitation), pixels
        self._physics = physics
        # Molecules have no damping wings.
        self._winged = exact((lines.z < 100).astype(np.float64))

    def strengths(self, stars: Sequence[Star]) -> LineStrengths:
        """Depths, widths and dampings of the lines of some stars."""
        relative = self._relative_strengths(stars)
        return relative._replace(depth=relative.depth * _calibration())

    def _relative_strengths(self, stars: Sequence[Star]) -> LineStrengths:
        """Strengths with depths up to the one factor that all lines share."""
        n = len(self._species)
        numbers = torch.from_numpy(np.array([self._numbers(star) for star in stars]))
        numbers = numbers.to(self._index.device)
        column, width = (
            numbers[:, part].index_select(1, self._index) for part in (slice(n), slice(n, 2 * n))
        )
        # A column of numbers each, to go with the lines of a row.
        theta, constant, linear, cubic, damping = numbers[:, 2 * n :, None].unbind(1)
        opacity = constant + linear * self._wavelength + cubic * self._wavelength**3
        boltzmann = torch.pow(10.0, self._loggf - self._excitation * theta)
        depth = column * boltzmann * self._wavelength / (width * opacity)
        return LineStrengths(depth, width / PIXEL_VELOCITY, damping)

    def _numbers(self, star: Star) -> NDArray[np.float64]:
        """Column and Doppler width (km/s) of each species, and five numbers of the layer."""
        species = self._species
        state = _layer(star)
        column = np.empty(len(species))
        molecules = species["Z"] >= 100
        atoms = species[~molecules]
        abundance = atoms["abundance"] - 12 + abundance_offsets(star, atoms["Z"])
        column[~molecules] = stage_fractions(state, atoms) * 10.0**abundance
        if molecules.any():
            column[molecules] = molecules_of(star, species["Z"][molecules])
        thermal = 0.0166 * state.temperature / species["mass"]  # 2 k T / m in km^2/s^2
        width = np.sqrt(thermal + self._physics.microturbulence**2)
        terms = opacity_terms(state.temperature, state.electron_pressure, state.neutral_hydrogen)
        damping = self._physics.damping * (0.08 * (state.gas_pressure / 1e5) ** 0.8 + 2e-3)
        return np.concatenate(
            [column, width, [5040.0 / state.temperature, *terms, min(damping, 0.5)]]
        )

    def optical_depth(self, lines: LineStrengths, shift: Shift) -> Tensor:
        """Gaussian cores and damping wings of all lines, float32 of shape (b, pixels).

        Each line has a stretch of pixels of its own length. All stretches of a block lie one after
        the other in one long vector, so that nothing is computed twice and nothing is padded.
        """
        part = self._part + shift.part[:, None]
        whole = self._whole + shift.whole[:, None]
        wing = lines.damping * self._winged * lines.depth / ROOT_PI
        core = torch.sqrt(torch.log(torch.clamp(lines.depth / EDGE, min=1.0)))
        reach = lines.width * torch.maximum(torch.sqrt(wing / WING), core.clamp_(max=CORE))
        reach.clamp_(max=REACH)
        # First and one past the last pixel, counted from the whole pixel of the center.
        low = torch.maximum(torch.ceil(part - reach).long(), -whole)
        high = torch.minimum(torch.floor(part + reach).long() + 1, self._pixels - whole)
        count = ((high - low).clamp_(min=0) * (lines.depth >= FAINT)).flatten()
        n_stars = len(lines.depth)
        row = torch.arange(n_stars, device=part.device)[:, None] * self._pixels
        total = torch.zeros(n_stars * self._pixels, dtype=torch.int64, device=part.device)
        floats = (part, 1.0 / lines.width.float(), wing, lines.depth)
        tables = [values.flatten().float() for values in floats]
        tables += [low.flatten(), (whole + row).flatten()]
        # On a CPU so few at a time that their pixels stay in its caches.
        size = _LINES_AT_ONCE if part.device.type == "cpu" else len(count)
        for start in range(0, len(count), size):
            some = slice(start, start + size)
            _add_profiles(total, count[some], [table[some] for table in tables])
        return total.float().mul_(_UNIT).view(n_stars, self._pixels)


def _add_profiles(total: Tensor, count: Tensor, tables: list[Tensor]) -> None:
    """Add lines, `count` pixels each, to optical depths in units of `_UNIT`, (b * pixels,).

    The tables are of the center's fraction of a pixel, inverse width, wing, depth, first pixel from
    the center, and the center's whole pixel.
    """
    line = torch.repeat_interleave(count)
    # Counted from the first pixel of the first line.
    tables[4] = tables[4] + count - torch.cumsum(count, 0)
    part, inverse, wing, depth, low, whole = (table.index_select(0, line) for table in tables)
    offset = torch.arange(len(line), device=line.device).add_(low)
    u2 = offset.float().sub_(part).mul_(inverse).square_()
    value = wing.div_(u2 + SOFTENING)
    # exp(-80) is nothing. Larger arguments underflow and masks are slow, each severalfold.
    core = torch.threshold_(u2.neg_(), -(CORE**2), -80.0).exp_()
    value.addcmul_(core, depth)
    total.scatter_add_(0, offset.add_(whole), value.div_(_UNIT).long())


@lru_cache(maxsize=1)
def _calibration() -> float:
    """Factor that gives Fe I 6173.34 the stated optical depth in the Sun."""
    wavelength, excitation, loggf, tau = _FE_I_6173
    line = LineList(
        "Fe I", np.array([wavelength]), np.array([26], "i4"), np.array([0], "i4"),
        np.array([excitation]), np.array([loggf]),
    )  # fmt: skip
    return tau / float(Lines(line, torch.device("cpu"))._relative_strengths([Star(*SUN)]).depth)


def add_balmer(tau: Tensor, strength: Tensor, log_shift: NDArray[np.float64]) -> None:
    """Add the Balmer lines, whose wings fall as distance^-2.5, to optical depths.

    Of `tau`, (b, pixels); `strength`, (b,), is that of H-alpha, and `log_shift`, (b,), of the
    natural logarithm of wavelengths.
    """
    for position, factor in BALMER:
        center = np.log(position / FIRST) + log_shift
        reach = BALMER_REACH / (position * np.exp(log_shift))
        low = max(int((center + np.log1p(-reach)).min() / LOG_STEP), 0)
        high = min(int((center + np.log1p(reach)).max() / LOG_STEP) + 2, tau.shape[1])
        if low < high:
            tau[:, low:high] += _balmer(center / LOG_STEP, strength * factor, low, high)


def _balmer(center: NDArray[np.float64], strength: Tensor, low: int, high: int) -> Tensor:
    """Optical depth of one Balmer line of each star at pixels `low` to `high`, (b, high - low)."""
    whole = np.floor(center)
    numbers = np.stack([low - whole, center - whole, FIRST * np.exp(center * LOG_STEP)])
    start, part, angstrom = on_device(numbers[:, :, None], strength.device).unbind()
    # Whole numbers below 2^24 are exact in float32; the fraction is taken off from small ones.
    x = torch.arange(high - low, dtype=torch.float32, device=strength.device) + start
    distance2 = x.sub_(part).mul_(LOG_STEP).expm1_().mul_(angstrom).square_()
    inverse: Tensor = distance2.add_(BALMER_CORE).rsqrt_()
    torch.threshold_(inverse, (BALMER_REACH**2 + BALMER_CORE) ** -0.5, 0.0)
    return inverse.sqrt().mul_(inverse).mul_(inverse).mul_(strength[:, None])


def residual_flux(tau: Tensor, floor: float) -> Tensor:
    """Flux over the continuum, from 1 down to the floor of a saturated core; in place."""
    return tau.add_(1.0).reciprocal_().mul_(1 - floor).add_(floor)


# ---- molecules ----


class MolecularBands:
    """Bands of TiO outside of the windows with real lines, with each star's own pattern.

    A band begins at its head and fades exponentially to the red. So the sum of all bands is, from
    one head to the next, one number of the star times one falling exponential.
    """

    def __init__(self, wavelength: NDArray[np.float64], device: torch.device) -> None:
        filling = torch.from_numpy(FILLED[0] + FILLED[1] * band_template(wavelength)).to(device)
        self._filling = torch.cat([filling, filling])
        real = [(first <= wavelength) & (wavelength < last) for first, last in TIO_WINDOWS]
        self._outside = on_device(~np.any(real, axis=0), device)
        starts = np.searchsorted(wavelength, tio_pattern(0, len(wavelength)).heads)
        first = wavelength[0]
        self._rise = np.exp((wavelength[starts] - first) / BAND_FADE)
        self._fade = on_device(np.exp((first - wavelength) / BAND_FADE), device)
        passed = np.searchsorted(starts, np.arange(len(wavelength)), side="right")
        self._passed = torch.from_numpy(passed).to(device)

    def optical_depth(self, stars: Sequence[Star], shift: Shift) -> Tensor:
        """Optical depth of the bands of stars, float32 of shape (b, pixels)."""
        strengths = np.array([band_strength(star) for star in stars])
        depth = torch.zeros(len(stars), len(self._outside), device=self._outside.device)
        cool = np.flatnonzero(strengths > FAINT).tolist()
        if cool:
            tio = self.titanium_oxide([stars[i].pattern for i in cool])
            tio *= on_device(strengths[cool, None], tio.device)
            depth.index_add_(0, torch.tensor(cool, device=tio.device), tio)
        return shifted(depth, shift)

    def titanium_oxide(self, seeds: Sequence[int]) -> Tensor:
        """TiO at unit strength and rest, of stars with these pattern seeds, shape (b, pixels)."""
        device, pixels = self._outside.device, len(self._outside)
        patterns = [tio_pattern(seed, pixels) for seed in seeds]
        sums = np.array([np.cumsum(pattern.levels * self._rise) for pattern in patterns])
        sums = np.concatenate([np.zeros((len(patterns), 1)), sums], 1)
        between = on_device(np.array([[pattern.between] for pattern in patterns]), device)
        start = torch.tensor([-pattern.roll % pixels for pattern in patterns], device=device)
        envelope = on_device(sums, device).index_select(1, self._passed)
        envelope = envelope.mul_(self._fade).add_(between)
        envelope.mul_(self._filling.unfold(0, pixels, 1)[start])
        return envelope.mul_(self._outside)


# ---- shifts, curves, broadening of a block of rows ----


class Shift:
    """Shifts of the b stars of a block along the logarithmic grid, in pixels to the red."""

    def __init__(self, pixels: NDArray[np.float64], device: torch.device) -> None:
        floor = np.floor(pixels)
        self.pixels = pixels
        self.whole = torch.from_numpy(floor.astype(np.int64)).to(device)
        self.part = torch.from_numpy(pixels - floor).to(device)


def shifted(template: Tensor, shift: Shift) -> Tensor:
    """Move each row (b, n) by its star's shift, by linear interpolation.

    Nothing comes in at the ends. Each shift is less than n pixels.
    """
    n = template.shape[1]
    reach = int(np.abs(shift.pixels).max(initial=0.0)) + 2
    rows = torch.arange(len(template), device=template.device)
    windows = pad(template, (reach + 1, reach)).unfold(1, n + 1, 1)
    moved = windows[rows, reach - shift.whole]
    out = torch.lerp(moved[:, 1:], moved[:, :-1], shift.part.float()[:, None])
    # The one pixel that has a neighbor on one side only.
    out[rows, shift.whole % n] = 0.0
    return out


class Nodes:
    """Straight lines between equally spaced nodes, of which the ends are the grid's."""

    def __init__(self, nodes: int, pixels: int, device: torch.device) -> None:
        at = np.arange(pixels) * ((nodes - 1) / (pixels - 1))
        left = np.minimum(at.astype(np.int64), nodes - 2)
        self._left = torch.from_numpy(left).to(device)
        self._weight = on_device(at - left, device)

    def curve(self, values: NDArray[np.float64]) -> Tensor:
        """Values at the pixels from those at the nodes, (b, nodes); shape (b, pixels)."""
        device = self._weight.device
        begin = on_device(values, device).index_select(1, self._left)
        steps = on_device(np.diff(values), device).index_select(1, self._left)
        return begin.addcmul_(steps, self._weight)


def convolved(values: Tensor, kernels: Sequence[NDArray[np.float32]]) -> Tensor:
    """Convolve each row with a symmetric kernel of its own; the ends are held constant.

    Values (b, n), and b kernels as `rotation_kernel` gives them, give (b, n).
    """
    wide = [i for i, kernel in enumerate(kernels) if len(kernel) > _WIDEST_SUM + 1]
    narrow = [i for i, kernel in enumerate(kernels) if len(kernel) <= _WIDEST_SUM + 1]
    halves = np.zeros((len(narrow), max([len(kernels[i]) for i in narrow], default=1)), np.float32)
    for half, i in zip(halves, narrow, strict=True):
        half[: len(kernels[i])] = kernels[i]
    if not wide:
        return _by_sum(values, torch.from_numpy(halves).to(values.device))
    out = torch.empty_like(values)
    if narrow:
        index = torch.tensor(narrow, device=values.device)
        out[index] = _by_sum(values[index], torch.from_numpy(halves).to(values.device))
    for i in wide:
        out[i] = _by_transform(values[i], torch.from_numpy(kernels[i]).to(values.device))
    return out


def _by_sum(values: Tensor, halves: Tensor) -> Tensor:
    n, reach = values.shape[1], halves.shape[1] - 1
    padded = pad(values[:, None], (reach, reach), mode="replicate")[:, 0]
    out = values * halves[:, :1]
    both = torch.empty_like(out)
    for k in range(1, reach + 1):
        left, right = (padded[:, reach + shift :][:, :n] for shift in (-k, k))
        torch.add(left, right, out=both)
        out.addcmul_(both, halves[:, k : k + 1])
    return out


def _by_transform(values: Tensor, half: Tensor) -> Tensor:
    n, reach = len(values), len(half) - 1
    size = next_fast_len(n + 2 * _PLANNED * -(-reach // _PLANNED), real=True)
    padded = pad(values[None], (reach, reach), mode="replicate")[0]
    kernel = torch.zeros(size, device=values.device)
    kernel[: reach + 1] = half
    kernel[size - reach :] = half[1:].flip(0)
    product = torch.fft.rfft(padded, n=size) * torch.fft.rfft(kernel).real
    convolution: Tensor = torch.fft.irfft(product, n=size)
    return convolution[reach : reach + n]
