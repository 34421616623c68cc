"""Which of a fleet's stream services has a stream, and which one gets a new one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from threading import Barrier
from typing import Any

import click
import pytest

from dragon.encoding import Json
from dragon.errors import DragonError, NotFound, Unreachable
from dragon.net.http_client import HttpClient, HttpResponse
from dragon.net.retries import Retries
from dragon_cli.errors import AmbiguousStream, NotListed
from dragon_cli.fleet import queries, stream_services
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.hints import hint_for

FIRST, SECOND, THIRD = (f"http://127.0.0.1:{port}" for port in (5300, 5301, 5302))
IDS = {name: "0x" + f"{number:064x}" for number, name in enumerate(("a", "b", "c", "d"))}
ANY = ServiceAt()
DOWN = Unreachable("no answer: the connection was refused", reason="refused")


class Services(HttpClient):
    """Three stream services: lists of names by URL, or why they do not answer."""

    def __init__(self) -> None:
        self.names: dict[str, list[str] | Unreachable | bytes] = {
            FIRST: ["a", "b"],
            SECOND: ["c"],
            THIRD: ["d", "e"],
        }
        self.asked: list[str] = []
        self.barrier: Barrier | None = None

    def get(self, url: str, **options: Any) -> HttpResponse:
        assert options["deadline"] == stream_services.DEADLINE_SECONDS
        self.asked.append(url)
        if self.barrier:
            self.barrier.wait(10)
        known = self.names[url.removesuffix("/streams")]
        if isinstance(known, Unreachable):
            raise known
        if isinstance(known, bytes):
            return HttpResponse(200, known)
        streams: list[Mapping[str, Json]] = [
            {"name": name, "stream": IDS.get(name, "0x" + "f" * 64)} for name in known
        ]
        return HttpResponse(200, json.dumps({"streams": streams}).encode())


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    made = Services()
    monkeypatch.setattr(queries, "connect", lambda *_: made)
    return made


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return write(tmp_path, {"stream_api": FIRST, "stream_api_2": SECOND, "stream_api_3": THIRD})


def write(folder: Path, urls: Mapping[str, str]) -> Home:
    (folder / "services.json").write_text(json.dumps({"zkp_api": "http://p:1", **urls}))
    return Home(folder)


def url_of(home: Home, stream: str, at: ServiceAt = ANY, **options: Any) -> str:
    return at.client(home, None, stream, **options).url


def hint(error: DragonError) -> str:
    return hint_for(error) or ""


@pytest.mark.parametrize(("name", "url"), [("a", FIRST), ("c", SECOND), ("d", THIRD)])
@pytest.mark.parametrize("may_be_new", [False, True])
def test_a_stream_is_found_by_name_and_by_id(
    services: Services, home: Home, name: str, url: str, may_be_new: bool
) -> None:
    assert url_of(home, name, may_be_new=may_be_new) == url
    assert url_of(home, IDS[name], may_be_new=may_be_new) == url
    assert sorted(set(services.asked)) == [f"{each}/streams" for each in (FIRST, SECOND, THIRD)]


def test_all_services_are_asked_at_the_same_time(services: Services, home: Home) -> None:
    services.barrier = Barrier(3)  # broken after 10 s, if they are not
    assert url_of(home, "c") == SECOND


def test_a_new_stream_goes_to_the_service_with_the_fewest(services: Services, home: Home) -> None:
    assert url_of(home, "new", may_be_new=True) == SECOND
    services.names[SECOND] = ["c", "x"]
    assert url_of(home, "new", may_be_new=True) == FIRST  # as many: the first in order


def test_a_stream_that_no_service_has_is_refused(services: Services, home: Home) -> None:
    with pytest.raises(NotFound, match=r"No stream service has a stream 'x'.*a, b, c, d, e"):
        url_of(home, "x")
    with pytest.raises(NotFound, match="No stream service"):
        url_of(home, "0x" + "1" * 64, may_be_new=True)


def test_a_stream_of_a_service_that_answers_is_found_while_another_is_down(
    services: Services, home: Home
) -> None:
    services.names[FIRST] = DOWN
    assert url_of(home, "c") == SECOND


@pytest.mark.parametrize("may_be_new", [False, True])
@pytest.mark.parametrize("stream", ["a", IDS["a"]])
def test_a_service_that_does_not_answer_is_named(
    services: Services, home: Home, stream: str, may_be_new: bool
) -> None:
    """It may have the stream: another one of that name would be made by mistake."""
    services.names[FIRST] = DOWN
    with pytest.raises(Unreachable) as refused:
        url_of(home, stream, may_be_new=may_be_new)
    assert str(refused.value) == (
        f"stream_api_2, stream_api_3 have no stream '{stream}', and stream_api does not answer: "
        "no answer: the connection was refused."
    )
    assert refused.value.facts == {"silent": {"stream_api": str(DOWN)}}
    assert "--service" in hint(refused.value)


def test_an_answer_without_a_list_counts_as_none(services: Services, home: Home) -> None:
    services.names[FIRST] = b"{}"
    with pytest.raises(Unreachable, match="stream_api does not answer: the answer contains no"):
        url_of(home, "x")


def test_all_services_may_be_down(services: Services, home: Home) -> None:
    services.names = {FIRST: DOWN, SECOND: DOWN, THIRD: DOWN}
    with pytest.raises(Unreachable) as refused:
        url_of(home, "a")
    assert str(refused.value).startswith("stream_api does not answer: ")


def test_a_name_that_two_services_have_is_refused(services: Services, home: Home) -> None:
    services.names[THIRD] = ["a"]
    with pytest.raises(AmbiguousStream, match="'a': stream_api, stream_api_3") as refused:
        url_of(home, "a", may_be_new=True)
    assert "--service" in hint(refused.value)


def test_service_and_url_name_one_without_asking(services: Services, home: Home) -> None:
    assert url_of(home, "a", ServiceAt(name="stream_api_3"), may_be_new=True) == THIRD
    assert services.asked == []
    with pytest.raises(NotListed, match="no stream service stream_api_9; it has stream_api, "):
        url_of(home, "a", ServiceAt(name="stream_api_9"))
    with pytest.raises(click.UsageError, match="only one of"):
        url_of(home, "a", ServiceAt(url=FIRST, name="stream_api"))


def test_a_fleet_with_one_service_asks_nobody(services: Services, tmp_path: Path) -> None:
    home = write(tmp_path, {"stream_api": "http://127.0.0.1:7300"})
    assert url_of(home, "a") == "http://127.0.0.1:7300"
    assert services.asked == []


def test_with_patience_a_service_that_comes_back_is_waited_for(
    services: Services, home: Home
) -> None:
    services.names[FIRST] = DOWN

    def come_back(_: float) -> None:
        services.names[FIRST] = ["a"]

    assert url_of(home, "a", retries=Retries(sleep=come_back)) == FIRST


def test_each_service_has_its_own_token_for_new_streams(home: Home) -> None:
    assert home.sources_token(home.service_at(SECOND)).name == "token_2"
    assert home.sources_token(home.service_at("http://127.0.0.1:1")).name == "token"
