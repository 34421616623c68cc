"""Is the service in this container ready? `python -m dragon.node.health` says so by its exit code.

    python -m dragon.node.health [--port N] [--path /readyz] [--home DIR] [--name NAME]

Exit code 0: it answered 200. 1: it did not, and one line says why. Settings are those of the
service: DRAGON_PORT, DRAGON_HOST, DRAGON_HOME, DRAGON_TLS_CA and DRAGON_TLS_CERTFILE.

It runs every few seconds in every container, so it imports next to nothing, and nothing of ours.
"""

from __future__ import annotations

import os
import socket
import sys
import time

SECONDS = 2.5  # in all
LARGEST = 65_536  # bytes that are read of an answer
SHOWN = 300  # characters of a body that are shown
OPTIONS = ("--port", "--path", "--home", "--name")
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - what a service that listens everywhere listens on


class Unhealthy(Exception):
    """One line that says why."""


def check(arguments: list[str], environ: dict[str, str]) -> None:
    """Return quietly if the service is ready. Raises Unhealthy, OSError, ValueError."""
    chosen = _options(arguments)
    port = int(chosen.get("--port") or environ.get("DRAGON_PORT") or 0)
    if not port:
        raise Unhealthy("neither --port nor DRAGON_PORT says where")
    path, name = chosen.get("--path", "/readyz"), chosen.get("--name", "localhost")
    host = environ.get("DRAGON_HOST", "")
    host = "127.0.0.1" if host in EVERYWHERE else host
    ends = time.monotonic() + SECONDS
    with socket.create_connection((host, port), timeout=SECONDS) as plain:
        plain.settimeout(_left(ends))
        with _encrypted(plain, chosen.get("--home"), name, environ) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
            connection.settimeout(_left(ends))
            connection.sendall(request.encode())
            _judge(_read(connection, ends))


def _options(arguments: list[str]) -> dict[str, str]:
    names, values = arguments[::2], arguments[1::2]
    if len(names) != len(values) or not set(names) <= set(OPTIONS):
        raise Unhealthy(f"the options are {', '.join(OPTIONS)}, each with a value")
    return dict(zip(names, values, strict=True))


def _encrypted(
    plain: socket.socket, home: str | None, name: str, environ: dict[str, str]
) -> socket.socket:
    """Over TLS if the service has it: then the fleet's folder has an authority, or a setting says
    so. It has to be believed under `name`, as by everybody else."""
    home = home or environ.get("DRAGON_HOME")
    local = os.path.join(home, "ca.crt") if home else ""
    ca = environ.get("DRAGON_TLS_CA") or (local if os.path.exists(local) else "")
    if not ca and not environ.get("DRAGON_TLS_CERTFILE"):
        return plain
    import ssl  # noqa: PLC0415 - only where it is needed: it takes as long as all the rest

    context = ssl.create_default_context(cafile=ca or None)
    return context.wrap_socket(plain, server_hostname=name)


def _left(ends: float) -> float:
    if (left := ends - time.monotonic()) <= 0:
        raise TimeoutError
    return left


def _read(connection: socket.socket, ends: float) -> bytes:
    answer = b""
    while len(answer) < LARGEST:
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
        raise Unhealthy("what answers speaks no HTTP")
    if words[1] != b"200":
        text = body.decode("utf-8", "replace")[:SHOWN]
        said = "".join(c if c.isprintable() else " " for c in text)
        raise Unhealthy(f"{words[1].decode('ascii', 'replace')}: {said}")


def main() -> str:
    """Why it is not ready; nothing if it is."""
    try:
        check(sys.argv[1:], dict(os.environ))
    except TimeoutError:
        return f"no answer within {SECONDS} s"
    except (Unhealthy, OSError, ValueError) as error:
        return " ".join(str(error).split())
    return ""


if __name__ == "__main__":
    why = main()
    if why:
        print(why)  # noqa: T201
    sys.exit(1 if why else 0)
