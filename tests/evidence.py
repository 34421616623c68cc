"""Evidence with known keys, for tests: one operator's records, sealed as it would seal them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from committees import Members
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.evidence.file import OperatorRecords
from dragon.protocol.evidence.record import NO_RECORD, AnswerRecord, LookRecord, Record
from dragon.protocol.evidence.seal import NO_SEAL, Seal, SealedRecord, SignedSeal
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from dragon.protocol.merkle import Tree

NODE = "target_1"
CHAIN = b"\x01" * 16


def look(status: Status, first: float, last: float | None = None, **changes: Any) -> LookRecord:
    """A record of looks from `first` to `last` (Unix seconds)."""
    last = first if last is None else last
    count = 1 if last == first else 3
    made = LookRecord(
        NODE, 0, NO_RECORD, round(1000 * first), round(1000 * last), count, status, "answered", ""
    )
    return replace(made, **changes)


def answer(claim: StatusClaim, said: str, at: float | None = None, **changes: Any) -> AnswerRecord:
    """A record of an answer to a claim, by default a second after its round began."""
    time_ms = round(1000 * (claim.timestamp + 1 if at is None else at))
    made = AnswerRecord(
        claim.node_id, 0, NO_RECORD, time_ms, time_ms, 1,
        claim.status, said, claim.timestamp, claim.timestamp, "",
    )  # fmt: skip
    return replace(made, **changes)


@dataclass
class Writer:
    """Seals records as one operator. Each call of `seal` is a seal of its own."""

    members: Members
    operator: str = "operator_1"
    chain: bytes = CHAIN
    seals: list[SignedSeal] = field(default_factory=list)
    records: list[SealedRecord] = field(default_factory=list)
    _sequences: dict[str, int] = field(default_factory=dict)

    def seal(self, *records: Record, **changes: Any) -> Writer:
        """Number, link and seal records. `changes`: members of the seal."""
        linked: list[Record] = []
        for each in records:
            mine = [r.record for r in self.records] + linked
            before = [one for one in mine if one.node_id == each.node_id]
            sequence = self._sequences.get(each.node_id, 0)
            self._sequences[each.node_id] = sequence + 1
            previous = before[-1].hash if before else NO_RECORD
            linked.append(replace(each, sequence=sequence, previous=previous))
        tree = Tree(each.hash for each in linked)
        previous = self.seals[-1].hash if self.seals else NO_SEAL
        number = sum(each.seal.chain == self.chain for each in self.seals)
        time_ms = max(each.last_ms for each in linked)
        seal = Seal(self.operator, self.chain, number, previous, time_ms, len(linked), tree.root())
        self.sign(replace(seal, **changes))
        for index, each in enumerate(linked):
            path = tuple(tree.inclusion(index))
            self.records.append(SealedRecord(each, self.chain, number, index, path))
        return self

    def sign(self, seal: Seal) -> None:
        secret = self.members.secrets[self.operator]
        self.seals.append(SignedSeal.sign(seal, secret, self.members.committee.id))

    def restart(self, chain: bytes) -> Writer:
        """Begin another chain."""
        self.chain, self._sequences = chain, {}
        return self

    def found(self, node_id: str = NODE) -> OperatorRecords:
        """What the operator shows about a node."""
        listed = [each for each in self.records if each.record.node_id == node_id]
        places = {each.place for each in listed}
        seals = [each for each in self.seals if each.place in places]
        return OperatorRecords(self.operator, tuple(seals), tuple(listed))


def without(found: OperatorRecords, index: int) -> OperatorRecords:
    """What an operator shows that hides one record."""
    listed = list(found.records)
    del listed[index]
    return replace(found, records=tuple(listed))


def proven(members: Members, claim: StatusClaim, signers: Sequence[str]) -> ProvenEntry:
    """A certified event as the only entry of a log."""
    entry = LogEntry(0, members.certify(claim, signers), 0)
    return ProvenEntry(entry, 1, Tree([entry.leaf_hash]).root(), ())
