"""Reasons why a service cannot rely on its log, in `/readyz`, metrics and `dragon status`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console

from committees import make_members
from dragon.log.cursor import Alarm
from dragon.log.ledger import Position
from dragon.log.store import TreeHead
from dragon.node.metrics import log_metrics
from dragon.node.readiness import log_reasons
from dragon.protocol.state import State
from dragon_cli.fleet.queries import View
from dragon_cli.render.status import status_table

COMMITTEE = make_members().committee


@dataclass
class LogStub:
    """The part of a log that readiness and metrics read."""

    stopped: Alarm | None = None
    state: State = field(default_factory=lambda: State.of(COMMITTEE))
    position: Position = field(default_factory=lambda: Position(7))

    def alarm(self) -> Alarm | None:
        return self.stopped

    def head(self) -> TreeHead:
        return TreeHead(0, bytes(32))

    def refusals(self) -> dict[str, int]:
        return {}


@dataclass
class FollowerStub:
    """The part of a follower that readiness and metrics read."""

    caught_up: bool = False
    last_error: str = ""
    behind: int = 0
    silent_seconds: float = 9.0


CASES: list[tuple[Any, Any, list[str]]] = [
    (LogStub(), FollowerStub(caught_up=True), []),
    (LogStub(), FollowerStub(caught_up=True, behind=3), []),
    (LogStub(), FollowerStub(), ["ledger: not read to its end"]),
    (LogStub(), FollowerStub(behind=1250), ["ledger: 1250 batches behind"]),
    (LogStub(), FollowerStub(behind=3, last_error="no gateway"), ["ledger: no gateway"]),
    (LogStub(Alarm("diverged", "at 3")), FollowerStub(behind=3), ["alarm: diverged: at 3"]),
]


@pytest.mark.parametrize(("log", "follower", "reasons"), CASES)
def test_a_log_that_is_not_caught_up_says_how_far_behind_it_is(
    log: Any, follower: Any, reasons: list[str]
) -> None:
    assert list(log_reasons(log, follower, COMMITTEE, COMMITTEE.rounds.genesis)) == reasons


def test_a_metric_says_how_far_behind_the_log_is() -> None:
    log: Any = LogStub()
    follower: Any = FollowerStub(behind=1250)

    metrics: Iterator[Any] = log_metrics(log, follower, COMMITTEE, COMMITTEE.rounds.genesis)

    samples = {sample.name: sample.value for metric in metrics for sample in metric.samples}
    assert samples["datadragon_ledger_behind_batches"] == 1250


def test_the_status_table_says_how_far_behind_an_operator_is() -> None:
    views = [
        View("operator_1", reasons=("ledger: 1250 batches behind",)),
        View("operator_2"),
    ]
    console = Console(width=160)

    with console.capture() as capture:
        console.print(status_table(COMMITTEE, views))

    assert "1250 batches behind" in capture.get()
