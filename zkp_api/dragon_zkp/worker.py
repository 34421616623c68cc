"""A worker: a process of its own that makes and checks proofs, one at a time, until it is told to
stop or its service is gone.

    python -m dragon_zkp.worker FD      FD: its end of a pair of sockets

A process, because kernels that are at work cannot be interrupted, and because what holds secrets
can then be ended with all its memory. It says nothing on its outputs.
"""

from __future__ import annotations

import signal
import socket
import sys

from dragon.errors import DragonError
from dragon.stark.blocks import verify_blocks
from dragon.stark.prover.blocks import prove_blocks
from dragon.stark.prover.warmup import warm
from dragon.stark.ziggy import secret_preimage
from dragon_zkp import ipc, messages
from dragon_zkp.messages import Job, Verify


def do(job: Job) -> bytes:
    """The proof, or nothing for one that was verified. Raises ProofRefused, ProvingError."""
    said = job.statement
    if isinstance(job, Verify):
        verify_blocks(said.parameter_set, list(said.outputs), said.message, job.proof)
        return b""
    secrets = [secret_preimage(job.identity), *job.openings]
    return prove_blocks(
        said.parameter_set, secrets, said.message, job.rho, outputs=list(said.outputs)
    )


def work(service: socket.socket) -> None:
    """Raises EOFError: the service is gone."""

    def progress(name: str, finished: int, of: int) -> None:
        ipc.send(service, [b"warming", name.encode(), b"%d" % finished, b"%d" % of])

    warm(progress)
    ipc.send(service, [b"ready"])
    while True:
        job = messages.unpack(ipc.receive(service))
        try:
            answer = messages.done(do(job))
        except DragonError as error:
            answer = messages.failed(error)
        del job
        ipc.send(service, answer)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then ends us
    with socket.socket(fileno=int(sys.argv[1])) as service:
        try:
            work(service)
        except (EOFError, OSError):
            return


if __name__ == "__main__":
    main()
