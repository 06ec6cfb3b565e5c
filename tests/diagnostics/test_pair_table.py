import gc
import warnings
import weakref

import numpy as np
import pandas as pd
import pytest

from latentscope.data import Latents
from latentscope.diagnostics.mi import api, table
from latentscope.diagnostics.mi.api import mi_matrix, pairwise_mi
from latentscope.diagnostics.mi.columns import read_column
from latentscope.diagnostics.mi.table import across, among, columns_kept


@pytest.fixture(scope="module")
def mixed():
    """Latents and labels of every kind, with gaps and ties, and stars that repeat."""
    rng = np.random.default_rng(0)
    n = 900
    latents = rng.normal(size=(n, 5)).astype(np.float32)
    latents[:20] = np.nan
    latents[:, 3] = np.round(latents[:, 3])
    labels = pd.DataFrame(
        {
            "strong": latents[:, 0] + 0.1 * rng.normal(size=n),
            "gaps": np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
            "ties": np.round(rng.normal(size=n), 1),
            "kind": rng.choice(["a", "b", "c"], n),
            "rare": rng.random(n) < 0.01,
        }
    )
    return latents, labels, np.arange(n) // 3


def with_threads(monkeypatch, number):
    monkeypatch.setattr(table, "threads_for", lambda _: number)


@pytest.mark.parametrize("grouped", [False, True])
def test_results_do_not_depend_on_the_number_of_threads(mixed, monkeypatch, grouped):
    latents, labels, star = mixed
    options = {"groups": star, "permutations": 29, "draws": 3} if grouped else {}
    tables, pairwise_tables = [], []
    for number in (1, 4):
        with_threads(monkeypatch, number)
        tables.append(mi_matrix(latents, labels, **options).table)
        pairwise_tables.append(pairwise_mi(latents, **options).table)
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    pd.testing.assert_frame_equal(*pairwise_tables, check_exact=True)


def test_a_large_pair_is_the_same_on_one_thread_and_on_many(monkeypatch):
    x = np.random.default_rng(1).normal(size=(30_000, 2))
    values = []
    for number in (1, 3):
        with_threads(monkeypatch, number)
        values.append(mi_matrix(x, x[:, :1] + 2 * x[:, 1:], estimator="copula").table)
    pd.testing.assert_frame_equal(*values, check_exact=True)


def test_results_do_not_depend_on_how_many_columns_are_kept(mixed, monkeypatch):
    latents, labels, _ = mixed
    whole, other = mi_matrix(latents, labels).table, pairwise_mi(latents).table
    monkeypatch.setattr(api, "columns_kept", lambda _: 2)
    told = []
    again = mi_matrix(latents, labels, progress=lambda *at: told.append(at)).table
    pd.testing.assert_frame_equal(again, whole, check_exact=True)
    pd.testing.assert_frame_equal(pairwise_mi(latents).table, other, check_exact=True)
    assert told == [(i, 25) for i in range(1, 26)]


def test_every_pair_once_with_few_columns_read_at_a_time():
    read = []

    def column(place):
        read.append(place)
        return read_column(f"c{place}", np.arange(5.0))

    found = [pair.places for pair in across(3, column, 5, column, 2)]
    assert sorted(found) == [(i, j) for i in range(5) for j in range(3)]
    assert len(read) == 5 + 3 * 3
    read.clear()
    found = [pair.places for pair in among(7, column, 3)]
    assert sorted(found) == [(i, j) for i in range(7) for j in range(i + 1, 7)]
    assert len(read) == 7 + 4


def test_columns_that_passed_by_are_freed_at_once():
    gc.disable()
    try:
        alive = []

        def column(place):
            made = read_column(f"c{place}", np.random.default_rng(place).random(50))
            alive.append(weakref.ref(made.order))
            return made

        for pair in among(6, column, 2):
            parts = pair.x.part(pair.x.valid), pair.y.part(pair.y.valid)
            assert len(parts[0].ranked) == len(parts[1].raw) == 50
            assert sum(reference() is not None for reference in alive) <= 5
    finally:
        gc.enable()


def test_the_columns_kept_fit_half_a_gigabyte():
    assert 4 < columns_kept(272_376) < 0.5e9 / (8 * 8 * 272_376)
    assert columns_kept(7_000) > 300
    assert columns_kept(10**9) == 4


def test_an_interrupt_stops_at_once(mixed, monkeypatch):
    latents, labels, _ = mixed
    with_threads(monkeypatch, 2)

    def interrupted(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mi_matrix(latents, labels, progress=interrupted)


def test_latents_on_disk_are_not_changed_or_copied(tmp_path):
    values = np.random.default_rng(2).normal(size=(200, 3)).astype(np.float32)
    values[7] = np.nan
    np.save(tmp_path / "z.npy", values)
    mapped = np.load(tmp_path / "z.npy", mmap_mode="r")
    labels = pd.DataFrame({"a": np.arange(200.0)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_disk = mi_matrix(Latents(mapped), labels).table
    pd.testing.assert_frame_equal(from_disk, mi_matrix(values, labels).table)
    whole = values.astype(np.float64)
    before = whole.copy()
    mi_matrix(whole, labels)
    np.testing.assert_array_equal(whole, before)
