"""Saved probes: readings of labels beside a model's weights, or in a separate file.

`probe.safetensors` has arrays of numbers, and their names and units as JSON text: loading it runs
no code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.numpy
from safetensors import SafetensorError, safe_open
from scipy.stats import binomtest

from latentscope.data import LabelsLike, Latents, LatentsLike, read_latents
from latentscope.diagnostics.mi.columns import in_days, own_rng
from latentscope.diagnostics.probe import Probe, Reading
from latentscope.diagnostics.study import GroupsLike, StudyLike, read_study
from latentscope.errors import LatentscopeError, ModelError, TableError
from latentscope.files import atomic_path, expanded
from latentscope.labels import Missing
from latentscope.models.config import CONFIG_FILE, PROBE_FILE, bundled_models, read_config
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import beside, check_weights, model_folder

_FORMAT = "latentscope probe 2"
_LARGEST = 100_000_000  # bytes of a probe


def write_probe(probe: Probe, path: str | os.PathLike[str]) -> Path:
    """Write a probe as a .safetensors file, or as `probe.safetensors` of a model folder.

    Parameters
    ----------
    probe : Probe
        As `fit_probe` makes it.
    path : path
        A name that ends in .safetensors, or a folder with the config.json of the model that made
        the latents.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        If the path has another ending, or the folder's model has other weights.

    Examples
    --------
    >>> write_probe(read_probe("harps-sim"), "stars.safetensors").name
    'stars.safetensors'
    """
    path = expanded(path)
    if (path / CONFIG_FILE).is_file():
        check_weights(probe.info, read_config(path / CONFIG_FILE).weights_sha256, str(path))
        path /= PROBE_FILE
    elif path.suffix != ".safetensors":
        raise ModelError(
            f"{path}: expected a name that ends in .safetensors, or the folder of a model"
        )
    arrays = {"spread": probe.spread, "cloud": probe.cloud.astype(np.float16)}
    for number, one in enumerate(probe.readings):
        for name in _ARRAYS:
            array = getattr(one, name)
            # What a row's interval and place need has three digits; coefficients need all.
            arrays[f"{number}.{name}"] = array.astype(np.float32) if name == "errors" else array
    facts = {name: getattr(probe, name) for name in ("n_dims", "dims", "reach", "covered", "info")}
    facts["readings"] = [{name: getattr(one, name) for name in _FACTS} for one in probe.readings]
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {"format": _FORMAT, "probe": json.dumps(facts)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save(whole, metadata=metadata))
    return path


_ARRAYS = ("center", "scale", "powers", "coefficients", "errors", "edges", "factors")
_FACTS = ("label", "unit", "dims", "lowest", "highest")


def read_probe(source: SpectrumVAE | str | os.PathLike[str]) -> Probe:
    """Read a probe.

    Parameters
    ----------
    source : SpectrumVAE, str or path
        A file that `write_probe` wrote; or a model, its name or folder, beside which one lies.

    Raises
    ------
    ModelError
        If there is none, it is damaged, or it was made for other weights.

    Examples
    --------
    >>> [one.label for one in read_probe("harps-sim").readings]
    ['radvel', 'Teff', '[M/H]']
    """
    if isinstance(source, SpectrumVAE):
        found = probe_beside(source)
        if found is None:
            name = source.info.get("name", "unnamed")
            raise ModelError(f"the model {name} has no probe of its weights: {_ADVICE}")
        return found
    path = expanded(source)
    if path.suffix == ".safetensors" and not (path / CONFIG_FILE).is_file():
        return _read(path)
    if path.is_file():
        raise ModelError(f"{path}: expected a probe (.safetensors), or a model that has one")
    files = (CONFIG_FILE, PROBE_FILE)
    folder = bundled_models().get(os.fspath(source)) or (path if path.is_dir() else None)
    if folder is None:
        folder = model_folder(source, f"a probe: {_ADVICE}", files=files)
    return _of_folder(folder)


_ADVICE = "latentscope probe LATENTS LABELS --save PROBE makes one"


def probe_beside(model: SpectrumVAE) -> Probe | None:
    """Return the probe in the folder that a model was read from, as `beside` does."""
    found: Probe | None = beside(model, PROBE_FILE, _of_folder)
    return found


def _of_folder(folder: Path) -> Probe:
    path = folder / PROBE_FILE
    config = read_config(folder / CONFIG_FILE)
    if not path.is_file():
        raise ModelError(f"{path}: no such file; this model has no probe: {_ADVICE}")
    found = _read(path)
    check_weights(found.info, config.weights_sha256, str(path))
    if found.n_dims != config.architecture.latents:
        raise ModelError(
            f"{path}: reads {found.n_dims} dimensions, the model has {config.architecture.latents}"
        )
    return found


def _read(path: Path) -> Probe:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; {_ADVICE}")
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"{path.stat().st_size:,} bytes, more than {_LARGEST:,}")
        with safe_open(path, framework="np") as stored:
            metadata = dict(stored.metadata() or {})
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if metadata.get("format") != _FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}, not {_FORMAT!r}")
        return _checked(_built(json.loads(metadata["probe"]), arrays))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(
            f"{path}: is not a complete probe ({reason}); make it again (probe --save), or "
            "copy it again"
        ) from None


def _built(facts: dict[str, Any], arrays: dict[str, Any]) -> Probe:
    readings = [
        Reading(
            **{name: one[name] for name in _FACTS},
            **{name: _exact(arrays[f"{number}.{name}"]) for name in _ARRAYS},
        )
        for number, one in enumerate(facts.pop("readings"))
    ]
    return Probe(
        readings=readings, spread=_exact(arrays["spread"]), cloud=_exact(arrays["cloud"]), **facts
    )


def _exact(array: Any) -> Any:
    return array if array.dtype == np.int64 else array.astype(np.float64)


def _checked(probe: Probe) -> Probe:
    """Refuse a probe whose parts do not belong together; ValueError or TypeError."""
    k = len(probe.dims)
    _expect(
        probe.cloud.shape[1:] == (k,) and probe.spread.shape == (k,),
        f"its stars have shape {probe.cloud.shape}, its dims are {k}",
    )
    _expect(len(probe.cloud) >= 10, f"it has {len(probe.cloud)} stars")
    numbers: list[Any] = [probe.cloud, probe.spread, probe.reach, probe.covered]
    for one in probe.readings:
        terms, places = one.powers.shape
        shapes = [getattr(one, name).shape for name in _ARRAYS]
        expected = [(places,), (places,), (terms, places), (terms,), (len(probe.cloud), 2)]
        expected += [(len(one.edges),), (len(one.edges) + 1,)]
        _expect(shapes == expected and len(one.dims) == places, f"{one.label}: shapes {shapes}")
        _expect(
            one.powers.dtype.kind == "i" and one.powers.min() >= 0 and one.powers.max() <= 9,
            f"{one.label}: powers are not 0 ... 9",
        )
        numbers += [one.center, one.scale, one.coefficients, one.errors, one.edges, one.factors]
        numbers += [one.lowest, one.highest]
    _expect(all(np.isfinite(value).all() for value in numbers), "numbers are not finite")
    dims = [*probe.dims, *(dim for one in probe.readings for dim in one.dims)]
    _expect(
        all(isinstance(dim, int) and 0 <= dim < probe.n_dims for dim in dims),
        f"its dims are not 0 ... {probe.n_dims - 1}",
    )
    _expect(all(isinstance(one.label, str) for one in probe.readings), "labels are not text")
    return probe


def _expect(holds: Any, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def apply_probe(probe: Probe, latents: LatentsLike) -> pd.DataFrame:
    """Read labels from latents by a saved probe.

    Parameters
    ----------
    probe : Probe
    latents : Latents, array (n, d), DataFrame or path
        Encoded by the weights that the probe was made for.

    Returns
    -------
    DataFrame
        Columns as `Probe.apply` returns them, after `id` where the latents have ids.

    Raises
    ------
    TableError
        If the latents have another number of dimensions, or were encoded by other weights.

    Examples
    --------
    >>> made = read_probe("harps-sim")
    >>> apply_probe(made, np.zeros((1, 16)))["Teff_probe"].notna().item()
    True
    """
    read = latents if isinstance(latents, Latents) else read_latents(latents)
    ours, theirs = (info.get("weights_sha256") for info in (probe.info, read.provenance))
    if ours and theirs and ours != theirs:
        raise TableError(
            f"{read.source}: encoded by weights {theirs[:12]}..., the probe was made for "
            f"{ours[:12]}... ({probe.info.get('model', 'unnamed')}); encode again with those"
        )
    try:
        found = probe.apply(read.values)
    except LatentscopeError as error:
        raise TableError(f"{read.source}: {error}") from None
    if read.table is not None and "id" in read.table:
        found.insert(0, "id", read.table["id"].to_numpy())
    return found


def compare_probe(
    probe: Probe,
    latents: StudyLike,
    labels: LabelsLike | None = None,
    *,
    groups: GroupsLike = "auto",
    join: str | None = None,
    missing: Missing = "auto",
    seed: int = 0,
) -> pd.DataFrame:
    """Compare readings of a probe with known labels, one random row per star.

    Parameters
    ----------
    probe : Probe
    latents, labels, groups, join, missing
        As for `latentscope.probe`.
    seed : int
        Seed of the draw of rows.

    Returns
    -------
    DataFrame
        One row per label that both have: `label, unit, error` (median of |read - true|), `rms,
        bias` (median of read - true), `covered` (share inside the interval), `covered_low ...
        covered_high` (95 %, binomial), `n` stars, and `silent` ones, of which nothing is said.

    Raises
    ------
    TableError
        As `apply_probe`; and if the labels have none that the probe reads.
    """
    study = read_study(latents, labels, groups=groups, join=join, missing=missing)
    table, found = study.label_table, apply_probe(probe, study.latents)
    lines = []
    for one in probe.readings:
        if one.label not in table:
            continue
        truth = pd.to_numeric(in_days(table[one.label]), errors="coerce").to_numpy(dtype=np.float64)
        keep = np.isfinite(truth) & study.latents.ok
        rows = study.stars.draws(keep, 1, own_rng(seed, 28)).rows[0]
        read, low, high = (
            found[f"{one.label}_{end}"].to_numpy()[rows] for end in ("probe", "low", "high")
        )
        said = np.isfinite(read)
        off = (read - truth[rows])[said]
        if not len(off):
            continue
        inside = int(((low <= truth[rows]) & (truth[rows] <= high)).sum())
        between = binomtest(inside, len(off)).proportion_ci(method="wilson")
        lines.append(
            {
                "label": one.label,
                "unit": one.unit,
                "error": float(np.median(np.abs(off))),
                "rms": float(np.sqrt(np.mean(off**2))),
                "bias": float(np.median(off)),
                "covered": inside / len(off),
                "covered_low": between.low,
                "covered_high": between.high,
                "n": len(off),
                "silent": int((~said).sum()),
            }
        )
    if not lines:
        raise TableError(
            f"{table.attrs.get('source', 'labels')}: none of the columns that the probe reads "
            f"({', '.join(one.label for one in probe.readings)}) has values"
        )
    return pd.DataFrame(lines)
