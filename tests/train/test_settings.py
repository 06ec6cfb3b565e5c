"""Strict settings: what is read, what is refused, and what belongs to a recipe."""

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from latentscope.errors import LatentscopeError, ModelError
from latentscope.models.config import PUBLISHED_ARCHITECTURE, VAEConfig
from tests.train.conftest import TINY
from train.settings import (
    ArchiveConfig,
    DataConfig,
    DopplerConfig,
    MixtureConfig,
    OptimizerConfig,
    Schedule,
    Stage,
    StreamConfig,
    TrainConfig,
    TrainerConfig,
    continues,
    read_config,
)

FOLDER = Path(__file__).parents[2] / "train" / "configs"
CONFIGS = [p for p in sorted(FOLDER.glob("*.yaml")) if "stages" in yaml.safe_load(p.read_text())]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_shipped_configurations_make_small_or_published_networks(path):
    from latentscope.models.network import SpectrumVAE

    config = read_config(path)
    assert config.name == path.stem
    if path.stem == "harps-128d":
        assert config.architecture == PUBLISHED_ARCHITECTURE
        return
    model = SpectrumVAE(config.architecture, config.prepare)
    assert 4 * sum(p.numel() for p in model.parameters()) < 5e6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": []}, "stages"),
        ({"stages": [{"steps": 2, "beta": 1.0, "lambda": 2}]}, "lambda"),
        ({"stages": [{"steps": 2, "beta": {"start": 1.0, "curve": "cubic"}}]}, "cubic"),
        ({"stages": [{"steps": 2, "beta": {"start": 1.0, "hold": 2.0}}]}, "hold"),
        ({"data": {"stars": 5}}, "stars"),
        ({"data": None}, r"wrong\.yaml"),
        ({"stages": None}, r"wrong\.yaml"),
        ({"stages": [{"steps": "many", "beta": 1.0}]}, "steps"),
        ({"stages": [{"steps": 3, "beta": "much"}]}, "much"),
        ({"stages": [{"steps": 3, "beta": {"start": 0, "curve": "geometric"}}]}, "positive"),
        ({"optimizer": {"lr": 1}}, "optimizer.lr"),
        ({"data": {"batch_size": 6, "accumulate": 4}}, "multiple of accumulate, 4"),
        ({"stages": [{"steps": 0, "beta": 1.0}]}, r"stages\.0\.steps is 0"),
        ({"stages": [{"steps": 3, "beta": -1.0}]}, r"stages\.0\.beta\.start is -1\.0"),
        ({"stages": [{"steps": 3, "beta": True}]}, r"beta\.start: is True"),
        ({"stages": [{"steps": 3, "beta": {"start": 0, "cycles": 2}}]}, "cyclic"),
        ({"stages": [{"steps": 3, "beta": {"start": 0, "curve": "cyclic", "rise": 0}}]}, "rise"),
        ({"stages": [{"steps": 3, "beta": 1.0, "free_bits": -0.1}]}, "free_bits"),
        ({"loss": "huber"}, "huber.*ivar"),
        ({"logvar_range": [1, 2]}, "logvar_range"),
        ({"logvar_range": 3}, r"wrong\.yaml"),
        ({"clip_gradients": 0}, "clip_gradients"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"trainer": {"compile": ["on"]}}, "compile"),
        ({"ema_decay": "slow"}, r"wrong\.yaml.*slow"),
        ({"penalty_spectra": 1}, "penalty_spectra"),
        ({"penalty_spectra": 2.5}, "penalty_spectra is 2.5"),
        ({"collapse_grace": -5}, "collapse_grace"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path, change, words):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(TINY | change))
    with pytest.raises(LatentscopeError, match=words) as error:
        read_config(path)
    assert str(error.value).startswith(str(path))


def test_numbers_may_be_written_as_powers_of_ten(tmp_path):
    path = tmp_path / "right.yaml"
    path.write_text(yaml.safe_dump(TINY) + "clip_gradients: 1e-2\nema_decay: 999e-3\n")
    config = read_config(path)
    assert (config.clip_gradients, config.ema_decay) == (0.01, 0.999)


def test_keys_may_have_other_values_than_the_files(tiny):
    changes = ["stages.0.beta=0.3", "trainer.precision=bf16-mixed", "data.archive.path=a.zarr"]
    config = read_config(tiny, [*changes, "clip_gradients=1e-2"])
    assert (config.stages[0].beta, config.stages[1].beta) == (Schedule(0.3), Schedule(0.1))
    assert (config.trainer.precision, config.clip_gradients) == ("bf16-mixed", 0.01)
    assert config.data.archive == ArchiveConfig("a.zarr")
    for wrong in ("stages.2.beta=1", "seed", "name.x=1", "seed=[", "sed=1"):
        with pytest.raises(ModelError, match=wrong.partition("=")[0] + "|expected"):
            read_config(tiny, [wrong])


@pytest.mark.parametrize("text", ["just words", "a: [unclosed"])
def test_no_configuration_at_all(tmp_path, text):
    path = tmp_path / "no.yaml"
    path.write_text(text)
    with pytest.raises(LatentscopeError, match=r"no\.yaml"):
        read_config(path)


def test_a_recipe_of_earlier_days_is_still_this_configuration(tiny):
    config = read_config(tiny)
    assert continues(config, config.recipe)
    values = json.loads(config.recipe)
    for key in (
        "loss",
        "reduction",
        "logvar_range",
        "clip_gradients",
        "ema_decay",
        "penalty_spectra",
    ):
        del values[key]
    for stage in values["stages"]:
        for key in ("free_bits", "total_correlation", "decorrelation"):
            del stage[key]
        for schedule in ("beta", "blur", "continuum_weight", "learning_rate"):
            del stage[schedule]["cycles"], stage[schedule]["rise"]
    assert continues(config, json.dumps(values))
    assert not continues(dataclasses.replace(config, loss="l1"), json.dumps(values))
    longer = dataclasses.replace(config, stages=(*config.stages, Stage(5, Schedule(0.2))))
    assert continues(longer, json.dumps(values))  # a run may be extended, and not cut short
    assert not continues(config, longer.recipe)
    values["stages"][0]["beta"]["start"] = 0.4
    assert not continues(config, json.dumps(values))
    assert not continues(config, json.dumps(values | {"stages": []}))


def test_a_recipe_of_a_packed_archive_does_not_say_where_it_lies(tiny):
    config = read_config(tiny)
    archive = ArchiveConfig("here.zarr", bins=[1.0, 2.0], label="Teff", weights={0: 2.0})
    config = dataclasses.replace(config, data=DataConfig(archive=archive))
    moved = dataclasses.replace(archive, path="there.zarr")
    assert continues(dataclasses.replace(config, data=DataConfig(archive=moved)), config.recipe)
    other = dataclasses.replace(archive, weights={0: 3.0})
    assert not continues(dataclasses.replace(config, data=DataConfig(archive=other)), config.recipe)


@pytest.fixture
def read(tmp_path):
    """Function (**data): the configuration with these keys under `data`."""

    def read(**data):
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(TINY | {"data": data}))
        return read_config(path)

    return read


def test_parts_have_short_forms(read):
    assert read(archive="a.zarr").data == DataConfig(archive=ArchiveConfig("a.zarr"))
    assert read(stream=True, mixture=True, doppler=True).data == DataConfig(
        stream=StreamConfig(), mixture=MixtureConfig(), doppler=DopplerConfig()
    )
    assert read(stream=False, doppler=False).data == DataConfig()
    assert read(doppler={"spread": 10}).data.doppler.spread == 10.0
    assert read(stream={"ahead": 3}).data.stream == StreamConfig(ahead=3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"stream": {"behind": 1}}, "ahead, block, mean_rows"),
        ({"stream": {"ahead": -1}}, r"data\.stream\.ahead is -1"),
        ({"stream": {"block": 0}}, r"data\.stream\.block is 0"),
        ({"mixture": {"real": 0.5}}, "known are simulated"),
        ({"mixture": 0.5}, r"data\.mixture is 0\.5"),
        ({"doppler": {"spread": "wide"}}, "wide"),
    ],
)
def test_what_is_not_understood_is_said(read, data, words):
    with pytest.raises(LatentscopeError, match=words):
        read(**data)


def test_a_recipe_says_what_decides_the_outcome(read):
    plain = read().data.recipe
    assert not {"archive", "stream", "mixture", "doppler", "linelist", "workers"} & set(plain)
    assert read(linelist="b.csv", workers=3).data.recipe == plain
    assert read(archive="a.zarr").data.recipe == read(archive="elsewhere/a.zarr").data.recipe
    assert read(archive="a.zarr").data.recipe != plain
    stream = read(stream=True).data.recipe
    assert stream != plain
    assert read(stream={"ahead": 5, "block": 2}).data.recipe == stream
    assert read(stream={"mean_rows": 7}).data.recipe != stream
    assert read(doppler=True).data.recipe != read(doppler={"whole_pixels": True}).data.recipe


def test_steps_belong_to_their_stage(config):
    assert config.steps == 10
    assert [config.stage_at(step)[0] for step in (0, 5, 6, 9, 10)] == [0, 0, 1, 1, 1]
    assert config.stage_at(3)[2] == 0.5


CHANGES = {
    "name": "other",
    "description": "other",
    "architecture": VAEConfig(512, (4, 8), (5, 3), (4, 4), 4, extra=8),
    "seed": 1,
    "close_below": 0.1,
    "loss": "l1",
    "start": "harps-sim",
    "optimizer": OptimizerConfig("AdamW"),
    "reduction": "mean",
    "logvar_range": (-10.0, 10.0),
    "clip_gradients": 1.0,
    "ema_decay": 0.9,
    "penalty_spectra": 512,
}


@pytest.mark.parametrize("key", CHANGES)
def test_the_recipe_knows_what_decides_the_outcome(config, key):
    assert dataclasses.replace(config, **{key: CHANGES[key]}).recipe != config.recipe


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Stage) if f.name != "steps"])
def test_the_recipe_knows_every_part_of_a_stage(config, field):
    value = True if field in ("revive", "turn", "gather") else Schedule(0.7, 0.8)
    stages = (dataclasses.replace(config.stages[0], **{field: value}), config.stages[1])
    assert dataclasses.replace(config, stages=stages).recipe != config.recipe


def test_when_to_give_up_is_no_part_of_the_recipe(config):
    assert dataclasses.replace(config, collapse_grace=None).recipe == config.recipe


@pytest.mark.parametrize(
    "change",
    [
        {"stages": (Stage(5, Schedule(0.0, 1.0)),)},
        {"stages": (Stage(5, Schedule(0.0), free_bits=Schedule(0.1)),)},
        {"stages": (Stage(5, Schedule(0.0), total_correlation=Schedule(1.0)),)},
        {"stages": (Stage(5, Schedule(0.0)),), "close_below": 0.1},
    ],
)
def test_a_plain_autoencoder_has_nothing_to_weigh_by_kl(config, change):
    architecture = dataclasses.replace(config.architecture, variational=False)
    with pytest.raises(ModelError, match=r"variational: false.*set \w+ to 0"):
        dataclasses.replace(config, architecture=architecture, **change)


def test_a_plain_autoencoder_may_be_decorrelated(config):
    architecture = dataclasses.replace(config.architecture, variational=False)
    stages = (Stage(5, Schedule(0.0), decorrelation=Schedule(1.0)),)
    plain = dataclasses.replace(config, architecture=architecture, stages=stages)
    assert isinstance(plain, TrainConfig)
    assert plain.uses("decorrelation")


fractions = st.floats(0, 1)


def test_schedules_have_their_closed_forms():
    bent = Schedule(6.0, 0.0, until=0.5, power=1.3)
    assert bent.at(0.0) == 6.0
    assert bent.at(0.25) == pytest.approx(6.0 * 0.5**1.3)
    assert bent.at(0.5) == bent.at(1.0) == 0.0
    geometric = Schedule(0.01, 1.0, hold=0.2, until=0.6, curve="geometric")
    assert geometric.at(0.1) == pytest.approx(0.01)
    assert geometric.at(0.4) == pytest.approx(0.1)
    assert geometric.at(0.9) == pytest.approx(1.0)
    assert Schedule(0.3).at(0.7) == 0.3
    cosine = Schedule(3.0, 1.0, hold=0.2, until=0.6, curve="cosine")
    assert [cosine.at(f) for f in (0.1, 0.3, 0.4, 0.9)] == pytest.approx(
        [3.0, 2.0 + math.cos(math.pi / 4), 2.0, 1.0]
    )


def test_the_cyclic_schedule_of_the_paper():
    """tau = mod(t, T / M) / (T / M); beta = tau / R up to R, then 1; M = 4, R = 0.5, T = 80."""
    beta = Schedule(0.0, 1.0, curve="cyclic")
    for t in range(80):
        tau = t % 20 / 20
        assert beta.at(t / 80) == pytest.approx(min(tau / 0.5, 1.0), abs=1e-9)
    assert beta.at(1.0) == 1.0


@given(fractions, st.integers(1, 9), st.floats(0.01, 1), st.floats(0, 0.9), st.floats(0, 5))
def test_a_cyclic_schedule_stays_between_its_ends(fraction, cycles, rise, hold, start):
    value = Schedule(start, 2.0, hold, 0.95, "cyclic", cycles=cycles, rise=rise)
    assert min(start, 2.0) - 1e-9 <= value.at(fraction) <= max(start, 2.0) + 1e-9
    if fraction <= hold:
        assert value.at(fraction) == start
    assert value.at(1.0) == 2.0


@given(fractions, st.sampled_from(["linear", "geometric", "cyclic"]), st.floats(0.1, 1))
def test_a_settled_schedule_changes_no_more(fraction, curve, until):
    for schedule in (Schedule(3.0, 1.0, 0.1, until, curve), Schedule(2.0)):
        if fraction > schedule.settled:
            assert schedule.at(fraction) == pytest.approx(schedule.last)


def test_a_stage_settles_when_its_loss_does():
    rate = Schedule(1e-3, 1e-5)
    assert Stage(10, Schedule(1.0), learning_rate=rate).settled == 0.0
    assert Stage(10, Schedule(1.0), blur=Schedule(6.0, 0.0, until=0.45)).settled == 0.45
    assert Stage(10, Schedule(1.0, 2.0), decorrelation=Schedule(0.0, 1.0)).settled == 1.0


def test_a_stage_uses_what_is_anywhere_above_zero():
    stage = Stage(10, Schedule(0.0, 1.0), total_correlation=Schedule(1.0, 0.0))
    assert stage.uses("beta")
    assert stage.uses("total_correlation")
    assert not stage.uses("decorrelation")


def test_a_trainer_section_is_read(tiny):
    tiny.write_text(tiny.read_text() + "trainer: {devices: 4, precision: bf16-mixed, compile: off}")
    trainer = read_config(tiny).trainer
    assert trainer == TrainerConfig(devices=4, precision="bf16-mixed", compile="off")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{precision: 16}", "precision is 16; expected .*bf16-mixed"),
        ("{accelerator: tpu}", "tpu.*gpu.*mps"),
        ("{devices: 0}", "devices is 0"),
        ("{gpus: 2}", "unknown trainer.gpus; known are accelerator"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_files_name(tiny, section, message):
    tiny.write_text(tiny.read_text() + f"trainer: {section}")
    with pytest.raises(LatentscopeError, match=message) as caught:
        read_config(tiny)
    assert str(tiny) in str(caught.value)


def test_precision_alone_belongs_to_the_recipe(tiny):
    config = read_config(tiny)
    assert "trainer" not in json.loads(config.recipe)
    elsewhere = dataclasses.replace(config, trainer=TrainerConfig(devices=8, compile="on"))
    assert continues(elsewhere, config.recipe)
    low = dataclasses.replace(config, trainer=TrainerConfig(precision="bf16-mixed"))
    assert continues(low, low.recipe)
    assert not continues(low, config.recipe)
    assert not continues(config, low.recipe)


def test_a_model_to_start_from_brings_its_shape(config, tmp_path, monkeypatch):
    path = tmp_path / "tune.yaml"
    path.write_text(
        "{name: a, description: b, start: org/name, data: {}, stages: [{steps: 1, beta: 0}]}"
    )
    with pytest.raises(ModelError, match="did you mean harps-sim"):
        read_config(path, ["start=harps-simm"])
    loaded = SimpleNamespace(config=config.architecture, prepare=config.prepare)
    monkeypatch.setattr("latentscope.models.weights.load_model", lambda source: loaded)
    found = read_config(path)  # of the hub, a checkpoint, an address
    assert (found.architecture, found.prepare) == (config.architecture, config.prepare)
