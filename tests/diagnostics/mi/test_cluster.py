"""A Dask cluster measures pairs to the same bytes, also where a worker dies."""

import os
import signal
import sys

import numpy as np
import pandas as pd
import pytest

import latentscope.diagnostics.mi.api as api
import latentscope.reporting.report as reporting
from latentscope import mi_matrix, pairwise_mi
from latentscope.cli import main
from latentscope.errors import EstimatorError
from latentscope.workers import on_cluster

distributed = pytest.importorskip("distributed")

RNG = np.random.default_rng(0)
LATENTS = RNG.normal(size=(240, 4)).astype("f4")
LABELS = pd.DataFrame(
    {"Teff": LATENTS[:, 0] + RNG.normal(size=240), "kind": np.where(LATENTS[:, 1] > 0, "A", "B")}
)
STARS = np.arange(240) // 2


def test_tables_have_the_same_bytes_and_a_dead_worker_costs_nothing(client, monkeypatch):
    # As pairs of many rows are: each a task of its own.
    monkeypatch.setattr(api, "_batches", lambda pairs: ([pair] for pair in pairs))
    killed = []

    def kill_one(done, total):
        if not killed:
            killed.append(min(client.run(os.getpid).values()))
            os.kill(killed[0], signal.SIGKILL)

    options = {"groups": STARS, "seed": 3}
    local = mi_matrix(LATENTS, LABELS, **options)
    there = mi_matrix(LATENTS, LABELS, progress=kill_one, dask=client, **options)
    assert killed
    assert there.table.to_csv() == local.table.to_csv()
    assert there.notes == local.notes
    with on_cluster(client):
        pairs = pairwise_mi(LATENTS, **options).table
    assert pairs.to_csv() == pairwise_mi(LATENTS, **options).table.to_csv()


def test_what_no_pair_can_be_measured_of_is_said_as_here(client):
    asked = {"neighbors": 7, "columns": "Teff", "groups": STARS[:12]}
    with pytest.raises(EstimatorError) as here:
        mi_matrix(LATENTS[:12], LABELS[:12], **asked)
    with pytest.raises(EstimatorError) as there:
        mi_matrix(LATENTS[:12], LABELS[:12], dask=client, **asked)
    assert "6 groups have both" in str(here.value) == str(there.value)


def test_a_report_measures_there(client, tmp_path, monkeypatch):
    def chapters(study):
        mi_matrix(study.latents, LABELS)
        return []

    # A whole report takes a minute.
    monkeypatch.setattr(reporting, "chapters_of", chapters)
    submit, sent = client.submit, []
    monkeypatch.setattr(
        client, "submit", lambda *given, **named: sent.append(given) or submit(*given, **named)
    )
    reporting.report(LATENTS, LABELS, output=tmp_path / "there.html", dask=client)
    assert sent


def test_the_command_takes_a_scheduler(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("latents.npy", LATENTS)
    LABELS.to_csv("labels.csv", index=False)
    words = ["mi", "latents.npy", "labels.csv", "-o", "mi.csv", "--dask", client.scheduler.address]
    # A cluster that a command starts for itself is that of `encode`.
    monkeypatch.setattr(sys, "argv", ["latentscope", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    local = mi_matrix("latents.npy", "labels.csv").table
    assert (tmp_path / "mi.csv").read_text() == local.to_csv(index=False)
