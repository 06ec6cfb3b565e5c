"""The models known by name: those in the package and the published ones; loads no torch.

A published model is one entry of `PUBLISHED`: its address, its hash, its configuration, its paper.

Sedaghat et al. 2021, MNRAS 501, 6026 (astro-machines) and Sedaghat et al. 2023, MNRAS,
doi:10.1093/mnras/stad2686 (stellar-karaoke); values from their public code.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from latentscope.models.config import CONFIG_FILE, ModelConfig, VAEConfig, read_config
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


DEFAULT_MODEL = "harps-sim"
BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class PublishedModel:
    """A published checkpoint.

    Parameters
    ----------
    name : str
    url : str
        Where the file is.
    normalization : {"median-padded", "median-valid"}
        What its authors divided the flux by.
    description, paper : str
    sha256 : str or None
        Of the file. None where its authors published none: the hash of the first download is
        recorded then, and later loads must match it (trust on first use).
    """

    name: str
    url: str
    normalization: PublishedNormalization
    description: str
    paper: str
    sha256: str | None = None

    @property
    def filename(self) -> str:
        """Name of the checkpoint file."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def config(self) -> ModelConfig:
        """Architecture, preparation and description, as config.json would hold them."""
        return ModelConfig(
            name=self.name,
            architecture=PUBLISHED_ARCHITECTURE,
            prepare=published_prepare(self.normalization),
            description=self.description,
            beta=0.3,
            mad_threshold=0.02,
            paper=self.paper,
        )


_SITE = "https://www.rawdataspeaks.org/wp-content/uploads/projects"

PUBLISHED = {
    model.name: model
    for model in (
        PublishedModel(
            name="astro-machines",
            url=f"{_SITE}/astro-machines/data/model_128d_e182_i1500000.pth.tar",
            normalization="median-padded",
            description="272,376 HARPS spectra, 128 latents, 1,500,000 iterations",
            paper="Sedaghat et al. 2021, MNRAS 501, 6026, doi:10.1093/mnras/staa3540",
        ),
        PublishedModel(
            name="stellar-karaoke",
            url=f"{_SITE}/karaoke/data/model_14v3_128d_e116_i954k.pth.tar",
            normalization="median-valid",
            description="HARPS spectra, 128 latents, 954,000 iterations",
            paper="Sedaghat et al. 2023, MNRAS, doi:10.1093/mnras/stad2686",
        ),
    )
}


def bundled_models() -> dict[str, Path]:
    """Return the folders of the models that come with the package, by name."""
    return {path.parent.name: path.parent for path in sorted(BUNDLED.glob(f"*/{CONFIG_FILE}"))}


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder for downloads.

    `cache_dir` where given, else the environment's LATENTSCOPE_CACHE, else `latentscope` in
    XDG_CACHE_HOME or ~/.cache.
    """
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    if os.environ.get("LATENTSCOPE_CACHE"):
        return Path(os.environ["LATENTSCOPE_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "latentscope"


def cache_folder(name: str, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder in the cache that holds the files of a published model."""
    return cache_root(cache_dir) / "models" / name


def available_models(cache_dir: str | os.PathLike[str] | None = None) -> list[dict[str, Any]]:
    """List the models known by name.

    Parameters
    ----------
    cache_dir : path, optional
        Folder of downloads; by default LATENTSCOPE_CACHE or ~/.cache/latentscope.

    Returns
    -------
    list of dict
        `name`, `where` ("bundled", "cached" or "to download"), `latents` (number), `grid` (text,
        wavelengths in Angstrom), `description`, `paper`.
    """
    found = [("bundled", read_config(path / CONFIG_FILE)) for path in bundled_models().values()]
    for model in PUBLISHED.values():
        cached = (cache_folder(model.name, cache_dir) / model.filename).exists()
        found.append(("cached" if cached else "to download", model.config))
    return [
        {
            "name": config.name,
            "where": where,
            "latents": config.architecture.latents,
            "grid": _grid_text(config),
            "description": config.description or "",
            "paper": config.paper or "",
        }
        for where, config in found
    ]


def known_config(source: str | os.PathLike[str]) -> ModelConfig | None:
    """Return what config.json says of a bundled or published model, or of one in a folder.

    Without weights: nothing is downloaded, and torch is not loaded.

    Returns
    -------
    ModelConfig or None
        None for a checkpoint, an address or a Hugging Face id; `load_model` knows these.

    Raises
    ------
    ModelError
        If the config.json is missing or broken.
    """
    text = os.fspath(source)
    if text in bundled_models():
        return read_config(bundled_models()[text] / CONFIG_FILE)
    if text in PUBLISHED:
        return PUBLISHED[text].config
    folder = Path(text).expanduser()
    return read_config(folder / CONFIG_FILE) if folder.is_dir() else None


def _grid_text(config: ModelConfig) -> str:
    if config.prepare is None:
        return f"rows of {config.architecture.row_size} values"
    grid = config.prepare.grid
    first, last = grid.wavelength[0], grid.wavelength[-1]
    return f"{first:.0f}-{last:.0f} A, {grid.length} {grid.kind} pixels, {grid.medium}"
