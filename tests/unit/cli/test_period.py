"""`dragon period` and `dragon verify period`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import BashComplete

from commands import run_dragon
from committees import make_members, secret
from dragon.encoding import canonical, to_hex
from dragon.protocol.period import PeriodLeaf, PeriodReport
from dragon_cli.commands.completion import VARIABLE
from dragon_cli.fleet import queries
from dragon_cli.main import dragon as program
from epochs import Network as Epochs
from period_reports import BEGIN, END, LEAVES, LOG_ROOT, SIGNERS, make_report
from wsgi import WsgiAdapter, WsgiApp

MEMBERS = make_members(aggregators=2)
COMMITTEE = MEMBERS.committee
REPORT = make_report(members=MEMBERS)
SENTENCE = (
    "verified: the report on 5 nodes in the 3600 s from 2024-11-25 08:06:40 UTC to "
    f"2024-11-25 09:06:40 UTC has the root {to_hex(REPORT.claim.report)}, certified by 3 of 4 "
    "operators (operator_1, operator_2, operator_3).\n"
)
KNOWN = {"epoch": 0, "newest_epoch": 0, "seen": None}  # with a committee file

Run = Callable[..., tuple[int, str, str]]


def answering(body: object, status: str = "200 OK") -> WsgiApp:
    """Answers every request with this body, except for the committee that holds."""

    def app(environ: dict[str, object], start: Callable[..., object]) -> list[bytes]:
        if environ["PATH_INFO"] == "/committee":
            start("404 Not Found", [])
            return []
        start(status, [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    return app


class Aggregators:
    """The aggregators of the fleet; all other ports are closed."""

    def __init__(self) -> None:
        self.wires = WsgiAdapter()

    def answer(self, rank: int, body: object, status: str = "200 OK") -> None:
        [url] = (each.url for each in COMMITTEE.aggregators if each.rank == rank)
        self.wires.mount(url.removeprefix("http://"), answering(body, status))

    @property
    def asked(self) -> list[str]:
        return [url for _, url in self.wires.calls if not url.endswith("/committee")]


@pytest.fixture
def aggregators(monkeypatch: pytest.MonkeyPatch) -> Aggregators:
    made = Aggregators()
    monkeypatch.setattr(queries, "make_session", lambda _ca: made.wires.session())
    return made


@pytest.fixture
def dragon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in a folder with the committee file: exit code, output, errors."""
    (tmp_path / "committee.json").write_text(json.dumps(COMMITTEE.to_json()))

    def run(*arguments: object) -> tuple[int, str, str]:
        return run_dragon(capsys, *arguments)

    return run


@pytest.fixture
def period(dragon: Run, tmp_path: Path) -> Run:
    return lambda *arguments: dragon("period", *arguments, "--home", tmp_path)


@pytest.fixture
def verify(dragon: Run, tmp_path: Path) -> Run:
    """Run `dragon verify period` on a value that is written to a file."""

    def run(
        value: Any, *options: object, committee: str = "committee.json"
    ) -> tuple[int, str, str]:
        file = tmp_path / "file.json"
        file.write_bytes(value if isinstance(value, bytes) else canonical(value))
        chosen = ("--committee", tmp_path / committee)
        return dragon("verify", "period", file, *chosen, *options)

    return run


def refused(result: tuple[int, str, str], told: str) -> str:
    code, out, err = result
    assert (code, out) == (1, "")
    assert err.startswith(f"dragon: {told}: "), err
    return err


# -- request ---------------------------------------------------------------------------------------


def test_a_period_report_is_verified_shown_and_written(
    period: Run, aggregators: Aggregators, tmp_path: Path
) -> None:
    aggregators.answer(1, REPORT.to_json())  # that of rank 0 is down
    kept = tmp_path / "report.json"

    code, out, err = period("2024-11-25T08:06:40Z", END, "-o", kept)

    assert (code, err) == (0, "")
    assert out.startswith(SENTENCE)
    [row] = [line for line in out.splitlines() if line.startswith("node_3")]
    assert row.split() == "node_3 97.056 2.861 0.083 1 min 43 s 20 s 3 s".split()  # noqa: SIM905
    assert PeriodReport.from_json(json.loads(kept.read_text())) == REPORT
    assert [url.rpartition("/")[2] for url in aggregators.asked] == ["period-certificates"] * 2


def test_a_period_report_is_printed_as_json(period: Run, aggregators: Aggregators) -> None:
    aggregators.answer(0, REPORT.to_json())

    code, out, _ = period("request", BEGIN, END, "--json")

    told = json.loads(out)
    assert code == 0
    assert told["leaves"][3] == {**LEAVES[3].members(), "seconds_up": 3494}
    assert (told["nodes"], told["report"]) == (5, to_hex(REPORT.claim.report))
    assert (told["certificate"], told["file"]) == (REPORT.certificate.to_json(), None)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "requires FROM or `--month`"),
        (("--month", "2024-11", BEGIN), "requires FROM or `--month`"),
        ((END, BEGIN), f"FROM ({END}) must be earlier than TO ({BEGIN})."),
        ((BEGIN, BEGIN), "must be earlier than TO"),
        ((BEGIN, BEGIN + 367 * 86_400), "A period has at most 366 days"),
        (("yesterdays",), "is not a time"),
        (("--month", "november"), "is not a month"),
    ],
    ids=str,
)
def test_a_wrong_period_is_wrong_usage(
    period: Run, aggregators: Aggregators, arguments: tuple[object, ...], told: str
) -> None:
    code, out, err = period("request", *arguments)

    assert (code, out) == (2, "")
    assert told in err
    assert aggregators.asked == []


def test_an_existing_file_is_not_overwritten(
    period: Run, aggregators: Aggregators, tmp_path: Path
) -> None:
    code, out, err = period(BEGIN, END, "-o", tmp_path / "committee.json")

    assert (code, out) == (2, "")
    assert err.startswith("dragon: failed: already_there: ")
    assert aggregators.asked == []


FORGED: dict[str, tuple[Callable[[], Any], str]] = {
    "another period": (
        lambda: make_report(members=MEMBERS, begin=BEGIN - 1).to_json(),
        "failed: bad_answer",
    ),
    "other seconds": (
        lambda: {
            **REPORT.to_json(),
            "leaves": [PeriodLeaf(f"node_{at}", 0, 0, 0).members() for at in range(5)],
        },
        "refused: invalid_proof",
    ),
    "one leaf less": (
        lambda: {**REPORT.to_json(), "leaves": [each.members() for each in LEAVES[1:]]},
        "refused: invalid_proof",
    ),
    "unsorted": (
        lambda: make_report(tuple(reversed(LEAVES)), MEMBERS).to_json(),
        "failed: bad_answer",
    ),
    "too few": (
        lambda: make_report(members=MEMBERS, signers=SIGNERS[:2]).to_json(),
        "refused: quorum_not_met",
    ),
    "another committee": (
        lambda: make_report(members=make_members(name="other")).to_json(),
        "refused: wrong_committee",
    ),
    "another kind": (
        lambda: {"certificate": {"kind": "weather"}, "leaves": []},
        "failed: bad_answer",
    ),
    "nothing": (lambda: None, "failed: bad_answer"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_report_is_neither_shown_nor_written(
    period: Run, aggregators: Aggregators, tmp_path: Path, what: str
) -> None:
    make, told = FORGED[what]
    aggregators.answer(0, make())

    refused(period(BEGIN, END, "-o", tmp_path / "report.json"), told)

    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize(
    ("title", "status", "hint"),
    [
        ("not_settled", "409 Conflict", "about two minutes after the period ends"),
        ("not_certified", "503 Service Unavailable", "Try again in a minute"),
        ("unsuitable_period", "422 Unprocessable Entity", "Request a period after the network's"),
    ],
)
def test_the_refusal_of_an_aggregator_is_explained(
    period: Run, aggregators: Aggregators, title: str, status: str, hint: str
) -> None:
    problem = {"title": title, "detail": "why not", "answers": {"operator_1": "busy"}}
    aggregators.answer(0, problem, status)

    err = refused(period(BEGIN, END), f"refused: {title}")
    _, out, _ = period(BEGIN, END, "--json")

    assert "why not" in err
    assert hint in err
    assert json.loads(out)["facts"]["answered"] == {"answers": {"operator_1": "busy"}}


def test_a_busy_aggregator_is_passed_over(period: Run, aggregators: Aggregators) -> None:
    aggregators.answer(0, {"title": "busy", "detail": "in progress"}, "429 Too Many Requests")
    aggregators.answer(1, REPORT.to_json())

    assert period(BEGIN, END)[0] == 0
    aggregators.answer(1, {"title": "busy", "detail": "in progress"}, "429 Too Many Requests")
    assert "in progress" in refused(period(BEGIN, END), "failed: bad_answer")


# -- prove -----------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    path.write_bytes(canonical(REPORT.to_json()))
    return path


def test_the_part_of_one_node_is_proven_and_verified(
    dragon: Run, verify: Run, kept: Path, tmp_path: Path
) -> None:
    small = tmp_path / "node_3.json"

    code, out, err = dragon("period", "prove", kept, "node_3", "-o", small)
    shown = dragon("verify", "period", small, "--committee", tmp_path / "committee.json")

    assert (code, err) == (0, "")
    assert out == f"Written: {small}. `dragon verify period` verifies it.\n"
    assert json.loads(small.read_text()) == REPORT.prove("node_3").to_json()
    assert shown[0] == 0
    assert shown[1].startswith("verified: node_3 was down for 103 s")
    assert (
        "from 2024-11-25 08:06:40 UTC to 2024-11-25 09:06:40 UTC, certified by 3 of 4" in shown[1]
    )
    assert "  up            3494 s   97.056 %\n" in shown[1]
    assert f"from the first 1234 entries of the log (root {to_hex(LOG_ROOT)})" in shown[1]
    assert shown[1].endswith("Committee of epoch 0, the newest known.\n")


def test_without_an_output_the_proof_is_printed(dragon: Run, kept: Path, tmp_path: Path) -> None:
    for options in ((), ("--json",)):
        code, out, _ = dragon("period", "prove", kept, "node_0", *options)
        assert (code, json.loads(out)) == (0, REPORT.prove("node_0").to_json())

    written = tmp_path / "small.json"
    _, out, _ = dragon("period", "prove", kept, "node_0", "-o", written, "--json")
    assert json.loads(out) == {"file": str(written), "node_id": "node_0"}


def test_what_cannot_be_proven_is_refused(dragon: Run, kept: Path, tmp_path: Path) -> None:
    err = refused(dragon("period", "prove", kept, "node_9"), "refused: unknown_node")
    assert "hint: `dragon verify period FILE` lists the nodes of a report." in err
    refused(dragon("period", "prove", kept, "Node"), "refused: invalid_id")

    altered = tmp_path / "altered.json"
    altered.write_bytes(kept.read_bytes().replace(b'"seconds_down":103', b'"seconds_down":104'))
    err = refused(dragon("period", "prove", altered, "node_0"), "refused: invalid_proof")
    assert "hint: The file was altered" in err

    other = tmp_path / "committee.json"
    err = refused(dragon("period", "prove", other, "node_0"), "refused: wrong_file")
    assert "is not a period report: it is a committee file." in err
    assert "`dragon period FROM TO --output FILE` writes a period report." in err
    assert dragon("period", "prove", tmp_path / "none", "node_0")[0] == 2


def test_the_nodes_of_the_report_are_completed(kept: Path) -> None:
    asked = BashComplete(program, {}, "dragon", VARIABLE)

    found = asked.get_completions(["period", "prove", str(kept)], "node_")

    assert [each.value for each in found] == [leaf.node_id for leaf in LEAVES]


# -- verify ----------------------------------------------------------------------------------------


def test_a_whole_report_is_verified_and_shown(verify: Run) -> None:
    code, out, err = verify(REPORT.to_json())

    assert (code, err) == (0, "")
    assert out.startswith(SENTENCE)
    assert [line.split()[0] for line in out.splitlines()[2:7]] == [each.node_id for each in LEAVES]


def test_both_kinds_of_file_are_reported_as_json(verify: Run) -> None:
    claimed = {**REPORT.claim.to_json(), "signers": list(SIGNERS)}
    leaves = [{**leaf.members(), "seconds_up": leaf.seconds_up(REPORT.claim)} for leaf in LEAVES]

    whole = json.loads(verify(REPORT.to_json(), "--json")[1])
    one = json.loads(verify(REPORT.prove("node_1").to_json(), "--json")[1])

    assert whole == {"verdict": "verified", **claimed, "leaves": leaves, **KNOWN}
    assert one == {"verdict": "verified", **claimed, "leaf": leaves[1], **KNOWN}


def test_a_forged_file_is_refused_by_name(verify: Run) -> None:
    proven, few = REPORT.prove("node_3"), make_report(members=MEMBERS, signers=SIGNERS[:2])
    lighter = replace(proven.leaf, seconds_down=50)
    moved = make_report(members=MEMBERS, begin=BEGIN - 100)
    for value, reason in (
        ({**proven.to_json(), "leaf": lighter.members()}, "invalid_proof"),
        ({**proven.to_json(), "index": 2}, "invalid_proof"),
        ({**proven.to_json(), "path": []}, "invalid_proof"),
        ({**proven.to_json(), "more": 1}, "unknown_member"),
        (few.to_json(), "quorum_not_met"),
        (few.prove("node_3").to_json(), "quorum_not_met"),
        ({**REPORT.to_json(), "leaves": []}, "invalid_proof"),
        ({**REPORT.to_json(), "leaves": None}, "wrong_type"),
    ):
        refused(verify(value), f"refused: {reason}")
    claim = {**proven.certificate.to_json(), "from": moved.claim.begin}
    refused(verify({**proven.to_json(), "certificate": claim}), "refused: bad_signature")


def test_another_file_is_not_a_period_report(verify: Run) -> None:
    err = refused(verify(REPORT.certificate.to_json()), "refused: wrong_file")
    assert "is not a period report: it is a certificate." in err
    refused(verify(b"no json"), "refused: wrong_file")


def test_other_commands_name_the_one_that_verifies_a_period_report(
    dragon: Run, kept: Path, tmp_path: Path
) -> None:
    trusted = ("--committee", tmp_path / "committee.json")
    for what in ("certificate", "downtime"):
        err = refused(dragon("verify", what, kept, *trusted), "refused: wrong_file")
        assert "hint: `dragon verify period FILE` verifies it." in err


def test_an_old_report_is_superseded_unless_its_keys_are_trusted(
    verify: Run, tmp_path: Path
) -> None:
    network = Epochs()
    network.step(rotate={"operator_1": secret("operator_1 again")})
    (tmp_path / "lineage.json").write_bytes(network.lineage().encode())
    old, new = (make_report(members=members) for members in network.epochs)

    for made in (old, old.prove("node_1")):
        err = refused(verify(made.to_json(), committee="lineage.json"), "refused: superseded")
        assert "Request the period again with `dragon period`." in err
        trusting = verify(made.to_json(), "--trust-from", 0, committee="lineage.json")
        assert trusting[0] == 0
        assert "Committee of epoch 0; the newest known is of epoch 1" in trusting[1]
    assert verify(new.to_json(), committee="lineage.json")[0] == 0
