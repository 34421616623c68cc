"""Votes on windows: rules, refusals, faulty operators, crashes, and what the services show.

Tests share a world to save time. Each test uses its own stream.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import flask
import pytest
from flask import Flask

import dragon_aggregator.settings
import dragon_operator.settings
from committees import make_members
from dragon.encoding import to_hex
from dragon.log.store import Alarm
from dragon.net.blob_client import split_pair
from dragon.node import penalties, refutation_limit
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims import from_json as claim_from_json
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.stream_state import StreamState
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.protocol.streams.chunks import ChunkHeader, encode_chunks, tree_of
from dragon.protocol.streams.finding import MAX_PROOF_BYTES, Finding
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon_aggregator import window_certifier
from dragon_aggregator.postponed_announcements import ANNOUNCE_AFTER_SECONDS
from dragon_operator import rate_limiter, window_case, window_voter
from dragon_operator.verification_scheduler import NEW_BUDGET, NEW_CAPACITY
from memoize import windows_verified_once
from reading_rules import free_steps
from simulation import World
from streams import Owner, Window, make_owner
from submitting import (
    DATA,
    attested,
    claim_of,
    first,
    now_ms,
    put,
    step,
    submit,
    submit_complete,
    voted,
)

Answers = dict[str, tuple[int, str | None]]  # by operator: HTTP status and reason


# -- helpers ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("votes"), make_members(experts=1)) as made:
        yield made


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """All services are up and correct, and no window is pending."""
    shared.confirm_clocks(again=True)
    yield shared
    for name in (*shared.operators, *shared.aggregators):
        shared.resume(name) if name in shared.services else shared.start(name)
    shared.offsets.clear()
    if shared.components("aggregator_0").window_queue.pending():
        shared.restart("aggregator_0")  # forgets them
    shared.clock.sleep(rate_limiter.IDLE_SECONDS)  # so that its streams can be evicted


@pytest.fixture(autouse=True, scope="module")
def _verified_once() -> Iterator[None]:
    with windows_verified_once():
        yield


@pytest.fixture
def owner(world: World, request: pytest.FixtureRequest) -> Owner:
    """The owner of a stream that no other test uses."""
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
    return make_owner(world.members, f"sensor-{name}")


def no_proof(owner: Owner) -> bytes:
    """Bytes that are not a proof, different for every stream."""
    return b"no proof of " + owner.descriptor.id


def verdicts(world: World, owner: Owner, number: int = 0) -> list[tuple[str, str]]:
    """The certified verdicts on a window. They must be the same in every log."""
    known = {
        name: world.components(name).log.state.stream(owner.descriptor.id) for name in logs(world)
    }
    assert len({repr(stream) for stream in known.values()}) == 1
    path = f"/streams/{to_hex(owner.descriptor.id)}/windows/{number}"
    shown = [
        world.get(name, path).json().get("verdicts", [])
        for name in logs(world)
        if name in world.members.secrets
    ]
    assert all(each == shown[0] for each in shown)
    return [(each["event"]["verdict"], each["event"]["reason"]) for each in shown[0]]


def logs(world: World) -> list[str]:
    """The services with a log that answer."""
    return [name for name in (*world.operators, *world.aggregators) if world.is_answering(name)]


def asked(world: World, submission: Submission) -> Answers:
    """Each operator's own answer to a submission: HTTP status and reason."""
    found = {}
    for name in world.operators:
        answer = world.post(name, "/windows", submission.to_json())
        found[name] = answer.status_code, answer.json().get("reason")
    return found


def all_operators(world: World, status: int, reason: str | None) -> Answers:
    return dict.fromkeys(world.operators, (status, reason))


def applied(world: World, owner: Owner) -> WindowClaim:
    """The last valid window of the stream in an operator's log."""
    last = world.components("operator_1").log.state.stream(owner.descriptor.id).last
    assert isinstance(last, WindowClaim)
    return last


# -- each rule, violated separately ----------------------------------------------------------------


def signed(owner: Owner, window: Window, **changes: Any) -> Window:
    """A window with a changed header, signed by the stream."""
    header = replace(window.header, **changes)
    return replace(window, header=header, signature=owner.sign(header))


def with_chunks(owner: Owner, window: Window, *chunks: ChunkHeader, **changes: Any) -> Window:
    """A window with other chunk headers, under a root that the stream signed."""
    other = replace(window, chunks=chunks)
    return signed(owner, other, chunks_root=tree_of(chunks).root(), **changes)


def spoiled(owner: Owner, window: Window, /, *, place: int = 0, **changes: Any) -> Window:
    chunks = list(window.chunks)
    chunks[place] = replace(chunks[place], **changes)
    return with_chunks(owner, window, *chunks)


def starting_later(owner: Owner, window: Window) -> Window:
    later = [replace(chunk, sequence=chunk.sequence + 1) for chunk in window.chunks]
    return with_chunks(owner, window, *later, first=1)


def backwards(owner: Owner, window: Window) -> Window:
    last = window.header.last_received_ms
    return signed(owner, window, first_received_ms=last + 1)


def flipped(proof: bytes) -> bytes:
    return proof[:-1] + bytes([proof[-1] ^ 1])


Spoil = Callable[[Owner, Window], Window]
UNPROVEN: dict[str, tuple[InvalidReason, Spoil]] = {
    "does not begin at chunk 0": (InvalidReason.HEADER, starting_later),
    "ends before it begins": (InvalidReason.HEADER, backwards),
    "counts other chunks": (
        InvalidReason.ROOT,
        lambda o, w: signed(o, w, count=w.header.count + 1),
    ),
    "leaves out a number": (InvalidReason.ROOT, lambda o, w: spoiled(o, w, place=1, sequence=7)),
    "goes back in time": (InvalidReason.ROOT, lambda o, w: spoiled(o, w, place=1, received_ms=1)),
    "gives another time": (
        InvalidReason.ROOT,
        lambda o, w: signed(o, w, first_received_ms=w.header.first_received_ms - 1),
    ),
    "no commitment": (InvalidReason.STATEMENT, lambda o, w: spoiled(o, w, commitment=b"\xff" * 32)),
    "the identity as a commitment": (
        InvalidReason.STATEMENT,
        lambda o, w: spoiled(o, w, commitment=o.descriptor.identity),
    ),
}


@pytest.mark.parametrize("name", list(UNPROVEN))
def test_a_window_with_a_valid_proof_of_a_wrong_header_is_certified_invalid(
    world: World, owner: Owner, name: str
) -> None:
    """The proof is valid for the signed header, so the header is the only fault."""
    window = first(world, owner, b"21.5", b"21.7")
    fault, spoil = UNPROVEN[name]
    wrong = spoil(owner, window)

    submit_complete(world, owner, wrong, owner.prove(wrong))
    step(world)

    assert verdicts(world, owner) == [("invalid", fault)]


def test_a_valid_window_is_certified_after_an_invalid_one_with_its_number(
    world: World, owner: Owner
) -> None:
    window = first(world, owner, b"21.5", b"21.7")
    for each in (backwards(owner, window), window):
        submit_complete(world, owner, each, owner.prove(each))
        step(world)

    assert verdicts(world, owner) == [("invalid", "header"), ("valid", "none")]
    assert applied(world, owner).header == window.header.hash


Prove = Callable[[World, Owner, Window], bytes]
WRONG_PROOFS: dict[str, Prove] = {
    "no bytes": lambda _, owner, window: b"",
    "a bit flipped": lambda _, owner, window: flipped(owner.prove(window)),
    "a byte more": lambda _, owner, window: owner.prove(window) + b"\0",
    "of another window": lambda world, owner, window: owner.prove(first(world, owner, b"x")),
    "of another header": lambda _, owner, window: owner.prove(signed(owner, window, number=1)),
    "by another identity": lambda world, _, window: make_owner(world.members).prove(window),
    "under other parameters": lambda world, owner, window: make_owner(
        world.members, owner.descriptor.name, "strong"
    ).prove(window),
}


@pytest.mark.parametrize("name", list(WRONG_PROOFS))
def test_a_window_with_a_wrong_proof_is_certified_invalid(
    world: World, owner: Owner, name: str
) -> None:
    window = first(world, owner)
    proof = WRONG_PROOFS[name](world, owner, window)

    submit_complete(world, owner, window, proof)
    step(world)
    assert verdicts(world, owner) == [("invalid", "stark")]
    assert submit(world, owner.submission(window, proof)) == "invalid"


def test_a_valid_proof_is_certified_after_invalid_ones(world: World, owner: Owner) -> None:
    window = first(world, owner)
    for proof in (b"wrong", b"wrong again", owner.prove(window)):
        submit_complete(world, owner, window, proof)
        step(world, 2 * penalties.FIRST_PENALTY_SECONDS + 0.1)

    assert verdicts(world, owner) == [("invalid", "stark")] * 2 + [("valid", "none")]


def test_a_window_waits_while_too_many_events_of_its_stream_wait(
    world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the ledger stands still, any stream could fill the outbox with invalid proofs else."""
    monkeypatch.setattr(window_certifier, "MAX_PENDING_PER_KEY", 1)
    window, aggregator = first(world, owner), world.components("aggregator_0")
    with monkeypatch.context() as standstill:
        standstill.setattr(aggregator.submitter, "step", list)
        for proof in (b"wrong", b"wrong again"):
            submit_complete(world, owner, window, proof)
            step(world)
        waiting = aggregator.outbox.claims(f"@{to_hex(owner.descriptor.id)}")
    step(world)
    step(world)

    assert len(waiting) == 1
    assert verdicts(world, owner) == [("invalid", "stark")] * 2


@pytest.mark.parametrize("changes", [{"first": 2}, {"first_received_ms": 1}, {"number": 2}])
def test_a_second_window_that_does_not_continue_the_first_is_found_invalid(
    world: World, owner: Owner, changes: dict[str, int]
) -> None:
    begun = first(world, owner)
    submit_complete(world, owner, begun, owner.prove(begun))
    step(world)
    wrong = signed(owner, owner.window(DATA, begun), **changes)
    proof = owner.prove(wrong)

    submission = owner.submission(wrong, proof)
    submit_complete(world, owner, wrong, proof)

    assert asked(world, submission) == all_operators(world, 200, "header")


@dataclass(frozen=True)
class Refused:
    """A window that no operator can judge, and the objects that are submitted with it."""

    submission: Submission
    objects: tuple[bytes, ...] = ()


def named(owner: Owner, window: Window, chunks: bytes, proof: bytes) -> Submission:
    """A submission in which the stream names any given bytes."""
    objects = WindowObjects.of(window.header, chunks, proof)
    signature = owner.header_secret.sign(objects.root(owner.descriptor.network_id))
    return replace(owner.submission(window, proof), objects=objects, objects_signature=signature)


def from_the_future(world: World, owner: Owner) -> Refused:
    window = owner.window(DATA, began_ms=now_ms(world) + 2500)
    return Refused(
        owner.submission(window, no_proof(owner)), (encode_chunks(window.chunks), no_proof(owner))
    )


def signed_by_another(world: World, owner: Owner) -> Refused:
    right = owner.submission(first(world, owner), no_proof(owner))
    stranger = make_owner(world.members, "stranger")
    return Refused(replace(right, header_signature=stranger.sign(right.header)))


def naming_other_objects(world: World, owner: Owner) -> Refused:
    right = owner.submission(first(world, owner), no_proof(owner))
    assert right.objects is not None
    return Refused(replace(right, objects=replace(right.objects, proof=bytes(32))))


def with_other_chunks(world: World, owner: Owner) -> Refused:
    window, other = first(world, owner), first(world, owner, b"x")
    chunks = encode_chunks(other.chunks)
    return Refused(named(owner, window, chunks, no_proof(owner)), (chunks, no_proof(owner)))


def with_no_chunk_headers(world: World, owner: Owner) -> Refused:
    window = first(world, owner)
    return Refused(named(owner, window, b"{}", no_proof(owner)), (b"{}", no_proof(owner)))


def following(previous: bytes, number: int, world: World, owner: Owner) -> Refused:
    window = signed(owner, first(world, owner), previous=previous, number=number)
    objects = encode_chunks(window.chunks), no_proof(owner)
    return Refused(owner.submission(window, no_proof(owner)), objects if number == 0 else ())


def of_another_committee(world: World, owner: Owner) -> Refused:
    elsewhere = make_owner(make_members(name="another"), owner.descriptor.name)
    return Refused(elsewhere.submission(first(world, elsewhere), no_proof(owner)))


def lacking(kind: str, world: World, owner: Owner) -> Refused:
    window = first(world, owner)
    chunks = encode_chunks(window.chunks)
    lacks = {"chunks": (no_proof(owner),), "proof": (chunks,)}
    return Refused(owner.submission(window, no_proof(owner)), lacks[kind])


def too_large(world: World, owner: Owner) -> Refused:
    window, proof = first(world, owner), bytes(MAX_PROOF_BYTES + 1)
    return Refused(owner.submission(window, proof), (encode_chunks(window.chunks),))


REFUSALS: dict[str, tuple[str, Callable[[World, Owner], Refused]]] = {
    "another committee": ("malformed", of_another_committee),
    "a header signed by another stream": ("malformed", signed_by_another),
    "objects that the stream did not sign": ("malformed", naming_other_objects),
    "chunks that are not under the root": ("malformed", with_other_chunks),
    "no chunk headers": ("malformed", with_no_chunk_headers),
    "from the future": ("clock", from_the_future),
    "following an unknown window": ("behind", partial(following, bytes(32), 0)),
    "too far ahead": ("behind", partial(following, bytes(32), window_voter.MAX_LOOKAHEAD)),
    "missing chunk headers": ("behind", partial(lacking, "chunks")),
    "a missing proof": ("behind", partial(lacking, "proof")),
    "a proof that is too large": ("behind", too_large),
}


@pytest.mark.parametrize("name", list(REFUSALS))
def test_a_window_that_cannot_be_judged_is_refused_with_a_reason(
    world: World, owner: Owner, name: str
) -> None:
    reason, make = REFUSALS[name]
    refused = make(world, owner)

    if refused.objects:
        submit(world, refused.submission, *refused.objects)
        step(world, 0.0)
    assert asked(world, refused.submission) == all_operators(world, 409, reason)

    assert owner.descriptor.id not in world.components("operator_1").window_voter.verdicts.streams()
    assert world.components("operator_1").log.state.stream(owner.descriptor.id) == StreamState()


VOTED = [
    name for name in REFUSALS if name.startswith(("chunks that", "no ch", "from", "following"))
]


@pytest.mark.parametrize("name", VOTED)
def test_the_refusal_reason_is_shown_while_the_window_is_pending(
    world: World, owner: Owner, name: str
) -> None:
    reason, make = REFUSALS[name]
    refused = make(world, owner)
    submit(world, refused.submission, *refused.objects)

    step(world, 0.0)

    assert submit(world, refused.submission) == "waiting"
    assert voted(world, owner) == dict.fromkeys(world.operators, reason)
    assert verdicts(world, owner) == []


def test_a_window_from_the_future_is_certified_later(world: World, owner: Owner) -> None:
    window = owner.window(DATA, began_ms=now_ms(world) + 3000)
    submit_complete(world, owner, window, owner.prove(window))
    step(world, 0.0)
    assert set(voted(world, owner).values()) == {"clock"}

    step(world)

    assert verdicts(world, owner) == [("valid", "none")]


def test_a_window_with_a_number_in_the_log_is_no_change(world: World, owner: Owner) -> None:
    window, other = first(world, owner), first(world, owner, b"22.0")
    submit_complete(world, owner, window, owner.prove(window))
    step(world)

    refused = asked(world, owner.submission(other, no_proof(owner)))

    assert refused == all_operators(world, 409, "no_change")
    assert submit(world, owner.submission(other, no_proof(owner))) == "applied"
    assert applied(world, owner).header == window.header.hash


# -- busy: limits of one stream --------------------------------------------------------------------


def test_a_stream_beyond_its_rate_is_busy_and_no_other_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limiter, "CAPACITY", 1)
    greedy, modest = (make_owner(world.members, name) for name in ("greedy", "modest"))
    for data in (b"1", b"2"):  # a window is its header and its objects
        submission = greedy.submission(first(world, greedy, data), no_proof(greedy))
        answers = asked(world, submission)
    assert answers == all_operators(world, 409, "busy")

    window = first(world, modest)
    submit_complete(world, modest, window, modest.prove(window))
    step(world, 0.0)
    assert verdicts(world, modest) == [("valid", "none")]

    step(world)  # two windows a second
    assert asked(world, submission) == all_operators(world, 409, "behind")


def test_an_operator_with_a_list_accepts_listed_streams_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = make_members()
    listed, other = make_owner(members), make_owner(members, "sensor-2")
    only = frozenset({listed.descriptor.id})
    settings = partial(dragon_operator.settings.Settings, listed_streams=only)
    monkeypatch.setattr(dragon_operator.settings, "Settings", settings)
    with World(tmp_path, members) as world:
        window, unlisted = first(world, listed), first(world, other)
        submit_complete(world, listed, window, listed.prove(window))
        submit_complete(world, other, unlisted, other.prove(unlisted))
        step(world)

        assert verdicts(world, listed) == [("valid", "none")]
        assert voted(world, other) == dict.fromkeys(world.operators, "busy")


def certify_first(world: World, name: str) -> tuple[Owner, Window]:
    """A stream with one certified window."""
    owner = make_owner(world.members, name)
    window = first(world, owner)
    submit_complete(world, owner, window, owner.prove(window))
    step(world)
    step(world)
    assert verdicts(world, owner) == [("valid", "none")]
    return owner, window


def strangers(world: World, count: int, tag: str) -> list[Owner]:
    return [make_owner(world.members, f"stranger-{tag}-{number}") for number in range(count)]


def test_announcements_of_strangers_keep_nobody_out(world: World) -> None:
    """64 signed headers without objects once filled the aggregator and all operators."""
    known, before = certify_first(world, "known-places")
    announced = [each.submission(first(world, each)) for each in strangers(world, 66, "a")]
    for each in announced:
        submit(world, each)
        asked(world, each)
    world.clock.sleep(60)
    for each in announced:
        submit(world, each)  # repetitions once kept the places

    following = known.window(DATA, before)
    submit_complete(world, known, following, known.prove(following))
    fresh = make_owner(world.members, "fresh-places")
    window = first(world, fresh)
    submit_complete(world, fresh, window, fresh.prove(window))
    step(world)
    step(world)

    assert verdicts(world, known, 1) == [("valid", "none")]
    assert verdicts(world, fresh) == [("valid", "none")]


def test_false_proofs_of_strangers_do_not_delay_a_certified_stream(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their verification costs a second of processor time each, and uses up their budget."""
    known, before = certify_first(world, "known-proofs")
    false, judge = no_proof(known), window_case.judge

    def slow(*arguments: Any, **more: Any) -> Finding:
        if arguments[4] == false:
            world.clock.sleep(1.0)
        return judge(*arguments, **more)

    monkeypatch.setattr(window_case, "judge", slow)
    used = world.components("operator_1").window_voter.verifications.new_seconds
    begun = world.clock.now
    for each in strangers(world, 10, "b"):
        submit_complete(world, each, first(world, each), false)
    following = known.window([b"1"], before)
    submit_complete(world, known, following, known.prove(following))
    world.settle()

    assert verdicts(world, known, 1) == [("valid", "none")]
    used = world.components("operator_1").window_voter.verifications.new_seconds - used
    elapsed = world.clock.now - begun
    assert 1 <= used <= NEW_CAPACITY + NEW_BUDGET * elapsed + 1.0 < 10


def test_false_proofs_of_strangers_give_few_log_entries(tmp_path: Path) -> None:
    """Each entry stays for ever. A stranger asks the operators for signatures as well."""
    most, tried = refutation_limit.OPERATOR_RATE.capacity, 80
    with World(tmp_path) as world:
        known, before = certify_first(world, "known-refuted")
        signed_ = 0
        for each in strangers(world, tried, "r"):
            window = first(world, each)
            submit_complete(world, each, window, no_proof(each))
            world.clock.sleep(0.5)
            world.settle()
            claim = claim_of(world, each, window, no_proof(each), InvalidReason.STARK)
            signed_ += attested(world, "operator_1", claim) == "signed"
        log = world.components("operator_1").log
        entries = len(log.entries())
        following = known.window(DATA, before)
        submit_complete(world, known, following, flipped(known.prove(following)))
        step(world)
        step(world)

        assert entries <= 1 + refutation_limit.AGGREGATOR_RATE.capacity + 4
        assert signed_ <= most + 4
        assert verdicts(world, known, 1) == [("invalid", "stark")]


def test_a_busy_operator_is_shown_as_busy(world: World, owner: Owner) -> None:
    """Not as one without an answer, while it is asked again."""
    window = first(world, owner)
    submit_complete(world, owner, window, owner.prove(window))
    with ExitStack() as held:
        for name in world.operators:
            held.enter_context(
                world.components(name).window_voter.verifications.hold(owner.descriptor.id)
            )
        step(world, 0.0)
        answers = voted(world, owner)

    assert answers == all_busy(world)
    step(world)
    assert verdicts(world, owner) == [("valid", "none")]


def all_busy(world: World) -> dict[str, str]:
    return dict.fromkeys(world.operators, "busy")


def test_an_aggregator_with_a_list_accepts_listed_streams_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = make_members()
    listed, other = make_owner(members), make_owner(members, "sensor-2")
    only = frozenset({listed.descriptor.id})
    settings = partial(dragon_aggregator.settings.Settings, listed_streams=only)
    monkeypatch.setattr(dragon_aggregator.settings, "Settings", settings)
    with World(tmp_path, members) as world:
        refused = world.post(
            "aggregator_0", "/windows", other.submission(first(world, other)).to_json()
        )
        window = first(world, listed)
        submit_complete(world, listed, window, listed.prove(window))
        step(world)

        assert (refused.status_code, refused.json()["title"]) == (403, "not_listed")
        assert verdicts(world, listed) == [("valid", "none")]


def test_one_window_of_new_streams_is_verified_at_a_time(world: World, owner: Owner) -> None:
    window = first(world, owner)
    proof, stream = owner.prove(window), owner.descriptor.id
    submit_complete(world, owner, window, proof)
    with ExitStack() as looking:
        for name in world.operators[:2]:
            looking.enter_context(world.components(name).window_voter.verifications.hold(stream))
        step(world, 0.0)
        answers = voted(world, owner)

    assert answers == dict.fromkeys(world.operators[:2], "busy") | dict.fromkeys(
        world.operators[2:], "valid"
    )
    step(world)
    assert verdicts(world, owner) == [("valid", "none")]


def test_pending_verdicts_of_a_stream_are_bounded(
    world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = first(world, owner)
    chunks, proof = encode_chunks(window.chunks), owner.prove(window)
    submit(world, owner.submission(window, b"wrong"), chunks, b"wrong")
    monkeypatch.setattr(window_voter, "MAX_PENDING_VERDICTS", 1)
    assert asked(world, owner.submission(window, b"wrong")) == all_operators(world, 200, "stark")

    submit(world, owner.submission(window, proof), proof)

    assert asked(world, owner.submission(window, proof)) == all_operators(world, 409, "busy")
    assert asked(world, owner.submission(window, b"wrong")) == all_operators(world, 200, "stark")


def test_an_operator_without_room_is_busy_and_keeps_stored_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = partial(dragon_operator.settings.Settings, objects_mb=1)
    monkeypatch.setattr(dragon_operator.settings, "Settings", settings)
    with World(tmp_path) as world:
        owner = make_owner(world.members)
        window = first(world, owner)
        assert submit(world, owner.submission(window)) == "announced"
        submit_complete(world, owner, window, owner.prove(window))
        step(world, 0.0)

        assert voted(world, owner) == dict.fromkeys(world.operators, "busy")
        assert (
            world.components("operator_1").window_voter.objects.get(window.header.hash) is not None
        )


# -- attestations ----------------------------------------------------------------------------------


UNSIGNED: dict[str, tuple[str, dict[str, Any]]] = {
    "not the start of a round": ("off_round", {"timestamp": 1}),
    "a round that is over": ("off_round", {"timestamp": -25}),
    "a round that is far": ("off_round", {"timestamp": 25}),
    "another verdict": ("malformed", {"verdict": Verdict.INVALID, "reason": InvalidReason.STARK}),
    "other parameters": ("malformed", {"parameters": "strong"}),
    "another window before": ("malformed", {"previous": bytes(32)}),
    "another proof": ("behind", {"proof": bytes(32)}),
    "another header": ("behind", {"header": bytes(32)}),
    "another number": ("behind", {"number": 1}),
    "another stream": ("behind", {"stream": bytes(32)}),
}


@pytest.mark.parametrize("name", list(UNSIGNED))
def test_only_the_stored_verdict_is_signed(world: World, owner: Owner, name: str) -> None:
    window = first(world, owner)
    proof = owner.prove(window)
    submit_complete(world, owner, window, proof)
    vote(world, "operator_1", owner.submission(window, proof))
    claim = claim_of(world, owner, window, proof)
    reason, changes = UNSIGNED[name]
    if "timestamp" in changes:
        changes = {"timestamp": claim.timestamp + changes["timestamp"]}

    assert attested(world, "operator_1", replace(claim, **changes)) == reason
    assert attested(world, "operator_1", claim) == "signed"


def test_no_verdict_is_signed_on_a_window_in_the_log(world: World, owner: Owner) -> None:
    window = first(world, owner)
    proof = owner.prove(window)
    submit_complete(world, owner, window, proof)
    step(world)
    claim = claim_of(world, owner, window, proof)

    assert attested(world, "operator_1", claim) == "no_change"
    world.components("operator_1").window_voter.tidy()
    refuted = replace(claim, verdict=Verdict.INVALID, reason=InvalidReason.STARK)
    assert attested(world, "operator_1", refuted) == "behind"


def test_an_operator_whose_log_has_stopped_signs_no_window(
    world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = first(world, owner)
    proof = owner.prove(window)
    submit_complete(world, owner, window, proof)
    stopped = Alarm("ledger_rewound", "it has fewer entries than before")
    for name in world.operators[:2]:
        monkeypatch.setattr(world.components(name).log, "alarm", lambda: stopped)

    step(world, 0.0)

    answers = [voted(world, owner)[name] for name in world.operators[:2]]
    assert answers == ["behind", "behind"]
    assert verdicts(world, owner) == []
    monkeypatch.undo()
    step(world)
    assert verdicts(world, owner) == [("valid", "none")]


# -- a faulty operator -----------------------------------------------------------------------------


@dataclass
class Liar:
    """A faulty operator: it holds the operator's key, and answers as configured."""

    world: World
    name: str
    vote: tuple[str | None, str | None] = ("valid", "none")
    statement: str | None = None
    status: int = 200
    signs: str = "anything"

    def app(self) -> Flask:
        app = Flask("liar")
        app.post("/windows")(self.look)
        app.post("/attestations")(self.attest)
        app.get("/objects/<sha256>")(lambda sha256: flask.Response(b"garbage"))
        return app

    def look(self) -> tuple[flask.Response, int]:
        verdict, reason = self.vote
        body = {"verdict": verdict, "reason": reason, "detail": "\u202e" + "x" * 5000}
        body["statement"] = self.statement
        return flask.jsonify(body), self.status

    def attest(self) -> flask.Response:
        claim = claim_from_json(flask.request.get_json(force=True))
        message = claim.root(self.world.committee.id) if self.signs == "anything" else b"nonsense"
        signature = self.world.members.secrets[self.name].sign(message)
        signer = "operator_1" if self.signs == "for another" else self.name
        return flask.jsonify(operator=signer, signature=to_hex(signature))


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Liar]:
    """A fleet in which the first operator is faulty. It is the first one that others ask."""
    with World(tmp_path_factory.mktemp("liar"), make_members()) as world:
        world.clock.sleep(1)
        world.crash("operator_1")
        liar = Liar(world, "operator_1")
        world.impersonate("operator_1", liar.app())
        yield liar


LIES: dict[str, dict[str, Any]] = {
    "calls everything valid and signs anything": {},
    "calls everything invalid and signs anything": {"vote": ("invalid", "header")},
    "votes and signs nonsense": {"vote": ("valid", "stark"), "signs": "nonsense"},
    "votes with unknown words": {"vote": ("perhaps", "perhaps"), "signs": "for another"},
    "votes on readings where there are none": {"statement": "readings"},
    "answers that the window was only announced": {"vote": (None, None)},
    "refuses with a reason of the closed list": {"vote": ("valid", "no_change"), "status": 409},
    "fails": {"status": 500},
}


@pytest.mark.parametrize("right", [True, False], ids=["a valid window", "an invalid one"])
@pytest.mark.parametrize("lie", list(LIES))
def test_one_liar_of_four_changes_no_verdict(liar: Liar, lie: str, right: bool) -> None:
    vars(liar).update(vars(Liar(liar.world, liar.name, **LIES[lie])))
    world = liar.world
    owner = make_owner(world.members, f"lie-{list(LIES).index(lie)}-{right:d}")
    window = first(world, owner)
    proof = owner.prove(window) if right else b"wrong"

    submit_complete(world, owner, window, proof)
    step(world)
    step(world)

    expected = ("valid", "none") if right else ("invalid", "stark")
    assert verdicts(world, owner) == [expected]


def test_a_liars_detail_is_shown_shortened_and_in_ascii(liar: Liar) -> None:
    vars(liar).update(vars(Liar(liar.world, liar.name, ("invalid", "root"))))
    owner = make_owner(liar.world.members, "shown")
    liar.world.stop("operator_2")
    submit_complete(liar.world, owner, first(liar.world, owner), no_proof(owner))
    step(liar.world, 0.0)
    liar.world.resume("operator_2")

    listed = liar.world.get("aggregator_0", "/windows?limit=1000").json()["windows"]
    vote = next(each for each in listed if each["stream"] == to_hex(owner.descriptor.id))["votes"][
        0
    ]
    assert (vote["operator"], vote["answer"]) == ("operator_1", "invalid: root")
    assert vote["detail"].isascii()
    assert len(vote["detail"]) < 300


def test_an_object_is_fetched_elsewhere_if_one_service_returns_garbage(liar: Liar) -> None:
    world = liar.world
    owner = make_owner(world.members, "garbage")
    window = first(world, owner)
    proof = owner.prove(window)
    submission = owner.submission(window, proof)
    submit_complete(world, owner, window, proof)
    assert world.post("operator_4", "/windows", submission.to_json()).json()["reason"] == "none"
    world.stop("aggregator_0")

    answer = world.post("operator_2", "/windows", submission.to_json())
    world.resume("aggregator_0")

    assert answer.json()["verdict"] == "valid"  # fetched from the last service


# -- outages ---------------------------------------------------------------------------------------


def test_a_window_waits_while_two_of_four_operators_are_down(world: World, owner: Owner) -> None:
    window = first(world, owner)
    proof = owner.prove(window)
    world.stop("operator_2")
    world.stop("operator_3", "hang")
    submit_complete(world, owner, window, proof)
    step(world)
    step(world)
    assert submit(world, owner.submission(window, proof)) == "waiting"
    down = {"operator_2": "unreachable", "operator_3": "timeout"}
    assert voted(world, owner) == dict.fromkeys(world.operators, "valid") | down
    assert verdicts(world, owner) == []

    world.resume("operator_3")
    step(world)

    assert verdicts(world, owner) == [("valid", "none")]


def test_an_operator_that_was_down_catches_up_and_votes_again(world: World, owner: Owner) -> None:
    begun = first(world, owner)
    world.crash("operator_4")
    submit_complete(world, owner, begun, owner.prove(begun))
    step(world)
    world.start("operator_4")
    step(world)
    assert world.components("operator_4").window_voter.objects.get(begun.header.hash) is None
    world.stop("operator_1")

    window = owner.window(DATA, begun)
    submit_complete(world, owner, window, owner.prove(window))
    step(world)

    (signed_,) = window_events(world, owner, 1)
    assert signed_["signers"] == ["operator_2", "operator_3", "operator_4"]
    world.resume("operator_1")
    step(world)
    assert verdicts(world, owner, 1) == [("valid", "none")]


def window_requests(world: World) -> int:
    """Requests about windows that the aggregator has sent to operators."""
    asked = [request for caller, request in world.sent if caller == "aggregator_0"]
    return sum(str(request.url).endswith("/windows") for request in asked)


def test_of_a_known_stream_a_window_is_announced_if_its_objects_do_not_follow(
    world: World, owner: Owner
) -> None:
    begun = first(world, owner)
    submit_complete(world, owner, begun, owner.prove(begun))
    step(world)
    window = owner.window(DATA, begun)
    world.sent.clear()

    assert submit(world, owner.submission(window)) == "announced"
    step(world, 0.0)
    assert window_requests(world) == 0
    step(world, ANNOUNCE_AFTER_SECONDS)
    assert window_requests(world) == len(world.operators)
    stored = world.get("operator_1", f"/objects/{to_hex(window.header.hash)}")
    assert stored.content == window.header.encode()
    step(world, ANNOUNCE_AFTER_SECONDS)
    assert window_requests(world) == len(world.operators)

    submit_complete(world, owner, window, owner.prove(window))
    step(world)
    assert verdicts(world, owner, 1) == [("valid", "none")]


def test_of_a_known_stream_a_window_with_objects_is_sent_to_operators_once(
    world: World, owner: Owner
) -> None:
    begun = first(world, owner)
    submit_complete(world, owner, begun, owner.prove(begun))
    step(world)
    window = owner.window(DATA, begun)
    proof = owner.prove(window)
    world.sent.clear()

    submit(world, owner.submission(window))
    submit_complete(world, owner, window, proof)
    step(world)
    step(world, ANNOUNCE_AFTER_SECONDS)

    assert window_requests(world) == len(world.operators)
    assert verdicts(world, owner, 1) == [("valid", "none")]
    for name in world.operators:
        stored = world.get(name, f"/objects/{to_hex(window.header.hash)}")
        assert stored.content == window.header.encode()


def test_an_operator_asks_once_for_the_objects_of_a_window(world: World, owner: Owner) -> None:
    window = first(world, owner)
    world.sent.clear()
    submit_complete(world, owner, window, owner.prove(window))
    step(world)

    asked = [
        caller
        for caller, request in world.sent
        if request.method == "GET" and "/objects/" in str(request.url)
    ]
    assert sorted(asked) == world.operators


def test_a_service_returns_two_objects_only_if_it_has_both(world: World, owner: Owner) -> None:
    window = first(world, owner)
    proof, chunks = owner.prove(window), encode_chunks(window.chunks)
    submit_complete(world, owner, window, proof)
    step(world)
    one, two = (to_hex(hashlib.sha256(body).digest()) for body in (chunks, proof))

    for name in ("operator_1", "aggregator_0"):
        both = world.get(name, f"/objects/{one}?then={two}")
        assert split_pair(both.content) == (chunks, proof)
        for missing in (f"{one}?then={to_hex(bytes(32))}", f"{to_hex(bytes(32))}?then={two}"):
            assert world.get(name, f"/objects/{missing}").json()["title"] == "not_found"


def test_objects_that_are_uploaded_at_the_same_time_are_on_disk_before_the_vote(
    world: World, owner: Owner
) -> None:
    """Each upload sees that the other object is missing, so both objects wait in memory."""
    window = first(world, owner)
    proof, chunks = owner.prove(window), encode_chunks(window.chunks)
    objects = world.components("aggregator_0").window_queue.objects
    assert submit(world, owner.submission(window)) == "announced"
    objects.put_later(owner.descriptor.id, 0, chunks)
    objects.put_later(owner.descriptor.id, 0, proof)

    assert submit(world, owner.submission(window, proof)) == "voting"

    world.restart("aggregator_0")
    for body in (chunks, proof):
        address = f"/objects/{to_hex(hashlib.sha256(body).digest())}"
        assert world.get("aggregator_0", address).content == body


def test_an_operator_that_lost_its_objects_fetches_them_again(world: World, owner: Owner) -> None:
    begun = first(world, owner)
    submit_complete(world, owner, begun, owner.prove(begun))
    step(world)
    world.crash("operator_2")
    for lost in world.folder.glob("operator_2-objects.db*"):
        lost.unlink()
    world.start("operator_2")

    window = owner.window(DATA, begun)
    proof = owner.prove(window)
    submit_complete(world, owner, window, proof)

    found = world.post("operator_2", "/windows", owner.submission(window, proof).to_json()).json()
    assert (found["verdict"], found["reason"]) == ("valid", "none")


def test_the_next_window_waits_if_all_services_lost_the_header_before_it(
    world: World, owner: Owner
) -> None:
    begun = first(world, owner)
    submit_complete(world, owner, begun, owner.prove(begun))
    step(world)
    for name in logs(world):
        world.crash(name)
        for lost in world.folder.glob(f"{name}-objects.db*"):
            lost.unlink()
        world.start(name)

    window = owner.window(DATA, begun)
    submit_complete(world, owner, window, owner.prove(window))
    step(world, 0.0)

    assert voted(world, owner) == dict.fromkeys(world.operators, "behind")


def window_events(world: World, owner: Owner, number: int = 0) -> list[dict[str, Any]]:
    """The certificates on a window, as an operator shows them."""
    path = f"/streams/{to_hex(owner.descriptor.id)}/windows/{number}"
    shown = world.get("operator_1" if world.is_answering("operator_1") else "operator_2", path)
    return [each["event"] for each in shown.json()["verdicts"]]


def test_several_windows_of_a_stream_are_certified_in_one_step(world: World, owner: Owner) -> None:
    windows = [first(world, owner)]
    for _ in range(2):
        windows.append(owner.window(DATA, windows[-1]))
    for window in reversed(windows):
        submit_complete(world, owner, window, owner.prove(window))

    step(world, 0.0)

    for number in range(3):
        assert verdicts(world, owner, number) == [("valid", "none")]


# -- messages from strangers -----------------------------------------------------------------------


def forgeries(world: World, right: Submission, old: Submission) -> list[Submission]:
    """Submissions by a stranger who knows all messages of a stream, but not its secrets."""
    assert right.objects is not None
    assert old.objects is not None
    mallory = make_owner(world.members, "mallory")
    forged_header = replace(right.header, number=3, chunks_root=b"m" * 32)
    other = replace(right.objects, proof=hashlib.sha256(b"mallory").digest())
    by_mallory = mallory.header_secret.sign(other.root(world.committee.id))
    return [
        replace(right, header_signature=bytes(96)),
        replace(right, header=forged_header),
        replace(right, header=forged_header, header_signature=mallory.sign(forged_header)),
        replace(right, objects=other),
        replace(right, objects=other, objects_signature=by_mallory),
        replace(right, objects=other, objects_signature=bytes(96)),
        replace(right, objects=replace(right.objects, chunks=old.objects.chunks)),
        replace(right, objects=old.objects, objects_signature=old.objects_signature),
        replace(old, objects=right.objects, objects_signature=right.objects_signature),
        replace(right, descriptor=mallory.descriptor),
    ]


def test_forgeries_cost_a_stream_none_of_its_limits(
    world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limiter, "CAPACITY", 1)  # enough for one window
    window, unsent = first(world, owner), first(world, owner, b"x")
    proof = owner.prove(window)
    right = owner.submission(window, proof)
    held = sizes(world)

    for forgery in forgeries(world, right, owner.submission(unsent, b"x")):
        for name in logs(world):
            assert world.post(name, "/windows", forgery.to_json()).status_code in {409, 422}
    for body in (proof, b"mallory"):
        assert put(world, "aggregator_0", body) == 404
    assert sizes(world) == held
    assert owner.descriptor.id not in world.components("operator_1").window_voter.verdicts.streams()

    submit_complete(world, owner, window, proof)
    assert asked(world, right) == all_operators(world, 200, "none")
    step(world, 0.0)
    assert verdicts(world, owner) == [("valid", "none")]


def sizes(world: World) -> list[int]:
    """Bytes of objects stored by every operator and aggregator."""
    stores = [world.components(name).window_voter.objects for name in world.operators]
    stores += [world.components(name).window_queue.objects for name in world.aggregators]
    return [store.size() for store in stores]


def test_repeated_messages_cost_a_stream_none_of_its_tokens(
    world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at one moment, because tokens are refilled with time."""
    monkeypatch.setattr(rate_limiter, "CAPACITY", 1)
    window = first(world, owner)
    proof = owner.prove(window)
    for _ in range(5):
        assert asked(world, owner.submission(window)) == all_operators(world, 200, None)
        assert asked(world, owner.submission(window, proof)) == all_operators(world, 409, "behind")

    submit_complete(world, owner, window, proof)

    assert asked(world, owner.submission(window, proof)) == all_operators(world, 200, "none")
    following_ = owner.window(DATA, window)
    assert asked(world, owner.submission(following_)) == all_operators(world, 409, "busy")


# -- no contradicting signatures -------------------------------------------------------------------


def vote(world: World, name: str, submission: Submission) -> None:
    assert world.post(name, "/windows", submission.to_json()).json()["reason"] == "none"


def not_next(world: World) -> int:
    """The number of events refused as `not_next`."""
    return int(world.components("operator_1").log.refusals().get("not_next", 0))


def test_another_valid_proof_of_the_same_window_is_signed_too(world: World, owner: Owner) -> None:
    """The owner crashed after the votes, and made another proof."""
    window = first(world, owner)
    proof, anew = owner.prove(window), owner.prove(window, bytes(32))
    submit_complete(world, owner, window, proof)
    before, refused = claim_of(world, owner, window, proof), not_next(world)
    for name in world.operators:
        vote(world, name, owner.submission(window, proof))
        assert attested(world, name, before) == "signed"

    submit_complete(world, owner, window, anew)
    step(world)

    assert applied(world, owner).proof == hashlib.sha256(anew).digest()
    world.submit(world.members.certify(before, world.operators))  # too late
    assert verdicts(world, owner) == [("valid", "none")]
    assert not_next(world) == refused + 1


@pytest.mark.parametrize("first_group", [0, 1, 2, 3, 4])
def test_operators_never_sign_two_windows_of_one_number(
    world: World, owner: Owner, first_group: int
) -> None:
    """An owner submits one window to some operators and another to the rest, then both to all."""
    both = first(world, owner), first(world, owner, b"22.0")
    proofs = [owner.prove(window) for window in both]
    for window, proof in zip(both, proofs, strict=True):
        submit_complete(world, owner, window, proof)
        asked(world, owner.submission(window, proof))
    claims = [claim_of(world, owner, *each) for each in zip(both, proofs, strict=True)]
    some, rest = world.operators[:first_group], world.operators[first_group:]

    answers = [{attested(world, name, claims[0]) for name in some}]
    answers += [{attested(world, name, claims[1]) for name in rest}]
    assert answers[0] | answers[1] == {"signed"}
    for operators, claim in ((some, claims[1]), (rest, claims[0])):
        assert {attested(world, each, claim) for each in operators} <= {"equivocation"}


def test_only_one_of_two_windows_of_one_number_is_ever_certified(tmp_path: Path) -> None:
    with World(tmp_path, make_members(aggregators=2)) as world:
        owner = make_owner(world.members)
        both = first(world, owner), first(world, owner, b"22.0")
        for window, name in zip(both, world.aggregators, strict=True):
            submit_complete(world, owner, window, owner.prove(window), to=name)
        for name in world.aggregators:  # both collect votes before an event reaches the ledger
            world.components(name).window_queue.step()
        answers = voted(world, owner, "aggregator_1")
        assert answers == dict.fromkeys(world.operators, "equivocation")

        for _ in range(3):
            step(world)

        assert verdicts(world, owner) == [("valid", "none")]
        assert applied(world, owner).header == both[0].header.hash


def test_if_two_operators_sign_each_of_two_windows_neither_is_certified(
    world: World, owner: Owner
) -> None:
    """The owner only blocks its own stream."""
    both = first(world, owner), first(world, owner, b"22.0")
    for window, operators in zip(both, (world.operators[:2], world.operators[2:]), strict=True):
        proof = owner.prove(window)
        submit_complete(world, owner, window, proof)
        for name in operators:
            vote(world, name, owner.submission(window, proof))
            assert attested(world, name, claim_of(world, owner, window, proof)) == "signed"

    for window in both:
        submit_complete(world, owner, window, owner.prove(window))
        step(world)
        assert sorted(voted(world, owner).values()) == ["equivocation"] * 2 + ["valid"] * 2

    assert verdicts(world, owner) == []


def test_a_window_after_an_invalid_one_is_not_verified(world: World, owner: Owner) -> None:
    """Even though the header of the invalid one is stored."""
    begun = first(world, owner)
    submit_complete(world, owner, begun, b"wrong")
    assert asked(world, owner.submission(begun, b"wrong")) == all_operators(world, 200, "stark")

    window = owner.window(DATA, begun)
    proof = owner.prove(window)
    submit_complete(world, owner, window, proof)

    assert asked(world, owner.submission(window, proof)) == all_operators(world, 409, "busy")
    world.clock.sleep(penalties.FIRST_PENALTY_SECONDS)
    assert asked(world, owner.submission(window, proof)) == all_operators(world, 409, "behind")


def test_a_window_after_another_one_than_the_log_has_is_not_signed(
    world: World, owner: Owner
) -> None:
    other, begun = first(world, owner), first(world, owner, b"22.0")
    window = owner.window(DATA, other)
    for each in (other, window):
        submit_complete(world, owner, each, owner.prove(each))
        assert asked(world, owner.submission(each, owner.prove(each))) == all_operators(
            world, 200, "none"
        )
    claim = claim_of(world, owner, window, owner.prove(window))

    world.restart("aggregator_0")  # forgets the windows
    submit_complete(world, owner, begun, owner.prove(begun))
    step(world, 0.0)

    assert applied(world, owner).header == begun.header.hash
    assert {attested(world, name, claim) for name in world.operators} == {"behind"}


# -- crashes ---------------------------------------------------------------------------------------


def test_an_operator_keeps_its_decision_after_a_crash(world: World, owner: Owner) -> None:
    window, other = first(world, owner), first(world, owner, b"22.0")
    for each in (other, window):
        submit_complete(world, owner, each, owner.prove(each))
        vote(world, "operator_1", owner.submission(each, owner.prove(each)))
    claims = [claim_of(world, owner, each, owner.prove(each)) for each in (window, other)]

    world.restart("operator_1")
    one = world.post("operator_1", "/attestations", claims[0].to_json()).json()
    world.restart("operator_1")

    assert world.post("operator_1", "/attestations", claims[0].to_json()).json() == one
    assert attested(world, "operator_1", claims[1]) == "equivocation"
    step(world)
    assert verdicts(world, owner) == [("valid", "none")]


def test_an_operator_keeps_its_verdict_on_an_invalid_proof_after_a_crash(
    world: World, owner: Owner
) -> None:
    window = first(world, owner)
    submit_complete(world, owner, window, b"wrong")
    submission = owner.submission(window, b"wrong")
    claim = claim_of(world, owner, window, b"wrong", InvalidReason.STARK)
    before = asked(world, submission)
    assert attested(world, "operator_2", claim) == "signed"

    world.restart("operator_2")

    assert asked(world, submission) == before == all_operators(world, 200, "stark")
    assert attested(world, "operator_2", claim) == "signed"
    otherwise = replace(claim, reason=InvalidReason.ROOT)
    assert attested(world, "operator_2", otherwise) == "malformed"


CRASHES = ("submitted", "complete", "voted on", "in the outbox", "sent")


@pytest.mark.parametrize("moment", CRASHES)
def test_an_aggregator_that_crashes_loses_no_window(
    world: World, owner: Owner, moment: str
) -> None:
    window = first(world, owner)
    proof = owner.prove(window)
    right = owner.submission(window, proof)
    if moment == "submitted":
        submit(world, right)
    else:
        submit_complete(world, owner, window, proof)
    components, refused = (
        world.components("aggregator_0"),
        world.components("operator_1").log.refusals(),
    )
    if moment == "voted on":
        asked(world, right)
    if moment in {"in the outbox", "sent"}:
        components.window_queue.step()
    if moment == "sent":
        components.submitter.step()

    world.restart("aggregator_0")
    if moment in CRASHES[:3]:  # the owner submits it again
        assert world.get("aggregator_0", "/windows").json()["windows"] == []
        submit(
            world, right, *((encode_chunks(window.chunks), proof) if moment == CRASHES[0] else ())
        )
    step(world)
    step(world)

    assert len(window_events(world, owner)) == 1
    assert verdicts(world, owner) == [("valid", "none")]
    assert world.components("operator_1").log.refusals() == refused


def test_all_services_may_crash_between_the_votes_and_the_ledger(
    world: World, owner: Owner
) -> None:
    window = first(world, owner)
    submit_complete(world, owner, window, owner.prove(window))
    world.components("aggregator_0").window_queue.step()

    for name in logs(world):
        world.crash(name)
    for name in (*world.operators, *world.aggregators):
        world.start(name)
    step(world)

    assert verdicts(world, owner) == [("valid", "none")]


# -- states and votes ------------------------------------------------------------------------------


def test_votes_are_shown_with_each_operators_answer_and_detail(world: World, owner: Owner) -> None:
    window = first(world, owner)
    proof = owner.prove(window)
    world.stop("operator_1")
    world.offsets["operator_2"] = -10.0
    submit_complete(world, owner, window, proof)
    with world.components("operator_3").window_voter.verifications.hold(owner.descriptor.id):
        step(world, 0.0)

    (shown,) = world.get("aggregator_0", "/windows").json()["windows"]
    votes = {vote["operator"]: vote for vote in shown["votes"]}
    answers = {operator: vote["answer"] for operator, vote in votes.items()}
    assert answers == dict(
        zip(world.operators, ("unreachable", "clock", "busy", "valid"), strict=True)
    )
    assert [name for name, vote in votes.items() if not vote["detail"]] == ["operator_4"]
    assert "ms in the future" in votes["operator_2"]["detail"]
    assert (shown["state"], shown["number"], shown["missing"]) == ("waiting", 0, [])


def test_an_invalid_vote_is_shown_with_its_reason_and_detail(world: World, owner: Owner) -> None:
    window = first(world, owner)
    submit_complete(world, owner, window, b"wrong")
    step(world)

    (shown,) = world.get("aggregator_0", "/windows").json()["windows"]
    assert shown["state"] == "invalid"
    assert {vote["answer"] for vote in shown["votes"]} == {"invalid: stark"}
    assert all(vote["detail"] for vote in shown["votes"])


@pytest.mark.parametrize(("data", "statement"), [(b"7", "readings"), (b"11", "blocks")])
def test_the_statement_of_a_window_is_shown_on_its_whole_way(
    world: World, data: bytes, statement: str
) -> None:
    owner = make_owner(world.members, f"reads-{statement}", readings=free_steps(0, 10))
    window = first(world, owner, data)
    submission = owner.submission(window, proof := owner.prove(window))
    world.post("aggregator_0", "/windows", submission.to_json())
    (pending,) = world.get("aggregator_0", "/windows").json()["windows"]

    submit_complete(world, owner, window, proof)
    answers = [world.post(name, "/windows", submission.to_json()) for name in world.operators]
    step(world)
    step(world)

    decided = world.get("aggregator_0", f"/windows/decided?stream={to_hex(submission.stream)}")
    shown = [pending, *decided.json()["windows"], *(each.json() for each in answers)]
    assert [each["statement"] for each in shown] == [statement] * 6
    (event,) = window_events(world, owner)
    assert event["statement"] == statement


def test_a_vote_on_another_statement_does_not_count(liar: Liar) -> None:
    vars(liar).update(vars(Liar(liar.world, liar.name, statement="blocks")))
    world = liar.world
    owner = make_owner(world.members, "reads", readings=free_steps(0, 10))
    window = first(world, owner, b"7")
    world.stop("operator_4")  # so that no quorum decides without the liar's vote
    world.stop("operator_3")
    submit_complete(world, owner, window, owner.prove(window))
    step(world)
    answers = voted(world, owner)
    for name in ("operator_3", "operator_4"):
        world.resume(name)
    step(world)
    step(world)

    assert (answers["operator_1"], answers["operator_2"]) == ("bad_answer", "valid")
    assert verdicts(world, owner) == [("valid", "none")]


def test_an_incomplete_window_lists_its_missing_objects(world: World, owner: Owner) -> None:
    window = first(world, owner)
    submission = owner.submission(window, no_proof(owner))
    assert submit(world, owner.submission(window)) == "announced"

    answer = world.post("aggregator_0", "/windows", submission.to_json()).json()

    assert submission.objects is not None
    named_ = [to_hex(submission.objects.chunks), to_hex(submission.objects.proof)]
    assert (answer["state"], answer["missing"], answer["votes"]) == ("incomplete", named_, [])
    assert submit(world, submission, encode_chunks(window.chunks)) == "incomplete"
    assert submit(world, submission, no_proof(owner)) == "voting"
    stored = world.get("operator_1", f"/objects/{to_hex(window.header.hash)}")
    assert stored.content == window.header.encode()


def test_the_votes_on_an_applied_window_are_still_shown(world: World, owner: Owner) -> None:
    window = first(world, owner)
    proof = owner.prove(window)
    world.stop("operator_4")
    submit_complete(world, owner, window, proof)
    step(world)
    step(world)

    answer = world.post("aggregator_0", "/windows", owner.submission(window, proof).to_json())
    (event,) = window_events(world, owner)

    votes = {vote["operator"]: vote["answer"] for vote in answer.json()["votes"]}
    assert answer.json()["state"] == "applied"
    assert votes == dict.fromkeys(event["signers"], "valid") | {"operator_4": "unreachable"}
    Certificate.from_json(event).verify(world.committee)


def test_votes_are_listed_after_a_window_is_decided(world: World, owner: Owner) -> None:
    """The proof that was found invalid keeps its votes when another one replaces it."""
    window = first(world, owner)
    proof = owner.prove(window)
    world.stop("operator_4")
    for each in (b"wrong", proof):
        submit_complete(world, owner, window, each)
        step(world, 2 * penalties.FIRST_PENALTY_SECONDS + 0.1)
    step(world)

    stream = to_hex(owner.descriptor.id)
    answer = world.get("aggregator_0", f"/windows/decided?stream={stream}").json()
    valid, invalid = answer["windows"]
    assert world.get("aggregator_0", "/windows").json()["windows"] == []
    assert [(each["state"], each["number"]) for each in (valid, invalid)] == [
        ("applied", 0),
        ("invalid", 0),
    ]
    assert valid["id"] > invalid["id"]
    for each, sent, said in ((valid, proof, "valid"), (invalid, b"wrong", "invalid: stark")):
        votes = {vote["operator"]: vote["answer"] for vote in each["votes"]}
        assert votes == dict.fromkeys(world.operators[:3], said) | {"operator_4": "unreachable"}
        assert each["proof"] == to_hex(hashlib.sha256(sent).digest())
        assert each["proof_bytes"] == len(sent)
        assert (each["count"], each["security_bits"]) == (1, 101 if each is valid else None)

    def ids(query: str) -> list[int]:
        found = world.get("aggregator_0", f"/windows/decided?{query}").json()
        return [each["id"] for each in found["windows"]]

    assert ids("limit=1") == [valid["id"]]
    assert ids(f"after={valid['id']}&limit=1") == [invalid["id"]]
    assert ids(f"stream={stream}&number=0&limit=1") == [valid["id"]]
    assert ids(f"stream={stream}&number=1") == ids(f"stream=0x{'00' * 32}") == []


@pytest.mark.parametrize("query", ["stream=0x07", "number=-1", "limit=0", "after=x", "state=x"])
def test_a_query_for_decided_windows_is_refused(shared: World, query: str) -> None:
    assert shared.get("aggregator_0", f"/windows/decided?{query}").status_code == 400


# -- experts ---------------------------------------------------------------------------------------


def endorsement(world: World, owner: Owner, **changes: Any) -> EndorsementClaim:
    now = int(world.clock.now)
    claim = EndorsementClaim(owner.descriptor.id, 0, 0, Verdict.VALID, bytes(32), "expert_1", now)
    return replace(claim, **changes)


def with_one_window(world: World, name: str) -> Owner:
    owner = make_owner(world.members, name)
    window = first(world, owner)
    submit_complete(world, owner, window, owner.prove(window))
    step(world)
    world.run(1)  # a checkpoint, from which an endorsement's age is measured
    return owner


@pytest.fixture(scope="module")
def unendorsed(shared: World) -> Owner:
    return with_one_window(shared, "unendorsed")


@pytest.fixture
def certified(world: World, owner: Owner) -> Owner:
    return with_one_window(world, owner.descriptor.name)


def test_an_endorsement_is_applied_by_every_log_and_shown(world: World, certified: Owner) -> None:
    claim = endorsement(world, certified)

    answer = world.post("aggregator_0", "/endorsements", world.members.endorse(claim).to_json())
    step(world, 0.0)

    assert (answer.status_code, answer.json()) == (202, {"accepted": True})
    for name in logs(world):
        answers = world.components(name).log.state.stream(certified.descriptor.id).by("expert_1")
        assert answers.claims == (claim,)
    for name in world.operators:
        stream = f"/streams/{to_hex(certified.descriptor.id)}"
        for path in (stream, f"{stream}/windows/0"):
            (shown,) = world.get(name, path).json()["endorsements"]
            assert (shown["expert"], shown["verdict"]) == ("expert_1", "valid")


Endorse = Callable[[World, Owner], dict[str, Any]]


def forged(world: World, owner: Owner) -> dict[str, Any]:
    """An endorsement that is signed with an operator's key."""
    claim = endorsement(world, owner)
    key = world.members.secrets["operator_1"]
    signature = key.sign(claim.root(world.committee.id))
    return {**world.members.endorse(claim).to_json(), "signature": to_hex(signature)}


def changed(world: World, owner: Owner, **changes: Any) -> dict[str, Any]:
    return world.members.endorse(endorsement(world, owner, **changes)).to_json()


UNENDORSED: dict[str, tuple[str, Endorse]] = {
    "signed with another key": ("bad_signature", forged),
    "by an unknown expert": ("unknown_signer", partial(changed, expert="expert_2")),
    "of a window that is not there": ("no_such_window", partial(changed, last=1)),
    "of a stream that is not there": ("no_such_window", partial(changed, stream=bytes(32))),
    "long ago": ("stale", partial(changed, timestamp=1_000_000_000)),
    "in the future": ("early", partial(changed, timestamp=4_000_000_000)),
    "for another committee": (
        "wrong_committee",
        lambda world, owner: {**changed(world, owner), "committee": to_hex(bytes(32))},
    ),
}


@pytest.mark.parametrize("name", list(UNENDORSED))
def test_an_endorsement_that_no_log_would_apply_is_refused(
    world: World, unendorsed: Owner, name: str
) -> None:
    reason, make = UNENDORSED[name]

    world.run(1)  # a checkpoint of this time

    refused = world.post("aggregator_0", "/endorsements", make(world, unendorsed))
    step(world, 0.0)

    assert refused.json()["title"] == reason
    assert world.components("operator_1").log.state.stream(unendorsed.descriptor.id).endorsed == {}


def test_an_endorsement_is_accepted_once_and_replaced_only_by_a_later_one(
    world: World, certified: Owner
) -> None:
    claim = endorsement(world, certified)
    bodies = [
        world.members.endorse(replace(claim, **changes)).to_json()
        for changes in (
            {},
            {},
            {"verdict": Verdict.INVALID},
            {"verdict": Verdict.INVALID, "timestamp": claim.timestamp + 1},
        )
    ]
    answers = []
    for body in bodies:
        answer = world.post("aggregator_0", "/endorsements", body)
        answers.append(answer.json().get("title", answer.status_code))
        step(world, 0.0)

    assert answers == [202, "applied_already", "not_later", 202]
    shown = world.get("operator_2", f"/streams/{to_hex(certified.descriptor.id)}").json()
    assert [each["verdict"] for each in shown["endorsements"]] == ["valid", "invalid"]
