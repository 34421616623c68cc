"""What each observer of a node found in the last rounds. Uncertified."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Final

from dragon_explorer.live import answers
from dragon_explorer.live.answers import UP
from dragon_explorer.sources import Sources

SHOWN_ROUNDS: Final = 24  # columns of the grid
MAX_RUNS_SHOWN: Final = 6  # of one observer, in words


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive rounds in which an observer found the same."""

    outcome: (
        str | None
    )  # "answered", or the fault; None: the observer is not heard, or did not probe
    rounds: int
    start: int  # Unix seconds, of the first round
    last: int  # Unix seconds, the start of the last round
    least_ms: int | None  # of the answers
    most_ms: int | None


@dataclass(frozen=True, slots=True)
class ObserverRounds:
    """One observer's probes of the node: one item for each round, oldest first."""

    observer: str  # an operator or an aggregator
    outcomes: tuple[str | None, ...]  # as in `Run`
    latencies_ms: tuple[int | None, ...]  # None: no answer
    runs: tuple[Run, ...]  # the same in words, newest first; at most `MAX_RUNS_SHOWN`
    earlier_runs: int  # that are left out


@dataclass(frozen=True, slots=True)
class RecentProbes:
    """The probes of a node in the last rounds."""

    starts: tuple[int, ...]  # Unix seconds, of each round, oldest first
    round_seconds: int  # of the committee that holds
    changes_length: bool  # whether some of these rounds have another length
    rounds: int  # number of rounds
    observers: tuple[ObserverRounds, ...]  # those that found anything: aggregators, then operators


def recent_probes(sources: Sources, now: int, node_id: str) -> RecentProbes:
    """Return what the observers of a node found in the last rounds.

    The running round is the last one if an observer has probed the node in it already.
    """
    columns = list(islice(sources.epochs.round_starts(now), SHOWN_ROUNDS + 1))[::-1]
    found = {
        observer: _by_column(rounds, node_id, columns)
        for observer, rounds in _by_observer(sources, node_id)
    }
    has_begun = any(each.keys() & set(columns[-1:]) for each in found.values())
    starts = tuple(columns[-SHOWN_ROUNDS:] if has_begun else columns[:-1])
    rows = (
        _row(observer, [each.get(start) for start in starts], starts)
        for observer, each in found.items()
        if not each.keys().isdisjoint(starts)
    )
    lengths = {sources.epochs.at(start).rounds.seconds for start in starts}
    seconds = sources.committee.rounds.seconds
    return RecentProbes(starts, seconds, bool(lengths - {seconds}), len(starts), tuple(rows))


def _by_observer(
    sources: Sources, node_id: str
) -> Iterator[tuple[str, Sequence[answers.ProbedRound]]]:
    for aggregator in sources.board.aggregators():
        yield aggregator.name, aggregator.rounds.value or ()
    for operator in sources.board.operators():
        if operator.name != node_id:
            yield operator.name, operator.probes.value or ()


def _by_column(
    rounds: Sequence[answers.ProbedRound], node_id: str, columns: Sequence[int]
) -> Mapping[int, answers.Probe]:
    """The probe of the node in each of the newest rounds, by the start of its column.

    Logs pass a handover a second apart, so an observer may count rounds of another length.
    """
    newest = rounds[-len(columns) :]
    return {
        columns[place]: each.by_node[node_id]
        for each in newest
        if node_id in each.by_node and (place := bisect_right(columns, each.start) - 1) >= 0
    }


def _row(
    observer: str, probes: Sequence[answers.Probe | None], starts: Sequence[int]
) -> ObserverRounds:
    latencies = tuple(each.latency_ms if each and each.seen == UP else None for each in probes)
    outcomes = tuple(each.reason if each else None for each in probes)
    runs = list(_runs(outcomes, latencies, starts))[::-1]
    return ObserverRounds(
        observer,
        outcomes,
        latencies,
        tuple(runs[:MAX_RUNS_SHOWN]),
        len(runs[MAX_RUNS_SHOWN:]),
    )


def _runs(
    outcomes: Sequence[str | None], latencies: Sequence[int | None], starts: Sequence[int]
) -> Iterator[Run]:
    place = 0
    for outcome, group in groupby(outcomes):
        length = len(list(group))
        times = [each for each in latencies[place : place + length] if each is not None]
        yield Run(
            outcome,
            length,
            starts[place],
            starts[place + length - 1],
            min(times, default=None),
            max(times, default=None),
        )
        place += length
