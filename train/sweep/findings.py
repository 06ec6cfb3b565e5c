"""What agrees with the paper: each of its statements, a rule, and what the rule says of the runs.

The statements are those of N. Sedaghat et al., "Machines learn to infer stellar parameters just by
looking at a large number of spectra", MNRAS 501, 6026 (2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from train.sweep.measure import LABELS, Figures, Results
from train.sweep.robustness import SHIFT, Change, changes_of

KNOWN = 0.5
"""Nats: a dimension with less about a label does not stand for it."""

UNMATCHED = 0.1
"""Nats: a dimension with less about every label matches none."""

INDEPENDENT = 0.3
"""Nats: two dimensions that share less count as disentangled."""

LOST = 0.05
"""Loss of rank correlation from which on detail counts as lost."""


Dims = Callable[[Figures], list[int]]


@dataclass(frozen=True)
class Finding:
    """A statement of the paper, held against the sweep.

    Parameters
    ----------
    statement : str
        What the paper found.
    agrees : bool or None
        None: the runs that would tell are not there.
    rule : str
        When it counts as agreement.
    numbers : str
        What the runs gave.
    """

    statement: str
    agrees: bool | None
    rule: str
    numbers: str


def findings(results: Results) -> list[Finding]:
    """Hold each statement against the runs; the same runs give the same findings."""
    rules: list[Callable[[Results], Finding]] = [
        _deterministic_is_best, _beta_costs, _size_helps,
        _fewer_by_mad, _fewer_by_kl, _how_many_by_mad, _how_many_by_kl, _sizes_agree, _mad_and_kl,
        _small_beta_leaks, _disentangled, _velocity, _temperature, _own_dimensions, _unmatched,
        _large_beta_loses, _robust, _sampling_bias,
    ]  # fmt: skip
    return [rule(results) for rule in rules]


def _betas(results: Results) -> list[float]:
    return sorted(results.config.grid.beta)


def _listed(values: Sequence[float], form: str = ".3f") -> str:
    return ", ".join("-" if math.isnan(value) else format(value, form) for value in values)


def _in_words(results: Results, rows: Sequence[Sequence[float]], form: str) -> str:
    parts = [
        f"{latents} latents: {_listed(row, form)}"
        for latents, row in zip(results.sizes, rows, strict=True)
    ]
    return "; ".join(parts)


def _all(rows: Sequence[Sequence[float]], holds: Callable[[Sequence[float]], bool]) -> bool | None:
    """Whether something holds for each row without a gap; None if all have one."""
    whole = [row for row in rows if not any(math.isnan(value) for value in row)]
    return all(holds(row) for row in whole) if whole else None


def _falling(row: Sequence[float]) -> bool:
    return all(a >= b for a, b in pairwise(row)) and row[0] > row[-1]


def _deterministic_is_best(results: Results) -> Finding:
    columns: list[float | None] = [None, *_betas(results)]
    rows = [results.row(latents, lambda f: f.line_variance, columns) for latents in results.sizes]
    return Finding(
        "A deterministic autoencoder reconstructs best.",
        _all(rows, lambda row: row[0] >= max(row[1:])),
        "at every size the AE reconstructs at least the share of line variance of every beta",
        f"AE, then beta = {_listed(_betas(results), 'g')}: {_in_words(results, rows, '.3f')}",
    )


def _beta_costs(results: Results) -> Finding:
    rows = [results.row(n, lambda f: f.line_variance, _betas(results)) for n in results.sizes]
    return Finding(
        "The larger lambda, the worse the reconstruction.",
        _all(rows, _falling),
        "at every size the reconstructed line variance falls with beta",
        f"beta = {_listed(_betas(results), 'g')}: {_in_words(results, rows, '.3f')}",
    )


def _size_helps(results: Results) -> Finding:
    rows = [
        [results.row(n, lambda f: f.line_variance, [beta])[0] for n in results.sizes]
        for beta in results.columns
    ]
    said = [
        f"{'AE' if beta is None else f'beta = {beta:g}'}: {_listed(row)}"
        for beta, row in zip(results.columns, rows, strict=True)
    ]
    return Finding(
        "The more latents, the better the reconstruction.",
        _all(rows, lambda row: row[-1] > row[0]),
        "at every beta the largest network reconstructs more line variance than the smallest",
        f"{_listed(results.sizes, 'd')} latents: {'; '.join(said)}",
    )


def _fewer_by_mad(results: Results) -> Finding:
    return _fewer(results, "above 0.02 of MAD falls with lambda (fig. 4)", lambda f: f.deviating)


def _fewer_by_kl(results: Results) -> Finding:
    return _fewer(results, "with KL > 0.1 nats falls with lambda", lambda f: f.informative)


def _fewer(results: Results, words: str, dims: Dims) -> Finding:
    rows = [results.row(n, lambda f: len(dims(f)), _betas(results)) for n in results.sizes]
    return Finding(
        f"The number of dimensions {words}.",
        _all(rows, _falling),
        "it never rises with beta, and ends lower, at every size",
        f"beta = {_listed(_betas(results), 'g')}: {_in_words(results, rows, '.0f')}",
    )


def _how_many_by_mad(results: Results) -> Finding:
    return _how_many(results, "MAD > 0.02", lambda f: f.deviating)


def _how_many_by_kl(results: Results) -> Finding:
    return _how_many(results, "KL > 0.1 nats", lambda f: f.informative)


def _how_many(results: Results, words: str, dims: Dims) -> Finding:
    entry = results.chosen
    found = None if entry is None else dims(entry.figures)
    return Finding(
        f"Six dimensions of 128 are informative at lambda = 0.3 (here: {words}).",
        None if found is None else 4 <= len(found) <= 8,
        f"4 to 8 dimensions have {words} in the chosen setting",
        "-" if found is None else f"{len(found)}: {_dims(found)}",
    )


def _sizes_agree(results: Results) -> Finding:
    beta = [results.config.chosen.beta]
    counts = [results.row(n, lambda f: len(f.informative), beta)[0] for n in results.sizes]
    return Finding(
        "The 8-d network agrees on that number.",
        _all([counts], lambda row: max(row) - min(row) <= 1),
        "at the chosen beta the numbers of all sizes differ by one at most",
        _in_words(results, [[count] for count in counts], ".0f"),
    )


def _mad_and_kl(results: Results) -> Finding:
    entry = results.chosen
    figures = None if entry is None else entry.figures
    return Finding(
        "(Not in the paper.) MAD > 0.02 and KL > 0.1 nats name the same dimensions.",
        None if figures is None else figures.deviating == figures.informative,
        "in the chosen setting both sets are equal",
        "-"
        if figures is None
        else f"MAD: {_dims(figures.deviating)}; KL: {_dims(figures.informative)}",
    )


def _small_beta_leaks(results: Results) -> Finding:
    small, chosen = results.config.too_small, results.config.chosen.beta
    rows = [results.row(n, lambda f: f.largest_pair, [small, chosen]) for n in results.sizes]
    return Finding(
        "Too small a lambda leaks information among dimensions (fig. 5).",
        _all(rows, lambda row: row[0] > row[1]),
        "at every size the largest MI of two informative dimensions is larger at the small beta",
        f"nats, beta = {small:g} and {chosen:g}: {_in_words(results, rows, '.2f')}",
    )


def _disentangled(results: Results) -> Finding:
    entry = results.chosen
    largest = None if entry is None else entry.figures.largest_pair
    return Finding(
        "At the chosen lambda the dimensions are disentangled.",
        None if largest is None else largest < INDEPENDENT,
        f"the largest MI of two informative dimensions is below {INDEPENDENT:g} nats",
        "-" if largest is None else f"{largest:.2f} nats",
    )


def _stands_for(results: Results, label: str, words: str, published: str) -> Finding:
    entry = results.chosen
    if entry is None:
        return Finding(f"One dimension is {words}.", None, "-", "-")
    dim, nats = entry.figures.best(label)
    of_all = entry.figures.mi[label]
    second = max((of_all[d] for d in entry.figures.telling if d != dim), default=0.0)
    return Finding(
        f"One dimension is {words} ({published}).",
        nats > KNOWN and nats > 2 * second,
        f"its MI is above {KNOWN:g} nats and more than twice that of the next informative one",
        f"dimension {dim}: {nats:.2f} nats, rank correlation "
        f"{abs(entry.figures.rank[label][dim]):.2f}; next: {second:.2f} nats",
    )


def _velocity(results: Results) -> Finding:
    return _stands_for(results, "radvel", "radial velocity", "1.51 nats")


def _temperature(results: Results) -> Finding:
    return _stands_for(results, "Teff", "effective temperature", "1.33 nats")


def _own_dimensions(results: Results) -> Finding:
    entry = results.chosen
    dims = None if entry is None else [entry.figures.best(x)[0] for x in ("radvel", "Teff")]
    return Finding(
        "Velocity and temperature have dimensions of their own.",
        None if dims is None else dims[0] != dims[1],
        "the best dimensions of both labels differ",
        "-" if dims is None else f"velocity {dims[0]}, temperature {dims[1]}",
    )


def _unmatched(results: Results) -> Finding:
    entry = results.chosen
    dims = None if entry is None else unmatched(entry.figures)
    return Finding(
        "About four more dimensions are informative and match no label.",
        None if dims is None else 2 <= len(dims) <= 6,
        f"2 to 6 informative dimensions share less than {UNMATCHED:g} nats with every label",
        "-" if dims is None else f"{len(dims)}: {_dims(dims)}",
    )


def unmatched(figures: Figures) -> list[int]:
    """Informative dimensions that share little with every label."""
    return [
        dim
        for dim in figures.informative
        if max(figures.mi[label][dim] for label in LABELS) < UNMATCHED
    ]


def _large_beta_loses(results: Results) -> Finding:
    betas = _betas(results)
    pair = [results.config.chosen.beta, betas[-1]]
    rows = [
        results.row(n, lambda f: f.best_rank("radvel") + f.best_rank("Teff"), pair)
        for n in results.sizes
    ]
    return Finding(
        "Too large a lambda loses detail.",
        _all(rows, lambda row: row[0] - row[1] > LOST),
        f"at every size the rank correlations with RV and Teff, added, fall by more than {LOST:g} "
        "from the chosen beta to the largest",
        f"beta = {pair[0]:g} and {pair[1]:g}: {_in_words(results, rows, '.2f')}",
    )


def _robust(results: Results) -> Finding:
    changes = [c for c in changes_of(results) if c.entry.run.balance and not c.leaves_out]
    return Finding(
        "The result is robust to balancing.",
        all(not c.is_large for c in changes) if changes else None,
        "on balanced archives of all stars the number of informative dimensions changes by one at "
        f"most, the best MI with RV and Teff (FGK stars) by {SHIFT:.0%} at most",
        _said(changes, results),
    )


def _sampling_bias(results: Results) -> Finding:
    changes = [c for c in changes_of(results) if c.leaves_out]
    return Finding(
        "It is sensitive to which stars the sample holds.",
        any(c.is_large for c in changes) if changes else None,
        "on an archive that leaves stars out one of these changes is larger",
        _said(changes, results),
    )


def _said(changes: Sequence[Change], results: Results) -> str:
    chance = [c.words for c in changes_of(results) if c.entry.run.kind == "seed"]
    said = "; ".join(f"{c.entry.run.balance}: {c.words}" for c in changes) or "-"
    return said + (f" (by another seed alone: {'; '.join(chance)})" if chance else "")


def _dims(dims: Sequence[int]) -> str:
    shown = ", ".join(str(dim) for dim in dims[:12])
    return (shown + (" ..." if len(dims) > 12 else "")) or "none"
