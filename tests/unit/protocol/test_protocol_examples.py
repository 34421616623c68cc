"""The code reproduces the examples of the protocol in `tests/vectors/protocol`."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from committees import with_log_time
from dragon import errors
from dragon.encoding import Json, Members, canonical, parse, to_hex
from dragon.log.downtime import totals
from dragon.protocol import bls, certificate, claims, event, merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims import Claim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.maintenance import MAX_ANNOUNCED, MaintenanceClaim
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import MAX_REFUTED, InvalidReason, Verdict, WindowClaim
from dragon.protocol.committee import Committee, Expert, byzantine_faults, quorum_of, short_id
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.founding import Change, succeed
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import Lineage
from dragon.protocol.maintenance import Maintenance
from dragon.protocol.member import Member
from dragon.protocol.messages import StatusAnswer, Suspicion
from dragon.protocol.rounds import Rounds
from dragon.protocol.state import State
from dragon.protocol.streams.chunks import (
    ChunkHeader,
    chunk_headers,
    encode_chunks,
    opening,
    salt,
    tree_of,
)
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.finding import judge
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import is_complete, verify
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon.protocol.streams.window import WindowHeader, close, sign
from dragon.protocol.transition import transition
from dragon.stark.prover.blocks import prove_blocks
from dragon.stark.ziggy import secret_preimage

Keys = Mapping[str, bls.SecretKey]
Oracle: Any = G2ProofOfPossession  # an independent implementation of the ciphersuite

ROOT = Path(__file__).parents[3]
EXAMPLES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in (ROOT / "tests" / "vectors" / "protocol").glob("*.json")
}


def example(name: str) -> str:
    """Return a text, or the JSON text of a value."""
    shown = EXAMPLES[name]
    return str(shown["text"]) if "text" in shown else json.dumps(shown["value"])


def raw(name: str) -> bytes:
    """Return the bytes of a hexadecimal text."""
    return bytes.fromhex(example(name).removeprefix("0x"))


def rows(name: str) -> list[list[Any]]:
    """Return the rows of a table, without its header."""
    found: list[list[Any]] = EXAMPLES[name]["rows"]
    return found


@pytest.fixture(scope="module")
def committee() -> Committee:
    return Committee.load(example("committee").encode())


@pytest.fixture(scope="module")
def secrets() -> dict[str, bls.SecretKey]:
    return {
        name: bls.SecretKey.decode(bytes.fromhex(secret[2:]))
        for name, secret, _ in rows("example-keys")
    }


@pytest.fixture(scope="module")
def outage() -> Certificate:
    return Certificate.from_json(parse(example("certificate")))


# -- encoding --------------------------------------------------------------------------------------


def test_an_ambiguous_text_is_refused_by_name() -> None:
    for text, refusal in rows("refused-texts"):
        with pytest.raises(errors.InvalidEncoding) as refused:
            parse(text)

        assert type(refused.value).__name__ == refusal, text


def take(value: Json) -> None:
    members = Members(value, "the example")
    members.id("id")
    members.integer("integer", least=1, most=9)
    members.hex("bytes", size=2)
    members.end()


def test_a_wrong_member_is_refused_by_name() -> None:
    take(parse('{"id":"operator_1","integer":7,"bytes":"0x0102"}'))

    for text, refusal in rows("refused-members"):
        with pytest.raises(errors.InvalidEncoding) as refused:
            take(parse(text))

        assert type(refused.value).__name__ == refusal, text


def test_members_are_ordered_by_utf16_code_units() -> None:
    text = example("canonical")

    assert canonical(parse(text)) == text.encode()
    assert list(json.loads(text)) != sorted(json.loads(text))


# -- keys ------------------------------------------------------------------------------------------


def test_domain_separation_tags() -> None:
    stated = [tag.encode() for _, tag in rows("domain-separation-tags")]

    assert stated == [bls.SIGNATURE_DST, bls.POSSESSION_DST]


def test_example_keys_are_derived_from_names() -> None:
    for name, secret, public in rows("example-keys"):
        made = bls.SecretKey.generate(name.encode("ascii").ljust(32, b"."))

        assert to_hex(made.encode()) == secret
        assert to_hex(made.public_key().raw) == public


# -- committee -------------------------------------------------------------------------------------


def test_the_committee_is_decoded_and_encoded(
    committee: Committee, secrets: dict[str, bls.SecretKey]
) -> None:
    assert canonical(committee.to_json()) == canonical(parse(example("committee")))
    for operator in committee.operators:
        secret = secrets[operator.id]
        assert operator.public_key == secret.public_key()
        assert operator.proof_of_possession == secret.prove_possession()


def test_the_committee_id_covers_the_whole_file(committee: Committee) -> None:
    covered = example("committee-id-input")

    assert canonical(parse(example("committee"))).decode() == covered == committee.encode().decode()
    assert hashlib.sha256(covered.encode()).digest() == raw("committee-id") == committee.id
    assert committee.network_id == committee.id
    assert example("short-id").replace(" ", "") == committee.id.hex()[:40]
    assert short_id(committee.id) == example("short-id")


def test_sizes_of_quorums() -> None:
    for n, *stated in rows("quorums"):
        computed = (
            byzantine_faults(int(n)),
            quorum_of("byzantine", int(n)),
            quorum_of("majority", int(n)),
        )

        assert [int(number) for number in stated] == list(computed)


def test_timers_of_rounds() -> None:
    for seconds, *stated in rows("timers"):
        rounds = Rounds(0, int(seconds))

        computed = [rounds.max_age, rounds.checkpoint_every, rounds.unknown_after]
        assert [int(number) for number in stated] == computed


def test_a_member_file_is_signed_with_its_own_key() -> None:
    value: Any = parse(example("member"))
    member = Member.load(canonical(value))
    signed = {name: value[name] for name in ("role", "id", "url", "public_key")}
    hashed = raw("member-input")

    assert hashed == b"datadragon/member/v1\x00" + bytes(32) + canonical(signed)
    assert raw("member-root") == hashlib.sha256(hashed).digest() == member.root()
    secret = bls.SecretKey.generate(b"operator_5".ljust(32, b"."))
    assert member.signature == secret.sign(raw("member-root"))


def test_a_fifth_operator_joins(committee: Committee, secrets: Keys) -> None:
    member = Member.load(example("member").encode())
    following = succeed(Lineage.of(committee), Change(members=(member,)))
    shown = event.decode(parse(example("handover")))

    assert following.id == raw("next-committee-id")
    assert isinstance(shown, Handover)
    shown.verify(committee)
    shown.verify_acceptance(committee, following)
    assert canonical(shown.claim.members()) == example("handover-members").encode()
    assert raw("acceptance-root") == shown.claim.acceptance.root(following.id)
    hashed = b"datadragon/acceptance/v1\x00" + following.id + example("handover-members").encode()
    assert raw("acceptance-root") == hashlib.sha256(hashed).digest()
    joined = {**secrets, "operator_5": bls.SecretKey.generate(b"operator_5".ljust(32, b"."))}
    signatures = [joined[name].sign(raw("acceptance-root")) for name in shown.acceptance.signers]
    assert shown.acceptance.signature == bls.aggregate_signatures(signatures)


# -- claims ----------------------------------------------------------------------------------------

TYPES: dict[str, type[Claim | StatusAnswer | Suspicion]] = {
    "status": StatusClaim,
    "checkpoint": CheckpointClaim,
    "downtime": DowntimeClaim,
    "period": PeriodClaim,
    "window": WindowClaim,
    "handover": HandoverClaim,
    "endorsement": EndorsementClaim,
    "maintenance": MaintenanceClaim,
    "status-answer": StatusAnswer,
    "suspicion": Suspicion,
}


@pytest.mark.parametrize("kind", TYPES)
def test_the_root_of_a_claim(kind: str, committee: Committee) -> None:
    text, hashed = example(f"{kind}-members"), raw(f"{kind}-input")
    members = Members(parse(text), kind)
    claim = TYPES[kind].take(members)
    members.end()

    domain = b"datadragon/" + kind.encode() + b"/v1" + b"\x00"
    assert hashed == domain + committee.id + text.encode()
    assert raw(f"{kind}-root") == hashlib.sha256(hashed).digest() == claim.root(committee.id)
    assert kind == claim.KIND


def test_the_signature_on_a_root(
    secrets: dict[str, bls.SecretKey],
) -> None:
    assert secrets["operator_1"].sign(raw("status-root")) == raw("status-signature")


def test_a_claim_with_its_kind_is_decoded_and_encoded() -> None:
    text = example("status-claim")

    claim = claims.from_json(parse(text))

    assert canonical(claim.to_json()) == text.encode()
    assert canonical(claim.members()) == example("status-members").encode()


@pytest.mark.parametrize(
    ("kind", "spoilt"),
    [
        ("checkpoint", {"size": 0}),
        ("checkpoint", {"timestamp": -1}),
        ("downtime", {"from": -1}),
        ("downtime", {"to": 1732522000}),
        ("downtime", {"seconds_down": 161, "seconds_unknown": 0}),
        ("downtime", {"seconds_unknown": 106}),
        ("downtime", {"size": -1}),
        ("period", {"nodes": 0}),
        ("period", {"nodes": 8193}),
        ("period", {"to": 1732522000 + 366 * 86_400 + 1}),
        ("window", {"number": -1}),
        ("endorsement", {"first": 1}),
        ("endorsement", {"last": -1}),
        ("maintenance", {"from": -1}),
        ("downtime", {"seconds_maintenance": 56}),
    ],
)
def test_a_member_out_of_bounds_is_refused(kind: str, spoilt: dict[str, int]) -> None:
    members = {**json.loads(example(f"{kind}-members")), **spoilt}

    with pytest.raises(errors.IntegerOutOfRange):
        TYPES[kind].take(Members(members, kind))


# -- certificates ----------------------------------------------------------------------------------


def certified(
    claim: Claim, signers: tuple[str, ...], keys: Keys, committee: Committee
) -> Certificate:
    root = claim.root(committee.id)
    return certificate.assemble(claim, {name: keys[name].sign(root) for name in signers}, committee)


@pytest.mark.parametrize("kind", ["checkpoint", "downtime", "window"])
def test_a_certificate_is_verified_and_assembled_again(
    kind: str, committee: Committee, secrets: Keys
) -> None:
    text = {
        "checkpoint": example("checkpoint-certificate"),
        "downtime": example("downtime-certificate"),
        "window": example("window-certificate"),
    }
    value = parse(text[kind])
    shown = Certificate.from_json(value)

    shown.verify(committee)

    assert canonical(shown.to_json()) == canonical(value)
    assert canonical(shown.claim.members()) == example(f"{kind}-members").encode()
    assert shown == certified(shown.claim, shown.signers, secrets, committee)


def test_a_status_certificate_is_verified(
    outage: Certificate, committee: Committee, secrets: dict[str, bls.SecretKey]
) -> None:
    outage.verify(committee)

    assert canonical(outage.claim.members()) == example("status-members").encode()
    signatures = [secrets[signer].sign(raw("status-root")) for signer in outage.signers]
    assert outage.signature == bls.aggregate_signatures(signatures)


def test_an_endorsement_is_verified_and_signed_again(committee: Committee) -> None:
    value: Any = parse(example("expert"))
    secret = bls.SecretKey.generate(b"expert_1".ljust(32, b"."))
    expert = Expert(value["id"], secret.public_key(), secret.prove_possession())
    with_expert = dataclasses.replace(committee, experts=(expert,))
    shown = event.decode(parse(example("endorsement")))

    with_expert.check()
    assert with_expert.id == raw("expert-committee-id")
    assert with_expert.to_json()["experts"] == [value]
    shown.verify(with_expert)
    assert canonical(shown.claim.members()) == example("endorsement-members").encode()
    assert isinstance(shown.claim, EndorsementClaim)
    assert shown == Endorsement.sign(shown.claim, secret, with_expert.id)
    assert shown.claim.note == hashlib.sha256(b"as expected").digest()


def test_an_endorsement_is_verified_in_the_specified_order(committee: Committee) -> None:
    order = ["WrongCommittee", "UnknownSigner", "InvalidSignature", "BadSignature"]
    shown = cast("Endorsement", event.decode(parse(example("endorsement"))))
    secret = bls.SecretKey.generate(b"expert_1".ljust(32, b"."))
    expert = Expert("expert_1", secret.public_key(), secret.prove_possession())
    with_expert = dataclasses.replace(committee, experts=(expert,))
    stranger = dataclasses.replace(shown.claim, expert="operator_1")
    spoilt = [
        dataclasses.replace(shown, claim=stranger, committee_id=committee.id, signature=b""),
        dataclasses.replace(shown, claim=stranger, signature=b""),
        dataclasses.replace(shown, signature=b""),
        dataclasses.replace(shown, claim=dataclasses.replace(shown.claim, last=1)),
    ]

    found = []
    for each in spoilt:
        with pytest.raises(errors.CertificateError) as refused:
            each.verify(with_expert)
        found.append(type(refused.value).__name__)
    assert found == order


def test_an_announcement_is_verified_and_signed_again(committee: Committee, secrets: Keys) -> None:
    value: Any = parse(example("maintenance"))
    shown = cast("Maintenance", event.decode(value))
    key = secrets["operator_1"].public_key().raw

    assert committee.speaker(value["node_id"]) == "operator_1"
    shown.verify(committee)
    assert canonical(shown.claim.members()) == example("maintenance-members").encode()
    assert shown == Maintenance.sign(shown.claim, secrets["operator_1"], committee.id)
    assert Oracle.Verify(key, hashlib.sha256(raw("maintenance-input")).digest(), shown.signature)


def test_an_announcement_is_verified_in_the_specified_order(committee: Committee) -> None:
    order = ["WrongCommittee", "UnknownNode", "NoOwner", "InvalidSignature", "BadSignature"]
    targets = (*committee.targets, dataclasses.replace(committee.targets[0], id="free", owner=""))
    own = dataclasses.replace(committee, targets=targets)
    shown = cast("Maintenance", event.decode(parse(example("maintenance"))))
    shown = dataclasses.replace(shown, committee_id=own.id)

    def about(node_id: str) -> Maintenance:
        claim = dataclasses.replace(shown.claim, node_id=node_id)
        return dataclasses.replace(shown, claim=claim, signature=b"")

    spoilt = [
        dataclasses.replace(about("nobody"), committee_id=committee.id),
        about("nobody"),
        about("free"),
        about("target_1"),
        shown,
    ]

    found = []
    for each in spoilt:
        with pytest.raises(errors.DragonError) as refused:
            each.verify(own)
        found.append(type(refused.value).__name__)
    assert found == order


# -- leaves and tree -------------------------------------------------------------------------------


def leaves() -> Iterator[bytes]:
    for number in (0, 1):
        yield example(f"leaf-{number}").encode()


def test_leaves_of_the_log(outage: Certificate, committee: Committee) -> None:
    for number, leaf in enumerate(leaves()):
        value = cast("dict[str, Any]", parse(leaf))
        applied = event.decode(value["event"])

        applied.verify(committee)
        assert event.leaf(applied, value["ledger_index"]) == leaf
        assert raw(f"leaf-{number}-hash") == hashlib.sha256(b"\x00" + leaf).digest()
    first, second = (event.decode(cast("Any", parse(leaf))["event"]) for leaf in leaves())
    assert first == outage
    assert isinstance(first.claim, StatusClaim)
    assert second.claim == StatusClaim("operator_2", Status.UP, first.claim.timestamp + 55)
    assert second.signers == tuple(committee.keys)


def test_roots_and_proofs_of_small_trees() -> None:
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves()]
    tree = merkle.Tree(hashes)
    stated = {int(size): bytes.fromhex(root[2:]) for size, root in rows("roots")}
    path, proof = raw("inclusion-path"), raw("consistency-proof")

    assert stated == {size: tree.root(size) for size in range(3)}
    assert (
        stated[2]
        == CheckpointClaim.take(
            Members(parse(example("checkpoint-members")), "the checkpoint")
        ).log_root
    )
    merkle.verify_inclusion(hashes[0], 0, 2, [path], stated[2])
    merkle.verify_consistency(1, stated[1], 2, stated[2], [proof])


def test_a_tree_of_five_leaves() -> None:
    hashes = [merkle.leaf_hash(bytes.fromhex(leaf[2:])) for (leaf,) in rows("five-leaves")]
    path = [bytes.fromhex(hashed[2:]) for (hashed,) in rows("five-leaves-path")]

    assert len(hashes) == 5
    assert merkle.Tree(hashes).root() == raw("five-leaves-root")
    assert merkle.Tree(hashes).inclusion(3) == path
    merkle.verify_inclusion(hashes[3], 3, 5, path, raw("five-leaves-root"))


# -- the rules of application ----------------------------------------------------------------------


# How to violate each rule of application, in the order of the specification, section 6. An event's
# form is checked before all of them, its signature after them.
RULES = {
    "status": ["WrongCommittee", "AppliedAlready", "Stale", "NotLater", "NotAChange"],
    "checkpoint": ["WrongCommittee", "AppliedAlready", "Stale", "NotLater"],
    "window": ["WrongCommittee", "AppliedAlready", "Stale", "NotNext", "EnoughRefuted"],
    "endorsement": [
        *("WrongCommittee", "AppliedAlready", "Stale", "Early", "NoSuchWindow", "NotLater"),
    ],
    "maintenance": [
        *("WrongCommittee", "AppliedAlready", "Stale", "UnknownNode", "NoOwner", "TooLate"),
        *("TooFar", "EnoughAnnounced"),
    ],
}


def first_refusals(
    stages: list[tuple[event.Event, int]], state: State, committee: Committee, root: bytes
) -> list[str]:
    """Return the refusal of each event at a log time."""
    found = []
    for certificate_, time in stages:
        aged = with_log_time(state, time)
        with pytest.raises(errors.DragonError) as refused:
            transition(aged, certificate_, root_at=lambda _: root)
        found.append(type(refused.value).__name__)
    return found


def test_the_rules_for_a_status_apply_in_order(committee: Committee, secrets: Keys) -> None:
    """Each stage violates one rule, and as many later rules as possible."""
    time, everybody = committee.rounds.start(10), tuple(secrets)
    others, late = ("operator_1", "operator_3", "operator_4"), time + 99

    def status(said: Status, round_: int, signers: tuple[str, ...] = everybody) -> Certificate:
        claim = StatusClaim("operator_2", said, committee.rounds.start(round_))
        return certified(claim, signers, secrets, committee)

    applied = status(Status.UP, 10)
    state = transition(State.of(committee), applied, root_at=lambda _: b"")
    genuine = status(Status.DOWN, 11, others)
    forged = dataclasses.replace(genuine, signature=status(Status.DOWN, 9, others).signature)
    foreign = dataclasses.replace(applied, committee_id=bytes(32))
    before, same = status(Status.UP, 9), status(Status.UP, 11)
    stages = [(foreign, late), (applied, late), (before, late), (before, time)]
    stages += [(same, time), (forged, time)]

    names = first_refusals(stages, state, committee, b"")

    assert names == [*RULES["status"], "BadSignature"]
    transition(state, genuine, root_at=lambda _: b"")


def test_the_rules_for_a_checkpoint_apply_in_order(committee: Committee, secrets: Keys) -> None:
    own, start = bytes(range(32)), committee.rounds.start

    def checkpoint(size: int, root: bytes, round_: int) -> Certificate:
        return certified(
            CheckpointClaim(size, root, start(round_)), tuple(secrets), secrets, committee
        )

    def after(state: State, applied: Certificate) -> State:
        return transition(state, applied, root_at=lambda _: own)

    first = StatusClaim("operator_2", Status.UP, start(19))
    applied = checkpoint(1, own, 20)
    state = after(State.of(committee), certified(first, tuple(secrets), secrets, committee))
    state = after(state, applied)
    foreign = dataclasses.replace(applied, committee_id=bytes(32))
    stale, near, beyond, other = (
        checkpoint(1, own, 7),
        checkpoint(1, own, 19),
        checkpoint(3, own, 32),
        checkpoint(2, bytes(32), 32),
    )
    forged = dataclasses.replace(beyond, signature=other.signature)

    names = []
    for each in (foreign, applied, stale, near, forged, beyond, other):
        with pytest.raises(errors.DragonError) as refused:
            after(state, each)
        names.append(type(refused.value).__name__)

    assert names == [*RULES["checkpoint"], "BadSignature", "Diverged", "Diverged"]
    # It must contain the last checkpoint, at position 1, and be twelve rounds later.
    for small, round_ in ((1, 32), (2, 31)):
        with pytest.raises(errors.NotLater):
            after(state, checkpoint(small, own, round_))
    after(state, checkpoint(2, own, 32))


def test_the_rules_for_a_window_apply_in_order(committee: Committee, secrets: Keys) -> None:
    """Each stage violates one rule, and as many later rules as possible."""
    start, everybody = committee.rounds.start, tuple(secrets)
    time, late = start(10), start(10) + 99
    shown = WindowClaim.take(Members(parse(example("window-members")), "the window"))
    first = dataclasses.replace(shown, timestamp=time)
    second = dataclasses.replace(first, number=1, previous=first.header, header=bytes(32))
    bad = dataclasses.replace(second, verdict=Verdict.INVALID, reason=InvalidReason.STARK)

    def voted(claim: WindowClaim, signature: bytes | None = None) -> Certificate:
        made = certified(claim, everybody, secrets, committee)
        return dataclasses.replace(made, signature=signature) if signature else made

    state = transition(State.of(committee), voted(first), root_at=lambda _: b"")
    wrong = voted(first).signature
    for k in range(MAX_REFUTED):
        refuted = voted(dataclasses.replace(bad, proof=bytes([k]) * 32))
        state = transition(state, refuted, root_at=lambda _: b"")
    foreign = dataclasses.replace(voted(first), committee_id=bytes(32))
    skipped = voted(dataclasses.replace(second, number=2), wrong)
    other = dataclasses.replace(bad, number=7, previous=bytes(32))
    stages: list[tuple[event.Event, int]] = [(foreign, late), (voted(first, wrong), late)]
    stages += [(skipped, late), (skipped, time), (voted(bad, wrong), time)]
    stages += [(voted(second, wrong), time)]

    names = first_refusals(stages, state, committee, b"")

    assert names == [*RULES["window"], "BadSignature"]
    assert first_refusals([(voted(other), time)], state, committee, b"") == ["NotNext"]
    again = dataclasses.replace(bad, proof=bytes(32), timestamp=start(11))
    assert first_refusals([(voted(again), time)], state, committee, b"") == ["AppliedAlready"]
    assert transition(state, voted(second), root_at=lambda _: b"").size == 18


def test_the_rules_for_an_endorsement_apply_in_order(committee: Committee, secrets: Keys) -> None:
    secret = bls.SecretKey.generate(b"expert_1".ljust(32, b"."))
    expert = Expert("expert_1", secret.public_key(), secret.prove_possession())
    own = dataclasses.replace(committee, experts=(expert,))
    time = own.rounds.start(10)
    late, most = time + 99, own.rounds.unknown_after + own.rounds.max_age
    window = WindowClaim.take(Members(parse(example("window-members")), "the window"))
    shown = EndorsementClaim.take(Members(parse(example("endorsement-members")), "it"))
    shown = dataclasses.replace(shown, timestamp=time)

    def said(claim: EndorsementClaim, signature: bytes | None = None) -> Endorsement:
        made = Endorsement.sign(claim, secret, own.id)
        return dataclasses.replace(made, signature=signature) if signature else made

    voted = certified(dataclasses.replace(window, timestamp=time), tuple(secrets), secrets, own)
    state = transition(State.of(own), voted, root_at=lambda _: b"")
    state = transition(state, said(shown), root_at=lambda _: b"")
    wrong = said(dataclasses.replace(shown, last=9)).signature
    beyond = said(dataclasses.replace(shown, last=1), wrong)
    again = said(dataclasses.replace(shown, verdict=Verdict.INVALID), wrong)
    forged = said(dataclasses.replace(shown, timestamp=time + 1), wrong)
    foreign = dataclasses.replace(said(shown), committee_id=committee.id)
    stages: list[tuple[event.Event, int]] = [(foreign, late), (said(shown, wrong), late)]
    stages += [(beyond, late), (beyond, time - most - 1), (beyond, time - most)]
    stages += [(again, time), (forged, time)]

    names = first_refusals(stages, state, own, b"")

    assert names == [*RULES["endorsement"], "BadSignature"]


def test_the_rules_for_an_announcement_apply_in_order(committee: Committee, secrets: Keys) -> None:
    """Each stage violates one rule, and as many later rules as possible."""
    shown = cast("Maintenance", event.decode(parse(example("maintenance")))).claim
    targets = (*committee.targets, dataclasses.replace(committee.targets[0], id="free", owner=""))
    own = dataclasses.replace(committee, targets=targets)
    time, late = shown.timestamp, shown.timestamp + 99
    first = time + own.maintenance_notice

    def said(**changes: Any) -> Maintenance:
        claim = dataclasses.replace(shown, **changes)
        return Maintenance.sign(claim, secrets["operator_2"], own.id)

    state = with_log_time(State.of(own), time)
    for number in range(MAX_ANNOUNCED):
        claim = dataclasses.replace(shown, end=shown.end + number)
        genuine = Maintenance.sign(claim, secrets["operator_1"], own.id)
        state = transition(state, genuine, root_at=lambda _: b"")
    stages: list[tuple[event.Event, int]] = [
        (dataclasses.replace(said(), committee_id=committee.id), late),
        (said(), late),
        (said(node_id="nobody", begin=0, end=0), late),
        (said(node_id="nobody", begin=0, end=0), time),
        (said(node_id="free", begin=0, end=0), time),
        (said(begin=first - 1, end=0), time),
        (said(begin=first, end=first), time),
        (said(begin=first), time),
    ]

    names = first_refusals(stages, state, own, b"")

    assert names == RULES["maintenance"]
    empty = State.of(own)
    assert first_refusals([(said(), time)], empty, own, b"") == ["BadSignature"]


@pytest.mark.parametrize("name", ["checkpoint-certificate", "downtime-certificate"])
def test_a_checkpoint_is_an_event_and_a_downtime_certificate_is_not(name: str) -> None:
    value = parse(example(name))
    if name.startswith("downtime"):
        with pytest.raises(errors.UnknownKind):
            event.decode(value)
    else:
        assert event.decode(value).to_json() == value


# -- totals ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Worked:
    """The log of the example after its events were applied."""

    state: State
    tree: merkle.Tree


@pytest.fixture(scope="module")
def worked(committee: Committee, secrets: Keys) -> Worked:
    state, tree = State.of(committee), merkle.Tree()
    for position, (place, what, second) in zip(count(), rows("totals-log"), strict=False):
        subject, said = what.split()
        timestamp = committee.rounds.genesis + int(second)
        signers = tuple(name for name in secrets if said != "down" or name != subject)
        claim: Claim = (
            CheckpointClaim(int(said), tree.root(int(said)), timestamp)
            if subject == "checkpoint"
            else StatusClaim(subject, Status(said), timestamp)
        )
        applied = certified(claim, signers, secrets, committee)
        state = transition(state, applied, root_at=tree.root)
        tree.append(merkle.leaf_hash(event.leaf(applied, position + 1)))
        assert int(place) == position
    return Worked(state, tree)


def test_totals_of_the_worked_example(worked: Worked, committee: Committee) -> None:
    genesis = committee.rounds.genesis
    for begin, end, *stated in rows("totals"):
        interval = genesis + int(begin), genesis + int(end)
        checkpoint = worked.state.settling(interval[1])
        assert checkpoint is not None
        size = checkpoint.position + 1

        found = totals(worked.state, size, "operator_2", interval)

        settled = int(end) + committee.rounds.settled_after
        computed = [settled, size, found.seconds_down, found.seconds_unknown]
        assert [int(number) for number in stated] == computed


def test_the_time_after_the_last_checkpoint_less_max_age_is_not_settled(
    worked: Worked, committee: Committee
) -> None:
    latest = 520 - committee.rounds.max_age

    assert worked.state.settling(committee.rounds.genesis + latest) is not None
    assert worked.state.settling(committee.rounds.genesis + latest + 1) is None


def test_the_downtime_claim_is_about_the_worked_example(
    worked: Worked, committee: Committee
) -> None:
    begin, end, _, size, down, unknown = (int(number) for number in rows("totals")[0])
    genesis = committee.rounds.genesis

    claim = DowntimeClaim(
        "operator_2", genesis + begin, genesis + end, down, 0, unknown, size, worked.tree.root(size)
    )

    assert canonical(claim.members()) == example("downtime-members").encode()


# -- streams ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Shown:
    """The example stream, computed from its secrets."""

    identity_key: bytes
    header_secret: bls.SecretKey
    salt_key: bytes
    descriptor: Descriptor
    data: list[bytes]
    openings: list[bytes]
    chunks: tuple[ChunkHeader, ...]
    header: WindowHeader
    proof: bytes


@pytest.fixture(scope="module")
def shown() -> Shown:
    identity_key, header_key, salt_key = (
        bytes.fromhex(secret[2:]) for _, secret in rows("stream-secrets")
    )
    descriptor = Descriptor.decode(example("descriptor").encode())
    listed = rows("chunk-data")
    data = [text.encode() for _, _, text, _ in listed]
    openings = [
        opening(salt_key, descriptor.id, int(sequence), bytes.fromhex(digest[2:]))
        for sequence, _, _, digest in listed
    ]
    received = [(int(time), len(text)) for _, time, text, _ in listed]
    chunks = chunk_headers(0, received, openings)
    header = close(descriptor, None, chunks)
    secrets = [secret_preimage(identity_key), *openings]
    proof = prove_blocks("standard", secrets, header.hash, raw("proof-rho"))
    secret = bls.SecretKey.decode(header_key)
    return Shown(
        *(identity_key, secret, salt_key, descriptor, data, openings, chunks, header, proof)
    )


def test_the_descriptor_and_the_stream_id(shown: Shown, committee: Committee) -> None:
    text, secret = example("descriptor"), shown.header_secret

    assert shown.descriptor.encode() == text.encode()
    assert hashlib.sha256(text.encode()).digest() == raw("stream-id") == shown.descriptor.id
    assert shown.descriptor.network_id == committee.network_id
    assert secret == bls.SecretKey.generate(b"sensor-1".ljust(32, b"."))
    assert shown.descriptor.header_key == secret.public_key()
    assert shown.descriptor.proof_of_possession == secret.prove_possession()


def test_the_salt_the_opening_and_the_commitment_of_a_chunk(shown: Shown) -> None:
    hashed = raw("salt-input")
    digest = hashlib.sha256(b"21.5").digest()

    assert hashed == shown.descriptor.id + bytes(8) + digest
    expected = hmac.new(shown.salt_key, hashed, hashlib.sha256).digest()[:28]
    assert raw("salt") == expected == salt(shown.salt_key, shown.descriptor.id, 0, digest)
    assert raw("opening") == digest + expected == shown.openings[0]
    assert raw("commitment") == shown.chunks[0].commitment


def test_chunk_headers_and_their_root(shown: Shown) -> None:
    leaves = [example("chunk-0").encode(), example("chunk-1").encode()]

    assert [chunk.leaf() for chunk in shown.chunks] == leaves
    hashed = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    assert hashlib.sha256(b"\x01" + hashed[0] + hashed[1]).digest() == raw("chunks-root")
    assert tree_of(shown.chunks).root() == raw("chunks-root") == shown.header.chunks_root


def test_the_window_header_its_hash_and_its_signature(shown: Shown, committee: Committee) -> None:
    text, hashed = example("stream-header-members"), raw("stream-header-input")

    assert shown.header.encode() == text.encode()
    assert raw("window-hash") == hashlib.sha256(text.encode()).digest() == shown.header.hash
    assert hashed == b"datadragon/stream-header/v1\x00" + committee.id + text.encode()
    assert raw("stream-header-root") == hashlib.sha256(hashed).digest()
    assert raw("stream-header-root") == shown.header.root(committee.id)
    signature = sign(shown.header, shown.descriptor, shown.header_secret)
    assert raw("stream-header-signature") == signature


def test_a_stream_names_the_objects_of_a_window(shown: Shown, committee: Committee) -> None:
    text, hashed = example("stream-objects-members"), raw("stream-objects-input")
    named = WindowObjects.of(shown.header, encode_chunks(shown.chunks), shown.proof)

    assert canonical(named.members()) == text.encode()
    assert hashed == b"datadragon/stream-objects/v1\x00" + committee.id + text.encode()
    assert raw("stream-objects-root") == hashlib.sha256(hashed).digest()
    assert raw("stream-objects-root") == named.root(committee.id)
    signature = shown.header_secret.sign(raw("stream-objects-root"))
    assert raw("stream-objects-signature") == signature
    header_signature = raw("stream-header-signature")
    submission = Submission(shown.descriptor, shown.header, header_signature, named, signature)
    assert submission.is_header_signed()
    assert submission.are_objects_signed()


def test_the_window_is_judged_valid(shown: Shown, committee: Committee) -> None:
    found = judge(
        *(shown.descriptor, shown.header, raw("stream-header-signature")),
        *(shown.chunks, shown.proof),
        previous=None,
        now_ms=shown.header.last_received_ms,
        network_id=committee.network_id,
    )

    timestamp = json.loads(example("window-members"))["timestamp"]
    claim = found.claim(
        shown.descriptor, shown.header, hashlib.sha256(shown.proof).digest(), timestamp
    )
    assert raw("proof-digest") == hashlib.sha256(shown.proof).digest()
    assert canonical(claim.members()) == example("window-members").encode()
    endorsed = json.loads(example("endorsement-members"))
    assert endorsed["stream"] == to_hex(shown.descriptor.id)


def test_the_receipt_is_complete_and_holds(shown: Shown, committee: Committee) -> None:
    receipt = Receipt.decode(example("receipt").encode())

    checks = verify(committee, receipt, b"21.5")

    assert is_complete(checks)
    assert receipt.event.to_json() == parse(example("window-certificate"))
    assert (receipt.descriptor, receipt.header) == (shown.descriptor, shown.header)


# -- the page --------------------------------------------------------------------------------------


def test_the_specification_quotes_every_example() -> None:
    page = (ROOT / "docs" / "spec" / "protocol.md").read_text(encoding="utf-8")

    quoted = re.findall(r"^<!-- generated: example ([a-z0-9-]+) -->$", page, re.MULTILINE)

    assert sorted(quoted) == sorted(EXAMPLES)
