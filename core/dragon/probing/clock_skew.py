"""Detect whether the local clock is right or wrong, from the offsets of the peers' clocks.

Up to `faults` peers may lie about their clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

WARN_MS: Final = 200  # median offset at which a service logs a warning
ABSTAIN_MS: Final = 2000  # offset at which a service stops signing


def is_wrong(offsets_ms: Sequence[int], faults: int) -> bool:
    """Whether the local clock is more than 2 s ahead or more than 2 s behind.

    At least `faults` + 1 peers must agree on the direction, so that liars alone cannot silence a
    service; and more than half of the peers that answered, so that a few wrong clocks cannot.

    Args:
        offsets_ms: for each peer that answered, its clock minus the local clock, in milliseconds.
        faults: the maximum number of faulty operators.
    """
    ahead = sum(offset > ABSTAIN_MS for offset in offsets_ms)
    behind = sum(offset < -ABSTAIN_MS for offset in offsets_ms)
    most = max(ahead, behind)
    return most > faults and 2 * most > len(offsets_ms)


def is_confirmed(offsets_ms: Sequence[int], faults: int) -> bool:
    """Whether the clocks of at least `faults` + 1 peers differ from the local clock by at most 2 s.

    At least one of these peers is honest. Without any peer's answer the clock is not confirmed.

    Args:
        offsets_ms: one for each peer: its clock minus the local clock, in milliseconds.
        faults: the maximum number of faulty operators.
    """
    return sum(abs(offset) <= ABSTAIN_MS for offset in offsets_ms) > faults


def median_ms(offsets_ms: Sequence[int]) -> int | None:
    """The median offset in milliseconds, for display; None if no peer answered."""
    return sorted(offsets_ms)[len(offsets_ms) // 2] if offsets_ms else None
