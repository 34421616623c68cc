"""The tree of errors: one parent each, a name and an explanation for users."""

from __future__ import annotations

import inspect
import re

import pytest

from dragon import errors

CLASSES: dict[str, type[errors.DragonError]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.DragonError)
}


def test_every_exception_of_the_module_is_a_dragon_error() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, BaseException):
            assert name in CLASSES


def test_every_error_has_one_parent() -> None:
    for value in CLASSES.values():
        assert len(value.__bases__) == 1


def test_the_root_of_the_tree_is_an_exception() -> None:
    assert errors.DragonError.__bases__ == (Exception,)


@pytest.mark.parametrize("name", CLASSES)
def test_the_first_line_of_the_docstring_is_a_sentence(name: str) -> None:
    first, *_ = (inspect.getdoc(CLASSES[name]) or "").splitlines()

    assert first[0].isupper()
    assert first.endswith(".")


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
