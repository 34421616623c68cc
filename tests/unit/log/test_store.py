"""The log applies each batch completely or not at all, and refuses invalid events."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy

from committees import make_members
from dragon import errors
from dragon.encoding import canonical, to_hex
from dragon.log import batch_items, batch_verification, entry_table, refused_events, store
from dragon.log.audit import audit
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol import bls, event, merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.event import Event
from dragon.storage.database import Database

ROOT = Path(__file__).parents[3]
MEMBERS = make_members()
COMMITTEE = MEMBERS.committee
ROUNDS = COMMITTEE.rounds
UP, DOWN = Status.UP, Status.DOWN
NODE = "operator_2"

# The columns that the protocol fixes for the table `logs`.
LOGS_TABLE = """
CREATE TABLE logs (id INTEGER PRIMARY KEY AUTOINCREMENT, node_id TEXT NOT NULL, status TEXT NOT NULL,
                   timestamp INTEGER NOT NULL, signature TEXT NOT NULL);
"""  # noqa: E501


@cache
def certified(node_id: str, status: Status, round_: int) -> Event:
    return MEMBERS.status(node_id, status, round_)


def proven(index: int, body: str) -> ProvenBatch:
    """Return a batch with the start of round `index` as its proven time."""
    time_ = ROUNDS.start(index)
    return ProvenBatch(index, body, time_, "{}", Position(index, f"{index:032x}"))


def batch(index: int, *events: Event) -> ProvenBatch:
    return proven(index, canonical([item.to_json() for item in events]).decode())


def flips(batches: int) -> list[ProvenBatch]:
    """Return batches that each change the status of one node."""
    return [batch(i, certified(NODE, UP if i % 2 else DOWN, i)) for i in range(1, batches + 1)]


@contextmanager
def opened(path: Path) -> Iterator[Log]:
    database = Database(path, LOG_SCHEMA)
    try:
        yield Log(database, COMMITTEE)
    finally:
        database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "operator.db"


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    with opened(path) as log:
        yield log


def dump(path: Path) -> list[str]:
    """Return the committed content of the file as SQL."""
    with closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())


@contextmanager
def listening(name: str, listener: Callable[..., None]) -> Iterator[None]:
    """Call `listener` for an event of any SQLAlchemy connection."""
    sqlalchemy.event.listen(sqlalchemy.Engine, name, listener)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, name, listener)


class Watched:
    """A cursor that shows each statement to `look` before it is executed."""

    def __init__(self, cursor: sqlite3.Cursor, look: Callable[[str], None]) -> None:
        self._cursor, self._look = cursor, look

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        self._look(statement)
        return self._cursor.execute(statement, *values)

    def executemany(self, statement: str, *values: Any) -> sqlite3.Cursor:
        self._look(statement)
        return self._cursor.executemany(statement, *values)


def watch(monkeypatch: pytest.MonkeyPatch, look: Callable[[str], None]) -> None:
    """Call `look` with BEGIN, each statement, and COMMIT of the log's transactions."""
    genuine = Database.transaction

    @contextmanager
    def transaction(database: Database) -> Iterator[Watched]:
        look("BEGIN")
        with genuine(database) as cursor:
            yield Watched(cursor, look)
            look("COMMIT")

    monkeypatch.setattr(Database, "transaction", transaction)


# Taking


def test_a_new_log_is_empty_and_at_genesis(log: Log) -> None:
    assert log.position == Position()
    assert log.head() == store.TreeHead(0, merkle.EMPTY_ROOT)
    assert log.state.nodes == {}
    assert log.alarm() is None


def test_a_batch_becomes_entries_in_its_order(log: Log) -> None:
    events = [certified(NODE, UP, 1), certified("operator_1", DOWN, 1), certified(NODE, DOWN, 2)]

    added = log.take(batch(1, *events))

    assert [entry.event for entry in added] == events
    assert [entry.position for entry in added] == [0, 1, 2]
    assert log.entries() == added
    assert log.position == Position(1, f"{1:032x}")


def test_the_root_is_that_of_the_events_with_their_ledger_index(log: Log) -> None:
    batches = flips(5)

    for taken in batches:
        log.take(taken)

    leaves = [event.leaf(certified(NODE, UP if i % 2 else DOWN, i), i) for i in range(1, 6)]
    tree = merkle.Tree(merkle.leaf_hash(leaf) for leaf in leaves)
    assert log.head() == store.TreeHead(5, tree.root())
    assert [log.head(size).root for size in range(6)] == [tree.root(n) for n in range(6)]


def test_every_entry_is_proven_to_be_in_the_log(log: Log) -> None:
    for taken in flips(6):
        log.take(taken)

    for entry in log.entries():
        path = log.inclusion(entry.position, 6)
        root = log.head().root
        merkle.verify_inclusion(entry.leaf_hash, entry.position, 6, path, root)


def test_an_empty_batch_only_advances_the_position(log: Log) -> None:
    assert log.take(batch(1)) == []
    assert log.position.index == 1
    assert log.head().size == 0


def test_the_logs_table_has_the_fixed_columns(log: Log, path: Path) -> None:
    questions = (
        "SELECT * FROM pragma_table_xinfo('logs')",
        "SELECT sql FROM sqlite_master WHERE name = 'logs' AND type = 'table'",
        "SELECT * FROM pragma_foreign_key_list('logs')",
    )
    with closing(sqlite3.connect(path)) as ours, closing(sqlite3.connect(":memory:")) as theirs:
        theirs.executescript(LOGS_TABLE)
        answers = [
            [[_plain(value) for row in database.execute(question) for value in row]]
            for question in questions
            for database in (ours, theirs)
        ]

    assert answers[0::2] == answers[1::2]
    assert log.rows(None, 0, 10) == []


def _plain(value: object) -> object:
    """Return SQL with line breaks normalized."""
    return "".join(value.split()) if isinstance(value, str) else value


def test_the_logs_table_is_filled_as_status_events_apply(log: Log, path: Path) -> None:
    for taken in flips(3):
        log.take(taken)

    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT * FROM logs ORDER BY id").fetchall()

    assert rows == [
        (i, NODE, "up" if i % 2 else "down", ROUNDS.start(i), to_hex(signed.signature))
        for i in (1, 2, 3)
        for signed in [certified(NODE, UP if i % 2 else DOWN, i)]
    ]


def test_a_batch_is_one_transaction(log: Log, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    seen_from_outside: list[int] = []

    def look(statement: str) -> None:
        if statement == "BEGIN":
            begun.append(statement)
        if statement.startswith("UPDATE cursor"):
            with closing(sqlite3.connect(path)) as database:
                tables = ("entries", "logs", "refused", "refusals")
                counts = [database.execute(f"SELECT COUNT(*) FROM {t}").fetchone() for t in tables]
                seen_from_outside.append(sum(count[0] for count in counts))

    events = [certified(NODE, UP, 1), certified("operator_1", UP, 1), certified(NODE, UP, 1)]
    watch(monkeypatch, look)
    log.take(batch(1, *events))

    assert len(begun) == 1
    assert seen_from_outside == [0]


def test_taking_a_batch_again_changes_nothing(log: Log, path: Path) -> None:
    batches = flips(3)
    for taken in batches:
        log.take(taken)
    before, state, checkpoint = dump(path), log.state, log.head()

    for taken in batches:
        assert log.take(taken) == []

    assert dump(path) == before
    assert (log.state, log.head()) == (state, checkpoint)


def test_another_batch_at_an_applied_index_changes_nothing(log: Log, path: Path) -> None:
    log.take(batch(1, certified(NODE, UP, 1)))
    before = dump(path)

    assert log.take(batch(1, certified("operator_1", UP, 1))) == []

    assert dump(path) == before


def test_a_missing_batch_is_refused(log: Log, path: Path) -> None:
    batches = flips(4)
    log.take(batches[0])
    before = dump(path)

    with pytest.raises(errors.LedgerContradiction) as refused:
        log.take(batches[2])

    assert refused.value.facts == {"expected": 2, "index": 3}
    assert dump(path) == before
    assert log.position.index == 1


# Refusing


def good(*, status: str = '"up"', timestamp: str | None = None, **members: str) -> str:
    """Return an event's JSON text with some members replaced."""
    value = certified("operator_3", UP, 1).to_json()
    written = {name: json.dumps(member) for name, member in value.items()}
    written |= {"status": status, **members}
    if timestamp is not None:
        written["timestamp"] = timestamp
    return "{" + ",".join(f'"{name}":{text}' for name, text in written.items()) + "}"


def _text(spoilt: Event) -> str:
    return canonical(spoilt.to_json()).decode()


BAD: dict[str, tuple[str, str]] = {
    "a float": ("1.5", "not_an_integer"),
    "a float within": (good(timestamp="1732522005.0"), "not_an_integer"),
    "an exponent": (good(timestamp="1e9"), "not_an_integer"),
    "not a number": ("NaN", "not_an_integer"),
    "a boolean timestamp": (good(timestamp="true"), "not_an_integer"),
    "a member twice": ('{"kind":"status","kind":"status"}', "duplicate_member"),
    "a member twice within": (good(signers='[{"a":1,"a":2}]'), "duplicate_member"),
    "an integer beyond 2^53": (good(timestamp="9007199254740992"), "integer_out_of_range"),
    "half a character": ('"\\ud800"', "lone_surrogate"),
    "nested too deeply": ("[" * 20 + "]" * 20, "not_json"),
    "a number": ("7", "wrong_type"),
    "null": ("null", "wrong_type"),
    "a list": ("[]", "wrong_type"),
    "a text": ('"event"', "wrong_type"),
    "an empty object": ("{}", "missing_member"),
    "an unknown kind": ('{"kind":"weather"}', "unknown_kind"),
    "a kind that is never an event": ('{"kind":"suspicion"}', "unknown_kind"),
    "a member too many": (good(extra="1"), "unknown_member"),
    "an unknown status": (good(status='"sideways"'), "unknown_value"),
    "an invalid id": (good(node_id='"Operator 3"'), "invalid_id"),
    "upper-case bytes": (good(committee=f'"0x{COMMITTEE.id.hex().upper()}"'), "invalid_hex"),
    "another committee's": (
        _text(make_members(name="another").status("operator_3", UP, 1)),
        "wrong_committee",
    ),
    "about an unknown node": (_text(MEMBERS.status("operator_9", UP, 1)), "unknown_node"),
    "without a quorum": (
        _text(MEMBERS.status("operator_3", UP, 1, ["operator_1"])),
        "quorum_not_met",
    ),
    "signed by the subject": (
        _text(MEMBERS.status("operator_3", DOWN, 1, MEMBERS.secrets)),
        "subject_signed",
    ),
    "forged": (
        _text(
            dataclasses.replace(
                certified("operator_3", UP, 1), signature=certified("operator_3", UP, 2).signature
            )
        ),
        "bad_signature",
    ),
    "signed by a stranger": (
        good(signers='["operator_1","operator_2","operator_9"]'),
        "unknown_signer",
    ),
    "not a point": (good(aggregated_signature=f'"0x{"11" * 96}"'), "invalid_signature"),
    "not a change": (_text(certified(NODE, UP, 2)), "not_a_change"),
    "applied already": (_text(certified(NODE, UP, 1)), "applied_already"),
}
FORGED = {
    *("about an unknown node", "without a quorum", "signed by the subject", "forged"),
    *("signed by a stranger", "not a point"),
}


@pytest.mark.parametrize("sort", [sort for sort in BAD if sort not in FORGED])
def test_an_invalid_event_is_refused_by_name_and_does_not_affect_the_others(
    log: Log, path: Path, sort: str
) -> None:
    text, reason = BAD[sort]
    before, behind = certified(NODE, UP, 1), certified("operator_1", UP, 1)

    added = log.take(proven(1, f"[{_text(before)},{text},{_text(behind)}]"))

    assert [entry.event for entry in added] == [before, behind]
    assert log.refusals() == {reason: 1}
    [refusal] = log.refused()
    assert (refusal.ledger_index, refusal.place, refusal.reason) == (1, 1, reason)
    assert len(refusal.excerpt) <= refused_events.MAX_EXCERPT_CHARS
    assert audit(path, COMMITTEE).size == 2


@pytest.mark.parametrize("sort", sorted(FORGED))
def test_a_batch_ends_at_its_first_forged_event(log: Log, path: Path, sort: str) -> None:
    text, reason = BAD[sort]
    before, behind = certified(NODE, UP, 1), certified("operator_1", UP, 1)

    added = log.take(proven(1, f"[{_text(before)},{text},{_text(behind)},1.5]"), batch(2, behind))

    assert [entry.event for entry in added] == [before, behind]
    assert [entry.ledger_index for entry in added] == [1, 2], "the next batch is not affected"
    assert log.refusals() == {reason: 1, "after_forged": 2}
    assert [(one.place, one.reason) for one in reversed(log.refused())] == [
        (1, reason),
        (2, "after_forged"),
        (3, "after_forged"),
    ]
    assert audit(path, COMMITTEE).size == 2


def test_a_forged_event_that_the_state_refuses_does_not_end_its_batch(log: Log) -> None:
    log.take(batch(1, certified("operator_3", UP, 1)))
    text, _ = BAD["forged"]

    added = log.take(proven(2, f"[{text},{_text(certified(NODE, UP, 1))}]"))

    assert [entry.event for entry in added] == [certified(NODE, UP, 1)]
    assert log.refusals() == {"applied_already": 1}


def test_a_stale_event_is_refused(log: Log) -> None:
    """A certified checkpoint measures the age, and not the time that the ledger shows."""
    log.take(batch(1, certified(NODE, UP, 1)))
    claim = CheckpointClaim(1, log.head().root, ROUNDS.start(14))
    log.take(batch(2, MEMBERS.certify(claim, sorted(MEMBERS.secrets))))
    stale, fresh = certified("operator_1", UP, 1), certified("operator_1", UP, 2)

    log.take(dataclasses.replace(batch(3, stale), time=0))
    log.take(dataclasses.replace(batch(4, fresh), time=2**52))

    assert ROUNDS.start(14) - ROUNDS.start(2) == ROUNDS.max_age
    assert log.refusals() == {"stale": 1}
    assert log.state.status("operator_1") is UP


def test_an_event_that_is_twice_in_a_batch_is_applied_once(log: Log) -> None:
    twice = certified(NODE, UP, 1)

    added = log.take(batch(1, twice, twice))

    assert [entry.event for entry in added] == [twice]
    assert log.refusals() == {"applied_already": 1}


def test_events_of_one_batch_are_applied_in_order(log: Log) -> None:
    log.take(batch(1, certified(NODE, UP, 1), certified(NODE, UP, 2), certified(NODE, DOWN, 3)))

    assert [move.status for move in log.state.nodes[NODE]] == [UP, DOWN]
    assert log.refusals() == {"not_a_change": 1}


@pytest.mark.parametrize(
    "body", ["{}", "null", "7", '"[]"', "", "[", "[1,]", "not JSON", "[" * 70_000, "\0", '{"a":']
)
def test_a_batch_that_is_not_an_array_is_one_refusal(log: Log, body: str) -> None:
    log.take(proven(1, body))

    assert sum(log.refusals().values()) == 1
    [refusal] = log.refused()
    assert (refusal.ledger_index, refusal.place) == (1, 0)
    assert refusal.reason in {"wrong_type", "not_json"}
    assert log.position.index == 1
    assert log.take(batch(2, certified(NODE, UP, 2)))


def test_only_the_newest_refusals_are_kept_and_all_are_counted(
    log: Log, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_events, "MAX_REFUSED_KEPT", 5)

    for index in range(1, 5):
        log.take(proven(index, "[1, null, {}]"))

    kept = log.refused()
    assert [(one.ledger_index, one.place) for one in kept] == [
        (4, 2),
        (4, 1),
        (4, 0),
        (3, 2),
        (3, 1),
    ]
    assert log.refusals() == {"missing_member": 4, "wrong_type": 8}
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT COUNT(*) FROM refused").fetchone() == (5,)


def test_refused_events_do_not_change_the_root(tmp_path: Path) -> None:
    with opened(tmp_path / "one.db") as one, opened(tmp_path / "two.db") as two:
        one.take(proven(1, f"[1.5,{_text(certified(NODE, UP, 1))},{{}}]"))
        two.take(batch(1, certified(NODE, UP, 1)))

        assert one.head() == two.head()


# Reading


def test_a_missing_entry_is_not_found(log: Log) -> None:
    log.take(batch(1, certified(NODE, UP, 1)))

    assert log.entry(0).event == certified(NODE, UP, 1)
    for position in (-1, 1, 2**62):
        with pytest.raises(errors.NotFound):
            log.entry(position)


def test_a_head_larger_than_the_log_is_not_found(log: Log) -> None:
    with pytest.raises(errors.NotFound):
        log.head(1)
    with pytest.raises(errors.NotFound):
        log.inclusion(0, 0)


def test_entries_and_rows_come_in_pages(log: Log) -> None:
    for taken in flips(5):
        log.take(taken)

    assert [entry.position for entry in log.entries(after=1, limit=2)] == [2, 3]
    assert [row.id for row in log.rows(None, 2, 2)] == [3, 4]
    assert [row.id for row in log.rows(NODE, 4, 9)] == [5]
    assert log.rows("operator_1", 0, 9) == []


def test_an_event_is_found_by_its_claim_with_any_signers(log: Log) -> None:
    log.take(batch(1, certified("operator_1", UP, 1), certified(NODE, UP, 1)))
    by_others = MEMBERS.status(NODE, UP, 1, ["operator_1", "operator_3", "operator_4"])

    assert log.find(by_others) == 1
    assert log.find(certified(NODE, DOWN, 1)) is None


# Opening


def test_a_log_is_the_same_after_reopening(path: Path) -> None:
    with opened(path) as log:
        for taken in flips(7):
            log.take(taken)
        log.take(proven(8, "[1.5]"))
        before = (log.state, log.head(), log.position, log.entries(), log.refusals())

    with opened(path) as log:
        assert (log.state, log.head(), log.position, log.entries(), log.refusals()) == before


def test_reopening_in_between_makes_no_difference(tmp_path: Path) -> None:
    with opened(tmp_path / "one.db") as one:
        for taken in flips(6):
            one.take(taken)
            with opened(tmp_path / "two.db") as two:
                two.take(taken)

    with opened(tmp_path / "one.db") as one, opened(tmp_path / "two.db") as two:
        assert one.head() == two.head()
        assert one.state == two.state


def test_another_committees_file_is_refused(path: Path) -> None:
    with opened(path):
        pass
    database = Database(path, LOG_SCHEMA)

    with pytest.raises(errors.LogDamaged) as refused:
        Log(database, make_members(name="another").committee)

    assert refused.value.facts == {"network": to_hex(COMMITTEE.network_id)}
    database.close()


def test_a_file_that_is_not_a_database_is_refused(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)

    with pytest.raises(errors.LogDamaged):
        Database(path, LOG_SCHEMA)


@pytest.mark.parametrize(
    "spoil",
    [
        "DELETE FROM entries WHERE position = 1",
        "UPDATE entries SET event = '{}' WHERE position = 1",
        "UPDATE entries SET event = 'no JSON' WHERE position = 1",
    ],
)
def test_a_file_that_contradicts_itself_is_not_opened(path: Path, spoil: str) -> None:
    with opened(path) as log:
        for taken in flips(3):
            log.take(taken)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(spoil)
    database = Database(path, LOG_SCHEMA)

    with pytest.raises(errors.LogDamaged) as refused:
        Log(database, COMMITTEE)

    assert refused.value.facts == {"position": 1}
    database.close()


# Verifying


def forged(node_id: str, round_: int, by: int = 0) -> Event:
    """Return an event with a signature on another claim. `by` makes them different."""
    other = certified(node_id, DOWN if by % 2 else UP, 10_000 + by)
    return dataclasses.replace(certified(node_id, UP, round_), signature=other.signature)


@contextmanager
def watching_checks(seen: Callable[[], None]) -> Iterator[list[int]]:
    """Call `seen` for each check of signatures, and count the signatures."""
    counts: list[int] = []

    def one(verify: Callable[..., bool], *arguments: object) -> bool:
        counts.append(1)
        seen()
        return verify(*arguments)

    def many(verify: Callable[..., bool], signed: Sequence[object], *rest: object) -> bool:
        counts.append(len(signed))
        seen()
        return verify(signed, *rest)

    with (
        mock.patch.object(bls, "verify", partial(one, bls.verify)),
        mock.patch.object(bls, "verify_batch", partial(many, bls.verify_batch)),
    ):
        yield counts


def test_signatures_are_checked_before_the_write_lock(log: Log, path: Path) -> None:
    """While signatures are verified, other writers and readers do not wait."""
    log.take(*flips(2))
    written: list[int] = []

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=0)) as raw, raw:
            raw.execute("INSERT INTO refusals VALUES ('test', 1) ON CONFLICT DO NOTHING")
        written.append(log.head().size + len(log.inclusion(0, 2)))

    events = [certified(NODE, UP, 5), forged("operator_1", 5), certified("operator_3", UP, 5)]
    with watching_checks(write) as counts:
        added = log.take(batch(3, *events), batch(4, *events))

    assert len(added) == 1
    assert len(written) == len(counts) > 0


def test_the_rest_of_a_forged_batch_costs_no_pairing(log: Log) -> None:
    forgeries = [forged("operator_1", round_) for round_ in range(1, 10)]

    with watching_checks(lambda: None) as counts:
        log.take(batch(1, *forgeries))
        log.take(*(batch(index, *forgeries[index:]) for index in range(2, 6)))

    assert sum(counts) == 5
    assert log.refusals() == {"bad_signature": 5, "after_forged": 8 + 6 + 5 + 4 + 3}


def test_a_repeated_forgery_costs_no_pairing(log: Log) -> None:
    one = forged("operator_1", 1)
    again = json.dumps([one.to_json(), 7], indent=1)  # other bytes, the same event
    log.take(batch(1, one))

    with (
        watching_checks(lambda: None) as counts,
        mock.patch.object(event, "decode", side_effect=event.decode) as decode,
    ):
        log.take(batch(2, one), batch(3, one, certified(NODE, UP, 1)))
        assert decode.call_count == 1, "the batch is remembered, and an event behind it not decoded"
        log.take(proven(4, again))

    assert counts == []
    assert log.refusals() == {"bad_signature": 4, "after_forged": 2}


def test_what_is_remembered_does_not_precede_the_state(log: Log) -> None:
    """A remembered forgery that the state refuses now does not end its batch."""
    one = forged("operator_1", 1)
    log.take(batch(1, one))
    log.take(batch(2, certified("operator_1", UP, 1)))

    added = log.take(batch(3, one, certified(NODE, UP, 1)), batch(4, one))

    assert [entry.event for entry in added] == [certified(NODE, UP, 1)]
    assert log.refusals() == {"bad_signature": 1, "applied_already": 2}


def test_what_is_remembered_is_bounded(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_verification, "MAX_REMEMBERED_FORGERIES", 3)
    monkeypatch.setattr(batch_items, "MAX_REMEMBERED_BATCHES", 2)
    events = [forged("operator_1", 1, by) for by in range(8)]

    log.take(*(batch(index, one) for index, one in enumerate(events, start=1)))
    with watching_checks(lambda: None) as counts:
        log.take(*(batch(index, one) for index, one in enumerate(events, start=9)))

    evaluator = log._evaluator
    assert len(evaluator._verifier._forgeries) == 3
    assert len(evaluator._items._remembered) == 2
    assert sum(counts) in range(5, 9)
    assert log.refusals() == {"bad_signature": 16}


def test_only_a_genuine_checkpoint_stops_the_log(log: Log) -> None:
    log.take(*flips(2))
    other = MEMBERS.certify(CheckpointClaim(2, bytes(32), ROUNDS.start(3)), MEMBERS.secrets)
    fake = dataclasses.replace(other, signature=certified(NODE, UP, 7).signature)

    log.take(batch(3, fake), batch(4, certified(NODE, UP, 5)))

    assert log.refusals() == {"bad_signature": 1}
    before = (log.head(), log.position)
    with pytest.raises(errors.Diverged):
        log.take(
            batch(5, forged(NODE, 8)), batch(6, certified("operator_1", UP, 5)), batch(7, other)
        )
    assert (log.head(), log.position) == before


def test_a_checkpoint_is_compared_with_entries_of_the_same_transaction(tmp_path: Path) -> None:
    with opened(tmp_path / "one.db") as one:
        one.take(*flips(2))
        head = one.head()
    claim = CheckpointClaim(head.size, head.root, ROUNDS.start(3))
    checkpoint = batch(3, MEMBERS.certify(claim, MEMBERS.secrets))

    with opened(tmp_path / "two.db") as two:
        assert len(two.take(*flips(2), checkpoint)) == 3
        audited = audit(tmp_path / "two.db", COMMITTEE)
        assert (two.head().size, two.head().root) == (3, audited.root)


def test_a_log_that_begins_in_the_middle_of_a_batch_ends_it_at_the_same_place(
    tmp_path: Path,
) -> None:
    """The checkpoint covers part of a batch, which contains an entry twice and a forged event."""
    batches = [
        batch(1, certified("operator_1", UP, 1)),
        batch(2, certified(NODE, UP, 1), certified(NODE, DOWN, 2), certified(NODE, UP, 1)),
        batch(
            3,
            *(certified(NODE, UP, 3), certified("operator_4", UP, 3), forged("operator_1", 9)),
            *(certified(NODE, UP, 3), certified("operator_3", UP, 3)),
        ),
        batch(4, certified("operator_3", UP, 4)),
    ]
    with opened(tmp_path / "whole.db") as whole:
        whole.take(*batches)
        entries = whole.entries()
        head = whole.head()
        claims = [CheckpointClaim(size, whole.head(size).root, 0) for size in range(1, head.size)]

    for claim in claims:
        with opened(tmp_path / f"late{claim.size}.db") as late:
            late.begin_at(claim, entries[: claim.size])
            late.take(*(each for each in batches if each.index > late.position.index))
            assert late.head() == head


def test_a_gateways_question_for_a_kept_position_reads_few_entries(log: Log) -> None:
    """Any gateway may name an old index as its newest, again and again."""
    log.take(*flips(300))
    read: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        read.append(statement)

    with listening("before_cursor_execute", note):
        found = [log.position_before(index) for index in (0, 1, 150, 300, 10**9)]

    assert found == [None, *(Position(index, f"{index:032x}") for index in (1, 150, 300, 300))]
    assert all("position = " in query or "MAX(" in query for query in read if "SELECT" in query)
    assert len(read) < 5 * 15


def test_an_entry_that_a_log_began_with_has_no_kept_position(log: Log) -> None:
    batches = flips(4)
    log.take(*batches)
    with log._database.write() as connection:
        connection.exec_driver_sql("UPDATE entries SET chaining_hash = '' WHERE position < 2")

    assert log.position_before(2) is None
    assert log.position_before(3) == batches[2].position


# Crashing


class Crash(Exception):
    """Simulates the end of the process."""


@pytest.mark.parametrize(
    "where",
    ["INSERT INTO entries", "INSERT INTO logs", "INSERT INTO refused", "UPDATE cursor", "COMMIT"],
)
def test_a_crash_before_the_commit_changes_neither_file_nor_memory(
    log: Log, path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = batch(1, certified(NODE, UP, 1))
    second = batch(2, certified(NODE, DOWN, 2), certified(NODE, DOWN, 2), certified(NODE, UP, 3))
    log.take(first)
    before, state, checkpoint = dump(path), log.state, log.head()

    def at_statement(statement: str) -> None:
        if statement.startswith(where):
            raise Crash

    with monkeypatch.context() as crashing:
        watch(crashing, at_statement)
        with pytest.raises(Crash):
            log.take(second)

    assert dump(path) == before
    assert (log.state, log.head()) == (state, checkpoint)
    assert log.position.index == 1
    assert len(log.take(second)) == 2
    assert audit(path, COMMITTEE).size == 3


def test_a_file_that_cannot_be_reloaded_is_reloaded_later(
    log: Log, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit succeeds but memory does not follow, and the next attempt to read the file fails."""
    first, second, third = flips(3)
    log.take(first)
    with opened(path) as other:
        other.take(second)

    for _ in range(2):
        with monkeypatch.context() as broken:
            broken.setattr(entry_table, "read_after", mock.Mock(side_effect=OSError("disk")))
            with pytest.raises(OSError, match="disk"):
                log.take(third)

    assert [entry.position for entry in log.take(third)] == [2]
    assert audit(path, COMMITTEE).size == log.head().size == 3


TAKER = """
import sys
from pathlib import Path
from committees import make_members
from dragon.protocol.claims.status import Status
from dragon.encoding import canonical
from dragon.log.schema import LOG_SCHEMA
from dragon.storage.database import Database
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.store import Log

members = make_members()
rounds = members.committee.rounds
log = Log(Database(Path(sys.argv[1]), LOG_SCHEMA), members.committee)
for index in range(log.position.index + 1, 5000):
    status = Status.UP if index % 2 else Status.DOWN
    nodes = ("operator_1", "operator_2", "operator_3")
    events = [members.status(node, status, index).to_json() for node in nodes]
    body = canonical([*events, 7]).decode()
    time = rounds.start(index)
    log.take(ProvenBatch(index, body, time, "{}", Position(index, f"{index:032x}")))
    print(index, flush=True)
"""


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    homes = ("core", "operator", "aggregator", "sequencer_client", "tests")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / home) for home in homes)}
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )


def kill_after(process: subprocess.Popen[str], lines: int, seconds: float) -> int:
    """Kill a process some time after it has printed `lines` numbers; return the last number."""
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(lines)]
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    rest = [int(line) for line in process.stdout.read().split()]
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return [*said, *rest][-1]


def test_a_killed_process_leaves_a_valid_log_that_can_continue(path: Path) -> None:
    moment = random.Random(time.time_ns())

    said = 0
    for _ in range(3):
        said = kill_after(python(TAKER, str(path)), moment.randint(1, 8), moment.uniform(0, 0.03))
        found = audit(path, COMMITTEE)
        with opened(path) as log:
            index = log.position.index
            assert index in (said, said + 1), "every batch that was reported is in the file"
            assert log.head() == store.TreeHead(found.size, found.root)
            assert found.size == 3 * index
            assert log.refusals() == {"wrong_type": index}
    assert said >= 3


# Alarm


def test_an_alarm_stops_the_log_durably(path: Path) -> None:
    with opened(path) as log:
        log.take(flips(1)[0])
        log.raise_alarm("ledger_rewritten", "at entry 0")
        before = dump(path)

    with opened(path) as log:
        assert log.alarm() == store.Alarm("ledger_rewritten", "at entry 0")
        with pytest.raises(errors.LogStopped) as refused:
            log.take(flips(2)[1])
        assert refused.value.facts == {"reason": "ledger_rewritten"}
        assert dump(path) == before
        assert log.entry(0).event == certified(NODE, UP, 1)


def test_the_first_alarm_is_kept(log: Log) -> None:
    log.raise_alarm("first", "this one")
    log.raise_alarm("second", "that one")

    assert log.alarm() == store.Alarm("first", "this one")


def test_two_logs_of_the_same_batches_are_identical(tmp_path: Path) -> None:
    batches: Sequence[ProvenBatch] = [
        *flips(3),
        proven(4, "[1.5]"),
        batch(5, certified("operator_1", UP, 5), certified(NODE, DOWN, 5)),
    ]
    roots = []
    for name in ("one", "two"):
        with opened(tmp_path / f"{name}.db") as log:
            for taken in batches:
                log.take(taken)
            roots.append((log.head(), [entry.leaf_hash for entry in log.entries()]))

    assert roots[0] == roots[1]
