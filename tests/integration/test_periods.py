"""One certificate for all nodes of a period, as rewards would use it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pytest

from committees import make_members
from dragon import errors
from dragon.encoding import parse
from dragon.log.downtime import settled_claim
from dragon.log.period import report_at, settled_report
from dragon.protocol.claims.base import Claim
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.period import PeriodReport
from dragon_aggregator.certifier import AttestationRound
from dragon_aggregator.periods import MAX_REPORTS_KEPT, Periods
from epochs import propose
from simulation import World

NODES = ["operator_1", "operator_2", "operator_3", "operator_4", "target_1"]


@dataclass
class Past:
    """A world after an outage of operator_2, which is settled."""

    world: World
    begin: int
    end: int

    @property
    def claim(self) -> PeriodClaim:
        log = self.world.components("operator_1").log
        return settled_report(log, (self.begin, self.end), self.world.clock.now)[0]

    def ask(self, claim: PeriodClaim, operator: str = "operator_1") -> tuple[int, str]:
        answer = self.world.post(operator, "/attestations", claim.to_json())
        return answer.status_code, answer.json().get("reason", "signed")

    def request(self, begin: int, end: int) -> Any:
        body = {"from": begin, "to": end}
        return self.world.post("aggregator_0", "/period-certificates", body)

    def report(self) -> PeriodReport:
        answer = self.request(self.begin, self.end)
        assert answer.status_code == 200, answer.text
        return PeriodReport.from_json(parse(answer.content))


def settle(world: World, end: int) -> None:
    while world.components("operator_1").log.state.settling(end) is None:
        world.run(1)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """One world for tests that certify nothing on the ledger."""
    with World(tmp_path_factory.mktemp("periods"), make_members(4, targets=1)) as world:
        world.run(3, peers=False)
        world.stop("operator_2")
        world.run(4, peers=False)
        world.resume("operator_2")
        world.run(8, peers=False)
        moves = world.components("operator_1").log.state.nodes["operator_2"]
        begin, end = moves[1].timestamp - 5, moves[2].timestamp + 5
        settle(world, end)
        yield Past(world, begin, end)


def test_the_quorum_certifies_all_nodes_of_a_period(past: Past) -> None:
    report = past.report()

    assert report.verify(past.world.committee) == past.world.committee
    assert [leaf.node_id for leaf in report.leaves] == NODES
    assert report.leaf("operator_2").seconds_down == past.end - past.begin - 10
    assert report.leaf("operator_1").seconds_up(report.claim) == past.end - past.begin
    for node_id in NODES:
        assert report.prove(node_id).verify(past.world.committee) == past.world.committee


def test_period_and_downtime_certificates_state_equal_seconds(past: Past) -> None:
    report = past.report()

    for leaf in report.leaves:
        certified = past.world.components("aggregator_0").downtime.certify(
            leaf.node_id, past.begin, past.end
        )
        claim = certified.claim
        found = claim.seconds_down, claim.seconds_maintenance, claim.seconds_unknown
        assert found == (leaf.seconds_down, leaf.seconds_maintenance, leaf.seconds_unknown)
        assert (claim.size, claim.log_root) == (report.claim.size, report.claim.log_root)


def test_every_log_gives_the_same_report(past: Past) -> None:
    world, interval = past.world, (past.begin, past.end)

    found = {
        settled_report(world.components(name).log, interval, world.clock.now)
        for name in (*world.operators, *world.aggregators)
    }

    assert len(found) == 1


# -- what an operator refuses ----------------------------------------------------------------------


def test_an_operator_refuses_a_period_that_is_not_settled(past: Past) -> None:
    now = int(past.world.clock.now)

    for end in (now - 10, now, now + 100):
        assert past.ask(replace(past.claim, end=end)) == (409, "behind")


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 5},
        {"log_root": bytes(32)},
        {"report": bytes(32)},
        {"nodes": 4},
        {"nodes": 6},
    ],
)
def test_an_operator_refuses_another_report_than_its_own(
    past: Past, changes: dict[str, Any]
) -> None:
    claim = replace(past.claim, begin=past.begin - 1)
    log = past.world.components("operator_1").log
    genuine, _ = report_at(log, (claim.begin, claim.end), size=claim.size)

    assert past.ask(replace(genuine, **changes)) == (409, "malformed")


def test_an_operator_refuses_the_report_at_another_size_of_the_log(past: Past) -> None:
    log = past.world.components("operator_1").log
    earlier, leaves = report_at(log, (past.begin, past.end), size=6)
    assert all(leaf.seconds_unknown for leaf in leaves)

    assert past.ask(earlier) == (409, "malformed")


def test_an_operator_refuses_a_period_without_nodes(past: Past) -> None:
    genesis = past.world.committee.rounds.genesis
    log = past.world.components("operator_1").log
    size = settled_claim(log, "target_1", (genesis - 10, genesis), past.world.clock.now).size
    claim = PeriodClaim(genesis - 10, genesis, 1, bytes(32), log.head(size).root, size)

    assert past.ask(claim) == (409, "malformed")


def test_an_operator_refuses_invalid_members(past: Past) -> None:
    value = past.claim.to_json()

    for change in ({"nodes": 0}, {"to": past.begin}, {"more": 1}, {"report": "0x00"}):
        answer = past.world.post("operator_1", "/attestations", {**value, **change})
        assert (answer.status_code, answer.json()["reason"]) == (400, "malformed")


def test_another_report_on_a_signed_period_is_equivocation(past: Past) -> None:
    claim = past.claim
    assert past.ask(claim) == (200, "signed")
    past.world.restart("operator_1")

    assert past.ask(claim) == (200, "signed")
    assert past.ask(replace(claim, report=bytes(32))) == (409, "equivocation")


def test_a_signed_report_is_not_computed_again(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    assert past.ask(past.claim) == (200, "signed")
    past.world.restart("operator_1")  # it keeps no outcome in memory
    monkeypatch.setattr("dragon_operator.log_claim_checks.report_at", None)

    assert past.ask(past.claim) == (200, "signed")


def test_periods_of_strangers_leave_no_rows_unless_they_are_signed(past: Past) -> None:
    claim = past.claim
    assert past.ask(claim) == (200, "signed")
    before = rows(past.world)

    assert past.ask(replace(claim, begin=past.begin - 2)) == (409, "malformed")
    assert past.ask(replace(claim, size=0)) == (409, "malformed")

    assert rows(past.world) == before


def rows(world: World) -> list[Any]:
    with closing(sqlite3.connect(world.folder / "operator_1-journal.db")) as database:
        return list(database.execute("SELECT * FROM journal_period"))


# -- the aggregator --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"to": 0}, "integer_out_of_range"),
        ({"from": -1}, "integer_out_of_range"),
        ({"from": True}, "not_an_integer"),
        ({"node_id": "operator_1"}, "unknown_member"),
    ],
)
def test_an_invalid_request_is_refused(past: Past, change: dict[str, Any], title: str) -> None:
    body = {"from": past.begin, "to": past.end, **change}

    answer = past.world.post("aggregator_0", "/period-certificates", body)

    assert (answer.status_code, answer.json()["title"]) == (400, title)


def test_a_request_has_a_named_refusal(past: Past) -> None:
    genesis, now = past.world.committee.rounds.genesis, int(past.world.clock.now)

    for begin, end, status, title in (
        (past.begin, past.begin + 366 * 86_400 + 1, 400, "integer_out_of_range"),
        (past.begin, now, 409, "not_settled"),
        (genesis - 10, genesis, 422, "unsuitable_period"),
    ):
        answer = past.request(begin, end)
        assert (answer.status_code, answer.json()["title"]) == (status, title)


def test_a_report_is_made_once_for_all_who_request_it(past: Past) -> None:
    periods = past.world.components("aggregator_0").periods
    first = periods.certify(past.begin, past.end)
    sent = len(past.world.sent)

    assert periods.certify(past.begin, past.end) == first
    assert past.request(past.begin, past.end).content == first
    assert len(past.world.sent) == sent + 1


def test_the_last_16_reports_are_kept(past: Past) -> None:
    periods = past.world.components("aggregator_0").periods
    first = periods.certify(past.begin, past.end)
    for later in range(1, MAX_REPORTS_KEPT + 1):
        periods.certify(past.begin + later, past.end)
    sent = len(past.world.sent)

    periods.certify(past.begin + 1, past.end)
    assert len(past.world.sent) == sent
    assert periods.certify(past.begin, past.end) == first  # made again, from the same signatures
    assert len(past.world.sent) > sent


@dataclass
class WhileCertifying:
    """A certifier during whose work other requests come."""

    request: Callable[[], object]

    def collect(self, claim: Claim, _ends: float) -> AttestationRound:
        self.request()
        return AttestationRound(claim, (), 3)


def test_one_report_is_made_at_a_time_and_strangers_delay_no_member(past: Past) -> None:
    outcomes: list[str] = []

    def again() -> None:
        if outcomes:
            return
        for is_member in (False, True, False):
            try:
                made.certify(past.begin - 1, past.end, is_member=is_member)
            except errors.DragonError as error:
                outcomes.append(error.name)

    certifier: Any = WhileCertifying(again)
    parts = past.world.components("aggregator_0")
    made = Periods(parts.log, parts.log, certifier, past.world.runtime("aggregator_0"))
    with pytest.raises(errors.NotCertified):
        made.certify(past.begin, past.end)

    assert outcomes[0] == "busy"
    assert "not_certified" in outcomes
    with pytest.raises(errors.NotCertified):  # the place is free again
        made.certify(past.begin, past.end)


def test_with_too_few_signers_the_error_has_each_operators_answer(past: Past) -> None:
    stopped = ("operator_3", "operator_4")
    for name in stopped:
        past.world.stop(name)

    with pytest.raises(errors.NotCertified) as refused:
        past.world.components("aggregator_0").periods.certify(past.begin - 5, past.end)

    for name in stopped:
        past.world.resume(name)
    answers = refused.value.facts["answers"]
    assert isinstance(answers, dict)
    assert answers["operator_3"] == "unreachable"


def test_a_period_certificate_is_not_an_event(past: Past) -> None:
    past.world.submit(past.report().certificate)

    assert past.world.components("operator_1").log.refusals() == {"unknown_kind": 1}


def test_the_report_of_a_period_across_a_handover_has_the_nodes_of_both(world: World) -> None:
    world.run(12, peers=False)
    targets = make_members(4, targets=1).committee.targets
    following = propose(world, drop=["operator_4"], targets=targets)
    world.run(2)
    world.take_seats(following)
    seat = world.components("operator_1").log.state.seat
    settle(world, seat + 10)
    periods = world.components("aggregator_0").periods

    def certified(begin: int, end: int) -> list[str]:
        report = PeriodReport.from_json(parse(periods.certify(begin, end)))
        assert report.verify(following.committee) == following.committee
        return [leaf.node_id for leaf in report.leaves]

    assert certified(seat - 20, seat + 10) == NODES
    assert certified(seat - 20, seat) == NODES[:4]
    assert certified(seat, seat + 10) == [*NODES[:3], "target_1"]
