"""Finding the error behind an error that libraries have wrapped, and saying it in words."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final, TypeVar

E = TypeVar("E", bound=BaseException)

# What the system says about a connection, by its error number.
NETWORK_FAULTS: Final[Mapping[int, str]] = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.ECONNRESET: "the connection was closed before the answer",
    errno.EPIPE: "the connection was closed before the answer",
    errno.ETIMEDOUT: "no answer in time",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.EADDRNOTAVAIL: "the address cannot be used",
    errno.EMFILE: "this process has too many open files",
    errno.ENFILE: "this machine has too many open files",
}
UPGRADE_LOST: Final = "upgrade"  # `reason` of an error: a proxy drops the header `Upgrade`
OTHER_FAULT: Final = "the connection failed"


def find_cause(error: BaseException, kind: type[E]) -> E | None:
    """Find the error of that kind that was wrapped as cause, context, `reason` or argument."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if isinstance(found, kind):
            return found
        if isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            waiting += [*found.args, getattr(found, "reason", None)]
            waiting += [found.__context__, found.__cause__]
    return None


def connection_fault(error: BaseException) -> str:
    """Return in words why a connection failed. It never quotes the text of a library."""
    found = find_cause(error, OSError)
    if found is not None and found.errno is not None and found.errno in NETWORK_FAULTS:
        return NETWORK_FAULTS[found.errno]
    if find_cause(error, ConnectionError) is not None:
        return NETWORK_FAULTS[errno.ECONNRESET]
    return OTHER_FAULT
