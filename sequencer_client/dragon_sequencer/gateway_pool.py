"""Several gateways to one network, and how long to wait for them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import requests
import structlog

from dragon_sequencer.gateway import Gateway

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the client waits for what, in seconds."""

    request_seconds: float = 5.0  # one request, all of it; a node may hold an empty read for 1 s
    send_seconds: float = 30.0  # one `send`, retries included
    retry_pause: float = 1.0  # after every gateway has failed
    poll_pause: float = 0.25  # after a read that brought nothing
    compare_every: float = 5.0  # between looks at how far the other gateways are
    glance_seconds: float = 1.0  # for each of them to say so
    rewound_after: float = 15.0  # every gateway behind us for so long: the ledger was set back


class Gateways:
    """The gateways in a circle, and the one in use. Owned by one reader or one sender."""

    def __init__(self, gateways: Sequence[Gateway], start: int = 0) -> None:
        self.all = tuple(gateways)
        self._at = start

    @classmethod
    def at(
        cls,
        urls: Sequence[str],
        session: requests.Session,
        monotonic: Callable[[], float],
        rng: random.Random,
        max_answer_bytes: int,
    ) -> Self:
        """Each place once. Clients begin at different ones, so that no node has them all."""
        distinct = dict.fromkeys(url.rstrip("/") for url in urls)
        gateways = [
            Gateway(url, session, monotonic, max_answer_bytes=max_answer_bytes) for url in distinct
        ]
        return cls(gateways, rng.randrange(len(gateways)))

    @property
    def current(self) -> Gateway:
        return self.all[self._at]

    def circle(self) -> tuple[Gateway, ...]:
        """All of them once, beginning with the current one."""
        return self.all[self._at :] + self.all[: self._at]

    def use(self, gateway: Gateway) -> None:
        self._at = self.all.index(gateway)

    def leave(self, gateway: Gateway, reason: str) -> None:
        """Go on to the one behind `gateway`."""
        self._at = (self.all.index(gateway) + 1) % len(self.all)
        _log.warning("gateway_left", gateway=gateway.url, reason=reason)
