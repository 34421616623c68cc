"""The file of the operator's evidence: `operator-evidence.db` beside `operator.db`.

It holds the records of the last 30 days, by log time: a clock that jumps deletes nothing. If it
reaches its maximum size earlier, the oldest records of the node with the most records are deleted,
so a node that changes all the time does not displace the records about others.

Nothing depends on this file. A damaged one, or one of another operator or network, is moved aside
at the start, and a new one is begun. Do not restore an old copy: the operator would go on where the
copy ends, and earlier evidence with later records shows that some are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection, text

from dragon.encoding import canonical, to_hex
from dragon.errors import DatabaseTooOld, LogDamaged
from dragon.protocol.evidence.seal import NO_SEAL, SignedSeal
from dragon.protocol.merkle import HASH_BYTES
from dragon.storage.damage import check_structure
from dragon.storage.database import Database
from dragon.storage.disk import Disk
from dragon_operator.evidence_chain import Leaf

SCHEMA: Final = "dragon_operator:evidence_migrations"
KEPT_SECONDS: Final = 30 * 86_400  # of log time
DELETED_SHARE: Final = 8  # at the maximum size, this part of one node's records is deleted at once
MAX_DELETIONS: Final = 64  # nodes of which records are deleted for one seal

_OWNER: Final = text("SELECT network, operator FROM evidence_owner")
_OWN: Final = text("INSERT INTO evidence_owner VALUES (1, :network, :operator)")
_ADD_SEAL: Final = text(
    "INSERT INTO evidence_seal (sealed_at, seal, hash) VALUES (:sealed_at, :seal, :hash)"
)
_ADD_RECORD: Final = text(
    "INSERT INTO evidence_record (node_id, seal, place, sealed_at, record, hash, path) "
    "VALUES (:node_id, :seal, :place, :sealed_at, :record, :hash, :path)"
)
_LAST_SEAL: Final = text("SELECT hash FROM evidence_seal ORDER BY id DESC LIMIT 1")
_LAST_RECORDS: Final = text(
    "SELECT node_id, hash FROM evidence_record "
    "WHERE id IN (SELECT MAX(id) FROM evidence_record GROUP BY node_id)"
)
_BEFORE: Final = text(
    "SELECT id FROM evidence_record WHERE node_id = :node_id AND sealed_at < :time "
    "ORDER BY sealed_at DESC, id DESC LIMIT 1"
)
_PAGE: Final = text(
    "SELECT record.id, record.record, record.place, record.path, seal.seal "
    "FROM evidence_record AS record JOIN evidence_seal AS seal ON seal.id = record.seal "
    "WHERE record.node_id = :node_id AND record.id > :after AND record.id <= :last "
    "ORDER BY record.id LIMIT :limit"
)
_FORGET: Final = (
    text("DELETE FROM evidence_record WHERE sealed_at < :oldest"),
    text("DELETE FROM evidence_seal WHERE sealed_at < :oldest"),
)
_MOST: Final = text(
    "SELECT node_id, COUNT(*) AS records FROM evidence_record GROUP BY node_id "
    "ORDER BY records DESC, node_id LIMIT 1"
)
_NTH: Final = text(
    "SELECT id FROM evidence_record WHERE node_id = :node_id ORDER BY id LIMIT 1 OFFSET :count"
)
_FORGET_NODE: Final = text("DELETE FROM evidence_record WHERE node_id = :node_id AND id < :first")
_FORGET_SEALS: Final = text(
    "DELETE FROM evidence_seal WHERE NOT EXISTS "
    "(SELECT 1 FROM evidence_record WHERE evidence_record.seal = evidence_seal.id)"
)

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is stored, with its seal; both are canonical JSON."""

    id: int
    record: str
    index: int  # in the seal
    path: Sequence[bytes]
    seal: str


def evidence_path(database: Path) -> Path:
    """Return the path of the evidence that belongs to an operator's database."""
    return database.with_name(f"{database.stem}-evidence.db")


def open_evidence(
    database: Path, network_id: bytes, operator: str, disk: Disk | None = None
) -> Database:
    """Open the evidence beside an operator's database; move a file aside that cannot be used.

    Raises DatabaseTooNew, DiskFull, DiskFailed.
    """
    path = evidence_path(database)
    try:
        return _open(path, network_id, operator, disk)
    except (LogDamaged, DatabaseTooOld) as error:
        aside = _free(path)
        logger.error("evidence_moved_aside", file=str(aside), detail=str(error))
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.rename(aside)
        return _open(path, network_id, operator, disk)


def _open(path: Path, network_id: bytes, operator: str, disk: Disk | None) -> Database:
    """Raises LogDamaged: damaged, or of another operator or network."""
    database = Database(path, SCHEMA, disk=disk)
    try:
        with database.write() as connection:
            check_structure(connection, path, ["evidence_owner", "evidence_seal"])
            owner = connection.execute(_OWNER).first()
            mine = (to_hex(network_id), operator)
            if owner is None:
                connection.execute(_OWN, {"network": mine[0], "operator": mine[1]})
            elif tuple(owner) != mine:
                message = f"{path} is the evidence of {owner.operator} in network {owner.network}"
                raise LogDamaged(message)
    except LogDamaged:
        database.close()
        raise
    return database


def _free(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.aside-{number}")).exists():
        number += 1
    return aside


class EvidenceStore:
    """Seals and records in a file. Every method raises LogDamaged, DiskFull, DiskFailed."""

    def __init__(self, database: Database, max_bytes: int) -> None:
        """`max_bytes`: of the file, without what SQLite still has to write into it."""
        self._database = database
        self._max_bytes = max_bytes

    def last_seal(self) -> bytes:
        """Return the hash of the newest seal."""
        with self._database.read() as connection:
            return bytes(connection.execute(_LAST_SEAL).scalar() or NO_SEAL)

    def last_records(self) -> dict[str, bytes]:
        """Return the hash of the newest record about each node."""
        with self._database.read() as connection:
            return {row.node_id: bytes(row.hash) for row in connection.execute(_LAST_RECORDS)}

    def add(
        self,
        signed: SignedSeal,
        leaves: Sequence[Leaf],
        paths: Sequence[Sequence[bytes]],
        log_time: int,
    ) -> None:
        """Store a seal with its records, and delete what is too old. On disk when this returns."""
        sealed_at = signed.seal.time_ms // 1000
        row = {
            "sealed_at": sealed_at,
            "seal": canonical(signed.to_json()).decode(),
            "hash": signed.hash,
        }
        with self._database.write() as connection:
            seal = connection.execute(_ADD_SEAL, row).lastrowid
            rows = [
                {
                    "node_id": leaf.node_id,
                    "seal": seal,
                    "place": place,
                    "sealed_at": sealed_at,
                    "record": leaf.encoded.decode(),
                    "hash": leaf.hash,
                    "path": b"".join(path),
                }
                for place, (leaf, path) in enumerate(zip(leaves, paths, strict=True))
            ]
            connection.execute(_ADD_RECORD, rows)
            for forget in _FORGET:
                connection.execute(forget, {"oldest": log_time - KEPT_SECONDS})
            self._fit(connection)

    def _fit(self, connection: Connection) -> None:
        """Delete the oldest records of the nodes with the most, until the file is small enough."""
        if _used_bytes(connection) <= self._max_bytes:
            return
        for _ in range(MAX_DELETIONS):
            most = connection.execute(_MOST).first()
            if most is None or most.records < DELETED_SHARE:
                break
            place = {"node_id": most.node_id, "count": most.records // DELETED_SHARE}
            first = connection.execute(_NTH, place).scalar()
            connection.execute(_FORGET_NODE, {"node_id": most.node_id, "first": first})
            connection.execute(_FORGET_SEALS)
            if _used_bytes(connection) <= self._max_bytes:
                break

    def page(
        self, node_id: str, begin: int, end: int, *, after: int, limit: int
    ) -> list[StoredRecord]:
        """Return records about a node, oldest first.

        Args:
            begin: Unix seconds; the records that were sealed from then on, and the one before.
            end: Unix seconds; the records that were sealed until then.
            after: id of the last record that the caller has; 0 for the first page.
            limit: number of records at most.
        """
        with self._database.read() as connection:
            first = _before(connection, node_id, begin)
            rows = connection.execute(
                _PAGE,
                {
                    "node_id": node_id,
                    "after": max(after, first - 1),
                    "last": _before(connection, node_id, end + 1),
                    "limit": limit,
                },
            ).all()
        return [
            StoredRecord(row.id, row.record, row.place, _hashes(row.path), row.seal) for row in rows
        ]


def _before(connection: Connection, node_id: str, time: int) -> int:
    """Return the id of the last record before a time; 0 without one."""
    found = connection.execute(_BEFORE, {"node_id": node_id, "time": time}).scalar()
    return int(found or 0)


def _used_bytes(connection: Connection) -> int:
    pages, free, size = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _hashes(path: bytes) -> list[bytes]:
    return [path[at : at + HASH_BYTES] for at in range(0, len(path), HASH_BYTES)]
