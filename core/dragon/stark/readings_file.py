"""The JSON form of a readings statement, as the prover service and `dragon proof verify` take it.

Bounds are strings of decimal digits: a sum may pass 2^53 - 1.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Final

from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.stark.airs.readings import ReadingsAir
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.commitment import OUTPUT_BYTES
from dragon.stark.reading_bounds import BOUND_BYTES, ReadingBounds
from dragon.stark.readings import readings_statement, verify_readings

KIND: Final = "readings"
MAX_MESSAGE_BYTES: Final = 1 << 16
BOUND_NAMES: Final = tuple(field.name for field in fields(ReadingBounds))
_LIMIT: Final = 1 << (8 * BOUND_BYTES - 1)  # far beyond admissible bounds


@dataclass(frozen=True, slots=True)
class StatedReadings:
    """The parts of a readings statement, not checked yet. With `carried`, the first is carried."""

    identity: bytes
    commitments: tuple[bytes, ...]
    carried: bool
    bounds: ReadingBounds
    message: bytes

    @classmethod
    def from_json(cls, value: Json) -> StatedReadings:
        """Decode the JSON form. Raises InvalidEncoding."""
        members = Members(value, "the statement")
        members.word("kind", [KIND])
        listed = members.list("commitments", most=MAX_CHUNKS)
        stated = cls(
            members.hex("identity", size=OUTPUT_BYTES),
            tuple(from_hex(each, member="commitments", size=OUTPUT_BYTES) for each in listed),
            members.boolean("carried"),
            bounds_from_json(members.take("bounds")),
            members.hex("message", size=range(MAX_MESSAGE_BYTES + 1)),
        )
        members.end()
        return stated

    def to_json(self) -> dict[str, Json]:
        """Encode the JSON form."""
        return {
            "kind": KIND,
            "identity": to_hex(self.identity),
            "commitments": [to_hex(each) for each in self.commitments],
            "carried": self.carried,
            "bounds": bounds_to_json(self.bounds),
            "message": to_hex(self.message),
        }

    def statement(self) -> ReadingsAir:
        """The statement. Raises ProofRefused (input): the parts do not form one."""
        return readings_statement(
            self.identity, self.commitments, self.carried, self.bounds, self.message
        )

    def verify(self, set_name: str, proof: bytes) -> None:
        """Verify a proof of this statement under the named set. Raises ProofRefused."""
        verify_readings(
            set_name,
            self.identity,
            self.commitments,
            self.carried,
            self.bounds,
            self.message,
            proof,
        )


def bounds_from_json(value: Json) -> ReadingBounds:
    """Decode six bounds; whether a statement admits them is not checked. Raises InvalidEncoding."""
    members = Members(value, "the bounds")
    bounds = {name: members.decimal(name, least=-_LIMIT, most=_LIMIT - 1) for name in BOUND_NAMES}
    members.end()
    return ReadingBounds(**bounds)


def bounds_to_json(bounds: ReadingBounds) -> dict[str, Json]:
    """Encode six bounds as decimal strings."""
    return {name: str(bound) for name, bound in asdict(bounds).items()}
