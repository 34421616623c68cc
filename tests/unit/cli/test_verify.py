"""`dragon verify` ends with 0 if verified, 1 with a named refusal, 2 on wrong usage."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from committees import GENESIS, make_members
from dragon.encoding import Json, canonical, to_hex
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol import bls
from dragon.protocol.certificate import Certificate, assemble
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.event import Event, leaf
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from dragon.protocol.maintenance import Maintenance
from dragon.protocol.merkle import leaf_hash
from dragon.storage.database import Database
from dragon_cli.main import main

MEMBERS = make_members()
ROUNDS = MEMBERS.committee.rounds
NODE = "operator_2"
SIGNERS = ("operator_1", "operator_3", "operator_4")


@cache
def certified(round_: int) -> Event:
    return MEMBERS.status(NODE, Status.UP if round_ % 2 else Status.DOWN, round_)


OUTAGE = certified(2)
KNOWN = {"epoch": 0, "newest_epoch": 0, "seen": None}  # with a committee file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committee file, a log of five entries, a certificate and the third entry as exported."""
    made = tmp_path_factory.mktemp("fleet")
    (made / "committee.json").write_text(json.dumps(MEMBERS.committee.to_json()))
    other = make_members(name="another").committee
    (made / "other.json").write_text(json.dumps(other.to_json()))
    database = Database(made / "operator.db", LOG_SCHEMA)
    log = Log(database, MEMBERS.committee)
    for index in range(1, 6):
        body = canonical([certified(index).to_json()]).decode()
        time = ROUNDS.start(index)
        position = Position(index, f"{index:032x}")
        log.take(ProvenBatch(index, body, time, "{}", position))
    entry, now = log.entry(1), log.head()
    logged = ProvenEntry(entry, now.size, now.root, tuple(log.inclusion(1, now.size)))
    database.close()
    (made / "event.json").write_text(json.dumps(logged.to_json()))
    (made / "certificate.json").write_text(json.dumps(OUTAGE.to_json()))
    return made


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `dragon verify WHAT FILE …`: exit code, standard output, standard error."""

    def run(
        what: str, file: Path | str, *options: str, committee: str = "committee.json"
    ) -> tuple[int, str, str]:
        arguments = ["verify", what, str(file), "--committee", str(folder / committee), *options]
        code = 0
        try:
            main(arguments)
        except SystemExit as done:
            code = int(done.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def exported(folder: Path, **changes: object) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "event.json").read_text())
    return value | changes


def written(tmp_path: Path, value: object) -> Path:
    path = tmp_path / "file.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def refused(result: tuple[int, str, str], reason: str) -> None:
    code, out, err = result
    assert code == 1
    assert out == ""
    sentence, *hint = err.splitlines()
    assert sentence.startswith(f"dragon: refused: {reason}: ")
    assert not hint or (len(hint) == 1 and hint[0].startswith("hint: "))


# Certificates


@pytest.mark.parametrize("name", ["certificate.json", "event.json"])
def test_a_valid_certificate_is_verified(verify: Run, folder: Path, name: str) -> None:
    code, out, err = verify("certificate", folder / name)

    assert (code, err) == (0, "")
    assert out.startswith("verified: operator_2 was down in the round ")
    assert "certified by 3 of 4 operators (operator_1, operator_3, operator_4)." in out


def test_a_valid_certificate_is_reported_as_json(verify: Run, folder: Path) -> None:
    code, out, _ = verify("certificate", folder / "certificate.json", "--json")

    assert code == 0
    assert json.loads(out) == {
        "verdict": "verified",
        "kind": "status",
        "node_id": NODE,
        "status": "down",
        "timestamp": ROUNDS.start(2),
        "signers": list(SIGNERS),
        **KNOWN,
    }


def _spoilt(**changes: object) -> Event:
    return dataclasses.replace(OUTAGE, **changes)  # type: ignore[arg-type]


TAMPERED: dict[str, Callable[[], dict[str, Any] | Event]] = {
    "missing_member": lambda: {k: v for k, v in OUTAGE.to_json().items() if k != "signers"},
    "unknown_member": lambda: OUTAGE.to_json() | {"more": 1},
    "wrong_type": lambda: OUTAGE.to_json() | {"signers": "operator_1"},
    "invalid_hex": lambda: OUTAGE.to_json() | {"aggregated_signature": "0x00"},
    "invalid_id": lambda: OUTAGE.to_json() | {"node_id": "Operator 2"},
    "unknown_value": lambda: OUTAGE.to_json() | {"status": "sideways"},
    "unknown_kind": lambda: OUTAGE.to_json() | {"kind": "weather"},
    "unknown_node": lambda: MEMBERS.status("operator_9", Status.DOWN, 2),
    "off_round": lambda: MEMBERS.certify(
        StatusClaim(NODE, Status.DOWN, ROUNDS.start(2) + 1), SIGNERS
    ),
    "subject_signed": lambda: MEMBERS.status(NODE, Status.DOWN, 2, MEMBERS.secrets),
    "unknown_signer": lambda: _spoilt(signers=(*SIGNERS, "operator_9")),
    "duplicate_signer": lambda: _spoilt(signers=(*SIGNERS[:2], SIGNERS[1])),
    "unsorted_signers": lambda: _spoilt(signers=SIGNERS[::-1]),
    "quorum_not_met": lambda: MEMBERS.status(NODE, Status.DOWN, 2, SIGNERS[:2]),
    "wrong_aggregate_key": lambda: _spoilt(public_key=certified(1).public_key),
    "invalid_signature": lambda: _spoilt(signature=bytes(bls.SIGNATURE_BYTES)),
    "bad_signature": lambda: _spoilt(signature=certified(4).signature),
    "wrong_committee": lambda: make_members(name="another").status(NODE, Status.DOWN, 2),
}


@pytest.mark.parametrize("reason", TAMPERED)
def test_a_tampered_certificate_is_refused_by_name(
    verify: Run, tmp_path: Path, reason: str
) -> None:
    made = TAMPERED[reason]()
    path = written(tmp_path, made if isinstance(made, dict) else made.to_json())

    refused(verify("certificate", path), reason)


def test_a_refusal_as_json_has_reason_and_facts(verify: Run, tmp_path: Path) -> None:
    few = MEMBERS.status(NODE, Status.DOWN, 2, SIGNERS[:2])

    code, out, err = verify("certificate", written(tmp_path, few.to_json()), "--json")

    assert code == 1
    assert json.loads(out) == {
        "verdict": "refused",
        "reason": "quorum_not_met",
        "detail": "2 signed, the quorum needs 3",
        "facts": {"signers": 2, "needed": 3},
    }
    assert err.startswith("dragon: refused: quorum_not_met: ")


# Downtime


def downtime(unknown: int = 90, signers: tuple[str, ...] = SIGNERS) -> Certificate:
    begin = ROUNDS.start(0)
    claim = DowntimeClaim(NODE, begin, begin + 3600, 30, 0, unknown, 12, bytes(32))
    root = claim.root(MEMBERS.committee.id)
    attestations = {signer: MEMBERS.secrets[signer].sign(root) for signer in signers}
    return assemble(claim, attestations, MEMBERS.committee)


def test_the_limits_of_a_downtime_certificate_are_shown(verify: Run, tmp_path: Path) -> None:
    code, out, err = verify("downtime", written(tmp_path, downtime().to_json()))

    assert (code, err) == (0, "")
    assert out.startswith("verified: operator_2 was down for 30 s and unknown for 90 s of the 3600")
    assert "  up            3480 s   96.667 %\n" in out
    assert "No certificate covers 90 s of the period: the node may have been up or down." in out
    assert f"from the first 12 entries of the log (root {to_hex(bytes(32))})" in out


def test_a_downtime_certificate_without_gaps(verify: Run, tmp_path: Path) -> None:
    _, out, _ = verify("downtime", written(tmp_path, downtime(unknown=0).to_json()))

    assert "No certificate covers" not in out
    assert "Certified checkpoints cover every second of the period." in out


@pytest.mark.parametrize("what", ["downtime", "certificate"])
def test_a_downtime_certificate_is_reported_as_json(verify: Run, tmp_path: Path, what: str) -> None:
    made = downtime()

    code, out, _ = verify(what, written(tmp_path, made.to_json()), "--json")

    told = json.loads(out)
    assert code == 0
    assert told.pop("seconds_up", 3480) == 3480
    claimed = {**made.claim.to_json(), "signers": list(SIGNERS)}
    assert told == {"verdict": "verified", **claimed, **KNOWN}


def test_an_invalid_downtime_certificate_is_refused(verify: Run, tmp_path: Path) -> None:
    made = downtime()
    refused(verify("downtime", written(tmp_path, OUTAGE.to_json())), "unknown_kind")
    few = downtime(signers=SIGNERS[:2])
    refused(verify("downtime", written(tmp_path, few.to_json())), "quorum_not_met")
    for changes, reason in (
        ({"seconds_down": 31}, "bad_signature"),
        ({"seconds_down": 3600}, "integer_out_of_range"),
        ({"to": 0}, "integer_out_of_range"),
        ({"node_id": "operator_9"}, "bad_signature"),
        ({"root": "0x00"}, "invalid_hex"),
        ({"more": 1}, "unknown_member"),
    ):
        refused(verify("downtime", written(tmp_path, made.to_json() | changes)), reason)


def test_a_certified_checkpoint_is_verified(verify: Run, tmp_path: Path) -> None:
    claim = CheckpointClaim(7, bytes(32), ROUNDS.start(12))
    root = claim.root(MEMBERS.committee.id)
    attestations = {signer: MEMBERS.secrets[signer].sign(root) for signer in SIGNERS}
    made = assemble(claim, attestations, MEMBERS.committee)

    code, out, _ = verify("certificate", written(tmp_path, made.to_json()))

    assert code == 0
    assert f"the log had 7 entries and root {to_hex(bytes(32))} in the round " in out


def window_claim(**changes: Any) -> WindowClaim:
    stream, header = bytes([1]) * 32, bytes([2]) * 32
    claim = WindowClaim(
        *(
            stream,
            3,
            header,
            header,
            Verdict.VALID,
            InvalidReason.NONE,
            header,
            "strong",
            ROUNDS.start(12),
        )
    )
    return dataclasses.replace(claim, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "was valid in the round "),
        (
            {"verdict": Verdict.INVALID, "reason": InvalidReason.ROOT},
            "was invalid (root) in the round ",
        ),
    ],
)
def test_a_certified_window_is_verified(
    verify: Run, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    made = MEMBERS.certify(window_claim(**changes), SIGNERS)

    code, out, _ = verify("certificate", written(tmp_path, made.to_json()))

    assert code == 0
    assert f"window 3 of stream {to_hex(bytes([1]) * 32)} {words}" in out


LATE = make_members(experts=1, targets=1, owners=1)
PRAISE = EndorsementClaim(
    *(bytes([1]) * 32, 3, 5, Verdict.VALID, bytes(32), "expert_1", ROUNDS.start(12))
)
WINDOW = MaintenanceClaim("target_1", GENESIS + 7200, GENESIS + 7260, ROUNDS.start(12))


@pytest.mark.parametrize(
    ("signed", "words"),
    [
        (LATE.endorse(PRAISE), "windows 3 to 5 of stream 0x0101"),
        (LATE.announce(WINDOW), "at 2024-11-25 08:07:40 UTC, signed by owner_1"),
    ],
    ids=["an endorsement", "an announcement"],
)
def test_what_one_member_has_signed_is_verified_in_a_log(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    signed: Endorsement | Maintenance,
    words: str,
) -> None:
    hashed = leaf_hash(leaf(signed, 7))
    logged = ProvenEntry(LogEntry(0, signed, 7, ROUNDS.start(12)), 1, hashed, ())
    (tmp_path / "committee.json").write_text(json.dumps(LATE.committee.to_json()))

    def verify(value: dict[str, Json], *options: str) -> tuple[int, str, str]:
        file, committee = written(tmp_path, value), tmp_path / "committee.json"
        with pytest.raises(SystemExit) as ended:
            main(["verify", "event", str(file), "--committee", str(committee), *options])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), " ".join(out.split()), " ".join(err.split())

    code, out, _ = verify(logged.to_json())
    assert code == 0
    assert words in out
    assert "operators" not in out.partition("It is event")[0]
    told = json.loads(verify(logged.to_json(), "--json")[1])
    assert told["signers"] == [signed.signer_in(LATE.committee)]
    forged = dataclasses.replace(signed, signature=LATE.secrets["operator_1"].sign(bytes(32)))
    entry = LogEntry(0, forged, 7, ROUNDS.start(12))
    code, out, err = verify(dataclasses.replace(logged, entry=entry).to_json())
    assert (code, out) == (1, "")
    assert "bad_signature" in err


# Events


def test_a_valid_event_is_verified_and_its_root_is_not(verify: Run, folder: Path) -> None:
    code, out, err = verify("event", folder / "event.json")

    assert (code, err) == (0, "")
    assert "It is event 1 of the log with root 0x" in out
    assert "The root itself was not verified" in out


def test_a_valid_event_is_verified_with_a_known_root(verify: Run, folder: Path) -> None:
    root = exported(folder)["root"]

    code, out, _ = verify("event", folder / "event.json", "--root", root)
    told, json_out, _ = verify("event", folder / "event.json", "--root", root, "--json")

    assert (code, told) == (0, 0)
    assert "not verified" not in out
    facts = json.loads(json_out)
    assert (facts["verdict"], facts["position"]) == ("verified", 1)
    assert facts["root"] == root


def test_an_event_of_another_log_is_refused(verify: Run, folder: Path) -> None:
    result = verify("event", folder / "event.json", "--root", to_hex(bytes(32)))

    refused(result, "invalid_proof")


@pytest.mark.parametrize("root", ["", "0x", "abc", "0x" + "AB" * 32])
def test_an_invalid_root_is_refused(verify: Run, folder: Path, root: str) -> None:
    result = verify("event", folder / "event.json", "--root", root)

    refused(result, "invalid_hex")


def _path(folder: Path) -> list[str]:
    return list(exported(folder)["inclusion"])


EVENTS: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "another position": (lambda f: exported(f, position=2), "invalid_proof"),
    "a position beyond the log": (lambda f: exported(f, position=5), "invalid_proof"),
    "another size": (lambda f: exported(f, size=9), "invalid_proof"),
    "another root": (lambda f: exported(f, root="0x" + "00" * 32), "invalid_proof"),
    "another ledger index": (lambda f: exported(f, ledger_index=3), "invalid_proof"),
    "a ledger time": (lambda f: exported(f, ledger_time=1), "unknown_member"),
    "a path cut short": (lambda f: exported(f, inclusion=_path(f)[:-1]), "invalid_proof"),
    "a path turned round": (lambda f: exported(f, inclusion=_path(f)[::-1]), "invalid_proof"),
    "a path too long": (lambda f: exported(f, inclusion=_path(f) * 20), "invalid_proof"),
    "a path beyond all": (lambda f: exported(f, inclusion=_path(f) * 30), "unknown_value"),
    "a hash cut short": (lambda f: exported(f, root="0x00"), "invalid_hex"),
    "another event": (lambda f: exported(f, event=certified(4).to_json()), "invalid_proof"),
    "a forged event": (
        lambda f: exported(f, event=_spoilt(signature=certified(4).signature).to_json()),
        "bad_signature",
    ),
    "a member too many": (lambda f: exported(f, more=1), "unknown_member"),
    "a bare certificate": (lambda _: OUTAGE.to_json(), "wrong_file"),
}  # fmt: skip


@pytest.mark.parametrize("what", EVENTS)
def test_a_tampered_event_is_refused_by_name(
    verify: Run, folder: Path, tmp_path: Path, what: str
) -> None:
    make, reason = EVENTS[what]

    refused(verify("event", written(tmp_path, make(folder))), reason)


# Logs


def test_a_valid_log_is_verified(verify: Run, folder: Path) -> None:
    code, out, err = verify("log", folder / "operator.db")
    told, json_out, _ = verify("log", folder / "operator.db", "--json")

    assert (code, told, err) == (0, 0, "")
    assert out.startswith("verified: all 5 log entries are valid; root 0x")
    facts = json.loads(json_out)
    assert facts["root"] == exported(folder)["root"]
    assert facts["nodes"] == {NODE: {"status": "up", "since": ROUNDS.start(5)}}


LOGS = {
    "log_damaged": "UPDATE logs SET status = 'up' WHERE id = 2",
    "not_json": "UPDATE entries SET event = '' WHERE position = 2",
    "wrong_committee": "UPDATE cursor SET network = '0x00'",
}


@pytest.mark.parametrize("reason", LOGS)
def test_a_tampered_log_is_refused_by_name(
    verify: Run, folder: Path, tmp_path: Path, reason: str
) -> None:
    path = tmp_path / "copy.db"
    path.write_bytes((folder / "operator.db").read_bytes())
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(LOGS[reason])

    refused(verify("log", path), reason)
    code, out, _ = verify("log", path, "--json")
    assert (code, json.loads(out)["reason"]) == (1, reason)


def test_a_file_that_is_not_a_log_is_refused(verify: Run, tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    path.write_bytes(b"no database")

    refused(verify("log", path), "wrong_file")


# What is imported

IMPORTED = """
import atexit, sys
atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))
from dragon_cli.start import main
main()
"""
HEAVY = {
    *("alembic", "asyncio", "cryptography", "flask", "importlib.metadata", "jinja2", "numba"),
    *("numpy", "pydantic", "requests", "rich", "sqlalchemy", "ssl", "structlog", "tomllib"),
    *("urllib3", "websockets", "zoneinfo"),
}


def imported(*arguments: object) -> set[str]:
    """Run `dragon verify` as a program; return the modules that it has imported at its end."""
    command = [sys.executable, "-c", IMPORTED, "verify", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("verified: ")
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("what", "file"),
    [
        ("certificate", "certificate.json"),
        ("certificate", "event.json"),
        ("event", "event.json"),
        ("log", "operator.db"),
    ],
)
def test_a_command_that_verifies_imports_no_large_library(
    folder: Path, what: str, file: str
) -> None:
    modules = imported(what, folder / file, "--committee", folder / "committee.json")

    assert not modules & HEAVY


def test_only_the_kinds_of_claims_are_imported_that_a_file_needs(folder: Path) -> None:
    file, committee = folder / "certificate.json", folder / "committee.json"
    modules = imported("certificate", file, "--committee", committee)

    assert "dragon.protocol.claims.status" in modules
    others = ("downtime", "endorsement", "maintenance", "period", "window")
    assert not modules & {f"dragon.protocol.claims.{name}" for name in others}
    assert not [name for name in modules if name.startswith("dragon.stark")]


# Files


@pytest.mark.parametrize("what", ["certificate", "event"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "wrong_file"),
        ("certificate", "wrong_file"),
        ("[" * 5000, "not_json"),
        ("1.5", "not_an_integer"),
        ("null", "wrong_type"),
        ("[]", "wrong_type"),
        ('{"a":1,"a":2}', "duplicate_member"),
        ('{"inclusion": []}', None),
        (" " * (2 << 20), "too_large"),
    ],
    ids=["empty", "text", "deep", "float", "null", "list", "twice", "half an event", "2 MB"],
)
def test_invalid_files_are_refused(
    verify: Run, tmp_path: Path, what: str, content: str, reason: str | None
) -> None:
    expected = {"certificate": "wrong_type", "event": "missing_member"}[what]

    refused(verify(what, written(tmp_path, content)), reason or expected)


def test_binary_data_is_refused(verify: Run, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"\xff\xfe{}")

    refused(verify("certificate", path), "wrong_file")


@pytest.mark.parametrize("what", ["certificate", "event", "log"])
@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["", "json"])
def test_results_of_another_committee_are_refused(
    verify: Run, folder: Path, what: str, as_json: list[str]
) -> None:
    file = {"certificate": "certificate.json", "event": "event.json", "log": "operator.db"}[what]

    code, out, err = verify(what, folder / file, *as_json, committee="other.json")

    assert code == 1
    assert err.startswith("dragon: refused: wrong_committee: ")
    if as_json:
        assert json.loads(out)["reason"] == "wrong_committee"


@pytest.mark.parametrize("what", ["certificate", "downtime", "event", "log", "period"])
def test_a_missing_file_ends_with_2(verify: Run, tmp_path: Path, what: str) -> None:
    for path in (tmp_path / "none", tmp_path):
        code, out, err = verify(what, path)
        assert (code, out) == (2, "")
        assert path.name in err


@pytest.mark.parametrize("what", ["certificate", "downtime", "event", "log", "period"])
def test_a_missing_committee_file_ends_with_2(verify: Run, folder: Path, what: str) -> None:
    code, out, err = verify(what, folder / "event.json", committee="none.json")

    assert (code, out) == (2, "")
    assert "does not exist" in err


def test_an_invalid_committee_file_is_refused(verify: Run, folder: Path, tmp_path: Path) -> None:
    for content, reason in (("{", "not_json"), ("{}", "missing_member")):
        path = written(tmp_path, content)
        result = verify("certificate", folder / "certificate.json", committee=str(path))
        assert result[0] in (1, 2)
        assert f"{reason}: " in result[2]


def test_unknown_options_and_commands_end_with_2(verify: Run, folder: Path) -> None:
    assert verify("certificate", folder / "certificate.json", "--wrong")[0] == 2
    assert verify("weather", folder / "certificate.json")[0] == 2


def test_an_error_in_the_committee_file_names_that_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committee, certificate = tmp_path / "committee.json", tmp_path / "certificate.json"
    committee.write_text("no json")
    certificate.write_text("{}")

    with pytest.raises(SystemExit) as done:
        main(["verify", "certificate", str(certificate), "--committee", str(committee)])

    assert done.value.code == 2
    assert f"not_a_committee: {committee} is not " in capsys.readouterr().err
