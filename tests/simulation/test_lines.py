import gzip

import numpy as np
import pytest

from latentscope.errors import SpectrumError
from latentscope.simulation.lines import ELEMENTS, atomic_lines, molecular_lines, read_linelist

CSV = "wavelength_air_A,Z,ion,ep_eV,loggf\n5183.604,12,0,2.717,-0.17\n5018.440,26,1,2.891,-1.22\n"
MOOG = "a title line\n  5018.440  26.1  2.891  -1.22\n  5183.604  12.0  2.717  -0.17  0.0\n"
VALD = """ 5000.0, 5200.0, 2, 2, 1.2  Wavelength region, lines selected, lines processed, Vmicro
                                                 Damping parameters   Lande  Central
Spec Ion       WL_air(A)  Excit(eV) Vmic log gf*  Rad.  Stark  Waals factor  depth  Reference
'Fe 2',        5018.4400,  2.8910, 1.2, -1.220, 8.480,-6.530,-7.820,  1.900, 0.9, ' 1 ref'
'Mg 1',        5183.6040,  2.7170, 1.2, -0.170, 7.990,-5.750,-7.270,  1.250, 0.9, ' 1 ref'
"""


@pytest.mark.parametrize("text", [CSV, MOOG, VALD], ids=["csv", "moog", "vald"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_gives_the_same_lines(tmp_path, text, packed):
    path = tmp_path / "lines"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    lines = read_linelist(path)
    assert lines.wavelength.tolist() == [5018.440, 5183.604]
    assert lines.z.tolist() == [26, 12]
    assert lines.ion.tolist() == [1, 0]
    assert lines.excitation.tolist() == [2.891, 2.717]
    assert lines.loggf.tolist() == [-1.22, -0.17]


def test_vald_in_vacuum_and_wavenumbers_is_converted(tmp_path):
    path = tmp_path / "vald"
    text = VALD.replace("WL_air(A)", "WL_vac(A)").replace("Excit(eV)", "Excit(cm-1)")
    text = text.replace("5018.4400,  2.8910", "5019.8388, 23317.49")
    text = text.replace("5183.6040,  2.7170", "5185.0475, 21914.08")
    path.write_text(text)
    lines = read_linelist(path)
    assert np.allclose(lines.wavelength, [5018.440, 5183.604], atol=2e-3)
    assert np.allclose(lines.excitation, [2.891, 2.717], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no atomic line"),
        ("hello\nworld\n", "no atomic line"),
        ("wavelength_air_A,Z,ion,ep_eV,loggf\n5000,26,0,x,1\n", "row 2"),
        ("wavelength_air_A,Z,ion,loggf\n5000,26,0,1\n", "ep_eV"),
    ],
)
def test_a_bad_list_is_named(tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(SpectrumError, match=words) as caught:
        read_linelist(path)
    assert "bad.csv" in str(caught.value)


def test_comments_may_stand_before_the_columns(tmp_path):
    path = tmp_path / "lines.csv"
    path.write_text("# a source\n" + CSV)
    assert read_linelist(path).z.tolist() == [26, 12]


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(SpectrumError, match=r"nowhere\.csv"):
        read_linelist(tmp_path / "nowhere.csv")


def test_the_package_has_its_lines():
    atoms, molecules = atomic_lines(), molecular_lines()
    assert read_linelist() is atoms
    assert len(atoms) == 15994
    assert set(atoms.z) <= set(ELEMENTS) - {1}  # hydrogen has profiles of its own
    counts = dict(zip(*np.unique(molecules.z, return_counts=True), strict=True))
    assert counts == {106: 4500, 112: 3000, 606: 3000, 607: 4500, 822: 16000}
    for lines in (atoms, molecules):
        assert lines.wavelength.min() > 3765
        assert lines.wavelength.max() < 6930


def test_lines_that_everybody_knows_are_in_the_package():
    """NIST: Ca II K, Na D2, Mg b1, Fe I 6173, Mg II 4481."""
    atoms = atomic_lines()
    for wavelength, z, ion, excitation, loggf in (
        (3933.66, 20, 1, 0.0, 0.135), (5889.95, 11, 0, 0.0, 0.108),
        (5183.60, 12, 0, 2.717, -0.17), (6173.34, 26, 0, 2.223, -2.88),
        (4481.13, 12, 1, 8.864, 0.75),
    ):  # fmt: skip
        near = (abs(atoms.wavelength - wavelength) < 0.02) & (atoms.z == z) & (atoms.ion == ion)
        best = np.flatnonzero(near)[np.argmax(atoms.loggf[near])]
        assert atoms.excitation[best] == pytest.approx(excitation, abs=0.01)
        assert atoms.loggf[best] == pytest.approx(loggf, abs=0.05)


def test_the_package_holds_the_shared_lists(shared_data):
    def rows(lines):
        names = ("wavelength", "z", "ion", "excitation", "loggf")
        return set(zip(*(getattr(lines, name).tolist() for name in names), strict=True))

    ours, theirs = rows(atomic_lines()), rows(read_linelist(shared_data / "harps_lines.csv.gz"))
    assert theirs < ours
    # Strong lines of hot stars that the list lacks.
    assert sorted(row[0] for row in ours - theirs) == [4481.126, 4481.325, 6347.109, 6371.371]


def test_both_lists_are_joined_under_the_first_name():
    both = atomic_lines() + molecular_lines()
    assert len(both) == 46994
    assert both.name == atomic_lines().name
    assert both.z[15993] < 100 < both.z[15994]
