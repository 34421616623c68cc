"""Live events of streams, sent to every WebSocket that listens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dragon.node.websocket import Connection


class Events:
    """The listeners of each stream."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the next line
        self._listeners: dict[bytes, set[Connection]] = {}

    def publish(self, stream: bytes, kind: str, **facts: object) -> None:
        """Send `{"type": kind, **facts}` to the stream's listeners, without waiting for them."""
        with self._lock:
            listeners = list(self._listeners.get(stream, ()))
        if listeners:
            message = message_of(kind, **facts)
            for connection in listeners:
                connection.send(message)

    @contextmanager
    def subscribed(self, stream: bytes, connection: Connection) -> Iterator[None]:
        """Send the stream's events to `connection` while the context is open."""
        with self._lock:
            self._listeners.setdefault(stream, set()).add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._listeners[stream].discard(connection)
                if not self._listeners[stream]:
                    del self._listeners[stream]


def message_of(kind: str, **facts: object) -> str:
    """The message of one event."""
    return json.dumps({"type": kind, **facts})
