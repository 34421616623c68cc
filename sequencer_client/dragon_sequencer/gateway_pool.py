"""The gateways to a network, and the timeouts of a client."""

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
class Timeouts:
    """How long a client waits, in seconds."""

    request_seconds: float = 5.0  # one whole request; a node may delay an empty read by 1 s
    send_seconds: float = 30.0  # one `send`, including retries
    retry_seconds: float = 1.0  # pause after every gateway failed
    poll_seconds: float = 0.25  # pause after a read without new batches
    slow_seconds: float = 2.0  # after an answer that took longer, the next gateway is asked
    compare_seconds: float = 5.0  # between comparisons with the other gateways
    state_request_seconds: float = 1.0  # one request of such a comparison
    rewound_seconds: float = 15.0  # until a ledger that is behind the reader counts as rewound


class GatewayPool:
    """The gateways in a circle, and the current one. Belongs to one reader or one sender."""

    def __init__(self, gateways: Sequence[Gateway], start: int = 0) -> None:
        self.all = tuple(gateways)
        self._at = start

    @classmethod
    def of_urls(
        cls,
        urls: Sequence[str],
        session: requests.Session,
        monotonic: Callable[[], float],
        rng: random.Random,
        max_answer_bytes: int,
    ) -> Self:
        """One gateway for each distinct URL. A random first one spreads clients over the nodes."""
        distinct = dict.fromkeys(url.rstrip("/") for url in urls)
        gateways = [
            Gateway(url, session, monotonic, max_answer_bytes=max_answer_bytes) for url in distinct
        ]
        return cls(gateways, rng.randrange(len(gateways)))

    @property
    def current(self) -> Gateway:
        return self.all[self._at]

    def circle(self) -> tuple[Gateway, ...]:
        """All gateways, starting with the current one."""
        return self.all[self._at :] + self.all[: self._at]

    def use(self, gateway: Gateway) -> None:
        """Make this gateway the current one."""
        self._at = self.all.index(gateway)

    def leave(self, gateway: Gateway, reason: str) -> None:
        """Make the gateway after this one the current one, and log the reason."""
        self._at = (self.all.index(gateway) + 1) % len(self.all)
        _log.warning("gateway_left", gateway=gateway.url, reason=reason)
