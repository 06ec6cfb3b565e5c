"""The published HARPS networks, as configuration: the one place that knows HARPS pixels.

Sedaghat et al. 2021, MNRAS 501, 6026 (astro-machines) and Sedaghat et al. 2023, MNRAS,
doi:10.1093/mnras/stad2686 (stellar-karaoke); values from their public code.
"""

from __future__ import annotations

from typing import Literal

from latentscope.models.architecture import VAEConfig
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.wavelength import Grid

# 312,501 pixels padded to 2^18 + 2^16; the gap is that between the two CCDs with room for the
# barycentric shift, pixels 159453..162893 of the padded row.
PUBLISHED_GRID = Grid(
    kind="linear",
    start=3785.0,
    step=0.01,
    length=312_501,
    pad_left=7_589,
    pad_right=7_590,
    medium="air",
    frame="barycentric",
    gaps=((5303.64, 5338.04),),
)

# Both published networks; 7,046,997 parameters.
PUBLISHED_ARCHITECTURE = VAEConfig(
    length=PUBLISHED_GRID.size,
    channels=(16, 16, 16, 32, 32, 32, 64, 64, 64, 128, 128, 128, 256, 512, 512),
    kernels=(7, 5, 5) + 12 * (3,),
    strides=14 * (2,) + (1,),
    latents=128,
)

PublishedNormalization = Literal["median-padded", "median-valid"]


def published_prepare(normalization: PublishedNormalization) -> PrepareConfig:
    """Return the preparation of a published HARPS network.

    Parameters
    ----------
    normalization : {"median-padded", "median-valid"}
        "median-padded" for astro-machines; "median-valid" for stellar-karaoke, which also takes
        spectra of a median flux of at most 50 for degenerate.

    Returns
    -------
    PrepareConfig
    """
    return PrepareConfig(
        grid=PUBLISHED_GRID,
        normalization=normalization,
        min_median=50.0 if normalization == "median-valid" else None,
    )
