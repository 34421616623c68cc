"""The evidence file: all operators' records about one node around one moment.

Somebody collected it. What is in it proves itself, except who was silent: that is only what the
collector saw.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from dragon import errors
from dragon.encoding import Json, Members, canonical, parse
from dragon.protocol.committee import MAX_LISTED
from dragon.protocol.evidence.seal import SealedRecord, SignedSeal
from dragon.protocol.log_entry import ProvenEntry

MAX_RECORDS_PER_OPERATOR: Final = 2000
MAX_EVIDENCE_BYTES: Final = 16 << 20
MAX_DETAIL_CHARACTERS: Final = 256


class Outcome(enum.StrEnum):
    """What came of asking an operator for its records, as the collector saw it. Nobody signs it."""

    RECORDS = "records"
    NO_RECORDS = "no_records"  # it answered that it has none of that time
    NO_ANSWER = "no_answer"  # it did not answer, so what it saw is not known
    INVALID = "invalid"  # it answered with records that do not verify, or with too many


@dataclass(frozen=True, slots=True)
class OperatorRecords:
    """One operator's records about a node, oldest first, with the seals that they need."""

    operator: str
    seals: tuple[SignedSeal, ...] = ()
    records: tuple[SealedRecord, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            "operator": self.operator,
            "seals": [seal.to_json() for seal in self.seals],
            "records": [record.to_json() for record in self.records],
        }

    @classmethod
    def take(cls, members: Members) -> Self:
        """Take the members out of a larger object. Raises InvalidEncoding."""
        most = MAX_RECORDS_PER_OPERATOR
        return cls(
            members.id("operator"),
            tuple(SignedSeal.from_json(each) for each in members.list("seals", most=most)),
            tuple(SealedRecord.from_json(each) for each in members.list("records", most=most)),
        )


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of asking one operator."""

    outcome: Outcome
    found: OperatorRecords
    detail: str = ""  # why there are no records

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {"outcome": str(self.outcome), "detail": self.detail, **self.found.to_json()}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode strictly. Raises InvalidEncoding."""
        members = Members(value, "what was collected of an operator")
        outcome = Outcome(members.word("outcome", Outcome))
        detail = members.take("detail")
        if not isinstance(detail, str) or len(detail) > MAX_DETAIL_CHARACTERS:
            message = f"detail must be a text of at most {MAX_DETAIL_CHARACTERS} characters"
            raise errors.WrongType(message, member="detail")
        collected = cls(outcome, OperatorRecords.take(members), detail)
        members.end()
        if bool(collected.found.records) != (outcome is Outcome.RECORDS):
            message = f"{outcome} contradicts the number of records"
            raise errors.UnknownValue(message, member="outcome")
        return collected


@dataclass(frozen=True, slots=True)
class Evidence:
    """An evidence file. It proves nothing until `verification.verify` has succeeded."""

    KIND: ClassVar[str] = "evidence"

    node_id: str
    begin: int  # Unix seconds: records that were sealed from then …
    end: int  # … until then, and the one before
    collected_at: int  # Unix seconds by the collector's clock
    event: ProvenEntry | None  # the change of status that is in dispute, from the log
    operators: tuple[Collected, ...]

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            "kind": self.KIND,
            "node_id": self.node_id,
            "from": self.begin,
            "to": self.end,
            "collected_at": self.collected_at,
            "event": self.event.to_json() if self.event else None,
            "operators": [each.to_json() for each in self.operators],
        }

    def encode(self) -> bytes:
        """Return the file, in canonical JSON."""
        return canonical(self.to_json()) + b"\n"

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """Decode a file strictly. Raises InvalidEncoding, UnknownKind; TooLarge."""
        if len(raw) > MAX_EVIDENCE_BYTES:
            message = f"evidence has at most {MAX_EVIDENCE_BYTES} bytes, and this has {len(raw)}"
            raise errors.TooLarge(message)
        return cls.from_json(parse(raw))

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a file strictly. Raises InvalidEncoding, UnknownKind."""
        members = Members(value, "the evidence")
        members.word("kind", [cls.KIND])
        node_id = members.id("node_id")
        begin, end = members.integer("from"), members.integer("to")
        collected_at, event = members.integer("collected_at"), members.take("event")
        listed = members.list("operators", most=MAX_LISTED)
        members.end()
        evidence = cls(
            node_id,
            begin,
            end,
            collected_at,
            None if event is None else ProvenEntry.from_json(event),
            tuple(Collected.from_json(each) for each in listed),
        )
        evidence._check_operators()
        return evidence

    def _check_operators(self) -> None:
        """Raises DuplicateSigner: an operator is listed twice."""
        names = [each.found.operator for each in self.operators]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise errors.DuplicateSigner(f"operator {twice} is listed twice", signer=twice)
