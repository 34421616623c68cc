"""What happens to streams, told live to whoever listens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dragon.node.websocket import Connection


class Events:
    """Who listens to which stream. Telling never waits for anybody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the next line
        self._listeners: dict[bytes, set[Connection]] = {}

    def tell(self, stream: bytes, kind: str, **facts: object) -> None:
        with self._lock:
            listening = list(self._listeners.get(stream, ()))
        if listening:
            message = json.dumps({"type": kind, **facts})
            for connection in listening:
                connection.send(message)

    @contextmanager
    def listening(self, stream: bytes, connection: Connection) -> Iterator[None]:
        with self._lock:
            self._listeners.setdefault(stream, set()).add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._listeners[stream].discard(connection)
                if not self._listeners[stream]:
                    del self._listeners[stream]
