"""Committees and certificates with known keys, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dragon.protocol import bls, certificate
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims import Claim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import (
    DEFAULT_MAINTENANCE_NOTICE,
    DEFAULT_QUORUMS,
    Aggregator,
    Committee,
    Expert,
    Operator,
    Owner,
    QuorumRule,
    Sequencer,
    Target,
)
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.history import History
from dragon.protocol.maintenance import Maintenance
from dragon.protocol.rounds import Rounds
from dragon.protocol.state import Mark, State
from dragon.protocol.target_checks import HeartbeatCheck, HttpCheck, default_timeout_ms

GENESIS = 1_732_522_000
# Hash of the node list of `simulation.World`, whose sequencer has one node with a known key.
SIMULATED_NODES = bytes.fromhex("463702f2bfdcd8843e845f68c82aed8676a183521759001ba35a2b67d268c2ab")


@dataclass(frozen=True)
class Members:
    """A committee together with its secrets."""

    committee: Committee
    secrets: Mapping[str, bls.SecretKey]

    def attest(self, claim: Claim, signers: Iterable[str]) -> dict[str, bytes]:
        root = claim.root(self.committee.id)
        return {signer: self.secrets[signer].sign(root) for signer in signers}

    def certify(self, claim: Claim, signers: Iterable[str]) -> Certificate:
        return certificate.assemble(claim, self.attest(claim, signers), self.committee)

    def status(
        self, node_id: str, status: Status, round_: int, signers: Iterable[str] | None = None
    ) -> Certificate:
        """A certificate for that round, by default signed by all who may sign it."""
        claim = StatusClaim(node_id, status, self.committee.rounds.start(round_))
        others = [name for name in self.secrets if name != node_id]
        able = list(self.secrets) if status is Status.UP else others
        return self.certify(claim, able if signers is None else signers)

    def endorse(self, claim: EndorsementClaim) -> Endorsement:
        return Endorsement.sign(claim, secret(claim.expert), self.committee.id)

    def announce(self, claim: MaintenanceClaim) -> Maintenance:
        """An announcement, signed by the speaker of the node."""
        speaker = self.committee.speaker(claim.node_id)
        key = self.secrets.get(speaker) or secret(speaker)
        return Maintenance.sign(claim, key, self.committee.id)


def secret(name: str) -> bls.SecretKey:
    return bls.SecretKey.generate(name.encode().ljust(32, b"."))


def make_members(
    operators: int = 4,
    *,
    targets: int = 0,
    experts: int = 0,
    owners: int = 0,
    maintenance_notice: int = DEFAULT_MAINTENANCE_NOTICE,
    name: str = "test",
    genesis: int = GENESIS,
    round_seconds: int = 5,
    aggregators: int = 1,
    rules: Mapping[str, QuorumRule] | None = None,
    nodes_sha256: bytes = SIMULATED_NODES,
    app: str = "datadragon",
) -> Members:
    secrets = {f"operator_{i}": secret(f"operator_{i}") for i in range(1, operators + 1)}
    committee = Committee(
        name=name,
        rounds=Rounds(genesis, round_seconds),
        quorum_rules={**DEFAULT_QUORUMS, **(rules or {})},
        operators=tuple(
            Operator(
                id=operator,
                url=f"http://{operator.replace('_', '-')}:{5000 + number}",
                public_key=key.public_key(),
                proof_of_possession=key.prove_possession(),
            )
            for number, (operator, key) in enumerate(secrets.items(), start=1)
        ),
        experts=tuple(
            Expert(expert, key.public_key(), key.prove_possession())
            for expert, key in (
                (f"expert_{i}", secret(f"expert_{i}")) for i in range(1, experts + 1)
            )
        ),
        targets=tuple(
            Target(
                f"target_{i}",
                f"http://target-{i}:80",
                HttpCheck(timeout_ms=default_timeout_ms(round_seconds)),
                owner=f"owner_{i}" if i <= owners else "",
            )
            for i in range(1, targets + 1)
        ),
        aggregators=tuple(
            Aggregator(f"http://aggregator-{rank}:{5100 + rank}", rank)
            for rank in range(aggregators)
        ),
        sequencer=Sequencer(app, 67, (nodes_sha256,)),
        owners=tuple(
            Owner(owner, key.public_key(), key.prove_possession())
            for owner, key in ((f"owner_{i}", secret(f"owner_{i}")) for i in range(1, owners + 1))
        ),
        maintenance_notice=maintenance_notice,
    )
    return Members(committee, secrets)


def with_target(members: Members, target: Target) -> Members:
    """Return the same committee with another entry of a target, which may be new."""
    committee = members.committee
    others = tuple(each for each in committee.targets if each.id != target.id)
    return replace(members, committee=replace(committee, targets=(*others, target)))


def with_heartbeats(members: Members, *ids: str, every_seconds: int = 60) -> Members:
    """Return the same committee with further targets that send beats, signed with `secret(id)`."""
    for target_id in ids:
        key = secret(target_id)
        check = HeartbeatCheck(key.public_key(), key.prove_possession(), every_seconds)
        members = with_target(members, Target(target_id, "", check))
    return members


def with_log_time(state: State, time: int) -> State:
    """Return the state with that log time (Unix seconds): after a checkpoint of that time."""
    mark = Mark(0, bytes(32), time, -1)
    return replace(state, marks=History([mark]), checkpoint=mark)
