"""Signals that end a command which otherwise goes on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def stop_signals() -> Iterator[Callable[[float], bool]]:
    """Return what waits for seconds, and returns True after SIGTERM, SIGINT or SIGHUP."""
    stop = threading.Event()
    former = {each: signal.signal(each, lambda *_: stop.set()) for each in STOPPING}
    try:
        yield stop.wait
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)
