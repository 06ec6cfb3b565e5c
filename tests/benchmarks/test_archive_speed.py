"""The benchmark of packed archives runs, at a size that measures nothing."""

import pytest

from benchmarks import archive_speed


@pytest.mark.slow
def test_it_prints_rates(capsys):
    archive_speed.main(["--files", "2", "--rows", "64", "--models", "harps-sim", "--repeats", "1"])
    told = capsys.readouterr().out
    assert "rows of 20800 float16" in told
    assert "packed, lz4" in told
    assert told.count("times smaller than the rows") == 2
