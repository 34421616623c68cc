"""Models of request and response bodies, for `/openapi.json`.

The models only describe: `dragon.encoding` decodes requests, and the services build responses. A
test compares real responses with the models.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import SkipJsonSchema

from dragon.encoding import DECIMAL_PATTERN, MAX_INTEGER
from dragon.protocol.beats import Beat as BeatShape
from dragon.protocol.claims.base import Claim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.handover import AcceptanceClaim, HandoverClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.evidence.record import AnswerRecord as AnswerRecordShape
from dragon.protocol.evidence.record import LookRecord as LookRecordShape
from dragon.protocol.evidence.seal import Seal as SealShape
from dragon.protocol.messages import StatusAnswer as StatusAnswerShape
from dragon.protocol.messages import Suspicion as SuspicionShape
from dragon.protocol.period import PeriodLeaf as PeriodLeafShape
from dragon.protocol.shape import Codec, Shape, codecs_of
from dragon.protocol.streams.chunks import MAX_CHUNK_BYTES
from dragon.protocol.streams.chunks import ChunkHeader as ChunkHeaderShape
from dragon.protocol.streams.reading_rule import MAX_SCALE
from dragon.protocol.streams.window import WindowHeader as WindowHeaderShape
from dragon.stark.reading_bounds import MAX_READINGS


class Described(BaseModel):
    """A model that caches its JSON schema, which is used for every query and in every app."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return _schema(cls, *args, **kwargs)


@functools.cache
def _schema(model: type[Described], *args: Any, **kwargs: Any) -> dict[str, Any]:
    return super(Described, model).model_json_schema(*args, **kwargs)


class Schema(Described):
    """A model that allows no further members.

    It is built when it is used first, which is usually never: building all of them takes a tenth of
    the time in which the services are imported.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Problem(Described):
    """An error (RFC 9457). Further members are details of the error."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    title: str
    status: int
    detail: str
    request_id: str


Absent = SkipJsonSchema[None]  # of a member of a request that may be absent, but not null
Id = Annotated[str, Field(pattern="^[a-z0-9_-]{1,32}$")]
Hash = Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]
ChainId = Annotated[str, Field(pattern="^0x[0-9a-f]{32}$")]
Nonce = Annotated[str, Field(pattern="^0x([0-9a-f]{2}){16,32}$")]
PublicKey = Annotated[str, Field(pattern="^0x[0-9a-f]{96}$")]
Signature = Annotated[str, Field(pattern="^0x[0-9a-f]{192}$")]
Decimal = Annotated[str, Field(pattern=DECIMAL_PATTERN)]
Time = Annotated[int, Field(ge=0, le=MAX_INTEGER)]  # Unix seconds
Seconds = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
UpOrDown = Literal["up", "down"]
ValidOrNot = Literal["valid", "invalid"]
Statement = Literal["readings", "blocks"]  # what a window's proof is about

# Health


class Health(Schema):
    status: Literal["ok"]


class Certification(Schema):
    """How long ago something was certified, in seconds.

    `round_age_seconds`: of an operator, since an aggregator requested a signature; of an
    aggregator, since one of its claims reached the quorum. Both ages count from genesis or from the
    start of the service until the first time.
    """

    checkpoint_age_seconds: Seconds
    round_age_seconds: Seconds | None = None
    late_after_seconds: Seconds


class Readiness(Schema):
    """`certification`: of services with a log. `degraded`: of stream services."""

    status: Literal["ready", "not ready"]
    reasons: list[str]
    degraded: list[str] | None = None
    certification: Certification | None = None


# Claims and events


def _members(shape: type[Shape]) -> dict[str, Any]:
    """The fields of a model for the members of a shape, in order."""
    return {field: _member(codec) for field, codec in codecs_of(shape)}


def _member(codec: Codec) -> tuple[Any, Any]:
    annotation = _annotation(codec.schema())
    if codec.optional:
        return annotation | None, Field(default=None, alias=codec.name)
    return annotation, Field(alias=codec.name)


def _annotation(schema: dict[str, Any]) -> Any:
    if words := schema.get("enum"):
        return Literal[tuple(words)]
    if pattern := schema.get("pattern"):
        return Annotated[str, Field(pattern=pattern)]
    if longest := schema.get("maxLength"):
        return Annotated[str, Field(max_length=longest)]
    return Annotated[int, Field(ge=schema["minimum"], le=schema["maximum"])]


def _model(shape: type[Shape], **fields: Any) -> Any:
    """A model of the members that a shape declares, after further fields."""
    return create_model(shape.__name__, __base__=Schema, **fields, **_members(shape))


def _claim(claim: type[Claim]) -> Any:
    """A model of a claim: its kind, and its members."""
    return _model(claim, kind=(Literal[claim.KIND], ...))


# The bases of the following classes are made at run time; mypy cannot follow them.


class Status(_claim(StatusClaim)):  # type: ignore[misc]
    pass


class Checkpoint(_claim(CheckpointClaim)):  # type: ignore[misc]
    pass


class Downtime(_claim(DowntimeClaim)):  # type: ignore[misc]
    pass


class Period(_claim(PeriodClaim)):  # type: ignore[misc]
    pass


class Window(_claim(WindowClaim)):  # type: ignore[misc]
    pass


class Handover(_claim(HandoverClaim)):  # type: ignore[misc]
    pass


class Acceptance(_claim(AcceptanceClaim)):  # type: ignore[misc]
    pass


class _Certified(Schema):
    aggregated_signature: Signature
    aggregated_public_key: PublicKey
    signers: list[Id]
    committee: Hash


class Endorsement(_claim(EndorsementClaim)):  # type: ignore[misc]
    signature: Signature
    committee: Hash


class Maintenance(_claim(MaintenanceClaim)):  # type: ignore[misc]
    signature: Signature
    committee: Hash


class StatusCertificate(Status, _Certified):
    pass


class CheckpointCertificate(Checkpoint, _Certified):
    pass


class WindowCertificate(Window, _Certified):
    pass


class AcceptanceSignatures(Schema):
    aggregated_signature: Signature
    aggregated_public_key: PublicKey
    signers: list[Id]


class HandoverEvent(Handover, _Certified):
    acceptance: AcceptanceSignatures


class DowntimeTotals(_model(DowntimeClaim)):  # type: ignore[misc]
    pass


class Interval(Schema):
    begin: Annotated[Time, Field(alias="from")]
    end: Annotated[Time, Field(alias="to")]


class NodeInterval(Schema):
    node_id: Id
    begin: Annotated[Time, Field(alias="from")]
    end: Annotated[Time, Field(alias="to")]


class DowntimeCertificate(Downtime, _Certified):
    pass


class PeriodCertificate(Period, _Certified):
    pass


class PeriodLeaf(_model(PeriodLeafShape)):  # type: ignore[misc]
    pass


class PeriodReport(Schema):
    certificate: PeriodCertificate
    leaves: list[PeriodLeaf]


Event = Annotated[
    StatusCertificate
    | CheckpointCertificate
    | WindowCertificate
    | Endorsement
    | Maintenance
    | HandoverEvent,
    Field(discriminator="kind"),
]
Mark = Annotated[CheckpointCertificate | HandoverEvent, Field(discriminator="kind")]


# Logs


class CertifiedCheckpoint(Schema):
    size: int
    root: Hash
    timestamp: int
    position: int


class LogHead(Schema):
    size: int
    root: Hash
    ledger_index: int
    committee: Hash
    certified: CertifiedCheckpoint | None


class CommitteeState(Schema):
    network: Hash
    epoch: int
    committee: Hash
    seat: int
    position: int | None
    seated: list[Id]
    approved: dict[str, Hash | None]


class SeatedCommittee(Schema):
    epoch: int
    committee: dict[str, Any]
    handover: HandoverEvent | None
    position: int | None


class LineagePage(Schema):
    committees: list[SeatedCommittee]
    checkpoint: CheckpointCertificate | None
    next: int | None


class Transition(Schema):
    status: UpOrDown
    timestamp: Time
    position: int  # of its event in the log


class Transitions(Schema):
    transitions: list[Transition]


class LookRecord(_model(LookRecordShape, kind=(Literal[LookRecordShape.KIND], ...))):  # type: ignore[misc]
    """What the operator saw of a node; equal looks in succession are one record."""


class AnswerRecord(_model(AnswerRecordShape, kind=(Literal[AnswerRecordShape.KIND], ...))):  # type: ignore[misc]
    """What the operator answered to a claim about a node's status."""


class SealedRecord(Schema):
    """A record, and its path to the root of the seal with that chain and number."""

    record: LookRecord | AnswerRecord
    chain: ChainId
    number: int
    index: int
    path: list[Hash]


class SignedSeal(_model(SealShape)):  # type: ignore[misc]
    """A signature on records of an operator: on root(`evidence-seal`, committee, members)."""

    committee: Hash
    signature: Signature


class EvidencePage(Schema):
    operator: Id
    seals: list[SignedSeal]
    records: list[SealedRecord]
    next: int | None


class LogRow(Schema):
    id: int
    node_id: Id
    status: UpOrDown
    timestamp: int
    signature: Signature


class LogRows(Schema):
    logs: list[LogRow]
    next: int | None


class PlacedEvent(Schema):
    position: int
    event: Event
    ledger_index: int


class Entry(PlacedEvent):
    ledger_time: int | None  # Unix seconds; not verified, and other operators may show another


class Entries(Schema):
    events: list[Entry]
    next: int | None


class ProvenEntry(PlacedEvent):
    size: int
    root: Hash
    inclusion: list[Hash]
    anchor: Mark | None = None  # with `anchored`: the mark that certifies the root, if any


class Refused(Schema):
    id: int
    ledger_index: int
    place: int
    reason: str
    detail: str
    excerpt: str


class ReasonCount(Schema):
    reason: str
    count: int


class RefusedEvents(Schema):
    counts: list[ReasonCount]
    refused: list[Refused]
    next: int | None


# Streams


class ReadingSum(Schema):
    """What is claimed about the sum of each window; the kind tells which members follow."""

    kind: Literal["none", "total", "mean", "stated"]
    low: Decimal | Absent = None  # of total and mean
    high: Decimal | Absent = None
    width: Decimal | Absent = None  # of stated


class Readings(Schema):
    """The rule that takes a reading from a message, and the bounds of readings."""

    form: Literal["plain", "json"]
    pointer: str | Absent = None  # of the form json
    scale: Annotated[int, Field(ge=0, le=MAX_SCALE)]
    rounding: Literal["exact", "half-even"]
    unit: str
    length: Annotated[int, Field(ge=1, le=MAX_CHUNK_BYTES)]  # bytes that every chunk states
    low: Decimal
    high: Decimal
    fall: Decimal
    rise: Decimal
    sum: ReadingSum
    carry: bool
    most: Annotated[int, Field(ge=1, le=MAX_READINGS)]


class Descriptor(Schema):
    network: Hash
    identity: Hash
    header_key: PublicKey
    proof_of_possession: Signature
    parameters: Literal["standard", "strong"]
    name: Id
    readings: Readings | Absent = None  # absent in a stream without readings


class WindowHeader(_model(WindowHeaderShape)):  # type: ignore[misc]
    pass


class ChunkHeader(_model(ChunkHeaderShape)):  # type: ignore[misc]
    pass


class Announcement(Schema):
    """The header of a window, submitted as soon as the window is closed."""

    descriptor: Descriptor
    header: WindowHeader
    header_signature: Signature


class Submission(Announcement):
    """A window with the hashes of its objects: all three further members, or none of them."""

    chunks: Hash | Absent = None
    proof: Hash | Absent = None
    objects_signature: Signature | Absent = None


class VoteRequest(Submission):
    """A window with the round in which its verdict shall be signed; none in an announcement."""

    timestamp: Time | Absent = None


class Vote(Schema):
    """`statement`: null in streams without readings."""

    operator: Id
    stream: Hash
    number: int
    header: Hash
    statement: Statement | None
    verdict: ValidOrNot | None
    reason: Literal["none", "header", "root", "statement", "stark"] | None
    detail: str
    committee: Hash | None
    signature: Signature | None
    refusal: str | None
    refusal_detail: str


class OperatorVote(Schema):
    operator: Id
    answer: str  # a verdict, the reason of a refusal, or why there is no usable answer
    detail: str


class WindowStatus(Schema):
    """`statement`: null in streams without readings."""

    stream: Hash
    number: int
    header: Hash
    statement: Statement | None
    state: Literal[
        "announced", "incomplete", "voting", "waiting", "certified", "invalid", "applied"
    ]
    missing: list[Hash]
    proof: Hash | None
    count: int
    proof_bytes: int | None
    security_bits: int | None
    votes: list[OperatorVote]


class WindowStatuses(Schema):
    windows: list[WindowStatus]
    next: int | None


class DecidedWindow(WindowStatus):
    id: int


class DecidedWindows(Schema):
    windows: list[DecidedWindow]
    next: int | None


class Stored(Schema):
    sha256: Hash
    bytes: int


class Accepted(Schema):
    accepted: bool


class StreamHead(Schema):
    stream: Hash
    windows: int
    header: Hash | None
    timestamp: int | None
    position: int | None


class Streams(Schema):
    streams: list[StreamHead]
    next: Hash | None


class EndorsementAt(Schema):
    position: int
    first: int
    last: int
    verdict: ValidOrNot
    note: Hash
    expert: Id
    timestamp: int


class EndorsedStream(StreamHead):
    endorsements: list[EndorsementAt]


class VerdictAt(Schema):
    position: int
    event: WindowCertificate


class WindowVerdicts(Schema):
    stream: Hash
    number: int
    verdicts: list[VerdictAt]
    endorsements: list[EndorsementAt]


# Operators


class StatusAnswer(_model(StatusAnswerShape)):  # type: ignore[misc]
    signature: Signature


class Attestation(Schema):
    operator: Id
    committee: Hash  # that it is for
    signature: Signature


class Report(Schema):
    node_id: Id
    status: UpOrDown


class Beat(_model(BeatShape)):  # type: ignore[misc]
    """`passed_on_by`: the operator that passes the beat on; unsigned."""

    signature: Signature
    passed_on_by: Id | None = None


class BeatTaken(Schema):
    """`new`: false if the same beat was received before.

    `offset_ms`: the machine's clock minus that of this service.
    """

    new: bool
    offset_ms: int
    every_seconds: Seconds


class Suspected(_model(SuspicionShape)):  # type: ignore[misc]
    pass


class Reported(Schema):
    suspicion: Suspected
    delivered: list[str]


class NewestBeat(Schema):
    """`passed_on_by`: an operator, unsigned; null if the beat came from the target itself."""

    age_seconds: Seconds
    clock_offset_ms: int
    passed_on_by: Id | None


class LatestProbe(Schema):
    status: UpOrDown
    reason: str
    detail: str
    at: int
    latency_ms: int
    certificate_expires: int | None


class WindowOfMaintenance(Schema):
    """Announced maintenance of a node, in Unix seconds; `to` is exclusive."""

    position: int
    begin: Annotated[Time, Field(alias="from")]
    end: Annotated[Time, Field(alias="to")]
    timestamp: Time


class MaintenanceAt(_model(MaintenanceClaim)):  # type: ignore[misc]
    position: int


class MaintenancePage(Schema):
    maintenance: list[MaintenanceAt]
    next: int | None


class Node(Schema):
    """`maintenance`: announced windows that have not ended by log time, the first end first."""

    node_id: Id
    kind: Literal["operator", "target"]
    status: Literal["up", "down", "unknown"]
    since: int | None
    seen: LatestProbe | None
    signed: bool  # whether its answers or heartbeats are signed
    beat: NewestBeat | None
    listed_since: Time  # the seat of the first committee that listed it
    maintenance: list[WindowOfMaintenance]


class Nodes(Schema):
    nodes: list[Node]
    next: Id | None


class Probe(Schema):
    node_id: Id
    seen: UpOrDown
    reason: str
    detail: str
    at: int
    latency_ms: int
    clock_offset_ms: int | None
    certificate_expires: int | None
    beat: NewestBeat | None  # of a target that sends heartbeats


class ProbedRound(Schema):
    number: int
    start: int
    probes: list[Probe]


class ProbedRounds(Schema):
    rounds: list[ProbedRound]
    next: int | None


# Aggregators


class Suspicion(Suspected):
    signature: Signature


class SuspicionTaken(Schema):
    gathering: bool


class OperatorAnswer(Schema):
    operator: Id
    answer: str
    detail: str
    latency_ms: int | None


class ReceivedSuspicion(Schema):
    operator: Id
    node_id: Id
    status: UpOrDown
    after_ms: int
    outcome: Literal[
        "no_change",
        "abstained",
        "busy",
        "asked",
        "already_asked",
        "outbox_full",
        "certified",
        "not_certified",
    ]
    detail: str


class AttestationRound(Schema):
    claim: Annotated[Status | Checkpoint | Downtime | Window, Field(discriminator="kind")]
    needed: int
    certified: bool
    answers: list[OperatorAnswer]


class Round(Schema):
    number: int
    start: int
    begun_late_ms: int
    took_ms: int | None
    overran: bool
    skipped: int
    note: str
    probes: list[Probe]
    suspicions: list[ReceivedSuspicion]
    suspicions_omitted: int
    gatherings: list[AttestationRound]


class Rounds(Schema):
    rounds: list[Round]
    next: int | None


class Pending(Schema):
    id: int
    event: Event
    sends: int
    sent_at: int | None


class Outbox(Schema):
    outbox: list[Pending]
    next: int | None
