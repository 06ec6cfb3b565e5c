import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.settings import Schedule, Stage

fractions = st.floats(0, 1)


def test_schedules_have_their_closed_forms():
    bent = Schedule(6.0, 0.0, until=0.5, power=1.3)
    assert bent.at(0.0) == 6.0
    assert bent.at(0.25) == pytest.approx(6.0 * 0.5**1.3)
    assert bent.at(0.5) == bent.at(1.0) == 0.0
    geometric = Schedule(0.01, 1.0, hold=0.2, until=0.6, curve="geometric")
    assert geometric.at(0.1) == pytest.approx(0.01)
    assert geometric.at(0.4) == pytest.approx(0.1)
    assert geometric.at(0.9) == pytest.approx(1.0)
    assert Schedule(0.3).at(0.7) == 0.3


def test_the_cyclic_schedule_of_the_paper():
    """tau = mod(t, T / M) / (T / M); beta = tau / R up to R, then 1; M = 4, R = 0.5, T = 80."""
    beta = Schedule(0.0, 1.0, curve="cyclic")
    for t in range(80):
        tau = t % 20 / 20
        assert beta.at(t / 80) == pytest.approx(min(tau / 0.5, 1.0), abs=1e-9)
    assert beta.at(1.0) == 1.0


@given(fractions, st.integers(1, 9), st.floats(0.01, 1), st.floats(0, 0.9), st.floats(0, 5))
def test_a_cyclic_schedule_stays_between_its_ends(fraction, cycles, rise, hold, start):
    value = Schedule(start, 2.0, hold, 0.95, "cyclic", cycles=cycles, rise=rise)
    assert min(start, 2.0) - 1e-9 <= value.at(fraction) <= max(start, 2.0) + 1e-9
    if fraction <= hold:
        assert value.at(fraction) == start
    assert value.at(1.0) == 2.0


@given(fractions, st.sampled_from(["linear", "geometric", "cyclic"]), st.floats(0.1, 1))
def test_a_settled_schedule_changes_no_more(fraction, curve, until):
    for schedule in (Schedule(3.0, 1.0, 0.1, until, curve), Schedule(2.0)):
        if fraction > schedule.settled:
            assert schedule.at(fraction) == pytest.approx(schedule.last)


def test_a_stage_settles_when_its_loss_does():
    rate = Schedule(1e-3, 1e-5)
    assert Stage(10, Schedule(1.0), learning_rate=rate).settled == 0.0
    assert Stage(10, Schedule(1.0), blur=Schedule(6.0, 0.0, until=0.45)).settled == 0.45
    assert Stage(10, Schedule(1.0, 2.0), decorrelation=Schedule(0.0, 1.0)).settled == 1.0


def test_a_stage_uses_what_is_anywhere_above_zero():
    stage = Stage(10, Schedule(0.0, 1.0), total_correlation=Schedule(1.0, 0.0))
    assert stage.uses("beta")
    assert stage.uses("total_correlation")
    assert not stage.uses("decorrelation")
