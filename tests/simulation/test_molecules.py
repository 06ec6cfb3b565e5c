import numpy as np
import pytest

from latentscope.simulation.atmosphere import layer
from latentscope.simulation.molecules import ATOMS, MOLECULES, _free, molecular_columns
from latentscope.simulation.population import Star
from latentscope.simulation.synthesis import molecules_of

CODES = np.array(list(MOLECULES))


def columns(*stars):
    """Columns of each molecule, by its symbol."""
    names = [MOLECULES[code].symbol for code in CODES]
    return [dict(zip(names, molecules_of(star, CODES), strict=True)) for star in stars]


@pytest.mark.parametrize("bound", [0.0, 1e-3, 1.0, 1e4, 1e12])
@pytest.mark.parametrize(("a", "b"), [(2.7e-4, 4.9e-4), (4.9e-4, 2.7e-4), (1.0, 1e-7)])
def test_no_atom_is_lost(a, b, bound):
    x, y = _free(a, b, bound, False)
    assert x + bound * x * y == pytest.approx(a, rel=1e-6)
    assert y + bound * x * y == pytest.approx(b, rel=1e-6)
    assert min(x, y) > 0
    x, y = _free(a, a, bound, True)
    assert x == y
    assert x + 2 * bound * x**2 == pytest.approx(a, rel=1e-9)


def test_a_lone_pair_obeys_saha():
    """MgH where nothing is locked up: hydrogen density times a thermal volume times exp(D / kT)."""
    state = layer(6000.0, 4.4, 0.0)
    atoms = np.array([1.0, 0, 0, 0, 4e-5, 0])
    neutral = np.array([0.5, 0.1, 0.2, 0.1, 0.3, 0.03])
    masses = np.array([1.008, 12, 14, 16, 24.3, 47.9])
    ours = molecular_columns(state, atoms, neutral, masses, np.array([112]))[0]
    h, k, unit = 6.62607e-27, 1.380649e-16, 1.66054e-24
    t = state.temperature
    density = state.gas_pressure / (k * t * 1.085)
    mass = 1.008 * 24.3 / (1.008 + 24.3) * unit
    volume = (h**2 / (2 * np.pi * mass * k * t)) ** 1.5
    expected = 0.5 * 0.3 * 4e-5 * density * volume * np.exp(1.34 * 1.602177e-12 / (k * t))
    # H2 takes next to no hydrogen here.
    assert ours == pytest.approx(expected * MOLECULES[112].calibration, rel=2e-3)


def test_molecules_belong_to_cool_stars():
    m, k, g, f = columns(Star(3480, 4.9), Star(5000, 4.6), Star(5772), Star(6560, 4.2))
    assert m["TiO"] > 1e3 * k["TiO"]
    assert k["MgH"] > 10 * g["MgH"]
    for name in ("CH", "CN"):
        assert k[name] > g[name] > f[name]


def test_dwarfs_have_hydrides_and_giants_cyanogen():
    dwarf, giant = columns(Star(4500, 4.6), Star(4500, 1.5))
    assert dwarf["MgH"] > 10 * giant["MgH"]
    assert giant["CN"] / giant["MgH"] > 10 * dwarf["CN"] / dwarf["MgH"]


def test_metals_act_twice_where_both_atoms_are_metals():
    poor, usual = columns(Star(5200, 4.5, -1.0), Star(5200, 4.5, 0.0))
    for one, two in (("CN", "CH"), ("C2", "CH"), ("TiO", "MgH")):
        assert poor[one] / usual[one] < 0.3 * poor[two] / usual[two]


def test_hydrogen_is_no_metal():
    poor, usual = columns(Star(5200, 4.5, -2.0), Star(5200, 4.5, 0.0))
    assert poor["CH"] / usual["CH"] > 0.01  # as much carbon less, and a layer of higher pressure


def test_carbon_monoxide_locks_up_carbon():
    """At 3500 K the free carbon is what oxygen leaves, and more oxygen leaves less."""
    usual, rich = columns(Star(3500, 4.8), Star(3500, 4.8, alpha=0.3))
    assert rich["C2"] < 0.5 * usual["C2"]
    assert rich["TiO"] > 2 * usual["TiO"]
    assert ATOMS[:2] == (1, 6)
