"""Which stars an archive holds, and how each of them was observed."""

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


def draw_star(rng: np.random.Generator) -> Star:
    """Draw a star from an archive-like mix: FGK dwarfs and subgiants, M dwarfs, giants, hot stars.

    One star in four, M dwarfs apart, is metal-poor (to -3 dex) and rich in alpha elements.
    Radial velocities have a core of +-30 km/s and tails to +-120 km/s.
    """
    kind = rng.choice(["fgk", "m", "giant", "hot"], p=[0.62, 0.18, 0.10, 0.10])
    metallicity = rng.normal(-0.1, 0.25)
    if kind != "m" and rng.random() < 0.25:
        metallicity = rng.uniform(-3.0, -0.4)
    metallicity = float(np.clip(metallicity, -3.0, 0.5))
    alpha = float(np.clip(-0.4 * metallicity, -0.05, 0.35) + rng.normal(0.0, 0.06))
    teff, logg = _temperature_and_gravity(str(kind), rng)
    fast = teff > 6300
    vsini = min(rng.lognormal(2.6, 0.9), 120.0) if fast else 0.5 + abs(rng.normal(0.0, 3.0))
    spread = rng.choice([18.0, 55.0], p=[0.75, 0.25])
    rv = rng.normal(0.0, spread)
    while abs(rv) > 120.0:
        rv = rng.normal(0.0, spread)
    pattern = int(rng.integers(1, 2**32))
    return Star(teff, logg, metallicity, float(vsini), float(rv), alpha, pattern)


def _temperature_and_gravity(kind: str, rng: np.random.Generator) -> tuple[float, float]:
    if kind == "m":
        teff = rng.uniform(3000.0, 4000.0)
        return teff, float(rng.normal(4.95 - (teff - 3000) * 2.5e-4, 0.06))
    if kind == "giant":
        teff = rng.uniform(3900.0, 5300.0)
        return teff, float(np.clip(1.2 + (teff - 3900) / 1400 * 2.0 + rng.normal(0, 0.3), 0.5, 3.7))
    if kind == "hot":
        return rng.uniform(6800.0, 9500.0), float(rng.normal(4.1, 0.15))
    teff = float(np.clip(rng.normal(5500.0, 650.0), 4000.0, 6900.0))
    if rng.random() < 0.2:
        return teff, float(rng.uniform(3.3, 4.3))
    return teff, float(rng.normal(4.45 - max(teff - 5600, 0) * 2.5e-4, 0.1))


def observe(index: int, star_id: int, seed: int) -> Observation:
    """Draw the star `star_id` and one exposure of it; the same for the same seed and numbers.

    Raises
    ------
    LatentscopeError
        If the seed is negative.
    """
    if seed < 0:
        raise LatentscopeError(f"seed is {seed}; expected a whole number, 0 or more")
    star = draw_star(_generator(seed, 1, star_id))
    rng = _generator(seed, 2, index)
    night = Night(
        berv=float(30.0 * np.sin(rng.uniform(0, 2 * np.pi)) * np.cos(rng.uniform(0, 1.2))),
        airmass=float(1.0 + min(rng.exponential(0.25), 1.6)),
        water=float(rng.lognormal(0.0, 0.5)),
    )
    snr = float(np.clip(np.exp(rng.normal(4.2, 0.75)), 10.0, 300.0))
    scale = float(snr**2 * rng.uniform(0.8, 1.25))
    return Observation(index, star_id, star, night, snr, _response(rng, night.airmass), scale)


def _response(rng: np.random.Generator, airmass: float) -> NDArray[np.float64]:
    """Smooth throughput: blue fall-off, extinction by the air, and a slow drift of its own."""
    x = np.linspace(-1.0, 1.0, RESPONSE_NODES)
    micron = FIRST * (LAST / FIRST) ** ((x + 1) / 2) / 1e4
    throughput = 1.0 / (1.0 + np.exp(-(micron - 0.405) / 0.045))
    extinction = 0.4 * np.log(10) * (0.012 / micron**4 + 0.05)  # magnitudes an airmass, La Silla
    amplitudes = rng.normal(0.0, 1.0, 6) * np.array([0.45, 0.22, 0.12, 0.07, 0.04, 0.03])
    drift = np.polynomial.legendre.legval(x, np.concatenate([[0.0], amplitudes]))
    return np.asarray(throughput * np.exp(drift - extinction * airmass))


def spectral_type(teff: float, logg: float) -> str:
    """Letter and luminosity class after the main-sequence scale of Pecaut & Mamajek (2013)."""
    limits = ((7300, "A"), (5980, "F"), (5310, "G"), (3890, "K"))
    letter = next((name for limit, name in limits if teff >= limit), "M")
    return f"{letter} {'III' if logg < 3.7 else 'V'}"
