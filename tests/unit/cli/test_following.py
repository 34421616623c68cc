"""`dragon windows`, `votes`, `incidents`, and `--watch` of `rounds` and `logs`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from dragon.encoding import from_hex, parse
from dragon.net.http_client import HttpResponse
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon_cli.commands.incidents import Outage, outages
from dragon_cli.fleet import queries, streams
from dragon_cli.main import main
from dragon_cli.render import watch
from simulation import World

STREAM = "0x" + "07" * 32
PROOF = {"proof_bytes": 67_736, "security_bits": 101}
WINDOW = {"first": 0, "count": 63, "closed_ms": 1_732_522_000_000, "position": None}
ROWS = [
    {"number": 0, "state": "certified", **WINDOW, "position": 9, **PROOF},
    {"number": 1, "state": "invalid", **WINDOW, "first": 63, "count": 1},
    {"number": 2, "state": "[/red]\x1b", "first": "x", "count": None, "closed_ms": "now"},
]
LIES = [-1, 1 << 52, "large", True, None, ["1"]]
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
        *("0", "certified", "0", "to", "62", "2024-11-25", "08:06:40", "UTC"),
        *("67.7", "kB", "101", "bits", "9"),
    ]
    assert max(map(len, out.splitlines()[:3])) <= 80
    assert f"3 windows of stream {STREAM}: 1 certified, 1 invalid" in out
    assert json.loads(told) == {"stream": STREAM, "windows": ROWS}


@pytest.mark.parametrize("lie", LIES)
def test_false_statements_about_windows_are_shown_as_unknown(
    run: Run, monkeypatch: pytest.MonkeyPatch, lie: object
) -> None:
    false = {**ROWS[1], "number": "9" * 99_999, "state": "x" * 99_999}
    monkeypatch.setattr(f"{__name__}.ROWS", [dict.fromkeys(ROWS[0], lie), false])

    code, out, _ = run("windows", STREAM)

    assert code == 0
    assert ("kB" in out, "bits" in out) == (False, False)
    assert len(out) < 1000


def test_votes_show_every_operators_answer(run: Run) -> None:
    code, out, _ = run("votes", "readings", 1)
    _, told, _ = run("votes", "readings", 1, "--json")

    assert code == 0
    assert f"Window 1 of stream {STREAM}: invalid" in out
    assert "invalid: root" in out
    assert "the headers differ" in out
    found = json.loads(told)
    assert [(each["operator"], each["outcome"], each["reason"]) for each in found["votes"]] == [
        ("operator_1", "valid", ""),
        ("operator_2", "invalid", "root"),
        ("operator_3", "refused", "behind"),
    ]
    assert found["certificate"] == "not found"


class Votes:
    """A certified window, as a stream service, an aggregator and an operator state it."""

    def __init__(self, folder: Path) -> None:
        self.members = make_members()
        self.folder = folder
        self.verdict = (Verdict.VALID, InvalidReason.NONE)
        self.described: dict[str, Any] = {"state": "certified", **PROOF, "votes": []}
        self.decided: list[Any] = []
        self.logged: list[Any] = []

    def event(self, **changes: Any) -> Any:
        claim = WindowClaim(
            from_hex(STREAM, member="stream", size=32), 0, bytes(32), bytes(32),
            *self.verdict, bytes(32), "standard", self.members.committee.rounds.start(100),
        )  # fmt: skip
        signers = ["operator_1", "operator_2", "operator_3"]
        return self.members.certify(replace(claim, **changes), signers).to_json()

    def send(self, _method: str, url: str, **options: Any) -> HttpResponse:
        path = "/" + url.partition("://")[2].partition("/")[2]
        if path == "/windows/decided":
            assert options["params"] == {"stream": STREAM, "number": 0}
            return Service._answer({"windows": self.decided})
        if ":5300" in url:
            return Service._answer(self.described)
        return Service._answer({"verdicts": self.logged})

    get = partialmethod(send, "GET")

    def trust(self) -> None:
        """Give the user a committee file."""
        text = json.dumps(self.members.committee.to_json())
        (self.folder / "committee.json").write_text(text)


@pytest.fixture
def decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Votes:
    made = Votes(tmp_path)
    monkeypatch.setattr(streams, "HttpClient", lambda _session: made)
    monkeypatch.setattr(queries, "HttpClient", lambda _session: made)
    return made


def shown(run: Run) -> tuple[str, list[tuple[str, bool]], str]:
    """What is printed, the outcomes with whether they are certified, and the certificate."""
    code, out, err = run("votes", STREAM, 0)
    assert code == 0, err
    found = json.loads(run("votes", STREAM, 0, "--json")[1])
    votes = [(each["outcome"], each["is_certified"]) for each in found["votes"]]
    return out, votes, found["certificate"]


SIGNED = [("signed", True)] * 3


def test_signatures_are_verified_and_other_votes_are_stated(run: Run, decided: Votes) -> None:
    decided.trust()
    decided.described |= {
        "event": decided.event(),
        "votes": [
            {"operator": "operator_3", "answer": "invalid: stark", "detail": "false"},
            {"operator": "operator_4", "answer": "invalid: stark", "detail": "no proof"},
            {"operator": "stranger", "answer": "valid", "detail": ""},
        ],
    }

    out, votes, certificate = shown(run)

    assert votes == [*SIGNED, ("invalid", False)]
    assert certificate == "verified"
    assert "Proof: 67.7 kB, security level 101 bits (uncertified)" in out
    assert "signed (certified)" in out
    assert out.splitlines()[-1].split() == [
        "operator_4",
        *("voted", "invalid:", "stark", "no", "proof"),
    ]


def test_an_aggregator_remembers_votes_that_the_stream_service_lost(
    run: Run, decided: Votes
) -> None:
    decided.trust()
    decided.described["event"] = decided.event()
    lost = [{"operator": "operator_4", "answer": "timeout", "detail": ""}]
    decided.decided = [{"state": "invalid", "votes": VOTES}, {"state": "applied", "votes": lost}]

    out, votes, _ = shown(run)

    assert votes == [*SIGNED, ("silent", False)]
    assert "silent: timeout" in out


def test_the_event_of_an_invalid_window_comes_from_an_operators_log(
    run: Run, decided: Votes
) -> None:
    decided.trust()
    decided.verdict = (Verdict.INVALID, InvalidReason.STARK)
    decided.described["state"] = "invalid"
    decided.logged = [{"position": 3, "event": decided.event()}]

    assert shown(run)[1:] == ([*SIGNED, ("unknown", False)], "verified")


def test_no_signature_is_certified_without_a_committee_file(run: Run, decided: Votes) -> None:
    decided.described["event"] = decided.event()

    out, votes, certificate = shown(run)

    assert votes == [("signed", False)] * 3
    assert "signed (not verified)" in out
    assert certificate == "not verified: no committee file"


@pytest.mark.parametrize(
    "change", [{"number": 1}, {"stream": bytes(32)}, {"verdict": Verdict.INVALID}]
)
def test_an_event_about_something_else_names_no_signers(
    run: Run, decided: Votes, change: dict[str, Any]
) -> None:
    decided.trust()
    if "verdict" in change:
        change = {**change, "reason": InvalidReason.STARK}
    decided.described["event"] = decided.event(**change)

    _, votes, certificate = shown(run)

    assert votes == [("unknown", False)] * 4
    assert certificate == "not verified: it is about something else"


def test_a_false_signature_is_not_certified(run: Run, decided: Votes) -> None:
    decided.trust()
    other = decided.event(proof=b"x" * 32)
    decided.described["event"] = {
        **decided.event(),
        "aggregated_signature": other["aggregated_signature"],
    }

    _, votes, certificate = shown(run)

    assert votes == [("signed", False)] * 3 + [("unknown", False)]
    assert certificate.startswith("not verified: the aggregate signature does not verify")


@pytest.mark.parametrize("lie", LIES)
def test_a_false_statement_about_a_window_is_shown_as_unknown(
    run: Run, decided: Votes, lie: object
) -> None:
    decided.trust()
    for state in ("certified", "proven", lie):
        decided.described = {
            **dict.fromkeys(("proof_bytes", "security_bits", "event", "position"), lie),
            "state": state,
            "votes": [lie, {"operator": lie, "answer": lie, "detail": lie}],
        }
        out, votes, _ = shown(run)
        assert "Proof:" not in out
        assert len(votes) == 4
        assert not any(is_certified for _, is_certified in votes)


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
