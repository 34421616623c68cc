"""What operators say about next committees: counted, compared, and never taken for certified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerting import PaperFleet, config
from committees import secret
from dragon.encoding import to_hex
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee, short_id
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.live import answers, approved_files
from dragon_explorer.live.approved_files import ApprovedFiles
from dragon_explorer.live.board import OperatorReport, Part
from dragon_explorer.views.health import operator_state
from dragon_explorer.views.proposals import next_operators, proposals
from wsgi import WsgiAdapter

FOREIGN = "0x" + "cd" * 32


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[PaperFleet]:
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as made:
        made.up("target_1")
        made.pass_time(5)
        yield made


@pytest.fixture
def following(fleet: PaperFleet) -> Committee:
    found: Committee = fleet.following(add=["operator_5"]).committee
    return found


def get(fleet: PaperFleet, path: str) -> Any:
    return fleet.app().test_client().get(path)


def says(fleet: PaperFleet, operator: str, **members: Any) -> OperatorReport:
    """Let an operator answer `/committee` with these members. Returns its report."""
    told = {
        "network": to_hex(fleet.committee.network_id),
        "epoch": fleet.committee.epoch,
        "committee": to_hex(fleet.committee.id),
        "approved": {},
    }
    state = answers.CommitteeState.model_validate({**told, **members})
    before = fleet.board.operator(operator)
    assert before is not None
    report = replace(before, committee=Part(state, fleet.wall()))
    fleet.board.put(report)
    return report


def test_approvals_are_counted(fleet: PaperFleet, following: Committee) -> None:
    fleet.approved = {"operator_1": following, "operator_2": following}
    fleet.pass_time(2)

    [found] = proposals(fleet.sources, fleet.now)

    assert found.sentence == f"2 of 3 needed say that they have approved {short_id(following.id)}"
    assert [(each.operator, each.says) for each in found.operators] == [
        ("operator_1", "approved"),
        ("operator_2", "approved"),
        ("operator_3", "nothing"),
        ("operator_4", "nothing"),
    ]
    assert (found.members, found.acceptances_needed) == (5, 4)
    assert "operator operator_5" in {each.what for each in found.differences}
    text = get(fleet, "/committee").text
    assert found.sentence in text
    assert "operator operator_5 joins: http://operator-5:5000" in text
    metrics = get(fleet, "/metrics").text
    assert "datadragon_explorer_approvals 2.0" in metrics
    assert "datadragon_explorer_approvals_needed 3.0" in metrics


def test_one_says_so_alone(fleet: PaperFleet, following: Committee) -> None:
    fleet.approved = {"operator_1": following}
    fleet.pass_time(2)

    [found] = proposals(fleet.sources, fleet.now)

    assert found.sentence.startswith("1 of 3 needed says that it has approved ")
    assert not found.is_believable


def test_an_operator_speaks_for_its_own_owner_only(fleet: PaperFleet) -> None:
    says(fleet, "operator_1", approved=dict.fromkeys(fleet.committee.keys, FOREIGN))

    [found] = proposals(fleet.sources, fleet.now)

    assert found.approved == 1
    assert not found.is_known
    assert "has handed out the file" in get(fleet, "/committee").text


def test_an_approval_of_a_log_elsewhere_does_not_count(
    fleet: PaperFleet, following: Committee
) -> None:
    says(fleet, "operator_1", committee=FOREIGN, approved={"operator_1": to_hex(following.id)})
    says(fleet, "operator_2", approved={"operator_2": to_hex(following.id)})

    [found] = proposals(fleet.sources, fleet.now)

    assert found.approved == 1
    assert found.operators[0].says == "elsewhere"


def test_a_committee_that_holds_is_no_proposal(fleet: PaperFleet) -> None:
    says(fleet, "operator_1", approved={"operator_1": to_hex(fleet.committee.id)})

    assert proposals(fleet.sources, fleet.now) == ()
    assert "Next committee" not in get(fleet, "/committee").text


def test_old_answers_do_not_count(fleet: PaperFleet, following: Committee) -> None:
    says(fleet, "operator_1", approved={"operator_1": to_hex(following.id)})

    assert proposals(fleet.sources, fleet.now + 60) == ()


def test_a_file_that_cannot_follow_is_shown_with_the_reason(fleet: PaperFleet) -> None:
    stranger = fleet.following(network=bytes(31) + b"x").committee
    fleet.approved = dict.fromkeys(fleet.committee.keys, stranger)
    fleet.pass_time(2)

    [found] = proposals(fleet.sources, fleet.now)

    assert "must have the network" in found.fault
    assert list(next_operators(fleet.sources, fleet.now)) == []
    assert "It cannot follow this committee:" in get(fleet, "/committee").text


def test_few_of_many_proposals_are_shown(fleet: PaperFleet) -> None:
    for number, operator in enumerate(fleet.committee.keys):
        says(fleet, operator, approved={operator: f"0x{number:064x}"})

    found = proposals(fleet.sources, fleet.now)

    assert len(found) == 4
    assert all(each.approved == 1 for each in found)


# Newcomers


def test_newcomers_are_contacted_when_an_honest_operator_names_them(
    fleet: PaperFleet, following: Committee
) -> None:
    """One of four may lie: alone it must not let the explorer send requests anywhere."""
    fleet.approved = {"operator_1": following}
    fleet.pass_time(2)
    assert list(next_operators(fleet.sources, fleet.now)) == []

    fleet.approved["operator_2"] = following
    fleet.pass_time(2)

    assert [each.id for each in next_operators(fleet.sources, fleet.now)] == ["operator_5"]


def test_a_newcomer_in_step_is_told_before_its_seat(
    fleet: PaperFleet, following: Committee
) -> None:
    fleet.approved = {"operator_1": following, "operator_2": following}
    fleet.pass_time(2)
    head = fleet.log.head()
    own = answers.LogHead(size=head.size, root=to_hex(head.root), ledger_index=0)
    fleet.board.put(OperatorReport("operator_5", "http://x", head=Part(own, fleet.wall())))

    [found] = proposals(fleet.sources, fleet.now)

    [newcomer] = found.newcomers
    assert (newcomer.operator, newcomer.is_asked, newcomer.is_in_step) == ("operator_5", True, True)
    assert "in step" in get(fleet, "/committee").text


def test_a_rotated_key_must_accept_and_needs_no_further_contact(fleet: PaperFleet) -> None:
    rotated = fleet.following(rotate={"operator_2": secret("new")}).committee
    fleet.approved = dict.fromkeys(["operator_1", "operator_3"], rotated)
    fleet.pass_time(2)

    [found] = proposals(fleet.sources, fleet.now)

    assert [each.operator for each in found.newcomers] == ["operator_2"]
    assert list(next_operators(fleet.sources, fleet.now)) == []


# Logs that pass a handover a second apart


def test_an_operator_ahead_by_a_handover_is_not_foreign(fleet: PaperFleet) -> None:
    head = fleet.log.head()
    ahead = answers.LogHead(
        size=head.size + 2, root=to_hex(head.root), ledger_index=0, committee=FOREIGN
    )
    report = says(fleet, "operator_1", committee=FOREIGN)
    fleet.board.put(replace(report, head=Part(ahead, fleet.wall())))

    assert operator_state(fleet.sources, "operator_1", "", fleet.now).agreement == "ahead"

    fleet.board.put(
        replace(
            says(fleet, "operator_1", network=FOREIGN, committee=FOREIGN),
            head=Part(ahead, fleet.wall()),
        )
    )
    assert operator_state(fleet.sources, "operator_1", "", fleet.now).agreement == "foreign"


def test_an_operator_that_has_not_passed_a_handover_is_not_foreign(fleet: PaperFleet) -> None:
    head, before = fleet.log.head(), to_hex(fleet.committee.id)
    fleet.hand_over(add=["operator_5"])
    late = answers.LogHead(size=head.size, root=to_hex(head.root), ledger_index=0, committee=before)
    fleet.board.put(OperatorReport("operator_1", "", head=Part(late, fleet.wall())))

    assert operator_state(fleet.sources, "operator_1", "", fleet.now).agreement == "equal"


# Files


class Objects:
    """A service that hands out one committee file under every hash."""

    def __init__(self, file: Committee) -> None:
        self.file, self.asked = file, 0

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.asked += 1
        body = self.file.encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


def test_files_are_fetched_by_hash_and_rarely(fleet: PaperFleet, following: Committee) -> None:
    service = Objects(following)
    http = HttpClient(WsgiAdapter({"operator-1:1": service}).session())
    files = ApprovedFiles(fleet.log, http, lambda: fleet.now)

    def note(named: str) -> None:
        report = says(fleet, "operator_1", approved={"operator_1": named})
        files.note(replace(report, url="http://operator-1:1"))

    note(FOREIGN)  # the file has another hash
    assert files.file(FOREIGN) is None
    note(to_hex(following.id))  # too soon
    assert (files.file(to_hex(following.id)), service.asked) == (None, 1)

    fleet.now += approved_files.RETRY_SECONDS
    note(to_hex(following.id))
    note(to_hex(following.id))
    assert (files.file(to_hex(following.id)), service.asked) == (following, 2)


def test_files_that_nobody_can_read_are_none(fleet: PaperFleet) -> None:
    http = HttpClient(WsgiAdapter({}).session())
    files = ApprovedFiles(fleet.log, http, lambda: fleet.now)

    files.note(says(fleet, "operator_1", approved={"operator_1": FOREIGN}))
    files.note(says(fleet, "operator_2"))

    assert files.file(FOREIGN) is None
