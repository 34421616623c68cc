"""The development sequencer's log in SQLite, which survives a kill.

Only finalized batches are stored. Accepted batches are in memory and are lost with the process, as
in the real network.
"""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dragon_sequencer.finality import FINAL_STATE, GENESIS, Proof
from dragon_sequencer.nodes import STATIC_TAG

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS batch (
    app TEXT NOT NULL, position INTEGER NOT NULL, body TEXT NOT NULL, chaining_hash TEXT NOT NULL,
    PRIMARY KEY (app, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS proof (
    app TEXT NOT NULL, position INTEGER NOT NULL, parent INTEGER NOT NULL,
    chaining_hash TEXT NOT NULL, time INTEGER NOT NULL, signature TEXT NOT NULL,
    nonsigners TEXT NOT NULL, PRIMARY KEY (app, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS later_proof (
    app TEXT NOT NULL, leader INTEGER NOT NULL, position INTEGER NOT NULL, parent INTEGER NOT NULL,
    chaining_hash TEXT NOT NULL, time INTEGER NOT NULL, signature TEXT NOT NULL,
    nonsigners TEXT NOT NULL, PRIMARY KEY (app, leader, position)) WITHOUT ROWID;
"""
_PROOF: Final = "SELECT position, parent, chaining_hash, time, signature, nonsigners FROM proof"
_MAX_PAGE_BATCHES: Final = 2_000_000  # empty batches do not count towards a page's bytes


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of an app's log, where the next segment begins."""

    index: int = 0
    chaining_hash: str = GENESIS
    time: int = 0


class Storage:
    """One SQLite file and connection. Not thread-safe: `Network` holds a lock."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self._database = sqlite3.connect(
            path, timeout=10, isolation_level=None, check_same_thread=False
        )
        weakref.finalize(self, self._database.close)  # if the owner does not close it
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        self._database.close()

    def tip(self, app: str) -> Tip:
        proof = self.newest_proof(app)
        return Tip(proof.index, proof.chaining_hash, proof.timestamp) if proof else Tip()

    def append(self, app: str, links: Sequence[tuple[int, str, str]], proof: Proof) -> None:
        """Store a segment and its proof in one transaction.

        `links` are (index, body, chaining hash). A second segment at the same indices fails by
        the primary keys.
        """
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "INSERT INTO batch VALUES (?, ?, ?, ?)", [(app, *link) for link in links]
            )
            self._database.execute(
                "INSERT INTO proof VALUES (?, ?, ?, ?, ?, ?, ?)", (app, *_row(proof))
            )

    def append_later(self, app: str, proofs: Sequence[Proof]) -> None:
        """Store the proofs with which a new leader finalizes batches again."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            rows = self._database.execute(
                "SELECT MAX(leader) FROM later_proof WHERE app = ?", (app,)
            )
            leader = (rows.fetchone()[0] or 0) + 1
            self._database.executemany(
                "INSERT INTO later_proof VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(app, leader, *_row(proof)) for proof in proofs],
            )

    def later_proofs(self, app: str, first: int, last: int) -> list[list[Proof]]:
        """For each later leader, its proofs of a segment that overlaps [first, last]."""
        rows = self._database.execute(
            "SELECT leader, position, parent, chaining_hash, time, signature, nonsigners "
            "FROM later_proof WHERE app = ? AND position >= ? AND parent < ? "
            "ORDER BY leader, position",
            (app, first, last),
        )
        leaders: dict[int, list[Proof]] = {}
        for leader, *row in rows:
            leaders.setdefault(leader, []).append(_proof(row))
        return list(leaders.values())

    def batches(self, app: str, after: int, *, max_bytes: int) -> list[tuple[int, str, str]]:
        """(index, body, chaining hash) after an index: one or more, up to `max_bytes` of bodies."""
        rows = self._database.execute(
            "SELECT position, body, chaining_hash FROM batch WHERE app = ? AND position > ?"
            " ORDER BY position LIMIT ?",
            (app, after, _MAX_PAGE_BATCHES),
        )
        page: list[tuple[int, str, str]] = []
        size = 0
        for row in rows:
            size += len(row[1].encode())
            if page and size > max_bytes:
                break
            page.append(row)
        return page

    def proofs(self, app: str, first: int, last: int) -> list[Proof]:
        """The proofs with an index in [first, last], ascending."""
        rows = self._database.execute(
            f"{_PROOF} WHERE app = ? AND position BETWEEN ? AND ? ORDER BY position",
            (app, first, last),
        )
        return [_proof(row) for row in rows]

    def newest_proof(self, app: str) -> Proof | None:
        rows = self._database.execute(
            f"{_PROOF} WHERE app = ? ORDER BY position DESC LIMIT 1", (app,)
        )
        return next((_proof(row) for row in rows), None)

    def body(self, app: str, index: int) -> str:
        rows = self._database.execute(
            "SELECT body FROM batch WHERE app = ? AND position = ?", (app, index)
        )
        (body,) = rows.fetchone()
        return str(body)

    def chaining_hash(self, app: str, index: int) -> str:
        rows = self._database.execute(
            "SELECT chaining_hash FROM batch WHERE app = ? AND position = ?", (app, index)
        )
        (chaining_hash,) = rows.fetchone()
        return str(chaining_hash)

    def clear(self) -> None:
        """Delete everything: the network starts again at genesis, with the same keys."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("DELETE FROM batch")
            self._database.execute("DELETE FROM proof")
            self._database.execute("DELETE FROM later_proof")


def _row(proof: Proof) -> tuple[Any, ...]:
    return (
        proof.index,
        proof.parent_index,
        proof.chaining_hash,
        proof.timestamp,
        proof.signature,
        json.dumps(proof.nonsigners),
    )


def _proof(row: Sequence[Any]) -> Proof:
    index, parent, chaining_hash, time, signature, nonsigners = row
    names = tuple(json.loads(nonsigners))
    return Proof(index, parent, chaining_hash, time, FINAL_STATE, signature, names, STATIC_TAG)
