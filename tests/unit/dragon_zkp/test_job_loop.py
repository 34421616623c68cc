"""The loop of a worker process: every job has one answer, also if it is cancelled."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from dragon.node.workers import ipc
from dragon.node.workers.job_loop import Checkpoint
from dragon_zkp import messages
from dragon_zkp.job_loop import serve_job
from dragon_zkp.messages import BlocksStatement, Job, Verify

JOB = messages.pack(Verify(BlocksStatement("standard", (), b""), b"proof"))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    service, worker = socket.socketpair()
    service.settimeout(5)
    with service, worker:
        yield service, worker


def stages(job: Job, checkpoint: Checkpoint) -> bytes:
    for stage in ("trace", "composition", "FRI"):
        checkpoint(stage)
    return b"result"


def test_a_job_that_is_cancelled_ends_at_its_next_stage(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    service, worker = ends
    reached: list[str] = []

    def cancelled(job: Job, checkpoint: Checkpoint) -> bytes:
        checkpoint("trace")
        ipc.send(service, ipc.CANCEL)
        reached.append("trace")
        checkpoint("composition")
        reached.append("composition")
        return b"result"

    ipc.send(service, JOB)
    serve_job(worker, cancelled)
    assert ipc.receive(service) == ipc.CANCELLED
    assert reached == ["trace"]

    ipc.send(service, JOB)
    serve_job(worker, stages)
    assert messages.result(ipc.receive(service)) == b"result"


def test_a_cancellation_that_comes_too_late_is_ignored(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    service, worker = ends
    ipc.send(service, JOB)
    serve_job(worker, stages)
    ipc.send(service, ipc.CANCEL)
    ipc.send(service, JOB)
    serve_job(worker, stages)
    serve_job(worker, stages)

    answers = [messages.result(ipc.receive(service)) for _ in range(2)]
    assert answers == [b"result", b"result"]
