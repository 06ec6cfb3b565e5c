"""Velocities that a Doppler model fits: how far from the truth, how sure, and which are said to be.

Run:

    python -m benchmarks.velocity --real Gl581.fits:-9.2 --real 38vir_rest.fits:0

Simulated stars of several kinds at -300 ... +300 km/s, spectra that are no stars, exposures of one
star that differ by their noise alone, and real spectra shifted in steps of 20 km/s; the number
after the colon is the known velocity in km/s. The drift is what the other latents do meanwhile.
Wrong is an error above 10 km/s. Velocities are read
by the latent's own scale, less the median error of the first kind: the decoder's zero point.
Prints tables. With `--exposures` alone: exposures of each real star that differ
by noise drawn from its errors, and what the fit costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.outliers import CHROMOSPHERE, emission
from benchmarks.timing import rounds, table
from latentscope.models.network import SECOND_PEAK, SpectrumVAE
from latentscope.models.weights import load_model
from latentscope.simulation.population import RESPONSE_NODES, Observation, observe
from latentscope.simulation.synthesis import PIXELS, one_thread, synthesizer_of
from latentscope.spectra.prepare import prepare
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import SPEED_OF_LIGHT, doppler_shift
from train.data.rows import Rows

Floats = NDArray[np.float64]
WRONG = 10.0  # km/s
REACH = 300.0
SHIFTS = np.arange(-REACH, REACH + 1, 20.0)
NOISES = 16
"""Exposures of one star that differ by their noise."""
_STAR, _FLUX, _NOISE = range(3)  # streams of random numbers


class Fitted(NamedTuple):
    """Velocity and its standard deviation in km/s, height of the second peak, flag; (n,) each."""

    velocity: Floats
    sigma: Floats
    second_peak: Floats
    ambiguous: NDArray[np.bool_]


def fitted(model: SpectrumVAE, rows: np.ndarray) -> Fitted:
    """What the model says of prepared rows (n, row_size)."""
    assert model.prepare is not None
    unit = float(model.doppler_scale.detach()) * model.prepare.grid.step * SPEED_OF_LIGHT
    parts = []
    with torch.no_grad():
        for start in range(0, len(rows), 32):
            mean, logvar, shift, _ = model.encoding(
                torch.from_numpy(rows[start : start + 32]).float()
            )
            assert logvar is not None
            assert shift is not None
            sigma = abs(unit) * torch.exp(0.5 * logvar[:, 0])
            parts.append((unit * mean[:, 0], sigma, shift.second_peak, shift.ambiguous))
    return Fitted(*(torch.cat(column).numpy() for column in zip(*parts, strict=True)))


def row_of(model: SpectrumVAE, spectrum: Spectrum) -> NDArray[np.float32]:
    """A spectrum prepared as the model takes it, (row_size,)."""
    assert model.prepare is not None
    return prepare(spectrum, model.prepare).row


class Maker:
    """Prepared rows of simulated stars and of what is none."""

    def __init__(self, model: SpectrumVAE, linelist: str | None) -> None:
        assert model.prepare is not None
        self.synthesizer = synthesizer_of(linelist)
        self.rows = Rows(self.synthesizer.wavelength, model.prepare, self.synthesizer.device)

    def stars(self, *observations: Observation, weights: tuple[float, ...] = (1.0,)) -> Floats:
        """Flux of one star, or of the sum of several, without noise."""
        with one_thread():
            flux = [self.synthesizer.flux([one])[0].numpy() for one in observations]
        parts = (w * f / np.median(f) for w, f in zip(weights, flux, strict=True))
        return np.sum(list(parts), axis=0, dtype=np.float64)

    def row(self, flux: Floats, snr: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """The row of a flux with the photon noise of an exposure."""
        given = torch.from_numpy(flux.astype(np.float32))[None]
        if flux.min() < 0:  # noise alone, and no photons to count
            return self.rows.noiseless(given)[0].numpy()
        noise = torch.from_numpy(rng.standard_normal((1, PIXELS), dtype=np.float32))
        return self.rows.noisy(given, torch.tensor([snr]), noise)[0][0].numpy()


def changed(observation: Observation, **star: Any) -> Observation:
    return replace(observation, star=replace(observation.star, **star))


Kind = Callable[[Maker, Observation, np.random.Generator], Floats]


def like(**star: float | tuple[float, float]) -> Kind:
    """Stars of the simulator with other properties, each a number or drawn from a range."""

    def of_kind(maker: Maker, one: Observation, rng: np.random.Generator) -> Floats:
        drawn = {
            name: rng.uniform(*value) if isinstance(value, tuple) else value
            for name, value in star.items()
        }
        return maker.stars(changed(one, **drawn))

    return of_kind


def active(maker: Maker, one: Observation, rng: np.random.Generator) -> Floats:
    """Hydrogen and calcium lines in emission, up to 5 times the continuum."""
    peak = np.exp(rng.uniform(np.log(0.5), np.log(5.0)))
    width = rng.uniform(40.0, 250.0) / SPEED_OF_LIGHT / 2.3548
    lines = emission(maker.synthesizer.wavelength, CHROMOSPHERE, one.star.rv, width)
    flux = maker.stars(one)
    return flux + peak * lines * np.median(flux)


def binary(share: float) -> Kind:
    """Two stars of one kind, 30 to 300 km/s apart, the second with a share of the first's light."""

    def pair(maker: Maker, one: Observation, rng: np.random.Generator) -> Floats:
        first = changed(one, teff=rng.uniform(4800, 6500), logg=4.4, vsini=rng.uniform(1, 10))
        apart = np.exp(rng.uniform(np.log(30), np.log(REACH))) * rng.choice([-1, 1])
        second = changed(first, rv=first.star.rv + apart, pattern=int(rng.integers(1, 2**31)))
        return maker.stars(first, second, weights=(1.0, share))

    return pair


def featureless(maker: Maker, one: Observation, rng: np.random.Generator) -> Floats:
    """The response of the instrument and nothing else."""
    return np.interp(
        np.linspace(0, 1, PIXELS), np.linspace(0, 1, RESPONSE_NODES), np.array(one.response)
    )


def noise(maker: Maker, one: Observation, rng: np.random.Generator) -> Floats:
    """Noise about a level of up to one standard deviation."""
    return rng.normal(rng.uniform(0.05, 1.0), 1.0, PIXELS)


KINDS: dict[str, Kind] = {
    "as trained": like(),
    "metal-poor, [M/H] -3 to -2": like(teff=(4500, 6500), metallicity=(-3, -2)),
    "M dwarfs": like(teff=(3000, 3900), logg=4.9, vsini=2.0),
    "8000-9500 K": like(teff=(8000, 9500), logg=4.1),
    "emission lines": active,
    "vsini 200, 6000-9500 K": like(vsini=200.0, teff=(6000, 9500), logg=4.1),
    # No such star is in the training.
    "vsini 200, 4500-6000 K": like(vsini=200.0, teff=(4500, 6000), logg=4.4),
    "binary 1:0.2": binary(0.2),
    "binary 1:0.5": binary(0.5),
    "binary 1:0.8": binary(0.8),
    "binary 1:1": binary(1.0),
}
NO_STARS: dict[str, Kind] = {"featureless continuum": featureless, "noise": noise}


def measured(
    model: SpectrumVAE, maker: Maker, kind: Kind, n: int, seed: int
) -> tuple[Fitted, Floats]:
    """The fit of n spectra of a kind, and the true velocities, km/s."""
    rows, truth = [], []
    for index in range(n):
        rng = np.random.default_rng((seed, _STAR, index))
        one = changed(observe(index, index, seed), rv=float(rng.uniform(-REACH, REACH)))
        flux = kind(maker, one, np.random.default_rng((seed, _FLUX, index)))
        rows.append(maker.row(flux, one.snr, np.random.default_rng((seed, _NOISE, index))))
        truth.append(one.star.rv)
    return fitted(model, np.array(rows)), np.array(truth)


def figures(found: Fitted, truth: Floats) -> dict[str, float]:
    """Errors of a kind and what the flag says of them."""
    error = found.velocity - truth
    wrong = abs(error) > WRONG
    right = ~wrong
    return {
        "n": len(truth),
        "wrong": int(wrong.sum()),
        "wrong, flagged": int((wrong & found.ambiguous).sum()),
        "right, flagged": int((right & found.ambiguous).sum()),
        "error": robust(error),
        "error over sigma": robust(error / found.sigma),
        "slope": float(np.polyfit(truth[right], found.velocity[right], 1)[0]),
        "second peak, 98 %": float(np.nanquantile(found.second_peak, 0.98)),
    }


def robust(error: Floats) -> float:
    """Standard deviation from 0 by the median."""
    return float(1.4826 * np.median(abs(error)))


def repeats(model: SpectrumVAE, maker: Maker, n: int, seed: int) -> list[dict[str, float]]:
    """Standard deviation that is said over the scatter of exposures, by signal to noise.

    Of simulated stars, and of the model's own reconstructions of them with white noise of the same
    size as a residual: there nothing but noise is left.
    """
    found: dict[tuple[float, str], list[float]] = {}
    for index in range(n):
        one = observe(index, index, seed)
        flux = maker.stars(one)
        rng = np.random.default_rng((seed, _NOISE, index))
        rows = np.array([maker.row(flux, one.snr, rng) for _ in range(NOISES)])
        with torch.no_grad():
            own = model.reconstruct(torch.from_numpy(rows[:1])).numpy()
        length = model.config.length
        size = np.std((own - rows[:1])[:, :length])
        own = np.repeat(own, NOISES, axis=0)
        own[:, :length] += size * rng.standard_normal((NOISES, length))
        band = max(low for low in (0, 30, 60, 120) if one.snr >= low)
        for name, given in (("simulated", rows), ("own lines", own.astype(np.float32))):
            fit = fitted(model, given)
            sigma = np.sqrt(np.mean(fit.sigma.astype(float) ** 2))
            found.setdefault((band, name), []).append(sigma / fit.velocity.std(ddof=1))
    return [
        {"snr from": band, "spectra": name, "n": len(ratios), "ratio": float(np.median(ratios))}
        for (band, name), ratios in sorted(found.items())
    ]


def drift(model: SpectrumVAE, rows: np.ndarray, rest: np.ndarray) -> dict[str, float]:
    """How far the other latents are from those at rest, root mean square over rows and latents.

    As the convolutions read spectra where they lie, and as `encode` gives them.
    """
    given, still = torch.from_numpy(rows).float(), torch.from_numpy(rest).float()
    with torch.no_grad():
        at_rest = model.encode(still)[0][:, 1:]
        latents = {"once": model.encode(given, fit=False)[0], "twice": model.encode(given)[0]}
    return {
        name: float((values[:, 1:] - at_rest).square().mean().sqrt())
        for name, values in latents.items()
    }


def drifts(model: SpectrumVAE, maker: Maker, n: int, seed: int) -> list[dict[str, float]]:
    """`drift` of n simulated stars by their velocity, km/s."""
    found = []
    for velocity in (60.0, 150.0, 250.0):
        rows = []
        for index in range(n):
            one = observe(index, index, seed)
            sign = 1 if index % 2 else -1
            for rv in (0.0, sign * velocity):
                rng = np.random.default_rng((seed, _NOISE, index))
                rows.append(maker.row(maker.stars(changed(one, rv=rv)), one.snr, rng))
        pairs = np.array(rows)
        found.append({"velocity": velocity, "n": n} | drift(model, pairs[1::2], pairs[::2]))
    return found


def real(model: SpectrumVAE, path: str, known: float, zero: float) -> dict[str, Any]:
    """How a real star follows shifts, and the velocity read without any."""
    spectrum = read_spectrum(path)
    shifted = (doppler_shift(spectrum.wavelength, v) for v in SHIFTS)
    rows = np.array([row_of(model, replace(spectrum, wavelength=one)) for one in shifted])
    found = fitted(model, rows)
    velocity = found.velocity - zero
    error = velocity - SHIFTS - known
    return {
        "star": spectrum.meta.get("object") or Path(path).name,
        "known": known,
        "read": float(velocity[len(SHIFTS) // 2]),
        "largest error": float(abs(error).max()),
        "scatter": float(error.std()),
        "slope": float(np.polyfit(SHIFTS, velocity, 1)[0]),
        "flagged": int(found.ambiguous.sum()),
        "second peak": float(found.second_peak.max()),
    } | drift(model, rows, rows[len(SHIFTS) // 2][None])


def exposures(model: SpectrumVAE, path: str) -> dict[str, Any]:
    """Scatter in m/s of a real star's velocity over exposures with noise of its own size besides.

    By its inverse variance, or photon noise of the header's signal to noise; and what that noise
    allows at best.
    """
    assert model.prepare is not None
    spectrum = read_spectrum(path)
    flux, snr = spectrum.flux.astype(np.float64), spectrum.meta.get("snr")
    if spectrum.ivar is not None:
        ivar = np.asarray(spectrum.ivar, dtype=np.float64)
        variance = np.divide(1.0, ivar, out=np.zeros_like(ivar), where=ivar > 0)
    elif snr:
        variance = np.maximum(flux, 0.0) * np.median(flux[flux > 0]) / snr**2
    else:
        raise SystemExit(f"{path}: knows no errors; expected an SNR in the header, or errors")
    rng = np.random.default_rng(0)
    noisy = (flux + np.sqrt(variance) * rng.standard_normal(len(flux)) for _ in range(NOISES))
    rows = np.array([row_of(model, replace(spectrum, flux=one.astype("f4"))) for one in noisy])
    scatter = fitted(model, rows).velocity.std(ddof=1)
    pixels = slice(model.config.length)
    limit = photon_limit(row_of(model, spectrum)[pixels], rows[:, pixels].var(axis=0, ddof=1))
    return {
        "star": spectrum.meta.get("object") or Path(path).name,
        "snr": snr,
        "scatter": 1e3 * float(scatter),
        "limit": 1e3 * SPEED_OF_LIGHT * model.prepare.grid.step * limit,
    }


def photon_limit(row: Floats, variance: Floats) -> float:
    """Least standard deviation in pixels of the shift of a row whose lines are known.

    Of pixels (length,) with noise of a variance (length,), which is smoothed here (Bouchy et al.
    2001, A&A 374, 733), less what the row's own noise adds to its slopes.
    """
    known = (variance > 0).astype(float)
    window = np.ones(65)
    smooth = np.convolve(variance, window, "same") / np.convolve(known, window, "same").clip(1)
    use = (known * np.roll(known, 1) * np.roll(known, -1))[1:-1] > 0
    slope = (row[2:] - row[:-2])[use] / 2
    noise = smooth[1:-1][use]
    return float(np.sum(slope**2 / noise - 0.5) ** -0.5)


def cost(model: SpectrumVAE, path: str, n_rounds: int = 40) -> dict[str, float]:
    """Milliseconds a spectrum of `model.encode`, with and without the fit, in turns; least."""
    rows = torch.from_numpy(row_of(model, read_spectrum(path))).float().repeat(16, 1)
    torch.set_num_threads(1)
    with torch.inference_mode():
        ways = {name: partial(model.encode, rows, fit=name == "fit") for name in ("plain", "fit")}
        taken = rounds(ways, n_rounds, warm=True)
    return {name: 1e3 * float(times.min()) / len(rows) for name, times in taken.items()}


def again(args: argparse.Namespace) -> None:
    """Print `exposures` and `cost`."""
    model, paths = load_model(args.model), [entry.rpartition(":")[0] for entry in args.real]
    for found in (exposures(model, path) for path in paths):
        print(
            f"{found['star']}, SNR {found['snr']:.0f}: {found['scatter']:.2f} m/s, "
            f"photons allow {found['limit']:.2f}"
        )
    taken = cost(model, paths[0])
    print(", ".join(f"{name} {ms:.2f} ms" for name, ms in taken.items()), end=": ")
    print(f"{taken['fit'] / taken['plain']:.2f} times as long")


def measure(args: argparse.Namespace) -> None:
    """Print all tables."""
    model = load_model(args.model)
    maker = Maker(model, args.linelist)
    kinds, empty = [], []
    zero: float | None = None
    for name, kind in KINDS.items():
        n = args.stars if zero is None else args.each
        found, truth = measured(model, maker, kind, n, args.seed)
        zero = float(np.median(found.velocity - truth)) if zero is None else zero
        found = found._replace(velocity=found.velocity - zero)
        kinds.append({"stars": name} | figures(found, truth))
    assert zero is not None
    for name, kind in NO_STARS.items():
        found, _ = measured(model, maker, kind, args.each, args.seed)
        by_peak = int((found.second_peak > SECOND_PEAK).sum())
        flagged = int(found.ambiguous.sum())
        empty.append({"no stars": name, "n": args.each, "flagged": flagged, "by peak": by_peak})
    entries = [entry.rpartition(":") for entry in args.real]
    print(f"zero point {zero:+.3f} km/s\n")
    for lines in (
        kinds,
        empty,
        repeats(model, maker, args.repeats, args.seed + 1),
        drifts(model, maker, args.repeats, args.seed + 2),
        [real(model, path, float(known), zero) for path, _, known in entries],
    ):
        print(f"{table(lines, '.5g')}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="harps-sim")
    parser.add_argument("--linelist")
    parser.add_argument("--stars", type=int, default=1000, help="of the first kind")
    parser.add_argument("--each", type=int, default=150, help="of each other kind")
    parser.add_argument("--repeats", type=int, default=60, help="stars that are exposed repeatedly")
    parser.add_argument("--seed", type=int, default=9100)
    parser.add_argument("--real", action="append", default=[], metavar="FILE:RV")
    parser.add_argument("--exposures", action="store_true")
    args = parser.parse_args()
    if args.exposures:
        again(args)
        return
    measure(args)


if __name__ == "__main__":
    main()
