"""Whether somebody looks at live data. Services are read less often while nobody does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

PRESENT_SECONDS: Final = 20.0  # after a request; an open page sends one every 2 s


@dataclass
class Audience:
    """Notes requests for live data. Any thread may use it.

    `monotonic` is a clock in seconds.
    """

    monotonic: Callable[[], float]
    _noted_at: float | None = None

    def note(self) -> None:
        """Note a request for live data."""
        self._noted_at = self.monotonic()

    def is_present(self) -> bool:
        """Whether live data was requested within the last `PRESENT_SECONDS`."""
        at = self._noted_at
        return at is not None and self.monotonic() - at <= PRESENT_SECONDS
