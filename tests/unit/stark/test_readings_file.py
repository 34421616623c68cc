"""The JSON form of a readings statement."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import starkvectors as vectors
from dragon import errors
from dragon.encoding import parse
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.readings_file import StatedReadings, bounds_from_json, bounds_to_json
from dragon.stark.refusal import ProofRefused

METER = vectors.readings("proof_standard_b4_meter.json")


def document() -> Any:
    """The statement of a vector in its JSON form."""
    statement = METER["statement"]
    bounds = bounds_to_json(vectors.reading_bounds(statement))
    return {
        "kind": "readings",
        "identity": "0x" + statement["identity"],
        "commitments": ["0x" + commitment for commitment in statement["commitments"]],
        "carried": statement["carried"],
        "bounds": bounds,
        "message": "0x" + statement["message_hex"],
    }


def test_a_statement_is_read_and_verified() -> None:
    stated = StatedReadings.from_json(parse(json.dumps(document())))

    assert stated.to_json() == document()
    assert stated.statement() == vectors.readings_air(METER)
    stated.verify("standard", vectors.proof_bytes(METER))
    with pytest.raises(ProofRefused):
        stated.verify("strong", vectors.proof_bytes(METER))


def test_bounds_beyond_2_53_keep_every_digit() -> None:
    bounds = ReadingBounds(-(1 << 59), -(1 << 59) + 1, -1, 1, -4095 << 59, (-4095 << 59) + 4095)

    assert bounds_from_json(parse(json.dumps(bounds_to_json(bounds)))) == bounds


def spoil(name: str, new: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        value[name] = new

    return change


def spoil_bound(name: str, new: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        value["bounds"][name] = new

    return change


SPOILED: dict[str, tuple[Callable[[Any], None], type[errors.DragonError]]] = {
    "another kind": (spoil("kind", "blocks"), errors.UnknownValue),
    "no kind": (lambda value: value.pop("kind"), errors.MissingMember),
    "a short identity": (spoil("identity", "0x00"), errors.InvalidHex),
    "a commitment that is no text": (spoil("commitments", [7]), errors.WrongType),
    "too many commitments": (spoil("commitments", ["0x" + "00" * 32] * 4096), errors.UnknownValue),
    "carried as a number": (spoil("carried", 1), errors.WrongType),
    "an integer as a bound": (spoil_bound("low", 0), errors.WrongType),
    "a bound with a zero before": (spoil_bound("high", "010"), errors.UnknownValue),
    "a bound of minus zero": (spoil_bound("low", "-0"), errors.UnknownValue),
    "a bound with a point": (spoil_bound("high", "20.0"), errors.UnknownValue),
    "a huge bound": (spoil_bound("sum_high", str(1 << 127)), errors.IntegerOutOfRange),
    "a missing bound": (lambda value: value["bounds"].pop("step_low"), errors.MissingMember),
    "an unknown bound": (spoil_bound("mean", "1"), errors.UnknownMember),
    "an unknown member": (spoil("outputs", []), errors.UnknownMember),
    "a message in words": (spoil("message", "window 8"), errors.InvalidHex),
    "a long message": (spoil("message", "0x" + "00" * 65537), errors.InvalidHex),
}


@pytest.mark.parametrize("what", SPOILED)
def test_another_form_is_refused_by_name(what: str) -> None:
    change, refusal = SPOILED[what]
    value = document()
    change(value)

    with pytest.raises(refusal):
        StatedReadings.from_json(value)
