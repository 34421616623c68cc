"""The listening socket of a service, and its limits of file descriptors and connections."""

from __future__ import annotations

import errno
import resource
import socket
import sys
from typing import Final

BACKLOG: Final = 1024  # connections that the kernel keeps until the service accepts them
MAX_CONNECTIONS: Final = 1024  # open connections of one service
RESERVED_DESCRIPTORS: Final = 128  # file descriptors for databases, peers and threads
MIN_CONNECTIONS: Final = 16


def raise_descriptor_limit() -> int:
    """Raise the limit of open files to the hard limit, and return how many connections fit."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, hard - RESERVED_DESCRIPTORS))


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address. Exits with code 3 and one sentence if the address cannot be used."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            fault = f"port_in_use: port {port} on {host} is in use; stop the process that uses it"
            fault += ", or choose another port with `--port` or DRAGON_PORT"
        else:
            said = error.strerror or "the address cannot be used"
            fault = f"settings_error: cannot listen on {host} port {port}: {said}"
        sys.stderr.write(f"dragon: {fault}\n")
        sys.stderr.flush()
        raise SystemExit(3) from None
    listener.setblocking(False)
    return listener
