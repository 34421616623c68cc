"""The rules that a committee file has to meet by itself, cheap checks first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from dragon import errors
from dragon.encoding import MAX_INTEGER, Json, canonical, to_hex
from dragon.protocol import bls
from dragon.protocol.committee_file import NO_COMMITTEE, UNSEALED, Keyed
from dragon.protocol.quorums import quorum_of
from dragon.protocol.target_checks import HeartbeatCheck, timeouts_ms

if TYPE_CHECKING:
    from dragon.protocol.committee import Committee

MAX_BATCH_BYTES: Final = 5120  # Zellular's limit; an event has to fit into one batch


def check(committee: Committee) -> None:
    """Check keys and rules of a committee. Raises a subclass of InvalidCommittee."""
    check_all([committee])


def check_all(committees: Iterable[Committee]) -> None:
    """Check keys and rules of committees, each proof of possession once.

    The proofs take most of the time, and committees that follow each other share most keys.
    Raises a subclass of InvalidCommittee.
    """
    proven: set[tuple[bytes, bytes]] = set()
    for committee in committees:
        check_rules(committee)
        for member in committee.keyed:
            if (pair := (member.public_key.raw, member.proof_of_possession)) not in proven:
                check_possession(member)
                proven.add(pair)


def check_rules(committee: Committee) -> None:
    """Check everything except the proofs of possession. Raises a subclass of InvalidCommittee."""
    _check_listed_once(committee)
    _check_targets(committee)
    _check_quorums(committee)
    _check_place(committee)
    _check_event_size(committee)


def certificate_members(committee: Committee) -> dict[str, Json]:
    """Return the members that a certificate signed by all operators adds to its claim.

    The values have the right lengths; they sign nothing.
    """
    return {
        "aggregated_signature": to_hex(bytes(bls.SIGNATURE_BYTES)),
        "aggregated_public_key": to_hex(bytes(bls.PUBLIC_KEY_BYTES)),
        "signers": [operator.id for operator in committee.operators],
    }


def largest_batch(committee: Committee) -> int:
    """Return the bytes of the largest batch of one event, except handovers to other committees."""
    return max(map(len, _largest_batches(committee)))


def check_possession(member: Keyed) -> None:
    """Check the proof of possession, to prevent rogue-key attacks. Raises UnprovenKey.

    Otherwise a key computed from the other members' keys could sign for all of them.
    """
    try:
        proven = bls.verify_possession(member.public_key, member.proof_of_possession)
    except errors.InvalidPoint:
        proven = False
    if not proven:
        message = f"the proof of possession of {member.id} is invalid for its public key"
        raise errors.UnprovenKey(message, id=member.id)


def _check_listed_once(committee: Committee) -> None:
    if (operators := len(committee.operators)) < 3:
        message = f"a committee needs at least 3 operators, this one has {operators}"
        raise errors.TooFewOperators(message)
    keyed = committee.keyed
    members: list[Keyed] = [*committee.operators, *committee.experts, *committee.owners]
    ids = [member.id for member in members] + [target.id for target in committee.targets]
    _refuse_duplicate("id", ids)
    _refuse_duplicate("aggregator", [aggregator.url for aggregator in committee.aggregators])
    _refuse_duplicate("public key", [to_hex(member.public_key.raw) for member in keyed])
    _refuse_duplicate("node list", [to_hex(each) for each in committee.sequencer.nodes_sha256])


def _check_targets(committee: Committee) -> None:
    allowed = timeouts_ms(committee.rounds.seconds)
    for target in committee.targets:
        if target.owner and target.owner not in committee.members:
            message = (
                f"the owner of {target.id} must be a listed operator, expert or owner, and "
                f"{target.owner} is none"
            )
            raise errors.UnknownOwner(message, id=target.id, owner=target.owner)
        check = target.check
        if not isinstance(check, HeartbeatCheck) and check.timeout_ms not in allowed:
            message = (
                f"the timeout of {target.id} must be {allowed[0]} to {allowed[-1]} ms in rounds of "
                f"{committee.rounds.seconds} s, not {check.timeout_ms} ms"
            )
            raise errors.InvalidTimeout(message, id=target.id, timeout_ms=check.timeout_ms)


def _check_quorums(committee: Committee) -> None:
    members = len(committee.operators)
    for kind in committee.quorum_rules:
        needed = committee.quorum(kind)
        if needed * 2 <= members:
            message = f"two quorums of {needed} of {members} could sign contradicting claims"
            raise errors.UnreachableQuorum(message, kind=kind, needed=needed)
        if needed > members - 1:
            message = (
                f"a quorum of {needed} of {members} needs the claim's subject as a signer; "
                f"at most {members - 1} may be required"
            )
            raise errors.UnreachableQuorum(message, kind=kind, needed=needed)
    least, handover = quorum_of("byzantine", members), committee.quorum("handover")
    if handover < least:
        message = (
            f"{handover} of {members} operators could hand over to another committee; "
            f"at least {least} have to agree"
        )
        raise errors.WeakHandover(message, needed=handover, least=least)


def _check_place(committee: Committee) -> None:
    """Check that the epoch agrees with the members that name earlier committees."""
    is_first = committee.epoch == 0
    for name, named in (("network", committee.network), ("previous", committee.previous)):
        if (named == NO_COMMITTEE) is not is_first:
            said = "must not name" if is_first else "must name"
            message = f"a committee of epoch {committee.epoch} {said} its {name}"
            raise errors.BrokenSuccession(message, member=name, epoch=committee.epoch)
    if (committee.sealed == UNSEALED) is not (committee.epoch < 2):
        said = "must not" if committee.epoch < 2 else "must"
        message = f"a committee of epoch {committee.epoch} {said} seal a log"
        raise errors.BrokenSuccession(message, member="sealed", epoch=committee.epoch)
    if committee.epoch == 1 and committee.network != committee.previous:
        message = "the committee before epoch 1 is the network's first one"
        raise errors.BrokenSuccession(message, member="previous", epoch=1)


def _check_event_size(committee: Committee) -> None:
    if (size := largest_batch(committee)) > MAX_BATCH_BYTES:
        message = (
            f"an event signed by all operators would take {size} bytes; a batch has at most "
            f"{MAX_BATCH_BYTES}. Use fewer operators or shorter ids."
        )
        raise errors.OversizedEvent(message, bytes=size)


def _largest_batches(committee: Committee) -> Iterator[bytes]:
    """Yield batches of one event: the largest of each kind that may be the largest of all."""
    digest = to_hex(bytes(32))
    # The name of a parameter set has 24 characters less, which leaves room for `statement`.
    window: dict[str, Json] = dict.fromkeys(("stream", "previous", "header", "proof"), digest)
    window |= {"kind": "window", "verdict": "invalid", "reason": "statement", "committee": digest}
    window |= {"parameters": "p" * 32, "number": MAX_INTEGER, "timestamp": MAX_INTEGER}
    yield canonical([{**window, **certificate_members(committee)}])
    # One expert signs it, so it is smaller, except for short ids and few operators. An announcement
    # of maintenance is always smaller than it.
    endorsement: dict[str, Json] = dict.fromkeys(("first", "last", "timestamp"), MAX_INTEGER)
    endorsement |= dict.fromkeys(("stream", "note", "committee"), digest)
    endorsement |= {"kind": "endorsement", "verdict": "invalid", "expert": "e" * 32}
    yield canonical([{**endorsement, "signature": to_hex(bytes(bls.SIGNATURE_BYTES))}])


def _refuse_duplicate(what: str, listed: Iterable[str]) -> None:
    seen: set[str] = set()
    for item in listed:
        if item in seen:
            raise errors.ListedTwice(f"the {what} {item} is listed twice", listed=item)
        seen.add(item)
