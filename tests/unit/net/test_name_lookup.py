"""A lookup without an answer ends in time, and is told from a name that does not exist."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from dragon.errors import Unreachable
from dragon.net.http_client import HttpClient
from dragon.net.name_lookup import NameLookups, is_numeric, lookup_failure_reason

FAULTS = {
    socket.EAI_NONAME: "no_such_name",
    socket.EAI_NODATA: "no_such_name",
    socket.EAI_AGAIN: "dns",
    socket.EAI_FAIL: "dns",
    socket.EAI_SYSTEM: "dns",
}


@pytest.fixture
def released() -> Iterator[threading.Event]:
    released = threading.Event()
    yield released
    released.set()


def test_a_resolver_that_does_not_answer_is_a_temporary_failure(released: threading.Event) -> None:
    asked: list[str] = []

    def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        released.wait(20)
        return ["192.0.2.1"]

    lookups = NameLookups(resolve)
    for _ in range(3):
        with pytest.raises(socket.gaierror) as error:
            lookups.addresses("name.example", 80, timeout=0.01)
        assert error.value.errno == socket.EAI_AGAIN

    assert asked == ["name.example"]  # one thread for each name, however often it is asked for


def test_a_name_is_looked_up_again_after_an_answer() -> None:
    asked: list[str] = []

    def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        if len(asked) == 1:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return ["192.0.2.1"]

    lookups = NameLookups(resolve)
    with pytest.raises(socket.gaierror):
        lookups.addresses("name.example", 80, timeout=20)

    assert lookups.addresses("name.example", 80, timeout=20) == ["192.0.2.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "::1"])
def test_an_address_in_numbers_needs_no_lookup(host: str) -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise AssertionError

    assert is_numeric(host)
    assert NameLookups(resolve).addresses(host, 80, timeout=0.0) == [host.strip("[]")]


@pytest.mark.parametrize(("number", "reason"), FAULTS.items())
def test_a_failed_lookup_has_its_reason(
    monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def fail(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(number, "failed")

    http = HttpClient.create()
    monkeypatch.setattr(socket, "getaddrinfo", fail)

    with pytest.raises(Unreachable) as refused:
        http.get("http://name.example/", deadline=5)

    assert refused.value.facts == {"reason": reason}
    assert lookup_failure_reason(OSError("no route")) is None
