"""Announced maintenance on pages: said everywhere, hidden nowhere, never counted as up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alerting import PaperFleet, config
from dragon.encoding import MAX_INTEGER
from dragon.protocol.claims.maintenance import Announced, MaintenanceWindow
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.index import DOWN, MAINTENANCE, Day
from dragon_explorer.maintenance import Maintenance, Window
from dragon_explorer.views.uptime import LETTERS

HOUR = 3600
WEEK = 7 * 86_400


# The index


def histories(seed: int) -> Iterator[tuple[SimpleNamespace, list[Window]]]:
    """Yield states of a growing log, each with all its windows in the order of the log."""
    draw = random.Random(seed)
    announced: dict[str, Announced] = {}
    windows: list[Window] = []
    size, now = 0, 10 * WEEK
    for _ in range(60):
        node, now = draw.choice(["target_1", "target_2", "operator_1"]), now + draw.randrange(WEEK)
        begin = now + draw.randrange(2 * WEEK)
        window = Window(begin, begin + draw.randint(1, WEEK), size, node, now)
        made = MaintenanceWindow(window.end, begin, now, size)
        announced[node] = announced.get(node, Announced()).appended(made, now)
        windows.append(window)
        size += draw.randint(1, 3)
        yield SimpleNamespace(size=size, maintenance=dict(announced)), list(windows)


def seconds_of(windows: list[Window], begin: int, end: int, step: int) -> int:
    """The seconds of an interval in any of the windows, if all ends are multiples of `step`."""
    return sum(
        step
        for second in range(begin, end, step)
        if any(each.begin <= second < each.end for each in windows)
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_index_of_maintenance_is_that_of_a_scan(seed: int) -> None:
    draw = random.Random(seed)
    log: Any = SimpleNamespace(state=None)
    index = None
    for number, (state, windows) in enumerate(histories(seed)):
        log.state = state
        index = index or Maintenance(log)
        if number % 7:
            continue
        own = sorted(each for each in windows if each.node_id == "target_1")
        time = draw.randrange(10 * WEEK, 80 * WEEK)
        assert list(index.of("target_1")) == own
        assert index.count == len(windows)
        assert list(index.newest(MAX_INTEGER, 5)) == windows[::-1][:5]
        assert list(index.newest(windows[-1].position, 3)) == windows[-2:-5:-1]
        assert list(index.not_ended(time, 50)) == sorted(e for e in windows if e.end > time)[:50]
        shared = [each for each in own if each.begin < time + WEEK and each.end > time]
        assert list(index.between("target_1", time, time + WEEK)) == shared
        running = [each for each in own if each.begin <= time < each.end]
        found = index.at("target_1", time)
        assert (found.end if found else None) == max((e.end for e in running), default=None)


def test_overlapping_windows_count_once() -> None:
    windows = [(0, 100, 400), (1, 200, 300), (2, 350, 500), (3, 700, 800)]
    announced = Announced()
    for position, begin, end in windows:
        announced = announced.appended(MaintenanceWindow(end, begin, 0, position), 0)
    log: Any = SimpleNamespace(state=SimpleNamespace(size=4, maintenance={"target_1": announced}))
    index, listed = Maintenance(log), [Window(b, e, p, "", 0) for p, b, e in windows]

    for begin in range(0, 900, 50):
        for end in range(begin, 900, 50):
            assert index.seconds("target_1", begin, end) == seconds_of(listed, begin, end, 50)
    assert index.seconds("target_2", 0, 900) == 0


def test_a_log_that_is_read_anew_is_indexed_anew() -> None:
    [*_, (state, windows)] = histories(0)
    log: Any = SimpleNamespace(state=state)
    index = Maintenance(log)
    assert index.count == len(windows)
    log.state = SimpleNamespace(size=1, maintenance={})

    assert index.count == 0
    assert list(index.of("target_1")) == []


def test_a_day_in_maintenance_is_a_day_down() -> None:
    assert Day(0, 86_400, down=60, unknown=0, maintenance=60).letter == MAINTENANCE
    assert Day(0, 86_400, down=60, unknown=0, maintenance=59).letter == DOWN
    assert LETTERS[MAINTENANCE] == "down"


# Pages


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[PaperFleet]:
    """A fleet in which target_1 is down: from 20 s before its maintenance until now, 40 s in it."""
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as fleet:
        fleet.up("target_1", "target_2", "target_3")
        fleet.checkpoint()
        fleet.announce("target_1", 40, 640)
        fleet.announce("target_2", HOUR, 2 * HOUR)
        fleet.pass_time(20, step=5)
        fleet.down("target_1")
        fleet.pass_time(60, step=5)
        fleet.checkpoint()
        fleet.work()
        yield fleet


def page(fleet: PaperFleet, path: str) -> str:
    answer = fleet.app().test_client().get(path)
    assert answer.status_code == 200, answer.text
    text: str = answer.text
    return text


def api(fleet: PaperFleet, path: str) -> Any:
    return fleet.app().test_client().get(f"/api{path}").json


def test_the_page_of_a_node_says_that_it_is_in_maintenance(fleet: PaperFleet) -> None:
    text, found = page(fleet, "/nodes/target_1"), api(fleet, "/nodes/target_1")

    assert "target_1 is down" in text
    assert "In announced maintenance" in text
    assert "40 s of it in announced maintenance" in text
    assert found["node"]["status"] == "down"
    assert found["node"]["maintenance"]["stage"] == "now"
    day = found["node"]["uptimes"][0]
    assert (day["seconds_down"], day["seconds_maintenance"]) == (60, 40)
    assert found["incidents"][0]["seconds_maintenance"] == 40
    assert [each["position"] for each in found["maintenance"]["ahead"]] == [4]
    assert found["days"][-1]["seconds_announced"] == 600
    assert 'class="a"' in text  # the line below the bar


def test_past_maintenance_stays_on_the_page(fleet: PaperFleet) -> None:
    fleet.now += HOUR
    fleet.up("target_1")
    fleet.work()
    found, text = api(fleet, "/nodes/target_1"), page(fleet, "/nodes/target_1")

    assert found["maintenance"]["ahead"] == []
    assert [each["seconds"] for each in found["maintenance"]["past"]] == [600]
    assert found["node"]["maintenance"] is None
    assert "Past maintenance" in text
    assert "10 min of it in announced maintenance" in text  # the outage


def test_the_fleet_marks_nodes_in_maintenance(fleet: PaperFleet) -> None:
    found, text = api(fleet, "/fleet"), page(fleet, "/")

    assert (found["counts"]["down"], found["in_maintenance"]) == (1, 1)
    assert "1 in announced maintenance" in text
    assert text.count(">in maintenance<") == 1


def test_incidents_say_how_much_of_them_was_announced(fleet: PaperFleet) -> None:
    assert "40 s of it in announced maintenance" in page(fleet, "/incidents")
    [incident] = api(fleet, "/incidents")["incidents"]
    text = page(fleet, f"/incidents/{incident['position']}")

    assert "in announced maintenance" in text
    assert f'href="/log/{api(fleet, "/incidents/6")["maintenance"][0]["position"]}"' in text


def test_an_announcement_in_the_log_names_who_signed_it(fleet: PaperFleet) -> None:
    found = api(fleet, "/log/4")

    assert (found["entry"]["kind"], found["entry"]["signers"]) == ("maintenance", 1)
    assert found["signers"] == ["owner_1"]
    assert "owner_1" in page(fleet, "/log/4")


def test_the_status_page_says_maintenance_and_counts_it_as_down(fleet: PaperFleet) -> None:
    found, text = api(fleet, "/public"), page(fleet, "/public")

    assert (found["status"], found["sentence"]) == (
        "down",
        "target_1 is down in announced maintenance.",
    )
    assert [each["name"] for each in found["maintenance"]] == ["target_1", "target_2"]
    assert "down, in maintenance" in text
    assert "40 seconds of it in announced maintenance" in text


def test_badge_and_feed_say_maintenance(fleet: PaperFleet) -> None:
    badge = fleet.app().test_client().get("/badge/target_1.json").json
    assert (badge["message"], badge["color"]) == ("down, in maintenance", "red")
    assert fleet.app().test_client().get("/badge/target_2.json").json["message"] == "up"

    feed = page(fleet, "/feed.atom")
    assert "Maintenance of target_1 is announced: 10 minutes" in feed
    assert "target_1 is down" in feed
    fleet.up("target_1")
    fleet.work()
    assert "target_1 was down for 1 minute, 40 seconds of it in announced" in page(
        fleet, "/feed.atom"
    )


# Agreements


def test_agreements_list_maintenance_of_all_nodes(fleet: PaperFleet) -> None:
    found, text = api(fleet, "/agreements"), page(fleet, "/agreements")

    assert [each["node_id"] for each in found["ahead"]] == ["target_1", "target_2"]
    assert [each["position"] for each in found["announced"]] == [5, 4]
    assert (found["announced_total"], found["period"]) == (2, None)
    assert 'href="/log/4"' in text


def test_totals_of_a_period_are_those_of_the_log(fleet: PaperFleet) -> None:
    begin = "2024-11-25T08:00:00Z"
    end = "2024-11-26"
    found = api(fleet, f"/agreements?from={begin}&to={end}")["period"]
    state = fleet.log.state

    assert found["nodes"] == 8
    for row in found["rows"]:
        totals = fleet.log.totals(state.size, row["node_id"], (found["begin"], found["end"]))
        assert row["seconds_down"] == totals.seconds_down
        assert row["seconds_maintenance"] == totals.seconds_maintenance
        assert row["seconds_unknown"] == totals.seconds_unknown
        seconds = row["seconds_up"] + row["seconds_down"] + row["seconds_unknown"]
        assert seconds == found["seconds"] == 16 * HOUR
    down = next(each for each in found["rows"] if each["node_id"] == "target_1")
    assert (down["seconds_down"], down["seconds_maintenance"]) == (60, 40)
    assert not found["is_settled"]
    assert found["certify_command"].startswith(f"dragon period {begin} {end}T00:00:00Z ")


def test_a_month_is_a_period_and_pages_go_on(
    fleet: PaperFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragon_explorer.views.agreements.PAGE_NODES", 5)
    first = api(fleet, "/agreements?month=2024-11")["period"]
    text = page(fleet, f"/agreements?month=2024-11&after={first['next']}")
    rest = api(fleet, f"/agreements?month=2024-11&after={first['next']}")["period"]

    assert first["seconds"] == 30 * 86_400
    ids = [each["node_id"] for each in (*first["rows"], *rest["rows"])]
    assert ids == sorted(fleet.committee.urls)
    assert rest["next"] is None
    assert "This period is not settled yet" in text
    assert "dragon period prove period.json" in text
    assert "/period-certificates" in text


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("month=2024-13", "unknown-value"),
        ("month=x", "unknown-value"),
        ("from=2024-11-01", "missing-member"),
        ("from=2024-11-02&to=2024-11-01", "integer-out-of-range"),
        ("from=2024-11-01&to=2024-11-01", "integer-out-of-range"),
        ("from=2020-01-01&to=2024-11-01", "integer-out-of-range"),
        ("from=1969-01-01&to=1969-02-01", "integer-out-of-range"),
        ("from=0001-01-01T00:00:00%2B23:59&to=2024-11-01", "integer-out-of-range"),
        ("from=2024-11-01T00:00:00.5Z&to=2024-11-02", "unknown-value"),
        (f"from={'9' * 5000}&to=2024-11-01", "unknown-value"),
        ("after=No!", "invalid-id"),
        ("before=-1", "integer-out-of-range"),
        ("until=2024", "unknown-member"),
    ],
)
def test_a_wrong_period_is_refused(fleet: PaperFleet, query: str, error: str) -> None:
    client = fleet.app().test_client()
    answer = client.get(f"/api/agreements?{query}")

    assert (answer.status_code, answer.json["type"].rpartition(":")[2]) == (400, error)
    assert client.get(f"/agreements?{query}").status_code == 400


def test_empty_fields_of_the_form_choose_nothing(fleet: PaperFleet) -> None:
    assert api(fleet, "/agreements?month=&from=&to=")["period"] is None
