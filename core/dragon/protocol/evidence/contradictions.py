"""Contradictions: what one operator has signed and an honest operator cannot have signed.

They are looked for in one or several verified files, such as two that were collected at different
times. Only records with keys that count are compared: a replaced key may be in anybody's hands.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dragon.protocol.claims.base import utc
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.committee import Committee
from dragon.protocol.evidence.record import AnswerRecord, LookRecord, Record
from dragon.protocol.evidence.verification import VerifiedEvidence, VerifiedRecords
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.rounds import SPAN_MARGIN_SECONDS

_BY_PROBE = (RefusalReason.SEES_UP, RefusalReason.SEES_DOWN)


class Contradiction(enum.StrEnum):
    """How an operator contradicts itself. This list is complete."""

    # Two different records with one number, or two different seals: it has rewritten its past.
    EQUIVOCATION = "equivocation"
    # It has signed that the node was up and that it was down in one round.
    SIGNED_BOTH = "signed_both"
    # It has signed the certificate, and its looks say the other throughout the round.
    UNSEEN = "unseen"
    # It has signed the certificate, and its records say that it refused.
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Found:
    """One contradiction of one operator, with a sentence for people."""

    kind: Contradiction
    operator: str
    detail: str


def contradictions(files: Sequence[VerifiedEvidence]) -> list[Found]:
    """Return all contradictions in verified files about one node, without repetitions."""
    said: dict[str, list[VerifiedRecords]] = {}
    for each in (each.said for file in files for each in file.operators):
        if each.records and each.counts:
            said.setdefault(each.operator, []).append(each)
    found: list[Found] = []
    for operator, parts in said.items():
        found += _equivocations(operator, parts)
        found += _signed_both(operator, parts, files)
        for file in files:
            found += _against_certificate(operator, parts, file)
    return list(dict.fromkeys(found))


def _equivocations(operator: str, parts: Sequence[VerifiedRecords]) -> Iterator[Found]:
    hashes: dict[tuple[str, bytes, str, int], bytes] = {}
    for part in parts:
        for (chain, number), seal in part.seals.items():
            if hashes.setdefault(("seal", chain, "", number), seal.hash) != seal.hash:
                yield _equivocation(operator, f"two different seals with the number {number}")
        for each in part.records:
            record = each.record
            key = ("record", each.chain, record.node_id, record.sequence)
            if hashes.setdefault(key, record.hash) != record.hash:
                what = f"two different records about {record.node_id} with the number"
                yield _equivocation(operator, f"{what} {record.sequence}")


def _equivocation(operator: str, what: str) -> Found:
    return Found(Contradiction.EQUIVOCATION, operator, f"{operator} has signed {what}")


def _signed_both(
    operator: str, parts: Sequence[VerifiedRecords], files: Sequence[VerifiedEvidence]
) -> Iterator[Found]:
    attested = {
        (each.node_id, each.timestamp, each.status)
        for part in parts
        for each in part.answers()
        if each.is_attested
    }
    for file in files:
        if (claim := file.claim) and operator in file.signers:
            attested.add((claim.node_id, claim.timestamp, claim.status))
    rounds = [(node_id, timestamp) for node_id, timestamp, _ in attested]
    for node_id, timestamp in sorted({each for each in rounds if rounds.count(each) > 1}):
        what = f"that {node_id} was up and that it was down in the round from {utc(timestamp)}"
        yield Found(Contradiction.SIGNED_BOTH, operator, f"{operator} has signed {what}")


def _against_certificate(
    operator: str, parts: Sequence[VerifiedRecords], file: VerifiedEvidence
) -> Iterator[Found]:
    claim, committee = file.claim, file.committee
    if claim is None or committee is None or operator not in file.signers:
        return
    begin, end = _looking_span_ms(claim, committee)
    if _says_the_other_throughout(parts, claim, begin, end):
        what = f"has signed {claim.status}, and its own looks say the other throughout"
        yield Found(Contradiction.UNSEEN, operator, f"{operator} {what}")
    answers = [each for part in parts for each in part.answers()]
    if any(each.is_attested and _is_about(each, claim) for each in answers):
        return
    until = end + 1000 * committee.rounds.seconds
    if any(_denies(part, claim, begin, until) for part in parts):
        what = f"has signed {claim.status}, and its records say that it refused to"
        yield Found(Contradiction.DENIED, operator, f"{operator} {what}")


def _says_the_other_throughout(
    parts: Sequence[VerifiedRecords], claim: StatusClaim, begin_ms: int, end_ms: int
) -> bool:
    """Whether one run of looks contradicts the claim all the time, and no look supports it.

    Nothing follows from the looks of an operator with a clock that was set back.
    """
    if any(_goes_back(part.looks()) for part in parts):
        return False
    looks = [look for part in parts for look in part.looks()]
    supports = [
        each
        for each in looks
        if each.status is claim.status and each.first_ms <= end_ms and each.last_ms >= begin_ms
    ]
    return not supports and any(_covers(part, claim, begin_ms, end_ms) for part in parts)


def _covers(part: VerifiedRecords, claim: StatusClaim, begin_ms: int, end_ms: int) -> bool:
    """Whether a run of looks contradicts the claim all the time, and its chain goes on after that.

    Otherwise the collector may have left out what shows that the clock was set back.
    """
    covering = set()
    for each in part.records:
        record = each.record
        if each.chain in covering and record.first_ms > end_ms:
            return True
        is_other = isinstance(record, LookRecord) and record.status is not claim.status
        if is_other and record.first_ms <= begin_ms and record.last_ms >= end_ms:
            covering.add(each.chain)
    return False


def _goes_back(looks: Sequence[LookRecord]) -> bool:
    """Whether the times of looks go back by more than clocks may differ."""
    margin_ms = 1000 * SPAN_MARGIN_SECONDS
    return any(other.last_ms + margin_ms < one.last_ms for one, other in pairwise(looks))


def _denies(part: VerifiedRecords, claim: StatusClaim, begin_ms: int, until_ms: int) -> bool:
    """Whether the operator refused the claim by its own probe, and recorded no signature.

    Within a chain, no record is lost or left out. So the signature would be here if the chain has
    a record that was sealed before `begin_ms`, when nobody could sign the claim yet, and one of a
    time after `until_ms`. Without the former, the collector may have left the signature out: a
    run of refusals is recorded when it ends, perhaps long after the signature.
    """
    whole, refused = set(), set()
    for each in part.records:
        if part.seals[each.place].seal.time_ms <= begin_ms:
            whole.add(each.chain)
        if each.chain in whole and _is_refusal(each.record, claim):
            refused.add(each.chain)
    return any(each.chain in refused and each.record.first_ms > until_ms for each in part.records)


def _is_refusal(record: Record, claim: StatusClaim) -> bool:
    """Whether the operator refused the claim by its own probe."""
    return (
        isinstance(record, AnswerRecord) and record.answer in _BY_PROBE and _is_about(record, claim)
    )


def _is_about(answer: AnswerRecord, claim: StatusClaim) -> bool:
    return answer.status is claim.status and claim.timestamp in (
        answer.timestamp,
        answer.last_timestamp,
    )


def _looking_span_ms(claim: StatusClaim, committee: Committee) -> tuple[int, int]:
    """When a look can have begun that supports the claim, in Unix milliseconds.

    A look at a slow target counts in the round after the one in which it began.
    """
    rounds = committee.rounds
    number = rounds.number(claim.timestamp)
    begin, end = rounds.signing_span(number - 1)[0], rounds.signing_span(number)[1]
    return round(1000 * begin), round(1000 * end)
