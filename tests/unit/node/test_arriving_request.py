"""A request is collected until it has arrived."""

from __future__ import annotations

import pytest

from dragon.node.arriving_request import (
    MAX_COLLECTED_BODY_BYTES,
    MAX_HEAD_BYTES,
    ArrivingRequest,
    HeadTooLarge,
)

GET = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


@pytest.mark.parametrize("whole", [GET, POST + b"0123456789"])
def test_a_request_is_ready_with_its_last_byte(whole: bytes) -> None:
    request = ArrivingRequest()
    for position in range(len(whole)):
        assert not request.is_ready
        request.feed(whole[position : position + 1])
    assert request.is_ready
    assert request.take() == whole
    assert not request.is_ready


def test_bytes_of_the_next_request_are_kept_with_it() -> None:
    request = ArrivingRequest()
    request.feed(GET + b"GET /next")
    assert request.is_ready
    assert request.take() == GET + b"GET /next"


@pytest.mark.parametrize("field", [b"Transfer-Encoding: chunked", b"expect: 100-continue"])
def test_a_body_of_unknown_length_is_not_collected(field: bytes) -> None:
    request = ArrivingRequest()
    request.feed(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n" + field + b"\r\n\r\n")
    assert request.is_ready


def test_only_the_beginning_of_a_long_body_is_collected() -> None:
    request = ArrivingRequest()
    request.feed(b"POST / HTTP/1.1\r\nContent-Length: 999999\r\n\r\n")
    request.feed(bytes(MAX_COLLECTED_BODY_BYTES - 1))
    assert not request.is_ready
    request.feed(b"\0")
    assert request.is_ready


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_head_that_is_too_large_is_refused(end: bytes) -> None:
    request = ArrivingRequest()
    with pytest.raises(HeadTooLarge):
        request.feed(b"GET / HTTP/1.1\r\nA: " + b"b" * MAX_HEAD_BYTES + end)


@pytest.mark.parametrize(
    ("head", "is_health_check"),
    [
        (GET, True),
        (b"HEAD /healthz HTTP/1.0\r\n\r\n", True),
        (b"GET /metrics HTTP/1.1\r\n\r\n", True),
        (b"GET /readyz2 HTTP/1.1\r\n\r\n", False),
        (b"POST /readyz HTTP/1.1\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nA: GET /readyz HTTP/1.1\r\n\r\n", False),
    ],
)
def test_health_checks_are_recognised(head: bytes, is_health_check: bool) -> None:
    request = ArrivingRequest()
    request.feed(head)
    assert request.is_health_check is is_health_check
