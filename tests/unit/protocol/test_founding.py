"""Assembling committees: deterministic, checked, and what changes with the next one."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from committees import GENESIS, secret
from dragon import errors
from dragon.protocol.committee import Aggregator, Committee, Sequencer, Target
from dragon.protocol.differences import differences, urls
from dragon.protocol.founding import Change, Terms, assemble, refound, succeed
from dragon.protocol.lineage import Lineage
from dragon.protocol.member import Member, Role
from epochs import Network

LISTS = (b"\x02" * 32, b"\x01" * 32)


def operator(name: str, *, key: str = "", port: int = 5001) -> Member:
    url = f"https://{name.replace('_', '-')}.example.org:{port}"
    return Member.sign(Role.OPERATOR, name, url, secret(key or name))


def expert(name: str) -> Member:
    return Member.sign(Role.EXPERT, name, None, secret(name))


MEMBERS = [operator(f"operator_{n}") for n in (1, 2, 3, 4)] + [expert("expert_1")]
TERMS = Terms(
    name="example",
    genesis=GENESIS,
    sequencer=Sequencer("datadragon", 67, LISTS),
    targets=(Target("site_2", "https://b.example.org"), Target("site_1", "https://a.example.org")),
    aggregators=(Aggregator("https://z:1", 0), Aggregator("https://a:1", 1)),
)
COMMITTEE = assemble(MEMBERS, TERMS)


def test_assemble_is_deterministic_in_any_order() -> None:
    generator = random.Random(1)
    for _ in range(10):
        shuffled = generator.sample(MEMBERS, len(MEMBERS))
        terms = replace(
            TERMS,
            targets=tuple(generator.sample(TERMS.targets, 2)),
            aggregators=tuple(generator.sample(TERMS.aggregators, 2)),
            sequencer=Sequencer("datadragon", 67, tuple(generator.sample(LISTS, 2))),
        )
        assert assemble(shuffled, terms).id == COMMITTEE.id


def test_lists_are_sorted() -> None:
    assert [each.id for each in COMMITTEE.operators] == [f"operator_{n}" for n in (1, 2, 3, 4)]
    assert [each.id for each in COMMITTEE.targets] == ["site_1", "site_2"]
    assert [each.url for each in COMMITTEE.aggregators] == ["https://z:1", "https://a:1"]
    assert COMMITTEE.sequencer.nodes_sha256 == (LISTS[1], LISTS[0])
    assert (COMMITTEE.epoch, COMMITTEE.network_id) == (0, COMMITTEE.id)


def test_what_cannot_be_a_committee_is_refused() -> None:
    with pytest.raises(errors.TooFewOperators):
        assemble(MEMBERS[:2], TERMS)
    with pytest.raises(errors.ListedTwice):
        assemble([*MEMBERS, operator("operator_1", port=5002)], TERMS)
    seven = [operator(f"operator_{n}") for n in range(1, 8)]
    with pytest.raises(errors.WeakHandover):
        assemble(seven, replace(TERMS, quorum_rules={"handover": 4}))
    with pytest.raises(errors.UnknownValue):
        assemble(MEMBERS, replace(TERMS, name=""))


def following(**change: Any) -> Committee:
    return succeed(Lineage.of(COMMITTEE), Change(**change))


def test_nothing_changes_but_the_epoch() -> None:
    after = following()

    assert (after.epoch, after.network, after.previous) == (1, COMMITTEE.id, COMMITTEE.id)
    assert differences(COMMITTEE, after) == []


def said(after: Committee) -> list[str]:
    return [each.sentence for each in differences(COMMITTEE, after)]


def test_a_member_joins_moves_rotates_or_leaves() -> None:
    joined = following(members=(operator("operator_5"),))
    moved = following(members=(operator("operator_2", port=6001),))
    rotated = following(members=(operator("operator_2", key="another"),))
    left = following(drop=frozenset({"operator_4", "expert_1"}))

    assert [each.id for each in joined.operators][-1] == "operator_5"
    assert said(joined)[0].startswith("operator operator_5 joins: https://operator-5.example.org")
    assert "quorum for status: 3 of 4 (byzantine) → 4 of 5 (byzantine)" in said(joined)
    assert moved.urls["operator_2"].endswith(":6001")
    assert len(said(moved)) == 1
    assert rotated.keys["operator_2"] == secret("another").public_key()
    assert len(said(rotated)) == 1
    assert [each.id for each in left.operators] == ["operator_1", "operator_2", "operator_3"]
    assert {"operator operator_4", "expert expert_1"} <= {
        each.what for each in differences(COMMITTEE, left)
    }


def test_targets_aggregators_rules_and_lists_change() -> None:
    after = following(
        targets=(Target("site_1", "https://moved.example.org"), Target("site_3", "https://c:1")),
        aggregators=(Aggregator("https://a:1", 2), Aggregator("https://new:1", 1)),
        drop=frozenset({"site_2", "https://z:1"}),
        round_seconds=10,
        quorum_rules={"window": "byzantine"},
        threshold_percent=80,
        add_nodes_sha256=(b"\x03" * 32,),
        drop_nodes_sha256=frozenset({LISTS[0]}),
    )

    assert [(each.id, each.url) for each in after.targets] == [
        ("site_1", "https://moved.example.org"),
        ("site_3", "https://c:1"),
    ]
    assert [(each.url, each.rank) for each in after.aggregators] == [
        ("https://new:1", 1),
        ("https://a:1", 2),
    ]
    assert after.rounds.seconds == 10
    assert after.rounds.genesis == GENESIS
    assert after.quorum_rules["window"] == "byzantine"
    assert after.sequencer == Sequencer("datadragon", 80, (LISTS[1], b"\x03" * 32))
    assert "round length: 5 s → 10 s" in said(after)
    assert "stake for finality: 67 % → 80 %" in said(after)
    assert "https://new:1" in urls(after)
    assert "https://z:1" not in urls(after)


def test_only_what_is_listed_can_be_dropped() -> None:
    for change in ({"drop": frozenset({"operator_9"})}, {"drop_nodes_sha256": {b"\x09" * 32}}):
        with pytest.raises(errors.UnknownMember):
            following(**change)


def test_the_next_committee_is_fit_to_follow() -> None:
    with pytest.raises(errors.RecycledKey):
        following(
            members=(operator("operator_5", key="operator_1"),), drop=frozenset({"operator_1"})
        )
    with pytest.raises(errors.RecycledId):
        following(targets=(Target("operator_4", "https://x:1"),), drop=frozenset({"operator_4"}))


def test_a_later_epoch_seals_the_log_of_the_handover_before() -> None:
    network = Network()
    network.step(add=["operator_5"])
    network.step(drop=["operator_1"])

    after = succeed(network.lineage(), Change(drop=frozenset({"target_1"})))

    assert after.epoch == 3
    assert (after.sealed.size, after.sealed.root) == (20, network.root(2))


def test_the_end_of_a_lineage_is_not_enough_for_the_next_committee() -> None:
    network = Network()
    network.step(add=["operator_5"])

    with pytest.raises(errors.LineageError, match="needs the whole lineage"):
        succeed(Lineage.of(network.newest.committee), Change())


def test_a_network_is_founded_anew_by_its_newest_members() -> None:
    network = Network()
    network.step(add=["operator_5"])
    last = network.newest.committee
    genesis = last.rounds.genesis + 1

    made = refound(last, genesis, app="datadragon-2", change=Change(drop=frozenset({"operator_1"})))

    assert (made.epoch, made.rounds.genesis, made.sequencer.app) == (0, genesis, "datadragon-2")
    assert made.network_id == made.id != last.network_id
    assert made.operators == last.operators[1:]
    for stays in ("name", "quorum", "experts", "targets", "aggregators", "round_seconds"):
        assert made.to_json()[stays] == last.to_json()[stays]


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_genesis_is_never_used_again(earlier: int) -> None:
    """The same file again would be the same network, whose logs cannot begin again."""
    with pytest.raises(errors.InvalidCommittee, match="must be later"):
        refound(COMMITTEE, COMMITTEE.rounds.genesis - earlier)
