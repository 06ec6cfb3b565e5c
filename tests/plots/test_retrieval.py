"""Pictures of matches, as latents and as spectra."""

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from latentscope import Latents, retrieve
from latentscope.errors import EstimatorError, LatentscopeWarning, SpectrumError
from latentscope.plots.retrieval import (
    plot_answers,
    plot_matched_spectra,
    plot_retrieval,
    spectra_found,
)


def write_spectrum(path, depth, first=5140.0, medium="air"):
    """An S1D image with one line at 5175 Angstrom."""
    wavelength = first + 0.05 * np.arange(1500)
    flux = 900 * (1 - depth * np.exp(-0.5 * ((wavelength - 5175) / 0.3) ** 2))
    hdu = fits.PrimaryHDU(flux.astype("f4"))
    hdu.header.update(
        CRVAL1=first, CDELT1=0.05, CRPIX1=1.0, CTYPE1="AWAV" if medium == "air" else "WAVE",
        CUNIT1="Angstrom",
    )  # fmt: skip
    hdu.writeto(path)


@pytest.fixture
def latents(tmp_path):
    """Five rows, 0 to 4 from the first, with files, of which that of row 3 is not there."""
    values = np.column_stack([np.arange(5.0), np.zeros(5), 0.1 * np.arange(5.0)])
    for row in (0, 1, 2, 4):
        write_spectrum(tmp_path / f"{row}.fits", 0.1 + 0.2 * row)
    table = pd.DataFrame(
        {"id": list("abcde"), "object": list("vwxyz"), "file": [f"{row}.fits" for row in range(5)]}
    )
    return Latents(values, table, source=str(tmp_path / "latents.npy"))


def found(latents, query=0, k=3):
    return retrieve(query, latents, n_matches=k, dims=[0, 2], spread="none")


def names(ax):
    return [text.get_text() for text in ax.texts]


def test_a_query_and_its_matches_as_latents(latents):
    ax = plot_retrieval(found(latents))
    *matches, _, query = ax.lines
    assert query.get_ydata() == pytest.approx([-2, -0.2])
    # The nearest is drawn last, and darkest.
    assert [line.get_ydata()[0] for line in matches] == pytest.approx([1, 0, -1])
    assert matches[-1].get_alpha() > matches[0].get_alpha()
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "2"]
    assert ax.get_title(loc="left").startswith("a: distance 1 to 3.01")


def test_many_dimensions_are_not_all_named():
    values = np.random.default_rng(0).normal(size=(50, 100))
    ax = plot_retrieval(retrieve(0, values, n_matches=2))
    assert len(ax.get_xticks()) == 20


def test_spectra_are_read_from_the_folder_of_the_latents(latents):
    with pytest.warns(LatentscopeWarning, match=r"lacks 1 of 3 matches: 3.fits: no such file"):
        shown = spectra_found(found(latents))
    assert [name for name, _ in shown] == ["query", "1. w, 1", "2. x, 2.01"]
    ax = plot_matched_spectra(found(latents, k=2))
    assert names(ax) == ["query", "1. w, 1", "2. x, 2.01"]
    assert ax.get_xlim() == (5160, 5190)
    # The query, and then behind each match the query again.
    query, behind, match, *_ = ax.lines
    assert query.get_ydata().max() == pytest.approx(1, abs=1e-3)
    assert query.get_ydata().min() == pytest.approx(0.9, abs=1e-3)
    step = (query.get_ydata() - behind.get_ydata())[0]
    assert match.get_ydata().min() + step == pytest.approx(0.7, abs=1e-3)
    assert ax.get_xlabel() == "wavelength in air (Å)"


def test_the_window_can_be_chosen_and_fits_other_spectra(latents, tmp_path):
    ax = plot_matched_spectra(found(latents, k=1), window=(5170, 5180))
    assert ax.get_xlim() == (5170, 5180)
    assert len(ax.lines[0].get_xdata()) == 200
    write_spectrum(tmp_path / "red.fits", 0.5, first=8000.0)
    latents.table.loc[0, "file"] = str(tmp_path / "red.fits")
    ax = plot_matched_spectra(found(latents, k=1))
    assert ax.get_xlim() == pytest.approx((8000, 8074.95))
    with pytest.raises(SpectrumError, match="a: has no flux from 5160 to 5190"):
        plot_matched_spectra(found(latents, k=1), window=(5160, 5190))


def test_spectra_in_vacuum_are_brought_to_the_air_of_the_query(latents, tmp_path):
    (tmp_path / "1.fits").unlink()
    write_spectrum(tmp_path / "1.fits", 0.5, medium="vacuum")
    (_, query), (_, match) = spectra_found(found(latents, k=1))
    assert query.medium == match.medium == "air"
    assert match.wavelength[0] == pytest.approx(5140 - 1.43, abs=0.01)


def test_without_files_there_are_no_spectra(latents):
    lost = found(Latents(latents.values, latents.table.drop(columns="file")))
    assert spectra_found(lost) == []
    with pytest.raises(SpectrumError, match="are not found"):
        plot_matched_spectra(lost)
    assert plot_answers(lost).get_xlabel() == "latent dimension"


def test_a_broken_file_costs_its_own_line_alone(latents, tmp_path):
    (tmp_path / "1.fits").write_bytes(b"garbage")
    with pytest.warns(LatentscopeWarning, match=r"1 of 2 matches.*1\.fits"):
        ax = plot_matched_spectra(found(latents, k=2))
    assert names(ax) == ["query", "2. x, 2.01"]


def test_answers_are_drawn_one_above_the_other_each_as_it_can(latents):
    figure = plot_answers(found(latents, query=[0, 3], k=1)).get_figure()
    labels = [ax.get_xlabel() for ax in figure.axes]
    assert labels == ["wavelength in air (Å)", "latent dimension"]


def test_of_many_answers_the_first_four_are_drawn_and_failures_are_not():
    values = np.random.default_rng(1).normal(size=(9, 2))
    values[0] = np.nan
    with pytest.warns(LatentscopeWarning, match="first 4 of 5 queries"):
        ax = plot_answers(retrieve([0, 1, 2, 3, 4, 5], values, n_matches=1))
    titles = [axes.get_title(loc="left") for axes in ax.get_figure().axes]
    assert [title.split(":")[0] for title in titles] == ["row 1", "row 2", "row 3", "row 4"]
    with pytest.raises(EstimatorError, match="row 0: no matches to draw, its latents are NaN"):
        plot_retrieval(retrieve([0, 1], values, n_matches=1), query=0)
