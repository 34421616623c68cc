"""What a pool of workers needs to know of a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, TypeVar

from dragon import errors

GONE_CHECK_SECONDS: Final = 0.25  # between two looks whether a client still waits

IsGone: TypeAlias = Callable[[], bool]  # whether the client of a job does not wait any longer
JobT = TypeVar("JobT")  # what a worker is asked to do
ResultT = TypeVar("ResultT")  # what it answers
JobT_contra = TypeVar("JobT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)


class Worker(Protocol[JobT_contra, ResultT_co]):
    """Runs jobs, one at a time. `Process` is the implementation that services use."""

    def wait_until_ready(self, progress: Callable[[str], None]) -> None:
        """Wait for the worker to start. `progress` receives what it is doing.

        Raises WorkerDied, Overdue: it did not start.
        """

    def do(self, job: JobT_contra, seconds: float, is_gone: IsGone) -> ResultT_co:
        """Run a job within `seconds`, while its client waits.

        Raises Overdue, ClientGone: the job must be cancelled. WorkerDied: the worker failed and
        must be replaced. Other errors: the worker reported them.
        """

    def cancel(self, seconds: float) -> bool:
        """Cancel the job that is running. Returns whether the worker can take another job."""

    def is_alive(self) -> bool:
        """Whether the worker can take a job."""

    def stop(self) -> None:
        """End the worker immediately, even during a job."""


def gone() -> errors.ClientGone:
    """The error of a job whose client does not wait any longer."""
    return errors.ClientGone("the client closed its connection before its request was finished")
