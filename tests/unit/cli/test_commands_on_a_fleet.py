"""Commands on the real services of a fleet, all in one process."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dragon_cli.fleet import queries
from dragon_cli.main import main
from simulation import World

Run = Callable[..., str]


@pytest.fixture
def dragon(
    world: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run `dragon …` and return its output; it must succeed."""
    (tmp_path / "committee.json").write_text(json.dumps(world.committee.to_json()))
    monkeypatch.setattr(queries, "make_session", lambda _ca: world.session("client"))

    def run(*arguments: object, home: bool = True) -> str:
        chosen = ["--home", str(tmp_path)] if home else []
        with pytest.raises(SystemExit) as done:
            main([*(str(argument) for argument in arguments), *chosen])
        out, err = capsys.readouterr()
        assert (done.value.code, err) == (0, "")
        return out

    return run


def test_nodes_and_rounds_of_a_fleet_with_an_outage(world: World, dragon: Run) -> None:
    world.stop("operator_2")
    world.run(2)

    nodes, rounds = dragon("nodes"), dragon("rounds", "--limit", "2")

    [down] = [line for line in nodes.splitlines() if "operator_2" in line]
    assert "down" in down
    assert "unreachable" in down
    assert "probe of operator_2 failed: unreachable" in rounds
    assert (
        "    operator_2 is down: certified, 3 signatures needed\n        operator_1  signed  "
        in rounds
    )


def test_nodes_shows_why_each_operator_finds_a_node_down(world: World, dragon: Run) -> None:
    """Operator_3 cannot look the name up; for the others the port is closed."""
    world.stop("operator_2")
    world.lookup_faults["operator_3", "operator_2"] = socket.EAI_NONAME
    world.run(1)

    listed, table = json.loads(dragon("nodes", "--json"))["nodes"], dragon("nodes")

    [row] = [row for row in listed if row["node_id"] == "operator_2"]
    assert row["seen"]["reason"] == "unreachable"
    assert row["seen_by"]["operator_3"]["reason"] == "no_such_name"
    assert row["seen_by"]["operator_4"]["reason"] == "unreachable"
    assert "operator_3: down" in table
    assert "no_such_name" in table
    assert "operator_4: down" not in table


def test_status_queries_all_operators_and_logs_the_first(world: World, dragon: Run) -> None:
    world.stop("operator_1")

    listed = json.loads(dragon("status", "--json"))["operators"]
    logged = json.loads(dragon("logs", "--json"))["logs"]

    assert [one["operator"] for one in listed] == world.operators
    assert ["trouble" in one for one in listed] == [True, False, False, False]
    assert {row["node_id"] for row in logged} == set(world.operators)


@pytest.fixture
def outage(world: World) -> tuple[int, int]:
    """Take operator_2 down for three rounds; return a settled period around the outage."""
    begin, round_seconds = int(world.clock.now), world.committee.rounds.seconds
    world.stop("operator_2")
    world.run(3)
    world.resume("operator_2")
    world.run(26)  # checkpoints settle the past
    return begin, begin + 10 * round_seconds


def test_downtime_is_certified_by_the_fleet_and_verified_again_offline(
    world: World, dragon: Run, tmp_path: Path, outage: tuple[int, int]
) -> None:
    round_seconds, (begin, end) = world.committee.rounds.seconds, outage
    period = ("--from", begin, "--to", end)
    kept = tmp_path / "down.json"

    told = json.loads(dragon("downtime", "operator_2", *period, "--output", kept, "--json"))
    word = json.loads(dragon("downtime", "operator_2", *period, "--uncertified", "--json"))
    committee = tmp_path / "committee.json"
    offline = dragon("verify", "downtime", kept, "--committee", committee, home=False)

    assert 2 * round_seconds <= told["seconds_down"] <= 5 * round_seconds
    assert word["seconds_down"] == told["seconds_down"]
    assert f"operator_2 was down for {told['seconds_down']} s" in offline

    # One certificate for all nodes states the same, and proves each of them.
    whole, part = tmp_path / "period.json", tmp_path / "part.json"
    all_nodes = json.loads(dragon("period", begin, end, "-o", whole, "--json"))
    dragon("period", "prove", whole, "operator_2", "-o", part, home=False)
    trusted = ("--committee", committee, "--json")
    verified = json.loads(dragon("verify", "period", whole, *trusted, home=False))
    proven = json.loads(dragon("verify", "period", part, *trusted, home=False))

    assert verified["leaves"] == all_nodes["leaves"]
    assert [leaf["node_id"] for leaf in verified["leaves"]] == world.operators
    assert proven["leaf"] == verified["leaves"][1]
    assert all(told[name] == seconds for name, seconds in proven["leaf"].items())
