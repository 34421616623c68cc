"""A session sends a request and returns its response, without anything implicit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from dragon.net.session import make_session
from peers import after_request, is_silent, listening, sends

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nSet-Cookie: a=b\r\n\r\n123"


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with make_session() as made:
        yield made


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_read_at_once_unless_it_is_streamed(
    session: requests.Session, stream: bool
) -> None:
    with (
        listening(after_request(sends(ANSWER))) as url,
        session.get(url, stream=stream, timeout=2) as answer,
    ):
        assert answer.raw.closed is not stream
        assert answer.content == b"123"


def test_a_response_leaves_no_cookie(session: requests.Session) -> None:
    with listening(after_request(sends(ANSWER))) as url:
        session.get(url, timeout=2)

    assert not session.cookies


def test_the_timeout_reaches_the_connection(session: requests.Session) -> None:
    with listening(after_request(is_silent)) as url, pytest.raises(requests.Timeout):
        session.get(url, timeout=0.1)
