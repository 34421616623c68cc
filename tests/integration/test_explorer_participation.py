"""The participation on `/committee` is what really happened between aggregator and operators.

The truth is noted on the simulated network, request by request.
"""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from urllib3 import HTTPResponse

from committees import make_members
from explorer_fleet import SmallExplorerWorld
from simulation import Wire

SILENT, REFUSING, ALWAYS = "operator_6", "operator_7", "operator_1"
AGGREGATOR = "aggregator_0"
HOUR, DAY = 3600, 86_400


@dataclass
class NotingWire(Wire):
    """Notes how each request for a signature ends. Those to `SILENT` end without an answer."""

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, timeout: object = None, **options: object
    ) -> requests.Response:
        world, address = self.world, urlsplit(request.url or "")
        assert isinstance(world, NotedWorld)
        if address.path != "/attestations" or self.caller != AGGREGATOR:
            return super().send(request, timeout, **options)
        operator = world.names[address.netloc]
        if operator == SILENT:
            world.outcomes[operator].append((world.clock.now, "silent"))
            world.clock.sleep(1.0)
            raise requests.ReadTimeout("no answer", request=request)
        try:
            response = super().send(request, timeout, **options)
        except requests.RequestException:
            world.outcomes[operator].append((world.clock.now, "silent"))
            raise
        read = response.raw.read()
        response.raw = HTTPResponse(io.BytesIO(read), response.headers, preload_content=False)
        said = json.loads(read)
        word = "signed" if response.status_code == 200 else str(said["reason"])
        world.outcomes[operator].append((world.clock.now, word))
        return response


class NotedWorld(SmallExplorerWorld):
    """A fleet in which one operator signs nothing, and the clock of another one is wrong."""

    def __post_init__(self) -> None:
        # By operator: when a signature was requested, and how that ended.
        self.outcomes: dict[str, list[tuple[float, str]]] = defaultdict(list)
        super().__post_init__()

    def session(self, name: str) -> requests.Session:
        session = super().session(name)
        session.mount("http://", NotingWire(self, name))
        return session

    def truth(self, seconds: int) -> dict[str, Counter[str]]:
        """How requests of the last seconds ended, by operator."""
        since = self.clock.now - seconds
        return {
            operator: Counter(word for at, word in ended if at >= since)
            for operator, ended in self.outcomes.items()
        }


def phase(world: NotedWorld) -> None:
    """A checkpoint, which is due after a pause, and an outage."""
    world.run(1)
    world.stop("operator_5")
    world.run(2)
    world.resume("operator_5")
    world.run(2)


@pytest.fixture(scope="module")
def committee(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The page, and the truth of an hour, a day and 30 days."""
    with NotedWorld(tmp_path_factory.mktemp("noted"), make_members(7)) as world:
        world.offsets[REFUSING] = 3.0
        phase(world)
        world.clock.now += 20 * DAY
        phase(world)
        world.clock.now += 5 * HOUR
        phase(world)
        page = world.app().test_client().get("/api/committee").json
        text = world.app().test_client().get("/committee").text
        truths = [world.truth(seconds) for seconds in (HOUR, DAY, 30 * DAY)]
    return page, truths, text


def test_every_figure_is_what_the_network_saw(committee: Any) -> None:
    page, truths, _ = committee

    for place, truth in enumerate(truths):
        for operator in page["operators"]:
            shown, name = operator["participation"][place], operator["operator"]
            expected = Counter(truth[name])
            assert shown["expected"] == expected.total(), (name, shown)
            assert shown["signed"] == expected.pop("signed", 0), (name, shown)
            assert sum(shown["silent"].values()) == expected.pop("silent", 0), (name, shown)
            assert shown["refused"] == dict(expected), (name, shown)


def test_the_silent_and_the_refusing_operator_are_told_apart(committee: Any) -> None:
    page, truths, text = committee
    operators = {each["operator"]: each["participation"] for each in page["operators"]}

    for silent, refusing, always in zip(
        operators[SILENT], operators[REFUSING], operators[ALWAYS], strict=True
    ):
        assert (silent["signed"], silent["refused"]) == (0, {})
        assert silent["silent"] == {"timeout": silent["expected"]}
        assert (refusing["signed"], refusing["silent"]) == (0, {})
        assert set(refusing["refused"]) == {"clock"}
        assert always["signed"] > 0
    hours, days, months = (truth[ALWAYS].total() for truth in truths)
    assert 0 < hours < days < months
    assert "timeout: " in text
    assert "clock: " in text
