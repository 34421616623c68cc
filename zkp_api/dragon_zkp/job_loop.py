"""The loop of a worker process: it runs jobs, one at a time, until its service ends.

Every job has exactly one answer, also if it is cancelled. So both sides stay in step.
"""

from __future__ import annotations

import select
import signal
import socket
import sys
from collections.abc import Callable

from dragon.errors import DragonError
from dragon_zkp import ipc, messages
from dragon_zkp.messages import Job

Checkpoint = Callable[[str], None]  # called between two stages of a job


class Cancelled(Exception):  # not DragonError: it never leaves the worker
    """The service has cancelled the job."""


def run(prepare: Callable[[socket.socket], None], do: Callable[[Job, Checkpoint], bytes]) -> None:
    """Run a worker whose end of the pair of sockets is named on the command line."""
    # Ctrl-C reaches the whole process group. The service handles it and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as service:
        try:
            prepare(service)
            ipc.send(service, [b"ready"])
            while True:
                serve_job(service, do)
        except (EOFError, OSError):
            return


def serve_job(service: socket.socket, do: Callable[[Job, Checkpoint], bytes]) -> None:
    """Receive a job, run it and send its answer. Raises EOFError: the connection was closed."""
    strings = ipc.receive(service)
    if strings == messages.CANCEL:
        return  # the job was finished before
    job = messages.unpack(strings)
    try:
        answer = messages.done(do(job, lambda _: _check(service)))
    except Cancelled:
        answer = messages.cancelled()
    except DragonError as error:
        answer = messages.failed(error)
    del job, strings  # its secrets must not stay in memory until the next job
    ipc.send(service, answer)


def _check(service: socket.socket) -> None:
    """Raise Cancelled if the service has sent something: during a job, it can only cancel."""
    poll = select.poll()
    poll.register(service, select.POLLIN)
    if poll.poll(0):
        ipc.receive(service)
        raise Cancelled
