"""The pages `/epochs` and `/epochs/<n>`: every committee that has held, and its handover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dragon import errors
from dragon.encoding import MAX_INTEGER, to_hex
from dragon.log.queries import Seating
from dragon.protocol.claims.base import kinds
from dragon.protocol.committee import Committee, short_id
from dragon.protocol.handover import Handover, newcomers
from dragon_explorer.epochs import Epoch
from dragon_explorer.lineage_file import lineage_epoch
from dragon_explorer.sources import Sources
from dragon_explorer.views.checks import TargetRow, target_rows
from dragon_explorer.views.incidents import verify_command
from dragon_explorer.views.proposals import MAX_DIFFERENCES, DifferenceRow, difference_rows

PAGE_EPOCHS: Final = 20
SHORT_KEY_CHARS: Final = 18
MAX_SHOWN_FILE_BYTES: Final = 1 << 16  # larger committee files are only for download
VERIFY_LINEAGE: Final = "dragon verify lineage lineage.json"


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One committee that has held. Certified."""

    epoch: int
    id: str
    short_id: str
    seat: int  # Unix seconds; genesis in epoch 0
    position: int | None  # of its handover in the log; None in epoch 0
    size: int  # entries of the log that the handover covers
    operators: int
    targets: int
    signers: tuple[str, ...]  # of the committee that handed over
    signers_of: int  # operators of that committee
    accepted: tuple[str, ...]  # signers of this committee


@dataclass(frozen=True, slots=True)
class EpochsPage:
    """A page of epochs, newest first."""

    now: int
    network: str  # id of the network
    total: int
    lineage_epoch: int  # with which the file of all committees ends now
    epochs: tuple[EpochRow, ...]
    next: int | None  # `before` of the next page


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A member with a key."""

    id: str
    url: str  # empty: it has none
    key: str  # the whole public key
    short_key: str
    has_new_key: bool  # whether the committee before did not list this key


@dataclass(frozen=True, slots=True)
class Signatures:
    """The signatures of one side of a handover. Certified."""

    epoch: int  # of the committee that signed
    signers: tuple[str, ...]
    missing: tuple[str, ...]  # operators that are not among the signers
    needed: int
    had_to_sign: tuple[str, ...]  # operators without whom it does not count: those with a new key


@dataclass(frozen=True, slots=True)
class HandoverFacts:
    """The handover that seated a committee. Certified."""

    position: int
    size: int  # entries of the log that both committees have signed for
    root: str
    timestamp: int
    old: Signatures
    new: Signatures
    event_file: str  # name of the download
    event_command: str  # verifies it offline


@dataclass(frozen=True, slots=True)
class EpochPage:
    """The whole page of one epoch."""

    now: int
    epoch: int
    name: str
    id: str
    short_id: str
    network: str
    previous: str  # id of the committee before; zeros in epoch 0
    sealed_size: int  # entries of the log at the handover to the committee before
    sealed_root: str
    seat: int  # Unix seconds; genesis in epoch 0
    until: int | None  # Unix seconds, the seat of the next committee; None: it holds
    round_seconds: int
    quorums: Mapping[str, int]
    operators: tuple[KeyRow, ...]
    experts: tuple[KeyRow, ...]
    owners: tuple[KeyRow, ...]
    maintenance_notice: int  # seconds by which maintenance is announced ahead
    targets: tuple[TargetRow, ...]
    aggregators: tuple[str, ...]  # URLs, by rank
    sequencer_app: str
    node_lists: tuple[str, ...]  # SHA-256
    handover: HandoverFacts | None  # None in epoch 0
    differences: tuple[DifferenceRow, ...]  # to the committee before
    differences_omitted: int
    file: Mapping[str, object] | None  # None: it is too long for a page
    file_name: str  # of the download
    lineage_epoch: int  # with which the file of all committees ends now
    lineage_command: str  # verifies the downloaded lineage offline
    previous_epoch: int | None
    next_epoch: int | None


def epochs_page(sources: Sources, now: int, before: int = MAX_INTEGER) -> EpochsPage:
    """Return the epochs before an epoch, newest first."""
    total = len(sources.epochs.all())
    end = min(before, total)
    first = max(0, end - PAGE_EPOCHS)
    found = sources.log.committees(max(-1, first - 2), end - max(-1, first - 2) - 1)
    rows = [
        epoch_row(sources.epochs.all()[each.committee.epoch], each, _before(found, each))
        for each in found
        if each.committee.epoch >= first
    ]
    return EpochsPage(
        now,
        to_hex(sources.committee.network_id),
        total,
        lineage_epoch(sources.log, sources.epochs),
        tuple(reversed(rows)),
        first if first else None,
    )


def _before(found: Sequence[Seating], seating: Seating) -> Committee | None:
    epoch = seating.committee.epoch - 1
    return next((each.committee for each in found if each.committee.epoch == epoch), None)


def epoch_row(facts: Epoch, seating: Seating, before: Committee | None) -> EpochRow:
    """Return one epoch. Args: `before`, the committee that handed over, if there is one."""
    committee, handover = seating.committee, seating.handover
    return EpochRow(
        epoch=committee.epoch,
        id=to_hex(committee.id),
        short_id=short_id(committee.id),
        seat=facts.seat,
        position=facts.position,
        size=facts.size,
        operators=len(committee.operators),
        targets=len(committee.targets),
        signers=handover.signers if handover else (),
        signers_of=len(before.operators) if before else 0,
        accepted=handover.acceptance.signers if handover else (),
    )


def epoch_page(sources: Sources, now: int, epoch: int) -> EpochPage:
    """Return one epoch. Raises NotFound: no committee of this epoch has held yet."""
    seating, before = seating_of(sources, epoch)
    committee, known = seating.committee, sources.epochs.all()
    found = difference_rows(before, committee) if before else ()
    is_short = len(committee.encode()) <= MAX_SHOWN_FILE_BYTES
    return EpochPage(
        now=now,
        epoch=epoch,
        name=committee.name,
        id=to_hex(committee.id),
        short_id=short_id(committee.id),
        network=to_hex(committee.network_id),
        previous=to_hex(committee.previous),
        sealed_size=committee.sealed.size,
        sealed_root=to_hex(committee.sealed.root),
        seat=known[epoch].seat,
        until=known[epoch + 1].seat if epoch + 1 < len(known) else None,
        round_seconds=committee.rounds.seconds,
        quorums=quorums(committee),
        operators=key_rows(committee, before),
        experts=expert_rows(committee),
        owners=owner_rows(committee),
        maintenance_notice=committee.maintenance_notice,
        targets=target_rows(committee),
        aggregators=aggregator_urls(committee),
        sequencer_app=committee.sequencer.app,
        node_lists=tuple(to_hex(each) for each in committee.sequencer.nodes_sha256),
        handover=handover_facts(sources, epoch),
        differences=found[:MAX_DIFFERENCES],
        differences_omitted=len(found[MAX_DIFFERENCES:]),
        file=committee.to_json() if is_short else None,
        file_name=f"committee-{epoch}.json",
        lineage_epoch=lineage_epoch(sources.log, sources.epochs),
        lineage_command=VERIFY_LINEAGE,
        previous_epoch=epoch - 1 if epoch else None,
        next_epoch=epoch + 1 if epoch + 1 < len(known) else None,
    )


def seating_of(sources: Sources, epoch: int) -> tuple[Seating, Committee | None]:
    """Return the committee of an epoch, and the one before. Raises NotFound."""
    if epoch >= (total := len(sources.epochs.all())):
        newest = total - 1
        message = f"no committee of epoch {epoch} has held; the one that holds is of epoch {newest}"
        raise errors.NotFound(message, epoch=epoch)
    found = sources.log.committees(max(-1, epoch - 2), min(2, epoch + 1))
    return found[-1], found[0].committee if epoch else None


def handover_facts(sources: Sources, epoch: int) -> HandoverFacts | None:
    """Return the handover to the committee of an epoch; None in epoch 0. Raises NotFound."""
    seating, before = seating_of(sources, epoch)
    if before is None or seating.handover is None or seating.position is None:
        return None
    claim, position = seating.handover.claim, seating.position
    return HandoverFacts(
        position=position,
        size=claim.size,
        root=to_hex(claim.log_root),
        timestamp=claim.timestamp,
        old=_signatures(before, seating.handover.signers, ()),
        new=_accepted(before, seating.committee, seating.handover),
        event_file=f"event-{position}.json",
        event_command=verify_command(sources, position),
    )


def _accepted(before: Committee, committee: Committee, handover: Handover) -> Signatures:
    had_to = tuple(sorted(newcomers(before, committee)))
    return _signatures(committee, handover.acceptance.signers, had_to)


def _signatures(
    committee: Committee, signers: Sequence[str], had_to_sign: tuple[str, ...]
) -> Signatures:
    return Signatures(
        epoch=committee.epoch,
        signers=tuple(signers),
        missing=tuple(each for each in committee.keys if each not in set(signers)),
        needed=committee.quorum("handover"),
        had_to_sign=had_to_sign,
    )


def quorums(committee: Committee) -> Mapping[str, int]:
    """Return the signers that a certificate of each kind needs."""
    return {
        kind.name: committee.quorum(kind.quorum_rule, kind.default_quorum)
        for kind in kinds()
        if kind.default_quorum is not None
    }


def key_rows(committee: Committee, before: Committee | None) -> tuple[KeyRow, ...]:
    """Return the operators with their keys."""
    new = newcomers(before, committee) if before else set()
    return tuple(
        _key_row(each.id, each.url, each.public_key.raw, is_new=each.id in new)
        for each in committee.operators
    )


def expert_rows(committee: Committee) -> tuple[KeyRow, ...]:
    """Return the experts with their keys."""
    return tuple(
        _key_row(each.id, "", each.public_key.raw, is_new=False) for each in committee.experts
    )


def owner_rows(committee: Committee) -> tuple[KeyRow, ...]:
    """Return the owners of targets with their keys."""
    return tuple(
        _key_row(each.id, "", each.public_key.raw, is_new=False) for each in committee.owners
    )


def _key_row(id_: str, url: str, raw: bytes, *, is_new: bool) -> KeyRow:
    key = to_hex(raw)
    return KeyRow(id_, url, key, f"{key[:SHORT_KEY_CHARS]}…", is_new)


def aggregator_urls(committee: Committee) -> tuple[str, ...]:
    """Return the URLs of the aggregators, by rank."""
    return tuple(each.url for each in sorted(committee.aggregators, key=lambda each: each.rank))
