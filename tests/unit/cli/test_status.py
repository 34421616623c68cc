"""`dragon status`: 80 columns at 64 operators, exceptions by name, the verdict on the fleet."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from committees import make_members
from dragon.protocol.committee import Committee
from dragon_cli.fleet.approvals import Said
from dragon_cli.fleet.certifying import certifying
from dragon_cli.fleet.queries import ServiceView, View
from dragon_cli.fleet.standing import Standing
from dragon_cli.render.status import (
    certifying_lines,
    services_lines,
    standing_line,
    status_table,
)

SMALL = make_members().committee
SINCE = 1_732_522_000
LATE = "not_certifying: no checkpoint has been certified since 2024-11-25 08:06:50 UTC (108 s ago)"


def views(committee: Committee, **changes: object) -> list[View]:
    nodes = {node: {"node_id": node, "status": "up", "since": SINCE} for node in committee.urls}
    made = View("", size=7, root="0x" + "ab" * 32, nodes=nodes, checkpoint_age=40, round_age=3)
    return [replace(made, operator=operator, **changes) for operator in committee.keys]  # type: ignore[arg-type]


def printed(picture: RenderableType, width: int = 80) -> list[str]:
    output = StringIO()
    Console(file=output, width=width, highlight=False, soft_wrap=True).print(picture)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_64_operators_fit_80_columns() -> None:
    operators = tuple(
        replace(SMALL.operators[0], id=f"{'operator' * 3}_{n:02}", url=f"http://one:{n + 1}")
        for n in range(64)
    )
    committee = replace(SMALL, operators=operators)
    seen = views(committee)
    seen[5] = replace(seen[5], error="no answer in time")
    seen[6] = replace(seen[6], nodes={}, reasons=("ledger: 12 batches behind",))

    lines = printed(status_table(committee, seen, 0))

    assert max(map(len, lines[: lines.index("exceptions:")])) <= 80
    assert len(lines) < 64 + 12
    [row] = [line for line in lines if line.startswith(f"{operators[9].id} ")]
    assert row.split() == [
        operators[9].id, "up", "2024-11-25", "08:06:40", "UTC", "62", "of", "64",
    ]  # fmt: skip


def test_agreement_needs_no_further_line() -> None:
    assert [line.strip() for line in printed(status_table(SMALL, views(SMALL), 0))][-1] == (
        f"log: 7 entries, root 0x{'ab' * 8}…"
    )


def test_exceptions_are_listed_below_by_operator() -> None:
    seen = views(SMALL)
    down = {**seen[1].nodes, "operator_1": {"status": "down", "since": SINCE}}
    seen[1] = replace(seen[1], nodes=down, size=5)
    seen[2] = replace(seen[2], error="no answer: the connection was refused")
    seen[3] = replace(seen[3], root="0x" + "cd" * 32, reasons=("silent: \x1b[2J",))

    lines = printed(status_table(SMALL, seen, 0), 200)

    assert lines[lines.index("exceptions:") + 1 :] == [
        "  operator_2: its log has 2 entries fewer",
        "  operator_3: no answer: the connection was refused",
        "  operator_4: silent: �[2J",
        f"  operator_4: its log differs: root 0x{'cd' * 8}…",
        "  operator_1 is down in the log of operator_2",
    ]
    assert "2 of 4" in next(line for line in lines if line.startswith("operator_1"))


def test_one_reason_of_many_operators_is_one_line() -> None:
    seen = views(SMALL, reasons=(LATE,))

    lines = printed(status_table(SMALL, seen, 0), 200)

    assert lines[-1] == f"  operator_1, operator_2, operator_3, operator_4: {LATE}"


READY, NO_ANSWER = ServiceView("aggregator"), ServiceView("aggregator", error="no answer in time")
STREAMS = ServiceView("stream_api")


def test_a_fleet_that_certifies_is_green() -> None:
    found = certifying(SMALL, views(SMALL), [READY, STREAMS])

    assert found.faults == ()
    assert printed(certifying_lines(found)) == [
        "", "certifying (last checkpoint 40 s ago, last round 3 s ago)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "services", "fault"),
    [
        (views(SMALL), [NO_ANSWER, STREAMS], "no aggregator responds"),
        (views(SMALL, reasons=(LATE,)), [READY], LATE.removeprefix("not_certifying: ")),
        (views(SMALL), [replace(READY, reasons=(LATE,))], LATE.removeprefix("not_certifying: ")),
        (
            [*views(SMALL)[:2], *(replace(each, error="x") for each in views(SMALL)[2:])],
            [READY],
            "2 operators respond, and 3 must sign",
        ),
    ],
    ids=["no aggregator", "operators", "aggregator", "no quorum"],
)
def test_a_fleet_that_certifies_nothing_says_why(
    seen: list[View], services: list[ServiceView], fault: str
) -> None:
    assert certifying(SMALL, seen, services).faults == (fault,)


def test_a_fault_of_one_operator_or_one_aggregator_is_not_the_fleets() -> None:
    seen = views(SMALL)
    seen[3] = replace(seen[3], reasons=(LATE,))

    assert certifying(SMALL, seen, [READY, replace(NO_ANSWER, service="aggregator_1")]).faults == ()


@pytest.mark.parametrize("name", ["explorer", "stream_api"])
def test_a_service_that_certifies_nothing_does_not_change_the_verdict(name: str) -> None:
    silent = replace(NO_ANSWER, service=name)

    assert certifying(SMALL, views(SMALL), [READY, silent]).faults == ()
    assert f"  {name}: no answer in time" in printed(services_lines([READY, silent]))


def test_an_operator_that_states_no_age_is_no_fault() -> None:
    found = certifying(SMALL, views(SMALL, checkpoint_age=None, round_age=None), [READY])

    assert (found.faults, found.checkpoint_age) == ((), None)
    assert printed(certifying_lines(found)) == ["", "certifying"]


def test_services_are_lines_with_their_reasons() -> None:
    shown = printed(services_lines([READY, replace(STREAMS, reasons=("a: b", "c: d"))]), 200)

    assert shown == ["", "services:", "  aggregator: ready", "  stream_api: a: b; c: d"]


def test_a_service_that_works_in_spite_of_a_fault_is_degraded() -> None:
    faults = ("archive: no [connection]", "prover: a: no answer")

    shown = printed(services_lines([replace(STREAMS, degraded=faults)]), 200)
    assert shown[2:] == ["  stream_api: degraded: archive: no [connection]; prover: a: no answer"]

    not_ready = replace(STREAMS, reasons=("disk: full",), degraded=faults)
    assert printed(services_lines([not_ready]), 200)[2:] == ["  stream_api: disk: full"]


def said(count: int, **facts: object) -> list[Said]:
    told = {"epoch": 3, "committee": "0x" + "ab" * 32, "seat": SINCE, **facts}
    return [Said(operator, **told) for operator in list(SMALL.keys)[:count]]  # type: ignore[arg-type]


def line_of(*answers: Said) -> str:
    return standing_line(SMALL, Standing.of(SMALL, answers))


def test_epoch_seat_and_pending_approvals_are_one_line() -> None:
    following = "0x" + "12" * 32
    answers = said(4)
    approving = [replace(each, approved=following) for each in answers[:2]]

    line = line_of(*approving, *answers[2:])

    assert line == (
        "committee: epoch 3 since 2024-11-25 08:06:40 UTC in 4 of 4 logs; your file is of epoch 0: "
        "run `dragon committee update`; 2 of 3 needed say that they have approved "
        f"{' '.join(['1212'] * 10)}"
    )


def test_a_first_committee_without_approvals_is_a_short_line() -> None:
    assert line_of(*said(4, epoch=0)) == "committee: epoch 0 in 4 of 4 logs; no approval pending"


def test_approvals_of_logs_elsewhere_do_not_count() -> None:
    elsewhere = replace(said(1)[0], committee="0x" + "cd" * 32, approved="0x" + "12" * 32)
    silent = Said("operator_2", error="no answer")

    assert "in 2 of 4 logs; " in line_of(elsewhere, silent, *said(4)[2:])
    assert "approved" not in line_of(elsewhere, silent, *said(4)[2:])
    assert line_of(silent) == "committee: no operator says which one holds"
