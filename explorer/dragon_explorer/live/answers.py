"""What watched services answer, decoded with bounds. Nothing here is certified.

Members that this release does not know are ignored, so that a newer service can be watched.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dragon.encoding import MAX_INTEGER

MAX_TEXT_CHARS: Final = 300  # of an explanation; longer ones are shortened
MAX_WORD_CHARS: Final = 64  # of a reason, an outcome or a state
MAX_NODES: Final = 4096  # entries about nodes in one answer
MAX_CLAIMS: Final = 1024  # claims that were put to the operators in one round
MAX_OPERATORS: Final = 64
MAX_LISTED: Final = 1000  # items of one page


def _shortened(value: object) -> object:
    return value[:MAX_TEXT_CHARS] if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_shortened)]
Word = Annotated[str, Field(max_length=MAX_WORD_CHARS)]
Id = Annotated[str, Field(pattern="^[a-z0-9_-]{1,32}$")]
Hash = Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Readiness(Answer):
    status: Word
    reasons: Annotated[list[Text], Field(max_length=MAX_LISTED)]


class LogHead(Answer):
    size: Count
    root: Hash
    ledger_index: Count
    committee: Hash | None = None  # id of the operator's committee


class Seen(Answer):
    status: Word
    reason: Word
    at: Count
    latency_ms: Count | None = None


class Node(Answer):
    node_id: Id
    status: Word
    since: Count | None
    seen: Seen | None


class Nodes(Answer):
    nodes: Annotated[list[Node], Field(max_length=MAX_NODES)]
    next: Id | None


class Probe(Answer):
    node_id: Id
    seen: Word
    reason: Word
    latency_ms: Count
    clock_offset_ms: int | None


class OperatorAnswer(Answer):
    operator: Id
    answer: Word
    detail: Text
    latency_ms: Count | None


class Claim(Answer):
    """The members of claims that are shown; each kind has some of them."""

    kind: Word
    node_id: Id | None = None
    status: Word | None = None
    timestamp: Count | None = None
    size: Count | None = None
    stream: Hash | None = None
    number: Count | None = None
    verdict: Word | None = None
    reason: Word | None = None
    begin: Annotated[Count | None, Field(alias="from")] = None
    end: Annotated[Count | None, Field(alias="to")] = None


class Gathering(Answer):
    claim: Claim
    needed: Count
    certified: bool
    answers: Annotated[list[OperatorAnswer], Field(max_length=MAX_OPERATORS)]


class Round(Answer):
    number: Count
    start: Count
    begun_late_ms: int
    took_ms: Count | None
    overran: bool
    skipped: Count
    note: Text
    probes: Annotated[list[Probe], Field(max_length=MAX_NODES)]
    gatherings: Annotated[list[Gathering], Field(max_length=MAX_CLAIMS)]


class Rounds(Answer):
    rounds: Annotated[list[Round], Field(max_length=MAX_LISTED)]


class Vote(Answer):
    operator: Id
    answer: Word
    detail: Text


class PendingWindow(Answer):
    stream: Hash
    number: Count
    state: Word
    votes: Annotated[list[Vote], Field(max_length=MAX_OPERATORS)]


class PendingWindows(Answer):
    windows: Annotated[list[PendingWindow], Field(max_length=MAX_LISTED)]


class PendingEvent(Answer):
    id: Count
    event: Claim
    sends: Count
    sent_at: Count | None


class Outbox(Answer):
    outbox: Annotated[list[PendingEvent], Field(max_length=MAX_LISTED)]
    next: Count | None


class Stream(Answer):
    stream: Hash
    name: Id
    chunks: Count
    bytes: Count
    windows: Count  # closed
    certified: Count
    stopped: Text | None


class Streams(Answer):
    streams: Annotated[list[Stream], Field(max_length=MAX_LISTED)]


class Window(Answer):
    number: Count
    state: Word
    first: Count
    count: Count
    closed_ms: Count
    position: Count | None


class Windows(Answer):
    windows: Annotated[list[Window], Field(max_length=MAX_LISTED)]
