"""One look at a target, by the check that the committee file states for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dragon.net.runtime import Runtime
from dragon.probing import beats, http_look, jsonrpc_look, socket_look
from dragon.probing.beats import LastBeat, no_beats
from dragon.probing.judgement import Judgement
from dragon.protocol.committee import Committee, Target
from dragon.protocol.target_checks import HeartbeatCheck, HttpCheck, JsonRpcCheck, TcpCheck

HEIGHT_TTL_ROUNDS: Final = 3  # how long a height counts for the other targets of its group


def timeout_seconds(committee: Committee, node_id: str) -> float:
    """Return how long a probe of the node may take: of a target, as its check says."""
    target = committee.targets_by_id.get(node_id)
    if target is None or isinstance(target.check, HeartbeatCheck):
        return committee.rounds.probe_deadline_seconds
    return target.check.timeout_ms / 1000


def is_slow(committee: Committee, node_id: str) -> bool:
    """Whether no caller waits for a probe of the node: it may take longer than other probes."""
    return timeout_seconds(committee, node_id) > committee.rounds.probe_deadline_seconds


def group_of(committee: Committee, target: Target) -> Iterator[Target]:
    """Return the other targets that a `jsonrpc` target is compared with."""
    if not isinstance(target.check, JsonRpcCheck):
        return
    for other in committee.targets:
        is_in_group = isinstance(other.check, JsonRpcCheck) and other.check.group == (
            target.check.group
        )
        if is_in_group and other.id != target.id:
            yield other


@dataclass(frozen=True, slots=True)
class _Height:
    target: Target  # as it was listed: with another check, it may be of another chain
    height: int
    at: float  # monotonic seconds


class TargetLooks:
    """Looks at targets, and remembers the heights of `jsonrpc` targets. Thread-safe."""

    def __init__(self, runtime: Runtime, last_beat: LastBeat = no_beats) -> None:
        """`last_beat`: what is known of the newest beat of a `heartbeat` target."""
        self._runtime = runtime
        self._last_beat = last_beat
        self._lock = threading.Lock()  # guards the next line
        self._heights: dict[str, _Height] = {}  # by the target's id

    def look(self, target: Target, committee: Committee) -> Judgement:
        """Look once. Takes at most the timeout of the check. Never raises."""
        check, runtime = target.check, self._runtime
        network = runtime.networks(target.private_addresses)
        if isinstance(check, HttpCheck):
            return http_look.look(check, target.url, network, runtime.monotonic)
        if isinstance(check, TcpCheck):
            return socket_look.look_tcp(check, target.url, network)
        if isinstance(check, JsonRpcCheck):
            found = jsonrpc_look.look(check, target.url, network)
            return jsonrpc_look.judge_height(check, found, self._highest(target, committee, found))
        if isinstance(check, HeartbeatCheck):
            return beats.judge(self._last_beat(target.id), check.every_seconds)
        return socket_look.look_tls(check, target.url, network, runtime.wall())

    def _highest(self, target: Target, committee: Committee, found: Judgement) -> int:
        """Note a height, and return the highest of the group in the last rounds."""
        now = self._runtime.monotonic()
        oldest = now - HEIGHT_TTL_ROUNDS * committee.rounds.seconds
        with self._lock:
            if found.height is not None:
                self._heights[target.id] = _Height(target, found.height, now)
            self._heights = {
                node_id: each
                for node_id, each in self._heights.items()
                if each.at >= oldest and committee.targets_by_id.get(node_id) == each.target
            }
            group = [target, *group_of(committee, target)]
            known = [self._heights.get(each.id) for each in group]
        return max((each.height for each in known if each is not None), default=0)
