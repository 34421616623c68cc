"""Objects of a window by their hashes: both with one request, or singly from any peer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from dragon.encoding import from_hex
from dragon.errors import BadAnswer, Unreachable
from dragon.net.blob_client import (
    TOTAL_DEADLINE_SECONDS,
    ObjectClient,
    Wanted,
    join_pair,
    split_pair,
)
from dragon.net.http_client import HttpResponse
from dragon.net.runtime import Runtime

CHUNKS, PROOF = b"the chunk headers", b"the proof, which is longer"
ONE, TWO = "http://one", "http://two"
NOT_FOUND = HttpResponse(404, b"{}")


def sha256(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


WANTED = Wanted(sha256(CHUNKS), 100), Wanted(sha256(PROOF), 100)


@dataclass
class Peers:
    """Services with objects. `pairs`: what a service answers to a request for two."""

    kept: Mapping[str, tuple[bytes, ...]]
    pairs: Mapping[str, Callable[[bytes, bytes], HttpResponse]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: list[tuple[str, int]] = field(default_factory=list)  # URL, number of objects
    now: float = 0.0

    def get(
        self,
        address: str,
        *,
        deadline: float,
        max_bytes: int,
        params: Mapping[str, str] | None = None,
        keep: bool,
    ) -> HttpResponse:
        assert keep
        url, _, name = address.partition("/objects/")
        names = [name, *(params or {}).values()]
        self.asked.append((url, len(names)))
        if url in self.silent:
            self.now += deadline
            raise Unreachable("no answer", reason="timeout")
        if len(names) == 2 and url in self.pairs:
            response = self.pairs[url](CHUNKS, PROOF)
        else:
            response = self._answer(url, names)
        if len(response.body) > max_bytes:
            raise BadAnswer("too large", reason="too_large")
        return response

    def _answer(self, url: str, names: list[str]) -> HttpResponse:
        known = {sha256(body): body for body in self.kept.get(url, ())}
        wanted = [known.get(from_hex(name, member="sha256", size=32)) for name in names]
        found = [body for body in wanted if body is not None]
        if len(found) < len(names):
            return NOT_FOUND
        return HttpResponse(200, found[0] if len(found) == 1 else join_pair(found[0], found[1]))

    def client(self, *urls: str) -> ObjectClient:
        runtime = cast("Any", self)
        runtime.http, runtime.monotonic = self, lambda: self.now
        return ObjectClient(lambda: urls, cast("Runtime", runtime))


@pytest.mark.parametrize("first", [b"", b"a", b"ab" * 40_000])
@pytest.mark.parametrize("second", [b"", b"\x00\x00\x00\x01"])
def test_a_pair_is_split_as_it_was_joined(first: bytes, second: bytes) -> None:
    assert split_pair(join_pair(first, second)) == (first, second)


def test_both_objects_come_with_one_request() -> None:
    peers = Peers({ONE: (CHUNKS, PROOF), TWO: (CHUNKS, PROOF)})

    assert peers.client(ONE, TWO).fetch_both(*WANTED) == (CHUNKS, PROOF)
    assert peers.asked == [(ONE, 2)]


def test_objects_of_different_peers_are_fetched_singly() -> None:
    peers = Peers({ONE: (PROOF,), TWO: (CHUNKS,)})

    assert peers.client(ONE, TWO).fetch_both(*WANTED) == (CHUNKS, PROOF)
    assert peers.asked == [(ONE, 2), (ONE, 1), (TWO, 1), (ONE, 1)]


def test_the_second_object_is_not_fetched_without_the_first() -> None:
    peers = Peers({ONE: (PROOF,)})

    assert peers.client(ONE).fetch_both(*WANTED) == (None, None)
    assert peers.asked == [(ONE, 2), (ONE, 1)]


def test_the_first_object_is_returned_without_the_second() -> None:
    assert Peers({ONE: (CHUNKS,)}).client(ONE).fetch_both(*WANTED) == (CHUNKS, None)


FALSE_PAIRS: dict[str, Callable[[bytes, bytes], HttpResponse]] = {
    "an unknown parameter": lambda _, __: HttpResponse(400, b"{}"),
    "the first object only": lambda one, _: HttpResponse(200, one),
    "the wrong order": lambda one, two: HttpResponse(200, join_pair(two, one)),
    "other bytes in the first": lambda one, two: HttpResponse(200, join_pair(b"x" + one[1:], two)),
    "other bytes in the second": lambda one, two: HttpResponse(200, join_pair(one, b"x" + two[1:])),
    "a byte too many": lambda one, two: HttpResponse(200, join_pair(one, two) + b"\x00"),
    "a length beyond the end": lambda one, two: HttpResponse(200, b"\xff" * 4 + one + two),
    "nothing": lambda _, __: HttpResponse(200, b""),
    "three bytes": lambda _, __: HttpResponse(200, b"\x00" * 3),
    "very many bytes": lambda one, two: HttpResponse(200, join_pair(one, two + bytes(1000))),
    "a pair with another status": lambda one, two: HttpResponse(203, join_pair(one, two)),
}


@pytest.mark.parametrize("answer", FALSE_PAIRS.values(), ids=FALSE_PAIRS.keys())
def test_a_false_pair_is_fetched_singly(
    answer: Callable[[bytes, bytes], HttpResponse],
) -> None:
    peers = Peers({ONE: (), TWO: (CHUNKS, PROOF)}, {ONE: answer})

    assert peers.client(ONE, TWO).fetch_both(*WANTED) == (CHUNKS, PROOF)


def test_an_object_above_its_limit_is_refused_in_a_pair_too() -> None:
    peers = Peers({ONE: (CHUNKS, PROOF)})
    small = Wanted(sha256(PROOF), len(PROOF) - 1)

    assert peers.client(ONE).fetch_both(WANTED[0], small) == (CHUNKS, None)
    assert peers.client(ONE).fetch_both(small, WANTED[0]) == (None, None)


def test_two_objects_take_no_longer_than_twice_the_time_of_one() -> None:
    urls = [f"http://{number}" for number in range(10)]
    peers = Peers({urls[2]: (CHUNKS,)}, silent=set(urls) - {urls[2]})

    peers.client(*urls).fetch_both(*WANTED)

    assert peers.now <= 2 * TOTAL_DEADLINE_SECONDS


def test_nothing_is_fetched_without_peers() -> None:
    assert Peers({}).client().fetch_both(*WANTED) == (None, None)
