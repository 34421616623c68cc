"""Makes a sequencer client from a committee file and matching node lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dragon.encoding import to_hex
from dragon.errors import SettingsError
from dragon.protocol.committee import Committee
from dragon_sequencer import compiled
from dragon_sequencer.client import SequencerClient
from dragon_sequencer.errors import InvalidNodeList
from dragon_sequencer.loading import load_compiled
from dragon_sequencer.nodes import NodeList, NodeLists


def load_nodes(paths: Sequence[Path], committees: Iterable[Committee]) -> NodeLists:
    """Load node lists, and check that committees name one of them.

    Further lists are allowed: a network that has replaced its nodes before a handover names the
    new list, or a list that a handover is about to name.

    Args:
        paths: files of node lists.
        committees: those that the service knows at its start, the newest one last.

    Raises SettingsError: a list cannot be read or is not valid, or no committee names any.
    """
    known = list(committees)
    named = {digest for committee in known for digest in committee.sequencer.nodes_sha256}
    percent = known[-1].sequencer.threshold_percent
    lists = NodeLists(_load(path, percent) for path in paths)
    if not named.intersection(lists.hashes):
        files = ", ".join(map(str, paths))
        raise SettingsError(
            f"the committee file names no node list of {files}",
            setting="SEQUENCER_NODES_FILE",
            expected=", ".join(map(to_hex, known[-1].sequencer.nodes_sha256)),
            found=", ".join(map(to_hex, lists.hashes)),
        )
    return lists


def _load(path: Path, percent: int) -> NodeList:
    try:
        return NodeList.load(path, threshold_percent=percent)
    except InvalidNodeList as error:
        raise SettingsError(
            f"the node list {path} cannot be used: {error}", **error.facts
        ) from None


def connect(committee: Committee, nodes: NodeLists, ca: Path | None = None) -> SequencerClient:
    """A client of the committee's app on that network, for a service.

    The process loads compiled pairings as soon as they are worth it; see `compiled`.

    Args:
        committee: names the app, which is the same in all epochs.
        nodes: the network's nodes, see `load_nodes`.
        ca: file of the authorities for HTTPS gateways; by default the system's.
    """
    compiled.load_on_demand(load_compiled)
    return SequencerClient.connect(committee.sequencer.app, nodes, ca=ca)
