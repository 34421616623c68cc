"""The last answers of all watched services, in memory. They are uncertified."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from dragon_explorer.live import answers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """The last answer to one question. Times are Unix seconds."""

    value: T | None = None  # the last good answer
    at: float | None = None  # when it came
    error: str = ""  # why the newest request failed; empty if it succeeded


@dataclass(frozen=True, slots=True)
class OperatorReport:
    """What one operator says."""

    name: str
    url: str
    readiness: Part[answers.Readiness] = Part()
    head: Part[answers.LogHead] = Part()
    committee: Part[answers.CommitteeState] = Part()
    nodes: Part[Mapping[str, answers.Node]] = Part()
    probes: Part[tuple[answers.ProbedRound, ...]] = Part()  # of the last rounds, oldest first
    earlier_heads: tuple[Part[answers.LogHead], ...] = ()  # some former ones, oldest first


@dataclass(frozen=True, slots=True)
class AggregatorReport:
    """What one aggregator says. Rounds are the last ones, oldest first."""

    name: str
    url: str
    readiness: Part[answers.Readiness] = Part()
    rounds: Part[tuple[answers.Round, ...]] = Part()
    windows: Part[tuple[answers.SubmittedWindow, ...]] = Part()
    decided: Part[tuple[answers.SubmittedWindow, ...]] = Part()  # newest first
    outbox: Part[answers.Outbox] = Part()


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What one stream service says: its streams, and the newest windows of each, by stream."""

    name: str
    url: str
    readiness: Part[answers.Readiness] = Part()
    streams: Part[Mapping[str, answers.Stream]] = Part()
    windows: Mapping[str, Part[tuple[answers.Window, ...]]] = field(default_factory=dict)


Report: TypeAlias = OperatorReport | AggregatorReport | StreamReport


class Board:
    """The newest report of each watched service. Reports are values; any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reports: dict[str, Report] = {}
        self._version = 0

    def put(self, report: Report) -> None:
        """Replace the report of a service."""
        with self._lock:
            before = self._reports.get(report.name)
            self._reports = {**self._reports, report.name: report}
            if before is None or not _same(before, report):
                self._version += 1

    def keep(self, names: Collection[str]) -> None:
        """Drop the reports of all other services: they are not watched any more."""
        with self._lock:
            kept = {name: each for name, each in self._reports.items() if name in names}
            if len(kept) < len(self._reports):
                self._reports = kept
                self._version += 1

    @property
    def version(self) -> int:
        """A number that grows when a service says something else than before."""
        return self._version

    def operators(self) -> Iterator[OperatorReport]:
        """Yield the reports of operators, in the order in which they were first put."""
        return (each for each in self._reports.values() if isinstance(each, OperatorReport))

    def aggregators(self) -> Iterator[AggregatorReport]:
        return (each for each in self._reports.values() if isinstance(each, AggregatorReport))

    def stream_services(self) -> Iterator[StreamReport]:
        return (each for each in self._reports.values() if isinstance(each, StreamReport))

    def operator(self, name: str) -> OperatorReport | None:
        found = self._reports.get(name)
        return found if isinstance(found, OperatorReport) else None

    def reports(self) -> Mapping[str, Report]:
        """All reports, by the name of the service."""
        return self._reports


def _same(one: Report, other: Report) -> bool:
    """Whether two reports say the same, apart from when it was said."""
    return _said(one) == _said(other)


def _said(report: Report) -> list[object]:
    parts: list[object] = []
    for name in report.__slots__:
        value = getattr(report, name)
        if isinstance(value, Mapping):
            parts += [(key, each.value, each.error) for key, each in value.items()]
        elif isinstance(value, Part):
            parts += [value.value, value.error]
    return parts
