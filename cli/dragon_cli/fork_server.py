"""A process that imports the services once, and forks them.

    python -m dragon_cli.fork_server FD KIND ...        FD: its end of a pair of sockets

A service spends two seconds of processor time on imports; `dragon up` starts eight. Here they are
imported once, and each service is a copy of this process. Its memory is shared until it is written.

Every message is one line of JSON. The server answers a request with the process id of the service.
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
from pathlib import Path
from typing import Any, Final

from dragon_cli import services
from dragon_cli.commands import serve  # noqa: F401 - every service needs it
from dragon_cli.main import main

MAX_REQUEST_BYTES: Final = 1 << 16
NAME_FILE: Final = Path("/proc/self/comm")  # what `top` and `pgrep` show
_STDOUT, _STDERR = 1, 2


def answer_requests(connection: socket.socket) -> dict[str, Any] | None:
    """Fork a service for each request, until the other side closes the connection.

    Returns in a forked process with the request for it; otherwise None.
    """
    while data := connection.recv(MAX_REQUEST_BYTES):
        request: dict[str, Any] = json.loads(data)
        reading, writing = os.pipe()
        if (between := os.fork()) == 0:
            if (service := os.fork()) == 0:
                os.close(reading)
                os.close(writing)
                return request
            os.write(writing, b"%d" % service)
            os._exit(0)
        os.close(writing)
        os.waitpid(between, 0)  # from now on the service is a child of our parent
        with open(reading, "rb") as ids:
            connection.send(ids.read())
    return None


def become(request: dict[str, Any]) -> list[str]:
    """Turn this forked process into the service; return the arguments of `dragon` for it.

    It has its own session, as if it were started in the usual way, and its output in its own file.
    """
    os.setsid()
    output = os.open(request["output"], os.O_WRONLY | os.O_APPEND)
    for number in (_STDOUT, _STDERR):
        os.dup2(output, number)
    os.close(output)
    with suppress(OSError):
        NAME_FILE.write_text(request["name"])
    arguments: list[str] = request["arguments"]
    sys.argv[1:] = arguments
    return arguments


def load(kinds: list[str]) -> None:
    """Import what services of these kinds need."""
    for kind in kinds:
        services.service(kind)
    gc.freeze()  # a collection in a service would otherwise write to all shared memory


def _main() -> None:
    number, *kinds = sys.argv[1:]
    with socket.socket(fileno=int(number)) as connection:
        load(kinds)
        request = answer_requests(connection)
    if request is not None:
        main(become(request))


if __name__ == "__main__":
    _main()
