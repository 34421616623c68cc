"""`dragon verify receipt` checks every link; `dragon receipt complete` trusts no operator."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wsgi
from commands import run_dragon
from committees import Members, make_members
from dragon.encoding import to_hex
from dragon.protocol import event, merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.claims.window import InvalidReason, Verdict
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from dragon.protocol.streams.chunks import digest, tree_of
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.receipt import MAX_RECEIPT_BYTES, Proven, Receipt
from dragon_cli.fleet import queries
from reading_rules import make_readings
from simulation import World
from streams import Owner, Window, make_owner

MEMBERS = make_members()
ROUNDS = MEMBERS.committee.rounds
OWNER = make_owner(MEMBERS)
READINGS = [b"21.5", b"21.7", b"21.4"]
WINDOW = OWNER.window(READINGS)
AT = ROUNDS.start(150)
SIGNERS = ("operator_1", "operator_2", "operator_4")
CHECKS = ["data", "commitment", "chunk", "window", "proof", "votes", "checkpoint", "experts"]
STREAM = to_hex(OWNER.descriptor.id)
PROOF = b"a proof"  # which the receipts here do not hold, but for one

Value = dict[str, Any]
Run = Callable[..., tuple[int, str, str]]


def young(members: Members, owner: Owner, window: Window, at: int, proof: bytes = PROOF) -> Receipt:
    """Return a receipt of the window's second chunk that no checkpoint covers yet."""
    found = Finding(InvalidReason.NONE)
    claim = found.claim(owner.descriptor, window.header, hashlib.sha256(proof).digest(), at)
    return Receipt(
        owner.descriptor,
        window.chunks[1],
        tuple(tree_of(window.chunks).inclusion(1)),
        window.header,
        window.signature,
        members.certify(claim, SIGNERS),
        opening=window.openings[1],
    )


def whole(held: Receipt) -> Receipt:
    """Complete a receipt with a checkpoint over a log of three entries."""
    events = [*(MEMBERS.status(f"operator_{i}", Status.UP, 140 + i) for i in (1, 2)), held.event]
    leaves = [event.leaf(each, 7 + i) for i, each in enumerate(events)]
    tree = merkle.Tree(map(merkle.leaf_hash, leaves))
    checkpoint = MEMBERS.certify(CheckpointClaim(3, tree.root(), AT + 60), SIGNERS)
    place = ProvenEntry(LogEntry(2, held.event, 9), 3, tree.root(), tuple(tree.inclusion(2)))
    return held.completed(place, checkpoint)


EARLY = young(MEMBERS, OWNER, WINDOW, AT)
WHOLE = whole(EARLY)


def run_main(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    return run_dragon(capsys, *arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Committee, data and receipts."""
    (tmp_path / "committee.json").write_text(json.dumps(MEMBERS.committee.to_json()))
    other = make_members(name="another").committee
    (tmp_path / "other.json").write_text(json.dumps(other.to_json()))
    for index, data in enumerate(READINGS):
        (tmp_path / f"data-{index}").write_bytes(data)
    (tmp_path / "whole.json").write_bytes(WHOLE.encode())
    (tmp_path / "early.json").write_text(json.dumps(EARLY.to_json(), indent=2))
    return tmp_path


@pytest.fixture
def verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`dragon verify receipt FILE …`: exit code, standard output, standard error."""

    def run(
        file: str | Value | bytes, *options: object, committee: str = "committee.json"
    ) -> tuple[int, str, str]:
        path = folder / (file if isinstance(file, str) else "file.json")
        if not isinstance(file, str):
            path.write_bytes(file if isinstance(file, bytes) else json.dumps(file).encode())
        chosen = ("--committee", folder / committee)
        return run_main(capsys, "verify", "receipt", path, *chosen, *options)

    return run


def marks(out: str) -> dict[str, str]:
    """The mark of each check."""
    listed = [line.split(maxsplit=2) for line in out.splitlines()[: len(CHECKS)]]
    return {name: mark for mark, name, _ in listed}


def refused(result: tuple[int, str, str], reason: str) -> str:
    code, _, err = result
    assert code == 1
    sentence, *hint = err.splitlines()
    assert sentence.startswith(f"dragon: refused: {reason}: ")
    assert all(line.startswith("hint: ") for line in hint)
    return sentence


# -- valid receipts -------------------------------------------------------------------------------


def test_a_complete_receipt_is_verified_link_by_link(verify: Run, folder: Path) -> None:
    code, out, err = verify("whole.json", "--data", folder / "data-1")

    assert (code, err) == (0, "")
    assert list(marks(out)) == CHECKS
    assert marks(out) == {**dict.fromkeys(CHECKS, "✓"), "proof": "–", "experts": "–"}
    assert out.splitlines()[len(CHECKS) :] == [
        "verified",
        f"The 4 bytes of the file are chunk 1 of stream {STREAM}.",
        "The name sensor-1 of this stream is self-chosen, and another stream can have it: "
        "compare the id, or pass the expected one with `--stream`.",
        # The round that started at 08:19:10 took five seconds.
        "The data existed no later than 2024-11-25 08:19:15 UTC (certified by 3 of 4 operators).",
        "Its window is in a log that a quorum certified in the round from 2024-11-25 08:20:10 UTC.",
        "Received at 2024-11-25 08:18:20 UTC (reported by the stream's owner, not certified).",
        "Committee of epoch 0, the newest known.",
    ]


def test_an_incomplete_receipt_is_verified_with_a_hint(verify: Run, folder: Path) -> None:
    code, out, err = verify("early.json", "--data", folder / "data-1")

    assert (code, err) == (0, "")
    assert marks(out)["checkpoint"] == "–"
    assert (
        "verified, but incomplete: no certified checkpoint covers the receipt yet; "
        f"`dragon receipt complete {folder}/early.json` adds it later.\n"
    ) in out
    assert "on the ledger" not in out


def test_without_data_the_output_says_that_it_was_not_checked(verify: Run) -> None:
    _, out, _ = verify("whole.json")

    assert marks(out)["data"] == "–"
    assert f"The 4 bytes with digest {to_hex(digest(READINGS[1]))} are chunk 1" in out
    assert (
        "The data itself was not checked: compare a file with the receipt by `--data FILE`." in out
    )


def test_a_receipt_without_an_opening_names_the_commitment(verify: Run) -> None:
    closed = dataclasses.replace(WHOLE, opening=None)

    code, out, _ = verify(closed.encode())

    assert code == 0
    assert f"The 4 bytes with commitment {to_hex(WINDOW.chunks[1].commitment)}" in out


def test_a_receipt_with_its_proof_is_verified_with_the_proof(verify: Run) -> None:
    proof = OWNER.prove(WINDOW)
    held = young(MEMBERS, OWNER, WINDOW, AT, proof)

    code, out, _ = verify(dataclasses.replace(held, proven=Proven(WINDOW.chunks, proof)).encode())

    assert code == 0
    assert marks(out)["proof"] == "✓"


def test_verdict_checks_and_times_are_reported_as_json(verify: Run, folder: Path) -> None:
    code, out, err = verify("whole.json", "--data", folder / "data-1", "--json")

    told = json.loads(out)
    checks = told.pop("checks")
    assert (code, err) == (0, "")
    assert told == {
        "verdict": "verified",
        "complete": True,
        "stream": to_hex(OWNER.descriptor.id),
        "name": "sensor-1",
        "window": 0,
        "chunk": 1,
        "times": {
            "received_ms": WINDOW.chunks[1].received_ms,
            "timestamp": AT,
            "checkpoint": AT + 60,
        },
        "statement": None,
        "reading": None,
        "epoch": 0,
        "newest_epoch": 0,
        "seen": None,
    }
    assert [check["name"] for check in checks] == CHECKS
    assert all(set(check) == {"name", "outcome", "detail", "refusal", "fields"} for check in checks)


def test_an_incomplete_receipt_is_reported_as_json(verify: Run) -> None:
    code, out, _ = verify("early.json", "--json")

    told = json.loads(out)
    assert (code, told["verdict"], told["complete"]) == (0, "verified", False)
    assert told["times"]["checkpoint"] is None
    outcomes = {check["name"]: check["outcome"] for check in told["checks"]}
    assert outcomes == {
        **dict.fromkeys(CHECKS, "holds"),
        **dict.fromkeys(("data", "proof", "checkpoint", "experts"), "absent"),
    }


# -- readings --------------------------------------------------------------------------------------

COLD = make_owner(MEMBERS, readings=make_readings(form="plain", pointer=None))
WITHIN = COLD.window([b"4.5", b"4.125"])
BEYOND = COLD.window([b"4.5", b"61"])


def cold(window: Window) -> bytes:
    return whole(young(MEMBERS, COLD, window, AT)).encode()


@pytest.fixture
def reading(folder: Path) -> Path:
    """The data of the second chunk of `WITHIN`."""
    (folder / "reading").write_bytes(b"4.125")
    return folder / "reading"


def test_what_was_certified_of_readings_and_what_was_checked_is_told(
    verify: Run, reading: Path
) -> None:
    code, out, err = verify(cold(WITHIN), "--data", reading)

    assert (code, err) == (0, "")
    assert marks(out)["readings"] == "✓"
    told = out.splitlines()[len(CHECKS) + 1 :]
    assert told[1:4] == [
        f"The data in the file is chunk 1 of stream {to_hex(COLD.descriptor.id)}.",
        "Certified: all 2 committed readings of the window are from -30 to 60 °C, each differs "
        "from the one before by -2 to 2 °C, as the operators verified.",
        "The committed reading of this chunk is 4.125 °C, checked against the data.",
    ]


def test_without_data_a_reading_is_not_called_checked(verify: Run) -> None:
    _, out, _ = verify(cold(WITHIN))

    assert f"The data with digest {to_hex(digest(b'4.125'))} is chunk 1" in out
    assert "reading of this chunk is 4.125 °C, not checked against the data." in out


def test_a_receipt_without_an_opening_tells_no_reading(verify: Run) -> None:
    held = whole(young(MEMBERS, COLD, WITHIN, AT))
    closed = dataclasses.replace(held, opening=None).encode()

    _, out, _ = verify(closed)
    _, as_json, _ = verify(closed, "--json")

    assert f"The data with commitment {to_hex(WITHIN.chunks[1].commitment)} is chunk 1" in out
    assert "reading of this chunk" not in out
    assert json.loads(as_json)["reading"] is None


def test_a_window_without_the_claim_is_told_as_such(verify: Run) -> None:
    code, out, _ = verify(cold(BEYOND))

    assert (code, marks(out)["readings"]) == (0, "–")
    assert "The window carries no claim about its readings; its proof is about commitments" in out
    assert "Certified: " not in out


def test_the_statement_and_the_reading_are_reported_as_json(verify: Run, reading: Path) -> None:
    told = [
        json.loads(verify(file, "--json", *more)[1])
        for file, more in ((cold(WITHIN), ("--data", reading)), (cold(BEYOND), ()))
    ]

    assert [each["statement"] for each in told] == ["readings", "blocks"]
    assert told[0]["reading"] == {
        "value": "4125", "scale": 3, "unit": "°C", "checked_against_data": True,
    }  # fmt: skip
    assert (told[1]["reading"]["value"], told[1]["reading"]["checked_against_data"]) == (
        "61000",
        False,
    )


def test_a_number_that_is_not_in_the_data_is_refused_by_name(verify: Run, reading: Path) -> None:
    reading.write_bytes(b"4.126")

    code, _, err = verify(cold(WITHIN), "--data", reading)

    assert code == 1
    assert "(digest)" in err


# -- whose stream ---------------------------------------------------------------------------------


def test_the_expected_stream_is_confirmed(verify: Run) -> None:
    code, out, err = verify("whole.json", "--stream", STREAM)

    assert (code, err) == (0, "")
    assert f"✓ stream     the receipt belongs to the expected stream {STREAM}\n" in out
    assert (
        "The name sensor-1 of this stream is self-chosen, and another stream can have it; " in out
    )
    assert "the id is the expected one." in out


def test_a_stream_of_the_same_name_is_refused(verify: Run) -> None:
    """Anyone can create a stream of any name: a valid receipt of it is about their data."""
    other = make_owner(MEMBERS, "someone-else")
    same_name = dataclasses.replace(other.descriptor, name=OWNER.descriptor.name)
    impostor = dataclasses.replace(other, descriptor=same_name)
    forged = young(MEMBERS, impostor, impostor.window([b"99.9", b"99.9"]), AT)
    found = to_hex(impostor.descriptor.id)

    assert verify(forged.encode())[0] == 0
    result = verify(forged.encode(), "--stream", STREAM)
    _, out, _ = verify(forged.encode(), "--stream", STREAM, "--json")

    sentence = refused(result, "other_stream")
    assert (
        f"belongs to stream {found}, not to {STREAM}; both may have the name sensor-1" in sentence
    )
    told = json.loads(out)
    assert (told["verdict"], told["reason"], told["stream"]) == ("refused", "other_stream", found)
    assert told["checks"][-1]["refusal"] == "other_stream"
    assert told["facts"] == {"fields": ["descriptor"], "check": "stream"}


@pytest.mark.parametrize("value", ["sensor-1", "0x00", "", STREAM.upper()])
def test_a_malformed_stream_id_is_refused(verify: Run, value: str) -> None:
    code, _, err = verify("whole.json", "--stream", value)

    assert code == 1
    assert "invalid_hex" in err
    assert "--stream" in err


def test_endorsements_are_shown_as_not_certified(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = make_members(experts=1)
    owner = make_owner(members)
    (folder / "committee.json").write_text(json.dumps(members.committee.to_json()))
    claim = EndorsementClaim(
        *(owner.descriptor.id, 0, 3, Verdict.INVALID, bytes(32), "expert_1", AT)
    )
    receipt = young(members, owner, owner.window(READINGS), AT)
    endorsed = dataclasses.replace(receipt, endorsements=(members.endorse(claim),))
    (folder / "file.json").write_bytes(endorsed.encode())

    code, out, _ = run_main(
        *(capsys, "verify", "receipt", folder / "file.json"),
        *("--committee", folder / "committee.json"),
    )

    assert code == 0
    assert "expert_1: invalid; signed by each expert, but not certified\n" in out
    assert (
        "Expert expert_1 signed the verdict invalid on windows 0 to 3 of the stream (not "
        "certified: the receipt proves neither its time nor its place in the log).\n"
    ) in out


# -- refused receipts -----------------------------------------------------------------------------


def changed(*path: str, to: object) -> Value:
    value: Value = json.loads(WHOLE.encode())
    inner = value
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return value


TAMPERED: dict[str, tuple[Value, str]] = {
    "chunk": (
        changed("chunk", "received_ms", to=1),
        "chunk: the path does not lead from the chunk to the window's root; "
        "one of chunk, path is wrong",
    ),
    "header_signature": (
        changed("header_signature", to=to_hex(bytes(96))),
        "window: the window header does not have the stream's signature; header_signature is wrong",
    ),
    "event": (
        changed("event", "timestamp", to=AT + 5),
        "votes: the certificate of the votes is invalid: ",
    ),
    "opening": (
        changed("opening", to=to_hex(bytes(60))),
        "commitment: the opening does not open the chunk's commitment; opening is wrong",
    ),
    "ledger_index": (
        changed("ledger_index", to=8),
        "checkpoint: the event is not at this position of the certified log: ",
    ),
    "checkpoint": (changed("checkpoint", "size", to=4), "(bad_signature); checkpoint is wrong"),
}


@pytest.mark.parametrize("field", TAMPERED)
def test_the_changed_member_is_named(verify: Run, field: str) -> None:
    value, words = TAMPERED[field]

    result = verify(value)

    sentence = refused(result, "receipt_refused")
    assert words in sentence
    assert field in sentence.rpartition(";")[2]
    assert "✗" in marks(result[1]).values()
    assert "verified" not in result[1].splitlines()


@pytest.mark.parametrize("name", ["data-0", "data-2"])
def test_the_data_of_another_chunk_is_refused(verify: Run, folder: Path, name: str) -> None:
    result = verify("whole.json", "--data", folder / name)

    sentence = refused(result, "receipt_refused")
    assert "data: the SHA-256 of the data is not the digest in the opening" in sentence
    assert sentence.endswith("one of data, opening is wrong")
    assert marks(result[1])["data"] == "✗"


def test_data_of_another_length_is_refused(verify: Run, folder: Path) -> None:
    (folder / "data").write_bytes(b"")

    sentence = refused(verify("whole.json", "--data", folder / "data"), "receipt_refused")

    assert "the data has 0 bytes, but the chunk has 4" in sentence


def test_data_larger_than_a_chunk_is_refused(verify: Run, folder: Path) -> None:
    (folder / "data").write_bytes(bytes(65_537))

    refused(verify("whole.json", "--data", folder / "data"), "too_large")


def test_a_receipt_of_another_committee_is_refused(verify: Run) -> None:
    result = verify("whole.json", committee="other.json")

    sentence = refused(result, "receipt_refused")
    assert "window: the stream belongs to another network; descriptor is wrong" in sentence
    assert "hint: Check that committee and data" in result[2]


def test_a_refusal_is_one_json_document(verify: Run, folder: Path) -> None:
    code, out, err = verify("whole.json", "--data", folder / "data-0", "--json")

    told = json.loads(out)
    assert code == 1
    assert (told["verdict"], told["reason"]) == ("refused", "receipt_refused")
    assert (told["complete"], told["times"]) == (False, None)
    assert told["facts"] == {"fields": ["data", "opening"], "check": "data"}
    assert told["checks"][0] == {
        "name": "data",
        "outcome": "refused",
        "detail": "the SHA-256 of the data is not the digest in the opening",
        "refusal": "receipt_refused",
        "fields": ["data", "opening"],
    }
    assert err.startswith("dragon: refused: receipt_refused: data: ")


# -- malformed receipts --------------------------------------------------------------------------


def without(name: str) -> Value:
    return {key: item for key, item in WHOLE.to_json().items() if key != name}


MALFORMED: dict[str, tuple[Value | bytes, str, str | None]] = {
    "truncated": (WHOLE.encode()[:-100], "not_json", None),
    "empty": (b"", "wrong_file", None),
    "no text": (b"\xff\xfe", "wrong_file", None),
    "3 MB": (b" " * (3 << 20), "too_large", None),
    "a list": (b"[]", "wrong_type", None),
    "a float": (b'{"path": 1.5}', "not_an_integer", None),
    "twice": (b'{"path": [], "path": []}', "duplicate_member", "path"),
    "no path": (without("path"), "missing_member", "path"),
    "no inclusion": (without("inclusion"), "missing_member", "inclusion"),
    "more": ({**WHOLE.to_json(), "more": 1}, "unknown_member", "more"),
    "a short hash": (changed("path", to=["0x00"]), "invalid_hex", "path"),
    "a chunk of text": (changed("chunk", "length", to="4"), "wrong_type", "chunk"),
    "a strange event": (changed("event", "kind", to="weather"), "unknown_kind", "event"),
    "an invalid key": (
        changed("descriptor", "header_key", to=to_hex(bytes(48))), "invalid_header_key",
        "descriptor",
    ),
    "half a chunk": (
        {**WHOLE.to_json(), "chunks": [{}], "proof": "0x"}, "missing_member", "chunks",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_receipts_are_refused_by_name_and_field(verify: Run, what: str) -> None:
    content, reason, field = MALFORMED[what]

    sentence = refused(verify(content), reason)
    code, out, _ = verify(content, "--json")

    told = json.loads(out)
    assert "file.json" in sentence
    assert (code, told["verdict"], told["reason"]) == (1, "refused", reason)
    if field:
        assert told["facts"]["field"] == field
        assert field in sentence


def test_missing_files_end_with_2(verify: Run, folder: Path) -> None:
    assert verify("none.json")[0] == 2
    assert verify("whole.json", "--data", folder / "none")[0] == 2
    assert verify("whole.json", committee="none.json")[0] == 2


# -- completing ----------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path, certified_files: tuple[Path, float]) -> Iterator[World]:
    files, now = certified_files
    with World(shutil.copytree(files, tmp_path / "world"), now=now) as made:
        yield made


@pytest.fixture
def held(world: World, tmp_path: Path) -> Path:
    """A receipt of a window that is in every log and that no checkpoint covers."""
    owner = make_owner(world.members)
    window = owner.window(READINGS, began_ms=1000 * int(world.clock.now) - 500)
    rounds = world.committee.rounds
    receipt = young(world.members, owner, window, rounds.start(rounds.number(world.clock.now)))
    world.submit(receipt.event)
    (tmp_path / "committee.json").write_text(json.dumps(world.committee.to_json()))
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt.to_json(), indent=2) + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def complete(
    world: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """`dragon receipt complete …` in the fleet's folder: exit code, output, error."""
    monkeypatch.setattr(queries, "make_session", lambda _ca: world.session("client"))

    def run(*arguments: object) -> tuple[int, str, str]:
        return run_main(capsys, "receipt", "complete", *arguments, "--home", tmp_path)

    return run


def checkpointed(world: World) -> None:
    """Certify a checkpoint that covers all entries."""
    rounds, head = world.committee.rounds, world.components("operator_1").log.head()
    start = rounds.start(rounds.number(world.clock.now))
    claim = CheckpointClaim(head.size, head.root, start)
    world.submit(world.members.certify(claim, world.operators))


def is_whole(file: Path, capsys: pytest.CaptureFixture[str]) -> bool:
    options = ("--committee", file.parent / "committee.json", "--json")
    code, out, _ = run_main(capsys, "verify", "receipt", file, *options)
    return code == 0 and bool(json.loads(out)["complete"])


def lie(world: World, name: str, change: Callable[[str, Any], Any]) -> None:
    """Make `name` answer with what `change` returns for a path and the true answer."""
    host = next(host for host, known in world.names.items() if known == name)
    real = world.wires.app(host)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        status, _, body = wsgi._answer(real, environ)
        lied = change(environ["PATH_INFO"], json.loads(body))
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(lied).encode()]

    world.impersonate(name, app)


def stream_of(file: Path) -> str:
    return to_hex(Receipt.decode(file.read_bytes()).descriptor.id)


def test_a_receipt_is_completed_in_place(
    world: World, held: Path, complete: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = held.read_bytes()
    code, out, err = complete(held)
    assert (code, out) == (1, "")
    sentence, hint = err.splitlines()
    assert sentence.startswith(f"dragon: failed: not_covered: {held}: No c")
    assert hint == "hint: Checkpoints are certified about once a minute; try again then."
    assert held.read_bytes() == before

    checkpointed(world)

    assert complete(held) == (0, f"completed: {held}, a receipt of stream {stream_of(held)}\n", "")
    assert is_whole(held, capsys)
    assert stat.S_IMODE(held.stat().st_mode) == 0o600  # the opening stays private
    assert [path.name for path in held.parent.glob("*.part")] == []


def test_a_receipt_is_completed_at_another_address_of_an_operator(
    world: World, held: Path, complete: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """From outside containers the addresses of the committee file are not reachable."""
    checkpointed(world)
    for name in world.operators:
        world.stop(name)
    published = "http://198.51.100.1:5001"
    operator = next(host for host, name in world.names.items() if name == "operator_1")
    world.wires.mount("198.51.100.1:5001", world.wires.app(operator))

    assert complete(held)[0] == 1
    code, out, _ = complete(held, "--url", "http://198.51.100.9:5001", "--url", f"{published}/")
    assert (code, out) == (0, f"completed: {held}, a receipt of stream {stream_of(held)}\n")
    assert is_whole(held, capsys)


def test_a_complete_receipt_is_unchanged_without_a_query(
    world: World, held: Path, complete: Run
) -> None:
    checkpointed(world)
    complete(held)
    before, asked = held.stat(), len(world.wires.calls)

    line = f"already complete: {held}, a receipt of stream {stream_of(held)}\n"
    assert complete(held) == (0, line, "")

    assert (held.stat().st_ino, held.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(world.wires.calls) == asked


def test_output_writes_a_new_file_and_overwrites_nothing(
    world: World, held: Path, complete: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpointed(world)
    before, output = held.read_bytes(), held.with_name("whole.json")

    assert complete(held, "--output", output)[0] == 0

    assert held.read_bytes() == before
    assert is_whole(output, capsys)
    code, _, err = complete(held, "--output", output)
    assert (code, "already_there" in err) == (2, True)
    assert complete(held, held, "--output", "x.json")[0] == 2


def test_a_symbolic_link_stays_a_link(
    world: World, held: Path, complete: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpointed(world)
    link = held.with_name("link.json")
    link.symlink_to(held.name)

    assert complete(link)[0] == 0

    assert link.is_symlink()
    assert is_whole(held, capsys)


def _spoil(path: str, answer: Any, part: str, **changes: object) -> Any:
    return {**answer, **changes} if part in path else answer


def _other_event(path: str, answer: Any) -> Any:
    if "/windows/" in path:
        answer["verdicts"][0]["position"] = 0
    return answer


def _another_mark(path: str, answer: Any) -> Any:
    """The event itself as the mark that covers it."""
    return {**answer, "anchor": answer["event"]} if "/events/" in path else answer


def _forged_mark(path: str, answer: Any) -> Any:
    if "/events/" in path:
        answer["anchor"]["timestamp"] += 5
    return answer


LIES: dict[str, Callable[[str, Any], Any]] = {
    "no verdict": lambda path, answer: _spoil(path, answer, "/windows/", verdicts=[]),
    "verdicts of another form": lambda path, answer: _spoil(path, answer, "/windows/", verdicts=7),
    "the place of another event": _other_event,
    "no checkpoint": lambda path, answer: _spoil(path, answer, "/events/", anchor=None),
    "a checkpoint of no form": lambda path, answer: _spoil(path, answer, "/events/", anchor="x"),
    "a forged checkpoint": _forged_mark,
    "something else than a checkpoint": _another_mark,
    "another path": lambda path, answer: _spoil(path, answer, "/events/", inclusion=[]),
    "another index": lambda path, answer: _spoil(path, answer, "/events/", ledger_index=1),
    "an event of no form": lambda path, answer: _spoil(path, answer, "/events/", event={}),
    "a list": lambda _path, _answer: [],
}


@pytest.mark.parametrize("what", LIES)
def test_a_false_answer_is_skipped(
    world: World, held: Path, complete: Run, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    checkpointed(world)
    world.stop("operator_2")
    lie(world, "operator_1", LIES[what])

    assert complete(held) == (0, f"completed: {held}, a receipt of stream {stream_of(held)}\n", "")
    assert is_whole(held, capsys)


def test_if_all_answers_are_false_nothing_is_written(
    world: World, held: Path, complete: Run
) -> None:
    checkpointed(world)
    before = held.read_bytes()
    for name in world.operators:
        lie(world, name, LIES["another path"])

    code, out, err = complete(held)

    assert (code, out) == (1, "")
    assert err.startswith(f"dragon: failed: bad_answer: {held}: operator_1: The answer does not")
    assert held.read_bytes() == before


def test_without_an_answer_it_fails(world: World, held: Path, complete: Run) -> None:
    for name in world.operators:
        world.stop(name)

    code, _, err = complete(held)

    assert code == 1
    assert err.startswith(
        f"dragon: failed: unreachable: {held}: No response from operator_1, operator_2"
    )


def test_an_invalid_receipt_is_refused_without_a_query(
    world: World, held: Path, complete: Run
) -> None:
    value = json.loads(held.read_text())
    held.write_text(json.dumps({**value, "opening": to_hex(bytes(60))}))
    asked = len(world.wires.calls)

    code, _, err = complete(held)

    assert code == 1
    assert f"dragon: refused: receipt_refused: {held}: commitment: the opening" in err
    assert len(world.wires.calls) == asked


def test_one_failure_does_not_prevent_the_others(
    world: World, held: Path, complete: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpointed(world)
    broken = held.with_name("broken.json")
    broken.write_text("{")

    code, out, err = complete(broken, held, "--json")

    told = json.loads(out)
    assert code == 1
    assert "not_json: 1 of 2 receipts are not complete; the first: " in err
    assert (told["verdict"], told["reason"]) == ("refused", "not_json")
    rows = told["facts"]["receipts"]
    assert [row["state"] for row in rows] == ["failed", "completed"]
    assert rows[0]["reason"] == "not_json"
    assert is_whole(held, capsys)


def test_the_result_of_every_file_is_reported_as_json(
    world: World, held: Path, complete: Run
) -> None:
    checkpointed(world)

    code, out, _ = complete(held, held, "--json")

    assert code == 0
    same = {"file": str(held), "stream": stream_of(held)}
    states = [{**same, "state": state} for state in ("completed", "already")]
    assert json.loads(out) == {"verdict": "verified", "receipts": states}


def test_a_file_that_is_too_large_is_refused(held: Path, complete: Run) -> None:
    held.write_bytes(b" " * (MAX_RECEIPT_BYTES + 1))

    code, _, err = complete(held)

    assert (code, "too_large" in err) == (1, True)
