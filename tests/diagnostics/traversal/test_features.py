import csv
from importlib.resources import files

import pytest

from latentscope.diagnostics.traversal.lines import (
    SHAPES,
    element_order,
    line,
    lines_from,
    stellar_features,
)
from latentscope.errors import EstimatorError
from latentscope.simulation.elements import SYMBOLS


def test_the_list_is_ascending_and_names_each_line_once():
    features = stellar_features()
    wavelengths = [f.wavelength for f in features]
    assert wavelengths == sorted(wavelengths)
    names = [f.name for f in features]
    assert len(set(names)) == len(names) > 150
    assert {"H-alpha", "Ca II K", "Fe I 5269.5", "TiO 6158", "O2 6867", "CH G band"} <= set(names)


def test_windows_are_in_order_and_do_not_overlap():
    for f in stellar_features():
        assert f.inside[0] <= f.core[0] < f.core[1] <= f.inside[1]
        for first, last in f.sides:
            assert first < last
            assert last < f.inside[0] or first > f.inside[1]


def test_balmer_lines_belong_to_hydrogen_and_h_and_k_to_calcium():
    of = {f.name: f for f in stellar_features()}
    assert of["H-beta"].element == "H"
    assert of["Ca II H"].element == "Ca II"
    assert of["O2 6867"].telluric
    assert not of["TiO 6158"].telluric


def test_wavelengths_are_those_of_the_simulation():
    text = files("latentscope.simulation").joinpath("strong_lines.csv").read_text("utf-8")
    rows = csv.DictReader(row for row in text.splitlines() if not row.startswith("#"))
    known = [(int(row["Z"]), int(row["ion"]), float(row["wavelength_air_A"])) for row in rows]
    compared = 0
    for f in stellar_features():
        if f.kind not in SHAPES or f.element == "H":
            continue
        symbol, stage = f.element.split()
        same = [w for z, ion, w in known if (z, ion) == (SYMBOLS[symbol], len(stage) - 1)]
        nearest = min(same, key=lambda w: abs(w - f.wavelength), default=None)
        if nearest is not None and symbol not in ("Ba", "Sr"):
            compared += 1
            assert f.wavelength == pytest.approx(nearest, abs=0.08), f.name
    assert compared > 140


def test_lines_are_named_by_element_and_wavelength():
    first, second = lines_from([("Fe I", 5269.537), ("Mg I", 5183.604)])
    assert (first.name, first.kind, second.element) == ("Fe I 5269.5", "narrow", "Mg I")
    assert first.core[1] - first.core[0] == pytest.approx(12 / 299792.458 * 5269.537)


def test_kinds_and_wavelengths_are_checked():
    with pytest.raises(EstimatorError, match="'wide'; wanted one of narrow"):
        line("Fe I", 5000.0, "wide")
    with pytest.raises(EstimatorError, match="wavelength is -1"):
        line("Fe I", -1.0)


def test_elements_go_from_light_to_heavy_and_the_air_comes_last():
    names = ["TiO", "Fe II", "O2", "H", "Fe I", "Ba II", "CH"]
    assert sorted(names, key=element_order) == ["H", "Fe I", "Fe II", "Ba II", "CH", "TiO", "O2"]
