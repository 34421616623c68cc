"""`GET /metrics`: metrics for Prometheus.

Each app has its own registry. A `StateCollector` reads the state of a service for every scrape;
events are counted by counters that the components own and the app registers. The values of labels
come from closed lists only: the committee, the code's own words, and the routes.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dragon.errors import LogDamaged
from dragon.protocol.claims.status import Status

if TYPE_CHECKING:  # services without a log do not load the database library
    from dragon.log.follower import Follower
    from dragon.log.store import Log
    from dragon.protocol.committee import Committee
    from dragon.protocol.log_entry import LogEntry
    from dragon.storage.disk import Disk

disable_created_metrics()  # type: ignore[no-untyped-call]  # creation times would double the number of lines

REGISTRY: Final = "datadragon-metrics"  # the name of an app's registry among its extensions
UNMATCHED: Final = "unmatched"  # the label of paths without a route
METRICS_RESPONSE: Final = {"description": "Metrics", "content": {"text/plain": {}}}
_BUCKETS_SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)


class StateCollector(Collector):
    """Metrics that are read from the service's state for every scrape."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        # Metrics that a damaged file does not allow are left out; `/readyz` names the damage.
        with suppress(LogDamaged):
            yield from self._read()


def install(app: Flask, collectors: Iterable[Collector]) -> CollectorRegistry:
    """Make the app's registry: `collectors`, the process, and the app's requests."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(StateCollector(_build_info))
    for collector in collectors:
        registry.register(collector)
    _count_requests(app, registry)
    app.extensions[REGISTRY] = registry
    return registry


def add(app: Flask, read: Callable[[], Iterable[Metric]]) -> None:
    """Add metrics of the server to an app, if it has a registry."""
    if (registry := app.extensions.get(REGISTRY)) is not None:
        registry.register(StateCollector(read))


def _build_info() -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "datadragon_build_info",
        "Always 1; the labels name the versions of DataDragon and Python.",
        labels=["version", "python"],
    )
    family.add_metric([version("datadragon"), platform.python_version()], 1)
    yield family


def page(registry: CollectorRegistry) -> Response:
    """Return the metrics in the text format of Prometheus."""
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _count_requests(app: Flask, registry: CollectorRegistry) -> None:
    answered = Counter(
        "datadragon_http_requests",
        "Answered requests, by route and HTTP status.",
        ["route", "status"],
        registry=registry,
    )
    seconds = Histogram(
        "datadragon_http_request_seconds",
        "Time from the first handler to the response, in seconds.",
        ["route"],
        registry=registry,
        buckets=_BUCKETS_SECONDS,
    )

    # The library checks label values each time, which takes as long as counting.
    count_of, time_of = cache(answered.labels), cache(seconds.labels)

    @app.before_request
    def begin() -> None:
        g.begun = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        # Never the path: clients choose it, and every label value stays in memory.
        route = request.url_rule.rule if request.url_rule else UNMATCHED
        count_of(route, response.status_code).inc()
        if "begun" in g:
            time_of(route).observe(time.perf_counter() - g.begun)
        return response


def gauge(name: str, meaning: str, value: float) -> Metric:
    """Make a gauge. `name` is without the common prefix; `meaning` is its help text."""
    return GaugeMetricFamily(f"datadragon_{name}", meaning, value=value)


def gauges(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    """Make a gauge with one label, whose values are the keys of `values`."""
    family = GaugeMetricFamily(f"datadragon_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def counters(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    """Make a counter with one label, whose values are the keys of `values`."""
    family = CounterMetricFamily(f"datadragon_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def log_metrics(
    log: Log, follower: Follower, committee: Committee, wall: float
) -> Iterator[Metric]:
    """Metrics of a service's log and of its follower. `wall`: the current Unix seconds."""
    yield gauge("log_size", "Number of entries in the log.", log.head().size)
    yield gauge(
        "log_unchecked_entries",
        "Entries that the check of the log's file has not reached yet since the start.",
        log.check.entries_left,
    )
    yield gauge(
        "ledger_index",
        "Number of the last batch that was read from the ledger.",
        log.position.index,
    )
    yield gauge(
        "ledger_behind_batches",
        "Number of batches that the ledger is known to have and the log has not applied.",
        follower.behind,
    )
    yield gauge(
        "ledger_silent_seconds",
        "Seconds since the ledger was last read to its end; infinite before the first time.",
        follower.silent_seconds,
    )
    yield gauge(
        "log_time",
        "Log time in Unix seconds: that of the last checkpoint in the log.",
        log.state.log_time,
    )
    yield gauge(
        "committee_epoch",
        "Epoch of the committee that holds in the log: how many committees came before it.",
        log.state.committee.epoch,
    )
    yield gauge(
        "document_missing",
        "1 while the log waits for the file of a committee that a handover names.",
        follower.missing_document is not None,
    )
    yield gauge(
        "alarm", "1 while the log has an active alarm and applies nothing.", bool(log.alarm())
    )
    yield gauges(
        "node_certified_up",
        "1 if the node is certified up, 0 if it is certified down; no value while it is unknown.",
        "node_id",
        _certified_up(log, committee, wall),
    )
    yield gauges(
        "maintenance_announced",
        "Announced windows of maintenance of the node that have not ended by log time.",
        "node_id",
        _announced(log, committee),
    )
    refused = CounterMetricFamily(
        "datadragon_refused_events",
        "Events of the ledger that the log refused, by reason.",
        labels=["reason"],
    )
    for reason, count in log.refusals().items():
        refused.add_metric([reason], count)
    yield refused


def compiled_pairings(in_use: bool) -> Metric:
    """Make the metric that says which code verifies finality proofs of the ledger."""
    return gauge(
        "compiled_pairings",
        "1 if compiled code verifies the ledger's finality proofs: after 32 within five minutes.",
        in_use,
    )


def _certified_up(log: Log, committee: Committee, wall: float) -> dict[str, bool]:
    """Whether each node is certified up; empty if the log says nothing about the present."""
    age = wall - log.state.log_time
    if log.alarm() or age > committee.rounds.unknown_after:
        return {}
    return {
        node_id: last.status is Status.UP
        for node_id in committee.urls
        if (last := log.state.last(node_id)) is not None
    }


def _announced(log: Log, committee: Committee) -> dict[str, int]:
    state = log.state
    return {
        node_id: len(state.announced(node_id).after(state.log_time)) for node_id in committee.urls
    }


def count_applied(follower: Follower) -> Counter:
    """Make a counter of the events that the follower applies, by kind of claim."""
    counter = Counter(
        "datadragon_applied_events",
        "Events that were applied to the log since the start, by kind of claim.",
        ["kind"],
        registry=None,
    )

    def count(entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            counter.labels(entry.event.claim.KIND).inc()

    follower.subscribe(count)
    return counter


def node_metrics(answered: Mapping[str, bool]) -> Metric:
    """The latest probe result of each node: whether it answered."""
    family = GaugeMetricFamily(
        "datadragon_node_answers", "1 if the node answered the latest probe.", labels=["node_id"]
    )
    for node_id, value in answered.items():
        family.add_metric([node_id], value)
    return family


def certificate_metrics(
    seconds_left: Mapping[str, float], warn_seconds: Mapping[str, float]
) -> Iterator[Metric]:
    """How long the TLS certificates of targets are valid, and when it is time for a warning."""
    left = GaugeMetricFamily(
        "datadragon_target_certificate_expiry_seconds",
        "Seconds until the TLS certificate of a target expires, by the latest probe that saw it.",
        labels=["node_id"],
    )
    warned = GaugeMetricFamily(
        "datadragon_target_certificate_warn_seconds",
        "Seconds before the end of a certificate at which the committee file wants a warning.",
        labels=["node_id"],
    )
    for family, values in ((left, seconds_left), (warned, warn_seconds)):
        for node_id, value in values.items():
            family.add_metric([node_id], value)
        yield family


def clock_offset(milliseconds: int | None) -> Metric:
    """The median offset of the operators' clocks; None while it is unknown."""
    meaning = "Median of the operators' clocks minus the local clock, in seconds; NaN if unknown."
    seconds = float("nan") if milliseconds is None else milliseconds / 1000
    return gauge("clock_offset_seconds", meaning, seconds)


def quorum_margin(margin: int | None) -> Metric:
    """How many further operators may fail; negative if too many have; None before a probe."""
    return gauge(
        "quorum_margin",
        "Operators that answered the latest probe, minus the quorum: 0 means that one more failure "
        "stops certification, less than 0 that it has stopped; NaN before the first probes.",
        float("nan") if margin is None else margin,
    )


def disk_fault(disks: Iterable[Disk]) -> Metric:
    """Whether a disk under the service's files is full or failing."""
    meaning = "1 while the disk is full, read-only or failing."
    return gauge("disk_fault", meaning, any(disk.fault() for disk in disks))


def unfinalized(seconds: float) -> Metric:
    """How long the ledger has accepted what the service waits for, without making any of it final.

    `seconds`: 0 while nothing waits.
    """
    return gauge(
        "ledger_unfinalized_seconds",
        "Seconds since something was accepted for the ledger of which nothing became final.",
        seconds,
    )
