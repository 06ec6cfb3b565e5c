import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscope.simulation.atmosphere import SUN, continuous_opacity, layer, saha

teffs = st.floats(3000, 9500)
gravities = st.floats(0.5, 5.0)
metals = st.floats(-2.7, 0.5)


@given(teffs, gravities, metals)
def test_charge_and_pressure_are_balanced(teff, logg, metallicity):
    state = layer(teff, logg, metallicity)
    assert 0 < state.electron_pressure < state.gas_pressure
    assert 0 <= state.neutral_hydrogen <= 1
    kappa = continuous_opacity(
        state.temperature, state.electron_pressure, state.neutral_hydrogen, 6000.0
    ) / (1.4 * 1.6726e-24)
    hydrostatic = min(2 / 3 * 10**logg / max(kappa, 1e-3), 3e6)
    assert state.gas_pressure == pytest.approx(hydrostatic, rel=1e-6)


def test_the_sun_is_like_the_sun():
    # Gray (2005), table of the solar model at optical depth 2/3: log Pg = 5.0, log Pe = 1.2.
    state = layer(*SUN)
    assert np.log10(state.gas_pressure) == pytest.approx(5.0, abs=0.2)
    assert np.log10(state.electron_pressure) == pytest.approx(1.2, abs=0.4)
    assert state.neutral_hydrogen > 0.999


def test_pressures_rise_with_gravity_and_ionisation_with_temperature():
    giant, dwarf = layer(5000, 2.0, 0.0), layer(5000, 4.5, 0.0)
    assert dwarf.gas_pressure > 10 * giant.gas_pressure
    hot, cool = layer(9000, 4.0, 0.0), layer(5000, 4.0, 0.0)
    assert hot.neutral_hydrogen < cool.neutral_hydrogen


def test_saha_is_half_ionised_where_the_closed_form_says():
    temperature, potential = 6000.0, 7.9
    pressure = 0.3333 * temperature**2.5 * 10 ** (-5040 / temperature * potential)
    assert saha(temperature, pressure, potential, 1.0) == pytest.approx(1.0)
    assert saha(temperature, 2 * pressure, potential, 1.0) == pytest.approx(0.5)
