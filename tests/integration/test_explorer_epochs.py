"""An explorer follows a fleet through three handovers, without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from dragon.protocol.lineage import Lineage
from explorer_epochs import EpochsWorld, three_handovers


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EpochsWorld]:
    """A fleet in epoch 3. Tests only read it."""
    with three_handovers(tmp_path_factory.mktemp("epochs")) as made:
        yield made


def get(world: EpochsWorld, path: str) -> Any:
    answer = world.app().test_client().get(path)
    assert answer.status_code == 200, (path, answer.text)
    return answer


def test_services_are_watched_while_they_belong_to_the_fleet(world: EpochsWorld) -> None:
    """operator_4 has left, operator_5 has joined, operator_6 follows without a seat."""
    watched = [each.name for each in world.explorer.sources.board.operators()]

    assert sorted(watched) == ["operator_1", "operator_2", "operator_3", "operator_5", "operator_6"]
    assert get(world, "/api/fleet").json["health"]["agreeing"] == 4


def test_pending_approvals_are_told_with_the_newcomer_in_step(world: EpochsWorld) -> None:
    first, second = get(world, "/api/committee").json["proposals"]

    assert first["sentence"].startswith("2 of 3 needed say that they have approved ")
    assert {each["operator"]: each["says"] for each in first["operators"]} == {
        "operator_1": "approved",
        "operator_2": "approved",
        "operator_3": "another",
        "operator_5": "nothing",
    }
    [newcomer] = first["newcomers"]
    assert (newcomer["operator"], newcomer["says"]) == ("operator_6", "approved")
    assert newcomer["is_in_step"]
    assert second["approved"] == 1
    assert [each["what"] for each in second["differences"]] == ["round length"]


def test_rounds_of_both_lengths_are_shown(world: EpochsWorld) -> None:
    found = get(world, "/api/rounds").json
    starts = [each["start"] for each in found["rounds"]]

    assert found["changes_length"]
    assert {each["seconds"] for each in found["rounds"]} == {5, 10}
    assert starts == sorted(starts, reverse=True)
    recent = get(world, "/api/nodes/operator_1").json["recent"]
    assert {b - a for a, b in pairwise(recent["starts"])} <= {5, 10}
    [aggregator] = [each for each in recent["observers"] if each["observer"] == "aggregator_0"]
    answered = [each for each in aggregator["outcomes"] if each == "answered"]
    shown = [start for start in starts if start >= recent["starts"][0]]
    assert len(answered) == len(shown)


def test_response_times_are_kept_across_lengths(world: EpochsWorld) -> None:
    chart = get(world, "/api/nodes/operator_1?period=1h").json["chart"]
    lines = {each["observer"]: each for each in chart["lines"]}

    counted = sum(each is not None for each in lines["aggregator_0"]["mean_ms"])
    rounds = get(world, "/api/rounds").json["rounds"]
    assert counted >= (rounds[0]["start"] - rounds[-1]["start"]) // 60


def test_the_history_of_nodes_that_have_left_stays(world: EpochsWorld) -> None:
    found = get(world, "/api/nodes/target_2").json

    assert (found["node"]["status"], found["left_epoch"]) == ("unknown", 3)
    assert [each["has_left"] for each in found["incidents"]] == [True]
    assert get(world, "/api/nodes/operator_4").json["left_epoch"] == 3


def test_the_lineage_of_the_explorer_verifies(world: EpochsWorld) -> None:
    lineage = Lineage.load(get(world, "/downloads/lineage.json").data)

    lineage.verify()
    assert lineage.newest == world.committee


@pytest.mark.parametrize("path", ["/committee", "/epochs", "/epochs/0", "/epochs/3", "/log/8"])
def test_pages_of_epochs_refresh_themselves(world: EpochsWorld, path: str) -> None:
    whole = get(world, path)

    assert get(world, f"{path}?fragment").text.strip() in whole.text
    again = world.app().test_client().get(path, headers={"If-None-Match": whole.headers["ETag"]})
    assert again.status_code == 304
