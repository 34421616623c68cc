"""The page `/streams`: all streams, and the stream services that are watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dragon import errors
from dragon.encoding import to_hex
from dragon.log.index_tables import StreamRow
from dragon_explorer.live import answers
from dragon_explorer.sources import Sources

PAGE_STREAMS: Final = 100


@dataclass(frozen=True, slots=True)
class StreamRowView:
    """One stream. What the log says is certified, what a service says is not."""

    stream: str
    name: str | None  # self-chosen. Uncertified
    service: str | None  # the stream service that says so. Uncertified
    certified: int  # valid windows in the log
    certified_at: int | None  # Unix seconds, of the last valid window
    position: int | None  # of its event
    closed: int | None  # windows. Uncertified
    chunks: int | None  # accepted. Uncertified
    bytes: int | None  # accepted. Uncertified
    stopped: str | None  # why it accepts no data. Uncertified


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One stream service. Uncertified."""

    name: str
    url: str
    ready: bool
    reasons: tuple[str, ...]
    degraded: tuple[str, ...]  # faults in spite of which it does its work
    answered_at: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Streams:
    """A page of streams, in the order of their ids."""

    now: int
    services: tuple[ServiceState, ...]
    streams: tuple[StreamRowView, ...]
    next: str | None  # `after` of the next page


def streams(sources: Sources, now: int, after: bytes = b"") -> Streams:
    """Return streams of the log, and those that only a stream service knows yet."""
    logged = {to_hex(row.stream): row for row in sources.records.streams(after, PAGE_STREAMS + 1)}
    live = _live(sources)
    names = sorted({*logged, *(each for each in live if each > to_hex(after))})
    rows = tuple(_row(name, logged.get(name), live.get(name)) for name in names[:PAGE_STREAMS])
    return Streams(now, _services(sources), rows, _next(names))


def _next(names: list[str]) -> str | None:
    return names[PAGE_STREAMS - 1] if len(names) > PAGE_STREAMS else None


def find_stream(sources: Sources, stream_id: bytes) -> StreamRowView:
    """Return one stream. Raises NotFound."""
    name = to_hex(stream_id)
    known = sources.log.state.streams.get(stream_id)
    live = _live(sources).get(name)
    if known is None and live is None and not _is_submitted(sources, name):
        raise errors.NotFound("neither the log nor a live service knows this stream")
    last = known.last if known else None
    logged = (
        StreamRow(stream_id, known.windows, last.header, last.timestamp, known.position)
        if known and last
        else None
    )
    return _row(name, logged, live)


def _is_submitted(sources: Sources, stream: str) -> bool:
    """Whether an aggregator holds a window of the stream."""
    return any(
        each.stream == stream
        for report in sources.board.aggregators()
        for each in report.windows.value or ()
    )


def _live(sources: Sources) -> dict[str, tuple[str, answers.Stream]]:
    return {
        name: (report.name, said)
        for report in sources.board.stream_services()
        for name, said in (report.streams.value or {}).items()
    }


def _services(sources: Sources) -> tuple[ServiceState, ...]:
    return tuple(
        ServiceState(
            each.name,
            each.url,
            bool((said := each.readiness.value) and not said.reasons and not each.readiness.error),
            tuple(said.reasons) if said and not each.readiness.error else (),
            tuple(said.degraded or ()) if said and not each.readiness.error else (),
            None if each.readiness.at is None else int(each.readiness.at),
            each.readiness.error or each.streams.error,
        )
        for each in sources.board.stream_services()
    )


def _row(
    name: str, logged: StreamRow | None, live: tuple[str, answers.Stream] | None
) -> StreamRowView:
    service, said = live or (None, None)
    return StreamRowView(
        stream=name,
        name=said.name if said else None,
        service=service,
        certified=logged.windows if logged else 0,
        certified_at=logged.timestamp if logged else None,
        position=logged.position if logged else None,
        closed=said.windows if said else None,
        chunks=said.chunks if said else None,
        bytes=said.bytes if said else None,
        stopped=said.stopped if said else None,
    )
