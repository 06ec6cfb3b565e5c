"""What every result of a diagnostic says of its origin."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import latentscope


def origin(diagnostic: str) -> dict[str, Any]:
    """Return which diagnostic, of which version, measured when (UTC, ISO 8601)."""
    return {
        "diagnostic": diagnostic,
        "latentscope": latentscope.__version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
