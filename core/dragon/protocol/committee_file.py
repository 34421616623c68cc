"""The members of a committee file: operators, experts, targets, aggregators and the sequencer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Protocol

from dragon import errors
from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.protocol import bls
from dragon.protocol.target_checks import (
    Defaults,
    HeartbeatCheck,
    HttpCheck,
    JsonRpcCheck,
    TargetCheck,
    check_owner,
    decode_check,
    encode_check,
)

MAX_RANK: Final = 63
MAX_PORT: Final = 65535
MAX_NODE_LISTS: Final = 4
NO_COMMITTEE: Final = bytes(32)  # where there is no committee to name

_URL: Final = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*",
    re.ASCII,
)
_ADDRESS: Final = re.compile(
    r"(?P<scheme>tcp|tls)://(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r":(?P<port>[1-9][0-9]{0,4})",
    re.ASCII,
)
MAX_LOOKS: Final = 5  # that agree before a target is suspected, or has recovered


class Keyed(Protocol):
    """A member with a proven key."""

    @property
    def id(self) -> str: ...
    @property
    def public_key(self) -> bls.PublicKey: ...
    @property
    def proof_of_possession(self) -> bytes: ...  # 96 bytes


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
class Owner:
    """A person or program that announces the maintenance of targets. It votes on nothing."""

    id: str
    public_key: bls.PublicKey
    proof_of_possession: bytes  # 96 bytes


@dataclass(frozen=True, slots=True)
class Target:
    """A node that is not in the committee: operators look at it as its check says."""

    id: str
    url: str  # http(s)://… or tcp://host:port, tls://host:port, by its check; empty for a heartbeat
    check: TargetCheck = field(default_factory=HttpCheck)
    owner: str = ""  # id of an operator, expert or owner that announces its maintenance, or empty
    private_addresses: bool = False  # whether its host may have a private or local address
    suspect_after: int = 1  # failed looks in a row before it is suspected, 1 to 5
    recover_after: int = 1  # good looks in a row before it has recovered, 1 to 5


@dataclass(frozen=True, slots=True)
class HeartbeatKey:
    """The key with which a target signs its heartbeats."""

    id: str  # of the target
    public_key: bls.PublicKey
    proof_of_possession: bytes  # 96 bytes


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


def encode_keyed(member: Keyed) -> dict[str, Json]:
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


def decode_owner(value: Json) -> Owner:
    """Decode an owner. Raises InvalidEncoding, InvalidKey, UnprovenKey."""
    members = Members(value, "an owner")
    owner = members.id("id")
    key = decode_key(members, owner)
    decoded = Owner(owner, key, decode_possession(members, owner))
    members.end()
    return decoded


def decode_target(value: Json, round_seconds: int) -> Target:
    """Decode a target. Raises InvalidEncoding, InvalidKey, UnprovenKey.

    Args:
        round_seconds: length of a round, from which the defaults of its check follow.
    """
    members = Members(value, "a target")
    target_id = members.id("id")
    defaults = Defaults(target_id, round_seconds)
    check: Json = members.take("check") if "check" in members else {"kind": HttpCheck.KIND}
    decoded = decode_check(check, defaults)
    target = Target(
        target_id,
        _check_target_url(members, decoded),
        decoded,
        check_owner(members.take("owner")) if "owner" in members else "",
        _flag(members, "private_addresses"),
        _looks(members, "suspect_after"),
        _looks(members, "recover_after"),
    )
    members.end()
    return target


def encode_target(target: Target) -> dict[str, Json]:
    """Return a target in the form of the file, with all defaults stated."""
    return {
        "id": target.id,
        "url": target.url,
        "check": encode_check(target.check),
        "owner": target.owner,
        "private_addresses": target.private_addresses,
        "suspect_after": target.suspect_after,
        "recover_after": target.recover_after,
    }


def heartbeat_key(target: Target) -> HeartbeatKey | None:
    """Return the key with which a target signs its heartbeats; None if it has another check."""
    check = target.check
    if not isinstance(check, HeartbeatCheck):
        return None
    return HeartbeatKey(target.id, check.public_key, check.proof_of_possession)


def _flag(members: Members, name: str) -> bool:
    value = members.take(name) if name in members else False
    if not isinstance(value, bool):
        raise errors.WrongType(f"{name} must be true or false", member=name)
    return value


def _looks(members: Members, name: str) -> int:
    return members.integer(name, least=1, most=MAX_LOOKS) if name in members else 1


def _check_target_url(members: Members, check: TargetCheck) -> str:
    """Take the URL that a check needs. Raises InvalidEncoding."""
    if isinstance(check, HttpCheck | JsonRpcCheck):
        return check_url(members)
    url = members.take("url") if "url" in members else ""
    if isinstance(check, HeartbeatCheck):
        if url != "":
            message = "a target with heartbeats has no URL; nobody looks at it from outside"
            raise errors.UnknownValue(message, member="url")
        return ""
    match = _ADDRESS.fullmatch(url) if isinstance(url, str) else None
    if match is None or match["scheme"] != check.KIND or int(match["port"]) > MAX_PORT:
        message = f"the URL must be {check.KIND}://host:port in lower case"
        raise errors.UnknownValue(message, member="url", value=ascii(str(url)[:64]))
    return str(url)


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
    if match is None or int(match["port"] or 1) > MAX_PORT:
        message = (
            "a URL must be http://host:port or https://host:port in lower case, optionally with a "
            f"plain path and no slash at the end, not {url[:64]!a}"
        )
        raise errors.UnknownValue(message, member="url", value=ascii(url[:64]))
    return url
