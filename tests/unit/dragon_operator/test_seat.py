"""The key with which an operator signs for a committee."""

from __future__ import annotations

from unittest import mock

import pytest

from committees import make_members, secret
from dragon.errors import AttestationRefused
from dragon.protocol import bls
from dragon_operator.seat import Seat

MEMBERS = make_members()
ME, OTHER = list(MEMBERS.secrets)[:2]
MINE, STRANGE = MEMBERS.secrets[ME], secret("another key")


@pytest.mark.parametrize("secrets", [(MINE,), (STRANGE, MINE), (MINE, STRANGE)])
def test_an_operator_signs_with_the_key_that_the_committee_lists(
    secrets: tuple[bls.SecretKey, ...],
) -> None:
    assert Seat(ME, secrets).secret(MEMBERS.committee) is MINE


@pytest.mark.parametrize(
    ("operator", "secrets"), [(ME, (STRANGE,)), (OTHER, (MINE,)), ("nobody", (MINE,)), (ME, ())]
)
def test_an_operator_without_a_listed_key_signs_nothing(
    operator: str, secrets: tuple[bls.SecretKey, ...]
) -> None:
    seat = Seat(operator, secrets)

    assert seat.secret_in(MEMBERS.committee) is None
    with pytest.raises(AttestationRefused) as refused:
        seat.secret(MEMBERS.committee)
    assert refused.value.reason == "unseated"


def test_public_keys_are_computed_once() -> None:
    counted = mock.Mock(wraps=MINE)
    seat = Seat(ME, (counted,))
    for _ in range(3):
        assert seat.secret(MEMBERS.committee) is counted

    assert counted.public_key.call_count == 1


def test_a_seat_shows_no_secret() -> None:
    seat = Seat(ME, (MINE,))
    seat.secret(MEMBERS.committee)

    assert str(MINE.scalar) not in repr(seat)
