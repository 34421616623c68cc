"""A service as its `main` builds it: its app, and its background loops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from flask import Flask

from dragon.errors import DiskError, InUse, LogDamaged
from dragon.node import log_format
from dragon.node.lanes import Lane

Loop = Callable[[threading.Event], None]
LOOP_JOIN_SECONDS: Final = 1  # for the background loops to end

logger = log_format.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """A service as `build` returns it: its app, and loops that run until the service stops.

    `lanes`: kinds of requests that have threads of their own.
    """

    app: Flask
    loops: Sequence[Loop] = ()
    close: Callable[[], None] = field(default=lambda: None)
    lanes: Sequence[Lane] = ()


def _ignore(_: InUse) -> None:
    """Do nothing, for services whose loops never raise this."""


class Loops:
    """The background loops of a service, each on a thread of its own."""

    def __init__(self, loops: Sequence[Loop], on_in_use: Callable[[InUse], None] = _ignore) -> None:
        """Args: `on_in_use`, called with the error of a loop that must end the service."""
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=_guarded(loop, on_in_use),
                args=(self._stop,),
                name=f"loop-{number}",
                daemon=True,
            )
            for number, loop in enumerate(loops)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Tell the loops to end, without waiting for them."""
        self._stop.set()

    def join(self) -> None:
        """Wait up to `LOOP_JOIN_SECONDS` for the loops to end."""
        ends = time.monotonic() + LOOP_JOIN_SECONDS
        for thread in self._threads:
            thread.join(timeout=max(0.0, ends - time.monotonic()))


def _guarded(loop: Loop, on_in_use: Callable[[InUse], None]) -> Loop:
    """Wrap a loop so that an exception is logged and the loop restarts after a second."""

    def run(stop: threading.Event) -> None:
        damage = ""
        while not stop.is_set():
            try:
                loop(stop)
                return
            except InUse as error:
                on_in_use(error)
                return
            except DiskError:
                stop.wait(1)  # `Disk` logs it, once a minute
            except LogDamaged as error:
                if str(error) != damage:
                    damage = str(error)
                    logger.error("log_damaged", detail=damage)
                stop.wait(1)
            except Exception:
                logger.exception("loop_failed")
                stop.wait(1)

    return run


def bind_of(host: str, port: int) -> str:
    """Return the address with its port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
