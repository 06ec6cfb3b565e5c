import errno
import tempfile

import pytest

from latentscope.errors import TableError
from latentscope.files import write_json
from latentscope.tables import read_contents


def test_a_folder_is_not_replaced_and_is_named(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_json(folder, {})
    assert caught.value.filename == str(folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_place_that_takes_no_files_is_told_by_the_name_that_was_given(tmp_path, monkeypatch):
    def refuse(*, prefix, dir):
        raise PermissionError(errno.EACCES, "Permission denied", f"{dir}/{prefix}x")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(PermissionError) as caught:
        write_json(tmp_path / "out.json", {})
    assert caught.value.filename == str(tmp_path / "out.json")


def test_a_folder_in_place_of_a_table_is_not_called_absent(tmp_path):
    folder = tmp_path / "latents.npy"
    folder.mkdir()
    with pytest.raises(TableError, match=r"latents\.npy: is a folder"):
        read_contents(folder)
