"""Readings do not leave the service: what everybody else has is searched, and readings are guessed.

As `test_wire`, for a stream with readings. Its salts have 20 bytes, and its commitments contain the
number, too. The attacker knows every message that the sensor could send, with digest and value; in
the strongest test, the very message. Two streams with long and short numbers look the same.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from committees import make_members
from dragon.encoding import canonical, from_hex
from dragon.protocol.streams.chunks import decode_chunks, digest
from dragon.protocol.streams.readings import Readings
from dragon.stark.commitment import READING_SALT_BYTES, reading_opening
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
from reading_streams import COLD_CHAIN
from stream_simulation import PROVER, STREAMS, StreamWorld

READINGS: Final[dict[str, Any]] = {**COLD_CHAIN, "length": 24}
TEXT: Final = b"the door was left open!!"  # a message without a number
WINDOWS: Final = [
    [b"4.5", b"4.7", b"4.5", b"5.1"],
    [b"5.0", TEXT, b"9.9", b"4.5"],
    [b"4.5", b"3.1"],
]
MESSAGES: Final = list(itertools.chain(*WINDOWS))
STATEMENTS: Final = ["readings", "blocks", "readings"]
CANDIDATES: Final = [b"%d.%d" % divmod(tenths, 10) for tenths in range(1000)]
# Public only in part: an opening that the owner has disclosed.
DISCLOSED: Final = 1


@dataclass(frozen=True)
class Scene:
    """A stream after every step, and everything that others know about it."""

    world: StreamWorld
    stream: Mapping[str, Any]
    keys: StreamKeys
    openings: tuple[bytes, ...]
    commitments: tuple[bytes, ...]
    headers: tuple[bytes, ...]  # hashes
    held: bytes  # traffic and files of nodes and ledger, and public responses
    proving: bytes  # requests to the prover


def run(folder: Path, windows: Sequence[Sequence[bytes]], **settings: Any) -> Iterator[Scene]:
    with StreamWorld(folder, make_members()) as world:
        world.run(1, peers=False)
        stream = world.make("cold-chain", readings=READINGS, **settings)
        for messages in windows:
            for each in messages:
                world.upload(stream, each)
            world.run(1, peers=False)
        world.run(13)
        yield collect(world, stream, len(windows))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    yield from run(tmp_path_factory.mktemp("readings"), WINDOWS)


def collect(world: StreamWorld, stream: Mapping[str, Any], windows: int) -> Scene:
    components = world.components(STREAMS)
    stream_id = from_hex(stream["stream"], member="stream", size=32)
    keys = components.streams.get(stream_id).keys
    rows = [components.store.window(stream_id, number) for number in range(windows)]
    openings = tuple(itertools.chain(*(window_openings(keys, row) for row in rows)))
    chunks = itertools.chain(*(decode_chunks(row.chunks) for row in rows))
    commitments = tuple(chunk.commitment for chunk in chunks)
    headers = tuple(row.header.hash for row in rows)
    proving = [raw(request) for _, request in world.sent if PROVER in address(world, request)]
    public = public_responses(world, stream, windows=windows, chunks=len(commitments))
    held = b"\0".join([*sent_to_nodes(world), *stored_by_nodes(world), *public])
    proofs = b"\0".join(proving)
    return Scene(world, stream, keys, openings, commitments, headers, held, proofs)


def salt_of(opening: bytes) -> bytes:
    return opening[32 : 32 + READING_SALT_BYTES]


def test_windows_show_what_was_proven(scene: Scene) -> None:
    assert scene.world.states(scene.stream) == ["certified"] * len(WINDOWS)
    listed = scene.world.get_stream(scene.stream, "/windows")["windows"]
    assert [window["statement"] for window in listed] == STATEMENTS


def test_no_data_digest_salt_or_value_reaches_a_node_or_the_ledger(scene: Scene) -> None:
    secrets = {"data": TEXT, "salt key": scene.keys.salt, "identity": scene.keys.identity}
    for number, (data, opened) in enumerate(zip(MESSAGES, scene.openings, strict=True)):
        assert opened[:32] == digest(data)
        secrets[f"digest of {number}"] = digest(data)
        secrets[f"salt of {number}"] = salt_of(opened)
        secrets[f"salt and value of {number}"] = opened[32:]
        if data != TEXT:  # its value is eight zeros
            secrets[f"value of {number}"] = opened[-8:]
    for name, secret in secrets.items():
        for form in written(secret):
            assert form not in scene.held, name


def test_the_search_finds_what_is_transmitted(scene: Scene) -> None:
    """A control: commitments are public, and the prover has all openings."""
    for commitment in scene.commitments:
        assert commitment.hex().encode() in scene.held
    assert all(opened in scene.proving for opened in scene.openings)


def test_salts_are_fresh(scene: Scene) -> None:
    """Equal messages at three places have three salts, and commitments that differ."""
    same = [place for place, each in enumerate(MESSAGES) if each == b"4.5"]
    assert len(same) == 4
    assert len({salt_of(scene.openings[place]) for place in same}) == len(same)
    assert len(set(scene.commitments)) == len(scene.commitments)


# -- guessing --------------------------------------------------------------------------------------


def guessed_salts(scene: Scene, more: Sequence[bytes] = ()) -> Iterator[tuple[int, bytes]]:
    """Salts that somebody might try who knows everything public: (chunk, salt)."""
    descriptor = scene.keys.descriptor
    keys = [descriptor.id, descriptor.identity, *scene.headers, descriptor.network_id, *more]
    keys += [descriptor.header_key.raw, scene.stream["stream"].encode()]
    for chunk, commitment in enumerate(scene.commitments):
        yield chunk, bytes(READING_SALT_BYTES)
        for key in (*keys, commitment):
            yield chunk, key[:READING_SALT_BYTES]
            yield chunk, key[-READING_SALT_BYTES:]


def derived_salt(key: bytes, stream: bytes, chunk: int, data: bytes) -> bytes:
    """The salt that the service derives, if `key` is the stream's salt key."""
    told = stream + chunk.to_bytes(8, "big") + hashlib.sha256(data).digest()
    return hmac.new(key, told, "sha256").digest()[:READING_SALT_BYTES]


def found(scene: Scene, tried: Mapping[bytes, tuple[int, bytes]]) -> set[tuple[int, bytes]]:
    """Chunks whose commitment one of these openings has, with the message of that opening."""
    openings = list(tried)
    pairs = zip(hash_many(openings, threads=2), openings, strict=True)
    known = {commitment: chunk for chunk, commitment in enumerate(scene.commitments)}
    return {
        (known[commitment], tried[opened][1]) for commitment, opened in pairs if commitment in known
    }


def opening_of(data: bytes, salt: bytes) -> bytes:
    value = Readings.from_json(READINGS).committed_value(data)
    return reading_opening(digest(data), salt, value)


def test_guessing_finds_no_reading_from_everything_public(scene: Scene) -> None:
    """Every message that the sensor could send, with each salt that could be tried."""
    assert {each for each in MESSAGES if each != TEXT} <= set(CANDIDATES)
    few = [data for data in CANDIDATES if b"2.0" <= data <= b"5.9" and len(data) == 3]
    assert {b"4.5", b"4.7", b"5.1", b"5.0", b"3.1"} <= set(few)
    salts = {salt for _, salt in guessed_salts(scene)}

    tried = {opening_of(data, salt): (0, data) for data in few for salt in salts}

    assert len(tried) == len(few) * len(salts) > 1000
    assert found(scene, tried) == set()


def test_no_public_value_is_an_unsalted_hash_of_a_reading(scene: Scene) -> None:
    plain = [hashlib.sha256(each).digest() for each in CANDIDATES]

    assert occurring(scene.held, plain) == set()
    assert occurring(scene.held, [each.hex().encode() for each in plain]) == set()


def test_a_known_message_cannot_be_found_without_its_salt(scene: Scene) -> None:
    """The attacker has the data of every chunk: digest and value are right, only salts are not."""
    salts = list(guessed_salts(scene))
    tried = {opening_of(MESSAGES[chunk], salt): (chunk, MESSAGES[chunk]) for chunk, salt in salts}

    assert found(scene, tried) == set()


def test_with_the_salt_key_every_reading_is_found(scene: Scene) -> None:
    """A control: the guesses are right, and only the salt defeats them."""
    key, stream = scene.keys.salt, scene.keys.descriptor.id
    tried = {
        opening_of(data, derived_salt(key, stream, chunk, data)): (chunk, data)
        for chunk in range(len(MESSAGES))
        for data in (*CANDIDATES[:120], TEXT)
    }

    assert found(scene, tried) == set(enumerate(MESSAGES))


def test_a_disclosed_chunk_helps_to_open_no_other_one(scene: Scene) -> None:
    receipt = scene.world.receipt(scene.stream, DISCLOSED)
    opened = receipt.opening
    assert opened == scene.openings[DISCLOSED]
    shown = canonical(receipt.to_json())
    salts = [salt_of(opened), opened[:20], opened[40:], opened[-20:]]

    tried = {
        opening_of(data, salt): (chunk, data)
        for chunk, data in enumerate(MESSAGES)
        for salt in [*salts, *(salt for _, salt in guessed_salts(scene, [opened[28:]]))]
    }

    assert found(scene, tried) == {(DISCLOSED, MESSAGES[DISCLOSED])}
    for number, other in enumerate(scene.openings):
        if number != DISCLOSED:
            assert salt_of(other).hex().encode() not in shown


# -- sizes -----------------------------------------------------------------------------------------


def facts(scene: Scene) -> dict[str, Any]:
    """Every number and word that a visitor sees of the stream; hashes, keys and proofs are cut."""
    world, stream = scene.world, scene.stream
    paths = ["", "/windows", *(f"/windows/{number}" for number in range(2))]
    paths += [f"/chunks/{chunk}{more}" for chunk in range(8) for more in ("", "/receipt?proof=1")]
    shown = {path: masked(world.ask(stream, path).json()) for path in paths}
    shown["/streams"] = masked(world.get(STREAMS, "/streams").json())
    lines = world.get(STREAMS, "/metrics").text.splitlines()
    shown["/metrics"] = [line for line in lines if "bytes" in line and "process_" not in line]
    return shown


def masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: masked(each) for name, each in value.items() if name != "proof_bytes"}
    if isinstance(value, list):
        return [masked(each) for each in value]
    return "0x" if isinstance(value, str) and value.startswith("0x") else value


LONG: Final = [[b"2.0", b"2.0000", b"2.0        ", b"20e-1"], [b"3.1                 "] * 4]
SHORT: Final = [[b"2", b"2", b"2", b"2"], [b"3"] * 4]


def test_the_length_of_a_number_shows_nowhere(tmp_path: Path) -> None:
    """Two streams that differ in their data only, of 8 and of 101 bytes, look the same."""
    told = []
    for name, windows in (("long", LONG), ("short", SHORT)):
        (tmp_path / name).mkdir()
        for scene in run(tmp_path / name, windows):
            told.append(facts(scene))
    assert sum(map(len, itertools.chain(*LONG))) > 100
    assert sum(map(len, itertools.chain(*SHORT))) == 8

    assert json.dumps(told[0], indent=1) == json.dumps(told[1], indent=1)
    assert '"length": 24' in json.dumps(told[0])


def test_a_proof_contains_no_part_of_an_opening(scene: Scene) -> None:
    store, stream = scene.world.components(STREAMS).store, scene.keys.descriptor.id
    for number in range(len(WINDOWS)):
        row = store.window(stream, number)
        for data, opened in zip(MESSAGES, scene.openings, strict=True):
            secrets = [opened[:32], salt_of(opened)]
            secrets += [] if data == TEXT else [opened[-8:]]
            assert not [secret for secret in secrets if secret in row.proof]
