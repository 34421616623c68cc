"""What watched services answer, decoded with bounds. Nothing here is certified.

Members that this release does not know are ignored, so that a newer service can be watched.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dragon.encoding import MAX_INTEGER
from dragon.protocol.streams.finding import MAX_PROOF_BYTES
from dragon.stark.blocks import MAX_CHUNKS

MAX_TEXT_CHARS: Final = 300  # of an explanation; longer ones are shortened
MAX_WORD_CHARS: Final = 64  # of a reason, an outcome or a state
MAX_NODES: Final = 4096  # entries about nodes in one answer
MAX_CLAIMS: Final = 1024  # claims that were put to the operators in one round
MAX_OPERATORS: Final = 64
MAX_LISTED: Final = 1000  # items of one page
UP: Final = "up"  # what a probe found
NO_ANSWER_YET: Final = "no answer yet"  # an aggregator's word for an operator that it waits for
MAX_DECIDED: Final = 20  # decided windows of one page
MAX_TIME: Final = 253_402_300_799  # Unix seconds, the end of the year 9999; a later one has no date
MAX_SECURITY_BITS: Final = 128  # above the level of every parameter set
MAX_REASONS: Final = 20  # of one service; further ones are left out


def _visible(value: object) -> object:
    """Replace characters that end lines, are invisible or change the direction of text.

    With them a service could forge a line of an alert, or show another word than it wrote.
    """
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in value)


def _shortened(value: object) -> object:
    return _visible(value[:MAX_TEXT_CHARS]) if isinstance(value, str) else value


def _first_reasons(value: object) -> object:
    return value[:MAX_REASONS] if isinstance(value, list) else value


def _possible(most: int) -> BeforeValidator:
    """A number from 0 to `most`; anything else is shown as unknown."""

    def read(value: object) -> object:
        is_possible = type(value) is int and 0 <= value <= most
        return value if is_possible else None

    return BeforeValidator(read)


Text = Annotated[str, BeforeValidator(_shortened)]
Word = Annotated[str, BeforeValidator(_visible), Field(max_length=MAX_WORD_CHARS)]
Id = Annotated[str, Field(pattern="^[a-z0-9_-]{1,32}$")]
Hash = Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Time = Annotated[int, Field(ge=0, le=MAX_TIME)]
TimeMs = Annotated[int, Field(ge=0, le=1000 * MAX_TIME)]
# What a service says of a proof. A false figure must not hide the window.
ProofBytes = Annotated[int | None, _possible(MAX_PROOF_BYTES)]
SecurityBits = Annotated[int | None, _possible(MAX_SECURITY_BITS)]
# End of a certificate. A false figure must not hide what was seen.
Expiry = Annotated[int | None, _possible(MAX_TIME)]
ChunkCount = Annotated[int | None, _possible(MAX_CHUNKS)]


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Readiness(Answer):
    status: Word
    reasons: Annotated[list[Text], BeforeValidator(_first_reasons)]
    # Faults in spite of which the service does its work.
    degraded: Annotated[list[Text] | None, BeforeValidator(_first_reasons)] = None
    # End of the service's TLS certificate in Unix seconds. The explorer sets it, not the service.
    certificate_expires: int | None = None


class LogHead(Answer):
    size: Count
    root: Hash
    ledger_index: Count
    committee: Hash | None = None  # id of the operator's committee


class CommitteeState(Answer):
    """Which committee holds in an operator's log, and what its owner has approved."""

    network: Hash
    epoch: Count
    committee: Hash
    approved: Annotated[dict[Id, Hash | None], Field(max_length=MAX_OPERATORS)] = {}


class Seen(Answer):
    status: Word
    reason: Word
    at: Time
    latency_ms: Count | None = None
    detail: Text = ""
    certificate_expires: Expiry = None  # Unix seconds; of the TLS certificate of a target


class Node(Answer):
    node_id: Id
    status: Word
    since: Time | None
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
    detail: Text = ""
    certificate_expires: Expiry = None  # Unix seconds; of the TLS certificate of a target


class ProbedRound(Answer):
    """A round in which a service probed nodes."""

    number: Count
    start: Time
    probes: Annotated[list[Probe], Field(max_length=MAX_NODES)]

    @cached_property
    def by_node(self) -> Mapping[str, Probe]:
        """The probe of each node; of several, one that failed. Computed once: rounds are kept."""
        found: dict[str, Probe] = {}
        for probe in self.probes:
            before = found.get(probe.node_id)
            if before is None or before.seen == UP or probe.seen != UP:
                found[probe.node_id] = probe
        return found


class ProbedRounds(Answer):
    rounds: Annotated[list[ProbedRound], Field(max_length=MAX_LISTED)]


class Suspicion(Answer):
    """An operator's notice that a node has changed, as an aggregator received it."""

    operator: Id
    node_id: Id
    status: Word
    after_ms: int
    outcome: Word
    detail: Text


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
    timestamp: Time | None = None
    size: Count | None = None
    stream: Hash | None = None
    number: Count | None = None
    verdict: Word | None = None
    reason: Word | None = None
    begin: Annotated[Time | None, Field(alias="from")] = None
    end: Annotated[Time | None, Field(alias="to")] = None


class Gathering(Answer):
    claim: Claim
    needed: Count
    certified: bool
    answers: Annotated[list[OperatorAnswer], Field(max_length=MAX_OPERATORS)]


class Round(ProbedRound):
    begun_late_ms: int
    took_ms: Count | None
    overran: bool
    skipped: Count
    note: Text
    # Aggregators of earlier releases state no suspicions.
    suspicions: Annotated[list[Suspicion], Field(max_length=MAX_CLAIMS)] = []
    suspicions_omitted: Count = 0
    gatherings: Annotated[list[Gathering], Field(max_length=MAX_CLAIMS)]


class KeptGathering(Gathering):
    """A gathering with what the same round had about the same node, as the history keeps it."""

    round: Count | None = None
    took_ms: Count | None = None
    begun_late_ms: int | None = None
    probes: Annotated[list[Probe], Field(max_length=MAX_NODES)] = []
    suspicions: Annotated[list[Suspicion], Field(max_length=MAX_CLAIMS)] = []


class Rounds(Answer):
    rounds: Annotated[list[Round], Field(max_length=MAX_LISTED)]
    next: Count | None = None


class Vote(Answer):
    operator: Id
    answer: Word
    detail: Text


class SubmittedWindow(Answer):
    """A window at an aggregator: pending, or decided."""

    stream: Hash
    number: Count
    state: Word
    proof: Hash | None = None  # SHA-256 of the proof that was voted on
    count: ChunkCount = None
    proof_bytes: ProofBytes = None
    security_bits: SecurityBits = None
    votes: Annotated[list[Vote], Field(max_length=MAX_OPERATORS)]


class PendingWindows(Answer):
    windows: Annotated[list[SubmittedWindow], Field(max_length=MAX_LISTED)]


class DecidedWindows(Answer):
    windows: Annotated[list[SubmittedWindow], Field(max_length=MAX_DECIDED)]
    next: Count | None


class PendingEvent(Answer):
    id: Count
    event: Claim
    sends: Count
    sent_at: Time | None


class Outbox(Answer):
    outbox: Annotated[list[PendingEvent], Field(max_length=MAX_LISTED)]
    next: Count | None


class Stream(Answer):
    stream: Hash
    name: Id
    chunks: Count
    bytes: Count | None  # null in a stream with readings: only its owner may know
    windows: Count  # closed
    descriptor: dict[str, Any] | None = None  # its hash is the id, so it is checked
    certified: Count
    stopped: Text | None


class Streams(Answer):
    streams: Annotated[list[Stream], Field(max_length=MAX_LISTED)]


class Window(Answer):
    number: Count
    state: Word
    first: Count
    count: ChunkCount
    closed_ms: TimeMs
    position: Count | None
    proof_bytes: ProofBytes = None
    security_bits: SecurityBits = None


class Windows(Answer):
    windows: Annotated[list[Window], Field(max_length=MAX_LISTED)]
