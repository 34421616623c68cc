"""The node list of a network, against which its finality proofs are verified.

List and threshold are the trust anchor. They must come from a trusted source, are checked once when
loaded, and have a hash, by which a committee file identifies the list.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import rfc8785

from dragon.encoding import Json, canonical
from dragon.log.ledger import FinalityRule
from dragon_sequencer import bn254
from dragon_sequencer.bn254 import G2
from dragon_sequencer.errors import (
    InvalidNodeList,
    MalformedNode,
    NodeKeyInvalid,
    NodeListedTwice,
    NodeMisnamed,
    NoStake,
    RepeatedNonsigner,
    StakeMissing,
    UnknownNonsigner,
)
from dragon_sequencer.signatures import Signatures
from dragon_sequencer.tower import F2, P

STATIC_TAG: Final = 0  # a static list has one version
ROLES: Final = ("posting", "sequencing")
MAX_NODES: Final = 512  # nodes of a network


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the network."""

    id: str
    address: str
    socket: str  # base URL without a trailing slash; not part of the node's identity
    stake: float
    public_key: G2
    roles: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """The node's identity: all members except the socket, with explicit defaults."""
        (x0, x1), (y0, y1) = self.public_key
        return {
            "address": self.address,
            "id": self.id,
            "pubkeyG2_X": [str(x1), str(x0)],
            "pubkeyG2_Y": [str(y1), str(y0)],
            "roles": list(self.roles),
            "stake": rfc8785.dumps(self.stake).decode(),
        }


class NodeList:
    """The valid nodes of a network, and the percentage of stake that must sign a proof.

    Immutable and safe to share between threads.
    """

    def __init__(self, nodes: Sequence[Node], *, threshold_percent: float = 67) -> None:
        self.nodes: Mapping[str, Node] = {node.id: node for node in nodes}
        self.threshold_percent = threshold_percent
        self._stake = sum(node.stake for node in nodes)
        if not 0 < threshold_percent <= 100:
            raise NoStake(
                "the threshold must be above 0 and at most 100 percent", threshold=threshold_percent
            )
        if not 0 < self._stake < math.inf:
            raise NoStake("no node has a positive finite stake", nodes=len(nodes))
        self._whole = _sum(node.public_key for node in nodes if node.stake)
        self.signatures = Signatures(self.aggregate_key)

    @classmethod
    def load(cls, path: Path | str, *, threshold_percent: float = 67) -> Self:
        """Read a `nodes.json`; see `decode`. Raises InvalidNodeList."""
        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            raise InvalidNodeList(f"the file cannot be read: {error.strerror}") from None
        return cls.decode(raw, threshold_percent=threshold_percent)

    @classmethod
    def decode(cls, text: str | bytes, *, threshold_percent: float = 67) -> Self:
        """Read the text of a `nodes.json` and check that every key is in the subgroup.

        Takes 8 ms for each node. Unknown members are ignored.

        Raises:
            MalformedNode, NodeMisnamed, NodeListedTwice, NodeKeyInvalid, NoStake: as named.
        """
        members = _parse(text)
        if not 0 < len(members) <= MAX_NODES:
            raise MalformedNode(f"a network must have 1 to {MAX_NODES} nodes", nodes=len(members))
        nodes = [_node(name, value) for name, value in members.items()]
        return cls(nodes, threshold_percent=threshold_percent)

    @property
    def alternatives(self) -> tuple[NodeList, ...]:
        """The lists of which any one may prove a batch: here only this one."""
        return (self,)

    def with_threshold(self, percent: float) -> NodeList:
        """Return this list with another percentage of stake that must sign."""
        if percent == self.threshold_percent:
            return self
        changed = copy.copy(self)  # keys, their sums and valid signatures are shared
        changed.threshold_percent = percent
        return changed

    @functools.cached_property
    def sha256(self) -> bytes:
        """The hash that a committee file stores as `sequencer.nodes_sha256`.

        SHA-256 over the canonical JSON (RFC 8785) of {id: node}, where a node has exactly the
        members address, id, pubkeyG2_X, pubkeyG2_Y, roles and stake. Sockets are excluded, because
        nodes may move. The default address is the id, the default roles are both; roles are sorted.
        Coordinates are decimal strings, imaginary part first, because they exceed the safe range of
        JSON numbers. The stake is the string that RFC 8785 writes for the double, so 10 and 10.0
        are equal.
        """
        listed: dict[str, Json] = {name: node.to_json() for name, node in self.nodes.items()}
        return hashlib.sha256(canonical(listed)).digest()

    def sockets(self, role: str | None = None) -> tuple[str, ...]:
        """The distinct URLs of all nodes, or of those with a role, in the file's order."""
        chosen = (n for n in self.nodes.values() if role is None or role in n.roles)
        return tuple(dict.fromkeys(node.socket for node in chosen))

    def check_quorum(self, nonsigners: Sequence[str]) -> None:
        """Check that the nodes without `nonsigners` have enough stake.

        The condition is 100·S_non / S_all ≤ 100 − T, in double precision as in all other
        implementations, where T is the threshold in percent.

        Raises:
            RepeatedNonsigner, UnknownNonsigner: the list of nonsigners is not valid.
            StakeMissing: the signers have too little stake.
        """
        if len(set(nonsigners)) < len(nonsigners):
            raise RepeatedNonsigner("a nonsigner is listed twice")
        for name in nonsigners:
            if name not in self.nodes or not self.nodes[name].stake:
                raise UnknownNonsigner(
                    "a nonsigner is not a node with stake", node=ascii(name[:64])
                )
        absent = sum(self.nodes[name].stake for name in nonsigners)
        missing, allowed = 100 * absent / self._stake, 100 - self.threshold_percent
        if missing > allowed:
            raise StakeMissing(missing_percent=missing, allowed_percent=allowed)

    def aggregate_key(self, nonsigners: Iterable[str]) -> G2 | None:
        """The sum of the keys of all nodes with stake except these. None means infinity."""
        absent = (bn254.negate_g2(self.nodes[name].public_key) for name in nonsigners)
        return _sum(itertools.chain([self._whole] if self._whole else [], absent))


class NodeLists:
    """The node lists that a service has, of which any one may prove a batch.

    A network that replaces its nodes has two lists for a while.
    """

    def __init__(self, lists: Iterable[NodeList]) -> None:
        self._by_hash = {listed.sha256: listed for listed in lists}
        self.alternatives = tuple(self._by_hash.values())

    @property
    def hashes(self) -> Sequence[bytes]:
        """The hashes of the lists."""
        return tuple(self._by_hash)

    def by_rule(self, rule: FinalityRule | None) -> NodeLists:
        """Return the lists that count by a rule, with its threshold; all without a rule."""
        if rule is None:
            return self
        return self.only(set(self._by_hash) - rule.former, rule.threshold_percent)

    def only(self, hashes: Collection[bytes], threshold_percent: float) -> NodeLists:
        """Return those of the lists that have one of these hashes, with a threshold."""
        return NodeLists(
            listed.with_threshold(threshold_percent)
            for digest, listed in self._by_hash.items()
            if digest in hashes
        )

    def sockets(self, role: str | None = None) -> tuple[str, ...]:
        """The distinct URLs of all nodes of all lists; see `NodeList.sockets`."""
        found = (url for listed in self.alternatives for url in listed.sockets(role))
        return tuple(dict.fromkeys(found))


def _sum(points: Iterable[G2]) -> G2 | None:
    return functools.reduce(bn254.add_g2, points, None)


def _parse(text: str | bytes) -> dict[str, object]:
    try:
        value = json.loads(
            text, object_pairs_hook=_members, parse_int=_integer, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        raise MalformedNode("the node list is not valid JSON") from None
    if not isinstance(value, dict):
        raise MalformedNode("the node list must be a JSON object")
    return value


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise NodeListedTwice("an object in the node list has a member twice")
    return members


def _integer(text: str) -> int:
    # Check the length first: to convert a million digits takes minutes.
    return int(text) if len(text) <= 80 else _refuse(text)


def _refuse(text: str) -> int:
    raise MalformedNode("a number in the node list is out of range", value=text[:32])


def _node(name: str, value: object) -> Node:
    if not isinstance(value, dict):
        raise MalformedNode("a node must be a JSON object", node=ascii(name[:64]))
    if _text(value, "id") != name:
        raise NodeMisnamed("a node's id differs from its name in the list", node=ascii(name[:64]))
    roles = value.get("roles", list(ROLES))
    if not isinstance(roles, list) or not all(role in ROLES for role in roles):
        raise MalformedNode("roles must be `posting` or `sequencing`", node=ascii(name[:64]))
    key = _key(value, name)
    return Node(
        id=name,
        address=_text(value, "address", default=name),
        socket=_text(value, "socket").rstrip("/"),
        stake=_stake(value.get("stake"), name),
        public_key=key,
        roles=tuple(sorted(set(roles))),
    )


def _text(node: Mapping[str, object], member: str, default: str | None = None) -> str:
    text = node.get(member, default)
    if not isinstance(text, str) or not 0 < len(text) <= 256 or not text.isprintable():
        raise MalformedNode(
            f"{member} must be a string of 1 to 256 printable characters", member=member
        )
    return text


def _stake(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedNode("stake must be a number", node=ascii(name[:64]))
    if not 0 <= float(value) < math.inf:
        raise MalformedNode("stake must be finite and not negative", node=ascii(name[:64]))
    return float(value)


def _key(node: Mapping[str, object], name: str) -> G2:
    key = _coordinate(node.get("pubkeyG2_X"), name), _coordinate(node.get("pubkeyG2_Y"), name)
    if not bn254.is_in_g2(key):
        raise NodeKeyInvalid("a public key is not in the subgroup", node=ascii(name[:64]))
    return key


def _coordinate(value: object, name: str) -> F2:
    """Read [imaginary, real], each a JSON integer or a decimal string."""
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedNode("a coordinate must be a pair [imaginary, real]", node=ascii(name[:64]))
    imaginary, real = (_number(part, name) for part in value)
    return real, imaginary


def _number(value: object, name: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 78:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedNode("the coordinates of a key must be integers", node=ascii(name[:64]))
    if not 0 <= value < P:
        raise NodeKeyInvalid("a coordinate of a key is not below p", node=ascii(name[:64]))
    return value
