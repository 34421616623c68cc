"""A worker process like `dragon_operator.verification_worker`, without compiled kernels.

    python -m plain_verification_worker FD

It starts within a second, also where no kernel was ever compiled.
"""

from __future__ import annotations

from dragon.node.workers import job_loop
from dragon_operator import window_case

if __name__ == "__main__":
    job_loop.run(lambda _: None, lambda strings, _: window_case.answer(strings))
