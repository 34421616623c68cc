"""Reasons why a service is not ready, as `/readyz` lists them.

A reason starts with a word from a closed list (`WORDS`) and a colon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client.metrics_core import Metric

from dragon.encoding import to_hex
from dragon.errors import LogDamaged
from dragon.node.metrics import gauge, gauges
from dragon.protocol.committee import short_id

if TYPE_CHECKING:  # services without a log do not load the database library
    from dragon.log.follower import Follower
    from dragon.log.store import Log
    from dragon.protocol.committee import Committee
    from dragon.storage.disk import Disk

WORDS: Final = frozenset(
    (
        "aggregator",
        "alarm",
        "archive",
        "blind",
        "busy",
        "clock",
        "committee",
        "compiling",
        "damaged",
        "disk",
        "journal",
        "key",
        "ledger",
        "log",
        "not_certifying",
        "prover",
        "rounds",
        "seat",
        "silent",
        "stream",
        "unreachable",
    )
)
OTHER: Final = "other"  # for a reason that begins with no such word, such as a start in progress


def all_reasons(not_ready: Callable[[], Iterable[str]]) -> list[str]:
    """List the reasons of a service. A damaged log file ends the list, and is its last reason."""
    reasons: list[str] = []
    try:
        for reason in not_ready():
            reasons.append(reason)
    except LogDamaged as error:
        reasons.append(f"log: {error}")
    return reasons


def metrics(reasons: Iterable[str]) -> Iterator[Metric]:
    """Metrics of the reasons why a service is not ready."""
    counted = Counter(_word(reason) for reason in reasons)
    yield gauge(
        "ready", "1 if the service can do its work now: `/readyz` answers 200.", not counted
    )
    yield gauges(
        "not_ready",
        "Number of reasons why the service is not ready, by the first word of the reason.",
        "reason",
        counted,
    )


def _word(reason: str) -> str:
    word, colon, _ = reason.partition(":")
    return word if colon and word in WORDS else OTHER


def disk_reasons(disks: Iterable[Disk]) -> Iterator[str]:
    """Why a service cannot store anything, once for each disk that is full or failing."""
    for reason in sorted({fault for disk in disks if (fault := disk.fault())}):
        yield f"disk: {reason}"


def log_reasons(log: Log, follower: Follower, committee: Committee, wall: float) -> Iterator[str]:
    """Why a service cannot rely on its log.

    An alarm is active; the ledger is not read to its end; a committee file is missing, or does not
    hold yet; or the log is silent: its last checkpoint is so old that the time since then counts as
    unknown, and nothing settles.

    `wall`: the current time in Unix seconds.
    """
    if alarm := log.alarm():
        yield f"alarm: {alarm.reason}: {alarm.detail}"
    elif not follower.caught_up:
        behind = f"{count} batches behind" if (count := follower.behind) else ""
        yield f"ledger: {follower.last_error or behind or 'not read to its end'}"
    if (missing := follower.missing_document) is not None:
        yield (
            f"committee: no service has given the file of {to_hex(missing)}; a newer committee "
            "file may name services that have it"
        )
    pinned = log.pinned
    if pinned.epoch > log.committee.epoch and follower.has_read_all:
        yield f"committee: {short_id(pinned.id)} of epoch {pinned.epoch} does not hold yet"
    age = wall - log.state.log_time
    if age > committee.rounds.unknown_after:
        yield f"silent: no checkpoint for {age:.0f} s"
