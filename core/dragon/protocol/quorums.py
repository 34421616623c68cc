"""Quorum rules: how many operators have to sign a kind of claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from dragon import errors
from dragon.encoding import Json

MAX_LISTED: Final = 4096  # operators, experts, targets or aggregators of a committee

QuorumRule: TypeAlias = Literal["byzantine", "majority"] | int
DEFAULT_QUORUMS: Final[Mapping[str, QuorumRule]] = {
    "status": "byzantine",
    "downtime": "byzantine",
    "checkpoint": "byzantine",
    "window": "majority",
    "handover": "byzantine",
}


def byzantine_faults(members: int) -> int:
    """Return f, the number of malicious operators that `members` operators can tolerate."""
    return (members - 1) // 3


def quorum_of(rule: QuorumRule, members: int) -> int:
    """Return the number of signatures that a rule requires.

    Args:
        rule: `byzantine`, `majority` or a number of operators.
        members: the number of operators in the whole committee.
    """
    if rule == "byzantine":
        return (members + byzantine_faults(members)) // 2 + 1
    if rule == "majority":
        return members // 2 + 1
    return int(rule)


def decode_rules(stated: Mapping[str, Json]) -> dict[str, QuorumRule]:
    """Return the rules by kind of claim: those that a committee file states, and the defaults.

    Raises InvalidEncoding.
    """
    rules = dict(DEFAULT_QUORUMS)
    for kind, rule in stated.items():
        if kind not in rules:
            message = f"no quorum can be set for {kind!a}; the kinds are {', '.join(rules)}"
            raise errors.UnknownMember(message, member="quorum")
        rules[kind] = _decode_rule(rule)
    return rules


def _decode_rule(rule: Json) -> QuorumRule:
    match rule:
        case bool():
            message = "a quorum must be `byzantine`, `majority` or a number, not a boolean"
            raise errors.NotAnInteger(message, member="quorum")
        case "byzantine":
            return "byzantine"
        case "majority":
            return "majority"
        case int() if 0 < rule <= MAX_LISTED:
            return rule
        case _:
            message = f"a quorum must be `byzantine`, `majority` or a number from 1 to {MAX_LISTED}"
            raise errors.UnknownValue(message, member="quorum")
