"""Records: what one operator saw of a node, and what it answered about the node.

An operator numbers its records about a node from 0 in each chain of seals, and each record names
the hash of the one before. A *run* of equal looks, or of equal refusals, has two records: one when
it begins, and one that covers the whole run when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from dragon import errors
from dragon.encoding import Json, Members, canonical
from dragon.protocol import merkle
from dragon.protocol.claims.status import Status
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.shape import HASH, Codec, Id, Integer, Shape, Word

ATTESTED: Final = "attested"  # the operator has signed the claim
NO_RECORD: Final = bytes(32)  # the hash before an operator's first record about a node
MAX_REASON_CHARACTERS: Final = 64
MAX_DETAIL_CHARACTERS: Final = 256
# The refusals that are recorded. All others follow from the claim, the log, or how busy it was.
RECORDED_REASONS: Final = (
    RefusalReason.SEES_UP,
    RefusalReason.SEES_DOWN,
    RefusalReason.BLIND,
    RefusalReason.DNS,
    RefusalReason.PRIVATE_ADDRESS,
    RefusalReason.TOO_FEW_LOOKS,
    RefusalReason.CLOCK,
    RefusalReason.BEHIND,
    RefusalReason.EQUIVOCATION,
)
ANSWERS: Final = (ATTESTED, *map(str, RECORDED_REASONS))


@dataclass(frozen=True, kw_only=True)
class _Text(Codec):
    """Text for people, at most `most` characters long."""

    most: int

    def take(self, members: Members, name: str, before: Mapping[str, Any]) -> str:
        value = members.take(name)
        if not isinstance(value, str):
            raise errors.WrongType(f"{name} must be a string", member=name)
        if len(value) > self.most:
            message = f"{name} must have at most {self.most} characters"
            raise errors.UnknownValue(message, member=name)
        return value

    def encode(self, value: str) -> Json:
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "maxLength": self.most}


@dataclass(frozen=True, slots=True)
class _Numbered(Shape):
    """What all records have. Times are Unix milliseconds by the operator's clock."""

    KIND: ClassVar[str]

    node_id: Annotated[str, Id()]
    sequence: Annotated[int, Integer()]  # of the operator's records about the node in one chain
    previous: Annotated[bytes, HASH]  # hash of the operator's record about the node before this one
    first_ms: Annotated[int, Integer()]  # of the run
    last_ms: Annotated[int, Integer()]
    count: Annotated[int, Integer(least=1)]  # looks, or rounds for which it gave this answer

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {"kind": self.KIND, **self.members()}

    def encoded(self) -> bytes:
        """Return the leaf of the seal's tree: the published form in canonical JSON."""
        return canonical(self.to_json())

    @property
    def hash(self) -> bytes:
        """The hash of that leaf, 32 bytes."""
        return merkle.leaf_hash(self.encoded())

    def check_members(self) -> None:
        """Raises IntegerOutOfRange: the run ends before it begins."""
        if self.last_ms < self.first_ms:
            message = f"last_ms ({self.last_ms}) must not be less than first_ms ({self.first_ms})"
            raise errors.IntegerOutOfRange(message, member="last_ms")


@dataclass(frozen=True, slots=True)
class LookRecord(_Numbered):
    """The operator has probed the node, `count` times in succession with this result."""

    KIND: ClassVar[str] = "look"

    status: Status
    reason: Annotated[str, _Text(most=MAX_REASON_CHARACTERS)]  # as in a probe result
    detail: Annotated[str, _Text(most=MAX_DETAIL_CHARACTERS)]


@dataclass(frozen=True, slots=True)
class AnswerRecord(_Numbered):
    """The operator was asked to sign that the node has this status, and gave this answer."""

    KIND: ClassVar[str] = "answer"

    status: Status  # of the claim
    answer: Annotated[str, Word(words=ANSWERS)]
    timestamp: Annotated[int, Integer()]  # of the first claim, Unix seconds: the start of a round
    last_timestamp: Annotated[int, Integer()]  # of the last claim of the run
    detail: Annotated[str, _Text(most=MAX_DETAIL_CHARACTERS)]

    @property
    def is_attested(self) -> bool:
        """Whether the operator has signed the claim."""
        return self.answer == ATTESTED


Record: TypeAlias = LookRecord | AnswerRecord
_KINDS: Final[Mapping[str, type[LookRecord] | type[AnswerRecord]]] = {
    LookRecord.KIND: LookRecord,
    AnswerRecord.KIND: AnswerRecord,
}


def record_from_json(value: Json) -> Record:
    """Decode a record strictly. Raises InvalidEncoding."""
    members = Members(value, "the record")
    record = _KINDS[members.word("kind", _KINDS)].take(members)
    members.end()
    return record
