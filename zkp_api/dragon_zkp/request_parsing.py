"""The bodies of requests, in JSON and in bytes, as jobs.

In bytes: how many outputs there are, four bytes big endian, and the outputs; the message's length
likewise, and the message; and then what is left, as each request says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dragon.encoding import Json, Members, from_hex, parse
from dragon.errors import InvalidEncoding, MissingMember, TooLarge, UnknownValue
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.commitment import OPENING_BYTES, OUTPUT_BYTES
from dragon.stark.parameter_sets import MAX_BLOCKS, SETS
from dragon.stark.ziggy import PRIVATE_KEY_BYTES
from dragon_zkp.messages import Prove, Statement, Verify

LARGEST_MESSAGE: Final = 64 * 1024
LARGEST_PROOF: Final = 512 * 1024
_MEMBERS: Final = frozenset(
    ("parameter_set", "statement", "outputs", "message", "secrets", "identity", "openings")
)


def prove_from_json(raw: bytes, rho: bytes) -> Prove:
    """Raises InvalidEncoding, which quotes nothing of the request: any of it may be a secret."""
    try:
        return _prove(parse(raw), rho)
    except InvalidEncoding as error:
        member = error.facts.get("member")
        facts = {"member": member} if member in _MEMBERS else {}
        message = "the request has not the form that a request for a proof has"
        raise type(error)(message, **facts) from None


def _prove(value: Json, rho: bytes) -> Prove:
    members = Members(value, "the request")
    statement = _statement(members)
    secrets = Members(members.take("secrets"), "the secrets")
    identity = secrets.hex("identity", size=PRIVATE_KEY_BYTES)
    listed = secrets.list("openings", most=MAX_CHUNKS)
    openings = tuple(_bytes(one, OPENING_BYTES, "openings") for one in listed)
    secrets.end()
    members.end()
    return Prove(statement, identity, openings, rho)


def verify_from_json(value: Json) -> Verify:
    """Raises InvalidEncoding."""
    members = Members(value, "the request")
    statement = _statement(members)
    proof = members.hex("proof", size=range(LARGEST_PROOF + 1))
    members.end()
    return Verify(statement, proof)


def prove_from_bytes(parameter_set: str, raw: bytes, rho: bytes) -> Prove:
    """After the statement: the identity's private key, 32 bytes, and openings of 60 bytes each.

    Raises InvalidEncoding.
    """
    body = _Body(raw)
    statement = body.statement(_named(parameter_set))
    identity = body.take(PRIVATE_KEY_BYTES)
    return Prove(statement, identity, tuple(body.all(OPENING_BYTES, MAX_CHUNKS)), rho)


def verify_from_bytes(parameter_set: str, raw: bytes) -> Verify:
    """After the statement: the proof. Raises InvalidEncoding."""
    body = _Body(raw)
    statement = body.statement(_named(parameter_set))
    return Verify(statement, body.rest(LARGEST_PROOF))


def _statement(members: Members) -> Statement:
    parameter_set = members.word("parameter_set", SETS)
    said = Members(members.take("statement"), "the statement")
    listed = said.list("outputs", most=MAX_BLOCKS)
    outputs = tuple(_bytes(one, OUTPUT_BYTES, "outputs") for one in listed)
    message = said.hex("message", size=range(LARGEST_MESSAGE + 1))
    said.end()
    return Statement(parameter_set, outputs, message)


def _bytes(value: Json, size: int, member: str) -> bytes:
    return from_hex(value, member=member, size=size)


def _named(parameter_set: str) -> str:
    if parameter_set not in SETS:
        message = f"parameter_set is one of {', '.join(SETS)}"
        raise UnknownValue(message, member="parameter_set")
    return parameter_set


class _Body:
    """Bytes that are taken off from the front."""

    def __init__(self, raw: bytes) -> None:
        self._left = memoryview(raw)

    def statement(self, parameter_set: str) -> Statement:
        count = self._number(MAX_BLOCKS, "outputs")
        outputs = tuple(self.take(OUTPUT_BYTES) for _ in range(count))
        message = self.take(self._number(LARGEST_MESSAGE, "bytes of message"))
        return Statement(parameter_set, outputs, message)

    def take(self, size: int) -> bytes:
        if len(self._left) < size:
            raise MissingMember("the body ends too early")
        taken, self._left = bytes(self._left[:size]), self._left[size:]
        return taken

    def all(self, size: int, most: int) -> Iterator[bytes]:
        if len(self._left) % size:
            raise InvalidEncoding(f"what is left is no multiple of {size} bytes")
        if len(self._left) > size * most:
            raise TooLarge(f"at most {most} are taken")
        while self._left:
            yield self.take(size)

    def rest(self, most: int) -> bytes:
        if len(self._left) > most:
            raise TooLarge(f"at most {most} bytes are taken")
        return self.take(len(self._left))

    def _number(self, most: int, what: str) -> int:
        number = int.from_bytes(self.take(4), "big")
        if number > most:
            raise TooLarge(f"{number} {what} are more than {most}")
        return number
