"""A worker process that verifies windows, one at a time, until its operator ends.

    python -m dragon_operator.verification_worker FD     FD: the worker's end of a pair of sockets

It has the compiled kernels, if they are installed, so that the operator itself needs no memory for
them. It opens no file and no connection, and holds no key.
"""

from __future__ import annotations

from dragon.node.workers import job_loop
from dragon_operator import compiled_verification, window_case

if __name__ == "__main__":
    job_loop.run(
        lambda _: compiled_verification.load(), lambda strings, _: window_case.answer(strings)
    )
