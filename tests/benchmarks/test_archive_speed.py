"""The benchmark of packed archives runs, at a size that measures nothing."""

import json

import pytest

from benchmarks import archive_speed


@pytest.mark.slow
def test_it_prints_rates_and_writes_them(tmp_path, capsys):
    file = tmp_path / "speed.json"
    arguments = ["--files", "2", "--rows", "64", "--models", "harps-sim", "--repeats", "1"]
    archive_speed.main([*arguments, "--json", str(file)])
    result = json.loads(file.read_text())["harps-sim"]
    assert result["row_size"] == 20_800
    assert all(rate > 0 for what in ("pack", "read") for rate in result[what].values())
    assert result["compressed"]["zstd"] > 1
    assert "packed, lz4" in capsys.readouterr().out
