"""The parts that a prover service is assembled from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import Counter, Histogram

from dragon_zkp.pool import Pool
from dragon_zkp.selfcheck import SelfCheck

_JOB_SECONDS_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Components:
    """Everything that the app and its routes use.

    `pool` makes proofs, `verifications` verifies them. `entropy(size)` returns that many random
    bytes. `deadline_seconds` bounds one job, including the time that it waits for a worker. `token`
    is the bearer token that proving requires.
    """

    pool: Pool
    verifications: Pool
    self_check: SelfCheck
    entropy: Callable[[int], bytes]
    deadline_seconds: float
    token: str = field(repr=False)
    jobs: Counter
    job_seconds: Histogram


def counters() -> tuple[Counter, Histogram]:
    """The metrics `jobs` and `job_seconds` of `Components`, not registered anywhere yet."""
    jobs = Counter(
        "datadragon_zkp_jobs",
        "Finished proving and verification jobs, by outcome.",
        ["kind", "outcome"],
        registry=None,
    )
    job_seconds = Histogram(
        "datadragon_zkp_job_seconds",
        "Seconds from receiving a job to answering it, including waiting for a worker.",
        ["kind"],
        buckets=_JOB_SECONDS_BUCKETS,
        registry=None,
    )
    return jobs, job_seconds
