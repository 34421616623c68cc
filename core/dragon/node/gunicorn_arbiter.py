"""gunicorn's parent process: it watches the one worker, and replaces it when it dies.

It differs from gunicorn's own in three ways. A pause of the whole machine is not taken for a
worker that hangs. A worker that dies again and again ends the service. On SIGHUP the old worker
ends before the new one starts, because both would write the same files.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from typing import Any, Final

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from dragon.errors import SettingsError

MAX_DEATHS: Final = 3  # of workers within `DEATHS_SECONDS`; then the service ends
DEATHS_SECONDS: Final = 60.0
MAX_LOOK_SECONDS: Final = 2.0  # between two looks; a longer time means that the machine paused
END_SECONDS: Final = 3.0  # beyond the grace period, for a worker that was told to end


class Silence:
    """How long a worker has given no sign of life, not counting pauses of the whole machine."""

    def __init__(self) -> None:
        self._beat: float | None = None
        self._looked_at = 0.0
        self.seconds = 0.0

    def look(self, beat: float, now: float) -> None:
        """Note the worker's latest sign of life, and the time (monotonic, seconds)."""
        if beat != self._beat:
            self._beat, self.seconds = beat, 0.0
        else:
            self.seconds += min(now - self._looked_at, MAX_LOOK_SECONDS)
        self._looked_at = now


class Deaths:
    """Counts the workers that died lately."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MAX_DEATHS)

    def add(self, now: float) -> bool:
        """Note a death. Returns whether it is one too many."""
        self._times.append(now)
        return len(self._times) == MAX_DEATHS and now - self._times[0] <= DEATHS_SECONDS


class ServiceArbiter(Arbiter):  # type: ignore[misc]  # gunicorn ships no types
    """Watches the worker of a service."""

    def __init__(self, app: Any) -> None:
        self._silences: dict[int, Silence] = {}
        self._ending: dict[int, float] = {}  # workers that were told to end, and by when
        self._deaths = Deaths()
        self._stopping = False
        super().__init__(app)

    def murder_workers(self) -> None:
        now = time.monotonic()
        for pid, worker in list(self.WORKERS.items()):
            silence = self._silences.setdefault(pid, Silence())
            silence.look(worker.tmp.last_update(), now)
            if silence.seconds > self.timeout:
                self.log.error("The worker does not respond for %d s; it is replaced", self.timeout)
                self.kill_worker(pid, signal.SIGKILL)
            elif self._ending.get(pid, now) < now:
                self.kill_worker(pid, signal.SIGKILL)

    def reap_workers(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            worker = self.WORKERS.pop(pid, None)
            if worker is not None:  # else an orphan, which the first process of a container gets
                worker.tmp.close()
                self._silences.pop(pid, None)
                self._judge(pid, os.waitstatus_to_exitcode(status))

    def _judge(self, pid: int, code: int) -> None:
        """Decide what the end of a worker means. Raises HaltServer: the service ends."""
        if self._ending.pop(pid, None) is not None or self._stopping:
            return
        if code == self.WORKER_BOOT_ERROR:
            raise HaltServer("the service could not start", code)
        how = _described(code)
        self.log.error("The worker %s; it is replaced", how)
        if self._deaths.add(time.monotonic()):
            message = f"{MAX_DEATHS} workers died within {DEATHS_SECONDS:.0f} s; the last {how}"
            raise HaltServer(message, 1)

    def stop(self, graceful: bool = True) -> None:
        self._stopping = True
        super().stop(graceful)

    def handle_hup(self) -> None:
        """Replace the worker. It reads the TLS certificate again; broken files change nothing."""
        try:
            self.app.tls_context()
        except SettingsError as error:
            self.log.error("SIGHUP is ignored: %s", error)
            return
        ends = time.monotonic() + self.cfg.graceful_timeout + END_SECONDS
        for pid in self.WORKERS:
            self._ending.setdefault(pid, ends)
        self.kill_workers(signal.SIGTERM)

    def _ignore(self) -> None:
        """Ignore a signal that asks for another number of workers, or for another program."""

    handle_ttin = handle_ttou = handle_usr2 = handle_winch = _ignore


def _described(code: int) -> str:
    """Say how a process ended; a negative code is a signal."""
    if code >= 0:
        return f"exited with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = {
        signal.SIGKILL: " (out of memory?)",
        signal.SIGBUS: " (is the disk full or damaged?)",
    }.get(-code, "")  # type: ignore[call-overload]
    return f"was killed by {name}{hint}"
