"""Free ports, for tests that start real services."""

from __future__ import annotations

import random
import socket


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_block(size: int) -> int:
    """The first of `size` consecutive ports that are free now."""
    while True:
        base = random.SystemRandom().randrange(20_000, 32_000, 10)
        if all(is_free(base + offset) for offset in range(size)):
            return base
