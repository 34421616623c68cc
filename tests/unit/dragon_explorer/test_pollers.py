"""Pollers come and go with the services that are watched."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from dragon_explorer.live.board import AggregatorReport, Board, Report
from dragon_explorer.live.pollers import Pollers
from dragon_explorer.live.sources import Source


@dataclass(frozen=True)
class Told(Source):
    """A service that is never asked over a network."""

    read_it: threading.Event = field(default_factory=threading.Event)

    def read(self, before: Report | None) -> Report:
        self.read_it.set()
        return AggregatorReport(self.name, self.url)


def told(name: str, url: str = "http://a") -> Told:
    return Told(name, url, None, lambda: 0.0)  # type: ignore[arg-type]


class Watching:
    """Pollers of services that change."""

    def __init__(self, *services: Told) -> None:
        self.services, self.board = list(services), Board()
        self.pollers = Pollers(lambda: self.services, self.board, lambda _: None, lambda: True)

    def step(self) -> None:
        for each in self.pollers.current():
            each.step()


def test_services_come_and_go() -> None:
    watching = Watching(told("a"), told("b"))
    watching.step()
    assert set(watching.board.reports()) == {"a", "b"}

    watching.services = [told("b"), told("c")]
    watching.step()

    assert set(watching.board.reports()) == {"b", "c"}


def test_a_poller_stays_while_its_service_does() -> None:
    watching = Watching(told("a"), told("b"))
    one, _ = watching.pollers.current()
    watching.services = [told("a")]

    assert watching.pollers.current() == [one]


def test_a_service_that_has_moved_is_asked_at_its_new_address() -> None:
    watching = Watching(told("a"))
    watching.step()
    watching.services = [told("a", "http://b")]
    watching.step()

    assert watching.board.reports()["a"].url == "http://b"


def test_threads_end_with_the_explorer() -> None:
    one = told("a")
    watching, stop = Watching(one), threading.Event()
    before = threading.active_count()
    thread = threading.Thread(target=watching.pollers.run, args=(stop,))
    thread.start()
    assert one.read_it.wait(10)

    stop.set()
    thread.join(10)

    assert threading.active_count() == before
