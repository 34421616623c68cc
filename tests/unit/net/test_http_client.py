"""HTTP requests end by their deadline, in bounded memory, and with a named error."""

from __future__ import annotations

import gzip
import json
import socket
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from dragon.errors import BadAnswer, PeerError, Unreachable
from dragon.net.http_client import (
    MAX_RESPONSE_BYTES,
    MAX_RETRY_AFTER_SECONDS,
    HttpClient,
    HttpResponse,
)
from dragon.net.session import make_session
from peers import Behaviour, after_request, drips, floods, is_silent, listening, sends

DEADLINE = 0.3  # seconds
SLACK = 1.0  # seconds of delay on a busy machine


@contextmanager
def server(behave: Behaviour, heads: list[bytes] | None = None) -> Iterator[str]:
    """A server that reads the head of a request, then behaves. Yields a URL with a path."""
    with listening(after_request(behave, heads)) as url:
        yield f"{url}/path"


@pytest.fixture
def http() -> Iterator[HttpClient]:
    made = HttpClient(make_session())
    yield made
    made.close()


def ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


BOMB = gzip.compress(bytes(30_000_000))
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"

SLOW: dict[str, Behaviour] = {
    "never answers": is_silent,
    "drips its status line": drips(b"", b"H"),
    "drips a header": drips(b"HTTP/1.1 200 OK\r\nA: ", b"b"),
    "drips headers": drips(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "drips its body": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
    "drips a body without a length": drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "drips chunks": drips(CHUNKED, b"1\r\nx\r\n"),
    "drips a chunk's size": drips(CHUNKED, b"0"),
    "drips the trailer": drips(CHUNKED + b"0\r\n", b"A: b\r\n"),
    "says to continue, for ever": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "drips the body of a redirect": drips(REDIRECT + b"Content-Length: 1000\r\n\r\n", b"x"),
    "drips the body of an error": drips(b"HTTP/1.1 500 No\r\nContent-Length: 999\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("keep", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("manner", SLOW)
def test_a_slow_peer_times_out_at_the_deadline(http: HttpClient, manner: str, keep: bool) -> None:
    with server(SLOW[manner]) as url:
        begun = time.monotonic()
        with pytest.raises(Unreachable) as refused:
            http.get(url, deadline=DEADLINE, keep=keep)
        took = time.monotonic() - begun

    assert took < DEADLINE + SLACK
    # Too many headers are refused before the deadline; everything else times out.
    if manner not in ("drips headers", "drips the trailer"):
        assert refused.value.facts == {"reason": "timeout"}
        assert took >= DEADLINE - 0.05


HUGE: dict[str, Behaviour] = {
    "a body without end": floods(b"HTTP/1.1 200 OK\r\n\r\n"),
    "a body with its length": floods(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"),
    "a chunk without end": floods(CHUNKED + b"fffffff\r\n"),
    "a chunk of size -1": floods(CHUNKED + b"-1\r\n"),
    "the body of a redirect": floods(REDIRECT + b"\r\n"),
    "the body of an error": floods(b"HTTP/1.1 500 No\r\n\r\n"),
    "one header": floods(b"HTTP/1.1 200 OK\r\nA: "),
    "a status line": floods(b"HTTP/1.1 200 "),
    "a redirect to a bomb": sends(
        REDIRECT + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB
    ),
}  # fmt: skip


@pytest.mark.parametrize("keep", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("what", HUGE)
def test_a_huge_response_takes_bounded_time_and_memory(
    http: HttpClient, what: str, keep: bool
) -> None:
    with server(HUGE[what]) as url:
        tracemalloc.start()
        begun = time.monotonic()
        with suppress(PeerError):
            assert http.get(url, deadline=5, keep=keep).body in (b"", BOMB)
        took = time.monotonic() - begun
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert took < 2
    assert peak < 8_000_000


def test_a_response_has_at_most_64_kib(http: HttpClient) -> None:
    with server(sends(ok(b"x" * MAX_RESPONSE_BYTES))) as url:
        assert len(http.get(url, deadline=2).body) == MAX_RESPONSE_BYTES

    with (
        server(sends(ok(b"x" * (MAX_RESPONSE_BYTES + 1)))) as url,
        pytest.raises(BadAnswer) as refused,
    ):
        http.get(url, deadline=2)

    assert refused.value.facts == {"reason": "too_large"}
    assert MAX_RESPONSE_BYTES == 64 * 1024


def test_a_caller_can_set_a_smaller_limit(http: HttpClient) -> None:
    with server(sends(ok(b"123"))) as url, pytest.raises(BadAnswer):
        http.get(url, deadline=2, max_bytes=2)


def test_a_redirect_is_returned_and_not_followed(http: HttpClient) -> None:
    followed: list[bytes] = []
    with server(is_silent, followed) as elsewhere:
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 2\r\n\r\n{{}}"
        with server(sends(redirect.encode())) as url:
            answer = http.get(url, deadline=2)

    assert answer == HttpResponse(302, b"{}", location=elsewhere)
    assert followed == []


@pytest.mark.parametrize("location", ["", "http://[::1", "gopher:", "http://é..x/", "\xff\xfe"])
def test_a_redirect_to_an_invalid_address_is_returned(http: HttpClient, location: str) -> None:
    raw = b"HTTP/1.1 302 Found\r\nLocation: " + location.encode("latin-1") + b"\r\n"

    with server(sends(raw + b"Content-Length: 0\r\n\r\n")) as url:
        assert http.get(url, deadline=2) == HttpResponse(302, b"", location=location)


def test_a_compressed_body_is_not_decompressed(http: HttpClient) -> None:
    with server(sends(ok(BOMB, "Content-Encoding: gzip"))) as url:
        answer = http.get(url, deadline=2)

    assert answer.body == BOMB
    with pytest.raises(BadAnswer):
        answer.json()


GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"garbage\r\n\r\n",
    "zeros": bytes(1000),
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a status that is no number": b"HTTP/1.1 abc\r\n\r\n",
    "a hundred headers too many": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    "a header too long": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
    "a body cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
    "a chunk of no size": CHUNKED + b"zz\r\n",
    "a chunk cut short": CHUNKED + b"10\r\nhello",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_an_invalid_response_means_unreachable(http: HttpClient, what: str) -> None:
    with server(sends(GARBAGE[what])) as url, pytest.raises(Unreachable) as refused:
        http.get(url, deadline=20)

    assert refused.value.facts == {"reason": "unreachable"}


def test_a_closed_port_and_an_unknown_host_are_unreachable(http: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    reasons = {"refused", "no_such_name", "dns", "timeout"}
    for url in (f"http://127.0.0.1:{port}/", "http://name.invalid/", "http://127.0.0.1:0/"):
        with pytest.raises(Unreachable) as refused:
            http.get(url, deadline=2)
        assert refused.value.facts["reason"] in reasons


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a":1,"a":2}', b"1.5", b"[NaN]"])
def test_a_body_that_is_not_strict_json_is_a_bad_answer(http: HttpClient, body: bytes) -> None:
    with server(sends(ok(body))) as url:
        answer = http.get(url, deadline=2)

    with pytest.raises(BadAnswer):
        answer.json()


def test_a_successful_response_is_decoded(http: HttpClient) -> None:
    with server(sends(ok(b'{"a": 1}'))) as url:
        assert http.get(url, deadline=2).successful() == {"a": 1}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"detail": "the queue is full"}', "the queue is full"),
        (b'{"detail": "a\\u001b[2Jb"}', "a\\x1b[2Jb"),
        (b'{"detail": 7}', "no explanation"),
        (b"<html>", "no explanation"),
        (json.dumps({"detail": "x" * 1000}).encode(), "x" * 200),
    ],
)
def test_a_refusal_quotes_the_escaped_and_shortened_detail(body: bytes, said: str) -> None:
    with pytest.raises(BadAnswer) as refused:
        HttpResponse(429, body).successful()

    assert str(refused.value) == f"answered 429: {said}"
    assert refused.value.facts == {"status": 429}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5),
        ("0", 0),
        ("99999", MAX_RETRY_AFTER_SECONDS),
        ("9" * 5000, None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("", None),
    ],
)
def test_the_seconds_to_wait_are_read_strictly(
    http: HttpClient, value: str, seconds: int | None
) -> None:
    head = f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: {value}\r\nContent-Length: 2\r\n\r\n"

    with server(sends(head.encode() + b"{}")) as url:
        answer = http.get(url, deadline=2)

    assert answer.retry_after == seconds
    with pytest.raises(BadAnswer) as refused:
        answer.successful()
    assert refused.value.facts.get("retry_after") == seconds


def test_a_request_uses_no_proxies_cookies_or_passwords(
    http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    heads: list[bytes] = []

    for _ in range(2):
        with server(sends(ok(b"{}", "Set-Cookie: a=b")), heads) as url:
            http.get(url, deadline=2, params={"nonce": "0x00"})

    for head in heads:
        assert head.startswith(b"GET /path?nonce=0x00 HTTP/1.1\r\n")
        assert b"\r\nConnection: close\r\n" in head
        assert b"\r\nAccept-Encoding: identity\r\n" in head
        assert b"cookie" not in head.lower()
        assert b"authorization" not in head.lower()
    assert len(heads) == 2


def test_post_sends_json(http: HttpClient) -> None:
    heads: list[bytes] = []

    with server(sends(ok(b"{}")), heads) as url:
        http.post(url, {"a": [1, "ä"]}, deadline=2)

    assert heads[0].startswith(b"POST /path HTTP/1.1\r\n")
    assert b"Content-Type: application/json" in heads[0]
