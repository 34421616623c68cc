"""One look at a target from here, outside any service."""

from __future__ import annotations

from dragon.net.runtime import Runtime
from dragon.probing.probe_result import ProbeResult
from dragon.probing.target_look import TargetLooks, group_of
from dragon.protocol.committee import Committee, Target


def look_once(target: Target, committee: Committee, runtime: Runtime) -> ProbeResult:
    """Look once at a target, which need not be listed yet, and judge it as an operator would.

    The other targets of the group of a `jsonrpc` target are looked at first. A `heartbeat` target
    has the reason `not_heard_yet`: only operators receive beats.

    Takes at most the timeout of the check, and that of the slowest other target of its group.
    """
    looks, others = TargetLooks(runtime), list(group_of(committee, target))
    if others:
        pool = runtime.workers(len(others))
        for each in [pool.submit(looks.look, other, committee) for other in others]:
            each.result()
        pool.shutdown(wait=False)
    begun, begun_at = runtime.monotonic(), runtime.wall()
    judgement = looks.look(target, committee)
    return ProbeResult.of(target.id, judgement, (begun, begun_at), runtime.monotonic())
