"""Which streams are known: their windows come before those of new streams, which anyone can make.

A stream is known if the log has a valid window of it. If a service lists the streams that it
accepts, these are known from the beginning.
"""

from __future__ import annotations

from collections.abc import Collection

from dragon.encoding import to_hex
from dragon.errors import NotListed
from dragon.log.store import Log


class KnownStreams:
    """Tells known streams from new ones, by the log and by a list."""

    def __init__(self, log: Log, listed: Collection[bytes] | None) -> None:
        """`listed`: the ids of the only accepted streams; None: every stream is accepted."""
        self._log = log
        self._listed = listed

    def check_listed(self, stream: bytes) -> None:
        """Refuse a stream that is not listed. Raises NotListed."""
        if self._listed is not None and stream not in self._listed:
            message = f"this service accepts listed streams only; {to_hex(stream)} is not listed"
            raise NotListed(message)

    def is_known(self, stream: bytes) -> bool:
        """Return whether the stream is listed, or has a certified window in the log."""
        return self._listed is not None or self._log.state.stream(stream).windows > 0
