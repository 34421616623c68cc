"""The limit of open files (`ulimit -n`), and what it allows."""

from __future__ import annotations

import resource
from typing import Final

MOST_OPEN_FILES: Final = 65_536  # more is never needed
RESERVED_OPEN_FILES: Final = 96  # databases, data, and requests to other services
PER_WEBSOCKET: Final = (
    3  # descriptors of a WebSocket: its connection, and a pair to wake its thread
)


def limit() -> int:
    """Return how many files this process may have open, at most `MOST_OPEN_FILES`."""
    return _at_most(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def raise_limit() -> int:
    """Raise the limit of this process as far as it may and needs, and return the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit() < _at_most(hard):
        resource.setrlimit(resource.RLIMIT_NOFILE, (_at_most(hard), hard))
    return limit()


def _at_most(files: int) -> int:
    return MOST_OPEN_FILES if files == resource.RLIM_INFINITY else min(files, MOST_OPEN_FILES)


def left_for_connections(limit: int) -> int:
    """Return how many descriptors connections and WebSockets may use under this limit."""
    return max(16, limit - RESERVED_OPEN_FILES)


def websockets_within(limit: int) -> int:
    """Return how many WebSockets this limit allows. They take at most half of the descriptors."""
    return max(2, left_for_connections(limit) // (2 * PER_WEBSOCKET))
