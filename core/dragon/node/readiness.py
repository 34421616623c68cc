"""Reasons why a service is not ready, as `/readyz` lists them.

A reason starts with a word from a closed list (`alarm`, `ledger`, ...) and a colon.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.protocol.committee import Committee
from dragon.storage.disk import Disk


def disk_reasons(disks: Iterable[Disk]) -> Iterator[str]:
    """Why a service cannot store anything, once for each disk that is full or failing."""
    for reason in sorted({fault for disk in disks if (fault := disk.fault())}):
        yield f"disk: {reason}"


def log_reasons(log: Log, follower: Follower, committee: Committee, wall: float) -> Iterator[str]:
    """Why a service cannot rely on its log.

    An alarm is active; the ledger is not read to its end; or the log is silent: its last checkpoint
    is so old that the time since then counts as unknown, and nothing settles.

    `wall`: the current time in Unix seconds.
    """
    if alarm := log.alarm():
        yield f"alarm: {alarm.reason}: {alarm.detail}"
    elif not follower.caught_up:
        behind = f"{count} batches behind" if (count := follower.behind) else ""
        yield f"ledger: {follower.last_error or behind or 'not read to its end'}"
    age = wall - log.state.log_time(committee)
    if age > committee.rounds.unknown_after:
        yield f"silent: no checkpoint for {age:.0f} s"
