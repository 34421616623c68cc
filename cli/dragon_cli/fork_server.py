"""A process that imports the services once, and forks them.

    python -m dragon_cli.fork_server FD        FD: its end of a pair of sockets

A service spends two seconds of processor time on imports; `dragon up` starts eight. Here they are
imported once, and each service is a copy of this process. Its memory is shared until it is written.
What most services need is imported at once. The rest is imported when the first service of a kind
is requested, so that services that were forked earlier use the other processors meanwhile.

Every request is one object in JSON, after the number of its bytes, with the standard input of the
service as a passed file. It may be long: it holds the environment. The answer is the process id of
the service.
Each service is forked twice, and the process between them ends: the system then makes the service a
child of the program that started this server and asked the system for it (`dragon_cli.forking`). So
that program learns how a service ends, and the server can end when all services are started.

No thread may run here when it forks: a lock that another thread holds would stay locked for ever.
Therefore neither numpy nor numba is imported.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from dragon_cli import services
from dragon_cli.commands import serve  # noqa: F401 - every service needs it
from dragon_cli.forking import REQUEST_SIZE
from dragon_cli.main import main

NAME_FILE: Final = Path("/proc/self/comm")  # what `top` and `pgrep` show
# What the services import that can be forked; each takes a part of it.
COMMON: Final = ("dragon.node.app", "dragon.node.http_server")
_STDIN, _STDOUT, _STDERR = 0, 1, 2


def answer_requests(connection: socket.socket) -> dict[str, Any] | None:
    """Fork a service for each request, until the other side closes the connection.

    Returns in a forked process with the request for it; otherwise None.
    """
    while True:
        head, files, *_ = socket.recv_fds(connection, REQUEST_SIZE.size, 1)
        if not head:
            return None
        (size,) = REQUEST_SIZE.unpack(head)
        request: dict[str, Any] = json.loads(connection.recv(size, socket.MSG_WAITALL))
        load(request["kind"])
        if (service := _fork(*files)) is None:
            return request
        connection.send(b"%d" % service)


def _fork(stdin: int) -> int | None:
    """Fork twice. Returns the process id of the service; None in the service."""
    reading, writing = os.pipe()
    if (between := os.fork()) == 0:
        if (service := os.fork()) == 0:
            os.dup2(stdin, _STDIN)
            for number in (stdin, reading, writing):
                os.close(number)
            return None
        os.write(writing, b"%d" % service)
        os._exit(0)
    for number in (stdin, writing):
        os.close(number)
    os.waitpid(between, 0)  # from now on the service is a child of our parent
    with open(reading, "rb") as ids:
        return int(ids.read())


def become(request: dict[str, Any]) -> list[str]:
    """Turn this forked process into the service; return the arguments of `dragon` for it.

    It has its own session, as if it were started in the usual way, its environment, and its output
    in its own file.
    """
    os.setsid()
    os.environ.clear()
    os.environ.update(request["environ"])
    output = os.open(request["output"], os.O_WRONLY | os.O_APPEND)
    for number in (_STDOUT, _STDERR):
        os.dup2(output, number)
    os.close(output)
    with suppress(OSError):
        NAME_FILE.write_text(request["name"])
    arguments: list[str] = request["arguments"]
    sys.argv[1:] = arguments
    return arguments


def load(kind: str) -> None:
    """Import what services of a kind need. An empty kind needs no more than any command."""
    if kind:
        services.service(kind)
    gc.freeze()  # a collection in a service would otherwise write to all shared memory


def _main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        with services.importing():
            for name in COMMON:
                import_module(name)
        request = answer_requests(connection)
    if request is not None:
        main(become(request))


if __name__ == "__main__":
    _main()
