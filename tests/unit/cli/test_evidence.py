"""Disputes on a simulated fleet: who said what about a node, when, and who was silent."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from committees import make_members, secret
from dragon.protocol.evidence.contradictions import contradictions
from dragon.protocol.evidence.file import Evidence
from dragon.protocol.evidence.record import AnswerRecord
from dragon.protocol.evidence.verification import VerifiedEvidence, VerifiedRecords, verify
from dragon_cli.fleet import evidence, queries
from dragon_cli.main import main
from epochs import propose
from simulation import World

MEMBERS = make_members(4, targets=1)
TARGET = "target_1"
Dragon = Callable[..., Any]


def page(_environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


class TargetWorld(World):
    """A world with a target that is a plain web page."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for target in self.committee.targets:
            self.names[urlsplit(target.url).netloc] = target.id
            self.impersonate(target.id, page)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The files of four operators and a target that are certified up, and the time then."""
    folder = tmp_path_factory.mktemp("certified")
    with TargetWorld(folder, MEMBERS) as made:
        made.run(3, peers=False)
        assert made.statuses("operator_1")[TARGET] == "up"
        return folder, made.clock.now


@pytest.fixture
def fleet(tmp_path: Path, certified: tuple[Path, float]) -> Iterator[World]:
    """A fleet that continues from those files."""
    shutil.copytree(certified[0], tmp_path, dirs_exist_ok=True)
    with TargetWorld(tmp_path, MEMBERS, now=certified[1]) as world:
        world.run(1)
        yield world


@pytest.fixture
def dragon(
    fleet: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Dragon:
    """Run `dragon … --home HOME --json` and return its document; it must end with that code."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "committee.json").write_text(json.dumps(fleet.founding.to_json()))
    monkeypatch.setattr(queries, "make_session", lambda _ca: fleet.session("client"))

    def run(*arguments: object, as_json: bool = True, code: int = 0) -> Any:
        flags = ["--json"] if as_json else []
        with pytest.raises(SystemExit) as done:
            main([*(str(argument) for argument in arguments), *flags])
        out, err = capsys.readouterr()
        assert done.value.code == code, err + out
        return json.loads(out or err) if as_json else out + err

    return run


def collected(dragon: Dragon, world: World, file: Path, around: int = 120) -> VerifiedEvidence:
    """Collect evidence on what has just happened, and verify it again from the file."""
    at, home = int(world.clock.now), world.folder / "home"
    dragon("evidence", TARGET, "--at", at, "--around", around, "-o", file, "--home", home)
    return verify(Evidence.load(file.read_bytes()), world.founding)


def said(verified: VerifiedEvidence, operator: str) -> VerifiedRecords:
    return next(each.said for each in verified.operators if each.said.operator == operator)


def answered(verified: VerifiedEvidence, operator: str) -> AnswerRecord:
    assert verified.claim is not None
    answer = said(verified, operator).answer_to(verified.claim)
    assert answer is not None
    return answer


def test_an_operator_that_is_cut_off_refuses_and_the_evidence_shows_it(
    fleet: World, dragon: Dragon, tmp_path: Path
) -> None:
    fleet.stop(TARGET)
    fleet.cuts |= {("operator_4", f"operator_{number}") for number in (1, 2, 3)}
    fleet.run(2)

    verified = collected(dragon, fleet, tmp_path / "evidence.json")

    assert verified.signers == ("operator_1", "operator_2", "operator_3")
    assert answered(verified, "operator_4").answer == "blind"
    for operator in verified.signers:
        assert answered(verified, operator).is_attested
        seen = said(verified, operator).looks()
        assert [str(each.status) for each in seen][-1] == "down"
    assert contradictions([verified]) == []


def test_an_operator_that_sees_what_the_others_do_not(
    fleet: World, dragon: Dragon, tmp_path: Path
) -> None:
    """The network between the target and most operators is broken, and operator_4 reaches it."""
    callers = ("aggregator_0", "operator_1", "operator_2", "operator_3")
    fleet.cuts |= {(caller, TARGET) for caller in callers}
    fleet.run(3)

    verified = collected(dragon, fleet, tmp_path / "evidence.json")
    table = dragon(
        *("verify", "evidence", tmp_path / "evidence.json"),
        *("--committee", tmp_path / "home" / "committee.json"),
        as_json=False,
    )

    assert answered(verified, "operator_4").answer == "sees_up"
    [row] = [line for line in table.splitlines() if line.startswith("operator_4")]
    assert "refused down: sees_up" in row
    assert "up (answered)" in row
    assert table.startswith("verified: ")
    assert "certified by 3 of 4 operators (operator_1, operator_2, operator_3)" in table


def test_who_was_silent_is_told_apart_from_who_has_no_record(
    fleet: World, dragon: Dragon, tmp_path: Path
) -> None:
    fleet.stop(TARGET)
    fleet.run(2)
    fleet.cuts.add(("client", "operator_3"))
    fleet.crash("operator_4")
    (tmp_path / "operator_4-evidence.db").unlink()
    fleet.start("operator_4")

    verified = collected(dragon, fleet, tmp_path / "evidence.json")

    assert {each.said.operator: str(each.outcome) for each in verified.operators} == {
        "operator_1": "records",
        "operator_2": "records",
        "operator_3": "no_answer",
        "operator_4": "no_records",
    }


def test_an_operator_that_answers_with_another_operators_records_is_found_out(
    fleet: World, dragon: Dragon, tmp_path: Path
) -> None:
    fleet.stop(TARGET)
    fleet.run(2)
    fleet.crash("operator_2")
    fleet.crash("operator_1")
    # The records of operator_1 under the name of operator_2, which the owner of the file changes.
    source = tmp_path / "operator_1-evidence.db"
    _rename_owner(source, "operator_2")
    source.replace(tmp_path / "operator_2-evidence.db")
    fleet.start("operator_1")
    fleet.start("operator_2")

    verified = collected(dragon, fleet, tmp_path / "evidence.json")

    [found] = [each for each in verified.operators if each.said.operator == "operator_2"]
    assert found.outcome == "invalid"
    assert found.detail.startswith("foreign_record: operator_2: seal ")


def _rename_owner(file: Path, operator: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE evidence_owner SET operator = ?", [operator])


def test_an_operator_with_too_many_records_does_not_stop_the_others(
    fleet: World, dragon: Dragon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.stop(TARGET)
    fleet.run(2)
    monkeypatch.setattr(evidence, "MAX_EVIDENCE_BYTES", (1 << 20) + 4 * 100)

    verified = collected(dragon, fleet, tmp_path / "evidence.json")

    assert {str(each.outcome) for each in verified.operators} == {"invalid"}
    assert all(each.detail.startswith("too_large: ") for each in verified.operators)


def test_evidence_without_a_certified_change(fleet: World, dragon: Dragon, tmp_path: Path) -> None:
    """Two operators do not reach the target, which is too few."""
    fleet.cuts |= {(caller, TARGET) for caller in ("aggregator_0", "operator_1", "operator_2")}
    fleet.run(2)

    verified = collected(dragon, fleet, tmp_path / "evidence.json", around=10)

    assert verified.claim is None
    answers = {
        each.said.operator: [answer.answer for answer in each.said.answers()][-1]
        for each in verified.operators
    }
    assert answers == {
        "operator_1": "attested",
        "operator_2": "attested",
        "operator_3": "sees_up",
        "operator_4": "sees_up",
    }


def test_tampering_is_refused_by_name(
    fleet: World, dragon: Dragon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.stop(TARGET)
    fleet.run(2)
    fleet.resume(TARGET)
    fleet.run(2)
    file = tmp_path / "evidence.json"
    collected(dragon, fleet, file)
    whole = json.loads(file.read_bytes())
    committee = ("--committee", tmp_path / "home" / "committee.json")

    def refused(change: Callable[[Any], object]) -> str:
        document = json.loads(file.read_bytes())
        change(document)
        changed = tmp_path / "changed.json"
        changed.write_text(json.dumps(document))
        return str(dragon("verify", "evidence", changed, *committee, code=1)["reason"])

    first = whole["operators"][0]
    assert refused(lambda d: d["operators"][0]["records"].pop(1)) == "broken_chain"
    assert refused(lambda d: d["operators"][0]["seals"].pop(0)) == "broken_chain"
    assert refused(lambda d: d["operators"][0]["records"][0]["record"].update(count=9)) == (
        "invalid_proof"
    )
    assert refused(lambda d: d["operators"][0]["seals"][-1].update(time_ms=1)) == "bad_signature"
    assert refused(lambda d: d["operators"][1].update(seals=first["seals"])) == "foreign_record"
    assert refused(lambda d: d.update(node_id="operator_1")) == "foreign_record"
    assert refused(lambda d: d["event"]["event"]["signers"].pop()) == "quorum_not_met"
    assert refused(lambda d: d["operators"].append(first)) == "duplicate_signer"
    changed = tmp_path / "changed.json"
    whole["operators"][0]["records"][0]["record"].update(count=9)
    changed.write_text(json.dumps(whole))
    with pytest.raises(SystemExit):
        main(["verify", "evidence", str(changed), *map(str, committee)])
    said = capsys.readouterr().err
    assert "operator_1: seal 0 does not sign record 0 as it is here" in said
    assert "hint: Collect it again with `dragon evidence`" in said
    other = make_members(4, targets=1, name="another").committee
    (tmp_path / "other.json").write_text(json.dumps(other.to_json()))
    wrong = dragon("verify", "evidence", file, "--committee", tmp_path / "other.json", code=1)
    assert wrong["reason"] == "wrong_committee"


def test_files_are_compared_and_are_about_one_node(
    fleet: World, dragon: Dragon, tmp_path: Path
) -> None:
    committee = ("--committee", tmp_path / "home" / "committee.json")
    fleet.stop(TARGET)
    fleet.run(2)
    collected(dragon, fleet, tmp_path / "one.json")
    collected(dragon, fleet, tmp_path / "two.json")
    at, home = int(fleet.clock.now), tmp_path / "home"
    dragon("evidence", "operator_2", "--at", at, "-o", tmp_path / "other.json", "--home", home)

    both = dragon("verify", "evidence", tmp_path / "one.json", tmp_path / "two.json", *committee)
    refused = dragon(
        "verify", "evidence", tmp_path / "one.json", tmp_path / "other.json", *committee, code=1
    )

    assert both["contradictions"] == []
    assert [Path(each["file"]).name for each in both["files"]] == ["one.json", "two.json"]
    assert refused["reason"] == "foreign_record"


def test_nothing_is_overwritten(fleet: World, dragon: Dragon, tmp_path: Path) -> None:
    (tmp_path / "evidence.json").write_text("mine")

    at, home = int(fleet.clock.now), fleet.folder / "home"
    failed = dragon(
        "evidence", TARGET, "--at", at, "-o", tmp_path / "evidence.json", "--home", home, code=2
    )

    assert failed["reason"] == "already_there"
    assert (tmp_path / "evidence.json").read_text() == "mine"


def test_the_record_goes_on_after_a_crash(fleet: World, dragon: Dragon, tmp_path: Path) -> None:
    fleet.stop(TARGET)
    fleet.run(2)
    fleet.restart("operator_1")
    fleet.resume(TARGET)
    fleet.run(2)

    verified = collected(dragon, fleet, tmp_path / "evidence.json")

    mine = said(verified, "operator_1")
    assert len({each.chain for each in mine.records}) == 2
    assert mine.gaps == ()
    assert [str(each.status) for each in mine.answers()] == ["down", "up"]


def test_evidence_across_a_handover_verifies_with_the_lineage(
    fleet: World, dragon: Dragon, tmp_path: Path
) -> None:
    """Operator_1 rotates its key after the outage; the others keep theirs."""
    fleet.stop(TARGET)
    fleet.run(2)
    at = int(fleet.clock.now)
    fleet.newcomers["operator_1"] = secret("operator_1 again")
    fleet.restart("operator_1")
    following = propose(fleet, rotate={"operator_1": secret("operator_1 again")})
    fleet.run(3)
    fleet.take_seats(following)
    fleet.run(14)  # with a checkpoint of the next committee
    home = tmp_path / "home"
    dragon("committee", "update", "--home", home)
    file = tmp_path / "evidence.json"

    told = dragon("evidence", TARGET, "--at", at, "-o", file, "--home", home)
    older = dragon(
        *("verify", "evidence", file, "--committee", home / "lineage.json", "--trust-from", 0)
    )

    counts = {each["operator"]: each["counts"] for each in told["operators"]}
    assert counts == {name: name != "operator_1" for name in fleet.operators}
    assert all(each["counts"] for each in older["files"][0]["operators"])
    assert {each["answer"]["answer"] for each in told["operators"]} == {"attested"}
