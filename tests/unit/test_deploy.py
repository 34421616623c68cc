"""What `deploy/` says about metrics and pages is true. `make alerts` tests the rules themselves."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dragon.node.readiness import WORDS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OPERATING = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "alerts.rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text())
PROMETHEUS = {"up", "ALERTS"}  # that Prometheus makes itself
TARGET_LABELS = {"job", "instance", "role"}  # of `prometheus.yml` and of Prometheus itself
PROCESS = {  # of `prometheus_client`
    f"process_{name}"
    for name in (
        "cpu_seconds_total",
        "max_fds",
        "open_fds",
        "resident_memory_bytes",
        "start_time_seconds",
        "virtual_memory_bytes",
    )
}


def named_metrics(expression: str) -> set[str]:
    """The names of metrics in an expression: words that are no function, label or string."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\b(?:by|on)\s*\([^)]*\)", "", bare)
    return set(re.findall(r"\b(?:datadragon_\w+|process_\w+|up|ALERTS)\b", bare))


def expressions() -> Iterator[tuple[str, str]]:
    """(place, expression) of every rule, panel, variable and annotation."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if "definition" in variable:
            yield variable["name"], variable["definition"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The labels of all samples that services have, from the generator of the reference."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    found: dict[str, set[str]] = importlib.import_module("dragon_docs.metrics").labels()
    return found


@pytest.fixture
def existing(labels: dict[str, set[str]]) -> set[str]:
    """The names of all samples."""
    return set(labels) | PROMETHEUS | PROCESS


def test_every_metric_in_rules_and_dashboard_exists(existing: set[str]) -> None:
    used = {(place, name) for place, text in expressions() for name in named_metrics(text)}

    assert len(used) > 50
    assert {(place, name) for place, name in used if name not in existing} == set()


def test_no_metric_has_a_label_that_prometheus_gives_to_its_targets(
    labels: dict[str, set[str]],
) -> None:
    """Prometheus would rename it (`exported_job`), and rules would never match."""
    assert {name for name, own in labels.items() if own & TARGET_LABELS} == set()


def test_every_label_in_rules_and_dashboard_exists(labels: dict[str, set[str]]) -> None:
    used = [
        (place, name, label)
        for place, text in expressions()
        for name, matchers in re.findall(r"(datadragon_\w+)\{([^}]*)\}", text)
        for label in re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", matchers)
    ]

    assert len(used) > 50
    assert [each for each in used if each[2] not in labels[each[1]] | TARGET_LABELS] == []


def test_every_expression_names_a_metric() -> None:
    assert [place for place, text in expressions() if not named_metrics(text)] == []


def test_every_alert_says_what_is_wrong_and_where_to_read_on() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]
        annotations = rule["annotations"]
        assert set(annotations) == {"summary", "description", "runbook_url"}, rule["alert"]
        assert annotations["runbook_url"] == f"docs/operating.md#{rule['alert'].lower()}"


def test_the_runbook_has_one_section_for_each_alert_in_the_same_order() -> None:
    assert re.findall(r"^#### (DataDragon\w+)$", OPERATING, re.MULTILINE) == [
        rule["alert"] for rule in RULES
    ]


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    tests = yaml.safe_load((DEPLOY / "alerts.test.yml").read_text())["tests"]
    alerts = [rule["alert"] for rule in RULES]
    checks = [check for test in tests for check in test["alert_rule_test"]]

    assert [each["alertname"] for each in checks if each["exp_alerts"]] == alerts
    assert [each["alertname"] for each in checks if not each["exp_alerts"]] == alerts


def test_every_panel_says_what_it_shows() -> None:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] and panel["description"] and panel["targets"] for panel in panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_the_words_of_reasons_in_rules_are_those_of_the_services() -> None:
    used = {word for _, text in expressions() for word in re.findall(r'reason="(\w+)"', text)}
    assert used
    assert used - {"answered"} <= WORDS


def test_prometheus_scrapes_the_ports_of_a_fleet() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    [job] = config["scrape_configs"]
    targets = {
        target.rpartition(":")[2] for each in job["static_configs"] for target in each["targets"]
    }

    assert config["rule_files"] == ["alerts.rules.yml"]
    assert targets == {"5001", "5002", "5003", "5004", "5100", "5200", "5300", "5400"}
