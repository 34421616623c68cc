"""The lineage in tests/vectors/lineage. Running this file writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from committees import make_members, secret
from dragon.encoding import to_hex
from epochs import Network

VECTOR: Final = Path(__file__).parent / "vectors" / "lineage" / "three_epochs.json"


def make() -> dict[str, Any]:
    """Four become five, then one rotates. Signatures are deterministic."""
    network = Network([make_members(4, targets=1, nodes_sha256=bytes(32))])
    network.step(add=["operator_5"])
    network.step(rotate={"operator_2": secret("operator_2 again")})
    lineage = network.lineage()
    return {"network": to_hex(lineage.network_id), "lineage": lineage.to_json()}


if __name__ == "__main__":
    VECTOR.write_text(json.dumps(make(), indent=1) + "\n")
