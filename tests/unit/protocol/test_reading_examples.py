"""The code reproduces the examples of a stream with readings in `tests/vectors/protocol`."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import reading_oracle
from dragon.encoding import canonical
from dragon.protocol import bls
from dragon.protocol.claims.window import Statement, Verdict
from dragon.protocol.streams.chunks import (
    ChunkHeader,
    chunk_headers,
    digest,
    opening_with_reading,
    tree_of,
)
from dragon.protocol.streams.closing import decide
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.disclosure import check_disclosure
from dragon.protocol.streams.finding import judge
from dragon.protocol.streams.reading_rule import Rounding, scaled
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.statements import window_statement
from dragon.protocol.streams.window import WindowHeader, close, sign
from dragon.stark.commitment import NO_READING, commit
from dragon.stark.prover.blocks import hash_many, prove_blocks
from dragon.stark.prover.readings import prove_readings
from dragon.stark.ziggy import secret_preimage

VECTORS = Path(__file__).parents[2] / "vectors" / "protocol"


def shown(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def example(name: str) -> bytes:
    """An exact text."""
    return str(shown(name)["text"]).encode()


def raw(name: str) -> bytes:
    """The bytes of a hexadecimal text."""
    return bytes.fromhex(str(shown(name)["text"]).removeprefix("0x"))


IDENTITY, HEADER_KEY, SALT_KEY = (
    bytes.fromhex(secret[2:]) for _, secret in shown("stream-secrets")["rows"]
)
CHUNKS: list[list[Any]] = shown("readings-chunk-data")["rows"]
WINDOWS = range(3)


@dataclass(frozen=True)
class Stream:
    """The example stream, computed from its descriptor, its secrets and its data."""

    descriptor: Descriptor
    readings: Readings
    openings: list[bytes]
    chunks: tuple[ChunkHeader, ...]
    headers: list[WindowHeader]

    def previous(self, window: int) -> WindowHeader | None:
        return self.headers[window - 1] if window else None

    def chunks_of(self, window: int) -> tuple[ChunkHeader, ...]:
        return tuple(self.chunks[number] for number, *_, at in CHUNKS if at == window)


@pytest.fixture(scope="module")
def stream() -> Stream:
    descriptor = Descriptor.decode(example("readings-descriptor"))
    readings = descriptor.readings
    assert readings
    values = [readings.committed_value(text.encode()) for _, _, text, _, _ in CHUNKS]
    openings = [
        opening_with_reading(SALT_KEY, descriptor.id, number, digest(text.encode()), values[number])
        for number, _, text, _, _ in CHUNKS
    ]
    received = [(at, readings.length) for _, at, *_ in CHUNKS]
    made = Stream(
        descriptor, readings, openings, chunk_headers(0, received, openings, hash_many), []
    )
    for window in WINDOWS:
        new = [values[number] for number, *_, at in CHUNKS if at == window]
        first = min(number for number, *_, at in CHUNKS if at == window)
        closing = decide(readings, new, values[first - 1] if window else None)
        header = close(descriptor, made.previous(window), made.chunks_of(window), closing)
        made.headers.append(header)
    return made


def test_the_descriptor_and_the_id(stream: Stream) -> None:
    text = example("readings-descriptor")

    assert stream.descriptor.encode() == text
    assert hashlib.sha256(text).digest() == raw("readings-stream-id") == stream.descriptor.id
    without = dataclasses.replace(stream.descriptor, readings=None, name="sensor-1")
    assert without.encode() == example("descriptor")


@pytest.mark.parametrize(("text", "scale", "rounding", "reading"), shown("readings-values")["rows"])
def test_numbers_and_their_readings(
    text: str, scale: int, rounding: str, reading: int | str
) -> None:
    expected = None if reading == "none" else reading

    assert scaled(text.encode(), scale, Rounding(rounding)) == expected
    rule = {"form": "plain", "scale": scale, "rounding": rounding}
    assert reading_oracle.reading(text.encode(), rule) == expected


def test_messages_and_their_readings(stream: Stream) -> None:
    rule = json.loads(example("readings-descriptor"))["readings"]

    for _, _, text, reading, _ in CHUNKS:
        expected = None if reading == "none" else reading
        assert stream.readings.rule.reading(text.encode()) == expected
        assert reading_oracle.reading(text.encode(), rule) == expected


def test_the_salt_the_openings_and_the_commitment(stream: Stream) -> None:
    data = CHUNKS[0][2].encode()
    hashed = stream.descriptor.id + bytes(8) + hashlib.sha256(data).digest()
    expected = hmac.new(SALT_KEY, hashed, hashlib.sha256).digest()[:20]

    assert raw("readings-salt") == expected
    value = (45 + 2**59).to_bytes(8, "big")
    assert raw("readings-opening") == hashlib.sha256(data).digest() + expected + value
    assert raw("readings-opening") == stream.openings[0]
    assert raw("readings-no-opening") == stream.openings[-1]
    assert raw("readings-no-opening")[52:] == bytes(8)
    assert raw("readings-commitment") == commit(stream.openings[0]) == stream.chunks[0].commitment
    assert stream.chunks[0].leaf() == example("readings-chunk")


def test_a_disclosed_chunk_has_the_reading_of_its_data(stream: Stream) -> None:
    for number, _, text, reading, _ in CHUNKS:
        opening, commitment = stream.openings[number], stream.chunks[number].commitment
        found = check_disclosure(stream.readings, commitment, opening, text.encode())
        assert found == (None if reading == "none" else reading)


@pytest.mark.parametrize("window", WINDOWS)
def test_the_window_headers(stream: Stream, window: int) -> None:
    header, text = stream.headers[window], example(f"readings-header-{window}")

    assert header.encode() == text
    assert WindowHeader.decode(text) == header
    assert header.chunks_root == tree_of(stream.chunks_of(window)).root()
    assert header.last == stream.chunks_of(window)[-1].commitment
    assert header.previous == (stream.headers[window - 1].hash if window else stream.descriptor.id)


def test_the_bounds_of_the_windows_that_claim_their_readings(stream: Stream) -> None:
    found = []
    for window in WINDOWS:
        statement = window_statement(
            stream.descriptor, stream.headers[window], stream.previous(window)
        )
        if statement:
            carried = int(statement.carried is not None)
            found.append([window, carried, *dataclasses.astuple(statement.bounds)])

    assert found == shown("readings-bounds")["rows"]


def judged(stream: Stream, window: int, proof: bytes) -> Any:
    header, descriptor = stream.headers[window], stream.descriptor
    secret = bls.SecretKey.decode(HEADER_KEY)
    return judge(
        *(descriptor, header, sign(header, descriptor, secret)),
        *(stream.chunks_of(window), proof),
        previous=stream.previous(window),
        now_ms=header.last_received_ms,
        network_id=descriptor.network_id,
    )


def test_the_proof_of_a_carried_window_and_the_claim_about_it(stream: Stream) -> None:
    header = stream.headers[1]
    statement = window_statement(stream.descriptor, header, stream.headers[0])
    assert statement
    assert statement.carried == stream.chunks[1].commitment
    proof = prove_readings(
        *("standard", secret_preimage(IDENTITY), stream.openings[1:4], True, statement.bounds),
        *(header.hash, raw("proof-rho")),
    )

    found = judged(stream, 1, proof)

    timestamp = json.loads(example("readings-window-members"))["timestamp"]
    claim = found.claim(stream.descriptor, header, hashlib.sha256(proof).digest(), timestamp)
    assert hashlib.sha256(proof).digest() == raw("readings-proof-digest")
    assert canonical(claim.members()) == example("readings-window-members")
    assert (found.verdict, claim.statement) == (Verdict.VALID, Statement.READINGS)


def test_the_window_without_a_claim_has_a_blocks_proof(stream: Stream) -> None:
    header = stream.headers[2]
    secrets = [secret_preimage(IDENTITY), stream.openings[4]]
    proof = prove_blocks("standard", secrets, header.hash, raw("proof-rho"))

    found = judged(stream, 2, proof)

    claim = found.claim(stream.descriptor, header, hashlib.sha256(proof).digest(), 0)
    assert stream.readings.committed_value(CHUNKS[4][2].encode()) == NO_READING
    assert (found.verdict, claim.statement) == (Verdict.VALID, Statement.BLOCKS)
