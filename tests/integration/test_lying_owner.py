"""An owner of a stream with readings who lies, before real operators on a simulated ledger.

It holds all keys of the stream, signs any header and makes any proof that can be made. What the
operators can see is found invalid, with a fault by name. What they cannot see is that a committed
number is not the one in the data: such a window is certified, and the disclosure of a chunk shows
it.

Tests share a world to save time. Each test uses its own stream.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

import reading_model
from dragon.encoding import to_hex
from dragon.errors import DisclosureRefused, StreamReportRefused
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.window import Statement, WindowClaim
from dragon.protocol.streams import finding
from dragon.protocol.streams.chunks import encode_chunks, tree_of
from dragon.protocol.streams.closing import HeaderClaim
from dragon.protocol.streams.disclosure import check_disclosure
from dragon.protocol.streams.spot_check import SpotCheckRequest, draw
from dragon.protocol.streams.spot_check_verification import NOT_OPENED, verify_spot_check
from dragon.protocol.streams.stream_report import StreamReport
from dragon.protocol.streams.stream_report_verification import verify_stream_report
from dragon.stark.prover.blocks import hash_many
from memoize import windows_verified_once
from reading_streams import ReadingsOwner, make_readings_owner
from simulation import World
from stream_reports import Ledger, ledger
from streams import START_MS, Window

READINGS, NONE = HeaderClaim
HONEST = [b"4.0", b"4.5"]
STATED: dict[str, Any] = {"sum": {"kind": "stated", "width": "9"}}
MEAN: dict[str, Any] = {"sum": {"kind": "mean", "low": "40", "high": "60"}}

Certified: TypeAlias = tuple[str, str, str | None]  # verdict, reason, statement
Lie: TypeAlias = Callable[[ReadingsOwner, Window], tuple[Window, bytes]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("lies")) as made:
        made.confirm_clocks()
        yield made


@pytest.fixture(autouse=True, scope="module")
def _verified_once() -> Iterator[None]:
    with windows_verified_once():
        yield


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A stream's name that no other test uses."""
    return "cold-chain-" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]


def start(world: World, name: str, *data: bytes, **changes: Any) -> tuple[ReadingsOwner, Window]:
    """A stream with these readings, and its first window, certified."""
    owner = make_readings_owner(world.members, name, **changes)
    window = owner.window(data or HONEST, began_ms=int(1000 * world.clock.now) - 500)
    (found,) = submit(world, owner, window, owner.prove(window))
    assert found == ("valid", "none", {READINGS: "readings", NONE: "blocks"}[window.header.claim])
    return owner, window


def submit(world: World, owner: ReadingsOwner, window: Window, proof: bytes) -> list[Certified]:
    """Submit a window as its owner does. Return what all logs say about its number then."""
    submission, chunks = owner.submission(window, proof), encode_chunks(window.chunks)
    aggregator = "aggregator_0"
    answer = world.post(aggregator, "/windows", submission.to_json())
    assert answer.status_code == 202, answer.text
    for body in () if answer.json()["state"] == "applied" else (chunks, proof):
        host = next(host for host, known in world.names.items() if known == aggregator)
        address = f"http://{host}/objects/{to_hex(hashlib.sha256(body).digest())}"
        assert world.session("owner").put(address, data=body).status_code == 201
    world.post(aggregator, "/windows", submission.to_json())
    for _ in range(2):
        world.clock.sleep(1.1)
        world.settle()
    return certified(world, owner, window.header.number)


def certified(world: World, owner: ReadingsOwner, number: int) -> list[Certified]:
    """The verdicts on a window. Every operator must show the same ones."""
    path = f"/streams/{to_hex(owner.descriptor.id)}/windows/{number}"
    shown = [world.get(name, path).json().get("verdicts", []) for name in world.operators]
    assert all(each == shown[0] for each in shown)
    events = [each["event"] for each in shown[0]]
    return [(each["verdict"], each["reason"], each.get("statement")) for each in events]


def refusals(world: World, owner: ReadingsOwner, window: Window) -> set[str]:
    """Why operators do not judge this window at all."""
    submission = owner.submission(window, b"no proof").to_json()
    answers = [world.post(name, "/windows", submission) for name in world.operators]
    assert {answer.status_code for answer in answers} == {409}
    return {answer.json()["reason"] for answer in answers}


# -- other bounds than the descriptor's ------------------------------------------------------------


def under(changes: dict[str, int], *data: bytes) -> Lie:
    """A true proof of data that break one bound, under bounds that the owner has changed."""

    def lie(owner: ReadingsOwner, before: Window) -> tuple[Window, bytes]:
        window = owner.window(data, before)
        assert window.header.claim is NONE, "the data keep the bounds"
        window = relabelled(owner, window, READINGS)
        return window, owner.prove(window, **changes)

    return lie


def relabelled(owner: ReadingsOwner, window: Window, claim: HeaderClaim) -> Window:
    return with_header(owner, window, claim=claim)


def with_header(owner: ReadingsOwner, window: Window, **changes: Any) -> Window:
    header = replace(window.header, **changes)
    return replace(window, header=header, signature=owner.sign(header))


# By the bound that is broken. The first window ends with 4.5 °C; steps are at most 1.5 °C.
BOUNDS: dict[str, tuple[dict[str, Any], Lie]] = {
    "low": ({}, under({"low": 0, "sum_low": 0}, b"3.1", b"1.9")),
    "high": ({}, under({"high": 99}, b"5.9", b"7.1", b"8.1")),
    "fall": ({}, under({"step_low": -20}, b"4.5", b"2.5")),
    "rise": ({}, under({"step_high": 20}, b"4.5", b"6.5")),
    "least mean": (MEAN, under({"sum_low": 75}, b"3.7", b"3.8")),
    "greatest mean": (MEAN, under({"sum_high": 201}, b"6.0", b"7.0", b"7.1")),
}


@pytest.mark.parametrize("bound", list(BOUNDS))
def test_a_true_proof_under_other_bounds_is_found_invalid(
    world: World, name: str, bound: str
) -> None:
    changes, lie = BOUNDS[bound]
    owner, before = start(world, name, **changes)

    found = submit(world, owner, *lie(owner, before))

    assert found == [("invalid", "stark", "readings")]


def test_narrower_bounds_are_other_bounds(world: World, name: str) -> None:
    """Otherwise the owner could tell more of one window, which the descriptor does not allow."""
    owner, before = start(world, name)
    window = owner.window(HONEST, before)

    found = submit(world, owner, window, owner.prove(window, low=30, sum_low=60))

    assert found == [("invalid", "stark", "readings")]


def uncarried(owner: ReadingsOwner, before: Window) -> tuple[Window, bytes]:
    """A step of 2 °C between two windows, hidden by a proof that begins with the second one."""
    window = relabelled(owner, owner.window([b"6.5", b"6.6"], before), READINGS)
    bounds = owner.readings.bounds(2, False, None)
    assert bounds is not None
    return window, owner.prove_readings(replace(window, previous=None), bounds)


def carried_another(owner: ReadingsOwner, before: Window) -> tuple[Window, bytes]:
    """The same step, hidden by another reading in place of the previous window's last one."""
    window = relabelled(owner, owner.window([b"6.5", b"6.6"], before), READINGS)
    (other,) = owner.openings(before.header.first, [b"5.5"], [55])
    made_up = replace(before, openings=(other,))
    return window, owner.prove(replace(window, previous=made_up))


@pytest.mark.parametrize("lie", [uncarried, carried_another])
def test_a_step_between_two_windows_is_not_hidden(world: World, name: str, lie: Lie) -> None:
    owner, before = start(world, name)

    assert submit(world, owner, *lie(owner, before)) == [("invalid", "stark", "readings")]


# -- headers that contradict the descriptor --------------------------------------------------------


def header(*data: bytes, **changes: Any) -> Lie:
    """A window with a changed header. Its proof is one that fits all but the change."""

    def lie(owner: ReadingsOwner, before: Window) -> tuple[Window, bytes]:
        window = with_header(owner, owner.window(data or HONEST, before), **changes)
        return window, owner.prove_blocks(window)

    return lie


def too_many(owner: ReadingsOwner, before: Window) -> tuple[Window, bytes]:
    """Eight new readings and the carried one; the descriptor allows eight in all."""
    window = owner.window([b"4.5"] * 8, before)
    return window, owner.prove_blocks(window)


def true_length(owner: ReadingsOwner, before: Window) -> tuple[Window, bytes]:
    """Chunk headers that state how long the data is, as in a stream without readings."""
    window = owner.window(HONEST, before)
    pairs = zip(window.chunks, window.data, strict=True)
    chunks = tuple(replace(chunk, length=len(data)) for chunk, data in pairs)
    window = replace(window, chunks=chunks)
    window = with_header(owner, window, chunks_root=tree_of(chunks).root())
    return window, owner.prove(window)


def stated(change: int) -> Lie:
    """A sum with another lower end than the readings have; the proof is for the right one."""

    def lie(owner: ReadingsOwner, before: Window) -> tuple[Window, bytes]:
        window = owner.window(HONEST, before)
        assert window.header.stated is not None
        bounds = owner.bounds(window)
        other = with_header(owner, window, stated=window.header.stated + change)
        return other, owner.prove_readings(other, bounds)

    return lie


def downgraded(owner: ReadingsOwner, before: Window) -> tuple[Window, bytes]:
    """A claim that its readings keep the bounds, with a proof that says nothing of them."""
    window = relabelled(owner, owner.window([b"9.9"], before), READINGS)
    return window, owner.prove_blocks(window)


def upgraded(owner: ReadingsOwner, before: Window) -> tuple[Window, bytes]:
    """No claim, with a readings proof."""
    window = relabelled(owner, owner.window(HONEST, before), NONE)
    return window, owner.prove_readings(window, owner.bounds(window))


LIES: dict[str, tuple[str, dict[str, Any], Lie]] = {
    "no claim": ("header", {}, header(claim=None)),
    "no last commitment": ("header", {}, header(last=None)),
    "a last commitment that nobody asked for": (
        "header",
        {"carry": False, "fall": "60", "rise": "60"},
        header(last=bytes(32)),
    ),
    "a sum that nobody asked for": ("header", {}, header(stated=80)),
    "no sum": ("header", STATED, header(stated=None)),
    "a sum without a claim": ("header", STATED, header(b"9.9", stated=90)),
    "too many readings": ("header", {}, too_many),
    "another last commitment": ("root", {}, header(last=bytes(32))),
    "the length of the data": ("root", {}, true_length),
    "a sum beside the grid": ("statement", STATED, stated(1)),
    "a sum that no readings have": ("statement", STATED, stated(1000)),
    "another sum": ("stark", STATED, stated(10)),
    "a blocks proof for a claim": ("stark", {}, downgraded),
    "a readings proof without a claim": ("stark", {}, upgraded),
}


@pytest.mark.parametrize("which", list(LIES))
def test_a_lie_of_the_owner_is_certified_by_its_name(world: World, name: str, which: str) -> None:
    reason, changes, lie = LIES[which]
    owner, before = start(world, name, **changes)
    window, proof = lie(owner, before)

    ((verdict, fault, statement),) = submit(world, owner, window, proof)

    assert (verdict, fault) == ("invalid", reason)
    claimed = window.header.claim is READINGS
    assert statement == ("readings" if claimed else "blocks")


def test_a_stream_without_readings_states_nothing(world: World, name: str) -> None:
    """Its header must not claim readings, and its events have no statement."""
    owner = make_readings_owner(world.members, name)
    plain = replace(owner, descriptor=replace(owner.descriptor, readings=None))
    window = owner.window(HONEST, began_ms=int(1000 * world.clock.now) - 500)
    moved = replace(window.header, stream=plain.descriptor.id, previous=plain.descriptor.id)
    window = replace(window, header=moved, signature=plain.sign(moved))

    assert submit(world, plain, window, b"") == [("invalid", "header", None)]


def test_the_right_proof_is_certified_after_a_lie(world: World, name: str) -> None:
    owner, before = start(world, name)
    window = owner.window(HONEST, before)
    wrong, right = owner.prove_blocks(window), owner.prove(window)
    assert submit(world, owner, window, wrong) == [("invalid", "stark", "readings")]
    world.clock.sleep(5)

    found = submit(world, owner, window, right)

    assert found == [("invalid", "stark", "readings"), ("valid", "none", "readings")]


# -- windows without the claim ---------------------------------------------------------------------


def test_a_window_without_the_claim_is_as_valid_as_any(world: World, name: str) -> None:
    """One reading out of bounds, and a message without a number. The next windows claim again."""
    owner, before = start(world, name)
    for data, statement in (
        ([b"4.5", b"9.9", b"4.5"], "blocks"),
        ([b"4.4", b"sensor restarted", b"4.4"], "blocks"),
        (HONEST, "readings"),
    ):
        before = owner.window(data, before)
        assert submit(world, owner, before, owner.prove(before)) == [("valid", "none", statement)]


def test_a_bad_last_reading_takes_the_claim_from_the_next_window_only(
    world: World, name: str
) -> None:
    owner, before = start(world, name, b"4.5", b"9.9")
    statements = []
    for _ in range(2):
        before = owner.window(HONEST, before)
        statements += submit(world, owner, before, owner.prove(before))

    assert [each[2] for each in statements] == ["blocks", "readings"]


def test_an_owner_may_always_claim_nothing(world: World, name: str) -> None:
    owner, before = start(world, name)
    window = relabelled(owner, owner.window(HONEST, before), NONE)

    found = submit(world, owner, window, owner.prove(window))

    assert found == [("valid", "none", "blocks")]


def test_a_certified_window_is_not_relabelled_later(world: World, name: str) -> None:
    """Another window of that number, with numbers that are made up, has a true proof."""
    owner, without = start(world, name, b"4.5", b"9.9", b"4.5")
    other = owner.window(
        without.data, began_ms=without.header.first_received_ms, values=(45, 46, 45)
    )
    assert other.header.claim is READINGS
    following = owner.window(HONEST, other)

    submit(world, owner, other, owner.prove(other))

    assert refusals(world, owner, other) == {"no_change"}
    assert refusals(world, owner, following) == {"behind"}
    assert certified(world, owner, 0) == [("valid", "none", "blocks")]


def test_a_certified_window_is_not_left_out_later(world: World, name: str) -> None:
    """A window that follows the last one but one, as if the bad one had never been."""
    owner, first = start(world, name)
    without = owner.window([b"9.9"], first)
    submit(world, owner, without, owner.prove(without))
    instead = owner.window(HONEST, first)
    skipping = with_header(owner, instead, number=2)

    assert refusals(world, owner, instead) == {"no_change"}
    assert refusals(world, owner, skipping) == {"behind"}
    assert certified(world, owner, 1) == [("valid", "none", "blocks")]
    assert certified(world, owner, 2) == []


def test_operators_sign_no_other_statement_than_the_one_they_verified(
    world: World, name: str
) -> None:
    owner, before = start(world, name)
    window = owner.window([b"9.9"], before)
    proof = owner.prove(window)
    submission = owner.submission(window, proof)
    rounds = world.committee.rounds
    asked = []
    world.post("aggregator_0", "/windows", submission.to_json())
    for body in (encode_chunks(window.chunks), proof):
        host = next(host for host, known in world.names.items() if known == "aggregator_0")
        world.session("owner").put(
            f"http://{host}/objects/{to_hex(hashlib.sha256(body).digest())}", data=body
        )
    for operator in world.operators:
        assert world.post(operator, "/windows", submission.to_json()).status_code == 200
        timestamp = rounds.start(rounds.number(world.clock.now))
        right = finding.Finding(finding.InvalidReason.NONE).claim(
            owner.descriptor, window.header, hashlib.sha256(proof).digest(), timestamp
        )
        for statement in (Statement.READINGS, None):
            wrong: WindowClaim = replace(right, statement=statement)
            answer = world.post(operator, "/attestations", wrong.to_json())
            asked.append(answer.status_code)
        assert world.post(operator, "/attestations", right.to_json()).status_code == 200

    assert set(asked) == {409}


# -- other numbers than those in the data ----------------------------------------------------------


def test_a_made_up_number_is_certified_and_shown_by_disclosure(world: World, name: str) -> None:
    """Committed readings keep the bounds, and that is all that the statement says."""
    owner, before = start(world, name)
    window = owner.window([b"4.5", b"9.9", b"warm"], before, values=(45, 46, 47))

    assert submit(world, owner, window, owner.prove(window)) == [("valid", "none", "readings")]

    def disclosed(place: int) -> int | None:
        arguments = window.chunks[place].commitment, window.openings[place], window.data[place]
        return check_disclosure(owner.readings, *arguments)

    assert disclosed(0) == 45
    for place, reason in ((1, "number"), (2, "no_number")):
        with pytest.raises(DisclosureRefused) as refused:
            disclosed(place)
        assert refused.value.reason == reason


def test_no_other_opening_hides_a_made_up_number(world: World, name: str) -> None:
    """Number, value, digest and salt are bound together: each change is refused by name."""
    owner = make_readings_owner(world.members, name)
    window = owner.window([b"9.9"], values=(45,))
    (opened,), (commitment,) = window.openings, hash_many(window.openings)
    (true_number,) = owner.openings(0, [b"9.9"], [99])
    salt = slice(32, 52)
    other_salt = opened[:32] + bytes(20) + opened[52:]
    assert true_number[salt] == opened[salt]
    top_bits = opened[:52] + bytes([opened[52] | 0x10]) + opened[53:]

    for opening, data, reason in (
        (opened, b"9.9", "number"),
        (opened, b"4.5", "digest"),
        (true_number, b"9.9", "commitment"),
        (other_salt, b"9.9", "number"),
        (true_number[:32] + bytes(20) + true_number[52:], b"9.9", "commitment"),
        (top_bits, b"9.9", "top_bits"),
        (opened[:-1], b"9.9", "size"),
        (opened, b"9.9" + b" " * 14, "length"),
    ):
        with pytest.raises(DisclosureRefused) as refused:
            check_disclosure(owner.readings, commitment, opening, data)
        assert refused.value.reason == reason


# -- reports ---------------------------------------------------------------------------------------

PERIOD: Final = (START_MS // 1000, START_MS // 1000 + 600)


@pytest.fixture
def story(world: World, name: str, tmp_path: Path) -> Iterator[Ledger]:
    """A log with three windows, of which the second has no claim."""
    owner = make_readings_owner(world.members, name)
    with ledger(tmp_path, world.members, owner) as made:
        for number, data in enumerate((HONEST, [b"4.5", b"9.9", b"4.5"], HONEST)):
            window = owner.window(data, made.windows[-1] if made.windows else None)
            made.certify(window, 150 + number, owner.prove(window))
        yield made


def report(story: Ledger, numbers: Any, **more: Any) -> StreamReport:
    return story.report(numbers, story.log.checkpoint(170), PERIOD, **more)


def reason_of(story: Ledger, shown: StreamReport) -> str:
    committee = story.log.newest.committee
    with pytest.raises(StreamReportRefused) as refused:
        verify_stream_report(shown, committee, stream=story.owner.descriptor.id)
    return str(refused.value.reason)


def test_an_honest_report_names_the_window_without_the_claim(story: Ledger) -> None:
    committee, stream = story.log.newest.committee, story.owner.descriptor.id
    shown = report(story, range(3), with_proofs=True)

    summary = verify_stream_report(shown, committee, stream=stream)

    assert [each.number for each in summary.unclaimed] == [1]
    assert (summary.windows, summary.readings) == (3, 4)


def test_a_report_that_leaves_out_a_window_is_refused(story: Ledger) -> None:
    """The owner makes the file as if the window had never been."""
    assert reason_of(story, report(story, [0, 2])) == "gap"


def test_a_report_that_begins_behind_a_window_is_refused(story: Ledger) -> None:
    """It states a period that has this window, too."""
    assert reason_of(story, report(story, range(2, 3))) == "period"


def test_a_report_with_a_relabelled_window_is_refused(story: Ledger) -> None:
    """The owner signs the other header as well, but the operators have not voted on it."""
    shown, owner = report(story, range(3)), story.owner
    lines = list(shown.windows)
    header = replace(lines[1].window.header, claim=READINGS)
    other = replace(lines[1].window, header=header, signature=owner.sign(header))
    lines[1] = replace(lines[1], window=other)

    assert reason_of(story, replace(shown, windows=lines)) == "event"


# -- spot checks -----------------------------------------------------------------------------------

N_WINDOWS: Final = 6
N_CHUNKS: Final = 7 * N_WINDOWS
DRAWS: Final = 2000  # requests, each with another nonce
VERIFIED: Final = 12  # of them, for which the owner answers


@contextmanager
def made_up(
    world: World, name: str, folder: Path, false: set[int]
) -> Iterator[tuple[Ledger, Certificate]]:
    """Certified windows with made-up numbers in these chunks, and a checkpoint behind them."""
    owner = make_readings_owner(world.members, name)
    with ledger(folder, world.members, owner) as made:
        for number in range(N_WINDOWS):
            places = range(7 * number, 7 * number + 7)
            data = [b"9.9" if place in false else b"4.5" for place in places]
            before = made.windows[-1] if made.windows else None
            window = owner.window(data, before, values=(45,) * 7)
            assert window.header.claim is READINGS
            made.certify(window, 150 + number)
        checkpoint = made.log.checkpoint(170)
        made.log.checkpoint(182)
        yield made, checkpoint


def request_of(story: Ledger, checkpoint: Certificate, drawn: int, nonce: int) -> SpotCheckRequest:
    """A request that was made a second before the checkpoint."""
    stream, at = story.owner.descriptor.id, checkpoint.claim.timestamp - 1
    return SpotCheckRequest(stream, 0, N_WINDOWS - 1, drawn, at, nonce.to_bytes(32, "big"))


@pytest.mark.parametrize(("n_false", "drawn"), [(1, 6), (5, 6), (5, 20), (21, 2), (3, N_CHUNKS)])
def test_a_spot_check_finds_made_up_numbers_with_the_stated_probability(
    world: World, name: str, tmp_path: Path, n_false: int, drawn: int
) -> None:
    false = set(random.Random(n_false).sample(range(N_CHUNKS), n_false))
    caught = 0
    with made_up(world, name, tmp_path, false) as (story, checkpoint):
        for attempt in range(DRAWS):
            request = request_of(story, checkpoint, drawn, attempt)
            places = set(draw(request, checkpoint.claim.log_root, N_CHUNKS))
            caught += bool(places & false)
            if attempt < VERIFIED // drawn + 1:
                answer = story.answer(request, checkpoint)
                found = verify_spot_check(answer, world.committee, request=request)
                assert {each.sequence for each in found.chunks} == places
                assert {each.sequence for each in found.failed} == places & false
                assert {each.fault for each in found.failed} <= {"number"}

    stated = reading_model.caught(N_CHUNKS, n_false, drawn)
    deviation = (stated * (1 - stated) / DRAWS) ** 0.5
    assert abs(caught / DRAWS - stated) <= 4 * deviation
    # The two formulas of the pages: for a share of false numbers, and for a single one.
    assert stated >= 1 - (1 - n_false / N_CHUNKS) ** drawn - 1e-9
    if n_false == 1:
        assert stated == pytest.approx(drawn / N_CHUNKS)


def test_an_owner_who_does_not_open_a_chunk_has_failed(
    world: World, name: str, tmp_path: Path
) -> None:
    """It cannot answer with another chunk, with other data or with another opening instead."""
    owner = make_readings_owner(world.members, name)
    with ledger(tmp_path, world.members, owner) as made:
        window = owner.window([b"9.9", b"4.5"], values=(45, 45))
        made.certify(window, 150)
        checkpoint = made.log.checkpoint(170)
        made.log.checkpoint(182)
        at = checkpoint.claim.timestamp
        request = SpotCheckRequest(owner.descriptor.id, 0, 0, 2, at - 1, bytes(32))
        honest = made.answer(request, checkpoint)
    false, right = honest.chunks
    (opened,) = owner.openings(0, [b"4.5"], [45])

    for other, fault in (
        (false, "number"),
        (replace(false, opening=None, data=None), NOT_OPENED),
        (replace(false, data=None), NOT_OPENED),
        (replace(false, data=b"4.5"), "digest"),
        (replace(false, opening=opened, data=b"4.5"), "commitment"),
        (replace(right, header=replace(right.header, sequence=0)), "not_in_window"),
    ):
        answer = replace(honest, chunks=(other, right))
        found = verify_spot_check(answer, world.committee, request=request)
        assert [each.fault for each in found.failed] == [fault]
    missing = replace(honest, chunks=(right,))
    found = verify_spot_check(missing, world.committee, request=request)
    assert [each.fault for each in found.failed] == ["not_answered"]
