"""Each condition of alerts, from its cause to the message, and to the message about its end.

What services answer is worded as they word it. `integration/test_alerts_world` has a fleet that is
blind in fact; e2e `test_network_alerts` has an operator that is stopped in fact.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerting import WARN_DAYS, PaperFleet, config
from dragon.encoding import to_hex
from dragon.net import tls
from dragon.node.readiness import WORDS
from dragon.protocol import event
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.window import WINDOW_SETS, InvalidReason, Verdict, WindowClaim
from dragon.protocol.committee import short_id
from dragon.protocol.refusal import RefusalReason
from dragon.storage.disk import RESERVE_BYTES, Disk
from dragon_explorer.alerts.conditions import FACTS, Condition
from dragon_explorer.alerts.problems import (
    BLIND,
    CERTIFICATE_SECONDS,
    OPERATOR_REASONS,
    SERVICE_REASONS,
    TLS_WORDS,
)
from dragon_explorer.live import answers
from dragon_explorer.live.board import AggregatorReport, OperatorReport, Part, StreamReport

Make = Callable[..., PaperFleet]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a fleet whose rule is about these conditions; all is well for longer than the grace."""
    with ExitStack() as stack:

        def made(*on: Condition, **settings: Any) -> PaperFleet:
            fleet = stack.enter_context(PaperFleet(tmp_path, config(*on, **settings)))
            fleet.up("target_1", "target_2", "target_3")
            fleet.checkpoint()
            fleet.pass_time(60, step=5)
            assert fleet.receiver.types == []
            return fleet

        yield made


def lasts(fleet: PaperFleet, condition: Condition, *, subject: str, text: str) -> None:
    """Let time pass until the condition is told, and check that it was not told too early."""
    after = FACTS[condition].after_seconds or 0
    if after > 10:
        fleet.pass_time(after - 10, step=5)
        assert fleet.receiver.types == []
    fleet.pass_time(40, step=5)
    assert fleet.receiver.types == [f"{condition}.begun"]
    [incident] = fleet.receiver.incidents()
    assert incident["subject"] == subject
    assert incident["certified"] is FACTS[condition].certified
    assert text in fleet.receiver.messages[0].text


def ends(fleet: PaperFleet, condition: Condition) -> None:
    """Let time pass until the end is told."""
    fleet.pass_time(60, step=5)
    assert fleet.receiver.types == [f"{condition}.begun", f"{condition}.resolved"]
    [incident] = fleet.receiver.incidents()
    assert incident["seconds"] == incident["ended"] - incident["begun"] > 0


def test_every_condition_has_its_test_here() -> None:
    tests = [name for name in globals() if name.startswith("test_")]
    for condition in Condition:
        assert any(str(condition) in name for name in tests), condition


def test_no_condition_waits_for_a_word_that_no_service_says() -> None:
    awaited = {word for words in SERVICE_REASONS.values() for word in words} | {*OPERATOR_REASONS}

    assert {word.removesuffix(":") for word in awaited} <= WORDS
    assert BLIND == RefusalReason.BLIND


# Certified by the log


def test_node_down_and_up(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_1")
    lasts(fleet, Condition.NODE_DOWN, subject="target_1", text="Certified.")
    fleet.up("target_1")
    ends(fleet, Condition.NODE_DOWN)

    [incident] = fleet.receiver.incidents()
    for found in (incident["event"], incident["end_event"]):
        event.decode(found).verify(fleet.committee)


def test_flapping(make: Make) -> None:
    fleet = make(Condition.FLAPPING)
    for _ in range(3):
        fleet.down("target_1")
        fleet.pass_time(30, step=5)
        fleet.up("target_1")
        fleet.pass_time(30, step=5)
    assert fleet.receiver.titles == ["Flapping: target_1"]
    fleet.pass_time(1800, step=60)
    fleet.pass_time(10)

    assert fleet.receiver.types == ["flapping.begun", "flapping.resolved"]


def test_maintenance_announced(make: Make) -> None:
    """It has no end."""
    on = Condition.MAINTENANCE_ANNOUNCED
    fleet = make(on, nodes=("target_2", "operator_*"))
    fleet.announce("target_2", 3600, 7200)
    fleet.announce("target_3", 3600, 7200)
    lasts(fleet, on, subject="target_2", text="Certified.")
    fleet.pass_time(90_000, step=3000)

    assert fleet.receiver.titles == ["Maintenance is announced: target_2"]
    [incident] = fleet.receiver.incidents()
    signed = event.decode(incident["event"])
    signed.verify(fleet.committee)
    assert isinstance(signed.claim, MaintenanceClaim)
    assert (signed.claim.node_id, incident["seconds"]) == ("target_2", 0)


def test_the_first_start_tells_no_old_announcement(tmp_path: Path) -> None:
    with PaperFleet(tmp_path, config(Condition.MAINTENANCE_ANNOUNCED)) as fleet:
        fleet.up("target_1")
        fleet.announce("target_1", 3600, 7200)
        fleet.pass_time(10)

        assert fleet.receiver.types == []


STREAM = bytes(range(32))


def window_claim(fleet: PaperFleet, reason: InvalidReason = InvalidReason.NONE) -> WindowClaim:
    """A verdict on the first window of a stream in the present round."""
    rounds = fleet.committee.rounds
    verdict = Verdict.VALID if reason is InvalidReason.NONE else Verdict.INVALID
    now = rounds.start(rounds.number(fleet.now))
    proven = bytes(32), verdict, reason, bytes(32)
    return WindowClaim(STREAM, 0, STREAM, *proven, WINDOW_SETS[0], now)


def test_window_invalid(make: Make) -> None:
    """It has no end."""
    fleet = make(Condition.WINDOW_INVALID)
    claim = window_claim(fleet, InvalidReason.STARK)
    fleet.happen(fleet.members.certify(claim, fleet.members.secrets))
    fleet.pass_time(10)
    fleet.pass_time(90_000, step=3000)

    assert fleet.receiver.types == ["window_invalid.begun"]
    [incident] = fleet.receiver.incidents()
    found = event.decode(incident["event"])
    found.verify(fleet.committee)
    assert found.claim == claim


# An operator


def test_operator_silent(make: Make) -> None:
    fleet = make(Condition.OPERATOR)
    fleet.silent.add("operator_2")
    lasts(fleet, Condition.OPERATOR, subject="operator_2", text="does not respond")
    fleet.silent.clear()
    ends(fleet, Condition.OPERATOR)


@pytest.mark.parametrize(
    "reason",
    [
        "silent: no checkpoint for 130 s",
        "blind: too few peers answer for a quorum",
        "clock: more than 2 s off according to the peers",
        "journal: a round that begins in 600 s is signed already; the clock was ahead then",
        "not_certifying: no checkpoint is certified since 2026-11-29 10:03:20 UTC",
    ],
)
def test_operator_states_that_it_cannot_work(make: Make, reason: str) -> None:
    fleet = make(Condition.OPERATOR)
    fleet.reasons["operator_2"] = ["ledger: 3 batches behind", reason]
    lasts(fleet, Condition.OPERATOR, subject="operator_2", text=f"operator_2 states: {reason}")
    fleet.reasons.clear()
    ends(fleet, Condition.OPERATOR)


def test_operator_is_blind_by_its_answers_to_an_aggregator(make: Make) -> None:
    fleet = make(Condition.OPERATOR)

    def ask(answer: str) -> None:
        """One round in which an aggregator asks two operators."""
        rounds = fleet.committee.rounds
        number = rounds.number(fleet.now)
        said = [
            {"operator": name, "answer": word, "detail": "", "latency_ms": 3}
            for name, word in (("operator_1", "signed"), ("operator_2", answer))
        ]
        claim = {"kind": "checkpoint", "size": 4, "timestamp": rounds.start(number)}
        gathering = {"claim": claim, "needed": 3, "certified": True, "answers": said}
        made = answers.Round.model_validate(
            {
                "number": number,
                "start": rounds.start(number),
                "begun_late_ms": 0,
                "took_ms": 300,
                "overran": False,
                "skipped": 0,
                "note": "",
                "probes": [],
                "gatherings": [gathering],
            }
        )
        known = next(fleet.board.aggregators(), AggregatorReport("aggregator_1", "http://a"))
        kept = (*(known.rounds.value or ()), made)
        fleet.board.put(replace(known, rounds=Part(kept, fleet.now)))

    ask("blind")
    fleet.pass_time(30, step=5)
    ask("blind")
    fleet.pass_time(40, step=5)

    assert fleet.receiver.titles == ["Operator in trouble: operator_2"]
    assert "sees too few of its peers to judge a node (blind)" in fleet.receiver.messages[0].text
    ask("signed")
    ends(fleet, Condition.OPERATOR)


def test_operator_has_another_log(make: Make) -> None:
    fleet = make(Condition.OPERATOR)
    head = answers.LogHead(size=1, root="0x" + "ab" * 32, ledger_index=0)
    fleet.silent.add("operator_2")  # it answers, as follows

    def answer() -> None:
        ready: Part[answers.Readiness] = Part(
            answers.Readiness(status="ready", reasons=[]), fleet.now
        )
        fleet.board.put(
            OperatorReport("operator_2", "http://operator-2", ready, Part(head, fleet.now))
        )

    for _ in range(20):
        answer()
        fleet.pass_time(5)
    assert fleet.receiver.titles == ["Operator in trouble: operator_2"]
    assert "operator_2 has another log than the explorer" in fleet.receiver.messages[0].text
    fleet.silent.clear()
    ends(fleet, Condition.OPERATOR)


# The committee


def test_quorum_margin_used_up(make: Make) -> None:
    fleet = make(Condition.QUORUM)
    fleet.silent.add("operator_2")
    lasts(fleet, Condition.QUORUM, subject="quorum", text="One more fault stops certification")
    fleet.silent.clear()
    ends(fleet, Condition.QUORUM)


def test_checkpoint_missing_for_three_intervals(make: Make) -> None:
    fleet = make(Condition.CHECKPOINT)
    interval = fleet.committee.rounds.checkpoint_every
    fleet.pass_time(3 * interval - 60, step=5)
    lasts(fleet, Condition.CHECKPOINT, subject="checkpoint", text="one is due every 60 s")
    fleet.checkpoint()
    ends(fleet, Condition.CHECKPOINT)


# Ledger and log


def test_ledger_cannot_be_read(make: Make) -> None:
    fleet = make(Condition.LEDGER)
    fleet.ledger.fault = "no gateway gave a valid answer"
    lasts(fleet, Condition.LEDGER, subject="explorer", text="cannot read the ledger to its end")
    fleet.ledger.fault = ""
    ends(fleet, Condition.LEDGER)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (Condition.LEDGER, "ledger: nothing became final for 61 s"),
        (Condition.LOG_ALARM, "alarm: diverged: a checkpoint certifies another root"),
        (Condition.LOG_ALARM, "log: operator.db is damaged: entry 3 has another hash"),
        (Condition.DISK, "disk: the disk with /fleet/data/operator_2 is full"),
        (Condition.DISK, "damaged: sensor: chunk 7 differs from its digest"),
    ],
)
def test_what_a_service_states(make: Make, condition: Condition, reason: str) -> None:
    fleet = make(condition)
    fleet.reasons["operator_2"] = [reason]
    lasts(fleet, condition, subject="operator_2", text=f"operator_2 states: {reason}")
    fleet.reasons.clear()
    ends(fleet, condition)


def test_log_alarm_of_the_explorer(make: Make) -> None:
    """A quorum certifies what its log does not hold. The alarm is durable and has no end."""
    fleet = make(Condition.LOG_ALARM)
    rounds, size = fleet.committee.rounds, fleet.log.state.size
    claim = CheckpointClaim(size, bytes(32), rounds.start(rounds.number(fleet.now)))
    fleet.happen(fleet.members.certify(claim, fleet.members.secrets))
    lasts(fleet, Condition.LOG_ALARM, subject="explorer", text="The explorer's log has stopped")


# A stream


def stream_service(fleet: PaperFleet, closed: int, error: str = "") -> StreamReport:
    """A stream service with one closed window. Args: `closed`, Unix seconds."""
    stream = to_hex(STREAM)
    window = answers.Window(
        number=0, state="proven", first=0, count=9, closed_ms=closed * 1000, position=None
    )
    said = answers.Stream(
        stream=stream, name="sensor", chunks=9, bytes=9, windows=1, certified=0, stopped=None
    )
    ready = Part(answers.Readiness(status="ready", reasons=[]), fleet.now, error)
    streams, windows = Part({stream: said}, fleet.now), {stream: Part((window,), fleet.now)}
    return StreamReport("stream_service_1", "http://streams", ready, streams, windows)


def test_window_waiting(make: Make) -> None:
    fleet = make(Condition.WINDOW_WAITING)
    fleet.board.put(stream_service(fleet, int(fleet.now)))
    subject = f"sensor ({to_hex(STREAM)[:10]}…)"
    lasts(fleet, Condition.WINDOW_WAITING, subject=subject, text="Window 0 of stream sensor")
    fleet.happen(fleet.members.certify(window_claim(fleet), fleet.members.secrets))
    ends(fleet, Condition.WINDOW_WAITING)


def test_a_silent_stream_service_does_not_end_the_wait_of_its_window(make: Make) -> None:
    fleet = make(Condition.WINDOW_WAITING)
    closed = int(fleet.now)
    fleet.board.put(stream_service(fleet, closed))
    fleet.pass_time(320, step=5)
    fleet.board.put(stream_service(fleet, closed, "no answer in time"))
    fleet.pass_time(600, step=5)

    assert fleet.receiver.types == ["window_waiting.begun"]


# Certificates and disks


def tls_errors() -> list[str]:
    """What a request to a service with a bad certificate says, for each fault that has a name."""
    found = ["its certificate is not trusted", "it does not support TLS 1.2 or later"]
    source = Path(tls.__file__).read_text()
    named = [line.split('"')[1] for line in source.splitlines() if '"its certificate is' in line]
    return [f"no answer: {each}" for each in dict.fromkeys([*found, *named])]


@pytest.mark.parametrize("error", tls_errors())
def test_tls_certificate_is_refused(make: Make, error: str) -> None:
    assert any(words in error for words in TLS_WORDS)
    fleet = make(Condition.TLS)
    fleet.silent.add("operator_2")
    failed: Part[Any] = Part(error=error)
    fleet.board.put(OperatorReport("operator_2", "https://operator-2", readiness=failed))
    lasts(fleet, Condition.TLS, subject="operator_2", text=f"cannot connect to operator_2: {error}")
    fleet.silent.clear()
    ends(fleet, Condition.TLS)


def test_tls_certificate_is_about_to_expire(make: Make) -> None:
    fleet = make(Condition.TLS)
    fleet.expires["operator_1"] = int(fleet.now) + CERTIFICATE_SECONDS + 3600
    fleet.expires["operator_2"] = int(fleet.now) + CERTIFICATE_SECONDS - 1
    text = "The TLS certificate of operator_2 expires at "
    lasts(fleet, Condition.TLS, subject="operator_2", text=text)
    fleet.expires["operator_2"] += 90 * 86_400
    ends(fleet, Condition.TLS)


def test_target_certificate(make: Make) -> None:
    """One operator may lie, so two have to say it."""
    on = Condition.TARGET_CERTIFICATE
    fleet = make(on)
    soon, late = (int(fleet.now) + days * 86_400 for days in (WARN_DAYS, WARN_DAYS + 90))
    fleet.seen_ends = {"operator_1": soon, "operator_2": late, "operator_3": late}
    fleet.pass_time(200, step=5)
    assert fleet.receiver.types == []
    fleet.seen_ends["operator_2"] = soon + 10
    text = "The TLS certificate of target_4 expires at "
    lasts(fleet, on, subject="target_4", text=text)
    fleet.seen_ends = dict.fromkeys(fleet.seen_ends, late)
    ends(fleet, on)


def test_disk_of_the_explorer_is_full(tmp_path: Path) -> None:
    free = [1 << 30]
    disk = Disk(tmp_path, monotonic=lambda: fleet.now, state=lambda _: (free[0], False))
    with PaperFleet(tmp_path, config(Condition.DISK), disks=[disk]) as fleet:
        fleet.up("target_1")
        fleet.pass_time(60, step=5)
        free[0] = RESERVE_BYTES - 1
        lasts(fleet, Condition.DISK, subject="explorer", text="The explorer's disk: ")
        free[0] = 1 << 30
        ends(fleet, Condition.DISK)


# The committee


def test_committee_changed_comes_with_the_handover(make: Make) -> None:
    fleet = make(Condition.COMMITTEE_CHANGED)

    fleet.hand_over(add=["operator_5"])
    fleet.pass_time(10)

    assert fleet.receiver.types == ["committee_changed.begun"]
    [incident] = fleet.receiver.incidents()
    assert (incident["subject"], incident["certified"]) == ("epoch 1", True)
    assert incident["event"]["kind"] == "handover"
    assert incident["event"]["acceptance"]["signers"][-1] == "operator_5"
    assert incident["event"]["next"] == to_hex(fleet.committee.id)
    assert fleet.receiver.messages[0].title == "[test] The committee has changed: epoch 1"
    body = json.loads(fleet.receiver.messages[0].body)["data"]
    assert body["committee_id"] == to_hex(fleet.committee.id)
    assert body["network_id"] == to_hex(fleet.committee.network_id)
    fleet.pass_time(3600, step=60)
    assert fleet.receiver.types == ["committee_changed.begun"]


def test_approval_pending_is_told_until_the_handover(make: Make) -> None:
    fleet = make(Condition.APPROVAL_PENDING)
    following = fleet.following(add=["operator_5"]).committee
    fleet.approved = {"operator_1": following, "operator_2": following}

    short = short_id(following.id)
    lasts(fleet, Condition.APPROVAL_PENDING, subject=short[:19], text=short)
    fleet.hand_over(add=["operator_5"])
    fleet.approved = {}
    ends(fleet, Condition.APPROVAL_PENDING)


def test_one_operator_alone_makes_no_approval_pending(make: Make) -> None:
    """One of four may lie."""
    fleet = make(Condition.APPROVAL_PENDING)
    fleet.approved = {"operator_1": fleet.following(add=["operator_5"]).committee}

    fleet.pass_time(300, step=5)

    assert fleet.receiver.types == []


def test_a_committee_that_cannot_follow_makes_no_approval_pending(make: Make) -> None:
    fleet = make(Condition.APPROVAL_PENDING)
    stranger = fleet.following(network=bytes(31) + b"x").committee
    fleet.approved = dict.fromkeys(fleet.committee.keys, stranger)

    fleet.pass_time(300, step=5)

    assert fleet.receiver.types == []


def test_node_down_ends_when_the_node_leaves(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_2")
    fleet.pass_time(30)

    left = tuple(each for each in fleet.committee.targets if each.id != "target_2")
    fleet.hand_over(targets=left)
    fleet.pass_time(30)

    assert fleet.receiver.types == ["node_down.begun", "node_down.resolved"]
    told = fleet.receiver.messages[-1]
    assert told.title == "[test] Left the committee: target_2"
    assert "target_2 has left the committee. It was down for 30 seconds" in told.text
    assert "up again" not in told.text.lower()
    [incident] = fleet.receiver.incidents(-1)
    assert incident["end_event"]["kind"] == "handover"


def test_node_down_of_a_node_that_left_while_the_explorer_did_not_run_ends(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_2")
    fleet.pass_time(30)
    left = tuple(each for each in fleet.committee.targets if each.id != "target_2")
    fleet.hand_over(targets=left)

    fleet.crash()
    fleet.pass_time(30)

    assert fleet.receiver.types == ["node_down.begun", "node_down.resolved"]
    assert fleet.receiver.titles[-1] == "Left the committee: target_2"


def test_operator_trouble_ends_when_the_operator_leaves(make: Make) -> None:
    fleet = make(Condition.OPERATOR)
    fleet.silent.add("operator_4")
    lasts(fleet, Condition.OPERATOR, subject="operator_4", text="does not respond")

    fleet.hand_over(drop=["operator_4"])
    fleet.pass_time(120, step=5)

    assert fleet.receiver.types == ["operator.begun", "operator.resolved"]
    assert "operator_4 has left the committee" in fleet.receiver.messages[-1].text
    assert "Still" not in fleet.receiver.messages[-1].title
