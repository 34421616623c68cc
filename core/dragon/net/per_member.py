"""Things that exist once for each member of the committee, such as threads that ask it.

A handover changes who is a member, so they are made when they are first needed, and end when a
later committee does not list their member.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Generic, TypeVar

T = TypeVar("T")


class PerMember(Generic[T]):
    """One thing for each member, by id. Any thread may use it."""

    def __init__(self, make: Callable[[str], T], end: Callable[[T], None]) -> None:
        """Args: `make`, creates the thing of a member; `end`, ends one that is needed no more."""
        self._make = make
        self._end = end
        self._lock = threading.Lock()
        self._made: dict[str, T] = {}

    def of(self, member: str) -> T:
        """Return the thing of a member."""
        with self._lock:
            if member not in self._made:
                self._made[member] = self._make(member)
            return self._made[member]

    def keep(self, members: Collection[str]) -> None:
        """End the things of all others."""
        with self._lock:
            gone = [self._made.pop(each) for each in list(self._made) if each not in members]
        for each in gone:
            self._end(each)

    def close(self) -> None:
        """End all."""
        self.keep(())
