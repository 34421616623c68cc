"""Reasons for which an operator refuses to sign a claim."""

from __future__ import annotations

import enum


class RefusalReason(enum.StrEnum):
    """Why an operator does not sign. The list is closed."""

    # The claim says down, but the operator's own probe was answered.
    SEES_UP = "sees_up"
    # The claim says up, but the operator's own probe was not answered.
    SEES_DOWN = "sees_down"
    # The log says the same already, or has a valid window of that number.
    NO_CHANGE = "no_change"
    # Too few other operators answer: the operator cannot tell which side is cut off.
    BLIND = "blind"
    # The operator's clock is more than 2 s off, or the window comes from the future.
    CLOCK = "clock"
    # The operator's log is not up to date, or it lacks an object or the previous window.
    BEHIND = "behind"
    # The timestamp starts no round, or a round that may not be signed now.
    OFF_ROUND = "off_round"
    # The committee does not list the node.
    UNKNOWN_NODE = "unknown_node"
    # By this claim the operator itself is down.
    SUBJECT = "subject"
    # The operator has signed the opposite.
    EQUIVOCATION = "equivocation"
    # The operator's limits are used up; ask again later.
    BUSY = "busy"
    # The body is not a claim, or contradicts the operator's log or verdict.
    MALFORMED = "malformed"
