"""Compiled functions where nothing can be written."""

import os
import stat
import tempfile
import warnings

import numba
import pytest
from numba.core import caching

import latentscope.compiled as compiled
from latentscope.compiled import njit
from latentscope.errors import LatentscopeWarning


@pytest.fixture
def closed(monkeypatch, tmp_path):
    """An installation and a home folder that take no files, and an empty temporary folder."""

    def refuse(self):
        raise PermissionError(self.get_cache_path())

    for name in ("InTreeCacheLocator", "UserWideCacheLocator"):
        monkeypatch.setattr(getattr(caching, name), "ensure_cache_path", refuse)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    compiled._kept_elsewhere.cache_clear()
    yield tmp_path
    compiled._kept_elsewhere.cache_clear()


def double(x):
    return x + x


def test_functions_are_kept_among_temporary_files_and_said_once(closed):
    with pytest.warns(LatentscopeWarning, match=r"kept in .*NUMBA_CACHE_DIR") as said:
        functions = [njit()(double), njit(nogil=True)(double)]
    assert len(said) == 1
    assert [function(3) for function in functions] == [6, 6]
    (folder,) = closed.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.rglob("*.nbi"))
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder / "numba")


@pytest.mark.parametrize("kind", ["open to others", "link", "no temporary folder"])
def test_functions_of_others_are_never_run(closed, monkeypatch, kind):
    folder = closed / f"latentscope-{os.getuid()}"
    if kind == "open to others":
        folder.mkdir()
        folder.chmod(0o777)
    elif kind == "link":
        (closed / "theirs").mkdir(mode=0o700)
        folder.symlink_to(closed / "theirs")
    else:
        monkeypatch.setattr(tempfile, "gettempdir", lambda: "/proc/nothing")
    with pytest.warns(LatentscopeWarning, match="compiled anew"):
        assert njit()(double)(3) == 6
    assert not list(closed.rglob("*.nb?"))


def test_where_files_can_be_written_nothing_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert njit()(double)(3) == 6
