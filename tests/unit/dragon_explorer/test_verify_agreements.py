"""`/verify` for documents of agreements: period reports, single leaves, pages, and evidence."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import render_template

import reward_month
from alerting import MEMBERS, PaperFleet, config
from dragon.encoding import Json, canonical
from dragon.log.period import report_at
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.evidence.file import Collected, Evidence, OperatorRecords, Outcome
from dragon.protocol.period import PeriodReport
from dragon_cli.file_kinds import CERTIFIED_REPORT_DATA
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.views.verification import Line, Verification
from dragon_explorer.views.verify import verification
from dragon_explorer.views.verify_agreements import DATA_BEGIN
from evidence import NODE, Writer, answer, look, proven

MONTH = reward_month.members()
PAGE = reward_month.files()["november.html"].encode()
PERIOD = reward_month.period()
ROUNDS = MEMBERS.committee.rounds
CLAIM = StatusClaim(NODE, Status.DOWN, ROUNDS.start(10))
SIGNERS = ("operator_1", "operator_2", "operator_3")

Verify = Callable[[Json | bytes], Verification]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[PaperFleet]:
    """The explorer of the committee whose operators pay for November."""
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN), members=MONTH) as made:
        yield made


@pytest.fixture
def verify(fleet: PaperFleet) -> Verify:
    return lambda document: verification(
        document if isinstance(document, bytes) else canonical(document), fleet.sources
    )


def outcomes(found: Verification) -> dict[str, str]:
    return {line.name: line.outcome for line in found.lines}


def changed(document: Any, change: Callable[[Any], object]) -> Any:
    copy = json.loads(json.dumps(document))
    change(copy)
    return copy


def test_a_period_report_is_verified(verify: Verify) -> None:
    found = verify(PERIOD.to_json())

    assert (found.what, found.verdict) == ("period", "verified")
    assert outcomes(found) == {"signatures": "holds", "leaves": "holds"}
    assert found.sentence.startswith("the report on 9 nodes in the 2592000 s from 2026-11-01")
    assert found.command == "dragon verify period period.json --committee committee.json"


def test_the_totals_of_the_page_are_those_of_the_certificate(fleet: PaperFleet) -> None:
    """The figures of `/agreements` and a certificate of the same log agree."""
    fleet.up(*fleet.committee.urls)
    fleet.checkpoint()
    fleet.pass_time(20, step=5)
    fleet.down("relay-lima")
    fleet.pass_time(100, step=5)
    fleet.checkpoint()
    fleet.work()
    now = int(fleet.now)
    claim, leaves = report_at(fleet.log, (now - 300, now), size=fleet.log.state.size)
    report = PeriodReport.of(MONTH.certify(claim, SIGNERS), leaves)
    client = fleet.app().test_client()
    times = [f"2026-10-31T00:{second // 60:02}:{second % 60:02}Z" for second in (200, 500)]
    shown = client.get(f"/api/agreements?from={times[0]}&to={times[1]}").json["period"]
    claim, leaves = report_at(fleet.log, (shown["begin"], shown["end"]), size=fleet.log.state.size)

    assert verification(canonical(report.to_json()), fleet.sources).verdict == "verified"
    assert [
        {name: row[name] for name in leaf.members()}
        for row, leaf in zip(shown["rows"], leaves, strict=True)
    ] == [leaf.members() for leaf in leaves]


@pytest.mark.parametrize(
    ("change", "name", "detail"),
    [
        (lambda each: each["leaves"].pop(), "leaves", "not those of the certified report"),
        (
            lambda each: each["leaves"][5].update(seconds_down=0, seconds_maintenance=0),
            "leaves",
            "not those of the certified report",
        ),
        (lambda each: each["certificate"].update(to=1), "form", "to"),
        (
            lambda each: each["certificate"].update(size=1),
            "signatures",
            "signature",
        ),
        (
            lambda each: each["certificate"].update(signers=["operator_1"]),
            "signatures",
            "",
        ),
        (
            lambda each: each["certificate"].update(committee="0x" + 32 * "ab"),
            "signatures",
            "no committee with this id",
        ),
    ],
)
def test_a_wrong_period_report_is_refused(
    verify: Verify, change: Callable[[Any], object], name: str, detail: str
) -> None:
    found = verify(changed(PERIOD.to_json(), change))

    assert (found.what, found.verdict) == ("period", "refused")
    [wrong] = [each for each in found.lines if each.outcome == "refused"]
    assert wrong.name == name
    assert detail in wrong.detail


def test_one_leaf_is_verified(verify: Verify) -> None:
    found = verify(PERIOD.prove("relay-lagos").to_json())

    assert (found.what, found.verdict) == ("leaf", "verified")
    assert outcomes(found) == {"signatures": "holds", "leaf": "holds"}
    assert found.sentence.startswith("relay-lagos was down for 9300 s")
    assert found.command == "dragon verify period leaf.json --committee committee.json"


def test_a_leaf_of_another_node_is_refused(verify: Verify) -> None:
    leaf = PERIOD.prove("relay-lagos").to_json()
    other: Any = PERIOD.prove("relay-lima").to_json()["leaf"]

    found = verify(changed(leaf, lambda each: each.update(leaf=other)))

    assert (found.verdict, outcomes(found)["leaf"]) == ("refused", "refused")


def test_a_report_with_a_payout_is_computed_again(verify: Verify) -> None:
    report = reward_month.paid().report
    found = verify(report.to_json())

    assert (found.what, found.verdict) == ("report", "verified")
    assert outcomes(found) == {"signatures": "holds", "leaves": "holds", "payout": "holds"}
    assert "The author of the report chose rule and payout" in found.lines[-1].detail


def test_the_data_of_a_page_are_verified_and_the_page_is_left_to_the_command(
    verify: Verify,
) -> None:
    assert CERTIFIED_REPORT_DATA.encode() == DATA_BEGIN
    found = verify(PAGE)

    assert (found.what, found.verdict) == ("report", "incomplete")
    assert outcomes(found) == {
        "signatures": "holds",
        "leaves": "holds",
        "payout": "holds",
        "page": "absent",
    }
    assert found.command == "dragon verify report report.html --committee committee.json"
    altered = verify(PAGE.replace(b'"seconds_down":9300', b'"seconds_down":9299'))
    assert (altered.verdict, outcomes(altered)["leaves"]) == ("refused", "refused")


@pytest.mark.parametrize(
    "page",
    [
        b"<!doctype html><p>Hello",
        DATA_BEGIN,
        DATA_BEGIN + b"</script>",
        DATA_BEGIN + b'[["x"]]</script>',
        DATA_BEGIN + b'{"report":7}</script>',
        DATA_BEGIN + b"[" * 100_000 + b"</script>",
        b"  <\xff\xfe",
    ],
)
def test_a_page_without_a_report_is_refused(verify: Verify, page: bytes) -> None:
    assert verify(page).verdict == "refused"


def evidence(**changes: Any) -> Evidence:
    writer = Writer(MEMBERS)
    writer.seal(look(Status.UP, ROUNDS.start(8)))
    writer.seal(look(Status.DOWN, ROUNDS.start(10)), answer(CLAIM, "attested"))
    found = Collected(Outcome.RECORDS, writer.found(), "")
    silent = Collected(Outcome.NO_ANSWER, OperatorRecords("operator_4"), "unreachable")
    begin, end = ROUNDS.start(0), ROUNDS.start(20)
    event = proven(MEMBERS, CLAIM, SIGNERS)
    return replace(Evidence(NODE, begin, end, end, event, (found, silent)), **changes)


@pytest.fixture
def verify_evidence(tmp_path: Path) -> Iterator[Verify]:
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as made:
        yield lambda document: verification(canonical(document), made.sources)


def test_evidence_says_what_each_operator_signed(verify_evidence: Verify) -> None:
    found = verify_evidence(evidence().to_json())

    assert (found.what, found.verdict) == ("evidence", "verified")
    assert outcomes(found) == {"operator_1": "holds", "operator_4": "absent"}
    assert "3 signed records about target_1" in found.sentence
    assert "does not prove that an operator really saw it" in found.sentence
    assert "signed the certificate; 3 records; signed down" in found.lines[0].detail
    assert "saw down (answered)" in found.lines[0].detail
    assert "gave the collector no usable answer (unreachable)" in found.lines[1].detail
    assert found.command == "dragon verify evidence evidence.json --committee committee.json"


def test_the_page_shows_ids_of_operators_as_they_are(fleet: PaperFleet) -> None:
    lines = (Line("operator_1", "holds", "3 records"),)
    found = Verification("evidence", "verified", "3 signed records.", lines)
    command = "dragon verify evidence evidence.json --committee lineage.json"

    with fleet.app().test_request_context():
        page = render_template("fragments/verify.html", view=replace(found, command=command))

    assert '<th scope="row">operator_1</th>' in page
    assert 'href="/downloads/lineage.json" download>Download lineage.json</a>' in page


def test_a_contradiction_in_evidence_is_a_line(verify_evidence: Verify) -> None:
    writer = Writer(MEMBERS)
    up = replace(CLAIM, status=Status.UP)
    writer.seal(answer(CLAIM, "attested"), answer(up, "attested"))
    collected = (Collected(Outcome.RECORDS, writer.found(), ""),)

    found = verify_evidence(evidence(operators=collected).to_json())

    assert found.verdict == "verified"
    [line] = [each for each in found.lines if each.name == "contradiction"]
    assert "operator_1" in line.detail


def test_evidence_about_another_node_is_refused(verify_evidence: Verify) -> None:
    found = verify_evidence(evidence(node_id="target_2").to_json())

    assert (found.what, found.verdict) == ("evidence", "refused")


def test_evidence_with_a_forged_seal_is_refused(verify_evidence: Verify) -> None:
    forged = changed(
        evidence().to_json(),
        lambda each: each["operators"][0]["seals"][0].update(signature="0x" + 96 * "ab"),
    )

    assert verify_evidence(forged).verdict == "refused"


def test_the_form_takes_pages_and_says_the_verdict(fleet: PaperFleet) -> None:
    client = fleet.app().test_client()
    answer = client.post("/verify/result", data={"file": (io.BytesIO(PAGE), "november.html")})

    assert answer.status_code == 200
    assert "Valid so far, but incomplete: certified report" in answer.text
    assert 'accept=".json,.jsonl,.html,application/json,text/html"' in client.get("/verify").text
    api = client.post("/api/verify", data=canonical(PERIOD.to_json()))
    assert (api.json["what"], api.json["verdict"]) == ("period", "verified")
