"""The rules on figures made up to agree with the paper, and on ones that do not."""

import dataclasses

import numpy as np
import pytest

from tests.train.sweep.page import reproduction
from train.sweep.grid import Archive, Grid, NewStars, Setting, SweepConfig, runs_of
from train.sweep.results import LABELS, Figures, Measured, Results

FALLS = "Fewer dimensions are informative the larger lambda (here: "
CONFIG = SweepConfig(
    base={"architecture": {}, "prepare": {}, "data": {}, "stages": []},
    archive=Archive(100, 1),
    test=NewStars(50, 2),
    grid=Grid((8, 128), (0.1, 0.3, 3.0)),
    chosen=Setting(128, 0.3),
    too_small=0.1,
    balanced={"one-per-star": {"one_per_star": True}, "FGK-only": {"bins": [4000, 7300]}},
    seeds=(1,),
)


def figures(latents, beta, informative, pair, rank=0.9, seen=1.5):
    """Figures of a network with so many informative dimensions; the first two are RV and Teff."""
    informative = min(informative, latents)
    mad = np.where(np.arange(latents) < informative, 0.5, 0.001).tolist()
    known = {label: np.zeros(latents) for label in LABELS}
    known["radvel"][0], known["Teff"][1] = seen, seen
    mi = {label: values.tolist() for label, values in known.items()}
    ranks = {label: (values * rank / seen).tolist() for label, values in known.items()}
    return Figures(
        weights="w", test="t", mad=mad,
        kl=[] if beta is None else np.where(np.array(mad) > 0.02, 1.0, 0.0).tolist(),
        line_variance=(0.9 if beta is None else 0.8 - 0.1 * beta) + 0.0001 * latents,
        mi=mi, mi_fgk=mi, rank=ranks,
        pairs=[[0, 1, pair]] if informative > 1 else [],
    )  # fmt: skip


@pytest.fixture
def results():
    """Results in which every statement of the paper holds."""
    counts, shared = {None: 128, 0.1: 20, 0.3: 6, 3.0: 2}, {None: 2.0, 0.1: 1.0, 0.3: 0.1, 3.0: 0.0}
    runs = {}
    for run in runs_of(CONFIG):
        rank = 0.6 if run.beta == 3.0 else 0.9
        seen = 0.4 if run.balance == "FGK-only" else 1.5
        made = figures(run.latents, run.beta, counts[run.beta], shared[run.beta], rank, seen)
        runs[run.name] = Measured(run, made, {"minutes": 1.0})
    return Results(CONFIG, runs, {}, {}, {}, "", "")


def answers(results):
    return {finding.statement: finding.agrees for finding in reproduction.findings(results)}


def with_figures(results, name, **changes):
    entry = results.runs[name]
    changed = dataclasses.replace(entry, figures=dataclasses.replace(entry.figures, **changes))
    return dataclasses.replace(results, runs={**results.runs, name: changed})


def test_all_statements_hold_where_all_is_as_in_the_paper(results):
    assert answers(results) == dict.fromkeys(answers(results), True)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("d008-ae", {"line_variance": 0.1}, ["A deterministic network"]),
        ("d008-beta3", {"line_variance": 0.85}, ["The larger lambda", "The more latents"]),
        ("d128-beta3", {"mad": [0.5] * 30 + [0.0] * 98}, [FALLS + "MAD"]),
        ("d128-beta3", {"kl": [0.5] * 30 + [0.0] * 98}, [FALLS + "KL"]),
        (
            "d128-beta0.3", {"mad": [0.5] * 9 + [0.0] * 119},
            ["Six dimensions of 128 are informative (here: MAD", "(Not in"],
        ),
        (
            "d128-beta0.3", {"kl": [0.5] * 9 + [0.0] * 119},
            ["Six dimensions of 128 are informative (here: KL", "(Not in",
             "The 8-d network", "About four more"],
        ),
        ("d008-beta0.1", {"pairs": []}, ["Too small a lambda"]),
        ("d128-beta0.3", {"pairs": [[0, 1, 0.4]]}, ["At the chosen lambda"]),
        ("d008-beta3", {"rank": {label: [0.9] * 8 for label in LABELS}}, ["Too large a lambda"]),
        ("d128-beta0.3-one-per-star", {"kl": [0.5] * 8 + [0.0] * 120}, ["The result is robust"]),
    ],
)  # fmt: skip
def test_what_differs_is_said_of_that_statement_alone(results, name, changes, words):
    told = answers(with_figures(results, name, **changes))
    refused = [statement for statement, agrees in told.items() if agrees is False]
    assert sorted(refused) == sorted(s for s in told if any(s.startswith(w) for w in words))
    assert len(refused) == len(words)


def test_a_dimension_that_knows_both_labels_is_no_disentangled_one(results):
    mi = {label: [0.0] * 128 for label in LABELS}
    mi["radvel"] = [1.0, 0.8] + [0.0] * 126
    mi["Teff"] = [1.3] + [0.0] * 127
    told = answers(with_figures(results, "d128-beta0.3", mi=mi))
    assert told["One dimension is radial velocity (1.51 nats)."] is False
    assert told["One dimension is effective temperature (1.33 nats)."] is True
    assert told["Velocity and temperature have dimensions of their own."] is False


def test_without_runs_nothing_is_told(results):
    none = dataclasses.replace(results, runs={}, missing={"d128-beta0.3": "not finished"})
    assert set(answers(none).values()) == {None}
    assert reproduction.changes_of(none) == []
    assert all(
        line.endswith(" | -" * 6 + " |") for line in reproduction.grid_table(none).splitlines()[2:]
    )
    partly = {name: entry for name, entry in results.runs.items() if name.startswith("d008")}
    told = answers(dataclasses.replace(results, runs=partly))
    assert told["The larger lambda, the worse the reconstruction."] is True
    assert told["At the chosen lambda the dimensions are disentangled."] is None


def test_changes_are_ratios_to_the_run_on_the_archive_as_it_is(results):
    changes = {change.entry.run.name: change for change in reproduction.changes_of(results)}
    fgk = changes["d128-beta0.3-FGK-only"]
    assert fgk.velocity == pytest.approx(0.4 / 1.5)
    assert fgk.leaves_out
    assert fgk.is_large
    assert (fgk.dimensions, len(changes)) == (0.0, 2)
    assert not changes["d128-beta0.3-one-per-star"].is_large
    assert len(reproduction.robustness_table(results).splitlines()) == 2 + 4
