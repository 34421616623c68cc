"""Starts `dragon` processes quickly: forked from a process that has imported the services.

A new service spends half of its processor time on imports. Here they happen once in a run of tests:

    process = forked.start(["serve", "operator", "--id", "operator_1"], output=file)
    done = forked.run(["status", "--home", home])

Everything else is as in a process of its own: arguments, environment, session, signals, files. The
tests of `dragon up` and `dragon demo` start their processes without this, with the fork server of
the command line.
"""

from __future__ import annotations

import array
import atexit
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from dragon_cli import lifeline, services
from dragon_cli.fleet.processes import Fleet
from dragon_cli.forking import ForkServer
from dragon_cli.main import main

TESTS: Final = Path(__file__).parent
POLL_SECONDS: Final = 0.01
MAX_REQUEST_BYTES: Final = 1 << 18
# Services that one process imports together. The second group loads numba, whose memory the other
# services must not seem to use.
GROUPS: Final = (("operator", "aggregator", "sequencer"), ("stream", "zkp", "explorer"))


class Process:
    """A forked process, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, server: _Server, pid: int) -> None:
        self.pid, self.returncode = pid, None
        self._server = server

    returncode: int | None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        ends = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if ends is not None and time.monotonic() > ends:
                raise subprocess.TimeoutExpired("dragon", timeout or 0.0)
            time.sleep(POLL_SECONDS)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Server:
    """A process that has imported some services, and forks."""

    def __init__(self, group: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_REQUEST_BYTES)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), *group],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    def ask(self, request: Mapping[str, Any], files: Sequence[int] = ()) -> Any:
        with self._lock:  # the next answer is that to this request
            self._socket.sendmsg([json.dumps(request).encode()], _passed(files))
            answer = self._socket.recv(64)
        assert answer, "the process that forks has ended"
        return json.loads(answer)

    def stop(self) -> None:
        self._socket.close()  # it ends then
        self._process.wait(10)


def _passed(files: Sequence[int]) -> list[tuple[int, int, Any]]:
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []


@cache
def _server(group: Sequence[str]) -> _Server:
    server = _Server(group)
    atexit.register(server.stop)
    return server


def start(
    arguments: Sequence[object],
    *,
    stdout: IO[Any],
    stderr: IO[Any] | None = None,
    environ: Mapping[str, str] | None = None,
    stdin: IO[Any] | None = None,
    new_session: bool = False,
) -> Process:
    """Start `dragon` with these arguments. `stderr`: as `stdout` by default."""
    words = [str(each) for each in arguments]
    group = next((group for group in GROUPS if set(group) & set(words)), GROUPS[0])
    request = {
        "arguments": words,
        "environ": dict(os.environ if environ is None else environ),
        "folder": str(Path.cwd()),
        "new_session": new_session,
    }
    files = [stdout.fileno(), (stderr or stdout).fileno(), *([stdin.fileno()] if stdin else [])]
    server = _server(group)
    return Process(server, server.ask(request, files))


def run(
    arguments: Sequence[object], *, stdin: bytes = b"", timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run `dragon` with these arguments to its end; return its exit code and output."""
    with ExitStack() as stack:
        given, out, err = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
        given.buffer.write(stdin)
        given.seek(0)
        code = start(arguments, stdout=out, stderr=err, stdin=given).wait(timeout)
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(list(arguments), code, out.read(), err.read())


class ForkedFleet(Fleet):
    """A fleet of forked processes."""

    def fork_server(self) -> AbstractContextManager[ForkServer | None]:
        return nullcontext()  # it would import the services for each fleet again

    def spawn(self, arguments: Sequence[str], output: IO[bytes], environ: Mapping[str, str]) -> Any:
        # Standard input is not the fleet's pipe here.
        alone = {name: value for name, value in environ.items() if name != lifeline.VARIABLE}
        return start(arguments, stdout=output, environ=alone, new_session=True)


# The process that forks


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Answer requests. Returns in a forked process, with what it shall do."""
    codes: dict[int, int | None] = {}
    while True:
        data, passed, *_ = connection.recvmsg(MAX_REQUEST_BYTES, socket.CMSG_SPACE(12))
        if not data:
            sys.exit()
        request = json.loads(data)
        if "poll" in request:
            answer = codes[request["poll"]] = _exit_code(request["poll"], codes)
            connection.send(json.dumps(answer).encode())
            continue
        files = array.array("i")
        for _, _, raw in passed:
            files.frombytes(raw)
        if (pid := os.fork()) == 0:
            return {**request, "files": list(files)}
        codes[pid] = None
        for file in files:
            os.close(file)


def _exit_code(pid: int, codes: Mapping[int, int | None]) -> int | None:
    if codes[pid] is not None:
        return codes[pid]
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _become(request: Mapping[str, Any]) -> None:
    """Turn this forked process into the one that was asked for."""
    if request["new_session"]:
        os.setsid()
    for source, target in zip(request["files"], (1, 2, 0), strict=False):
        os.dup2(source, target)
    for source in request["files"]:
        os.close(source)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.argv = ["dragon", *request["arguments"]]


def _main() -> None:
    number, *group = sys.argv[1:]
    for name in group:
        services.service(name)
    importlib.import_module("alembic.command")  # creates databases
    with socket.socket(fileno=int(number)) as connection:
        _become(_serve(connection))
        connection.send(json.dumps(os.getpid()).encode())
    main()


if __name__ == "__main__":
    _main()
