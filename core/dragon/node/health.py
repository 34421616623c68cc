"""Health check of a container: exits with 0 if the service in it is ready.

    python -m dragon.node.health [--port N] [--path /readyz] [--home DIR] [--name NAME]

Exit code 0: the service answered 200, or all its reasons are `TOLERATED_REASONS`: its log is
silent, nothing is certified, its journal is new or has a signed round of the future, the committee
counts it as down or does not list it, others are busy, or its kernels are being compiled. No
restart ends these, and the service works. Exit code 1: neither; one line on standard output says
why. The settings are those of the service: DRAGON_PORT, DRAGON_HOST, DRAGON_HOME, DRAGON_TLS_CA and
DRAGON_TLS_CERTFILE.

The check runs every few seconds in every container. To start quickly, it imports only a few modules
of the standard library.
"""

from __future__ import annotations

import os
import socket
import sys
import time

DEADLINE_SECONDS = 2.5  # for the whole check
MAX_ANSWER_BYTES = 65_536
MAX_QUOTED_CHARS = 300  # of a body, in the message
# How reasons begin that keep no service from working.
TOLERATED_REASONS = (
    *("unreachable:", "silent:", "not_certifying:", "journal:", "busy:", "seat:"),
    "compiling:",
)
OPTIONS = ("--port", "--path", "--home", "--name")
ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - hosts of a service that listens everywhere


class Unhealthy(Exception):
    """The service is not ready; the message is one line."""


def check(arguments: list[str], environ: dict[str, str]) -> None:
    """Return quietly if the service is ready. Raises Unhealthy, OSError, ValueError."""
    chosen = _options(arguments)
    port = int(chosen.get("--port") or environ.get("DRAGON_PORT") or 0)
    if not port:
        raise Unhealthy("the port is missing: give --port or set DRAGON_PORT")
    path, name = chosen.get("--path", "/readyz"), chosen.get("--name", "localhost")
    host = environ.get("DRAGON_HOST", "")
    host = "127.0.0.1" if host in ANY_ADDRESS else host
    ends = time.monotonic() + DEADLINE_SECONDS
    with socket.create_connection((host, port), timeout=DEADLINE_SECONDS) as plain:
        plain.settimeout(_left(ends))
        with _encrypted(plain, chosen.get("--home"), name, environ) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
            connection.settimeout(_left(ends))
            connection.sendall(request.encode())
            _judge(_read(connection, ends))


def _options(arguments: list[str]) -> dict[str, str]:
    names, values = arguments[::2], arguments[1::2]
    if len(names) != len(values) or not set(names) <= set(OPTIONS):
        raise Unhealthy(f"expected the options {', '.join(OPTIONS)}, each with a value")
    return dict(zip(names, values, strict=True))


def _encrypted(
    plain: socket.socket, home: str | None, name: str, environ: dict[str, str]
) -> socket.socket:
    """Wrap the connection in TLS if the service uses it, and verify its certificate for `name`."""
    home = home or environ.get("DRAGON_HOME") or ""
    local = os.path.join(home, "ca.crt") if home else ""
    ca = environ.get("DRAGON_TLS_CA") or (local if os.path.exists(local) else "")
    if not environ.get("DRAGON_TLS_CERTFILE") and not _has_certificate(home, bool(ca)):
        return plain
    import ssl  # noqa: PLC0415 - only if needed: it doubles the start-up time

    context = ssl.create_default_context(cafile=ca or None)
    return context.wrap_socket(plain, server_hostname=name)


def _has_certificate(home: str, has_authority: bool) -> bool:
    """Whether a key folder in the fleet's folder has a TLS certificate.

    Without key folders, a certificate authority says that the fleet uses TLS. With them it does
    not: a service behind a proxy has none, and may trust an authority nevertheless.
    """
    keys = os.path.join(home, "keys") if home else ""
    if not os.path.isdir(keys):
        return has_authority
    return any(os.path.exists(os.path.join(keys, each, "tls.crt")) for each in os.listdir(keys))


def _left(ends: float) -> float:
    if (left := ends - time.monotonic()) <= 0:
        raise TimeoutError
    return left


def _read(connection: socket.socket, ends: float) -> bytes:
    answer = b""
    while len(answer) < MAX_ANSWER_BYTES:
        connection.settimeout(_left(ends))
        piece = connection.recv(16_384)
        if not piece:
            break
        answer += piece
    return answer


def _judge(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise Unhealthy("the answer is not HTTP")
    if words[1] != b"200" and not (words[1] == b"503" and _works(body)):
        text = body.decode("utf-8", "replace")[:MAX_QUOTED_CHARS]
        said = "".join(c if c.isprintable() else " " for c in text)
        raise Unhealthy(f"{words[1].decode('ascii', 'replace')}: {said}")


def _works(body: bytes) -> bool:
    """Whether the service works in spite of the reasons in its answer."""
    import json  # noqa: PLC0415 - only if needed

    try:
        reasons = json.loads(body)["reasons"]
        return bool(reasons) and all(each.startswith(TOLERATED_REASONS) for each in reasons)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def main() -> str:
    """Return why the service is not ready; empty if it is ready."""
    try:
        check(sys.argv[1:], dict(os.environ))
    except TimeoutError:
        return f"no answer within {DEADLINE_SECONDS} s"
    except (Unhealthy, OSError, ValueError) as error:
        return " ".join(str(error).split())
    return ""


if __name__ == "__main__":
    why = main()
    if why:
        print(why)  # noqa: T201
    sys.exit(1 if why else 0)
