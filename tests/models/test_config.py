from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.errors import ModelError
from latentscope.models.network import SpectrumVAE, VAEConfig
from latentscope.settings import read_settings

SMALL = VAEConfig(
    length=256, channels=(4, 6, 8), kernels=(9, 5, 3), strides=(4, 2, 1), latents=3, extra=7
)


def read(values):
    return read_settings(VAEConfig, values, where="a file", error=ModelError)


@settings(max_examples=25)
@given(
    layers=st.lists(
        st.tuples(
            st.integers(1, 5), st.sampled_from([1, 3, 5, 7, 9]), st.sampled_from([1, 2, 4, 6])
        ),
        min_size=1,
        max_size=3,
    ),
    width=st.integers(1, 4),
    latents=st.integers(1, 4),
    extra=st.integers(0, 3),
    output=st.sampled_from(["conv", "mean"]),
    doppler=st.booleans(),
    variational=st.booleans(),
    n=st.integers(1, 3),
)
def test_shapes_agree_for_any_architecture(
    layers, width, latents, extra, output, doppler, variational, n
):
    channels, kernels, strides = zip(*layers, strict=True)
    config = VAEConfig(
        length=int(np.prod(strides)) * width,
        channels=channels,
        kernels=kernels,
        strides=strides,
        latents=latents,
        extra=extra,
        output=output,
        doppler=doppler,
        variational=variational,
    )
    model = SpectrumVAE(config)
    rows, mean, logvar = model(torch.zeros(n, config.row_size))
    assert rows.shape == (n, config.length + extra)
    assert mean.shape == (n, latents)
    assert (logvar is None) == (not variational)
    assert read(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernels": (9, 4, 3)}, "kernels.1: kernel 4"),
        ({"strides": (4, 3, 1)}, "strides.1: stride 3"),
        ({"strides": (4, 2)}, "3 channels, 3 kernels, 2 strides"),
        ({"length": 260}, "length 260 is not a multiple of 8"),
        ({"latents": 0}, "latents is 0"),
        ({"channels": (4, 0, 8)}, "channels.1 is 0"),
        ({"extra": -1}, "extra is -1"),
        ({"extra_hidden": 0}, "extra_hidden is 0"),
        ({"negative_slope": float("inf")}, "negative_slope is inf"),
        ({"output": "max"}, "'conv' or 'mean'"),
        ({"channels": (), "kernels": (), "strides": ()}, "channels is"),
    ],
)
def test_numbers_that_make_no_network_are_refused(change, message):
    with pytest.raises(ModelError, match=message):
        dataclasses.replace(SMALL, **change)


def test_a_config_is_read_strictly():
    values = SMALL.to_dict()
    assert read(values) == SMALL
    with pytest.raises(ModelError, match="unknown latnets"):
        read(values | {"latnets": 3})
    del values["kernels"]
    with pytest.raises(ModelError, match="kernels is missing"):
        read(values)
