"""How pages write times, durations, numbers and identifiers."""

from __future__ import annotations

import pytest

from dragon_explorer import filters
from dragon_explorer.views.rounds import AnswerRow

HASH = "0x23d5c3ea" + "0" * 52 + "f97f"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "now"),
        (1, "1 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (86_400 * 45, "45 d ago"),
        (-5, "now"),  # answered after the moment for which the page is made
        (-90, "in 1 min"),
    ],
)
def test_relative_times_have_one_unit(seconds: int, expected: str) -> None:
    assert filters.ago(1_700_000_000, 1_700_000_000 + seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (15, "15 s"),
        (65, "1 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7_500, "2 h 5 min"),
        (86_400 * 89 + 3600 * 23 + 59, "89 d 23 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: int, expected: str) -> None:
    assert filters.span(seconds) == expected


def test_times_are_utc() -> None:
    assert filters.utc(1_732_522_100) == "2024-11-25 08:08:20 UTC"
    assert filters.clock(1_732_522_100) == "08:08:20"
    assert filters.iso(1_732_522_100) == "2024-11-25T08:08:20Z"
    assert filters.day(1_732_522_100) == "2024-11-25"


def test_percentages_are_never_rounded_up_to_a_whole() -> None:
    assert filters.percent(99.999) == "99.999 %"
    assert filters.percent(100.0) == "100.000 %"
    assert filters.percent(99.9, 1) == "99.9 %"
    assert filters.percent(None) == "–"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (7 * 10**12, "7.0 TB")],
)
def test_sizes_have_decimal_units(number: int, expected: str) -> None:
    assert filters.size(number) == expected


def test_long_identifiers_are_shortened_alone_and_in_sentences() -> None:
    assert filters.short(HASH) == "0x23d5c3ea…f97f"
    assert filters.short("operator_1") == "operator_1"
    assert filters.abridged(f"root {HASH} at 3") == "root 0x23d5c3ea…f97f at 3"


def test_names_become_words() -> None:
    assert filters.words("wrong_type") == "wrong type"
    assert filters.period("24h") == "24 h"
    assert filters.count(100_408) == "100,408"


def test_the_answers_that_say_most_are_those_without_a_signature_and_the_latest() -> None:
    answers = [
        AnswerRow("operator_1", "signed", "", 20),
        AnswerRow("operator_2", "timeout", "", None),
        AnswerRow("operator_3", "signed", "", 90),
        AnswerRow("operator_4", "busy", "", 5),
    ]

    assert filters.notable(answers, 4) == answers
    assert [each.operator for each in filters.notable(answers, 3)] == [
        "operator_4",
        "operator_2",
        "operator_3",
    ]
