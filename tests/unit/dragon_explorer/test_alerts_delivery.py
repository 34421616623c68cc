"""Delivery: back-off, Retry-After, rejected messages, giving up, and a disk that is full."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from alerting import Receiver
from dragon.errors import DiskFull
from dragon.storage.database import Database
from dragon_explorer.alerts.alerting import open_database
from dragon_explorer.alerts.channels import Attempt, judge
from dragon_explorer.alerts.delivery import GIVE_UP_SECONDS, MAX_PAUSE_SECONDS, Worker
from dragon_explorer.alerts.outbox import MAX_KEPT, MAX_WAITING, Message, Outbox

REFUSED = Attempt("no answer: the connection was refused")
REJECTED = Attempt("answered 400", is_rejected=True)


class Route:
    """One worker with a receiver in memory and a clock."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.database: Database = open_database(folder / "explorer.db")
        self.outbox = Outbox(self.database)
        self.receiver = Receiver()
        self.worker = Worker("team", self.receiver, self.outbox, lambda: self.now, bytes)

    def add(self, *names: str, route: str = "team") -> None:
        for name in names:
            message = Message(name, "rule", "node_down.begun", self.now, name, "text", "{}")
            with self.database.write() as connection:
                self.outbox.add(connection, message, [route])

    def attempts(self, seconds: int, step: int = 1) -> list[tuple[float, str]]:
        """Times since now, and messages, of the attempts in a period."""
        begun, found = self.now, []
        while self.now < begun + seconds:
            before = len(self.receiver.messages)
            while self.worker.step():
                pass
            sent = self.receiver.messages[before:]
            found += [(self.now - begun, message.id) for message in sent]
            self.now += step
        return found

    def states(self) -> dict[str, str]:
        return {each.message.id: each.state for each in self.outbox.newest(MAX_KEPT)}


@pytest.fixture
def route(tmp_path: Path) -> Iterator[Route]:
    made = Route(tmp_path)
    yield made
    made.database.close()


def test_pauses_double_up_to_a_maximum(route: Route) -> None:
    route.receiver.answers = [REFUSED] * 100
    route.add("one")

    times = [time for time, _ in route.attempts(4000)]

    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[:8] == [5, 10, 20, 40, 80, 160, 320, 600]
    assert set(pauses[8:]) == {MAX_PAUSE_SECONDS}


def test_a_pause_is_as_long_as_the_receiver_asks(route: Route) -> None:
    route.receiver.answers = [Attempt("answered 429", retry_after=90)]
    route.add("one")

    assert route.attempts(200) == [(0, "one"), (90, "one")]


def test_a_rejected_message_delays_no_other(route: Route) -> None:
    route.receiver.answers = [REJECTED]
    route.add("one", "two", "three")

    assert route.attempts(10) == [(0, "one"), (0, "two"), (0, "three"), (5, "one")]


def test_messages_keep_their_order_while_the_receiver_fails(route: Route) -> None:
    route.receiver.answers = [REFUSED] * 3
    route.add("one", "two")

    found = route.attempts(60)

    assert [name for _, name in found] == ["one", "one", "one", "one", "two"]


def test_a_message_that_always_fails_does_not_hold_up_others_forever(route: Route) -> None:
    route.add("poison", "two")
    route.receiver.answers = [REFUSED] * 5

    found = route.attempts(400)

    assert (155.0, "two") in found


def test_a_delivery_is_given_up_after_three_days(route: Route) -> None:
    route.receiver.answers = [REFUSED] * 2000
    route.add("one")
    route.attempts(GIVE_UP_SECONDS + 2000, step=600)

    assert route.states() == {"one": "failed"}
    assert route.worker.counts["failed"] == 1
    assert route.attempts(2000, step=600) == []


def test_gone_is_final(route: Route) -> None:
    route.receiver.answers = [judge(410, None)]
    route.add("one")

    assert len(route.attempts(2000)) == 1
    assert route.states() == {"one": "failed"}


def test_the_oldest_waiting_messages_are_dropped(route: Route) -> None:
    names = [f"m{number:04}" for number in range(MAX_WAITING + 3)]
    route.add(*names)

    states = route.states()
    assert [name for name in names if states[name] == "dropped"] == names[:3]
    assert route.outbox.waiting()["team"][0] == MAX_WAITING


def test_a_full_disk_after_a_delivery_does_not_repeat_it(
    route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise DiskFull("no space")

    route.add("one")
    with monkeypatch.context() as patched:
        patched.setattr(route.outbox, "note_delivered", full)
        for _ in range(3):
            with pytest.raises(DiskFull):
                route.worker.step()
    route.attempts(10)

    assert [message.id for message in route.receiver.messages] == ["one"]
    assert route.states() == {"one": "delivered"}


def test_a_message_is_not_added_twice(route: Route) -> None:
    route.add("one", "one")
    route.attempts(5)
    route.add("one")

    assert [name for _, name in route.attempts(5)] == []
    assert len(route.receiver.messages) == 1


@pytest.mark.parametrize(
    ("status", "accepted", "rejected"),
    [
        (200, True, False),
        (204, True, False),
        (302, False, False),
        (400, False, True),
        (401, False, False),
        (404, False, False),
        (413, False, True),
        (429, False, False),
        (500, False, False),
        (503, False, False),
    ],
)
def test_what_statuses_mean(status: int, accepted: bool, rejected: bool) -> None:
    found = judge(status, None)

    assert (not found.error, found.is_rejected) == (accepted, rejected)
