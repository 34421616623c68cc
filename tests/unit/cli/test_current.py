"""Reading commands follow the committee, and write nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dragon.errors import InvalidId, UnknownNode
from dragon.net.http_client import HttpClient
from dragon_cli.fleet import current
from dragon_cli.fleet.layout import Home
from dragon_cli.trust import check_node
from epochs import Network
from homes import make_home
from wsgi import WsgiAdapter, WsgiApp

THREE = Network()
THREE.step(add=["operator_5"])
THREE.step(drop=["operator_4"])
OLD, NEW = THREE.epochs[0], THREE.newest


def serve(said: object, lineage: object) -> WsgiApp:
    """Answers `GET /committee` and `GET /lineage`."""

    def app(environ: dict[str, object], start: Callable[..., object]) -> list[bytes]:
        start("200 OK", [("Content-Type", "application/json")])
        answer = said if environ["PATH_INFO"] == "/committee" else lineage
        return [json.dumps(answer).encode()]

    return app


def page(network: Network, checkpoint: object) -> dict[str, object]:
    """The whole lineage as one page of `GET /lineage`."""
    handovers = [None, *network.handovers]
    return {
        "committees": [
            {
                "epoch": each.committee.epoch,
                "committee": each.committee.to_json(),
                "handover": made.to_json() if made else None,
                "position": 10 * each.committee.epoch if made else None,
            }
            for each, made in zip(network.epochs, handovers, strict=True)
        ],
        "checkpoint": checkpoint,
        "next": None,
    }


def said(epoch: int) -> dict[str, object]:
    committee = THREE.epochs[min(epoch, 2)].committee
    return {
        "epoch": epoch,
        "committee": "0x" + committee.id.hex(),
        "seat": committee.rounds.genesis,
        "approved": {},
    }


PROVEN = page(THREE, THREE.checkpoint().to_json())
UNPROVEN = page(THREE, None)


@pytest.mark.parametrize(
    ("answer", "lineage", "epoch"),
    [
        (said(2), PROVEN, 2),
        (said(2), UNPROVEN, 0),  # before the first checkpoint of the newest committee
        (said(2), {"committees": "none"}, 0),
        (said(0), PROVEN, 0),  # nobody says that another committee holds
        (said(4095), {}, 0),  # a lie
    ],
)
def test_the_newest_proven_committee_is_used(
    tmp_path: Path, answer: object, lineage: object, epoch: int
) -> None:
    home = make_home(tmp_path / "fleet", OLD)
    wires = WsgiAdapter()
    wires.mount(OLD.committee.urls["operator_3"].removeprefix("http://"), serve(answer, lineage))
    before = home.committee_file.read_bytes()

    found = current.committee(Home(home.path), HttpClient(wires.session()))

    assert found == THREE.epochs[epoch].committee
    assert home.committee_file.read_bytes() == before
    assert not home.lineage_file.exists()


def test_a_lineage_that_differs_from_the_held_one_is_not_used(tmp_path: Path) -> None:
    """It is `dragon committee update` that keeps it, and says so."""
    other = Network([OLD])
    other.step(add=["operator_6"])
    home = make_home(tmp_path / "fleet", other.newest)
    home.lineage_file.write_text(json.dumps(other.lineage().to_json()))
    wires = WsgiAdapter()
    wires.mount(OLD.committee.urls["operator_1"].removeprefix("http://"), serve(said(2), PROVEN))

    found = current.committee(home, HttpClient(wires.session()))

    assert found == other.newest.committee


def test_a_node_that_has_left_can_be_asked_for(tmp_path: Path) -> None:
    home = make_home(tmp_path / "fleet", NEW)
    home.lineage_file.write_text(json.dumps(THREE.lineage().to_json()))

    assert "operator_4" not in NEW.committee.urls
    assert check_node(home, "operator_4") == "operator_4"
    with pytest.raises(UnknownNode):
        check_node(home, "operator_9")
    with pytest.raises(InvalidId):
        check_node(home, "../operator_4")
