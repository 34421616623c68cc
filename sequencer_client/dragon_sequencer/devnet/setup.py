"""What `dragon init` needs for a development network: its keys, its node list, their digest."""

from __future__ import annotations

import json
import secrets

from dragon_sequencer.devnet.main import keys_document, make_keys, nodes_document
from dragon_sequencer.nodes import NodeList


def make_network(nodes: int, socket: str) -> tuple[str, str, bytes]:
    """Fresh keys for a network of 1 to 4 nodes that one process at `socket` plays.

    Returns the text of the keys file (private), that of the node list, and the digest of the node
    list that the committee file carries.
    """
    keys = make_keys(nodes, secrets.randbits)
    listed = json.dumps(nodes_document(keys, socket), indent=2)
    return json.dumps(keys_document(keys), indent=2), listed, digest(listed)


def digest(listed: str) -> bytes:
    """`sequencer.nodes_sha256` of a node list. Raises DragonError: it is none."""
    return NodeList.decode(listed).sha256
