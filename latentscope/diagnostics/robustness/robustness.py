"""Is it the sample: the number of informative dimensions and the information, on other samples.

After N. Sedaghat et al., "Machines learn to infer stellar parameters just by looking at a large
number of spectra", MNRAS 501, 6026 (2021), who repeat their analysis on one spectrum a star and on
equal numbers of each spectral class.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from latentscope.data import Latents, align, read_labels, read_latents
from latentscope.diagnostics.activity import MADResult, mad
from latentscope.diagnostics.columns.dims import Dims, choose_dims
from latentscope.diagnostics.columns.group_columns import groups_of
from latentscope.diagnostics.columns.groups import Groups, read_groups
from latentscope.diagnostics.mi.api import mi_matrix
from latentscope.diagnostics.mi.columns import choose_labels, is_text, read_label
from latentscope.diagnostics.mi.table import Progress
from latentscope.diagnostics.provenance import origin
from latentscope.diagnostics.robustness.classes import read_classes
from latentscope.diagnostics.robustness.compared import compared_information, compared_spread
from latentscope.diagnostics.robustness.result import RobustnessResult
from latentscope.diagnostics.robustness.samples import Rows, Sample, samples_of
from latentscope.errors import EstimatorError, LatentscopeWarning

_FEWEST_DRAWS = 3
_WHOLE_DRAWS = 11
_HALF_DRAWS = 5


@dataclass(frozen=True, eq=False)
class _Source:
    """What every sample takes its rows from."""

    latents: Latents
    labels: pd.DataFrame
    groups: Groups
    dims: list[int]
    discrete: list[str]
    seed: int

    def spread(self, rows: Rows) -> MADResult:
        """Deviation of each dimension over some rows."""
        return mad(self.latents.values[rows])

    def information(self, sample: Sample, rows: Rows) -> pd.DataFrame:
        """Mutual information of some rows, as the table of `mi_matrix`."""
        whole = sample.kind == "whole"
        with warnings.catch_warnings():
            # Said once, of the whole.
            warnings.simplefilter("default" if whole else "ignore", LatentscopeWarning)
            return mi_matrix(
                Latents(self.latents.values[rows], source=self.latents.source),
                self.labels.iloc[rows].reset_index(drop=True),
                dims=self.dims,
                discrete=self.discrete,
                groups=self.groups.codes[rows] if sample.starred else None,
                draws=_WHOLE_DRAWS if whole else _HALF_DRAWS,
                permutations=1,
                seed=self.seed,
            ).table


def robustness(
    latents: Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str],
    labels: ArrayLike | pd.DataFrame | str | os.PathLike[str],
    *,
    groups: ArrayLike | pd.Series | str | None = None,
    classes: str | None = None,
    halves: int = 8,
    dims: Dims = "informative",
    columns: Sequence[str] | None = None,
    join: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RobustnessResult:
    """Count informative dimensions and measure information again on other samples of the rows.

    On one spectrum a star, on equal numbers of stars of each class, on random halves of the stars,
    and with every spectrum taken for a star.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame or path
        Rows of NaN are left out.
    labels : DataFrame, array (n, labels) or path
        Brought to the rows of the latents as `latentscope.align` does.
    groups : array (n,) or str, optional
        Which star each row shows, or the column that says so, as for `mi_matrix`. Without it each
        row is a star.
    classes : str, optional
        The label whose classes are drawn in equal numbers: letters of spectral types, other
        classes, or five bins of equal width of a number. By default a column of spectral types, or
        Teff, if there is one.
    halves : int
        Draws of each random sample, 3 or more.
    dims : "informative", "all" or a list of int
        Dimensions whose information is measured: the informative ones of all rows.
    columns : list of str, optional
        Labels to take; by default all but ids, names of stars, and text that names nearly each
        row.
    join : str, optional
        Column to join latents and labels on.
    seed : int
        Of all that is random.
    progress : callable, optional
        Called with (draws done, draws in all).

    Returns
    -------
    RobustnessResult

    Raises
    ------
    EstimatorError
        If values are infinite, no dimension is informative, no label can be measured, or `halves`
        is too small.
    TableError
        If latents and labels cannot be read or matched.

    Warns
    -----
    LatentscopeWarning
        If rows repeat a star and no groups are given, columns are constant or rows are too few.
    """
    if halves < _FEWEST_DRAWS:
        raise EstimatorError(f"halves is {halves}; wanted {_FEWEST_DRAWS} or more")
    read, frame = align(read_latents(latents), read_labels(labels), join)
    wanted = choose_dims(dims, read)
    given = groups_of(groups, read, frame)
    grouping = read_groups(np.arange(len(read)), len(read)) if given is None else given
    names, notes = choose_labels(frame, columns, groups if isinstance(groups, str) else None)
    source = _Source(read, frame[names], grouping, wanted, _classes_among(frame[names], seed), seed)
    drawn_by = read_classes(frame, classes)
    samples, told = samples_of(read.ok, grouping, drawn_by, halves, seed)
    spreads, tables = _measured(source, samples, progress)
    spread = compared_spread(samples, spreads, grouping)
    information = compared_information(samples, tables)
    provenance = {
        **origin("robustness"),
        "dims": wanted,
        "columns": names,
        "groups": groups if isinstance(groups, str) else groups is not None,
        "classes": None if drawn_by is None else drawn_by.name,
        "halves": halves,
        "join": join,
        "seed": seed,
        "rows": len(read),
        "rows_finite": int(read.ok.sum()),
        "source": read.source,
        "labels": str(frame.attrs.get("source", "labels")),
        "latents": read.provenance,
    }
    return RobustnessResult(spread, information, provenance, (*notes, *told))


def _classes_among(frame: pd.DataFrame, seed: int) -> list[str]:
    """Labels that are classes on all rows, so that they are on every sample too."""
    return [
        str(name)
        for name in frame.columns
        if is_text(frame[name])
        or read_label(str(name), frame[name], discrete="auto", clip_sigma=None, seed=seed).discrete
    ]


def _measured(
    source: _Source, samples: Sequence[Sample], progress: Progress | None
) -> tuple[list[list[MADResult]], list[list[pd.DataFrame]]]:
    total, done = sum(len(sample.draws) for sample in samples), 0
    spreads: list[list[MADResult]] = []
    tables: list[list[pd.DataFrame]] = []
    for sample in samples:
        spreads.append([])
        tables.append([])
        for rows in sample.draws:
            spreads[-1].append(source.spread(rows))
            tables[-1].append(source.information(sample, rows))
            done += 1
            if progress is not None:
                progress(done, total)
    return spreads, tables
