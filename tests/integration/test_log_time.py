"""Logs never split on the ledger's clock, and nobody can make them vouch for a time unseen."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from committees import Members, make_members
from dragon.errors import LogDamaged
from dragon.log.archive import archive
from dragon.log.downtime import claim_at, settled_claim
from dragon.log.ledger import Position, ProvenBatch
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon_aggregator import outbox
from dragon_operator import journal_file
from simulation import World

OTHERS = ("operator_1", "operator_3", "operator_4")  # the quorum without operator_2


def number_now(world: World) -> int:
    return int(world.committee.rounds.number(world.clock.now))


def show_other_times(world: World, name: str, rng: random.Random) -> None:
    """Let the gateways of one service show other times, as genuine second proofs do."""
    client: Any = world.services[name].client
    poll = client.poll

    def with_other_times(after: Position, *rest: Any) -> Sequence[ProvenBatch]:
        batches = poll(after, *rest)
        return [
            replace(batch, time=max(0, batch.time + rng.randint(-400, 400))) for batch in batches
        ]

    client.poll = with_other_times


def test_logs_shown_other_ledger_times_are_equal(world: World) -> None:
    rng = random.Random(5)
    for name in ("operator_2", "operator_3", "aggregator_0"):
        show_other_times(world, name, rng)

    for _ in range(4):
        world.stop("operator_4")
        world.run(3)
        world.resume("operator_4")
        world.run(6)

    logs = [world.components(name).log for name in world.with_a_log()]
    shown = [[entry.ledger_time for entry in log.entries()] for log in logs]
    assert any(times != shown[0] for times in shown)
    assert {log.head() for log in logs} == {logs[0].head()}
    assert all(log.alarm() is None and not log.refusals() for log in logs)
    assert len(world.story("operator_1", "operator_4")) == 9


# -- hoarded and withheld certificates -------------------------------------------------------------


def hoard_checkpoints(world: World, sizes: Sequence[int]) -> list[Certificate]:
    """While nothing reaches the ledger, have a checkpoint of each size signed, when it is due."""
    log, rounds = world.components("operator_1").log, world.committee.rounds
    certificates, timestamp = [], log.state.checkpoint.timestamp
    for size in sizes:
        timestamp += rounds.unknown_after
        while world.clock.now < timestamp:
            world.clock.now += rounds.seconds
            for name in world.operators:
                world.components(name).peers.probe()
        world.clock.now = timestamp + 1.0
        claim = CheckpointClaim(size, log.head(size).root, timestamp)
        told = [world.post(name, "/attestations", claim.to_json()) for name in OTHERS]
        if all(answer.status_code == 200 for answer in told):
            certificates.append(world.members.certify(claim, OTHERS))
        else:
            assert {answer.json()["reason"] for answer in told} == {"no_change"}
    return certificates


def with_spare_entries(world: World) -> tuple[int, int]:
    """Make entries after the last checkpoint. Return that checkpoint's size, and the log's."""
    world.run(14)
    for _ in range(2):
        world.stop("operator_2")
        world.run(2)
        world.resume("operator_2")
        world.run(1)
    state = world.components("operator_1").log.state
    return state.checkpoint.size, state.size


def test_a_chain_hoarded_in_a_standstill_is_not_vouched_for(world: World) -> None:
    covered, size = with_spare_entries(world)
    log = world.components("operator_1").log
    begin, marks = log.state.checkpoint.timestamp, len(log.state.marks)
    world.stop("aggregator_0")  # from here on nothing is sent to the ledger
    hoarded = hoard_checkpoints(world, range(covered + 1, size + 1)[-6:])
    standstill = int(world.clock.now) - begin

    world.submit(*hoarded[:6])
    world.submit(*hoarded[6:])

    assert len(hoarded) > 3
    assert len(log.state.marks) - marks == 1
    assert set(log.refusals()) == {"not_later"}
    claim = claim_at(log, "operator_2", (begin, begin + standstill), size=log.state.size)
    assert claim.seconds_unknown >= standstill - world.committee.rounds.unknown_after


def test_an_operator_signs_no_checkpoint_that_leaves_out_the_last(world: World) -> None:
    """A checkpoint of the entries before the last one is refused, even when one is due."""
    world.run(14)
    log, rounds = world.components("operator_1").log, world.committee.rounds
    world.stop("aggregator_0")
    world.clock.now = log.state.checkpoint.timestamp + rounds.checkpoint_every + 1.0
    for name in world.operators:
        world.components(name).peers.probe()
    due = rounds.start(number_now(world))
    position = log.state.checkpoint.position

    def ask(size: int) -> tuple[int, str | None]:
        claim = CheckpointClaim(size, log.head(size).root, due)
        answer = world.post("operator_1", "/attestations", claim.to_json())
        return answer.status_code, answer.json().get("reason")

    assert position >= log.state.checkpoint.size
    assert ask(position) == (409, "no_change")
    assert ask(position + 1) == (200, None)


def withhold_a_blink(world: World) -> Certificate:
    """A genuine certificate of a `down` that has ended, and that the ledger does not have."""
    world.run(12)
    blink = world.members.status("operator_2", Status.DOWN, number_now(world), OTHERS)
    world.run(1)
    return world.journaled(blink)


def next_checkpoint_is_too_late(world: World, timestamp: int) -> bool:
    """Whether a checkpoint in the next round would make an event of `timestamp` stale."""
    rounds = world.committee.rounds
    last = world.components("operator_1").log.state.checkpoint.timestamp
    following = rounds.start(number_now(world) + 1)
    return bool(
        following >= last + rounds.checkpoint_every and following > timestamp + rounds.max_age
    )


def test_a_certificate_withheld_until_just_before_the_next_mark(world: World) -> None:
    """It shifts the transition by at most `max_age` and 15 rounds while the ledger works."""
    rounds = world.committee.rounds
    blink = withhold_a_blink(world)
    down = blink.claim.timestamp
    while not next_checkpoint_is_too_late(world, down):
        world.run(1)

    world.submit(blink)
    world.run(3)

    moves = world.components("operator_1").log.state.nodes["operator_2"]
    assert [str(move.status) for move in moves] == ["up", "down", "up"]
    shift = moves[-1].timestamp - down
    assert rounds.max_age < shift <= rounds.max_age + 15 * rounds.seconds


def test_a_certificate_withheld_until_after_the_next_mark_is_stale(world: World) -> None:
    blink = withhold_a_blink(world)
    while not next_checkpoint_is_too_late(world, blink.claim.timestamp):
        world.run(1)
    world.run(1)

    world.submit(blink)

    assert world.statuses("operator_1")["operator_2"] == "up"
    assert world.components("operator_1").log.refusals() == {"stale": 1}


def test_totals_settle_about_max_age_and_13_rounds_later(world: World) -> None:
    rounds, log = world.committee.rounds, world.components("operator_1").log
    world.run(20)
    end = int(world.clock.now)
    while log.state.settling(end) is None:
        world.run(1)

    took = world.clock.now - end
    claims = {
        settled_claim(
            world.components(name).log,
            "operator_2",
            (end - 60, end),
            world.clock.now,
        )
        for name in world.with_a_log()
    }

    assert rounds.max_age < took <= rounds.max_age + 14 * rounds.seconds
    assert len(claims) == 1


# -- a reset ledger --------------------------------------------------------------------------------


def refounded(members: Members) -> Members:
    """The same operators and keys with a new genesis, and so with another id."""
    rounds = members.committee.rounds
    later = replace(rounds, genesis=rounds.start(1000))
    return replace(members, committee=replace(members.committee, rounds=later))


def after_a_reset(folder: Path) -> tuple[Members, Certificate]:
    """Reset a network and archive every log. Return the committee and its last checkpoint."""
    members = make_members()
    with World(folder, members, verify_at_end=False) as world:
        world.run(14)
        log = world.components("operator_1").log
        old = log.entry(log.state.checkpoint.position).event
        world.network.reset()
        services = world.with_a_log()
    for name in services:
        file = world.database_file(name)
        archive(file, [*outbox.ARCHIVE_CLEARS, *journal_file.ARCHIVE_CLEARS])
        journal_file.archive_journal(file)
    return members, old


def test_archive_needs_a_new_committee(tmp_path: Path) -> None:
    """Under the old id, anyone could stop the new log with an old checkpoint."""
    members, _ = after_a_reset(tmp_path)

    before = sorted(tmp_path.iterdir())
    with pytest.raises(LogDamaged, match="was archived and cannot begin again"):
        World(tmp_path, members)

    journals = {path for path in tmp_path.iterdir() if path.name.endswith("-journal.db")}
    assert journals <= set(before), "a journal of the archived committee was created"


def test_old_checkpoint_on_a_reset_ledger(tmp_path: Path) -> None:
    members, old = after_a_reset(tmp_path)
    with World(tmp_path, refounded(members)) as world:
        world.submit(old)
        world.run(14)
        world.submit(old)

        log = world.components("operator_1").log
        assert log.alarm() is None
        assert log.refusals() == {"wrong_committee": 2}
        assert world.statuses("operator_1") == dict.fromkeys(world.operators, "up")
