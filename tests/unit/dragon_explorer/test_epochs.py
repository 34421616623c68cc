"""The explorer after handovers: pages of epochs, nodes that have left, and files to verify."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerting import PaperFleet, config
from committees import secret
from dragon.encoding import canonical, parse, to_hex
from dragon.errors import SettingsError, UnknownNode, WrongCommittee
from dragon.log.ledger import ProvenBatch
from dragon.net.runtime import Runtime
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Target, short_id
from dragon.protocol.lineage import Lineage
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.trust import Trust
from dragon_explorer import main
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.config import AlertsConfig
from dragon_explorer.epochs import Epochs
from dragon_explorer.public_page import PublicFile, PublicPage
from dragon_explorer.settings import Settings
from epochs import Network

LEFT = "target_2"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[PaperFleet]:
    """A fleet in epoch 3, with a checkpoint: one joins, rounds get longer, some leave."""
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as made:
        made.up("target_1", LEFT)
        made.checkpoint()
        step(made)
        made.hand_over(add=["operator_5"])
        step(made)
        rounds = replace(made.committee.rounds, seconds=10)
        targets = (*made.committee.targets, Target("target_9", "http://target-9:80"))
        made.hand_over(rounds=rounds, targets=targets, rotate={"operator_2": secret("new")})
        step(made)
        made.down(LEFT)
        step(made)
        kept = tuple(each for each in made.committee.targets if each.id != LEFT)
        made.hand_over(drop=["operator_4"], targets=kept)
        step(made)
        made.checkpoint()
        made.pass_time(2)
        yield made


def step(fleet: PaperFleet) -> None:
    fleet.pass_time(60, step=10)


def get(fleet: PaperFleet, path: str) -> Any:
    answer = fleet.app().test_client().get(path)
    assert answer.status_code == 200, (path, answer.text)
    return answer


# Epochs


def test_epochs_know_when_each_committee_took_its_seat(fleet: PaperFleet) -> None:
    epochs = fleet.sources.epochs
    found = epochs.all()

    assert [each.epoch for each in found] == [0, 1, 2, 3]
    assert [each.rounds.seconds for each in found] == [5, 5, 10, 10]
    assert found[0].position is None
    assert found[3].id == fleet.committee.id
    for each in found:
        assert epochs.at(each.seat) == each
        assert epochs.committee(each.id).epoch == each.epoch
    assert epochs.at(found[2].seat - 1) == found[1]
    assert epochs.at(0) == found[0]
    with pytest.raises(WrongCommittee):
        epochs.committee(bytes(32))


def test_rounds_are_counted_backwards_across_lengths(fleet: PaperFleet) -> None:
    seat = fleet.sources.epochs.all()[2].seat
    starts = fleet.sources.epochs.round_starts(seat + 25)

    assert [next(starts) - seat for _ in range(5)] == [20, 10, 0, -5, -10]
    assert list(fleet.sources.epochs.round_starts(0)) == []


def test_epochs_of_an_opened_log_are_those_that_it_has_seen(fleet: PaperFleet) -> None:
    again = Epochs(fleet.log)

    assert again.all() == fleet.sources.epochs.all()
    assert again.nodes() == fleet.sources.epochs.nodes()


def test_the_list_of_epochs_is_paged(fleet: PaperFleet, monkeypatch: Any) -> None:
    monkeypatch.setattr("dragon_explorer.views.epochs.PAGE_EPOCHS", 2)

    first = get(fleet, "/api/epochs").json
    second = get(fleet, f"/api/epochs?before={first['next']}").json

    assert [each["epoch"] for each in first["epochs"]] == [3, 2]
    assert [each["epoch"] for each in second["epochs"]] == [1, 0]
    assert (first["total"], first["next"], second["next"]) == (4, 2, None)
    assert first["epochs"][0]["signers_of"] == 5
    assert second["epochs"][0]["accepted"][-1] == "operator_5"
    assert second["epochs"][1]["signers"] == []
    assert get(fleet, "/epochs").text.count('<a href="/epochs/') >= 2


def test_the_page_of_an_epoch_has_both_signatures_and_the_changes(fleet: PaperFleet) -> None:
    found = get(fleet, "/api/epochs/2").json

    assert found["short_id"] == short_id(bytes.fromhex(found["id"][2:]))
    assert found["handover"]["old"]["epoch"] == 1
    assert found["handover"]["new"]["had_to_sign"] == ["operator_2"]
    assert {each["what"] for each in found["differences"]} == {
        *("operator operator_2", "round length", "target target_9")
    }
    assert [each["id"] for each in found["operators"] if each["has_new_key"]] == ["operator_2"]
    assert (found["previous_epoch"], found["next_epoch"]) == (1, 3)
    assert found["until"] == get(fleet, "/api/epochs/3").json["seat"]
    text = get(fleet, "/epochs/2").text
    assert "round length: 5 s → 10 s" in text
    assert "dragon verify lineage lineage.json" in text
    assert get(fleet, "/api/epochs/0").json["handover"] is None
    assert "The network began with this committee" in get(fleet, "/epochs/0").text


def test_an_epoch_that_has_not_come_is_not_found(fleet: PaperFleet) -> None:
    client = fleet.app().test_client()

    assert client.get("/api/epochs/4").status_code == 404
    assert client.get("/epochs/4095").status_code == 404
    assert client.get("/epochs/4096").status_code == 400
    assert client.get("/downloads/committee-4.json").status_code == 404


def test_the_entry_of_a_handover_says_what_it_is(fleet: PaperFleet) -> None:
    position = fleet.sources.epochs.all()[3].position

    found = get(fleet, f"/api/log/{position}").json
    text = get(fleet, f"/log/{position}").text

    assert (found["epoch"], found["seated"]) == (2, 3)
    assert found["handover"]["new"]["needed"] == fleet.committee.quorum("handover")
    assert "Epoch 2 hands over" in text
    assert "Epoch 3 accepts" in text
    assert get(fleet, "/api/log/0").json["handover"] is None
    assert [each["epoch"] for each in get(fleet, "/api/log").json["checkpoints"]][:2] == [None, 3]


# Files


def test_downloads_verify_offline(fleet: PaperFleet) -> None:
    lineage = Lineage.load(get(fleet, "/downloads/lineage.json").data)
    lineage.verify()

    assert lineage.network_id == fleet.committee.network_id
    assert lineage.newest == fleet.committee
    for position in range(fleet.log.state.size - 1):
        raw = get(fleet, f"/downloads/event-{position}.json").data
        ProvenEntry.from_json(parse(raw)).verify(Trust.of(lineage))
    for epoch, committee in enumerate(lineage.committees):
        raw = get(fleet, f"/downloads/committee-{epoch}.json").data
        assert Committee.load(raw) == committee
    assert Committee.load(get(fleet, "/downloads/committee.json").data) == fleet.committee


def test_a_lineage_ends_with_the_newest_committee_that_certified(fleet: PaperFleet) -> None:
    fleet.now += 30
    fleet.hand_over(add=["operator_6"])

    lineage = Lineage.load(get(fleet, "/downloads/lineage.json").data)

    lineage.verify()
    assert lineage.newest.epoch == 3
    for position in range(fleet.log.state.size - 1):  # all but the newest handover
        raw = get(fleet, f"/downloads/event-{position}.json").data
        ProvenEntry.from_json(parse(raw)).verify(Trust.of(lineage))
    assert "lineage.json ends with epoch 3" in get(fleet, "/epochs/4").text
    assert "lineage.json ends with epoch" not in get(fleet, "/epochs/3").text


def test_the_lineage_of_a_new_network_is_its_committee(tmp_path: Path) -> None:
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as fleet:
        lineage = Lineage.load(get(fleet, "/downloads/lineage.json").data)

        lineage.verify()
        assert lineage == Lineage.of(fleet.committee)


def verdict(fleet: PaperFleet, raw: bytes) -> Any:
    return fleet.app().test_client().post("/api/verify", data=raw).json


def test_the_verification_page_judges_documents_of_all_epochs(fleet: PaperFleet) -> None:
    for position in range(fleet.log.state.size):
        for name in ("event", "certificate"):
            found = verdict(fleet, get(fleet, f"/downloads/{name}-{position}.json").data)
            assert found["verdict"] == "verified", (name, position, found)
            assert found["command"].endswith("--committee lineage.json")


def test_keys_of_a_committee_that_has_left_prove_nothing_new(fleet: PaperFleet) -> None:
    """Later the keys of epoch 0 leak."""
    forged = fleet.founding.status("target_1", Status.DOWN, 200, list(fleet.founding.secrets))

    found = verdict(fleet, canonical(forged.to_json()))

    assert found["verdict"] == "refused"
    assert "has handed over" in found["sentence"]


# Nodes that have left


def test_removed_node_is_unknown_not_down(fleet: PaperFleet) -> None:
    found = get(fleet, f"/api/nodes/{LEFT}").json

    assert (found["node"]["status"], found["left_epoch"]) == ("unknown", 3)
    [incident] = found["incidents"]
    assert incident["has_left"]
    assert incident["ended"] == found["left"]
    assert LEFT not in {each["node_id"] for each in get(fleet, "/api/fleet").json["nodes"]}
    assert get(fleet, "/api/fleet").json["open_incidents"] == []
    assert get(fleet, f"/badge/{LEFT}.json").json["message"] == "unknown"
    text = get(fleet, f"/nodes/{LEFT}").text
    assert "It left the committee" in text
    assert "left the committee, unknown since" in text
    assert f'node_id="{LEFT}"' not in get(fleet, "/metrics").text


def test_the_outage_of_a_node_that_left_does_not_say_that_it_was_up(fleet: PaperFleet) -> None:
    [outage] = fleet.sources.index.outages_of(LEFT, 9)

    assert "Whether it was up again is unknown" in get(fleet, f"/incidents/{outage.position}").text
    assert "until it left the committee" in get(fleet, "/feed.atom").text
    # The handover is no end of one outage: several nodes may leave with it.
    assert fleet.sources.index.outage_at(outage.end_position or 0) is None


def test_a_change_of_an_earlier_epoch_shows_who_could_have_signed(fleet: PaperFleet) -> None:
    found = get(fleet, "/api/incidents/0").json

    assert found["epoch"] == 0
    assert found["others"] == ["operator_4"]
    assert found["needed"] == 3
    assert "--committee lineage.json" in found["command"]


def test_an_unknown_node_is_none_of_any_epoch(fleet: PaperFleet) -> None:
    with pytest.raises(UnknownNode):
        fleet.sources.epochs.node("nobody")
    assert fleet.app().test_client().get("/nodes/nobody").status_code == 404


def test_nodes_that_have_left_are_listed(fleet: PaperFleet) -> None:
    found = get(fleet, "/api/committee").json

    assert [(each["node_id"], each["epoch"]) for each in found["left"]] == [
        ("operator_4", 3),
        (LEFT, 3),
    ]
    assert (found["epoch"], found["short_id"]) == (3, short_id(fleet.committee.id))
    assert found["network"] == to_hex(fleet.committee.network_id)


# Files of the owner


def test_the_status_page_may_show_a_node_that_has_left(fleet: PaperFleet, tmp_path: Path) -> None:
    path, listed = tmp_path / "public.toml", fleet.sources.epochs.nodes()
    path.write_text(f"[[nodes]]\nid = '{LEFT}'\n[[nodes]]\nid = 'target_1'\n")
    page = PublicPage.load(path, fleet.committee, listed)
    fleet.sources = replace(fleet.sources, public_file=PublicFile(page, fleet.log))

    found = get(fleet, "/api/public").json

    assert found["sentence"] == "All services are up."
    assert [each["status"] for each in found["nodes"]] == ["unknown", "up"]
    assert found["nodes"][0]["left"] is not None
    assert "not watched since" in get(fleet, "/public").text
    with pytest.raises(SettingsError, match="lists no node"):
        PublicPage.load(path, fleet.committee)
    path.write_text(f"[[notes]]\ntitle = 'x'\nnodes = ['{LEFT}']\n")
    assert PublicPage.load(path, fleet.committee, listed).notes[0].nodes == (LEFT,)


def test_a_status_page_without_nodes_follows_the_committee(fleet: PaperFleet) -> None:
    assert [each.id for each in fleet.sources.public.nodes] == [
        "target_1",
        "target_3",
        "target_4",
        "target_9",
    ]


def test_a_rule_of_alerts_may_name_a_node_that_has_left(fleet: PaperFleet, tmp_path: Path) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text(
        '[routes.team]\ntype = "webhook"\nurl = "https://example.org/x"\n'
        f'[[rules]]\nname = "a"\non = ["node_down"]\nroutes = ["team"]\nnodes = ["{LEFT}"]\n'
    )

    assert AlertsConfig.load(path, fleet.sources.epochs.nodes()).rules[0].nodes == (LEFT,)
    with pytest.raises(SettingsError, match="matches no node"):
        AlertsConfig.load(path, fleet.committee.urls)


# Sizes


def test_pages_of_a_large_committee_are_bounded(tmp_path: Path) -> None:
    """58 operators: more do not fit into one handover."""
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as fleet:
        fleet.up("target_1")
        step(fleet)
        names = [f"op{number}" for number in range(58)]
        fleet.hand_over(add=names, drop=["operator_4"])
        fleet.pass_time(30)

        for path in ("/epochs", "/epochs/1", "/committee", "/log/1"):
            assert len(get(fleet, path).data) < 300_000, path
            assert len(json.dumps(get(fleet, f"/api{path}").json)) < 300_000, path


def test_a_new_explorer_is_pinned_to_the_newest_file_of_a_lineage(tmp_path: Path) -> None:
    """Its log begins with epoch 0, and only a handover on the ledger leads on."""
    network = Network()
    network.step(add=["operator_5"])
    *earlier, newest = network.committees()
    settings = Settings(
        committee=newest,
        earlier=earlier,
        database=tmp_path / "explorer.db",
        nodes_files=(),
        host="",
        port=0,
        threads=1,
    )
    databases = main.open_databases(settings)
    try:
        log = main.assemble(settings, *databases, NoLedger(), Runtime.real()).log
        assert (log.committee, log.pinned) == (earlier[0], newest)
    finally:
        for database in databases:
            database.close()


class NoLedger:
    def poll(self, *_: object, **__: object) -> Sequence[ProvenBatch]:
        return ()
