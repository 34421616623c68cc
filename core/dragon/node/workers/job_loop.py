"""The loop of a worker process: it runs jobs, one at a time, until its service ends.

Every job has exactly one answer, also if it is cancelled. So both sides stay in step.
"""

from __future__ import annotations

import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import TypeAlias

from dragon.node.workers import ipc

Checkpoint: TypeAlias = Callable[[str], None]  # called between two stages of a job
# Runs a job, both packed. Reports the errors of the job in the answer.
Answer: TypeAlias = Callable[[ipc.Strings, Checkpoint], ipc.Strings]


class Cancelled(Exception):  # not DragonError: it never leaves the worker
    """The service has cancelled the job."""


def run(prepare: Callable[[socket.socket], None], answer: Answer) -> None:
    """Run a worker whose end of the pair of sockets is named on the command line."""
    # Ctrl-C reaches the whole process group. The service handles it and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as service:
        try:
            prepare(service)
            ipc.send(service, [b"ready"])
            while True:
                serve_job(service, answer)
        except (EOFError, OSError):
            return


def serve_job(service: socket.socket, answer: Answer) -> None:
    """Receive a job, run it and send its answer. Raises EOFError: the connection was closed."""
    strings = ipc.receive(service)
    if strings == ipc.CANCEL:
        return  # the job was finished before
    try:
        said = answer(strings, lambda _: _check(service))
    except Cancelled:
        said = ipc.CANCELLED
    del strings  # its secrets must not stay in memory until the next job
    ipc.send(service, said)


def _check(service: socket.socket) -> None:
    """Raise Cancelled if the service has sent something: during a job, it can only cancel."""
    poll = select.poll()
    poll.register(service, select.POLLIN)
    if poll.poll(0):
        ipc.receive(service)
        raise Cancelled
