"""Reward rules are decoded strictly, and every fault is named with its place."""

from __future__ import annotations

import hashlib
import time
from fractions import Fraction

import pytest

from dragon import errors
from dragon.agreements.rule import Counts, Entry, Tier, Unearned
from dragon.agreements.rule_file import MAX_LINE, MAX_RULE_BYTES, decode_rule

RULE = """\
decimals = 6
unit = "USDC"
maintenance = "excluded"
maintenance_seconds = 7200
unknown = "up"
known_percent = 97.5

[[nodes]]
id = "relay-*"
weight = 2

[[tiers]]
up_percent = 99.9
pays_percent = 100

[[tiers]]
up_percent = 95
pays_percent = "up"
"""


def test_a_rule_is_decoded_exactly() -> None:
    rule = decode_rule(RULE.encode())

    assert (rule.decimals, rule.unit) == (6, "USDC")
    assert (rule.maintenance, rule.unknown) == (Counts.EXCLUDED, Counts.UP)
    assert (rule.maintenance_seconds, rule.known) == (7200, Fraction(975, 1000))
    assert rule.unearned is Unearned.KEPT
    assert rule.nodes == (Entry("relay-*", 2, None),)
    assert rule.tiers == (
        Tier(Fraction(999, 1000), Fraction(1)),
        Tier(Fraction(95, 100), None),
    )
    assert rule.sha256 == hashlib.sha256(RULE.encode()).digest()


@pytest.mark.parametrize(
    ("share", "earned"),
    [
        (Fraction(1), Fraction(1)),
        (Fraction(999, 1000), Fraction(1)),
        (Fraction(998, 1000), Fraction(998, 1000)),
        (Fraction(95, 100), Fraction(95, 100)),
        (Fraction(9499, 10000), Fraction(0)),
    ],
)
def test_a_share_earns_what_its_tier_pays(share: Fraction, earned: Fraction) -> None:
    tier = decode_rule(RULE.encode()).tier(share)

    assert (tier.paid(share) if tier else 0) == earned


def test_amounts_are_units_of_the_currency() -> None:
    rule = decode_rule(RULE.replace("weight = 2", "amount = 12.5").encode())

    assert rule.nodes == (Entry("relay-*", None, 12_500_000),)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("decimals = 6", "decimals = ", errors.InvalidRule, "not TOML at line 1, column 12"),
        ("decimals = 6", "decimals = " + 5000 * "9", errors.InvalidRule, "256 characters"),
        ("decimals = 6", "", errors.MissingMember, "the rule lacks the member decimals"),
        ("decimals = 6", "decimals = 19", errors.IntegerOutOfRange, "decimals must be between"),
        ("decimals = 6", "decimals = true", errors.NotAnInteger, "decimals must be an integer"),
        ("decimals = 6", "decimals = 6\nprice = 1", errors.UnknownMember, "no member price"),
        ('"USDC"', '"US$"', errors.UnknownValue, "unit must be 1 to 16 letters and digits"),
        ('"USDC"', "5", errors.WrongType, "unit must be a string"),
        ('"excluded"', '"paid"', errors.UnknownValue, "must be one of up, down, excluded"),
        ('unknown = "up"', "", errors.MissingMember, "the rule lacks the member unknown"),
        ("maintenance_seconds = 7200", "", errors.MissingMember, "member maintenance_seconds"),
        ("known_percent = 97.5", "", errors.MissingMember, "lacks the member known_percent"),
        ("97.5", "100.5", errors.UnknownValue, "known_percent must be between 0 and 100"),
        ('"excluded"', '"down"', errors.UnknownMember, "no member maintenance_seconds"),
        ('unknown = "up"', 'unknown = "down"', errors.UnknownMember, "no member known_percent"),
        ('unknown = "up"', 'unknown = "up"\nunearned = 1', errors.WrongType, "unearned must be"),
        ('"relay-*"', '"Relay"', errors.UnknownValue, "entry 1 of nodes: id must be a node's id"),
        ('"relay-*"', "1979-05-27", errors.WrongType, "entry 1 of nodes: id must be a string"),
        ("weight = 2", "", errors.MissingMember, "entry 1 of nodes lacks the member weight"),
        ("weight = 2", "weight = 0", errors.IntegerOutOfRange, "entry 1 of nodes: weight must be"),
        ("weight = 2", "weight = 1.5", errors.WrongType, "weight must be an integer"),
        ("weight = 2", "amount = 0.0000001", errors.UnknownValue, "more decimals than the rule"),
        ("weight = 2", "amount = -1", errors.IntegerOutOfRange, "amount must be between"),
        ("weight = 2", "weight = 2\namount = 2", errors.InvalidRule, "all have a weight, or all"),
        ("weight = 2", "weight = 2\nbonus = 2", errors.UnknownMember, "nodes has no member bonus"),
        ("99.9", "nan", errors.InvalidRule, "the number nan must be a plain decimal"),
        ("99.9", "1e2", errors.InvalidRule, "the number 1e2 must be a plain decimal"),
        ("99.9", "-1.5", errors.InvalidRule, "the number -1.5 must be a plain decimal"),
        ("99.9", "100.1", errors.UnknownValue, "entry 1 of tiers: up_percent must be between 0"),
        ("99.9", '"99.9"', errors.WrongType, "up_percent must be an integer"),
        ("= 100", '= "all"', errors.WrongType, "entry 1 of tiers: pays_percent must be"),
        ("= 100", "= 90", errors.InvalidRule, "entry 2 of tiers pays more for less up time"),
        ("= 95", "= 99.95", errors.InvalidRule, "entry 2 of tiers must have a lower up_percent"),
        ("[[tiers]]", "[[tier]]", errors.MissingMember, "lacks the member tiers"),
        ("[[tiers]]", "[tiers]", errors.InvalidRule, "not TOML at line 16"),
        (RULE[RULE.index("[[nodes]]") :], "nodes = []\ntiers = []", errors.InvalidRule,
         "at least one entry in nodes"),
        ("[[nodes]]", '[[nodes]]\nid = "relay-*"\nweight = 1\n[[nodes]]', errors.InvalidRule,
         "two entries with the id relay-"),
        (
            "[[nodes]]",
            "\n".join(f'[[nodes]]\nid = "*{k}"\nweight = 1' for k in range(64)) + "\n[[nodes]]",
            errors.InvalidRule,
            "more than 64 entries with a",
        ),
        ('unit = "USDC"', "x = " + 200 * "[", errors.InvalidRule, "not TOML|nested too deeply"),
    ],
)  # fmt: skip
def test_a_faulty_rule_is_refused(
    old: str, new: str, error: type[errors.DragonError], message: str
) -> None:
    with pytest.raises(errors.DragonError, match=message) as refused:
        decode_rule(RULE.replace(old, new).encode())

    assert type(refused.value) is error


def test_shared_amounts_are_refused() -> None:
    text = RULE.replace("weight = 2", "amount = 2").replace(
        "decimals", 'unearned="shared"\ndecimals'
    )

    with pytest.raises(errors.InvalidRule, match="requires weights"):
        decode_rule(text.encode())


def test_invisible_characters_are_refused() -> None:
    """A character that turns the direction of the text would show another rule to people."""
    with pytest.raises(errors.InvalidRule, match="invisible character"):
        decode_rule(f"# \u202e\n{RULE}".encode())
    assert decode_rule(f"# Prämie für März\r\n{RULE}".encode()).decimals == 6


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(errors.InvalidRule, match="not a text in UTF-8"):
        decode_rule(b"\xff")
    with pytest.raises(errors.TooLarge, match="65536 bytes"):
        decode_rule(b"#" * (MAX_RULE_BYTES + 1))


def test_the_slowest_rule_takes_bounded_time() -> None:
    """Long dotted keys are slow to parse; a report from a stranger carries a rule."""
    line = "a." * ((MAX_LINE - 8) // 2) + "a"
    text = "\n".join(f"{line}.b{number} = 1" for number in range(MAX_RULE_BYTES // MAX_LINE))

    begin = time.process_time()
    with pytest.raises(errors.DragonError):
        decode_rule(text.encode())

    assert time.process_time() - begin < 5
