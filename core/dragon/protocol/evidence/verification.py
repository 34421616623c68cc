"""Verify an evidence file offline: signatures, order, and each operator's key.

What is proven: this operator signed that it saw and answered this, and in this order. What is not:
that it really saw it, and why an operator is silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dragon import errors
from dragon.protocol import bls
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.committee import Committee
from dragon.protocol.evidence.file import Evidence, OperatorRecords, Outcome
from dragon.protocol.evidence.record import AnswerRecord, LookRecord
from dragon.protocol.evidence.seal import SealedRecord, SignedSeal
from dragon.protocol.lineage import Lineage
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.trust import Trust


@dataclass(frozen=True, slots=True)
class VerifiedRecords:
    """Records of one operator. Their signatures and their order hold.

    `counts`: whether every key that signed them is also the operator's key in a committee of a
    trusted epoch. A key that was replaced may be in anybody's hands.
    """

    operator: str
    records: tuple[SealedRecord, ...]
    seals: Mapping[tuple[bytes, int], SignedSeal]  # by chain and number
    counts: bool = True
    # Indexes of records that begin a chain and do not continue what is before them in the file:
    # records between the two are missing, as with a restored copy of the operator's database.
    gaps: tuple[int, ...] = ()

    def answers(self) -> list[AnswerRecord]:
        """Return what it answered, in order."""
        return [each.record for each in self.records if isinstance(each.record, AnswerRecord)]

    def looks(self) -> list[LookRecord]:
        """Return what it saw, in order."""
        return [each.record for each in self.records if isinstance(each.record, LookRecord)]

    def answer_to(self, claim: StatusClaim) -> AnswerRecord | None:
        """Return its last recorded answer to this very claim; a signature counts before others."""
        found = [
            each
            for each in self.answers()
            if each.status is claim.status
            and claim.timestamp in (each.timestamp, each.last_timestamp)
        ]
        return next((each for each in found if each.is_attested), found[-1] if found else None)

    def seen_for(self, claim: StatusClaim) -> LookRecord | None:
        """Return the look that its answer rests on; without an answer, what it saw in the round."""
        answer = self.answer_to(claim)
        return self.seen_at(answer.last_ms if answer else 1000 * claim.timestamp)

    def seen_at(self, time_ms: int) -> LookRecord | None:
        """Return the look of a time (Unix milliseconds), else the last one before it."""
        begun = [each for each in self.looks() if each.first_ms <= time_ms]
        covering = [each for each in begun if each.last_ms >= time_ms]
        return covering[-1] if covering else max(begun, key=lambda each: each.last_ms, default=None)


@dataclass(frozen=True, slots=True)
class VerifiedOperator:
    """One operator of a verified file: its records, or why there are none."""

    outcome: Outcome  # unsigned, unless there are records
    detail: str
    said: VerifiedRecords


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """A verified file."""

    evidence: Evidence
    event: ProvenEntry | None
    committee: Committee | None  # that the event was signed for
    operators: tuple[VerifiedOperator, ...]
    missing: tuple[str, ...]  # operators of the committee about which the file says nothing

    @property
    def claim(self) -> StatusClaim | None:
        """The change of status that is in dispute, if the file has it."""
        claim = self.event.entry.event.claim if self.event else None
        return claim if isinstance(claim, StatusClaim) else None

    @property
    def signers(self) -> tuple[str, ...]:
        """The operators that signed the certificate."""
        return getattr(self.event.entry.event, "signers", ()) if self.event else ()


def verify(evidence: Evidence, known: Trust | Lineage | Committee) -> VerifiedEvidence:
    """Verify a whole file.

    Args:
        known: a verified lineage, or one committee.

    Raises:
        CertificateError, InvalidProof: the event, a seal or a record does not verify.
        ForeignRecord: something in the file is about another node.
        BrokenChain: a record was removed, inserted or changed.
    """
    trust, committee = Trust.of(known), None
    if evidence.event:
        committee = _verify_event(evidence.event, evidence.node_id, trust)
    operators = tuple(
        VerifiedOperator(
            each.outcome, each.detail, verify_records(each.found, evidence.node_id, trust)
        )
        for each in evidence.operators
    )
    listed = {each.said.operator for each in operators}
    missing = tuple(each for each in (committee or trust.newest).keys if each not in listed)
    return VerifiedEvidence(evidence, evidence.event, committee, operators, missing)


def _verify_event(event: ProvenEntry, node_id: str, trust: Trust) -> Committee:
    committee = event.verify(trust)
    claim = event.entry.event.claim
    if not isinstance(claim, StatusClaim) or claim.node_id != node_id:
        raise errors.ForeignRecord(f"the event is not about the status of {node_id}")
    return committee


def verify_records(
    found: OperatorRecords, node_id: str, known: Trust | Lineage | Committee
) -> VerifiedRecords:
    """Verify one operator's records about a node. Raises as `verify`, naming the operator."""
    trust, operator = Trust.of(known), found.operator
    try:
        seals = _checked_seals(found)
        signed_for = {
            place: trust.lineage.named(each.committee_id) for place, each in seals.items()
        }
        for place, seal in seals.items():
            seal.verify(_key(signed_for[place], operator))
        for each in found.records:
            _verify_record(each, node_id, seals)
        gaps = tuple(_gaps(found.records))
    except errors.DragonError as error:
        error.args = (f"{operator}: {error}",)
        raise
    counts = all(_is_trusted(trust, operator, each) for each in signed_for.values())
    return VerifiedRecords(operator, found.records, seals, counts, gaps)


def _checked_seals(found: OperatorRecords) -> Mapping[tuple[bytes, int], SignedSeal]:
    """Return the seals by chain and number. Raises ForeignRecord, BrokenChain."""
    seals: dict[tuple[bytes, int], SignedSeal] = {}
    for each in found.seals:
        if each.seal.operator != found.operator:
            raise errors.ForeignRecord(f"seal {each.seal.number} is of {each.seal.operator}")
        if each.place in seals:
            raise errors.BrokenChain(f"there are two seals with the number {each.seal.number}")
        seals[each.place] = each
    for (chain, number), each in seals.items():
        following = seals.get((chain, number + 1))
        if following is not None and following.seal.previous != each.hash:
            raise errors.BrokenChain(f"seal {number + 1} does not follow seal {number}")
    return seals


def _key(committee: Committee, operator: str) -> bls.PublicKey:
    """Raises UnknownSigner."""
    if (key := committee.keys.get(operator)) is None:
        message = f"the committee of epoch {committee.epoch} lists no operator {operator}"
        raise errors.UnknownSigner(message, signer=operator)
    return key


def _verify_record(
    sealed: SealedRecord, node_id: str, seals: Mapping[tuple[bytes, int], SignedSeal]
) -> None:
    """Raises ForeignRecord, BrokenChain, InvalidProof."""
    record = sealed.record
    if record.node_id != node_id:
        raise errors.ForeignRecord(f"record {record.sequence} is about {record.node_id}")
    if (seal := seals.get(sealed.place)) is None:
        message = f"the seal {sealed.number} of record {record.sequence} is missing"
        raise errors.BrokenChain(message)
    sealed.verify(seal.seal)


def _gaps(records: Sequence[SealedRecord]) -> Iterable[int]:
    """Check the order of the records; yield where a new chain leaves some out.

    Raises BrokenChain.
    """
    for at, (one, other) in enumerate(pairwise(records), start=1):
        follows = other.record.previous == one.record.hash
        if one.chain != other.chain:
            if other.record.sequence != 0:
                message = f"a chain begins with record {other.record.sequence}, not with 0"
                raise errors.BrokenChain(message)
            if not follows:
                yield at
        elif (
            not follows
            or other.record.sequence != one.record.sequence + 1
            or other.number < one.number
        ):
            message = f"record {other.record.sequence} does not follow record {one.record.sequence}"
            raise errors.BrokenChain(message)


def _is_trusted(trust: Trust, operator: str, committee: Committee) -> bool:
    """Whether the operator's key in a committee is one that a trusted committee lists for it."""
    return any(
        each.epoch >= trust.least_epoch and each.keys.get(operator) == committee.keys.get(operator)
        for each in trust.lineage.committees
    )
