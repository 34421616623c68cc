"""Committees that follow each other, with known keys, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from committees import Members, make_members, secret
from dragon.protocol import bls, certificate, handover
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.committee import Committee, Operator
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import Lineage, sealed_by

if TYPE_CHECKING:
    from dragon.log.store import Log
    from simulation import World


def new_operator(name: str, key: bls.SecretKey, url: str = "") -> Operator:
    url = url or f"http://{name.replace('_', '-')}:5000"
    return Operator(name, url, key.public_key(), key.prove_possession())


def successor(
    members: Members,
    seated_by: Handover | None,
    *,
    add: Iterable[str] = (),
    drop: Iterable[str] = (),
    rotate: Mapping[str, bls.SecretKey] | None = None,
    **changes: Any,
) -> Members:
    """Return the next committee.

    Args:
        seated_by: the handover to `members`; None in epoch 0.
        add, drop: ids of operators.
        rotate: new keys of operators, by id.
        changes: other members of the committee.
    """
    before = members.committee
    secrets = {
        **{name: key for name, key in members.secrets.items() if name not in set(drop)},
        **{name: secret(name) for name in add},
        **(rotate or {}),
    }
    known = {operator.id: operator for operator in before.operators}
    operators = tuple(
        known[name]
        if name in known and known[name].public_key == key.public_key()
        else new_operator(name, key, known[name].url if name in known else "")
        for name, key in secrets.items()
    )
    following = {
        "epoch": before.epoch + 1,
        "network": before.network_id,
        "previous": before.id,
        "sealed": sealed_by(seated_by),
        "operators": operators,
    }
    return Members(replace(before, **{**following, **changes}), secrets)


def newest_handover(log: Log) -> Handover | None:
    """Return the newest handover in a log."""
    found = [each.event for each in log.entries(limit=100_000)]
    return next((each for each in reversed(found) if isinstance(each, Handover)), None)


def propose(world: World, **changes: Any) -> Members:
    """Let all owners approve a next committee. `changes`: as in `successor`."""
    seated_by = newest_handover(world.components("operator_1").log)
    following = successor(world.members, seated_by, **changes)
    for name in following.secrets:
        world.approve(name, following.committee)
    return following


def hand_over(
    members: Members,
    following: Members,
    *,
    size: int,
    root: bytes,
    timestamp: int,
    signers: Iterable[str] | None = None,
    accepted_by: Iterable[str] | None = None,
) -> Handover:
    """Return the handover that both committees sign, by default with all operators."""
    claim = HandoverClaim(following.committee.epoch, following.committee.id, root, size, timestamp)
    certified = members.certify(claim, members.secrets if signers is None else signers)
    accepted = claim.acceptance.root(following.committee.id)
    names = list(following.secrets if accepted_by is None else accepted_by)
    signatures = {name: following.secrets[name].sign(accepted) for name in names}
    return handover.assemble(certified, signatures, following.committee)


def checkpoint(members: Members, size: int, root: bytes, timestamp: int) -> Certificate:
    claim = CheckpointClaim(size, root, timestamp)
    signatures = members.attest(claim, members.secrets)
    return certificate.assemble(claim, signatures, members.committee)


@dataclass
class Network:
    """A network that hands over, epoch by epoch. Roots are made up: there is no log."""

    epochs: list[Members] = field(default_factory=lambda: [make_members(4, targets=1)])
    handovers: list[Handover] = field(default_factory=list)

    @property
    def newest(self) -> Members:
        return self.epochs[-1]

    def root(self, epoch: int) -> bytes:
        return bytes([epoch]) * 32

    def step(self, **changes: Any) -> Members:
        """Hand over to the next committee, 100 rounds and 10 entries later."""
        seated_by = self.handovers[-1] if self.handovers else None
        following = successor(self.newest, seated_by, **changes)
        epoch = following.committee.epoch
        at = self.newest.committee.rounds.start(100 * epoch)
        self.handovers.append(
            hand_over(self.newest, following, size=10 * epoch, root=self.root(epoch), timestamp=at)
        )
        self.epochs.append(following)
        return following

    def committees(self) -> tuple[Committee, ...]:
        return tuple(members.committee for members in self.epochs)

    def checkpoint(self) -> Certificate:
        """A checkpoint of the newest committee, 50 rounds and 5 entries after it was seated."""
        committee = self.newest.committee
        epoch = committee.epoch
        time = committee.rounds.start(100 * epoch + 50)
        return checkpoint(self.newest, 10 * epoch + 5, b"\xcc" * 32, time)

    def lineage(self) -> Lineage:
        return Lineage(self.committees(), tuple(self.handovers), self.checkpoint())
