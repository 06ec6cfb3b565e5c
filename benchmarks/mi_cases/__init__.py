"""Cases of known mutual information, for the benchmark of accuracy.

`CASES` holds them all. Samples come from a seed, truths from closed forms or quadrature.
"""

from __future__ import annotations

from benchmarks.mi_cases import bmi, classes, coarse, gaussian, joint, mixtures, relations
from benchmarks.mi_cases.case import CONTINUOUS, LABEL, TIES, Case, Kind

CASES: tuple[Case, ...] = (
    *gaussian.CASES,
    *bmi.CASES,
    *relations.CASES,
    *joint.CASES,
    *classes.CASES,
    *coarse.CASES,
    *mixtures.CASES,
)
KINDS: tuple[Kind, ...] = (CONTINUOUS, LABEL, TIES)

__all__ = ["CASES", "CONTINUOUS", "KINDS", "LABEL", "TIES", "Case", "Kind"]
