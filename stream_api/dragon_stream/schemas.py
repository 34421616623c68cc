"""The request and response bodies of this service, as `/openapi.json` describes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dragon.node.schemas import (
    ChunkHeader,
    Descriptor,
    EndorsementAt,
    Hash,
    Id,
    OperatorVote,
    Schema,
    Signature,
    ValidOrNot,
    WindowCertificate,
    WindowHeader,
)

State = Literal["closed", "proven", "certified", "invalid"]
Mode = Literal["bytes", "message"]
Opening = Annotated[str, Field(pattern="^0x[0-9a-f]{120}$")]


class NewStream(Schema):
    name: Id
    chunk_bytes: int = 65_536
    window_chunks: int = 63
    window_ms: int = 5000
    mode: Mode = "bytes"
    retention_seconds: int = 86_400
    parameters: Literal["standard", "strong"] = "standard"


class Stream(Schema):
    stream: Hash
    name: Id
    descriptor: Descriptor
    chunk_bytes: int
    window_chunks: int
    window_ms: int
    mode: Mode
    retention_seconds: int
    created_ms: int
    chunks: int  # accepted
    bytes: int  # accepted
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
    header: WindowHeader
    header_signature: Signature
    closed_ms: int
    verdict: ValidOrNot | None
    position: int | None
    event: WindowCertificate | None
    votes: list[OperatorVote]
    endorsements: list[EndorsementAt]


class WindowSummary(Schema):
    number: int
    state: State
    first: int
    count: int
    closed_ms: int
    position: int | None


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
