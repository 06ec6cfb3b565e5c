import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from train.settings import Schedule, read_config
from train.sweep.grid import read_sweep, runs_of, scaled, values_of
from train.sweep.run import CONFIGS


def config_of(values, path):
    path.write_text(yaml.safe_dump(values))
    return read_config(path)


def test_the_shipped_grid_is_the_papers(tmp_path):
    config = read_sweep(CONFIGS / "sweep.yaml")
    runs = runs_of(config)
    grid = [(run.latents, run.beta) for run in runs if run.kind == "grid"]
    wanted = [(d, b) for d in (8, 128) for b in (None, 0.03, 0.1, 0.3, 1.0)]
    assert sorted(grid, key=str) == sorted(wanted, key=str)
    assert {run.balance for run in runs} > {"one-per-star", "flat-in-Teff", "FGK-only"}
    assert len({run.name for run in runs}) == len(runs)


@pytest.mark.parametrize("name", ["sweep.yaml", "sweep-quick.yaml"])
def test_every_run_of_a_shipped_sweep_is_a_training_configuration(tmp_path, name):
    config = read_sweep(CONFIGS / name)
    for run in runs_of(config):
        trained = config_of(values_of(config, run, "a.zarr"), tmp_path / "run.yaml")
        assert trained.name == run.name
        assert trained.architecture.latents == run.latents
        assert trained.architecture.variational is (run.beta is not None)
        assert trained.stages[-1].beta.at(1.0) == pytest.approx(run.beta or 0.0)
        assert trained.seed == run.seed
        assert trained.data.archive.path == "a.zarr"
        # A deterministic network has no KL, so that closing dimensions by it would close them all.
        assert trained.close_below == 0.0


def test_runs_differ_in_nothing_but_what_their_name_says(small, written, tmp_path):
    config = read_sweep(written(small))
    values = {run.name: values_of(config, run, "a.zarr") for run in runs_of(config)}
    assert len(values) == 2 * 3 + 2
    first, second = values["d003-beta0.3"], values["d003-beta0.3-one-per-star"]
    assert second["data"]["archive"].pop("one_per_star") is True
    second["name"], second["description"] = first["name"], first["description"]
    assert first == second
    assert small == yaml.safe_load(yaml.safe_dump(small))
    assert config.base == small["base"]


@given(
    st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0, 0.5), st.floats(0.001, 100),
    st.sampled_from(["linear", "geometric"]), st.floats(0, 1),
)  # fmt: skip
def test_a_scaled_schedule_is_the_schedule_times_beta(start, end, hold, beta, curve, fraction):
    shares = {"start": start, "end": end, "hold": hold, "curve": curve}
    assert Schedule(**scaled(shares, beta)).at(fraction) == pytest.approx(
        beta * Schedule(**shares).at(fraction)
    )
    assert scaled(start, beta) == pytest.approx(start * beta)
    assert scaled(shares, 0.0) == 0.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gird": {}}, "gird"),
        ({"chosen": {"latents": 3}}, "beta"),
        ({"chosen": {"latents": 3, "beta": 0.5}}, "chosen: beta is 0.5"),
        ({"too_small": 7}, "too_small is 7"),
        ({"grid": {"latents": [2, 2], "beta": [0.3]}}, "different"),
        ({"grid": {"latents": [2], "beta": [-1.0]}}, r"grid\.beta\.0 is -1\.0"),
        ({"grid": {"latents": ["many"], "beta": [1.0]}}, "many"),
        ({"grid": [1, 2]}, r"grid is \[1, 2\]"),
        ({"test": {"stars": 9, "seed": 3}}, "expected two"),
        ({"base": {"stages": []}}, "architecture"),
        ({"seeds": 4}, "sweep.yaml"),
    ],
)
def test_a_wrong_sweep_is_named(small, written, change, words):
    path = written(small | change)
    with pytest.raises(ValueError, match=words) as caught:
        read_sweep(path)
    assert "sweep.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["words", "a: [unclosed", None])
def test_no_sweep_at_all(tmp_path, text):
    path = tmp_path / "no.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=r"no\.yaml"):
        read_sweep(path)
