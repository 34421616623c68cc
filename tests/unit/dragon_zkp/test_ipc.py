"""Messages between service and worker arrive complete, or the connection ends."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon import errors
from dragon.node.workers import ipc
from dragon.stark.reading_bounds import ReadingBounds
from dragon_zkp import messages
from dragon_zkp.messages import BlocksStatement, Prove, ReadingsStatement, Verify

STATEMENT = BlocksStatement("standard", (b"o" * 32, b"p" * 32), b"message")
BOUNDS = ReadingBounds(0, 9, -9, 9, 0, 18)
READINGS = ReadingsStatement("standard", b"i" * 32, (b"o" * 32, b"p" * 32), True, BOUNDS, b"m")


@given(st.lists(st.binary(max_size=64), max_size=ipc.MAX_STRINGS))
def test_a_list_arrives_as_it_was_sent(strings: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ipc.send(ours, strings)
        assert ipc.receive(theirs) == strings


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\1\0\0\0\5abc",
        b"\xff\xff\xff\xff",
        b"\0\0\0\1\xff\xff\xff\xff",
    ],
)
def test_an_invalid_list_ends_the_connection(raw: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(raw)
        with pytest.raises(EOFError):
            ipc.receive(theirs)


@pytest.mark.parametrize(
    "job",
    [
        Prove(STATEMENT, b"k" * 32, (b"s" * 60, b"t" * 60), b"r" * 32),
        Prove(BlocksStatement("strong", (), b""), b"k" * 32, (), b"r" * 32),
        Verify(STATEMENT, b"proof"),
        Prove(READINGS, b"k" * 32, (b"s" * 60, b"t" * 60), b"r" * 32),
        Verify(READINGS, b"proof"),
    ],
)
def test_a_job_arrives_as_it_was_sent(job: messages.Job) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ipc.send(ours, messages.pack(job))
        assert messages.unpack(ipc.receive(theirs)) == job


def test_the_service_raises_the_error_that_the_worker_reported() -> None:
    with pytest.raises(errors.ProofRefused, match="no proof") as refused:
        messages.result(messages.failed(errors.ProofRefused("oods", "no proof", at=3)))
    assert (refused.value.reason, refused.value.facts) == ("oods", {"reason": "oods", "at": 3})

    for kind in (errors.WrongWitness, errors.UnsafeParameters, errors.UnluckyChallenge):
        with pytest.raises(kind, match="which one"):
            messages.result(messages.failed(kind("which one", number=2)))
    with pytest.raises(errors.ProvingError):
        messages.result(messages.failed(errors.NotFound("an error that no worker reports")))


def test_the_repr_of_a_job_shows_no_secret() -> None:
    job = Prove(STATEMENT, b"SECRET-K" * 4, (b"SECRET-O" * 7 + b"SECR",), b"SECRET-R" * 4)
    assert "SECR" not in repr(job)
    assert "SECR" not in str(job)
