"""Why an event is refused. Imports no database library: the audit of a log needs none."""

from __future__ import annotations

from dataclasses import dataclass

from dragon.errors import DragonError


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an event is refused."""

    name: str  # the error's
    detail: str

    @classmethod
    def of(cls, error: DragonError) -> Reason:
        """Return the reason that an error states."""
        return cls(error.name, str(error))
