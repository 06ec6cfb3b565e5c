"""Cases of known mutual information, for the benchmark of accuracy.

`CASES` holds them all. Samples come from a seed, truths from closed forms or quadrature.
"""

from __future__ import annotations

from benchmarks.mi_cases import continuous, discrete
from benchmarks.mi_cases.case import CONTINUOUS, LABEL, TIES, Case, Kind

CASES: tuple[Case, ...] = (*continuous.CASES, *discrete.CASES)
KINDS: tuple[Kind, ...] = (CONTINUOUS, LABEL, TIES)

__all__ = ["CASES", "CONTINUOUS", "KINDS", "LABEL", "TIES", "Case", "Kind"]
