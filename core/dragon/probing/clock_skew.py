"""Is our own clock wrong? Only the peers can tell, and some of them may lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

WARN_MS: Final = 200
ABSTAIN_MS: Final = 2000


def is_wrong(offsets_ms: Sequence[int], faults: int) -> bool:
    """Whether to abstain: the peers' clocks, less ours, put us more than 2 s to one side.

    At least `faults` + 1 of them must say so, so that liars alone cannot silence us, and most of
    those that answered, so that a few wrong clocks cannot either. Ahead and behind do not add up.
    """
    ahead = sum(offset > ABSTAIN_MS for offset in offsets_ms)
    behind = sum(offset < -ABSTAIN_MS for offset in offsets_ms)
    most = max(ahead, behind)
    return most > faults and 2 * most > len(offsets_ms)


def median_ms(offsets_ms: Sequence[int]) -> int | None:
    """The middle offset, for people; None when nobody answered."""
    return sorted(offsets_ms)[len(offsets_ms) // 2] if offsets_ms else None
