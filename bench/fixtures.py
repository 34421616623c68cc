"""Committees, certificates and logs for benchmarks, made with the tests' helpers.

Only signing is shortened: the sum of all signatures of one root equals the signature under the sum
of the secrets, byte for byte.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dragon.encoding import canonical
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol import bls
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.storage.database import Database
from dragon_sequencer.devnet.main import make_keys, nodes_document
from dragon_sequencer.devnet.network import Signer
from dragon_sequencer.nodes import NodeList

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from committees import Members, make_members
from ports import free_block

__all__ = ["Members", "free_block", "make_members"]


def quorum_certificate(members: Members, claim: StatusClaim, signers: Iterable[str]) -> Certificate:
    """Make the same certificate as `members.certify`, with one signature for all signers."""
    signers = tuple(sorted(signers))
    secret = bls.SecretKey(sum(members.secrets[name].scalar for name in signers) % bls.ORDER)
    committee_id = members.committee.id
    signature = secret.sign(claim.root(committee_id))
    return Certificate(claim, signers, signature, secret.public_key().raw, committee_id)


def history(members: Members, events: int) -> Iterator[Certificate]:
    """Make status events: one node after the other goes down and comes back, one event per round.

    Three different quorums sign in turn.
    """
    committee = members.committee
    quorum, names = committee.quorum("status"), list(members.secrets)
    nodes = [target.id for target in committee.targets]
    sets = [(names[shift:] + names[:shift])[:quorum] for shift in range(3)]
    for number in range(events):
        turn, place = divmod(number, len(nodes))
        status = Status.DOWN if turn % 2 else Status.UP
        claim = StatusClaim(nodes[place], status, committee.rounds.start(number))
        yield quorum_certificate(members, claim, sets[number % len(sets)])


def fill_log(path: Path, members: Members, certificates: Iterable[Certificate]) -> None:
    """Apply certificates to the log at `path`, one batch each, as a follower would."""
    database = Database(path, LOG_SCHEMA)
    log = Log(database, members.committee)
    batches = [batch(index, one) for index, one in enumerate(certificates, start=1)]
    for start in range(0, len(batches), 256):
        log.take(*batches[start : start + 256])
    refusals = log.refusals()
    database.close()
    if refusals:
        raise SystemExit(f"the log refused events that it should have applied: {refusals}")


def batch(index: int, certified: Certificate) -> ProvenBatch:
    """A batch of one event, finalized one second after the event's round began."""
    if not isinstance(certified.claim, StatusClaim):
        raise TypeError("only status events are supported")
    chain, time = f"{index:032x}", certified.claim.timestamp + 1
    body = canonical([certified.to_json()]).decode()
    return ProvenBatch(index, body, time, "{}", Position(index, chain))


def ledger_network(size: int = 4) -> tuple[NodeList, list[Signer]]:
    """The node list of a sequencing network, and the signers with its secrets."""
    keys: list[Any] = make_keys(size, random.Random(7).getrandbits)  # noqa: S311
    nodes = NodeList.decode(json.dumps(nodes_document(keys, "http://sequencer:6001")))
    return nodes, [Signer(node, key) for node, key in zip(nodes.nodes.values(), keys, strict=True)]
