"""The stars of an archive, and how each of them was observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import LatentscopeError

FIRST, LAST = 3770.0, 6925.0  # Angstrom in air: what an exposure covers, and a little more
RESPONSE_NODES = 513


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
        the pattern of its invented lines; 0: no scatter, the mean pattern.
    carbon : float
        [C/M] in dex.
    macroturbulence : float
        Standard deviation of large-scale motions along the line of sight in km/s.
    """

    teff: float
    logg: float = 4.44
    metallicity: float = 0.0
    vsini: float = 2.0
    rv: float = 0.0
    alpha: float = 0.0
    pattern: int = 0
    carbon: float = 0.0
    macroturbulence: float = 0.0


@dataclass(frozen=True)
class Night:
    """What the observer adds.

    Barycentric correction in km/s, airmass, water column (1 = usual), resolving power.
    """

    berv: float = 0.0
    airmass: float = 1.2
    water: float = 1.0
    resolution: float = 115_000.0


@dataclass(frozen=True)
class Population:
    """Stars and instruments of an archive.

    Attributes
    ----------
    lowest_metallicity : float
        [M/H] of the most metal-poor stars.
    coolest_giant : float
        Effective temperature of the coolest giants in Kelvin.
    carbon_rich : float
        Share of carbon-rich stars among those below -1.5 dex.
    macroturbulence : float
        Large-scale motions over those usual for the star's temperature and gravity.
    snr : (float, float)
        Least and largest, of a 0.01 Angstrom pixel.
    resolution : (float, float)
        Least and largest resolving power of the instruments, evenly drawn in its logarithm.
    other_instruments : float
        Share of spectra whose continuum is not that of HARPS: another fall-off to the blue, larger
        slopes, ripples that the merging of orders leaves.
    even : float
        Share of stars drawn broadly instead of as archives have them: temperature, metallicity
        and whether a star is a dwarf do not depend on each other, and no kind of star is rare.
    imperfect : bool
        Whether each spectrum has faults of its own, as real ones have them: wrong lines, read-out
        noise, cosmic rays, emission cores, removed telluric lines (`simulation.imperfect`).
    """

    lowest_metallicity: float = -4.0
    coolest_giant: float = 3500.0
    carbon_rich: float = 0.2
    macroturbulence: float = 1.0
    snr: tuple[float, float] = (10.0, 300.0)
    resolution: tuple[float, float] = (115_000.0, 115_000.0)
    other_instruments: float = 0.0
    even: float = 0.0
    imperfect: bool = False


HARPS = Population()
POPULATIONS = {
    "harps": HARPS,
    # As "even", with faults: what a probe learns from.
    "imperfect": Population(
        snr=(10.0, 500.0),
        resolution=(40_000.0, 190_000.0),
        other_instruments=0.4,
        even=0.75,
        carbon_rich=0.1,
        imperfect=True,
    ),
    "wide": Population(snr=(10.0, 500.0), resolution=(40_000.0, 190_000.0), other_instruments=0.4),
    "even": Population(
        snr=(10.0, 500.0),
        resolution=(40_000.0, 190_000.0),
        other_instruments=0.2,
        even=0.75,
        carbon_rich=0.1,
    ),
}
"""Populations by name: what HARPS sees, what other spectrographs do, and stars drawn broadly."""


@dataclass(frozen=True)
class Observation:
    """One exposure: the star, the night, the noise and the instrument's response."""

    index: int  # row in the archive
    star_id: int  # numbered from 0; several exposures may share one
    star: Star
    night: Night
    snr: float  # of a 0.01 Angstrom pixel at the median flux
    response: NDArray[np.float64]  # throughput at equal steps of ln(wavelength), shape (513,)
    flux_scale: float  # median counts of the file


def _generator(seed: int, kind: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, kind, index)))


def star_of_each(n: int, seed: int, repeats: bool) -> NDArray[np.int64]:
    """Star id of each of `n` spectra; with `repeats`, 3 stars in 10 are observed 2-12 times."""
    if not repeats:
        return np.arange(n)
    # Two streams, so that a longer archive begins with the stars of a shorter one.
    repeated = _generator(seed, 0, 0).random(n) < 0.3
    counts = np.where(repeated, np.minimum(1 + _generator(seed, 0, 1).geometric(0.4, n), 12), 1)
    return np.repeat(np.arange(n), counts)[:n]


def draw_star(rng: np.random.Generator, population: Population = HARPS) -> Star:
    """Draw a star from an archive-like mix: FGK dwarfs and subgiants, M dwarfs, giants, hot stars.

    One star in four, M dwarfs apart, is metal-poor and rich in alpha elements.
    Radial velocities have a core of +-30 km/s and tails to +-120 km/s. Of the share
    `population.even`, see there.
    """
    lowest = population.lowest_metallicity
    # No number is drawn for what a population has not, so that each keeps its stars.
    even = population.even > 0 and rng.random() < population.even
    if even:
        kind, metallicity = "even", 0.5 + (lowest - 0.5) * rng.beta(1.0, 2.0)
    else:
        kind = str(rng.choice(["fgk", "m", "giant", "hot"], p=[0.60, 0.18, 0.14, 0.08]))
        metallicity = rng.normal(-0.1, 0.25)
        if kind != "m" and rng.random() < 0.25:
            metallicity = -0.4 + (lowest + 0.4) * rng.beta(1.0, 1.6)
    metallicity = float(np.clip(metallicity, lowest, 0.5))
    alpha = float(np.clip(-0.4 * metallicity, -0.05, 0.35) + rng.normal(0.0, 0.08))
    # Carbon-rich stars are metal-poor (Beers & Christlieb 2005); giants have mixed theirs down.
    rich = rng.random() < population.carbon_rich
    excess = rng.uniform(0.5, 2.0)
    teff, logg = _temperature_and_gravity(kind, rng, population.coolest_giant)
    carbon = rng.normal(-0.2 if logg < 2.5 else 0.0, 0.1)
    if rich and metallicity < -1.5:
        carbon += excess
    fast = teff > 6300
    vsini = min(rng.lognormal(2.6, 0.9), 120.0) if fast else 0.5 + abs(rng.normal(0.0, 3.0))
    motion = macroturbulence(teff, logg) * population.macroturbulence * rng.lognormal(0.0, 0.25)
    spread = rng.choice([18.0, 55.0], p=[0.75, 0.25])
    rv = rng.normal(0.0, spread)
    while abs(rv) > 120.0:
        rv = rng.normal(0.0, spread)
    pattern = int(rng.integers(1, 2**32))
    return Star(
        teff, logg, metallicity, float(vsini), float(rv), alpha, pattern, float(carbon),
        float(motion),
    )  # fmt: skip


def macroturbulence(teff: float, logg: float) -> float:
    """Usual macroturbulence in km/s, a standard deviation along the line of sight.

    Doyle et al. 2014 (MNRAS 444, 3592), whose radial-tangential velocity is about twice as large;
    from 4800 to 6800 K, and constant beyond.
    """
    x = float(np.clip(teff, 4800.0, 6800.0)) - 5777.0
    velocity = 3.21 + 2.33e-3 * x + 2.0e-6 * x**2 - 2.0 * (min(logg, 4.6) - 4.44)
    return 0.5 * float(np.clip(velocity, 1.0, 8.0))


def _temperature_and_gravity(
    kind: str, rng: np.random.Generator, coolest_giant: float
) -> tuple[float, float]:
    if kind == "even":
        hot = rng.random() < 0.15
        teff = rng.uniform(7000.0, 9500.0) if hot else rng.uniform(3000.0, 7000.0)
        evolved = rng.random() < 0.35
        if evolved and coolest_giant < teff < 5300.0:
            return teff, _gravity_of_giant(teff, rng)
        if evolved and teff > 5300.0:
            return teff, float(rng.uniform(3.3, 4.3))
        return teff, float(rng.normal(max(4.95 - (teff - 3000) * 2e-4, 4.1), 0.1))
    if kind == "m":
        teff = rng.uniform(3000.0, 4000.0)
        return teff, float(rng.normal(4.95 - (teff - 3000) * 2.5e-4, 0.06))
    if kind == "giant":
        teff = rng.uniform(coolest_giant, 5300.0)
        return teff, _gravity_of_giant(teff, rng)
    if kind == "hot":
        return rng.uniform(6800.0, 9500.0), float(rng.normal(4.1, 0.15))
    teff = float(np.clip(rng.normal(5500.0, 650.0), 4000.0, 6900.0))
    if rng.random() < 0.2:
        return teff, float(rng.uniform(3.3, 4.3))
    return teff, float(rng.normal(4.45 - max(teff - 5600, 0) * 2.5e-4, 0.1))


def _gravity_of_giant(teff: float, rng: np.random.Generator) -> float:
    return float(np.clip(1.2 + (teff - 3900) / 1400 * 2.0 + rng.normal(0, 0.3), 0.3, 3.7))


def observe(index: int, star_id: int, seed: int, population: Population = HARPS) -> Observation:
    """Draw the star `star_id` and one exposure of it; the same for the same seed and numbers.

    Raises
    ------
    LatentscopeError
        If the seed is negative.
    """
    if seed < 0:
        raise LatentscopeError(f"seed is {seed}; expected a whole number, 0 or more")
    star = draw_star(_generator(seed, 1, star_id), population)
    rng = _generator(seed, 2, index)
    low, high = np.log(population.resolution)
    night = Night(
        berv=float(30.0 * np.sin(rng.uniform(0, 2 * np.pi)) * np.cos(rng.uniform(0, 1.2))),
        airmass=float(1.0 + min(rng.exponential(0.25), 1.6)),
        water=float(rng.lognormal(0.0, 0.5)),
        resolution=float(np.exp(low + (high - low) * rng.random())),
    )
    least, largest = population.snr
    # Two in three within a factor of 2.1 of 67, whatever the limits.
    snr = float(np.clip(np.exp(rng.normal(4.2, 0.75)), least, largest))
    scale = float(snr**2 * rng.uniform(0.8, 1.25))
    other = rng.random() < population.other_instruments
    response = _other_response(rng) if other else _response(rng, night.airmass)
    return Observation(index, star_id, star, night, snr, response, scale)


def _response(rng: np.random.Generator, airmass: float) -> NDArray[np.float64]:
    """Smooth throughput: blue fall-off, extinction by the air, and a slow drift of its own."""
    x, micron = _response_nodes()
    throughput = 1.0 / (1.0 + np.exp(-(micron - 0.405) / 0.045))
    extinction = 0.4 * np.log(10) * (0.012 / micron**4 + 0.05)  # magnitudes an airmass, La Silla
    return np.asarray(throughput * np.exp(_drift(rng, x, 1.0) - extinction * airmass))


def _other_response(rng: np.random.Generator) -> NDArray[np.float64]:
    """Throughput of another instrument: steeper or flatter, corrected or not, with ripples."""
    x, micron = _response_nodes()
    edge, width = rng.uniform(0.34, 0.42), rng.uniform(0.02, 0.07)
    throughput = 1.0 / (1.0 + np.exp(-(micron - edge) / width))
    drift = _drift(rng, x, rng.uniform(0.5, 1.8))
    # Orders of 40 to 90 Angstrom, which are longer in the red.
    orders = 2 * np.pi * (micron[-1] / rng.uniform(0.004, 0.009)) * np.log(micron)
    ripples = 0.02 * rng.exponential() * np.sin(orders + rng.uniform(0, 2 * np.pi))
    return np.asarray(throughput * np.exp(drift + ripples))


def _response_nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes of a response from -1 to 1, and their wavelength in micrometers."""
    x = np.linspace(-1.0, 1.0, RESPONSE_NODES)
    return x, FIRST * (LAST / FIRST) ** ((x + 1) / 2) / 1e4


def _drift(rng: np.random.Generator, x: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    amplitudes = size * rng.normal(0.0, 1.0, 6) * np.array([0.45, 0.22, 0.12, 0.07, 0.04, 0.03])
    return np.asarray(np.polynomial.legendre.legval(x, np.concatenate([[0.0], amplitudes])))


def spectral_type(teff: float, logg: float) -> str:
    """Letter and luminosity class after the main-sequence scale of Pecaut & Mamajek (2013)."""
    limits = ((7300, "A"), (5980, "F"), (5310, "G"), (3890, "K"))
    letter = next((name for limit, name in limits if teff >= limit), "M")
    return f"{letter} {'III' if logg < 3.7 else 'V'}"
