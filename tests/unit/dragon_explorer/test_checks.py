"""What counts as up, in words; what observers saw; and when a certificate ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerting import WARN_DAYS, PaperFleet, config
from committees import make_members, secret, with_heartbeats
from dragon.protocol.committee import Target
from dragon.protocol.target_checks import (
    HeartbeatCheck,
    HttpCheck,
    JsonRpcCheck,
    TargetCheck,
    TcpCheck,
    TlsCheck,
)
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.live import answers
from dragon_explorer.live.board import AggregatorReport, OperatorReport, Part
from dragon_explorer.views.checks import check_of, check_row
from dragon_explorer.views.observations import certificate
from dragon_explorer.views.proposals import difference_rows

KEY = secret("beats")
BEATS = HeartbeatCheck(KEY.public_key(), KEY.prove_possession(), 90)
RPC = JsonRpcCheck("eth_blockNumber", behind=3, group="chain", pointer="/result", timeout_ms=1500)
DAY = 86_400


@pytest.mark.parametrize(
    ("check", "up_if", "detail"),
    [
        (
            HttpCheck(timeout_ms=1000),
            "GET is answered within 1 s with status 200 to 299",
            "Redirects are not followed: their own status counts.",
        ),
        (
            HttpCheck("HEAD", ((200, 204), (301, 301), (304, 304)), timeout_ms=400),
            "HEAD is answered within 0.4 s with status 200 to 204, 301 or 304",
            "Redirects are not followed: their own status counts.",
        ),
        (
            HttpCheck(redirect_hosts=("a.example", "b.example")),
            "GET is answered within 1 s with status 200 to 299",
            "Redirects are followed to a.example and b.example, at most 5 of them.",
        ),
        (
            HttpCheck(contains="Welcome"),
            "GET is answered within 1 s with status 200 to 299",
            "The first 64 KiB of the answer must contain “Welcome”.",
        ),
        (
            HttpCheck(lacks="<b>Error</b>"),
            "GET is answered within 1 s with status 200 to 299",
            "The first 64 KiB of the answer must not contain “<b>Error</b>”.",
        ),
        (
            HttpCheck(headers={"accept": "text/html"}),
            "GET is answered within 1 s with status 200 to 299",
            "The request has the header accept: text/html",
        ),
        (TcpCheck(1000), "a TCP connection opens within 1 s", None),
        (
            TlsCheck(1000, 1),
            "a TLS handshake ends within 1 s, and the certificate is valid for the host name",
            "A certificate that expires within a day is a warning, and the target is up.",
        ),
        (TlsCheck(1000, 0), "a TLS handshake ends within 1 s, and the certificate is valid", None),
        (
            RPC,
            "the JSON-RPC method eth_blockNumber is answered within 1.5 s, and the height in the "
            "answer is at most 3 below the highest of the group chain",
            "The height is at /result of the answer (JSON pointer).",
        ),
        (BEATS, "it has sent a signed heartbeat within the last 90 s", "Public key of the"),
    ],
)
def test_a_check_is_a_sentence(check: TargetCheck, up_if: str, detail: str | None) -> None:
    found = check_row(Target("t", "", check))

    assert found.up_if.startswith(up_if)
    assert found.kind == check.KIND
    if detail is None:
        assert found.details == ()
    else:
        assert any(each.startswith(detail) for each in found.details)


@pytest.mark.parametrize(
    ("suspect", "recover", "expected"),
    [
        (1, 1, "One look decides."),
        (
            3,
            1,
            "An operator calls it down after 3 looks in a row, and up again after one look.",
        ),
        (1, 2, "An operator calls it down after one look, and up again after 2 looks in a row."),
    ],
)
def test_the_looks_that_decide_are_a_sentence(suspect: int, recover: int, expected: str) -> None:
    target = Target("t", "tcp://t:1", TcpCheck(), suspect_after=suspect, recover_after=recover)

    assert check_row(target).looks == expected


def test_an_operator_and_a_node_that_has_left_have_no_check() -> None:
    committee = make_members(4, targets=1).committee

    assert check_of(committee, "target_1") is not None
    assert check_of(committee, "operator_1") is None
    assert check_of(committee, "target_9") is None


def test_a_difference_that_opens_private_addresses_is_marked() -> None:
    before = make_members(4, targets=2).committee
    [one, other] = before.targets
    opened = replace(one, private_addresses=True)
    after = replace(before, targets=(opened, replace(other, owner="operator_1")))

    marked = {each.what: each.opens_private for each in difference_rows(before, after)}
    assert marked == {"target target_1, private addresses": True, "target target_2, owner": False}
    joining = replace(before, targets=(*before.targets, replace(opened, id="target_3")))
    [row] = difference_rows(before, joining)
    assert (row.what, row.opens_private) == ("target target_3", True)
    assert not any(each.opens_private for each in difference_rows(after, before))
    assert not any(each.opens_private for each in difference_rows(after, after))


# What was seen


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[PaperFleet]:
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as made:
        made.up("target_1", "target_4")
        made.checkpoint()
        made.work()
        yield made


def seen(fleet: PaperFleet, operator: str, node_id: str, **members: Any) -> None:
    """Let an operator state its last look at a node."""
    found = answers.Seen(status="down", at=int(fleet.now), **members)
    node = answers.Node(node_id=node_id, status="up", since=None, seen=found)
    nodes = Part({node_id: node}, fleet.wall())
    fleet.board.put(OperatorReport(operator, "", nodes=nodes))


def test_a_look_has_its_detail_on_the_page(fleet: PaperFleet) -> None:
    seen(fleet, "operator_1", "target_1", reason="status_302", detail="https://b.example/<login>")
    seen(fleet, "operator_2", "target_1", reason="looking", detail="since 3 s")
    client = fleet.app().test_client()
    found = {
        each["observer"]: each for each in client.get("/api/nodes/target_1").json["observations"]
    }
    page = client.get("/nodes/target_1").text

    assert (found["operator_1"]["seen"], found["operator_1"]["reason"]) == ("down", "status_302")
    assert "https://b.example/&lt;login&gt;" in page
    assert found["operator_2"]["seen"] == "unknown"  # it says nothing about the target
    assert "since 3 s" in page


def test_a_target_with_heartbeats_has_no_address_and_shows_the_last_beat(tmp_path: Path) -> None:
    made = with_heartbeats(make_members(4, targets=3), "machine", every_seconds=60)
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN), members=made) as fleet:
        seen(fleet, "operator_1", "machine", reason="no_beat", detail="last beat 75 s ago")
        client = fleet.app().test_client()
        page = client.get("/nodes/machine").text

        assert "without an address: it sends heartbeats" in page
        assert "machine is up if it has sent a signed heartbeat within the last 60 s" in page
        assert "last beat 75 s ago" in page
        for path in ("/", "/committee", "/epochs/0", "/public", "/agreements?month=2024-11"):
            assert "machine" in client.get(path).text, path


def test_an_aggregators_look_has_its_detail_among_the_rounds(fleet: PaperFleet) -> None:
    probes = [
        answers.Probe(
            node_id=node_id,
            seen="down",
            reason=reason,
            latency_ms=3,
            clock_offset_ms=None,
            detail=detail,
        )
        for node_id, reason, detail in (
            ("target_1", "text_missing", "<html>Sorry"),
            ("target_2", "looking", ""),
        )
    ]
    round_ = answers.Round(
        number=100,
        start=int(fleet.now),
        probes=probes,
        begun_late_ms=0,
        took_ms=10,
        overran=False,
        skipped=0,
        note="",
        gatherings=[],
    )
    fleet.board.put(AggregatorReport("aggregator_0", "", rounds=Part((round_,), fleet.wall())))
    client = fleet.app().test_client()
    page = client.get("/rounds").text

    assert "&lt;html&gt;Sorry" in page
    assert "target_1 seen down (text missing)" in page
    assert [each["seen"] for each in client.get("/api/rounds").json["rounds"][0]["failed"]] == [
        "down",
        "unknown",
    ]


def test_the_end_of_a_certificate_is_not_earlier_than_an_honest_operator_saw(
    fleet: PaperFleet,
) -> None:
    now = int(fleet.now)
    soon, late = now + (WARN_DAYS - 1) * DAY, now + 90 * DAY
    fleet.seen_ends = {"operator_1": now - DAY}
    fleet.work()
    assert certificate(fleet.sources, "target_4", fleet.now) is None  # one may be faulty
    fleet.seen_ends = {"operator_1": now - DAY, "operator_2": late, "operator_3": late}
    fleet.work()
    found = certificate(fleet.sources, "target_4", fleet.now)
    assert found is not None
    assert (found.expires, found.is_warning, found.operators) == (late, False, 3)
    fleet.seen_ends = {"operator_1": now - DAY, "operator_2": soon, "operator_3": late}
    fleet.work()
    found = certificate(fleet.sources, "target_4", fleet.now)
    assert found is not None
    assert (found.expires, found.is_warning) == (soon, True)
    assert certificate(fleet.sources, "target_1", fleet.now) is None  # another kind of check

    page = fleet.app().test_client().get("/nodes/target_4").text
    assert "The TLS certificate expires soon" in page
    assert "Certificate expires" in page


def test_a_false_end_of_a_certificate_hides_nothing() -> None:
    found = answers.Seen.model_validate(
        {"status": "up", "reason": "answered", "at": 1, "certificate_expires": "never"}
    )

    assert (found.reason, found.certificate_expires) == ("answered", None)
