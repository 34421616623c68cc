"""What the pages of streams show: stages, votes, and figures of proofs, also false ones."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from alerting import PaperFleet, config
from dragon.encoding import MAX_INTEGER, to_hex
from dragon.net.http_client import HttpClient
from dragon.protocol.claims.window import InvalidReason, Statement, Verdict, WindowClaim
from dragon.stark.security import window_level_bits
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.history import window_votes
from dragon_explorer.history.window_votes import VoteRecorder
from dragon_explorer.live import answers, sources
from dragon_explorer.live.board import AggregatorReport
from dragon_explorer.live.sources import AggregatorSource, StreamSource
from dragon_explorer.views.window_rows import PAGE_WINDOWS
from wsgi import WsgiAdapter

STREAM = bytes([7]) * 32
NAME = to_hex(STREAM)
PROOF, REFUTED = bytes([8]) * 32, bytes([9]) * 32
OPERATORS = [f"operator_{number}" for number in range(1, 5)]
VOTES = {
    "operator_1": ("valid", ""),
    "operator_2": ("invalid: stark", "the proof does not verify"),
    "operator_3": ("busy", "too many verifications"),
    "operator_4": ("no answer yet", ""),
}
LIES = [-1, MAX_INTEGER, "large", "1", True, None, [], {"x": 1}]
NOT_STRICT = [1 << 70, 1.5]  # numbers that our JSON does not have


def submitted(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A window as an aggregator states it."""
    votes = changes.pop("votes", VOTES)
    return {
        "stream": NAME, "number": number, "header": NAME, "state": "voting", "missing": [],
        "proof": to_hex(PROOF), "count": 3, "proof_bytes": 70_000, "security_bits": 101,
        "votes": [
            {"operator": name, "answer": answer, "detail": detail}
            for name, (answer, detail) in votes.items()
        ],
        **changes,
    }  # fmt: skip


def closed(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A window as a stream service states it."""
    return {
        "number": number, "state": "proven", "first": 3 * number, "count": 3,
        "closed_ms": 1_732_522_000_000, "position": None, "proof_bytes": 70_000,
        "security_bits": 101, **changes,
    }  # fmt: skip


class Fleet(PaperFleet):
    """An explorer that reads an aggregator and a stream service made of JSON."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, config(Condition.NODE_DOWN))
        self.windows: list[Any] = []
        self.decided: list[Any] = []
        self.closed: list[Any] = []
        self.bytes: int | None = 9
        self.last = STREAM
        self.recorder = VoteRecorder(self.sources.window_votes, self.log)
        http = HttpClient(WsgiAdapter({"service:1": self._serve}).session())
        self.watched = [
            AggregatorSource("aggregator_0", "http://service:1", http, lambda: self.now),
            StreamSource("stream_service_1", "http://service:1", http, lambda: self.now),
        ]

    def _serve(self, environ: Any, start_response: Any) -> list[bytes]:
        said = {"stream": NAME, "name": "s", "chunks": 3, "bytes": self.bytes, "stopped": None}
        paths: dict[str, Any] = {
            "/readyz": {"status": "ready", "reasons": []},
            "/windows": {"windows": self.windows, "next": None},
            "/windows/decided": self._decided(environ["QUERY_STRING"]),
            "/streams": {"streams": [{**said, "windows": len(self.closed), "certified": 0}]},
            f"/streams/{NAME}/windows": {"windows": self.closed, "next": None},
        }
        found = paths.get(environ["PATH_INFO"])
        body = json.dumps(found).encode()
        status = "404 Not Found" if found is None else "200 OK"
        start_response(status, [("Content-Length", str(len(body)))])
        return [body]

    def _decided(self, query: str) -> Mapping[str, Any]:
        """The newest ones first; an id is the distance from the end."""
        after = parse_qs(query).get("after")
        begin = len(self.decided) - int(after[0]) if after else 0
        page = self.decided[begin : begin + answers.MAX_DECIDED]
        rest = len(self.decided) - begin - len(page)
        return {"windows": page, "next": rest if rest else None}

    def poll(self) -> None:
        for source in self.watched:
            report = source.read(self.board.reports().get(source.name))
            self.board.put(report)
            self.recorder.record(report)

    def certify(self, number: int = 0, *, proof: bytes = PROOF, **changes: Any) -> None:
        """Certify a window, by default a valid one, signed by the first three operators."""
        start = self.committee.rounds.start(100)
        header = bytes([number % 256 + 1]) * 32
        claim = replace(
            WindowClaim(
                STREAM, number, self.last, header, Verdict.VALID, InvalidReason.NONE, proof,
                "standard", start,
            ),
            **changes,
        )  # fmt: skip
        if claim.verdict is Verdict.VALID:
            self.last = header
        self.happen(self.members.certify(claim, OPERATORS[:3]))
        self.follower.catch_up()

    def refute(self) -> None:
        self.certify(proof=REFUTED, verdict=Verdict.INVALID, reason=InvalidReason.STARK)

    def api(self, path: str) -> Any:
        answer = self.app().test_client().get(f"/api/streams/{NAME}{path}")
        assert answer.status_code == 200, answer.text
        return answer.json

    def page(self, path: str) -> str:
        answer = self.app().test_client().get(f"/streams/{NAME}{path}")
        assert answer.status_code == 200, answer.text
        return " ".join(answer.text.split())

    def row(self, number: int = 0) -> Any:
        return self.api(f"/windows/{number}")["window"]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path) as made:
        yield made


def outcomes(votes: list[Mapping[str, Any]]) -> list[tuple[str, str, bool]]:
    return [(each["outcome"], each["reason"], each["is_certified"]) for each in votes]


# Stages


def test_a_window_goes_through_its_stages(fleet: Fleet) -> None:
    stages = []
    steps: list[tuple[list[Any], list[Any]]] = [
        ([], [closed(state="closed", proof_bytes=None, security_bits=None)]),
        ([submitted(state="announced", votes={}, proof=None)], [closed(state="closed")]),
        ([submitted(state="incomplete", votes={})], [closed()]),
        ([submitted()], [closed()]),
        ([submitted(state="certified")], [closed()]),
        ([], [closed(state="certified")]),
    ]
    for fleet.windows, fleet.closed in steps:
        fleet.poll()
        stages.append((fleet.row()["stage"], fleet.row()["note"].partition(";")[0]))
    fleet.certify()
    stages.append((fleet.row()["stage"], fleet.row()["note"]))

    assert stages == [
        ("closed", ""),
        ("announced", ""),
        ("proven", "the aggregator waits for its chunk headers and its proof"),
        ("voting", ""),
        ("voting", "a quorum has signed"),
        ("voting", ""),
        ("certified", ""),
    ]
    assert fleet.row()["is_certified"]


def test_another_proof_of_a_refuted_window_is_voted_on(fleet: Fleet) -> None:
    fleet.windows = [submitted(state="invalid", proof=to_hex(REFUTED))]
    fleet.refute()
    fleet.poll()
    refuted = fleet.row()
    fleet.decided, fleet.windows = fleet.windows, [submitted(state="incomplete", votes={})]
    fleet.poll()
    again = fleet.row()

    assert (refuted["stage"], refuted["reason"], refuted["is_certified"]) == (
        *("invalid", "stark"),
        True,
    )
    assert (again["stage"], again["reason"], again["is_certified"]) == ("announced", "", False)
    assert "The proof does not prove the statement" not in fleet.page("/windows/0")
    assert "Invalid: stark" in fleet.page("/windows/0")


def test_a_stream_with_an_invalid_window_only_shows_it(fleet: Fleet) -> None:
    fleet.refute()

    [row] = fleet.api("")["windows"]
    assert (row["number"], row["stage"]) == (0, "invalid")


# Votes


def test_every_operators_vote_is_shown_while_a_window_waits(fleet: Fleet) -> None:
    fleet.windows = [submitted()]
    fleet.poll()

    assert outcomes(fleet.row()["votes"]) == [
        ("valid", "", False),
        ("invalid", "stark", False),
        ("refused", "busy", False),
        ("waiting", "", False),
    ]
    assert "1 of 4 operators voted valid" in fleet.page("")
    page = fleet.page("/windows/0")
    for said in ("voted invalid: stark", "refused: busy", "has not answered yet"):
        assert said in page


def test_votes_stay_after_the_window_is_decided(fleet: Fleet) -> None:
    signed = dict.fromkeys(OPERATORS[:3], ("valid", ""))
    fleet.decided = [
        submitted(state="applied", votes={**signed, "operator_4": VOTES["operator_2"]}),
        submitted(
            state="invalid",
            proof=to_hex(REFUTED),
            proof_bytes=5,
            votes={**VOTES, "operator_3": VOTES["operator_2"], "operator_4": ("timeout", "5 s")},
        ),
    ]
    fleet.refute()
    fleet.certify()
    fleet.poll()
    fleet.decided = []
    fleet.poll()  # the aggregator has forgotten them, and so has the board

    invalid, valid = fleet.api("/windows/0")["verdicts"]

    assert fleet.row()["votes"] == []
    assert outcomes(valid["votes"]) == [("signed", "", True)] * 3 + [("invalid", "stark", False)]
    assert valid["votes"][3]["detail"] == "the proof does not verify"
    assert outcomes(invalid["votes"]) == [("signed", "", True)] * 3 + [("silent", "timeout", False)]
    assert (invalid["proof_bytes"], valid["proof_bytes"]) == (5, 70_000)
    assert "silent: timeout" in fleet.page("/windows/0")


def test_a_decided_window_without_known_votes_shows_its_signers(fleet: Fleet) -> None:
    fleet.certify()

    [verdict] = fleet.api("/windows/0")["verdicts"]
    assert outcomes(verdict["votes"]) == [("signed", "", True)] * 3 + [("unknown", "", False)]
    assert "no aggregator says how it voted" in fleet.page("/windows/0")


def test_late_votes_replace_earlier_ones(fleet: Fleet) -> None:
    fleet.certify()
    for answer in ("no answer yet", "clock"):
        fleet.decided = [submitted(state="applied", votes={"operator_4": (answer, "x" * 999)})]
        fleet.poll()

    [verdict] = fleet.api("/windows/0")["verdicts"]
    assert outcomes(verdict["votes"])[3] == ("refused", "clock", False)
    assert verdict["votes"][3]["detail"] == "x" * window_votes.MAX_DETAIL_CHARS


def test_pages_of_decided_windows_are_read_back_to_a_known_one(fleet: Fleet) -> None:
    fleet.decided = [submitted(number, state="applied") for number in reversed(range(70))]
    fleet.poll()
    first = board_decided(fleet)
    fleet.decided = [submitted(number, state="applied") for number in reversed(range(95))]
    fleet.poll()

    assert first == list(reversed(range(70)))
    assert board_decided(fleet) == list(reversed(range(55, 95)))  # two pages


def board_decided(fleet: Fleet) -> list[int]:
    [report] = fleet.board.aggregators()
    return [each.number for each in report.decided.value or ()]


def test_an_aggregator_can_invent_no_windows_for_the_history(fleet: Fleet) -> None:
    fleet.certify()
    fleet.decided = [
        submitted(state="applied"),
        submitted(1, state="applied"),
        submitted(state="invalid", proof=None),
        submitted(stream=to_hex(bytes(32)), state="applied"),
    ]
    fleet.poll()

    with closing(sqlite3.connect(fleet.folder / "explorer-history.db")) as connection:
        kept = connection.execute("SELECT stream, number, proof FROM window_votes").fetchall()
    assert kept == [(NAME, 0, to_hex(PROOF))]


def test_the_votes_of_a_small_stream_outlive_those_of_a_busy_one(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_votes, "MAX_VOTED_WINDOWS", 5)
    kept = fleet.sources.window_votes
    row = window_votes.VotedWindow(NAME, 0, "0x", "aggregator_0", 1, 2, 3, "[]")
    kept.keep([row])
    for number in range(0, 20, 4):
        kept.keep([replace(row, stream="other", number=number + each) for each in range(4)])

    assert kept.of(NAME, 0) == [row]
    assert [each.number for each in kept.between("other", 0, 99)] == [16, 17, 18, 19]


def test_damaged_votes_are_no_votes(fleet: Fleet) -> None:
    fleet.certify()
    row = window_votes.VotedWindow(NAME, 0, to_hex(PROOF), "aggregator_0", 1, 2, 3, '[{"x":1}]')
    fleet.sources.window_votes.keep([row])

    [verdict] = fleet.api("/windows/0")["verdicts"]
    assert verdict["votes"][3]["outcome"] == "unknown"


# Figures of proofs


def test_the_size_and_security_of_a_proof_are_shown(fleet: Fleet) -> None:
    fleet.closed = [closed(proof_bytes=67_736)]
    fleet.poll()
    live = fleet.row()
    fleet.decided = [submitted(state="applied", proof_bytes=67_736)]
    fleet.certify()
    fleet.poll()
    fleet.closed = []  # long after: the service lists newer windows
    fleet.poll()
    certified = fleet.row()

    for row in (live, certified):
        assert (row["chunks"], row["proof_bytes"], row["security_bits"]) == (3, 67_736, 101)
    [verdict] = fleet.api("/windows/0")["verdicts"]
    assert (verdict["least_bits"], verdict["security"]["level"]) == (100, 101)
    assert "67.7 kB" in fleet.page("")
    assert "101 bits of security" in fleet.page("")
    page = fleet.page("/windows/0")
    assert "67,736 bytes" in page
    assert "at least 100 bits with any number of chunks" in page


@pytest.mark.parametrize("lie", LIES)
def test_false_figures_count_as_unknown(fleet: Fleet, lie: Any) -> None:
    false = {"proof_bytes": lie, "security_bits": lie, "count": lie}
    fleet.closed = [closed(**false), closed(1, **false)]
    fleet.windows = [submitted(1, **false)]
    fleet.decided = [submitted(state="applied", **false)]
    fleet.certify()
    fleet.poll()

    assert [each["number"] for each in fleet.api("")["windows"]] == [1, 0]
    for row in (fleet.row(0), fleet.row(1)):
        assert row["chunks"] is row["proof_bytes"] is None
    assert fleet.row(1)["security_bits"] is None
    assert fleet.row(0)["security_bits"] == 100, "the log certifies the parameter set"
    for path in ("", "/windows/0", "/windows/1"):
        fleet.page(path)


@pytest.mark.parametrize("lie", NOT_STRICT)
def test_an_answer_that_is_not_strict_json_hides_nothing_certified(fleet: Fleet, lie: Any) -> None:
    fleet.closed = [closed(proof_bytes=lie)]
    fleet.windows = fleet.decided = [submitted(security_bits=lie)]
    fleet.certify()
    fleet.poll()

    assert (fleet.row()["stage"], fleet.row()["proof_bytes"]) == ("certified", None)


def test_services_of_an_earlier_release_state_no_figures(fleet: Fleet) -> None:
    new = ("proof_bytes", "security_bits")
    fleet.closed = [{name: value for name, value in closed().items() if name not in new}]
    fleet.windows = [
        {name: value for name, value in submitted().items() if name not in (*new, "proof", "count")}
    ]
    fleet.poll()

    row = fleet.row()
    assert (row["stage"], row["chunks"], row["proof_bytes"]) == ("voting", 3, None)


@pytest.mark.parametrize("number", [MAX_INTEGER - 1, 1 << 40])
def test_false_numbers_hide_no_window(fleet: Fleet, number: int) -> None:
    for each in range(2):
        fleet.certify(each)
    fleet.windows = [submitted(number)]
    fleet.closed = [closed(number - 1, first=MAX_INTEGER, count=MAX_INTEGER)]
    fleet.poll()

    listed = [each["number"] for each in fleet.api("")["windows"]]
    assert listed == [number, number - 1, 1, 0]
    fleet.page("")


def test_a_time_that_no_calendar_has_is_an_error_of_the_service(fleet: Fleet) -> None:
    fleet.certify()
    fleet.closed = [closed(closed_ms=MAX_INTEGER)]
    fleet.poll()

    assert "expected form" in next(fleet.board.stream_services()).windows[NAME].error
    assert "certified" in fleet.page("")


def test_all_windows_can_be_paged_through(fleet: Fleet) -> None:
    for number in range(PAGE_WINDOWS + 3):
        fleet.certify(number)
    fleet.windows = [submitted(PAGE_WINDOWS + 3)]
    fleet.poll()

    first = fleet.api("")
    second = fleet.api(f"?before={first['next']}")

    numbers = [each["number"] for page in (first, second) for each in page["windows"]]
    assert numbers == list(reversed(range(PAGE_WINDOWS + 4)))
    assert (len(first["windows"]), second["next"]) == (PAGE_WINDOWS, None)


def test_the_list_of_decided_windows_is_bounded(fleet: Fleet) -> None:
    fleet.decided = [submitted(each, state="applied") for each in reversed(range(500))]
    fleet.poll()
    [report] = fleet.board.aggregators()

    assert isinstance(report, AggregatorReport)
    assert len(report.decided.value or ()) == sources.MAX_DECIDED_PAGES * answers.MAX_DECIDED


def test_a_damaged_history_leaves_the_certified_windows_and_is_a_reason(fleet: Fleet) -> None:
    fleet.certify()
    fleet.databases[1].close()
    (fleet.folder / "explorer-history.db").write_bytes(b"")
    fleet.decided = [submitted(state="applied")]
    fleet.poll()

    assert "certified" in fleet.page("")
    assert "certified" in fleet.page("/windows/0")
    reasons = fleet.app().test_client().get("/readyz").json["reasons"]
    assert any(each.startswith("damaged: ") for each in reasons)


# Streams with readings

WITHIN, NO_CLAIM = "within bounds", "no claim"


@pytest.mark.parametrize(
    ("statement", "words"), [(Statement.READINGS, WITHIN), (Statement.BLOCKS, NO_CLAIM)]
)
def test_what_was_proven_of_a_window_is_shown(
    fleet: Fleet, statement: Statement, words: str
) -> None:
    fleet.certify(statement=statement)
    fleet.poll()

    assert fleet.row()["statement"] == str(statement)
    assert fleet.api("/windows/0")["verdicts"][0]["statement"] == str(statement)
    assert words in fleet.page("")
    assert words in fleet.page("/windows/0")


def test_windows_of_streams_without_readings_state_nothing(fleet: Fleet) -> None:
    fleet.closed = [closed()]
    fleet.certify()
    fleet.poll()

    assert fleet.row()["statement"] is None
    for page in (fleet.page(""), fleet.page("/windows/0")):
        assert WITHIN not in page
        assert NO_CLAIM not in page


def test_an_invalid_window_is_not_shown_as_proven(fleet: Fleet) -> None:
    fleet.certify(verdict=Verdict.INVALID, reason=InvalidReason.STARK, statement=Statement.READINGS)
    fleet.poll()

    assert WITHIN not in fleet.page("")
    assert WITHIN not in fleet.page("/windows/0")


def test_the_level_counts_a_carried_chunk(fleet: Fleet) -> None:
    """A proof about 3 readings may begin with a fourth, and has twice as many blocks then."""
    fleet.decided = [submitted(state="applied", count=3, statement="readings")]
    fleet.certify(statement=Statement.READINGS)
    fleet.poll()

    assert fleet.row()["security_bits"] == window_level_bits("standard", 4)


def test_a_stream_that_counts_no_bytes_is_shown(fleet: Fleet) -> None:
    fleet.bytes = None
    fleet.closed = [closed()]
    fleet.poll()

    stream = fleet.api("")["stream"]
    assert (stream["bytes"], stream["chunks"]) == (None, 3)
    fleet.page("")
