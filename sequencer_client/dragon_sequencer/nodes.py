"""The node list: whom a network's finality proofs are checked against.

List and threshold are the whole trust anchor. They come out of band, are checked once when they are
loaded, and have a hash, so that a committee can say which list it means.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import rfc8785

from dragon.encoding import Json, canonical
from dragon_sequencer import bn254, pairing
from dragon_sequencer.bn254 import G2
from dragon_sequencer.errors import (
    BadFinalitySignature,
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
from dragon_sequencer.tower import F2, P

STATIC_TAG: Final = 0  # a static list has one version
ROLES: Final = ("posting", "sequencing")
MAX_NODES: Final = 512
_SIGNER_SETS_KEPT: Final = 64  # of some 30 KB each


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    address: str
    socket: str  # base URL without a trailing slash; where the node is, not who it is
    stake: float
    public_key: G2
    roles: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """What identifies the node: everything but its socket, all defaults explicit."""
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
    """A network's nodes, valid as such, and the percentage of stake that a proof needs.

    Never changed once made; may be shared by threads.
    """

    def __init__(self, nodes: Sequence[Node], *, threshold_percent: float = 67) -> None:
        self.nodes: Mapping[str, Node] = {node.id: node for node in nodes}
        self.threshold_percent = threshold_percent
        self._stake = sum(node.stake for node in nodes)
        if not 0 < threshold_percent <= 100:
            raise NoStake("the threshold is a percentage above 0", threshold=threshold_percent)
        if not 0 < self._stake < math.inf:
            raise NoStake("no node has any stake", nodes=len(nodes))
        self._whole = _sum(node.public_key for node in nodes if node.stake)
        self._lines = functools.lru_cache(_SIGNER_SETS_KEPT)(self._prepare)

    @classmethod
    def load(cls, path: Path | str, *, threshold_percent: float = 67) -> Self:
        """Raises InvalidNodeList, as `decode` does, also if there is no such file."""
        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            raise InvalidNodeList(f"the node list cannot be read: {error.strerror}") from None
        return cls.decode(raw, threshold_percent=threshold_percent)

    @classmethod
    def decode(cls, text: str | bytes, *, threshold_percent: float = 67) -> Self:
        """Read a `nodes.json` and check every key: on the twist, of order r (8 ms a node).

        Members that we do not know are ignored.

        Raises:
            MalformedNode, NodeMisnamed, NodeListedTwice, NodeKeyInvalid, NoStake: as named.
        """
        members = _parse(text)
        if not 0 < len(members) <= MAX_NODES:
            raise MalformedNode(f"a network has 1 to {MAX_NODES} nodes", nodes=len(members))
        nodes = [_node(name, value) for name, value in members.items()]
        return cls(nodes, threshold_percent=threshold_percent)

    @property
    def sha256(self) -> bytes:
        """What a committee stores as `sequencer.nodes_sha256`.

        SHA-256 over the canonical JSON (RFC 8785) of {id: node}, where a node has exactly the
        members address, id, pubkeyG2_X, pubkeyG2_Y, roles and stake. Sockets are left out: nodes
        may move. A missing address is the id; missing roles are both; roles are sorted. Coordinates
        are decimal texts, imaginary part first, because they exceed what JSON numbers carry safely;
        the stake is the text that RFC 8785 writes for that double, so that 10 and 10.0 are one.
        """
        listed: dict[str, Json] = {name: node.to_json() for name, node in self.nodes.items()}
        return hashlib.sha256(canonical(listed)).digest()

    def sockets(self, role: str | None = None) -> tuple[str, ...]:
        """Where the nodes (of that role) are, each place once, in the file's order."""
        chosen = (n for n in self.nodes.values() if role is None or role in n.roles)
        return tuple(dict.fromkeys(node.socket for node in chosen))

    def check_quorum(self, nonsigners: Sequence[str]) -> None:
        """Return quietly if the nodes without `nonsigners` hold enough of the stake.

        Doubles, like everybody else: 100·S_non / S_all ≤ 100 − T.

        Raises:
            RepeatedNonsigner, UnknownNonsigner: the list is not one.
            StakeMissing: the others hold too little.
        """
        if len(set(nonsigners)) < len(nonsigners):
            raise RepeatedNonsigner("a nonsigner is listed twice")
        for name in nonsigners:
            if name not in self.nodes or not self.nodes[name].stake:
                raise UnknownNonsigner("a nonsigner is no node with stake", node=ascii(name[:64]))
        absent = sum(self.nodes[name].stake for name in nonsigners)
        missing, allowed = 100 * absent / self._stake, 100 - self.threshold_percent
        if missing > allowed:
            raise StakeMissing(missing_percent=missing, allowed_percent=allowed)

    def key_lines(self, tag: int, nonsigners: Iterable[str]) -> pairing.Lines:
        """The signers' aggregated key, prepared for the pairing and kept for the next proof."""
        return self._lines(tag, tuple(sorted(nonsigners)))

    def aggregate_key(self, nonsigners: Iterable[str]) -> G2 | None:
        """The sum over all nodes with stake but these. None is infinity."""
        absent = (bn254.negate_g2(self.nodes[name].public_key) for name in nonsigners)
        return _sum(itertools.chain([self._whole] if self._whole else [], absent))

    def _prepare(self, tag: int, nonsigners: tuple[str, ...]) -> pairing.Lines:
        key = self.aggregate_key(nonsigners)
        if key is None:
            raise BadFinalitySignature("the signers' keys cancel each other", tag=tag)
        return pairing.prepare(key)


def _sum(points: Iterable[G2]) -> G2 | None:
    return functools.reduce(bn254.add_g2, points, None)


def _parse(text: str | bytes) -> dict[str, object]:
    try:
        value = json.loads(
            text, object_pairs_hook=_members, parse_int=_integer, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        raise MalformedNode("the node list is no JSON") from None
    if not isinstance(value, dict):
        raise MalformedNode("the node list is a JSON object")
    return value


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise NodeListedTwice("an object of the node list names a member twice")
    return members


def _integer(text: str) -> int:
    # The length first: turning a million digits into an integer takes minutes.
    return int(text) if len(text) <= 80 else _refuse(text)


def _refuse(text: str) -> int:
    raise MalformedNode("a number of the node list is out of range", value=text[:32])


def _node(name: str, value: object) -> Node:
    if not isinstance(value, dict):
        raise MalformedNode("a node is a JSON object", node=ascii(name[:64]))
    if _text(value, "id") != name:
        raise NodeMisnamed("a node's id is not the name it is listed under", node=ascii(name[:64]))
    roles = value.get("roles", list(ROLES))
    if not isinstance(roles, list) or not all(role in ROLES for role in roles):
        raise MalformedNode("roles are `posting` and `sequencing`", node=ascii(name[:64]))
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
        raise MalformedNode(f"{member} is a text of 1 to 256 characters", member=member)
    return text


def _stake(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedNode("stake is a number", node=ascii(name[:64]))
    if not 0 <= float(value) < math.inf:
        raise MalformedNode("stake is finite and not negative", node=ascii(name[:64]))
    return float(value)


def _key(node: Mapping[str, object], name: str) -> G2:
    key = _coordinate(node.get("pubkeyG2_X"), name), _coordinate(node.get("pubkeyG2_Y"), name)
    if not bn254.is_in_g2(key):
        raise NodeKeyInvalid("a public key is no point of the subgroup", node=ascii(name[:64]))
    return key


def _coordinate(value: object, name: str) -> F2:
    """[imaginary, real], each a JSON integer or a decimal text."""
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedNode("a key's coordinate is a pair [imaginary, real]", node=ascii(name[:64]))
    imaginary, real = (_number(part, name) for part in value)
    return real, imaginary


def _number(value: object, name: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 78:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedNode("a key's coordinates are integers", node=ascii(name[:64]))
    if not 0 <= value < P:
        raise NodeKeyInvalid("a key's coordinate is not reduced", node=ascii(name[:64]))
    return value
