"""`dragon verify stream-report`: files that are cut, of another kind, or without the claim."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import run_dragon
from committees import make_members
from dragon.encoding import to_hex
from dragon.net.stream_reports import WindowRange
from dragon.protocol.streams.spot_check import SpotCheckRequest
from dragon.protocol.streams.stream_report import StreamReport
from dragon_cli import stream_report as command
from dragon_cli.main import main
from stream_reports import ledger
from streams import START_MS, make_owner
from timed_readings import make_reading_owner

MEMBERS = make_members(4)
OWNER = make_owner(MEMBERS)
STREAM = to_hex(OWNER.descriptor.id)
PERIOD = (START_MS // 1000, START_MS // 1000 + 60)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committee file, and the report on two windows of a stream without readings."""
    made = tmp_path_factory.mktemp("report")
    first = OWNER.window([b"a", b"b"])
    with ledger(made, MEMBERS, OWNER) as log:
        log.certify(first, 150)
        log.certify(OWNER.window([b"c"], first), 151)
        report = log.report(range(2), log.log.checkpoint(170), PERIOD)
    (made / "report.jsonl").write_bytes(b"".join(report.encode()))
    (made / "committee.json").write_text(json.dumps(MEMBERS.committee.to_json()))
    request = SpotCheckRequest(OWNER.descriptor.id, 0, 1, 2, 1, bytes(32))
    (made / "request.json").write_bytes(request.encode())
    return made


@pytest.fixture
def verify(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def verify(file: str | bytes, *options: object) -> tuple[int, str, str]:
        path = folder / file if isinstance(file, str) else tmp_path / "report.jsonl"
        if isinstance(file, bytes):
            path.write_bytes(file)
        fixed: tuple[Any, ...] = ("--committee", folder / "committee.json", "--stream", STREAM)
        return run_dragon(capsys, "verify", "stream-report", path, *fixed, *options)

    return verify


def test_a_report_of_a_stream_without_readings_counts_chunks(verify: Run) -> None:
    code, out, _ = verify("report.jsonl")

    assert code == 0
    assert "with 3 chunks are certified; this stream makes no claim about readings; whether" in out
    assert "`dragon audit`" not in out
    assert "a report with `--proofs` contains them" in out


def test_a_stream_without_readings_has_no_claim_to_require(verify: Run) -> None:
    code, _, err = verify("report.jsonl", "--require-claim")

    assert code == 4
    assert "dragon: refused: claim_missing: the stream makes no claim about readings" in err


def test_a_report_that_does_not_show_its_end_has_its_own_exit_code(verify: Run) -> None:
    code, _, err = verify("report.jsonl", "--require-end")

    assert code == 4
    assert "end_not_shown: the report ends with window 1, and shows no later one" in err


def test_a_later_window_shows_the_end(verify: Run, tmp_path: Path) -> None:
    owner = make_reading_owner(MEMBERS)
    first = owner.window([b"4.000"])
    with ledger(tmp_path, MEMBERS, owner) as log:
        log.certify(first, 150)
        log.certify(owner.window([b"4.100"], first, began_ms=START_MS + 10_000), 151)
        period = (PERIOD[0], PERIOD[0] + 5)
        report = log.report(range(1), log.log.checkpoint(170), period, behind=1)
    raw, stream = b"".join(report.encode()), to_hex(owner.descriptor.id)

    assert verify(raw, "--stream", stream, "--require-end", "--require-claim")[0] == 0


def test_a_cut_file_names_what_is_missing(verify: Run, folder: Path) -> None:
    raw = (folder / "report.jsonl").read_bytes()
    lines = raw.splitlines(keepends=True)

    code, _, err = verify(b"".join(lines[:-1]))
    assert code == 1
    assert "stream_report_refused (incomplete)" in err
    code, _, err = verify(raw[:-10])
    assert code == 1
    assert "line 3: " in err


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("committee.json", "it is a committee file."),
        ("request.json", "it is the request of a spot check."),
        ("operator.db", "it is a database"),
        (b"", "it is empty."),
        (b"no report\n", "it is text that is not JSON."),
    ],
)
def test_a_file_of_another_kind_is_named(verify: Run, file: str | bytes, what: str) -> None:
    code, _, err = verify(file)

    assert code == 1
    assert "wrong_file" in err
    assert what in err


def test_a_report_that_is_refused_is_not_kept(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Otherwise the same command would find the file and refuse to write another."""
    whole = StreamReport.load((folder / "report.jsonl").read_bytes())
    cut = replace(whole, windows=tuple(whole.windows)[:1])
    monkeypatch.setattr(command, "open_stream", lambda *_: (None, STREAM))
    monkeypatch.setattr(command.queries, "connect", lambda *_: None)
    monkeypatch.setattr(command.current, "newer", lambda lineage, _: lineage)
    monkeypatch.setattr(command.queries, "operators", lambda *_: {})
    monkeypatch.setattr(
        command,
        "find_windows",
        lambda *_: WindowRange(whole.head.descriptor, 0, 1, None, 0, whole.head.mark),
    )
    monkeypatch.setattr(command, "assemble", lambda *_, **_options: cut)
    output, committee = tmp_path / "new.jsonl", folder / "committee.json"
    with pytest.raises(SystemExit) as done:
        main(["stream", "report", STREAM, "-o", str(output), "--committee", str(committee)])

    assert done.value.code == 1
    assert "stream_report_refused (incomplete)" in capsys.readouterr().err
    assert not output.exists()


def test_a_malformed_id_is_refused(verify: Run) -> None:
    code, _, err = verify("report.jsonl", "--stream", "0x12")

    assert code == 1
    assert "invalid_hex: --stream has 1 bytes, expected 32" in err


def test_an_answer_is_expected_where_a_request_was_given(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = str(folder / "request.json")
    committee = str(folder / "committee.json")
    with pytest.raises(SystemExit) as done:
        main(["audit", "verify", request, "--request", request, "--committee", committee])

    assert done.value.code == 1
    assert "is not the answer to a spot check: it is the request" in capsys.readouterr().err
