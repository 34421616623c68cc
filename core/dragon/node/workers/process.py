"""A worker in a process of its own, connected by a pair of sockets."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, Generic

from dragon import errors
from dragon.net.deadlines import DeadlineSocket
from dragon.node.workers import ipc
from dragon.node.workers.worker import GONE_CHECK_SECONDS, IsGone, JobT, ResultT, gone

# Long enough to compile all kernels without a cache on a busy machine.
WORKER_START_TIMEOUT_SECONDS: Final = 180.0
# What a worker does before it is ready. `/readyz` lists it; `compiling` keeps no service waiting.
ACTIVITIES: Final = {ipc.LOADING: "workers are preparing", ipc.COMPILING: "compiling"}
TRANSFER_SECONDS: Final = 2.0  # for a worker to send an answer that it has begun to send


class Process(Generic[JobT, ResultT]):
    """A worker in a separate process. The process is spawned, not forked from this one.

    Its end of the pair of sockets closes when this process ends, however it ends, and so it ends
    too: at once, or after the job that it runs.

    Args:
        module: what the process runs; see `dragon.node.workers.job_loop`.
        pack: returns the strings that a job is sent as.
        result: returns the result from the strings of an answer, or raises the error that the
            worker reported.
    """

    def __init__(
        self,
        module: str,
        pack: Callable[[JobT], ipc.Strings],
        result: Callable[[ipc.Strings], ResultT],
    ) -> None:
        self._pack, self._result = pack, result
        self._in_step = True  # the next message that arrives is the next answer
        ours, theirs = socket.socketpair()
        self._socket = DeadlineSocket.adopt(ours)
        with theirs, ExitStack() as undo:
            undo.callback(self._socket.close)
            self._process = subprocess.Popen(  # noqa: S603 - the command is fixed
                [sys.executable, "-P", "-m", module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            undo.pop_all()

    def wait_until_ready(self, progress: Callable[[str], None]) -> None:
        self._socket.settimeout(WORKER_START_TIMEOUT_SECONDS)
        while (message := self._receive())[0] in ACTIVITIES:
            number, total = int(message[2]) + 1, int(message[3])
            progress(f"{ACTIVITIES[message[0]]}: kernel {min(number, total)} of {total}")

    def do(self, job: JobT, seconds: float, is_gone: IsGone) -> ResultT:
        ends = time.monotonic() + seconds
        self._send(self._pack(job), seconds)
        while not self._can_receive(min(GONE_CHECK_SECONDS, ends - time.monotonic())):
            if is_gone():
                raise gone()
            if time.monotonic() >= ends:
                raise _late()
        self._socket.settimeout(TRANSFER_SECONDS)
        answer = self._receive()
        try:
            return self._result(answer)
        except (LookupError, ValueError, TypeError, RecursionError):
            message = "the worker sent an invalid answer; send the request again"
            raise errors.WorkerDied(message) from None

    def cancel(self, seconds: float) -> bool:
        try:
            self._send(ipc.CANCEL, seconds)
            self._socket.settimeout(seconds)
            self._receive()  # every job has one answer; this one says how the cancelled job ended
        except errors.DragonError:
            return False
        return True

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def _can_receive(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0.0, 1000 * seconds)))

    def _send(self, strings: ipc.Strings, seconds: float) -> None:
        if not self._in_step:
            raise _ended()
        self._socket.settimeout(max(0.001, seconds))
        try:
            ipc.send(self._socket, strings)
        except TimeoutError:
            self._in_step = False
            raise _late() from None
        except (OSError, ValueError):
            raise _ended() from None

    def _receive(self) -> ipc.Strings:
        try:
            return ipc.receive(self._socket)
        except TimeoutError:
            self._in_step = False
            raise _late() from None
        except (EOFError, OSError):
            raise _ended() from None

    def stop(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


def _late() -> errors.Overdue:
    return errors.Overdue("the worker did not finish within the deadline")


def _ended() -> errors.WorkerDied:
    return errors.WorkerDied("the worker process ended; send the request again")
