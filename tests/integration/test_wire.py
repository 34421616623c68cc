"""A stream's secrets do not leave the service: a search in all traffic and all stored files.

The stream goes through every step: announced, proven, voted on, certified, read without a token.
Then every request, public response and file of the nodes is searched for data, digests, salts and
keys. An attacker who has all of that also tries every reading that the sensor could give.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from dragon.encoding import canonical, from_hex
from dragon.protocol.streams.chunks import decode_chunks, digest, opening
from dragon.stark.prover.blocks import hash_many
from dragon_stream.keys import StreamKeys
from dragon_stream.window_sealer import window_openings
from eavesdropper import (
    address,
    occurring,
    public_responses,
    raw,
    sent_to_nodes,
    stored_by_nodes,
    written,
)
from stream_simulation import PROVER, SERVICE_KEY, STREAMS, TOKEN, StreamWorld

READINGS = [b"21.5", b"21.7", b"21.5", b"03.1"]
TEXT = b"the quick brown fox measures what no one else may see, at the north gate"


@dataclass(frozen=True)
class Scene:
    """A stream after every step, and everything that others know about it."""

    world: StreamWorld
    stream: Mapping[str, Any]
    keys: StreamKeys
    openings: tuple[bytes, ...]
    held: bytes  # traffic and files of nodes and ledger, and public responses
    proving: bytes  # requests to the prover


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
        yield collect(world, stream)


def collect(world: StreamWorld, stream: Mapping[str, Any]) -> Scene:
    components = world.components(STREAMS)
    stream_id = from_hex(stream["stream"], member="stream", size=32)
    keys = components.streams.get(stream_id).keys
    rows = [components.store.window(stream_id, number) for number in range(2)]
    openings = tuple(itertools.chain(*(window_openings(keys, row) for row in rows)))
    proving = [raw(request) for _, request in world.sent if PROVER in address(world, request)]
    public = public_responses(world, stream, windows=2, chunks=len(READINGS) + 2)
    held = [*sent_to_nodes(world), *stored_by_nodes(world), *public]
    return Scene(world, stream, keys, openings, b"\0".join(held), b"\0".join(proving))


def secrets_of(scene: Scene) -> dict[str, bytes]:
    found = {
        "data": TEXT,
        "part of the data": TEXT[7:39],
        "the service's key": SERVICE_KEY.encode(),
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


def test_the_search_finds_what_is_transmitted(scene: Scene) -> None:
    """A control: it finds public values, and the openings in requests to the prover."""
    row = scene.world.components(STREAMS).store.window(scene.keys.descriptor.id, 0)
    for public in (row.header.hash, row.header.chunks_root, scene.keys.descriptor.identity):
        assert any(form in scene.held for form in written(public))
    for chunk in decode_chunks(row.chunks):
        assert chunk.commitment.hex().encode() in scene.held
    assert all(opened in scene.proving for opened in scene.openings)
    assert scene.keys.identity in scene.proving


def test_the_prover_receives_no_data(scene: Scene) -> None:
    for form in (*written(TEXT), *written(TEXT[7:39]), *written(scene.keys.salt)):
        assert form not in scene.proving


def test_equal_chunks_have_different_commitments(scene: Scene) -> None:
    row = scene.world.components(STREAMS).store.window(scene.keys.descriptor.id, 0)
    commitments = [chunk.commitment for chunk in decode_chunks(row.chunks)]

    assert READINGS[0] == READINGS[2]
    assert len(set(commitments)) == len(commitments)


def test_only_the_service_keeps_data(scene: Scene) -> None:
    """Data is in the service's segments and in no other file."""
    segments = [path for path in scene.world.data.rglob("*") if path.is_file()]

    assert any(TEXT in path.read_bytes() for path in segments)
    for path in scene.world.folder.iterdir():
        if path.is_file():
            assert TEXT not in path.read_bytes(), path.name


# -- guessing ------------------------------------------------------------------------------------

CANDIDATES = [bytes(four) for four in itertools.product(b"0123456789.", repeat=4)]


@dataclass(frozen=True)
class Guesser:
    """Knows everything that nodes and ledger know, and tries every reading of four characters."""

    held: bytes
    stream: bytes
    sequences: range
    keys: tuple[bytes, ...]  # public values of 32 bytes that might wrongly be used as salts

    def digests(self) -> set[bytes]:
        """Readings with an unsalted SHA-256 that was found, as bytes or as hex."""
        plain = {hashlib.sha256(each).digest(): each for each in CANDIDATES}
        hexed = {each.hex().encode(): reading for each, reading in plain.items()}
        return self._readings(plain) | self._readings(hexed)

    def commitments(self) -> set[bytes]:
        """Readings with a commitment that was found, without a salt or with one from `keys`."""
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
        return self._readings(hexed)

    def _readings(self, wanted: Mapping[bytes, bytes]) -> set[bytes]:
        """The readings of those forms that occur in `held`."""
        return {wanted[form] for form in occurring(self.held, list(wanted))}


def guesser(scene: Scene, *, held: bytes = b"", keys: tuple[bytes, ...] = ()) -> Guesser:
    descriptor = scene.keys.descriptor
    row = scene.world.components(STREAMS).store.window(descriptor.id, 0)
    public = (descriptor.id, descriptor.identity, scene.world.committee.id, row.header.hash)
    sequences = range(len(READINGS))
    return Guesser(scene.held + held, descriptor.id, sequences, (*public, *keys))


def test_guessing_finds_no_reading_in_the_data_of_nodes_and_ledger(scene: Scene) -> None:
    attack = guesser(scene)

    assert set(READINGS) <= set(CANDIDATES)
    assert attack.digests() == set()
    assert attack.commitments() == set()


def test_guessing_finds_a_reading_from_an_unsalted_sha_256(scene: Scene) -> None:
    """A control: the attack works, and only the salt defeats it."""
    bare = guesser(scene, held=digest(READINGS[3]))
    hexed = guesser(scene, held=digest(READINGS[0]).hex().encode())

    assert bare.digests() == {READINGS[3]}
    assert hexed.digests() == {READINGS[0]}


def test_guessing_finds_every_reading_with_the_salt_key(scene: Scene) -> None:
    attack = guesser(scene, keys=(scene.keys.salt,))

    assert attack.commitments() == set(READINGS)


def test_a_receipt_with_an_opening_opens_one_chunk_only(scene: Scene) -> None:
    """The receipt of chunk 1 does not help to guess chunks 0, 2 and 3."""
    receipt = scene.world.receipt(scene.stream, 1)
    assert receipt.opening == scene.openings[1]
    shown = canonical(receipt.to_json())

    attack = guesser(scene, held=shown, keys=(receipt.opening[:32], receipt.opening[28:]))

    assert attack.digests() == {READINGS[1]}
    assert attack.commitments() == set()
    for number, other in enumerate(scene.openings):
        if number != 1:
            assert other.hex().encode() not in shown


def test_a_copy_of_the_data_without_the_keystore_contains_no_opening(
    scene: Scene, tmp_path: Path
) -> None:
    """The copy contains data and digests, but neither salts nor keys."""
    shutil.copytree(scene.world.data, tmp_path / "copy")
    held = b"\0".join(p.read_bytes() for p in (tmp_path / "copy").rglob("*") if p.is_file())

    for form in written(scene.keys.salt) + written(scene.keys.identity):
        assert form not in held
    for opened in scene.openings:
        assert opened[32:] not in held
