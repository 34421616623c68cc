"""Assemble committee files: of a new network, and the one that follows in an existing network.

Deterministic: lists are sorted, nothing is drawn at random, and no clock is read. Everybody who has
the same member files and terms gets the same file, and compares its short id with the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from dragon import errors
from dragon.protocol.committee import DEFAULT_MAINTENANCE_NOTICE, Committee
from dragon.protocol.committee_file import (
    NO_COMMITTEE,
    UNSEALED,
    Aggregator,
    Expert,
    HeartbeatKey,
    Operator,
    Owner,
    Sequencer,
    Target,
)
from dragon.protocol.lineage import Lineage
from dragon.protocol.member import Member
from dragon.protocol.quorums import DEFAULT_QUORUMS, QuorumRule
from dragon.protocol.rounds import Rounds
from dragon.protocol.succession import Known, check_successor
from dragon.protocol.target_checks import HeartbeatCheck, default_timeout_ms

Listed: TypeAlias = Operator | Expert | Owner


@dataclass(frozen=True, slots=True)
class Terms:
    """What the members of a new network agree on, besides who they are."""

    name: str
    genesis: int  # start of round 0, Unix seconds
    sequencer: Sequencer
    round_seconds: int = 5
    quorum_rules: Mapping[str, QuorumRule] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    aggregators: tuple[Aggregator, ...] = ()
    maintenance_notice: int = DEFAULT_MAINTENANCE_NOTICE  # seconds


@dataclass(frozen=True, slots=True)
class Change:
    """What the next committee does differently. What is not named stays."""

    members: tuple[Member, ...] = ()  # a known id gets this key and URL; others are added
    targets: tuple[Target, ...] = ()  # likewise
    aggregators: tuple[Aggregator, ...] = ()  # a known URL gets this rank; others are added
    drop: frozenset[str] = frozenset()  # ids, and URLs of aggregators, before the rest is added
    round_seconds: int | None = None
    quorum_rules: Mapping[str, QuorumRule] = field(default_factory=dict)
    threshold_percent: int | None = None
    maintenance_notice: int | None = None  # seconds
    add_nodes_sha256: tuple[bytes, ...] = ()
    drop_nodes_sha256: frozenset[bytes] = frozenset()


def assemble(members: Iterable[Member], terms: Terms) -> Committee:
    """Return the first committee of a network.

    Args:
        members: verified member files.

    Raises InvalidCommittee: a subclass says why; InvalidEncoding: a term is not acceptable.
    """
    listed = _listed(members)
    committee = Committee(
        name=terms.name,
        rounds=Rounds(terms.genesis, terms.round_seconds),
        quorum_rules={**DEFAULT_QUORUMS, **terms.quorum_rules},
        operators=_operators(listed),
        experts=_experts(listed),
        owners=_owners(listed),
        targets=_by_id(terms.targets),
        aggregators=_by_rank(terms.aggregators),
        sequencer=replace(
            terms.sequencer, nodes_sha256=tuple(sorted(terms.sequencer.nodes_sha256))
        ),
        maintenance_notice=terms.maintenance_notice,
    )
    return _checked(committee)


def succeed(lineage: Lineage, change: Change) -> Committee:
    """Return the committee that follows the newest one of a lineage.

    Args:
        lineage: whole, from the committee of epoch 0 on.

    Raises:
        LineageError: the lineage is not whole.
        UnknownMember: `drop` names what the newest committee does not list.
        InvalidCommittee: the committee is not acceptable, or not fit to follow.
    """
    before = lineage.newest
    if lineage.committees[0].epoch != 0:
        message = (
            f"the committee of epoch {before.epoch} alone does not show what came before it; the "
            "next one needs the whole lineage, from epoch 0 on"
        )
        raise errors.LineageError(message, epoch=before.epoch)
    committee = replace(
        _changed(before, change),
        epoch=before.epoch + 1,
        network=before.network_id,
        previous=before.id,
        sealed=lineage.sealed(before.epoch),
    )
    checked = _checked(committee)
    check_successor(Known.of(lineage.committees), lineage.sealed(before.epoch), checked)
    return checked


def refound(
    before: Committee, genesis: int, *, change: Change | None = None, app: str | None = None
) -> Committee:
    """Return the first committee of a new network, with the members of another one and their keys.

    Args:
        before: the newest committee of the network that ends.
        genesis: start of round 0, Unix seconds; later than the old one.
        change: what the new committee does differently, such as members that are lost.
        app: another name of the application on the sequencer. It is needed if the sequencer network
            keeps its keys: any node could otherwise show the old history, whose proofs remain
            genuine, and every log would take it for a rewritten ledger.

    Raises:
        UnknownMember: the change drops what `before` does not list.
        InvalidCommittee: the committee is not acceptable, or its genesis is not later.
    """
    if genesis <= before.rounds.genesis:
        message = f"the new genesis {genesis} must be later than {before.rounds.genesis}"
        raise errors.InvalidCommittee(message, genesis=genesis)
    changed = _changed(before, change or Change())
    committee = replace(
        changed,
        epoch=0,
        network=NO_COMMITTEE,
        previous=NO_COMMITTEE,
        sealed=UNSEALED,
        rounds=Rounds(genesis, changed.rounds.seconds),
        sequencer=replace(changed.sequencer, app=app or changed.sequencer.app),
    )
    return _checked(committee)


def _changed(before: Committee, change: Change) -> Committee:
    """Return a committee with other members and rules. Raises UnknownMember."""
    _check_listed(before, change)
    members: list[Listed] = [*before.operators, *before.experts, *before.owners]
    kept_members = {each.id: each for each in members if each.id not in change.drop}
    given = {each.id: each for each in _listed(change.members)}
    listed = (kept_members | given).values()
    rounds = Rounds(before.rounds.genesis, change.round_seconds or before.rounds.seconds)
    kept = (each for each in before.targets if each.id not in change.drop)
    kept_targets = (_in_rounds(each, before.rounds, rounds) for each in kept)
    targets = {each.id: each for each in (*kept_targets, *change.targets)}
    kept_aggregators = (each for each in before.aggregators if each.url not in change.drop)
    aggregators = {each.url: each for each in (*kept_aggregators, *change.aggregators)}
    lists = {*before.sequencer.nodes_sha256, *change.add_nodes_sha256} - change.drop_nodes_sha256
    return replace(
        before,
        rounds=rounds,
        quorum_rules={**before.quorum_rules, **change.quorum_rules},
        operators=_operators(listed),
        experts=_experts(listed),
        owners=_owners(listed),
        targets=_by_id(targets.values()),
        aggregators=_by_rank(aggregators.values()),
        sequencer=replace(
            before.sequencer,
            nodes_sha256=tuple(sorted(lists)),
            threshold_percent=change.threshold_percent or before.sequencer.threshold_percent,
        ),
        maintenance_notice=(
            before.maintenance_notice
            if change.maintenance_notice is None
            else change.maintenance_notice
        ),
    )


def _checked(committee: Committee) -> Committee:
    """Return the committee as its file is read, so that nothing is written that cannot be."""
    return Committee.load(committee.encode())


def _check_listed(before: Committee, change: Change) -> None:
    listed = {*before.members, *before.targets_by_id}
    listed |= {each.url for each in before.aggregators}
    if unknown := change.drop - listed:
        message = f"the committee does not list {min(unknown)}, so it cannot be dropped"
        raise errors.UnknownMember(message, member=min(unknown))
    if unknown_lists := change.drop_nodes_sha256 - set(before.sequencer.nodes_sha256):
        named = min(unknown_lists).hex()
        message = f"the committee does not name the node list 0x{named}, so it cannot be dropped"
        raise errors.UnknownMember(message, member="nodes_sha256")


def _listed(members: Iterable[Member]) -> list[Listed]:
    """Return members as a committee lists them. Raises InvalidCommittee: a key of a target."""
    listed: list[Listed] = []
    for member in members:
        if isinstance(found := member.listed(), HeartbeatKey):
            message = f"the member file of {member.id} is that of a target; add it as a target"
            raise errors.InvalidCommittee(message, id=member.id)
        listed.append(found)
    return listed


def _in_rounds(target: Target, before: Rounds, after: Rounds) -> Target:
    """Return a target for rounds of another length: a timeout that was the default stays it."""
    check = target.check
    if isinstance(check, HeartbeatCheck):
        return target
    if check.timeout_ms != default_timeout_ms(before.seconds):
        return target
    return replace(target, check=replace(check, timeout_ms=default_timeout_ms(after.seconds)))


def _operators(listed: Iterable[Listed]) -> tuple[Operator, ...]:
    found = (each for each in listed if isinstance(each, Operator))
    return tuple(sorted(found, key=lambda each: each.id))


def _experts(listed: Iterable[Listed]) -> tuple[Expert, ...]:
    found = (each for each in listed if isinstance(each, Expert))
    return tuple(sorted(found, key=lambda each: each.id))


def _owners(listed: Iterable[Listed]) -> tuple[Owner, ...]:
    found = (each for each in listed if isinstance(each, Owner))
    return tuple(sorted(found, key=lambda each: each.id))


def _by_id(targets: Iterable[Target]) -> tuple[Target, ...]:
    return tuple(sorted(targets, key=lambda each: each.id))


def _by_rank(aggregators: Iterable[Aggregator]) -> tuple[Aggregator, ...]:
    return tuple(sorted(aggregators, key=lambda each: (each.rank, each.url)))
