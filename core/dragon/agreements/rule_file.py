"""The TOML file of a reward rule, decoded strictly. docs/agreements.md describes every member.

Numbers are exact: a decimal number of the file becomes a fraction, never a float.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final, TypeVar

from dragon.agreements.amounts import MAX_DECIMALS, units_of
from dragon.agreements.rule import Counts, Entry, Rule, Tier, Unearned
from dragon.encoding import Members
from dragon.errors import DragonError, InvalidRule, TooLarge, UnknownValue
from dragon.protocol.claims.period import MAX_PERIOD_SECONDS

MAX_RULE_BYTES: Final = 64 * 1024
MAX_LINE: Final = 256  # characters; the TOML parser is slow with very long keys
MAX_ENTRIES: Final = 2048  # of `nodes`
MAX_PATTERNS: Final = 64  # entries of `nodes` with a `*`
MAX_TIERS: Final = 16
MAX_WEIGHT: Final = 1_000_000
OWN_SHARE: Final = "up"  # the value of `pays_percent` that pays a node's own share of up time

_NUMBER: Final = re.compile(r"[0-9]{1,18}\.[0-9]{1,18}", re.ASCII)
_PATTERN: Final = re.compile(r"[a-z0-9_*-]{1,32}", re.ASCII)
_UNIT: Final = re.compile(r"[A-Za-z0-9]{1,16}", re.ASCII)
_PLACE: Final = re.compile(r"\(at (line \d+, column \d+|end of document)\)$")

T = TypeVar("T")


def decode_rule(raw: bytes) -> Rule:
    """Decode a rule file strictly.

    Raises InvalidRule, TooLarge; InvalidEncoding: a member is wrong, and the message says which.
    """
    text, value = _parse(raw)
    members = Members(value, "the rule")
    decimals = members.integer("decimals", most=MAX_DECIMALS)
    maintenance = Counts(members.word("maintenance", list(Counts)))
    unknown = Counts(members.word("unknown", list(Counts)))
    rule = Rule(
        text=text,
        decimals=decimals,
        unit=_unit(members),
        maintenance=maintenance,
        maintenance_seconds=_maintenance_seconds(members, maintenance),
        unknown=unknown,
        known=_known(members, unknown),
        unearned=_unearned(members),
        nodes=tuple(_items(members, "nodes", MAX_ENTRIES, lambda each: _entry(each, decimals))),
        tiers=tuple(_items(members, "tiers", MAX_TIERS, _tier)),
    )
    members.end()
    _check_entries(rule)
    _check_tiers(rule.tiers)
    return rule


def _parse(raw: bytes) -> tuple[str, Any]:
    """Return the text and its TOML value. Raises TooLarge, InvalidRule."""
    if len(raw) > MAX_RULE_BYTES:
        raise TooLarge(f"the rule has more than {MAX_RULE_BYTES} bytes")
    try:
        text = raw.decode()
        if any(len(line) > MAX_LINE for line in text.splitlines()):
            raise InvalidRule(f"the rule has a line of more than {MAX_LINE} characters")
        if any(not each.isprintable() and each not in "\n\r\t" for each in text):
            raise InvalidRule("the rule has an invisible character, which could mislead a reader")
        return text, tomllib.loads(text, parse_float=_number)
    except UnicodeDecodeError:
        raise InvalidRule("the rule is not a text in UTF-8") from None
    except RecursionError:
        raise InvalidRule("the rule is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidRule(f"the rule is not TOML{_place(error)}") from None
    except ValueError:  # the interpreter limits the digits of an integer
        raise InvalidRule("the rule has a number that is too long") from None


def _place(error: tomllib.TOMLDecodeError) -> str:
    """Return where the fault is, without the library's text."""
    found = _PLACE.search(str(error))
    return f" at {found[1].replace('end of', 'the end of the')}" if found else ""


def _number(text: str) -> Fraction:
    """Return a decimal number exactly. Raises InvalidRule: `nan`, an exponent, a sign."""
    if not _NUMBER.fullmatch(text):
        message = f"the number {ascii(text[:32])[1:-1]} must be a plain decimal, such as 99.9"
        raise InvalidRule(message, value=text[:32])
    return Fraction(text)


def _unit(members: Members) -> str:
    if "unit" not in members:
        return ""
    unit = members.text("unit", longest=16)
    if not _UNIT.fullmatch(unit):
        raise UnknownValue("unit must be 1 to 16 letters and digits, such as USDC", member="unit")
    return unit


def _maintenance_seconds(members: Members, maintenance: Counts) -> int:
    """Take the limit without which a node could announce maintenance of the whole period."""
    if maintenance is Counts.DOWN:
        return 0
    return members.integer("maintenance_seconds", most=MAX_PERIOD_SECONDS)


def _known(members: Members, unknown: Counts) -> Fraction:
    """Take the limit without which a node could earn all by a single second of up time."""
    return Fraction(0) if unknown is Counts.DOWN else _percent(members, "known_percent")


def _unearned(members: Members) -> Unearned:
    if "unearned" not in members:
        return Unearned.KEPT
    return Unearned(members.word("unearned", list(Unearned)))


def _items(members: Members, name: str, most: int, decode: Callable[[Members], T]) -> Iterator[T]:
    """Decode the tables `[[name]]` in order. Raises InvalidRule: there is none."""
    listed = members.list(name, most=most)
    if not listed:
        raise InvalidRule(f"the rule needs at least one entry in {name}")
    for number, value in enumerate(listed, start=1):
        what = f"entry {number} of {name}"
        with _within(what):
            each = Members(value, what)
            item = decode(each)
            each.end()
        yield item


@contextmanager
def _within(what: str) -> Iterator[None]:
    """Name the entry in errors of the block."""
    try:
        yield
    except DragonError as error:
        if what not in str(error):
            error.args = (f"{what}: {error}",)
        raise


def _entry(members: Members, decimals: int) -> Entry:
    pattern = members.text("id", longest=32)
    if not _PATTERN.fullmatch(pattern):
        raise UnknownValue("id must be a node's id, in which * may stand for any text", member="id")
    weight = amount = None
    if "amount" in members:
        amount = units_of(_decimal(members, "amount"), decimals, member="amount")
    if "weight" in members or amount is None:
        weight = members.integer("weight", least=1, most=MAX_WEIGHT)
    return Entry(pattern, weight, amount)


def _tier(members: Members) -> Tier:
    up, value = _percent(members, "up_percent"), members.take("pays_percent")
    if value == OWN_SHARE:
        return Tier(up, None)
    return Tier(up, _percent(Members({"pays_percent": value}, "the tier"), "pays_percent"))


def _percent(members: Members, name: str) -> Fraction:
    """Take a percentage; return it as a part of 1."""
    if (part := _decimal(members, name) / 100) > 1:
        raise UnknownValue(f"{name} must be between 0 and 100", member=name)
    return part


def _decimal(members: Members, name: str) -> Fraction:
    """Take an integer or a decimal number that is not negative."""
    value: object = members.take(name)
    if isinstance(value, Fraction):
        return value
    return Fraction(Members({name: value}, name).integer(name))  # type: ignore[dict-item]


def _check_entries(rule: Rule) -> None:
    """Raises InvalidRule: a pattern is listed twice, there are too many, or amounts are mixed."""
    patterns = Counter(entry.pattern for entry in rule.nodes)
    if twice := next((each for each, times in patterns.items() if times > 1), None):
        raise InvalidRule(f"nodes has two entries with the id {twice}", id=twice)
    if sum("*" in each for each in patterns) > MAX_PATTERNS:
        raise InvalidRule(f"nodes has more than {MAX_PATTERNS} entries with a *")
    amounts = [entry for entry in rule.nodes if entry.amount is not None]
    if any(entry.weight is not None for entry in rule.nodes) and amounts:
        raise InvalidRule("the entries of nodes must all have a weight, or all have an amount")
    if amounts and rule.unearned is Unearned.SHARED:
        raise InvalidRule("unearned = 'shared' requires weights; amounts are not shared")


def _check_tiers(tiers: tuple[Tier, ...]) -> None:
    """Raises InvalidRule: the order is wrong, or less up time would earn more."""
    for number, (higher, lower) in enumerate(pairwise(tiers), start=2):
        if lower.up >= higher.up:
            raise InvalidRule(
                f"entry {number} of tiers must have a lower up_percent than the one before"
            )
        if lower.paid(higher.up) > higher.paid(higher.up):
            raise InvalidRule(
                f"entry {number} of tiers pays more for less up time than the one before"
            )
