"""From a committee file and a node list to a sequencer client that both of them agree with."""

from __future__ import annotations

from pathlib import Path

from dragon.encoding import to_hex
from dragon.errors import SettingsError
from dragon.protocol.committee import Committee
from dragon_sequencer.client import SequencerClient
from dragon_sequencer.errors import InvalidNodeList
from dragon_sequencer.nodes import NodeList


def load_nodes(path: Path, committee: Committee) -> NodeList:
    """The node list that this committee trusts.

    Raises SettingsError: it cannot be read, is none, or the committee was made for another one.
    """
    percent = committee.sequencer.threshold_percent
    try:
        nodes = NodeList.load(path, threshold_percent=percent)
    except InvalidNodeList as error:
        raise SettingsError(f"the node list {path} is refused: {error}", **error.facts) from None
    if nodes.sha256 != committee.sequencer.nodes_sha256:
        raise SettingsError(
            f"the committee was made for another node list than {path}",
            expected=to_hex(committee.sequencer.nodes_sha256),
            found=to_hex(nodes.sha256),
        )
    return nodes


def connect(committee: Committee, nodes: NodeList, ca: Path | None = None) -> SequencerClient:
    """A client of the committee's app on that network."""
    return SequencerClient.connect(committee.sequencer.app, nodes, ca=ca)
