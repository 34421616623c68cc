"""The `dragon` command: exit codes and error messages, and never a traceback."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from committees import make_members
from dragon import errors
from dragon.errors import DragonError, SettingsError
from dragon.net.http_client import HttpClient
from dragon_cli import services
from dragon_cli.commands.logs import logs_table
from dragon_cli.fleet import queries
from dragon_cli.fleet.queries import View
from dragon_cli.main import main
from dragon_cli.render.output import styled
from dragon_cli.render.status import status_table
from dragon_cli.render.text import moment
from wsgi import WsgiAdapter, WsgiApp

Run = Callable[..., tuple[int, str, str]]
COMMITTEE = make_members().committee
OPERATOR = "operator_1"


@pytest.fixture
def dragon(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `dragon …`: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as done:
            code = int(done.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def failed(err: str, reason: str) -> None:
    """Check the error message, and that at most a hint follows."""
    sentence, *hint = err.splitlines()
    assert sentence.startswith(f"dragon: failed: {reason}: ")
    assert not hint or (len(hint) == 1 and hint[0].startswith("hint: "))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The folder of a fleet that is not running."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    value = COMMITTEE.to_json()
    operators = value["operators"]
    assert isinstance(operators, list)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        for operator in operators:
            assert isinstance(operator, dict)
            operator["url"] = f"http://127.0.0.1:{taken.getsockname()[1]}"
        (folder / "committee.json").write_text(json.dumps(value))
        yield folder


# Exit codes


def test_help_and_version_end_with_0(dragon: Run) -> None:
    for option in ("--help", "-h", "--version"):
        code, out, err = dragon(option)
        assert (code, err) == (0, "")
        assert out


@pytest.mark.parametrize(
    "arguments",
    [
        ["weather"],
        ["--wrong"],
        ["serve"],
        ["serve", "weather"],
        ["serve", "operator"],
        ["serve", "aggregator", "--id", "operator_1"],
        ["serve", "sequencer", "--id", "operator_1"],
        ["serve", "operator", "--id", "operator_1", "--port", "0"],
        ["serve", "operator", "--id", "operator_1", "--port", "65536"],
        ["serve", "operator", "--id", "operator_1", "--port", "http"],
        ["serve", "aggregator", "--rank", "-1"],
        ["serve", "aggregator", "--rank", "64"],
        ["logs", "--limit", "0"],
        ["logs", "--limit", "1001"],
        ["logs", "--after", "-1"],
        ["logs", "--event", "-1"],
        ["up", "--seconds", "0"],
        ["verify", "certificate"],
        ["verify", "downtime"],
        ["verify", "period"],
        ["status", "--watch", "--every", "0"],
        ["status", "--every", "2"],
        ["rounds", "--limit", "0"],
        ["rounds", "--limit", "121"],
        ["rounds", "--aggregator", "64"],
        ["key", "show"],
        ["key", "show", "none.json"],
        ["key", "verify", "none.json"],
        ["log", "archive", "none.db"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_prints_the_usage(dragon: Run, arguments: list[str]) -> None:
    code, out, err = dragon(*arguments)

    assert (code, out) == (2, "")
    assert "Usage: " in err
    assert "Error: " in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["status", "--watch"],
        ["nodes"],
        ["rounds"],
        ["logs"],
        ["downtime", OPERATOR, "--from", "0", "--to", "1"],
        ["period", "0", "1"],
        ["serve", "operator", "--id", "operator_1"],
        ["serve", "aggregator"],
    ],
    ids=" ".join,
)
def test_without_a_committee_every_command_hints_at_dragon_init(
    dragon: Run, tmp_path: Path, arguments: list[str]
) -> None:
    code, out, err = dragon(*arguments, "--home", tmp_path)

    assert (code, out) == (2, "")
    assert err.startswith("dragon: failed: no_committee: Committee file ")
    assert "\nhint: `dragon init` creates one" in err
    assert err.count("\n") == 2


def test_serving_a_sequencer_without_a_node_list_fails(dragon: Run, tmp_path: Path) -> None:
    code, out, err = dragon("serve", "sequencer", "--home", tmp_path)

    assert (code, out) == (2, "")
    failed(err, "settings_error")


def test_serving_an_unlisted_operator_fails(dragon: Run, home: Path) -> None:
    code, _, err = dragon("serve", "operator", "--id", "operator_9", "--home", home)

    assert code == 2
    assert "The committee lists no operator operator_9; expected one of operator_1, " in err


def test_a_newcomer_is_served_on_the_port_of_its_member_file(
    dragon: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dragon("key", "new", "newcomer", "http://localhost:5042", "--home", home)[0] == 0
    started = serving(monkeypatch)

    assert dragon("serve", "operator", "--id", "newcomer", "--home", home)[0] == 0
    assert started[0]["DRAGON_PORT"] == "5042"


def test_a_url_without_a_port_needs_the_setting_of_the_port(
    dragon: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy, which has the port of the URL."""
    assert dragon("key", "new", "newcomer", "https://dragon.example", "--home", home)[0] == 0
    started = serving(monkeypatch)
    assert dragon("serve", "operator", "--id", "newcomer", "--home", home)[0] == 2

    monkeypatch.setenv("DRAGON_PORT", "5001")
    assert dragon("serve", "operator", "--id", "newcomer", "--home", home)[0] == 0
    assert started[0]["DRAGON_PORT"] == "5001"


def test_serving_an_operator_without_its_key_fails(dragon: Run, home: Path) -> None:
    code, _, err = dragon("serve", "operator", "--id", OPERATOR, "--home", home)

    assert code == 2
    assert f"keys/{OPERATOR}/" in err
    failed(err, "keystore_error")


def test_an_invalid_committee_file_is_refused_by_name(dragon: Run, home: Path) -> None:
    (home / "committee.json").write_text("{}")

    for arguments in (["status"], ["logs"], ["serve", "aggregator"]):
        code, out, err = dragon(*arguments, "--home", home)
        assert code in (1, 2)
        assert out == ""
        assert "missing_member" in err


def test_unknown_services_and_sources_are_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="Unknown service 'weather'; expected one of operator,"):
        services.service("weather")
    with pytest.raises(SettingsError, match="Unknown source 'weather'; expected one of sensor,"):
        services.source("weather")


@pytest.mark.parametrize("name", services.SERVICES)
def test_every_service_can_be_loaded(name: str) -> None:
    assert callable(services.service(name))


def test_an_interruption_ends_with_130(dragon: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_name: str) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(services, "service", interrupt)
    monkeypatch.setattr("dragon_cli.commands.serve.environment", lambda *_, **__: {})

    assert dragon("serve", "sequencer", "--port", "6001")[0] == 130


def serving(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """Return the settings with which services are started; none is run."""
    started: list[Mapping[str, str]] = []
    monkeypatch.setattr(services, "service", lambda _name: started.append)
    for name in ("DRAGON_PORT", "DRAGON_HOST", "OPERATOR_ID"):
        monkeypatch.delenv(name, raising=False)
    return started


def test_settings_come_from_the_folder(
    dragon: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = serving(monkeypatch)

    code, _, err = dragon("serve", "operator", "--id", OPERATOR, "--home", home)

    [environ] = started
    assert (code, err) == (0, "")
    assert environ["OPERATOR_ID"] == OPERATOR
    assert environ["DRAGON_COMMITTEE"] == str(home / "committee.json")
    assert environ["OPERATOR_KEYSTORE"] == str(home / "keys" / OPERATOR / "keystore.json")
    assert environ["OPERATOR_DATABASE"] == str(home / "data" / OPERATOR / "operator.db")
    assert environ["DRAGON_HOST"] == "127.0.0.1"


def test_environment_overrides_folder_and_options_override_both(
    dragon: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = serving(monkeypatch)
    monkeypatch.setenv("DRAGON_PORT", "7001")
    monkeypatch.setenv("OPERATOR_KEYSTORE", "")

    dragon("serve", "operator", "--id", OPERATOR, "--home", home)
    dragon("serve", "operator", "--id", OPERATOR, "--home", home, "--port", "7002")

    assert [environ["DRAGON_PORT"] for environ in started] == ["7001", "7002"]
    assert started[0]["OPERATOR_KEYSTORE"] == str(home / "keys" / OPERATOR / "keystore.json")


# Refusals


def test_a_refusal_is_printed_with_its_name(
    dragon: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> DragonError:
        raise errors.QuorumNotMet(signers=2, needed=3)

    monkeypatch.setattr(queries, "view", refuse)

    code, out, err = dragon("status", "--home", home)
    told, json_out, _ = dragon("status", "--home", home, "--json")

    assert (code, out) == (1, "")
    assert err == "dragon: refused: quorum_not_met: 2 signed, the quorum needs 3\n"
    assert told == 1
    assert json.loads(json_out)["facts"] == {"signers": 2, "needed": 3}


def test_status_without_a_running_fleet_fails(dragon: Run, home: Path) -> None:
    _, out, err = dragon("status", "--home", home)

    failed(err, "unreachable")
    assert "No operator responds.\nhint: Is the fleet running? " in err
    assert "operator_4" in out


def test_status_without_a_running_fleet_prints_one_json_document(dragon: Run, home: Path) -> None:
    _, out, err = dragon("status", "--home", home, "--json")

    told = json.loads(out)
    assert (told["verdict"], told["reason"]) == ("failed", "unreachable")
    assert list(told["facts"]["silent"]) == list(COMMITTEE.keys)
    assert told["hint"].startswith("Is the fleet running?")
    failed(err, "unreachable")


def test_logs_without_a_running_fleet_end_with_1(dragon: Run, home: Path) -> None:
    code, out, err = dragon("logs", "--home", home)

    assert (code, out) == (1, "")
    failed(err, "unreachable")


def test_the_log_of_an_unlisted_operator_is_not_found(dragon: Run, home: Path) -> None:
    code, _, err = dragon("logs", "--home", home, "--operator", "operator_9")

    assert code == 1
    failed(err, "not_listed")


# Answers of services


def text(body: str, status: str = "200 OK") -> WsgiApp:
    def app(_environ: object, start: Callable[..., object]) -> list[bytes]:
        start(status, [("Content-Type", "application/json")])
        return [body.encode()]

    return app


def view(**pages: WsgiApp) -> View:
    """Return the view of one operator, of which `pages` replace honest answers."""
    honest = {
        "checkpoint": text('{"size": 7, "root": "0x00ff"}'),
        "nodes": text('{"nodes": [{"node_id": "operator_1", "status": "up"}]}'),
        "readyz": text('{"status": "ready", "reasons": []}'),
    }

    def app(environ: dict[str, str], start: Callable[..., object]) -> object:
        return {**honest, **pages}[environ["PATH_INFO"].strip("/")](environ, start)

    host = COMMITTEE.urls[OPERATOR].removeprefix("http://")
    return queries.view(COMMITTEE, OPERATOR, HttpClient(WsgiAdapter({host: app}).session()))


def printed(table: RenderableType) -> str:
    output = StringIO()
    Console(file=output, width=300, highlight=False).print(table)
    return output.getvalue()


def test_the_state_of_an_operator_is_read() -> None:
    seen = view()

    assert (seen.error, seen.size, seen.root, seen.reasons) == ("", 7, "0x00ff", ())
    assert seen.status(OPERATOR) == "up"
    assert seen.status("operator_2") == "unknown"


def test_the_state_of_an_operator_that_is_not_ready_is_read() -> None:
    seen = view(readyz=text('{"reasons": ["ledger: not read"]}', "503 Busy"))

    assert (seen.size, seen.reasons) == (7, ("ledger: not read",))
    assert "ledger: not read" in printed(status_table(COMMITTEE, [seen], 0))


ODD = [
    "",
    "<html>",
    "[]",
    "null",
    "{}",
    '{"size": "x"}',
    '{"size": true, "root": "0x"}',
    '{"size": -1, "root": 7}',
    '{"nodes": 3}',
    '{"nodes": [{}]}',
    '{"nodes": [7, null]}',
    '{"nodes": [{"node_id": []}]}',
    '{"nodes": [{"node_id": "operator_1", "status": {}}]}',
    '{"nodes": [{"node_id": "operator_1", "status": "[/red]"}]}',
    '{"reasons": 7}',
    '{"reasons": ["[/red]", 7, null]}',
    '{"size": 1, "root": "[/red]"}',
    '{"size": 1, "root": "\\\\"}',
]


@pytest.mark.parametrize("page", ["checkpoint", "nodes", "readyz"])
@pytest.mark.parametrize("body", ODD)
def test_malformed_answers_do_not_break_the_status_table(page: str, body: str) -> None:
    seen = view(**{page: text(body)})

    assert OPERATOR in printed(status_table(COMMITTEE, [seen], 0))


def test_the_status_table_shows_errors() -> None:
    seen = view(checkpoint=text('{"detail": "[/red] \\\\"}', "500 No"))

    assert "answered 500: [/red]" in printed(status_table(COMMITTEE, [seen], 0))


@pytest.mark.parametrize(
    "row",
    [
        {"id": 1, "node_id": "[/a]", "status": "[/up]", "timestamp": 1, "signature": "[/x]"},
        {"id": [], "node_id": {}, "status": None, "timestamp": "now", "signature": 7},
        {"timestamp": 2**53 - 1},
        {"timestamp": -(2**53)},
        {"timestamp": True},
        {},
    ],
)
def test_malformed_rows_do_not_break_the_logs_table(row: dict[str, object]) -> None:
    page: dict[str, object] = {"logs": [row, 7, None]}

    assert f"log of {OPERATOR}" in printed(logs_table(OPERATOR, page))  # type: ignore[arg-type]


def test_times_are_shown_in_utc() -> None:
    assert moment(1_732_522_695) == "2024-11-25 08:18:15 UTC"
    assert moment(None) == "–"
    assert moment(2**53 - 1) == f"second {2**53 - 1}"


def test_only_known_statuses_have_a_colour() -> None:
    assert styled("down") == "[red]down[/]"
    assert styled("[red]") == "\\[red]"


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["", "json"])
def test_status_without_a_running_fleet_ends_with_1(
    dragon: Run, home: Path, options: list[str]
) -> None:
    assert dragon("status", "--home", home, *options)[0] == 1
