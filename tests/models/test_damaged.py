"""A thousand damaged and odd files among good ones in one run: a row each, and nothing else."""

import subprocess
import sys

import numpy as np
import pytest

from latentscope.data import read_latents
from latentscope.models.encode import encode
from latentscope.models.weights import save_model
from tests.models.encoding import tiny_model
from tests.spectra.damage import GOOD, write_damaged, write_odd_things
from tests.spectra.instruments import LAYOUTS
from tests.spectra.judge import whole

COUNT = 1000
NOT_YET = ("text cut in a line", "garbage in a text")
    assert ended.returncode == 3, ended.stderr
    assert b"Traceback" not in ended.stderr + ended.stdout
    assert b"\x1b" not in ended.stderr + ended.stdout
    latents = read_latents(output)
    assert len(latents) == len(sources)
    assert latents.ok[0]
    assert latents.ok.sum() > 20
