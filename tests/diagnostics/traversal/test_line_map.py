"""Line maps of a decoder whose dimensions are known."""

import re

import numpy as np
import pytest

from latentscope.diagnostics.traversal.traverse import Base, measure_line_map, measure_traversal
from latentscope.errors import ChoiceError, EstimatorError
from tests.diagnostics.traversal.stars import RATE, Decoder, log_grid, star

WAVELENGTH = log_grid()
UNITS = np.array([0.5, 2.0, 1.0, 1.0])


def base():
    return Base(Decoder(WAVELENGTH), np.zeros(4), WAVELENGTH)


@pytest.fixture(scope="module")
def mapped():
    return measure_line_map(base(), [0, 1, 2, 3], UNITS)


def test_each_dimension_is_told_apart(mapped):
    dims = mapped.dims.set_index("dim")
    assert list(dims["verdict"]) == ["shift", "none", "none", "none"]
    assert dims.loc[0, "rv_kms_per_sigma"] == pytest.approx(RATE * 0.5, abs=0.05)
    assert dims.loc[0, "shift_explained"] > 0.98
    assert dims.loc[2, "slope_per_sigma"] == pytest.approx(0.5, abs=0.002)
    assert dims.loc[3, "rms_per_sigma"] == 0


def test_iron_heads_the_list_of_its_dimension(mapped):
    top = mapped.lines_of(1).head(20)
    assert set(top["element"]) <= {"Fe I"}
    assert list(top["rank"]) == list(range(1, 21))
    assert (top["depth_per_sigma"].diff().dropna() <= 1e-12).all()
    assert mapped.elements.loc[1].idxmax() == "Fe I"
    assert mapped.elements.loc[1, "Fe I"] == pytest.approx(0.09, abs=0.02)


def test_the_table_holds_every_line_of_every_dimension(mapped):
    sizes = mapped.table.groupby("dim").size()
    assert list(sizes.index) == [0, 1, 2, 3]
    assert sizes.nunique() == 1
    for dim in range(4):
        assert mapped.lines_of(dim)["line"].is_unique


def test_the_derivative_is_that_of_the_decoder(mapped):
    flux = star(WAVELENGTH)
    exact = 2.0 * (star(WAVELENGTH, iron=0.05) - flux) / flux  # linear in this dimension
    np.testing.assert_allclose(mapped.derivative[1], exact, atol=2e-4)
    assert not mapped.derivative[3].any()
    slope = 0.5 * np.log(WAVELENGTH / 5500)
    np.testing.assert_allclose(mapped.derivative[2], slope, atol=1e-3)


def test_it_agrees_with_a_traversal_by_the_same_steps(mapped):
    walked = measure_traversal(base(), 1, [-1.0, 0.0, 1.0], unit=2.0)
    one = mapped.lines_of(1).set_index("line")["depth_per_sigma"]
    two = walked.lines.set_index("line")["depth_per_sigma"]
    np.testing.assert_allclose(one[two.index], two, atol=1e-9)


def test_sentences_put_the_largest_change_first(mapped):
    words = mapped.sentences()
    assert len(words) == 4
    by_dim = {line.split(":")[0]: line for line in words}
    assert by_dim["dim 0"].startswith("dim 0: Doppler shift of +")
    assert "depth" not in by_dim["dim 0"]
    assert "Fe I depth +" in by_dim["dim 1"]
    # The star covers neither box of the color.
    assert re.match(r"dim 2: continuum redder, slope \+0\.(49|50)", by_dim["dim 2"])
    assert by_dim["dim 3"] == words[-1] == "dim 3: changes nothing that is measured here"


def test_dims_can_be_chosen_and_progress_is_told():
    messages = []
    result = measure_line_map(base(), [3, 1], UNITS, progress=lambda *done: messages.append(done))
    assert list(result.dims["dim"]) == [3, 1]
    assert messages == [(1, 2), (2, 2)]
    with pytest.raises(ChoiceError, match="dim 0 is not in this line map; it holds 3, 1"):
        result.lines_of(0)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"dims": [7]}, ChoiceError, "dim is 7"),
        ({"dims": []}, ChoiceError, "at least one of 0 to 3"),
        ({"units": np.ones(3)}, EstimatorError, "units"),
        ({"units": np.zeros(4)}, EstimatorError, "leave out dimensions that do not vary"),
        ({"step": 0.0}, EstimatorError, "step is 0.0"),
    ],
)
def test_what_cannot_be_used_is_said(change, kind, message):
    given = {"dims": [0], "units": UNITS} | change
    with pytest.raises(kind, match=message):
        measure_line_map(base(), **given)
