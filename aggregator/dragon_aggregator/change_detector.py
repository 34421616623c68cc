"""Finds nodes that have changed.

Two probes of one round must agree, and for a target as many looks of rounds in a row as the
committee file says. For a slow target, its last finished look stands for both probes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.probing.lookup_faults import control_names, is_resolver_at_fault
from dragon.probing.probe_result import ProbeResult
from dragon.probing.prober import Prober
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Seated
from dragon_aggregator.clock_check import ClockCheck
from dragon_aggregator.outbox import Outbox, last_known
from dragon_aggregator.round_record import Round

WARM_UP_ROUNDS: Final = 6  # own uptime before a node of unknown status is reported down


class ChangeDetector:
    """Compares probes with what is certified."""

    def __init__(
        self,
        seated: Seated,
        *,
        prober: Prober,
        outbox: Outbox,
        log: Log,
        follower: Follower,
        clock: ClockCheck,
        runtime: Runtime,
    ) -> None:
        self._seated = seated
        self._prober = prober
        self._outbox = outbox
        self._log = log
        self._follower = follower
        self._clock = clock
        self._runtime = runtime
        self._started = runtime.monotonic()

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def changes(self, record: Round) -> dict[str, Status]:
        """Probe all nodes, and again those that differ from what is certified.

        Returns the nodes that differ twice, with their new status. Adds results, and the reason for
        an abstention, to `record`.
        """
        committee = self._committee  # of the whole round: a handover may be applied meanwhile
        results = self._prober.probe(committee.urls, max_age=0)
        self._clock.update(results.values())
        record.probe_results = list(results.values())
        if why := self.why_abstain():
            record.abstained, record.note = True, why
            return {}
        if unresolved := self._unresolved(committee, results):
            record.note = f"abstains from {', '.join(unresolved)}: name resolution fails here"
        once = self._differing(committee, results, committee.urls)
        if not once:
            return {}
        self._runtime.sleep(committee.rounds.reprobe_pause_seconds)
        # All operators are probed too: a failure counts only if another operator answers. And so
        # are the nodes that show whether our own name resolution works.
        controls = [name for node in once for name in control_names(committee, node, results[node])]
        again = self._prober.probe(dict.fromkeys([*once, *committee.keys, *controls]), max_age=0)
        record.probe_results += [again[node_id] for node_id in once]
        twice = self._differing(committee, again, once)
        return {node_id: status for node_id, status in twice.items() if once[node_id] is status}

    def check_clock(self) -> None:
        """Compare the clock with those of the operators, without waiting for the next round."""
        self._clock.update(self._prober.probe(self._committee.keys).values())

    def why_abstain(self) -> str:
        """Why nothing may be certified now; empty if it may."""
        if not self._follower.has_read_all and not self._log.alarm():
            return "abstains: the ledger is not read to its end"
        fault = self._clock.fault
        return f"abstains: this clock is {fault}" if fault else ""

    def certified_status(self, node_id: str) -> Status | None:
        """The node's newest certified status, pending or in the log; None while unknown."""
        last = last_known(self._outbox, self._log, node_id)
        return last.status if last else None

    def _differing(
        self, committee: Committee, results: Mapping[str, ProbeResult], node_ids: Iterable[str]
    ) -> dict[str, Status]:
        differing: dict[str, Status] = {}
        for node_id in node_ids:
            status, certified = results[node_id].status, self.certified_status(node_id)
            if status is certified or not results[node_id].is_evidence:
                continue
            if not self._prober.supports(node_id, status):
                continue
            if status is Status.DOWN and not self._counts(committee, node_id, results):
                continue
            if is_resolver_at_fault(committee, node_id, results, self._log.state):
                continue
            if certified is None and status is Status.DOWN and not self._has_warmed_up():
                continue
            differing[node_id] = status
        return differing

    @staticmethod
    def _counts(committee: Committee, node_id: str, results: Mapping[str, ProbeResult]) -> bool:
        """Whether a failed probe counts against the node: only if another operator answered.

        A failure of all probes is taken for a fault of our own network.
        """
        others = (results[key] for key in committee.keys if key in results and key != node_id)
        return any(result.answered for result in others)

    def _unresolved(self, committee: Committee, results: Mapping[str, ProbeResult]) -> list[str]:
        """Nodes whose failed probe says nothing, because our own name resolution fails."""
        state = self._log.state
        return [each for each in results if is_resolver_at_fault(committee, each, results, state)]

    def _has_warmed_up(self) -> bool:
        uptime = self._runtime.monotonic() - self._started
        return uptime >= WARM_UP_ROUNDS * self._committee.rounds.seconds
