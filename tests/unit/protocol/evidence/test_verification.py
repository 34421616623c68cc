"""Everything that verifying evidence must refuse, by the name of the refusal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from committees import make_members, secret
from dragon import errors
from dragon.encoding import Json
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.evidence.file import Collected, Evidence, OperatorRecords, Outcome
from dragon.protocol.evidence.verification import verify, verify_records
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from dragon.protocol.merkle import Tree
from dragon.protocol.trust import Trust
from epochs import Network
from evidence import NODE, Writer, answer, look, proven, without

MEMBERS = make_members(4, targets=2)
ROUNDS = MEMBERS.committee.rounds
CLAIM = StatusClaim(NODE, Status.DOWN, ROUNDS.start(10))
SIGNERS = ("operator_1", "operator_2", "operator_3")
OTHER = "target_2"


def writer() -> Writer:
    made = Writer(MEMBERS)
    made.seal(look(Status.UP, ROUNDS.start(8)), look(Status.UP, ROUNDS.start(8), node_id=OTHER))
    made.seal(look(Status.DOWN, ROUNDS.start(10)), answer(CLAIM, "attested"))
    return made.seal(look(Status.UP, ROUNDS.start(14)))


FOUND = writer().found()


def evidence(found: OperatorRecords = FOUND, event: ProvenEntry | None = None) -> Evidence:
    begin, end = ROUNDS.start(0), ROUNDS.start(20)
    silent = Collected(Outcome.NO_ANSWER, OperatorRecords("operator_4"), "unreachable")
    event = event or proven(MEMBERS, CLAIM, SIGNERS)
    return Evidence(NODE, begin, end, end, event, (Collected(Outcome.RECORDS, found), silent))


def test_whole_evidence_verifies() -> None:
    verified = verify(evidence(), MEMBERS.committee)
    [said, silent] = verified.operators

    assert verified.claim == CLAIM
    assert verified.signers == SIGNERS
    assert [each.record.sequence for each in said.said.records] == [0, 1, 2, 3]
    assert (said.said.counts, said.said.gaps) == (True, ())
    assert verified.missing == ("operator_2", "operator_3")
    assert (silent.outcome, silent.detail, silent.said.records) == ("no_answer", "unreachable", ())


def test_decoding_reverses_encoding() -> None:
    assert Evidence.load(evidence().encode()) == evidence()


def test_the_answer_and_the_look_of_a_round_are_found() -> None:
    said = verify_records(FOUND, NODE, MEMBERS.committee)
    attested, seen = said.answer_to(CLAIM), said.seen_at(1000 * CLAIM.timestamp + 500)

    assert attested is not None
    assert attested.is_attested
    assert seen is not None
    assert seen.status is Status.DOWN
    assert said.answer_to(replace(CLAIM, status=Status.UP)) is None
    assert said.seen_at(0) is None
    assert said.seen_for(CLAIM) == seen


def _changed(index: int, **changes: Any) -> OperatorRecords:
    """The records with one of them changed after it was sealed."""
    records = list(FOUND.records)
    records[index] = replace(records[index], record=replace(records[index].record, **changes))
    return replace(FOUND, records=tuple(records))


def _moved(at: int, **changes: Any) -> OperatorRecords:
    """The records with one of them claimed to be elsewhere."""
    records = list(FOUND.records)
    records[at] = replace(records[at], **changes)
    return replace(FOUND, records=tuple(records))


def _with_seal(index: int, **changes: Any) -> OperatorRecords:
    seals = list(FOUND.seals)
    seals[index] = replace(seals[index], **changes)
    return replace(FOUND, seals=tuple(seals))


def _inserted() -> OperatorRecords:
    """Another record between two others, sealed later by the operator itself."""
    late = Writer(MEMBERS, chain=FOUND.records[0].chain)
    late.seal(look(Status.UP, ROUNDS.start(9)), number=7)
    extra = replace(late.found().records[0], number=7)
    records = [*FOUND.records[:1], extra, *FOUND.records[1:]]
    return replace(FOUND, seals=(*FOUND.seals, late.seals[0]), records=tuple(records))


def _rewritten_seal() -> OperatorRecords:
    """The second seal is signed anew, after the third one was made."""
    made = writer()
    seal = made.seals[1].seal
    made.sign(replace(seal, time_ms=seal.time_ms + 1))
    return replace(FOUND, seals=(made.seals[0], made.seals[-1], made.seals[2]))


def _headless_chain() -> OperatorRecords:
    """The first record of a later chain is hidden."""
    made = writer().restart(b"\x02" * 16)
    made.seal(look(Status.UP, ROUNDS.start(20))).seal(look(Status.DOWN, ROUNDS.start(30)))
    return without(made.found(), 4)


def _stranger() -> OperatorRecords:
    made = Writer(replace(MEMBERS, secrets={**MEMBERS.secrets, "operator_9": secret("x")}))
    made.operator = "operator_9"
    return made.seal(look(Status.UP, ROUNDS.start(8))).found()


def _impostor() -> OperatorRecords:
    made = Writer(replace(MEMBERS, secrets={"operator_1": secret("impostor")}))
    return made.seal(look(Status.UP, ROUNDS.start(8))).found()


def _other_committee() -> OperatorRecords:
    return Writer(make_members(4, targets=1, name="another")).seal(look(Status.UP, 9)).found()


OF_OTHER = Writer(MEMBERS).seal(look(Status.UP, ROUNDS.start(8), node_id=OTHER)).found(OTHER)
REFUSED: dict[str, tuple[OperatorRecords, type[errors.DragonError]]] = {
    "a removed record": (without(FOUND, 2), errors.BrokenChain),
    "an inserted record": (_inserted(), errors.BrokenChain),
    "records in another order": (
        replace(FOUND, records=FOUND.records[::-1]),
        errors.BrokenChain,
    ),
    "a removed beginning of a chain": (_headless_chain(), errors.BrokenChain),
    "a missing seal": (replace(FOUND, seals=FOUND.seals[:2]), errors.BrokenChain),
    "two seals of one number": (
        replace(FOUND, seals=(*FOUND.seals, FOUND.seals[0])),
        errors.BrokenChain,
    ),
    "a rewritten seal": (_rewritten_seal(), errors.BrokenChain),
    "a changed record": (_changed(2, answer="sees_up"), errors.InvalidProof),
    "a changed number": (_changed(2, sequence=7), errors.InvalidProof),
    "a changed place": (_moved(2, index=0), errors.InvalidProof),
    "a changed path": (_moved(2, path=(bytes(32),)), errors.InvalidProof),
    "a record of another node": (OF_OTHER, errors.ForeignRecord),
    "a seal of another operator": (replace(FOUND, operator="operator_2"), errors.ForeignRecord),
    "an impostor": (_impostor(), errors.BadSignature),
    "a changed seal": (
        _with_seal(2, seal=replace(FOUND.seals[2].seal, time_ms=1)),
        errors.BadSignature,
    ),
    "no point": (_with_seal(0, signature=bytes(96)), errors.InvalidSignature),
    "no operator": (_stranger(), errors.UnknownSigner),
    "another committee": (_other_committee(), errors.WrongCommittee),
}


@pytest.mark.parametrize("name", REFUSED)
def test_records_that_do_not_hold_are_refused_by_name(name: str) -> None:
    found, refusal = REFUSED[name]

    with pytest.raises(refusal, match=found.operator):
        verify_records(found, NODE, MEMBERS.committee)


def _event_of(claim: StatusClaim | CheckpointClaim) -> ProvenEntry:
    entry = LogEntry(0, MEMBERS.certify(claim, SIGNERS), 0)
    return ProvenEntry(entry, 1, Tree([entry.leaf_hash]).root(), ())


@pytest.mark.parametrize(
    ("event", "refusal"),
    [
        (_event_of(replace(CLAIM, node_id=OTHER)), errors.ForeignRecord),
        (_event_of(CheckpointClaim(0, bytes(32), CLAIM.timestamp)), errors.ForeignRecord),
        (proven(MEMBERS, CLAIM, SIGNERS[:2]), errors.QuorumNotMet),
        (replace(proven(MEMBERS, CLAIM, SIGNERS), root=bytes(32)), errors.InvalidProof),
    ],
    ids=["another node", "another kind", "no quorum", "another log"],
)
def test_an_event_that_does_not_hold_is_refused(
    event: ProvenEntry, refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(refusal):
        verify(evidence(event=event), MEMBERS.committee)


ENCODED: Any = evidence().to_json()


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"kind": "status"}, errors.UnknownValue),
        ({"extra": 1}, errors.UnknownMember),
        ({"node_id": "A"}, errors.InvalidId),
        ({"operators": [ENCODED["operators"][1]] * 2}, errors.DuplicateSigner),
        ({"operators": [{**ENCODED["operators"][1], "outcome": "records"}]}, errors.UnknownValue),
        ({"operators": [{**ENCODED["operators"][0], "outcome": "no_answer"}]}, errors.UnknownValue),
        ({"operators": [{**ENCODED["operators"][1], "detail": "x" * 257}]}, errors.WrongType),
        ({"operators": [{**ENCODED["operators"][1], "outcome": "down"}]}, errors.UnknownValue),
    ],
    ids=str,
)
def test_a_file_of_another_form_is_refused(
    changes: dict[str, Json], refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(refusal):
        Evidence.from_json({**ENCODED, **changes})


def test_a_file_that_is_too_long_is_refused() -> None:
    with pytest.raises(errors.TooLarge):
        Evidence.load(bytes((16 << 20) + 1))


def test_a_restart_that_loses_nothing_known_has_no_gap() -> None:
    made = writer().restart(b"\x02" * 16).seal(look(Status.UP, ROUNDS.start(20)))

    assert verify_records(made.found(), NODE, MEMBERS.committee).gaps == ()


def test_a_restored_copy_shows_a_gap() -> None:
    """The operator goes on where its copy ends, and a collector has the records after that."""
    longer = writer()
    copy = Writer(MEMBERS, seals=longer.seals[:1], records=longer.records[:2])
    copy.restart(b"\x02" * 16).seal(look(Status.UP, ROUNDS.start(30)))
    both = replace(
        longer.found(),
        seals=(*longer.found().seals, copy.seals[-1]),
        records=(*longer.found().records, copy.found().records[-1]),
    )

    assert verify_records(both, NODE, MEMBERS.committee).gaps == (4,)


# Across handovers


def network() -> Network:
    made = Network([make_members(4, targets=1)])
    made.step(rotate={"operator_2": secret("operator_2 again")}, drop=["operator_3"])
    return made


NETWORK = network()
LINEAGE = NETWORK.lineage()


@pytest.mark.parametrize(
    ("operator", "counts"), [("operator_1", True), ("operator_2", False), ("operator_3", False)]
)
def test_records_of_an_earlier_committee_count_if_the_key_does(operator: str, counts: bool) -> None:
    """Operator_1 has its key still, operator_2 another one, and operator_3 has left."""
    found = Writer(NETWORK.epochs[0], operator).seal(look(Status.UP, ROUNDS.start(8))).found()

    assert verify_records(found, NODE, LINEAGE).counts is counts
    assert verify_records(found, NODE, Trust(LINEAGE, trust_from=0)).counts


def test_a_replaced_key_signs_nothing_for_the_new_committee() -> None:
    stolen = replace(NETWORK.epochs[1], secrets=NETWORK.epochs[0].secrets)
    found = Writer(stolen, "operator_2").seal(look(Status.UP, ROUNDS.start(150))).found()

    with pytest.raises(errors.BadSignature):
        verify_records(found, NODE, LINEAGE)


def test_records_before_and_after_a_rotation_are_one_chain() -> None:
    made = Writer(NETWORK.epochs[0], "operator_2").seal(look(Status.UP, ROUNDS.start(8)))
    made.members = NETWORK.epochs[1]
    made.seal(look(Status.DOWN, ROUNDS.start(150)))

    assert not verify_records(made.found(), NODE, LINEAGE).gaps
    assert {each.committee_id for each in made.seals} == {each.id for each in LINEAGE.committees}
