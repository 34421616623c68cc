"""Commands that query services which may be silent, wrong or hostile."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from commands import run_dragon
from committees import make_members
from dragon.net.http_client import HttpClient
from dragon.protocol import certificate
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon_cli.fleet import queries
from dragon_cli.render import watch
from dragon_cli.times import parse_time
from wsgi import WsgiAdapter, WsgiApp

MEMBERS = make_members(aggregators=2)
COMMITTEE = MEMBERS.committee
NODE = "operator_2"
BEGIN, END = 1_732_522_000, 1_732_525_600
CLAIM = DowntimeClaim(NODE, BEGIN, END, 30, 0, 90, 12, bytes(range(32)))

Run = Callable[..., tuple[int, str, str]]


def certified(claim: DowntimeClaim = CLAIM) -> Certificate:
    signers = [name for name in MEMBERS.secrets if name != claim.node_id]
    root = claim.root(COMMITTEE.id)
    attestations = {signer: MEMBERS.secrets[signer].sign(root) for signer in signers}
    return certificate.assemble(claim, attestations, COMMITTEE)


def answering(*bodies: object, status: str = "200 OK") -> WsgiApp:
    """Answers with each body in turn, and with the last one from then on.

    It does not say which committee holds.
    """
    left = list(bodies)

    def app(environ: dict[str, object], start: Callable[..., object]) -> list[bytes]:
        if environ["PATH_INFO"] == "/committee":
            start("404 Not Found", [])
            return []
        body = left.pop(0) if len(left) > 1 else left[0]
        start(status, [("Content-Type", "application/json")])
        return [body.encode() if isinstance(body, str) else json.dumps(body).encode()]

    return app


class Network:
    """The services of the fleet. All others have closed ports."""

    def __init__(self) -> None:
        self.wires = WsgiAdapter()

    def operator(self, operator: str, app: WsgiApp) -> None:
        self.wires.mount(COMMITTEE.urls[operator].removeprefix("http://"), app)

    def aggregator(self, rank: int, app: WsgiApp) -> None:
        url = next(one.url for one in COMMITTEE.aggregators if one.rank == rank)
        self.wires.mount(url.removeprefix("http://"), app)

    @property
    def asked(self) -> list[str]:
        """The requests, except those for the committee that holds."""
        return [url for _, url in self.wires.calls if not url.endswith("/committee")]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    made = Network()
    monkeypatch.setattr(queries, "make_session", lambda _ca: made.wires.session())
    return made


@pytest.fixture
def dragon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    (tmp_path / "committee.json").write_text(json.dumps(COMMITTEE.to_json()))

    def run(*arguments: object) -> tuple[int, str, str]:
        code, out, err = run_dragon(capsys, *arguments, "--home", tmp_path)
        assert "\x1b" not in out + err
        return code, out, err

    return run


def refused(result: tuple[int, str, str], told: str) -> None:
    code, out, err = result
    assert (code, out) == (1, "")
    assert err.startswith(f"dragon: {told}: ")


# Nodes

NODES = {
    "nodes": [
        {"node_id": "operator_1", "kind": "operator", "status": "up", "since": BEGIN, "seen": None},
        {
            "node_id": NODE,
            "kind": "operator",
            "status": "down",
            "since": BEGIN + 5,
            "seen": {"status": "down", "reason": "unreachable"},
        },
    ]
}


def test_nodes_of_one_operator_are_shown(dragon: Run, network: Network) -> None:
    network.operator("operator_1", answering(NODES))

    code, out, err = dragon("nodes", "--operator", "operator_1")

    assert (code, err) == (0, "")
    assert "nodes according to operator_1" in out
    [down] = [line for line in out.splitlines() if NODE in line]
    for shown in ("operator", "down", "2024-11-25 08:06:45 UTC", "down, unreachable"):
        assert shown in down


@pytest.mark.parametrize(
    ("source", "shown"), [(None, "last beat 7 s ago"), ("operator_2", "passed on by operator_2")]
)
def test_nodes_show_the_newest_beat(
    dragon: Run, network: Network, source: str | None, shown: str
) -> None:
    [first, *_] = NODES["nodes"]
    beat = {"age_seconds": 7, "clock_offset_ms": 0, "passed_on_by": source}
    network.operator("operator_1", answering({"nodes": [{**first, "beat": beat}], "next": None}))

    _, out, _ = dragon("nodes", "--operator", "operator_1")

    assert shown in " ".join(out.split())


def test_the_first_operator_that_answers_is_used(dragon: Run, network: Network) -> None:
    network.operator("operator_2", answering("<html>", status="500 No"))
    network.operator("operator_3", answering(NODES))

    code, out, _ = dragon("nodes", "--json")

    assert code == 0
    assert json.loads(out) == {**NODES, "operator": "operator_3"}
    assert [url.endswith("/nodes") for url in network.asked[:3]] == [True] * 3


def test_nodes_are_read_page_by_page(dragon: Run, network: Network) -> None:
    first, second = ([{"node_id": node}] for node in ("operator_1", NODE))
    network.operator(
        "operator_1",
        answering({"nodes": first, "next": "operator_1"}, {"nodes": second, "next": None}),
    )

    _, out, _ = dragon("nodes", "--json")

    assert json.loads(out)["nodes"] == [*first, *second]
    assert network.asked[1].endswith("/nodes?after=operator_1")


@pytest.mark.parametrize("end", [None, "8", []])
def test_all_pages_of_a_list_are_read(network: Network, end: object) -> None:
    """What is no object is left out, and what is no position ends the list."""
    pages = [{"logs": [{"id": 1}, "x"], "next": 7}, {"logs": [{"id": 8}], "next": end}]
    network.operator(NODE, answering(*pages))
    http = HttpClient(network.wires.session())

    found = queries.all_rows(http, COMMITTEE.urls[NODE], "logs", NODE)

    assert found == [{"id": 1}, {"id": 8}]
    assert [url.partition("?")[2] for url in network.asked] == [
        f"limit=1000&node_id={NODE}",
        f"limit=1000&node_id={NODE}&after=7",
    ]


def test_the_number_of_pages_is_limited(dragon: Run, network: Network) -> None:
    network.operator("operator_1", answering({"nodes": [], "next": "operator_1"}))

    assert dragon("nodes", "--operator", "operator_1")[0] == 0
    assert len(network.asked) == queries.MAX_NODE_PAGES


@pytest.mark.parametrize("what", ["nodes", "logs", "rounds"])
def test_without_an_answer_a_command_fails(dragon: Run, network: Network, what: str) -> None:
    refused(dragon(what), "failed: unreachable")
    assert len(network.asked) == (2 if what == "rounds" else 4)


def test_an_error_names_the_operator_that_did_not_respond(dragon: Run, network: Network) -> None:
    _, out, err = dragon("nodes", "--operator", NODE, "--json")

    assert f"unreachable: {NODE}: no answer" in err
    assert list(json.loads(out)["facts"]["silent"]) == [NODE]
    assert len(network.asked) == 1


def test_an_explanation_is_preferred_to_silence(dragon: Run, network: Network) -> None:
    network.operator("operator_4", answering({"detail": "no\x1b[2J"}, status="404 No"))

    refused(dragon("nodes"), "failed: bad_answer: operator_4: answered 404")


@pytest.mark.parametrize("options", [("--operator", "operator_9"), ("--operator", "[red]")])
def test_unlisted_services_are_not_queried(
    dragon: Run, network: Network, options: tuple[str, str]
) -> None:
    for what in ("nodes", "logs"):
        refused(dragon(what, *options), "failed: not_listed")
    refused(dragon("rounds", "--aggregator", "7"), "failed: not_listed")
    assert network.asked == []


ODD: list[Any] = [
    "",
    "<html>",
    [],
    None,
    {},
    {"nodes": 3, "rounds": 3, "logs": 3},
    {"nodes": [7, None, {}], "rounds": [7, None, {}], "logs": [7, None, {}]},
    {"nodes": [{"node_id": "[/red]\x1b", "status": {}, "since": "now", "seen": [1]}]},
    {"nodes": [{"node_id": [], "seen": {"status": "[/red]", "reason": ["\\"]}}]},
    {"rounds": [{"number": "[/red]\x1b", "note": "[/red]\\", "took_ms": [], "start": True}]},
    {"rounds": [{"probes": [{"seen": "[/red]"}, {}, 7], "gatherings": [{}, {"claim": "[/x]"}]}]},
    {"rounds": [{"suspicions": [{"operator": "[/red]", "detail": ["\x1b"]}, 7, {}]}]},
    {"rounds": [{"gatherings": [{"claim": {"[/x]": "\x1b"}, "answers": [{"answer": "[/x]"}]}]}]},
]


@pytest.mark.parametrize("body", ODD[:6], ids=str)
@pytest.mark.parametrize("what", ["nodes", "rounds", "logs"])
def test_an_answer_without_a_list_is_an_error(
    dragon: Run, network: Network, what: str, body: object
) -> None:
    network.operator("operator_1", answering(body))
    network.aggregator(0, answering(body))

    refused(dragon(what), "failed: bad_answer")


@pytest.mark.parametrize("body", ODD, ids=str)
@pytest.mark.parametrize("what", ["nodes", "rounds", "logs"])
def test_malformed_answers_do_not_break_the_output(
    dragon: Run, network: Network, what: str, body: object
) -> None:
    network.operator("operator_1", answering(body))
    network.aggregator(0, answering(body))

    for options in ([], ["--json"]):
        assert dragon(what, *options)[0] in (0, 1)


# Rounds

ROUND: dict[str, Any] = {
    "number": 24,
    "start": BEGIN,
    "begun_late_ms": 0,
    "took_ms": 428,
    "overran": True,
    "skipped": 0,
    "note": "two operators restarted",
    "probes": [
        {"node_id": "operator_1", "seen": "up", "reason": "answered", "latency_ms": 13},
        {"node_id": NODE, "seen": "down", "reason": "timeout", "latency_ms": 1000},
    ],
    "suspicions": [
        {
            "operator": "operator_3",
            "node_id": NODE,
            "status": "down",
            "after_ms": 2510,
            "outcome": "no_change",
            "detail": "",
        },
        {
            "operator": "operator_1",
            "node_id": NODE,
            "status": "up",
            "after_ms": 2600,
            "outcome": "abstained",
            "detail": "abstains: the ledger is not read to its end",
        },
    ],
    "suspicions_omitted": 2,
    "gatherings": [
        {
            "claim": {"node_id": NODE, "status": "down", "timestamp": BEGIN},
            "needed": 3,
            "certified": True,
            "answers": [
                {"operator": "operator_1", "answer": "signed", "latency_ms": 32},
                {"operator": "operator_3", "answer": "no answer yet", "latency_ms": None},
            ],
        },
        {
            "claim": {"size": 7, "root": "0x00", "timestamp": BEGIN},
            "needed": 3,
            "certified": False,
            "answers": [{"operator": "operator_1", "answer": "behind", "latency_ms": 4}],
        },
    ],
}


def test_a_round_is_shown_with_probes_and_answers(dragon: Run, network: Network) -> None:
    network.aggregator(0, answering({"rounds": [ROUND]}))

    code, out, err = dragon("rounds", "--limit", "1")

    assert (code, err) == (0, "")
    assert out == (
        "Rounds of the aggregator at http://aggregator-0:5100, newest first:\n"
        "24  2024-11-25 08:06:40 UTC  took 428 ms, longer than a round\n"
        "    two operators restarted\n"
        "    ✗ probe of operator_2 failed: timeout, 1000 ms\n"
        "    suspicion from operator_3 after 2510 ms, operator_2 is down: no change\n"
        "    suspicion from operator_1 after 2600 ms, operator_2 is up: abstained"
        "  (abstains: the ledger is not read to its end)\n"
        "    further suspicions, which are not listed: 2\n"
        "    operator_2 is down: certified, 3 signatures needed\n"
        "        operator_1  signed  32 ms\n"
        "        operator_3  no answer yet\n"
        "    size 7, root 0x00, timestamp 1732522000: not certified, 3 signatures needed\n"
        "        operator_1  behind  4 ms\n"
    )
    assert network.asked == ["http://aggregator-0:5100/rounds?limit=1"]


def test_an_aggregator_is_selected_by_rank(dragon: Run, network: Network) -> None:
    for rank in (0, 1):
        network.aggregator(rank, answering({"rounds": [ROUND]}))

    code, out, _ = dragon("rounds", "--aggregator", "1", "--json")

    assert code == 0
    assert json.loads(out) == {"rounds": [ROUND], "aggregator": "http://aggregator-1:5101"}


def test_a_round_in_progress_is_shown(dragon: Run, network: Network) -> None:
    network.aggregator(1, answering({"rounds": [{"number": 25, "start": BEGIN, "took_ms": None}]}))

    assert "25  2024-11-25 08:06:40 UTC  in progress\n" in dragon("rounds")[1]


# Watching


class Sleep:
    """Record the pauses in place of sleeping, and interrupt at the third."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def __call__(self, for_: float) -> None:
        self.slept.append(for_)
        if len(self.slept) == 3:
            raise KeyboardInterrupt


@pytest.fixture
def sleep(monkeypatch: pytest.MonkeyPatch) -> Sleep:
    made = Sleep()
    monkeypatch.setattr(watch.time, "sleep", made)
    return made


@pytest.mark.parametrize("answers", [True, False], ids=["up", "silent"])
def test_watch_prints_a_table_per_interval_until_interrupted(
    dragon: Run, network: Network, sleep: Sleep, answers: bool
) -> None:
    if answers:
        network.operator("operator_1", answering(NODES))

    code, out, err = dragon("status", "--watch", "--every", "7")

    assert (code, err) == (0, "")
    assert out.count("committee test: 4 operators") == 3
    assert sleep.slept == [7, 7, 7]


def test_on_a_terminal_watch_refreshes_one_table(
    dragon: Run, network: Network, sleep: Sleep, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Console(file=StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(watch, "console", terminal)

    code, out, err = dragon("status", "--watch")

    assert (code, out, err) == (0, "", "")
    assert sleep.slept == [2, 2, 2]
    assert terminal.file.getvalue().count("\x1b[2K") > 10  # type: ignore[attr-defined]
    assert network.asked


LATE = "ledger: 3 events accepted, none finalized for 40 s"
NOT_READY = {"status": "not ready", "reasons": [LATE, "[/red]\x1b"]}


def test_status_shows_why_an_aggregator_is_not_ready(dragon: Run, network: Network) -> None:
    network.operator("operator_1", answering({"size": 0, "root": "0x", "reasons": [], **NODES}))
    network.aggregator(0, answering(NOT_READY, status="503 No"))

    code, out, err = dragon("status")

    assert (code, err) == (1, "")  # one operator alone certifies nothing
    rows = [line for line in out.splitlines() if "aggregator" in line]
    assert len(rows) == 2
    assert LATE in rows[0]
    assert "no answer" in rows[1]


def test_status_as_json_lists_services_beside_operators(
    dragon: Run, network: Network, tmp_path: Path
) -> None:
    listed = {
        "zkp_api": "http://prover:1",
        "stream_api": "http://streams:1",
        "explorer": "http://explorer:1",
    }
    (tmp_path / "services.json").write_text(json.dumps(listed))
    ready = {"size": 0, "root": "0x", "reasons": [], **NODES}
    network.operator("operator_1", answering(ready))
    network.aggregator(0, answering(NOT_READY, status="503 No"))
    network.aggregator(1, answering("{}", status="500 No"))
    network.wires.mount(
        "streams:1", answering({"status": "ready", "reasons": [], "degraded": ["disk"]})
    )

    code, out, _ = dragon("status", "--json")

    told = json.loads(out)
    assert (code, told["certifying"]) == (1, False)
    assert len(told["operators"]) == 4
    assert told["services"] == [
        {"service": "aggregator", "ready": False, "reasons": NOT_READY["reasons"], "degraded": []},
        {"service": "aggregator_1", "ready": False, "reasons": ["answered 500"], "degraded": []},
        {"service": "stream_api", "ready": True, "reasons": [], "degraded": ["disk"]},
        {"service": "explorer", "trouble": told["services"][3]["trouble"]},  # its port is closed
    ]
    assert told["services"][3]["trouble"].startswith("no answer")


# Times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1732522000", 1_732_522_000),
        ("2026-11-20T11:00:00Z", 1_795_172_400),
        ("2026-11-20T11:00:00", 1_795_172_400),
        ("2026-11-20 11:00", 1_795_172_400),
        ("2026-11-20T12:00:00+01:00", 1_795_172_400),
        ("2026-11-20", 1_795_132_800),
        ("1970-01-01", 0),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ],
)
def test_a_time_is_unix_seconds_or_iso_8601_in_utc(text: str, expected: int) -> None:
    assert parse_time(text, 0.0).at == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "soon",
        "-1",
        "1.5",
        "1e9",
        "٣",
        "9" * 17,
        "9" * 5000,
        str(2**53),
        "1969-12-31",
        "0001-01-01T00:00:00+23:59",
        "2026-13-01",
        "2026-11-20T11:00:00.5Z",
        "2026-11-20T25:00",
        "\x1b[2J",
    ],
)
def test_an_invalid_time_is_wrong_usage(dragon: Run, network: Network, text: str) -> None:
    code, out, err = dragon("downtime", NODE, f"--from={text}", "--to", END)

    assert (code, out) == (2, "")
    assert "is not a time" in err
    assert network.asked == []


# Downtime

PERIOD = ("--from", BEGIN, "--to", END)


@pytest.mark.parametrize(
    "arguments",
    [
        (NODE,),
        (NODE, "--from", BEGIN, "--to", BEGIN),
        (NODE, "--from", END, "--to", BEGIN),
        (NODE, *PERIOD, "--uncertified", "--output", "file.json"),
        (NODE, *PERIOD, "--operator", "operator_1"),
        PERIOD,
    ],
    ids=str,
)
def test_contradictory_downtime_options_are_wrong_usage(
    dragon: Run, network: Network, arguments: tuple[object, ...]
) -> None:
    code, out, err = dragon("downtime", *arguments)

    assert (code, out) == (2, "")
    assert "Error: " in err
    assert network.asked == []


@pytest.mark.parametrize(
    ("node", "told"),
    [("operator_9", "refused: unknown_node"), ("../readyz", "refused: invalid_id")],
)
def test_downtime_of_unknown_nodes_is_refused(
    dragon: Run, network: Network, node: str, told: str
) -> None:
    refused(dragon("downtime", node, *PERIOD), told)
    assert network.asked == []


def test_a_downtime_certificate_is_verified_shown_and_written(
    dragon: Run, network: Network, tmp_path: Path
) -> None:
    network.aggregator(1, answering(certified().to_json()))
    kept = tmp_path / "down.json"

    code, out, err = dragon(
        "downtime", NODE, "--from", "2024-11-25T08:06:40Z", "--to", END, "--output", kept
    )

    assert (code, err) == (0, "")
    assert out == (
        "verified: operator_2 was down for 30 s and unknown for 90 s of the 3600 s from "
        "2024-11-25 08:06:40 UTC to 2024-11-25 09:06:40 UTC, "
        "certified by 3 of 4 operators (operator_1, operator_3, operator_4)\n"
        "  up            3480 s   96.667 %\n"
        "  down            30 s    0.833 %\n"
        "  unknown         90 s    2.500 %\n"
    )
    assert json.loads(kept.read_text()) == certified().to_json()
    assert [url.partition("/down")[2] for url in network.asked] == ["time-certificates"] * 2


def test_a_downtime_certificate_is_printed_as_json(dragon: Run, network: Network) -> None:
    network.aggregator(0, answering(certified().to_json()))

    code, out, _ = dragon("downtime", NODE, *PERIOD, "--json")

    told = json.loads(out)
    assert code == 0
    assert (told["verdict"], told["seconds_up"], told["seconds_down"]) == ("verified", 3480, 30)
    assert told["certificate"] == certified().to_json()


def spoilt(**changes: object) -> Certificate:
    return dataclasses.replace(certified(), **changes)  # type: ignore[arg-type]


FORGED: dict[str, tuple[Callable[[], Any], str]] = {
    "other totals": (
        lambda: spoilt(claim=dataclasses.replace(CLAIM, seconds_down=31)),
        "refused: bad_signature",
    ),
    "too few": (lambda: spoilt(signers=("operator_1",)), "refused: quorum_not_met"),
    "another committee": (lambda: spoilt(committee_id=bytes(32)), "refused: wrong_committee"),
    "another node": (
        lambda: certified(dataclasses.replace(CLAIM, node_id="operator_3")),
        "failed: bad_answer",
    ),
    "another time": (
        lambda: certified(dataclasses.replace(CLAIM, begin=BEGIN + 1)),
        "failed: bad_answer",
    ),
    "no certificate": (lambda: {"kind": "downtime"}, "failed: bad_answer"),
    "another kind": (lambda: {"kind": "weather"}, "refused: unknown_kind"),
    "nothing": (lambda: None, "failed: bad_answer"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_certificate_is_neither_shown_nor_written(
    dragon: Run, network: Network, tmp_path: Path, what: str
) -> None:
    make, told = FORGED[what]
    made = make()
    body = made.to_json() if isinstance(made, Certificate) else made
    network.aggregator(0, answering(body))

    result = dragon("downtime", NODE, *PERIOD, "--output", tmp_path / "down.json")

    refused(result, told)
    assert not (tmp_path / "down.json").exists()


PROBLEMS = {
    "not_settled": "refused: not_settled: that is too early",
    "not_certified": "refused: not_certified: that is too early",
    "busy": "failed: bad_answer: the aggregator at http://aggregator-0:5100: answered 409: that",
    "[red]": "failed: bad_answer: the aggregator at http://aggregator-0:5100: answered 409: that",
}


@pytest.mark.parametrize("title", PROBLEMS)
def test_the_explanation_of_an_aggregator_is_shown(
    dragon: Run, network: Network, title: str
) -> None:
    problem = {"type": "x", "title": title, "status": 409, "detail": "that is too early: \x1b[2J"}
    network.aggregator(0, answering({**problem, "answers": {}}, status="409 Conflict"))

    code, _, err = dragon("downtime", NODE, *PERIOD)

    assert code == 1
    assert err.startswith(f"dragon: {PROBLEMS[title]}")


@pytest.mark.parametrize("body", ["", "<html>", [], 7, {}, {"title": []}], ids=str)
def test_a_malformed_answer_of_an_aggregator_is_an_error(
    dragon: Run, network: Network, body: object
) -> None:
    network.aggregator(0, answering(body, status="502 Bad Gateway"))

    refused(dragon("downtime", NODE, *PERIOD), "failed: bad_answer")


def test_an_unwritable_file_is_an_error(dragon: Run, network: Network) -> None:
    network.aggregator(0, answering(certified().to_json()))

    code, out, err = dragon("downtime", NODE, *PERIOD, "--output", "/proc/none/down.json")

    assert (code, out) == (2, "")
    assert err.startswith("dragon: failed: unusable_file: Cannot use /proc/none/down.json: ")


def test_totals_of_one_operator_are_called_uncertified(dragon: Run, network: Network) -> None:
    network.operator("operator_3", answering(CLAIM.members()))

    code, out, err = dragon("downtime", NODE, *PERIOD, "--uncertified")
    _, told, _ = dragon("downtime", NODE, *PERIOD, "--uncertified", "--json")

    assert (code, err) == (0, "")
    assert "according to operator_3:" in out
    assert "  down            30 s    0.833 %\n" in out
    assert out.endswith("These totals are not certified.\n")
    uncertified = {"verdict": "uncertified", "operator": "operator_3", "seconds_up": 3480}
    assert json.loads(told) == {**CLAIM.members(), **uncertified}
    assert network.asked[-1].endswith(f"/nodes/{NODE}/downtime?from={BEGIN}&to={END}")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**CLAIM.members(), "seconds_down": 3600},
        {**CLAIM.members(), "seconds_unknown": -1},
        {**CLAIM.members(), "node_id": "operator_1"},
        {**CLAIM.members(), "to": END + 1},
        {**CLAIM.members(), "root": "[red]"},
    ],
    ids=str,
)
def test_impossible_totals_are_an_error(dragon: Run, network: Network, body: object) -> None:
    network.operator("operator_1", answering(body))

    result = dragon("downtime", NODE, *PERIOD, "--uncertified", "--operator", "operator_1")

    refused(result, "failed: bad_answer")


@pytest.mark.parametrize(
    ("said", "degraded"),
    [
        ({"degraded": ["archive: no connection", 7]}, ("archive: no connection", "7")),
        ({"degraded": None}, ()),
        ({"degraded": "archive"}, ()),
        ({}, ()),
    ],
)
def test_the_faults_of_a_service_that_is_ready_are_read(
    said: dict[str, object], degraded: tuple[str, ...]
) -> None:
    app = answering({"status": "ready", "reasons": [], **said})
    http = HttpClient(WsgiAdapter({"service:1": app}).session())

    [view] = queries.service_views({"stream_api": "http://service:1"}, http)

    assert (view.error, view.reasons, view.degraded) == ("", (), degraded)
