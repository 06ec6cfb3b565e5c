import threading
import time
from itertools import pairwise

import numba
import pytest

from latentscope.workers import in_order, may_spread, spread, threads_for, together


@pytest.mark.parametrize("number", [1, 4])
def test_results_come_in_order_whatever_finishes_first(number):
    def slow_first(i):
        time.sleep(0.02 if i == 0 else 0)
        return i * i

    assert list(in_order(slow_first, range(50), number)) == [i * i for i in range(50)]


@pytest.mark.parametrize("number", [1, 3])
def test_few_items_are_taken_ahead(number):
    taken = []

    def items():
        for i in range(1000):
            taken.append(i)
            yield i

    results = in_order(lambda i: i, items(), number)
    assert next(results) == 0
    assert len(taken) <= 4 * number + 1
    results.close()
    assert len(taken) <= 4 * number + 1


def test_an_error_or_an_interrupt_drops_what_has_not_begun():
    begun = []

    def work(i):
        begun.append(i)
        if i == 5:
            raise KeyboardInterrupt
        time.sleep(0.001)
        return i

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        list(in_order(work, range(10_000), 2))
    assert len(begun) < 30
    assert threading.active_count() == before


def test_a_worker_starts_no_threads_of_its_own():
    assert may_spread()
    assert list(in_order(lambda _: may_spread(), range(6), 3)) == [False] * 6
    assert list(in_order(lambda _: may_spread(), range(6), 1)) == [True] * 6
    assert may_spread()


def test_few_tasks_leave_the_threads_to_the_kernel(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 4)
    assert [threads_for(tasks) for tasks in (1, 3, 4, 1000)] == [1, 1, 4, 4]
    assert numba.get_num_threads() == 4


@pytest.mark.parametrize("number", [1, 2, 5, 40])
def test_parts_cover_the_whole_once(number):
    parts = []
    spread(lambda first, end: parts.append((first, end)), 3, 20, number)
    parts.sort()
    assert parts[0][0] == 3
    assert parts[-1][1] == 20
    assert all(end == first for (_, end), (first, _) in pairwise(parts))
    assert len(parts) == min(number, 17)


def test_what_others_wait_for_may_spread_and_goes_one_at_a_time():
    inside, most = [], []

    def work(_):
        with together():
            inside.append(1)
            most.append(len(inside))
            spreads = may_spread()
            time.sleep(0.002)
            inside.pop()
        return spreads, may_spread()

    assert list(in_order(work, range(8), 4)) == [(True, False)] * 8
    assert max(most) == 1
