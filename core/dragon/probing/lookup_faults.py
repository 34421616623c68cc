"""Whether a name that cannot be resolved is a fault of the node or of our own resolver.

A probe fails before it reaches the node if the node's name has no address. It fails in three ways
(`dragon.net.name_lookup`): the resolver says that the name does not exist (`no_such_name`), it
gives no answer about the name (`dns`), or all addresses are private and the committee file does not
allow them (`private_address`). An operator whose own resolver is at fault must not sign
that a node is down, and an aggregator must not propose it. The rule:

1. A target with a dotted name, without an answer about it (`dns`): our resolver is at fault. Public
   names are answered through other servers, and a resolver that has lost some of them still answers
   from its memory, so that other names prove nothing. Such a target is not certified down.
2. Any other name: our resolver works if it has resolved another name *of the same sort* at that
   time. Then the fault is the node's. Sorts are names with dots and names without: a network of
   containers answers for the latter itself, and passes the former on to another resolver. A
   container that was stopped loses its name, so this is what an operator sees whose peer was
   killed, and it has to be able to sign it: the names of its other peers show that its resolver
   works. Several stopped containers change nothing as long as one name is resolved, and without
   any peer that answers, an operator is `blind` before it asks for more.
3. If no other name of that sort was resolved: with `dns`, our resolver is at fault. With
   `no_such_name` or `private_address`, it is at fault if another such name has failed too, for
   several names do not end at once. A name that alone does not exist is the node's fault. Nodes
   that are certified down do not count as failed: their names may have been gone for long.

A private address is not an abstention: the owner of a target that is down could have its name
resolved to one, and the target would stay certified up.

Addresses in numbers, and `localhost`, need no resolver. They prove nothing and fail in other ways.
Targets that send heartbeats have no name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from dragon.net.http_client import PRIVATE_ADDRESS
from dragon.net.name_lookup import is_numeric
from dragon.probing.probe_result import LOOKING, NOT_LISTED, ProbeResult
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee
from dragon.protocol.state import State

NO_SUCH_NAME: Final = "no_such_name"
NO_ANSWER: Final = "dns"
MAX_CONTROL_NAMES: Final = 8  # nodes that are probed to find out whether our resolver works
_FAILED: Final = frozenset({NO_SUCH_NAME, NO_ANSWER, PRIVATE_ADDRESS})
# Results that do not show whether the name was resolved.
_UNCLEAR: Final = frozenset({"timeout", "myself", LOOKING, NOT_LISTED})


def control_names(committee: Committee, node_id: str, result: ProbeResult) -> list[str]:
    """Return other nodes whose probes show whether our resolver works; empty if none is needed."""
    if not _has_failed(committee, result) or says_nothing(committee, result):
        return []
    return _others(committee, node_id)[:MAX_CONTROL_NAMES]


def is_resolver_at_fault(
    committee: Committee, node_id: str, results: Mapping[str, ProbeResult], state: State
) -> bool:
    """Whether the node's probe failed because our own name resolution fails.

    Args:
        results: probes of about the same time: of the node and of the nodes of `control_names`.
        state: of our log.
    """
    result = results[node_id]
    if not _has_failed(committee, result):
        return False
    if says_nothing(committee, result):
        return True
    others = [results[name] for name in _others(committee, node_id) if name in results]
    if any(other.reason not in _FAILED | _UNCLEAR for other in others):
        return False
    failed = [
        other
        for other in others
        if other.reason in _FAILED and state.status(other.node_id) is not Status.DOWN
    ]
    return result.reason == NO_ANSWER or bool(failed)


def _has_failed(committee: Committee, result: ProbeResult) -> bool:
    """Whether the probe failed because a resolver named no address that may be connected to."""
    return result.reason in _FAILED and not (
        result.reason == PRIVATE_ADDRESS and _sort(committee, result.node_id) == "numeric"
    )


def says_nothing(committee: Committee, result: ProbeResult) -> bool:
    """Whether no other name can show that the resolver works (first part of the rule)."""
    node_id = result.node_id
    is_dotted_target = node_id not in committee.keys and _sort(committee, node_id) == "dotted"
    return is_dotted_target and result.reason == NO_ANSWER


def _others(committee: Committee, node_id: str) -> list[str]:
    """Other nodes whose names are of the same sort."""
    sort = _sort(committee, node_id)
    return [name for name in committee.urls if name != node_id and _sort(committee, name) == sort]


def _sort(committee: Committee, node_id: str) -> str:
    host = urlsplit(committee.urls.get(node_id, "")).hostname or ""
    if not host:
        return "none"  # it was removed, or sends heartbeats
    if host == "localhost" or is_numeric(host):
        return "numeric"
    return "dotted" if "." in host.rstrip(".") else "plain"
