"""Decisions never change: across reopening, `kill -9` and eight concurrent threads."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from runpy import run_path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dragon_operator
from committees import make_members
from dragon.encoding import canonical, to_hex
from dragon.errors import AttestationRefused
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.storage.database import Database
from dragon_operator.journal import SCHEMA, Journal
from examples import examples

ROOT = Path(__file__).parents[3]
COMMITTEE = make_members().committee
ROUNDS = COMMITTEE.rounds
GENESIS = ROUNDS.genesis
NODE = "operator_2"
UP, DOWN = Status.UP, Status.DOWN


def claim(round_: int, status: Status = DOWN, node_id: str = NODE) -> StatusClaim:
    return StatusClaim(node_id, status, ROUNDS.start(round_))


@contextmanager
def opened(path: Path) -> Iterator[Journal]:
    database = Database(path, SCHEMA)
    try:
        yield Journal(database, COMMITTEE)
    finally:
        database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "operator-journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with opened(path) as journal:
        yield journal


def rows(path: Path) -> list[tuple[str, int, str]]:
    """Return the stored decisions, with the numbers of their rounds."""
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT * FROM journal_status ORDER BY timestamp, node_id"
        found = database.execute(query).fetchall()
    return [(node_id, ROUNDS.number(timestamp), status) for node_id, timestamp, status in found]


def test_a_decision_is_recalled(journal: Journal) -> None:
    assert journal.recall(NODE, ROUNDS.start(7)) is None

    journal.decide(claim(7), GENESIS)

    assert journal.recall(NODE, ROUNDS.start(7)) is DOWN
    assert journal.recall(NODE, ROUNDS.start(8)) is None
    assert journal.recall("operator_1", ROUNDS.start(7)) is None


def test_a_decision_survives_reopening(path: Path) -> None:
    with opened(path) as journal:
        journal.decide(claim(7), GENESIS)

    with opened(path) as journal:
        assert journal.recall(NODE, ROUNDS.start(7)) is DOWN
        with pytest.raises(AttestationRefused):
            journal.decide(claim(7, UP), GENESIS)


@pytest.mark.parametrize(("first", "then"), [(UP, DOWN), (DOWN, UP)])
def test_the_opposite_decision_about_one_round_is_equivocation(
    journal: Journal, path: Path, first: Status, then: Status
) -> None:
    journal.decide(claim(7, first), GENESIS)

    with pytest.raises(AttestationRefused) as refused:
        journal.decide(claim(7, then), GENESIS)

    assert refused.value.reason == "equivocation"
    assert rows(path) == [(NODE, 7, str(first))]


def test_the_same_decision_may_be_repeated(journal: Journal, path: Path) -> None:
    for _ in range(3):
        journal.decide(claim(7), GENESIS)

    assert rows(path) == [(NODE, 7, "down")]


def test_another_round_and_another_node_are_other_decisions(journal: Journal) -> None:
    journal.decide(claim(7, DOWN), GENESIS)
    journal.decide(claim(8, UP), GENESIS)
    journal.decide(claim(7, UP, "operator_1"), GENESIS)

    assert [journal.recall(NODE, ROUNDS.start(7)), journal.recall(NODE, ROUNDS.start(8))] == [
        DOWN,
        UP,
    ]
    assert journal.recall("operator_1", ROUNDS.start(7)) is UP


def log_time(first: int) -> int:
    """The log time at which `first` is the first round whose claims may still be applied."""
    return ROUNDS.start(first) + ROUNDS.max_age


def test_rounds_that_the_log_can_no_longer_apply_are_refused(journal: Journal) -> None:
    journal.decide(claim(20, node_id="operator_1"), log_time(17))

    journal.decide(claim(17), log_time(17))
    for number, standing in ((16, 17), (17, 18)):
        with pytest.raises(AttestationRefused) as refused:
            journal.decide(claim(number, node_id="operator_3"), log_time(standing))
        assert refused.value.reason == "off_round"


def test_a_second_more_of_log_time_makes_a_round_too_old(journal: Journal) -> None:
    with pytest.raises(AttestationRefused):
        journal.decide(claim(17), log_time(17) + 1)


def test_the_oldest_allowed_round_never_goes_back(path: Path) -> None:
    """Not even if the log is read again from its start."""
    with opened(path) as journal:
        journal.decide(claim(20), log_time(17))

    with opened(path) as journal, pytest.raises(AttestationRefused):
        journal.decide(claim(16), GENESIS)


def test_a_signed_round_of_the_future_forgets_nothing(journal: Journal) -> None:
    """A wrong clock made the operator sign a round an hour ahead. The present goes on."""
    journal.decide(claim(20, UP), log_time(10))

    journal.decide(claim(20 + 720), log_time(10))
    journal.decide(claim(21, UP), log_time(10))

    for decided in (claim(20), claim(21), claim(20 + 720, UP)):
        with pytest.raises(AttestationRefused) as refused:
            journal.decide(decided, log_time(10))
        assert refused.value.reason == "equivocation"
    assert journal.newest_timestamp() == ROUNDS.start(20 + 720)


def test_an_old_decision_that_is_still_stored_may_be_repeated_but_not_changed(
    journal: Journal,
) -> None:
    journal.decide(claim(7), log_time(7))

    journal.decide(claim(7), log_time(50))
    with pytest.raises(AttestationRefused) as refused:
        journal.decide(claim(7, UP), log_time(50))

    assert refused.value.reason == "equivocation"


def test_rows_are_kept_while_their_claim_may_still_be_applied(journal: Journal, path: Path) -> None:
    for number in (7, 8, 9):
        journal.decide(claim(number), GENESIS)

    journal.decide(claim(30, node_id="operator_1"), log_time(8))

    assert rows(path) == [(NODE, 8, "down"), (NODE, 9, "down"), ("operator_1", 30, "down")]


def test_the_newest_row_of_each_node_is_kept(journal: Journal, path: Path) -> None:
    journal.decide(claim(7), GENESIS)
    journal.decide(claim(8), GENESIS)
    journal.decide(claim(3, node_id="operator_3"), GENESIS)

    journal.decide(claim(1000, node_id="operator_1"), log_time(1000))

    assert rows(path) == [
        ("operator_3", 3, "down"),
        (NODE, 8, "down"),
        ("operator_1", 1000, "down"),
    ]


def test_a_deleted_decision_cannot_be_changed(journal: Journal) -> None:
    journal.decide(claim(7), GENESIS)
    journal.decide(claim(8), GENESIS)
    journal.decide(claim(1000), log_time(1000))
    assert journal.recall(NODE, ROUNDS.start(7)) is None

    for status in Status:
        with pytest.raises(AttestationRefused) as refused:
            journal.decide(claim(7, status), GENESIS)
        assert refused.value.reason == "off_round"


def test_the_journal_stays_small(journal: Journal, path: Path) -> None:
    for round_ in range(100):
        journal.decide(claim(round_), log_time(max(0, round_ - 12)))

    assert len(rows(path)) == 13


def test_the_journal_is_bounded_while_log_time_stands_still(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest rounds are forgotten, and are never decided again."""
    monkeypatch.setattr("dragon_operator.journal.MAX_STATUS_ROWS", 10)
    monkeypatch.setattr("dragon_operator.journal.TRIM_INTERVAL", 5)
    for round_ in range(100):
        journal.decide(claim(round_), GENESIS)

        assert len(rows(path)) <= 10 + 5 + 1
    with pytest.raises(AttestationRefused) as refused:
        journal.decide(claim(50, UP), GENESIS)
    assert refused.value.reason == "off_round"


@settings(
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors],
)
@given(st.data())
def test_no_clock_and_no_crash_makes_it_sign_two_statuses_of_a_round(data: st.DataObject) -> None:
    """Rounds are requested in any order, as by clocks that jump; the log is sometimes read anew."""
    request = st.tuples(
        st.sampled_from([NODE, "operator_1"]),
        st.one_of(st.integers(0, 40), st.integers(700, 720)),
        st.sampled_from(Status),
        st.integers(0, 60),
        st.sampled_from(["keep", "keep", "keep", "reopen", "crash"]),
    )
    signed: dict[tuple[str, int], Status] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "operator-journal.db"
        database = Database(path, SCHEMA)
        journal = Journal(database, COMMITTEE)
        for node_id, number, status, standing, then in data.draw(
            st.lists(request, min_size=20, max_size=60)
        ):
            with suppress(AttestationRefused):
                journal.decide(claim(number, status, node_id), log_time(standing))
                assert signed.setdefault((node_id, number), status) is status
            if then == "crash":  # the files as they are at this moment, like after `kill -9`
                copy = Path(tempfile.mkdtemp(dir=folder)) / path.name
                for file in path.parent.glob(path.name + "*"):
                    if not file.name.endswith("-shm"):
                        shutil.copy(file, copy.parent / file.name)
                path = copy
            if then != "keep":
                database.close()
                database = Database(path, SCHEMA)
                journal = Journal(database, COMMITTEE)
        database.close()


def test_a_refused_decision_is_not_stored(journal: Journal, path: Path) -> None:
    journal.decide(claim(20), log_time(20))

    with pytest.raises(AttestationRefused):
        journal.decide(claim(3), log_time(20))

    assert rows(path) == [(NODE, 20, "down")]


def test_the_newest_earlier_claim_ignores_later_rounds_and_other_nodes(journal: Journal) -> None:
    for round_, status in ((7, DOWN), (8, UP), (700, DOWN)):
        journal.decide(claim(round_, status), GENESIS)
    journal.decide(claim(9, DOWN, "operator_1"), GENESIS)

    assert journal.newest_before(NODE, ROUNDS.start(7)) is None
    assert journal.newest_before(NODE, ROUNDS.start(8)) == claim(7, DOWN)
    assert journal.newest_before(NODE, ROUNDS.start(20)) == claim(8, UP)


def root_of(size: int) -> bytes | None:
    """The root of a log of nine entries at a size."""
    return bytes([size]) * 32 if size <= 9 else None


def totals(size: int, begin: int = GENESIS) -> DowntimeClaim:
    return DowntimeClaim(NODE, begin, GENESIS + 60, 0, 0, 0, size, bytes([size]) * 32)


def test_claims_that_follow_from_the_log_leave_no_rows(journal: Journal, path: Path) -> None:
    """Anyone may request the totals of any interval: 36,000 requests once filled the journal."""
    journal.decide_log_claim(totals(7), 9, root_of)
    before = all_rows(path)

    for begin in range(100):
        journal.decide_log_claim(totals(7, GENESIS - begin), 9, root_of)
    journal.decide_log_claim(CheckpointClaim(8, bytes([8]) * 32, GENESIS), 9, root_of)

    assert all_rows(path) == before


def test_no_other_root_of_a_size_is_signed_across_a_restart(path: Path) -> None:
    with opened(path) as journal:
        journal.decide_log_claim(totals(7), 9, root_of)

    with opened(path) as journal:
        with pytest.raises(AttestationRefused) as other_claim:
            journal.decide_log_claim(replace(totals(7), log_root=bytes(32)), 9, root_of)
        claim = CheckpointClaim(7, bytes(32), GENESIS)
        with pytest.raises(AttestationRefused) as other_log:
            journal.decide_log_claim(claim, 9, lambda _: bytes(32))

    assert (other_claim.value.reason, other_log.value.reason) == ("equivocation", "behind")


def all_rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE name LIKE 'journal_%'")
        counts = [
            database.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0]
            for (name,) in tables.fetchall()
            if name != "journal_status_round"
        ]
    return sum(counts)


@pytest.fixture
def old(path: Path) -> Path:
    """A journal with the tables of the first format, and its newest log of five entries."""
    with closing(sqlite3.connect(path)) as database:
        folder = Path(dragon_operator.__path__[0]) / "journal_migrations/versions"
        for statement in run_path(str(folder / "0001_decisions.py"))["TABLES"]:
            database.execute(statement)
        database.execute("CREATE TABLE schema_decisions (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO schema_decisions VALUES ('decisions_0001')")
        database.execute("INSERT INTO journal_log VALUES (1, 5, ?)", (to_hex(bytes([5]) * 32),))
        database.execute("INSERT INTO journal_status VALUES (?, 7, 'down')", (NODE,))
        database.commit()
    return path


@pytest.mark.parametrize("kind", ["checkpoint", "downtime"])
def test_the_migration_keeps_the_longest_log_that_was_signed_for(old: Path, kind: str) -> None:
    claim = totals(8)
    row = (NODE, claim.begin, claim.end, 8, canonical(claim.members()).decode(), GENESIS)
    with closing(sqlite3.connect(old)) as database:
        if kind == "downtime":
            database.execute("INSERT INTO journal_downtime VALUES (?, ?, ?, ?, ?, ?)", row)
        else:
            root = to_hex(claim.log_root)
            database.execute("INSERT INTO journal_checkpoint VALUES (8, ?)", (root,))
            database.execute("INSERT INTO journal_checkpoint VALUES (3, ?)", (root,))
        database.commit()

    with opened(old) as journal:
        assert journal.recall(NODE, 7) is DOWN  # a number then: of a committee that binds no more
        assert journal.log_fault(root_of) == ""
        for forged in (replace(claim, log_root=bytes(32)), CheckpointClaim(8, bytes(32), GENESIS)):
            with pytest.raises(AttestationRefused):
                journal.decide_log_claim(forged, 9, lambda _: bytes(32))
        journal.decide_log_claim(replace(claim), 9, root_of)


def test_the_migration_keeps_a_longer_log_that_is_recorded(old: Path) -> None:
    with closing(sqlite3.connect(old)) as database:
        database.execute("INSERT INTO journal_checkpoint VALUES (4, '0x00')")
        database.commit()

    with opened(old) as journal:
        assert journal.log_fault(root_of) == ""
        assert "shorter than the 5 entries" in journal.log_fault(lambda _: None)


def test_a_log_must_extend_the_one_that_was_signed_for(journal: Journal, path: Path) -> None:
    """Also after a restart. Its decisions were deleted because they follow from that log."""

    def root_at(size: int) -> bytes | None:
        return bytes([size]) * 32 if size <= 9 else None

    journal.use_log(5, root_at)
    journal.use_log(7, root_at)
    journal.use_log(6, root_at)  # by a thread that read the log before

    with opened(path) as again:
        again.use_log(9, root_at)
        assert again.log_fault(root_at) == ""
        with pytest.raises(AttestationRefused, match="shorter than the 9 entries") as short:
            again.use_log(8, lambda size: root_at(size) if size <= 8 else None)
        with pytest.raises(AttestationRefused, match="at 9 entries, but this operator") as other:
            again.use_log(12, lambda _: bytes(32))
        again.use_log(9, root_at)

    assert (short.value.reason, other.value.reason) == ("behind", "behind")


DECIDER = """
import sys, time
from pathlib import Path
from committees import make_members
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.storage.database import Database
from dragon_operator.journal import Journal, SCHEMA

committee = make_members().committee
rounds = committee.rounds
journal = Journal(Database(Path(sys.argv[1]), SCHEMA), committee)
number = int(sys.argv[2])
while True:
    number += 1
    journal.decide(StatusClaim("operator_2", Status.DOWN, rounds.start(number)), rounds.genesis)
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
            assert journal.recall(NODE, ROUNDS.start(announced)) is DOWN
            with pytest.raises(AttestationRefused) as refused:
                journal.decide(claim(announced, UP), GENESIS)
            assert refused.value.reason == "equivocation"


def test_of_eight_threads_with_opposite_decisions_one_side_wins(path: Path) -> None:
    together = threading.Barrier(8)

    def decide(number: int, round_: int) -> Status | str:
        wanted = UP if number % 2 else DOWN
        together.wait(timeout=10)
        try:
            journal.decide(claim(round_, wanted), GENESIS)
        except AttestationRefused as refused:
            return refused.reason
        return wanted

    with opened(path) as journal, ThreadPoolExecutor(8) as threads:
        for round_ in range(1, 11):
            asked = [threads.submit(decide, number, round_) for number in range(8)]
            results = [one.result(timeout=20) for one in asked]

            winner = journal.recall(NODE, ROUNDS.start(round_))
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
            journal.decide(claim(round_, wanted), GENESIS)
        except AttestationRefused:
            return False
        return True

    with opened(path) as one, opened(path) as two, ThreadPoolExecutor(2) as threads:
        for round_ in range(1, 11):
            first = threads.submit(decide, one, UP, round_)
            second = threads.submit(decide, two, DOWN, round_)

            assert first.result(timeout=20) is not second.result(timeout=20)
