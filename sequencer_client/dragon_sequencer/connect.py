"""Makes a sequencer client from a committee file and a matching node list."""

from __future__ import annotations

from pathlib import Path

from dragon.encoding import to_hex
from dragon.errors import SettingsError
from dragon.protocol.committee import Committee
from dragon_sequencer.client import SequencerClient
from dragon_sequencer.errors import InvalidNodeList
from dragon_sequencer.nodes import NodeList


def load_nodes(path: Path, committee: Committee) -> NodeList:
    """Load the node list and check it against the hash in the committee file.

    Raises SettingsError: the list cannot be read, is not valid, or belongs to another committee.
    """
    percent = committee.sequencer.threshold_percent
    try:
        nodes = NodeList.load(path, threshold_percent=percent)
    except InvalidNodeList as error:
        raise SettingsError(
            f"the node list {path} cannot be used: {error}", **error.facts
        ) from None
    if nodes.sha256 not in committee.sequencer.nodes_sha256:
        raise SettingsError(
            f"the node list {path} is not one that the committee file names",
            expected=", ".join(map(to_hex, committee.sequencer.nodes_sha256)),
            found=to_hex(nodes.sha256),
        )
    return nodes


def connect(committee: Committee, nodes: NodeList, ca: Path | None = None) -> SequencerClient:
    """A client of the committee's app on that network.

    Args:
        committee: names the app.
        nodes: the network's nodes, see `load_nodes`.
        ca: file of the authorities for HTTPS gateways; by default the system's.
    """
    return SequencerClient.connect(committee.sequencer.app, nodes, ca=ca)
