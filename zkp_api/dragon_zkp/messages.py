"""The jobs that workers run and the answers they give, and how both cross between processes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

from dragon import errors
from dragon.errors import DragonError
from dragon.stark.commitment import OPENING_BYTES, OUTPUT_BYTES
from dragon_zkp.ipc import Strings

_PROVE: Final = b"prove"
_VERIFY: Final = b"verify"
CANCEL: Final = [b"cancel"]  # cancels the job that is running; if none is, it is ignored
_DONE: Final = b"done"
_FAILED: Final = b"failed"
# Errors that keep their type on the way back to the service, beside ProofRefused.
_REPORTED: Final = {
    kind.__name__: kind
    for kind in (errors.WrongWitness, errors.UnsafeParameters, errors.UnluckyChallenge)
}


@dataclass(frozen=True, slots=True)
class Statement:
    """The statement of a proof: all outputs of a window, including padding, and a message."""

    parameter_set: str
    outputs: tuple[bytes, ...]  # 32 bytes each
    message: bytes


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
    statement = job.statement
    common = [statement.parameter_set.encode(), statement.message, b"".join(statement.outputs)]
    if isinstance(job, Verify):
        return [_VERIFY, *common, job.proof]
    return [_PROVE, *common, job.identity, b"".join(job.openings), job.rho]


def unpack(strings: Strings) -> Job:
    """The job that `pack` encoded. Raises ValueError: the strings are not a job."""
    kind, name, message, outputs, *rest = strings
    statement = Statement(name.decode(), _cut(outputs, OUTPUT_BYTES), message)
    if kind == _VERIFY:
        [proof] = rest
        return Verify(statement, proof)
    identity, openings, rho = rest
    return Prove(statement, identity, _cut(openings, OPENING_BYTES), rho)


def done(result: bytes) -> Strings:
    """The answer to a job that succeeded."""
    return [_DONE, result]


def cancelled() -> Strings:
    """The answer to a job that was cancelled. Nobody waits for it."""
    return [b"cancelled"]


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
