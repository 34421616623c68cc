"""One gateway: a node's HTTP interface, with deadlines, and nothing believed.

Every method answers within `seconds`, or raises a leaf of `GatewayError`; nothing that a gateway
sends raises anything else. What it says about content is checked elsewhere.
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

MAX_ANSWER_BYTES: Final = 8 << 20  # by default; a network with larger pages needs more
_PIECE: Final = 1 << 16
_LONGEST_INTEGER: Final = 80  # digits; keys in /node/state have up to 77
_CODE: Final = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
# No compression: the limit above then limits what is held in memory.
_HEADERS: Final = {"Accept-Encoding": "identity"}


class Gateway:
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
        """The finalized batches behind `after`. Raises MalformedPage, MalformedProof as well."""
        path = f"/node/{quote(app, safe='')}/batches/finalized?after={after}"
        data = self._ask("GET", path, seconds=seconds)
        return None if data is None else decode_page(data)

    def newest(self, app: str, *, seconds: float) -> Proof | None:
        """The proof of the newest finalized batch. Raises a FinalityError if it is malformed."""
        path = f"/node/{quote(app, safe='')}/batches/finalized/last"
        data = self._ask("GET", path, seconds=seconds)
        return None if data is None else decode_newest(data, app=app)

    def finalized_index(self, app: str, *, seconds: float) -> int:
        """How far the gateway says it is. Hearsay: a reason to look elsewhere, no more."""
        data = self._ask("GET", "/node/state", seconds=seconds)
        try:
            index = data["apps"][app]["last_finalized_index"]  # type: ignore[index]
        except (TypeError, LookupError):
            raise AnswerMalformed("the state does not mention the app", gateway=self.url) from None
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise AnswerMalformed("an index is an integer from 0", gateway=self.url)
        return index

    def submit(self, app: str, batch: str, *, seconds: float) -> None:
        """Hand in a batch. That it was taken is no promise that it will be finalized."""
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
        """The answer's `data`. No redirects are followed."""
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
            why = tls.tls_failure_reason(error) or type(error).__name__
            message = f"no answer from {self.url}: {why}"
            raise GatewayUnreachable(message, gateway=self.url) from error

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        # An ordinary session's timeout bounds one read of the socket; a peer that sends byte by
        # byte is stopped here. (While it sends headers, the core's session does that.)
        pieces, size = [], 0
        while piece := response.raw.read1(_PIECE, decode_content=False):
            pieces.append(piece)
            size += len(piece)
            if size > self._max_answer_bytes:
                message = f"more than {self._max_answer_bytes} bytes"
                raise AnswerMalformed(message, gateway=self.url)
            if self._monotonic() > deadline:
                raise GatewayUnreachable("the answer did not end in time", gateway=self.url)
        return b"".join(pieces)


def _data(status: int, raw: bytes) -> object:
    """Take the envelope off. An error's code is what counts, whatever its status."""
    answer = _parse(raw)
    if answer.get("status") == "success" and "data" in answer and status == 200:
        return answer["data"]
    code = _code(answer.get("error"))
    if code or status >= 400:
        raise GatewayRefused(status=status, code=code)
    raise AnswerMalformed(f"an answer of status {status} in another form", status=status)


def _code(error: object) -> str:
    """The error's code, or nothing: it goes into logs, so it may only be a word."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _parse(raw: bytes) -> dict[str, Any]:
    """The JSON object, or an empty one: an error's body may be anything."""
    try:
        value = json.loads(raw, parse_int=_integer, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _integer(text: str) -> int:
    # The length first: turning a million digits into an integer takes minutes.
    return int(text) if len(text) <= _LONGEST_INTEGER else _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text[:32]} is no number of this interface")
