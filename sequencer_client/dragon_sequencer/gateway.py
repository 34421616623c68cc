"""Client of one gateway, which is the HTTP interface of a node.

Every method returns within `seconds` or raises a subclass of `GatewayError`, for any response of
the gateway. Proofs are verified elsewhere: see `chain.read`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.client import HTTPException
from itertools import repeat
from typing import Final, TypeAlias, TypeVar, cast
from urllib.parse import quote

import requests
from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from dragon.net.http_client import unreachable
from dragon.net.kept_connections import Message
from dragon.net.session import KeepingAdapter
from dragon_sequencer.errors import AnswerMalformed, GatewayRefused, GatewayUnreachable
from dragon_sequencer.finality import Proof, decode_newest
from dragon_sequencer.json_stream import JsonFault, JsonStream
from dragon_sequencer.page import MAX_KEPT_BYTES, Page, decode_page

T = TypeVar("T")
# Decodes `data` at the beginning of a stream; returns it, and whether it was read to its end.
Decoder: TypeAlias = Callable[[JsonStream], tuple[T, bool]]

# The largest page of a network with default settings: 10,000 KB of batches in one page (bandwidth
# 10,000 KB a window, for one node; more nodes share it), each byte escaped as `\u0001`: 58.6 MiB.
# The rest is for the quotes of small batches and for proofs.
MAX_ANSWER_BYTES: Final = 72 << 20
MIN_BYTES_PER_SECOND: Final = 1 << 20  # a longer answer has more time, if it arrives at this rate
MAX_SHORT_ANSWER_BYTES: Final = 1 << 20  # of an answer without pages
EXTRA_BYTES: Final = 2 << 20  # that may arrive until a reader has noticed that it has enough
_READ_BYTES: Final = 1 << 16  # per read of the socket
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

    def page(
        self, app: str, after: int, *, seconds: float, keep_bytes: int = MAX_KEPT_BYTES
    ) -> Page | None:
        """The finalized batches after that index, see `decode_page`.

        Also raises MalformedPage, MalformedProof, ProofsOutOfOrder.
        """
        path = f"/node/{quote(app, safe='')}/batches/finalized?after={after}"

        def decode(stream: JsonStream) -> tuple[Page | None, bool]:
            most = self._max_answer_bytes
            return decode_page(stream, after=after, max_bytes=most, keep_bytes=keep_bytes)

        most = self._max_answer_bytes + EXTRA_BYTES
        return self._ask("GET", path, decode, seconds=seconds, most=most)

    def newest(self, app: str, *, seconds: float) -> Proof | None:
        """The unverified proof of the newest finalized batch. Also raises FinalityError."""
        path = f"/node/{quote(app, safe='')}/batches/finalized/last"
        data = self._ask("GET", path, _value, seconds=seconds)
        return None if data is None else decode_newest(data, app=app)

    def submit(self, app: str, batch: str, *, seconds: float) -> None:
        """Submit a batch. The gateway accepted it, but it may never become final."""
        path = f"/node/{quote(app, safe='')}/batches"
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        self._ask("PUT", path, _value, seconds=seconds, body=batch.encode(), headers=headers)

    def _ask(
        self,
        method: str,
        path: str,
        decode: Decoder[T],
        *,
        seconds: float,
        most: int = MAX_SHORT_ANSWER_BYTES,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Send a request and decode the member `data` of the answer. Redirects are not followed."""
        deadline, url = self._monotonic() + seconds, self.url + path
        stated = {**_HEADERS, **(headers or {})}
        try:
            adapter = self._session.get_adapter(url)
            if isinstance(adapter, KeepingAdapter) and method == "GET":
                sent = Message.of(method, url, headers=stated)
                with adapter.kept.exchange(sent, seconds) as kept:
                    stream = JsonStream(self._pieces(kept.read1, deadline, most).__next__)
                    return _data(kept.status, stream, decode)
            with self._session.request(
                method,
                url,
                data=body,
                headers=stated,
                timeout=cast("float", Timeout(total=seconds)),
                stream=True,
                allow_redirects=False,
            ) as response:
                read = partial(response.raw.read1, decode_content=False)
                stream = JsonStream(self._pieces(read, deadline, most).__next__)
                return _data(response.status_code, stream, decode)
        except JsonFault as fault:
            raise AnswerMalformed(f"{self.url}: {fault}", gateway=self.url) from None
        except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            message = f"{self.url}: {unreachable(error)}"
            raise GatewayUnreachable(message, gateway=self.url) from error

    def _pieces(self, read: Callable[[int], bytes], deadline: float, most: int) -> Iterator[bytes]:
        """The answer as it arrives, then empty pieces.

        The timeout of a usual session bounds each read, so a peer that sends byte by byte must be
        stopped here. While it sends headers, the core's session does that.
        """
        size = 0
        while piece := read(_READ_BYTES):
            size += len(piece)
            if size > most:
                raise AnswerMalformed(f"the answer exceeds {most} bytes", gateway=self.url)
            if self._monotonic() > deadline + size / MIN_BYTES_PER_SECOND:
                raise GatewayUnreachable("the answer was not complete in time", gateway=self.url)
            yield piece
        yield from repeat(b"")


def _value(stream: JsonStream) -> tuple[object, bool]:
    return stream.value(), True


def _data(status: int, stream: JsonStream, decode: Decoder[T]) -> T:
    """The member `data` of a successful answer. Errors are classified by code, then by status."""
    if status >= 400:
        raise GatewayRefused(status=status, code=_code_of_error(stream))
    data: list[T] = []
    state, code = None, ""
    for name in stream.members():
        if name == "data":
            value, is_whole = decode(stream)
            if not is_whole:
                return value  # the rest is not needed, or too long
            data = [value]
        elif name == "status":
            state = stream.value()
        else:
            other = stream.value()
            code = _code(other) if name == "error" else code
    stream.end()
    if state == "success" and data and status == 200:
        return data[0]
    if code:
        raise GatewayRefused(status=status, code=code)
    raise AnswerMalformed(
        f"an answer with status {status} that is not in the node's format", status=status
    )


def _code_of_error(stream: JsonStream) -> str:
    """The code of an error in the network's format; empty for the error of a proxy."""
    try:
        answer = stream.value()
    except JsonFault:
        return ""
    return _code(answer.get("error")) if isinstance(answer, dict) else ""


def _code(error: object) -> str:
    """The error's code if it is one word, otherwise an empty string: it goes into logs."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
