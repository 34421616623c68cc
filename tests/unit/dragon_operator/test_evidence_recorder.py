"""What is noted is sealed in order, once, and stops nothing if it cannot be stored."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from committees import make_members, secret
from dragon.encoding import parse
from dragon.errors import DiskFull, LogDamaged
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.probing.probe_result import ProbeResult
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Committee
from dragon.protocol.evidence.contradictions import contradictions
from dragon.protocol.evidence.file import Collected, Evidence, OperatorRecords, Outcome
from dragon.protocol.evidence.record import AnswerRecord, record_from_json
from dragon.protocol.evidence.seal import SealedRecord, SignedSeal
from dragon.protocol.evidence.verification import VerifiedRecords, verify, verify_records
from dragon.protocol.lineage import Lineage
from dragon.protocol.log_entry import LogEntry
from dragon.storage.database import Database
from dragon_operator import evidence_recorder
from dragon_operator.evidence_recorder import EvidenceRecorder
from dragon_operator.evidence_store import EvidenceStore, open_evidence
from dragon_operator.seat import Seat
from epochs import Network
from evidence import NODE, proven

MEMBERS = make_members(4, targets=2)
ROUNDS = MEMBERS.committee.rounds
ME = "operator_1"


@dataclass
class Bench:
    """A recorder on a file, with a clock and a disk that may be full."""

    database: Database
    committee: Committee = MEMBERS.committee
    now: float = float(ROUNDS.start(10))
    seat: Seat = field(default_factory=lambda: Seat(ME, (MEMBERS.secrets[ME],)))
    chains: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.store = EvidenceStore(self.database, 1 << 24)
        self.log = cast("Log", SimpleNamespace(state=SimpleNamespace(log_time=0)))
        self.log.committee = self.committee  # type: ignore[misc]
        self.start()

    def start(self) -> EvidenceRecorder:
        runtime = cast(
            "Runtime",
            SimpleNamespace(
                wall=lambda: self.now,
                monotonic=lambda: self.now,
                entropy=lambda size: bytes([next(self.chains)]) * size,
            ),
        )
        self.recorder = EvidenceRecorder(self.seat, self.log, self.store, runtime)
        return self.recorder

    def see(self, *seen: Status, node_id: str = NODE) -> None:
        for status in seen:
            self.now += 1
            result = ProbeResult(node_id, status, "answered", 0.0, self.now, 1, None)
            self.recorder.note_look(result)

    def claim(self, round_: int = 10, node_id: str = NODE) -> StatusClaim:
        return StatusClaim(node_id, Status.DOWN, ROUNDS.start(round_))

    def stored(self, node_id: str = NODE) -> OperatorRecords:
        rows = self.store.page(node_id, 0, 2**40, after=0, limit=10_000)
        seals = [SignedSeal.from_json(parse(text)) for text in dict.fromkeys(r.seal for r in rows)]
        by_text = dict(zip(dict.fromkeys(row.seal for row in rows), seals, strict=True))
        records = [
            SealedRecord(
                record_from_json(parse(row.record)), *by_text[row.seal].place, row.index,
                tuple(row.path),
            )
            for row in rows
        ]  # fmt: skip
        return OperatorRecords(ME, tuple(seals), tuple(records))

    def verified(self, known: Committee | Lineage | None = None) -> VerifiedRecords:
        return verify_records(self.stored(), NODE, known or self.committee)

    def told(self) -> list[str]:
        return [
            each.record.answer if isinstance(each.record, AnswerRecord) else each.record.status
            for each in self.stored().records
        ]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with closing(open_evidence(tmp_path / "operator.db", MEMBERS.committee.id, ME)) as database:
        yield Bench(database)


def test_what_is_noted_is_sealed_once_and_verifies(bench: Bench) -> None:
    bench.see(Status.UP, Status.DOWN)
    bench.recorder.note_refusal(bench.claim(), "sees_up", "our probe found it up")
    bench.recorder.step()
    bench.recorder.note_signature(bench.claim())
    bench.recorder.step()
    bench.recorder.step()

    assert bench.told() == ["up", "down", "sees_up", "attested"]
    assert [each.seal.number for each in bench.stored().seals] == [0, 1]
    assert bench.verified().gaps == ()
    assert (bench.recorder.stored, bench.recorder.lost, bench.recorder.pending) == (4, 0, 0)


def test_a_signature_that_came_late_is_noted(bench: Bench) -> None:
    """The own probe lasted beyond the round's signing span. Only repetitions are left out then."""
    bench.recorder.note_refusal(bench.claim(), "sees_up", "")
    bench.now += 3 * ROUNDS.seconds
    bench.recorder.note_repetition(bench.claim(9))
    bench.recorder.note_signature(bench.claim())
    bench.recorder.note_repetition(bench.claim())
    bench.recorder.step()

    assert bench.told() == ["sees_up", "attested"]


def test_nothing_new_makes_no_seal(bench: Bench) -> None:
    bench.see(Status.UP)
    bench.recorder.step()
    bench.see(Status.UP, Status.UP)
    bench.recorder.step()

    assert len(bench.stored().seals) == 1


@pytest.mark.parametrize(
    ("round_", "node_id", "reason"),
    [
        (10, "stranger", "sees_up"),  # no committee lists it
        (9_999, NODE, "sees_up"),  # not to be signed now
        (2, NODE, "behind"),
        (10, NODE, "busy"),
        (10, NODE, "no_change"),
        (10, NODE, "off_round"),
        (10, NODE, "subject"),
        (10, NODE, "malformed"),
    ],
)
def test_requests_of_strangers_leave_nothing(
    bench: Bench, round_: int, node_id: str, reason: str
) -> None:
    bench.recorder.note_refusal(bench.claim(round_, node_id), reason, "")
    bench.recorder.note_refusal(
        replace(bench.claim(), timestamp=ROUNDS.start(10) + 1), "sees_up", ""
    )
    bench.recorder.step()

    assert bench.recorder.stored == 0


def test_an_event_in_the_log_ends_the_runs_of_its_node(bench: Bench) -> None:
    bench.see(Status.UP, Status.UP, Status.UP)
    event = MEMBERS.certify(bench.claim(), ["operator_2", "operator_3", "operator_4"])
    bench.recorder.note_entries([LogEntry(0, event, 0)])
    bench.recorder.step()

    assert [each.record.count for each in bench.stored().records] == [1, 3]


def test_a_restart_continues_the_records_in_another_chain(bench: Bench) -> None:
    bench.see(Status.UP)
    bench.recorder.step()
    bench.start()
    bench.see(Status.DOWN)
    bench.recorder.step()
    [one, two] = bench.stored().seals

    assert one.seal.chain != two.seal.chain
    assert two.seal.previous == one.hash
    assert bench.verified().gaps == ()


def test_stopping_records_what_is_open(bench: Bench) -> None:
    bench.see(Status.UP, Status.UP)
    stop = cast("Any", SimpleNamespace(wait=lambda _: True))
    bench.recorder.run(stop)

    assert [each.record.count for each in bench.stored().records] == [1, 2]


class Broken(EvidenceStore):
    """A store that cannot write until `works`."""

    works = False
    fault: type[Exception] = DiskFull

    def add(self, *arguments: Any) -> None:
        if not self.works:
            raise self.fault("the disk with /data is full")
        super().add(*arguments)


@pytest.mark.parametrize("fault", [DiskFull, LogDamaged])
def test_a_disk_that_is_full_loses_nothing_for_a_while(
    bench: Bench, fault: type[Exception]
) -> None:
    broken = Broken(bench.database, 1 << 24)
    broken.fault = fault
    bench.store = broken
    recorder = bench.start()
    bench.see(Status.UP, Status.DOWN)
    recorder.step()
    assert (recorder.fault, recorder.pending) == ("the disk with /data is full", 2)

    broken.works = True
    bench.see(Status.UP)
    recorder.step()

    assert (recorder.fault, recorder.pending, recorder.lost) == ("", 0, 0)
    assert bench.told() == ["up", "down", "up"]
    assert len({each.chain for each in bench.verified().records}) == 1


def test_what_is_lost_begins_another_chain(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_recorder, "MAX_PENDING", 2)
    bench.see(Status.UP)
    bench.recorder.step()
    bench.see(Status.DOWN, Status.UP, Status.DOWN)
    bench.recorder.step()

    assert bench.recorder.lost == 1
    assert bench.told() == ["up", "up", "down"]
    assert len({each.chain for each in bench.verified().records}) == 2


def test_many_records_are_several_seals(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_recorder, "MAX_RECORDS_PER_SEAL", 2)
    bench.see(Status.UP, Status.DOWN, Status.UP, Status.DOWN, Status.UP)
    bench.recorder.step()

    assert [each.seal.records for each in bench.stored().seals] == [2, 2, 1]
    assert len(bench.verified().records) == 5


def test_an_operator_without_a_seat_keeps_no_records(bench: Bench) -> None:
    bench.seat = Seat(ME, (secret("another key"),))
    recorder = bench.start()
    bench.see(Status.UP, Status.DOWN)
    recorder.step()

    assert (recorder.stored, recorder.lost, recorder.pending) == (0, 0, 0)


def test_records_across_a_rotation_verify_with_the_lineage(bench: Bench) -> None:
    network = Network([MEMBERS])
    following = network.step(rotate={ME: secret("next")})
    bench.seat = Seat(ME, (MEMBERS.secrets[ME], secret("next")))
    recorder = bench.start()
    bench.see(Status.UP)
    recorder.step()
    bench.log.committee = following.committee  # type: ignore[misc]
    bench.see(Status.DOWN)
    recorder.step()

    verified = bench.verified(network.lineage())
    assert [seal.committee_id for seal in verified.seals.values()] == [
        MEMBERS.committee.id,
        following.committee.id,
    ]
    assert not verified.counts  # the first seal has the key that was replaced


def test_a_restored_copy_equivocates_never(bench: Bench, tmp_path: Path) -> None:
    """The copy goes on with another chain, so no number is used twice."""
    bench.see(Status.UP)
    bench.recorder.step()
    copy = tmp_path / "copy"
    copy.mkdir()
    with closing(sqlite3.connect(bench.database.path)) as connection:
        connection.execute(f"VACUUM INTO '{copy / 'operator-evidence.db'}'")
    bench.see(Status.DOWN)
    bench.recorder.step()
    later = bench.stored()
    with closing(open_evidence(copy / "operator.db", MEMBERS.committee.id, ME)) as database:
        bench.store = EvidenceStore(database, 1 << 24)
        bench.start()
        bench.see(Status.UP)
        bench.recorder.step()
        restored = bench.stored()

    places: Sequence[tuple[bytes, int]] = [each.place for each in (*later.seals, *restored.seals)]
    assert len(set(places)) == 3
    assert restored.records[-1].record.previous != later.records[-1].record.hash


class HonestOperator(Bench):
    """Looks, signs what its own last look says, and meets crashes, full disks and clock changes."""

    def begin(self, seed: int) -> None:
        self.now = float(ROUNDS.start(10_000))
        self.random = random.Random(seed)
        self.signed: list[StatusClaim] = []
        self.journal: dict[int, Status] = {}
        self.last: tuple[float, Status] = (0.0, Status.UP)

    def live(self) -> None:
        self.now += self.random.choice([0.3, 1, 2, 5, 20])
        step = self.random.choice(
            [self.look, self.look, self.claim_something, self.claim_something, self.recorder.step,
             self.crash, self.change_clock, self.change_in_the_log]
        )  # fmt: skip
        step()

    def look(self) -> None:
        self.last = (self.now, self.random.choice(list(Status)))
        self.see(self.last[1])
        self.last = (self.now, self.last[1])

    def claim_something(self) -> None:
        number = ROUNDS.number(self.now)
        claim = StatusClaim(NODE, self.random.choice(list(Status)), ROUNDS.start(number))
        begun, status = self.last
        if self.journal.get(number, claim.status) is not claim.status:
            self.recorder.note_refusal(claim, "equivocation", "")
        elif not ROUNDS.in_signing_span(number, begun) or self.random.random() < 0.1:
            self.recorder.note_refusal(claim, "blind", "")
        elif status is not claim.status:
            self.recorder.note_refusal(claim, f"sees_{status}", "")
        else:
            self.journal[number] = claim.status
            self.signed.append(claim)
            self.recorder.note_signature(claim)

    def crash(self) -> None:
        if self.random.random() < 0.3:
            self.start()
            self.last = (0.0, Status.UP)

    def change_clock(self) -> None:
        self.now += self.random.choice([-60, -7, 0, 0, 60])

    def change_in_the_log(self) -> None:
        event = MEMBERS.certify(self.claim(), ["operator_2", "operator_3", "operator_4"])
        self.recorder.note_entries([LogEntry(0, event, 0)])


@pytest.mark.parametrize("seed", range(8))
def test_an_honest_operator_is_never_accused(tmp_path: Path, seed: int) -> None:
    """Whatever happens to it, its records verify and contradict no certificate that it signed."""
    with closing(open_evidence(tmp_path / "operator.db", MEMBERS.committee.id, ME)) as database:
        operator = HonestOperator(database)
        operator.begin(seed)
        for _ in range(120):
            operator.live()
        operator.recorder.step()
        collected = (Collected(Outcome.RECORDS, operator.stored()),)

    files = [
        Evidence(
            NODE, 0, 2**40, 0, proven(MEMBERS, claim, [ME, "operator_2", "operator_3"]), collected
        )
        for claim in operator.signed
    ]
    found = contradictions([verify(each, MEMBERS.committee) for each in files])

    assert [(str(each.kind), each.detail) for each in found] == []
