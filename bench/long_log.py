"""A log of many days for benchmarks: a checkpoint every twelve rounds, and status events.

All certificates carry one genuine signature of another claim, because signing would take minutes.
So nothing may verify them. Rules, roots, leaf hashes and derived rows are those of a real log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from dragon.encoding import canonical
from dragon.log import cursor, index_tables
from dragon.log.ledger import Position
from dragon.log.schema import LOG_SCHEMA
from dragon.protocol import event, merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import EventClaim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.storage.database import Database
from fixtures import Members, quorum_certificate

DAY_SECONDS = 86_400
STATUS_EVERY = 24  # checkpoints between two status events: 60 a day in rounds of 5 s
MISSING_EVERY = 1000  # checkpoints after which some are missing, so that there are unknown times
MISSING = 3


def claims(members: Members, days: int, tree: merkle.Tree) -> Iterator[EventClaim]:
    """Yield the claims of a log in order. The roots in it are those of `tree`, which grows."""
    rounds = members.committee.rounds
    nodes = list(members.committee.urls)
    for node in nodes:
        yield StatusClaim(node, Status.UP, rounds.start(1))
    changes = 0
    for number in range(1, days * DAY_SECONDS // rounds.checkpoint_every):
        time = rounds.start(12 * number)
        if number % STATUS_EVERY == 0:
            turn, place = divmod(changes, len(nodes))
            yield StatusClaim(nodes[place], (Status.DOWN, Status.UP)[turn % 2], time)
            changes += 1
        if number % MISSING_EVERY >= MISSING:
            yield CheckpointClaim(len(tree), tree.root(), time)


Claims = Callable[[Members, int, merkle.Tree], Iterator[EventClaim]]


def fill(path: Path, members: Members, days: int, claims: Claims = claims) -> int:
    """Write the log of that many days to a new file, and return its number of entries."""
    committee, tree = members.committee, merkle.Tree()
    claim = StatusClaim("operator_1", Status.UP, committee.rounds.start(0))
    signers = list(members.secrets)[: committee.quorum("status")]
    template = quorum_certificate(members, claim, signers)
    database = Database(path, LOG_SCHEMA)
    with database.write() as connection:
        cursor.read_cursor(connection, committee.network_id)
    with database.transaction() as changing:
        for claim_ in claims(members, days, tree):
            event_ = replace(template, claim=claim_)
            _append(changing, event_, tree)
        cursor.advance_cursor(changing, Position(len(tree), f"{len(tree):032x}"))
    database.close()
    return len(tree)


def _append(changing: sqlite3.Cursor, event_: Certificate, tree: merkle.Tree) -> None:
    """Append an entry as the log does."""
    position, claim = len(tree), event_.claim
    text = canonical(event_.to_json())
    leaf_hash = merkle.leaf_hash(event.leaf_of(text, position + 1))
    row = (position, claim.KIND, event.root(event_), text.decode(), leaf_hash, position + 1)
    changing.execute(
        "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, None, f"{position + 1:032x}"),
    )
    if claim.KIND == StatusClaim.KIND:
        index_tables.insert(changing, position, event_)
    tree.append(leaf_hash)
