"""Threads that run the requests of a lane, and give what came of each to the event loop.

They do what an executor does. Its futures take several locks and callbacks for each request, which
is a tenth of the processor time of a short one.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Finished(Protocol[R_co]):
    """What came of a call. A future that is done has this form, too."""

    def exception(self) -> BaseException | None:
        """The error that the call raised, or None."""

    def result(self) -> R_co:
        """What the call returned. Raises what the call raised."""


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    """`value` has no meaning if there is an error."""

    value: T
    error: BaseException | None = None

    def exception(self) -> BaseException | None:
        return self.error

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(frozen=True, slots=True)
class _Call(Generic[T]):
    loop: asyncio.AbstractEventLoop
    work: Callable[[], T]
    done: Callable[[Finished[T]], None]

    def run(self) -> None:
        try:
            outcome = _Outcome(self.work())
        except BaseException as error:  # it belongs to the request, not to this thread
            outcome = _Outcome(cast("T", None), error)
        with suppress(RuntimeError):  # the event loop has ended
            self.loop.call_soon_threadsafe(self.done, outcome)


_Calls: TypeAlias = "SimpleQueue[_Call[Any] | None]"


class LaneThreads:
    """Threads, started when they are needed. They end when this object is forgotten.

    Only the event loop's thread may use it.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name, self._started = most, name, 0
        self._calls: _Calls = SimpleQueue()
        weakref.finalize(self, _end, self._calls, most)

    def submit(
        self, work: Callable[[], T], done: Callable[[Finished[T]], None], *, running: int
    ) -> None:
        """Call `work` on a thread, and then `done` on the event loop's thread.

        Args: `running`, the number of calls that are not done, with this one.
        """
        self._calls.put(_Call(asyncio.get_running_loop(), work, done))
        if self._started < min(running, self._most):
            self._start_thread()

    def _start_thread(self) -> None:
        """Start one more. If the system refuses that, the others take the call in its turn.

        Raises RuntimeError: it refuses the first one.
        """
        name = f"{self._name}_{self._started}"
        thread = threading.Thread(target=_serve, args=(self._calls,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._started:
                raise
        else:
            self._started += 1


def _serve(calls: _Calls) -> None:
    while (call := calls.get()) is not None:
        call.run()
        del call  # else its request would stay in memory until the next one


def _end(calls: _Calls, threads: int) -> None:
    for _ in range(threads):
        calls.put(None)
