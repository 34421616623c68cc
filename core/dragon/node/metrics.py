"""`GET /metrics`: what a service counts, for Prometheus.

Each app has a registry of its own. What the parts of a service know anyway is read when somebody
asks (`StateCollector`); what happens is counted where it happens, by a counter that the part owns and the
app registers. Labels come from closed lists only: the committee, our own words, our own routes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

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

from dragon.log.follower import Follower
from dragon.log.store import Log

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began: twice the lines, of no use to anybody

UNMATCHED: Final = "unmatched"  # the route of every path that is none of ours
METRICS_RESPONSE: Final = {"description": "Metrics", "content": {"text/plain": {}}}
_BUCKETS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)


class StateCollector(Collector):
    """Metrics that are read off the service's own state, anew for every scrape."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()


def install(app: Flask, collectors: Iterable[Collector]) -> CollectorRegistry:
    """Count this app's requests, beside what `collectors` tell."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    _count_requests(app, registry)
    return registry


def page(registry: CollectorRegistry) -> Response:
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _count_requests(app: Flask, registry: CollectorRegistry) -> None:
    answered = Counter(
        "datadragon_http_requests", "Answered requests.", ["route", "status"], registry=registry
    )
    seconds = Histogram(
        "datadragon_http_request_seconds",
        "From the first handler to the answer.",
        ["route"],
        registry=registry,
        buckets=_BUCKETS,
    )

    @app.before_request
    def begin() -> None:
        g.begun = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        # Never the path: whoever asks chooses it, and every label is kept for ever.
        route = request.url_rule.rule if request.url_rule else UNMATCHED
        answered.labels(route, response.status_code).inc()
        if "begun" in g:
            seconds.labels(route).observe(time.perf_counter() - g.begun)
        return response


def gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"datadragon_{name}", meaning, value=value)


def log_metrics(log: Log, follower: Follower) -> Iterator[Metric]:
    """What every service with a log tells of it."""
    yield gauge("log_size", "Entries of the log.", log.checkpoint().size)
    yield gauge("ledger_index", "The last batch of the ledger that was read.", log.position.index)
    yield gauge(
        "ledger_silent_seconds",
        "Since the ledger was last read to its end; infinite before the first time.",
        follower.silent_seconds,
    )
    yield gauge("alarm", "1 while an alarm stands and nothing is applied.", bool(log.alarm()))
    refused = CounterMetricFamily(
        "datadragon_refused_events",
        "Events of the ledger that were not applied.",
        labels=["reason"],
    )
    for reason, count in log.refusals().items():
        refused.add_metric([reason], count)
    yield refused


def node_metrics(answered: Mapping[str, bool]) -> Metric:
    """How each node of the committee looked the last time."""
    family = GaugeMetricFamily(
        "datadragon_node_answers", "1 if the last probe was answered.", labels=["node_id"]
    )
    for node_id, value in answered.items():
        family.add_metric([node_id], value)
    return family


def clock_offset(milliseconds: int | None) -> Metric:
    """How far the middle one of the operators' clocks is ahead of ours."""
    meaning = "The middle one of the operators' clocks minus ours; not a number while unknown."
    seconds = float("nan") if milliseconds is None else milliseconds / 1000
    return gauge("clock_offset_seconds", meaning, seconds)
