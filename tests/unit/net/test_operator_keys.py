"""With which keys operators may answer around a handover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from committees import make_members, secret
from dragon.log.store import Log
from dragon.net.operator_keys import OperatorKeys, listed_keys
from dragon.protocol.committee import Committee
from epochs import successor

OLD = make_members(4)
NEXT_KEY = secret("operator_2 again")
NEW = successor(OLD, None, add=["operator_5"], drop=["operator_4"], rotate={"operator_2": NEXT_KEY})
SEAT = 1000
OLD_KEY = OLD.committee.keys["operator_2"]


@dataclass
class LogStub:
    """The part of a log that is read."""

    committee: Committee
    committee_before: Committee | None = None
    seat: int = SEAT

    @property
    def state(self) -> LogStub:
        return self


def keys(log: LogStub, wall: float = SEAT, approved: Committee | None = None) -> OperatorKeys:
    return OperatorKeys(cast("Log", cast("Any", log)), lambda: wall, lambda: approved)


def test_the_key_of_the_committee_before_counts_for_max_age() -> None:
    log, most = LogStub(NEW.committee, OLD.committee), OLD.committee.rounds.max_age

    assert keys(log, SEAT + most).of("operator_2") == (NEXT_KEY.public_key(), OLD_KEY)
    assert keys(log, SEAT + most + 1).of("operator_2") == (NEXT_KEY.public_key(),)
    assert keys(log).of("operator_4") == (OLD.committee.keys["operator_4"],)
    assert keys(log, SEAT + most + 1).of("operator_4") == ()
    assert keys(log).of("operator_1") == (OLD.committee.keys["operator_1"],)


def test_the_key_of_the_approved_committee_counts() -> None:
    log = LogStub(OLD.committee)

    assert keys(log, approved=NEW.committee).of("operator_2") == (OLD_KEY, NEXT_KEY.public_key())
    assert keys(log, approved=NEW.committee).of("operator_5") == (
        secret("operator_5").public_key(),
    )
    assert keys(log).of("operator_5") == ()


def test_an_approved_committee_that_does_not_follow_counts_not() -> None:
    other = successor(NEW, None, epoch=1).committee

    assert keys(LogStub(OLD.committee), approved=other).of("operator_5") == ()


def test_without_a_log_only_the_listed_key_counts() -> None:
    assert listed_keys(OLD.committee)("operator_2") == (OLD_KEY,)
    assert listed_keys(OLD.committee)("operator_5") == ()
