"""Homes with known keys and logs, made quickly: their keystores state a key and hold none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from committees import Members, make_members
from dragon.encoding import canonical, to_hex
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol import bls
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover
from dragon.storage import keystore
from dragon.storage.database import Database
from dragon_cli.fleet.layout import Home
from epochs import hand_over

ROUNDS = 200  # since genesis, at least


def recent_members(operators: int = 4, **changes: object) -> Members:
    """A committee whose genesis was `ROUNDS` rounds ago."""
    return make_members(operators, genesis=int(time.time()) - 5 * ROUNDS, **changes)  # type: ignore[arg-type]


def make_home(path: Path, members: Members) -> Home:
    """Return a home with the committee file, and a keystore of each operator."""
    home = Home(path)
    path.mkdir()
    home.committee_file.write_text(json.dumps(members.committee.to_json()))
    for name, key in members.secrets.items():
        add_keystore(home, name, key)
    return home


def add_keystore(home: Home, name: str, key: bls.SecretKey) -> None:
    stated = {
        "version": 4,
        "pubkey": key.public_key().raw.hex(),
        "crypto": {"kdf": {"function": "pbkdf2"}},
    }
    keystore.write_private(home.keystore(name), json.dumps(stated))


def make_logs(
    home: Home, epochs: Iterable[Members], names: Iterable[str], *, now: float | None = None
) -> list[Handover]:
    """Write the logs of operators, which have applied a handover to each further committee.

    Their newest mark is a checkpoint of the newest committee, of the last full round before `now`
    (Unix seconds; by default the present).
    """
    made: list[Handover] = []
    for name in names:
        path = home.database(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = make_log(path, list(epochs), now=now)
    return made


def make_log(path: Path, epochs: list[Members], *, now: float | None = None) -> list[Handover]:
    """Write one such log. Returns its handovers."""
    database = Database(path, LOG_SCHEMA)
    try:
        log = Log(database, epochs[0].committee)
        _take(log, epochs[0].status("operator_1", Status.UP, 1))
        handovers: list[Handover] = []
        for members, following in pairwise(epochs):
            log.offer(following.committee)
            head, rounds = log.head(), members.committee.rounds
            at = rounds.start(100 + following.committee.epoch)
            made = hand_over(members, following, size=head.size, root=head.root, timestamp=at)
            _take(log, made)
            handovers.append(made)
        newest = epochs[-1]
        head, rounds = log.head(), newest.committee.rounds
        last = rounds.number(time.time() if now is None else now) - 1
        claim = CheckpointClaim(head.size, head.root, rounds.start(last))
        _take(log, newest.certify(claim, newest.secrets))
    finally:
        database.close()
    return handovers


def _take(log: Log, event: Event) -> None:
    index = log.position.index + 1
    body = canonical([event.to_json()]).decode()
    [_] = log.take(ProvenBatch(index, body, 0, "{}", Position(index, f"{index:032x}")))


def committee_id(members: Members) -> str:
    return to_hex(members.committee.id)
