"""Which committee may follow which: a refusal for each rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from committees import make_members, secret
from dragon import errors
from dragon.protocol.committee import Committee, Expert, Sealed, Target
from dragon.protocol.lineage import sealed_by
from dragon.protocol.rounds import Rounds
from dragon.protocol.succession import Known, check_successor
from epochs import Network, new_operator, successor

NETWORK = Network()
NETWORK.step(add=["operator_5"])
NETWORK.step(drop=["operator_1"], rotate={"operator_2": secret("operator_2 again")})
KNOWN = Known.of(NETWORK.committees())
SEALED = sealed_by(NETWORK.handovers[-1])
NEXT = successor(NETWORK.newest, NETWORK.handovers[-1], add=["operator_6"]).committee


def refusal(following: Committee) -> tuple[type[errors.DragonError], object]:
    with pytest.raises(errors.DragonError) as refused:
        check_successor(KNOWN, SEALED, following)
    facts = refused.value.facts
    return type(refused.value), facts.get("member", facts.get("id"))


def test_a_fit_successor() -> None:
    check_successor(KNOWN, SEALED, NEXT)


def test_what_is_known_grows_step_by_step() -> None:
    first, *others = NETWORK.committees()
    known = Known.of([first])
    for committee in others:
        known = known.then(committee)

    assert known == KNOWN
    assert "operator_1" in known.ids


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"epoch": 2}, "epoch"),
        ({"epoch": 4}, "epoch"),
        ({"network": b"\x01" * 32}, "network"),
        ({"previous": NETWORK.committees()[1].id}, "previous"),
        ({"sealed": replace(SEALED, size=21)}, "sealed"),
        ({"sealed": replace(SEALED, root=bytes(32))}, "sealed"),
        ({"sealed": replace(SEALED, timestamp=SEALED.timestamp + 5)}, "sealed"),
        ({"name": "another"}, "name"),
        ({"rounds": Rounds(NEXT.rounds.genesis + 5, 5)}, "genesis"),
        ({"sequencer": replace(NEXT.sequencer, app="another")}, "app"),
    ],
)
def test_what_must_stay_and_what_must_be_named(change: dict[str, Any], member: str) -> None:
    assert refusal(replace(NEXT, **change)) == (errors.BrokenSuccession, member)


def with_operator(name: str, key: str) -> Committee:
    return replace(NEXT, operators=(*NEXT.operators, new_operator(name, secret(key))))


@pytest.mark.parametrize(
    "recycle",
    [
        lambda: with_operator("operator_1", "operator_1 new"),
        lambda: replace(NEXT, targets=(Target("operator_1", "http://x"),)),
        lambda: replace(NEXT, targets=(Target("operator_5", "http://x"),)),
        lambda: with_operator("target_1", "target_1"),
    ],
    ids=["gone", "gone, as a target", "operator as a target", "target as an operator"],
)
def test_recycled_id(recycle: Callable[[], Committee]) -> None:
    assert refusal(recycle())[0] is errors.RecycledId


@pytest.mark.parametrize(
    "key",
    ["operator_1", "operator_2", "operator_3"],
    ids=["gone", "rotated away", "of another operator"],
)
def test_recycled_key(key: str) -> None:
    assert refusal(with_operator("operator_7", key)) == (errors.RecycledKey, "operator_7")


def test_a_key_that_was_rotated_away_does_not_come_back() -> None:
    old = new_operator("operator_2", secret("operator_2"))
    others = [each for each in NEXT.operators if each.id != "operator_2"]

    assert refusal(replace(NEXT, operators=(old, *others)))[0] is errors.RecycledKey


def test_the_key_of_an_operator_cannot_become_an_experts() -> None:
    key = secret("operator_3")
    expert = Expert("expert_1", key.public_key(), key.prove_possession())
    others = tuple(each for each in NEXT.operators if each.id != "operator_3")

    changed = replace(NEXT, operators=others, experts=(expert,))

    assert refusal(changed)[0] is errors.RecycledKey


def test_a_key_may_be_rotated() -> None:
    rotated = successor(
        NETWORK.newest, NETWORK.handovers[-1], rotate={"operator_3": secret("operator_3 again")}
    )

    check_successor(KNOWN, SEALED, rotated.committee)


def long_named(operators: int, characters: int) -> Committee:
    made = make_members(operators).committee
    renamed = tuple(
        replace(each, id=f"{number:03}".rjust(characters, "o"))
        for number, each in enumerate(made.operators)
    )
    return replace(made, operators=renamed)


def violating(line: int) -> Committee:
    """Return a committee that violates this line of the rules, and all later ones."""
    many = [(f"{n:03}".rjust(32, "o"), f"another {n}") for n in range(120)]
    changed = NEXT
    for name, key in (*many, ("operator_7", "operator_1")) if line <= 5 else many:
        changed = replace(changed, operators=(*changed.operators, new_operator(name, secret(key))))
    if line <= 4:
        changed = replace(changed, targets=(*changed.targets, Target("operator_1", "http://x")))
    if line <= 3:
        changed = replace(changed, name="another")
    if line <= 2:
        changed = replace(changed, epoch=7)
    if line <= 1:
        changed = replace(changed, targets=(*changed.targets, changed.targets[-1]))
    return changed


def check_loaded(following: Committee) -> None:
    """Check a committee by itself, as when its file is loaded, and then as a successor."""
    following.check()
    check_successor(KNOWN, SEALED, following)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (1, (errors.ListedTwice, None)),
        (2, (errors.BrokenSuccession, "epoch")),
        (3, (errors.BrokenSuccession, "name")),
        (4, (errors.RecycledId, "operator_1")),
        (5, (errors.RecycledKey, "operator_7")),
        (6, (errors.OversizedEvent, None)),
    ],
)
def test_fit_successor_refusals(line: int, expected: tuple[type, object]) -> None:
    """The first line that is violated is the answer."""
    following = violating(line)
    with pytest.raises(errors.InvalidCommittee) as refused:
        check_loaded(following) if line == 1 else check_successor(KNOWN, SEALED, following)
    facts = refused.value.facts
    assert (type(refused.value), facts.get("member", facts.get("id"))) == expected


@pytest.mark.parametrize(("characters", "most"), [(32, 58), (11, 145)])
def test_oversized_handover(characters: int, most: int) -> None:
    for operators, fits in ((most, True), (most + 1, False)):
        first = long_named(operators, characters)
        following = replace(first, epoch=1, network=first.id, previous=first.id)
        known = Known.of([first])
        if fits:
            check_successor(known, Sealed(), following)
        else:
            with pytest.raises(errors.OversizedEvent):
                check_successor(known, Sealed(), following)
