"""The report, the certificate, the timeline and the payout of one log have the same figures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from committees import make_members
from dragon.agreements.report import CertifiedReport, Terms
from dragon.agreements.rule_file import decode_rule
from dragon.log.downtime_index import DowntimeIndex, Totals
from dragon.log.period import report_at
from dragon.log.store import TreeHead
from dragon.protocol import merkle
from dragon.protocol.claims.base import EventClaim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.period import PeriodReport
from dragon.protocol.state import State
from dragon.protocol.transition import advance
from dragon.protocol.trust import Trust
from dragon_cli.report.certified import Verified, document
from dragon_cli.report.certified_html import as_html, verify_html
from dragon_cli.report.figures import compute
from dragon_cli.report.sources import VerifiedLog
from examples import examples

MEMBERS: Final = make_members(3, targets=2)
ROUNDS: Final = MEMBERS.committee.rounds
NODES: Final = sorted(MEMBERS.committee.urls)
SIGNERS: Final = tuple(MEMBERS.secrets)
LAST_ROUND: Final = 60
UNITS: Final = 1000 * 100

WORDS: Final = st.sampled_from(["up", "down", "excluded"])


@dataclass
class Past:
    """A log whose claims nobody has signed, and the same claims for the timeline."""

    state: State = field(default_factory=lambda: State.of(MEMBERS.committee))
    claims: list[EventClaim] = field(default_factory=list)

    def apply(self, claim: EventClaim) -> None:
        self.state = advance(self.state, claim)
        self.claims.append(claim)

    def head(self, size: int) -> TreeHead:
        return TreeHead(size, self.tree().root(size))

    def listed_nodes(self, _size: int, _interval: tuple[int, int]) -> list[str]:
        return NODES

    def totals(self, size: int, node_id: str, interval: tuple[int, int]) -> Totals:
        index = DowntimeIndex()
        index.extend(self.state)
        return index.totals(size, node_id, interval)

    def tree(self) -> merkle.Tree:
        return merkle.Tree(bytes([at]) * 32 for at in range(self.state.size))

    def log(self) -> VerifiedLog:
        assert self.state.mark is not None
        return VerifiedLog("a log", self.state, self.tree(), self.state.mark, [MEMBERS.committee])

    def timeline(self, node_id: str, begin: int, end: int) -> Counter[str]:
        """What each second of an interval was, looked up in the claims: an independent model."""
        return Counter(
            word for second in range(begin, end) for word in self._words(node_id, second)
        )

    def _words(self, node_id: str, second: int) -> list[str]:
        marks = [c.timestamp for c in self.claims if isinstance(c, CheckpointClaim)]
        before = [time for time in marks if time <= second]
        after = [time for time in marks if time > second]
        moves = [
            c.status
            for c in self.claims
            if isinstance(c, StatusClaim) and c.node_id == node_id and c.timestamp <= second
        ]
        is_covered = before and after and after[0] - before[-1] <= ROUNDS.unknown_after
        if not is_covered or not moves:
            return ["unknown"]
        is_announced = any(
            isinstance(c, MaintenanceClaim) and c.node_id == node_id and c.begin <= second < c.end
            for c in self.claims
        )
        is_maintenance = moves[-1] is Status.DOWN and is_announced
        return [str(moves[-1]), *(["maintenance"] if is_maintenance else [])]


NUMBERS = st.integers(0, LAST_ROUND)
WINDOWS = st.tuples(st.sampled_from(NODES), NUMBERS, st.integers(1, 80))


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    """Logs that settle the time until `LAST_ROUND`."""
    moves = {node: draw(st.sets(NUMBERS, max_size=6)) for node in NODES}
    marks = draw(st.sets(NUMBERS, min_size=4, max_size=16)) | {0, LAST_ROUND // 2}
    windows = draw(st.lists(WINDOWS, min_size=2, max_size=8))
    past = Past()
    for number in range(LAST_ROUND + 1):
        time = ROUNDS.start(number)
        for node, said, seconds in windows:
            if said == number and not past.state.announced(node).has(time, time + seconds):
                past.apply(MaintenanceClaim(node, time, time + seconds, time))
        for node in NODES:
            if number in moves[node]:
                last = past.state.last(node)
                goes_down = last is not None and last.status is Status.UP
                past.apply(StatusClaim(node, Status.DOWN if goes_down else Status.UP, time))
        if number in marks:
            past.apply(CheckpointClaim(past.state.size, bytes(32), time))
    settled = ROUNDS.start(LAST_ROUND) + ROUNDS.settled_after
    past.apply(CheckpointClaim(past.state.size, bytes(32), settled))
    return past


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Rules of every kind, as files."""
    tiers = draw(
        st.sampled_from(['[[0, "up"]]', "[[90, 100], [50, 40]]", '[[80, 100], [10, "up"]]'])
    )
    shown = "".join(
        f"[[tiers]]\nup_percent = {up}\npays_percent = {pays}\n"
        for up, pays in [part.split(", ") for part in tiers.strip("[]").split("], [")]
    )
    weights = "".join(
        f'[[nodes]]\nid = "{node}"\nweight = {draw(st.integers(1, 9))}\n' for node in NODES[1:]
    )
    maintenance, unknown = draw(WORDS), draw(WORDS)
    limits = "" if maintenance == "down" else f"maintenance_seconds = {draw(st.integers(0, 99))}\n"
    limits += "" if unknown == "down" else f"known_percent = {draw(st.integers(0, 99))}.5\n"
    return (
        f'decimals = 2\nmaintenance = "{maintenance}"\nunknown = "{unknown}"\n{limits}'
        f'unearned = "{draw(st.sampled_from(["kept", "shared"]))}"\n{weights}{shown}'
    )


LENGTH: Final = ROUNDS.start(LAST_ROUND) - ROUNDS.genesis


@settings(deadline=None, max_examples=examples(100))
@given(pasts(), st.integers(0, 60), st.integers(1, LENGTH), rules())
def test_report_timeline_certificate_and_payout_agree(
    past: Past, after: int, before: int, rule: str
) -> None:
    begin = ROUNDS.genesis + after
    end = min(begin + before, ROUNDS.genesis + LENGTH)

    made = compute(past.log(), [], begin, end)
    claim, leaves = report_at(past, (begin, end), size=made.size)
    period = PeriodReport.of(MEMBERS.certify(claim, SIGNERS), leaves)
    report = CertifiedReport(period, Terms(decode_rule(rule.encode()), UNITS))
    page = as_html(Verified.of(report, Trust.of(MEMBERS.committee)))
    verified = verify_html(page.encode(), Trust.of(MEMBERS.committee))

    # The log's report, the certified leaves, the document and the timeline have equal seconds.
    assert claim.log_root == made.root
    figures = {each.node_id: each for each in made.nodes}
    shown = {node["node_id"]: node for node in document(verified)["nodes"]}  # type: ignore
    assert list(shown) == [leaf.node_id for leaf in leaves] == NODES
    for leaf in verified.report.period.leaves:
        node, seconds = figures[leaf.node_id], past.timeline(leaf.node_id, begin, end)
        for part in ("up", "down", "maintenance", "unknown"):
            name = f"seconds_{part}"
            assert seconds[part] == getattr(node, name) == shown[leaf.node_id][name]
        assert sum(each.seconds for each in node.incidents) == leaf.seconds_down
        assert leaf.seconds_maintenance <= leaf.seconds_down
        assert leaf.seconds_up(claim) + leaf.seconds_down + leaf.seconds_unknown == end - begin
        row = f'<tr><th scope="row">{leaf.node_id}</th><td class="up">'
        assert page.count(row) == 1
    # The payout follows from them, and is never exceeded.
    assert verified.payout == report.payout()
    assert verified.payout is not None
    assert [each.node_id for each in verified.payout.earnings] == NODES[1:]
    assert 0 <= verified.payout.distributed <= UNITS
    for earning in verified.payout.earnings:
        assert 0 <= earning.counted_up <= earning.counted <= end - begin
