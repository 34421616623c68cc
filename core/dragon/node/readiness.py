"""Reasons why a service is not ready, as `/readyz` lists them.

A reason starts with a word from a closed list (`alarm`, `ledger`, ...) and a colon.
"""

from __future__ import annotations

from collections.abc import Iterator

from dragon.log.follower import Follower
from dragon.log.store import Log


def log_reasons(log: Log, follower: Follower) -> Iterator[str]:
    """Why a service cannot rely on its log: an active alarm, or a ledger not read to its end."""
    if alarm := log.alarm():
        yield f"alarm: {alarm.reason}: {alarm.detail}"
    elif not follower.caught_up:
        behind = f"{count} batches behind" if (count := follower.behind) else ""
        yield f"ledger: {follower.last_error or behind or 'not read to its end'}"
