"""Committee files from any service: checked by their hash, in bounded time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from committees import make_members
from dragon.errors import InvalidCommittee, Unreachable
from dragon.net.committee_files import DEADLINE_SECONDS, TOTAL_DEADLINE_SECONDS, FileClient
from dragon.net.http_client import HttpResponse
from dragon.net.runtime import Runtime
from dragon.protocol.committee import Committee
from epochs import successor

MEMBERS = make_members(4)
COMMITTEE = successor(MEMBERS, None).committee
URLS = [f"http://service-{number}" for number in range(1, 21)]


@dataclass
class Services:
    """Services by URL: what they answer, and after how many seconds."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    now: float = 0.0

    def get(self, address: str, *, deadline: float, max_bytes: int) -> HttpResponse:
        url = address.partition("/objects/")[0]
        self.asked.append(url)
        if url in self.silent:
            self.now += deadline
            raise Unreachable("no answer", reason="timeout")
        found = self.bodies.get(url)
        return HttpResponse(200 if found else 404, (found or b"{}")[:max_bytes])

    def client(self, *urls: str) -> FileClient:
        runtime = cast("Any", self)
        runtime.http, runtime.monotonic = self, lambda: self.now
        return FileClient(lambda: urls or URLS, cast("Runtime", runtime))


def test_a_file_is_found_by_its_hash_at_whichever_service_has_it() -> None:
    services = Services({URLS[5]: COMMITTEE.encode()})

    assert services.client().fetch(COMMITTEE.id) == COMMITTEE
    assert services.asked == URLS[:6]


def test_the_hash_is_checked_before_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key of a file costs a pairing, and any service may send any file."""
    services = Services(dict.fromkeys(URLS, MEMBERS.committee.encode()))

    def check(_: Committee) -> None:
        raise AssertionError("the keys of another file were checked")

    monkeypatch.setattr(Committee, "check", check)

    assert services.client().fetch(COMMITTEE.id) is None


def test_a_file_that_breaks_a_rule_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services({URLS[0]: COMMITTEE.encode()})

    def check(_: Committee) -> None:
        raise InvalidCommittee("a key is not proven")

    monkeypatch.setattr(Committee, "check", check)

    assert services.client().fetch(COMMITTEE.id) is None


def test_silent_services_take_bounded_time_and_others_have_their_turn() -> None:
    services = Services({URLS[7]: COMMITTEE.encode()}, silent=set(URLS[:7]))
    client = services.client()

    seconds = []
    found = None
    while found is None:
        begun = services.now
        found = client.fetch(COMMITTEE.id)
        seconds.append(services.now - begun)

    assert found == COMMITTEE
    assert max(seconds) <= TOTAL_DEADLINE_SECONDS
    assert len(seconds) <= 7 * DEADLINE_SECONDS / TOTAL_DEADLINE_SECONDS + 1
