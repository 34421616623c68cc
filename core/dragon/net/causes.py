"""Finding the error behind an error that libraries have wrapped."""

from __future__ import annotations

from typing import TypeVar

E = TypeVar("E", bound=BaseException)


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
