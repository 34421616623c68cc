"""Parse request bodies, in JSON or in bytes, into jobs.

The binary form starts with the statement: the number of outputs, then the outputs (32 bytes each);
the length of the message, then the message. Numbers are 4 bytes, big endian. The rest depends on
the request.
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

MAX_MESSAGE_BYTES: Final = 64 * 1024
MAX_PROOF_BYTES: Final = 512 * 1024  # of a proof to verify
_MEMBERS: Final = frozenset(
    ("parameter_set", "statement", "outputs", "message", "secrets", "identity", "openings")
)


def prove_from_json(raw: bytes, rho: bytes) -> Prove:
    """The job of a JSON body. `rho` is 32 fresh random bytes.

    Raises InvalidEncoding. Its message quotes no part of the body, which may hold secrets anywhere.
    """
    try:
        return _prove(parse(raw), rho)
    except InvalidEncoding as error:
        member = error.facts.get("member")
        facts = {"member": member} if member in _MEMBERS else {}
        message = "the body is not a valid proof request (values are not shown: they may be secret)"
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
    """The job of a JSON body. Raises InvalidEncoding."""
    members = Members(value, "the request")
    statement = _statement(members)
    proof = members.hex("proof", size=range(MAX_PROOF_BYTES + 1))
    members.end()
    return Verify(statement, proof)


def prove_from_bytes(parameter_set: str, raw: bytes, rho: bytes) -> Prove:
    """The job of a binary body: statement, private key (32 bytes), openings (60 bytes each).

    Raises InvalidEncoding.
    """
    body = _Body(raw)
    statement = body.statement(_known_set(parameter_set))
    identity = body.take(PRIVATE_KEY_BYTES)
    return Prove(statement, identity, tuple(body.openings()), rho)


def verify_from_bytes(parameter_set: str, raw: bytes) -> Verify:
    """The job of a binary body: statement, then the proof. Raises InvalidEncoding."""
    body = _Body(raw)
    statement = body.statement(_known_set(parameter_set))
    return Verify(statement, body.proof())


def _statement(members: Members) -> Statement:
    parameter_set = members.word("parameter_set", SETS)
    statement = Members(members.take("statement"), "the statement")
    listed = statement.list("outputs", most=MAX_BLOCKS)
    outputs = tuple(_bytes(one, OUTPUT_BYTES, "outputs") for one in listed)
    message = statement.hex("message", size=range(MAX_MESSAGE_BYTES + 1))
    statement.end()
    return Statement(parameter_set, outputs, message)


def _bytes(value: Json, size: int, member: str) -> bytes:
    return from_hex(value, member=member, size=size)


def _known_set(parameter_set: str) -> str:
    if parameter_set not in SETS:
        message = f"parameter_set must be one of {', '.join(SETS)}"
        raise UnknownValue(message, member="parameter_set")
    return parameter_set


class _Body:
    """A binary body, read from the front."""

    def __init__(self, raw: bytes) -> None:
        self._left = memoryview(raw)

    def statement(self, parameter_set: str) -> Statement:
        count = self._number(MAX_BLOCKS, "outputs")
        outputs = tuple(self.take(OUTPUT_BYTES) for _ in range(count))
        message = self.take(self._number(MAX_MESSAGE_BYTES, "bytes of message"))
        return Statement(parameter_set, outputs, message)

    def take(self, size: int) -> bytes:
        if len(self._left) < size:
            message = f"the body ends too early: {size} bytes expected, {len(self._left)} left"
            raise MissingMember(message)
        taken, self._left = bytes(self._left[:size]), self._left[size:]
        return taken

    def openings(self) -> Iterator[bytes]:
        """The rest of the body, as openings."""
        count, rest = divmod(len(self._left), OPENING_BYTES)
        if rest:
            message = (
                f"the openings have {len(self._left)} bytes, which is not a multiple of "
                f"{OPENING_BYTES}"
            )
            raise InvalidEncoding(message)
        if count > MAX_CHUNKS:
            raise TooLarge(f"{count} openings; at most {MAX_CHUNKS} are accepted")
        while self._left:
            yield self.take(OPENING_BYTES)

    def proof(self) -> bytes:
        """The rest of the body, as a proof."""
        size = len(self._left)
        if size > MAX_PROOF_BYTES:
            raise TooLarge(f"the proof has {size} bytes; at most {MAX_PROOF_BYTES} are accepted")
        return self.take(size)

    def _number(self, most: int, what: str) -> int:
        number = int.from_bytes(self.take(4), "big")
        if number > most:
            raise TooLarge(f"{number} {what}; at most {most} are accepted")
        return number
