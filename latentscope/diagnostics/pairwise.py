"""Mutual information of every latent dimension with every other one, in nats."""

from __future__ import annotations

import os
from dataclasses import asdict, replace

import pandas as pd
from numpy.typing import ArrayLike

from latentscope.data import Latents, read_latents
from latentscope.diagnostics.columns.dims import Dims, choose_dims, dim_reader
from latentscope.diagnostics.columns.group_columns import groups_of
from latentscope.diagnostics.estimators.choice import Estimator, check_estimator, kinds_of
from latentscope.diagnostics.mi_result import PairwiseResult
from latentscope.diagnostics.pair_table import (
    Progress,
    Task,
    among,
    check_measured,
    columns_kept,
    measured_table,
)
from latentscope.diagnostics.pairs import Settings
from latentscope.diagnostics.provenance import origin
from latentscope.errors import EstimatorError


def pairwise_mi(
    latents: Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str],
    *,
    dims: Dims = "all",
    estimator: Estimator = "auto",
    neighbors: int = 3,
    groups: ArrayLike | pd.Series | str | None = None,
    draws: int = 11,
    permutations: int = 199,
    seed: int = 0,
    progress: Progress | None = None,
) -> PairwiseResult:
    """Mutual information of latent dimensions with one another, in nats, with errors.

    What two dimensions share, whatever the shape of the relation: 0 if they are independent, as
    those of a disentangled network are.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame or path
        Rows of NaN are left out.
    dims : "all", "informative" or a list of int
        "informative": those whose median absolute deviation exceeds 0.02.
    estimator, neighbors, draws, permutations, seed
        As those of `mi_matrix`.
    groups : array (n,) or str, optional
        Which star each row shows, or the sidecar's column that says so.
    progress : callable, optional
        Called with (pairs done, pairs in all).

    Returns
    -------
    PairwiseResult

    Raises
    ------
    EstimatorError
        If there are fewer than two dimensions, values are infinite, rows or groups are too few, or
        the estimator does not take such columns.
    TableError
        If latents cannot be read.

    Warns
    -----
    LatentscopeWarning
        If rows repeat a star and no groups are given, or dimensions are constant.
    """
    check_estimator(estimator)
    settings = Settings(estimator, neighbors, draws, permutations, seed)
    read = read_latents(latents)
    wanted = choose_dims(dims, read)
    if len(wanted) < 2:
        raise EstimatorError(
            f"{read.source}: {len(wanted)} dimension to compare; wanted two or more"
        )
    grouping = groups_of(groups, read, pd.DataFrame(index=range(len(read))))
    total = len(wanted) * (len(wanted) - 1) // 2
    task = Task(grouping, replace(settings, pairs=total), True, progress)
    kind, _ = kinds_of(estimator)
    table = measured_table(
        among(len(wanted), dim_reader(read, wanted, kind, seed), columns_kept(len(read))),
        total,
        task,
        ("dim_x", "dim_y"),
        (wanted, wanted),
    )
    check_measured(table, "dim_x")
    provenance = {
        **origin("pairwise mutual information"),
        **asdict(task.settings),
        "dims": wanted,
        "groups": groups if isinstance(groups, str) else groups is not None,
        "rows": len(read),
        "rows_finite": int(read.ok.sum()),
        "source": read.source,
        "latents": read.provenance,
    }
    return PairwiseResult(table, provenance)
