"""Draw docs/images/track.png: `python docs/figures/track.py`.

Forty exposures of one simulated star in 40 nights, moved by 20 m/s with a period of 3.24 days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from archive import FOLDER, save

from latentscope import Spectrum, encode, simulate, track
from latentscope.spectra.wavelength import doppler_shift

EXPOSURES, PERIOD, KMS, SNR = 40, 3.24, 0.02, 150.0


def star() -> Spectrum:
    """The simulated spectrum with the least noise among a few."""
    return max((one for one, _ in simulate(20, seed=5)), key=lambda one: one.meta["snr"])


def exposures(template: Spectrum) -> Iterator[Spectrum]:
    """Shift, and add noise of the photons."""
    rng = np.random.default_rng(0)
    flux = np.maximum(template.flux, 0)
    level = float(np.median(flux[flux > 0])) / SNR**2
    for mjd in 56000.0 + np.arange(EXPOSURES) + rng.uniform(-0.15, 0.15, EXPOSURES):
        rv = KMS * np.sin(2 * np.pi * mjd / PERIOD)
        noise = np.sqrt(level * flux) * rng.normal(size=len(flux))
        meta = template.meta | {
            "mjd": mjd,
            "star": "simulated star",
            "object": "simulated star",
            "snr": SNR,
        }
        moved = doppler_shift(template.wavelength, rv)
        yield replace(template, wavelength=moved, flux=flux + noise, rv=rv, meta=meta)


def main() -> None:
    """Encode, follow, draw."""
    path = FOLDER / "track.npy"
    if not path.is_file():
        encode(list(exposures(star())), "harps-sim", output=path, logvar=True, recon_error=False)
    result = track(path)
    print("\n".join([*result.sentences(), *result.notes]))
    print(result.dims.to_string())
    save(result.plot(), "track.png")


if __name__ == "__main__":
    main()
