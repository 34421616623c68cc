"""`dragon report`: figures from a verified log, in four formats."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import run_dragon
from dragon.encoding import to_hex
from dragon.net.http_client import HttpClient
from dragon.protocol.claims.status import Status, Transition
from dragon.protocol.trust import Trust
from dragon_cli.fleet import queries
from dragon_cli.render.output import console
from dragon_cli.report import formats, sources
from dragon_cli.report.certified_html import verify_html
from dragon_cli.report.figures import NodeFigures, compute, incidents
from simulation import World

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Path]]:
    """A fleet in which operator_2 was down for three rounds, long enough ago to be settled."""
    folder = tmp_path_factory.mktemp("report")
    with World(folder) as world:
        world.run(2)
        world.stop("operator_2")
        world.run(3)
        world.resume("operator_2")
        world.run(40)
        (folder / "committee.json").write_text(json.dumps(world.committee.to_json()))
        yield world, folder


@pytest.fixture
def world(fleet: tuple[World, Path]) -> World:
    return fleet[0]


@pytest.fixture
def span(world: World) -> tuple[str, int, str, int]:
    """The first ten rounds."""
    rounds = world.committee.rounds
    return ("--from", rounds.genesis, "--to", rounds.start(10))


@pytest.fixture
def dragon(
    fleet: tuple[World, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    world, folder = fleet
    monkeypatch.setattr(queries, "make_session", lambda _ca: world.session("client"))
    monkeypatch.setattr("time.time", lambda: world.clock.now)

    def run(*arguments: object) -> tuple[int, str, str]:
        return run_dragon(capsys, *arguments, "--home", folder)

    return run


def document(result: tuple[int, str, str]) -> dict[str, Any]:
    assert result[0] == 0, result
    found: dict[str, Any] = json.loads(result[1])
    return found


def test_the_figures_are_those_of_a_downtime_certificate(dragon: Run, span: tuple[Any]) -> None:
    told = document(dragon("report", *span, "--json"))
    certificate = document(dragon("downtime", "operator_2", *span, "--json"))

    node = next(each for each in told["nodes"] if each["node_id"] == "operator_2")
    for member in ("seconds_up", "seconds_down", "seconds_unknown"):
        assert node[member] == certificate[member]
    assert (told["log"]["size"], told["log"]["root"]) == (certificate["size"], certificate["root"])
    assert [each["seconds"] for each in node["incidents"]] == [node["seconds_down"]]
    assert node["longest_seconds"] == node["seconds_down"] > 0


def test_every_node_is_reported_and_percentages_are_of_the_period(
    dragon: Run, world: World, span: tuple[Any]
) -> None:
    told = document(dragon("report", *span, "--json"))

    assert [each["node_id"] for each in told["nodes"]] == list(world.committee.urls)
    for node in told["nodes"]:
        seconds = [node[f"seconds_{part}"] for part in ("up", "down", "unknown")]
        assert sum(seconds) == 10 * world.committee.rounds.seconds
        percents = [node[f"percent_{part}"] for part in ("up", "down", "unknown")]
        assert abs(sum(percents) - 100) < 0.01


def test_a_log_file_gives_the_same_report_without_a_network(
    dragon: Run, world: World, span: tuple[Any], tmp_path: Path
) -> None:
    copy = shutil.copy(world.database_file("operator_3"), tmp_path / "operator.db")
    for suffix in ("-wal", "-shm"):
        beside = Path(f"{world.database_file('operator_3')}{suffix}")
        if beside.exists():
            shutil.copy(beside, f"{copy}{suffix}")
    told = document(dragon("report", *span, "--json"))
    world.sent.clear()

    offline = document(dragon("report", *span, "--log", copy, "--json"))

    assert {**offline, "checkpoint": None} == {**told, "checkpoint": None}
    assert world.sent == []


def test_one_node_as_csv(dragon: Run, span: tuple[Any]) -> None:
    code, out, _ = dragon("report", *span, "--node", "operator_2", "--format", "csv")
    told = document(dragon("report", *span, "--node", "operator_2", "--json"))

    [row] = csv.DictReader(io.StringIO(out))
    assert code == 0
    assert row["node_id"] == "operator_2"
    assert int(row["seconds_down"]) == told["nodes"][0]["seconds_down"]
    assert row["log_root"] == told["log"]["root"]
    assert row["incidents"] == "1"


def test_the_html_is_one_file_with_its_basis_and_the_command_that_checks_it(
    dragon: Run, span: tuple[Any], tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    told = document(dragon("report", *span, "--json"))

    code, out, err = dragon("report", *span, "--format", "html", "--output", file)

    text = file.read_text()
    assert (code, out, err) == (0, "", f"Wrote the report of 4 nodes to {file}.\n")
    assert not re.search(r"(src=|href=|url\(|@import|<script|https?:)", text)
    for style in ("prefers-color-scheme: dark", "@media print", "width=device-width"):
        assert style in text
    assert told["log"]["root"] in text
    assert told["checkpoint"]["root"] in text
    [command] = re.findall(r"<pre>dragon (report [^<]+)</pre>", text)
    code, out, _ = dragon(*command.split())
    assert code == 0
    assert "verified: the log has the expected root." in out
    assert dragon("report", *span, "--output", file)[0] == 2  # nothing is overwritten


def test_names_are_escaped_in_html(dragon: Run, fleet: tuple[World, Path], span: Any) -> None:
    world, _ = fleet
    asked = {"operator_1": world.committee.urls["operator_1"]}
    trust = Trust.of(world.committee)
    log = sources.of_operators(trust, asked, HttpClient(world.session("client")))
    made = compute(log, ["operator_1"], span[1], span[3])
    hostile = replace(made, committee=replace(world.committee, name="<script>alert(1)</script>"))

    text = formats.as_html(hostile, version="1")

    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_maintenance_is_shown_as_part_of_down(
    fleet: tuple[World, Path], span: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    world, _ = fleet
    asked = {"operator_1": world.committee.urls["operator_1"]}
    log = sources.of_operators(
        Trust.of(world.committee), asked, HttpClient(world.session("client"))
    )
    made = compute(log, ["operator_2"], span[1], span[3])
    down = made.nodes[0].seconds_down
    announced = replace(made, nodes=(replace(made.nodes[0], seconds_maintenance=down),))

    console.print(formats.table(made))
    assert "announced" not in capsys.readouterr().out
    console.print(formats.table(announced))
    shown = capsys.readouterr().out
    assert f"operator_2: {down} s of {down} s down were announced ahead" in shown
    [row] = csv.DictReader(io.StringIO(formats.as_csv(announced)))
    assert row["seconds_maintenance"] == row["seconds_down"] == str(down)
    assert f"<td>{down} s</td><td>{down} s</td>" in formats.as_html(announced, version="1")
    assert announced.document()["nodes"][0]["seconds_maintenance"] == down  # type: ignore[index]


def test_another_root_is_refused(dragon: Run, span: tuple[Any]) -> None:
    code, out, err = dragon("report", *span, "--root", to_hex(bytes(32)))

    assert (code, out) == (1, "")
    assert err.startswith("dragon: refused: invalid_proof: The log that settles this period has ")


def test_a_log_that_is_not_the_certified_one_is_not_used(
    dragon: Run, world: World, span: tuple[Any]
) -> None:
    """Operator_1 hides the outage: its entries do not hash to the certified root."""
    app = world.wires.app(host := world.committee.urls["operator_1"].removeprefix("http://"))

    def lying(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        body = b"".join(app(environ, start))
        return [body.replace(b'"status":"down"', b'"status":"up"  ')]

    world.wires.mount(host, lying)
    try:
        alone = dragon("report", *span, "--operator", "operator_1")
        told = document(dragon("report", *span, "--json"))
    finally:
        world.wires.mount(host, app)

    assert alone[0] == 1
    assert "operator_1: the entries are not those of the certified checkpoint" in alone[2]
    assert told["nodes"][1]["seconds_down"] > 0


def test_a_period_that_is_not_over_is_cut_and_said_to_be(dragon: Run, world: World) -> None:
    genesis = world.committee.rounds.genesis

    code, out, err = dragon("report", "--from", genesis, "--json")

    told = json.loads(out)
    assert code == 0
    assert genesis < told["to"] < world.clock.now - world.committee.rounds.settled_after
    assert err.startswith("Settled until 2")
    assert dragon("report", "--from", genesis, "--to", int(world.clock.now))[0] == 1


def test_the_table_names_incidents_and_basis(dragon: Run, span: tuple[Any]) -> None:
    code, out, err = dragon("report", *span)

    assert (code, err) == (0, "")
    assert re.search(r"operator_1 +100\.000 +0\.000 +0\.000|operator_1 +\d+\.\d{3}", out)
    assert "operator_2 was down from " in out
    assert "--root 0x" in out


def test_operators_certify_what_the_log_says(
    dragon: Run, world: World, span: Any, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    told = document(dragon("report", *span, "--json"))

    certified = document(dragon("report", *span, "--certified", "--json"))
    assert dragon("report", *span, "--certified", "--format", "html", "--output", file)[0] == 0

    figures = ("node_id", "seconds_up", "seconds_down", "seconds_maintenance", "seconds_unknown")
    for node, log in zip(
        certified["nodes"], sorted(told["nodes"], key=lambda each: each["node_id"]), strict=True
    ):
        assert [node[name] for name in figures] == [log[name] for name in figures]
    assert certified["log"]["root"] == told["log"]["root"]
    verified = verify_html(file.read_bytes(), Trust.of(world.committee))
    assert verified.report.period.to_json()["leaves"] == certified["leaves"]


def test_a_certified_report_of_a_period_that_is_not_over_is_cut(dragon: Run, world: World) -> None:
    code, out, err = dragon("report", "--certified", "--from", world.committee.rounds.genesis)

    assert code == 0
    assert "Certified by " in out
    assert err.startswith("Settled until 2")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--month", "2026-10", "--from", "30d"],
        ["--month", "2026-10", "--to", "now"],
        ["--month", "October"],
        ["--from", "now"],
        ["--from", "30d", "--format", "pdf"],
        ["--from", "30d", "--log", "none.db"],
        ["--from", "30d", "--log", __file__, "--operator", "operator_1"],
    ],
)
def test_wrong_usage(dragon: Run, options: list[str]) -> None:
    assert dragon("report", *options)[0] == 2


def test_incidents_are_clipped_to_the_period() -> None:
    down, up = Status.DOWN, Status.UP
    moves = [
        Transition(up, 0, 0),
        Transition(down, 10, 1),  # over before the period
        Transition(up, 20, 2),
        Transition(down, 90, 3),  # begins before, ends within
        Transition(up, 120, 4),
        Transition(down, 180, 5),  # does not end within
        Transition(up, 250, 6),
        Transition(down, 300, 7),
    ]

    found = list(incidents(moves, (100, 200), lambda part: part[1] - part[0]))

    shown = [(each.begin, each.end, each.seconds, each.began_before) for each in found]
    assert shown == [(90, 120, 20, True), (180, None, 20, False)]
    *_, last = incidents(moves[:6], (100, 200), lambda part: part[1] - part[0])
    assert (last.end, last.seconds) == (None, 20)


@pytest.mark.parametrize(
    ("down", "percent"), [(0, 0.0), (1, 0.001), (2_591_999, 99.999), (2_592_000, 100.0)]
)
def test_a_percentage_never_rounds_to_all_or_nothing(down: int, percent: float) -> None:
    figures = NodeFigures("one", "target", 2_592_000 - down, down, 0, 0, ())

    assert figures.percent(down) == percent
