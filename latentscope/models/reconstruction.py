"""One spectrum beside what a model makes of it, and both as FITS or CSV."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics.traversal.traverse import star_velocity
from latentscope.errors import ModelError, SpectrumError, warn
from latentscope.files import atomic_path
from latentscope.models.rows import read_chunk, source_id
from latentscope.spectra.prepare import PrepareConfig, restore
from latentscope.spectra.read import Reading, read_spectrum
from latentscope.spectra.spectrum import Frame, Medium, Spectrum
from latentscope.spectra.wavelength import doppler_shift, vacuum_to_air
from latentscope.tables import write_csv

if TYPE_CHECKING:
    from latentscope.models.weights import ModelLike

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_SHORTEST = 3000.0  # Angstrom
_FEWEST = 100  # pixels from which a velocity is looked for


@dataclass(frozen=True, eq=False, repr=False)
class Reconstruction:
    """A spectrum as a model sees it, and its reconstruction.

    Attributes
    ----------
    name : str
        The file's name without suffixes.
    wavelength : ndarray of float64, shape (n,)
        Wavelength of the model's pixels in Angstrom, in its `medium` and `frame`.
    flux : ndarray of float32, shape (n,)
        Over its median; NaN where the model was given nothing: gaps, masked pixels, no data.
    error : ndarray of float32, shape (n,), or None
        One sigma of the flux, where the file tells; NaN where it does not.
    reconstruction : ndarray of float32, shape (n,), or None
        NaN in gaps of the model's grid. None: the spectrum alone, as it stands in the file.
    latents : ndarray of float32, shape (d,), or None
        Means of q(z|x).
    rv : float
        Velocity of the star's lines in this frame, km/s, receding positive; NaN if unknown.
    rv_from : str
        Where it is from: "given", "its lines", "the header", or "unknown".
    medium : {"air", "vacuum"}
    frame : {"topocentric", "barycentric", "rest"}
    model : str
        Name of the model; empty without one.
    provenance : dict
        File, object, model and its weights, what was assumed.
    """

    name: str
    wavelength: Floats
    flux: Singles
    error: Singles | None
    reconstruction: Singles | None
    latents: Singles | None
    rv: float
    rv_from: str
    medium: Medium
    frame: Frame
    model: str
    provenance: dict[str, Any]

    @property
    def residual(self) -> Singles:
        """Flux minus reconstruction, shape (n,); NaN where either is."""
        if self.reconstruction is None:
            return np.full_like(self.flux, np.nan)
        return self.flux - self.reconstruction

    def __repr__(self) -> str:
        by = (
            f" by {self.model}: residual {100 * self.summary['rms']:.2g} % rms"
            if self.model
            else ""
        )
        return f"Reconstruction of {self.name}{by}"

    @property
    def summary(self) -> dict[str, float]:
        """`rms` of the residual over the median flux, and `chi`, its typical size in sigmas.

        Chi is 1.4826 times the median of |residual| / error: 1 where noise alone is left, NaN where
        the file has no errors.
        """
        left = self.residual[np.isfinite(self.residual)].astype(np.float64)
        rms = float(np.sqrt(np.mean(left**2))) if len(left) else float("nan")
        sizes = np.empty(0) if self.error is None else np.abs(self.residual / self.error)
        sizes = sizes[np.isfinite(sizes)]
        return {"rms": rms, "chi": 1.4826 * float(np.median(sizes)) if len(sizes) else float("nan")}

    @property
    def table(self) -> pd.DataFrame:
        """`wavelength, input, input_error, reconstruction, residual, mask`; one row per pixel."""
        blank = np.full_like(self.flux, np.nan)
        return pd.DataFrame(
            {
                "wavelength": self.wavelength,
                "input": self.flux,
                "input_error": blank if self.error is None else self.error,
                "reconstruction": blank if self.reconstruction is None else self.reconstruction,
                "residual": self.residual,
                "mask": np.isnan(self.flux),
            }
        )

    def write(self, path: Path) -> None:
        """Write the table, as the suffix says (.fits or .csv), whole or not at all.

        In FITS the reconstruction is the column FLUX, which readers of spectra look for.
        """
        with atomic_path(path) as temporary:
            if path.suffix == ".csv":
                write_csv(self.table, temporary)
                return
            table = self.table
            columns = {name: table[key].to_numpy() for name, key in _FITS.items()}
            about = {name: self.provenance[name] for name in ("file", "model", "weights_sha256")}
            data = spectrum_fits(
                columns, self.medium, self.frame, str(self.provenance["object"] or self.name),
                creator="latentscope reconstruct", about=about,
                latents=() if self.latents is None else self.latents,
            )  # fmt: skip
            temporary.write_bytes(data)


_FITS = {
    "WAVE": "wavelength", "FLUX": "reconstruction", "INPUT": "input", "INPUT_ERR": "input_error",
    "RESIDUAL": "residual", "MASK": "mask",
}  # fmt: skip


def reconstruct(
    source: Any,
    model: ModelLike | None,
    *,
    min_coverage: float = 0.5,
    hdu: int | str | None = None,
    key: str | None = None,
    frame: Frame | None = None,
    rv: float | None = None,
) -> Reconstruction:
    """Encode one spectrum, decode its latents, and put both side by side.

    Parameters
    ----------
    source : path, Spectrum, arrays, ...
        One spectrum, as `read_spectrum` takes it.
    model : SpectrumVAE, str or path, or None
        A model, its name, folder or address. None: the spectrum as it stands, without one.
    min_coverage : float
        Fraction of the model's grid that the spectrum must fill.
    hdu, key, frame : optional
        Which spectrum of the file, and the frame of its wavelengths: see `read_spectrum`.
    rv : float, optional
        Velocity of the star's lines, km/s, receding positive. By default measured on them by
        cross-correlation, else what the header says.

    Raises
    ------
    SpectrumError
        If there is no spectrum in it, or the model cannot take it.
    ModelError
        If the model is not there, or does not say how to prepare a spectrum.

    Examples
    --------
    >>> from latentscope import reconstruct, simulate
    >>> spectrum, labels = next(simulate(1, seed=1))
    >>> found = reconstruct(spectrum, "harps-sim")
    >>> found.flux.shape == found.reconstruction.shape
    True
    """
    reading = Reading(hdu, key, frame)
    if model is None:
        return _as_it_stands(read_spectrum(source, **vars(reading)), source, rv)
    import torch

    from latentscope.models.network import single
    from latentscope.models.weights import as_model, weights_sha256

    network = single(as_model(model))
    config = network.prepare
    if config is None:
        raise ModelError(
            "this model does not say how to prepare spectra; build it with prepare=..., or load it "
            "by load_model"
        )
    chunk = read_chunk([source], 0, config, min_coverage, ivar=True, reading=reading)
    record = chunk.records[0]
    if not chunk.where:
        raise SpectrumError(record["error"])
    assert chunk.ivar is not None
    with torch.inference_mode():
        mean = network.encoding(torch.from_numpy(chunk.rows).to(next(network.parameters()))).mean
        drawn = restore(network.decode(mean).cpu().numpy()[0], config)
    drawn[config.grid.gap_mask] = np.nan
    row, valid = chunk.rows[0], chunk.valid[0]
    flux = on_grid(row, valid, config)
    velocity, velocity_from = _velocity(
        flux, config.grid.wavelength, config.grid.medium, rv, record["rv"], config.grid.frame
    )
    name = str(network.info.get("name", "a model"))
    return Reconstruction(
        record["id"], config.grid.wavelength, flux, _errors(row, chunk.ivar[0], config),
        drawn, mean.cpu().numpy()[0], velocity, velocity_from, config.grid.medium,
        config.grid.frame, name,
        {
            **{what: record[what] for what in ("file", "object", "assumed")},
            "model": name,
            "weights_sha256": weights_sha256(network),
        },
    )  # fmt: skip


def view_spectrum(source: Any, model: ModelLike | None, **options: Any) -> Reconstruction:
    """Reconstruct a spectrum, or return it alone, with a warning, if the model cannot take it.

    Arguments, errors and `options` are those of `reconstruct`.
    """
    if model is None:
        return reconstruct(source, None, **options)
    try:
        return reconstruct(source, model, **options)
    except SpectrumError as reason:
        found = reconstruct(source, None, **options)  # raises again for what is no spectrum
        warn(f"drawn without a reconstruction: {reason}")
        return found


def on_grid(row: NDArray[Any], valid: NDArray[np.bool_], config: PrepareConfig) -> Singles:
    """Flux over its median of a prepared row, at the pixels of the grid; NaN where not valid."""
    flux = np.array(restore(row, config), dtype=np.float32)
    flux[~valid[config.science]] = np.nan
    return flux


def _errors(row: Singles, ivar: Singles, config: PrepareConfig) -> Singles | None:
    """One sigma of the flux over its median, (pixels,); None where no pixel has one."""
    inverse = ivar[config.science]
    if not (inverse > 0).any():
        return None
    # Flux is linear in these values of the row: its slope turns their errors into the flux's.
    low, high = row.copy(), row.copy()
    low[config.science], high[config.science] = 0.0, 1.0
    unit = restore(high, config) - restore(low, config)
    with np.errstate(divide="ignore"):
        return np.where(inverse > 0, unit / np.sqrt(inverse), np.nan).astype(np.float32)


def _as_it_stands(spectrum: Spectrum, source: Any, rv: float | None) -> Reconstruction:
    flux = np.array(spectrum.flux, dtype=np.float64)
    if spectrum.mask is not None:
        flux[spectrum.mask] = np.nan
    finite = flux[np.isfinite(flux)]
    name = source_id(source, 0)
    level = float(np.median(finite)) if len(finite) else 0.0
    if not level > 0:
        raise SpectrumError(
            f"{spectrum.meta.get('file', name)}: its median flux is {level:g}; expected a positive "
            "one to divide by"
        )
    error = None
    if spectrum.ivar is not None and (spectrum.ivar > 0).any():
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(spectrum.ivar > 0, 1 / np.sqrt(spectrum.ivar) / level, np.nan)
            error = error.astype(np.float32)
    single = (flux / level).astype(np.float32)
    velocity, velocity_from = _velocity(
        single, spectrum.wavelength, spectrum.medium, rv, spectrum.rv, spectrum.frame
    )
    about = {what: spectrum.meta.get(what) or "" for what in ("file", "object")}
    return Reconstruction(
        name, spectrum.wavelength, single, error, None, None, velocity, velocity_from,
        spectrum.medium, spectrum.frame, "",
        {
            **about, "assumed": "; ".join(spectrum.meta.get("assumed") or ()), "model": "",
            "weights_sha256": "",
        },
    )  # fmt: skip


def _velocity(
    flux: Singles,
    wavelength: Floats,
    medium: Medium,
    given: float | None,
    header: float | None,
    frame: Frame,
) -> tuple[float, str]:
    """Velocity of the lines, and its source: given, lines or header."""
    if given is not None:
        doppler_shift(1.0, given)  # which refuses what is no velocity
        return given, "given"
    # All lines of the list lie where air has wavelengths.
    some = wavelength >= _SHORTEST
    air = vacuum_to_air(wavelength[some]) if medium == "vacuum" else wavelength[some]
    valid = np.isfinite(flux[some])
    found = star_velocity(flux[some], air, valid) if valid.sum() >= _FEWEST else float("nan")
    if np.isfinite(found):
        return found, "its lines"
    if header is not None and np.isfinite(header) and frame == "barycentric":
        return header, "the header"
    return float("nan"), "unknown"


def spectrum_fits(
    columns: Mapping[str, NDArray[Any]],
    medium: Medium,
    frame: Frame,
    title: str,
    *,
    creator: str,
    latents: Iterable[float] = (),
    about: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a FITS table of a spectrum, one row per pixel: WAVE in Angstrom, FLUX and others.

    `title` goes to OBJECT, the command to CREATOR, the `latents` that were decoded and `about` to
    HISTORY.
    """
    from astropy.io import fits

    formats = {"WAVE": "D", "MASK": "L"}
    table = [
        fits.Column(
            name, formats.get(name, "E"), unit="Angstrom" if name == "WAVE" else "", array=array
        )
        for name, array in columns.items()
    ]
    hdu = fits.BinTableHDU.from_columns(table, name="SPECTRUM")
    header = hdu.header
    header["OBJECT"] = title.encode("ascii", "replace").decode()[:60]
    header["SPECSYS"] = {"barycentric": "BARYCENT", "topocentric": "TOPOCENT"}.get(frame, "SOURCE")
    header["TUCD1"] = "em.wl;obs" if medium == "vacuum" else "em.wl;obs.air"
    header["CREATOR"] = creator
    for what, value in (about or {}).items():
        header.add_history(f"{what} = {value}".encode("ascii", "replace").decode())
    for dim, value in enumerate(latents):
        header.add_history(f"latent {dim} = {value:.6g}")
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(stream)
    return stream.getvalue()
