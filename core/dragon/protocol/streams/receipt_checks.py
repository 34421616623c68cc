"""The outcome of each check of a receipt, and how a check is refused."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from dragon import errors


class Outcome(enum.StrEnum):
    """The outcome of a check."""

    HOLDS = "holds"
    REFUSED = "refused"
    ABSENT = "absent"  # the receipt does not have the members, or the window not the claim


@dataclass(frozen=True, slots=True)
class Check:
    """The check of one link."""

    name: str
    outcome: Outcome
    detail: str  # a sentence for people
    refusal: str = ""  # the error's name; empty if the check was not refused
    fields: tuple[str, ...] = ()  # members of which at least one must be wrong


class Absent(Exception):
    """The receipt does not have the members that this check needs."""


def run_check(name: str, find: Callable[[], str]) -> Check:
    """Run a check. `find` returns the detail, or raises Absent or ReceiptRefused."""
    try:
        return Check(name, Outcome.HOLDS, find())
    except Absent as absent:
        return Check(name, Outcome.ABSENT, str(absent))
    except errors.ReceiptRefused as refusal:
        return Check(name, Outcome.REFUSED, str(refusal), refusal.name, refusal.fields)


def refuse(message: str, *fields: str) -> NoReturn:
    """Raise ReceiptRefused. Args: `fields`, the members of which at least one must be wrong."""
    raise errors.ReceiptRefused(message, *fields)
