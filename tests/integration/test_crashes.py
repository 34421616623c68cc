"""Crashes at any line, and faults of the sequencer: all logs end identical and correct.

Every test ends with an audit: each log is verified from its first entry, and all are compared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from dragon.encoding import canonical, to_hex
from dragon.errors import LogDamaged
from dragon.log.archive import archive
from dragon.log.audit import audit
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.store import Log
from dragon.protocol import bls
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon_aggregator import outbox
from dragon_operator import journal
from dragon_operator.journal import Journal
from dragon_operator.journal_file import archive_journal
from simulation import World


class Killed(BaseException):
    """Stands for `kill -9` at some line: our code never catches it."""


def claim_now(world: World, status: Status, node_id: str = "operator_2") -> StatusClaim:
    rounds = world.committee.rounds
    return StatusClaim(node_id, status, rounds.start(rounds.number(world.clock.now)))


def ask(world: World, operator: str, claim: StatusClaim) -> tuple[int, str]:
    """The response status, and the signature or the refusal reason."""
    answer = world.post(operator, "/attestations", claim.to_json())
    body = answer.json()
    return answer.status_code, body.get("signature") or body["reason"]


# The journal


def test_the_same_decision_is_signed_again_on_request(world: World) -> None:
    world.stop("operator_2")
    claim = claim_now(world, Status.DOWN)

    answers = {ask(world, "operator_1", claim) for _ in range(3)}

    assert len(answers) == 1
    assert next(iter(answers))[0] == 200


def test_equivocation_is_refused_across_kill_9(world: World) -> None:
    """The node comes back in the same round for which `down` was signed."""
    world.stop("operator_2")
    assert ask(world, "operator_1", claim_now(world, Status.DOWN))[0] == 200

    world.restart("operator_1")
    world.resume("operator_2")

    assert ask(world, "operator_1", claim_now(world, Status.UP)) == (409, "equivocation")
    assert ask(world, "operator_1", claim_now(world, Status.DOWN))[0] == 200


def test_a_decision_is_on_disk_before_the_signature_exists(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stop("operator_2")
    claim, genuine = claim_now(world, Status.DOWN), bls.SecretKey.sign

    def killed_while_signing_the_claim(self: bls.SecretKey, message: bytes) -> bytes:
        if message == claim.root(world.committee.id):
            raise Killed
        return genuine(self, message)

    monkeypatch.setattr(bls.SecretKey, "sign", killed_while_signing_the_claim)
    with pytest.raises(Killed):
        world.components("operator_1").attester.attest(claim)
    monkeypatch.undo()

    world.restart("operator_1")
    world.resume("operator_2")
    assert ask(world, "operator_1", claim_now(world, Status.UP)) == (409, "equivocation")


def test_a_crash_between_journal_and_response_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = Journal.decide

    def decide_and_die(self: Journal, claim: StatusClaim, log_time: int) -> None:
        genuine(self, claim, log_time)
        raise Killed

    world.stop("operator_2")
    monkeypatch.setattr(Journal, "decide", decide_and_die)
    with pytest.raises(Killed):
        world.components("operator_1").attester.attest(claim_now(world, Status.DOWN))
    monkeypatch.undo()

    world.restart("operator_1")
    world.run(2)

    assert world.statuses("operator_1")["operator_2"] == "down"


def test_a_return_is_signed_while_the_outage_is_not_yet_applied(world: World) -> None:
    """The ledger stalls, and the node comes back. Its return must still be certified."""
    world.network.set_faults(stalled=True)
    world.stop("operator_2")
    world.run(2)
    world.resume("operator_2")

    world.run(2)
    world.network.set_faults(stalled=False)
    world.run(2)

    assert [status for status, _ in world.story("operator_1", "operator_2")] == ["up", "down", "up"]


def test_a_claim_without_a_change_is_refused(world: World) -> None:
    assert ask(world, "operator_1", claim_now(world, Status.UP)) == (409, "no_change")


def test_a_claim_about_a_past_round_is_refused(world: World) -> None:
    world.stop("operator_2")
    claim = claim_now(world, Status.DOWN)

    world.clock.sleep(2 * world.committee.rounds.seconds)

    assert ask(world, "operator_1", claim) == (409, "off_round")


# Aggregator and outbox


@pytest.mark.unbroken
def test_an_aggregator_killed_between_certificate_and_submission_loses_nothing(
    world: World,
) -> None:
    world.stop("operator_2")
    world.components("aggregator_0").monitor.run_round(
        world.committee.rounds.number(world.clock.now) + 1
    )
    assert len(world.components("aggregator_0").outbox.pending()) == 1
    assert world.statuses("operator_1")["operator_2"] == "up"

    world.restart("aggregator_0")
    world.settle()

    assert world.statuses("operator_1")["operator_2"] == "down"


def test_an_aggregator_killed_before_storing_the_certificate_certifies_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    world.stop("operator_2")
    monkeypatch.setattr("dragon_aggregator.outbox.Outbox.add", die)
    with pytest.raises(Killed):
        world.run(1)
    monkeypatch.undo()

    world.restart("aggregator_0")
    world.run(2)

    assert world.statuses("operator_1")["operator_2"] == "down"


def test_an_event_sent_twice_after_a_crash_is_applied_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    world.stop("operator_2")
    monkeypatch.setattr("dragon_aggregator.outbox.Outbox.mark_sent", die)
    with pytest.raises(Killed):
        world.run(1)
    monkeypatch.undo()

    world.restart("aggregator_0")
    world.settle()
    world.run(2)

    assert len(world.entries("operator_1")) == 5
    assert set(world.components("operator_1").log.refusals()) <= {"applied_already"}


# Operator and log


@pytest.mark.parametrize("line", ["entry_table.append", "cursor.advance_cursor"])
def test_an_operator_killed_before_the_commit_of_a_batch_ends_with_the_same_log(
    world: World, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    rounds = world.committee.rounds
    down = world.members.status("operator_2", Status.DOWN, rounds.number(world.clock.now))
    world.network.submit(world.committee.sequencer.app, canonical([down.to_json()]).decode())
    world.clock.sleep(1)
    world.network.finalize_due()
    monkeypatch.setattr(f"dragon.log.{line}", die)
    with pytest.raises(Killed):
        world.components("operator_1").follower.step()
    monkeypatch.undo()

    world.restart("operator_1", reads=False)
    assert len(world.entries("operator_1")) == 4
    world.settle()

    assert world.entries("operator_1") == world.entries("operator_3")
    assert len(world.entries("operator_1")) == 5


# The sequencer


def test_a_dropped_batch_is_sent_again(world: World) -> None:
    world.network.set_faults(drop=1)
    world.stop("operator_2")

    world.run(1)
    assert world.statuses("operator_1")["operator_2"] == "up"
    world.run(3)

    assert world.statuses("operator_1")["operator_2"] == "down"
    assert len(world.entries("operator_1")) == 5


@pytest.mark.unbroken
def test_a_repeated_batch_is_applied_once(world: World) -> None:
    world.network.set_faults(repeat=1)
    world.stop("operator_2")

    world.run(2)

    assert len(world.entries("operator_1")) == 5
    assert world.components("operator_1").log.refusals() == {"applied_already": 1}


def test_reordered_batches_leave_all_logs_identical(world: World) -> None:
    """Only events of different nodes can arrive in reverse: one node's are sent one at a time."""
    world.network.set_faults(reorder=True)
    world.stop("operator_2")
    world.run(2)
    world.resume("operator_2")
    world.run(3)

    assert [status for status, _ in world.story("operator_4", "operator_2")] == ["up", "down", "up"]


def test_a_paused_sequencer_loses_nothing(world: World) -> None:
    world.network.set_faults(paused=True)
    world.stop("operator_2")
    world.run(2)

    world.network.set_faults(paused=False)
    world.run(2)

    assert world.statuses("operator_1")["operator_2"] == "down"


def test_a_tampered_page_is_not_applied(world: World) -> None:
    world.stop("operator_2")
    world.network.set_faults(tamper="body")

    world.run(1)
    assert world.statuses("operator_1")["operator_2"] == "up"
    world.network.set_faults(tamper="")
    world.run(2)

    assert world.statuses("operator_1")["operator_2"] == "down"


def test_a_batch_whose_proof_lacks_stake_is_not_applied(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.network.set_faults(tamper="nonsigners")

        world.run(3)

        assert world.entries("operator_1") == []


def test_a_ledger_stall_beyond_max_age_loses_no_change(world: World) -> None:
    """Log time stands still too, so the certificate made at its beginning is applied after it."""
    world.network.set_faults(stalled=True)
    world.stop("operator_2")
    stalled = world.committee.rounds.max_age // world.committee.rounds.seconds + 4
    begun = world.committee.rounds.number(world.clock.now)
    world.run(stalled)

    world.network.set_faults(stalled=False)
    world.run(4)

    _, (status, down) = world.story("operator_1", "operator_2")
    assert status == "down"
    assert begun <= down <= begun + 2
    assert world.components("aggregator_0").outbox.pending() == []


def test_a_ledger_outage_beyond_max_age_loses_no_change(world: World) -> None:
    world.stop("sequencer")
    world.stop("operator_2")
    world.run(world.committee.rounds.max_age // world.committee.rounds.seconds + 4)

    world.resume("sequencer")
    world.run(4)

    assert world.statuses("operator_1")["operator_2"] == "down"
    assert world.components("aggregator_0").outbox.pending() == []


# A network that was reset


def test_a_ledger_that_was_reset_raises_an_alarm(world: World) -> None:
    before = world.components("operator_1").log.head()
    world.network.reset()
    for _ in range(8):  # other content at the same indices, with valid proofs
        world.network.submit(world.committee.sequencer.app, '[{"kind":"other"}]')
        world.clock.sleep(1)
        world.network.finalize_due()

    world.run(4)

    alarm = world.components("operator_1").log.alarm()
    assert alarm is not None
    assert alarm.reason == "ledger_rewritten"
    assert "entry 0 is the first" in alarm.detail
    assert world.components("operator_1").log.head() == before
    reasons = world.get("operator_1", "/readyz").json()["reasons"]
    assert reasons[0].startswith("alarm: ledger_rewritten")


@pytest.mark.unbroken
def test_an_operator_that_is_ahead_of_an_emptied_ledger_is_not_ready(world: World) -> None:
    """There is no alarm yet: nothing proves that the history is gone and not just late."""
    before = world.components("operator_1").log.head()
    world.network.reset()
    world.stop("aggregator_0")

    world.run(8)

    answer = world.get("operator_1", "/readyz")
    assert answer.status_code == 503
    assert "ledger: no gateway is further than 0, and 2 were read" in answer.json()["reasons"]
    assert world.components("operator_1").log.head() == before


def test_an_aggregator_goes_on_while_others_keep_the_ledger_busy(world: World) -> None:
    """Every poll returns one more batch, so no poll comes back empty."""
    world.restart("aggregator_0")
    follower, poll = (
        world.components("aggregator_0").follower,
        world.services["aggregator_0"].client.poll,
    )

    def always_one_more(after: Position, *kept: Any) -> Sequence[ProvenBatch]:
        world.network.submit(world.committee.sequencer.app, "0")
        world.clock.sleep(0.3)
        world.network.finalize_due()
        return poll(after, *kept)

    world.services["aggregator_0"].client.poll = always_one_more  # type: ignore[method-assign]
    for _ in range(12):
        follower.step()

    assert follower.has_read_all
    assert follower.caught_up


def test_under_an_alarm_nothing_is_applied_but_status_is_still_attested(world: World) -> None:
    world.components("operator_1").log.raise_alarm("ledger_rewritten", "a test says so")
    world.stop("operator_2")

    world.run(2)

    assert world.statuses("operator_3")["operator_2"] == "down"
    assert world.statuses("operator_1")["operator_2"] == "up"
    assert "operator_1" in world.entries("operator_3")[-1].event.signers


def test_an_alarm_survives_a_restart(world: World) -> None:
    world.components("operator_1").log.raise_alarm("ledger_rewritten", "a test says so")

    world.restart("operator_1")

    assert world.get("operator_1", "/readyz").status_code == 503


def test_after_a_reset_the_refounded_committee_starts_with_new_logs_and_journals(
    tmp_path: Path,
) -> None:
    """To end the alarm, archive the logs and give the committee a new genesis."""
    with World(tmp_path, make_members(4), verify_at_end=False) as old:
        old.run(2)
        old.network.reset()
        old.run(8)
        services, later = [*old.operators, *old.aggregators], int(old.clock.now) + 5
        assert old.components("operator_1").log.alarm() is not None
    files = [old.database_file(name) for name in services]
    tables = [*outbox.ARCHIVE_CLEARS, *journal.ARCHIVE_CLEARS]

    copies = [archive(file, tables) for file in files]
    journals = [archive_journal(file) for file in files]

    assert [audit(copy, old.committee).size for copy in copies] == [4] * 5
    assert [each is not None for each in journals] == [True] * 4 + [False]
    with World(tmp_path, make_members(4, genesis=later)) as new:
        new.run(3)
        assert new.components("operator_1").log.alarm() is None
        assert new.statuses("operator_1") == dict.fromkeys(new.operators, "up")


def test_an_operator_that_lost_its_log_signs_for_it_once_it_is_read_again(world: World) -> None:
    world.run(14)
    claim = due_checkpoint(world, "operator_1")
    assert post(world, "operator_1", claim) == "signed"
    lose_log(world, "operator_1")

    reasons = world.get("operator_1", "/readyz").json()["reasons"]
    assert f"log: this log is shorter than the {claim.size} entries" in " ".join(reasons)
    world.components("operator_1").follower.catch_up()

    assert world.get("operator_1", "/readyz").json()["reasons"] == []
    assert post(world, "operator_1", claim) == "signed"


def test_an_operator_that_lost_its_log_signs_for_no_log_of_a_reset_ledger(tmp_path: Path) -> None:
    """Its journal no longer contains the decisions of the old log, only that log's root."""
    with World(tmp_path, make_members(4), verify_at_end=False) as world:
        world.run(14)
        claim = due_checkpoint(world, "operator_1")
        assert post(world, "operator_1", claim) == "signed"
        world.network.reset()
        lose_log(world, "operator_1")
        number = world.committee.rounds.number(world.clock.now)
        for at in range(claim.size + 1):
            status = Status.DOWN if at % 2 else Status.UP
            world.submit(world.members.status("operator_2", status, number - 10 + at))
        log = world.components("operator_1").log
        head = log.head(claim.size)

        other = replace(claim, log_root=head.root)
        reasons = world.get("operator_1", "/readyz").json()["reasons"]

        assert log.alarm() is None
        assert post(world, "operator_1", other) == "behind"
        assert any(each.startswith("log: this log has the root") for each in reasons)


def due_checkpoint(world: World, name: str) -> CheckpointClaim:
    """The claim on the whole log of an operator, at its earliest time, which becomes now."""
    last, rounds = world.checkpoints(name)[-1], world.committee.rounds
    head = world.components(name).log.head()
    timestamp = last.timestamp + rounds.checkpoint_every
    world.clock.now = float(timestamp + 1)
    world.confirm_clocks(again=True)
    return CheckpointClaim(head.size, head.root, timestamp)


def post(world: World, name: str, claim: CheckpointClaim) -> str:
    """Request an attestation. Return "signed" or the refusal reason."""
    answer = world.post(name, "/attestations", claim.to_json())
    return "signed" if answer.status_code == 200 else str(answer.json()["reason"])


def lose_log(world: World, name: str) -> None:
    """Restart an operator with its journal, but without its database."""
    world.crash(name)
    file = world.database_file(name)
    for path in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        path.unlink(missing_ok=True)
    world.start(name, reads=False)


def test_a_log_in_use_is_not_archived(world: World) -> None:
    with pytest.raises(LogDamaged, match="stop the service that uses it"):
        archive(world.database_file("operator_1"))


def test_a_log_of_another_committee_is_refused(world: World) -> None:
    with closing(sqlite3.connect(world.database_file("operator_1"))) as database, database:
        database.execute("UPDATE cursor SET network = '0x00'")
    running = world.services["operator_1"]

    with pytest.raises(LogDamaged, match="belongs to network 0x00"):
        Log(running.databases[0], world.committee)

    with closing(sqlite3.connect(world.database_file("operator_1"))) as database, database:
        owner = to_hex(world.committee.network_id)
        database.execute("UPDATE cursor SET network = ?", (owner,))
