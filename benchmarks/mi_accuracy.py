"""Mutual information against known truth, and the peers: python -m benchmarks.mi_accuracy.

Mean absolute error in nats over cases and seeds, for each kind of case of `benchmarks.mi_cases`. An
exception, an infinite value or NaN is a failure: it is counted and left out of the mean. The kinds
hold pairs of single columns; cases of several columns stand apart, as most peers take none.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import warnings
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.mi_cases import CASES, KINDS, LABEL, Case
from benchmarks.mi_peers import NAMES, Estimate, peers
from benchmarks.timing import table as markdown_table
from latentscope.diagnostics.mi.api import mutual_information
from latentscope.errors import EstimatorError

WIDE = "several columns"
# These measure distances in y, which classes do not have.
_OF_NUMBERS = ("copula", "ksg")


def ours(estimator: str) -> Estimate:
    """mutual_information with `estimator`; None where it does not take such variables."""

    def estimate(x: np.ndarray, y: np.ndarray, discrete: bool) -> float | None:
        if estimator == "auto":
            return mutual_information(x, y, discrete=discrete or "auto")
        if discrete and estimator in _OF_NUMBERS:
            return None
        try:
            return mutual_information(x, y, discrete=discrete or "auto", estimator=estimator)
        except EstimatorError:
            return None

    return estimate


def measured(estimate: Estimate, case: Case, rows: int, seed: int) -> float | None:
    """One value in nats: NaN for a failure, None where the estimator does not take the case."""
    # A stream for each case, so that chance does not push all Gaussian cases the same way.
    x, y = case.draw(np.random.default_rng([seed, zlib.crc32(case.name.encode())]), rows)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            value = estimate(x, y, case.kind == LABEL)
    except Exception as error:
        print(f"{case.name}: {type(error).__name__}: {error}", file=sys.stderr)
        return np.nan
    return value if value is None or np.isfinite(value) else np.nan


def all_measured(
    cases: Iterable[Case], estimates: dict[str, Estimate], rows: int, seeds: int
) -> pd.DataFrame:
    """One row for each case, estimator and seed, with the value and its error in nats."""
    found = []
    for case in cases:
        group = case.kind if case.columns == 2 else WIDE
        for name, estimate in estimates.items():
            for seed in range(seeds):
                value = measured(estimate, case, rows, seed)
                if value is None:
                    break
                found.append((case.name, group, case.truth, name, seed, value))
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    columns = ["case", "group", "truth", "estimator", "seed", "value"]
    table = pd.DataFrame(found, columns=columns)
    return table.assign(error=(table["value"] - table["truth"]).abs())


def by_case(table: pd.DataFrame) -> pd.DataFrame:
    """Mean |error| of each case, one column per estimator."""
    wide = table.pivot_table(
        index=["group", "case", "truth"], columns="estimator", values="error", sort=False
    )
    return wide.reindex(columns=table["estimator"].unique())


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean |error| over the cases of each kind, worst case and failures, one row per estimator."""
    rows: list[dict[str, Any]] = []
    for name, part in table.groupby("estimator", sort=False):
        each = part.groupby(["group", "case"], sort=False)["error"].mean()
        single = each[each.index.get_level_values("group") != WIDE]
        means = each.groupby("group").mean()
        row: dict[str, Any] = {"estimator": name, "pairs": single.mean()}
        row |= {group: means.get(group, np.nan) for group in (*KINDS, WIDE)}
        row["worst pair"] = _worst(single)
        row["worst of several columns"] = _worst(each.drop(single.index))
        row["failures"] = f"{int(part['value'].isna().sum())} of {len(part)}"
        rows.append(row)
    return pd.DataFrame(rows)


def _worst(errors: pd.Series) -> str:
    errors = errors.dropna()
    if errors.empty:
        return "-"
    at = errors.idxmax()
    return f"{errors[at]:.3f} {at[1]}"


def markdown(errors: pd.DataFrame) -> str:
    """The table as markdown, errors with four digits."""
    return markdown_table(errors.to_dict("records"), ".4f")


def _names(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(part.strip() for part in text.split(","))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="only cases with this text in their name")
    parser.add_argument("--estimators", type=_names, default=("auto",), help="ours, or none")
    parser.add_argument("--peers", type=_names, default=NAMES, help=f"of {', '.join(NAMES)}; none")
    parser.add_argument("--cases", action="store_true", help="print the errors of each case")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark with options of the command line."""
    options = _options(arguments)
    estimates = {f"latentscope {name}": ours(name) for name in options.estimators}
    estimates |= {peer.name: peer.estimate for peer in peers(options.peers).values()}
    cases = [case for case in CASES if options.only in case.name]
    table = all_measured(cases, estimates, options.rows, options.seeds)
    print(f"Mean |error| in nats, n = {options.rows:,}, {options.seeds} seeds\n")
    print(markdown(summary(table)))
    if options.cases:
        print("\n" + markdown(by_case(table).reset_index()))


if __name__ == "__main__":
    main()
