"""Client of one gateway, which is the HTTP interface of a node.

Every method returns within `seconds` or raises a subclass of `GatewayError`, for any response of
the gateway. Proofs are verified elsewhere: see `chain.read`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, cast
from urllib.parse import quote

import requests
from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from dragon.net import tls
from dragon_sequencer.chain import Page, decode_page
from dragon_sequencer.errors import AnswerMalformed, GatewayRefused, GatewayUnreachable
from dragon_sequencer.finality import Proof, decode_newest

MAX_ANSWER_BYTES: Final = 8 << 20  # answer of a gateway; a network with larger pages needs more
_READ_BYTES: Final = 1 << 16  # per read of the socket
_MAX_INTEGER_DIGITS: Final = 80  # keys in /node/state have up to 77
_CODE: Final = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
# Without compression, the limit on the answer also limits the memory.
_HEADERS: Final = {"Accept-Encoding": "identity"}


class Gateway:
    """A node at a base URL."""

    def __init__(
        self,
        url: str,
        session: requests.Session,
        monotonic: Callable[[], float],
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self.url = url.rstrip("/")
        self._max_answer_bytes = max_answer_bytes
        self._session = session
        self._monotonic = monotonic

    def page(self, app: str, after: int, *, seconds: float) -> Page | None:
        """The finalized batches after that index. Also raises MalformedPage, MalformedProof."""
        path = f"/node/{quote(app, safe='')}/batches/finalized?after={after}"
        data = self._ask("GET", path, seconds=seconds)
        return None if data is None else decode_page(data)

    def newest(self, app: str, *, seconds: float) -> Proof | None:
        """The unverified proof of the newest finalized batch. Also raises FinalityError."""
        path = f"/node/{quote(app, safe='')}/batches/finalized/last"
        data = self._ask("GET", path, seconds=seconds)
        return None if data is None else decode_newest(data, app=app)

    def finalized_index(self, app: str, *, seconds: float) -> int:
        """The newest index that the gateway claims to have; not proven."""
        data = self._ask("GET", "/node/state", seconds=seconds)
        try:
            index = data["apps"][app]["last_finalized_index"]  # type: ignore[index]
        except (TypeError, LookupError):
            raise AnswerMalformed(
                f"the node state does not list the app {app}", gateway=self.url
            ) from None
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise AnswerMalformed(
                "last_finalized_index must be an integer from 0", gateway=self.url
            )
        return index

    def submit(self, app: str, batch: str, *, seconds: float) -> None:
        """Submit a batch. The gateway accepted it, but it may never become final."""
        path = f"/node/{quote(app, safe='')}/batches"
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        self._ask("PUT", path, seconds=seconds, body=batch.encode(), headers=headers)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> object:
        """Send a request and return the member `data` of the answer. Redirects are not followed."""
        deadline = self._monotonic() + seconds
        try:
            with self._session.request(
                method,
                self.url + path,
                data=body,
                headers={**_HEADERS, **(headers or {})},
                timeout=cast("float", Timeout(total=seconds)),
                stream=True,
                allow_redirects=False,
            ) as response:
                return _data(response.status_code, self._read(response, deadline))
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            reason = tls.tls_failure_reason(error) or type(error).__name__
            message = f"no answer from {self.url}: {reason}"
            raise GatewayUnreachable(message, gateway=self.url) from error

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        # The timeout of a usual session bounds each read, so a peer that sends byte by byte must be
        # stopped here. While it sends headers, the core's session does that.
        pieces, size = [], 0
        while piece := response.raw.read1(_READ_BYTES, decode_content=False):
            pieces.append(piece)
            size += len(piece)
            if size > self._max_answer_bytes:
                message = f"the answer exceeds {self._max_answer_bytes} bytes"
                raise AnswerMalformed(message, gateway=self.url)
            if self._monotonic() > deadline:
                raise GatewayUnreachable("the answer was not complete in time", gateway=self.url)
        return b"".join(pieces)


def _data(status: int, raw: bytes) -> object:
    """The member `data` of a successful answer. Errors are classified by code, then by status."""
    answer = _parse(raw)
    if answer.get("status") == "success" and "data" in answer and status == 200:
        return answer["data"]
    code = _code(answer.get("error"))
    if code or status >= 400:
        raise GatewayRefused(status=status, code=code)
    raise AnswerMalformed(
        f"an answer with status {status} that is not in the node's format", status=status
    )


def _code(error: object) -> str:
    """The error's code if it is one word, otherwise an empty string: it goes into logs."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _parse(raw: bytes) -> dict[str, Any]:
    """The JSON object, or an empty one if the body is anything else."""
    try:
        value = json.loads(raw, parse_int=_integer, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _integer(text: str) -> int:
    # Check the length first: to convert a million digits takes minutes.
    return int(text) if len(text) <= _MAX_INTEGER_DIGITS else _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text[:32]} is not a valid number")
