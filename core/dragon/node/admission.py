"""Admission of requests: WSGI middleware that limits the processor time of clients.

Members of the committee have shares of their own, so that no stranger can use what they need. Their
probes are always admitted. Probes and health checks by others are limited for each address only, so
that strangers cannot make an aggregator believe that a node is down, even where the aggregator's
address is not known. So are beats of targets, which may come from any address; what the signatures
of unknown senders cost has a limit of its own (`dragon.node.beat_verifier`).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from flask import Flask
from prometheus_client import Counter

from dragon.errors import RateLimited
from dragon.node import problems
from dragon.node.addresses import (
    BelievedProxies,
    MemberAddresses,
    Network,
    WsgiApp,
    believed_address,
    client_key,
    is_within,
    parse_address,
)
from dragon.node.rate_limits import ProcessorShare, Rate

PROBES: Final = frozenset(("/status", "/healthz", "/readyz"))
BEATS_PATH: Final = "/beats"
_EXTENSION: Final = "dragon.clients"  # of the app
IS_MEMBER: Final = "dragon.is_member"  # in the environment: whether a member sent the request
COST_MS: Final = "dragon.cost_ms"  # in the environment: milliseconds of work in other processes
# Processor time, in milliseconds at once and in milliseconds for each second.
STRANGER_BURST_MS: Final = 400.0  # at once, for one address outside the committee
STRANGER_MS_PER_SECOND: Final = 50.0  # for one address outside the committee
STRANGERS_BURST_MS: Final = 2000.0  # at once, for all addresses outside the committee together
STRANGERS_MS_PER_SECOND: Final = 200.0  # for all addresses outside the committee together
SUBMITTER_BURST_MS: Final = 2000.0  # at once, for one address that submits windows and objects
SUBMITTER_MS_PER_SECOND: Final = 100.0  # for one address that submits windows and objects
SUBMITTERS_BURST_MS: Final = 4000.0  # at once, for all addresses that submit together
SUBMITTERS_MS_PER_SECOND: Final = 200.0  # for all addresses that submit together
BEATS_BURST_MS: Final = 400.0  # at once, for beats of targets from one address
BEATS_MS_PER_SECOND: Final = 50.0  # for beats of targets from one address
PROBER_BURST_MS: Final = 1000.0  # at once, for probes and health checks of one other address
PROBER_MS_PER_SECOND: Final = 200.0  # for probes and health checks of one other address
MEMBER_BURST_MS: Final = 10_000.0  # at once, for one address of a member or a known client
MEMBER_MS_PER_SECOND: Final = 1000.0  # for one address of a member or a known client

STRANGER: Final = Rate(STRANGER_BURST_MS, STRANGER_MS_PER_SECOND)
STRANGERS_IN_ALL: Final = Rate(STRANGERS_BURST_MS, STRANGERS_MS_PER_SECOND)
SUBMITTER: Final = Rate(SUBMITTER_BURST_MS, SUBMITTER_MS_PER_SECOND)
SUBMITTERS_IN_ALL: Final = Rate(SUBMITTERS_BURST_MS, SUBMITTERS_MS_PER_SECOND)
BEATS: Final = Rate(BEATS_BURST_MS, BEATS_MS_PER_SECOND)
PROBER: Final = Rate(PROBER_BURST_MS, PROBER_MS_PER_SECOND)
MEMBER: Final = Rate(MEMBER_BURST_MS, MEMBER_MS_PER_SECOND)

Environ: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Client:
    """Whose capacity a client uses.

    Args:
        share: its address, or its network, with which it shares capacity.
        is_member: whether the capacity of members and known clients is open to it.
    """

    share: str
    is_member: bool


@dataclass(frozen=True, slots=True)
class Clients:
    """Who a service's clients are, and the clocks that their use is measured with."""

    members: MemberAddresses = field(default_factory=lambda: MemberAddresses(()))
    proxies: Collection[Network] = ()
    monotonic: Callable[[], float] = time.monotonic
    processor_seconds: Callable[[], float] = time.thread_time  # of the current thread

    def identify(self, peer: str, forwarded: str = "") -> Client:
        """Say whose capacity a client uses.

        Args:
            peer: the address of the connection.
            forwarded: the value of `X-Forwarded-For`, which counts behind believed proxies.
        """
        address = believed_address(peer, forwarded, self.proxies)
        return Client(client_key(address), address in self.members)

    def is_proxy(self, peer: str) -> bool:
        """Whether `X-Forwarded-For` of a peer is believed."""
        return is_within(parse_address(peer), self.proxies)


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Requests of a service that are limited in another way.

    Args:
        is_owner: whether a request has a valid token. It is not limited here.
        is_submission: whether a request submits what a stream has signed. Submissions have a share
            of their own, so that strangers who read cannot delay them.
        is_socket: whether a request opens a WebSocket. Only its handshake is charged.
    """

    is_owner: Callable[[Environ], bool] = lambda _: False
    is_submission: Callable[[Environ], bool] = lambda _: False
    is_socket: Callable[[Environ], bool] = lambda _: False


NO_EXCEPTIONS: Final = Exceptions()


class Admission:
    """WSGI middleware that admits a request, or answers it with HTTP 429 and `Retry-After`."""

    def __init__(self, app: WsgiApp, clients: Clients, exceptions: Exceptions) -> None:
        self._app = app
        self._clients = clients
        self._exceptions = exceptions
        clock = clients.monotonic
        self._strangers = ProcessorShare("strangers", STRANGER, STRANGERS_IN_ALL, clock)
        self._probers = ProcessorShare("probers", PROBER, None, clock)
        self._submitters = ProcessorShare("submitters", SUBMITTER, SUBMITTERS_IN_ALL, clock)
        self._beats = ProcessorShare("beats", BEATS, None, clock)
        self._members = ProcessorShare("members", MEMBER, None, clock)
        self.refused = Counter(
            "datadragon_rate_limited_requests",
            "Requests that were refused because their share of processor time was used up.",
            ["share"],
            registry=None,
        )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        environ[IS_MEMBER] = environ.get("REMOTE_ADDR", "") in self._clients.members
        if (share := self._share(environ)) is None:
            return self._app(environ, start_response)
        try:
            buckets = share.admit(client_key(environ.get("REMOTE_ADDR", "")))
        except RateLimited as error:
            self.refused.labels(share.name).inc()
            return problems.problem(error, uuid.uuid4().hex)(environ, start_response)
        clock = self._clients.processor_seconds
        begun = clock()
        try:
            return self._app(environ, start_response)
        finally:
            # A socket's thread works as long as the socket is open, which has limits of its own.
            used = 0.0 if self._exceptions.is_socket(environ) else clock() - begun
            share.settle(buckets, 1000 * used + environ.get(COST_MS, 0.0))

    def _share(self, environ: Environ) -> ProcessorShare | None:
        """The share that a request uses; None if it is not limited."""
        is_member = is_from_member(environ)
        if environ.get("PATH_INFO") in PROBES:
            return None if is_member else self._probers
        if "HTTP_AUTHORIZATION" in environ and self._exceptions.is_owner(environ):
            return None
        if is_member:
            return self._members
        if environ.get("PATH_INFO") == BEATS_PATH:
            return self._beats
        return self._submitters if self._exceptions.is_submission(environ) else self._strangers


def is_from_member(environ: Environ) -> bool:
    """Whether a request that was admitted comes from a member or a known client."""
    return bool(environ.get(IS_MEMBER, False))


def clients_of(app: Flask) -> Clients:
    """Who the clients of an app are; without admission, all are strangers."""
    found: Clients = app.extensions.get(_EXTENSION) or Clients()
    return found


def install(app: Flask, clients: Clients, exceptions: Exceptions) -> Counter:
    """Put the admission of requests, and the believed proxies, before an app.

    Returns the counter of refused requests.
    """
    app.extensions[_EXTENSION] = clients
    admission = Admission(app.wsgi_app, clients, exceptions)
    app.wsgi_app = admission  # type: ignore[method-assign]
    if clients.proxies:
        app.wsgi_app = BelievedProxies(admission, clients.proxies)  # type: ignore[method-assign]
    return admission.refused
