"""The request and response bodies of this service, as `/openapi.json` describes them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from dragon.node.schemas import (
    ChunkHeader,
    Descriptor,
    EndorsementAt,
    Hash,
    Id,
    OperatorVote,
    Readings,
    Schema,
    Signature,
    ValidOrNot,
    WindowCertificate,
    WindowHeader,
)
from dragon.protocol.streams.chunks import MAX_CHUNK_BYTES
from dragon.stark.blocks import MAX_CHUNKS

MIN_WINDOW_MS: Final = 100  # shortest `window_ms`
MAX_WINDOW_MS: Final = 3_600_000  # longest `window_ms`
MIN_RETENTION_SECONDS: Final = 60  # shortest `retention_seconds`
MAX_RETENTION_SECONDS: Final = 315_360_000  # longest `retention_seconds`: ten years

Statement = Literal["readings", "blocks"]
State = Literal["closed", "proven", "certified", "invalid"]
Mode = Literal["bytes", "message"]
Opening = Annotated[str, Field(pattern="^0x[0-9a-f]{120}$")]


class NewStream(Schema):
    name: Id
    chunk_bytes: Annotated[int, Field(ge=1, le=MAX_CHUNK_BYTES)] = MAX_CHUNK_BYTES
    window_chunks: Annotated[int | None, Field(ge=1, le=MAX_CHUNKS)] = None
    window_ms: Annotated[int, Field(ge=MIN_WINDOW_MS, le=MAX_WINDOW_MS)] = 5000
    mode: Mode = "bytes"
    retention_seconds: Annotated[int, Field(ge=MIN_RETENTION_SECONDS, le=MAX_RETENTION_SECONDS)] = (
        86_400
    )
    parameters: Literal["standard", "strong"] = "standard"
    # Fixes `mode` to "message" and `chunk_bytes` to its `length`, and bounds `window_chunks`.
    readings: Readings | None = None


class Stream(Schema):
    stream: Hash
    name: Id
    descriptor: Descriptor
    chunk_bytes: int
    window_chunks: int | None  # null: windows grow with the rate, up to `max_window_chunks`
    max_window_chunks: int
    window_ms: int
    mode: Mode
    retention_seconds: int
    created_ms: int
    chunks: int  # accepted
    bytes: int | None  # accepted; null with readings, unless the owner asks
    windows: int  # closed
    certified: int  # windows
    stopped: str | None


class CreatedStream(Stream):
    token: str
    warnings: list[str]


class Streams(Schema):
    streams: list[Stream]


class Window(Schema):
    stream: Hash
    number: int
    state: State
    statement: Statement | None  # what the proof states; null in a stream without readings
    header: WindowHeader
    header_signature: Signature
    closed_ms: int
    verdict: ValidOrNot | None
    position: int | None
    event: WindowCertificate | None
    proof_bytes: int | None
    security_bits: int | None
    votes: list[OperatorVote]
    endorsements: list[EndorsementAt]


class WindowSummary(Schema):
    number: int
    state: State
    statement: Statement | None
    first: int
    count: int
    closed_ms: int
    position: int | None
    proof_bytes: int | None
    security_bits: int | None


class Windows(Schema):
    windows: list[WindowSummary]
    next: int | None


class Chunk(Schema):
    stream: Hash
    window: int
    state: State
    sequence: int
    received_ms: int
    length: int
    commitment: Hash


class ChunkDigest(Schema):
    sequence: int
    length: int
    digest: Hash


class ChunkDigests(Schema):
    chunks: list[ChunkDigest]
    next: int | None


class Accepted(Schema):
    sequence: int
    bytes: int
    chunks: int


class ArchivedStream(Schema):
    stream: Hash
    name: Id
    segments: int  # objects in the archive
    segment_bytes: int
    bundles: int  # objects with proofs in the archive
    bundle_bytes: int
    pending_bytes: int  # certified, and not in the archive yet


class Archive(Schema):
    archive: str  # as in STREAM_ARCHIVE
    local_bytes: int  # data and proofs on the disk
    local_limit_bytes: int
    has_room: bool  # false: sources wait
    last_error: str | None  # of the last attempt
    retry_seconds: int  # until the next one, after a failure
    streams: list[ArchivedStream]


class Receipt(Schema):
    descriptor: Descriptor
    chunk: ChunkHeader
    path: list[Hash]
    header: WindowHeader
    header_signature: Signature
    event: WindowCertificate
    position: int | None = None
    ledger_index: int | None = None
    inclusion: list[Hash] | None = None
    checkpoint: dict[str, object] | None = None
    opening: Opening | None = None
    chunks: list[ChunkHeader] | None = None
    proof: str | None = None
    previous_header: WindowHeader | None = None  # if the proof begins with that window's last chunk
