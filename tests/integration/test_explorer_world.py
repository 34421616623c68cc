"""An explorer on a simulated fleet: certified facts, live answers, and what strangers send it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from werkzeug.test import TestResponse

from committees import make_members
from dragon.encoding import parse, to_hex
from dragon.log.audit import audit
from dragon.protocol import event
from dragon.protocol.log_entry import ProvenEntry
from dragon_cli.main import main
from dragon_explorer.alerts.alerting import open_database
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.config import AlertsConfig, Rule
from dragon_explorer.alerts.routes import Route
from dragon_explorer.live import answers
from dragon_explorer.live import sources as live_sources
from dragon_explorer.live.audience import PRESENT_SECONDS
from dragon_explorer.live.board import Part
from dragon_explorer.main import background, with_alerts
from dragon_explorer.public_page import Note, PublicNode, PublicPage
from dragon_explorer.rendering import TICK_SECONDS
from dragon_explorer.routes.verification import MAX_FORM_BYTES
from dragon_explorer.settings import Settings
from dragon_explorer.views.verify import MAX_VERIFY_BYTES
from explorer_fleet import EXPLORER, ExplorerWorld, SmallExplorerWorld, fleet_with_history

ATOM = "{http://www.w3.org/2005/Atom}"
PAGES = (
    *("/", "/nodes/target_1", "/nodes/operator_4?period=90d", "/incidents", "/rounds"),
    *("/agreements", "/agreements?month=2024-11", "/nodes/target_2", "/nodes/target_3"),
    *("/committee", "/streams", "/log", "/log/0", "/alerts", "/verify", "/public"),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExplorerWorld]:
    """A fleet in which an outage of target_1 has ended and operator_4 hangs. Tests only read."""
    with fleet_with_history(tmp_path_factory.mktemp("world")) as made:
        yield made


def get(world: SmallExplorerWorld, path: str, **headers: str) -> TestResponse:
    return world.app().test_client().get(path, headers=headers)


def api(world: SmallExplorerWorld, path: str) -> Any:
    answer = get(world, f"/api/{path}")
    assert answer.status_code == 200, answer.text
    return parse(answer.data)  # strict: our own clients read it


def rows(items: list[dict[str, Any]], key: str) -> Mapping[str, dict[str, Any]]:
    return {item[key]: item for item in items}


def stream_of(world: ExplorerWorld) -> str:
    [stream] = api(world, "streams")["streams"]
    return str(stream["stream"])


# Certified facts


def test_the_log_is_verified_and_equal_to_an_operators(world: ExplorerWorld) -> None:
    found = audit(world.database_file(EXPLORER), world.committee)

    assert found.root == world.components("operator_1").log.head().root


def test_the_fleet_shows_status_incidents_and_health(world: ExplorerWorld) -> None:
    found = api(world, "fleet")
    nodes = rows(found["nodes"], "node_id")

    assert {name: node["status"] for name, node in nodes.items()} == {
        **{f"operator_{n}": "up" for n in (1, 2, 3)},
        "operator_4": "down",
        "target_1": "up",
        "target_2": "up",
        "target_3": "up",
    }
    assert found["counts"] == {"up": 6, "down": 1, "unknown": 0}
    assert [name for name, node in nodes.items() if node["maintenance"]] == ["target_2"]
    assert [each["node_id"] for each in found["open_incidents"]] == ["operator_4"]
    assert [nodes[name]["bar"][-1] for name in ("target_1", "target_2")] == ["d", "u"]
    assert nodes["target_1"]["uptimes"][0]["seconds_down"] == 15
    assert nodes["target_2"]["uptimes"][0]["ppm"] == 1_000_000
    assert nodes["target_2"]["latency_ms"] is not None
    assert nodes["operator_4"]["latencies_ms"][-1] is None
    assert found["health"]["sentence"] == (
        "3 of 4 operators agree. One more fault stops certification."
    )
    states = rows(found["health"]["operator_states"], "operator")
    assert states["operator_1"]["agreement"] == "equal"
    assert states["operator_1"]["root"] == found["health"]["log_root"]
    assert states["operator_4"]["error"]


def test_an_incident_has_everything_that_proves_it(world: ExplorerWorld) -> None:
    listed = api(world, "incidents")
    assert listed["total"] == 2
    old = next(each for each in listed["incidents"] if each["node_id"] == "target_1")
    assert (old["ended"] - old["begun"], old["seconds"]) == (15, 15)

    found = api(world, f"incidents/{old['position']}")

    assert (found["node_id"], found["status"]) == ("target_1", "down")
    assert found["outage"] == old
    assert len(found["signers"]) >= found["needed"] == 3
    assert set(found["signers"]) | set(found["others"]) == set(world.operators)
    [gathering] = found["gatherings"]
    assert gathering["certified"]
    assert {each["operator"] for each in gathering["answers"]} == set(world.operators)
    end = api(world, f"incidents/{old['end_position']}")
    assert (end["status"], end["outage"]) == ("up", old)


def test_a_download_is_verified_by_the_library(world: ExplorerWorld) -> None:
    position = api(world, "incidents")["incidents"][0]["position"]

    answer = get(world, f"/downloads/event-{position}.json")

    assert f'filename="event-{position}.json"' in answer.headers["Content-Disposition"]
    proven = ProvenEntry.from_json(json.loads(answer.data))
    proven.verify(world.committee)
    assert proven.root == world.components("operator_1").log.head(proven.size).root


def test_pages_of_incidents_and_entries_cover_the_log(world: ExplorerWorld) -> None:
    size = world.explorer.log.state.size
    entries = api(world, "log")["entries"]
    assert [each["position"] for each in entries] == list(reversed(range(size)))
    assert [e["position"] for e in api(world, "log?before=3")["entries"]] == [2, 1, 0]
    assert api(world, "log?before=0")["entries"] == []
    newest, oldest = api(world, "incidents")["incidents"]
    below = api(world, f"incidents?before={newest['position']}")["incidents"]
    assert below == [oldest]
    assert sum(api(world, "log")["refused_counts"].values()) == 1


def test_what_is_no_incident_is_not_found(world: ExplorerWorld) -> None:
    checkpoint = next(e for e in api(world, "log")["entries"] if e["kind"] == "checkpoint")

    for position in (checkpoint["position"], 10_000):
        answer = get(world, f"/api/incidents/{position}")
        assert (answer.status_code, answer.json["title"]) == (404, "not_found")
        assert get(world, f"/incidents/{position}").status_code == 404


def test_the_votes_on_a_decided_window_are_kept(world: ExplorerWorld) -> None:
    """The aggregator has dropped the window, and operator_4 was silent."""
    [verdict] = api(world, f"streams/{stream_of(world)}/windows/1")["verdicts"]

    votes = {each["operator"]: each for each in verdict["votes"]}
    silent = votes.pop("operator_4")
    assert (silent["outcome"], silent["reason"], silent["is_certified"]) == (
        *("silent", "timeout"),
        False,
    )
    assert {(each["outcome"], each["is_certified"]) for each in votes.values()} == {
        ("signed", True)
    }


def test_streams_are_followed_from_closed_to_certified(world: ExplorerWorld) -> None:
    stream = stream_of(world)
    found = api(world, f"streams/{stream}")

    assert found["stream"]["name"] == "sensor-1"
    assert [(each["number"], each["stage"]) for each in found["windows"]] == [
        (1, "certified"),
        (0, "certified"),
    ]
    window = api(world, f"streams/{stream}/windows/0")
    [verdict] = window["verdicts"]
    assert verdict["verdict"] == "valid"
    assert verdict["security"]["level"] > 80
    assert {each["outcome"] for each in verdict["votes"]} <= {"signed", "valid"}
    assert (window["window"]["security_bits"], verdict["least_bits"]) == (101, 100)
    assert window["window"]["proof_bytes"] == verdict["proof_bytes"] > 10_000
    assert get(world, f"/api/streams/{stream}/windows/9").status_code == 404
    assert get(world, f"/api/streams/0x{'00' * 32}").status_code == 404


def test_participation_counts_what_operators_answered(world: ExplorerWorld) -> None:
    operators = rows(api(world, "committee")["operators"], "operator")
    hour = {name: each["participation"][0] for name, each in operators.items()}

    assert hour["operator_1"]["signed"] > 0
    assert hour["operator_1"]["silent"] == {}
    assert hour["operator_4"]["expected"] < hour["operator_1"]["expected"]  # about itself


def test_response_times_are_kept_by_observer(world: ExplorerWorld) -> None:
    chart = api(world, "nodes/target_1?period=1h")["chart"]
    lines = rows(chart["lines"], "observer")

    assert {"aggregator_0", "operator_1"} <= set(lines)
    assert all(len(each["mean_ms"]) == len(chart["times"]) for each in lines.values())
    assert sum(lines["aggregator_0"]["failed"]) >= 3


def test_a_round_has_its_suspicions_and_so_has_the_incident(world: ExplorerWorld) -> None:
    """The report came after the aggregator had finished its own part of the round."""
    incident = api(world, "incidents")["incidents"][0]
    found = api(world, f"incidents/{incident['position']}")
    shown = rows(api(world, "rounds")["rounds"], "number")[found["round"]]

    [suspicion] = shown["suspicions"]
    assert suspicion["after_ms"] > 0
    assert {name: suspicion[name] for name in ("operator", "node_id", "status", "outcome")} == {
        "operator": "operator_1",
        "node_id": "operator_4",
        "status": "down",
        "outcome": "certified",
    }
    [gathering] = found["gatherings"]
    assert gathering["suspicions"] == [suspicion]
    assert gathering["round"] == found["round"]
    assert [each["seen"] for each in gathering["probes"]] == ["up"]
    page = get(world, f"/incidents/{incident['position']}").text
    assert "suspected after" in page
    assert "operator_4 was not asked" in page
    assert "operator_4 down, by operator_1" in get(world, "/rounds").text


def test_a_node_says_what_counts_as_up(world: ExplorerWorld) -> None:
    found, page = api(world, "nodes/target_3")["check"], get(world, "/nodes/target_3").text

    assert (found["kind"], found["warn_days"], found["owner"]) == ("tls", 14, "")
    assert found["looks"] in page
    assert "target_3 is up if a TLS handshake ends within 1 s" in page
    assert "nobody can announce maintenance" in page
    assert "This target has no owner, so nobody can announce it." in page
    assert "Its owner owner_1 may announce maintenance" in get(world, "/nodes/target_1").text
    assert api(world, "nodes/operator_1")["check"] is None


def test_the_committee_lists_checks_and_owners(world: ExplorerWorld) -> None:
    found, page = api(world, "committee"), get(world, "/committee").text

    assert [each["id"] for each in found["owners"]] == ["owner_1", "owner_2"]
    assert [each["check"]["kind"] for each in found["targets"]] == ["http", "http", "tls"]
    assert found["maintenance_notice"] == 30
    assert "at least 30 s ahead" in page
    assert "GET is answered within 1 s with status 200 to 299" in page


def test_the_last_rounds_of_each_observer_have_their_reasons(world: ExplorerWorld) -> None:
    recent = api(world, "nodes/operator_4")["recent"]
    observers = rows(recent["observers"], "observer")

    assert list(observers) == ["aggregator_0", "operator_1", "operator_2", "operator_3"]
    rounds = world.committee.rounds
    assert recent["starts"][-1] == rounds.start(rounds.number(world.clock.now))
    for observer, each in observers.items():
        failed = 4 if observer != "aggregator_0" else 3  # operators probe in the middle of a round
        assert len(each["outcomes"]) == len(each["latencies_ms"]) == recent["rounds"]
        assert each["outcomes"][-failed:] == ["timeout"] * failed, observer
        assert each["outcomes"][-failed - 1] == "answered"
        assert each["latencies_ms"][-1] is None
        assert (each["runs"][0]["outcome"], each["runs"][0]["rounds"]) == ("timeout", failed)
    page = get(world, "/nodes/operator_4").text
    assert 'aria-label="operator_1, 23 rounds: 19 answered, 4 seen down"' in page
    seen = rows(api(world, "nodes/target_1")["recent"]["observers"], "observer")
    assert set(seen["operator_1"]["outcomes"]) == {"answered", "unreachable"}
    assert seen["aggregator_0"]["outcomes"].count("unreachable") == 3


def test_an_entry_is_compared_with_each_operators_log(world: ExplorerWorld) -> None:
    found = rows(api(world, "log/0")["operators"], "operator")

    assert {name: each["entry"] for name, each in found.items()} == {
        **{f"operator_{n}": "equal" for n in (1, 2, 3)},
        "operator_4": "silent",
    }
    assert "Do the operators have the same entry?" in get(world, "/log/0").text


@pytest.mark.parametrize("kind", ["status", "window", "checkpoint"])
def test_the_command_of_a_page_verifies_the_downloads(
    world: ExplorerWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    position = next(e["position"] for e in api(world, "log")["entries"] if e["kind"] == kind)
    command = api(world, f"log/{position}")["command"]
    page = get(world, f"/log/{position}").text
    assert f"<code>{command}</code>" in page
    for link in re.findall(r'href="(/downloads/[^"]+)" download', page):
        answer = get(world, link)
        [name] = re.findall('filename="(.+)"', answer.headers["Content-Disposition"])
        (tmp_path / name).write_bytes(answer.data)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as ended:
        main(command.split()[1:])

    assert ended.value.code in {0, None}


def test_badges_and_feed(world: ExplorerWorld) -> None:
    def badge(node: str, metric: str) -> tuple[str, str]:
        found = get(world, f"/badge/{node}.json?metric={metric}").json
        return found["message"], found["color"]

    assert badge("operator_4", "status") == ("down", "red")
    assert badge("target_2", "uptime-24h") == ("100.000 %", "brightgreen")
    assert badge("target_1", "uptime-90d")[1] == "red"
    assert badge("target_2", "response")[0].endswith(" ms")
    assert badge("operator_4", "response") == ("no answer", "red")
    image = ElementTree.fromstring(get(world, "/badge/target_1.svg").data)
    assert image.get("aria-label") == "target_1: up"
    feed = ElementTree.fromstring(get(world, "/feed.atom").data)
    titles = [each.findtext(f"{ATOM}title") for each in feed.iter(f"{ATOM}entry")]
    assert titles == [
        "operator_4 is down",
        "Maintenance of operator_1 is announced: 1 hour",
        "Maintenance of target_2 is announced: 1 hour",
        "target_1 was down for 15 seconds",
    ]


def test_the_public_page_shows_no_internals(world: ExplorerWorld) -> None:
    found = api(world, "public")

    assert [each["name"] for each in found["nodes"]] == ["target_1", "target_2", "target_3"]
    assert [each["name"] for each in found["maintenance"]] == ["target_2"]
    assert found["sentence"] == "All services are up."
    assert [each["sentence"] for each in found["incidents"]] == [
        "target_1 was down for 15 seconds."
    ]
    text = get(world, "/public").text
    assert "operator_" not in text
    assert "http://target" not in text


def test_the_public_page_has_groups_and_notes(world: ExplorerWorld) -> None:
    now = world.explorer.wall()
    page = PublicPage(
        "Example",
        nodes=(
            PublicNode("target_1", "Website", "Shop"),
            PublicNode("target_2", "Basket", "Shop"),
            PublicNode("operator_1", "Mail", ""),
        ),
        notes=(
            Note("Over", end=int(now) - 60),
            Note("Slow", "Line one\n<b>two</b>", nodes=("target_1",)),
            Note("Move", begin=int(now) + 3600, end=int(now) + 7200),
        ),
    )
    file, before = world.explorer.sources.public_file, world.explorer.sources.public
    etag = get(world, "/public").headers["ETag"]
    try:
        file.page = page
        answer = get(world, "/public", **{"If-None-Match": etag})
        found = api(world, "public")
    finally:
        file.page = before

    assert answer.status_code == 200
    assert [each["group"] for each in found["nodes"]] == ["Shop", "Shop", ""]
    assert [(each["title"], each["stage"], each["services"]) for each in found["notes"]] == [
        ("Slow", "now", ["Website"]),
        ("Move", "planned", []),
    ]
    assert answer.text.count(">Shop</h3>") == 1
    assert "&lt;b&gt;two&lt;/b&gt;" in answer.text
    assert "Announced maintenance is in the certified log." in answer.text


# Pages


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_rendered_with_a_strict_policy(world: ExplorerWorld, path: str) -> None:
    answer = get(world, path)

    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "style=" not in answer.text
    assert "http://" not in answer.text.replace("http://www.w3.org", "") or path != "/public"


@pytest.mark.parametrize("path", [path for path in PAGES if path != "/verify"])
def test_a_fragment_is_a_part_of_its_page(world: ExplorerWorld, path: str) -> None:
    fragment = get(world, f"{path}{'&' if '?' in path else '?'}fragment")

    assert fragment.status_code == 200
    assert "<html" not in fragment.text
    assert fragment.text.strip()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/nodes/nobody", 404),
        ("/nodes/A", 400),
        ("/incidents/x", 400),
        ("/incidents?before=x", 400),
        ("/log?what=1", 400),
        ("/streams/0x12", 400),
    ],
)
def test_a_wrong_address_is_a_page_with_the_reason(
    world: ExplorerWorld, path: str, status: int
) -> None:
    answer = get(world, path)

    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert get(world, f"/api{path}").mimetype == "application/problem+json"


def test_a_page_that_has_not_changed_is_not_sent_again(world: ExplorerWorld) -> None:
    for path in ("/", "/api/fleet", "/badge/target_1.svg", "/feed.atom"):
        client = world.app().test_client()
        etag = client.get(path).headers["ETag"]
        again = client.get(path, headers={"If-None-Match": etag})

        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == etag


# What changes


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallExplorerWorld]:
    """A fleet of its own, after two rounds."""
    with SmallExplorerWorld(tmp_path) as made:
        made.run(2)
        yield made


def test_an_event_changes_the_page_at_once(small: SmallExplorerWorld) -> None:
    client = small.app().test_client()
    etag = client.get("/").headers["ETag"]
    now = small.clock.now
    small.stop("operator_2")
    small.run(3)
    small.clock.now = now  # so that nothing else can have changed

    answer = client.get("/", headers={"If-None-Match": etag})

    assert answer.status_code == 200
    small.clock.now = now + TICK_SECONDS * 9
    assert client.get("/api/fleet").json["open_incidents"][0]["node_id"] == "operator_2"


def test_pages_work_from_the_log_when_nobody_answers(small: SmallExplorerWorld) -> None:
    for name in (*small.operators, *small.aggregators):
        small.stop(name)
    small.poll()
    client = small.app().test_client()

    for path in PAGES:
        if "target" not in path:
            assert client.get(path).status_code == 200, path
    found = client.get("/api/fleet").json
    assert found["counts"] == {"up": 4, "down": 0, "unknown": 0}
    assert found["health"]["agreeing"] == 4  # the last answers are seconds old
    small.clock.now += 60
    health = client.get("/api/fleet").json["health"]
    assert (health["agreeing"], health["margin"]) == (0, -3)
    assert {each["agreement"] for each in health["operator_states"]} == {"silent"}
    small.clock.now += small.committee.rounds.unknown_after
    found = client.get("/api/fleet").json
    assert found["counts"]["unknown"] == 4  # green means green
    assert not found["health"]["certifying"]


def test_the_rounds_of_a_large_committee_in_trouble_fit_onto_a_page(
    small: SmallExplorerWorld,
) -> None:
    """All of 200 nodes are down, and 64 operators answer late about each of them."""
    board = small.explorer.sources.board
    [report] = board.aggregators()
    probes = [
        answers.Probe(
            node_id=f"target_{number}",
            seen="down",
            reason="timeout",
            latency_ms=1000,
            clock_offset_ms=None,
        )
        for number in range(200)
    ]
    said = [
        answers.OperatorAnswer(
            operator=f"operator_{number}",
            answer="timeout" if number % 2 else "signed",
            detail="x" * 80,
            latency_ms=9000,
        )
        for number in range(64)
    ]
    suspicions = [
        answers.Suspicion(
            operator="operator_1",
            node_id=f"target_{number}",
            status="down",
            after_ms=100,
            outcome="taken",
            detail="x" * 80,
        )
        for number in range(200)
    ]
    asked = [
        answers.Gathering(
            claim=answers.Claim(kind="status", node_id=f"target_{number}", status="down"),
            needed=43,
            certified=False,
            answers=said,
        )
        for number in range(200)
    ]
    newest = (report.rounds.value or ())[-1]
    rounds = tuple(
        newest.model_copy(
            update={
                "number": number,
                "probes": probes,
                "gatherings": asked,
                "suspicions": suspicions,
            }
        )
        for number in range(60)
    )
    board.put(replace(report, rounds=Part(rounds, small.clock.now)))

    page = small.app().test_client().get("/rounds")

    assert page.status_code == 200
    assert len(page.data) <= 300_000
    assert "and 54 more answers" in page.text


def test_pages_and_their_json_count_as_looking(small: SmallExplorerWorld) -> None:
    """Not what machines fetch day and night."""
    client, audience = small.app().test_client(), small.explorer.audience
    others = ["/healthz", "/readyz", "/metrics", "/public", "/static/style.css", "/feed.atom"]

    for path in (*others, "/badge/operator_1.svg", "/badge/operator_1.json", "/checkpoint"):
        with client.get(path) as answer:
            assert answer.status_code in {200, 503}, path
        assert not audience.is_present(), path
    for path in ("/", "/nodes/operator_1", "/rounds?fragment", "/api/fleet"):
        assert client.get(path).status_code == 200
        assert audience.is_present(), path
        small.clock.now += PRESENT_SECONDS + 1


def test_a_service_that_hangs_costs_only_its_own_part(small: SmallExplorerWorld) -> None:
    small.stop("operator_3", "hang")
    small.clock.now += 40
    begun = small.clock.now
    took = {}
    for poller in small.explorer.pollers.current():
        small.clock.now = begun
        poller.step()
        took[poller.source.name] = small.clock.now - begun

    assert took.pop("operator_3") <= 5 * live_sources.DEADLINE_SECONDS
    assert set(took.values()) == {0.0}
    states = rows(
        small.app().test_client().get("/api/fleet").json["health"]["operator_states"], "operator"
    )
    assert {each["agreement"] for each in states.values()} == {"equal", "silent"}
    assert states["operator_3"]["agreement"] == "silent"


def test_an_operator_with_another_log_is_shown_as_different(small: SmallExplorerWorld) -> None:
    head = {"size": 2, "root": "0x" + "ab" * 32, "ledger_index": 1}

    def lying(environ: Any, start_response: Any) -> list[bytes]:
        body = head if environ["PATH_INFO"] == "/checkpoint" else {"status": "ready", "reasons": []}
        text = json.dumps(body).encode()
        start_response("200 OK", [("Content-Length", str(len(text)))])
        return [text]

    small.impersonate("operator_1", lying)
    small.poll()
    client = small.app().test_client()
    states = client.get("/api/fleet").json["health"]["operator_states"]

    assert rows(states, "operator")["operator_1"]["agreement"] == "different"
    small.clock.now += TICK_SECONDS
    head["size"] = 1000
    small.poll()
    states = client.get("/api/fleet").json["health"]["operator_states"]
    assert rows(states, "operator")["operator_1"]["agreement"] == "ahead"


# A first visitor: what a page says while nothing is certified


def text_of(world: SmallExplorerWorld, path: str = "/") -> str:
    world.clock.now += TICK_SECONDS
    world.explorer.follower.catch_up()
    return world.app().test_client().get(path).text


def test_a_new_fleet_says_that_nothing_is_certified_yet(tmp_path: Path) -> None:
    with SmallExplorerWorld(tmp_path) as world:
        for path in ("/", "/log"):
            assert "Nothing is certified yet." in text_of(world, path)
        assert "The status of all 4 nodes is unknown" in text_of(world)
        assert "no uptime known yet" in text_of(world, "/public")
        world.run(2)
        assert "No checkpoint has been certified yet." in text_of(world)
        assert "All 4 nodes are up" in text_of(world)


def test_an_explorer_that_has_just_started_says_that_it_reads(small: SmallExplorerWorld) -> None:
    small.restart(EXPLORER)
    client = small.app().test_client()
    assert "This explorer is still reading the ledger" in client.get("/").text
    assert "still reading" not in text_of(small)


def test_a_dead_fleet_is_not_shown_as_up(small: SmallExplorerWorld) -> None:
    small.run(14)
    assert 'class="notice"' not in text_of(small).replace('id="connection" class="notice"', "")
    for name in (*small.operators, *small.aggregators):
        small.stop(name)
    small.clock.now += (
        small.committee.rounds.unknown_after + small.committee.rounds.checkpoint_every
    )
    small.poll()

    text = text_of(small)

    assert "The operators certify nothing at the moment." in text
    assert "The status of all 4 nodes is unknown" in text
    assert "The status is unknown at the moment." in text_of(small, "/public")


def test_an_explorer_with_another_committee_says_so(small: SmallExplorerWorld) -> None:
    other, folder = make_members(name="before"), small.folder / "other"
    folder.mkdir()
    with SmallExplorerWorld(folder, other) as stranger:
        stranger.wires = small.wires  # it reaches the services of the other fleet
        stranger.poll()
        client = stranger.app().test_client()

        health = client.get("/api/fleet").json["health"]

        assert {each["agreement"] for each in health["operator_states"]} == {"foreign"}
        assert health["agreeing"] == 0
        assert health["committee"] == to_hex(other.committee.id)
        text = client.get("/").text
        assert "another committee file than 4 of 4 operators" in text
        assert "another committee" in client.get("/committee").text


def test_an_explorer_that_refuses_everything_says_so(small: SmallExplorerWorld) -> None:
    log, folder = small.explorer.log, small.folder / "other"
    events = [log.entry(position).event for position in range(log.state.size)]
    folder.mkdir()
    with SmallExplorerWorld(folder, make_members(name="before")) as stranger:
        stranger.submit(*events)

        assert "This explorer refused every event on the ledger" in text_of(stranger)


def test_a_restart_keeps_log_and_history(small: SmallExplorerWorld) -> None:
    before = api(small, "nodes/operator_1?period=1h")["chart"]["lines"]
    size = small.explorer.log.state.size

    small.restart(EXPLORER)

    assert small.explorer.log.state.size == size
    assert api(small, "nodes/operator_1?period=1h")["chart"]["lines"] == before
    assert api(small, "fleet")["health"]["agreeing"] == 0  # nobody was asked yet


def test_a_host_of_the_public_page_serves_nothing_else(tmp_path: Path) -> None:
    class Public(SmallExplorerWorld):
        public = PublicPage(
            "Example status", "", (PublicNode("operator_1", "Site"),), frozenset({"status.example"})
        )

    with Public(tmp_path) as world:
        world.run(2)
        client = world.app().test_client()

        def at(path: str, host: str = "Status.example:8443") -> TestResponse:
            return client.get(path, headers={"Host": host})

        assert "Example status" in at("/").text
        assert "operator_2" not in at("/").text
        assert "operator_2" in at("/", "explorer.example").text
        for path in (
            "/log",
            "/api/fleet",
            "/metrics",
            "/openapi.json",
            "/downloads/committee.json",
        ):
            assert at(path).status_code == 404
            assert at(path, "explorer.example").status_code == 200
        for path in ("/healthz", "/badge/operator_1.svg", "/badge/operator_1.json", "/api/public"):
            assert at(path).status_code == 200
        for path in ("/public", "/feed.atom"):
            assert at(path).status_code == 200
        for path in ("/readyz", "/badge/operator_2.svg", "/badge/operator_2.json", "/badge/x/y"):
            assert at(path).status_code == 404
        for host in ("status.example.", "status.example:", "status.example.:443", "a b"):
            assert "operator_2" not in at("/", host).text
            assert at("/log", host).status_code in {400, 404}
        assert "Site: up" in at("/badge/operator_1.svg").text
        assert at("/publicity").status_code == 404
        world.stop("operator_1")
        world.stop("operator_2")
        world.run(4)
        feed = at("/feed.atom").text
        assert "Incidents of Example status" in feed
        assert "operator" not in feed
        for path in ("/log", "/nowhere", "/nodes/operator_2"):
            page = at(path).text
            assert "Example status</title>" in page
            assert "Committee" not in page


# Verification of what strangers send


def verify(world: ExplorerWorld, body: bytes) -> Any:
    answer = world.app().test_client().post("/api/verify", data=body)
    assert answer.status_code == 200, answer.text
    return answer.json


def outcomes(found: Any) -> dict[str, str]:
    return {each["name"]: each["outcome"] for each in found["lines"]}


def test_an_event_is_verified_line_by_line(world: ExplorerWorld) -> None:
    body = get(world, "/downloads/event-0.json").data

    found = verify(world, body)

    assert (found["what"], found["verdict"]) == ("event", "verified")
    assert outcomes(found) == {"signatures": "holds", "inclusion": "holds", "log": "holds"}
    assert found["command"] == "dragon verify event event.json --committee committee.json"


@pytest.mark.parametrize(
    ("member", "value", "line"),
    [
        ("root", "0x" + "00" * 32, "inclusion"),
        ("ledger_index", 99, "inclusion"),
        ("size", 1, "inclusion"),
    ],
)
def test_a_changed_event_is_refused_at_the_right_line(
    world: ExplorerWorld, member: str, value: object, line: str
) -> None:
    event = json.loads(get(world, "/downloads/event-0.json").data)

    found = verify(world, json.dumps({**event, member: value}).encode())

    assert found["verdict"] == "refused"
    assert outcomes(found)[line] == "refused"


def test_a_certificate_is_verified_and_a_changed_one_refused(world: ExplorerWorld) -> None:
    certificate = json.loads(get(world, "/downloads/certificate-0.json").data)

    assert verify(world, json.dumps(certificate).encode())["verdict"] == "verified"
    certificate["node_id"] = "operator_2"
    found = verify(world, json.dumps(certificate).encode())
    assert (found["what"], found["verdict"]) == ("certificate", "refused")


def test_a_receipt_is_verified_without_its_data(world: ExplorerWorld) -> None:
    [stream] = world.components("stream_api").streams.all()
    made = {"stream": to_hex(stream.id), "token": stream.keys.token}
    receipt = json.dumps(world.receipt(made, 0, proof=False).to_json()).encode()

    found = verify(world, receipt)

    assert (found["what"], found["verdict"]) == ("receipt", "verified")
    assert outcomes(found)["data"] == "absent"
    assert outcomes(found)["votes"] == outcomes(found)["checkpoint"] == "holds"
    changed = receipt.replace(b'"length": 4', b'"length": 5')
    assert changed != receipt
    assert verify(world, changed)["verdict"] == "refused"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"   ", b"{", b"[]", b"7", b"{}", b'"x"', b"\xff\xfe", b"[" * 5000),
        *(b'{"descriptor":1,"chunk":2}', b'{"inclusion":[],"event":{}}'),
        *(b'{"aggregated_signature":"0x"}', b'{"expert":"x"}', b'{"a":1,"a":2}', b"1e999"),
    ],
)
def test_no_document_makes_the_verification_fail(world: ExplorerWorld, body: bytes) -> None:
    found = verify(world, body)

    assert found["verdict"] == "refused"
    assert found["sentence"]


def test_a_document_that_is_too_large_is_refused(world: ExplorerWorld) -> None:
    client = world.app().test_client()
    body = b"x" * (MAX_VERIFY_BYTES + 1)

    assert client.post("/api/verify", data=body).status_code == 413
    text = client.post("/verify/result", data={"text": b"x" * (MAX_FORM_BYTES + 1)})
    assert text.status_code == 413
    form = client.post("/verify/result", data={"text": body})
    assert form.status_code in {400, 413}


def test_the_form_takes_a_text_or_a_file(world: ExplorerWorld, tmp_path: Path) -> None:
    client, document = world.app().test_client(), get(world, "/downloads/event-0.json").data
    file = tmp_path / "event.json"
    file.write_bytes(document)

    with file.open("rb") as opened:
        answers = [
            client.post("/verify/result", data={"text": document}),
            client.post("/verify/result", data={"file": (opened, "event.json"), "text": ""}),
        ]

    for answer in answers:
        assert answer.status_code == 200
        assert "verified" in answer.text
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert client.post("/verify/result").status_code == 200


def settings_of(world: SmallExplorerWorld) -> Settings:
    """The settings that matter to alerts."""
    return Settings(
        committee=world.committee,
        database=world.database_file(EXPLORER),
        nodes_files=(),
        host="",
        port=0,
        threads=1,
        public=PublicPage.of_all(world.committee),
    )


def test_an_outage_of_the_fleet_is_told(small: SmallExplorerWorld) -> None:
    route = Route("team", "webhook", "http://no-receiver.example/secret-path")
    rule = Rule("nodes", frozenset({Condition.NODE_DOWN}), ("team",))
    settings = replace(settings_of(small), alerts=AlertsConfig((rule,), {"team": route}))
    alerts_database = open_database(settings.database)
    components = with_alerts(small.explorer, settings, alerts_database, small.runtime(EXPLORER))
    assert components.alerting is not None
    components.alerting.engine.step()
    small.stop("operator_2")
    for _ in range(4):
        small.run(1)
        components.alerting.engine.step()

    [delivery] = components.alerting.outbox.newest(10)
    assert delivery.message.title.endswith("Down: operator_2")
    [incident] = json.loads(delivery.message.body)["data"]["incidents"]
    event.decode(incident["event"]).verify(small.committee)
    assert len(background(components)) == len(background(small.explorer)) + 2
    alerts_database.close()
