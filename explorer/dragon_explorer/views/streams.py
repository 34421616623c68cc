"""The pages `/streams`, `/streams/<id>` and `/streams/<id>/windows/<n>`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Final, Literal

from dragon import errors
from dragon.encoding import to_hex
from dragon.errors import ProofRefused
from dragon.log.index_tables import Applied, StreamRow
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.window import WindowClaim
from dragon.stark.parameter_sets import SETS
from dragon.stark.security import set_security
from dragon_explorer.live import answers
from dragon_explorer.sources import Sources

PAGE_STREAMS: Final = 100
PAGE_WINDOWS: Final = 50
MAX_VERDICTS: Final = 50
MAX_ENDORSEMENTS: Final = 50
Stage = Literal["closed", "announced", "proven", "voting", "certified", "invalid"]
# The state that an aggregator or a stream service reports, as a stage of the journey of a window.
STAGES: Final[Mapping[str, Stage]] = {
    "closed": "closed",
    "announced": "announced",
    "incomplete": "announced",
    "proven": "proven",
    "voting": "voting",
    "waiting": "voting",
}


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
    answered_at: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Streams:
    """A page of streams, in the order of their ids."""

    now: int
    services: tuple[ServiceState, ...]
    streams: tuple[StreamRowView, ...]
    next: str | None  # `after` of the next page


@dataclass(frozen=True, slots=True)
class VoteRow:
    """The last vote of one operator. Uncertified."""

    operator: str
    answer: str
    detail: str


@dataclass(frozen=True, slots=True)
class WindowRow:
    """One window of a stream."""

    number: int
    stage: Stage
    is_certified: bool  # whether the stage is what the log says
    reason: str  # why it is invalid
    timestamp: int | None  # Unix seconds, of its event
    position: int | None  # of its event in the log
    closed_at: int | None  # Unix seconds. Uncertified
    chunks: int | None  # uncertified
    votes: tuple[VoteRow, ...]  # while it waits


@dataclass(frozen=True, slots=True)
class EndorsementRow:
    """An expert's endorsement in the log."""

    position: int
    expert: str
    verdict: str
    first: int
    last: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream with its newest windows, newest first."""

    now: int
    stream: StreamRowView
    windows: tuple[WindowRow, ...]
    next: int | None  # `before` of the next page
    endorsements: tuple[EndorsementRow, ...]


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """A certified verdict on a window."""

    position: int
    verdict: str
    reason: str
    timestamp: int
    parameters: str
    proof: str  # SHA-256 of the proof
    header: str
    signers: tuple[str, ...]
    security: Mapping[str, int] | None  # whole bits, if the number of chunks is known
    command: str
    certificate: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a stream, with every verdict."""

    now: int
    stream: StreamRowView
    window: WindowRow
    verdicts: tuple[VerdictRow, ...]
    endorsements: tuple[EndorsementRow, ...]


def streams(sources: Sources, now: int, after: bytes = b"") -> Streams:
    """Return streams of the log, and those that only a stream service knows yet."""
    logged = {to_hex(row.stream): row for row in sources.records.streams(after, PAGE_STREAMS + 1)}
    live = _live(sources)
    names = sorted({*logged, *(each for each in live if each > to_hex(after))})
    rows = tuple(_row(name, logged.get(name), live.get(name)) for name in names[:PAGE_STREAMS])
    return Streams(now, _services(sources), rows, _next(names))


def _next(names: list[str]) -> str | None:
    return names[PAGE_STREAMS - 1] if len(names) > PAGE_STREAMS else None


def stream(sources: Sources, now: int, stream_id: bytes, before: int | None = None) -> Stream:
    """Return one stream. Raises NotFound."""
    row = _one(sources, stream_id)
    last = max(row.certified, row.closed or 0, *_numbers(sources, row.stream))
    end = last if before is None else min(before, last)
    first = max(0, end - PAGE_WINDOWS)
    windows = _windows(sources, row, stream_id, first, end)
    return Stream(
        now,
        row,
        tuple(reversed(windows)),
        first if first and windows else None,
        tuple(
            _endorsement(each)
            for each in sources.records.endorsements(stream_id, limit=MAX_ENDORSEMENTS)
        ),
    )


def window(sources: Sources, now: int, stream_id: bytes, number: int) -> Window:
    """Return one window. Raises NotFound."""
    row = _one(sources, stream_id)
    found = _windows(sources, row, stream_id, number, number + 1)
    if not found:
        raise errors.NotFound("neither the log nor a live service knows this window", number=number)
    verdicts = sources.records.verdicts(stream_id, number, limit=MAX_VERDICTS)
    return Window(
        now,
        row,
        found[0],
        tuple(_verdict(sources, each, found[0].chunks) for each in verdicts),
        tuple(
            _endorsement(each)
            for each in sources.records.endorsements(stream_id, number, limit=MAX_ENDORSEMENTS)
        ),
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
            None if each.readiness.at is None else int(each.readiness.at),
            each.readiness.error or each.streams.error,
        )
        for each in sources.board.stream_services()
    )


def _one(sources: Sources, stream_id: bytes) -> StreamRowView:
    name = to_hex(stream_id)
    known = sources.log.state.streams.get(stream_id)
    live = _live(sources).get(name)
    waiting = name in {each.stream for each in _pending(sources)}
    if known is None and live is None and not waiting:
        raise errors.NotFound("neither the log nor a live service knows this stream")
    last = known.last if known else None
    logged = (
        StreamRow(stream_id, known.windows, last.header, last.timestamp, known.position)
        if known and last
        else None
    )
    return _row(name, logged, live)


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


def _pending(sources: Sources) -> list[answers.PendingWindow]:
    return [each for report in sources.board.aggregators() for each in report.windows.value or ()]


def _numbers(sources: Sources, stream: str) -> list[int]:
    """One more than the number of each window that waits at an aggregator."""
    return [each.number + 1 for each in _pending(sources) if each.stream == stream]


def _windows(
    sources: Sources, row: StreamRowView, stream_id: bytes, first: int, end: int
) -> list[WindowRow]:
    """The windows in [first, end) of which anything is known."""
    verdicts: dict[int, Applied[WindowClaim]] = {}
    for each in sources.records.windows(stream_id, first, limit=4 * PAGE_WINDOWS):
        verdicts[each.claim.number] = each  # the last verdict counts: a valid one ends the window
    pending = {each.number: each for each in _pending(sources) if each.stream == row.stream}
    closed = {
        each.number: each
        for report in sources.board.stream_services()
        if (part := report.windows.get(row.stream)) is not None
        for each in part.value or ()
    }
    return [
        _window(number, verdicts.get(number), pending.get(number), closed.get(number))
        for number in range(first, end)
        if number in verdicts or number in pending or number in closed
    ]


def _window(
    number: int,
    verdict: Applied[WindowClaim] | None,
    pending: answers.PendingWindow | None,
    closed: answers.Window | None,
) -> WindowRow:
    claim = verdict.claim if verdict else None
    stage: Stage = "closed"
    if claim is not None:
        stage = "certified" if str(claim.verdict) == "valid" else "invalid"
    elif pending is not None:
        stage = STAGES.get(pending.state, "voting")
    elif closed is not None:
        stage = STAGES.get(closed.state, "closed")
    return WindowRow(
        number=number,
        stage=stage,
        is_certified=claim is not None,
        reason=str(claim.reason) if claim and stage == "invalid" else "",
        timestamp=claim.timestamp if claim else None,
        position=verdict.position if verdict else None,
        closed_at=closed.closed_ms // 1000 if closed else None,
        chunks=closed.count if closed else None,
        votes=tuple(
            VoteRow(each.operator, each.answer, each.detail)
            for each in (pending.votes if pending and claim is None else ())
        ),
    )


def _verdict(sources: Sources, found: Applied[WindowClaim], chunks: int | None) -> VerdictRow:
    event, claim = sources.log.entry(found.position).event, found.claim
    return VerdictRow(
        position=found.position,
        verdict=str(claim.verdict),
        reason=str(claim.reason),
        timestamp=claim.timestamp,
        parameters=claim.parameters,
        proof=to_hex(claim.proof),
        header=to_hex(claim.header),
        signers=tuple(event.signers),
        security=None if chunks is None else _security(claim.parameters, chunks),
        command=f"dragon verify event event-{found.position}.json --committee committee.json",
        certificate=event.to_json(),
    )


def _security(parameters: str, chunks: int) -> Mapping[str, int] | None:
    try:
        figures = set_security(SETS[parameters], 1 << chunks.bit_length()).rounded()
    except (ProofRefused, LookupError, ValueError, OverflowError):
        return None  # the number of chunks is uncertified
    return {name: floor(bits) for name, bits in figures.items()}


def _endorsement(each: Applied[EndorsementClaim]) -> EndorsementRow:
    claim = each.claim
    return EndorsementRow(
        each.position, claim.expert, str(claim.verdict), claim.first, claim.last, claim.timestamp
    )
