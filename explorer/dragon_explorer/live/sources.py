"""What is read from each kind of watched service. A failure of one part leaves the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from dragon.errors import BadAnswer, PeerError
from dragon.net.http_client import HttpClient
from dragon_explorer.live import answers
from dragon_explorer.live.board import (
    AggregatorReport,
    OperatorReport,
    Part,
    Report,
    StreamReport,
)

DEADLINE_SECONDS: Final = 2.0  # for one request
MAX_ANSWER_BYTES: Final = 1 << 20
MAX_ROUNDS_KEPT: Final = 60  # of one aggregator
MAX_PROBED_ROUNDS_KEPT: Final = 30  # of one operator
ROUNDS_AT_ONCE: Final = 4  # rounds of one request: with many nodes a round is large
MAX_FIRST_PAGES: Final = 6  # of rounds, when a service is read for the first time
MAX_PAGES: Final = 5  # of one list
EARLIER_HEADS: Final = 6  # answers about an operator's log that are kept
EARLIER_SECONDS: Final = 15  # between two of them
MAX_STREAMS_WATCHED: Final = 64  # streams of one service whose windows are read
WINDOWS_SHOWN: Final = 20  # newest windows of a stream
MAX_WINDOWS_READ: Final = 200  # windows that an aggregator holds
MAX_DECIDED_PAGES: Final = 10  # as long as no window of a page is known

A = TypeVar("A", bound=answers.Answer)
T = TypeVar("T")
R = TypeVar("R", answers.Round, answers.ProbedRound)


@dataclass(frozen=True)
class Source(ABC):
    """One watched service."""

    name: str
    url: str
    http: HttpClient
    wall: Callable[[], float]

    @abstractmethod
    def read(self, before: Report | None) -> Report:
        """Ask the service everything; `before` is its last report. Raises nothing."""

    def _part(self, before: Part[T], read: Callable[[], T]) -> Part[T]:
        try:
            return Part(read(), self.wall())
        except PeerError as error:
            return replace(before, error=str(error))

    def _get(self, model: type[A], path: str, **params: str | int) -> A:
        """Raises PeerError."""
        response = self.http.get(
            self.url + path, deadline=DEADLINE_SECONDS, params=params, max_bytes=MAX_ANSWER_BYTES
        )
        return _decoded(model, response.successful())

    def _readiness(self) -> answers.Readiness:
        """The readiness, which is a part of the answer with status 503, too.

        It comes with the end of the certificate that the service has shown.
        """
        response = self.http.get(
            f"{self.url}/readyz", deadline=DEADLINE_SECONDS, max_bytes=MAX_ANSWER_BYTES
        )
        found = response.json() if response.status == 503 else response.successful()
        expires = {"certificate_expires": response.certificate_expires}
        return _decoded(answers.Readiness, found).model_copy(update=expires)


def _decoded(model: type[A], value: Any) -> A:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        message = f"the answer does not have the expected form at {where or 'its root'}"
        raise BadAnswer(message, reason="bad_answer") from None


def _reaches(round_: answers.Round, last: answers.Round) -> bool:
    """Whether no round is missing between a round and the last one that is known."""
    return round_.start <= last.start or round_.number == last.number + 1


def _merged(known: Sequence[R], newest: Sequence[R], most: int) -> tuple[R, ...]:
    """Put rounds together, oldest first. `newest`: the newest first.

    What is newer than the newest comes from a clock that has been set back since, or from a lie.
    Rounds are ordered by time: numbers jump when a committee changes the round length.
    """
    if not newest:  # since its last start the service has had no round
        return tuple(known)
    by_start = {each.start: each for each in known if each.start <= newest[0].start}
    by_start |= {each.start: each for each in newest}
    return tuple(by_start[start] for start in sorted(by_start)[-most:])


@dataclass(frozen=True)
class OperatorSource(Source):
    """An operator: its readiness, its log, and its view of every node.

    `node_ids` returns those of the committee; other nodes are left out. None: none is left out.
    """

    node_ids: Callable[[], Container[str]] | None = None

    def read(self, before: Report | None) -> OperatorReport:
        known = (
            before if isinstance(before, OperatorReport) else OperatorReport(self.name, self.url)
        )
        return OperatorReport(
            self.name,
            self.url,
            readiness=self._part(known.readiness, self._readiness),
            head=self._part(known.head, lambda: self._get(answers.LogHead, "/checkpoint")),
            committee=self._part(
                known.committee, lambda: self._get(answers.CommitteeState, "/committee")
            ),
            nodes=self._part(known.nodes, self._nodes),
            probes=self._part(known.probes, lambda: self._probes(known.probes.value or ())),
            earlier_heads=self._earlier_heads(known),
        )

    def _earlier_heads(self, known: OperatorReport) -> tuple[Part[answers.LogHead], ...]:
        """Some of the former answers about the log, from which one sees how it grows."""
        kept, head = known.earlier_heads, known.head
        if head.at is None or (kept and 0 <= head.at - (kept[-1].at or 0) < EARLIER_SECONDS):
            return kept
        return (*kept, head)[-EARLIER_HEADS:]

    def _probes(self, known: tuple[answers.ProbedRound, ...]) -> tuple[answers.ProbedRound, ...]:
        """The probed rounds that are kept, with those that are new or have changed."""
        limit = ROUNDS_AT_ONCE if known else MAX_PROBED_ROUNDS_KEPT
        newest = self._get(answers.ProbedRounds, "/probes", limit=limit).rounds
        return _merged(known, newest, MAX_PROBED_ROUNDS_KEPT)

    def _nodes(self) -> Mapping[str, answers.Node]:
        found: dict[str, answers.Node] = {}
        after: dict[str, str | int] = {}
        listed = self.node_ids() if self.node_ids else None
        for _ in range(MAX_PAGES):
            page = self._get(answers.Nodes, "/nodes", **after)
            found |= {
                node.node_id: node
                for node in page.nodes
                if listed is None or node.node_id in listed
            }
            if page.next is None:
                break
            after = {"after": page.next}
        return found


class AggregatorSource(Source):
    """An aggregator: its last rounds, and what it holds."""

    def read(self, before: Report | None) -> AggregatorReport:
        known = (
            before
            if isinstance(before, AggregatorReport)
            else AggregatorReport(self.name, self.url)
        )
        return AggregatorReport(
            self.name,
            self.url,
            readiness=self._part(known.readiness, self._readiness),
            rounds=self._part(known.rounds, lambda: self._rounds(known.rounds.value or ())),
            windows=self._part(known.windows, self._windows),
            decided=self._part(known.decided, lambda: self._decided(known.decided.value or ())),
            outbox=self._part(
                known.outbox, lambda: self._get(answers.Outbox, "/outbox", limit=100)
            ),
        )

    def _rounds(self, known: tuple[answers.Round, ...]) -> tuple[answers.Round, ...]:
        """The rounds that are kept, with those that are new or have changed."""
        newest: list[answers.Round] = []
        last = known[-1] if known else None
        after: dict[str, str | int] = {}
        for _ in range(MAX_PAGES if known else MAX_FIRST_PAGES):  # newest first
            page = self._get(answers.Rounds, "/rounds", limit=ROUNDS_AT_ONCE, **after)
            newest += page.rounds
            # Rounds after the newest were never held: the clock was wrong, or a lie has ended.
            if last and newest and newest[0].start < last.start:
                last = newest[0]
            if page.next is None or (last and newest and _reaches(newest[-1], last)):
                break
            after = {"after": page.next}
        return _merged(known, newest, MAX_ROUNDS_KEPT)

    def _windows(self) -> tuple[answers.SubmittedWindow, ...]:
        found = self._get(answers.PendingWindows, "/windows", limit=MAX_WINDOWS_READ)
        return tuple(found.windows)

    def _decided(
        self, known: tuple[answers.SubmittedWindow, ...]
    ) -> tuple[answers.SubmittedWindow, ...]:
        """The newest decided windows, newest first, back to one that the last report has.

        The first page is read every time, because late votes still arrive.
        """
        names = {(each.stream, each.number, each.proof) for each in known}
        found: list[answers.SubmittedWindow] = []
        after: dict[str, int] = {}
        for _ in range(MAX_DECIDED_PAGES):
            page = self._get(
                answers.DecidedWindows, "/windows/decided", limit=answers.MAX_DECIDED, **after
            )
            found += page.windows
            is_known = any((each.stream, each.number, each.proof) in names for each in found)
            if page.next is None or is_known:
                break
            after = {"after": page.next}
        return tuple(found)


class StreamSource(Source):
    """A stream service: its streams and their newest windows."""

    def read(self, before: Report | None) -> StreamReport:
        known = before if isinstance(before, StreamReport) else StreamReport(self.name, self.url)
        streams = self._part(known.streams, self._streams)
        return StreamReport(
            self.name,
            self.url,
            readiness=self._part(known.readiness, self._readiness),
            streams=streams,
            windows=known.windows if streams.error else self._all_windows(known, streams),
        )

    def _streams(self) -> Mapping[str, answers.Stream]:
        found = self._get(answers.Streams, "/streams")
        return {each.stream: each for each in found.streams}

    def _all_windows(
        self, known: StreamReport, streams: Part[Mapping[str, answers.Stream]]
    ) -> Mapping[str, Part[tuple[answers.Window, ...]]]:
        """The newest windows of each stream; those of a stream that has not changed are kept."""
        former = known.streams.value or {}
        found = {}
        for stream, said in list((streams.value or {}).items())[:MAX_STREAMS_WATCHED]:
            had = known.windows.get(stream, Part())
            changed = former.get(stream) != said or said.certified < said.windows or had.error
            found[stream] = self._part(had, self._reader(said)) if changed else had
        return found

    def _reader(self, said: answers.Stream) -> Callable[[], tuple[answers.Window, ...]]:
        after = max(-1, said.windows - WINDOWS_SHOWN - 1)

        def read() -> tuple[answers.Window, ...]:
            path = f"/streams/{said.stream}/windows"
            found = self._get(answers.Windows, path, after=after, limit=WINDOWS_SHOWN)
            return tuple(found.windows)

        return read
