"""Announcements that wait: passed on once, late, and only without the objects."""

from __future__ import annotations

import pytest

from committees import make_members
from dragon.protocol.streams.submission import Submission
from dragon_aggregator.postponed_announcements import (
    ANNOUNCE_AFTER_SECONDS,
    PostponedAnnouncements,
)
from streams import make_owner

MEMBERS = make_members()
OWNER, OTHER = make_owner(MEMBERS), make_owner(MEMBERS, "sensor-2")
FIRST = OWNER.window([b"1"])
SECOND = OWNER.window([b"2"], FIRST)
ONE, TWO = OWNER.submission(FIRST), OWNER.submission(SECOND)
FOREIGN = OTHER.submission(OTHER.window([b"1"]))


class Postponed(PostponedAnnouncements):
    """With a clock that stands still, and the announcements that were passed on."""

    def __init__(self) -> None:
        self.now, self.sent = 100.0, list[Submission]()
        super().__init__(self.sent.append, lambda: self.now)

    def after(self, seconds: float) -> list[Submission]:
        """What is passed on in a step, after these seconds."""
        self.now += seconds
        self.sent.clear()
        self.send_due()
        return list(self.sent)


@pytest.fixture
def postponed() -> Postponed:
    return Postponed()


def test_an_announcement_is_passed_on_late_and_once(postponed: Postponed) -> None:
    postponed.add(ONE)

    assert postponed.after(ANNOUNCE_AFTER_SECONDS - 0.1) == []
    assert postponed.after(0.1) == [ONE]
    assert postponed.after(100) == []


def test_an_announcement_is_forgotten_when_the_objects_are_named(postponed: Postponed) -> None:
    postponed.add(ONE)
    postponed.add(TWO)
    postponed.add(FOREIGN)
    postponed.cancel(OWNER.submission(FIRST, b"a proof"))

    assert postponed.after(100) == [TWO, FOREIGN]
    postponed.cancel(ONE)


def test_each_announcement_waits_for_itself(postponed: Postponed) -> None:
    postponed.add(ONE)
    assert postponed.after(1) == []
    postponed.add(TWO)

    assert postponed.after(ANNOUNCE_AFTER_SECONDS - 1) == [ONE]
    assert postponed.after(1) == [TWO]


def test_a_window_that_is_announced_again_waits_anew(postponed: Postponed) -> None:
    postponed.add(ONE)
    postponed.add(TWO)
    postponed.after(1)
    postponed.add(ONE)

    assert postponed.after(ANNOUNCE_AFTER_SECONDS - 1) == [TWO]
    assert postponed.after(1) == [ONE]
