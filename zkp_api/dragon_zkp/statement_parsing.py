"""Parse statements, in JSON or in bytes. A statement has one of two kinds, named by the caller.

In bytes, a blocks statement is a counted list of outputs (32 bytes each) and a counted message. A
readings statement is the identity (32 bytes), a counted list of commitments (32 bytes each), a byte
for `carried` (0 or 1), the six bounds (16 bytes each, two's complement), and a counted message.
Counts are 4 bytes. All numbers are big endian.
"""

from __future__ import annotations

from typing import Final

from dragon.encoding import Json, Members, from_hex
from dragon.errors import UnknownValue
from dragon.stark.commitment import OUTPUT_BYTES
from dragon.stark.parameter_sets import MAX_BLOCKS
from dragon.stark.reading_bounds import BOUNDS_BYTES, MAX_READINGS, ReadingBounds
from dragon.stark.readings_file import KIND as READINGS
from dragon.stark.readings_file import bounds_from_json
from dragon_zkp.binary_body import BinaryBody
from dragon_zkp.messages import BlocksStatement, ReadingsStatement, Statement

MAX_MESSAGE_BYTES: Final = 64 * 1024
BLOCKS: Final = "blocks"
KINDS: Final = (BLOCKS, READINGS)


def statement_from_json(parameter_set: str, value: Json) -> Statement:
    """The statement in a JSON body, by default of kind `blocks`. Raises InvalidEncoding."""
    members = Members(value, "the statement")
    kind = members.word("kind", KINDS) if "kind" in members else BLOCKS
    read = _blocks if kind == BLOCKS else _readings
    statement = read(parameter_set, members)
    members.end()
    return statement


def statement_from_bytes(kind: str, parameter_set: str, body: BinaryBody) -> Statement:
    """The statement at the front of a binary body. Raises InvalidEncoding."""
    if kind == BLOCKS:
        outputs = _outputs(body.take_counted(MAX_BLOCKS, "outputs", OUTPUT_BYTES))
        return BlocksStatement(parameter_set, outputs, _taken_message(body))
    identity = body.take(OUTPUT_BYTES)
    commitments = _outputs(body.take_counted(MAX_READINGS, "commitments", OUTPUT_BYTES))
    carried = _flag(body.take(1))
    bounds = ReadingBounds.decode(body.take(BOUNDS_BYTES))
    message = _taken_message(body)
    return ReadingsStatement(parameter_set, identity, commitments, carried, bounds, message)


def _blocks(parameter_set: str, members: Members) -> BlocksStatement:
    outputs = _listed(members, "outputs", MAX_BLOCKS)
    return BlocksStatement(parameter_set, outputs, _message(members))


def _readings(parameter_set: str, members: Members) -> ReadingsStatement:
    return ReadingsStatement(
        parameter_set,
        members.hex("identity", size=OUTPUT_BYTES),
        _listed(members, "commitments", MAX_READINGS),
        members.boolean("carried"),
        bounds_from_json(members.take("bounds")),
        _message(members),
    )


def _message(members: Members) -> bytes:
    return members.hex("message", size=range(MAX_MESSAGE_BYTES + 1))


def _listed(members: Members, name: str, most: int) -> tuple[bytes, ...]:
    listed = members.list(name, most=most)
    return tuple(from_hex(one, member=name, size=OUTPUT_BYTES) for one in listed)


def _taken_message(body: BinaryBody) -> bytes:
    return body.take_counted(MAX_MESSAGE_BYTES, "bytes of message")


def _outputs(joined: bytes) -> tuple[bytes, ...]:
    starts = range(0, len(joined), OUTPUT_BYTES)
    return tuple(joined[at : at + OUTPUT_BYTES] for at in starts)


def _flag(byte: bytes) -> bool:
    if byte not in (b"\0", b"\1"):
        raise UnknownValue("the byte for carried must be 0 or 1", member="carried")
    return byte == b"\1"
