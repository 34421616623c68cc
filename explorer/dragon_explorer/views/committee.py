"""The page `/committee`: members, rules, and how each operator takes part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dragon.encoding import to_hex
from dragon.protocol.committee import short_id
from dragon_explorer.epochs import NodeKind
from dragon_explorer.history.spans import DAY, HOUR, MINUTE, Span, Sums
from dragon_explorer.history.store import ANSWER
from dragon_explorer.sources import Sources
from dragon_explorer.views.checks import TargetRow, target_rows
from dragon_explorer.views.epochs import (
    SHORT_KEY_CHARS,
    KeyRow,
    aggregator_urls,
    owner_rows,
    quorums,
)
from dragon_explorer.views.health import OperatorState, operator_state
from dragon_explorer.views.proposals import Proposal, proposals
from dragon_explorer.views.rounds import REFUSALS, SIGNED

# Each period, and the number and length of the spans that it consists of. The last one is running.
PERIODS: Final = (("1h", 60, MINUTE), ("24h", 24, HOUR), ("30d", 30, DAY))
MAX_LEFT_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Participation:
    """How an operator answered the questions of aggregators in a period. Uncertified."""

    period: str  # "1h", "24h" or "30d"
    expected: int
    signed: int
    refused: Mapping[str, int]  # by reason
    silent: Mapping[str, int]  # by cause: timeout, refused connection, …
    ppm: int | None  # signed, in parts per million of those expected; None: nothing was expected

    @property
    def percent(self) -> float | None:
        """The part in percent, for people. JSON has integers only."""
        return None if self.ppm is None else self.ppm // 1000 / 10


@dataclass(frozen=True, slots=True)
class Member:
    """One operator."""

    operator: str
    url: str
    key: str  # the whole public key
    short_key: str
    state: OperatorState  # uncertified
    participation: tuple[Participation, ...]


@dataclass(frozen=True, slots=True)
class Expert:
    """One expert, who endorses windows of streams."""

    expert: str
    key: str
    short_key: str


@dataclass(frozen=True, slots=True)
class LeftRow:
    """A node that an earlier committee listed. Its history stays."""

    node_id: str
    kind: NodeKind
    epoch: int  # of the first committee without it
    left: int  # Unix seconds, the seat of that committee


@dataclass(frozen=True, slots=True)
class Committee:
    """The whole page."""

    now: int
    name: str
    epoch: int
    id: str
    short_id: str  # to compare by voice
    network: str  # id of the network, which stays the same in all epochs
    seat: int  # Unix seconds; genesis in epoch 0
    position: int | None  # of its handover in the log; None in epoch 0
    proposals: tuple[Proposal, ...]  # next committees that operators name. Uncertified
    left: tuple[LeftRow, ...]  # nodes that have left, newest first
    left_total: int
    genesis: int  # Unix seconds
    round_seconds: int
    checkpoint_every: int  # seconds
    unknown_after: int  # seconds
    quorums: Mapping[str, int]  # signers that a certificate of each kind needs
    operators: tuple[Member, ...]
    experts: tuple[Expert, ...]
    owners: tuple[KeyRow, ...]
    targets: tuple[TargetRow, ...]
    maintenance_notice: int  # seconds by which maintenance is announced ahead
    aggregators: tuple[str, ...]  # URLs, by rank
    sequencer_app: str


def committee(sources: Sources, now: int) -> Committee:
    """Return the members of the committee and how they take part."""
    found, state = sources.committee, sources.log.state
    left = _left(sources)
    taken = {name: _sums(sources, now, count, span) for name, count, span in PERIODS}
    return Committee(
        now=now,
        name=found.name,
        epoch=found.epoch,
        id=to_hex(found.id),
        short_id=short_id(found.id),
        network=to_hex(found.network_id),
        seat=state.seat,
        position=state.handover.position if state.handover else None,
        proposals=proposals(sources, now),
        left=left[:MAX_LEFT_SHOWN],
        left_total=len(left),
        genesis=found.rounds.genesis,
        round_seconds=found.rounds.seconds,
        checkpoint_every=found.rounds.checkpoint_every,
        unknown_after=found.rounds.unknown_after,
        quorums=quorums(found),
        operators=tuple(
            Member(
                each.id,
                each.url,
                to_hex(each.public_key.raw),
                _short(to_hex(each.public_key.raw)),
                operator_state(sources, each.id, each.url, now),
                tuple(participation(name, sums.get(each.id, {})) for name, sums in taken.items()),
            )
            for each in found.operators
        ),
        experts=tuple(
            Expert(each.id, to_hex(each.public_key.raw), _short(to_hex(each.public_key.raw)))
            for each in found.experts
        ),
        owners=owner_rows(found),
        targets=target_rows(found),
        maintenance_notice=found.maintenance_notice,
        aggregators=aggregator_urls(found),
        sequencer_app=found.sequencer.app,
    )


def _left(sources: Sources) -> tuple[LeftRow, ...]:
    found = [
        LeftRow(each.node_id, each.kind, each.left_epoch, each.left)
        for each in sources.epochs.nodes().values()
        if each.left_epoch is not None and each.left is not None
    ]
    return tuple(sorted(found, key=lambda each: (-each.epoch, each.node_id)))


def _short(key: str) -> str:
    return f"{key[:SHORT_KEY_CHARS]}…"


def _sums(sources: Sources, now: int, count: int, span: Span) -> Mapping[str, Mapping[str, Sums]]:
    begin = span.begin_of(now) - (count - 1) * span.seconds
    return sources.history.totals(ANSWER, span, begin)


def participation(period: str, sums: Mapping[str, Sums]) -> Participation:
    """Return the participation of an operator from its answers by outcome."""
    counts = {outcome: each.number for outcome, each in sums.items()}
    expected, signed = sum(counts.values()), counts.get(SIGNED, 0)
    return Participation(
        period=period,
        expected=expected,
        signed=signed,
        refused={name: count for name, count in counts.items() if name in REFUSALS},
        silent={
            name: count for name, count in counts.items() if name != SIGNED and name not in REFUSALS
        },
        ppm=1_000_000 * signed // expected if expected else None,
    )
