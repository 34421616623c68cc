"""HTTP requests to peers that may be slow, faulty or hostile.

Every request has one deadline for the whole exchange and a maximum size of the response.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, Self, cast

import requests
from urllib3 import Timeout
from urllib3.exceptions import HTTPError, LocationParseError, ProtocolError
from urllib3.exceptions import TimeoutError as LibraryTimeout

from dragon.encoding import Json, parse
from dragon.errors import BadAnswer, InvalidEncoding, Unreachable
from dragon.net import tls
from dragon.net.causes import OTHER_FAULT, connection_fault, find_cause
from dragon.net.connecting import AddressRefused
from dragon.net.kept_connections import KeptConnections, Message
from dragon.net.name_lookup import lookup_failure_reason
from dragon.net.session import KeepingAdapter, make_session

MAX_RESPONSE_BYTES: Final = 64 * 1024
MAX_QUOTED_CHARS: Final = 200  # of a peer's explanation
READ_BYTES: Final = 16_384
PRIVATE_ADDRESS: Final = "private_address"  # why a look was refused: see `address_rules`
MAX_RETRY_AFTER_SECONDS: Final = 3600  # a longer wait is shortened to this
_RETRY_AFTER_DIGITS: Final = 9
_JSON: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
_INVALID_URL: Final = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    LocationParseError,
)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The status and the body of a response."""

    status: int
    body: bytes
    retry_after: int | None = None  # the header `Retry-After`, in seconds
    certificate_expires: int | None = None  # of the peer's TLS certificate, in Unix seconds
    location: str | None = None  # the header `Location`

    def json(self) -> Json:
        """Decode the body. Raises BadAnswer: it is not strict JSON."""
        try:
            return parse(self.body)
        except InvalidEncoding as error:
            raise BadAnswer(f"the answer is not strict JSON: {error}") from None

    def successful(self) -> Json:
        """Decode the body of a 2xx response.

        Raises:
            BadAnswer: another status, with the peer's explanation; or the body is not strict JSON.
        """
        if 200 <= self.status < 300:
            return self.json()
        wait = {} if self.retry_after is None else {"retry_after": self.retry_after}
        raise BadAnswer(f"answered {self.status}: {self.detail()}", status=self.status, **wait)

    def problem(self) -> Mapping[str, Json]:
        """Decode the members of a problem document; empty if the body is none."""
        try:
            problem = parse(self.body)
        except InvalidEncoding:
            return {}
        return problem if isinstance(problem, dict) else {}

    def detail(self, default: str = "no explanation") -> str:
        """Return the `detail` of a problem document, safe to display, or `default`."""
        detail = self.problem().get("detail")
        return quoted(detail) if isinstance(detail, str) else default


def retry_after(header: str | None) -> int | None:
    """Return the seconds of a `Retry-After` header, at most an hour; None for anything else."""
    text = (header or "").strip()
    if not text.isascii() or not text.isdigit() or len(text) > _RETRY_AFTER_DIGITS:
        return None
    return min(int(text), MAX_RETRY_AFTER_SECONDS)


def quoted(text: str) -> str:
    """Shorten a peer's text and escape it to ASCII, so that it can be stored and displayed."""
    return ascii(text[:MAX_QUOTED_CHARS])[1:-1]


class HttpClient:
    """Sends requests through one session, each with a deadline and a maximum response size.

    `deadline` is in seconds and covers everything: connecting, the TLS handshake, the request and
    the response. Every request raises:

        Unreachable: no response in time; `reason` is `timeout`, `no_such_name` or `dns` (see
            `dragon.net.name_lookup`), `tls`, `refused` (a closed port), `private_address` (the
            session may not connect to those of the host) or `unreachable`.
        BadAnswer: the body has more than `max_bytes` bytes.
    """

    def __init__(self, session: requests.Session) -> None:
        self._session = session

    @classmethod
    def create(cls, ca: Path | None = None) -> Self:
        """Create a client with its own session.

        Args:
            ca: file with the certificate authorities to trust over https; None for the system's.

        Raises SettingsError: `ca` cannot be used.
        """
        return cls(make_session(ca))

    def get(
        self,
        url: str,
        *,
        deadline: float,
        params: Mapping[str, str | int] | None = None,
        max_bytes: int = MAX_RESPONSE_BYTES,
        keep: bool = False,
    ) -> HttpResponse:
        """`keep`: as for `send`."""
        return self.send(
            "GET", url, deadline=deadline, params=params, max_bytes=max_bytes, keep=keep
        )

    def post(
        self,
        url: str,
        body: Json,
        *,
        deadline: float,
        max_bytes: int = MAX_RESPONSE_BYTES,
        keep: bool = False,
    ) -> HttpResponse:
        """Send a JSON body. `keep`: as for `send`."""
        return self.send(
            "POST",
            url,
            deadline=deadline,
            body=json.dumps(body, allow_nan=False, separators=(",", ":")).encode(),
            headers=_JSON,
            max_bytes=max_bytes,
            keep=keep,
        )

    def send(
        self,
        method: str,
        url: str,
        *,
        deadline: float,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
        max_bytes: int = MAX_RESPONSE_BYTES,
        cut: bool = False,
        keep: bool = False,
    ) -> HttpResponse:
        """Send a body of bytes.

        Args:
            cut: read the first `max_bytes` of a larger response, instead of raising BadAnswer.
            keep: use a kept connection, and keep it. Only for requests that may be sent twice.
        """
        try:
            adapter = self._session.get_adapter(url) if keep else None
            if isinstance(adapter, KeepingAdapter):
                sent = None if method == "GET" else body
                message = Message.of(method, url, body=sent, headers=headers, params=params)
                return _exchange(adapter.kept, message, deadline, max_bytes, cut=cut)
            # requests passes a Timeout object on to urllib3; its type stubs only allow numbers.
            timeout = cast("float", Timeout(total=deadline))
            return self._request(
                method,
                url,
                max_bytes,
                cut=cut,
                data=body,
                headers=dict(headers or {}),
                params=params,
                timeout=timeout,
            )
        except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            raise unreachable(error) from None

    def _request(
        self, method: str, url: str, max_bytes: int, *, cut: bool, **options: Any
    ) -> HttpResponse:
        """Send a request on a new connection."""
        with self._session.request(
            method, url, allow_redirects=False, stream=True, **options
        ) as response:
            # The connection belongs to the response only until its body is read.
            connection = getattr(response.raw, "connection", None)
            expires = getattr(connection, "certificate_expires", None)
            body = _read(response.raw.read, max_bytes, cut=cut)
            return _response(response.status_code, body, response.headers.get, expires)

    def close(self) -> None:
        self._session.close()


def _exchange(
    kept: KeptConnections, message: Message, deadline: float, max_bytes: int, *, cut: bool
) -> HttpResponse:
    with kept.exchange(message, deadline) as response:
        body = _read(response.read, max_bytes, cut=cut)
        return _response(response.status, body, response.headers.get)


def _response(
    status: int,
    body: bytes,
    header: Callable[[str], str | None],
    certificate_expires: int | None = None,
) -> HttpResponse:
    later, location = retry_after(header("Retry-After")), header("Location")
    return HttpResponse(status, body, later, certificate_expires, location)


def unreachable(error: Exception) -> Unreachable:
    """Return in words why an exchange failed. It never quotes the text of a library.

    Args: `error`, of `requests`, `urllib3` or the system.
    """
    if isinstance(error, requests.Timeout | LibraryTimeout | TimeoutError):
        return Unreachable("no answer in time", reason="timeout")
    if (why := tls.tls_failure_reason(error)) is not None:
        return Unreachable(f"no answer: {why}", reason="tls")
    if (reason := lookup_failure_reason(error)) is not None:
        what = "does not exist" if reason == "no_such_name" else "could not be looked up"
        return Unreachable(f"no answer: the host name {what}", reason=reason)
    if find_cause(error, AddressRefused) is not None:
        return Unreachable("no answer: the host has private addresses", reason=PRIVATE_ADDRESS)
    if find_cause(error, ConnectionRefusedError) is not None:
        return Unreachable("no answer: the connection was refused", reason="refused")
    return Unreachable(f"no answer: {_fault(error)}", reason="unreachable")


def _fault(error: Exception) -> str:
    if isinstance(error, _INVALID_URL):
        return "the address is not a valid http:// or https:// URL"
    fault = connection_fault(error)
    # The connection works, and what came is not what the library expects.
    not_http = find_cause(error, HTTPException) or find_cause(error, ProtocolError)
    return "the answer is not valid HTTP" if fault == OTHER_FAULT and not_http else fault


def _read(read: Callable[[int], bytes], max_bytes: int, *, cut: bool) -> bytes:
    body, limit = bytearray(), max_bytes if cut else max_bytes + 1
    while piece := read(min(READ_BYTES, limit - len(body))):
        body += piece
        if len(body) > max_bytes:
            raise BadAnswer(f"the answer has more than {max_bytes} bytes", reason="too_large")
        if len(body) == limit:
            break
    return bytes(body)
