"""Amounts of money: integers of the smallest unit, written as decimal numbers."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from dragon.errors import UnknownValue

MAX_DECIMALS: Final = 18  # of a currency
_AMOUNT: Final = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)


def parse_amount(text: str, decimals: int, *, member: str) -> int:
    """Return the smallest units of an amount such as `1000` or `12.50`.

    Args:
        decimals: how many decimals the currency has; `12.5` is 1250 units with two.
        member: the name of the value in error messages.

    Raises UnknownValue: not a plain decimal number, or it has more decimals than the currency.
    """
    if not _AMOUNT.fullmatch(text):
        message = f"{member} must be a plain decimal number, such as 1000 or 12.50"
        raise UnknownValue(message, member=member, value=text[:64])
    return units_of(Fraction(text), decimals, member=member)


def units_of(amount: Fraction | int, decimals: int, *, member: str) -> int:
    """Return the smallest units of an exact amount.

    Raises UnknownValue: it has more decimals than the currency.
    """
    scale: int = 10**decimals
    units = Fraction(amount) * scale
    if units.denominator != 1:
        message = f"{member} has more decimals than the rule allows ({decimals})"
        raise UnknownValue(message, member=member, decimals=decimals)
    return units.numerator


def format_amount(units: int, decimals: int) -> str:
    """Return an amount with all its decimals: 1250 units with two are `12.50`."""
    if not decimals:
        return str(units)
    whole, part = divmod(units, 10**decimals)
    return f"{whole}.{part:0{decimals}}"


def format_percent(part: Fraction) -> str:
    """Return a part of 1 in percent, exactly, for parts that a rule states: `99.9`."""
    text = format_amount(units_of(part * 100, MAX_DECIMALS, member="the percentage"), MAX_DECIMALS)
    return text.rstrip("0").rstrip(".")
