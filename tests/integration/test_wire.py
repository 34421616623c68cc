"""What a stream's owner must not let out, looked for in all that crosses the wire and is stored.

A stream runs through everything: announced, proven, voted on, certified, read by anybody. Then
every request, every public answer and every file of the nodes is searched for data, digests, salts
and keys; and a guesser who has all of that goes through every reading that the sensor could give.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from committees import make_members
from dragon.encoding import canonical, from_hex
from dragon.protocol.streams.chunks import decode_chunks, digest, opening
from dragon.stark.prover.blocks import hash_many
from dragon_stream.keys import StreamKeys
from dragon_stream.window_sealer import window_openings
from stream_simulation import PROVER, STREAMS, TOKEN, StreamWorld

READINGS = [b"21.5", b"21.7", b"21.5", b"03.1"]
TEXT = b"the quick brown fox measures what nobody else may see, at the north gate"


@dataclass(frozen=True)
class Scene:
    """A stream that has run through everything, and all that others have of it."""

    world: StreamWorld
    stream: Mapping[str, Any]
    keys: StreamKeys
    openings: tuple[bytes, ...]
    held: bytes  # by nodes and ledger, and what anybody may read
    proving: bytes  # what went to the prover


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("wire")
    with StreamWorld(folder, make_members()) as world:
        world.run(1, peers=False)
        stream = world.make("sensor-1", mode="message")
        for data in (*READINGS, TEXT):
            world.upload(stream, data)
        world.run(1, peers=False)
        world.restart(STREAMS)
        world.upload(stream, READINGS[0])
        world.run(13)
        assert world.states(stream) == ["certified"] * 2
        yield look_around(world, stream)


def look_around(world: StreamWorld, stream: Mapping[str, Any]) -> Scene:
    components = world.components(STREAMS)
    stream_id = from_hex(stream["stream"], member="stream", size=32)
    keys = components.streams.get(stream_id).keys
    rows = [components.store.window(stream_id, number) for number in range(2)]
    openings = tuple(itertools.chain(*(window_openings(keys, row) for row in rows)))
    proving = [raw(request) for _, request in world.sent if PROVER in address(world, request)]
    held = [*sent_to_nodes(world), *stored_by_nodes(world), *read_by_anybody(world, stream)]
    return Scene(world, stream, keys, openings, b"\0".join(held), b"\0".join(proving))


def address(world: StreamWorld, request: Any) -> str:
    host = request.url.split("/")[2]
    return world.names.get(host, host)


def raw(request: Any) -> bytes:
    body = request.body or b""
    head = f"{request.method} {request.url} {dict(request.headers)}".encode()
    return head + (body.encode() if isinstance(body, str) else body)


def sent_to_nodes(world: StreamWorld) -> Iterator[bytes]:
    """Every request but those to the service itself, its prover, and between both."""
    for caller, request in world.sent:
        if address(world, request) not in (STREAMS, PROVER) and caller != "owner":
            yield raw(request)


def stored_by_nodes(world: StreamWorld) -> Iterator[bytes]:
    """Every file of operators, aggregators and ledger."""
    files = [path for path in world.folder.iterdir() if path.is_file()]
    names = (*world.operators, *world.aggregators, "sequencer")
    for name in names:
        own_files = [path for path in files if path.name.startswith(name)]
        assert own_files, name
        yield from (path.read_bytes() for path in own_files)


def read_by_anybody(world: StreamWorld, stream: Mapping[str, Any]) -> Iterator[bytes]:
    """What the stream service answers without a token."""
    paths = ["", "/windows", *(f"/windows/{n}" for n in range(2))]
    for chunk in range(len(READINGS) + 2):
        paths += [f"/chunks/{chunk}", f"/chunks/{chunk}/receipt?proof=1"]
    for path in paths:
        answer = world.ask(stream, path)
        assert answer.ok, answer.text
        yield answer.content
    for path in (f"/chunks/0/{what}" for what in ("data", "receipt?disclose=1")):
        assert world.ask(stream, path).status_code == 401
        yield world.ask(stream, path).content
    for path in ("/healthz", "/readyz", "/metrics", "/streams", "/refused", "/openapi.json"):
        yield world.get(STREAMS, path).content


def written(secret: bytes) -> list[bytes]:
    """Every way in which it could stand somewhere."""
    return [
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
    ]


def secrets_of(scene: Scene) -> dict[str, bytes]:
    service = scene.world.components(STREAMS).streams._service
    found = {
        "data": TEXT,
        "part of the data": TEXT[7:39],
        "the service's key": service.encode(),
        "identity key": scene.keys.identity,
        "header key": scene.keys.header.encode(),
        "salt key": scene.keys.salt,
        "the stream's token": scene.keys.token.encode(),
        "the service's token": TOKEN.encode(),
    }
    for number, data in enumerate((*READINGS, TEXT, READINGS[0])):
        found[f"digest of {number}"] = digest(data)
        found[f"salt of {number}"] = scene.openings[number][32:]
        assert scene.openings[number][:32] == digest(data)
    return found


def test_nothing_secret_reaches_a_node_or_the_ledger(scene: Scene) -> None:
    for name, secret in secrets_of(scene).items():
        for form in written(secret):
            assert form not in scene.held, name


def test_the_search_finds_what_does_cross(scene: Scene) -> None:
    """It would find a secret: it finds what is public, and openings on their way to the prover."""
    row = scene.world.components(STREAMS).store.window(scene.keys.descriptor.id, 0)
    for public in (row.header.hash, row.header.chunks_root, scene.keys.descriptor.identity):
        assert any(form in scene.held for form in written(public))
    for chunk in decode_chunks(row.chunks):
        assert chunk.commitment.hex().encode() in scene.held
    assert all(opened in scene.proving for opened in scene.openings)
    assert scene.keys.identity in scene.proving


def test_the_prover_gets_no_data(scene: Scene) -> None:
    for form in (*written(TEXT), *written(TEXT[7:39]), *written(scene.keys.salt)):
        assert form not in scene.proving


def test_equal_chunks_do_not_look_equal(scene: Scene) -> None:
    row = scene.world.components(STREAMS).store.window(scene.keys.descriptor.id, 0)
    commitments = [chunk.commitment for chunk in decode_chunks(row.chunks)]

    assert READINGS[0] == READINGS[2]
    assert len(set(commitments)) == len(commitments)


def test_only_the_service_keeps_data(scene: Scene) -> None:
    """Its segments hold it; nothing else in the world does."""
    segments = [path for path in scene.world.data.rglob("*") if path.is_file()]

    assert any(TEXT in path.read_bytes() for path in segments)
    for path in scene.world.folder.iterdir():
        if path.is_file():
            assert TEXT not in path.read_bytes(), path.name


# -- guessing ------------------------------------------------------------------------------------

BEGINNING = np.uint64(0xFFFFFF)  # of eight bytes, little endian: the first three
CANDIDATES = [bytes(four) for four in itertools.product(b"0123456789.", repeat=4)]


@dataclass(frozen=True)
class Guesser:
    """Has all that nodes and ledger hold, and tries every reading of four characters."""

    held: bytes
    stream: bytes
    sequences: range
    keys: tuple[bytes, ...]  # public values of 32 bytes that a careless owner might salt with

    def digests(self) -> set[bytes]:
        """Readings whose bare SHA-256 stands anywhere, as bytes or as hex."""
        plain = {hashlib.sha256(each).digest(): each for each in CANDIDATES}
        hexed = {each.hex().encode(): reading for each, reading in plain.items()}
        return self._standing(plain) | self._standing(hexed)

    def commitments(self) -> set[bytes]:
        """Readings whose commitment stands anywhere, under a salt that can be made from what is
        public: none at all, or one under a key that everybody knows."""
        plausible = [reading for reading in CANDIDATES if reading[2:3] == b"."]
        tried: dict[bytes, bytes] = {}
        for reading in plausible:
            tried[digest(reading) + bytes(28)] = reading
            for key, sequence in itertools.product(self.keys, self.sequences):
                tried[opening(key, self.stream, sequence, digest(reading))] = reading
        made = hash_many(list(tried), threads=2)
        hexed = {
            commitment.hex().encode(): reading
            for commitment, reading in zip(made, tried.values(), strict=True)
        }
        return self._standing(hexed)

    def _standing(self, wanted: Mapping[bytes, bytes]) -> set[bytes]:
        """Which of them stand in what is held: those whose first eight bytes do are looked at, and
        of what is held only what begins with three bytes of any."""
        starts = np.array([int.from_bytes(each[:8], "little") for each in wanted], dtype=np.uint64)
        begun = np.zeros(1 << 24, dtype=bool)
        begun[starts & BEGINNING] = True
        near = np.zeros(len(starts), dtype=bool)
        for shift in range(8):
            size = (len(self.held) - shift) // 8 * 8
            view = np.frombuffer(self.held, dtype="<u8", offset=shift, count=size // 8)
            near |= np.isin(starts, view[begun[view & BEGINNING]])
        likely = itertools.compress(wanted.items(), near)
        return {reading for form, reading in likely if form in self.held}


def guesser(scene: Scene, *, held: bytes = b"", keys: tuple[bytes, ...] = ()) -> Guesser:
    descriptor = scene.keys.descriptor
    row = scene.world.components(STREAMS).store.window(descriptor.id, 0)
    public = (descriptor.id, descriptor.identity, scene.world.committee.id, row.header.hash)
    sequences = range(len(READINGS))
    return Guesser(scene.held + held, descriptor.id, sequences, (*public, *keys))


def test_guessing_finds_no_reading_in_all_that_nodes_and_ledger_hold(scene: Scene) -> None:
    attack = guesser(scene)

    assert set(READINGS) <= set(CANDIDATES)
    assert attack.digests() == set()
    assert attack.commitments() == set()


def test_guessing_finds_a_reading_at_once_from_a_bare_sha_256(scene: Scene) -> None:
    """So the attack works; it is the salt that it fails at."""
    bare = guesser(scene, held=digest(READINGS[3]))
    hexed = guesser(scene, held=digest(READINGS[0]).hex().encode())

    assert bare.digests() == {READINGS[3]}
    assert hexed.digests() == {READINGS[0]}


def test_guessing_finds_every_reading_once_the_salt_key_is_out(scene: Scene) -> None:
    attack = guesser(scene, keys=(scene.keys.salt,))

    assert attack.commitments() == set(READINGS)


def test_a_disclosing_receipt_opens_one_chunk_and_no_other(scene: Scene) -> None:
    """Whoever is shown chunk 1 can still not guess chunks 0, 2 and 3."""
    receipt = scene.world.receipt(scene.stream, 1)
    assert receipt.opening == scene.openings[1]
    shown = canonical(receipt.to_json())

    attack = guesser(scene, held=shown, keys=(receipt.opening[:32], receipt.opening[28:]))

    assert attack.digests() == {READINGS[1]}
    assert attack.commitments() == set()
    for number, other in enumerate(scene.openings):
        if number != 1:
            assert other.hex().encode() not in shown


def test_a_copy_of_the_data_without_the_keystore_opens_nothing(
    scene: Scene, tmp_path: Path
) -> None:
    """Digests are there, as the data is; salts and keys are not."""
    shutil.copytree(scene.world.data, tmp_path / "copy")
    held = b"\0".join(p.read_bytes() for p in (tmp_path / "copy").rglob("*") if p.is_file())

    for form in written(scene.keys.salt) + written(scene.keys.identity):
        assert form not in held
    for opened in scene.openings:
        assert opened[32:] not in held
