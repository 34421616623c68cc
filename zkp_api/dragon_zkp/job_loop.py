"""The loop of a prover's worker process; see `dragon.node.workers.job_loop`."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeAlias

from dragon.errors import DragonError
from dragon.node.workers import job_loop
from dragon.node.workers.ipc import Strings
from dragon.node.workers.job_loop import Checkpoint
from dragon_zkp import messages
from dragon_zkp.messages import Job

Do: TypeAlias = Callable[[Job, Checkpoint], bytes]


def run(prepare: Callable[[socket.socket], None], do: Do) -> None:
    """Run a worker whose end of the pair of sockets is named on the command line."""
    job_loop.run(prepare, lambda strings, checkpoint: _answer(strings, checkpoint, do))


def serve_job(service: socket.socket, do: Do) -> None:
    """Receive a job, run it and send its answer. Raises EOFError: the connection was closed."""
    job_loop.serve_job(service, lambda strings, checkpoint: _answer(strings, checkpoint, do))


def _answer(strings: Strings, checkpoint: Checkpoint, do: Do) -> Strings:
    try:
        return messages.done(do(messages.unpack(strings), checkpoint))
    except DragonError as error:
        return messages.failed(error)
