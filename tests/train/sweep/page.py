"""The script that draws docs/reproduction.md, as a module."""

import importlib.util
import sys
from pathlib import Path

_SCRIPT = Path(__file__).parents[3] / "docs" / "figures" / "reproduction.py"
_SPEC = importlib.util.spec_from_file_location("reproduction", _SCRIPT)
reproduction = importlib.util.module_from_spec(_SPEC)
sys.modules["reproduction"] = reproduction  # dataclasses look their module up
_SPEC.loader.exec_module(reproduction)
