"""What a notebook does with latents and results."""

import doctest
import importlib
import json
import pkgutil
import warnings

import numpy as np
import pandas as pd
import pytest

import latentscope
from latentscope import Latents, mi_matrix, mutual_information, read_latents
from latentscope.diagnostics.study import read_study
from latentscope.errors import ChoiceError
from latentscope.plots import plot_pairs


@pytest.fixture(scope="module")
def stars():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(600, 4))
    labels = pd.DataFrame(
        {"Teff": 5500 + 500 * values[:, 1], "logg": values[:, 2] + rng.normal(size=600)}
    )
    return Latents(values, pd.DataFrame({"snr": np.arange(600.0)})), labels


def test_rows_and_frames_of_latents(stars):
    latents, _ = stars
    assert latents.shape == (600, 4)
    bright = latents[latents.column("snr") > 500]
    assert bright.shape == (99, 4)
    assert bright.table["snr"].iloc[0] == 501
    np.testing.assert_array_equal(latents[10:20].values, latents.values[10:20])
    np.testing.assert_array_equal(latents[[5, 3]].values, latents.values[[5, 3]])
    assert latents[7].shape == (1, 4)
    frame = latents.to_frame()
    assert list(frame) == ["snr", "z0", "z1", "z2", "z3"]
    again = read_latents(frame)
    np.testing.assert_array_equal(again.values, latents.values)
    named = read_latents(pd.DataFrame({"e_0": [1.0, 3.0], "e_1": [2.0, 1.0]}, index=["a", "b"]))
    assert list(named.to_frame()) == ["index", "e_0", "e_1"]
    assert list(named.to_frame().index) == ["a", "b"]
    assert repr(latents) == "Latents of latents: 600 rows, 4 dimensions, columns snr"


def test_results_show_themselves_and_are_written(stars, tmp_path):
    latents, labels = stars
    result = mi_matrix(latents, labels, n_permutations=19)
    assert repr(result).startswith("MIResult: a table of 8 rows\ndim 1: Teff ")
    page = result._repr_html_()
    assert "<table" in page
    assert "dim 1: Teff" in page
    assert set(result["teff"]["label"]) == {"Teff"}
    assert result["mi_nats"].max() > 3
    with pytest.raises(ChoiceError, match=r"'mass'; there are label, .*Teff, logg"):
        result["mass"]
    result.to_csv(tmp_path / "mi.csv")
    assert len(pd.read_csv(tmp_path / "mi.csv")) == 8
    assert json.loads((tmp_path / "mi.json").read_text())["diagnostic"] == "mutual information"
    evil = mi_matrix(latents, labels.rename(columns={"Teff": "<script>"}), n_permutations=19)
    assert "<script>" not in evil._repr_html_()


def test_a_measure_by_its_name(stars):
    result = latentscope.metrics(*stars, dims="all", n_halves=0, n_rotations=1)
    assert set(result["mig"]["metric"]) == {"mig"}
    assert len(result["mig"]) > 2


def test_dims_and_columns_as_people_write_them(stars):
    latents, labels = stars
    one = mi_matrix(latents, labels, dims=1, columns="Teff", n_permutations=19)
    assert (one.dims, one.labels) == ([1], ["Teff"])
    assert mi_matrix(latents, labels, dims=slice(1, 3), n_permutations=19).dims == [1, 2]
    series = mi_matrix(latents, labels["logg"], dims=2, n_permutations=19)
    assert series.labels == ["logg"]


def test_seeds_and_generators(stars):
    latents, labels = stars

    def values(seed):
        rounded = labels.round({"Teff": -2})
        return mi_matrix(latents, rounded, numeric="Teff", seed=seed, n_permutations=1).matrix

    pd.testing.assert_frame_equal(
        values(np.random.default_rng(5)), values(np.random.default_rng(5))
    )
    first = int(np.random.default_rng(5).integers(2**32))
    pd.testing.assert_frame_equal(values(np.random.default_rng(5)), values(first))
    assert not values(3).equals(values(4))


@pytest.mark.parametrize("kind", ["numbers", "ties", "classes", "mixed", "columns"])
def test_information_is_symmetric_to_the_last_bit(kind):
    rng = np.random.default_rng(1)
    x, noise = rng.normal(size=(2, 500))
    y = x + noise
    if kind in ("ties", "classes", "mixed"):
        x = x.round(1) if kind == "ties" else x
        y = y.round(1) if kind == "ties" else np.where(y > 0, "a", "b")
        x = np.where(x > 0.3, "u", "v") if kind == "classes" else x
    if kind == "columns":
        x, y = np.stack([x, noise], axis=1), np.stack([y, x**2], axis=1)
    assert mutual_information(x, y) == mutual_information(y, x)


def test_tensors_of_torch(stars):
    torch = pytest.importorskip("torch")
    latents, labels = stars
    for dtype in (torch.float32, torch.bfloat16):
        tensor = torch.tensor(latents.values, dtype=dtype, requires_grad=True)
        read = read_latents(tensor)
        assert read.shape == (600, 4)
        np.testing.assert_allclose(read.values, latents.values, rtol=0.01, atol=1e-3)
    exact = torch.tensor(labels["Teff"].to_numpy(), requires_grad=True)
    assert mutual_information(tensor[:, 1], exact) > 1


def test_pairs_colored_by_a_column(stars):
    import matplotlib.pyplot as plt

    study = read_study(*stars)
    ax = plot_pairs(study, [0, 1], "Teff")
    figure = ax.get_figure(root=True)
    assert any(other.get_ylabel() == "effective temperature (K)" for other in figure.axes)
    plt.close(figure)
    with pytest.raises(ChoiceError, match="there are Teff, logg, snr"):
        plot_pairs(study, [0, 1], "mass")


def _modules():
    for module in pkgutil.walk_packages(latentscope.__path__, "latentscope."):
        if not module.name.endswith("__main__"):
            yield module.name


def test_every_public_function_has_an_example():
    lacking = [
        name
        for name in latentscope.__all__
        if callable(value := getattr(latentscope, name))
        and not (isinstance(value, type) and issubclass(value, Exception | Warning))
        and "Examples" not in (value.__doc__ or "")
    ]
    assert lacking == []


def test_examples_do_what_they_show(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner()
    for name in _modules():
        module = importlib.import_module(name)
        for test in finder.find(module, name):
            test.globs |= {"np": np, "pd": pd, "latentscope": latentscope}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
    assert runner.tries > 20


def test_the_tutorial_runs(repository, tmp_path, monkeypatch):
    """The code of docs/tutorial.ipynb, cell by cell, on fewer spectra."""
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    notebook = json.loads((repository / "docs" / "tutorial.ipynb").read_text("utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells[0].count("N = 200  #") == 1
    cells[0] = cells[0].replace("N = 200  #", "N = 40  #")
    scope = {}
    with warnings.catch_warnings():
        # Of 40 spectra, few of which are of hot stars.
        warnings.simplefilter("ignore")
        for cell in cells:
            exec(compile(cell, "tutorial.ipynb", "exec"), scope)
    plt.close("all")
    assert scope["temperature"] == 14
    assert scope["latents"].shape == (40, 16)


def test_generators_for_what_is_drawn():
    z = np.random.default_rng(0).normal(size=(3200, 2))

    def drawn(seed):
        truth = next(latentscope.simulate(1, seed=seed))[1]["Teff"]
        trust = latentscope.score(z, seed=seed).table["trust"]
        near = latentscope.Retriever(z, n_reference=50, seed=seed).query(3, n_matches=1)
        return [truth, *trust[:5], *near.table.select_dtypes("number").iloc[0]]

    for make in (np.random.default_rng, np.random.RandomState):
        assert drawn(make(5)) == drawn(make(5))
        assert drawn(make(5)) != drawn(make(6))
