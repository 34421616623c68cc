"""`/metrics` in the format of Prometheus, with a bounded set of labels."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from documented_metrics import check_documented
from dragon.node import app as web
from dragon.protocol.refusal import RefusalReason
from simulation import World

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Scraped:
    """The metrics of one service at one moment."""

    def __init__(self, world: World, name: str) -> None:
        answer = world.get(name, "/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain")
        self.samples = samples(answer.text)

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[f"datadragon_{name}", frozenset(labels.items())]

    def values(self, label: str) -> set[str]:
        return {value for _, labels in self.samples for key, value in labels if key == label}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world")) as made:
        made.run(3)
        yield made


def test_an_aggregator_counts_rounds_probes_answers_and_certificates(fleet: World) -> None:
    components, scraped = fleet.components("aggregator_0"), Scraped(fleet, "aggregator_0")

    assert scraped("rounds_total") == len(components.monitor.recent) == 3
    assert scraped("round_seconds_count") == 3
    assert scraped("rounds_overrun_total") == 0
    assert scraped("probes_total", reason="answered") >= 3 * 4
    assert scraped("certificates_total", kind="status", status="up") == 4
    assert scraped("gatherings_total", certified="true") >= 4
    assert scraped("attestation_answers_total", operator="operator_1", outcome="signed") >= 4
    assert scraped("outbox_pending") == len(components.outbox.pending())
    assert scraped("node_answers", node_id="operator_3") == 1
    assert scraped("clock_offset_seconds") == 0


@pytest.mark.parametrize("name", ["operator_1", "aggregator_0"])
def test_a_log_is_measured(fleet: World, name: str) -> None:
    log, scraped = fleet.components(name).log, Scraped(fleet, name)

    assert scraped("log_size") == log.head().size >= 4
    assert scraped("ledger_index") == log.position.index >= 1
    assert 0 <= scraped("ledger_silent_seconds") < 60
    assert scraped("alarm") == 0


def test_an_operator_counts_its_answers_to_claims(fleet: World) -> None:
    before = Scraped(fleet, "operator_1")

    fleet.post("operator_1", "/attestations", {"kind": "status"})
    now = fleet.committee.rounds.start(fleet.committee.rounds.number(fleet.clock.now))
    claim = {"kind": "status", "node_id": "operator_1", "status": "down", "timestamp": now}
    fleet.post("operator_1", "/attestations", claim)

    after = Scraped(fleet, "operator_1")
    assert before("attestations_total", outcome="signed") >= 4
    assert after("attestations_total", outcome="malformed") == 1
    assert after("attestations_total", outcome="subject") == 1
    assert after.values("outcome") <= {"signed", *map(str, RefusalReason)}
    assert after("blind") == 0


@pytest.mark.parametrize("name", ["operator_1", "aggregator_0"])
def test_certified_status_and_response_times_are_measured_by_node(fleet: World, name: str) -> None:
    scraped = Scraped(fleet, name)

    assert scraped("node_certified_up", node_id="operator_3") == 1
    assert scraped("probe_seconds_count", node_id="operator_3") >= 1
    assert scraped("quorum_margin") == 1
    assert scraped("ready") == 1
    assert scraped("checkpoint_interval_seconds") == 60
    assert scraped("checkpoint_age_seconds") < 20
    assert scraped("round_age_seconds") < 20
    [build] = [labels for (name, labels) in scraped.samples if name == "datadragon_build_info"]
    assert {key for key, _ in build} == {"version", "python"}


def test_an_unknown_node_has_no_certified_status(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        names = {name for name, _ in Scraped(world, "operator_1").samples}
        margin = Scraped(world, "aggregator_0")("quorum_margin")

    assert "datadragon_node_certified_up" not in names
    assert math.isnan(margin)  # before the first round


def test_reasons_are_counted_by_their_first_word() -> None:
    said = ["ledger: 3 batches behind", "stream: a: b", "stream: c: d", "workers are starting: 1"]
    client = web.create("some_service", lambda: said).test_client()

    found = samples(client.get("/metrics").text)

    reasons = {dict(labels)["reason"]: v for (n, labels), v in found.items() if "not_ready" in n}
    assert reasons == {"ledger": 1, "stream": 2, "other": 1}
    assert found["datadragon_ready", frozenset()] == 0


def test_faults_are_visible_in_the_metrics(world: World) -> None:
    world.submit("no event", "no event", {"kind": "nothing"})
    for name in ("operator_2", "operator_3", "operator_4"):
        world.stop(name)
    world.components("operator_1").log.raise_alarm("ledger_rewritten", "for the test")
    world.run(1)
    world.clock.sleep(100)

    scraped = Scraped(world, "operator_1")

    assert scraped("alarm") == 1
    assert scraped("blind") == 1
    assert scraped("quorum_margin") == -2
    assert scraped("ledger_silent_seconds") > 60
    assert scraped("probes_total", reason="unreachable") >= 3
    assert scraped("node_answers", node_id="operator_2") == 0
    refused = sum(v for (n, _), v in scraped.samples.items() if n.endswith("refused_events_total"))
    assert refused >= 3


@pytest.mark.unbroken
def test_applied_events_are_counted_by_kind(world: World) -> None:
    world.stop("operator_2")
    world.run(2)

    scraped = Scraped(world, "operator_1")

    statuses = len(world.committee.keys) + 1  # every operator up, and one down
    assert scraped("applied_events_total", kind="status") == statuses
    assert scraped("log_size") >= statuses


def test_before_the_first_read_the_ledger_is_silent_for_an_infinite_time(world: World) -> None:
    world.restart("operator_3", reads=False)

    assert Scraped(world, "operator_3")("ledger_silent_seconds") == float("inf")


def test_two_apps_in_one_process_have_separate_metrics(fleet: World) -> None:
    before = Scraped(fleet, "operator_3")

    fleet.get("operator_2", "/healthz")

    after = Scraped(fleet, "operator_3")
    route = {"route": "/healthz", "status": "200"}
    assert Scraped(fleet, "operator_2")("http_requests_total", **route) == 1
    assert ("datadragon_http_requests_total", frozenset(route.items())) not in after.samples
    assert before("log_size") == after("log_size")


def test_requests_cannot_add_label_values() -> None:
    """Clients choose path, method and query, so none of them becomes a label."""
    client = web.create("some_service", list).test_client()
    client.get("/metrics")
    rng = random.Random(1)

    for _ in range(1000):
        method = rng.choice(["GET", "POST", "PUT", "DELETE", "BREW", "OPTIONS"])
        client.open(f"/{rng.randbytes(8).hex()}?{rng.randbytes(4).hex()}=1", method=method)
        client.open("/healthz", method=method, headers={"X-Request-ID": rng.randbytes(4).hex()})
    found = samples(client.get("/metrics").text)

    routes = {value for _, labels in found for key, value in labels if key == "route"}
    statuses = {value for _, labels in found for key, value in labels if key == "status"}
    assert routes == {"/healthz", "/metrics", "unmatched"}
    assert statuses <= {"200", "404", "405"}
    assert len(found) < 100
    unmatched = frozenset({"route": "unmatched", "status": "404"}.items())
    assert found["datadragon_http_requests_total", unmatched] == 1000


def test_every_metric_has_a_help_text(fleet: World) -> None:
    for name in ("operator_1", "aggregator_0"):
        for family in text_string_to_metric_families(fleet.get(name, "/metrics").text):
            assert family.documentation, family.name
            assert family.name.startswith(("datadragon_", "process_"))


@pytest.mark.parametrize("name", ["operator_1", "aggregator_0"])
def test_every_metric_is_in_the_reference(fleet: World, name: str) -> None:
    check_documented(fleet.get(name, "/metrics").text)
