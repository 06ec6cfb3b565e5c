"""Text as spectrographs and synthesis codes write it; flux = wavelength."""

import numpy as np
import pytest

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum

N = 300
WAVELENGTH = 5000.0 + 0.05 * np.arange(N)
ONE, HALF = np.ones(N), np.full(N, 0.5)


def rows(*columns, mark=" ", form="%.4f"):
    return "\n".join(mark.join(form % value for value in row) for row in zip(*columns, strict=True))


def fortran(value):
    return f"{value:16.8E}".replace("E", "D")


def check(spectrum, flux=WAVELENGTH, rtol=1e-7):
    np.testing.assert_allclose(spectrum.wavelength, WAVELENGTH, rtol=1e-7)
    np.testing.assert_allclose(spectrum.flux, flux, rtol=rtol)


def esprit(*columns, names=""):
    head = f"***Reduced spectrum of 'HD 1'\n {N} {len(columns) - 1}\n{names}"
    return (head + rows(*columns, form="%.6f")).encode()


@pytest.mark.parametrize("names", ["", " wavelength I V N1 N2 sigma\n"])
def test_libre_esprit(names):
    nm = WAVELENGTH / 10
    for data in (
        esprit(nm, WAVELENGTH, HALF),
        esprit(nm, WAVELENGTH, ONE, -ONE, ONE, HALF, names=names),
    ):
        spectrum = read_spectrum(data)
        check(spectrum)
        np.testing.assert_array_equal(spectrum.ivar, 4.0)
        assert spectrum.meta["format"] == "libre-esprit"


def test_overlapping_orders_of_libre_esprit_are_joined():
    later = WAVELENGTH + 14.0
    wavelength = np.r_[WAVELENGTH, later]
    data = rows(wavelength / 10, wavelength, np.full(2 * N, 0.5), form="%.6f")
    head = f"***Reduced spectrum of 'HD 1'\n {2 * N} 2\n"
    spectrum = read_spectrum((head + data).encode())
    whole = np.unique(np.round(wavelength, 4))
    np.testing.assert_allclose(spectrum.wavelength, whole, rtol=1e-9)
    np.testing.assert_allclose(spectrum.flux, whole, rtol=1e-9)
    both = np.isin(whole, np.round(later, 4)) & (whole <= WAVELENGTH[-1])
    np.testing.assert_allclose(spectrum.ivar, np.where(both, 8.0, 4.0))


def test_libre_esprit_of_something_else_is_refused():
    velocity = np.linspace(-100.0, 100.0, N)
    with pytest.raises(SpectrumError, match="a profile over velocity"):
        read_spectrum(esprit(velocity, ONE, HALF, ONE, HALF, ONE, HALF))
    star_and_sky = esprit(WAVELENGTH / 10, ONE, WAVELENGTH, ONE, HALF, HALF, HALF)
    with pytest.raises(SpectrumError, match="6 columns beside the first"):
        read_spectrum(star_and_sky)
    check(read_spectrum(star_and_sky, key="wave=1,flux=3"))


@pytest.mark.parametrize(
    "head",
    [
        "smoothed synthesis of a model\n",
        f"{N}\n",
        f"{N} 2\n",
        f"{N} 0.05\n5777 4.44\n",
        "5000.0 5015.0 0.05\n",
        "MODEL sun\n 1 1 1 1\n 5000.0 5014.95 0.05 1.0\n",
        "the number of synthesis points = 300\nstart = 5000.000     stop = 5014.950\n",
        "# Teff 5777.0\n",
        "! wavelength flux\n",
    ],
)
def test_titles_and_headers_of_numbers(head):
    spectrum = read_spectrum((head + rows(WAVELENGTH, WAVELENGTH)).encode())
    check(spectrum)
    assert len(spectrum) == N


def test_first_pixels_are_no_header():
    for wavelength in (
        np.r_[4000.0, 4000.05, WAVELENGTH],  # a gap after two pixels
        np.r_[0.0, 0.0, WAVELENGTH],  # padding
    ):
        spectrum = read_spectrum(rows(wavelength, wavelength).encode())
        real = wavelength[wavelength > 0]
        np.testing.assert_allclose(spectrum.wavelength, real, rtol=1e-7)


def test_columns_of_syntheses():
    turbospectrum = rows(WAVELENGTH, WAVELENGTH / 5100, WAVELENGTH * 1e6)
    check(read_spectrum(turbospectrum.encode()), WAVELENGTH / 5100, rtol=1e-3)
    synthe = rows(WAVELENGTH / 10, WAVELENGTH, WAVELENGTH * 1.2, ONE / 1.2, form="%.6f")
    check(read_spectrum(synthe.encode()))
    frequency = 2.99792458e18 / WAVELENGTH
    atlas = rows(
        np.arange(1, N + 1),
        WAVELENGTH / 10,
        frequency,
        WAVELENGTH,
        WAVELENGTH * 1.2,
        ONE,
        form="%.8e",
    )
    for head in ("TEFF   5777.  GRAVITY 4.43770 LTE\nTITLE  [0.0] VTURB=2\n", ""):
        check(read_spectrum((head + atlas).encode()))
    for data in (turbospectrum, synthe, atlas):
        spectrum = read_spectrum(data.encode())
        assert spectrum.ivar is None
        assert "not read" in "; ".join(spectrum.meta["assumed"])


def test_phoenix_writes_logarithms():
    log = np.log10(WAVELENGTH) + 8.0
    body = log + 0.3
    lines = [
        "".join(fortran(value) for value in row) for row in zip(WAVELENGTH, log, body, strict=True)
    ]
    for order in (range(N), [*range(100, N), *range(100)]):
        spectrum = read_spectrum("\n".join(lines[at] for at in order).encode())
        check(spectrum, rtol=1e-6)
        assert spectrum.medium == "vacuum"
        assert any("10 to the power" in note for note in spectrum.meta["assumed"])
    # Others write these exponents too.
    normalized = [
        "".join(fortran(value) for value in row)
        for row in zip(WAVELENGTH, ONE, ONE / 9, strict=True)
    ]
    check(read_spectrum("\n".join(normalized).encode()), ONE)


def test_columns_of_fortran_without_a_blank_between():
    joined = [f"{w:.8E}{-w:.8E}".replace("E", "D") for w in WAVELENGTH]
    check(read_spectrum("\n".join(joined).encode()), -WAVELENGTH)


@pytest.mark.parametrize("mark", [";", "\t", "  "])
@pytest.mark.parametrize("head", ["", "Wellenlaenge{}Fluss\n"])
def test_decimal_commas(mark, head):
    text = head.format(mark) + rows(WAVELENGTH, WAVELENGTH, mark=mark).replace(".", ",")
    spectrum = read_spectrum(text.encode())
    check(spectrum)
    assert any("decimal commas" in note for note in spectrum.meta["assumed"])


@pytest.mark.parametrize("mark", [",", ", ", " ,", ";", ",\t"])
def test_commas_between_columns_are_no_decimal_commas(mark):
    whole = np.arange(5000, 5000 + N)
    spectrum = read_spectrum(rows(whole, whole, mark=mark, form="%d").encode())
    np.testing.assert_array_equal(spectrum.wavelength, whole)
    np.testing.assert_array_equal(spectrum.flux, whole)


def test_ispec():
    nm = WAVELENGTH / 10
    text = "waveobs\tflux\terr\n" + rows(nm, WAVELENGTH, HALF, mark="\t", form="%.9f")
    spectrum = read_spectrum(text.encode())
    check(spectrum)
    np.testing.assert_array_equal(spectrum.ivar, 4.0)


def test_nist_lines_are_no_spectrum():
    text = "obs_wl_air(nm),intens,Aki,fik,Acc\n" + rows(WAVELENGTH, *[ONE] * 4, mark=",")
    with pytest.raises(SpectrumError, match="looks like a line list"):
        read_spectrum(text.encode())


@pytest.mark.parametrize(
    ("head", "mark"),
    [
        ("wavelength,flux,error\nnm,erg,erg\n", ","),
        ("wavelength flux error\n(nm) (adu) (adu)\n", " "),
        ("# wavelength flux error\n# nm - -\n", " "),
        ("#RESOURCE=x\n#Title\nlambda\tFlux\te_Flux\nnm\tmW\tmW\n------\t-----\t-----\n", "\t"),
        ("wavelength,flux,error\n---,---,---\n", ","),
    ],
)
def test_units_in_a_line_of_their_own(head, mark):
    text = head + rows(WAVELENGTH / 10, WAVELENGTH, HALF, mark=mark, form="%.6f")
    spectrum = read_spectrum(text.encode())
    check(spectrum)
    np.testing.assert_array_equal(spectrum.ivar, 4.0)
    assert any("unit" in note for note in spectrum.meta["assumed"]) == ("nm" not in head)


@pytest.mark.parametrize("head", ["a star\n", "m of it\n", "# nm\n", "wave flux\nodd (x)\n"])
def test_words_that_may_be_units_change_nothing(head):
    check(read_spectrum((head + rows(WAVELENGTH, WAVELENGTH)).encode()))


@pytest.mark.parametrize(
    ("comment", "facts"),
    [
        ("# vacuum wavelengths in Angstrom", {"medium": "vacuum"}),
        ("# wavelengths converted from vacuum to air", {"medium": "air"}),
        ("# airmass 1.2, vacuum 1e-6 mbar", {"medium": "air"}),
        ("# shifted to the rest frame", {"frame": "rest"}),
        ("# not corrected for barycentric motion", {"frame": "topocentric"}),
        ("# no correction of times to heliocentric was applied", {"frame": "barycentric"}),
        ("# SPECSYS = 'TOPO' / frame\n# BERV: 12.5 km/s", {"frame": "topocentric", "berv": 12.5}),
        ("# BERV [m/s] = 12500.0\n# frame: observed", {"frame": "topocentric", "berv": 12.5}),
        ("# BERV = 12500 m/s\n# medium: vacuum", {"medium": "vacuum", "berv": 12.5}),
        ("# BERV = 1.234e+01 km/s", {"berv": 12.34}),
        ("# BERV = -.5 km/s", {"berv": -0.5}),
        ("; HIERARCH ESO DRS BERV = -3.5 / km/s", {"frame": "barycentric", "berv": -3.5}),
    ],
)  # fmt: skip
def test_comments_of_text_say_what_headers_say(comment, facts):
    rows = "\n".join(f"{value:.2f} {value:.2f}" for value in 5000 + 0.05 * np.arange(100))
    spectrum = read_spectrum(f"{comment}\n# wavelength flux\n{rows}\n".encode())
    assert {name: getattr(spectrum, name) for name in facts} == facts


def test_text_of_windows_in_utf_16():
    rows = "\r\n".join(f"{value:.2f},{value:.2f}" for value in 5000 + 0.05 * np.arange(100))
    spectrum = read_spectrum(f"wavelength,flux\r\n{rows}\r\n".encode("utf-16"))
    np.testing.assert_array_equal(spectrum.flux, spectrum.wavelength)


@pytest.mark.parametrize("word", ["INDEF", "--", "nan", "NULL", "********", "-nan(ind)"])
@pytest.mark.parametrize("at", [0, 7])
def test_words_for_no_flux(word, at):
    text = rows(WAVELENGTH, WAVELENGTH, np.full(N, 10.0)).splitlines()
    text[at] = f"{text[at].split()[0]} {word} 10.0"
    for head in ([], ["wave flux err"]):
        spectrum = read_spectrum("\n".join([*head, *text]).encode())
        assert len(spectrum) == N
        assert np.flatnonzero(np.isnan(spectrum.flux)).tolist() == [at]


@pytest.mark.parametrize("line", ["None 5", "* 400", "-- --"])
def test_a_word_before_a_number_is_no_pixel(line):
    check(read_spectrum(f"{line}\n{rows(WAVELENGTH, WAVELENGTH)}".encode()))


def test_the_error_is_not_taken_for_a_flux_that_is_no_number():
    text = rows(WAVELENGTH, WAVELENGTH, np.full(N, 10.0)).splitlines()
    text[7] = text[7].replace(" ", " ?", 1)
    with pytest.raises(SpectrumError, match="number 2: not all values are numbers"):
        read_spectrum("\n".join(text).encode())


@pytest.mark.parametrize("edge", ["", "| "])
def test_columns_between_bars(edge):
    head = f"{edge}wave_nm | flux | err {edge[:1]}\n"
    numbers = (5000.0 + 0.1 * np.arange(100)).tolist()
    lines = [f"{edge}{w / 10:.4f} | {'' if w == 5000.0 else w} | 2 {edge[:1]}\n" for w in numbers]
    spectrum = read_spectrum((head + "".join(lines)).encode())
    np.testing.assert_allclose(spectrum.wavelength, numbers)
    np.testing.assert_allclose(spectrum.flux, [np.nan, *numbers[1:]])
    np.testing.assert_allclose(spectrum.ivar, 0.25)
