"""The node lists that a service is started with."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from committees import make_members
from dragon.errors import SettingsError
from dragon.protocol.committee import Committee
from dragon_sequencer import compiled
from dragon_sequencer.connect import connect, load_nodes
from dragon_sequencer.devnet.main import make_keys, nodes_document
from dragon_sequencer.nodes import NodeList

COMMITTEE = make_members().committee


@pytest.fixture(autouse=True)
def _no_demand_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a later test of this process would load compiled pairings in the background."""
    monkeypatch.setattr(compiled, "_demand", None)


def written(folder: Path, seed: int) -> tuple[Path, NodeList]:
    document = nodes_document(make_keys(1, random.Random(seed).getrandbits), f"http://node-{seed}")
    path = folder / f"nodes-{seed}.json"
    path.write_text(json.dumps(document))
    return path, NodeList.decode(path.read_bytes())


def naming(*lists: NodeList, threshold: int = 67) -> Committee:
    hashes = tuple(sorted(each.sha256 for each in lists))
    sequencer = replace(COMMITTEE.sequencer, nodes_sha256=hashes, threshold_percent=threshold)
    return replace(COMMITTEE, sequencer=sequencer)


def test_a_service_may_have_a_list_that_a_handover_is_about_to_name(tmp_path: Path) -> None:
    (one, first), (two, second) = written(tmp_path, 1), written(tmp_path, 2)
    committee = naming(first, threshold=80)

    lists = load_nodes([one, two], [committee])

    assert set(lists.hashes) == {first.sha256, second.sha256}
    assert [each.threshold_percent for each in lists.alternatives] == [80, 80]
    assert lists.sockets() == ("http://node-1", "http://node-2")
    connect(committee, lists).close()


def test_any_committee_of_a_lineage_may_name_the_list(tmp_path: Path) -> None:
    (one, first), (_, second) = written(tmp_path, 1), written(tmp_path, 2)

    assert load_nodes([one], [naming(first), naming(second)]).hashes == (first.sha256,)


def test_lists_that_no_committee_names_are_refused(tmp_path: Path) -> None:
    (one, _), (_, second) = written(tmp_path, 1), written(tmp_path, 2)

    with pytest.raises(SettingsError, match="names no node list"):
        load_nodes([one], [naming(second)])
    with pytest.raises(SettingsError, match="cannot be used"):
        load_nodes([tmp_path / "missing.json"], [naming(second)])
