"""The committee: the operators, their proven keys, and the rules that they share.

A committee file has one id. The id covers everything except the URLs of operators and the list of
aggregators: these may change, and certificates stay valid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from dragon import errors
from dragon.encoding import MAX_INTEGER, Json, Members, canonical, check_id, parse, to_hex
from dragon.protocol import bls
from dragon.protocol.committee_file import (
    MAX_RANK,
    Aggregator,
    Expert,
    Operator,
    Sequencer,
    Target,
    decode_aggregator,
    decode_expert,
    decode_operator,
    decode_sequencer,
    decode_target,
    encode_keyed,
)
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
    "DEFAULT_QUORUMS",
    "MAX_BATCH_BYTES",
    "MAX_FILE_BYTES",
    "MAX_LISTED",
    "MAX_RANK",
    "Aggregator",
    "Committee",
    "Expert",
    "Operator",
    "QuorumRule",
    "Sequencer",
    "Target",
    "byzantine_faults",
    "check_node_id",
    "quorum_of",
]

MAX_BATCH_BYTES: Final = 5120  # Zellular's limit; an event has to fit into one batch
MAX_FILE_BYTES: Final = 1 << 20


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
        """Decode a committee without checking its keys and rules. Raises InvalidEncoding."""
        members = Members(value, "the committee")
        committee = cls(
            name=members.text("name", longest=64),
            rounds=Rounds(
                members.integer("genesis"),
                members.integer("round_seconds", least=2, most=3600)
                if "round_seconds" in members
                else 5,
            ),
            quorum_rules=decode_rules(members.object("quorum") if "quorum" in members else {}),
            operators=tuple(
                decode_operator(item) for item in members.list("operators", most=MAX_LISTED)
            ),
            experts=tuple(decode_expert(item) for item in _optional(members, "experts")),
            targets=tuple(decode_target(item) for item in _optional(members, "targets")),
            aggregators=tuple(
                decode_aggregator(item) for item in _optional(members, "aggregators")
            ),
            sequencer=decode_sequencer(members.take("sequencer")),
        )
        members.end()
        return committee

    def to_json(self) -> dict[str, Json]:
        """Return the content of the file, with all defaults stated."""
        value = self._bound()
        value["operators"] = [
            {**encode_keyed(operator), "url": operator.url} for operator in self.operators
        ]
        value["aggregators"] = [{"url": a.url, "rank": a.rank} for a in self.aggregators]
        return value

    def _bound(self) -> dict[str, Json]:
        """Return the members that the id covers."""
        return {
            "name": self.name,
            "genesis": self.rounds.genesis,
            "round_seconds": self.rounds.seconds,
            "quorum": dict(self.quorum_rules),
            "operators": [encode_keyed(operator) for operator in self.operators],
            "experts": [encode_keyed(expert) for expert in self.experts],
            "targets": [{"id": target.id, "url": target.url} for target in self.targets],
            "sequencer": {
                "app": self.sequencer.app,
                "threshold_percent": self.sequencer.threshold_percent,
                "nodes_sha256": to_hex(self.sequencer.nodes_sha256),
            },
        }

    @cached_property
    def id(self) -> bytes:
        """SHA-256 of the members that the id covers, 32 bytes."""
        return hashlib.sha256(canonical(self._bound())).digest()

    @cached_property
    def keys(self) -> Mapping[str, bls.PublicKey]:
        """Public keys of the operators, by id."""
        return {operator.id: operator.public_key for operator in self.operators}

    @cached_property
    def expert_keys(self) -> Mapping[str, bls.PublicKey]:
        """Public keys of the experts, by id."""
        return {expert.id: expert.public_key for expert in self.experts}

    @cached_property
    def urls(self) -> Mapping[str, str]:
        """URLs of all nodes (operators and targets), by id. Only these URLs are probed."""
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

    def check(self) -> None:
        """Check keys and rules, cheap checks first. Raises a subclass of InvalidCommittee."""
        self._check_listed_once()
        self._check_quorums()
        self._check_event_size()
        keyed: list[Operator | Expert] = [*self.operators, *self.experts]
        for member in keyed:
            _check_possession(member)

    def _check_listed_once(self) -> None:
        if len(self.operators) < 3:
            message = f"a committee needs at least 3 operators, this one has {len(self.operators)}"
            raise errors.TooFewOperators(message)
        keyed: list[Operator | Expert] = [*self.operators, *self.experts]
        ids = [member.id for member in keyed] + [target.id for target in self.targets]
        _refuse_duplicate("id", ids)
        _refuse_duplicate("aggregator", [aggregator.url for aggregator in self.aggregators])
        _refuse_duplicate("public key", [to_hex(member.public_key.raw) for member in keyed])

    def _check_quorums(self) -> None:
        members = len(self.operators)
        for kind in self.quorum_rules:
            needed = self.quorum(kind)
            if needed * 2 <= members:
                message = f"two quorums of {needed} of {members} could sign contradicting claims"
                raise errors.UnreachableQuorum(message, kind=kind, needed=needed)
            if needed > members - 1:
                message = (
                    f"a quorum of {needed} of {members} needs the claim's subject as a signer; "
                    f"at most {members - 1} may be required"
                )
                raise errors.UnreachableQuorum(message, kind=kind, needed=needed)

    def _check_event_size(self) -> None:
        if (size := max(map(len, self._largest_batches()))) > MAX_BATCH_BYTES:
            message = (
                f"an event signed by all operators would take {size} bytes; a batch has at most "
                f"{MAX_BATCH_BYTES}. Use fewer operators or shorter ids."
            )
            raise errors.OversizedEvent(message, bytes=size)

    def _largest_batches(self) -> Iterator[bytes]:
        """Yield batches of one event: the largest of each kind that may be the largest of all."""
        digest, signature = to_hex(bytes(32)), to_hex(bytes(bls.SIGNATURE_BYTES))
        certified: dict[str, Json] = {
            "aggregated_signature": signature,
            "aggregated_public_key": to_hex(bytes(bls.PUBLIC_KEY_BYTES)),
            "signers": [operator.id for operator in self.operators],
            "committee": digest,
        }
        window: dict[str, Json] = dict.fromkeys(("stream", "previous", "header", "proof"), digest)
        window |= {"kind": "window", "verdict": "invalid", "reason": "statement"}
        window |= {"parameters": "p" * 32, "number": MAX_INTEGER, "timestamp": MAX_INTEGER}
        yield canonical([{**window, **certified}])
        # One expert signs it, so it is smaller, except for short ids and few operators.
        endorsement: dict[str, Json] = dict.fromkeys(("first", "last", "timestamp"), MAX_INTEGER)
        endorsement |= dict.fromkeys(("stream", "note", "committee"), digest)
        endorsement |= {"kind": "endorsement", "verdict": "invalid", "signature": signature}
        yield canonical([{**endorsement, "expert": "e" * 32}])


def _refuse_duplicate(what: str, listed: Iterable[str]) -> None:
    seen: set[str] = set()
    for item in listed:
        if item in seen:
            raise errors.ListedTwice(f"the {what} {item} is listed twice", listed=item)
        seen.add(item)


def _check_possession(member: Operator | Expert) -> None:
    """Check the proof of possession, to prevent rogue-key attacks.

    Otherwise a key computed from the other members' keys could sign for all of them.
    """
    try:
        proven = bls.verify_possession(member.public_key, member.proof_of_possession)
    except errors.InvalidPoint:
        proven = False
    if not proven:
        message = f"the proof of possession of {member.id} is invalid for its public key"
        raise errors.UnprovenKey(message, id=member.id)


def _optional(members: Members, name: str) -> list[Json]:
    return members.list(name, most=MAX_LISTED) if name in members else []


def check_node_id(committee: Committee, node_id: Json) -> str:
    """Return an id that the committee lists. Raises InvalidEncoding, UnknownNode."""
    known = check_id(node_id, member="node_id")
    committee.check_node(known)
    return known
