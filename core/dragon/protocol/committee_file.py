"""The members of a committee file: operators, experts, targets, aggregators and the sequencer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dragon import errors
from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.protocol import bls

MAX_RANK: Final = 63
MAX_NODE_LISTS: Final = 4
NO_COMMITTEE: Final = bytes(32)  # where there is no committee to name

_URL: Final = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Operator:
    """A committee member: it signs claims, votes and keeps the log."""

    id: str
    url: str
    public_key: bls.PublicKey
    proof_of_possession: bytes  # 96 bytes


@dataclass(frozen=True, slots=True)
class Expert:
    """A person or program that signs endorsements of windows with its own key."""

    id: str
    public_key: bls.PublicKey
    proof_of_possession: bytes  # 96 bytes


@dataclass(frozen=True, slots=True)
class Target:
    """A node without a key: operators probe it, and its responses are not signed."""

    id: str
    url: str


@dataclass(frozen=True, slots=True)
class Aggregator:
    """A service that collects attestations and sends certificates to the sequencer."""

    url: str
    rank: int  # an aggregator of rank k waits k rounds before it submits; rank 0 does not wait


@dataclass(frozen=True, slots=True)
class Sequencer:
    """The application on the sequencing network, and how its finality is checked."""

    app: str
    threshold_percent: int  # of the network's stake, from 1 to 100
    # Of node lists without sockets. Each fixes the keys of the network's nodes. A finality proof is
    # valid under any one of them, because the network changes its list while a committee holds.
    nodes_sha256: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Sealed:
    """The log at the handover by which a committee took its seat, and the time of it.

    With the hash of the committee it fixes every member of that handover. So nobody can show
    another one later, not even with the keys of all who signed it.
    """

    size: int = 0
    root: bytes = bytes(32)
    timestamp: int = 0  # Unix seconds


UNSEALED: Final = Sealed()  # in epochs 0 and 1, before which there was no handover


def encode_keyed(member: Operator | Expert) -> dict[str, Json]:
    """Return a member's id and keys in the form of the file."""
    return {
        "id": member.id,
        "public_key": to_hex(member.public_key.raw),
        "proof_of_possession": to_hex(member.proof_of_possession),
    }


def decode_operator(value: Json) -> Operator:
    """Decode an operator. Raises InvalidEncoding, InvalidKey, UnprovenKey."""
    members = Members(value, "an operator")
    owner = members.id("id")
    url, key = check_url(members), decode_key(members, owner)
    operator = Operator(owner, url, key, decode_possession(members, owner))
    members.end()
    return operator


def decode_expert(value: Json) -> Expert:
    """Decode an expert. Raises InvalidEncoding, InvalidKey, UnprovenKey."""
    members = Members(value, "an expert")
    owner = members.id("id")
    key = decode_key(members, owner)
    expert = Expert(owner, key, decode_possession(members, owner))
    members.end()
    return expert


def decode_target(value: Json) -> Target:
    """Decode a target. Raises InvalidEncoding."""
    members = Members(value, "a target")
    target = Target(members.id("id"), check_url(members))
    members.end()
    return target


def decode_aggregator(value: Json) -> Aggregator:
    """Decode an aggregator. Raises InvalidEncoding."""
    members = Members(value, "an aggregator")
    aggregator = Aggregator(check_url(members), members.integer("rank", most=MAX_RANK))
    members.end()
    return aggregator


def decode_sequencer(value: Json) -> Sequencer:
    """Decode the sequencer. Raises InvalidEncoding."""
    members = Members(value, "the sequencer")
    sequencer = Sequencer(
        members.text("app", longest=64),
        members.integer("threshold_percent", least=1, most=100),
        _node_lists(members),
    )
    members.end()
    return sequencer


def encode_sequencer(sequencer: Sequencer) -> dict[str, Json]:
    """Return the sequencer in the form of the file."""
    return {
        "app": sequencer.app,
        "threshold_percent": sequencer.threshold_percent,
        "nodes_sha256": [to_hex(each) for each in sequencer.nodes_sha256],
    }


def decode_sealed(value: Json) -> Sealed:
    """Decode the sealed log. Raises InvalidEncoding."""
    members = Members(value, "the sealed log")
    sealed = Sealed(
        members.integer("size"), members.hex("root", size=32), members.integer("timestamp")
    )
    members.end()
    return sealed


def encode_sealed(sealed: Sealed) -> dict[str, Json]:
    """Return the sealed log in the form of the file."""
    return {"size": sealed.size, "root": to_hex(sealed.root), "timestamp": sealed.timestamp}


def _node_lists(members: Members) -> tuple[bytes, ...]:
    listed = members.list("nodes_sha256", most=MAX_NODE_LISTS)
    if not listed:
        raise errors.UnknownValue("nodes_sha256 must name a node list", member="nodes_sha256")
    return tuple(from_hex(each, member="nodes_sha256", size=32) for each in listed)


def decode_key(members: Members, owner: str) -> bls.PublicKey:
    """Take a member's public key. Raises InvalidEncoding, InvalidKey."""
    try:
        return bls.PublicKey.decode(members.hex("public_key", size=bls.PUBLIC_KEY_BYTES))
    except errors.InvalidPoint as error:
        raise errors.InvalidKey(
            f"the public key of {owner} is invalid: {error}", id=owner
        ) from None


def decode_possession(members: Members, owner: str) -> bytes:
    """Take a proof of possession, 96 bytes. Raises InvalidEncoding, UnprovenKey: there is none."""
    if "proof_of_possession" not in members:
        raise errors.UnprovenKey(f"{owner} has no proof of possession", id=owner)
    return members.hex("proof_of_possession", size=bls.SIGNATURE_BYTES)


def check_url(members: Members) -> str:
    """Take `http://host[:port]` or `https://host[:port]`, optionally with a plain path.

    All programs parse such a URL alike, and appending a path cannot change its meaning.

    Raises InvalidEncoding.
    """
    url = members.text("url")
    match = _URL.fullmatch(url)
    if match is None or int(match["port"] or 1) > 65535:
        message = (
            "a URL must be http://host:port or https://host:port in lower case, optionally with a "
            f"plain path, not {url[:64]!a}"
        )
        raise errors.UnknownValue(message, member="url", value=ascii(url[:64]))
    return url
