"""Parse request bodies, in JSON or in bytes, into jobs.

The binary form starts with the statement (`statement_parsing`). The rest depends on the request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dragon.encoding import Json, Members, from_hex, parse
from dragon.errors import InvalidEncoding, TooLarge, UnknownValue
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.commitment import OPENING_BYTES
from dragon.stark.parameter_sets import SETS
from dragon.stark.ziggy import PRIVATE_KEY_BYTES
from dragon_zkp.binary_body import BinaryBody
from dragon_zkp.messages import Prove, Verify
from dragon_zkp.statement_parsing import BLOCKS, statement_from_bytes, statement_from_json

MAX_PROOF_BYTES: Final = 512 * 1024  # of a proof to verify
_MEMBERS: Final = frozenset(
    (
        *("parameter_set", "statement", "kind", "outputs", "message"),
        *("commitments", "carried", "bounds", "low", "high", "step_low", "step_high"),
        *("sum_low", "sum_high", "secrets", "identity", "openings"),
    )
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
    statement = statement_from_json(members.word("parameter_set", SETS), members.take("statement"))
    secrets = Members(members.take("secrets"), "the secrets")
    identity = secrets.hex("identity", size=PRIVATE_KEY_BYTES)
    listed = secrets.list("openings", most=MAX_CHUNKS)
    openings = tuple(from_hex(one, member="openings", size=OPENING_BYTES) for one in listed)
    secrets.end()
    members.end()
    return Prove(statement, identity, openings, rho)


def verify_from_json(value: Json) -> Verify:
    """The job of a JSON body. Raises InvalidEncoding."""
    members = Members(value, "the request")
    statement = statement_from_json(members.word("parameter_set", SETS), members.take("statement"))
    proof = members.hex("proof", size=range(MAX_PROOF_BYTES + 1))
    members.end()
    return Verify(statement, proof)


def prove_from_bytes(parameter_set: str, raw: bytes, rho: bytes, kind: str = BLOCKS) -> Prove:
    """The job of a binary body: statement, private key (32 bytes), openings (60 bytes each).

    Raises InvalidEncoding.
    """
    body = BinaryBody(raw)
    statement = statement_from_bytes(kind, _known_set(parameter_set), body)
    identity = body.take(PRIVATE_KEY_BYTES)
    return Prove(statement, identity, tuple(_openings(body)), rho)


def verify_from_bytes(parameter_set: str, raw: bytes, kind: str = BLOCKS) -> Verify:
    """The job of a binary body: statement, then the proof. Raises InvalidEncoding."""
    body = BinaryBody(raw)
    statement = statement_from_bytes(kind, _known_set(parameter_set), body)
    if body.size > MAX_PROOF_BYTES:
        message = f"the proof has {body.size} bytes; at most {MAX_PROOF_BYTES} are accepted"
        raise TooLarge(message)
    return Verify(statement, body.take(body.size))


def _known_set(parameter_set: str) -> str:
    if parameter_set not in SETS:
        message = f"parameter_set must be one of {', '.join(SETS)}"
        raise UnknownValue(message, member="parameter_set")
    return parameter_set


def _openings(body: BinaryBody) -> Iterator[bytes]:
    """The rest of a body, as openings."""
    count, rest = divmod(body.size, OPENING_BYTES)
    if rest:
        message = f"the openings have {body.size} bytes, which is not a multiple of {OPENING_BYTES}"
        raise InvalidEncoding(message)
    if count > MAX_CHUNKS:
        raise TooLarge(f"{count} openings; at most {MAX_CHUNKS} are accepted")
    for _ in range(count):
        yield body.take(OPENING_BYTES)
