"""Where a warning points."""

import contextlib
import functools
import importlib
import sys
import warnings

from latentscope.errors import warn

_SOURCE = """
from latentscope.errors import warn
def tell():
    warn("doubtful")
tell()
"""


def test_a_warning_shows_the_line_outside_of_the_standard_library():
    inner = {"__name__": "latentscope.inner", "contextlib": contextlib, "warn": warn}
    exec("@contextlib.contextmanager\ndef told():\n    warn('doubtful')\n    yield", inner)
    exec("def tell(self=None):\n    warn('doubtful')", inner)

    class Lazy:
        told = functools.cached_property(inner["tell"])

    Lazy.told.__set_name__(Lazy, "told")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        lines = [sys._getframe().f_lineno + 1]
        inner["tell"]()
        lines.append(sys._getframe().f_lineno + 1)
        Lazy().told  # noqa: B018
        lines.append(sys._getframe().f_lineno + 1)
        with inner["told"]():
            pass
    assert [(one.filename, one.lineno) for one in said] == [(__file__, line) for line in lines]


def test_a_warning_of_an_import_shows_who_imports(tmp_path, monkeypatch):
    (tmp_path / "told_late.py").write_text("__name__ = 'latentscope.told_late'\n" + _SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        line = sys._getframe().f_lineno + 1
        importlib.import_module("told_late")
    assert [(one.filename, one.lineno) for one in said] == [(__file__, line)]
