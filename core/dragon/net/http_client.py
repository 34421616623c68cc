"""JSON over HTTP to a peer that may be slow, wrong or hostile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import requests
from urllib3 import Timeout
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as LibraryTimeout

from dragon.encoding import Json, parse
from dragon.errors import BadAnswer, InvalidEncoding, Unreachable
from dragon.net import tls

MAX_RESPONSE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    body: bytes

    def json(self) -> Json:
        """Raises BadAnswer: the body is not strict JSON."""
        try:
            return parse(self.body)
        except InvalidEncoding as error:
            raise BadAnswer(f"the answer is not strict JSON: {error}") from None

    def successful(self) -> Json:
        """The body of a 2xx answer. Raises BadAnswer, in the problem's own words if any."""
        if 200 <= self.status < 300:
            return self.json()
        raise BadAnswer(f"answered {self.status}: {self.detail()}", status=self.status)

    def detail(self) -> str:
        """The problem's own words, fit to be shown."""
        try:
            problem = parse(self.body)
        except InvalidEncoding:
            return "no explanation"
        detail = problem.get("detail") if isinstance(problem, dict) else None
        return ascii(detail[:200])[1:-1] if isinstance(detail, str) else "no explanation"


class HttpClient:
    """One session, used with a total deadline and a largest answer for every call."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session

    def get(
        self,
        url: str,
        *,
        deadline: float,
        params: Mapping[str, str | int] | None = None,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> HttpResponse:
        """Raises Unreachable, BadAnswer (too large). `deadline` in seconds, for everything."""
        return self._call("GET", url, deadline, max_bytes, params=params)

    def post(
        self, url: str, body: Json, *, deadline: float, max_bytes: int = MAX_RESPONSE_BYTES
    ) -> HttpResponse:
        """Raises Unreachable, BadAnswer (too large)."""
        return self._call("POST", url, deadline, max_bytes, json=body)

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
    ) -> HttpResponse:
        """As `post`, with a body of bytes. Raises Unreachable, BadAnswer (too large)."""
        return self._call(
            method, url, deadline, max_bytes, data=body, headers=dict(headers or {}), params=params
        )

    def close(self) -> None:
        self._session.close()

    def _call(
        self, method: str, url: str, deadline: float, max_bytes: int, **options: Any
    ) -> HttpResponse:
        # requests passes a Timeout object on; its stubs know only numbers.
        timeout = cast("float", Timeout(total=deadline))
        try:
            with self._session.request(
                method, url, timeout=timeout, allow_redirects=False, stream=True, **options
            ) as response:
                return HttpResponse(response.status_code, _read(response.raw.read, max_bytes))
        except (requests.Timeout, LibraryTimeout):
            raise Unreachable("no answer in time", reason="timeout") from None
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            if (why := tls.tls_failure_reason(error)) is not None:
                raise Unreachable(f"no answer: {why}", reason="tls") from None
            kind = type(error).__name__
            raise Unreachable(f"no answer ({kind})", reason="unreachable") from None


def _read(read: Callable[[int], bytes], max_bytes: int) -> bytes:
    body = bytearray()
    while piece := read(min(16_384, max_bytes + 1 - len(body))):
        body += piece
        if len(body) > max_bytes:
            raise BadAnswer(f"the answer is larger than {max_bytes} bytes", reason="too_large")
    return bytes(body)
