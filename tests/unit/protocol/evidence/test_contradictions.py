"""What no honest operator can have signed is found, and named; what one can have signed is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from committees import make_members, secret
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.evidence.contradictions import contradictions
from dragon.protocol.evidence.file import Collected, Evidence, OperatorRecords, Outcome
from dragon.protocol.evidence.verification import VerifiedEvidence, verify
from epochs import Network
from evidence import NODE, Writer, answer, look, proven

MEMBERS = make_members(4, targets=1)
ROUNDS = MEMBERS.committee.rounds
CLAIM = StatusClaim(NODE, Status.DOWN, ROUNDS.start(10))
BEGIN, LATER = CLAIM.timestamp, CLAIM.timestamp + 60
SIGNERS = ("operator_1", "operator_2", "operator_3")


def file(records: OperatorRecords, claim: StatusClaim | None = CLAIM) -> VerifiedEvidence:
    event = proven(MEMBERS, claim, SIGNERS) if claim else None
    collected = Collected(Outcome.RECORDS, records)
    made = Evidence(NODE, BEGIN - 60, LATER, LATER, event, (collected,))
    return verify(made, MEMBERS.committee)


def found(*writers: Writer, claim: StatusClaim | None = CLAIM) -> list[tuple[str, str]]:
    return accused(*(each.found() for each in writers), claim=claim)


def accused(*records: OperatorRecords, claim: StatusClaim | None = CLAIM) -> list[tuple[str, str]]:
    listed = contradictions([file(each, claim) for each in records])
    assert all(each.operator in each.detail for each in listed)
    return [(str(each.kind), each.operator) for each in listed]


def writer(operator: str = "operator_1") -> Writer:
    return Writer(MEMBERS, operator)


def honest(operator: str = "operator_1") -> Writer:
    """It saw the node up until the round, down in it, signed, and went on."""
    made = writer(operator).seal(look(Status.UP, BEGIN - 60, BEGIN - 3))
    made.seal(look(Status.DOWN, BEGIN), answer(CLAIM, "attested"))
    return made.seal(look(Status.UP, LATER))


def test_an_honest_operator_does_not_contradict_itself() -> None:
    assert found(honest()) == []
    assert found(honest(), honest("operator_2")) == []


def test_the_same_records_twice_are_no_contradiction() -> None:
    assert found(honest(), honest()) == []


def test_a_refusal_before_the_signature_is_honest() -> None:
    """The node went down within the round; the next request found it down."""
    made = writer().seal(answer(CLAIM, "sees_up"), look(Status.DOWN, BEGIN + 2))
    made.seal(answer(CLAIM, "attested", BEGIN + 2), look(Status.UP, LATER))

    assert found(made) == []


def test_a_refusal_with_others_signatures_is_honest() -> None:
    made = writer("operator_4").seal(look(Status.UP, BEGIN - 60, LATER), answer(CLAIM, "sees_up"))

    assert found(made.seal(look(Status.DOWN, LATER + 60))) == []


def test_two_records_with_one_number_are_equivocation() -> None:
    rewritten = writer().seal(look(Status.DOWN, BEGIN - 60, BEGIN - 3))

    # A seal and a record are different. Both are named.
    assert found(honest(), rewritten, claim=None) == [("equivocation", "operator_1")] * 2


def test_two_seals_with_one_number_are_equivocation() -> None:
    """The records about this node are the same, and those about another one were rewritten."""
    rewritten = writer()
    rewritten.seal(look(Status.UP, BEGIN - 60, BEGIN - 3), time_ms=1000 * BEGIN)

    assert found(honest(), rewritten, claim=None) == [("equivocation", "operator_1")]


def test_another_operator_with_the_same_numbers_is_no_contradiction() -> None:
    other = writer("operator_2").seal(look(Status.DOWN, BEGIN - 60, BEGIN - 3))

    assert found(honest(), other) == []


def test_another_chain_with_the_same_numbers_is_no_contradiction() -> None:
    other = writer().restart(b"\x02" * 16).seal(look(Status.DOWN, BEGIN - 60))

    assert found(honest(), other) == []


def test_signing_up_and_down_in_one_round() -> None:
    up = replace(CLAIM, status=Status.UP)
    made = honest().seal(answer(up, "attested"))

    assert found(made, claim=None) == [("signed_both", "operator_1")]
    assert found(writer().seal(answer(up, "attested")), claim=CLAIM) == [
        ("signed_both", "operator_1")
    ]


@pytest.mark.parametrize(
    ("last", "is_found"),
    [(BEGIN + 9.5, True), (BEGIN + 9.4, False)],  # the end of the round's signing span, or before
)
def test_signing_what_the_own_looks_contradict_throughout(last: float, is_found: bool) -> None:
    made = writer().seal(look(Status.UP, BEGIN - 7, last), answer(CLAIM, "attested"))
    made.seal(look(Status.DOWN, LATER))

    assert found(made) == ([("unseen", "operator_1")] if is_found else [])


def test_a_clock_that_was_set_back_accuses_nobody() -> None:
    """The first looks have times of the future, in which the operator signs later."""
    made = writer().seal(look(Status.UP, BEGIN - 60, BEGIN + 60))
    made.seal(look(Status.DOWN, BEGIN), answer(CLAIM, "attested"), look(Status.UP, LATER))
    whole = made.found()

    for last in range(1, len(whole.records) + 1):  # the collector may leave out the rest
        assert accused(replace(whole, records=whole.records[:last])) == []


def test_a_signature_that_the_records_deny() -> None:
    made = writer().seal(look(Status.UP, BEGIN - 60, BEGIN - 30))
    made.seal(look(Status.UP, BEGIN), answer(CLAIM, "sees_up"))
    made.seal(look(Status.DOWN, LATER))

    assert found(made) == [("denied", "operator_1")]


def test_a_signature_that_a_crash_may_have_lost_is_no_contradiction() -> None:
    """The chain ends with the refusal, and the record of the signature may be lost."""
    made = writer().seal(answer(CLAIM, "sees_up")).restart(b"\x02" * 16)

    assert found(made.seal(look(Status.DOWN, LATER))) == []


def test_a_refusal_without_what_was_recorded_before_is_no_contradiction() -> None:
    """The run of refusals is recorded when it ends. Somebody left out the signature before it."""
    made = honest().seal(
        answer(CLAIM, "sees_up", BEGIN - 4, count=2, timestamp=BEGIN - ROUNDS.seconds),
        look(Status.DOWN, LATER + 60),
        time_ms=1000 * (LATER + 60),
    )
    whole = made.found()

    assert found(made) == []
    for first in range(len(whole.records)):
        assert accused(replace(whole, records=whole.records[first:])) == []


def test_a_refusal_of_a_chain_that_begins_in_the_round_is_no_contradiction() -> None:
    """The signature may be in the chain before, which was lost."""
    made = writer().seal(answer(CLAIM, "sees_up"), time_ms=1000 * (BEGIN + 2))

    assert found(made.seal(look(Status.DOWN, LATER))) == []


def test_an_operator_that_lost_its_resolver_may_sign_later_in_the_round() -> None:
    assert found(writer().seal(answer(CLAIM, "dns"), look(Status.DOWN, LATER))) == []


def test_a_replaced_key_contradicts_nobody() -> None:
    """It may be in the hands of somebody who wants the operator to look dishonest."""
    network = Network([MEMBERS])
    network.step(rotate={"operator_1": secret("operator_1 again")})
    collected = [
        Collected(Outcome.RECORDS, each.found())
        for each in (honest(), writer().seal(look(Status.DOWN, BEGIN - 60)))
    ]
    files = [Evidence(NODE, BEGIN, LATER, LATER, None, (each,)) for each in collected]

    assert contradictions([verify(each, network.lineage()) for each in files]) == []
