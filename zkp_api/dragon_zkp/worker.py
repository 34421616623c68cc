"""A worker process that makes proofs, one at a time, until its service stops or dies.

    python -m dragon_zkp.worker FD      FD: the worker's end of a pair of sockets

Workers are processes for two reasons: a running kernel cannot be interrupted, and ending a process
releases all memory that held secrets. A worker writes nothing to its standard output.
"""

from __future__ import annotations

import socket

from dragon.node.workers import ipc
from dragon.node.workers.job_loop import Checkpoint
from dragon.stark.prover.blocks import prove_blocks
from dragon.stark.prover.readings import prove_readings
from dragon.stark.prover.warmup import is_compiled, warm_up
from dragon.stark.ziggy import secret_preimage
from dragon_zkp import job_loop, verification_worker
from dragon_zkp.heap import keep_memory
from dragon_zkp.messages import BlocksStatement, Job, Prove, ReadingsStatement, Verify


def do(job: Job, checkpoint: Checkpoint = lambda _: None) -> bytes:
    """Run a job. Returns the proof, or an empty string after a verification.

    `checkpoint` is called when a stage of a proof begins, and may raise.

    Raises ProofRefused, ProvingError.
    """
    if isinstance(job, Verify):
        return verification_worker.do(job, checkpoint)
    if isinstance(job.statement, BlocksStatement):
        return _prove_blocks(job, job.statement, checkpoint)
    return _prove_readings(job, job.statement, checkpoint)


def _prove_blocks(job: Prove, statement: BlocksStatement, checkpoint: Checkpoint) -> bytes:
    return prove_blocks(
        statement.parameter_set,
        [secret_preimage(job.identity), *job.openings],
        statement.message,
        job.rho,
        outputs=list(statement.outputs),
        on_stage=checkpoint,
    )


def _prove_readings(job: Prove, statement: ReadingsStatement, checkpoint: Checkpoint) -> bytes:
    return prove_readings(
        statement.parameter_set,
        secret_preimage(job.identity),
        job.openings,
        statement.carried,
        statement.bounds,
        statement.message,
        job.rho,
        outputs=[statement.identity, *statement.commitments],
        on_stage=checkpoint,
    )


def prepare(service: socket.socket) -> None:
    """Prepare all kernels, and report the progress."""
    keep_memory()
    activity = ipc.LOADING if is_compiled() else ipc.COMPILING

    def progress(name: str, finished: int, total: int) -> None:
        ipc.send(service, [activity, name.encode(), b"%d" % finished, b"%d" % total])

    warm_up(progress)


if __name__ == "__main__":
    job_loop.run(prepare, do)
