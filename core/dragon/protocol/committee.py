"""The committee: who may sign, their proven keys, and the rules that all of them share.

One file, one id. The id covers everything except where operators and aggregators are reached, which
may change without changing what was ever certified.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, Self, TypeAlias

from dragon import errors
from dragon.encoding import MAX_INTEGER, Json, Members, canonical, check_id, parse, to_hex
from dragon.protocol import bls
from dragon.protocol.rounds import Rounds

MAX_BATCH_BYTES: Final = 5120  # Zellular's limit, which an event has to fit into
MAX_FILE_BYTES: Final = 1 << 20
MAX_LISTED: Final = 4096
MAX_RANK: Final = 63

_URL: Final = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*",
    re.ASCII,
)

QuorumRule: TypeAlias = Literal["byzantine", "majority"] | int
DEFAULT_QUORUMS: Final[Mapping[str, QuorumRule]] = {
    "status": "byzantine",
    "downtime": "byzantine",
    "checkpoint": "byzantine",
    "window": "majority",
}


@dataclass(frozen=True, slots=True)
class Operator:
    id: str
    url: str
    public_key: bls.PublicKey
    proof_of_possession: bytes


@dataclass(frozen=True, slots=True)
class Expert:
    id: str
    public_key: bls.PublicKey
    proof_of_possession: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """A further node to watch: it has no key, so its answers are not signed."""

    id: str
    url: str


@dataclass(frozen=True, slots=True)
class Aggregator:
    url: str
    rank: int  # 0 submits at once, k waits k rounds for the others


@dataclass(frozen=True, slots=True)
class Sequencer:
    app: str
    threshold_percent: int
    nodes_sha256: bytes  # of the node list without sockets; binds the ledger's own keys


def byzantine_faults(members: int) -> int:
    return (members - 1) // 3


def quorum_of(rule: QuorumRule, members: int) -> int:
    """How many of `members` a rule asks for. Always over the whole committee."""
    if rule == "byzantine":
        return (members + byzantine_faults(members)) // 2 + 1
    if rule == "majority":
        return members // 2 + 1
    return int(rule)


@dataclass(frozen=True)
class Committee:
    """A committee whose every key is proven. `load` is the only door from outside."""

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
        """Read and check a committee file.

        Raises:
            InvalidEncoding: not the JSON of a committee.
            InvalidCommittee: a leaf of it, for each thing that could not be trusted.
        """
        if len(raw) > MAX_FILE_BYTES:
            raise errors.TooLarge("a committee file has at most 1 MiB")
        committee = cls.from_json(parse(raw))
        committee.check()
        return committee

    @classmethod
    def from_json(cls, value: Json) -> Self:
        members = Members(value, "the committee")
        committee = cls(
            name=members.text("name", longest=64),
            rounds=Rounds(
                members.integer("genesis"),
                members.integer("round_seconds", least=2, most=3600)
                if "round_seconds" in members
                else 5,
            ),
            quorum_rules=_quorum_rules(members.object("quorum") if "quorum" in members else {}),
            operators=tuple(_operator(item) for item in members.list("operators", most=MAX_LISTED)),
            experts=tuple(_expert(item) for item in _optional(members, "experts")),
            targets=tuple(_target(item) for item in _optional(members, "targets")),
            aggregators=tuple(_aggregator(item) for item in _optional(members, "aggregators")),
            sequencer=_sequencer(members.take("sequencer")),
        )
        members.end()
        return committee

    def to_json(self) -> dict[str, Json]:
        """Everything, all defaults explicit: what the file holds."""
        value = self._bound()
        value["operators"] = [
            {**_keyed(operator), "url": operator.url} for operator in self.operators
        ]
        value["aggregators"] = [{"url": a.url, "rank": a.rank} for a in self.aggregators]
        return value

    def _bound(self) -> dict[str, Json]:
        """What the id covers."""
        return {
            "name": self.name,
            "genesis": self.rounds.genesis,
            "round_seconds": self.rounds.seconds,
            "quorum": dict(self.quorum_rules),
            "operators": [_keyed(operator) for operator in self.operators],
            "experts": [_keyed(expert) for expert in self.experts],
            "targets": [{"id": target.id, "url": target.url} for target in self.targets],
            "sequencer": {
                "app": self.sequencer.app,
                "threshold_percent": self.sequencer.threshold_percent,
                "nodes_sha256": to_hex(self.sequencer.nodes_sha256),
            },
        }

    @cached_property
    def id(self) -> bytes:
        return hashlib.sha256(canonical(self._bound())).digest()

    @cached_property
    def keys(self) -> Mapping[str, bls.PublicKey]:
        return {operator.id: operator.public_key for operator in self.operators}

    @cached_property
    def expert_keys(self) -> Mapping[str, bls.PublicKey]:
        return {expert.id: expert.public_key for expert in self.experts}

    @cached_property
    def urls(self) -> Mapping[str, str]:
        """Where each node is reached: operators and targets. Nothing else is ever probed."""
        nodes: Sequence[Operator | Target] = [*self.operators, *self.targets]
        return {node.id: node.url for node in nodes}

    def quorum(self, kind: str, default: QuorumRule | None = None) -> int:
        """Return how many signatures a kind of claim needs; `default` if the file states no rule.

        Raises KeyError: neither the file nor the caller has a rule.
        """
        rule = self.quorum_rules[kind] if default is None else self.quorum_rules.get(kind, default)
        return quorum_of(rule, len(self.operators))

    def check_node(self, node_id: str) -> None:
        """Raises UnknownNode: the committee lists no such node."""
        if node_id not in self.urls:
            raise errors.UnknownNode(f"the committee lists no node {node_id}", node_id=node_id)

    def check(self) -> None:
        """Raises a leaf of InvalidCommittee for whatever makes it unfit, cheap checks first."""
        self._check_listed_once()
        self._check_quorums()
        self._check_event_size()
        keyed: list[Operator | Expert] = [*self.operators, *self.experts]
        for member in keyed:
            _check_possession(member)

    def _check_listed_once(self) -> None:
        if len(self.operators) < 3:
            message = f"a committee has at least 3 operators, this one {len(self.operators)}"
            raise errors.TooFewOperators(message)
        keyed: list[Operator | Expert] = [*self.operators, *self.experts]
        ids = [member.id for member in keyed] + [target.id for target in self.targets]
        _refuse_twice("id", ids)
        _refuse_twice("aggregator", [aggregator.url for aggregator in self.aggregators])
        _refuse_twice("public key", [to_hex(member.public_key.raw) for member in keyed])

    def _check_quorums(self) -> None:
        members = len(self.operators)
        for kind in self.quorum_rules:
            needed = self.quorum(kind)
            if needed * 2 <= members:
                message = f"two quorums of {needed} of {members} could sign opposites"
                raise errors.UnreachableQuorum(message, kind=kind, needed=needed)
            if needed > members - 1:
                message = f"without the subject, {members - 1} operators never make {needed}"
                raise errors.UnreachableQuorum(message, kind=kind, needed=needed)

    def _check_event_size(self) -> None:
        if (size := max(map(len, self._largest_batches()))) > MAX_BATCH_BYTES:
            message = f"an event signed by all would take {size} bytes of {MAX_BATCH_BYTES}"
            raise errors.OversizedEvent(message, bytes=size)

    def _largest_batches(self) -> Iterator[bytes]:
        """The largest events of each kind that may be the largest of all, alone in their batch."""
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
        # By one expert, and therefore smaller unless ids are short and operators few.
        endorsement: dict[str, Json] = dict.fromkeys(("first", "last", "timestamp"), MAX_INTEGER)
        endorsement |= dict.fromkeys(("stream", "note", "committee"), digest)
        endorsement |= {"kind": "endorsement", "verdict": "invalid", "signature": signature}
        yield canonical([{**endorsement, "expert": "e" * 32}])


def _refuse_twice(what: str, listed: Iterable[str]) -> None:
    seen: set[str] = set()
    for item in listed:
        if item in seen:
            raise errors.ListedTwice(f"the {what} {item} is listed twice", listed=item)
        seen.add(item)


def _check_possession(member: Operator | Expert) -> None:
    """Without this, a key made from the others' keys could sign for all of them (rogue key)."""
    try:
        proven = bls.verify_possession(member.public_key, member.proof_of_possession)
    except errors.InvalidPoint:
        proven = False
    if not proven:
        message = f"{member.id} does not prove to hold the secret of its key"
        raise errors.UnprovenKey(message, id=member.id)


def _optional(members: Members, name: str) -> list[Json]:
    return members.list(name, most=MAX_LISTED) if name in members else []


def _keyed(member: Operator | Expert) -> dict[str, Json]:
    return {
        "id": member.id,
        "public_key": to_hex(member.public_key.raw),
        "proof_of_possession": to_hex(member.proof_of_possession),
    }


def _quorum_rules(stated: Mapping[str, Json]) -> dict[str, QuorumRule]:
    rules = dict(DEFAULT_QUORUMS)
    for kind, rule in stated.items():
        if kind not in rules:
            raise errors.UnknownMember(f"no quorum is stated for {kind!a}", member="quorum")
        rules[kind] = _quorum_rule(rule)
    return rules


def _quorum_rule(rule: Json) -> QuorumRule:
    match rule:
        case bool():
            raise errors.NotAnInteger("a quorum is a rule or a number", member="quorum")
        case "byzantine":
            return "byzantine"
        case "majority":
            return "majority"
        case int() if 0 < rule <= MAX_LISTED:
            return rule
        case _:
            message = "a quorum is byzantine, majority or a number of operators"
            raise errors.UnknownValue(message, member="quorum")


def _public_key(members: Members, owner: str) -> bls.PublicKey:
    try:
        return bls.PublicKey.decode(members.hex("public_key", size=bls.PUBLIC_KEY_BYTES))
    except errors.InvalidPoint as error:
        raise errors.InvalidKey(f"the key of {owner}: {error}", id=owner) from None


def _possession(members: Members, owner: str) -> bytes:
    if "proof_of_possession" not in members:
        raise errors.UnprovenKey(f"{owner} gives no proof of possession", id=owner)
    return members.hex("proof_of_possession", size=bls.SIGNATURE_BYTES)


def _operator(value: Json) -> Operator:
    members = Members(value, "an operator")
    owner = members.id("id")
    url, key = _url(members), _public_key(members, owner)
    operator = Operator(owner, url, key, _possession(members, owner))
    members.end()
    return operator


def _expert(value: Json) -> Expert:
    members = Members(value, "an expert")
    owner = members.id("id")
    key = _public_key(members, owner)
    expert = Expert(owner, key, _possession(members, owner))
    members.end()
    return expert


def _target(value: Json) -> Target:
    members = Members(value, "a target")
    target = Target(members.id("id"), _url(members))
    members.end()
    return target


def _aggregator(value: Json) -> Aggregator:
    members = Members(value, "an aggregator")
    aggregator = Aggregator(_url(members), members.integer("rank", most=MAX_RANK))
    members.end()
    return aggregator


def _sequencer(value: Json) -> Sequencer:
    members = Members(value, "the sequencer")
    sequencer = Sequencer(
        members.text("app", longest=64),
        members.integer("threshold_percent", least=1, most=100),
        members.hex("nodes_sha256", size=32),
    )
    members.end()
    return sequencer


def _url(members: Members) -> str:
    """`http://host[:port]` or `https://…`, perhaps with a plain path; nothing that two programs
    could read differently, and nothing that a path put behind it could change."""
    url = members.text("url")
    match = _URL.fullmatch(url)
    if match is None or int(match["port"] or 1) > 65535:
        message = "an url is http://host:port or https://host:port, perhaps with a plain path"
        raise errors.UnknownValue(message, member="url", value=ascii(url[:64]))
    return url


def check_node_id(committee: Committee, node_id: Json) -> str:
    """An id that the committee lists. Raises InvalidEncoding or UnknownNode."""
    known = check_id(node_id, member="node_id")
    if known not in committee.urls:
        raise errors.UnknownNode(f"the committee lists no node {known}", node_id=known)
    return known
