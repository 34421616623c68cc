"""Reasons for which an operator refuses to sign a claim."""

from __future__ import annotations

import enum


class RefusalReason(enum.StrEnum):
    """Why an operator does not sign. The list is closed."""

    SEES_UP = "sees_up"
    SEES_DOWN = "sees_down"
    NO_CHANGE = "no_change"
    BLIND = "blind"
    CLOCK = "clock"
    BEHIND = "behind"
    OFF_ROUND = "off_round"
    UNKNOWN_NODE = "unknown_node"
    SUBJECT = "subject"
    EQUIVOCATION = "equivocation"
    BUSY = "busy"
    MALFORMED = "malformed"
