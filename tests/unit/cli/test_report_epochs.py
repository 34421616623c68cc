"""`dragon report` of a time in which the committee changed three times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragon.encoding import to_hex
from dragon.log.downtime import totals
from dragon.protocol.claims.status import Status
from dragon_cli.main import main
from epoch_log import EpochLog, opened, pass_three_handovers


@pytest.fixture
def made(tmp_path: Path) -> Iterator[EpochLog]:
    with opened(tmp_path / "operator.db") as log:
        pass_three_handovers(log)
        for number in (57, 69):
            log.checkpoint(number)
        (tmp_path / "lineage.json").write_bytes(log.lineage().encode())
        yield log


def report(
    made: EpochLog, capsys: pytest.CaptureFixture[str], begin: int, end: int, *more: object
) -> tuple[int, str]:
    rounds = made.newest.committee.rounds
    known = made.path.with_name("lineage.json")
    span = ("--from", rounds.start(begin), "--to", rounds.start(end))
    given = ("--log", made.path, "--committee", known, "--json", *span, *more)
    with pytest.raises(SystemExit) as done:
        main(["report", *map(str, given)])
    return int(done.value.code or 0), capsys.readouterr().out


def listed(result: tuple[int, str]) -> list[str]:
    assert result[0] == 0, result
    return [each["node_id"] for each in json.loads(result[1])["nodes"]]


def test_a_report_has_every_node_that_was_listed_in_the_period(
    made: EpochLog, capsys: pytest.CaptureFixture[str]
) -> None:
    founders = ["operator_1", "operator_2", "operator_3", "operator_4", "target_1"]

    assert sorted(listed(report(made, capsys, 0, 9))) == founders
    assert sorted(listed(report(made, capsys, 0, 50))) == sorted([*founders, "operator_5"])
    assert "operator_1" not in listed(report(made, capsys, 41, 50))
    assert listed(report(made, capsys, 41, 50, "--node", "operator_1")) == ["operator_1"]


def test_its_figures_are_those_of_the_whole_log(
    made: EpochLog, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds, state = made.newest.committee.rounds, made.log.state

    told: Any = json.loads(report(made, capsys, 0, 50)[1])

    node = next(each for each in told["nodes"] if each["node_id"] == "target_1")
    found = totals(state, told["log"]["size"], "target_1", (rounds.start(0), rounds.start(50)))
    assert node["seconds_down"] == found.seconds_down > 0
    assert node["seconds_unknown"] == found.seconds_unknown
    assert (told["epoch"], told["committee"]) == (3, to_hex(made.newest.committee.id))
    assert [each["begin"] for each in node["incidents"]] == [rounds.start(5), rounds.start(21)]


def test_the_committee_of_a_report_is_the_one_at_its_end(
    made: EpochLog, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = {9: 0, 10: 0, 11: 1, 21: 2, 50: 3}
    for end, epoch in ends.items():
        assert json.loads(report(made, capsys, 0, end)[1])["epoch"] == epoch, end


def test_a_node_that_nobody_listed_is_unknown(
    made: EpochLog, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = report(made, capsys, 0, 50, "--node", "operator_9")

    assert (code, json.loads(out)["reason"]) == (1, "unknown_node")


def test_a_removed_node_is_unknown_and_not_none_in_a_verified_log(
    made: EpochLog, capsys: pytest.CaptureFixture[str]
) -> None:
    made.status(Status.DOWN, 70, "operator_5")
    made.hand_over(72, drop=["operator_5"], add=["operator_7"])
    made.checkpoint(81)
    known = made.path.with_name("lineage.json")
    given = ("--json", "--trust-from", "0", "--committee", str(known))
    with pytest.raises(SystemExit) as done:
        main(["verify", "log", str(made.path), *given])

    assert done.value.code == 0
    assert json.loads(capsys.readouterr().out)["nodes"]["operator_5"]["status"] == "unknown"
