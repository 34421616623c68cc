"""Creates the keys, node list and digest of a development network, for `dragon init`."""

from __future__ import annotations

import json
import secrets

from dragon_sequencer.devnet.main import keys_document, make_keys, nodes_document
from dragon_sequencer.nodes import NodeList


def make_network(nodes: int, socket: str) -> tuple[str, str, bytes]:
    """Create a network of 1 to 4 nodes, all simulated by one process at the URL `socket`.

    Returns the text of the keys file (secret), the text of the node list, and the digest of the
    node list for the committee file.
    """
    keys = make_keys(nodes, secrets.randbits)
    listed = json.dumps(nodes_document(keys, socket), indent=2)
    return json.dumps(keys_document(keys), indent=2), listed, digest(listed)


def digest(listed: str) -> bytes:
    """`sequencer.nodes_sha256` of a node list. Raises DragonError: the list is not valid."""
    return NodeList.decode(listed).sha256
