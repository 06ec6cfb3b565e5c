import gzip

import numpy as np
import pytest

from latentscope.errors import SpectrumError
from latentscope.simulation.lines import builtin_linelist, read_linelist

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


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(SpectrumError, match=r"nowhere\.csv"):
        read_linelist(tmp_path / "nowhere.csv")


def test_the_builtin_list_is_seeded_and_ascending():
    first, again, other = builtin_linelist(), builtin_linelist(), builtin_linelist(seed=1)
    assert np.array_equal(first.wavelength, again.wavelength)
    assert not np.array_equal(first.wavelength, other.wavelength)
    assert np.all(np.diff(first.wavelength) >= 0)
    assert len(first) > 5000


def test_the_strong_lines_agree_with_a_published_list(shared_data):
    """Wavelength, level and strength written down here are those of the linemake lists."""
    ours = builtin_linelist(forest=0)
    theirs = read_linelist(shared_data / "harps_lines.csv.gz")
    found = []
    for i in range(len(ours)):
        same = (theirs.z == ours.z[i]) & (theirs.ion == ours.ion[i])
        near = same & (abs(theirs.wavelength - ours.wavelength[i]) < 0.02)
        near &= abs(theirs.excitation - ours.excitation[i]) < 0.05
        if near.any():
            found.append(theirs.loggf[near].max() - ours.loggf[i])
    assert len(found) > 0.85 * len(ours)
    assert abs(np.median(found)) < 0.05
    assert np.mean(np.abs(found) < 0.3) > 0.85
