"""Probe every operator of a committee, and show what its log says about every node.

    python examples/watch_nodes.py fleet/committee.json [CA_FILE]

CA_FILE verifies HTTPS servers; a fleet made with `dragon init --tls` has it in fleet/ca.crt.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from dragon import Committee, DragonError, HttpClient, OperatorClient

PROBE_DEADLINE_SECONDS = 2.0


def probe(operator: OperatorClient) -> str:
    """One sentence about the operator. Only an answer that its own key signed counts as up."""
    try:
        answer = operator.status(secrets.token_bytes(16), deadline=PROBE_DEADLINE_SECONDS)
        nodes = operator.get("/nodes")["nodes"]
    except DragonError as error:
        return f"down ({error})"
    known = ", ".join(f"{node['node_id']} {node['status']}" for node in nodes)
    return f"{answer.status}; its log: {known}"


def main(committee_file: str, ca_file: str | None = None) -> None:
    committee = Committee.load(Path(committee_file).read_bytes())
    http = HttpClient.create(Path(ca_file) if ca_file else None)
    for operator in committee.keys:
        print(f"{operator}: {probe(OperatorClient(committee, operator, http))}")


if __name__ == "__main__":
    main(*sys.argv[1:])
