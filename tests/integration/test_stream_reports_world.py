"""Reports and spot checks of a cold chain, from a whole network: command by command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from commands import run_dragon
from committees import make_members
from dragon.encoding import to_hex
from dragon.protocol.streams.spot_check import SpotCheckAnswer
from dragon.protocol.streams.stream_report import StreamReport
from dragon.protocol.streams.stream_report_verification import verify_stream_report
from dragon_cli import stream_report
from dragon_cli.commands import audit
from dragon_cli.fleet import queries, streams
from dragon_cli.fleet.layout import SOURCES, Home
from dragon_stream.receipts import Receipts
from stream_simulation import TOKEN, StreamWorld
from timed_readings import COLD_CHAIN

URL: Final = ("--url", "http://streams:5300")
WINDOWS: Final = (
    [b"4.000", b"4.250", b"4.500"],
    [b"4.600", b"9.100"],  # above the bounds
    [b"4.700", b"4.800"],
    [b"5.000", b"5.100", b"5.200"],
)

Run = Callable[..., tuple[int, str, str]]


@dataclass
class ColdChain:
    """A network with a stream of four certified windows, and the home of its owner."""

    world: StreamWorld
    stream: Mapping[str, Any]
    home: Path

    @property
    def id(self) -> str:
        return str(self.stream["stream"])

    def window(self, readings: list[bytes]) -> None:
        for each in readings:
            self.world.upload(self.stream, each)
        self.world.run(1, peers=False)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ColdChain]:
    folder = tmp_path_factory.mktemp("chain")
    (folder / "world").mkdir()
    with StreamWorld(folder / "world", make_members(4)) as world:
        world.run(1, peers=False)
        stream = world.make("cold-chain", mode="message", readings=COLD_CHAIN.to_json())
        home = Home(folder / "fleet")
        home.path.mkdir()
        home.committee_file.write_text(json.dumps(world.committee.to_json()))
        home.token(SOURCES).parent.mkdir(parents=True)
        home.token(SOURCES).write_text(TOKEN)
        made = ColdChain(world, stream, home.path)
        for readings in WINDOWS:
            made.window(readings)
        world.run(1, peers=False)
        assert set(world.states(stream)) == {"certified"}
        world.run(13)  # a checkpoint is certified every twelve rounds
        yield made


@pytest.fixture
def run(
    chain: ColdChain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run one command in the owner's home, on the clock of the world."""
    for module in (queries, streams):
        monkeypatch.setattr(module, "make_session", lambda _ca: chain.world.session("client"))
    for module in (audit, stream_report):
        clock = SimpleNamespace(time=lambda: chain.world.clock.now)
        monkeypatch.setattr(module, "time", clock)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setenv("DRAGON_HOME", str(chain.home))
        return run_dragon(capsys, *arguments)

    return run


def test_a_report_of_the_whole_stream_is_written_and_verified(
    chain: ColdChain, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "report.jsonl"
    code, out, err = run("stream", "report", "cold-chain", "-o", file, *URL)

    assert (code, err) == (0, "")
    assert (
        f"verified: Windows 0 to 3 without a gap of stream {chain.id}: in the 2 windows with the "
        "claim, every one of 6 committed readings is from 2 to 8 °C"
    ) in out
    assert "no claim: window 1, 2 chunks" in out
    assert "no claim: window 2, 2 chunks" in out  # its step from the hot reading is too large
    assert f"dragon verify stream-report {file} --stream {chain.id}" in out

    code, out, _ = run("verify", "stream-report", file, "--stream", chain.id)
    assert code == 0
    assert "without the claim: windows 1 to 2 (4 chunks); whether more windows" in out
    assert "`dragon audit` checks some of them" in out


def test_a_report_with_proofs_is_verified_without_trust_in_voters(
    chain: ColdChain, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "report.jsonl"
    code, out, _ = run("stream", "report", chain.id, "--proofs", "-o", file, "--json", *URL)

    told = json.loads(out)
    assert code == 0
    assert (told["verdict"], told["proofs"], told["windows"]) == ("verified", True, 4)
    assert told["sum"] == {"low": "12000", "high": "48000"}
    report = StreamReport.load(file.read_bytes())
    known = chain.world.committee
    stream = bytes.fromhex(chain.id[2:])
    assert verify_stream_report(report, known, stream=stream).has_proofs


def test_a_required_claim_has_its_own_exit_code(chain: ColdChain, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "report.jsonl"
    assert run("stream", "report", "cold-chain", "-o", file, *URL)[0] == 0

    fixed = ("verify", "stream-report", file, "--stream", chain.id, "--require-claim")
    code, _, err = run(*fixed)
    assert code == 4
    assert "claim_missing: without the claim about readings: windows 1 to 2 (4 chunks)" in err
    code, out, _ = run(*fixed, "--json")
    told = json.loads(out)
    assert (code, told["reason"]) == (4, "claim_missing")
    assert len(told["facts"]["report"]["windows_without_claim"]) == 2


def test_a_period_takes_the_windows_that_overlap_it(
    chain: ColdChain, run: Run, tmp_path: Path
) -> None:
    rows = [chain.world.window(chain.stream, number)["header"] for number in range(4)]
    begin, end = rows[3]["first_received_ms"] // 1000, rows[3]["last_received_ms"] // 1000 + 1

    file, first = tmp_path / "last.jsonl", tmp_path / "first.jsonl"
    period = ("--from", begin, "--to", end)
    code, out, _ = run("stream", "report", "cold-chain", *period, "-o", file, "--json", *URL)
    told = json.loads(out)
    assert (code, told["first_window"], told["last_window"]) == (0, 3, 3)
    assert told["is_closed"] is False
    fixed = ("verify", "stream-report", file, "--stream", chain.id, "--require-claim")
    assert run(*fixed)[0] == 0

    until = rows[1]["first_received_ms"] // 1000  # before window 1 begins
    code, out, _ = run("stream", "report", "cold-chain", "--to", until, "-o", first, *URL)
    assert code == 0
    assert "Window 0 of stream" in out
    assert "so none is missing" in out


def test_a_period_without_a_window_is_refused_in_words(
    chain: ColdChain, run: Run, tmp_path: Path
) -> None:
    period = ("--from", "2001-01-01", "--to", "2001-01-02")
    code, _, err = run("stream", "report", "cold-chain", *period, "-o", tmp_path / "no", *URL)

    assert code == 1
    assert "No closed window of the stream has a chunk of this period." in err
    assert not (tmp_path / "no").exists()


def test_windows_that_no_checkpoint_covers_are_counted_and_left_out(
    chain: ColdChain, run: Run, tmp_path: Path
) -> None:
    first = chain.world.make("other", mode="message", readings=COLD_CHAIN.to_json())
    chain.world.upload(first, b"4.000")
    chain.world.run(2, peers=False)

    code, _, err = run("stream", "report", "other", "-o", tmp_path / "early", *URL)
    assert code == 1
    assert "No certified checkpoint covers window 0" in err
    assert "hint: Checkpoints are certified about once a minute" in err
    chain.world.run(13)
    chain.world.upload(first, b"4.100")
    chain.world.run(2, peers=False)
    code, out, _ = run("stream", "report", "other", "-o", tmp_path / "later", "--json", *URL)
    told = json.loads(out)
    assert (code, told["windows"], told["uncovered"]) == (0, 1, 1)


def test_a_report_about_another_stream_or_of_another_kind_is_refused(
    chain: ColdChain, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "report.jsonl"
    assert run("stream", "report", "cold-chain", "-o", file, *URL)[0] == 0

    code, _, err = run("verify", "stream-report", file, "--stream", to_hex(bytes(32)))
    assert code == 1
    assert "stream_report_refused (other_stream)" in err
    committee = chain.home / "committee.json"
    code, _, err = run("verify", "stream-report", committee, "--stream", chain.id)
    assert code == 1
    assert "is not a report on a stream: it is a committee file" in err
    code, _, err = run("verify", "receipt", file)
    assert "it is a report on a stream" in err
    assert "`dragon verify stream-report FILE` verifies it." in err


def test_a_deleted_proof_is_explained(
    chain: ColdChain, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_of = Receipts.chunk

    def without_proof(self: Receipts, stream: Any, sequence: int) -> Any:
        row, chunk = chunk_of(self, stream, sequence)
        return replace(row, proof=None), chunk

    monkeypatch.setattr(Receipts, "chunk", without_proof)
    file = tmp_path / "report.jsonl"
    code, _, err = run("stream", "report", "cold-chain", "--proofs", "-o", file, *URL)

    assert code == 1
    assert "the proof of window 0 was deleted" in err
    assert not file.exists()


def test_a_spot_check_discloses_drawn_chunks_and_no_other(
    chain: ColdChain, run: Run, tmp_path: Path
) -> None:
    request, answer = tmp_path / "request.json", tmp_path / "answer.json"
    code, out, _ = run("audit", "request", "cold-chain", "--chunks", 4, "-o", request, *URL)
    assert code == 0
    assert "a request for 4 chunks of windows 0 to 3" in out

    code, _, err = run("audit", "answer", request, "-o", answer, *URL)
    assert code == 1
    assert "no checkpoint from that time on" in err
    assert "hint: About two minutes after the request" in err
    chain.world.run(26)  # the drawing checkpoint, and one that covers it
    code, out, _ = run("audit", "answer", request, "-o", answer, *URL)
    assert code == 0, out
    assert "with the data of 4 drawn chunks" in out

    code, out, _ = run("audit", "verify", answer, "--request", request)
    assert code == 0
    assert (
        "verified: 4 of 10 chunks of windows 0 to 3 were drawn, and all 4 committed readings were "
        "equal to the numbers in the data."
    ) in out
    assert "finds one false number with a probability of 40.0%" in out
    held = SpotCheckAnswer.decode(answer.read_bytes().strip())
    data = [each for window in WINDOWS for each in window]
    assert [data[each.header.sequence] for each in held.chunks] == [
        each.data for each in held.chunks
    ]
    assert len(held.chunks) == 4

    again = tmp_path / "again.json"
    assert run("audit", "request", "cold-chain", "--chunks", 4, "-o", again, *URL)[0] == 0
    code, _, err = run("audit", "verify", answer, "--request", again)
    assert code == 1
    assert "spot_check_refused (other_request)" in err


def test_a_chunk_that_the_owner_cannot_open_fails(
    chain: ColdChain, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, answer = tmp_path / "request.json", tmp_path / "answer.json"
    assert run("audit", "request", "cold-chain", "--chunks", 10, "-o", request, *URL)[0] == 0
    chain.world.run(26)
    monkeypatch.setattr("dragon.net.stream_client.StreamClient.data", lambda *_: None)
    code, out, _ = run("audit", "answer", request, "-o", answer, *URL)
    assert code == 0
    assert out.count("the owner has not opened the chunk") == 10

    code, out, _ = run("audit", "verify", answer, "--request", request, "--json")
    told = json.loads(out)
    assert (code, told["verdict"], told["reason"]) == (1, "refused", "spot_check_failed")
    assert {each["fault"] for each in told["facts"]["check"]["chunks"]} == {"not_opened"}


def test_only_the_owner_can_answer(chain: ColdChain, run: Run, tmp_path: Path) -> None:
    request, wrong = tmp_path / "request.json", tmp_path / "token"
    assert run("audit", "request", "cold-chain", "-o", request, *URL)[0] == 0
    wrong.write_text("another token")
    chain.world.run(26)

    fixed = ("audit", "answer", request, "-o", tmp_path / "answer.json", *URL)
    code, _, err = run(*fixed, "--token-file", wrong)
    assert code == 1
    assert "unauthorized" in err
    assert not (tmp_path / "answer.json").exists()


def test_a_clock_that_is_behind_makes_no_request(
    chain: ColdChain, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = SimpleNamespace(time=lambda: chain.world.clock.now - 600)
    monkeypatch.setattr(audit, "time", behind)

    code, _, err = run("audit", "request", "cold-chain", "-o", tmp_path / "request.json", *URL)
    assert code == 1
    assert "is later than this machine's clock" in err
