"""How a message reaches a receiver: webhooks by the Standard Webhooks convention, and apprise."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from dragon.errors import BadAnswer, DragonError, PeerError
from dragon.net.http_client import HttpClient
from dragon_explorer.alerts.outbox import Message
from dragon_explorer.alerts.routes import APPRISE, PREFIX, Route

DEADLINE_SECONDS: Final = 15.0  # for one attempt
APPRISE_DEADLINE_SECONDS: Final = 60.0  # for one attempt; some services take several requests
MAX_ANSWER_BYTES: Final = 16 * 1024
MAX_RETRY_AFTER_SECONDS: Final = 3600
# Statuses that are about this message, so that another one may be accepted.
_REJECTED: Final = frozenset(range(400, 500)) - {401, 403, 404, 407, 408, 425, 429}
_GONE: Final = 410
RESOLVED: Final = "resolved"  # the last word of a message's type
INCOMPLETE: Final = "no complete answer: the connection was closed or lost"


class NotDelivered(DragonError):
    """The receiver did not accept the message."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of one attempt. No text in it comes from the receiver, which may echo secrets."""

    error: str = ""  # empty: the receiver has accepted the message
    retry_after: float | None = None  # seconds for which the receiver wants no further request
    is_rejected: bool = False  # the receiver refused this message, and may accept others
    is_final: bool = False  # another attempt makes no sense


class Channel(Protocol):
    """Sends messages to one receiver."""

    def send(self, message: Message) -> Attempt:
        """Make one attempt. Raises nothing that is to be expected."""
        ...


@dataclass(frozen=True)
class Webhook:
    """POSTs the body in JSON. Redirects are not followed."""

    route: Route = field(repr=False)
    http: HttpClient
    wall: Callable[[], float]
    deadline: float = DEADLINE_SECONDS

    def send(self, message: Message) -> Attempt:
        """Make one attempt; a status of 200 to 299 with a complete answer counts as accepted."""
        body = message.body.encode()
        try:
            response = self.http.send(
                "POST",
                self.route.url,
                deadline=self.deadline,
                body=body,
                headers=headers(message.id, int(self.wall()), body, self.route.secrets),
                max_bytes=MAX_ANSWER_BYTES,
            )
        except BadAnswer:
            return Attempt(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
        except PeerError as error:
            is_vague = error.facts.get("reason") == "unreachable"
            return Attempt(INCOMPLETE if is_vague else str(error))
        return judge(response.status, response.retry_after)


def judge(status: int, retry_after: int | None) -> Attempt:
    """Return what an HTTP status means for a delivery."""
    if 200 <= status < 300:
        return Attempt()
    error = f"answered {status}"
    if 300 <= status < 400:
        error += ": redirects are not followed; set the final URL"
    wait = None if retry_after is None else min(retry_after, MAX_RETRY_AFTER_SECONDS)
    return Attempt(error, wait, is_rejected=status in _REJECTED, is_final=status == _GONE)


def headers(
    message_id: str, timestamp: int, body: bytes, secrets: tuple[bytes, ...]
) -> dict[str, str]:
    """Return the headers of a webhook: its id, the time of the attempt, and signatures."""
    found = {
        "Content-Type": "application/json",
        "User-Agent": "DataDragon",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
    }
    if secrets:
        signatures = [signature(secret, message_id, timestamp, body) for secret in secrets]
        found["webhook-signature"] = " ".join(signatures)
    return found


def signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature `v1` of Standard Webhooks: HMAC-SHA256 of id, time and body."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def secret_text(secret: bytes) -> str:
    """Return a secret in the form that libraries for receivers take."""
    return PREFIX + base64.b64encode(secret).decode()


class AppriseChannel:
    """Sends title and text through apprise. An attempt that hangs is left behind on its thread."""

    def __init__(
        self,
        route: Route,
        load: Callable[[str], Any] = import_module,
        deadline: float = APPRISE_DEADLINE_SECONDS,
    ) -> None:
        self._route = route
        self._load = load
        self._deadline = deadline
        self._hanging: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"AppriseChannel({self._route.name})"

    def send(self, message: Message) -> Attempt:
        """Make one attempt within a deadline."""
        if self._hanging is not None and self._hanging.is_alive():
            return Attempt("the last attempt has not ended yet")
        outcome = [Attempt("no answer in time")]

        def attempt() -> None:
            outcome[0] = self._attempt(message)

        thread = threading.Thread(target=attempt, name="apprise", daemon=True)
        thread.start()
        thread.join(self._deadline)
        self._hanging = thread
        return outcome[0]

    def _attempt(self, message: Message) -> Attempt:
        try:
            apprise = self._load(APPRISE)
        except ImportError:
            return Attempt("apprise is not installed: `pip install 'datadragon[alerts]'`")
        try:
            # Its log would show addresses, and redirects would carry the message elsewhere.
            logging.getLogger(APPRISE).disabled = True
            asset = apprise.AppriseAsset(app_id="DataDragon", http_redirects=False)
            service = apprise.Apprise.instantiate(
                self._route.url, asset=asset, suppress_exceptions=True
            )
            if service is None:
                return Attempt("apprise does not know this URL; see its list of services")
            accepted = service.notify(
                title=message.title, body=message.text, notify_type=_notify_type(message.type)
            )
        except Exception:  # of a plugin; its text may contain the address
            return Attempt("apprise failed: its plugin for this URL has a fault")
        return Attempt() if accepted else Attempt("the service did not accept the message")


def _notify_type(kind: str) -> str:
    """Return apprise's name for the weight of a message, which services show by colour or sign."""
    if kind.endswith(f".{RESOLVED}"):
        return "success"
    return "warning" if "." in kind else "info"


def channel(
    route: Route, client: Callable[[Path | None], HttpClient], wall: Callable[[], float]
) -> Channel:
    """Make the channel of a route. Args: `client`, makes an HTTP client that trusts a CA file."""
    if route.type == APPRISE:
        return AppriseChannel(route)
    return Webhook(route, client(route.ca_file), wall)
