"""The table of metrics: every counter, gauge and histogram that a service registers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from dragon_docs import tables
from dragon_docs.sources import PACKAGES, Source, calls, literal, modules, text_of
from dragon_docs.tables import code, sentence

PREFIX: Final = "datadragon_"
TYPES: Final = {
    "Counter": "counter",
    "CounterMetricFamily": "counter",
    "Gauge": "gauge",
    "GaugeMetricFamily": "gauge",
    # Of `dragon.node.metrics`, which puts the prefix before the name.
    "counters": "counter",
    "gauge": "gauge",
    "gauges": "gauge",
    "Histogram": "histogram",
}
HISTOGRAM_ENDINGS: Final = ("_bucket", "_count", "_sum")
ONE_LABEL: Final = ("counters", "gauges")  # whose third argument is the label
SERVICES: Final = {
    "dragon": "shared",
    "dragon_operator": "operator",
    "dragon_aggregator": "aggregator",
    "dragon_stream": "stream",
    "dragon_zkp": "prover",
    "dragon_explorer": "explorer",
    "dragon_sequencer": "sequencer",
}


def table(_argument: str) -> str:
    """Name, type, labels and meaning, in the order of packages and modules."""
    rows = [row for package in PACKAGES if package in SERVICES for row in _of_package(package)]
    return tables.table(("metric", "type", "labels", "service", "meaning"), rows)


def labels() -> dict[str, set[str]]:
    """The labels of every sample that a service can have, by its name. A histogram has three."""
    found: dict[str, set[str]] = {}
    for package in SERVICES:
        for name, kind, listed, *_ in _of_package(package):
            plain, own = name.strip("`"), set(re.findall(r"\w+", listed))
            is_histogram = kind == "histogram"
            for ending in HISTOGRAM_ENDINGS if is_histogram else ("",):
                bound = {"le"} if ending == "_bucket" else set()
                found[plain + ending] = own | bound
    return found


def _of_package(package: str) -> Iterator[tuple[str, str, str, str, str]]:
    for source in modules(package):
        for function, call in calls(source):
            if function in TYPES and (found := _metric(source, function, call)):
                name, meaning, labels = found
                service = SERVICES[package]
                yield code(name), TYPES[function], labels, service, sentence(meaning)


def _metric(source: Source, function: str, call: ast.Call) -> tuple[str, str, str] | None:
    """Name, meaning and labels; None for a call of the same name that makes no metric."""
    if len(call.args) < 2 or (name := text_of(source, call.args[0])) is None:
        return None
    meaning = text_of(source, call.args[1])
    if meaning is None:
        place = f"{source.name}, line {call.lineno}"
        raise LookupError(f"{place}: the meaning of the metric {name} is no literal text")
    full = name if name.startswith(PREFIX) else PREFIX + name
    ending = "_total" if TYPES[function] == "counter" else ""
    return full + ending, meaning, _labels(source, function, call)


def _labels(source: Source, function: str, call: ast.Call) -> str:
    if function in ONE_LABEL:
        return code(text_of(source, call.args[2]) or "")
    given = [*call.args[2:], *(each.value for each in call.keywords if each.arg == "labels")]
    named = [node for each in given if isinstance(node := literal(source, each), ast.List)]
    texts = [text_of(source, node) for each in named[:1] for node in each.elts]
    return ", ".join(code(text) for text in texts if text)
