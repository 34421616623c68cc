"""Objects by SHA-256: within a quota, and no stream displaces a smaller one."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from unittest import mock

import pytest

from dragon.errors import Busy
from dragon.storage import blobs
from dragon.storage.blobs import (
    DESCRIPTOR_NUMBER,
    NEW_STREAMS_SHARE,
    ROW_OVERHEAD_BYTES,
    SCHEMA,
    STREAM_SHARES,
    ObjectStore,
)
from dragon.storage.database import Database

ONE, TWO, THREE = (bytes([i]) * 32 for i in range(3))
BODY = 1000 - ROW_OVERHEAD_BYTES  # bytes, so that an object counts for a thousand
SHARE = 4  # pinned objects that one stream may have
MOST = STREAM_SHARES * SHARE * 1000


def body(name: str) -> bytes:
    return name.encode().ljust(BODY, b".")


def sha256(name: str) -> bytes:
    return hashlib.sha256(body(name)).digest()


@contextmanager
def opened(path: Path, most: int = MOST) -> Iterator[ObjectStore]:
    database = Database(path, SCHEMA)
    try:
        yield ObjectStore(database, most)
    finally:
        database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "objects.db"


@pytest.fixture
def objects(path: Path) -> Iterator[ObjectStore]:
    with opened(path) as objects:
        yield objects


def there(objects: ObjectStore, *names: str) -> list[str]:
    return [name for name in names if objects.get(sha256(name)) is not None]


def fill(objects: ObjectStore, stream: bytes, prefix: str, windows: int) -> list[str]:
    """Store and release windows of one object each."""
    names = [f"{prefix}{number}" for number in range(windows)]
    for number, name in enumerate(names):
        objects.put(stream, number, body(name))
        objects.release(stream, number)
    return names


# -- by their hash -------------------------------------------------------------------------------


def test_an_object_is_found_by_its_hash_only(objects: ObjectStore) -> None:
    objects.put(ONE, 0, b"any bytes \xff\x00", b"")

    for kept in (b"any bytes \xff\x00", b""):
        assert objects.get(hashlib.sha256(kept).digest()) == kept
    for wrong in (b"any bytes \xff\x00", bytes(32), b"", ONE):
        assert objects.get(wrong) is None


def test_the_length_of_an_object_is_known(objects: ObjectStore) -> None:
    objects.put(ONE, 0, b"any bytes", b"")

    found = [objects.length(hashlib.sha256(body).digest()) for body in (b"any bytes", b"", b"x")]
    assert found == [9, 0, None]


def test_missing_objects_are_listed_in_the_requested_order(objects: ObjectStore) -> None:
    objects.put(ONE, 0, body("b"))

    wanted = [sha256("c"), sha256("b"), sha256("a")]
    assert objects.missing(ONE, wanted) == [sha256("c"), sha256("a")]
    assert objects.missing(TWO, wanted) == wanted
    assert objects.missing(ONE, []) == []


def test_an_object_counts_once_for_each_stream(objects: ObjectStore) -> None:
    for _ in range(3):
        objects.put(ONE, 0, body("a"), body("a"))
        objects.put(TWO, 7, body("a"))
    objects.put(TWO, 7, b"")

    assert objects.size() == 2 * 1000 + ROW_OVERHEAD_BYTES


def test_objects_and_counts_survive_a_restart(path: Path) -> None:
    with opened(path) as objects:
        objects.put(ONE, DESCRIPTOR_NUMBER, body("descriptor"))
        fill(objects, ONE, "a", 2)
        objects.put(ONE, 2, *(body(f"pinned {i}") for i in range(SHARE - 1)))
        size = objects.size()

    with opened(path) as objects:
        assert objects.size() == size == 1000 * (SHARE + 2)
        assert there(objects, "descriptor", "a0", "a1", "pinned 0")
        with pytest.raises(Busy):
            objects.put(ONE, 3, body("more"))


def test_eight_threads_keep_the_counts_correct(path: Path) -> None:
    with opened(path) as objects:
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(lambda i: objects.put(bytes([i % 8]) * 32, 0, b"%d" % (i % 8)), range(48))
            )
        size = objects.size()

    with opened(path) as objects:
        assert objects.size() == size == sum(ROW_OVERHEAD_BYTES + len(b"%d" % i) for i in range(8))


def test_a_failed_write_is_not_counted(path: Path, objects: ObjectStore) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON objects WHEN new.number = 9 "
            "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    objects.put(ONE, 0, body("a"))

    with pytest.raises(sqlite3.IntegrityError, match="disk full"):
        objects.put(ONE, 9, body("b"))

    assert objects.size() == 1000
    objects.put(ONE, 1, *(body(f"c{i}") for i in range(SHARE - 1)))


# -- pinned objects -------------------------------------------------------------------------------


def test_the_pinned_objects_of_a_stream_are_limited(objects: ObjectStore) -> None:
    for number in range(SHARE):
        objects.put(ONE, number, body(f"a{number}"))

    with pytest.raises(Busy):
        objects.put(ONE, SHARE, body("more"))
    objects.put(ONE, SHARE, body("a0"))  # known already
    objects.put(TWO, 0, body("b"))
    assert there(objects, "more", "a0", "b") == ["a0", "b"]


def test_objects_that_exceed_the_limit_together_are_all_refused(objects: ObjectStore) -> None:
    with pytest.raises(Busy):
        objects.put(ONE, 0, *(body(f"a{i}") for i in range(SHARE + 1)))

    assert objects.size() == 0


@pytest.mark.parametrize(("up_to", "room"), [(-1, 0), (0, 1), (1, 2), (9, SHARE - 1)])
def test_released_windows_make_room_for_the_stream(
    objects: ObjectStore, up_to: int, room: int
) -> None:
    """The descriptor stays pinned."""
    objects.put(ONE, DESCRIPTOR_NUMBER, body("descriptor"))
    for number in range(SHARE - 1):
        objects.put(ONE, number, body(f"a{number}"))

    objects.release(ONE, up_to)

    for i in range(room):
        objects.put(ONE, 10, body(f"b{i}"))
    with pytest.raises(Busy):
        objects.put(ONE, 10, body("more"))


def test_releasing_again_changes_nothing_and_affects_no_other_stream(objects: ObjectStore) -> None:
    for stream in (ONE, TWO):
        objects.put(stream, 0, *(body(f"{stream[0]}{i}") for i in range(SHARE)))

    for _ in range(3):
        objects.release(ONE, 0)
        objects.release(THREE, 0)

    assert objects.size() == 2 * SHARE * 1000
    objects.put(ONE, 1, body("more"))
    with pytest.raises(Busy):
        objects.put(TWO, 1, body("more still"))


# -- eviction ------------------------------------------------------------------------------------


def test_the_oldest_window_of_the_largest_stream_is_evicted_first(objects: ObjectStore) -> None:
    others = fill(objects, TWO, "b", 3)
    own = fill(objects, ONE, "a", STREAM_SHARES * SHARE - 3)

    objects.put(THREE, 0, body("c"), body("d"))

    assert there(objects, *own) == own[2:]
    assert there(objects, "c", "d", *others) == ["c", "d", *others]
    assert objects.size() == MOST


def test_all_released_objects_of_a_window_are_evicted_together(objects: ObjectStore) -> None:
    for name in ("chunks", "proof"):
        objects.put(ONE, 0, body(name))
    objects.release(ONE, 0)
    fill(objects, TWO, "b", 1)
    own = [f"a{number}" for number in range(1, STREAM_SHARES * SHARE - 2)]
    for number, name in enumerate(own, start=1):
        objects.put(ONE, number, body(name))
        objects.release(ONE, number)

    objects.put(TWO, 1, body("more"))

    assert there(objects, "chunks", "proof", own[0], "more") == [own[0], "more"]
    assert objects.size() == MOST - 1000


def test_pinned_objects_and_descriptors_are_not_evicted(objects: ObjectStore) -> None:
    objects.put(ONE, DESCRIPTOR_NUMBER, body("descriptor"))
    objects.put(ONE, 5000, body("pinned"))

    fill(objects, ONE, "a", STREAM_SHARES * SHARE + 20)

    assert there(objects, "descriptor", "pinned", "a0") == ["descriptor", "pinned"]
    assert objects.size() == MOST


def test_an_object_stays_while_another_stream_pins_it(
    objects: ObjectStore,
) -> None:
    """Another stream may store the same object first, and release it."""
    objects.put(TWO, 0, body("shared"))
    objects.put(ONE, 0, body("shared"))
    objects.release(TWO, 0)

    fill(objects, TWO, "b", STREAM_SHARES * SHARE)

    assert there(objects, "shared") == ["shared"]


def test_a_stream_does_not_displace_a_smaller_one(objects: ObjectStore) -> None:
    small = fill(objects, TWO, "b", 10)

    fill(objects, ONE, "a", STREAM_SHARES * SHARE + 50)

    assert there(objects, *small) == small


def stream(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_with_more_streams_than_shares_a_silent_one_is_deleted(objects: ObjectStore) -> None:
    for number in range(STREAM_SHARES):
        objects.put(stream(number), 0, *(body(f"{number} {i}") for i in range(SHARE)))
    assert objects.size() == MOST

    objects.put(stream(STREAM_SHARES), 0, body("new"))

    assert there(objects, "new", "0 0", "0 1", "1 0", "63 0") == ["new", "1 0", "63 0"]
    assert objects.size() == MOST - 1000 * SHARE + 1000


def test_a_stream_that_wrote_lately_is_not_silent(objects: ObjectStore) -> None:
    objects.put(stream(0), 0, body("0 0"))
    for number in range(1, STREAM_SHARES):
        objects.put(stream(number), 0, *(body(f"{number} {i}") for i in range(SHARE)))
    objects.put(stream(0), 0, *(body(f"0 {i}") for i in range(SHARE)))

    objects.put(stream(STREAM_SHARES), 0, body("new"))

    assert there(objects, "0 0", "1 0", "2 0", "new") == ["0 0", "2 0", "new"]


def test_a_smaller_quota_applies_from_the_next_object(path: Path) -> None:
    with opened(path) as objects:
        fill(objects, ONE, "a", STREAM_SHARES * SHARE)

    with opened(path, MOST // 2) as objects:
        objects.put(TWO, 0, body("b"))

        assert objects.size() == MOST // 2
        assert there(objects, "a0", f"a{STREAM_SHARES * SHARE - 1}", "b") == ["a255", "b"]


# -- new streams ---------------------------------------------------------------------------------


def known(stream: bytes) -> bool:
    return stream in {ONE, TWO, THREE}


@pytest.fixture
def parted(path: Path) -> Iterator[ObjectStore]:
    """A store with a part for new streams."""
    database = Database(path, SCHEMA)
    yield ObjectStore(database, MOST, known)
    database.close()


def test_new_streams_displace_each_other_and_no_known_one(parted: ObjectStore) -> None:
    own = fill(parted, ONE, "a", STREAM_SHARES * SHARE * 3 // 4)
    parted.put(TWO, 0, body("pinned"))

    for number in range(10, 10 + STREAM_SHARES):
        parted.put(stream(number), 0, *(body(f"{number} {i}") for i in range(SHARE)))

    assert there(parted, *own, "pinned") == [*own, "pinned"]
    assert there(parted, "10 0", "73 0") == ["73 0"]
    assert parted.size() <= 1000 * (len(own) + 1) + MOST // NEW_STREAMS_SHARE


def test_known_streams_displace_no_new_one(parted: ObjectStore) -> None:
    parted.put(stream(10), 0, body("new"))

    fill(parted, ONE, "a", 2 * STREAM_SHARES * SHARE)

    assert there(parted, "new") == ["new"]
    assert parted.size() <= MOST


def test_new_streams_are_counted(parted: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "MAX_NEW_STREAMS", 5)

    for number in range(10, 20):
        parted.put(stream(number), 0, b"%d" % number)

    kept = [n for n in range(10, 20) if parted.get(hashlib.sha256(b"%d" % n).digest())]
    assert kept == list(range(15, 20))


# -- later -----------------------------------------------------------------------------------------


def on_disk(path: Path, *names: str) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        found = {bytes(row[0]) for row in database.execute("SELECT sha256 FROM objects")}
    return [name for name in names if sha256(name) in found]


def test_an_object_that_waits_is_found_like_any_other(objects: ObjectStore, path: Path) -> None:
    assert objects.put_later(ONE, 0, body("a"))
    assert not objects.put_later(ONE, 0, body("a"))

    assert objects.get(sha256("a")) == body("a")
    assert objects.length(sha256("a")) == BODY
    assert objects.missing(ONE, [sha256("a")]) == []
    assert objects.missing(TWO, [sha256("a")]) == [sha256("a")]
    assert on_disk(path, "a") == []


def test_the_next_object_writes_those_that_wait(objects: ObjectStore, path: Path) -> None:
    objects.put_later(ONE, 0, body("a"))
    objects.put_later(TWO, 7, body("a"), body("b"))
    objects.put(THREE, 0, body("c"))

    assert on_disk(path, "a", "b", "c") == ["a", "b", "c"]
    assert objects.size() == 4 * 1000
    objects.release(TWO, 7)
    with opened(path) as reopened:
        assert reopened.size() == 4 * 1000
        assert reopened.missing(TWO, [sha256("a"), sha256("b")]) == []


def test_an_object_that_waits_is_on_disk_after_put(objects: ObjectStore, path: Path) -> None:
    objects.put_later(ONE, 0, body("a"))

    assert not objects.put(ONE, 0, body("a"))
    assert on_disk(path, "a") == ["a"]


def test_an_object_that_waits_is_written_on_request(objects: ObjectStore, path: Path) -> None:
    objects.put_later(ONE, 0, body("a"))
    objects.write_waiting(sha256("b"))
    assert on_disk(path, "a") == []

    objects.write_waiting(sha256("a"), sha256("b"))
    assert on_disk(path, "a") == ["a"]


def test_a_crash_loses_what_waits_and_nothing_else(path: Path) -> None:
    with opened(path) as objects:
        objects.put(ONE, 0, body("a"))
        objects.put_later(ONE, 0, body("b"))
    with opened(path) as objects:
        assert there(objects, "a", "b") == ["a"]
        assert objects.size() == 1000


def test_objects_that_wait_count_for_the_share_of_their_stream(objects: ObjectStore) -> None:
    objects.put_later(ONE, 0, *(body(f"{i}") for i in range(SHARE - 1)))
    objects.put_later(TWO, 0, body("other"))
    objects.put_later(ONE, 0, body("last"))

    for put in (objects.put, objects.put_later):
        with pytest.raises(Busy):
            put(ONE, 0, body("beyond"))
    assert there(objects, "0", "other", "last", "beyond") == ["0", "other", "last"]


def test_objects_that_wait_are_evictable_once_released(path: Path) -> None:
    with opened(path, 4 * 1000 * STREAM_SHARES) as objects:
        objects.put_later(ONE, 0, body("a"))
        objects.put_later(ONE, 1, body("b"))
        objects.release(ONE, 0)
        for number in range(1, SHARE):
            objects.put_later(ONE, number + 1, body(f"pinned {number}"))  # the share is full again
        assert len(there(objects, "a", "b")) == 2


def test_many_objects_do_not_wait(objects: ObjectStore, path: Path) -> None:
    with mock.patch.object(blobs, "MAX_WAITING_BYTES", 2000):
        objects.put_later(ONE, 0, body("a"))
        objects.put_later(ONE, 0, body("b"))
        assert on_disk(path, "a", "b") == []
        objects.put_later(ONE, 0, body("c"))

    assert on_disk(path, "a", "b", "c") == ["a", "b", "c"]


def test_the_quota_holds_for_what_waited(path: Path) -> None:
    streams = [bytes([number]) * 32 for number in range(STREAM_SHARES + 1)]
    with opened(path) as objects:
        for stream in streams:
            objects.put_later(stream, 0, *(body(f"{stream[0]} {i}") for i in range(SHARE)))
        objects.write_waiting(sha256("0 0"))

        assert objects.size() <= MOST
        assert there(objects, f"{STREAM_SHARES} 0")
    with opened(path) as reopened:
        assert reopened.size() <= MOST


def test_a_transaction_that_fails_forgets_what_waited(objects: ObjectStore) -> None:
    objects.put(ONE, 0, body("a"))
    objects.put_later(ONE, 0, body("b"))
    with (
        mock.patch.object(objects, "_evict", side_effect=OSError("disk")),
        pytest.raises(OSError, match="disk"),
    ):
        objects.put(ONE, 0, body("c"))

    assert there(objects, "a", "b", "c") == ["a"]
    assert objects.size() == 1000
    assert objects.put_later(ONE, 0, body("b"))
