import numpy as np
import pytest

from latentscope.simulation.linelist import LineList, builtin_linelist
from latentscope.simulation.synthesis import Night, Star, Synthesizer
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.wavelength import Grid

GAPS = ((5303.64, 5338.04),)
PREPARATIONS = {
    "compact": PrepareConfig(
        Grid("log", 3785.0, 2.9391358e-05, 20480, gaps=GAPS), normalization="continuum"
    ),
    "published": PrepareConfig(
        Grid("linear", 3785.0, 0.01, 312501, pad_left=7589, pad_right=7590, gaps=GAPS),
        normalization="median-padded",
    ),
    "vacuum, beyond both ends": PrepareConfig(
        Grid("linear", 3700.0, 0.06, 55000, medium="vacuum", gaps=GAPS), resample="rebin"
    ),
    "coarse": PrepareConfig(
        Grid("log", 3800.0, 0.00115, 512, gaps=GAPS), normalization="continuum", nodes=8, window=5
    ),
    "narrow window, wide gap": PrepareConfig(
        Grid("linear", 3790.0, 0.05, 4000, gaps=((3780.0, 3795.0), (3850.0, 3870.0))),
        resample="linear", normalization="continuum", nodes=7, window=21, clip=(-0.5, 0.1),
    ),
}  # fmt: skip

STARS = {
    "cool dwarf": (Star(3150.0, 4.95, 0.1, 2.0, 22.4, 0.03, 77), Night(12.0, 1.1, 0.5)),
    "sun": (Star(5772.0), Night()),
    "giant": (Star(4300.0, 1.6, -0.2, 4.0, -85.3, 0.1, 5), Night(-28.0, 2.3, 2.0)),
    "hot fast rotator": (Star(9300.0, 4.0, 0.0, 115.0, -3.7), Night(3.0, 1.8, 1.4)),
    "metal-poor": (Star(5800.0, 3.7, -2.6, 3.0, 119.0, 0.4, 9), Night(0.0, 1.0, 3.0)),
}


def few_lines() -> LineList:
    """Every strong line, some of the weak ones, and lines beyond both ends of the grid."""
    whole = builtin_linelist()
    strong = builtin_linelist(forest=0)
    kept = np.isin(whole.wavelength, strong.wavelength)
    kept[::30] = True
    outside = ((3700.0, 3769.9, 6925.1, 7000.0), 26, 0, 0.1, 1.0)

    def some(values, extra):
        return np.concatenate([values[kept], np.broadcast_to(extra, 4)]).astype(values.dtype)

    names = ("wavelength", "z", "ion", "excitation", "loggf")
    columns = [
        some(getattr(whole, name), extra) for name, extra in zip(names, outside, strict=True)
    ]
    order = np.argsort(columns[0])
    return LineList("few", *(column[order] for column in columns))


@pytest.fixture(scope="session")
def synthesizer():
    """The numba simulator with a short line list: the oracle."""
    return Synthesizer(few_lines())


@pytest.fixture(scope="session")
def linelist(tmp_path_factory):
    """Path of a short line list."""
    lines = few_lines()
    path = tmp_path_factory.mktemp("lines") / "few.csv"
    rows = zip(lines.wavelength, lines.z, lines.ion, lines.excitation, lines.loggf, strict=True)
    text = "\n".join(",".join(str(value) for value in row) for row in rows)
    path.write_text(f"wavelength_air_A,Z,ion,ep_eV,loggf\n{text}\n")
    return str(path)
