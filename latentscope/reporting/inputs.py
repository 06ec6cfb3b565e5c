"""Latents, labels, stars and model as they were given -> the study of a report."""

from __future__ import annotations

import os
import platform
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents, align, read_labels, read_latents
from latentscope.diagnostics.columns.group_columns import groups_of
from latentscope.diagnostics.columns.groups import Groups
from latentscope.diagnostics.mi.columns import check_known
from latentscope.errors import LatentscopeWarning, TableError
from latentscope.reporting.study import Effort, ReportStudy, Stage
from latentscope.tables import STAR_COLUMNS

if TYPE_CHECKING:
    from latentscope.models.network import SpectrumVAE

FEWEST_STARS = 20
"""Stars below which their column is not taken unless it was asked for."""

_SHORT_HASH = 12


def study_of(
    latents: Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str],
    labels: ArrayLike | pd.DataFrame | str | os.PathLike[str] | None,
    *,
    model: SpectrumVAE | str | os.PathLike[str] | None,
    groups: ArrayLike | pd.Series | str | None,
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
    read = read_latents(latents)
    if not read.ok.any():
        raise TableError(f"{read.source}: none of {len(read)} rows is finite; nothing to report")
    frame = None if labels is None else read_labels(labels)
    if frame is not None:
        check_known(frame, columns or ())
        read, frame = align(read, frame, join)
    stars, notes = _stars(groups, read, frame)
    network = _network(model)
    if network is not None:
        _check_weights(read, network)
    codes = None if stars is None else stars.codes
    chosen = _chosen(np.flatnonzero(read.ok), rows, seed)
    study = ReportStudy(read, frame, codes, network, chosen, columns, seed, effort, stage)
    if study.sampled:
        notes.append(f"Slow statistics are taken {study.sample_text}; --rows takes more.")
    return study, notes


def _chosen(finite: NDArray[np.int64], rows: int, seed: int) -> NDArray[np.int64]:
    if len(finite) <= rows:
        return finite
    return np.sort(np.random.default_rng(seed).choice(finite, rows, replace=False))


def _stars(
    groups: ArrayLike | pd.Series | str | None, latents: Latents, labels: pd.DataFrame | None
) -> tuple[Groups | None, list[str]]:
    """Return which star each row shows, as asked for or as the tables say."""
    frame = pd.DataFrame(index=range(len(latents))) if labels is None else labels
    if groups is not None:
        return groups_of(groups, latents, frame), []
    tables = [table for table in (latents.table, frame) if table is not None]
    names = [name for name in STAR_COLUMNS if any(name in table for table in tables)]
    if not names:
        return None, []
    found = groups_of(names[0], latents, frame)
    assert found is not None
    if not found.repeated:
        return None, []
    stars = found.count(latents.ok)
    if stars < FEWEST_STARS:
        return None, [
            f"The column {names[0]} names {stars} stars only, too few to take stars for "
            "independent; rows are. With --groups it is taken all the same."
        ]
    return found, [
        f"Rows that show the same star (column {names[0]}) are not independent: values, errors and "
        "significance are those of stars."
    ]


def _network(model: SpectrumVAE | str | os.PathLike[str] | None) -> SpectrumVAE | None:
    if model is None or not isinstance(model, str | os.PathLike):
        return model
    from latentscope.models.weights import load_model

    return load_model(model)


def _check_weights(latents: Latents, network: SpectrumVAE) -> None:
    """Warn where the model is not the one that made the latents."""
    made_by, given = latents.provenance.get("weights_sha256"), weights_of(network)
    if made_by is not None and made_by != given:
        warnings.warn(
            f"{latents.source}: made by weights {made_by[:_SHORT_HASH]}, but the model given has "
            f"{given[:_SHORT_HASH]}; what it decodes need not be what these latents mean: give the "
            "model that made them",
            LatentscopeWarning,
            stacklevel=4,
        )


def weights_of(network: SpectrumVAE) -> str:
    """Return the SHA-256 of a model's weights."""
    from latentscope.models.weights import weights_sha256

    return weights_sha256(network)


def facts_of(study: ReportStudy, command: str | None) -> dict[str, str]:
    """Say what was read, by what, when."""
    import latentscope

    latents, labels = study.latents, study.labels
    facts = {"Latents": f"{latents.source}: {len(latents):,} rows × {latents.dims} dimensions"}
    facts |= _encoded_by(latents)
    if labels is not None:
        facts["Labels"] = f"{labels.attrs.get('source', 'labels')}: {len(labels.columns)} columns"
    if study.stars is not None:
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
