"""Strangers request every claim that may be signed now; the aggregator's claims are signed.

The operator is the real one on real threads. Its peer hangs: a probe of it ends when the test
releases it, or at the probe's deadline.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter

from dragon.errors import AttestationRefused
from dragon.log.downtime import settled_claim
from dragon.net.http_client import HttpClient
from dragon.probing.prober import Prober
from dragon.protocol.claims.base import Claim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.refusal import RefusalReason
from dragon_operator.attester import Attester
from dragon_operator.log_claim_checks import LogClaimChecks
from dragon_operator.seat import Seat
from dragon_operator.status_checks import StatusChecks
from simulation import World

OPERATOR, HANGING = "operator_1", "operator_2"
PATIENCE = 20.0  # seconds after which a test that hangs fails


@dataclass
class Hanging(BaseAdapter):
    """The network of one operator on which a peer accepts connections and never answers."""

    world: World
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)  # the world has one thread
    begun: int = 0  # probes of the peer that hangs

    def __post_init__(self) -> None:
        super().__init__()

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:  # type: ignore[override]
        host = urlsplit(request.url or "").netloc
        if self.world.names.get(host) == HANGING:
            self.begun += 1
            assert self.released.wait(PATIENCE)
            raise requests.ReadTimeout("hangs", request=request)
        with self.lock:
            return self.world.wires.send(request)

    def close(self) -> None:
        pass


@dataclass
class Operator:
    """An operator of the world, on real threads."""

    world: World
    wire: Hanging
    attester: Attester
    clients: ThreadPoolExecutor
    pools: list[ThreadPoolExecutor]
    signed: list[StatusClaim]  # as the evidence notes them

    def ask(self, claim: Claim) -> Future[str]:
        return self.clients.submit(self._outcome, claim)

    def _outcome(self, claim: Claim) -> str:
        try:
            self.attester.attest(claim)
        except AttestationRefused as refused:
            return refused.reason
        return "signed"

    def insist(self, claim: Claim) -> str:
        """Ask as an aggregator does: again while the operator is busy, but not forever."""
        pause = threading.Event()
        outcome = "busy"
        for _ in range(200):
            if (outcome := self.ask(claim).result(PATIENCE)) != "busy":
                break
            pause.wait(0.02)
        return outcome

    def statuses(self, node_id: str) -> list[StatusClaim]:
        """Every status claim about a node that may be signed now."""
        rounds, now = self.world.committee.rounds, self.world.clock.now
        numbers = range(rounds.number(now) - 8, rounds.number(now) + 8)
        return [
            StatusClaim(node_id, status, rounds.start(number))
            for number in numbers
            if rounds.in_signing_span(number, now)
            for status in Status
        ]


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    pools: list[ThreadPoolExecutor] = []
    signed: list[StatusClaim] = []

    def workers(most: int) -> Executor:
        pools.append(ThreadPoolExecutor(most))
        return pools[-1]

    with World(tmp_path) as world:
        world.run(2)
        world.clock.now += 100  # a checkpoint after this pause settles the first rounds
        world.run(2)
        wire = Hanging(world)
        session = requests.Session()
        session.mount("http://", wire)
        runtime = replace(world.runtime(OPERATOR), http=HttpClient(session), workers=workers)
        parts = world.components(OPERATOR)
        prober = Prober(world.committee, runtime, myself=OPERATOR)
        checks = StatusChecks(
            world.committee,
            OPERATOR,
            parts.journal,
            parts.log,
            parts.follower,
            prober,
            parts.peers,
            runtime.wall,
        )
        attester = Attester(
            world.committee,
            Seat(OPERATOR, [world.members.secrets[OPERATOR]]),
            journal=parts.journal,
            log=parts.log,
            follower=parts.follower,
            status_checks=checks,
            log_claim_checks=LogClaimChecks(parts.log, parts.peers, runtime.wall),
            handover_checks=Mock(),
            key_check=parts.key_check,
            gaps=parts.gaps,
            window_voter=parts.window_voter,
            runtime=runtime,
            on_signed=signed.append,
        )
        pools.append(ThreadPoolExecutor(64))
        yield Operator(world, wire, attester, pools[-1], pools, signed)
        wire.released.set()
        for pool in pools:
            pool.shutdown(wait=True)


def now(operator: Operator) -> int:
    rounds = operator.world.committee.rounds
    return rounds.start(rounds.number(operator.world.clock.now))


def checkpoint(operator: Operator) -> CheckpointClaim:
    head = operator.world.components(OPERATOR).log.head()
    last = operator.world.components(OPERATOR).log.state.checkpoint
    due = last.timestamp + operator.world.committee.rounds.checkpoint_every
    operator.world.clock.now = max(operator.world.clock.now, float(due))
    return CheckpointClaim(head.size, head.root, now(operator))


def downtime(operator: Operator, begin: int) -> DowntimeClaim:
    log, world = operator.world.components(OPERATOR).log, operator.world
    genesis = world.committee.rounds.genesis
    period = (genesis + begin, genesis + 20)
    return settled_claim(log, HANGING, period, world.clock.now)


def test_strangers_hide_no_outage(operator: Operator) -> None:
    """Each probe hangs while a stranger requests everything that is worth an evaluation.

    In a former version, two claims of strangers about the node kept all others out.
    """
    due = checkpoint(operator)
    asked = [
        operator.ask(claim)
        for _ in range(8)
        for claim in (
            *operator.statuses(HANGING),
            *operator.statuses("operator_3"),
            replace(due, log_root=bytes(32)),
            *(downtime(operator, begin) for begin in range(4)),
            replace(downtime(operator, 0), seconds_down=1),
        )
    ]

    assert operator.insist(StatusClaim(HANGING, Status.DOWN, now(operator))) == "signed"
    assert operator.insist(due) == "signed"
    assert operator.insist(downtime(operator, 7)) == "signed"
    outcomes = [each.result(PATIENCE) for each in asked]
    assert set(outcomes) <= set(RefusalReason) | {"signed"}
    assert operator.wire.begun <= 3  # all claims about the node share its probes


def test_claims_about_other_subjects_do_not_wait_for_a_node_that_hangs(operator: Operator) -> None:
    due = checkpoint(operator)
    waiting = [operator.ask(claim) for claim in operator.statuses(HANGING) for _ in range(8)]

    assert operator.insist(due) == "signed"
    assert operator.insist(downtime(operator, 3)) == "signed"
    for other, reason in (("operator_3", "sees_up"), ("operator_9", "unknown_node")):
        claim = StatusClaim(other, Status.DOWN, now(operator))
        assert operator.insist(claim) == reason

    operator.wire.released.set()
    assert {each.result(PATIENCE) for each in waiting} <= {"signed", "busy", "behind", "no_change"}


def test_few_threads_wait_for_a_node_that_hangs(operator: Operator) -> None:
    """Of 60 requests for one claim, four wait; all others are told at once to come again."""
    claim = StatusClaim(HANGING, Status.DOWN, now(operator))
    asked = [operator.ask(claim) for _ in range(60)]
    operator.wire.released.set()

    outcomes = [each.result(PATIENCE) for each in asked]

    assert set(outcomes) <= {"signed", "busy"}
    assert operator.insist(claim) == "signed"
    assert operator.wire.begun == 1
    assert operator.signed == [claim]  # once, for all requests
