"""Decisions never change: across reopening, `kill -9` and eight concurrent threads."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from committees import make_members
from dragon.errors import AttestationRefused
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.storage.database import Database
from dragon_operator.journal import MAX_ROUNDS_BEHIND, SCHEMA, Journal

ROOT = Path(__file__).parents[3]
ROUNDS = make_members().committee.rounds
NODE = "operator_2"
UP, DOWN = Status.UP, Status.DOWN


def claim(round_: int, status: Status = DOWN, node_id: str = NODE) -> StatusClaim:
    return StatusClaim(node_id, status, ROUNDS.start(round_))


@contextmanager
def opened(path: Path) -> Iterator[Journal]:
    database = Database(path, SCHEMA)
    try:
        yield Journal(database, ROUNDS)
    finally:
        database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "operator.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with opened(path) as journal:
        yield journal


def rows(path: Path) -> list[tuple[str, int, str]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT * FROM journal_status ORDER BY round, node_id").fetchall()


def test_a_decision_is_recalled(journal: Journal) -> None:
    assert journal.recall(NODE, 7) is None

    journal.decide(claim(7))

    assert journal.recall(NODE, 7) is DOWN
    assert journal.recall(NODE, 8) is None
    assert journal.recall("operator_1", 7) is None


def test_a_decision_survives_reopening(path: Path) -> None:
    with opened(path) as journal:
        journal.decide(claim(7))

    with opened(path) as journal:
        assert journal.recall(NODE, 7) is DOWN
        with pytest.raises(AttestationRefused):
            journal.decide(claim(7, UP))


@pytest.mark.parametrize(("first", "then"), [(UP, DOWN), (DOWN, UP)])
def test_the_opposite_decision_about_one_round_is_equivocation(
    journal: Journal, path: Path, first: Status, then: Status
) -> None:
    journal.decide(claim(7, first))

    with pytest.raises(AttestationRefused) as refused:
        journal.decide(claim(7, then))

    assert refused.value.reason == "equivocation"
    assert rows(path) == [(NODE, 7, str(first))]


def test_the_same_decision_may_be_repeated(journal: Journal, path: Path) -> None:
    for _ in range(3):
        journal.decide(claim(7))

    assert rows(path) == [(NODE, 7, "down")]


def test_another_round_and_another_node_are_other_decisions(journal: Journal) -> None:
    journal.decide(claim(7, DOWN))
    journal.decide(claim(8, UP))
    journal.decide(claim(7, UP, "operator_1"))

    assert [journal.recall(NODE, 7), journal.recall(NODE, 8)] == [DOWN, UP]
    assert journal.recall("operator_1", 7) is UP


def test_rounds_more_than_three_behind_the_newest_of_all_nodes_are_refused(
    journal: Journal,
) -> None:
    journal.decide(claim(20, node_id="operator_1"))

    journal.decide(claim(20 - MAX_ROUNDS_BEHIND))
    with pytest.raises(AttestationRefused) as refused:
        journal.decide(claim(20 - MAX_ROUNDS_BEHIND - 1))

    assert refused.value.reason == "off_round"
    assert MAX_ROUNDS_BEHIND == 3


def test_the_oldest_allowed_round_never_goes_back(journal: Journal) -> None:
    journal.decide(claim(20))
    journal.decide(claim(17))

    with pytest.raises(AttestationRefused):
        journal.decide(claim(16))


def test_an_old_decision_that_is_still_stored_may_be_repeated_but_not_changed(
    journal: Journal,
) -> None:
    journal.decide(claim(7))
    journal.decide(claim(15))

    journal.decide(claim(7))
    with pytest.raises(AttestationRefused) as refused:
        journal.decide(claim(7, UP))

    assert refused.value.reason == "equivocation"


def test_rows_are_kept_while_their_claim_may_still_be_applied(journal: Journal, path: Path) -> None:
    kept = ROUNDS.max_age // ROUNDS.seconds + MAX_ROUNDS_BEHIND
    journal.decide(claim(7))

    journal.decide(claim(7 + kept, node_id="operator_1"))
    still_there = rows(path)
    journal.decide(claim(8 + kept, node_id="operator_1"))

    assert (NODE, 7, "down") in still_there
    assert (NODE, 7, "down") not in rows(path)


def test_a_deleted_decision_cannot_be_changed(journal: Journal) -> None:
    journal.decide(claim(7))
    journal.decide(claim(1000))
    assert journal.recall(NODE, 7) is None

    for status in Status:
        with pytest.raises(AttestationRefused) as refused:
            journal.decide(claim(7, status))
        assert refused.value.reason == "off_round"


def test_the_journal_stays_small(journal: Journal, path: Path) -> None:
    for round_ in range(100):
        journal.decide(claim(round_))

    assert len(rows(path)) <= ROUNDS.max_age // ROUNDS.seconds + MAX_ROUNDS_BEHIND + 1


def test_a_refused_decision_is_not_stored(journal: Journal, path: Path) -> None:
    journal.decide(claim(20))

    with pytest.raises(AttestationRefused):
        journal.decide(claim(3))

    assert rows(path) == [(NODE, 20, "down")]


def test_pending_claims_are_those_of_rounds_from_a_time_on(journal: Journal) -> None:
    for round_, status in ((7, DOWN), (8, UP), (9, DOWN)):
        journal.decide(claim(round_, status))
    journal.decide(claim(9, DOWN, "operator_1"))

    assert journal.pending(NODE, ROUNDS.start(8)) == [claim(8, UP), claim(9, DOWN)]
    assert journal.pending(NODE, ROUNDS.start(8) + 1) == [claim(9, DOWN)]
    assert journal.pending(NODE, ROUNDS.start(9) + 1) == []
    assert len(journal.pending(NODE, 0)) == 3


DECIDER = """
import sys, time
from pathlib import Path
from committees import make_members
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.storage.database import Database
from dragon_operator.journal import Journal, SCHEMA

rounds = make_members().committee.rounds
journal = Journal(Database(Path(sys.argv[1]), SCHEMA), rounds)
number = int(sys.argv[2])
while True:
    number += 1
    journal.decide(StatusClaim("operator_2", Status.DOWN, rounds.start(number)))
    print(number, flush=True)
"""


def decide_until_killed(path: Path, after: int) -> int:
    """Kill a process that decides; return the last round that it announced."""
    homes = ("core", "operator", "aggregator", "sequencer_client", "tests")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / home) for home in homes)}
    command = [sys.executable, "-c", DECIDER, str(path), str(after)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read().split()
    assert process.returncode == -signal.SIGKILL
    return int(said[-1]) if said else after + 1


def test_an_announced_decision_is_stored_after_kill_9(path: Path) -> None:
    announced = 0
    for _ in range(2):
        announced = decide_until_killed(path, announced)

        with opened(path) as journal:
            assert journal.recall(NODE, announced) is DOWN
            with pytest.raises(AttestationRefused) as refused:
                journal.decide(claim(announced, UP))
            assert refused.value.reason == "equivocation"


def test_of_eight_threads_with_opposite_decisions_one_side_wins(path: Path) -> None:
    together = threading.Barrier(8)

    def decide(number: int, round_: int) -> Status | str:
        wanted = UP if number % 2 else DOWN
        together.wait(timeout=10)
        try:
            journal.decide(claim(round_, wanted))
        except AttestationRefused as refused:
            return refused.reason
        return wanted

    with opened(path) as journal, ThreadPoolExecutor(8) as threads:
        for round_ in range(1, 11):
            asked = [threads.submit(decide, number, round_) for number in range(8)]
            results = [one.result(timeout=20) for one in asked]

            winner = journal.recall(NODE, round_)
            assert results.count("equivocation") == 4
            assert results.count(str(winner)) == 4, (
                "every thread that agrees with the first decision succeeds"
            )


def test_of_two_processes_on_one_file_only_one_side_wins(path: Path) -> None:
    """A second process on the same file is a mistake, but must not lead to equivocation."""
    together = threading.Barrier(2)

    def decide(journal: Journal, wanted: Status, round_: int) -> bool:
        together.wait(timeout=10)
        try:
            journal.decide(claim(round_, wanted))
        except AttestationRefused:
            return False
        return True

    with opened(path) as one, opened(path) as two, ThreadPoolExecutor(2) as threads:
        for round_ in range(1, 11):
            first = threads.submit(decide, one, UP, round_)
            second = threads.submit(decide, two, DOWN, round_)

            assert first.result(timeout=20) is not second.result(timeout=20)
