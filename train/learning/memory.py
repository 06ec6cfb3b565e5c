"""Memory that a training step frees and the next one takes again."""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Keep what tensors free in the process, for the next ones; return whether that can be had.

    Left to itself glibc gives large blocks back to the system and gets new ones from it, page by
    page, in every step: a fifth of a step's time on a busy CPU. The process stays as large as it
    once was. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Older versions take 32 MB at most.
    largest = any(mallopt(_MMAP_THRESHOLD, size) for size in (1 << 30, 1 << 25))
    return largest and bool(mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
