"""What each observer of a node found in the last rounds. Uncertified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
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

    first: int  # number of the oldest round
    start: int  # Unix seconds, the start of the oldest round
    round_seconds: int
    rounds: int  # number of rounds
    observers: tuple[ObserverRounds, ...]  # those that found anything: aggregators, then operators


def recent_probes(sources: Sources, now: int, node_id: str) -> RecentProbes:
    """Return what the observers of a node found in the last rounds.

    The running round is the last one if an observer has probed the node in it already.
    """
    found = dict(_by_observer(sources, node_id))
    rule = sources.committee.rounds
    current = rule.number(now)
    has_begun = any(current in each for each in found.values())
    last = current if has_begun else current - 1
    first = max(0, last - SHOWN_ROUNDS + 1)
    numbers = range(first, last + 1)
    rows = (
        _row(observer, [each.get(number) for number in numbers], first, sources)
        for observer, each in found.items()
        if not each.keys().isdisjoint(numbers)
    )
    return RecentProbes(first, rule.start(first), rule.seconds, len(numbers), tuple(rows))


def _by_observer(
    sources: Sources, node_id: str
) -> Iterator[tuple[str, Mapping[int, answers.Probe]]]:
    for aggregator in sources.board.aggregators():
        yield aggregator.name, _of_node(aggregator.rounds.value or (), node_id)
    for operator in sources.board.operators():
        if operator.name != node_id:
            yield operator.name, _of_node(operator.probes.value or (), node_id)


def _of_node(rounds: Sequence[answers.ProbedRound], node_id: str) -> Mapping[int, answers.Probe]:
    """The probe of the node in each of the newest rounds, by number."""
    newest = rounds[-SHOWN_ROUNDS - 1 :]  # with the running round
    return {each.number: each.by_node[node_id] for each in newest if node_id in each.by_node}


def _row(
    observer: str, probes: Sequence[answers.Probe | None], first: int, sources: Sources
) -> ObserverRounds:
    latencies = tuple(each.latency_ms if each and each.seen == UP else None for each in probes)
    outcomes = tuple(each.reason if each else None for each in probes)
    runs = list(_runs(outcomes, latencies, first, sources))[::-1]
    return ObserverRounds(
        observer,
        outcomes,
        latencies,
        tuple(runs[:MAX_RUNS_SHOWN]),
        len(runs[MAX_RUNS_SHOWN:]),
    )


def _runs(
    outcomes: Sequence[str | None], latencies: Sequence[int | None], first: int, sources: Sources
) -> Iterator[Run]:
    rule, place = sources.committee.rounds, 0
    for outcome, group in groupby(outcomes):
        length = len(list(group))
        times = [each for each in latencies[place : place + length] if each is not None]
        yield Run(
            outcome,
            length,
            rule.start(first + place),
            rule.start(first + place + length - 1),
            min(times, default=None),
            max(times, default=None),
        )
        place += length
