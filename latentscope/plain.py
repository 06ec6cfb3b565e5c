"""Results as what JSON knows, and written as that."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentscope.atomic import atomic_path


def plain(value: Any) -> Any:
    """Return `value` as what JSON knows: no arrays, no NaN, no paths."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all; NaN becomes null."""
    with atomic_path(path) as temporary:
        text = json.dumps(plain(value), indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
