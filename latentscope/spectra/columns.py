"""Which column of a table is wavelength, flux, error, quality: by name, else UTYPE, else UCD."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from latentscope.spectra.headers import Inferred
from latentscope.spectra.spectrum import Medium

WAVELENGTH = (
    "wave",
    "wavelength",
    "lambda",
    "lam",
    "wl",
    "wavelengths",
    "wave_vac",
    "wavelength_vac",
    "wavelength_vacuum",
    "vacuum_wavelength",
    "wave_air",
    "wavelength_air",
    "air_wavelength",
    "loglam",
    "spectral_axis",
)
FLUX = (
    "flux",
    "flux_reduced",
    "flux_el",
    "spec",
    "spectrum",
    "intensity",
    "counts",
    "fluxes",
    "flux_norm",
    "normalized_flux",
    "relative_flux",
)
ERROR = ("err", "error", "flux_err", "flux_error", "e_flux", "err_flux", "sigma", "uncertainty",
         "noise", "std", "eflux")  # fmt: skip
IVAR = ("ivar", "flux_ivar", "inverse_variance", "inv_var")
QUALITY = ("qual", "quality", "dq", "mask", "and_mask", "flag", "flags", "bpm")


@dataclass(frozen=True)
class Label:
    """What a table says of one of its columns; empty where it is silent."""

    name: str
    unit: str = ""
    ucd: str = ""
    utype: str = ""

    @property
    def key(self) -> str:
        """The name in lower case without a unit in brackets, words joined by underscores."""
        bare = re.sub(r"[\[(].*", "", self.name)
        return re.sub(r"[\s-]+", "_", bare.strip().lower())

    @property
    def written_unit(self) -> str:
        """The unit, or what stands in brackets behind the name."""
        bracket = re.search(r"[\[(]\s*([^\])]+?)\s*[\])]", self.name)
        return self.unit or (bracket[1] if bracket else "")


@dataclass(frozen=True)
class Choice:
    """Positions of the columns to read, and the medium as far as the columns tell."""

    wavelength: int
    flux: int
    error: int | None
    ivar: int | None
    quality: int | None
    medium: Medium | None
    inferred: Inferred | None


def choose(labels: Sequence[Label]) -> Choice | None:
    """Find the spectrum among the columns; None if there is no wavelength or no flux.

    Where vacuum and air wavelengths stand side by side (ESPRESSO), the main column counts.
    """
    wavelength = _find(labels, WAVELENGTH, "spectralaxis.value", "em.wl")
    flux = _find(labels, FLUX, "fluxaxis.value", "phot.flux")
    if wavelength is None or flux is None or wavelength == flux:
        return None
    return Choice(
        wavelength=wavelength,
        flux=flux,
        error=_find_error(labels, flux),
        ivar=_by_name(labels, IVAR),
        quality=_find(labels, QUALITY, "fluxaxis.accuracy.qualitystatus", "meta.code.qual"),
        medium=_medium(labels, wavelength),
        inferred=_inferred(labels[wavelength]),
    )


def _by_name(labels: Sequence[Label], names: Sequence[str]) -> int | None:
    keys = [label.key for label in labels]
    return next((keys.index(name) for name in names if name in keys), None)


def _find(labels: Sequence[Label], names: Sequence[str], utype: str, ucd: str) -> int | None:
    found = _by_name(labels, names)
    if found is not None:
        return found
    for position, label in enumerate(labels):
        if label.utype.lower().endswith(utype):
            return position
    for position, label in enumerate(labels):
        if label.ucd.lower().startswith(ucd):
            return position
    return None


def _find_error(labels: Sequence[Label], flux: int) -> int | None:
    """Find the error of the flux column chosen, not of another flux in the same table."""
    key = labels[flux].key
    own = [key.replace("flux", word) for word in ("err", "error")] if "flux" in key else []
    own += [f"{key}_err", f"{key}_error", f"e_{key}", f"err_{key}"]
    found = _by_name(labels, own)
    if found is None and "_" not in key:
        found = _find(labels, ERROR, "fluxaxis.accuracy.staterror", "stat.error")
    return found


def _medium(labels: Sequence[Label], wavelength: int) -> Medium | None:
    """Tell the medium by the column's name, its UCD (ESO SDP standard), or its neighbours."""
    label = labels[wavelength]
    if "air" in label.key.split("_"):
        return "air"
    if {"vac", "vacuum"} & set(label.key.split("_")) or label.key == "loglam":
        return "vacuum"
    if "obs.atmos" in label.ucd.lower():
        return "air"
    if any("air" in other.key.split("_") for other in labels):
        return "vacuum"
    return None


def _inferred(label: Label) -> Inferred | None:
    """Vacuum by a bare em.wl (ESO SDP standard), which some writers put on air wavelengths too."""
    if label.ucd.lower().strip() == "em.wl":
        return Inferred("vacuum", "since the UCD is em.wl without obs.atmos")
    return None
