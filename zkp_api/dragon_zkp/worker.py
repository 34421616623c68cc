"""A worker process: makes and verifies proofs, one at a time, until its service stops or dies.

    python -m dragon_zkp.worker FD      FD: the worker's end of a pair of sockets

Workers are processes for two reasons: a running kernel cannot be interrupted, and ending a process
releases all memory that held secrets. A worker writes nothing to its standard output.
"""

from __future__ import annotations

import signal
import socket
import sys

from dragon.errors import DragonError
from dragon.stark.blocks import verify_blocks
from dragon.stark.prover.blocks import prove_blocks
from dragon.stark.prover.warmup import warm_up
from dragon.stark.ziggy import secret_preimage
from dragon_zkp import ipc, messages
from dragon_zkp.messages import Job, Verify


def do(job: Job) -> bytes:
    """Run a job. Returns the proof, or an empty string after a verification.

    Raises ProofRefused, ProvingError.
    """
    statement = job.statement
    outputs = list(statement.outputs)
    if isinstance(job, Verify):
        verify_blocks(statement.parameter_set, outputs, statement.message, job.proof)
        return b""
    secrets = [secret_preimage(job.identity), *job.openings]
    return prove_blocks(
        statement.parameter_set, secrets, statement.message, job.rho, outputs=outputs
    )


def work(service: socket.socket) -> None:
    """Prepare all kernels, then run jobs. Raises EOFError: the service closed the connection."""

    def progress(name: str, finished: int, total: int) -> None:
        ipc.send(service, [b"warming", name.encode(), b"%d" % finished, b"%d" % total])

    warm_up(progress)
    ipc.send(service, [b"ready"])
    while True:
        job = messages.unpack(ipc.receive(service))
        try:
            answer = messages.done(do(job))
        except DragonError as error:
            answer = messages.failed(error)
        del job  # its secrets must not stay in memory until the next job
        ipc.send(service, answer)


def main() -> None:
    # Ctrl-C reaches the whole process group. The service handles it and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as service:
        try:
            work(service)
        except (EOFError, OSError):
            return


if __name__ == "__main__":
    main()
