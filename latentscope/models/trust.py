"""Trust of rows: comparison with ordinary spectra, and signs of what is no star.

A model folder may hold `sample.safetensors`: latents and trust columns of some thousand ordinary
spectra, by which `score` judges others. `Reader` measures the signs while rows are encoded: lines
in emission, lines that lie where no star's do, and shifts that differ from blue to red.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import pandas as pd
import safetensors.numpy
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from scipy.fft import next_fast_len
from torch import Tensor

from latentscope.data import Latents, LatentsLike, read_latents
from latentscope.diagnostics.mi.columns import Seed
from latentscope.diagnostics.study import GroupsLike, Study, StudyLike
from latentscope.diagnostics.trust import ScoreResult, judged_table, score_against
from latentscope.diagnostics.trust_reference import (
    COLUMNS,
    MIN_ROWS,
    Reference,
    TrustSample,
    trust_rows,
)
from latentscope.errors import ChoiceError, ModelError
from latentscope.files import atomic_path
from latentscope.models.config import CONFIG_FILE, SAMPLE_FILE, bundled_models, read_config
from latentscope.models.network import SpectrumVAE
from latentscope.models.rows import SEGMENTS
from latentscope.models.weights import ModelLike, beside, check_weights, model_folder
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.wavelength import SPEED_OF_LIGHT, air_to_vacuum, vacuum_to_air

TRUST_COLUMNS = (
    *("recon_percentile", "density_percentile"),
    *("trust_latents", "trust_fit", "trust_resolution", "trust_kind", "trust", "verdict"),
)
"""Columns of the sidecar that compare a row with the model's reference sample."""

_WIDE = ("values", "segments")
_ADVICE = "give --reference LATENTS, latents of ordinary spectra that this model encoded"


def score(
    latents: StudyLike,
    model: ModelLike | None = None,
    *,
    reference: TrustSample | ModelLike | LatentsLike | None = None,
    groups: GroupsLike = "auto",
    seed: Seed = 0,
    cache_dir: str | os.PathLike[str] | None = None,
) -> ScoreResult:
    """Tell row by row which spectra a model knows.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        With the trust columns that `encode` writes, where they are known; the spectra themselves
        are not needed.
    model : SpectrumVAE, str or path, optional
        The model, whose own reference sample is taken: itself, a name, a folder, an address, a
        Hugging Face id. By default, and without a reference, the bundled model that encoded the
        latents, as their provenance says; else the rows are compared with one another.
    reference : as `latents`, as `model`, or what `trust_sample` gives, optional
        Latents of ordinary spectra, encoded with the same model; or whose sample is taken.
    groups : array (n,) or str, optional
        The star of each row of the reference (without one, of the latents), or the column that
        names it. "auto": `star`, filled from `object`; None or "none": rows are independent.
    seed : int or Generator
        Seed of the draw of 3,000 rows from a larger reference.
    cache_dir : path, optional
        Folder for downloads.

    Raises
    ------
    ChoiceError
        If both a reference and a model are given.
    ModelError
        If the model is not there, or has no sample.
    TableError
        If the reference has another number of dimensions, other weights or another grid, or fewer
        than 100 rows.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(2000, 2))
    >>> z[0] = 50.0
    >>> bool(score(z).table["density_percentile"].iloc[0] < 1)
    True
    """
    given = latents if isinstance(latents, Study) else read_latents(latents)
    if model is not None and reference is not None:
        raise ChoiceError("both a reference and a model are given; expected one of the two")
    if model is None and _is_model(reference):
        model, reference = reference, None
    if model is not None:
        reference = trust_sample(model, cache_dir=cache_dir)
    elif reference is None:
        reference = _sample_of_bundled(given.latents if isinstance(given, Study) else given)
    assert not isinstance(reference, SpectrumVAE)
    return score_against(given, reference, groups=groups, seed=seed)


def _is_model(given: Any) -> TypeGuard[ModelLike]:
    """Whether a reference is a model (itself, a bundled name or a folder), not a file."""
    if isinstance(given, str | os.PathLike):
        return str(given) in bundled_models() or Path(given).is_dir()
    return isinstance(given, SpectrumVAE)


def trust_sample(
    model: ModelLike, *, cache_dir: str | os.PathLike[str] | None = None
) -> TrustSample:
    """Return the reference sample of a model: its latents and trust columns of ordinary spectra.

    `model` is as for `score`, `cache_dir` the folder for downloads.

    Raises
    ------
    ModelError
        If there is no such model, or it has no sample.
    """
    if isinstance(model, SpectrumVAE):
        sample = sample_beside(model)
        if sample is None:
            name = model.info.get("name", "unnamed")
            raise ModelError(f"the model {name} has no reference sample of its weights: {_ADVICE}")
        return sample
    files = (CONFIG_FILE, SAMPLE_FILE)
    what = f"a reference sample: {_ADVICE}"
    return read_trust_sample(model_folder(model, what, files=files, cache_dir=cache_dir))


def sample_beside(model: SpectrumVAE) -> TrustSample | None:
    """Return the reference sample in the folder that a model was read from, as `beside` does."""
    found: TrustSample | None = beside(model, SAMPLE_FILE, read_trust_sample)
    return found


def _sample_of_bundled(latents: Latents) -> TrustSample | None:
    """Sample of the bundled model whose weights the provenance names."""
    folder = bundled_models().get(str(latents.provenance.get("model")))
    if folder is None or not (folder / SAMPLE_FILE).is_file():
        return None
    same = _weights_of(folder) == latents.provenance.get("weights_sha256")
    return read_trust_sample(folder) if same else None


def write_trust_sample(sample: TrustSample, folder: str | os.PathLike[str]) -> Path:
    """Write what `draw_trust_sample` draws from a model's latents as its `sample.safetensors`.

    Latents and errors of segments are rounded to float16 where they fit into it.
    """
    folder = Path(folder)
    check_weights(sample.info, _weights_of(folder), "the latents")
    path = folder / SAMPLE_FILE
    if len(sample) < MIN_ROWS:
        raise ModelError(
            f"{path}: {len(sample)} spectra are too few for a reference; expected at least "
            f"{MIN_ROWS}, better 2,500"
        )
    arrays = {
        name: getattr(sample, name).astype(np.float32) for name in (*_WIDE, *COLUMNS, "edges")
    }
    for name in _WIDE:
        if np.nanmax(np.abs(arrays[name]), initial=0.0) < np.finfo(np.float16).max:
            # Three digits, as tables have them; the file is half the size.
            arrays[name] = arrays[name].astype(np.float16)
    with atomic_path(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save(arrays, metadata=sample.info))
    return path


def read_trust_sample(folder: str | os.PathLike[str]) -> TrustSample:
    """Return the reference sample of a model folder; ModelError unless it is of its weights."""
    path = Path(folder) / SAMPLE_FILE
    if not path.is_file():
        raise ModelError(f"{path}: no such file; this model has no reference sample: {_ADVICE}")
    try:
        with safe_open(path, framework="np") as stored:
            info = dict(stored.metadata() or {})
            arrays = {name: stored.get_tensor(name).astype(np.float64) for name in stored.keys()}  # noqa: SIM118
        sample = TrustSample(**arrays, info=info)
    except (SafetensorError, OSError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path}: is not a reference sample ({error}); write or download it again"
        ) from error
    config = read_config(path.with_name(CONFIG_FILE))
    check_weights(info, config.weights_sha256, str(path))
    if config.mad_threshold is not None:
        sample = replace(sample, info=info | {"mad_threshold": str(config.mad_threshold)})
    return sample


def _weights_of(folder: Path) -> str | None:
    return read_config(folder / CONFIG_FILE).weights_sha256


def with_trust(
    latents: Latents, segments: NDArray[np.floating[Any]], reference: Reference | None
) -> pd.DataFrame:
    """Return the table of latents with `TRUST_COLUMNS` and the errors of segments, shape (n, s).

    Without a reference the columns are empty.
    """
    assert latents.table is not None
    if reference is None:
        found = pd.DataFrame(index=latents.table.index, columns=list(TRUST_COLUMNS), dtype=float)
        found["verdict"] = ""
    else:
        # As they will be read from the table, so that `score` of the file says the same.
        digits = [float(f"{error:.3g}") for error in segments.ravel()]
        parts = np.array(digits).reshape(segments.shape)
        parts = parts if np.isfinite(segments).any() else np.empty((len(latents), 0))
        found = judged_table(latents, trust_rows(latents, parts), reference)[list(TRUST_COLUMNS)]
    # Last, since it is long and made for programs.
    text = [segments_text(row) for row in segments]
    return latents.table.join(found).assign(recon_segments=text)


def segment_edges(config: PrepareConfig) -> list[float]:
    """Wavelengths between the 32 parts of a row, in Angstrom of the grid, shape (33,)."""
    grid = config.grid
    first, length = 0, grid.length
    if config.normalization != "continuum":
        first, length = grid.pad_left, grid.size
    # As the network splits a row, padding and all; what lies beyond the grid is clipped.
    sizes = [len(part) for part in np.array_split(np.empty(length), SEGMENTS)]
    at = np.clip(np.cumsum([0, *sizes]) - first, 0, grid.length)
    return [round(float(edge), 3) for edge in grid.edges[at]]


def segments_text(errors: NDArray[Any]) -> str:
    """Write the errors of the parts of a row with three digits; empty if all are NaN."""
    return "" if np.isnan(errors).all() else " ".join(f"{error:.3g}" for error in errors)


# Signs by which a spectrum shows that it is no star's, or in another medium than stated.

_BALMER = np.array([4101.73, 4340.47, 4861.35, 6562.79])  # Angstrom in air
_WIDTH, _REACH = 80.0, 180.0  # km/s: over which a line is averaged; of velocities it may have
_NEAR, _FAR = 900.0, 17_500.0  # km/s: of stars, and of what is searched beyond
_AIR = 6860.0  # Angstrom: beyond it lies oxygen of the air, which does not move with a star


class Signs(NamedTuple):
    """Numbers of n rows, shape (n,); NaN where the model cannot tell.

    `emission`: height of the Balmer lines above the continuum or above what the model expects,
    whichever is less, in units of the continuum; averaged over 80 km/s and those of the four lines
    that lie on the grid, at the velocity within 180 km/s where it is highest.

    `elsewhere`: highest correlation with the lines of the model's mean star at 900 to 17,500 km/s,
    either way, over the highest at less; about 1 in noise, and above it in a galaxy.

    `vacuum`: how far the lines' shifts follow the ratio of vacuum to air wavelengths, which falls
    by 2.5 km/s from 3800 to 6900 Angstrom: 0 in the stated medium, 1 where vacuum is taken for air,
    -1 where air is taken for vacuum. Of a model with a Doppler layer, which puts lines in place.
    """

    emission: Tensor
    elsewhere: Tensor
    vacuum: Tensor


class Reader:
    """Measures the signs of rows on a device.

    Of a model of line contrast on a logarithmic grid; by another one nothing can be told.
    """

    def __init__(self, model: SpectrumVAE, device: torch.device) -> None:
        prepare = model.prepare
        self._tells = (
            prepare is not None
            and prepare.normalization == "continuum"
            and prepare.grid.kind == "log"
        )
        if not self._tells:
            return
        assert prepare is not None
        grid = prepare.grid
        pixel = grid.step * SPEED_OF_LIGHT  # km/s
        vacuum = grid.medium == "vacuum"
        lines, air = (air_to_vacuum(at) if vacuum else at for at in (_BALMER, np.array([_AIR])))
        self._half, self._reach = round(_WIDTH / pixel / 2), round(_REACH / pixel)
        edge = self._half + self._reach
        at = np.round(np.log(lines / grid.wavelength[0]) / grid.step).astype(int)
        self._lines = [int(p) for p in at if edge <= p < grid.length - edge]
        # The mean star, whose lines the prior's middle draws.
        with torch.inference_mode():
            zero = torch.zeros(1, model.config.latents, device=next(model.parameters()).device)
            star = model.decode(zero).to(device)
        self._star_like = torch.from_numpy((grid.wavelength < air[0]) & ~grid.gap_mask).to(device)
        star = torch.where(self._star_like, star[:, : grid.length], 0.0)
        self._near, self._far = round(_NEAR / pixel), round(_FAR / pixel)
        self._size = next_fast_len(grid.length + self._far, real=True)
        self._star = torch.fft.rfft(star, n=self._size).conj()
        shift = np.log(air_to_vacuum(grid.wavelength) / grid.wavelength)
        if vacuum:
            shift = np.log(grid.wavelength / vacuum_to_air(grid.wavelength))
        self._shift = torch.from_numpy((shift / grid.step).astype(np.float32)).to(device)
        self._moves = model.config.doppler

    def read(self, rows: Tensor, drawn: Tensor, inside: Tensor, errors: Tensor) -> Signs:
        """Signs of rows (n, length) with their reconstructions, known where `inside`.

        `errors` are those of equal parts of the rows, (n, parts).
        """
        unknown = torch.full((len(rows),), torch.nan, device=rows.device)
        if not self._tells:
            return Signs(unknown, unknown, unknown)
        residual = torch.where(inside, rows - drawn, 0.0)
        return Signs(
            self._emission(residual, rows) if self._lines else unknown,
            self._elsewhere(torch.where(inside & self._star_like, rows, 0.0)),
            self._vacuum(residual, drawn, inside, errors) if self._moves else unknown,
        )

    def _emission(self, residual: Tensor, rows: Tensor) -> Tensor:
        around, width = self._half + self._reach, 2 * self._half + 1

        def at_lines(values: Tensor) -> Tensor:
            near = torch.stack([values[:, p - around : p + around + 1] for p in self._lines])
            return near.mean(0).unfold(1, width, 1).mean(2)

        # Cores that are less deep than the model's are no emission.
        return torch.minimum(at_lines(residual), at_lines(rows)).amax(1)

    def _elsewhere(self, rows: Tensor) -> Tensor:
        correlation = torch.fft.irfft(torch.fft.rfft(rows, n=self._size) * self._star, n=self._size)
        near, far = self._near, self._far
        at_star = torch.cat([correlation[:, -near:], correlation[:, : near + 1]], 1).amax(1)
        beyond = torch.cat([correlation[:, -far:-near], correlation[:, near + 1 : far + 1]], 1)
        return beyond.amax(1) / at_star.clamp(min=torch.finfo(rows.dtype).tiny)

    def _vacuum(self, residual: Tensor, drawn: Tensor, inside: Tensor, errors: Tensor) -> Tensor:
        """Weighted slope of the shifts of parts over those that the other medium gives them."""
        slope = torch.where(inside, torch.gradient(drawn, dim=1)[0], 0.0)
        parts = errors.shape[1]

        def sums(values: Tensor) -> Tensor:
            return torch.stack([part.sum(1) for part in values.tensor_split(parts, 1)], 1)

        square, product = sums(slope.square()), sums(slope * residual)
        given = torch.stack([part.mean() for part in self._shift.tensor_split(parts)])
        weight = torch.where(errors > 0, errors, torch.inf).square().reciprocal().nan_to_num(0.0)
        total = (weight * square).sum(1, keepdim=True)
        given = given - (weight * square * given).sum(1, keepdim=True) / total
        # Lines that lie further to the red lower the flux where they fall.
        return -(weight * product * given).sum(1) / (weight * square * given.square()).sum(1)
