"""Find the spectra that are nearest to a query in latent space.

As the page RETR-SPECT does that goes with N. Sedaghat et al., "Machines learn to infer stellar
parameters just by looking at a large number of spectra", MNRAS 501, 6026 (2021).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents, align, read_labels, read_latents
from latentscope.diagnostics.columns.dims import Dims, choose_dims
from latentscope.diagnostics.provenance import origin
from latentscope.diagnostics.retrieval.answers import Answers
from latentscope.diagnostics.retrieval.neighbours import Near, Neighbours, Progress, Rows
from latentscope.diagnostics.retrieval.queries import Queries, Query, read_queries
from latentscope.diagnostics.retrieval.result import RetrievalResult
from latentscope.diagnostics.retrieval.sample import RowNames, read_stars
from latentscope.diagnostics.retrieval.shown import labels_shown, names_shown
from latentscope.diagnostics.retrieval.space import Metric, Spread, measure_space
from latentscope.diagnostics.wording import shortened
from latentscope.errors import EstimatorError

Source = Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str]
Labels = ArrayLike | pd.DataFrame | str | os.PathLike[str]
Floats = NDArray[np.float64]

REFERENCE = 500
"""Rows whose own nearest one tells what is usual: the percentile is then known to 2 points."""

_BAND = (0.05, 0.95)


class Retriever:
    """A sample of latents, loaded once and searched as often as wanted, from any thread.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame or path
        The sample. Rows of NaN are never found. Of a .npy file the values stay on disk, mapped;
        what a search reads lies in memory as 2 bytes a value of the chosen dimensions.
    dims : "informative", "all" or a list of int
        Dimensions that count. "informative": those whose median absolute deviation exceeds 0.02;
        dividing a dimension that the network does not use by its spread would make it count.
    metric : {"euclidean", "mahalanobis", "manhattan", "cosine"}
        Of differences in units of the spreads: their length; their length after the sample's
        correlations are taken out, for dimensions that share what they know; the sum of their
        absolute values, where one odd dimension should not decide; or 1 minus the cosine of the
        angle at the sample's median, for which a spectrum is like another that departs from the
        median in the same direction, however far.
    spread : {"robust", "plain", "none"}
        What a dimension is divided by: 1.4826 times its median absolute deviation over the sample,
        its standard deviation, or 1.
    groups : array (n,) or str, optional
        Which star each row shows, or the column that says so. By default `star`, filled from
        `object`, of the sidecar, where it has them.
    same_star : bool
        Whether other rows of a query's star may be found. Its own row never is.
    one_per_star : bool
        Whether only the nearest row of each star is found.
    labels : DataFrame, array (n, labels) or path, optional
        Shown beside the matches; brought to the rows as `latentscope.align` does.
    columns : list of str, optional
        Labels to show; by default all but ids and names of stars.
    join : str, optional
        Column to join latents and labels on.
    reference : int
        Rows at most, one a star, whose distances to their own nearest tell what is usual.
    seed : int
        Of their choice.
    progress : callable, optional
        Called with (of these done, of these in all).

    Raises
    ------
    EstimatorError
        If values are infinite, no row is finite, no dimension is informative or has a spread, a
        choice is unknown, or some dimensions depend linearly on others for "mahalanobis".
    ChoiceError
        If a dimension, label or column of groups is not there.
    TableError
        If latents and labels cannot be read or matched.

    Warns
    -----
    LatentscopeWarning
        If dimensions without spread are left out, or rows have no name in `groups`.
    """

    def __init__(
        self,
        latents: Source,
        *,
        dims: Dims = "informative",
        metric: Metric = "euclidean",
        spread: Spread = "robust",
        groups: ArrayLike | pd.Series | str | None = None,
        same_star: bool = False,
        one_per_star: bool = False,
        labels: Labels | None = None,
        columns: Sequence[str] | None = None,
        join: str | None = None,
        reference: int = REFERENCE,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.latents = read = _mapped(latents)
        frame = None if labels is None else align(read, read_labels(labels), join)[1]
        beside = [names_shown(read), labels_shown(frame, columns, len(read))]
        self._beside = pd.concat(beside, axis=1)
        self._names = RowNames(read)
        self._stars = read_stars(groups, read, frame)
        self._same_star = same_star
        chosen = choose_dims(dims, read)
        ok = read.ok
        self._finite = int(ok.sum())
        self.space = measure_space(read.values, ok, chosen, metric, spread, read.source)
        codes = self._stars.groups.codes if one_per_star else None
        self._neighbours = Neighbours(read.values, ok, self.space, codes)
        drawn = self._drawn(reference, np.random.default_rng(seed))
        self._band = self._usual_values(drawn)
        self.usual = self._usual_distances(drawn, progress)
        self._provenance = {
            **origin("retrieval"),
            "dims": self.space.dims,
            "metric": metric,
            "spread": spread,
            "groups": groups if isinstance(groups, str) else groups is not None,
            "same_star": same_star,
            "one_per_star": one_per_star,
            "reference": len(self.usual),
            "seed": seed,
            "rows": len(read),
            "rows_searched": len(self._neighbours),
            "source": read.source,
            "latents": read.provenance,
        }

    def __len__(self) -> int:
        return len(self.latents)

    def queries(self, query: Query | Queries) -> Queries:
        """Read queries without answering them, to see early whether there are such rows.

        Parameters
        ----------
        query : as `query` takes it

        Raises
        ------
        ChoiceError, EstimatorError
            As `query` does.
        """
        return read_queries(query, self.latents, self._names, self._stars)

    def query(self, query: Query | Queries, k: int = 10) -> RetrievalResult:
        """Find the nearest rows of each query.

        Parameters
        ----------
        query : int, str, Latents, array (d,) or (m, d), or a list of these
            Rows of the sample by number, counted from 0 (a whole number, or an array (m,) of them),
            or by id (text); or values in all dimensions of the sample. Rows of other latents that
            show an exposure of the sample (same `id` or `archive_id`) do not find it.
        k : int
            Matches of each query; fewer where there are no more rows.

        Returns
        -------
        RetrievalResult
            Of equally near rows the first one comes first. Queries of NaN have no matches, and say
            why.

        Raises
        ------
        ChoiceError
            If there is no such row, or several have the id.
        EstimatorError
            If values have another number of dimensions, k is below 1, or no query can be answered.
        """
        if k < 1:
            raise EstimatorError(f"k is {k}; wanted at least 1")
        asked = self.queries(query)
        answers = self._answered(asked, k)
        if all(answers.failures):
            more = f" (and {len(asked) - 1} more)" if len(asked) > 1 else ""
            raise EstimatorError(
                f"no query can be answered: {asked.names[0]}: {answers.failures[0]}{more}"
            )
        values = np.repeat(asked.values[:, self.space.dims], answers.counts, axis=0)
        moved = (self._values(answers.rows) - values) / self.space.spread
        differences = pd.DataFrame(moved, columns=self.space.dims)
        profiles = self.space.standardised(asked.values[:, self.space.dims])
        return RetrievalResult(
            answers.match_table(differences, self.usual, self._beside),
            answers.query_table(self._beside),
            differences,
            pd.DataFrame(profiles, columns=self.space.dims),
            self._band,
            self.usual,
            {**self._provenance, "k": k, "queries": asked.names},
            tuple(self._notes(asked)),
        )

    def _answered(self, asked: Queries, k: int) -> Answers:
        values = asked.values[:, self.space.dims]
        hidden = [self._hidden(asked, place) for place in range(len(asked))]
        fine = [place for place, reason in enumerate(asked.reasons) if not reason]
        nearest = self._neighbours.nearest(values[fine], [hidden[place] for place in fine], k)
        near = [Near(np.empty(0, dtype=np.int64), np.empty(0)) for _ in asked.names]
        failures = list(asked.reasons)
        for place, found in zip(fine, nearest, strict=True):
            near[place] = found
            if not len(found.rows):
                failures[place] = self._why_none(values[place])
        return Answers(asked, near, [self._neighbours.count(rows) for rows in hidden], failures)

    def _hidden(self, asked: Queries, place: int) -> Rows:
        """Rows that a query must not find."""
        own, star = asked.own[place], int(asked.stars[place])
        if self._same_star or star < 0:
            return own
        return np.union1d(own, self._stars.rows_of(star))

    def _why_none(self, query: Floats) -> str:
        if np.isnan(self.space.points(query[None])).any():
            return "it lies at the sample's median and has no direction for cosine to compare"
        return "the sample has no other row" + ("" if self._same_star else " of another star")

    def _drawn(self, reference: int, rng: np.random.Generator) -> Rows:
        """One random row of each of so many random stars."""
        keep = np.zeros(len(self), dtype=np.bool_)
        keep[self._neighbours.rows] = True
        rows = self._stars.groups.draws(keep, 1, rng).rows[0]
        return np.sort(rng.permutation(rows)[:reference])

    def _usual_values(self, drawn: Rows) -> pd.DataFrame:
        limits = np.quantile(self.space.standardised(self._values(drawn)), _BAND, axis=0)
        return pd.DataFrame(limits.T, index=self.space.dims, columns=["low", "high"])

    def _usual_distances(self, drawn: Rows, progress: Progress | None) -> Floats:
        asked = self.queries(drawn)
        hidden = [self._hidden(asked, place) for place in range(len(asked))]
        near = self._neighbours.nearest(self._values(drawn), hidden, 1, progress)
        return np.sort([float(one.distances[0]) for one in near if len(one.rows)])

    def _values(self, rows: Rows) -> Floats:
        return self.space.part(self.latents.values, rows)

    def _notes(self, asked: Queries) -> list[str]:
        missing = len(self) - self._finite
        notes = [f"{_rows_text(missing)} of NaN left out"] if missing else []
        flat = len(self) - missing - len(self._neighbours)
        if flat:
            notes.append(f"{_rows_text(flat)} at the sample's median left out: no direction")
        if self._same_star:
            return notes
        queries = zip(asked.names, asked.stars, asked.reasons, strict=True)
        strangers = [name for name, star, reason in queries if star < 0 and not reason]
        if not self._stars.known:
            notes.append("no column says which star a row shows: matches may show the same star")
        elif strangers:
            notes.append(
                f"{shortened(strangers)}: of a star that no row is known to show; if rows show it "
                "under another name, they are among the matches"
            )
        return notes


def retrieve(
    query: Query,
    latents: Source,
    *,
    k: int = 10,
    dims: Dims = "informative",
    metric: Metric = "euclidean",
    spread: Spread = "robust",
    groups: ArrayLike | pd.Series | str | None = None,
    same_star: bool = False,
    one_per_star: bool = False,
    labels: Labels | None = None,
    columns: Sequence[str] | None = None,
    join: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RetrievalResult:
    """Find the spectra that are nearest to a query in latent space, exactly.

    Of many questions to the same sample ask a `Retriever`.

    Parameters
    ----------
    query : int, str, Latents, array (d,) or (m, d), or a list of these
        As `Retriever.query` takes it.
    latents : Latents, array (n, d), DataFrame or path
        The sample.
    k : int
        Matches of each query.
    dims, metric, spread, groups, same_star, one_per_star, labels, columns, join, seed, progress
        As `Retriever` takes them.

    Returns
    -------
    RetrievalResult

    Raises
    ------
    EstimatorError, ChoiceError, TableError
        As `Retriever` and its `query` do.
    """
    retriever = Retriever(
        latents,
        dims=dims,
        metric=metric,
        spread=spread,
        groups=groups,
        same_star=same_star,
        one_per_star=one_per_star,
        labels=labels,
        columns=columns,
        join=join,
        seed=seed,
        progress=progress,
    )
    return retriever.query(query, k)


def _rows_text(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _mapped(source: Source) -> Latents:
    """Read latents; values of a .npy file are mapped from it and not held in memory."""
    read = read_latents(source)
    if not isinstance(source, str | os.PathLike) or not os.fspath(source).lower().endswith(".npy"):
        return read
    mapped = np.load(source, mmap_mode="r")
    same = mapped.dtype == read.values.dtype and mapped.shape == read.values.shape
    return replace(read, values=mapped) if same else read
