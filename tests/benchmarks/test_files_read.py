"""The table of files read, on a few of them."""

from collections import Counter

from benchmarks import files_read


def test_every_answer_has_its_column(tmp_path, monkeypatch):
    names = ("HARPS DRS s1d", "HARPS e2ds", "raw frame")
    chosen = {name: files_read.LAYOUTS[name] for name in names}
    monkeypatch.setattr(files_read, "LAYOUTS", chosen)
    answers, amiss = files_read.instruments(tmp_path)
    assert answers["HARPS and its sisters, S1D"] == Counter({"right": 1})
    assert answers["no spectrum to read"] == Counter({"refused": 2})
    assert amiss == []
    text = files_read.table(answers, files_read.ANSWERS)
    assert text.splitlines()[-1] == "| all | 3 | 1 | 2 | 0 | 0 |"


def test_damaged_files_are_counted_once(tmp_path):
    answers, amiss, _ = files_read.damaged(tmp_path, 60)
    counts = sum(answers.values(), Counter())
    assert counts.total() == 60
    assert counts["refused"] > counts["right"] > 5
    assert len(amiss) == counts["wrong"] + counts["refused, though good"]
