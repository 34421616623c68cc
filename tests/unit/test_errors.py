"""The tree of errors is the one that is drawn, and each error can be told to its face."""

from __future__ import annotations

import inspect
import re

import pytest

from dragon import errors

DRAWING = inspect.getdoc(errors) or ""
LINE = re.compile(r"^(?P<indent>(?:│   |    )*)(?:├── |└── )(?P<name>\w+)(?P<rest>.*)$")
CLASSES: dict[str, type[errors.DragonError]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.DragonError)
}


def drawn_parents() -> dict[str, str]:
    """Class → parent, as the drawing has it."""
    branch, parents = ["DragonError"], {}
    for line in DRAWING.splitlines():
        if found := LINE.match(line):
            depth = len(found["indent"]) // 4
            branch = branch[: depth + 1]
            assert found["name"] not in parents, "drawn twice"
            parents[found["name"]] = branch[depth]
            branch.append(found["name"])
    return parents


def drawn_meanings() -> dict[str, str]:
    lines = (LINE.match(line) for line in DRAWING.splitlines())
    return {found["name"]: found["rest"].strip() for found in lines if found}


def test_the_tree_that_is_drawn_is_the_tree_of_classes() -> None:
    parents = {
        name: value.__base__.__name__
        for name, value in CLASSES.items()
        if value is not errors.DragonError and value.__base__ is not None
    }

    assert drawn_parents() == parents


def test_siblings_are_drawn_in_the_order_of_the_code() -> None:
    names = [name for name in CLASSES if name != "DragonError"]

    assert list(drawn_parents()) == names


def test_no_error_stands_beside_the_tree() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, BaseException):
            assert name in CLASSES


def test_every_error_has_one_parent() -> None:
    for value in CLASSES.values():
        assert len(value.__bases__) == 1


def test_the_root_of_the_tree_is_an_exception() -> None:
    assert errors.DragonError.__bases__ == (Exception,)
    assert "\nDragonError\n├── " in DRAWING


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_says_what_it_means(name: str) -> None:
    assert inspect.getdoc(CLASSES[name])
    assert name == "DragonError" or drawn_meanings()[name]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (errors.QuorumNotMet(signers=1, needed=3), "quorum_not_met"),
        (errors.NotJson("x"), "not_json"),
        (errors.NotAnInteger("x"), "not_an_integer"),
        (errors.NotAChange("x"), "not_a_change"),
        (errors.Busy("x"), "busy"),
        (errors.AttestationRefused("blind", "x"), "attestation_refused"),
    ],
)
def test_a_refusal_has_a_name_for_users(error: errors.DragonError, name: str) -> None:
    assert error.name == name


def test_names_for_users_are_all_different() -> None:
    names = {value.__new__(value).name for value in CLASSES.values()}

    assert len(names) == len(CLASSES)
    assert all(re.fullmatch("[a-z_]+", name) for name in names)


def test_an_error_carries_its_facts() -> None:
    error = errors.UnknownSigner("mallory is not in the committee", signer="mallory")

    assert str(error) == "mallory is not in the committee"
    assert error.facts == {"signer": "mallory"}


def test_an_unmet_quorum_says_how_many_are_missing() -> None:
    error = errors.QuorumNotMet(signers=2, needed=3)

    assert str(error) == "2 signed, the quorum needs 3"
    assert error.facts == {"signers": 2, "needed": 3}


def test_a_refusal_to_sign_carries_its_reason() -> None:
    error = errors.AttestationRefused("sees_up", "operator_2 looks up", node_id="operator_2")

    assert error.reason == "sees_up"
    assert error.facts == {"reason": "sees_up", "node_id": "operator_2"}
