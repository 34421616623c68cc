"""Green must mean green: what pages, badges and metrics say when the explorer cannot know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from alerting import PaperFleet, config
from documented_metrics import check_documented
from dragon.encoding import to_hex
from dragon.errors import BadAnswer
from dragon.net.http_client import HttpClient
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.index import LogIndex
from dragon_explorer.live import answers
from dragon_explorer.live.board import AggregatorReport, Part
from dragon_explorer.live.sources import EARLIER_HEADS, EARLIER_SECONDS, OperatorSource
from dragon_explorer.views.health import LAG_SECONDS

HOUR = 3600
GREEN = "brightgreen"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[PaperFleet]:
    """A fleet whose three targets are certified up by a checkpoint of this moment."""
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as made:
        made.up("target_1", "target_2", "target_3", "target_4")
        made.pass_time(5)
        made.checkpoint()
        made.now += 60
        made.checkpoint()
        made.pass_time(2)
        yield made


def get(fleet: PaperFleet, path: str) -> Any:
    answer = fleet.app().test_client().get(path)
    assert answer.status_code == 200, (path, answer.text)
    return answer


def stop_log(fleet: PaperFleet) -> None:
    fleet.log.raise_alarm("diverged", "another root")


def set_clock_back(fleet: PaperFleet) -> None:
    fleet.clock_error = -5 * HOUR


def set_clock_forward(fleet: PaperFleet) -> None:
    fleet.clock_error = 5 * HOUR


def stop_certifying(fleet: PaperFleet) -> None:
    fleet.now += fleet.committee.rounds.unknown_after + 10


def start_without_ledger(fleet: PaperFleet) -> None:
    fleet.restart()


DOUBTS = [stop_log, set_clock_back, set_clock_forward, stop_certifying, start_without_ledger]


def test_a_certified_fleet_is_green(fleet: PaperFleet) -> None:
    found = get(fleet, "/api/fleet").json

    assert (found["health"]["doubt"], found["health"]["certifying"]) == ("", True)
    assert "All services are up." in get(fleet, "/public").text
    for metric in ("status", "uptime-24h"):
        assert get(fleet, f"/badge/target_1.json?metric={metric}").json["color"] == GREEN
    assert 'datadragon_node_certified_up{node_id="target_1"} 1.0' in get(fleet, "/metrics").text


def test_every_metric_of_an_explorer_is_in_the_reference(fleet: PaperFleet) -> None:
    check_documented(get(fleet, "/metrics").text)


@pytest.mark.parametrize("happen", DOUBTS)
def test_nothing_is_green_that_the_explorer_cannot_know(
    fleet: PaperFleet, happen: Callable[[PaperFleet], None]
) -> None:
    happen(fleet)

    found = get(fleet, "/api/fleet").json
    assert {each["status"] for each in found["nodes"]} == {"unknown"}
    assert found["health"]["doubt"]
    assert not found["health"]["certifying"]
    assert "survives" not in found["health"]["sentence"]
    assert {each["status"] for each in get(fleet, "/api/public").json["nodes"]} == {"unknown"}
    assert get(fleet, "/api/nodes/target_1").json["node"]["status"] == "unknown"
    for path in ("/", "/public", "/nodes/target_1"):
        page = get(fleet, path).text
        assert "</svg>up</span>" not in page
        assert 'class="banner up"' not in page
        assert "are up" not in page
    for metric in ("status", "uptime-24h", "uptime-90d", "response"):
        assert get(fleet, f"/badge/target_1.json?metric={metric}").json["color"] != GREEN
        assert "#2a7d2e" not in get(fleet, f"/badge/target_1.svg?metric={metric}").text
    assert fleet.app().test_client().get("/readyz").status_code == 503


@pytest.mark.parametrize("happen", [stop_log, set_clock_forward, stop_certifying])
def test_no_metric_calls_a_node_up_that_may_be_down(
    fleet: PaperFleet, happen: Callable[[PaperFleet], None]
) -> None:
    happen(fleet)

    assert "datadragon_node_certified_up{" not in get(fleet, "/metrics").text


def test_a_clock_that_is_behind_is_a_reason_to_be_not_ready(fleet: PaperFleet) -> None:
    set_clock_back(fleet)
    reasons = fleet.app().test_client().get("/readyz").json["reasons"]

    assert any(each.startswith("clock: the clock of this machine is 1799") for each in reasons)


def test_a_day_counted_with_a_wrong_clock_is_counted_again(fleet: PaperFleet) -> None:
    """The log has settled the day, but the clock has shown only its first minutes."""
    now = int(fleet.now)
    fleet.now += 3 * 86_400
    fleet.checkpoint()
    fleet.pass_time(2)
    index = LogIndex(fleet.log)

    index.days("target_1", now, 1)
    [*_, day], _ = index.days("target_1", now + 86_400, 2), None

    assert day == LogIndex(fleet.log).days("target_1", now + 86_400, 2)[-1]
    again = index.days("target_1", int(fleet.now), 4)
    assert again == LogIndex(fleet.log).days("target_1", int(fleet.now), 4)


def test_a_day_that_is_unknown_for_hours_is_not_up_all_day(fleet: PaperFleet) -> None:
    begun = int(fleet.now)
    for _ in range(6):  # about six minutes are certified
        fleet.now += 60
        fleet.checkpoint()
    fleet.now += 300  # and five are not
    fleet.checkpoint()
    for _ in range(6):
        fleet.now += 60
        fleet.checkpoint()
    fleet.pass_time(1)

    assert int(fleet.now) // 86_400 == begun // 86_400
    assert fleet.sources.index.bar("target_1", int(fleet.now), 1) == "?"


# Operators


def head(fleet: PaperFleet, **members: Any) -> answers.LogHead:
    own = fleet.log.head()
    return answers.LogHead.model_validate(
        {"size": own.size, "root": to_hex(own.root), "ledger_index": 0} | members
    )


def agreement(fleet: PaperFleet, said: answers.LogHead, *, earlier: int = 0) -> tuple[str, int]:
    """What is shown of an operator, and how many operators agree."""
    report = fleet.board.operator("operator_1")
    assert report is not None
    now = fleet.wall()
    former = tuple(Part(said, now - EARLIER_SECONDS * (EARLIER_HEADS - n)) for n in range(earlier))
    fleet.board.put(replace(report, head=Part(said, now), earlier_heads=former))
    found = get(fleet, "/api/fleet").json["health"]
    return found["operator_states"][0]["agreement"], found["agreeing"]


def test_an_operator_of_another_committee_does_not_agree(fleet: PaperFleet) -> None:
    own = to_hex(fleet.committee.id)
    assert agreement(fleet, head(fleet, committee=own)) == ("equal", 4)
    assert agreement(fleet, head(fleet, committee="0x" + "ab" * 32)) == ("foreign", 3)
    ahead = {"size": 1000, "committee": "0x" + "ab" * 32}
    assert agreement(fleet, head(fleet, **ahead)) == ("foreign", 3)


def test_an_operator_that_lacks_old_entries_does_not_agree(fleet: PaperFleet) -> None:
    former = head(fleet)
    fleet.down("target_1")
    fleet.pass_time(5)
    assert agreement(fleet, former) == ("equal", 4)  # the event may be on its way
    fleet.pass_time(90, step=5)

    assert agreement(fleet, former) == ("behind", 3)
    assert "lacks entries" in get(fleet, "/").text


def test_an_operator_with_entries_that_the_ledger_does_not_have_does_not_agree(
    fleet: PaperFleet,
) -> None:
    invented = head(fleet, size=1000)

    assert agreement(fleet, invented) == ("ahead", 4)
    assert agreement(fleet, invented, earlier=EARLIER_HEADS) == ("different", 3)
    assert (
        'status up"><svg class="icon up" aria-hidden="true"><use href="#i-up"/></svg>ahead'
        not in (get(fleet, "/").text)
    )


def test_answers_of_before_the_clock_was_set_back_are_not_current(fleet: PaperFleet) -> None:
    fleet.clock_error = -60

    states = get(fleet, "/api/fleet").json["health"]["operator_states"]

    assert {each["agreement"] for each in states} == {"silent"}


# Response times


def round_(start: int, latency: int, seen: str = "up") -> answers.Round:
    probe = {"node_id": "target_1", "seen": seen, "reason": "x", "latency_ms": latency}
    return answers.Round.model_validate(
        {
            "number": start,
            "start": start,
            "begun_late_ms": 0,
            "took_ms": 9,
            "overran": False,
            "skipped": 0,
            "note": "",
            "probes": [{**probe, "clock_offset_ms": None}],
            "gatherings": [],
        }
    )


def put_rounds(fleet: PaperFleet, name: str, *rounds: answers.Round) -> None:
    fleet.board.put(AggregatorReport(name, "http://a", rounds=Part(rounds, fleet.wall())))


def test_a_response_time_of_a_dead_aggregator_is_not_shown(fleet: PaperFleet) -> None:
    now = int(fleet.now)
    put_rounds(fleet, "aggregator_0", round_(now - HOUR, 20))
    badge = "/badge/target_1.json?metric=response"
    assert get(fleet, badge).json["message"] == "unknown"
    fleet.now += 5

    put_rounds(fleet, "aggregator_1", round_(now, 30))
    assert (get(fleet, badge).json["message"], get(fleet, badge).json["color"]) == ("30 ms", GREEN)


def test_a_node_that_did_not_answer_the_last_probe_has_no_response_time(fleet: PaperFleet) -> None:
    now = int(fleet.now)
    put_rounds(fleet, "aggregator_0", round_(now - 5, 20), round_(now, 900, "down"))

    found = get(fleet, "/badge/target_1.json?metric=response").json

    assert (found["message"], found["color"]) == ("no answer", "red")


class Heads(OperatorSource):
    """An operator whose log has always the same head."""

    def _get(self, model: Any, path: str, **params: Any) -> Any:
        if model is answers.LogHead:
            return answers.LogHead(size=1, root="0x" + "00" * 32, ledger_index=0)
        raise BadAnswer("not asked", reason="bad_answer")

    def _readiness(self) -> answers.Readiness:
        return answers.Readiness(status="ready", reasons=[])


def test_some_former_answers_about_a_log_are_kept() -> None:
    now = [1000.0]
    source = Heads("operator_1", "http://o", HttpClient.create(), lambda: now[0])
    report = None
    for _ in range(100):
        report = source.read(report)
        now[0] += 2

    assert report is not None
    times = [each.at or 0 for each in report.earlier_heads]
    assert len(times) == EARLIER_HEADS
    assert LAG_SECONDS <= now[0] - times[0] <= 2 * LAG_SECONDS
    assert all(b - a >= EARLIER_SECONDS for a, b in pairwise(times))
