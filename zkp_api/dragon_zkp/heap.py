"""Keeps the memory of a finished proof for the next one.

A proof allocates some hundred arrays of up to several megabytes. Without this the C library returns
each of them to the system, which clears every page of the next one: a seventh of the processor time
of a proof of 1,023 chunks, and a quarter of one of 63.
"""

from __future__ import annotations

import ctypes
from typing import Final

MAX_ARRAY_BYTES: Final = 32 << 20  # larger arrays are returned: those of more than 1,023 chunks
MAX_FREE_BYTES: Final = 128 << 20  # that a worker keeps at the end of its heap
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_memory(library: ctypes.CDLL | None = None) -> bool:
    """Keep freed memory in this process from now on. Return whether the C library can do that.

    Args:
        library: the C library; by default that of this process.
    """
    mallopt = getattr(library or ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another library than glibc
        return False
    is_set = mallopt(_MMAP_THRESHOLD, MAX_ARRAY_BYTES)
    return bool(mallopt(_TRIM_THRESHOLD, MAX_FREE_BYTES) and is_set)
