"""`dragon windows`, `votes`, `incidents`, and `--watch` of `rounds` and `logs`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragon.encoding import parse
from dragon.net.http_client import HttpResponse
from dragon_cli.commands.incidents import Outage, outages
from dragon_cli.fleet import queries, streams
from dragon_cli.main import main
from dragon_cli.render import watch
from simulation import World

STREAM = "0x" + "07" * 32
WINDOW = {"first": 0, "count": 63, "closed_ms": 1_732_522_000_000, "position": None}
ROWS = [
    {"number": 0, "state": "certified", **WINDOW, "position": 9},
    {"number": 1, "state": "invalid", **WINDOW, "first": 63, "count": 1},
    {"number": 2, "state": "[/red]\x1b", "first": "x", "count": None, "closed_ms": "now"},
]
VOTES = [
    {"operator": "operator_1", "answer": "valid", "detail": ""},
    {"operator": "operator_2", "answer": "invalid: root", "detail": "the headers differ"},
    {"operator": "operator_3", "answer": "behind", "detail": "[/red]\x1b"},
]

Run = Callable[..., tuple[int, str, str]]


class Service:
    """A stream service with one stream named `readings`; two windows a page."""

    def send(self, _method: str, url: str, **options: Any) -> HttpResponse:
        path, params = url.partition(":5300")[2], options["params"] or {}
        if path == "/streams":
            return self._answer({"streams": [{"stream": STREAM, "name": "readings"}]})
        if path == f"/streams/{STREAM}/windows":
            page = ROWS[params["after"] + 1 :][:2]
            following = page[-1]["number"] if len(page) == 2 else None
            return self._answer({"windows": page, "next": following})
        if path == f"/streams/{STREAM}/windows/1":
            found = {**ROWS[1], "verdict": "invalid", "votes": VOTES}
            return self._answer(found)
        return HttpResponse(404, b'{"detail": "the stream has no closed window 7"}')

    @staticmethod
    def _answer(value: Any) -> HttpResponse:
        return HttpResponse(200, json.dumps(value).encode())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setattr(streams, "HttpClient", lambda _session: Service())

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            main([*map(str, arguments), "--home", str(tmp_path)])
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err
        return int(done.value.code or 0), out, err

    return run


@pytest.mark.parametrize("stream", ["readings", STREAM])
def test_all_windows_are_listed_with_their_states(run: Run, stream: str) -> None:
    code, out, _ = run("windows", stream)
    _, told, _ = run("windows", stream, "--json")

    assert code == 0
    assert out.splitlines()[1].split() == [
        "0", "certified", "0", "to", "62", "2024-11-25", "08:06:40", "UTC", "9",
    ]  # fmt: skip
    assert f"3 windows of stream {STREAM}: 1 certified, 1 invalid" in out
    assert json.loads(told) == {"stream": STREAM, "windows": ROWS}


def test_votes_show_every_operators_answer(run: Run) -> None:
    code, out, _ = run("votes", "readings", 1)
    _, told, _ = run("votes", "readings", 1, "--json")

    assert code == 0
    assert f"Window 1 of stream {STREAM}: invalid" in out
    assert "invalid: root" in out
    assert "the headers differ" in out
    assert json.loads(told)["votes"] == VOTES


def test_unknown_streams_and_windows_are_named(run: Run) -> None:
    assert run("windows", "other")[2] == (
        "dragon: failed: not_found: The service has no stream 'other'; its streams: readings.\n"
    )
    assert "the stream has no closed window 7" in run("votes", "readings", 7)[2]
    assert run("windows", "0x07")[0] == 1


def test_watch_and_json_exclude_each_other(run: Run) -> None:
    for command in (["windows", "readings"], ["rounds"], ["logs"], ["status"]):
        assert run(*command, "--watch", "--json")[0] == 2
        assert run(*command, "--every", "3")[0] == 2


def test_windows_are_shown_until_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[int] = []

    def sleep(seconds: int) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", sleep)

    code, out, _ = run("windows", "readings", "--watch")

    assert (code, slept) == (0, [2, 2])
    assert out.count("3 windows of stream") == 2


# On the services of a fleet


@pytest.fixture
def dragon(
    world: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    (tmp_path / "committee.json").write_text(json.dumps(world.committee.to_json()))
    monkeypatch.setattr(queries, "make_session", lambda _ca: world.session("client"))
    monkeypatch.setattr("time.time", lambda: world.clock.now)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            main([*map(str, arguments), "--home", str(tmp_path)])
        out, err = capsys.readouterr()
        return int(done.value.code or 0), out, err

    return run


def test_incidents_are_the_outages_of_the_log(world: World, dragon: Run) -> None:
    world.stop("operator_2")
    world.run(2)
    world.resume("operator_2")
    world.run(2)
    world.stop("operator_3")
    world.run(2)

    code, out, err = dragon("incidents")
    told = json.loads(dragon("incidents", "--json")[1])
    still = json.loads(dragon("incidents", "--open", "--json")[1])
    of_one = json.loads(dragon("incidents", "--node", "operator_2", "--json")[1])

    assert (code, err) == (0, "")
    assert "still down" in out
    assert [each["node_id"] for each in told["incidents"]] == ["operator_3", "operator_2"]
    assert [each["node_id"] for each in still["incidents"]] == ["operator_3"]
    [over] = of_one["incidents"]
    assert over["seconds"] == over["end"] - over["begin"] == 2 * world.committee.rounds.seconds
    assert "operator_2" not in dragon("incidents", "--from", "now")[1]
    assert dragon("incidents", "--node", "nobody")[0] == 1


def test_outages_ignore_malformed_rows() -> None:
    rows = parse(
        b'[{"node_id": "a", "status": "up", "timestamp": 1}, {"node_id": "a", "status": "down", '
        b'"timestamp": 5}, {"node_id": [], "status": "down", "timestamp": 6}, {"node_id": "a", '
        b'"status": "up", "timestamp": 9}, {"node_id": "b", "status": "down", "timestamp": "x"}]'
    )

    assert outages(rows) == [Outage("a", 5, 9)]  # type: ignore[arg-type]


def follow_three_times(
    world: World, dragon: Run, monkeypatch: pytest.MonkeyPatch, between: Callable[[int], None],
    *command: object,
) -> tuple[str, str]:  # fmt: skip
    """Run a command with `--watch` and interrupt it at the third pause."""
    paused: list[int] = []

    def sleep(seconds: int) -> None:
        paused.append(seconds)
        if len(paused) == 3:
            raise KeyboardInterrupt
        between(len(paused))

    monkeypatch.setattr(watch.time, "sleep", sleep)
    code, out, err = dragon(*command, "--watch")
    assert code == 0
    return out, err


def test_each_round_is_printed_once(
    world: World, dragon: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = follow_three_times(
        world, dragon, monkeypatch, lambda _: world.run(2), "rounds", "--limit", 1
    )

    numbers = [int(line.split()[0]) for line in out.splitlines() if line[:1].isdigit()]
    assert len(numbers) == 5
    assert numbers == list(range(numbers[0], numbers[0] + 5))


def test_each_event_is_printed_once_and_an_outage_is_waited_for(
    world: World, dragon: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def between(pause: int) -> None:
        if pause == 1:
            world.stop("operator_2")
            world.run(2)
            world.stop("operator_1")
        else:
            world.resume("operator_1")

    out, err = follow_three_times(
        world, dragon, monkeypatch, between, "logs", "--limit", 2, "--operator", "operator_1"
    )

    assert [line.partition("UTC")[2].strip() for line in out.splitlines()][2:] == [
        "operator_2 is down"
    ]
    assert len(out.splitlines()) == 3
    assert err.startswith("Waiting: operator_1: no answer")
