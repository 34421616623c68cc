"""Start services as children of this process, forked from one that has imported them.

Works on Linux only: the system must give the services to us (see `dragon_cli.fork_server`).
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# From <sys/prctl.h>: descendants without a parent become children of this process, not of init.
PR_SET_CHILD_SUBREAPER: Final = 36
POLL_SECONDS: Final = 0.02
MAX_ID_BYTES: Final = 32
REQUEST_SIZE: Final = struct.Struct("!Q")  # the number of bytes of a request, before it


class ForkFailed(Exception):  # not DragonError: the service is then started in the usual way
    """The fork server could not start, or has ended."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a forked process finds: its name in process lists, standard input and environment."""

    name: str
    stdin: int
    environ: Mapping[str, str] = field(repr=False)  # may hold passwords


class Child:
    """A child of this process, with the methods of `subprocess.Popen` for it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._lock = threading.Lock()  # the system tells the exit code once

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        with self._lock:
            if self.returncode is None:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
                if ended:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code. Raises subprocess.TimeoutExpired."""
        ends = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if ends is not None and time.monotonic() >= ends:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkServer:
    """A running fork server, which imports services while we go on."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dragon_cli.fork_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what fails here fails in a service, which says it
                start_new_session=True,  # Ctrl-C is for the program that started us
            )

    def start(self, kind: str, arguments: Sequence[str], output: Path, setting: Setting) -> Child:
        """Start `dragon` with these arguments. Waits until services of this kind are imported.

        Args:
            kind: the service, as an argument of `dragon serve`; empty for another command.
            output: the file to which the output is appended.

        Raises ForkFailed.
        """
        request = {
            "kind": kind,
            "name": setting.name,
            "arguments": list(arguments),
            "output": str(output.absolute()),
            "environ": dict(setting.environ),
        }
        try:
            data = json.dumps(request).encode()
            socket.send_fds(self._socket, [REQUEST_SIZE.pack(len(data))], [setting.stdin])
            self._socket.sendall(data)
            answer = self._socket.recv(MAX_ID_BYTES)
        except OSError:
            answer = b""
        if not answer:
            raise ForkFailed
        return Child(int(answer))

    def stop(self) -> None:
        """End the server; its services go on."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


@contextmanager
def fork_server() -> Iterator[ForkServer | None]:
    """Yield a fork server, or None if this system cannot give its services to us."""
    if not _adopt_orphans(adopt=True):
        yield None
        return
    server = ForkServer()
    try:
        yield server
    finally:
        server.stop()
        _adopt_orphans(adopt=False)


def _adopt_orphans(*, adopt: bool) -> bool:
    """Tell Linux whether descendants whose parent has ended become our children."""
    if sys.platform != "linux":
        return False
    done: int = ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)
    return done == 0
