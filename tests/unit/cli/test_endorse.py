"""`dragon endorse` signs with the expert's key only and reports refusals of the aggregators."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from commands import run_dragon
from committees import make_members, secret
from dragon.encoding import to_hex
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.window import InvalidReason, Verdict
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.streams.finding import Finding
from dragon.storage import keystore
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from simulation import World
from streams import make_owner
from wsgi import WsgiApp

SIGNERS = ("operator_1", "operator_2", "operator_4")
PASSWORD = "correct horse"
MEMBERS = make_members(experts=2, aggregators=2)
STREAM = make_owner(MEMBERS).descriptor.id

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The files of a fleet with window 0 of a stream in its logs, and the time then."""
    folder = tmp_path_factory.mktemp("endorse")
    with World(folder, MEMBERS) as made:
        made.run(2, peers=False)
        owner = make_owner(MEMBERS)
        window = owner.window([b"21.5"], began_ms=1000 * int(made.clock.now) - 500)
        rounds = MEMBERS.committee.rounds
        at = rounds.start(rounds.number(made.clock.now))
        proof = hashlib.sha256(b"a proof").digest()
        claim = Finding(InvalidReason.NONE).claim(owner.descriptor, window.header, proof, at)
        made.submit(MEMBERS.certify(claim, SIGNERS))
        return folder, made.clock.now


@pytest.fixture
def world(tmp_path: Path, files: tuple[Path, float]) -> Iterator[World]:
    """A fleet with window 0 of a stream in its logs."""
    folder, now = files
    with World(shutil.copytree(folder, tmp_path / "world"), MEMBERS, now=now) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An expert's folder: the committee, and two keystores under one password."""
    found = Home(tmp_path)
    found.committee_file.write_text(json.dumps(MEMBERS.committee.to_json()))
    for name in ("expert_1", "operator_1"):
        keystore.write_private(found.keystore(name), keystore.seal(secret(name), PASSWORD))
        keystore.write_private(found.password(name), PASSWORD + "\n")
    return found


@pytest.fixture
def endorse(
    world: World,
    home: Home,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """`dragon endorse STREAM …` as expert_1: exit code, standard output, standard error."""
    monkeypatch.setattr(queries, "make_session", lambda _ca: world.session("client"))
    clock = SimpleNamespace(time=lambda: world.clock.now)
    monkeypatch.setattr("dragon_cli.commands.endorse.time", clock)

    def run(
        *options: object,
        stream: str = to_hex(STREAM),
        first: int = 0,
        verdict: str = "valid",
        expert: str = "expert_1",
    ) -> tuple[int, str, str]:
        said = ("--first", first, "--verdict", verdict, "--expert", expert)
        code, out, err = run_dragon(capsys, "endorse", stream, *said, *options, "--home", home.path)
        assert PASSWORD not in out + err
        return code, out, err

    return run


def endorsed(world: World) -> list[EndorsementClaim]:
    """What every log has of them."""
    world.settle()
    logs = [world.components(name).log.state.stream(STREAM) for name in world.operators]
    claims = [list(log.by("expert_1").claims) for log in logs]
    assert all(each == claims[0] for each in claims)
    return claims[0]


def posts(world: World) -> list[str]:
    return [url for method, url in world.wires.calls if method == "POST" and "endorse" in url]


def refused(result: tuple[int, str, str], words: str, code: int = 1) -> None:
    assert (result[0], result[1]) == (code, "")
    assert result[2].startswith(f"dragon: {words}")


def test_an_endorsement_is_in_every_log(world: World, endorse: Run, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_bytes(b"the sensor was calibrated on Monday")

    code, out, err = endorse("--note", note)

    assert (code, err) == (0, "")
    assert f"windows 0 to 0 of stream {to_hex(STREAM)}" in out
    assert "Accepted by the aggregator at http://aggregator-0:5100, which publishes it" in out
    [claim] = endorsed(world)
    assert (claim.first, claim.last, claim.verdict) == (0, 0, Verdict.VALID)
    assert claim.note == hashlib.sha256(note.read_bytes()).digest()


def test_without_a_note_the_hash_of_no_bytes_is_signed(world: World, endorse: Run) -> None:
    code, out, _ = endorse("--json", verdict="invalid")

    told = json.loads(out)
    [claim] = endorsed(world)
    assert (code, told["verdict"]) == (0, "accepted")
    assert told["by"] == "the aggregator at http://aggregator-0:5100"
    signed = Endorsement.from_json(told["endorsement"])
    signed.verify(MEMBERS.committee)
    assert signed.claim == claim
    assert (claim.verdict, claim.note) == (Verdict.INVALID, hashlib.sha256().digest())


def test_the_next_aggregator_is_used_if_one_does_not_respond(world: World, endorse: Run) -> None:
    world.stop("aggregator_0")

    code, out, _ = endorse()

    assert code == 0
    assert "Accepted by the aggregator at http://aggregator-1:5101" in out
    assert len(endorsed(world)) == 1


def test_another_keystore_can_be_used(world: World, endorse: Run, home: Home) -> None:
    moved = home.keystore("expert_1").rename(home.path / "mine.json")
    password = home.password("expert_1").rename(home.path / "mine.txt")

    assert endorse("--keystore", moved, "--password-file", password)[0] == 0
    assert len(endorsed(world)) == 1


def test_the_key_of_another_member_is_refused(world: World, endorse: Run, home: Home) -> None:
    other = ("--keystore", home.keystore("operator_1"))

    code, out, err = endorse(*other, "--password-file", home.password("operator_1"))

    refused((code, out, err), "refused: not_a_member: The keystore does not hold the key of")
    assert posts(world) == []


@pytest.mark.parametrize("expert", ["operator_1", "expert_3", "../expert_1", "\x1b[2J"])
def test_unlisted_experts_are_refused(world: World, endorse: Run, expert: str) -> None:
    result = endorse(expert=expert)

    refused(result, "refused: not_a_member: ")
    assert "its experts: expert_1, expert_2" in result[2]
    assert "\x1b" not in result[2]
    assert posts(world) == []


def test_a_missing_keystore_is_an_error(endorse: Run) -> None:
    refused(endorse(expert="expert_2"), "failed: keystore_error: ", code=2)


def test_a_wrong_password_is_refused(world: World, endorse: Run, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("another")

    refused(endorse("--password-file", tmp_path / "wrong"), "refused: keystore_refused: ")
    assert posts(world) == []


def test_a_missing_window_is_refused(world: World, endorse: Run) -> None:
    code, out, err = endorse("--last", 7)

    refused((code, out, err), "refused: no_such_window: ")
    assert "hint: `GET /streams/<id>` of an operator shows how many windows its log has." in err
    assert len(posts(world)) == 2  # the other may know more
    assert endorsed(world) == []


def test_repeated_endorsements_are_refused(
    world: World, endorse: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = world.clock.now
    world.stop("aggregator_1")
    monkeypatch.setattr("dragon_cli.commands.endorse.time", SimpleNamespace(time=lambda: now))
    endorse()

    refused(endorse(), "refused: applied_already: the endorsement was already accepted")
    assert len(endorsed(world)) == 1
    refused(
        endorse(verdict="invalid"),
        "refused: not_later: expert_1 has endorsed some of these windows",
    )


def test_a_refusal_is_one_json_document(endorse: Run) -> None:
    code, out, _ = endorse("--json", first=3)

    told = json.loads(out)
    assert code == 1
    assert (told["verdict"], told["reason"]) == ("refused", "no_such_window")
    assert told["detail"]


def test_a_wrong_clock_is_refused_with_a_hint(
    endorse: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for now, reason in ((1_000_000_000, "stale"), (4_000_000_000, "early")):
        monkeypatch.setattr(
            "dragon_cli.commands.endorse.time", SimpleNamespace(time=lambda now=now: now)
        )
        result = endorse()
        refused(result, f"refused: {reason}: ")
        assert result[2].endswith("hint: Check the clock of this machine.\n")


def _answering(status: str, body: bytes) -> WsgiApp:
    def app(_environ: object, start_response: Callable[..., object]) -> list[bytes]:
        start_response(status, [("Content-Type", "application/json")])
        return [body]

    return app


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"no json", b'{"title": 7}', b'{"title": "system_exit", "detail": "x"}'],
    ids=bytes.decode,
)
def test_malformed_answers_are_skipped(world: World, endorse: Run, body: bytes) -> None:
    world.impersonate("aggregator_0", _answering("409 CONFLICT", body))

    assert endorse()[0] == 0

    world.impersonate("aggregator_1", _answering("409 CONFLICT", body))
    refused(endorse(), "failed: bad_answer: the aggregator at http://aggregator-0:5100: answered")


def test_without_an_answer_it_fails(world: World, endorse: Run) -> None:
    for name in world.aggregators:
        world.stop(name)

    refused(
        endorse(),
        "failed: unreachable: No response from the aggregator at http://aggregator-0:5100",
    )


@pytest.mark.parametrize("stream", ["sensor-1", "0x00", to_hex(STREAM).upper(), ""])
def test_a_stream_must_be_an_id(world: World, endorse: Run, stream: str) -> None:
    refused(endorse(stream=stream), "refused: invalid_hex: stream ")
    assert posts(world) == []


def test_wrong_usage_signs_nothing(world: World, endorse: Run, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"")
    with big.open("r+b") as file:
        file.truncate((1 << 24) + 1)

    assert endorse("--last", 3, first=4)[0] == 2
    assert endorse(first=-1)[0] == 2
    assert endorse(first=2**53)[0] == 2
    assert endorse(verdict="perhaps")[0] == 2
    assert endorse("--note", tmp_path / "none")[0] == 2
    refused(endorse("--note", big), "refused: too_large: ")
    assert posts(world) == []
