"""The explorer dies at any moment of an alert's life. Nothing is lost; what is repeated has its id.

A moment is before a statement that changes `explorer-alerts.db`, before a commit, and before or
after the receiver has a message. At each of them one run dies, and its memory is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy import event as sql

from alerting import PaperFleet, Receiver, config
from dragon_explorer.alerts.channels import Attempt
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.outbox import Message

FILE = "explorer-alerts.db"
APART_SECONDS = 7200  # between two outages, so that the node does not count as flapping


class Killed(BaseException):
    """The process ends here."""


class Moments:
    """Counts the moments of a run, and ends it at one of them."""

    def __init__(self) -> None:
        self.passed = 0
        self.deadly: int | None = None  # after how many moments the process dies; None: never

    def arm(self, deadly: int | None) -> None:
        self.passed, self.deadly = 0, deadly

    def pass_one(self, *_: object) -> None:
        self.passed += 1
        if self.passed == self.deadly:
            self.deadly = None
            raise Killed

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Make moments of the changes and commits of the alerts' database."""

        def change(connection: Connection, _: object, statement: str, *__: object) -> None:
            if statement.startswith(("INSERT", "UPDATE", "DELETE")):
                commit(connection)

        def commit(connection: Connection) -> None:
            if str(connection.engine.url).endswith(FILE):
                self.pass_one()

        sql.listen(Engine, "before_cursor_execute", change)
        sql.listen(Engine, "commit", commit)
        try:
            yield
        finally:
            sql.remove(Engine, "before_cursor_execute", change)
            sql.remove(Engine, "commit", commit)


class FragileReceiver(Receiver):
    """A receiver whose sender can die before and after a message is received."""

    moments: Moments

    def send(self, message: Message) -> Attempt:
        self.moments.pass_one()
        found = super().send(message)
        self.moments.pass_one()
        return found


@pytest.fixture
def moments() -> Iterator[Moments]:
    made = Moments()
    with made.watching():
        yield made


def live_through(fleet: PaperFleet, seconds: float) -> int:
    """Let time pass; start again after a death. Returns how often the process died."""
    deaths, ends = 0, fleet.now + seconds
    while fleet.now < ends:
        if not survives(fleet, ends - fleet.now):
            deaths += 1
            fleet.crash()
    return deaths


def survives(fleet: PaperFleet, seconds: float) -> bool:
    """Whether the process lives for that time. It keeps no lock if it does not."""
    try:
        fleet.pass_time(seconds, step=3)
    except Killed:
        return False
    return True


def outage(fleet: PaperFleet, deadly: int | None, moments: Moments) -> tuple[int, list[Message]]:
    """One outage and its end, in which the process dies at one moment. Returns all attempts."""
    fleet.now += APART_SECONDS
    fleet.work()
    fleet.receiver.messages.clear()
    moments.arm(deadly)
    fleet.down("target_1")
    deaths = live_through(fleet, 12)
    fleet.up("target_1")
    deaths += live_through(fleet, 12)
    return deaths, list(fleet.receiver.messages)


def test_no_message_is_lost_and_repeated_ones_have_the_same_id(
    tmp_path: Path, moments: Moments
) -> None:
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN, remind_seconds=None)) as fleet:
        fleet.receiver = FragileReceiver()
        fleet.receiver.moments = moments
        fleet.crash()  # its workers know the receiver from now on
        fleet.up("target_1")
        fleet.pass_time(10)
        _, whole = outage(fleet, None, moments)
        assert [message.type for message in whole] == ["node_down.begun", "node_down.resolved"]
        count, repeated = moments.passed, 0

        for deadly in range(1, count + 1):
            deaths, attempts = outage(fleet, deadly, moments)
            assert deaths == 1, deadly
            types = [message.type for message in attempts]
            assert list(dict.fromkeys(types)) == ["node_down.begun", "node_down.resolved"], deadly
            bodies: dict[str, Any] = {message.id: message.body for message in attempts}
            assert len(bodies) == 2, deadly
            assert all(bodies[message.id] == message.body for message in attempts), deadly
            repeated += len(attempts) > len(bodies)

        assert count > 20
        assert 0 < repeated < count / 4  # only between the receiver's answer and the note of it
