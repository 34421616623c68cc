"""The file of the evidence: what it returns, what it forgets, and how it is replaced."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from committees import make_members
from dragon import errors
from dragon.protocol.claims.status import Status
from dragon.protocol.evidence.record import Record
from dragon.protocol.evidence.seal import NO_SEAL
from dragon.storage.database import Database
from dragon_operator.evidence_chain import Leaf
from dragon_operator.evidence_store import (
    KEPT_SECONDS,
    EvidenceStore,
    evidence_path,
    open_evidence,
)
from evidence import NODE, Writer, look

MEMBERS = make_members(4, targets=2)
NETWORK = MEMBERS.committee.network_id
NOW = MEMBERS.committee.rounds.genesis
OTHER = "target_2"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "operator.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with closing(open_evidence(path, NETWORK, "operator_1")) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> EvidenceStore:
    return EvidenceStore(database, 1 << 24)


class Filler:
    """Adds seals to a store, of one or several records each."""

    def __init__(self, store: EvidenceStore) -> None:
        self.store, self.writer = store, Writer(MEMBERS)

    def add(self, *records: Record, log_time: int = 0) -> None:
        self.writer.seal(*records)
        sealed = self.writer.records[-len(records) :]
        paths = [each.path for each in sealed]
        leaves = [Leaf.of(each.record) for each in sealed]
        self.store.add(self.writer.seals[-1], leaves, paths, log_time)


def at(time: int, node_id: str = NODE) -> Record:
    return look(Status.UP, time, node_id=node_id)


def shown(store: EvidenceStore, begin: int, end: int, node_id: str = NODE) -> list[int]:
    """The ids of what a query returns, page by page."""
    found: list[int] = []
    while page := store.page(node_id, begin, end, after=found[-1] if found else 0, limit=2):
        found += [each.id for each in page]
    return found


def test_an_empty_store_has_nothing(store: EvidenceStore) -> None:
    assert store.page(NODE, 0, NOW, after=0, limit=10) == []
    assert (store.last_seal(), store.last_records()) == (NO_SEAL, {})


def test_records_come_back_with_seal_and_path(store: EvidenceStore) -> None:
    filler = Filler(store)
    filler.add(at(NOW), at(NOW, OTHER), at(NOW))
    writer = filler.writer

    [one, two] = store.page(NODE, NOW, NOW, after=0, limit=10)

    assert [one.index, two.index] == [0, 2]
    assert [tuple(one.path), tuple(two.path)] == [writer.records[0].path, writer.records[2].path]
    assert one.seal == two.seal
    assert store.last_seal() == writer.seals[0].hash
    assert store.last_records() == {
        NODE: writer.records[2].record.hash,
        OTHER: writer.records[1].record.hash,
    }


@pytest.mark.parametrize(
    ("begin", "end", "ids"),
    [
        (0, 9, []),
        (0, 10, [1]),
        (0, 40, [1, 3, 4, 5]),
        (20, 30, [1, 3, 4]),  # with the one before
        (21, 29, [3]),  # only the one before: what it says holds until the next
        (41, 50, [5]),
    ],
)
def test_a_page_has_the_records_of_an_interval_and_the_one_before(
    store: EvidenceStore, begin: int, end: int, ids: list[int]
) -> None:
    filler = Filler(store)
    for node_id, seconds in ((NODE, 10), (OTHER, 15), (NODE, 20), (NODE, 30), (NODE, 40)):
        filler.add(at(NOW + seconds, node_id))

    assert shown(store, NOW + begin if begin else 0, NOW + end) == ids


def test_a_clock_that_was_set_back_leaves_no_hole(store: EvidenceStore) -> None:
    """A page is a whole part of the chain, whatever the times in it are."""
    filler = Filler(store)
    for seconds in (10, 900, 20, 30):
        filler.add(at(NOW + seconds))

    assert shown(store, NOW + 10, NOW + 30) == [1, 2, 3, 4]


def test_records_are_deleted_after_30_days_of_log_time(store: EvidenceStore) -> None:
    filler = Filler(store)
    filler.add(at(NOW))
    filler.add(at(NOW + 1), log_time=NOW + KEPT_SECONDS)
    assert shown(store, 0, NOW + 1) == [1, 2]

    filler.add(at(NOW + 2), log_time=NOW + 1 + KEPT_SECONDS)
    assert shown(store, 0, NOW + 2) == [2, 3]


def test_a_clock_that_jumps_ahead_deletes_nothing(store: EvidenceStore) -> None:
    filler = Filler(store)
    filler.add(at(NOW), log_time=NOW)
    filler.add(at(NOW + 2 * KEPT_SECONDS), log_time=NOW)

    assert len(shown(store, 0, NOW + 2 * KEPT_SECONDS)) == 2


def test_the_file_stays_below_its_maximum_and_other_nodes_keep_their_records(
    database: Database,
) -> None:
    """One node changes all the time."""
    most = 400_000
    store = EvidenceStore(database, most)
    filler = Filler(store)
    filler.add(at(NOW, OTHER))
    for number in range(40):
        filler.add(*(at(NOW + number) for _ in range(32)))
    kept = store.page(NODE, 0, NOW + 100, after=0, limit=10_000)

    assert database.path.stat().st_size <= most + 200_000  # and what one seal adds
    assert 100 < len(kept) < 40 * 32
    assert kept[-1].id == 40 * 32 + 1
    assert [each.id for each in kept] == list(range(kept[0].id, kept[-1].id + 1))
    assert shown(store, 0, NOW + 100, OTHER) == [1]


def _spoil(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(4096))


def _of_another(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE evidence_owner SET operator = 'operator_2'")


@pytest.mark.parametrize("harm", [_spoil, _of_another])
def test_a_file_that_cannot_be_used_is_moved_aside(path: Path, harm: object) -> None:
    """The operator starts and attests; the file stays for an inspection."""
    open_evidence(path, NETWORK, "operator_1").close()
    harm(evidence_path(path))  # type: ignore[operator]

    with closing(open_evidence(path, NETWORK, "operator_1")) as opened:
        assert EvidenceStore(opened, 1 << 24).last_seal() == NO_SEAL
    assert evidence_path(path).with_name("operator-evidence.db.aside-1").exists()


def test_a_file_of_another_network_is_moved_aside(path: Path) -> None:
    open_evidence(path, NETWORK, "operator_1").close()
    open_evidence(path, bytes(32), "operator_1").close()
    open_evidence(path, NETWORK, "operator_1").close()

    aside = sorted(each.name for each in path.parent.glob("*.aside-*"))
    assert aside == ["operator-evidence.db.aside-1", "operator-evidence.db.aside-2"]


def test_a_file_of_a_newer_release_is_not_touched(path: Path) -> None:
    open_evidence(path, NETWORK, "operator_1").close()
    with sqlite3.connect(evidence_path(path)) as connection:
        connection.execute("UPDATE schema_evidence SET version_num = 'evidence_9999'")

    with pytest.raises(errors.DatabaseTooNew):
        open_evidence(path, NETWORK, "operator_1")
