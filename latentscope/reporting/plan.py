"""The order of a report, and how its parts are made so that none costs the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from latentscope.errors import LatentscopeWarning
from latentscope.reporting.part_page import part_html
from latentscope.reporting.parts import Chapter, NotPossible, Outcome, Part
from latentscope.reporting.study import Study


@dataclass(frozen=True)
class Step:
    """A part to be made.

    Parameters
    ----------
    key, title : str
        Its anchor and its heading.
    make : callable
        Study -> Part. Raises NotPossible where something is missing.
    """

    key: str
    title: str
    make: Callable[[Study], Part]


@dataclass(frozen=True)
class Plan:
    """A question, and the parts to be made of it.

    Parameters
    ----------
    key, question : str
        Anchor and heading of the chapter.
    steps : tuple of Step
    """

    key: str
    question: str
    steps: tuple[Step, ...]


def chapters_of(plans: Sequence[Plan], study: Study) -> tuple[Chapter, ...]:
    """Make all parts, in their order; an error in one is kept as its outcome."""
    return tuple(
        Chapter(plan.key, plan.question, tuple(_outcome(step, study) for step in plan.steps))
        for plan in plans
    )


def _outcome(step: Step, study: Study) -> Outcome:
    began = perf_counter()
    part, html, absent, error = None, "", "", None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LatentscopeWarning)
        try:
            made = step.make(study)
            # Here too, so that what cannot be shown costs no more than its own part.
            part, html = made, part_html(made)
        except NotPossible as reason:
            absent = str(reason)
        except Exception as fault:
            error = fault
    return Outcome(
        step.key, step.title, part, html, absent, error, _said(caught), perf_counter() - began
    )


def _said(caught: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return our own warnings as text, each once, and pass the others on."""
    ours = []
    for warning in caught:
        if issubclass(warning.category, LatentscopeWarning):
            ours.append(" ".join(str(warning.message).split()))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return tuple(dict.fromkeys(ours))
