"""Print what the page of mutual information says of two instruments.

600 simulated stars, two each night; every second one is seen by an instrument of a quarter of the
resolving power. What do the dimensions of harps-sim know of that?
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from archive import FOLDER
from scipy.ndimage import gaussian_filter1d

from latentscope import Spectrum, encode, mi_matrix, simulate

STARS = 600
POWER, LOWER = 115_000.0, 30_000.0


def spectra() -> Iterator[Spectrum]:
    """Stars of two instruments, two hundred nights, and an airmass that nobody chose."""
    for number, (spectrum, _) in enumerate(simulate(STARS, seed=8, repeats=False)):
        meta = {"instrument": "HARPS", "mjd": 55000.0 + number // 2, "exptime": 900.0}
        flux = spectrum.flux
        if number % 2:
            # The width that is missing, in pixels of 0.01 Angstrom, at 5,000 Angstrom.
            width = 5000.0 * np.sqrt(1 / LOWER**2 - 1 / POWER**2) / 0.01 / 2.3548
            flux = gaussian_filter1d(flux, width)
            meta |= {"instrument": "another", "exptime": 600.0}
        yield replace(spectrum, flux=flux, meta=spectrum.meta | meta)


def main() -> None:
    """Encode, measure, draw."""
    path = FOLDER / "observation.npy"
    latents = encode(list(spectra()), "harps-sim", output=path, recon_error=False)
    result = mi_matrix(latents, dims="informative")
    print(f"{len(result.significant)} of {len(result.table)} pairs are significant")
    print("\n".join([*result.sentences(4), *result.notes]))


if __name__ == "__main__":
    main()
