"""The jobs that workers run and the answers they give, and how both cross between processes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

from dragon import errors
from dragon.errors import DragonError
from dragon.node.workers.ipc import Strings
from dragon.stark.commitment import OPENING_BYTES, OUTPUT_BYTES
from dragon.stark.reading_bounds import ReadingBounds

_BLOCKS: Final = b"blocks"
_READINGS: Final = b"readings"
_PROVE: Final = b"prove"
_VERIFY: Final = b"verify"
_DONE: Final = b"done"
_FAILED: Final = b"failed"
# Errors that keep their type on the way back to the service, beside ProofRefused.
_REPORTED: Final = {
    kind.__name__: kind
    for kind in (errors.WrongWitness, errors.UnsafeParameters, errors.UnluckyChallenge)
}


@dataclass(frozen=True, slots=True)
class BlocksStatement:
    """All outputs of a window, including padding, and a message."""

    parameter_set: str
    outputs: tuple[bytes, ...]  # 32 bytes each
    message: bytes


@dataclass(frozen=True, slots=True)
class ReadingsStatement:
    """The commitments to a window's readings, the bounds of these readings, and a message."""

    parameter_set: str
    identity: bytes  # 32 bytes
    commitments: tuple[bytes, ...]  # 32 bytes each; the carried one, if any, comes first
    carried: bool
    bounds: ReadingBounds
    message: bytes


Statement = BlocksStatement | ReadingsStatement


@dataclass(frozen=True, slots=True)
class Prove:
    """Make a proof of the statement."""

    statement: Statement
    identity: bytes = field(repr=False)  # the identity's private key, 32 bytes
    openings: tuple[bytes, ...] = field(repr=False)  # 60 bytes each
    rho: bytes = field(repr=False)  # 32 random bytes, used for one attempt only


@dataclass(frozen=True, slots=True)
class Verify:
    """Verify a proof of the statement."""

    statement: Statement
    proof: bytes = field(repr=False)


Job = Prove | Verify


def pack(job: Job) -> Strings:
    """The strings that a job is sent as."""
    statement = _pack_statement(job.statement)
    if isinstance(job, Verify):
        return [_VERIFY, *statement, job.proof]
    return [_PROVE, *statement, job.identity, b"".join(job.openings), job.rho]


def unpack(strings: Strings) -> Job:
    """The job that `pack` encoded. Raises ValueError: the strings are not a job."""
    work, kind, name, message, outputs, claims, *rest = strings
    statement = _unpack_statement(kind, name.decode(), message, outputs, claims)
    if work == _VERIFY:
        [proof] = rest
        return Verify(statement, proof)
    identity, openings, rho = rest
    return Prove(statement, identity, _cut(openings, OPENING_BYTES), rho)


def _pack_statement(statement: Statement) -> Strings:
    """Kind, parameter set, message, outputs, and what a readings statement says of them."""
    common = [statement.parameter_set.encode(), statement.message]
    if isinstance(statement, BlocksStatement):
        return [_BLOCKS, *common, b"".join(statement.outputs), b""]
    outputs = b"".join([statement.identity, *statement.commitments])
    return [_READINGS, *common, outputs, bytes([statement.carried]) + statement.bounds.encode()]


def _unpack_statement(
    kind: bytes, name: str, message: bytes, outputs: bytes, claims: bytes
) -> Statement:
    listed = _cut(outputs, OUTPUT_BYTES)
    if kind == _BLOCKS:
        return BlocksStatement(name, listed, message)
    identity, *commitments = listed
    bounds = ReadingBounds.decode(claims[1:])
    return ReadingsStatement(name, identity, tuple(commitments), claims[0] == 1, bounds, message)


def done(result: bytes) -> Strings:
    """The answer to a job that succeeded."""
    return [_DONE, result]


def failed(error: DragonError) -> Strings:
    """The answer to a job that failed. `result` raises the error again, or its base class."""
    facts = json.dumps(error.facts, default=str).encode()
    return [_FAILED, type(error).__name__.encode(), str(error).encode(), facts]


def result(strings: Strings) -> bytes:
    """The result of a job, from the worker's answer.

    Raises ProofRefused, ProvingError: the worker reported this error.
    """
    if strings[0] == _DONE:
        return strings[1]
    _, kind, message, facts = (string.decode() for string in strings)
    particulars: dict[str, object] = json.loads(facts)
    if kind == errors.ProofRefused.__name__:
        reason = str(particulars.pop("reason"))
        raise errors.ProofRefused(reason, message, **particulars)
    raise _REPORTED.get(kind, errors.ProvingError)(message, **particulars)


def _cut(joined: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(joined[at : at + size] for at in range(0, len(joined), size))
