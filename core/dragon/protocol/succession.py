"""Which committee may follow which.

An id means one thing for ever, and a key that has gone never comes back. A member that returns
takes another id and another key. A rotation is the same id with a new key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from dragon import errors
from dragon.encoding import MAX_INTEGER, Json, canonical, to_hex
from dragon.protocol.committee import Committee, Sealed
from dragon.protocol.committee_rules import MAX_BATCH_BYTES, certificate_members

_HANDOVER: Final = "handover"


@dataclass(frozen=True, slots=True)
class Known:
    """The committee that holds, and all that the network has ever listed."""

    committee: Committee
    ids: frozenset[str]
    keys: frozenset[bytes]  # public keys, 48 bytes each
    committees: frozenset[bytes]  # ids of all committees so far, 32 bytes each

    @classmethod
    def of(cls, committees: Iterable[Committee]) -> Self:
        """Return what is known of a network.

        Args:
            committees: all committees of the network up to the one that holds, oldest first.
        """
        listed = list(committees)
        ids = frozenset(name for each in listed for _, name in _listed_ids(each))
        keys = frozenset(key for each in listed for _, key in _listed_keys(each))
        return cls(listed[-1], ids, keys, frozenset(each.id for each in listed))

    def then(self, following: Committee) -> Known:
        """Return what is known after `following` has taken its seat."""
        ids = self.ids.union(name for _, name in _listed_ids(following))
        keys = self.keys.union(key for _, key in _listed_keys(following))
        return Known(following, ids, keys, self.committees | {following.id})


def check_successor(known: Known, sealed: Sealed, following: Committee) -> None:
    """Check that a committee may follow the one that holds. Its own rules are checked already.

    Args:
        sealed: the log at the handover to the committee that holds; `UNSEALED` in epoch 0.
        following: the committee that is to follow.

    Raises BrokenSuccession, RecycledId, RecycledKey, OversizedEvent.
    """
    holding = known.committee
    # (1) It names the network, the committee before it, and the log that this one began with.
    _check_equal("epoch", following.epoch, holding.epoch + 1)
    _check_equal("network", to_hex(following.network), to_hex(holding.network_id))
    _check_equal("previous", to_hex(following.previous), to_hex(holding.id))
    _check_equal("sealed", following.sealed, sealed)
    # (2) What all rounds and the ledger rest on stays.
    _check_equal("name", following.name, holding.name)
    _check_equal("genesis", following.rounds.genesis, holding.rounds.genesis)
    _check_equal("app", following.sequencer.app, holding.sequencer.app)
    # (3) Its known ids are still listed, in the same role.
    roles = {name: role for role, name in _listed_ids(holding)}
    for role, name in _listed_ids(following):
        if name in known.ids and roles.get(name) != role:
            message = f"the network has listed {name} before: a new {role} needs another id"
            raise errors.RecycledId(message, id=name)
    # (4) Its known keys are still listed, for the same id.
    owners = {key: name for name, key in _listed_keys(holding)}
    for name, key in _listed_keys(following):
        if key in known.keys and owners.get(key) != name:
            message = f"the network has listed the key of {name} before, for another or earlier id"
            raise errors.RecycledKey(message, id=name)
    # (5) The handover fits into a batch, signed by any operators.
    if (size := len(_largest_handover(holding, following))) > MAX_BATCH_BYTES:
        message = (
            f"a handover signed by all operators of both committees would take {size} bytes; a "
            f"batch has at most {MAX_BATCH_BYTES}. Change fewer operators at a time."
        )
        raise errors.OversizedEvent(message, bytes=size)


def _check_equal(what: str, found: object, needed: object) -> None:
    if found != needed:
        message = f"the next committee must have the {what} {needed}, not {found}"
        raise errors.BrokenSuccession(message, member=what)


def _listed_ids(committee: Committee) -> Iterator[tuple[str, str]]:
    """Yield (role, id) of all that the committee lists."""
    yield from (("operator", each.id) for each in committee.operators)
    yield from (("expert", each.id) for each in committee.experts)
    yield from (("owner", each.id) for each in committee.owners)
    yield from (("target", each.id) for each in committee.targets)


def _listed_keys(committee: Committee) -> Iterator[tuple[str, bytes]]:
    """Yield (id, public key) of all members and targets with a key."""
    yield from ((each.id, each.public_key.raw) for each in committee.keyed)


def _largest_handover(holding: Committee, following: Committee) -> bytes:
    digest = to_hex(bytes(32))
    event: dict[str, Json] = {
        "kind": _HANDOVER,
        "epoch": following.epoch,
        "next": digest,
        "root": digest,
        "size": MAX_INTEGER,
        "timestamp": MAX_INTEGER,
        "committee": digest,
        **certificate_members(holding),
        "acceptance": certificate_members(following),
    }
    return canonical([event])
