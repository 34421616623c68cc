"""Announced maintenance in a log that passes handovers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from committees import make_members, secret
from dragon import errors
from dragon.log.audit import audit
from dragon.log.store import Log
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.maintenance import Maintenance
from dragon.protocol.trust import Trust
from epoch_log import EpochLog, opened

MEMBERS = make_members(4, targets=2, owners=2, maintenance_notice=5)
ROUNDS = MEMBERS.committee.rounds
UP, DOWN = Status.UP, Status.DOWN


@pytest.fixture
def made(tmp_path: Path) -> Iterator[EpochLog]:
    """A log in which two targets and an operator are down from round 2 on."""
    with opened(tmp_path / "operator.db", MEMBERS) as log:
        for node_id in ("target_1", "target_2", "operator_2"):
            log.status(UP, 1, node_id)
            log.status(DOWN, 2, node_id)
        log.checkpoint(3)
        yield log


def announced(
    made: EpochLog, node_id: str, first: int, last: int, key: str | None = None
) -> Maintenance:
    """A window from the start of one round to that of another, announced now."""
    start = ROUNDS.start
    claim = MaintenanceClaim(node_id, start(first), start(last), made.log.state.log_time)
    if key is None:
        return made.newest.announce(claim)
    return Maintenance.sign(claim, secret(key), made.newest.committee.id)


def maintenance(log: Log, node_id: str, first: int, last: int) -> int:
    interval = (ROUNDS.start(first), ROUNDS.start(last))
    return log.totals(log.state.size, node_id, interval).seconds_maintenance


def test_announcements_of_a_rotated_speaker_stay(made: EpochLog) -> None:
    made.take(announced(made, "operator_2", 8, 12))

    made.hand_over(6, rotate={"operator_2": secret("operator_2 again")})
    made.take(announced(made, "operator_2", 14, 16))
    made.checkpoint(20)

    windows = [each.position for each in made.log.state.announced("operator_2").latest]
    assert windows == [7, 9]
    assert maintenance(made.log, "operator_2", 0, 20) == 5 * (4 + 2)


def test_old_key_of_a_rotated_speaker_announces_nothing(made: EpochLog) -> None:
    made.hand_over(6, rotate={"operator_2": secret("operator_2 again")})

    forged = announced(made, "operator_2", 14, 16, key="operator_2")

    with pytest.raises(errors.BadSignature):
        forged.verify(made.newest.committee)
    with pytest.raises(AssertionError, match="bad_signature"):
        made.take(forged)


def test_an_announcement_in_flight_is_superseded(made: EpochLog) -> None:
    before = announced(made, "target_1", 14, 16)

    made.hand_over(6, add=["operator_5"])

    with pytest.raises(AssertionError, match="superseded"):
        made.take(before)
    made.take(announced(made, "target_1", 14, 16))


def test_a_removed_node_is_in_maintenance_until_it_is_removed(made: EpochLog) -> None:
    made.take(announced(made, "target_2", 8, 16))

    made.hand_over(12, targets=made.newest.committee.targets[:1])
    made.checkpoint(20)

    assert maintenance(made.log, "target_2", 0, 20) == 5 * 4
    assert len(made.log.announcements("target_2")) == 1
    claim = MaintenanceClaim("target_2", ROUNDS.start(30), ROUNDS.start(31), ROUNDS.start(20))
    late = Maintenance.sign(claim, secret("owner_2"), made.newest.committee.id)
    with pytest.raises(AssertionError, match="unknown_node"):
        made.take(late)


def test_the_notice_is_that_of_the_committee_that_holds(made: EpochLog) -> None:
    made.take(announced(made, "target_1", 4, 5))

    made.hand_over(6, maintenance_notice=100)

    with pytest.raises(AssertionError, match="too_late"):
        made.take(announced(made, "target_1", 25, 26))
    made.take(announced(made, "target_1", 26, 27))


def test_a_node_is_listed_since_the_seat_of_the_first_committee_that_lists_it(
    made: EpochLog,
) -> None:
    made.hand_over(6, add=["operator_5"])
    made.hand_over(8, drop=["operator_1"])

    listed = made.log.state.listed_since
    assert listed["operator_5"] == ROUNDS.start(6)
    assert listed["operator_1"] == listed["target_1"] == ROUNDS.genesis


def test_an_announcement_of_an_older_committee_needs_an_anchor(made: EpochLog) -> None:
    [entry] = made.take(announced(made, "target_1", 8, 12))
    made.hand_over(6, add=["operator_5"])
    made.checkpoint(20)
    trust = Trust(made.lineage())

    anchored = made.log.anchored(entry.position)
    assert isinstance(anchored, ProvenEntry)
    assert anchored.verify(trust) == MEMBERS.committee
    with pytest.raises(errors.Superseded):
        made.log.proven(entry.position).verify(trust)


def test_an_audit_replays_announcements(made: EpochLog) -> None:
    made.take(announced(made, "target_1", 8, 12), announced(made, "operator_2", 8, 12))
    made.hand_over(6, add=["operator_5"])
    made.take(announced(made, "target_1", 14, 16))
    made.checkpoint(20)

    for batched in (True, False):
        found = audit(made.path, made.lineage(), batched=batched)
        assert found.state == made.log.state
        assert found.state.listed_since == made.log.state.listed_since
