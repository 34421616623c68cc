"""The committee: the operators, their proven keys, and the rules that they share.

A committee file has one id, which covers all of it. A network begins with one committee, and each
committee may hand over to a next one. Its file names the network, the committee before it, and how
the log stood when that one took its seat.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, Self

from dragon import errors
from dragon.encoding import Json, Members, canonical, check_id, parse, to_hex
from dragon.protocol import bls, committee_rules
from dragon.protocol.committee_file import (
    MAX_RANK,
    NO_COMMITTEE,
    UNSEALED,
    Aggregator,
    Expert,
    Keyed,
    Operator,
    Owner,
    Sealed,
    Sequencer,
    Target,
    decode_aggregator,
    decode_expert,
    decode_operator,
    decode_owner,
    decode_sealed,
    decode_sequencer,
    decode_target,
    encode_keyed,
    encode_sealed,
    encode_sequencer,
    encode_target,
    heartbeat_key,
)
from dragon.protocol.committee_rules import MAX_BATCH_BYTES
from dragon.protocol.quorums import (
    DEFAULT_QUORUMS,
    MAX_LISTED,
    QuorumRule,
    byzantine_faults,
    decode_rules,
    quorum_of,
)
from dragon.protocol.rounds import Rounds

__all__ = [
    "DEFAULT_MAINTENANCE_NOTICE",
    "DEFAULT_QUORUMS",
    "MAX_BATCH_BYTES",
    "MAX_EPOCH",
    "MAX_FILE_BYTES",
    "MAX_LISTED",
    "MAX_RANK",
    "NO_COMMITTEE",
    "UNSEALED",
    "Aggregator",
    "Committee",
    "Expert",
    "Keyed",
    "Operator",
    "Owner",
    "QuorumRule",
    "Sealed",
    "Seated",
    "Sequencer",
    "Target",
    "byzantine_faults",
    "check_node_id",
    "quorum_of",
    "short_id",
]

MAX_FILE_BYTES: Final = 1 << 20
MAX_EPOCH: Final = 4095
DEFAULT_MAINTENANCE_NOTICE: Final = 3600  # seconds
MAX_MAINTENANCE_NOTICE: Final = 604_800  # seconds, a week
SHORT_ID_BYTES: Final = 20


class Seated(Protocol):
    """A holder of the committee that holds now, such as a log: a handover changes it."""

    @property
    def committee(self) -> Committee: ...


@dataclass(frozen=True)
class Committee:
    """The operators and the rules. Use `load` to create one from a file: it checks all keys."""

    name: str
    rounds: Rounds
    quorum_rules: Mapping[str, QuorumRule]
    operators: tuple[Operator, ...]
    experts: tuple[Expert, ...]
    targets: tuple[Target, ...]
    aggregators: tuple[Aggregator, ...]
    sequencer: Sequencer
    epoch: int = 0  # how many committees the network had before this one
    network: bytes = NO_COMMITTEE  # id of the committee of epoch 0; see `network_id`
    previous: bytes = NO_COMMITTEE  # id of the committee of the epoch before
    sealed: Sealed = UNSEALED  # the log when `previous` took its seat
    owners: tuple[Owner, ...] = ()
    # Seconds by which maintenance has to be announced before it begins.
    maintenance_notice: int = DEFAULT_MAINTENANCE_NOTICE

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """Decode and check a committee file.

        Raises:
            InvalidEncoding: the file is not the JSON of a committee.
            InvalidCommittee: a key, an entry or a rule is not acceptable; a subclass says why.
        """
        if len(raw) > MAX_FILE_BYTES:
            message = (
                f"the committee file has {len(raw)} bytes; at most {MAX_FILE_BYTES} are allowed"
            )
            raise errors.TooLarge(message)
        committee = cls.from_json(parse(raw))
        committee.check()
        return committee

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a committee without checking its keys and rules.

        Raises InvalidEncoding; TooLarge: with all defaults stated, the file is too long.
        """
        members = Members(value, "the committee")
        rounds = _rounds(members)
        committee = cls(
            name=members.text("name", longest=64),
            rounds=rounds,
            quorum_rules=decode_rules(members.object("quorum") if "quorum" in members else {}),
            operators=tuple(
                decode_operator(item) for item in members.list("operators", most=MAX_LISTED)
            ),
            experts=tuple(decode_expert(item) for item in _optional(members, "experts")),
            owners=tuple(decode_owner(item) for item in _optional(members, "owners")),
            targets=tuple(
                decode_target(item, rounds.seconds) for item in _optional(members, "targets")
            ),
            aggregators=tuple(
                decode_aggregator(item) for item in _optional(members, "aggregators")
            ),
            sequencer=decode_sequencer(members.take("sequencer")),
            epoch=members.integer("epoch", most=MAX_EPOCH) if "epoch" in members else 0,
            network=_committee_id(members, "network"),
            previous=_committee_id(members, "previous"),
            sealed=decode_sealed(members.take("sealed")) if "sealed" in members else UNSEALED,
            maintenance_notice=_maintenance_notice(members),
        )
        members.end()
        # Other services get the encoded file, which states the defaults that this one may omit.
        if (size := len(committee.encode())) > MAX_FILE_BYTES:
            message = (
                f"the encoded committee has {size} bytes; at most {MAX_FILE_BYTES} are allowed"
            )
            raise errors.TooLarge(message)
        return committee

    @property
    def committee(self) -> Committee:
        """This committee: it is `Seated` by itself, where no handover can come."""
        return self

    def to_json(self) -> dict[str, Json]:
        """Return the content of the file, with all defaults stated."""
        return {
            "name": self.name,
            "epoch": self.epoch,
            "network": to_hex(self.network),
            "previous": to_hex(self.previous),
            "sealed": encode_sealed(self.sealed),
            "genesis": self.rounds.genesis,
            "round_seconds": self.rounds.seconds,
            "maintenance_notice": self.maintenance_notice,
            "quorum": dict(self.quorum_rules),
            "operators": [
                {**encode_keyed(operator), "url": operator.url} for operator in self.operators
            ],
            "experts": [encode_keyed(expert) for expert in self.experts],
            "owners": [encode_keyed(owner) for owner in self.owners],
            "targets": [encode_target(target) for target in self.targets],
            "aggregators": [{"url": each.url, "rank": each.rank} for each in self.aggregators],
            "sequencer": encode_sequencer(self.sequencer),
        }

    def encode(self) -> bytes:
        """Return the file in canonical JSON: the object that is named by the committee's id."""
        return canonical(self.to_json())

    @cached_property
    def id(self) -> bytes:
        """SHA-256 of the encoded file, 32 bytes."""
        return hashlib.sha256(self.encode()).digest()

    @cached_property
    def network_id(self) -> bytes:
        """The id of the network's first committee, 32 bytes. It stays the same in all epochs."""
        return self.network if self.epoch else self.id

    @cached_property
    def keys(self) -> Mapping[str, bls.PublicKey]:
        """Public keys of the operators, by id."""
        return {operator.id: operator.public_key for operator in self.operators}

    @cached_property
    def expert_keys(self) -> Mapping[str, bls.PublicKey]:
        """Public keys of the experts, by id."""
        return {expert.id: expert.public_key for expert in self.experts}

    @cached_property
    def members(self) -> Mapping[str, Keyed]:
        """Operators, experts and owners, by id."""
        listed: list[Keyed] = [*self.operators, *self.experts, *self.owners]
        return {each.id: each for each in listed}

    @cached_property
    def member_keys(self) -> Mapping[str, bls.PublicKey]:
        """Public keys of operators, experts and owners, by id."""
        return {each.id: each.public_key for each in self.members.values()}

    @cached_property
    def targets_by_id(self) -> Mapping[str, Target]:
        """The targets by id."""
        return {target.id: target for target in self.targets}

    @cached_property
    def keyed(self) -> tuple[Keyed, ...]:
        """All that have a key: the members, and the targets that sign heartbeats."""
        found = (heartbeat_key(target) for target in self.targets)
        return (*self.members.values(), *(each for each in found if each is not None))

    @cached_property
    def urls(self) -> Mapping[str, str]:
        """URLs of all nodes (operators and targets), by id. Only these URLs are probed.

        The URL of a target with heartbeats is empty.
        """
        nodes: Sequence[Operator | Target] = [*self.operators, *self.targets]
        return {node.id: node.url for node in nodes}

    def quorum(self, kind: str, default: QuorumRule | None = None) -> int:
        """Return the number of signatures that a kind of claim needs.

        Args:
            default: the rule if the file states none for this kind.

        Raises KeyError: neither the file nor the caller has a rule.
        """
        rule = self.quorum_rules[kind] if default is None else self.quorum_rules.get(kind, default)
        return quorum_of(rule, len(self.operators))

    def check_node(self, node_id: str) -> None:
        """Check that the committee lists this node. Raises UnknownNode."""
        if node_id not in self.urls:
            raise errors.UnknownNode(f"the committee lists no node {node_id}", node_id=node_id)

    def speaker(self, node_id: str) -> str:
        """Return the id of the member that may announce a node's maintenance.

        Raises UnknownNode; NoOwner: a target without an owner.
        """
        self.check_node(node_id)
        if node_id in self.keys:
            return node_id
        if not (owner := self.targets_by_id[node_id].owner):
            message = f"the committee lists no owner of {node_id} who could announce maintenance"
            raise errors.NoOwner(message, node_id=node_id)
        return owner

    def check(self) -> None:
        """Check keys and rules, cheap checks first. Raises a subclass of InvalidCommittee."""
        committee_rules.check(self)

    def check_rules(self) -> None:
        """Check everything except the proofs of possession. Raises as `check`."""
        committee_rules.check_rules(self)


def short_id(committee_id: bytes) -> str:
    """Return the first 20 bytes of an id as ten groups of four digits, to compare by voice.

    Fewer bytes would not do: with 2^32 attempts the person who assembles a committee could make two
    files with ids that agree in 64 bits.
    """
    digits = committee_id[:SHORT_ID_BYTES].hex()
    return " ".join(digits[i : i + 4] for i in range(0, len(digits), 4))


def _committee_id(members: Members, name: str) -> bytes:
    return members.hex(name, size=32) if name in members else NO_COMMITTEE


def _rounds(members: Members) -> Rounds:
    seconds = 5
    if "round_seconds" in members:
        seconds = members.integer("round_seconds", least=2, most=3600)
    return Rounds(members.integer("genesis"), seconds)


def _maintenance_notice(members: Members) -> int:
    if "maintenance_notice" not in members:
        return DEFAULT_MAINTENANCE_NOTICE
    return members.integer("maintenance_notice", most=MAX_MAINTENANCE_NOTICE)


def _optional(members: Members, name: str) -> list[Json]:
    return members.list(name, most=MAX_LISTED) if name in members else []


def check_node_id(committee: Committee, node_id: Json) -> str:
    """Return an id that the committee lists. Raises InvalidEncoding, UnknownNode."""
    known = check_id(node_id, member="node_id")
    committee.check_node(known)
    return known
