import pytest
import yaml

from latentscope.errors import LatentscopeError
from tests.train.conftest import TINY
from train.settings import (
    ArchiveConfig,
    DataConfig,
    DopplerConfig,
    MixtureConfig,
    StreamConfig,
    read_config,
)


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
        ({"stream": {"ahead": -1}}, "ahead from 0 on"),
        ({"stream": {"block": 0}}, "from 1 on"),
        ({"mixture": {"real": 0.5}}, "known: simulated"),
        ({"mixture": 0.5}, "mixture is 0.5; wanted its keys .simulated., or true"),
        ({"archive": True}, "or its path alone"),
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
