"""Latents, labels, stars and model as they were given -> the subject of a report."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from latentscope.data import LabelsLike, Latents
from latentscope.diagnostics.groups import GroupsLike
from latentscope.diagnostics.mi.columns import check_known
from latentscope.diagnostics.study import (
    StudyLike,
    read_study,
    with_threshold,
)
from latentscope.errors import TableError
from latentscope.reporting.study import Effort, ReportStudy, Stage

if TYPE_CHECKING:
    from latentscope.models.network import SpectrumVAE

_SHORT_HASH = 12


def study_of(
    latents: StudyLike,
    labels: LabelsLike | None,
    *,
    model: SpectrumVAE | str | os.PathLike[str] | None,
    groups: GroupsLike,
    columns: list[str] | None,
    join: str | None,
    rows: int,
    seed: int,
    effort: Effort,
    stage: Stage,
) -> tuple[ReportStudy, list[str]]:
    """Read what a report is about, and say how stars and rows were chosen.

    Raises
    ------
    TableError
        If latents or labels cannot be read or matched, or no row is finite.
    ModelError
        If the model cannot be loaded.
    ChoiceError
        If a column asked for is not there.
    """
    study = read_study(latents, labels, groups=groups, join=join)
    read = study.latents
    if not read.ok.any():
        raise TableError(f"{read.source}: none of {len(read)} rows is finite; nothing to report")
    if study.labels is not None:
        check_known(study.labels, columns or ())
    network = _network(model, read)
    if network is not None:
        study = replace(study, latents=with_threshold(read, network.info))
    chosen = _chosen(np.flatnonzero(read.ok), rows, seed)
    made = ReportStudy(study, network, chosen, columns, seed, effort, stage)
    notes = list(study.notes)
    if made.sampled:
        notes.append(f"Slow statistics are taken {made.sample_text}; --rows takes more.")
    return made, notes


def _chosen(finite: NDArray[np.int64], rows: int, seed: int) -> NDArray[np.int64]:
    if len(finite) <= rows:
        return finite
    return np.sort(np.random.default_rng(seed).choice(finite, rows, replace=False))


def _network(
    model: SpectrumVAE | str | os.PathLike[str] | None, latents: Latents
) -> SpectrumVAE | None:
    """Return the model, refused if it is not the one that made the latents."""
    if model is None:
        return None
    from latentscope.models.weights import as_model, check_made_by

    network = as_model(model)
    check_made_by(network, latents)
    return network


def weights_of(network: SpectrumVAE) -> str:
    """Return the SHA-256 of a model's weights."""
    from latentscope.models.weights import weights_sha256

    return weights_sha256(network)


def facts_of(study: ReportStudy, command: str | None) -> dict[str, str]:
    """Say what was read, by what, when."""
    import latentscope

    latents, labels = study.latents, study.data.labels
    facts = {"Latents": f"{latents.source}: {len(latents):,} rows × {latents.dims} dimensions"}
    facts |= _encoded_by(latents)
    if labels is not None:
        facts["Labels"] = f"{labels.attrs.get('source', 'labels')}: {len(labels.columns)} columns"
    if study.data.groups is not None:
        facts["Stars"] = f"{study.star_count:,}"
    if study.model is not None:
        name = study.model.info.get("name", "without a name")
        facts["Model"] = f"{name}, weights {weights_of(study.model)[:_SHORT_HASH]}"
    facts["Made by"] = (
        f"latentscope {latentscope.__version__}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}"
    )
    facts["Seed"] = str(study.seed)
    if command is not None:
        facts["Command"] = command
    return facts | {"Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")}


def _encoded_by(latents: Latents) -> dict[str, str]:
    made_by = latents.provenance
    if "model" not in made_by:
        return {}
    weights = str(made_by.get("weights_sha256", "unknown"))[:_SHORT_HASH]
    version = made_by.get("latentscope", "?")
    return {"Encoded by": f"{made_by['model']}, weights {weights}, latentscope {version}"}
