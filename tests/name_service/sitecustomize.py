"""Resolve the host names of docs/founding.md for `dragon` on this machine, in place of DNS.

Python imports this module at its start if its folder is in PYTHONPATH. `DRAGON_TEST_ADDRESS` is the
address of every name that ends with `.example`.
"""

import os
import socket

_resolve = socket.getaddrinfo


def _getaddrinfo(host, *arguments, **options):  # type: ignore[no-untyped-def]
    if isinstance(host, str) and host.endswith(".example"):
        host = os.environ["DRAGON_TEST_ADDRESS"]
    return _resolve(host, *arguments, **options)


socket.getaddrinfo = _getaddrinfo
