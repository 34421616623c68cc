"""A worker process that verifies proofs. It has no kernels, and starts within a second.

    python -m dragon_zkp.verification_worker FD     FD: the worker's end of a pair of sockets

Anyone may have proofs verified. So this has a process of its own, which yields the processor to
the workers that make the owner's proofs.
"""

from __future__ import annotations

import os
from typing import Final

from dragon.errors import ProvingError
from dragon.node.workers.job_loop import Checkpoint
from dragon.stark.blocks import verify_blocks
from dragon.stark.readings import verify_readings
from dragon_zkp import job_loop
from dragon_zkp.messages import BlocksStatement, Job, Verify

NICENESS: Final = 10  # of 19; a process with more gets less of a busy processor


def do(job: Job, checkpoint: Checkpoint = lambda _: None) -> bytes:
    """Verify a proof. Returns an empty string. Raises ProofRefused."""
    if not isinstance(job, Verify):
        raise ProvingError("this worker makes no proofs")
    statement = job.statement
    if isinstance(statement, BlocksStatement):
        outputs = list(statement.outputs)
        verify_blocks(statement.parameter_set, outputs, statement.message, job.proof)
    else:
        verify_readings(
            statement.parameter_set,
            statement.identity,
            list(statement.commitments),
            statement.carried,
            statement.bounds,
            statement.message,
            job.proof,
        )
    return b""


if __name__ == "__main__":
    os.nice(NICENESS)
    job_loop.run(lambda _: None, do)
