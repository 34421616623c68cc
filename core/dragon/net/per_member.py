"""Things that exist once for each member of the committee, such as threads that ask it.

A handover changes who is a member, so they are made when they are first needed, and end when a
later committee does not list their member.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class PerMember(Generic[T]):
    """One thing for each member, by id. Any thread may use it."""

    def __init__(self, make: Callable[[str], T], end: Callable[[T], None]) -> None:
        """Args: `make`, creates the thing of a member; `end`, ends one that is needed no more."""
        self._make = make
        self._end = end
        # Reentrant: an executor may run the work within `submit`.
        self._lock = threading.RLock()
        self._made: dict[str, T] = {}

    def use(self, member: str, do: Callable[[T], R]) -> R:
        """Return what `do` returns for the thing of a member. It is not ended meanwhile.

        `do` must return at once, such as `submit` of an executor does.
        """
        with self._lock:
            if member not in self._made:
                self._made[member] = self._make(member)
            return do(self._made[member])

    def keep(self, members: Collection[str]) -> None:
        """End the things of all others."""
        with self._lock:
            for each in [each for each in self._made if each not in members]:
                self._end(self._made.pop(each))

    def close(self) -> None:
        """End all."""
        self.keep(())
