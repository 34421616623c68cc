"""How long an operator's refusal that rests on its own probes answers more requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from committees import make_members
from dragon.probing.probe_result import ProbeResult
from dragon.probing.prober import RESULT_TTL_SECONDS
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.refusal import RefusalReason
from dragon_operator.evaluations import Outcome
from dragon_operator.status_checks import StatusChecks

COMMITTEE = make_members().committee
ROUNDS = replace(COMMITTEE.rounds, seconds=5)
MYSELF, SUBJECT = "operator_1", "operator_2"
BEGUN = 100.0  # monotonic seconds


@dataclass
class Probes:
    """Shared probe results: the subject's is `status`; those of others are half a second older."""

    status: Status
    max_ages: list[float] = field(default_factory=list)

    def probe(
        self, node_ids: Iterable[str], max_age: float = RESULT_TTL_SECONDS
    ) -> dict[str, ProbeResult]:
        self.max_ages.append(max_age)
        return {node_id: self._result(node_id) for node_id in node_ids}

    def _result(self, node_id: str) -> ProbeResult:
        is_subject = node_id == SUBJECT
        status = self.status if is_subject else Status.DOWN
        begun, at = BEGUN if is_subject else BEGUN - 0.5, float(ROUNDS.start(7))
        return ProbeResult(node_id, status, "some reason", begun, at, 1, None)


def refusal(probes: Probes, status: Status) -> Outcome:
    peers: Any = SimpleNamespace(
        ids=[each for each in COMMITTEE.keys if each != MYSELF], is_blind=lambda *_: True
    )
    unused: Any = None
    checks = StatusChecks(
        replace(COMMITTEE, rounds=ROUNDS),
        MYSELF,
        unused,
        unused,
        unused,
        probes,  # type: ignore[arg-type]
        peers,
        lambda: 0.0,
    )
    outcome = checks.refusal_by_probe(StatusClaim(SUBJECT, status, ROUNDS.start(7)))
    assert outcome is not None
    return outcome


@pytest.mark.parametrize(
    ("seen", "claimed", "reason"),
    [
        (Status.UP, Status.DOWN, RefusalReason.SEES_UP),
        (Status.DOWN, Status.UP, RefusalReason.SEES_DOWN),
    ],
)
def test_a_probe_counts_until_an_aggregator_may_have_probed_twice(
    seen: Status, claimed: Status, reason: RefusalReason
) -> None:
    outcome = refusal(Probes(seen), claimed)

    assert outcome.refusal is not None
    assert outcome.refusal[0] is reason
    assert outcome.counts_until == BEGUN + ROUNDS.reprobe_pause_seconds


def test_of_several_probes_the_oldest_counts() -> None:
    outcome = refusal(Probes(Status.DOWN), Status.DOWN)

    assert outcome.refusal is not None
    assert outcome.refusal[0] is RefusalReason.BLIND
    assert outcome.counts_until == BEGUN - 0.5 + ROUNDS.reprobe_pause_seconds


def test_a_result_that_contradicts_the_claim_is_shared_for_the_pause_only() -> None:
    probes = Probes(Status.UP)
    refusal(probes, Status.DOWN)

    assert probes.max_ages == [RESULT_TTL_SECONDS, ROUNDS.reprobe_pause_seconds]
