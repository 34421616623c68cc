"""What alerts can be about: the conditions of rules, and what each of them means."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


class Condition(enum.StrEnum):
    NODE_DOWN = "node_down"
    FLAPPING = "flapping"
    OPERATOR = "operator"
    QUORUM = "quorum"
    CHECKPOINT = "checkpoint"
    LEDGER = "ledger"
    LOG_ALARM = "log_alarm"
    WINDOW_INVALID = "window_invalid"
    WINDOW_WAITING = "window_waiting"
    TLS = "tls"
    TARGET_CERTIFICATE = "target_certificate"
    DISK = "disk"
    COMMITTEE_CHANGED = "committee_changed"
    APPROVAL_PENDING = "approval_pending"
    MAINTENANCE_ANNOUNCED = "maintenance_announced"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is fixed for a condition."""

    meaning: str  # for the tables of the documentation
    subject: str  # what an incident is about, in one word
    after_seconds: int | None = None  # how long it must last by default; None: not configurable
    certified: bool = False  # whether the log proves it
    has_end: bool = True  # whether incidents of it end


FACTS: Final[Mapping[Condition, Facts]] = {
    Condition.NODE_DOWN: Facts(
        "A node is certified down. The message about its end says that it is up again.",
        "node",
        certified=True,
    ),
    Condition.FLAPPING: Facts(
        "The certified status of a node changed 6 times within an hour. The incident ends after "
        "half an hour without a change. Until then the rule sends no other message about the node.",
        "node",
        certified=True,
    ),
    Condition.OPERATOR: Facts(
        "An operator does not respond to the explorer, has another log, or states that it is "
        "silent, blind, not certifying or not signing, or that its clock is wrong.",
        "operator",
        after_seconds=60,
    ),
    Condition.QUORUM: Facts(
        "The quorum's margin is used up: one more fault stops certification, or nothing is "
        "certified already.",
        "committee",
        after_seconds=60,
    ),
    Condition.CHECKPOINT: Facts(
        "No checkpoint is certified for 3 times its interval.", "committee", after_seconds=0
    ),
    Condition.LEDGER: Facts(
        "The explorer cannot read the ledger to its end, or a service states that the ledger "
        "makes nothing final.",
        "ledger",
        after_seconds=60,
    ),
    Condition.LOG_ALARM: Facts(
        "The log of the explorer or of a service has stopped with an alarm, or is damaged.",
        "service",
        after_seconds=0,
    ),
    Condition.WINDOW_INVALID: Facts(
        "A window of a stream is certified invalid. Such an incident does not end.",
        "stream",
        certified=True,
        has_end=False,
    ),
    Condition.WINDOW_WAITING: Facts(
        "A closed window of a stream is not certified for that long.", "stream", after_seconds=300
    ),
    Condition.TLS: Facts(
        "The TLS certificate of a service is expired, not trusted, or for another name, or expires "
        "within 14 days.",
        "service",
        after_seconds=60,
    ),
    Condition.TARGET_CERTIFICATE: Facts(
        "More operators than may be faulty saw that the TLS certificate of a `tls` target expires "
        "within the `warn_days` of its check. Such a target is not down.",
        "node",
        after_seconds=60,
    ),
    Condition.DISK: Facts(
        "The disk of the explorer or of a service is full, read-only or failing, or files of a "
        "stream are damaged.",
        "service",
        after_seconds=30,
    ),
    Condition.COMMITTEE_CHANGED: Facts(
        "A handover is in the log: the next committee has its seat. The message has the event with "
        "the signatures of both committees. Such an incident does not end.",
        "committee",
        certified=True,
        has_end=False,
    ),
    Condition.APPROVAL_PENDING: Facts(
        "More operators than may be faulty say that their owners have approved the same next "
        "committee, and it has no seat yet.",
        "committee",
        after_seconds=60,
    ),
    Condition.MAINTENANCE_ANNOUNCED: Facts(
        "Maintenance of a node is announced. The message has the signed announcement. Such an "
        "incident does not end.",
        "node",
        certified=True,
        has_end=False,
    ),
}
# Conditions that owners of streams cause. They have limits of their own, and delay nothing else.
OF_STREAMS: Final = (Condition.WINDOW_INVALID, Condition.WINDOW_WAITING)
# Conditions whose subjects are nodes, so that a rule may select nodes.
OF_NODES: Final = (
    Condition.NODE_DOWN,
    Condition.FLAPPING,
    Condition.OPERATOR,
    Condition.TARGET_CERTIFICATE,
    Condition.MAINTENANCE_ANNOUNCED,
)
# Conditions that a rule may hold back while maintenance of the node is announced.
HELD_BACK: Final = (Condition.NODE_DOWN, Condition.FLAPPING, Condition.OPERATOR)
