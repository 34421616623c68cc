"""Snapshots: what follows from the first entries of a log, in the log's own file.

A service starts from the snapshot and the entries after it. Full blocks of the tree and of marks
are in the table `blocks`; the snapshot has everything else. It has a digest, so altered bytes
are found at the start, and it is derived from the entries, so nothing is lost without it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from dragon import errors
from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.log import columns, mark_records
from dragon.log.block_table import Blocks
from dragon.log.derived import Derived
from dragon.log.downtime_index import DowntimeIndex
from dragon.protocol import merkle
from dragon.protocol.claims.endorsement import EndorsementClaim, ExpertRecord
from dragon.protocol.claims.maintenance import Announced, MaintenanceWindow
from dragon.protocol.claims.status import Status
from dragon.protocol.claims.stream_state import StreamState
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.history import BLOCK_ITEMS
from dragon.protocol.state import History, Mark, State, Transition
from dragon.protocol.succession import Known

FORMAT: Final = 1
_STATUSES: Final[Mapping[str, Status | None]] = {"u": Status.UP, "d": Status.DOWN, "-": None}
_LETTERS: Final = {status: letter for letter, status in _STATUSES.items()}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stored snapshot. Its digest is right."""

    size: int  # entries that it covers
    content: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 over all of it."""
        return hashlib.sha256(b"snapshot\0%d\0%b" % (self.size, self.content)).digest()


def store(connection: Connection, snapshot: Snapshot) -> None:
    """Replace the stored snapshot."""
    query = "INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?, ?)"
    connection.exec_driver_sql(query, (snapshot.size, snapshot.content, snapshot.digest))


def load(connection: Connection) -> Snapshot | None:
    """Return the stored snapshot, if there is one. Raises LogDamaged: it was altered."""
    row = connection.exec_driver_sql("SELECT size, content, digest FROM snapshot").first()
    if row is None:
        return None
    size, content, digest = row
    if type(size) is int and size > 0 and type(content) is bytes:
        found = Snapshot(size, content)
        if found.digest == digest:
            return found
    raise errors.LogDamaged("the snapshot was altered on disk")


def delete(connection: Connection) -> None:
    """Delete the snapshot: the next start reads and checks all entries."""
    connection.exec_driver_sql("DELETE FROM snapshot")


def can_store(state: State) -> bool:
    """Return whether a snapshot can contain this state.

    The state of kinds in `further` has no encoding: such a log is read completely at each start.
    """
    return not state.further


def encode(derived: Derived) -> Snapshot:
    """Return the snapshot of a log. It does not depend on when its blocks were stored."""
    state = derived.state
    content: dict[str, Json] = {
        "format": FORMAT,
        "network": to_hex(state.committee.network_id),
        "committee": to_hex(state.committee.id),
        "epoch": state.committee.epoch,
        "ledger_index": derived.ledger_index,
        "tree": [_text(tail) for tail in derived.tree.tails()],
        "downtime": derived.downtime.to_json(),
        "marks": {"blocks": state.marks.full_blocks, "tail": _marks(state.marks.tail)},
        "checkpoint": _marks([state.checkpoint] if state.checkpoint else []),
        "handovers": _marks(state.handovers),
        "nodes": {node_id: _moves(moves) for node_id, moves in state.nodes.items()},
        "streams": {to_hex(stream): _stream(each) for stream, each in state.streams.items()},
        "maintenance": {node_id: _windows(each) for node_id, each in state.maintenance.items()},
        "listed_since": dict(state.listed_since),
    }
    encoded = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return Snapshot(state.size, encoded)


def decode(snapshot: Snapshot, committees: Sequence[Committee], blocks: Blocks) -> Derived:
    """Return what a snapshot contains; its blocks are read from `blocks` when they are needed.

    Args:
        committees: those that have held in the log, from epoch 0 on.

    Raises LogDamaged: the snapshot is of another format or log, or it contradicts itself, or this
    release would encode the same differently: then the check of the file could not compare it.
    """
    try:
        found = _decoded(json.loads(snapshot.content), snapshot.size, committees, blocks)
        if encode(found) != snapshot:
            raise ValueError("another encoding")
    except (errors.InvalidEncoding, ValueError, LookupError, TypeError, AttributeError):
        raise errors.LogDamaged("the snapshot cannot be read") from None
    return found


def _decoded(value: Any, size: int, committees: Sequence[Committee], blocks: Blocks) -> Derived:
    newest = committees[value["epoch"]]
    held = committees[: newest.epoch + 1]
    names = (to_hex(newest.network_id), to_hex(newest.id))
    if value["format"] != FORMAT or (value["network"], value["committee"]) != names:
        raise ValueError("another format or log")
    marks, tail = value["marks"], _marks_of(value["marks"]["tail"])
    numbers = (value["epoch"], value["ledger_index"], marks["blocks"])
    if any(type(each) is not int or each < 0 for each in numbers) or len(tail) >= BLOCK_ITEMS:
        raise ValueError("a number of the snapshot is out of range")
    if not isinstance(value["listed_since"], dict):
        raise TypeError("the seats of nodes must be an object")
    checkpoint = _marks_of(value["checkpoint"])
    state = State(
        Known.of(held),
        {node_id: _moves_of(moves) for node_id, moves in value["nodes"].items()},
        History.of_stored(marks["blocks"], blocks.marks, tail),
        checkpoint[0] if checkpoint else None,
        History(_marks_of(value["handovers"])),
        size,
        {
            from_hex(name, member="stream", size=32): _stream_of(each)
            for name, each in value["streams"].items()
        },
        {},
        {node_id: _windows_of(each) for node_id, each in value["maintenance"].items()},
        value["listed_since"],
    )
    tails = [base64.b64decode(each, validate=True) for each in value["tree"]]
    tree = merkle.Tree.of_stored(size, tails, blocks.hashes)
    downtime = DowntimeIndex.restored(value["downtime"], state, blocks.integers)
    return Derived(state, tree, downtime, value["ledger_index"])


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _marks(marks: Iterable[Mark]) -> str:
    return _text(mark_records.to_bytes(marks))


def _marks_of(value: str) -> tuple[Mark, ...]:
    return mark_records.from_bytes(base64.b64decode(value, validate=True))


def _moves(moves: Iterable[Transition]) -> Json:
    listed = list(moves)
    return {
        "statuses": "".join(_LETTERS[each.status] for each in listed),
        "times": columns.to_text(each.timestamp for each in listed),
        "positions": columns.to_text(each.position for each in listed),
    }


def _moves_of(value: Mapping[str, Any]) -> History[Transition]:
    statuses = [_STATUSES[letter] for letter in value["statuses"]]
    times, positions = columns.from_text(value["times"]), columns.from_text(value["positions"])
    return History(map(Transition, statuses, *_same_length(len(statuses), times, positions)))


def _same_length(length: int, *found: array[int]) -> tuple[array[int], ...]:
    if any(len(each) != length for each in found):
        raise ValueError("columns have different lengths")
    return found


def _stream(stream: StreamState) -> Json:
    endorsed: dict[str, Json] = {
        expert: {"claims": [claim.members() for claim in record.claims], "floor": record.floor}
        for expert, record in stream.endorsed.items()
    }
    return {
        "last": stream.last.members() if stream.last else None,
        "position": stream.position,
        "refuted": [[number, to_hex(proof)] for number, proof in sorted(stream.refuted)],
        "endorsed": endorsed,
    }


def _stream_of(value: Mapping[str, Any]) -> StreamState:
    last = value["last"]
    return StreamState(
        None if last is None else WindowClaim.take(Members(last, "the snapshot")),
        value["position"],
        frozenset(
            (number, from_hex(proof, member="refuted", size=32))
            for number, proof in value["refuted"]
        ),
        {expert: _record_of(record) for expert, record in value["endorsed"].items()},
    )


def _record_of(value: Mapping[str, Any]) -> ExpertRecord:
    claims = (EndorsementClaim.take(Members(each, "the snapshot")) for each in value["claims"])
    return ExpertRecord(tuple(claims), value["floor"])


def _windows(announced: Announced) -> Json:
    def listed(windows: Iterable[MaintenanceWindow]) -> str:
        figures = ((each.end, each.begin, each.timestamp, each.position) for each in windows)
        return columns.to_text(value for each in figures for value in each)

    return {"ended": listed(announced.ended), "latest": listed(announced.latest)}


def _windows_of(value: Mapping[str, Any]) -> Announced:
    def listed(text: str) -> list[MaintenanceWindow]:
        found = columns.from_text(text)
        parts = [found[at::4] for at in range(4)]
        return [MaintenanceWindow(*each) for each in zip(*parts, strict=True)]

    return Announced(History(listed(value["ended"])), tuple(listed(value["latest"])))
