"""The reasons why an operator refuses to sign a claim."""

from __future__ import annotations

import enum


class RefusalReason(enum.StrEnum):
    """Why an operator refuses to sign. This list is complete."""

    # The claim says down, but the operator's own probe was answered.
    SEES_UP = "sees_up"
    # The claim says up, but the operator's own probe was not answered.
    SEES_DOWN = "sees_down"
    # The log already says the same, or has a valid window of that number.
    NO_CHANGE = "no_change"
    # Too few other operators answer, so the operator itself may be disconnected.
    BLIND = "blind"
    # The node's name cannot be resolved, and the operator's own resolver may be at fault.
    DNS = "dns"
    # The target has only private addresses, and the operator's own resolver may be at fault.
    PRIVATE_ADDRESS = "private_address"
    # Too few of the operator's own looks in a row at the target support the claim yet.
    TOO_FEW_LOOKS = "too_few_looks"
    # The operator's clock is more than 2 s off, or the window comes from the future.
    CLOCK = "clock"
    # The operator's log is not up to date, or it lacks an object or the previous window.
    BEHIND = "behind"
    # The timestamp is not the start of a round, or that round may not be signed now.
    OFF_ROUND = "off_round"
    # The committee does not list the node.
    UNKNOWN_NODE = "unknown_node"
    # The claim says that this operator is down.
    SUBJECT = "subject"
    # The operator's owner has not approved this next committee.
    UNAPPROVED = "unapproved"
    # The committee that is asked does not list this operator with a key that it has.
    UNSEATED = "unseated"
    # The operator has signed the opposite claim.
    EQUIVOCATION = "equivocation"
    # The operator has reached its rate or concurrency limits; try again later.
    BUSY = "busy"
    # The body is not a claim, or contradicts the operator's log or verdict.
    MALFORMED = "malformed"
