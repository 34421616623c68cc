"""Kept connections: reuse, deadlines, and repetition if the peer closes one at the wrong moment."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
import requests

from authorities import Papers
from dragon.errors import BadAnswer, PeerError, Unreachable
from dragon.net import kept_connections
from dragon.net.http_client import HttpClient, HttpResponse
from dragon.net.session import KeepingAdapter, Limits, make_session
from dragon.net.tls import Tls

DEADLINE = 2.0  # seconds
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Last(bytes):
    """An answer after which the server closes the connection, which it has not announced."""


# What a server does on its n-th connection: returns the answer to a request, or None to close.
Answer = Callable[[int, bytes], bytes | None]


@dataclass
class Served:
    """A server, and what it has received."""

    url: str = ""
    connections: int = 0
    requests: list[tuple[int, bytes]] = field(default_factory=list)  # number of its connection
    ended: threading.Event = field(default_factory=threading.Event)  # a client has closed one
    closed: threading.Event = field(default_factory=threading.Event)  # the server has closed one

    def numbers(self) -> list[int]:
        """The number of the connection of each request, from 1."""
        return [number for number, _ in self.requests]


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[Served]:
    """A server that answers any number of requests on each connection."""
    listener, served = socket.create_server(("127.0.0.1", 0)), Served()
    scheme = "http" if context is None else "https"
    served.url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/path"

    def serve(connection: socket.socket, number: int) -> None:
        with suppress(OSError):
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                while request := _receive(connection):
                    served.requests.append((number, request))
                    if (answered := answer(number, request)) is None:
                        return
                    connection.sendall(answered)
                    if isinstance(answered, Last):
                        break
                else:
                    served.ended.set()
            served.closed.set()

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                served.connections += 1
                threading.Thread(
                    target=serve, args=(connection, served.connections), daemon=True
                ).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)


def _receive(connection: socket.socket) -> bytes:
    """A request whose body, if any, arrives with its head."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (part := connection.recv(65_536)):
            return b""
        received += part
    return received


def always(raw: bytes) -> Answer:
    return lambda _number, _request: raw


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with make_session() as made:
        yield made


@pytest.fixture
def http(session: requests.Session) -> HttpClient:
    return HttpClient(session)


def get(http: HttpClient, served: Served, *, deadline: float = DEADLINE, most: int = 1000) -> bytes:
    return http.get(served.url, deadline=deadline, max_bytes=most, keep=True).body


def idle(session: requests.Session, scheme: str = "http") -> int:
    """The number of connections that wait for their next exchange."""
    adapter = session.get_adapter(f"{scheme}://")
    assert isinstance(adapter, KeepingAdapter)
    return adapter.kept.idle


# -- reuse -----------------------------------------------------------------------------------------


def test_requests_share_a_connection(http: HttpClient) -> None:
    with serving(always(OK)) as served:
        assert [get(http, served) for _ in range(3)] == [b"ok"] * 3
        answer = http.post(served.url, {"a": [1]}, deadline=DEADLINE, keep=True)

    assert (answer.status, answer.body) == (200, b"ok")
    assert served.numbers() == [1, 1, 1, 1]
    host = served.url.split("/")[2].encode()
    head, _, body = served.requests[3][1].partition(b"\r\n\r\n")
    assert body == b'{"a":[1]}'
    assert head.splitlines() == [
        b"POST /path HTTP/1.1",
        b"Host: " + host,
        b"Accept: */*",
        b"Accept-Encoding: identity",
        b"Content-Length: 9",
        b"Content-Type: application/json",
    ]


def test_connections_end_with_a_session_that_nobody_closed() -> None:
    with serving(always(OK)) as served:
        session = make_session()
        get(HttpClient(session), served)
        assert idle(session) == 1

        del session
        gc.collect()

        assert served.ended.wait(5)


def test_requests_over_tls_share_a_connection(papers: Papers, shown: Tls) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert shown.certfile is not None
    context.load_cert_chain(shown.certfile, shown.keyfile)
    with serving(always(OK), context) as served, make_session(papers.ca) as trusting:
        http = HttpClient(trusting)
        assert [get(http, served) for _ in range(3)] == [b"ok"] * 3
        stranger = HttpClient(make_session())
        with pytest.raises(Unreachable, match="not trusted"):
            get(stranger, served)

    assert served.numbers() == [1, 1, 1]


def test_other_requests_use_no_kept_connection(http: HttpClient, session: requests.Session) -> None:
    with serving(always(OK)) as served:
        get(http, served)
        http.get(served.url, deadline=DEADLINE)
        get(http, served)

        assert idle(session) == 1
    assert served.numbers() == [1, 2, 1]


def test_a_query_is_sent_and_a_response_keeps_its_facts(http: HttpClient) -> None:
    refused = b"HTTP/1.1 429 No\r\nRetry-After: 7\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
    with serving(always(refused)) as served:
        found = http.get(f"{served.url}?b=2", params={"a": "x y"}, deadline=DEADLINE, keep=True)

    assert served.requests[0][1].startswith(b"GET /path?b=2&a=x+y HTTP/1.1\r\n")
    assert found == HttpResponse(429, b"", 7, None, "/there")


ENDS = {
    "says close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("manner", ENDS)
def test_a_connection_that_the_server_ends_is_not_kept(
    http: HttpClient, session: requests.Session, manner: str
) -> None:
    with serving(always(ENDS[manner])) as served:
        assert [get(http, served) for _ in range(2)] == [b"ok"] * 2

        assert idle(session) == 0
    assert served.numbers() == [1, 2]


def test_a_connection_with_an_unread_body_is_not_kept(
    http: HttpClient, session: requests.Session
) -> None:
    with serving(always(OK)) as served:
        with pytest.raises(BadAnswer):
            get(http, served, most=1)
        assert (
            http.send("GET", served.url, deadline=2, max_bytes=1, cut=True, keep=True).body == b"o"
        )

        assert idle(session) == 0
        assert served.ended.wait(DEADLINE)
    assert served.numbers() == [1, 2]


def test_a_body_that_ends_early_is_no_answer(http: HttpClient, session: requests.Session) -> None:
    short = Last(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok")
    with serving(always(short)) as served, pytest.raises(Unreachable) as refused:
        get(http, served)

    assert refused.value.facts == {"reason": "unreachable"}
    assert idle(session) == 0


def test_what_follows_an_interim_answer_answers_no_other_request(
    http: HttpClient, session: requests.Session
) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    with serving(always(early)) as served:
        found = http.get(served.url, deadline=DEADLINE, keep=True)

        assert idle(session) == 0
    assert found.status == 103


@pytest.mark.parametrize("limit", ["IDLE_SECONDS", "MAX_AGE_SECONDS", "MAX_IDLE"])
def test_old_connections_and_too_many_are_closed(
    http: HttpClient, session: requests.Session, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(kept_connections, limit, -1)
    with serving(always(OK)) as served:
        for _ in range(2):
            get(http, served)

        assert served.ended.wait(DEADLINE)
        assert idle(session) == 0
    assert served.numbers() == [1, 2]


def test_closing_a_session_closes_its_connections(
    http: HttpClient, session: requests.Session
) -> None:
    with serving(always(OK)) as served:
        get(http, served)
        session.close()

        assert served.ended.wait(DEADLINE)
    assert idle(session) == 0


# -- a peer that closes a kept connection ----------------------------------------------------------


def test_a_connection_that_was_closed_meanwhile_is_replaced(http: HttpClient) -> None:
    with serving(lambda number, _: Last(OK) if number == 1 else OK) as served:
        get(http, served)
        assert served.closed.wait(DEADLINE)
        assert get(http, served) == b"ok"

    assert served.numbers() == [1, 2]


def closes_after(answers: int) -> Answer:
    """Close the first connection on the request after so many answers, without an answer to it."""
    left = [answers]

    def answer(number: int, _request: bytes) -> bytes | None:
        if number > 1:
            return OK
        left[0] -= 1
        return OK if left[0] >= 0 else None

    return answer


def test_a_request_is_repeated_if_a_kept_connection_is_closed_at_that_moment(
    http: HttpClient,
) -> None:
    with serving(closes_after(1)) as served:
        get(http, served)
        answer = http.post(served.url, {"a": 1}, deadline=DEADLINE, keep=True)

    assert answer.body == b"ok"
    assert served.numbers() == [1, 1, 2]
    assert served.requests[1][1] == served.requests[2][1]


def test_a_request_on_a_new_connection_is_not_repeated(http: HttpClient) -> None:
    with serving(closes_after(0)) as served, pytest.raises(Unreachable) as refused:
        get(http, served)

    assert refused.value.facts == {"reason": "unreachable"}
    assert served.numbers() == [1]


def test_a_request_is_repeated_once_only(http: HttpClient) -> None:
    count = [0]

    def answer(_number: int, _request: bytes) -> bytes | None:
        count[0] += 1
        return OK if count[0] == 1 else None

    with serving(answer) as served:
        get(http, served)
        with pytest.raises(Unreachable):
            get(http, served)

    assert served.numbers() == [1, 1, 2]


# -- limits of each exchange -----------------------------------------------------------------------


def test_each_exchange_has_one_deadline(http: HttpClient) -> None:
    """On a kept connection as on a new one, also if the request is repeated."""
    count = [0]

    def answer(_number: int, _request: bytes) -> bytes | None:
        count[0] += 1
        if count[0] > 1:
            time.sleep(2.0)
        return OK

    with serving(answer) as served:
        get(http, served)
        begun = time.monotonic()
        with pytest.raises(Unreachable) as refused:
            get(http, served, deadline=0.2)

    assert refused.value.facts == {"reason": "timeout"}
    assert time.monotonic() - begun < 1.5
    assert served.numbers() == [1, 1]


def test_each_exchange_has_its_own_budget_of_bytes() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + bytes(900)
    flood = b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + bytes(999_999)
    answers = iter([body] * 300 + [flood])
    with make_session(limits=Limits(max_body_bytes=1000)) as session:
        http = HttpClient(session)
        with serving(lambda *_: next(answers)) as served:
            for _ in range(300):  # more than the headers of one response may have, in all
                assert len(get(http, served)) == 900
            with pytest.raises(PeerError):
                http.get(served.url, deadline=DEADLINE, max_bytes=1 << 20, keep=True)

    assert set(served.numbers()) == {1}


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "gopher://host/",
        "http://host/a b",
        "http://host/é",
        "http://host/\r\nA: b",
        "http://user@host/",
        "http://host:99999/",
    ],
)
def test_an_invalid_url_is_refused(http: HttpClient, url: str) -> None:
    with pytest.raises(Unreachable):
        http.get(url, deadline=DEADLINE, keep=True)
