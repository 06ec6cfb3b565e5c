import hashlib

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

import latentscope.simulation.simulate as simulation
from latentscope.errors import LatentscopeError, LatentscopeWarning
from latentscope.simulation.population import POPULATIONS, observe, spectral_type, star_of_each
from latentscope.simulation.simulate import simulate, write_archive
from latentscope.spectra.prepare import PrepareConfig, prepare
from latentscope.spectra.wavelength import Grid
from train.data.rows import simulated_rows

COLUMNS = ["id", "object", "radvel", "Teff", "logg", "[M/H]", "[alpha/M]", "[C/M]",
           "vsini", "vmacro", "berv", "airmass", "snr", "R", "spec_type"]  # fmt: skip
COMPACT = PrepareConfig(
    Grid("log", 3785.0, 2.9391358e-05, 20480, gaps=((5303.64, 5338.04),)), normalization="continuum"
)


def digest(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_files_whatever_the_workers(tmp_path, linelist, monkeypatch):
    monkeypatch.setattr(simulation, "_BLOCK", 2)
    options = {"layout": "s1d", "linelist": linelist}
    for name, workers in (("one", 1), ("two", 2)):
        write_archive(tmp_path / name, 4, seed=3, workers=workers, **options)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    write_archive(tmp_path / "other", 1, seed=4, workers=1, **options)
    first = "HARPS.2025-01-01T00:00:00.000_s1d_A.fits"
    assert digest(tmp_path / "other")[first] != digest(tmp_path / "one")[first]


def test_files_and_labels_agree(tmp_path):
    table = pd.read_csv(write_archive(tmp_path, 3, seed=1, layout="adp", workers=1))
    assert list(table.columns) == COLUMNS
    for name, row in zip(sorted(tmp_path.glob("ADP.*.fits")), table.itertuples(), strict=True):
        assert name.stem == row.id
        with fits.open(name) as hdus:
            assert hdus[0].header["OBJECT"] == row.object
            assert hdus[0].header["HIERARCH ESO DRS BERV"] == pytest.approx(row.berv, abs=1e-4)
            cells = hdus[1].data
            assert cells["WAVE"].shape == cells["FLUX"].shape == cells["ERR"].shape == (1, 313114)


def test_noise_has_the_stated_size():
    spectrum, labels = next(simulate(1, seed=8))
    flux = spectrum.flux.astype(float)
    # Second differences cancel what is smooth; between lines only the noise is left.
    rough = np.abs(flux[2:] - 2 * flux[1:-1] + flux[:-2]) / np.sqrt(6)
    level = np.median(flux[flux > 0])
    near = abs(flux[1:-1] / level - 1) < 0.2
    sigma = 1.4826 * np.median(rough[near])
    assert level / sigma == pytest.approx(labels["snr"], rel=0.15)
    assert (1 / np.sqrt(np.median(spectrum.ivar[1:-1][near]))) == pytest.approx(sigma, rel=0.15)


def test_the_gap_is_empty_and_moves_with_the_observer():
    for spectrum, labels in simulate(2, seed=5):
        empty = spectrum.wavelength[spectrum.flux == 0]
        assert empty[0] == pytest.approx(5304.2 * (1 + labels["berv"] / 299792.458), abs=0.02)
        assert empty[-1] - empty[0] == pytest.approx(33.2, abs=0.05)


def test_stars_repeat_with_the_same_truth():
    stars = star_of_each(400, 2, True)
    counts = np.bincount(stars)
    assert counts.max() > 2
    assert np.mean(counts[counts > 0] == 1) > 0.5
    assert np.array_equal(star_of_each(5, 2, False), np.arange(5))
    one, two = observe(10, 7, 2), observe(11, 7, 2)
    assert one.star == two.star
    assert one.night != two.night


def test_the_population_is_the_stated_one():
    stars = [observe(i, i, 0).star for i in range(2000)]
    rv = np.array([s.rv for s in stars])
    teff = np.array([s.teff for s in stars])
    assert abs(rv).max() <= 120
    assert np.mean(abs(rv) < 30) > 0.6
    assert teff.min() >= 3000
    assert teff.max() <= 9500
    assert 0.1 < np.mean(teff < 4000) < 0.3
    metallicity, alpha = (
        np.array([getattr(s, n) for s in stars]) for n in ("metallicity", "alpha")
    )
    poor = metallicity < -0.9
    assert -4 <= metallicity.min() < -3.5
    assert 0.12 < poor.mean() < 0.22
    carbon = np.array([s.carbon for s in stars])
    assert 0.1 < np.mean(carbon[metallicity < -1.5] > 0.3) < 0.3
    assert np.mean(carbon[metallicity > -1.5] > 0.5) == 0
    giants = np.array([s.logg < 2 for s in stars])
    assert teff[giants].min() < 3700
    assert alpha[poor].mean() > alpha[~poor].mean() + 0.2
    vmacro = np.array([s.macroturbulence for s in stars])
    assert np.median(vmacro[abs(teff - 5772) < 200]) == pytest.approx(1.6, abs=0.3)
    assert abs(np.corrcoef(teff[teff > 4000], metallicity[teff > 4000])[0, 1]) < 0.1
    assert len({s.pattern for s in stars}) == 2000
    assert spectral_type(5772, 4.44) == "G V"
    assert spectral_type(3300, 4.9) == "M V"
    assert spectral_type(4500, 2.0) == "K III"


def test_a_wide_population_has_other_instruments():
    wide = [observe(i, i, 0, POPULATIONS["wide"]) for i in range(800)]
    usual = [observe(i, i, 0) for i in range(800)]
    assert [o.star for o in wide] == [o.star for o in usual]
    resolution = np.array([o.night.resolution for o in wide])
    assert 40_000 <= resolution.min() < 42_000
    assert 180_000 < resolution.max() <= 190_000
    assert np.allclose([o.night.resolution for o in usual], 115_000.0)
    snr = np.array([o.snr for o in wide])
    assert 300 < snr.max() <= 500
    # Ripples: what is left of a response after a smooth curve.
    smooth = np.polynomial.Legendre.fit
    x = np.linspace(-1, 1, 513)

    def rough(o):
        log = np.log(o.response)
        return float(np.std(log - smooth(x, log, 12)(x)))

    assert max(map(rough, usual)) < 1e-3
    assert 0.2 < np.mean([rough(o) > 2e-3 for o in wide]) < 0.45


def test_rows_for_training_are_the_rows_of_the_files():
    """The short way (noise on the synthesis grid) and the long way (file, then prepare) agree."""
    rows, labels = simulated_rows(COMPACT, 0, 2, n=2, seed=6)
    long_way = simulate(2, seed=6, repeats=False)
    for row, truth, (spectrum, other) in zip(rows, labels, long_way, strict=True):
        assert truth == other
        direct = prepare(spectrum, COMPACT).row
        pixels = slice(0, 20480)
        difference = row[pixels].astype(float) - direct[pixels]
        per_pixel = np.sqrt(2) / (truth["snr"] * np.sqrt(12))  # noise of both, 12 pixels in one
        assert np.median(abs(difference)) < 2.5 * per_pixel
        assert np.allclose(row[20480:], direct[20480:], atol=0.05)


def test_a_longer_archive_begins_with_the_shorter_one():
    assert np.array_equal(star_of_each(20, 3, True), star_of_each(40, 3, True)[:20])


def test_old_labels_never_lie_beside_new_spectra(tmp_path, monkeypatch):
    write_archive(tmp_path, 3, seed=0, layout="s1d", workers=1)
    with pytest.warns(LatentscopeWarning, match="1 other FITS files"):
        write_archive(tmp_path, 2, seed=0, layout="s1d", workers=1)

    def breaks(job):
        raise KeyboardInterrupt

    monkeypatch.setattr("latentscope.simulation.simulate._write_block", breaks)
    with pytest.raises(KeyboardInterrupt), pytest.warns(LatentscopeWarning):
        write_archive(tmp_path, 2, seed=1, layout="s1d", workers=1)
    assert not (tmp_path / "labels.csv").exists()


@pytest.mark.parametrize(("n", "layout"), [(0, "s1d"), (2, "e2ds")])
def test_bad_arguments_are_named(tmp_path, n, layout):
    with pytest.raises(LatentscopeError, match="expected"):
        write_archive(tmp_path, n, layout=layout)


def test_labels_of_the_user_are_never_replaced(tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("id,mine\na,1\n")
    with pytest.raises(LatentscopeError, match=r"labels\.csv is there, which simulate did not"):
        write_archive(tmp_path, 1, layout="s1d", workers=1)
    assert labels.read_text() == "id,mine\na,1\n"
    assert list(tmp_path.iterdir()) == [labels]
