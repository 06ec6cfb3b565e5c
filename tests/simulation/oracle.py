"""The simulator once more, star by star and line by line in plain numpy: slow, and independent."""

import numpy as np

from latentscope.simulation.air import telluric_templates
from latentscope.simulation.atmosphere import (
    SPEED_OF_LIGHT,
    SUN,
    continuous_opacity,
    hydrogen_second_level,
    layer,
    stage_fractions,
)
from latentscope.simulation.lines import (
    BALMER,
    TIO_WINDOWS,
    LineList,
    atomic_lines,
    band_template,
    molecular_lines,
    tio_pattern,
)
from latentscope.simulation.population import FIRST, Night, Star
from latentscope.simulation.synthesis import (
    LOG_STEP,
    NODES,
    PIXEL_VELOCITY,
    PIXELS,
    abundance_offsets,
    band_strength,
    molecules_of,
    photons,
    rotation_kernel,
)

WAVELENGTH = FIRST * np.exp(LOG_STEP * np.arange(PIXELS))
STARS = {
    "cool dwarf": (Star(3150.0, 4.95, 0.1, 2.0, 22.4, 0.03, 77), Night(12.0, 1.1, 0.5, 5e4)),
    "sun": (Star(5772.0), Night()),
    "giant": (
        Star(4300.0, 1.6, -0.2, 4.0, -85.3, 0.1, 5, -0.2, 2.5),
        Night(-28.0, 2.3, 2.0, 1.8e5),
    ),
    "hot fast rotator": (Star(9300.0, 4.0, 0.0, 115.0, -3.7), Night(3.0, 1.8, 1.4)),
    "metal-poor": (Star(5800.0, 3.7, -2.6, 3.0, 119.0, 0.4, 9, 1.2), Night(0.0, 1.0, 3.0)),
}


def line_list(wavelength=6173.334, excitation=2.221, loggf=-2.88, z=26, ion=0):
    """A single line; Fe I 6173.34 by default."""
    return LineList(
        "one", np.array([wavelength]), np.array([z], "i4"), np.array([ion], "i4"),
        np.array([excitation]), np.array([loggf]),
    )  # fmt: skip


def few_lines() -> LineList:
    """Strong lines, some of the weak ones, molecules, and lines beyond both ends of the grid."""
    atoms, molecules = atomic_lines(), molecular_lines()
    kept = atoms.loggf - atoms.excitation > -0.7
    kept[::60] = True
    outside = np.array([3700.0, 3769.9, 6925.1, 7000.0])
    beyond = LineList("", outside, *(np.full(4, v) for v in (26, 0, 0.1, 1.0)))
    return taken(atoms, kept) + taken(molecules, np.arange(len(molecules)) % 60 == 0) + beyond


def taken(lines, kept):
    columns = (lines.wavelength, lines.z, lines.ion, lines.excitation, lines.loggf)
    return LineList("few", *(column[kept] for column in columns))


def optical_depths(lines, star):
    """Central optical depth, Doppler width in km/s and damping of each line, shape (n,) each."""

    def relative(lines, star):
        state = layer(star.teff, star.logg, star.metallicity, star.alpha)
        temperature = state.temperature
        depths, widths = [], []
        fraction = stage_fractions(state, lines.species[lines.species["Z"] < 100])
        for i, species in enumerate(lines.species_index):
            row = lines.species[species]
            width = np.sqrt(0.0166 * temperature / row["mass"] + 1.2**2)
            opacity = continuous_opacity(
                temperature, state.electron_pressure, state.neutral_hydrogen, lines.wavelength[i]
            )
            if row["Z"] < 100:
                offset = abundance_offsets(star, np.array([row["Z"]]))[0]
                atoms = fraction[species] * 10 ** (row["abundance"] - 12 + offset)
            else:
                atoms = molecules_of(star, np.array([row["Z"]]))[0]
            boltzmann = 10 ** (lines.loggf[i] - lines.excitation[i] * 5040 / temperature)
            depths.append(atoms * boltzmann * lines.wavelength[i] / (width * opacity))
            widths.append(width)
        return np.array(depths), np.array(widths), state.gas_pressure

    depth, width, pressure = relative(lines, star)
    calibration = 2.2 / relative(line_list(), Star(*SUN))[0][0]
    damping = min(0.08 * (pressure / 1e5) ** 0.8 + 2e-3, 0.5)
    return depth * calibration, width, np.where(lines.z < 100, damping, 0.0)


def line_depth(n, center, depth, width, damping):
    """Sum of Voigt-like profiles on `n` pixels; centers and widths in pixels."""
    tau = np.zeros(n)
    for c, d, w, a in zip(center, depth, width, damping, strict=True):
        if d < 2e-3:
            continue
        wing = a * d / 1.7725
        core = min(np.sqrt(np.log(d / 2e-4)), 3.3)
        reach = min(max(core * w, w * np.sqrt(wing / 5e-3)), 6000.0)
        j = np.arange(max(int(np.ceil(c - reach)), 0), min(int(np.floor(c + reach)) + 1, n))
        u2 = ((j - c) / w) ** 2
        tau[j] += wing / (u2 + 2.0) + np.where(u2 < 3.3**2, d * np.exp(-u2), 0.0)
    return tau


def balmer_strength(star):
    """Optical depth of H-alpha 1 Angstrom from its center, up to the profile's shape."""

    def absorption(star):
        state = layer(star.teff, star.logg, star.metallicity, star.alpha)
        opacity = continuous_opacity(
            state.temperature, state.electron_pressure, state.neutral_hydrogen, 6563.0
        )
        stark = max(state.electron_pressure, 1e-3) ** 0.35
        return hydrogen_second_level(state) / opacity * stark

    return 0.33 * absorption(star) / absorption(Star(*SUN))


def balmer_depth(strength, velocity_factor):
    """Optical depth of the Balmer lines on the fine grid; `strength` is that of H-alpha."""
    tau = np.zeros(PIXELS)
    for position, factor in BALMER:
        distance = WAVELENGTH - position * velocity_factor
        profile = (distance**2 + 0.1225) ** -1.25
        tau += np.where(abs(distance) < 150.0, strength * factor * profile, 0.0)
    return tau


def titanium_oxide(wavelength, lines, seed):
    """Bands that begin at their heads and fade redwards, filled with the rolled lines."""
    pattern = tio_pattern(seed, len(lines))
    total = np.full(len(lines), pattern.between)
    for head, level in zip(pattern.heads, pattern.levels, strict=True):
        start = np.searchsorted(wavelength, head)
        total[start:] += level * np.exp(-(wavelength[start:] - wavelength[start : start + 1]) / 80)
    for first, last in TIO_WINDOWS:
        total[(wavelength >= first) & (wavelength < last)] = 0.0
    return total * (0.15 + 0.75 * np.roll(lines, pattern.roll))


def moved(values, shift):
    """Linear interpolation at pixels `shift` to the left; nothing comes in at the ends."""
    n, whole = len(values), int(np.floor(shift))
    j = np.arange(max(whole + 1, 0), min(n, n + whole))
    out = np.zeros(n)
    part = shift - whole
    out[j] = (1 - part) * values[j - whole] + part * values[j - whole - 1]
    return out


def convolved(values, half):
    kernel = np.concatenate([half[:0:-1], half]).astype(np.float64)
    return np.convolve(np.pad(values, len(half) - 1, mode="edge"), kernel, "valid")


def spectrum(lines, star, night):
    """Relative photon flux of a star on the fine grid."""
    beta = star.rv / SPEED_OF_LIGHT
    factor = np.sqrt((1 + beta) / (1 - beta))
    shift = np.log(factor) / LOG_STEP
    depth, width, damping = optical_depths(lines, star)
    center = np.log(lines.wavelength / FIRST) / LOG_STEP + shift
    tau = line_depth(PIXELS, center, depth, width / PIXEL_VELOCITY, damping)
    tau += balmer_depth(balmer_strength(star), factor)
    bands = titanium_oxide(WAVELENGTH, band_template(WAVELENGTH), star.pattern)
    bands *= band_strength(star) if band_strength(star) > 2e-3 else 0.0
    flux = 0.08 + 0.92 / (1 + tau + moved(bands, shift))
    broadened = star.vsini / PIXEL_VELOCITY, star.macroturbulence / PIXEL_VELOCITY
    flux = convolved(flux, rotation_kernel(*broadened))
    oxygen, water = telluric_templates(WAVELENGTH)
    air = moved(
        night.airmass * (oxygen + night.water * water), night.berv / SPEED_OF_LIGHT / LOG_STEP
    )
    flux *= np.exp(-np.where(air > 1e-4, air, 0.0))
    instrument = SPEED_OF_LIGHT / night.resolution / 2.3548 / PIXEL_VELOCITY
    return convolved(flux, rotation_kernel(0.0, instrument)) * continuum(star)


def continuum(star):
    return at_nodes(photons(star.teff, NODES))


def at_nodes(values, pixels=PIXELS):
    return np.interp(np.linspace(0, len(values) - 1, pixels), np.arange(len(values)), values)
