"""Reasons why a service cannot rely on its log, in `/readyz`, metrics and `dragon status`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from committees import make_members
from dragon.log.cursor import Alarm
from dragon.log.ledger import Position
from dragon.log.store import TreeHead
from dragon.node.metrics import log_metrics
from dragon.node.readiness import log_reasons
from dragon.protocol.committee import Committee, short_id
from dragon.protocol.state import State
from dragon_cli.fleet.queries import View
from dragon_cli.render.status import status_table
from epochs import successor

MEMBERS = make_members()
COMMITTEE = MEMBERS.committee
AHEAD = successor(MEMBERS, None).committee


@dataclass
class LogStub:
    """The part of a log that readiness and metrics read."""

    stopped: Alarm | None = None
    state: State = field(default_factory=lambda: State.of(COMMITTEE))
    position: Position = field(default_factory=lambda: Position(7))
    pinned: Committee = COMMITTEE
    check: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(entries_left=0))

    @property
    def committee(self) -> Committee:
        return self.state.committee

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
    missing_document: bytes | None = None
    has_read_all: bool = True


CASES: list[tuple[Any, Any, list[str]]] = [
    (LogStub(), FollowerStub(caught_up=True), []),
    (LogStub(), FollowerStub(caught_up=True, behind=3), []),
    (LogStub(), FollowerStub(), ["ledger: not read to its end"]),
    (LogStub(), FollowerStub(behind=1250), ["ledger: 1250 batches behind"]),
    (LogStub(), FollowerStub(behind=3, last_error="no gateway"), ["ledger: no gateway"]),
    (
        LogStub(),
        FollowerStub(caught_up=True, missing_document=bytes(32)),
        [
            f"committee: no service has given the file of 0x{'00' * 32}; a newer committee file "
            "may name services that have it"
        ],
    ),
    (
        LogStub(pinned=AHEAD),
        FollowerStub(caught_up=True),
        [f"committee: {short_id(AHEAD.id)} of epoch 1 does not hold yet"],
    ),
    (LogStub(pinned=AHEAD), FollowerStub(caught_up=True, has_read_all=False), []),
    (LogStub(Alarm("diverged", "at 3")), FollowerStub(behind=3), ["alarm: diverged: at 3"]),
]


@pytest.mark.parametrize(("log", "follower", "reasons"), CASES)
def test_a_log_that_is_not_caught_up_says_how_far_behind_it_is(
    log: Any, follower: Any, reasons: list[str]
) -> None:
    assert list(log_reasons(log, follower, COMMITTEE, COMMITTEE.rounds.genesis)) == reasons


def test_a_metric_says_how_far_behind_the_log_is() -> None:
    log: Any = LogStub(check=SimpleNamespace(entries_left=7))
    follower: Any = FollowerStub(behind=1250)

    metrics: Iterator[Any] = log_metrics(log, follower, COMMITTEE, COMMITTEE.rounds.genesis)

    samples = {sample.name: sample.value for metric in metrics for sample in metric.samples}
    assert samples["datadragon_ledger_behind_batches"] == 1250
    assert samples["datadragon_log_unchecked_entries"] == 7


def test_the_status_table_says_how_far_behind_an_operator_is() -> None:
    views = [
        View("operator_1", reasons=("ledger: 1250 batches behind",)),
        View("operator_2"),
    ]
    console = Console(width=160)

    with console.capture() as capture:
        console.print(status_table(COMMITTEE, views, 0))

    assert "1250 batches behind" in capture.get()
